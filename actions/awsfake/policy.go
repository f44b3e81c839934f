package awsfake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// The kinds of documents, which differ in what a statement may hold.
type policyKind int

const (
	identityPolicy policyKind = iota
	trustPolicy
	delegationPolicy // of an organization
	bucketPolicy
)

// policy is a parsed document: "IAM JSON policy elements reference" and
// "Grammar of the IAM JSON policy language" (IAM User Guide).
type policy struct {
	Version   string     `json:"Version"`
	ID        string     `json:"Id"`
	Statement statements `json:"Statement"`
}

type statements []statement

type statement struct {
	Sid          string                       `json:"Sid"`
	Effect       string                       `json:"Effect"`
	Action       words                        `json:"Action"`
	NotAction    words                        `json:"NotAction"`
	Resource     words                        `json:"Resource"`
	NotResource  words                        `json:"NotResource"`
	Principal    *principals                  `json:"Principal"`
	NotPrincipal *principals                  `json:"NotPrincipal"`
	Condition    map[string]map[string]values `json:"Condition"`
}

// words is one string or a list of them.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*w = words{one}
		return nil
	}
	var many []string
	err := json.Unmarshal(b, &many)
	*w = many
	return err
}

// values is words whose members may also be booleans and numbers.
type values []string

func (v *values) UnmarshalJSON(b []byte) error {
	var list []any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var raw any
	if err := d.Decode(&raw); err != nil {
		return err
	}
	if l, ok := raw.([]any); ok {
		list = l
	} else {
		list = []any{raw}
	}
	for _, x := range list {
		switch x.(type) {
		case string, bool, json.Number:
			*v = append(*v, fmt.Sprint(x))
		default:
			return errors.New("condition value is neither string, number nor boolean")
		}
	}
	return nil
}

// principals are the values by type; Any stands for "*".
type principals struct {
	Any  bool
	Type map[string]words
}

func (p *principals) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		if p.Any = one == "*"; !p.Any {
			return errors.New("invalid principal")
		}
		return nil
	}
	return json.Unmarshal(b, &p.Type)
}

func (s *statements) UnmarshalJSON(b []byte) error {
	if t := bytes.TrimSpace(b); len(t) > 0 && t[0] == '{' {
		b = slices.Concat([]byte("["), t, []byte("]"))
	}
	var list []statement
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields() // an inner decoder does not inherit it
	err := d.Decode(&list)
	*s = list
	return err
}

var sid = regexp.MustCompile(`^[0-9A-Za-z]*$`)

// parsePolicy parses and checks a document. Its errors are the messages of IAM's
// MalformedPolicyDocument; the rules are in the grammar and, for Sid, in "IAM JSON
// policy elements: Sid".
func parsePolicy(doc string, kind policyKind) (*policy, error) {
	type key struct {
		doc  string
		kind policyKind
	}
	if p, ok := parsed.Load(key{doc, kind}); ok {
		return p.(*policy), nil
	}
	p, err := readPolicy(doc, kind)
	if err == nil {
		parsed.Store(key{doc, kind}, p)
	}
	return p, err
}

// parsed are the policies that were read before: each call is authorised by several,
// and they are seldom others. A policy is never altered.
var parsed sync.Map

func readPolicy(doc string, kind policyKind) (*policy, error) {
	say := func(s string) (*policy, error) { return nil, errors.New(s) }
	var p policy
	d := json.NewDecoder(strings.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return say("Syntax errors in policy.")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) { // something follows the document
		return say("Syntax errors in policy.")
	}
	if p.Version != "" && p.Version != "2012-10-17" && p.Version != "2008-10-17" {
		return say("Policy document must be version 2012-10-17 or greater.")
	}
	if len(p.Statement) == 0 {
		return say("Syntax errors in policy.")
	}
	seen := map[string]bool{}
	for _, s := range p.Statement {
		switch {
		case s.Effect != "Allow" && s.Effect != "Deny":
			return say("Syntax errors in policy.")
		case (len(s.Action) == 0) == (len(s.NotAction) == 0):
			return say("Policy statement must contain actions.")
		case !sid.MatchString(s.Sid) && kind == identityPolicy:
			return say("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
		case s.Sid != "" && seen[s.Sid]:
			return say("Statement IDs (SID) in a single policy must be unique.")
		case kind == identityPolicy && (s.Principal != nil || s.NotPrincipal != nil):
			return say("Policy document should not specify a principal.")
		case kind == identityPolicy && (len(s.Resource) == 0) == (len(s.NotResource) == 0):
			return say("Policy statement must contain resources.")
		case kind == trustPolicy && (len(s.Resource) > 0 || len(s.NotResource) > 0):
			return say("Has prohibited field Resource")
		case kind == delegationPolicy && (len(s.Resource) == 0 || len(s.NotAction) > 0): // of which it says that they aren't supported
			return say("Policy statement must contain resources.")
		case kind != identityPolicy && s.Principal == nil && s.NotPrincipal == nil:
			return say("Missing required field Principal")
		}
		seen[s.Sid] = true
		for _, a := range slices.Concat(s.Action, s.NotAction) {
			if a != "*" && !strings.Contains(a, ":") {
				return say("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
			}
		}
		if kind == identityPolicy {
			for _, r := range slices.Concat(s.Resource, s.NotResource) {
				if !strings.Contains(r, "*") && strings.Count(r, ":") < 5 {
					return say(fmt.Sprintf("Resource %s must be in ARN format or \"*\".", r))
				}
			}
		}
	}
	return &p, nil
}

// size counts as the quotas do: characters without white space ("IAM and AWS STS
// quotas: IAM and STS character limits", IAM User Guide).
func size(doc string) int {
	n := 0
	for _, r := range doc {
		if !strings.ContainsRune(" \t\r\n", r) {
			n++
		}
	}
	return n
}

// glob matches with * (any characters, none included) and ? (one of them): "IAM JSON
// policy elements: Resource", "Using wildcards in resource ARNs".
func glob(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// globFold is glob without regard to case, as for actions.
func globFold(pattern, s string) bool { return glob(strings.ToLower(pattern), strings.ToLower(s)) }
