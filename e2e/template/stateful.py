"""Checks that an update of a stack replaces nothing that holds data, or that others know by its name: stateful.py [--update] TRANSLATED...

stateful.json has these resources with what CloudFormation can't change in place, which its own schemas say (cfn-lint has
them). A resource of another ID is a new one, and the old one is deleted. --update writes the file anew.
"""

import json
import pathlib
import sys

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

KINDS = {
    "AWS::ApiGatewayV2::Api",  # its URL is in Slack
    "AWS::DynamoDB::Table",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::ManagedPolicy",  # users and permission sets have them
    "AWS::IAM::Role",  # trust policies name them
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
    "AWS::SQS::Queue",
}
# A key's type, which the schema does not list.
BESIDE = {"AWS::DynamoDB::Table": ["AttributeDefinitions"]}
GOLDEN = pathlib.Path(__file__).with_name("stateful.json")


def fixed(resource):
    kind = resource["Type"]
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-west-1", kind).schema
    paths = schema.get("createOnlyProperties", []) + schema.get("conditionalCreateOnlyProperties", [])
    names = {p.split("/")[2] for p in paths} | set(BESIDE.get(kind, []))
    kept = {k: v for k, v in resource.items() if k in ("Condition", "DeletionPolicy", "Type", "UpdateReplacePolicy")}
    return kept | {k: v for k, v in resource.get("Properties", {}).items() if k in names}


arguments = sys.argv[1:]
update = "--update" in arguments
files = [pathlib.Path(a) for a in arguments if a != "--update"]
now = {
    f.stem: {name: fixed(r) for name, r in sorted(json.loads(f.read_text())["Resources"].items()) if r["Type"] in KINDS} for f in files
}
if update:
    GOLDEN.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
before = json.loads(GOLDEN.read_text())
problems = []
for template in sorted(before.keys() | now.keys()):
    was, have = before.get(template, {}), now.get(template, {})
    for name in sorted(was.keys() | have.keys()):
        if name not in have:
            problems.append(f"{template}: {name} is gone: an update deletes it, with what it holds")
        elif name not in was:
            problems.append(f"{template}: {name} is not in {GOLDEN.name}: add it with --update")
        else:
            changed = sorted(k for k in was[name].keys() | have[name].keys() if was[name].get(k) != have[name].get(k))
            problems += [f"{template}: {name}: {k} has changed: an update replaces the resource, or no longer keeps it" for k in changed]
for p in problems:
    print(f"stateful: {p}", file=sys.stderr)
print(f"stateful: {sum(map(len, now.values()))} resources, {len(problems)} problems")
sys.exit(bool(problems))
