"""Prints template.yaml as the CloudFormation template that AWS makes of it: translate.py [S3-URI-OF-THE-CODE].

AWS runs this very translator. It wants to know where the code lies, which `sam package` fills in.
"""

import json
import pathlib
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

code = sys.argv[1] if len(sys.argv) > 1 else "s3://code/zone.zip"
template = yaml_parse(pathlib.Path(__file__).parents[2].joinpath("template.yaml").read_text())
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        resource.setdefault("Properties", {})["CodeUri"] = code
parameters = {name: p["Default"] for name, p in template["Parameters"].items()}
translator = Translator(managed_policy_map={}, sam_parser=Parser())
json.dump(translator.translate(template, parameters), sys.stdout, indent=1)
