package actions

import (
	"fmt"
	"strings"
)

// accountARN is the ARN of an account in Organizations or IAM.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsorganizations.html
var accountARN = NewPattern(`^arn:(aws|aws-us-gov|aws-cn):(?:organizations::[0-9]{12}:account/o-[a-z0-9]{10,32}/([0-9]{12})|iam::([0-9]{12}):root)$`)

// unitID is an organizational unit, or the root of the organization, which has all accounts in it.
// https://docs.aws.amazon.com/organizations/latest/APIReference/API_DescribeOrganizationalUnit.html
var (
	unitID  = NewPattern(`^(ou-[0-9a-z]{4,32}-[a-z0-9]{8,32}|r-[0-9a-z]{4,32})$`)
	unitARN = NewPattern(`^arn:(aws|aws-us-gov|aws-cn):organizations::[0-9]{12}:(?:ou|root)/o-[a-z0-9]{10,32}/(ou-[0-9a-z]{4,32}-[a-z0-9]{8,32}|r-[0-9a-z]{4,32})$`)
)

// AccountTarget is an account: its ID, its alias, or its ARN; or all accounts of an organizational
// unit, or of the organization.
var AccountTarget = TargetKind{Forms: "an account: its ID or alias; or every account in an organizational unit (ou-…) or below the organization's root (r-…)", Read: accountTarget, Options: []string{"account"}}

func accountTarget(t TargetText, m *ParseErrors) Target {
	acct := t.AccountReader(m)
	const hint = "give the account's ID or alias, or ou-… or r-…"
	_, account := t.Directory.Account(t.Text)
	switch text := t.Text; {
	case account:
		acct.Resolve(text)
	case unitID.MatchString(strings.ToLower(text)):
		return unitTarget(t, strings.ToLower(text), m)
	case unitARN.MatchString(text):
		g := unitARN.FindStringSubmatch(text)
		if !acct.CheckPartition(g[1]) {
			return Target{}
		}
		return unitTarget(t, g[2], m)
	case strings.HasPrefix(strings.ToLower(text), "ou-"):
		m.Add("target", fmt.Sprintf("%q is not the ID of an organizational unit", Clip(text)), "give it as Organizations shows it: ou-, the root's part, - and eight characters or more")
		return Target{}
	case text == "" && acct.ID != "":
	case text == "":
		m.Add("target", "is missing", hint)
		return Target{}
	case accountARN.MatchString(text):
		g := accountARN.FindStringSubmatch(text)
		acct.Set(g[2]+g[3], "the target")
		if !acct.CheckPartition(g[1]) {
			return Target{}
		}
	case strings.HasPrefix(text, "arn:"), strings.Contains(text, "/"):
		m.Add("target", fmt.Sprintf("%s is not an account", Clip(text)), hint)
		return Target{}
	default:
		if !acct.Resolve(text) {
			return Target{}
		}
	}
	return Target{Name: acct.ID, Account: acct.ID}
}

// unitTarget is in no account of its own: the call is about the organization.
func unitTarget(t TargetText, unit string, m *ParseErrors) Target {
	t.refuseAccount("a unit of the organization, which has many", m)
	return Target{Name: unit, Account: t.Directory.Organization}
}

// RootARN returns the ARN of an account as a principal.
func RootARN(partition, account string) string {
	return "arn:" + partition + ":iam::" + account + ":root"
}

// AllRoles is the role name that means every role of an account, in any case.
const AllRoles = "ALL"

// RolesTarget is one role, or ACCOUNT/ALL.
var RolesTarget = TargetKind{Forms: "a role: its ARN, or ACCOUNT/NAME; ACCOUNT/ALL is every role of an account", Read: rolesTarget, Options: []string{"account", "role"}}

func rolesTarget(t TargetText, m *ParseErrors) Target {
	account, rest, _ := strings.Cut(t.Text, "/")
	acct := t.AccountReader(m)
	switch _, isAccount := t.Directory.Account(t.Text); {
	case strings.EqualFold(rest, AllRoles) && !strings.HasPrefix(t.Text, "arn:"):
		if !acct.Resolve(account) {
			return Target{}
		}
	case rest == "*":
		m.Suggest("target", "takes no *", "ACCOUNT/"+AllRoles+" is every role of an account", account+"/"+AllRoles)
		return Target{}
	case isAccount && strings.EqualFold(t.Options["role"], AllRoles):
		acct.Resolve(t.Text)
	case strings.EqualFold(t.Text, AllRoles):
		if !acct.Require("say ACCOUNT/ALL") {
			return Target{}
		}
	default:
		return RoleTarget.Read(t, m)
	}
	return Target{Name: acct.ID + "/" + AllRoles, Account: acct.ID}
}

// WholeAccount reports whether a call is about all roles of an account. The target
// of a single role that is named so is an ARN.
func WholeAccount(c Call) bool { return c.Target == c.Account+"/"+AllRoles }
