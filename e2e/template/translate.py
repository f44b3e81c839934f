"""Prints a template as the CloudFormation template that AWS makes of it: translate.py TEMPLATE.

AWS runs this very translator. It wants to know where the code lies, which `sam package` fills in.
"""

import json
import pathlib
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

template = yaml_parse(pathlib.Path(sys.argv[1]).read_text())
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        resource.setdefault("Properties", {})["CodeUri"] = "s3://code/zone.zip"
parameters = {name: p.get("Default", "") for name, p in template["Parameters"].items()}
translator = Translator(managed_policy_map={}, sam_parser=Parser())
json.dump(translator.translate(template, parameters), sys.stdout, indent=1)
