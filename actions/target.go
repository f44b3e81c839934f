package actions

import (
	"fmt"
	"regexp"
	"strings"
)

// TargetText is a target as typed, with what else on the line bears on it.
type TargetText struct {
	Text      string
	Account   string            // from account=, resolved; may be empty
	Options   map[string]string // all options as typed
	Directory Directory
}

var (
	accountID = regexp.MustCompile(`^[0-9]{12}$`)
	// roleARN: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
	roleARN        = regexp.MustCompile(`^arn:(aws|aws-us-gov|aws-cn):iam::([0-9]{12}):role/((?:[\x21-\x2e\x30-\x7e]+/)*)([\w+=,.@-]{1,64})$`)
	assumedRoleARN = regexp.MustCompile(`^arn:(aws|aws-us-gov|aws-cn):sts::([0-9]{12}):assumed-role/([\w+=,.@-]{1,64})/[\w+=,.@-]{2,64}$`)
	roleName       = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
)

// RoleARN writes a role's ARN; path begins and ends with a slash.
func RoleARN(partition, account, path, name string) string {
	return fmt.Sprintf("arn:%s:iam::%s:role%s%s", partition, account, path, name)
}

// SplitRoleARN takes a role's ARN apart; path begins and ends with a slash.
func SplitRoleARN(arn string) (partition, account, path, name string, ok bool) {
	g := roleARN.FindStringSubmatch(arn)
	if g == nil {
		return "", "", "", "", false
	}
	return g[1], g[2], "/" + g[3], g[4], true
}

// roleTarget reads a role: its ARN, the ARN of one of its sessions, ACCOUNT/NAME,
// NAME with account=, or an account with role=.
func roleTarget(t TargetText, m *Mistakes) (target, account string) {
	partition, path, name := t.Directory.Partition, "/", ""
	account = t.Account
	setAccount := func(id, from string) {
		if account != "" && account != id {
			m.add("account", fmt.Sprintf("%s does not match %s", account, from), "leave account= out, or correct one of them")
		}
		account = id
	}
	const hint = "give the role's ARN, ACCOUNT/NAME, or NAME account=ACCOUNT"
	switch text := t.Text; {
	case text == "":
		m.add("target", "is missing", hint)
		return "", ""
	case roleARN.MatchString(text):
		g := roleARN.FindStringSubmatch(text)
		partition, path, name = g[1], "/"+g[3], g[4]
		setAccount(g[2], "the target's account "+g[2])
	case assumedRoleARN.MatchString(text):
		g := assumedRoleARN.FindStringSubmatch(text)
		partition, name = g[1], g[3]
		setAccount(g[2], "the target's account "+g[2])
	case strings.HasPrefix(text, "arn:"):
		m.add("target", fmt.Sprintf("%s is not a role's ARN", clip(text)), arnHint(text, hint))
		return "", ""
	case strings.Count(text, "/") == 1:
		acct, rest, _ := strings.Cut(text, "/")
		id, ok := t.Directory.Account(acct)
		if !ok {
			m.add("target", fmt.Sprintf("%q is neither an account ID nor a known alias", clip(acct)), t.Directory.aliasHint())
			return "", ""
		}
		if rest == "ALL" {
			m.add("target", "revoke_sessions takes one role, not a whole account", "name the role: "+acct+"/ROLE-NAME")
			return "", ""
		}
		name = rest
		setAccount(id, "the target's account "+id)
	default:
		if id, ok := t.Directory.Account(text); ok {
			if t.Options["role"] == "" {
				m.add("target", fmt.Sprintf("%s is an account; which role in it?", clip(text)), hint)
				return "", ""
			}
			name = t.Options["role"]
			setAccount(id, "the target "+text)
			break
		}
		name = text
		if account == "" {
			if t.Options["account"] == "" {
				m.add("account", "is missing: the target alone does not tell in which account", hint)
			}
			return "", ""
		}
	}
	if r := t.Options["role"]; r != "" && r != name {
		m.add("role", fmt.Sprintf("%s does not match the target %s", clip(r), name), "leave role= out")
	}
	if strings.HasSuffix(name, ",") {
		m.add("target", fmt.Sprintf("%s ends in a comma", clip(name)), "leave the comma out; a role that is really called so has to be contained by hand")
		return "", ""
	}
	if !roleName.MatchString(name) {
		m.add("target", fmt.Sprintf("%q is not a role name", clip(name)), hint)
		return "", ""
	}
	if partition != t.Directory.Partition {
		m.add("target", fmt.Sprintf("is in the partition %s; this installation works in %s", partition, t.Directory.Partition), "")
		return "", ""
	}
	return RoleARN(partition, account, path, name), account
}

// arnHint points at what people paste by mistake.
func arnHint(arn, otherwise string) string {
	switch {
	case strings.Contains(arn, ":instance-profile/"):
		return "an instance profile's name is not its role's: give the role that it contains"
	case strings.Contains(arn, ":user/"):
		return "a user has no role sessions; its long-term keys are not touched by revoking sessions"
	}
	return otherwise
}

// clip keeps hostile input from filling a message; AWS's own messages fit.
func clip(s string) string {
	const most = 400
	if rs := []rune(s); len(rs) > most {
		return string(rs[:most]) + "…"
	}
	return s
}
