package vouch

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// expected returns who may enter a role, as the configuration says: accounts, ARNs, services. The
// member roles are for the hub alone, the forwarder for EventBridge. Of a protected role without
// a list it is its own account, the hub and the management account.
func expected(o actions.Org, arn string) []string {
	_, account, _, name, _ := actions.SplitRoleARN(arn)
	switch {
	case o.Ours(name):
		return []string{o.HubAccount}
	case o.ForwarderRole != "" && strings.EqualFold(name, o.ForwarderRole):
		return []string{events}
	}
	for _, p := range []string{arn, actions.InAnyAccount(arn)} {
		if listed, ok := o.ProtectedTrust[p]; ok {
			var all []string
			for _, e := range listed {
				all = append(all, strings.Replace(e, ":iam::*:", ":iam::"+account+":", 1)) // as in protected.principals
			}
			return all
		}
	}
	return slices.DeleteFunc([]string{account, o.HubAccount, o.ManagementAccount}, func(a string) bool { return a == "" })
}

// events is EventBridge, as deploy/members.yaml names it.
const events = "events.amazonaws.com"

// Strangers returns who may enter a role by its trust policy and is not expected, in words. The
// policy is written by whoever holds the account: what can't be judged counts, and conditions and
// denials, which only narrow, are not looked at.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
func Strangers(o actions.Org, arn, trust string) []string {
	j := judge{org: o, expected: expected(o, arn)}
	j.policy(trust)
	return j.found()
}

type judge struct {
	org       actions.Org
	expected  []string
	strangers []string

	resource bool     // the policy is a resource's, not a role's
	only     []string // the accounts and organizations that the condition of the statement names; none for a role's
	limited  bool     // the statement has a condition
}

func (j *judge) found() []string {
	slices.Sort(j.strangers)
	return slices.Compact(j.strangers)
}

func (j *judge) add(format string, args ...any) {
	j.strangers = append(j.strangers, deny.Compact(actions.Clean(fmt.Sprintf(format, args...))))
}

// unknown adds somebody who can't be named, and why not.
func (j *judge) unknown(format string, args ...any) {
	j.add("somebody unknown ("+format+")", args...)
}

func (j *judge) policy(trust string) {
	root, err := deny.ReadJSON(trust)
	if err != nil {
		j.unknown("the policy %s", err)
		return
	}
	d, _ := root.(map[string]any)
	if !deny.OnlyKeys(d, "Version", "Id", "Statement") {
		j.unknown("it is not a policy")
		return
	}
	statements, isList := d["Statement"].([]any)
	if !isList {
		statements = []any{d["Statement"]}
	}
	elements := []string{"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Condition"}
	if j.resource {
		elements = append(elements, "Resource", "NotResource")
	}
	for _, raw := range statements {
		s, _ := raw.(map[string]any)
		_, excepts := s["NotPrincipal"]
		if j.resource {
			j.only, j.limited = narrowed(s["Condition"]), s["Condition"] != nil
		}
		switch {
		case !deny.OnlyKeys(s, elements...):
			j.unknown("a statement has elements that such a policy does not")
		case s["Effect"] == "Deny":
		case s["Effect"] != "Allow":
			j.unknown("a statement has the effect %v", s["Effect"])
		case excepts:
			j.everybody("everybody but those named (NotPrincipal)")
		default:
			j.principals(s["Principal"])
		}
	}
}

func (j *judge) principals(element any) {
	if element == "*" {
		j.everybody("everybody (*)")
		return
	}
	kinds, ok := element.(map[string]any)
	if !ok || len(kinds) == 0 {
		j.unknown("a statement names no principal")
		return
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		names, ok := deny.Strings(kinds[kind])
		if !ok {
			j.unknown("a statement's %s is no name", kind)
		}
		for _, name := range names {
			j.principal(kind, name)
		}
	}
}

// A principal in an account, as a trust policy names it, and the ID of one that was deleted.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
var (
	accountID = actions.NewPattern(`^[0-9]{12}$`)
	inAccount = actions.NewPattern(`^arn:(aws|aws-us-gov|aws-cn):(?:iam|sts)::([0-9]{12}):(root$|(?:user|role|assumed-role|federated-user)/[^*?$]+$)`)
	deleted   = actions.NewPattern(`^A[A-Z]{3}[A-Z0-9]{12,124}$`)
)

func (j *judge) principal(kind, name string) {
	switch {
	case (kind == "Service" || kind == "Federated") && slices.Contains(j.expected, name):
	case kind == "Service":
		j.everybody("the service " + name)
	case kind == "Federated":
		j.add("whoever signs in by %s", name)
	case kind != "AWS":
		j.unknown("the %s %s", kind, name)
	case name == "*":
		j.everybody("everybody (*)")
	case accountID.MatchString(name):
		j.account(name, name, "account "+name)
	case inAccount.MatchString(name):
		g := inAccount.FindStringSubmatch(name)
		if g[1] != j.org.Partition {
			j.add("%s", name)
			return
		}
		who := name
		if g[3] == "root" {
			who = "account " + g[2]
		}
		j.account(g[2], name, who)
	case deleted.MatchString(name):
		j.unknown("%s, which was deleted", name)
	default:
		j.unknown("%s", name)
	}
}

// everybody adds who is meant by a principal that is nobody in particular.
func (j *judge) everybody(who string) {
	for _, id := range j.only {
		if accountID.MatchString(id) {
			j.account(id, id, "account "+id)
		} else if !slices.Contains(j.expected, id) {
			j.add("the organization %s", id)
		}
	}
	switch {
	case len(j.only) > 0:
	case j.limited:
		j.add("%s under conditions", who)
	default:
		j.add("%s", who)
	}
}

// account adds a principal of an account, unless it or the whole account may enter.
func (j *judge) account(id, name, who string) {
	for _, e := range j.expected {
		if e == id || e == name || e == actions.RootARN(j.org.Partition, id) {
			return
		}
	}
	if alias := j.org.Alias(id); alias != "" {
		who += " (" + alias + ")"
	}
	j.add("%s", who)
}

// few lists strangers for people, the first ones by name.
func few(strangers []string) string {
	const most = 3
	text := strings.Join(strangers[:min(most, len(strangers))], ", ")
	if more := len(strangers) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
