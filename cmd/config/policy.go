package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// policy reads who may ask for what and how many must agree. The default is
// complete; undo and the actions override single fields of it, units those of apply_scp.
func (c *checker) policy(section *value, roster approvals.Roster) approvals.Policy {
	p := approvals.Policy{Roster: roster, Actions: map[actions.Name]approvals.ActionPolicy{}, Watch: 7 * 24 * time.Hour}
	c.days(section.at("watch"), &p.Watch)
	c.within(section.at("watch"), p.Watch, time.Hour, 90*24*time.Hour)
	alone := 5 * time.Minute
	c.duration(section.at("break_glass_after"), &alone, time.Hour)
	p.Default = c.entry(section.at("default"), approvals.ActionPolicy{}, roster)
	p.Undo = c.entry(section.at("undo"), p.Default, roster)
	entries := section.at("actions").fieldsOrNone()
	for _, a := range all.Actions {
		if n := min(a.Spec().Quorum, others(p.Default, roster)); n > p.Default.Approvals && entries[string(a.Spec().Name)].at("approvals") == nil {
			e := p.Default
			e.Approvals = n // what can't be undone, or not quite, wants more people unless the configuration says how many
			p.Actions[a.Spec().Name] = e
		}
	}
	for name, v := range section.at("actions").entries() {
		e, ok := p.Actions[actions.Name(name)]
		if !ok {
			e = p.Default
		}
		e = c.entry(v, e, roster)
		if v.at("break_glass").yes() {
			e.BreakGlassAfter = alone
			c.breakable(v.at("break_glass"), name, e, roster)
		}
		p.Actions[actions.Name(name)] = e
	}
	for _, key := range []string{"default", "undo", "units"} {
		if v := section.at(key, "break_glass"); v != nil {
			c.add(v, "is of one action", "set it under policy.actions, for what is reversible and has one target: "+strings.Join(autoEligible(), ", "))
		}
	}
	p.Units = p.For(approvals.Intent{Call: actions.Call{Action: actions.ApplySCP}})
	if section.at("units", "approvals") == nil {
		p.Units.Approvals = max(p.Units.Approvals, min(unitApprovals, others(p.Units, roster)))
	}
	p.Units = c.entry(section.at("units"), p.Units, roster)
	return p
}

// unitApprovals is how many must agree to bind many accounts at once, unless the configuration says how
// many, or fewer can.
const unitApprovals = 3

// others is how many can approve, whoever asks.
func others(e approvals.ActionPolicy, roster approvals.Roster) int {
	approvers := roster.Groups[e.Approvers]
	least := len(approvers)
	for _, requester := range roster.Groups[e.Requesters] {
		if slices.Contains(approvers, requester) {
			least = len(approvers) - 1
		}
	}
	return least
}

func (c *checker) entry(v *value, e approvals.ActionPolicy, roster approvals.Roster) approvals.ActionPolicy {
	c.group(v.at("requesters"), &e.Requesters, roster)
	c.group(v.at("approvers"), &e.Approvers, roster)
	if n, ok := v.at("approvals").integer(); ok {
		e.Approvals = n
	}
	c.duration(v.at("approve_within"), &e.ApproveWithin, 24*time.Hour)
	c.duration(v.at("run_within"), &e.RunWithin, time.Hour)
	if vote := v.at("require_sts_vote"); vote != nil {
		e.RequireSTS = vote.yes()
	}
	c.satisfiable(v, e, roster)
	c.signable(v, e, roster)
	return e
}

func (c *checker) group(v *value, into *string, roster approvals.Roster) {
	name := v.text()
	if name == "" {
		return
	}
	*into = name
	if _, ok := roster.Groups[name]; !ok && len(roster.Groups) > 0 {
		c.add(v, fmt.Sprintf("there is no group %s", quoted(name)), oneOf(name, slices.Collect(maps.Keys(roster.Groups))))
	}
}

// blamed returns the field of an entry that asks too much of its people: the one with this key, or
// else the one that names them; nil if the entry has none of its own.
func blamed(v *value, key string) *value {
	for _, key := range []string{key, "approvers", "requesters"} {
		if at := v.at(key); at != nil {
			return at
		}
	}
	return nil
}

// satisfiable refuses an entry under which somebody's request could never be approved,
// at the field that causes it.
func (c *checker) satisfiable(v *value, e approvals.ActionPolicy, roster approvals.Roster) {
	at := blamed(v, "approvals")
	approvers := roster.Groups[e.Approvers]
	if at == nil || len(approvers) == 0 {
		return
	}
	may := map[string]bool{}
	for _, id := range approvers {
		may[id] = true
	}
	var who string
	have, more := 0, 0
	for _, requester := range roster.Groups[e.Requesters] {
		others := len(approvers)
		if may[requester] {
			others--
		}
		switch {
		case others >= e.Approvals:
		case who == "":
			who, have = requester, others
		default:
			more++
		}
	}
	if who == "" {
		return
	}
	if who = clip(who); more > 0 {
		who += fmt.Sprintf(" (or %d more)", more)
	}
	c.add(at, fmt.Sprintf("can't be satisfied: when %s asks, %d must approve and %d can", who, e.Approvals, have),
		fmt.Sprintf("add people to %s or ask for fewer approvals", clip(e.Approvers)))
}

// signable refuses an entry that wants a vote from the command line where nobody but the requester can give it.
func (c *checker) signable(v *value, e approvals.ActionPolicy, roster approvals.Roster) {
	at := blamed(v, "require_sts_vote")
	approvers := roster.Groups[e.Approvers]
	if at == nil || len(approvers) == 0 {
		return
	}
	for _, requester := range roster.Groups[e.Requesters] {
		others := slices.DeleteFunc(slices.Clone(approvers), func(id string) bool { return id == requester })
		if e.RequireSTS && !slices.ContainsFunc(others, roster.CanSign) {
			c.add(at, fmt.Sprintf("can't be satisfied: when %s asks, nobody who may approve has people[].iam", clip(requester)),
				fmt.Sprintf("give iam to people of %s", clip(e.Approvers)))
			return
		}
	}
}

// breakable refuses break_glass where nobody may ever act alone.
func (c *checker) breakable(v *value, name string, e approvals.ActionPolicy, roster approvals.Roster) {
	switch requesters := roster.Groups[e.Requesters]; {
	case !slices.Contains(autoEligible(), name):
		c.add(v, "can't be: "+quoted(name)+" is irreversible or account-wide", "what can: "+strings.Join(autoEligible(), ", "))
	case e.ApproveWithin > 0 && e.ApproveWithin <= e.BreakGlassAfter:
		c.add(v, "never applies: a request expires (approve_within) before anybody may act alone (break_glass_after)", "give it more time, or set policy.break_glass_after lower")
	case len(requesters) > 0 && !slices.ContainsFunc(requesters, roster.CanSign):
		c.add(v, "never applies: nobody who may ask has people[].iam", "give iam to people of "+clip(e.Requesters))
	}
}
