package approvals_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
)

const (
	hubUser   = "arn:aws:iam::111111111111:user/staff/Ana"
	ssoOfBo   = "arn:aws:sts::111111111111:assumed-role/AWSReservedSSO_IR_0123456789abcdef/Bo@example.com"
	prodOfCy  = "arn:aws:iam::222222222222:user/cy"
	roleOfCy  = "arn:aws:iam::222222222222:role/ops/cy-admin"
	idOfCy    = "AIDACY000000000000000"
	rootOfCy  = "arn:aws:iam::222222222222:root"
	cyByID    = "90671b1a23-12345678-1234-1234-1234-123456789abc"
	reserved  = "arn:aws:iam::111111111111:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_IR_0123456789abcdef"
	theKey    = "AKIAIOSFODNN7EXAMPLE"
	anAccount = "222222222222"
)

// owned is a roster in which each has principals of another kind.
func owned() approvals.Roster {
	return approvals.Roster{
		People: []approvals.Person{
			{ID: "ana", Slack: "U1", IAM: []string{hubUser}},
			{ID: "bo", Slack: "U2", IAM: []string{ssoOfBo}},
			{ID: "cy", Slack: "U3", Principals: []string{prodOfCy, roleOfCy, idOfCy, rootOfCy, "sso:cy@example.com", "sso:" + cyByID}},
			{ID: "dee", Slack: "U4"},
		},
		Groups: map[string][]string{"all": {"ana", "bo", "cy", "dee"}},
	}
}

// TestTargetIsSomebodysOwn: however the target is written and whatever the plan finds; what covers many
// is nobody's.
func TestTargetIsSomebodysOwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target string
		found  actions.Identity
		want   []string
	}{
		"a user":                           {target: hubUser, want: []string{"ana"}},
		"a user, typed without its path":   {target: "arn:aws:iam::111111111111:user/ana", want: []string{"ana"}},
		"that name in another account":     {target: "arn:aws:iam::222222222222:user/ana"},
		"a role of a user's name":          {target: "arn:aws:iam::111111111111:role/ana"},
		"a key, before the plan":           {target: theKey},
		"a key, by the user that it is of": {target: theKey, found: actions.Identity{ARN: prodOfCy, ID: theKey}, want: []string{"cy"}},
		"a role without its path":          {target: "arn:aws:iam::222222222222:role/Cy-Admin", want: []string{"cy"}},
		"a user that was renamed":          {target: "arn:aws:iam::222222222222:user/mallory", found: actions.Identity{ARN: "arn:aws:iam::222222222222:user/mallory", ID: idOfCy}, want: []string{"cy"}},
		"a person, by a session's name":    {target: "sso:bo@example.com", want: []string{"bo"}},
		"a person who is listed":           {target: "sso:Cy@example.com", want: []string{"cy"}},
		"a person by ID":                   {target: "sso:" + cyByID, want: []string{"cy"}},
		"a person nobody knows":            {target: "sso:o@example.com"},
		"nobody's name":                    {target: "sso:"},
		"a root user":                      {target: rootOfCy, want: []string{"cy"}},
		"the role of a permission set":     {target: reserved},
		"all roles of an account":          {target: anAccount + "/ALL", found: actions.Identity{ARN: "x", ID: anAccount}},
		"an account":                       {target: anAccount, found: actions.Identity{ARN: "arn:aws:organizations::9:account/o-1/" + anAccount, ID: anAccount}},
		"a unit":                           {target: "ou-ab12-cdefghij"},
		"an instance":                      {target: "i-0123456789abcdef0", found: actions.Identity{ARN: "arn:aws:ec2:us-east-1:222222222222:instance/i-0123456789abcdef0", ID: "i-0123456789abcdef0"}},
		"nothing":                          {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := owned().Owners(actions.Call{Target: c.target, Account: anAccount}, c.found); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	// Of every action's example: what has no owner before the plan has none by an empty identity.
	for _, a := range all.Actions {
		call, _, err := actions.Parse(a.Spec().Usage, actions.Directory{Actions: all.Actions, Partition: "aws", Accounts: map[string]string{"prod": anAccount}})
		if got := owned().Owners(call, actions.Identity{}); err != nil || call.Target != "sso:bob@example.com" && len(got) > 0 {
			t.Errorf("%s: %v %v", call, got, err)
		}
	}
}

// own makes the target of a ballot bo's own principal, as the plan found it.
func (b *ballot) own() {
	b.policy.Roster.People[1].Principals = []string{"arn:aws:iam::111122223333:user/bo"}
	b.request.Found = actions.Identity{ARN: "arn:aws:iam::111122223333:user/bo", ID: "AIDABO"}
}

// TestNobodyVotesOnTheirOwnPrincipal: whatever the vote; but who asked may take it back.
func TestNobodyVotesOnTheirOwnPrincipal(t *testing.T) {
	t.Parallel()
	for _, kind := range []approvals.Kind{approvals.Approve, approvals.Deny, approvals.Retry, approvals.Watch, approvals.Review} {
		for _, undo := range []string{"", "KS-0000000000AB"} {
			b := newBallot()
			switch kind {
			case approvals.Retry:
				b.failed()
			case approvals.Watch:
				b.request.State = approvals.Contained
			case approvals.Review:
				b.request.State, b.request.BreakGlass = approvals.Contained, &approvals.Vote{}
			case approvals.Approve, approvals.Deny, approvals.Cancel, approvals.Alone: // as it is
			}
			if b.request.Intent.Undo = undo; undo != "" && kind == approvals.Watch {
				continue // an undo is never watched
			}
			b.kind, b.vote.Person = kind, "bo"
			if got := codes(b.decide()); got != nil {
				t.Errorf("%s by bo: %v", kind, got)
			}
			b.own()
			if got := codes(b.decide()); !slices.Equal(got, []actions.Code{approvals.OwnPrincipal}) {
				t.Errorf("%s by bo, whose own it is: %v", kind, got)
			}
			if b.vote.Person = "cy"; codes(b.decide()) != nil {
				t.Errorf("%s by cy: %v", kind, codes(b.decide()))
			}
		}
	}
	b := newBallot()
	b.own()
	if d := b.decide(); !slices.Equal(d.Waiting, []string{"cy"}) || !slices.Equal(d.Own, []string{"bo"}) {
		t.Errorf("waiting for %v without %v", d.Waiting, d.Own)
	}
	b.kind, b.request.Requester.Person = approvals.Cancel, "bo"
	if got := codes(b.decide()); got != nil {
		t.Errorf("bo may not cancel what bo asked for: %v", got)
	}
}

// TestWhoApprovesIsNotUntouchable: without the target's own people the configured number must still be
// reached, or who asks can act alone; otherwise it is refused at once, and the refusal names them.
func TestWhoApprovesIsNotUntouchable(t *testing.T) {
	t.Parallel()
	alone := func(b *ballot) {
		b.policy.Roster.People[0].IAM = []string{hubUser}
		b.entry(func(e *approvals.ActionPolicy) { e.BreakGlassAfter = 5 * time.Minute })
	}
	pair := func(b *ballot) { b.policy.Roster.Groups["leads"] = []string{"ana", "bo"} }
	two := func(b *ballot) { b.entry(func(e *approvals.ActionPolicy) { e.Approvals = 2 }) }
	for name, c := range map[string]struct {
		edit   []func(*ballot)
		person string // who asks; empty: ana
		refuse []actions.Code
		short  bool
		names  string
	}{
		"one of two others is left":             {},
		"nobody is left":                        {edit: []func(*ballot){pair}, refuse: []actions.Code{approvals.TooFewEligible}, names: "bo"},
		"nobody is left, who asks may alone":    {edit: []func(*ballot){pair, alone}, short: true, names: "bo"},
		"one of the two needed is left":         {edit: []func(*ballot){two}, refuse: []actions.Code{approvals.TooFewEligible}, names: "bo"},
		"one of two needed, who asks may alone": {edit: []func(*ballot){two, alone}, short: true, names: "bo"},
		"too few whoever votes":                 {edit: []func(*ballot){pair, two, alone}, refuse: []actions.Code{approvals.TooFewEligible}},
		"who asks can't sign": {edit: []func(*ballot){pair, alone, func(b *ballot) { b.policy.Roster.People[0].IAM = nil }},
			refuse: []actions.Code{approvals.TooFewEligible}, names: "bo"},
		"an undo": {edit: []func(*ballot){pair, alone, func(b *ballot) {
			b.request.Intent.Undo, b.policy.Undo = "KS-0000000000AB", b.policy.Actions[actions.RevokeSessions]
		}}, refuse: []actions.Code{approvals.TooFewEligible}, names: "bo"},
		"about who asks": {edit: []func(*ballot){pair, func(b *ballot) { b.policy.Roster.Groups["responders"] = []string{"ana", "bo"} }}, person: "bo"},
		"a vote from the command line that nobody can give, who asks may alone": {edit: []func(*ballot){pair, alone,
			func(b *ballot) { b.entry(func(e *approvals.ActionPolicy) { e.RequireSTS = true }) }}, short: true, names: "bo"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBallot()
			b.own()
			for _, edit := range c.edit {
				edit(b)
			}
			person := c.person
			if person == "" {
				person = "ana"
			}
			d := b.policy.Admit(b.request.Intent, b.request.Found, person, approvals.TwoPerson)
			if got := codes(d); !slices.Equal(got, c.refuse) || (d.Short != nil) != c.short {
				t.Fatalf("%v, short %v: want %v, %t", got, d.Short, c.refuse, c.short)
			}
			few := d.Short
			if len(c.refuse) > 0 {
				few = &d.Refusal.Codes[0]
			}
			if few != nil && few.Person != c.names {
				t.Errorf("it names %q, want %q", few.Person, c.names)
			}
		})
	}
}

// TestNobodyJoinsAPlanThatNobodyCouldApprove: that there were none is not that nobody is known.
func TestNobodyJoinsAPlanThatNobodyCouldApprove(t *testing.T) {
	t.Parallel()
	b := newBallot()
	b.request.Eligible = []string{}
	if got := codes(b.decide()); !slices.Equal(got, []actions.Code{approvals.JoinedLate}) {
		t.Error(got)
	}
}

// TestQuorumIsOthers: of random rosters, targets and votes. Nobody whose own the target is, not who asked,
// nobody overruled and nobody twice is ever counted, and a denial by one of the first never counts.
func TestQuorumIsOthers(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	reached, excluded := 0, 0
	for round := range 4000 {
		b := newBallot()
		n := 2 + rnd.IntN(5)
		b.policy.Roster = approvals.Roster{Groups: map[string][]string{}}
		for i := range n {
			p := approvals.Person{ID: fmt.Sprintf("p%d", i), Slack: fmt.Sprintf("U%d", i)}
			for _, own := range []string{hubUser, ssoOfBo, prodOfCy, roleOfCy, idOfCy, "sso:cy@example.com", rootOfCy} {
				if rnd.IntN(6) == 0 {
					p.Principals = append(p.Principals, own)
				}
			}
			b.policy.Roster.People = append(b.policy.Roster.People, p)
			for _, group := range []string{"responders", "leads"} {
				if rnd.IntN(5) > 0 {
					b.policy.Roster.Groups[group] = append(b.policy.Roster.Groups[group], p.ID)
				}
			}
		}
		someone := func() string { return fmt.Sprintf("p%d", rnd.IntN(n)) }
		b.entry(func(e *approvals.ActionPolicy) { e.Approvals = 1 + rnd.IntN(2) })
		r := &b.request
		r.Requester.Person = someone()
		r.Intent.Call.Target = []string{"arn:aws:iam::222222222222:user/CY", "sso:bo@example.com", "sso:cy@example.com", theKey, anAccount + "/ALL", rootOfCy}[rnd.IntN(6)]
		if r.Intent.Call.Target == theKey {
			r.Found = actions.Identity{ARN: []string{prodOfCy, hubUser, roleOfCy}[rnd.IntN(3)], ID: []string{theKey, idOfCy}[rnd.IntN(2)]}
		}
		for range rnd.IntN(2) {
			r.Overrules = append(r.Overrules, someone())
		}
		d := b.policy.Admit(r.Intent, r.Found, r.Requester.Person, approvals.TwoPerson)
		entry, eligible, enough := b.policy.For(r.Intent).Overrule(d.Waiting, r.Overrules)
		if !d.Accept || !enough {
			continue
		}
		r.Need, r.Eligible = entry.Approvals, eligible
		own := b.policy.Roster.Owners(r.Intent.Call, r.Found)
		none := slices.Concat(own, r.Overrules, []string{r.Requester.Person})
		for range 12 {
			v := vote(someone())
			v.Signed = rnd.IntN(3) == 0
			if d := b.policy.Decide(*r, approvals.Deny, v, b.now); d.Accept && slices.Contains(slices.Concat(own, r.Overrules), v.Person) {
				t.Fatalf("seed %d, round %d: a denial by %s of %+v", seed, round, v.Person, r)
			}
			d := b.policy.Decide(*r, approvals.Approve, v, b.now)
			for _, who := range d.Waiting {
				if slices.Contains(none, who) {
					t.Fatalf("seed %d, round %d: %s is waited for: %+v", seed, round, who, r)
				}
			}
			if !d.Accept {
				if slices.ContainsFunc(d.Refusal.Codes, func(v actions.Violation) bool { return v.Code == approvals.OwnPrincipal }) {
					excluded++
				}
				continue
			}
			r.Votes = approvals.Counted(r.Votes, v)
			var counted []string
			for _, v := range r.Votes {
				if slices.Contains(none, v.Person) || slices.Contains(counted, v.Person) {
					t.Fatalf("seed %d, round %d: %s counts: %+v", seed, round, v.Person, r)
				}
				counted = append(counted, v.Person)
			}
			if d.Quorum != (len(counted) >= max(r.Need, b.policy.For(r.Intent).Approvals)) {
				t.Fatalf("seed %d, round %d: quorum is %t with %v of %d", seed, round, d.Quorum, counted, r.Need)
			}
			if d.Quorum {
				reached++
				break
			}
		}
	}
	if reached < 100 || excluded < 100 {
		t.Errorf("seed %d: %d quorums, %d votes of the target's own: the choices don't reach what they are for", seed, reached, excluded)
	}
}
