package actions

import (
	"fmt"
	"strings"
)

// accountARN is an account as Organizations or IAM name it.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsorganizations.html
var accountARN = NewPattern(`^arn:(aws|aws-us-gov|aws-cn):(?:organizations::[0-9]{12}:account/o-[a-z0-9]{10,32}/([0-9]{12})|iam::([0-9]{12}):root)$`)

// AccountTarget is an account: its ID, its alias, or its ARN.
var AccountTarget = TargetKind{Read: accountTarget, Options: []string{"account"}}

func accountTarget(t TargetText, m *ParseErrors) Target {
	at := t.place(m)
	const hint = "give the account's ID or alias"
	switch text := t.Text; {
	case text == "" && at.id != "":
	case text == "":
		m.Add("target", "is missing", hint)
		return Target{}
	case accountARN.MatchString(text):
		g := accountARN.FindStringSubmatch(text)
		at.is(g[2]+g[3], "the target")
		if !at.partition(g[1]) {
			return Target{}
		}
	case strings.HasPrefix(text, "arn:"), strings.Contains(text, "/"):
		m.Add("target", fmt.Sprintf("%s is not an account", Clip(text)), hint)
		return Target{}
	default:
		if !at.named(text) {
			return Target{}
		}
	}
	return Target{Name: at.id, Account: at.id}
}

// RootARN writes the ARN that stands for an account as a principal.
func RootARN(partition, account string) string {
	return "arn:" + partition + ":iam::" + account + ":root"
}

// AllRoles is the name that stands for every role of an account.
const AllRoles = "ALL"

// RolesTarget is one role, or ACCOUNT/ALL.
var RolesTarget = TargetKind{Read: rolesTarget, Options: []string{"account", "role"}}

func rolesTarget(t TargetText, m *ParseErrors) Target {
	account, rest, _ := strings.Cut(t.Text, "/")
	at := t.place(m)
	switch _, isAccount := t.Directory.Account(t.Text); {
	case rest == AllRoles && !strings.HasPrefix(t.Text, "arn:"):
		if !at.named(account) {
			return Target{}
		}
	case isAccount && t.Options["role"] == AllRoles:
		at.named(t.Text)
	case t.Text == AllRoles:
		if !at.known("say ACCOUNT/ALL") {
			return Target{}
		}
	default:
		return RoleTarget.Read(t, m)
	}
	return Target{Name: at.id + "/" + AllRoles, Account: at.id}
}

// WholeAccount reports whether a call is about all roles of an account. A role
// may be called ALL: it has an ARN.
func WholeAccount(c Call) bool { return c.Target == c.Account+"/"+AllRoles }
