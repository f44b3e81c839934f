package vouch

import (
	"maps"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// OfResource returns who is let in by a resource's policy and is not expected, in words: accounts,
// organizations. As in [Strangers] what can't be judged counts; but everybody, or a service, under a
// condition that says for which accounts, is these accounts.
func OfResource(o actions.Org, expected []string, policy string) []string {
	j := judge{org: o, expected: expected, resource: true}
	j.policy(policy)
	return j.found()
}

// Grantee returns who a principal of a grant is, if not expected; "" else, and for services and deleted principals.
func Grantee(o actions.Org, expected []string, principal string) string {
	if !strings.HasPrefix(principal, "arn:") {
		return ""
	}
	j := judge{org: o, expected: expected}
	j.principal("AWS", principal)
	return strings.Join(j.found(), ", ")
}

// narrowing are the condition keys that say for which account or organization a call is.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
var narrowing = []string{"aws:principalaccount", "aws:principalorgid", "aws:sourceaccount", "aws:sourcearn", "aws:sourceorgid"}

// narrowed returns the accounts and organizations that a statement's condition is limited to; none if it is not.
func narrowed(condition any) []string {
	byOperator, _ := condition.(map[string]any)
	for _, op := range slices.Sorted(maps.Keys(byOperator)) {
		byKey, _ := byOperator[op].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(byKey)) {
			if !slices.Contains(narrowing, strings.ToLower(key)) {
				continue
			}
			if ids := namedIn(strings.ToLower(op), byKey[key]); len(ids) > 0 {
				return ids
			}
		}
	}
	return nil
}

// The account of an ARN, up to which it has no wildcard.
var (
	organizationID = actions.NewPattern(`^o-[a-z0-9]{10,32}$`)
	ofAccount      = actions.NewPattern(`^arn:[a-z-]+:[a-z0-9-]+:[a-z0-9-]*:([0-9]{12}):`)
)

// namedIn returns the accounts and organizations of a test's values; none if a value names none.
func namedIn(op string, values any) (ids []string) {
	texts, _ := deny.Strings(values)
	for _, v := range texts {
		switch op {
		case "stringequals", "stringlike":
		case "arnequals", "arnlike": // which compare each part for itself, so that the region may be *
			v = strings.Replace(v, ":*:", "::", 1)
		default:
			return nil
		}
		if g := ofAccount.FindStringSubmatch(v); g != nil {
			v = g[1]
		}
		if !accountID.MatchString(v) && !organizationID.MatchString(v) {
			return nil
		}
		ids = append(ids, v)
	}
	return ids
}
