package actions

import (
	"fmt"
	"strings"
)

// accountARN is the ARN of an account in Organizations or IAM.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsorganizations.html
var accountARN = NewPattern(`^arn:(aws|aws-us-gov|aws-cn):(?:organizations::[0-9]{12}:account/o-[a-z0-9]{10,32}/([0-9]{12})|iam::([0-9]{12}):root)$`)

// AccountTarget is an account: its ID, its alias, or its ARN.
var AccountTarget = TargetKind{Forms: "an account: its ID or alias", Read: accountTarget, Options: []string{"account"}}

func accountTarget(t TargetText, m *ParseErrors) Target {
	acct := t.AccountReader(m)
	const hint = "give the account's ID or alias"
	switch text := t.Text; {
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
