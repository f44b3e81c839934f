package scp

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// Caller is who calls, as far as a policy of an organization can know them before the call.
type Caller struct {
	ARN          string // of the role
	Account      string
	Organization string   // o-…; may be empty
	Regions      []string // in which it calls what is regional
	Global       string   // the region of what is not
}

// Obstacle is a statement that denies a caller some actions.
type Obstacle struct {
	Statement string // its Sid, or its number
	Actions   []string
	Unless    string // conditions that only the call itself can answer; empty: always
	Part      bool   // on some resources only
}

// Obstacles returns what of a service control policy denies the caller actions. AWS's own simulator does not
// evaluate such policies where they have conditions, which all of Control Tower's have.
func Obstacles(document string, who Caller, acts []string) ([]Obstacle, error) {
	statements, err := statementsOf(document)
	if err != nil {
		return nil, err
	}
	var found []Obstacle
	for i, s := range statements {
		if s["Effect"] != "Deny" {
			continue
		}
		o := Obstacle{Statement: fmt.Sprintf("statement %d", i+1)}
		if sid, _ := s["Sid"].(string); sid != "" {
			o.Statement = sid
		}
		for _, act := range acts {
			if !names(s, act) {
				continue
			}
			switch holds, open := applies(s["Condition"], who, act); {
			case !holds:
				continue
			case open != "":
				o.Unless = open
			}
			o.Actions = append(o.Actions, act)
		}
		on, listed := deny.Strings(s["Resource"])
		o.Part = listed && !slices.ContainsFunc(on, everyOne)
		if len(o.Actions) > 0 {
			found = append(found, o)
		}
	}
	return found, nil
}

// NotAllowed returns the actions that no statement of the policies allows: an organization's unit without
// FullAWSAccess has a list.
func NotAllowed(documents []string, acts []string) ([]string, error) {
	left := slices.Clone(acts)
	for _, document := range documents {
		statements, err := statementsOf(document)
		if err != nil {
			return nil, err
		}
		for _, s := range statements {
			if s["Effect"] == "Allow" {
				left = slices.DeleteFunc(left, func(act string) bool { return names(s, act) })
			}
		}
	}
	return left, nil
}

// everyOne reports whether a resource of a policy stands for all of a kind.
func everyOne(resource string) bool {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) < 6 {
		return resource == "*"
	}
	_, name, typed := strings.Cut(parts[5], "/")
	return (parts[4] == "*" || parts[4] == "") && (parts[5] == "*" || typed && name == "*")
}

func statementsOf(document string) ([]map[string]any, error) {
	root, err := deny.ReadJSON(document)
	if err != nil {
		return nil, err
	}
	d, _ := root.(map[string]any)
	list, isList := d["Statement"].([]any)
	if !isList {
		list = []any{d["Statement"]}
	}
	var statements []map[string]any
	for _, raw := range list {
		if s, ok := raw.(map[string]any); ok {
			statements = append(statements, s)
		}
	}
	return statements, nil
}

// names reports whether a statement is about an action.
func names(s map[string]any, act string) bool {
	match := func(p string) bool { return wildcard(strings.ToLower(p), strings.ToLower(act)) }
	if acts, ok := deny.Strings(s["Action"]); ok {
		return slices.ContainsFunc(acts, match)
	}
	but, ok := deny.Strings(s["NotAction"])
	return ok && !slices.ContainsFunc(but, match)
}

// applies evaluates conditions: open are those which only the call can answer.
func applies(condition any, who Caller, act string) (holds bool, open string) {
	byOperator, _ := condition.(map[string]any)
	var unknown []string
	for _, op := range slices.Sorted(maps.Keys(byOperator)) {
		byKey, _ := byOperator[op].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(byKey)) {
			want, ok := deny.Strings(byKey[key])
			if b, isBool := byKey[key].(bool); isBool {
				want, ok = []string{strconv.FormatBool(b)}, true
			}
			have, known := who.value(key, act)
			switch yes, can := compare(op, have, want); {
			case !known || !can || !ok:
				unknown = append(unknown, op+" "+actions.Clip(key))
			case !yes:
				return false, ""
			}
		}
	}
	return true, strings.Join(unknown, ", ")
}

// value returns a condition key's values, none if it is not there.
func (c Caller) value(key, act string) (have []string, known bool) {
	service, _, _ := strings.Cut(act, ":")
	switch key = strings.ToLower(key); key {
	case "aws:principalarn":
		return []string{c.ARN}, true
	case "aws:principalaccount":
		return []string{c.Account}, true
	case "aws:principalorgid":
		return []string{c.Organization}, c.Organization != ""
	case "aws:principaltype":
		return []string{"AssumedRole"}, true
	case "aws:requestedregion":
		if slices.Contains([]string{"iam", "organizations", "sts"}, service) {
			return []string{c.Global}, true
		}
		return c.Regions, true
	case "aws:multifactorauthpresent", "aws:viaawsservice", "aws:principalisawsservice":
		return []string{"false"}, true // a session of a role has no device, and calls itself
	case "aws:multifactorauthage", "aws:assumedroot":
		return nil, true
	}
	if tag, ok := strings.CutPrefix(key, "aws:principaltag/"); ok {
		return nil, !strings.HasPrefix(tag, "killswitch") // the roles have no tags, our sessions those
	}
	return nil, false
}

// compare evaluates a condition's operator; of several values, regions, one that matches is enough.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
func compare(op string, have, want []string) (yes, can bool) {
	plain, ifExists := strings.CutSuffix(strings.ToLower(op), "ifexists")
	if plain == "null" {
		return len(want) == 1 && (want[0] == "true") == (len(have) == 0), true
	}
	plain = strings.Replace(plain, "not", "", 1)
	negated := plain+map[bool]string{true: "ifexists"}[ifExists] != strings.ToLower(op)
	var match func(have string) bool
	switch plain {
	case "arnlike", "arnequals":
		match = principalTest{arn: true, wild: true, patterns: want}.matches
	case "stringlike":
		match = principalTest{wild: true, patterns: want}.matches
	case "stringequals":
		match = principalTest{patterns: want}.matches
	case "stringequalsignorecase", "bool":
		match = func(h string) bool {
			return slices.ContainsFunc(want, func(w string) bool { return strings.EqualFold(w, h) })
		}
	default:
		return false, false
	}
	if len(have) == 0 {
		return negated || ifExists, true
	}
	return slices.ContainsFunc(have, func(h string) bool { return match(h) != negated }), true
}
