package awsfake

import (
	"slices"
	"strings"
	"time"
)

// contextKeys are the request's condition keys, lower-case ("Condition key names
// are not case-sensitive": IAM JSON policy elements: Condition).
type contextKeys map[string][]string

func (k contextKeys) set(name string, v ...string) { k[strings.ToLower(name)] = v }
func (k contextKeys) add(name string, v ...string) {
	k[strings.ToLower(name)] = append(k[strings.ToLower(name)], v...)
}

// A query is what policies are asked.
type query struct {
	action, resource string
	keys             contextKeys
}

// A layer is one kind of policy; all layers must allow and none may deny:
// "Policy evaluation logic" (IAM User Guide).
type layer struct {
	kind     string // with its article, as AWS's messages have it
	policies []*policy
}

// decide returns "" for yes, else the reason as AWS words it: "Troubleshoot access
// denied error messages" (IAM User Guide). Where several layers deny, AWS names one.
func decide(layers []layer, q query) string {
	for _, l := range layers {
		if slices.ContainsFunc(l.policies, func(p *policy) bool { return p.has("Deny", q) }) {
			return "with an explicit deny in " + l.kind
		}
	}
	for _, l := range layers {
		if !slices.ContainsFunc(l.policies, func(p *policy) bool { return p.has("Allow", q) }) {
			_, noun, _ := strings.Cut(l.kind, " ")
			return "because no " + noun + " allows the " + q.action + " action"
		}
	}
	return ""
}

func (p *policy) has(effect string, q query) bool {
	return slices.ContainsFunc(p.Statement, func(s statement) bool {
		return s.Effect == effect && s.covers(q) && s.holds(q)
	})
}

// literals are the three policy variables that stand for a character, and
// characters the same in what they are compared with. "IAM policy elements:
// Variables and tags", Using wildcards and variables as text (IAM User Guide).
var (
	literals   = strings.NewReplacer("${*}", "\x01", "${?}", "\x02", "${$}", "\x03")
	characters = strings.NewReplacer("*", "\x01", "?", "\x02", "$", "\x03")
)

// Covers reports whether a resource of a policy stands for an ARN.
func Covers(pattern, arn string) bool {
	return (&statement{Resource: words{pattern}}).covers(query{resource: arn})
}

// covers looks at action and resource; trust policies have no resource.
func (s *statement) covers(q query) bool {
	action := func(p string) bool { return globFold(p, q.action) }
	resource := func(p string) bool {
		p = literals.Replace(p)
		if strings.Contains(p, "${") { // other policy variables aren't modelled: fail closed
			return s.Effect == "Deny"
		}
		return glob(p, characters.Replace(q.resource))
	}
	if len(s.Action) > 0 && !slices.ContainsFunc(s.Action, action) || slices.ContainsFunc(s.NotAction, action) {
		return false
	}
	if len(s.Resource) > 0 && !slices.ContainsFunc(s.Resource, resource) {
		return false
	}
	return !slices.ContainsFunc(s.NotResource, func(p string) bool {
		return glob(p, q.resource) || strings.Contains(p, "${") && s.Effect == "Allow"
	})
}

// holds evaluates the conditions, all of which must. What isn't modelled counts
// against the caller: a Deny applies, an Allow doesn't.
func (s *statement) holds(q query) bool {
	for op, byKey := range s.Condition {
		for key, want := range byKey {
			if v := condition(op, key, want, q.keys); v == no || v == unknown && s.Effect == "Allow" {
				return false
			}
		}
	}
	return true
}

type verdict int

const (
	no verdict = iota
	yes
	unknown
)

// modelled are the condition keys that this cloud fills in (or knows to be
// absent): "AWS global condition context keys" and "IAM and AWS STS condition
// context keys" (IAM User Guide). Those that end in "/" are prefixes.
var modelled = []string{
	"aws:currenttime", "aws:epochtime", "aws:principalaccount", "aws:principalarn", "aws:principaltag/", "aws:principaltype",
	"aws:requesttag/", "aws:resourceaccount", "aws:resourcetag/", "aws:sourceidentity", "aws:tagkeys", "aws:tokenissuetime", "aws:userid",
	"ec2:createaction", "ec2:instanceprofile", "ec2:newinstanceprofile", "ec2:sourceinstancearn", "iam:passedtoservice", "iam:permissionsboundary", "iam:policyarn", "iam:resourcetag/",
	"aws:assumedroot", "aws:principalorgid", "aws:resourceorgid", "identitystore:userid", "kms:granteeprincipal", "kms:grantisforawsresource", "s3:x-amz-server-side-encryption-customer-algorithm",
	"sts:externalid", "sts:rolesessionname", "sts:sourceidentity", "sts:transitivetagkeys",
}

func isModelled(key string) bool {
	return slices.ContainsFunc(modelled, func(m string) bool { return key == m || strings.HasSuffix(m, "/") && strings.HasPrefix(key, m) })
}

// comparisons by lower-case operator: "IAM JSON policy elements: Condition
// operators". Each says whether it matched and whether it could be evaluated.
var comparisons = map[string]func(have, want string) (matched, valid bool){
	"stringequals":           func(h, w string) (bool, bool) { return h == w, true },
	"stringequalsignorecase": func(h, w string) (bool, bool) { return strings.EqualFold(h, w), true },
	"stringlike":             func(h, w string) (bool, bool) { return glob(w, h), true },
	"arnlike":                func(h, w string) (bool, bool) { return arnLike(w, h), true },
	"arnequals":              func(h, w string) (bool, bool) { return arnLike(w, h), true }, // "ArnEquals and ArnLike behave identically"
	"bool":                   func(h, w string) (bool, bool) { return strings.EqualFold(h, w), true },
	"dateequals":             dates(func(c int) bool { return c == 0 }),
	"datelessthan":           dates(func(c int) bool { return c < 0 }),
	"datelessthanequals":     dates(func(c int) bool { return c <= 0 }),
	"dategreaterthan":        dates(func(c int) bool { return c > 0 }),
	"dategreaterthanequals":  dates(func(c int) bool { return c >= 0 }),
}

// negations are the operators that hold when their opposite doesn't.
var negations = map[string]string{
	"stringnotequals":           "stringequals",
	"stringnotequalsignorecase": "stringequalsignorecase",
	"stringnotlike":             "stringlike",
	"arnnotlike":                "arnlike",
	"arnnotequals":              "arnequals",
	"datenotequals":             "dateequals",
}

func condition(op, key string, want []string, keys contextKeys) verdict {
	op, key = strings.ToLower(op), strings.ToLower(key)
	want = withVariables(want, keys)
	if !isModelled(key) || slices.ContainsFunc(want, func(w string) bool { return strings.Contains(w, "${") }) {
		return unknown
	}
	// "Conditions with multiple context keys or values": the set operators.
	set, plain, isSet := strings.Cut(op, ":")
	if isSet {
		op = plain
	}
	op, ifExists := strings.CutSuffix(op, "ifexists")
	have, present := keys[key]
	if op == "null" {
		return truth(len(want) == 1 && (want[0] == "true") == !present)
	}
	negated := false
	if opposite, ok := negations[op]; ok {
		op, negated = opposite, true
	}
	compare, ok := comparisons[op]
	if !ok || isSet && set != "foranyvalue" && set != "forallvalues" {
		return unknown
	}
	if !present { // "If the key is not present in the request context, the values do not match"; negated operators then hold
		return truth(ifExists || set == "forallvalues" || negated && set != "foranyvalue")
	}
	invalid := false
	one := func(h string) bool {
		return slices.ContainsFunc(want, func(w string) bool {
			matched, valid := compare(h, w)
			invalid = invalid || !valid
			return matched
		}) != negated
	}
	var held bool
	if set == "forallvalues" || !isSet && negated {
		held = !slices.ContainsFunc(have, func(h string) bool { return !one(h) })
	} else {
		held = slices.ContainsFunc(have, one)
	}
	if invalid {
		return unknown
	}
	return truth(held)
}

// variables are the policy variables that this cloud knows the values of, by their spelling.
// "IAM policy elements: Variables and tags" (IAM User Guide).
var variables = map[string]string{"${aws:PrincipalAccount}": "aws:principalaccount", "${aws:PrincipalOrgID}": "aws:principalorgid"}

// withVariables puts values in the place of variables; where a key is absent, its variable stays.
func withVariables(want []string, keys contextKeys) []string {
	out := slices.Clone(want)
	for i := range out {
		for name, key := range variables {
			if v := keys[key]; len(v) == 1 {
				out[i] = strings.ReplaceAll(out[i], name, v[0])
			}
		}
	}
	return out
}

func truth(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// arnLike compares each of the six components on its own ("ARN condition operators").
func arnLike(pattern, arn string) bool {
	if pattern == "*" {
		return true
	}
	p, a := strings.SplitN(pattern, ":", 6), strings.SplitN(arn, ":", 6)
	return len(p) == 6 && slices.EqualFunc(p, a, glob)
}

// dates compares ISO 8601 times or epoch seconds ("Date condition operators").
func dates(holds func(int) bool) func(have, want string) (bool, bool) {
	return func(have, want string) (bool, bool) {
		h, ok1 := parseDate(have)
		w, ok2 := parseDate(want)
		return ok1 && ok2 && holds(h.Compare(w)), ok1 && ok2
	}
}

func parseDate(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	var sec int64
	for _, r := range s {
		if r < '0' || r > '9' || len(s) > 12 {
			return time.Time{}, false
		}
		sec = sec*10 + int64(r-'0')
	}
	return time.Unix(sec, 0), s != ""
}
