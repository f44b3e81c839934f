"""Deploys a translated template to the AWS at AWS_ENDPOINT_URL: deploy.py TRANSLATED [PARAMETER=VALUE...].

Prints what is there then.

moto's CloudFormation does not know the types in UNKNOWN. Secrets, the API and where events are posted are made with calls
of their own and put in place of the references to them. Nothing refers to the others; settings.mjs and proofs.mjs look at those.
"""

import json
import pathlib
import sys

import boto3

UNKNOWN = {
    "AWS::SecretsManager::Secret",
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Stage",
    "AWS::SQS::QueuePolicy",
    "AWS::Events::ApiDestination",
    "AWS::Events::Connection",
    "AWS::Events::EventBusPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::Lambda::EventInvokeConfig",
}
STACK = "killswitch"

template = json.loads(pathlib.Path(sys.argv[1]).read_text())
resources = template["Resources"]
clients = ("s3", "cloudformation", "lambda", "secretsmanager", "apigatewayv2", "events")
s3, stacks, functions, secrets, apis, events = (boto3.client(name) for name in clients)

s3.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
s3.put_object(Bucket="code", Key="zone.zip", Body=b"PK\x05\x06" + bytes(18))  # an empty zip

given = dict(p.split("=", 1) for p in sys.argv[2:])
made = {}
for name, r in resources.items():
    if r["Type"] == "AWS::SecretsManager::Secret":
        made[name] = secrets.create_secret(Name=f"{STACK}-{name}")["ARN"]
    elif r["Type"] == "AWS::ApiGatewayV2::Api":
        made[name] = apis.create_api(Name=f"{STACK}-{name}", ProtocolType="HTTP")["ApiId"]
    elif r["Type"] == "AWS::Events::ApiDestination":
        key = {"ApiKeyName": "X-Api-Key", "ApiKeyValue": given["EventsKey"]}
        connection = events.create_connection(
            Name=STACK, AuthorizationType="API_KEY", AuthParameters={"ApiKeyAuthParameters": key}
        )
        made[name] = events.create_api_destination(
            Name=STACK,
            ConnectionArn=connection["ConnectionArn"],
            InvocationEndpoint=given["EventsUrl"],
            HttpMethod=r["Properties"]["HttpMethod"],
        )["ApiDestinationArn"]


def bind(v):
    if isinstance(v, list):
        return [bind(x) for x in v]
    if not isinstance(v, dict):
        return v
    if v.keys() == {"Ref"} and v["Ref"] in made:
        return made[v["Ref"]]
    if "Fn::GetAtt" in v and v["Fn::GetAtt"][0] in made:
        return made[v["Fn::GetAtt"][0]]
    if "Fn::Sub" in v:
        text, names = v["Fn::Sub"] if isinstance(v["Fn::Sub"], list) else (v["Fn::Sub"], {})
        for name, value in made.items():
            text = text.replace("${%s}" % name, value)
        return {"Fn::Sub": [text, bind(names)] if names else text}
    return {k: bind(x) for k, x in v.items()}


for r in resources.values():
    if r["Type"] == "AWS::IAM::ManagedPolicy":  # moto leaves a null in place of a statement that is left out
        document = r["Properties"]["PolicyDocument"]
        document["Statement"] = [s for s in document["Statement"] if "Fn::If" not in s]
template["Resources"] = {k: r for k, r in resources.items() if r["Type"] not in UNKNOWN}
stacks.create_stack(
    StackName=STACK,
    TemplateBody=json.dumps(bind(template)),
    Capabilities=["CAPABILITY_NAMED_IAM"],
    Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
)
(stack,) = stacks.describe_stacks(StackName=STACK)["Stacks"]
if stack["StackStatus"] != "CREATE_COMPLETE":
    sys.exit(f"{stack['StackStatus']}: {stack.get('StackStatusReason')}")
for r in stacks.describe_stack_resources(StackName=STACK)["StackResources"]:
    if "LogicalResourceId" in r:  # a condition may have left it out
        made[r["LogicalResourceId"]] = r.get("PhysicalResourceId")

deployed = {}
for f in functions.list_functions()["Functions"]:
    mappings = functions.list_event_source_mappings(FunctionName=f["FunctionName"])["EventSourceMappings"]
    deployed[f["FunctionName"]] = {
        "environment": f["Environment"]["Variables"],
        "sources": [m["EventSourceArn"] for m in mappings],
    }
    for m in mappings:  # moto would take the messages and look for a container engine to run the function in
        functions.delete_event_source_mapping(UUID=m["UUID"])
for rule in events.list_rules()["Rules"]:
    if "ScheduleExpression" in rule:  # moto would run the function for every event there is
        events.disable_rule(Name=rule["Name"])
        targets = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        events.remove_targets(Rule=rule["Name"], Ids=[t["Id"] for t in targets])
json.dump(
    {
        "missing": sorted(resources.keys() - made.keys()),
        "outputs": {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]},
        "functions": {name: deployed[made[name]] for name in made if made[name] in deployed},
    },
    sys.stdout,
    indent=1,
)
