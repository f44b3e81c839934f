"""Checks the member roles' policies, as members.yaml prints them: members.py TRANSLATED.

Two independent readers: parliament, which knows ways to escalate privileges, and policy_sentry, which knows AWS's Service
Authorization Reference. Each finding that stands is here with its reason; a new one fails, and one that is gone fails too.
"""
import json
import re
import sys
import warnings

warnings.simplefilter("ignore")  # of pkg_resources, which parliament imports
from parliament import analyze_policy_string  # noqa: E402
from policy_sentry.querying.actions import get_action_data, get_actions_with_access_level  # noqa: E402

CONTENT = "a deny is an inline policy, and what was there comes back; IAM can't bound its content (docs/design.md, threat model)"
ESCALATIONS = {
    "ResponderRole member": {"PutUserPolicy": CONTENT, "PutRolePolicy": CONTENT, "AttachUserPolicy": "our two denies alone (iam:PolicyARN), which it does not look at"},
    "RestorerRole member": {"PutUserPolicy": CONTENT, "PutRolePolicy": CONTENT, "AttachRolePolicy": "what was attached comes back, so any (the same)"},
}
# What parliament says beside, and why it may stand.
ACCEPTED = {
    ("MISMATCHED_TYPE_BUT_USABLE", "Type mismatch: StringEquals requires a value of type String but given Arn"): "iam:PermissionsBoundary, as AWS's own examples have it",
    ("RESOURCE_STAR", "['iam:GetAccessKeyLastUsed']"): "whose key it is, is what is asked: its user is not known before",
}
# "Permissions management" of the Service Authorization Reference: all that can change who may do what.
CREDENTIALS = {"iam:UpdateAccessKey", "iam:UpdateSSHPublicKey", "iam:UpdateServiceSpecificCredential", "iam:UpdateSigningCertificate"}  # inactive and, for undo, active
MANAGES = {
    "ResponderRole member": CREDENTIALS | {
        "iam:DeactivateMFADevice", "iam:DeleteAccessKey", "iam:DeleteLoginProfile", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:RemoveRoleFromInstanceProfile",
        "iam:AttachUserPolicy", "iam:PutRolePermissionsBoundary", "iam:PutUserPermissionsBoundary",  # ours alone, by conditions
        "iam:PutRolePolicy", "iam:PutUserPolicy",
        "iam:PassRole",  # the isolation role, to EC2
    },
    "RestorerRole member": CREDENTIALS | {
        "iam:AddRoleToInstanceProfile", "iam:AttachRolePolicy", "iam:CreateRole", "iam:PassRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy", "iam:PutUserPermissionsBoundary", "iam:PutUserPolicy",  # what was there
        "iam:DeleteRolePermissionsBoundary", "iam:DeleteRolePolicy", "iam:DeleteUserPermissionsBoundary", "iam:DeleteUserPolicy", "iam:DetachUserPolicy",  # ours
    },
}

ANYWHERE = {"iam:GetAccessKeyLastUsed"}  # on "*", though it has a resource type: whose key it is, is what is asked

problems = []


def plain(v):
    """Lists of one as their member: parliament reads no list under Null."""
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, list):
        return plain(v[0]) if len(v) == 1 else [plain(x) for x in v]
    return v


def types(action):
    """The resource types that an action supports, as ARN formats; "*" if it has none."""
    service, name = action.split(":")
    known = get_action_data(service, name)
    if not known:
        problems.append(f"{action} does not exist")
        return None
    return {a["resource_arn_format"] for a in known[service]}


def matches(resource, kind):
    """Whether a resource with wildcards may be of a type: what is literal in both is the same."""
    if "*" in (resource, kind):
        return resource == kind
    ours, theirs = resource.split(":", 5), re.sub(r"\$\{[^}]*\}", "*", kind).split(":", 5)
    heads = [x.split("*")[0] for x in (ours[5], theirs[5])]
    return ours[2] == theirs[2] and (heads[0].startswith(heads[1]) or heads[1].startswith(heads[0]))


def check(name, document):
    # Whoever has the role's session may be somebody else besides, who assumes what it has changed.
    document = {**document, "Statement": document["Statement"] + [{"Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": ["arn:aws:iam::*:role/*"]}]}
    found = analyze_policy_string(json.dumps(plain(document)), include_community_auditors=True)
    escalations = set()
    for f in found.findings:
        if f.issue == "PRIVILEGE_ESCALATION":
            escalations.add(f.location["type"])
        elif f.issue in ("RESOURCE_MISMATCH", "PERMISSIONS_MANAGEMENT_ACTIONS"):
            pass  # it wants all types of an action in one statement, and has older lists; both are checked below
        elif f.issue == "CREDENTIALS_EXPOSURE" and set(f.location["actions"]) <= {"sts:assumerole", "iam:updateaccesskey"}:
            pass  # the one added above; the other returns no credentials
        elif (f.issue, str(f.detail)) in ACCEPTED:
            seen.add((f.issue, str(f.detail)))
        else:
            problems.append(f"{name}: {f.issue}: {f.detail} {f.location}")
    exactly(name, "escalates by", escalations, ESCALATIONS.get(name, {}))
    manages = set()
    for s in document["Statement"]:
        if s["Effect"] != "Allow":
            continue
        used = set()
        for action in s["Action"]:
            kinds = types(action)
            if kinds is None:
                continue
            on = {r for r in s["Resource"] if any(matches(r, k) for k in kinds) or r == "*" and action in ANYWHERE}
            if not on:
                problems.append(f"{name}: {action} on {s['Resource']}, it supports {sorted(kinds)}")
            used |= on
            service, verb = action.split(":")
            if action in get_actions_with_access_level(service, "Permissions management"):
                manages.add(action)
        for r in set(s["Resource"]) - used:
            problems.append(f"{name}: no action of {s['Action']} is on {r}")
    exactly(name, "manages permissions by", manages, MANAGES.get(name, {}))


def exactly(name, what, found, accepted):
    for x in sorted(found - set(accepted)):
        problems.append(f"{name}: {what} {x}")
    for x in sorted(set(accepted) - found):
        problems.append(f"{name}: {what} {x} is accepted but no longer found")


seen = set()
resources = json.load(open(sys.argv[1]))["Resources"]
policies = 0
for r in resources.values():
    if r["Type"] == "AWS::IAM::Policy":
        p = r["Properties"]
        (role,) = p["Roles"]
        check(f"{role['Ref']} {p['PolicyName']}", p["PolicyDocument"])
        policies += 1
for x in sorted(set(ACCEPTED) - seen):
    problems.append(f"{x} is accepted but no longer found")
for p in problems:
    print(f"members: {p}", file=sys.stderr)
print(f"members: {policies} policies, {len(problems)} problems")
sys.exit(1 if problems or policies != 4 else 0)
