package scp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// unitPrefix is the prefix of the names of policies on units and the root: their documents spare accounts.
const unitPrefix = scpPrefix + "units-"

// sparedAccounts are those that no policy on a unit binds: Killswitch's own, and the protected ones.
func sparedAccounts(o actions.Org) []string {
	all := slices.DeleteFunc(append([]string{o.HubAccount, o.PolicyAccount}, o.ProtectedAccounts...), func(a string) bool { return a == "" })
	slices.Sort(all)
	return slices.Compact(all)
}

// sparing returns a valid document that leaves the principals of these accounts alone, whatever it denies.
// Values of a condition that is there already stay: each is spared. Where the condition is there twice, in two
// cases, or has other values than strings, nothing may get lost, such as the roles that are exempt: it is refused.
func sparing(document string, accounts []string) (string, *actions.Refusal) {
	if len(accounts) == 0 {
		return document, nil
	}
	root, err := deny.ReadJSON(document)
	d, _ := root.(map[string]any)
	statements, isList := d["Statement"].([]any)
	if !isList {
		statements = []any{d["Statement"]}
	}
	for _, raw := range statements {
		s, _ := raw.(map[string]any)
		condition, ok := s["Condition"].(map[string]any)
		byKey, once := under(condition, "StringNotEquals", map[string]any{})
		values, alone := under[any](byKey, "aws:PrincipalAccount", nil)
		there, strings := deny.Strings(values)
		if err != nil || !ok || !once || !alone || values != nil && !strings {
			return "", &actions.Refusal{Reason: "it can't be read: StringNotEquals and aws:PrincipalAccount may be there once, with strings", Hint: "correct it under scps"}
		}
		all := append(there, accounts...)
		slices.Sort(all)
		set(byKey, "aws:PrincipalAccount", slices.Compact(all))
		set(condition, "StringNotEquals", byKey)
	}
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // it was read from JSON
	}
	if len(b) > scpLimit {
		return "", &actions.Refusal{Reason: fmt.Sprintf("with the accounts that it spares it has %d bytes, the limit is %d", len(b), scpLimit), Hint: "shorten it under scps, or use scp=" + freezeSCP}
	}
	return string(b), nil
}

// under returns the value of a key in any case, as IAM compares operators and keys; false if there are several, or
// it is of another type.
func under[T any](m map[string]any, key string, none T) (value T, ok bool) {
	value, ok = none, true
	n := 0
	for k, v := range m {
		if strings.EqualFold(k, key) {
			value, ok = v.(T)
			n++
		}
	}
	return value, ok && n < 2
}

// set sets the value of a key, in place of the same one in another case.
func set(m map[string]any, key string, value any) {
	maps.DeleteFunc(m, func(k string, _ any) bool { return strings.EqualFold(k, key) })
	m[key] = value
}

// accountsIn lists the active accounts of a unit and of the units in it.
func accountsIn(ctx context.Context, acct *actions.Account, unit string) (accounts []types.Account, err error) {
	orgs := organizationsOf(acct)
	for parents := []string{unit}; len(parents) > 0; parents = parents[1:] {
		in, err := actions.List(ctx, organizations.NewListAccountsForParentPaginator(orgs, &organizations.ListAccountsForParentInput{ParentId: &parents[0]}),
			func(p *organizations.ListAccountsForParentOutput) []types.Account { return p.Accounts }, actions.Itself)
		accounts = append(accounts, in...)
		if err != nil {
			return accounts, err
		}
		units, err := actions.List(ctx, organizations.NewListOrganizationalUnitsForParentPaginator(orgs, &organizations.ListOrganizationalUnitsForParentInput{ParentId: &parents[0]}),
			func(p *organizations.ListOrganizationalUnitsForParentOutput) []types.OrganizationalUnit {
				return p.OrganizationalUnits
			},
			func(u types.OrganizationalUnit) string { return aws.ToString(u.Id) })
		if err != nil {
			return accounts, err
		}
		parents = append(parents, units...)
	}
	return accounts, nil
}

// Limits of the listing of a unit's accounts, which is for people alone.
const (
	listWithin   = 10 * time.Second
	accountsLine = 120 // characters in a warning; a fact has more
	accountsFact = 900
)

// surveyUnit adds to a plan which accounts are in a unit, and which of them are not bound.
func surveyUnit(ctx context.Context, acct *actions.Account, at point, p *actions.Plan) {
	ctx, cancel := context.WithTimeout(ctx, listWithin)
	defer cancel()
	in, err := accountsIn(ctx, acct, at.id)
	spares := append(sparedAccounts(acct.Org), acct.Org.ManagementAccount)
	var bound, others, spared []string // first those that the configuration names
	for _, a := range in {
		id := aws.ToString(a.Id)
		text := id + " " + nameOf(acct.Org, &a)
		switch {
		case !Active(&a):
		case slices.Contains(spares, id):
			spared = append(spared, text)
		case acct.Org.Alias(id) != "":
			bound = append(bound, text)
		default:
			others = append(others, text)
		}
	}
	bound = append(bound, others...)
	count := fmt.Sprintf("%d accounts", len(bound))
	if err != nil {
		cause, _ := actions.Explain(err)
		count = fmt.Sprintf("At least %d accounts (not all could be listed: %s)", len(bound), cause)
	}
	p.Warnings = append([]string{count + " at once: " + someOf(bound, accountsLine) + "."}, p.Warnings...)
	p.Facts = append(p.Facts, actions.Fact{Label: "Accounts", Text: someOf(bound, accountsFact)})
	if len(spared) > 0 {
		p.Facts = append(p.Facts, actions.Fact{Label: "Accounts that stay free", Text: someOf(spared, accountsFact)})
	}
}

// kindOf returns ou or root, as ARNs have it.
func kindOf(unit string) string {
	if strings.HasPrefix(unit, "r-") {
		return "root"
	}
	return "ou"
}

// unitReads allows what [pointOf] and the listing of accounts read; what is in a unit may be anywhere
// below it. Of Anything it is what calls on accounts read, too.
func unitReads(p actions.Phase, s actions.Scope) []actions.Statement {
	if p != actions.PhasePlan {
		return nil
	}
	const accounts, units, describe = "organizations:ListAccountsForParent", "organizations:ListOrganizationalUnitsForParent", "organizations:DescribeOrganizationalUnit"
	roots, ou := actions.ListPermit("organizations:ListRoots"), s.ARN("organizations", "ou/o-*/ou-*")
	switch {
	case s.Any():
		return []actions.Statement{roots, {Actions: []string{accounts, units, describe, "organizations:DescribeAccount"}, Resources: anyTarget(s)}}
	case kindOf(s.Call.Target) == "root":
		return []actions.Statement{roots, {Actions: []string{accounts, units}, Resources: []string{ou, s.ARN("organizations", "root/o-*/"+s.Call.Target)}}}
	}
	return []actions.Statement{{Actions: []string{accounts, units}, Resources: []string{ou}}, {Actions: []string{describe}, Resources: []string{s.ARN("organizations", "ou/o-*/"+s.Call.Target)}}}
}

// Accounts lists the active accounts of the organization, which is asked from where its policies are managed.
func Accounts(ctx context.Context, cloud *actions.Cloud, who actions.SessionContext) (ids []string, err error) {
	at := actions.Scope{Org: cloud.Org(), Account: cloud.Org().OrganizationsAccount()}
	acct, err := cloud.Enter(ctx, actions.Responder, at.Account, "", who, []actions.Statement{actions.ListPermit("organizations:ListRoots"),
		{Actions: []string{"organizations:ListAccountsForParent", "organizations:ListOrganizationalUnitsForParent"},
			Resources: []string{at.ARN("organizations", "ou/o-*/ou-*"), at.ARN("organizations", "root/o-*/r-*")}}})
	if err != nil {
		return nil, err
	}
	roots, err := actions.List(ctx, organizations.NewListRootsPaginator(organizationsOf(acct), &organizations.ListRootsInput{}),
		func(p *organizations.ListRootsOutput) []types.Root { return p.Roots }, actions.Itself)
	for _, r := range roots {
		in, err := accountsIn(ctx, acct, aws.ToString(r.Id))
		if err != nil {
			return nil, err
		}
		for _, a := range in {
			if Active(&a) {
				ids = append(ids, aws.ToString(a.Id))
			}
		}
	}
	return ids, err
}
