package actions

import (
	"fmt"
	"strings"
)

// SSOPrefix begins a target that is a person of IAM Identity Center.
const SSOPrefix = "sso:"

// ReservedSSOPath is the path of the roles of permission sets, which AWS alone can make.
const ReservedSSOPath = "/aws-reserved/sso.amazonaws.com/"

// A user's ID in the identity store, and the names of sessions: a user name is the session's name.
// https://docs.aws.amazon.com/singlesignon/latest/IdentityStoreAPIReference/API_User.html
var (
	IdentityStoreID = NewPattern(`^([0-9a-f]{10}-)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	sessionName     = NewPattern(`^[\w+=,.@-]{2,64}$`)
	reservedRole    = NewPattern(`^AWSReservedSSO_[\w+=,.@-]+_[0-9a-f]{16}$`)
	ssoSession      = NewPattern(`^arn:(?:aws|aws-us-gov|aws-cn):sts::[0-9]{12}:assumed-role/AWSReservedSSO_[\w+=,.@-]+/([\w+=,.@-]{2,64})$`)
)

// IsReservedSSO reports whether a role's name is that of a permission set of IAM Identity Center.
// Events have it without the path, which proves it.
func IsReservedSSO(role string) bool { return reservedRole.MatchString(role) }

// SSOUser returns the user name of a session of IAM Identity Center, by its ARN; "" of any other.
func SSOUser(arn string) string {
	if g := ssoSession.FindStringSubmatch(arn); g != nil {
		return g[1]
	}
	return ""
}

// OutsideTarget is a principal that is denied from outside its account: a role, a user, an account's
// root user, or a person of IAM Identity Center.
var OutsideTarget = TargetKind{
	Forms:   "a role or user: its ARN, ACCOUNT/role/NAME or ACCOUNT/user/NAME; ACCOUNT/root, the root user; sso:USERNAME or sso:USER-ID, a person of IAM Identity Center",
	Read:    outsideTarget,
	Options: []string{"account"},
	Name: func(target string) string {
		if account, ok := RootOf(target); ok {
			return "root of " + account
		}
		return LastPart(target)
	},
}

// RootOf returns the account whose root user an ARN is.
func RootOf(arn string) (account string, ok bool) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[5] != "root" {
		return "", false
	}
	return parts[4], true
}

func outsideTarget(t TargetText, m *ParseErrors) Target {
	const hint = "give a role's or user's ARN, ACCOUNT/root, or sso:USERNAME"
	text := t.Text
	if g := ssoSession.FindStringSubmatch(text); g != nil {
		m.Suggest("target", "is a session of IAM Identity Center: its person is denied", "say "+SSOPrefix+g[1], SSOPrefix+g[1])
		return Target{}
	}
	if len(text) > len(SSOPrefix) && strings.EqualFold(text[:len(SSOPrefix)], SSOPrefix) {
		return ssoTarget(t, text[len(SSOPrefix):], m)
	}
	account, rest, _ := strings.Cut(text, "/")
	acct := t.AccountReader(m)
	switch kind, name, named := strings.Cut(rest, "/"); {
	case strings.HasPrefix(text, "arn:") && strings.HasSuffix(text, ":root"):
		return rootTarget(t, text, m)
	case strings.HasPrefix(text, "arn:"):
		read := RoleTarget.Read
		if strings.Contains(text, ":user/") {
			read = UserTarget.Read
		}
		target := read(t, m)
		if _, _, path, role, ok := SplitRoleARN(target.Name); ok && (IsReservedSSO(role) || strings.HasPrefix(path, ReservedSSOPath)) {
			m.Add("target", fmt.Sprintf("%s is the role of a permission set, which many people enter", role), "name the person: sso:USERNAME, as the session is called")
			return Target{}
		}
		return target
	case strings.EqualFold(rest, "root"):
		if !acct.Resolve(account) {
			return Target{}
		}
		return Target{Name: RootARN(t.Directory.Partition, acct.ID), Account: acct.ID}
	case named && (kind == "role" || kind == "user"):
		if !acct.Resolve(account) {
			return Target{}
		}
		t.Text, t.Account = name, acct.ID
		return principalTarget(t, m, kind)
	case text == "":
		m.Add("target", "is missing", hint)
	case rest != "" && !strings.Contains(rest, "/"):
		m.Add("target", fmt.Sprintf("%s: is it a role or a user?", Clip(text)), fmt.Sprintf("say %s/role/%s, %s/user/%s, or its ARN", account, Clip(rest), account, Clip(rest)))
	default:
		m.Add("target", fmt.Sprintf("%s is no principal", Clip(text)), hint)
	}
	return Target{}
}

func rootTarget(t TargetText, arn string, m *ParseErrors) Target {
	g := accountARN.FindStringSubmatch(arn)
	if g == nil {
		m.Add("target", fmt.Sprintf("%s is not the ARN of a root user", Clip(arn)), "give ACCOUNT/root")
		return Target{}
	}
	acct := t.AccountReader(m)
	acct.Set(g[3], "the target's account "+g[3])
	if !acct.CheckPartition(g[1]) {
		return Target{}
	}
	return Target{Name: arn, Account: acct.ID}
}

// ssoTarget is a person, who is in no account of its own: the call is about the organization.
func ssoTarget(t TargetText, who string, m *ParseErrors) Target {
	t.refuseAccount(SSOPrefix+": a person is denied in every account", m)
	if !sessionName.MatchString(who) {
		m.Add("target", fmt.Sprintf("%q is neither a user name nor a user ID of IAM Identity Center", Clip(who)), "give what stands behind the last / of the session's ARN")
		return Target{}
	}
	if id := strings.ToLower(who); IdentityStoreID.MatchString(id) {
		who = id
	}
	return Target{Name: SSOPrefix + who, Account: t.Directory.Organization}
}
