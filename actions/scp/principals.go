package scp

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// denied are principals that a policy denies, by how a request of theirs is known. A call's part of
// the policy has one or two of them, the policy all.
//
// Each kind has a statement of its own: what stands in one condition must all hold.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
type denied struct {
	// UserIDs are values of aws:userid: AROA…:* for all sessions of a role, AIDA… for a user.
	UserIDs []string `json:"userids,omitempty"`
	// ARNs are those of principals whose ID could not be read, and of federated users.
	ARNs  []string `json:"arns,omitempty"`
	Roots []string `json:"roots,omitempty"` // ARNs of root users
	// People of IAM Identity Center, by ID and by name.
	People []string `json:"people,omitempty"`
	Names  []string `json:"names,omitempty"`
}

func (d denied) share() string {
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(b)
}

// allDenied joins the shares of calls.
func allDenied(shares []string) (all denied, err error) {
	for _, share := range shares {
		var d denied
		if err := json.Unmarshal([]byte(share), &d); err != nil {
			return all, fmt.Errorf("share %q: %w", share, err)
		}
		all.UserIDs, all.ARNs, all.Roots = append(all.UserIDs, d.UserIDs...), append(all.ARNs, d.ARNs...), append(all.Roots, d.Roots...)
		all.People, all.Names = append(all.People, d.People...), append(all.Names, d.Names...)
	}
	for _, list := range []*[]string{&all.UserIDs, &all.ARNs, &all.Roots, &all.People, &all.Names} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return all, nil
}

// document denies everything to the principals. Nobody is exempt by name: whoever holds an account
// makes the names there. People are not denied in the hub, nor where policies are managed from.
func (d denied) document(o actions.Org) string {
	var ss []statementSCP
	add := func(sid string, who []string, when map[string]map[string]any) {
		if len(who) > 0 {
			ss = append(ss, statementSCP{Sid: sid, Effect: "Deny", Action: "*", Resource: "*", Condition: when})
		}
	}
	add("KillswitchDenyIDs", d.UserIDs, map[string]map[string]any{"StringLike": {"aws:userid": d.UserIDs}})
	add("KillswitchDenyARNs", d.ARNs, map[string]map[string]any{"ArnLike": {"aws:PrincipalArn": d.ARNs}})
	// Sessions of sts:AssumeRoot go on: by them root's credentials are deleted.
	add("KillswitchDenyRoot", d.Roots, map[string]map[string]any{"ArnLike": {"aws:PrincipalArn": d.Roots}, "Null": {"aws:AssumedRoot": "true"}})
	elsewhere := slices.DeleteFunc([]string{o.HubAccount, o.PolicyAccount}, func(a string) bool { return a == "" })
	// https://docs.aws.amazon.com/singlesignon/latest/userguide/condition-context-keys-sts-idc.html
	add("KillswitchDenyPeople", d.People, map[string]map[string]any{"StringEquals": {"identitystore:UserId": d.People}, "StringNotEquals": {"aws:PrincipalAccount": elsewhere}})
	var sessions []string
	for _, name := range d.Names {
		sessions = append(sessions, "*:"+name)
	}
	add("KillswitchDenyPeopleByName", d.Names, map[string]map[string]any{"StringLike": {"aws:userid": sessions}, "StringNotEquals": {"aws:PrincipalAccount": elsewhere},
		"ArnLike": {"aws:PrincipalArn": "arn:" + o.Partition + ":iam::*:role" + actions.ReservedSSOPath + "*"}})
	// Whoever administers an account could take it out of the organization, and so from under this policy.
	ss = append(ss, statementSCP{Sid: "KillswitchStay", Effect: "Deny", Action: []string{"account:CloseAccount", "organizations:LeaveOrganization"}, Resource: "*"})
	return documentSCP(ss...)
}

// readDenied reads a document of ours; false for any other.
func readDenied(o actions.Org, document string) (d denied, ok bool) {
	var doc struct {
		Statement []struct {
			Sid       string
			Condition map[string]map[string]json.RawMessage
		}
	}
	if json.Unmarshal([]byte(document), &doc) != nil {
		return d, false
	}
	for _, s := range doc.Statement {
		read := func(op, key string, into *[]string) {
			if json.Unmarshal(s.Condition[op][key], into) != nil {
				*into = nil
			}
		}
		switch s.Sid {
		case "KillswitchDenyIDs":
			read("StringLike", "aws:userid", &d.UserIDs)
		case "KillswitchDenyARNs":
			read("ArnLike", "aws:PrincipalArn", &d.ARNs)
		case "KillswitchDenyRoot":
			read("ArnLike", "aws:PrincipalArn", &d.Roots)
		case "KillswitchDenyPeople":
			read("StringEquals", "identitystore:UserId", &d.People)
		case "KillswitchDenyPeopleByName":
			read("StringLike", "aws:userid", &d.Names)
			for i := range d.Names {
				d.Names[i] = strings.TrimPrefix(d.Names[i], "*:")
			}
		}
	}
	return d, deny.EqualJSON(document, d.document(o))
}

// has reports whether a document denies all principals of another.
func (d denied) has(of denied) bool {
	within := func(all, some []string) bool {
		return !slices.ContainsFunc(some, func(x string) bool { return !slices.Contains(all, x) })
	}
	return within(d.UserIDs, of.UserIDs) && within(d.ARNs, of.ARNs) && within(d.Roots, of.Roots) && within(d.People, of.People) && within(d.Names, of.Names)
}

// String says who is denied, as AWS's keys have it.
func (d denied) String() string {
	var who []string
	for _, list := range [][]string{d.UserIDs, d.ARNs, d.Roots, d.People, d.Names} {
		who = append(who, list...)
	}
	return actions.Clip(strings.Join(who, ", "))
}

func (d denied) count() int {
	return len(d.UserIDs) + len(d.ARNs) + len(d.Roots) + len(d.People) + len(d.Names)
}
