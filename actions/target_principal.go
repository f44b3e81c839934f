package actions

import (
	"fmt"
	"strings"
)

// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
var (
	principalARN   = NewPattern(`^arn:(aws|aws-us-gov|aws-cn):iam::([0-9]{12}):(role|user)/((?:[\x21-\x7e]*/)?)([\w+=,.@-]{1,64})$`)
	assumedRoleARN = NewPattern(`^arn:(aws|aws-us-gov|aws-cn):sts::([0-9]{12}):assumed-role/([\w+=,.@-]{1,64})/[\w+=,.@-]{2,64}$`)
	PrincipalName  = NewPattern(`^[\w+=,.@-]{1,64}$`)
	consolePage    = NewPattern(`^https?://\S+/iam/\S*#/(?:roles|users)/(?:details/)?([\w+=,.@-]{1,64})(?:[/?]\S*)?$`)
)

// RoleARN returns a role's ARN; path begins and ends with a slash.
func RoleARN(partition, account, path, name string) string {
	return fmt.Sprintf("arn:%s:iam::%s:role%s%s", partition, account, path, name)
}

// SplitRoleARN splits a role's ARN; path begins and ends with a slash.
func SplitRoleARN(arn string) (partition, account, path, name string, ok bool) {
	return splitPrincipal(arn, "role")
}

// SplitUserARN splits an IAM user's ARN.
func SplitUserARN(arn string) (partition, account, path, name string, ok bool) {
	return splitPrincipal(arn, "user")
}

func splitPrincipal(arn, kind string) (partition, account, path, name string, ok bool) {
	g := principalARN.FindStringSubmatch(arn)
	if g == nil || g[3] != kind {
		return "", "", "", "", false
	}
	return g[1], g[2], "/" + g[4], g[5], true
}

// RoleOf returns the role that an ARN is of: its own, or that of one of its sessions.
func RoleOf(arn string) (account, name string, ok bool) {
	if g := assumedRoleARN.FindStringSubmatch(arn); g != nil {
		return g[2], g[3], true
	}
	_, account, _, name, ok = SplitRoleARN(arn)
	return account, name, ok
}

// RoleTarget and UserTarget are one role and one IAM user.
var (
	RoleTarget = principalKind("role")
	UserTarget = principalKind("user")
)

func principalKind(kind string) TargetKind {
	read := func(t TargetText, m *ParseErrors) Target { return principalTarget(t, m, kind) }
	return TargetKind{Forms: "a " + kind + ": its ARN, or ACCOUNT/NAME", Read: read, Options: []string{"account", kind}}
}

// principalTarget reads a role or a user: its ARN, the ARN of one of a role's
// sessions, ACCOUNT/NAME, NAME with account=, or an account with role= or user=.
func principalTarget(t TargetText, m *ParseErrors, kind string) Target {
	partition, path, name := t.Directory.Partition, "/", ""
	acct := t.AccountReader(m)
	hint := fmt.Sprintf("give the %s's ARN, ACCOUNT/NAME, or NAME account=ACCOUNT", kind)
	text := t.Text
	if _, isAccount := t.Directory.Account(kind); !isAccount {
		text = strings.TrimPrefix(text, kind+"/") // as the console and ARNs write names
	}
	switch id := strings.ToUpper(text); {
	case text == "":
		m.Add("target", "is missing", hint)
		return Target{}
	case KeyID.MatchString(id):
		x := Mistake{Field: "target", Problem: fmt.Sprintf("%s is an access key, not a %s", id, kind),
			Hint: fmt.Sprintf("give the %s that it belongs to: CloudTrail names it beside the key", kind)}
		if strings.HasPrefix(id, "AKIA") {
			x.Hint, x.action = "deactivate_key contains a key, and with quarantine=yes its user, too", DeactivateKey
		}
		m.List = append(m.List, x)
		return Target{}
	case consolePage.MatchString(text):
		m.Suggest("target", "is a page of the console", hint, consolePage.FindStringSubmatch(text)[1])
		if acct.ID == "" {
			m.Add("account", "is missing: the page's address does not tell in which account", hint)
		}
		return Target{}
	case kind == "role" && assumedRoleARN.MatchString(text):
		g := assumedRoleARN.FindStringSubmatch(text)
		partition, name = g[1], g[3]
		acct.Set(g[2], "the target's account "+g[2])
	case strings.HasPrefix(text, "arn:"):
		p, account, dir, last, ok := splitPrincipal(text, kind)
		if !ok {
			action, other := arnHint(text, kind, hint)
			m.List = append(m.List, Mistake{Field: "target", Problem: fmt.Sprintf("%s is not a %s's ARN", Clip(text), kind), Hint: other, action: action})
			return Target{}
		}
		partition, path, name = p, dir, last
		acct.Set(account, "the target's account "+account)
	case strings.Count(text, "/") == 1:
		account, rest, _ := strings.Cut(text, "/")
		if !acct.Resolve(account) {
			return Target{}
		}
		if strings.EqualFold(rest, AllRoles) {
			m.Add("target", fmt.Sprintf("takes one %s here, not a whole account", kind),
				fmt.Sprintf("name it: %s/%s-NAME", account, strings.ToUpper(kind)))
			return Target{}
		}
		name = rest
	default:
		if id, ok := t.Directory.Account(text); ok {
			if t.Options[kind] == "" {
				m.Suggest("target", fmt.Sprintf("%s is an account; which %s in it?", Clip(text), kind), hint, text+"/"+Missing)
				return Target{}
			}
			name = t.Options[kind]
			acct.Set(id, "the target "+text)
			break
		}
		name = text
		if !acct.Require(hint) {
			return Target{}
		}
	}
	if other := t.Options[kind]; other != "" && other != name {
		m.Add(kind, fmt.Sprintf("%s does not match the target %s", Clip(other), name), fmt.Sprintf("leave %s= out", kind))
	}
	if strings.HasSuffix(name, ",") {
		m.Add("target", fmt.Sprintf("%s ends in a comma", Clip(name)),
			fmt.Sprintf("leave the comma out; a %s that is really called so has to be contained by hand", kind))
		return Target{}
	}
	if !PrincipalName.MatchString(name) {
		m.Add("target", fmt.Sprintf("%q is not a %s name", Clip(name), kind), hint)
		return Target{}
	}
	if !acct.CheckPartition(partition) {
		return Target{}
	}
	return Target{Name: fmt.Sprintf("arn:%s:iam::%s:%s%s%s", partition, acct.ID, kind, path, name), Account: acct.ID}
}

// RootByHand is what people can do about a root user's credentials. "AssumeRoot": the management
// account, or the delegated administrator of IAM, deletes them in a member account.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_root-user-privileged-task.html
const RootByHand = "deny_principal ACCOUNT/root denies the root user of a member account, apply_scp freezes the account with it; delete its keys, password and MFA devices from the management account (sts:AssumeRoot, root-task/IAMDeleteRootUserCredentials), or before either of them signed in as root"

// arnHint returns a hint for ARNs that are often pasted by mistake, and the action that
// takes such a target, if there is one.
func arnHint(arn, kind, otherwise string) (instead Name, hint string) {
	switch {
	case strings.Contains(arn, ":instance-profile/"):
		return "", "an instance profile's name is not its role's: give the role that it contains"
	case kind == "role" && strings.Contains(arn, ":user/"):
		return QuarantineUser, "a user has no role sessions: quarantine_user contains a user"
	case kind == "user" && strings.Contains(arn, "role/"):
		return RevokeSessions, "a role's sessions are contained by revoke_sessions"
	case strings.HasSuffix(arn, ":root"):
		return DenyPrincipal, "deny_principal denies a member account's root user; apply_scp freezes the account with it"
	}
	return "", otherwise
}
