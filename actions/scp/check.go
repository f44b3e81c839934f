package scp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// scpLimit is AWS's limit on an SCP, white space included; our uploads have none. In
// practice AWS counts bytes.
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html#min-max-values
const scpLimit = 10240

// CheckSCP validates a document for attachment and returns its compact form for the
// upload. It refuses documents that AWS would refuse, that would lock the member roles
// out, or that would deny nothing.
func CheckSCP(o actions.Org, document string) (text string, no *actions.Refusal) {
	text, _, no = readSCP(o, document)
	return text, no
}

// readSCP is CheckSCP that also returns the exempt principals.
func readSCP(o actions.Org, document string) (text string, spared []string, no *actions.Refusal) {
	const syntax = "https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_syntax.html"
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(document)); err != nil || !utf8.ValidString(document) {
		return "", nil, &actions.Refusal{Reason: "the document is not JSON", Hint: "write a service control policy: " + syntax}
	}
	text = b.String()
	if n := len(text); n > scpLimit {
		return "", nil, &actions.Refusal{Reason: fmt.Sprintf("the document has %d bytes without white space, the limit is %d", n, scpLimit), Hint: "shorten it: wildcards in actions help"}
	}
	root, err := deny.ReadJSON(text)
	if err != nil {
		return "", nil, &actions.Refusal{Reason: "the document " + err.Error(), Hint: "keep one of them"}
	}
	d, ok := root.(map[string]any)
	if !ok || !deny.OnlyKeys(d, "Version", "Id", "Statement") || d["Version"] != "2012-10-17" {
		return "", nil, &actions.Refusal{Reason: `the document is not a policy: it has "Version": "2012-10-17", "Statement" and nothing else`, Hint: syntax}
	}
	statements, isList := d["Statement"].([]any)
	if !isList {
		statements = []any{d["Statement"]}
	}
	if len(statements) == 0 {
		return "", nil, &actions.Refusal{Reason: "the document has no statement", Hint: syntax}
	}
	for i, raw := range statements {
		s, _ := raw.(map[string]any)
		where := fmt.Sprintf("statement %d", i+1)
		if sid, _ := s["Sid"].(string); sid != "" {
			where += " (" + actions.Clip(sid) + ")"
		}
		more, no := readDeny(o, s)
		if no != nil {
			return "", nil, &actions.Refusal{Reason: where + " " + no.Reason, Hint: no.Hint}
		}
		spared = append(spared, more...)
	}
	slices.Sort(spared)
	return text, slices.Compact(spared), nil
}

// actionPattern is the form of an action in a policy.
var actionPattern = actions.NewPattern(`^(\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$`)

// readDeny reads one statement. It must deny, and exempt the member roles.
func readDeny(o actions.Org, s map[string]any) (spared []string, no *actions.Refusal) {
	const element = "has a Deny with Action or NotAction, Resource or NotResource, and Condition"
	if !deny.OnlyKeys(s, "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition") {
		return nil, &actions.Refusal{Reason: "has an element that a service control policy does not", Hint: "each statement " + element}
	}
	switch s["Effect"] {
	case "Deny":
	case "Allow":
		return nil, &actions.Refusal{Reason: "allows, and a freeze only denies: an Allow does not lift a Deny beside it, it only looks as if", Hint: "name what stays allowed in the NotAction of a Deny"}
	default:
		return nil, &actions.Refusal{Reason: "has no Effect Deny", Hint: "each statement " + element}
	}
	acts, ok1 := oneList(s, "Action", "NotAction")
	_, ok2 := oneList(s, "Resource", "NotResource")
	if !ok1 || !ok2 {
		return nil, &actions.Refusal{Reason: "does not say which actions and resources", Hint: "each statement " + element}
	}
	for _, a := range acts {
		if !actionPattern.MatchString(a) {
			return nil, &actions.Refusal{Reason: fmt.Sprintf("has the action %q", actions.Clip(a)), Hint: "write service:Action; the service has no wildcard"}
		}
	}
	if ps, ok := deny.Strings(s["NotAction"]); ok && slices.Contains(ps, "*") {
		return nil, &actions.Refusal{Reason: "denies all but every action (NotAction *): it would stop nothing", Hint: "name in NotAction what stays allowed, or write Action"}
	}
	if ps, ok := deny.Strings(s["NotResource"]); ok && exemptsAll(o, ps) {
		return nil, &actions.Refusal{Reason: "denies on all but every resource (NotResource " + actions.Clip(strings.Join(ps, ", ")) + "): it would stop nothing", Hint: "name in NotResource what stays reachable, or write Resource"}
	}
	lock := &actions.Refusal{Reason: "does not exempt the roles " + o.ResponderRole + " and " + o.RestorerRole + " in every account: it would lock Killswitch out",
		Hint: "add the condition " + lockoutCondition(o)}
	if s["Condition"] == nil {
		return nil, lock
	}
	tests, no := principalTests(s["Condition"])
	if no != nil {
		return nil, no
	}
	role := func(name string) string { return actions.RoleARN(o.Partition, anyAccount, "/", name) }
	for _, name := range []string{o.ResponderRole, o.RestorerRole} {
		if !slices.ContainsFunc(tests, func(t principalTest) bool { return t.negated && t.matches(role(name)) }) {
			return nil, lock
		}
	}
	for _, ordinary := range []string{role(anyName), actions.RoleARN(o.Partition, anyAccount, "/"+anyName+"/", anyName), "arn:" + o.Partition + ":iam::" + anyAccount + ":user/" + anyName} {
		for _, t := range tests {
			if t.inItsAccount().matches(ordinary) == t.negated {
				return nil, &actions.Refusal{Reason: "exempts every role or every user: it would stop nobody", Hint: "name exactly who is exempt, with * for the account alone"}
			}
		}
	}
	for _, t := range tests {
		if t.negated {
			spared = append(spared, t.patterns...)
		}
	}
	return spared, nil
}

// exemptsAll reports whether resource patterns match every resource: ARNs with region
// and account, with an account only, and with neither.
func exemptsAll(o actions.Org, patterns []string) bool {
	for _, place := range [][2]string{{anyName, anyAccount}, {"", anyAccount}, {"", ""}} {
		arn := []string{"arn", o.Partition, anyName, place[0], place[1], anyName}
		if !slices.ContainsFunc(patterns, func(p string) bool { return covers(p, arn) }) {
			return false
		}
	}
	return true
}

// covers reports whether a resource pattern matches an ARN of six parts. Missing parts
// match anything, and so do variables: the resource's own account is every account.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
func covers(pattern string, arn []string) bool {
	pattern = variable.ReplaceAllString(characters(pattern), "*")
	parts := strings.SplitN(pattern, ":", 6)
	for len(parts) < 6 {
		parts = append(parts, "*")
	}
	return wildcard(pattern, strings.Join(arn, ":")) || slices.EqualFunc(parts, arn, wildcard)
}

var variable = actions.NewPattern(`\$\{[^}]*\}`)

func lockoutCondition(o actions.Org) string {
	b, err := json.Marshal(map[string]any{"ArnNotLike": map[string]any{"aws:PrincipalArn": exemptARNs(actions.Org{Partition: o.Partition, ResponderRole: o.ResponderRole, RestorerRole: o.RestorerRole})}})
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(b)
}

// A principal that only wildcards match. Its name has the maximum length, so that a
// series of ? does not match it as * does.
var (
	anyAccount = strings.Repeat("\x04", 12)
	anyName    = strings.Repeat("\x05", 64)
)

// principalTest is one condition on aws:PrincipalArn.
type principalTest struct {
	negated, arn, wild bool
	patterns           []string
}

// principalTests returns a statement's conditions on aws:PrincipalArn. It refuses
// conditions that can't be evaluated here.
func principalTests(condition any) (tests []principalTest, no *actions.Refusal) {
	bad := &actions.Refusal{Reason: "has a condition that can't be read", Hint: `write {"OPERATOR": {"KEY": ["VALUE"]}}`}
	byOperator, ok := condition.(map[string]any)
	if !ok {
		return nil, bad
	}
	for _, op := range slices.Sorted(maps.Keys(byOperator)) {
		byKey, ok := byOperator[op].(map[string]any)
		if !ok {
			return nil, bad
		}
		for key, values := range byKey {
			if !strings.EqualFold(key, "aws:PrincipalArn") {
				continue
			}
			t := principalTest{}
			plain, _ := strings.CutSuffix(strings.ToLower(op), "ifexists")
			t.arn = strings.HasPrefix(plain, "arn")
			t.wild = t.arn || strings.HasSuffix(plain, "like")
			switch plain {
			case "arnlike", "arnequals", "stringlike", "stringequals":
			case "arnnotlike", "arnnotequals", "stringnotlike", "stringnotequals":
				t.negated = true
			default:
				return nil, &actions.Refusal{Reason: fmt.Sprintf("tests aws:PrincipalArn with %s, which can't be checked", actions.Clip(op)), Hint: "use ArnNotLike"}
			}
			if t.patterns, ok = deny.Strings(values); !ok {
				return nil, bad
			}
			for _, p := range t.patterns {
				if strings.ContainsFunc(p, unicode.IsControl) {
					return nil, bad
				}
				if strings.Contains(characters(p), "${") {
					return nil, &actions.Refusal{Reason: fmt.Sprintf("has a variable in %q, which can't be checked", actions.Clip(p)), Hint: "write the ARN out; the account may be *"}
				}
				if t.arn && p != "*" && strings.Count(p, ":") < 5 {
					return nil, &actions.Refusal{Reason: fmt.Sprintf("compares aws:PrincipalArn with %q, which is no ARN", actions.Clip(p)), Hint: "write the ARN out; the account may be *"}
				}
			}
			tests = append(tests, t)
		}
	}
	return tests, nil
}

// characters replaces the supported variables: those of a single character, which no
// tested name has, and the principal's own account.
var characters = func() func(string) string {
	own := regexp.MustCompile(`(?i)\$\{aws:PrincipalAccount\}`)
	single := strings.NewReplacer("${*}", "\x01", "${?}", "\x02", "${$}", "\x03")
	return func(p string) string { return single.Replace(own.ReplaceAllString(p, anyAccount)) }
}()

// matches compares as IAM does: an ARN operator compares the six parts one by
// one, a Like operator knows * and ?.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN
func (t principalTest) matches(arn string) bool {
	return slices.ContainsFunc(t.patterns, func(p string) bool {
		p = characters(p)
		switch {
		case !t.wild:
			return p == arn
		case !t.arn || p == "*":
			return wildcard(p, arn)
		}
		return slices.EqualFunc(strings.SplitN(p, ":", 6), strings.SplitN(arn, ":", 6), wildcard)
	})
}

// inItsAccount returns the test within the account of its pattern: an exemption of
// every role of one account stops nobody there.
func (t principalTest) inItsAccount() principalTest {
	t.patterns = slices.Clone(t.patterns)
	for i, p := range t.patterns {
		if parts := strings.SplitN(characters(p), ":", 6); len(parts) == 6 {
			parts[4] = "*"
			t.patterns[i] = strings.Join(parts, ":")
		}
	}
	return t
}

// wildcard matches * with any characters and ? with one.
func wildcard(pattern, s string) bool {
	star, from := -1, 0 // where the last * is, and how far it reaches
	i := 0
	for j := 0; j < len(s); {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, from = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == s[j]):
			i, j = i+1, j+1
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}

// oneList returns the list of the one key of two that is present.
func oneList(m map[string]any, key, other string) ([]string, bool) {
	_, has := m[key]
	if _, both := m[other]; has == both {
		return nil, false
	}
	if !has {
		key = other
	}
	return deny.Strings(m[key])
}
