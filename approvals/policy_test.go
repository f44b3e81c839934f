package approvals_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

var asked = time.Date(2026, 11, 3, 2, 0, 0, 0, time.UTC)

// ballot is all that a decision hangs on.
type ballot struct {
	policy  approvals.Policy
	request approvals.Request
	kind    approvals.Kind
	vote    approvals.Vote
	now     time.Time
}

// newBallot is bo's timely approval of ana's request, which is accepted.
func newBallot() *ballot {
	entry := approvals.ActionPolicy{Requesters: "responders", Approvers: "leads", Approvals: 1, ApproveWithin: 30 * time.Minute, RunWithin: time.Hour}
	return &ballot{
		policy: approvals.Policy{
			Roster: approvals.Roster{
				People: []approvals.Person{{ID: "ana", Slack: "U1"}, {ID: "bo", Slack: "U2"}, {ID: "cy", Slack: "U3"}, {ID: "eve", Slack: "U4"}, {ID: "zed", Slack: "U5"}},
				// ghost left: the group still names them, the people do not.
				Groups: map[string][]string{"responders": {"ana", "eve"}, "leads": {"ana", "bo", "cy", "ghost"}},
			},
			Default: entry, Undo: entry,
			Actions: map[actions.Name]approvals.ActionPolicy{actions.RevokeSessions: entry},
		},
		request: approvals.Request{
			ID: "KS-4G7QX2M9ZT0B", State: approvals.Pending,
			Intent:    approvals.Intent{Call: actions.Call{Action: actions.RevokeSessions, Target: "arn:aws:iam::111122223333:role/app", Account: "111122223333"}},
			Requester: approvals.Actor{Person: "ana"},
			Asked:     asked, Expires: asked.Add(30 * time.Minute),
			Need: 1, Digest: "d1",
		},
		kind: approvals.Approve,
		vote: vote("bo"),
		now:  asked.Add(6 * time.Minute),
	}
}

func vote(person string) approvals.Vote {
	return approvals.Vote{Actor: approvals.Actor{Person: person}, At: asked.Add(5 * time.Minute), Digest: "d1"}
}

func (b *ballot) entry(f func(*approvals.ActionPolicy)) {
	e := b.policy.Actions[actions.RevokeSessions]
	f(&e)
	b.policy.Actions[actions.RevokeSessions] = e
}

func (b *ballot) decide() approvals.Decision {
	return b.policy.Decide(b.request, b.kind, b.vote, b.now)
}

// failed turns the ballot into eve's retry of a run that was approved just before, and
// has ended an hour later.
func (b *ballot) failed() {
	b.kind, b.request.State, b.request.Ready, b.request.Ended = approvals.Retry, approvals.Failed, asked.Add(time.Minute), asked.Add(time.Hour)
	b.vote.Person = "eve"
}

func codes(d approvals.Decision) []actions.Code {
	var cs []actions.Code
	if !d.Accept {
		for _, v := range d.Refusal.Codes {
			cs = append(cs, v.Code)
		}
	}
	return cs
}

func TestVoteIsRefusedForEachReason(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*ballot)
		want []actions.Code
	}{
		{"approve", func(*ballot) {}, nil},
		{"self", func(b *ballot) { b.vote.Person = "ana" }, []actions.Code{approvals.SelfApproval}},
		{"self, by another account", func(b *ballot) { b.vote.Actor = approvals.Actor{Person: "ana", Slack: "U9"} }, []actions.Code{approvals.SelfApproval}},
		{"not in the group", func(b *ballot) { b.vote.Person = "eve" }, []actions.Code{approvals.NotApprover}},
		{"unknown", func(b *ballot) { b.vote.Person = "mallory" }, []actions.Code{approvals.UnknownPerson, approvals.NotApprover}},
		{"unknown though in the group", func(b *ballot) { b.vote.Person = "ghost" }, []actions.Code{approvals.UnknownPerson}},
		{"nobody", func(b *ballot) { b.vote.Person = "" }, []actions.Code{approvals.UnknownPerson, approvals.NotApprover}},
		{"approvers unset", func(b *ballot) { b.entry(func(e *approvals.ActionPolicy) { e.Approvers = "" }) }, []actions.Code{approvals.NotApprover}},
		{"approvers' group missing", func(b *ballot) { delete(b.policy.Roster.Groups, "leads") }, []actions.Code{approvals.NotApprover}},
		{"double", func(b *ballot) { b.request.Votes = []approvals.Vote{vote("bo")} }, []actions.Code{approvals.DoubleVote}},
		{"wrong digest", func(b *ballot) { b.vote.Digest = "d2" }, []actions.Code{approvals.OtherCall}},
		{"no digest", func(b *ballot) { b.vote.Digest = "" }, []actions.Code{approvals.OtherCall}},
		{"no digest on either side", func(b *ballot) { b.vote.Digest, b.request.Digest = "", "" }, []actions.Code{approvals.OtherCall}},
		{"at expiry", func(b *ballot) { b.now = b.request.Expires }, nil},
		{"expired by now", func(b *ballot) { b.now = b.request.Expires.Add(1) }, []actions.Code{approvals.PastExpiry}},
		{"expired by the vote's time", func(b *ballot) { b.vote.At = b.request.Expires.Add(1) }, []actions.Code{approvals.PastExpiry}},
		{"expired by the vote's time, in the policy's time", func(b *ballot) {
			b.request.Expires = asked.Add(4 * time.Minute)
			b.now = b.request.Expires
		}, []actions.Code{approvals.PastExpiry}},
		{"no expiry set", func(b *ballot) { b.request.Expires = time.Time{} }, []actions.Code{approvals.PastExpiry}},
		{"at the policy's shorter time", func(b *ballot) { b.entry(func(e *approvals.ActionPolicy) { e.ApproveWithin = 5 * time.Minute }) }, nil},
		{"past the policy's shorter time", func(b *ballot) { b.entry(func(e *approvals.ActionPolicy) { e.ApproveWithin = 5*time.Minute - 1 }) }, []actions.Code{approvals.PastExpiry}},
		{"policy without a time", func(b *ballot) { b.entry(func(e *approvals.ActionPolicy) { e.ApproveWithin = 0 }) }, []actions.Code{approvals.PastExpiry}},
		{"request's shorter time, policy's longer", func(b *ballot) {
			b.request.Expires = asked.Add(4 * time.Minute)
			b.entry(func(e *approvals.ActionPolicy) { e.ApproveWithin = time.Hour })
		}, []actions.Code{approvals.PastExpiry}},
		{"eligible since the plan", func(b *ballot) { b.request.Eligible = []string{"bo"} }, nil},
		{"joined since the plan", func(b *ballot) { b.request.Eligible = []string{"cy"} }, []actions.Code{approvals.JoinedLate}},
		{"left since the plan", func(b *ballot) {
			b.request.Eligible = []string{"bo", "cy"}
			b.policy.Roster.Groups["leads"] = []string{"cy"}
		}, []actions.Code{approvals.NotApprover}},
		{"self, and not eligible", func(b *ballot) { b.request.Eligible, b.vote.Person = []string{"bo"}, "ana" }, []actions.Code{approvals.SelfApproval}},
		{"all that is wrong", func(b *ballot) {
			b.vote.Person, b.request.State = "ana", approvals.Denied
			b.request.Votes = []approvals.Vote{vote("ana")}
		}, []actions.Code{approvals.SelfApproval, approvals.DoubleVote, approvals.NotOpen}},

		{"deny by an approver", func(b *ballot) { b.kind = approvals.Deny }, nil},
		{"deny by a responder", func(b *ballot) { b.kind, b.vote.Person = approvals.Deny, "eve" }, nil},
		{"deny of another's call counts", func(b *ballot) { b.kind, b.vote.Digest = approvals.Deny, "" }, nil},
		{"deny late counts", func(b *ballot) { b.kind, b.now = approvals.Deny, asked.Add(time.Hour) }, nil},
		{"deny by an outsider", func(b *ballot) { b.kind, b.vote.Person = approvals.Deny, "zed" }, []actions.Code{approvals.NotApprover}},
		{"deny by nobody", func(b *ballot) { b.kind, b.vote.Person = approvals.Deny, "" }, []actions.Code{approvals.UnknownPerson, approvals.NotApprover}},

		{"cancel", func(b *ballot) { b.kind, b.vote.Person = approvals.Cancel, "ana" }, nil},
		{"cancel another's", func(b *ballot) { b.kind = approvals.Cancel }, []actions.Code{approvals.NotTheirs}},
		{"cancel nobody's", func(b *ballot) { b.kind, b.vote.Person, b.request.Requester.Person = approvals.Cancel, "", "" }, []actions.Code{approvals.UnknownPerson}},

		{"retry", func(b *ballot) { b.failed() }, nil},
		{"retry by an approver", func(b *ballot) { b.failed(); b.vote.Person = "cy" }, nil},
		{"retry by the requester", func(b *ballot) { b.failed(); b.vote.Person = "ana" }, nil},
		{"retry by an outsider", func(b *ballot) { b.failed(); b.vote.Person = "zed" }, []actions.Code{approvals.NotRequester}},
		{"retry of another call", func(b *ballot) { b.failed(); b.vote.Digest = "d2" }, []actions.Code{approvals.OtherCall}},
		{"retry with no digest", func(b *ballot) { b.failed(); b.vote.Digest = "" }, []actions.Code{approvals.OtherCall}},
		{"retry with no digest on either side", func(b *ballot) { b.failed(); b.vote.Digest, b.request.Digest = "", "" }, []actions.Code{approvals.OtherCall}},
		{"retry at 60 minutes", func(b *ballot) {
			b.failed()
			b.now = b.request.Ready.Add(60 * time.Minute)
			b.vote.At = b.now
		}, nil},
		{"retry after 60 minutes", func(b *ballot) { b.failed(); b.now = b.request.Ready.Add(60*time.Minute + 1) }, []actions.Code{approvals.RetryOver}},
		{"retry signed after 60 minutes", func(b *ballot) { b.failed(); b.vote.At = b.request.Ready.Add(60*time.Minute + 1) }, []actions.Code{approvals.RetryOver}},
		{"retry an hour after the request", func(b *ballot) { b.failed(); b.request.Ready = time.Time{}; b.now = asked.Add(60*time.Minute + 1) }, []actions.Code{approvals.RetryOver}},

		{"retry of what was denied", func(b *ballot) { b.failed(); b.request.Denial = new(vote("bo")) }, []actions.Code{approvals.Withdrawn}},
		{"retry of what was cancelled", func(b *ballot) { b.failed(); b.request.Cancelled = new(vote("ana")) }, []actions.Code{approvals.Withdrawn}},
		{"deny of what failed", func(b *ballot) { b.failed(); b.kind, b.vote.Person = approvals.Deny, "bo" }, nil},
		{"deny of what failed, late", func(b *ballot) {
			b.failed()
			b.kind, b.vote.Person, b.now = approvals.Deny, "bo", asked.Add(38*time.Hour)
		}, nil},
		{"deny of what failed by a responder", func(b *ballot) { b.failed(); b.kind = approvals.Deny }, []actions.Code{approvals.NotApprover}},
		{"cancel of what failed", func(b *ballot) { b.failed(); b.kind, b.vote.Person = approvals.Cancel, "ana" }, nil},
		{"cancel of another's that failed", func(b *ballot) { b.failed(); b.kind, b.vote.Person = approvals.Cancel, "bo" }, []actions.Code{approvals.NotTheirs}},
		{"a second no", func(b *ballot) {
			b.failed()
			b.kind, b.vote.Person, b.request.Cancelled = approvals.Deny, "bo", new(vote("ana"))
		}, []actions.Code{approvals.Withdrawn}},
		{"a no beside a forged one", func(b *ballot) { b.kind, b.request.Denial = approvals.Deny, new(vote("cy")) }, nil},

		{"another kind", func(b *ballot) { b.kind = "applaud" }, []actions.Code{approvals.OtherCall}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, same := newBallot(), newBallot()
			c.edit(b)
			c.edit(same)
			d := b.decide()
			if got := codes(d); !slices.Equal(got, c.want) {
				t.Errorf("why: %v, want %v", got, c.want)
			}
			check(t, b, d)
			if !reflect.DeepEqual(b, same) {
				t.Error("the decision altered what it was given")
			}
			if !reflect.DeepEqual(d, b.decide()) {
				t.Error("the same ballot was decided twice differently")
			}
		})
	}
}

func TestVotesCountOnlyInTheirStates(t *testing.T) {
	may := map[approvals.Kind][]approvals.State{
		approvals.Approve: {approvals.Pending},
		approvals.Deny:    {approvals.Planning, approvals.Pending, approvals.Approved, approvals.Partial, approvals.Failed},
		approvals.Cancel:  {approvals.Planning, approvals.Pending, approvals.Approved, approvals.Partial, approvals.Failed},
		approvals.Retry:   {approvals.Partial, approvals.Failed},
	}
	for kind, open := range may {
		for _, s := range states(t) {
			b := newBallot()
			if kind == approvals.Retry {
				b.failed()
			}
			if kind == approvals.Cancel {
				b.vote.Person = "ana"
			}
			b.kind, b.request.State = kind, s
			d := b.decide()
			if d.Accept != slices.Contains(open, s) || d.Refusal != nil && !slices.Equal(d.Refusal.Codes, []actions.Violation{{Code: approvals.NotOpen, State: string(s)}}) {
				t.Errorf("%s of a request that is %s: %+v", kind, s, d)
			}
			check(t, b, d)
		}
	}
}

// TestNoAfterARun: it ends what is not in force, and of a containment that is in part only
// the retries.
func TestNoAfterARun(t *testing.T) {
	for _, c := range []struct {
		state approvals.State
		undo  string
		ends  bool
	}{
		{approvals.Failed, "", true},
		{approvals.Failed, "KS-4G7QX2M9ZT0B", true},
		{approvals.Partial, "KS-4G7QX2M9ZT0B", true},
		{approvals.Partial, "", false},
	} {
		for _, to := range []approvals.State{approvals.Denied, approvals.Cancelled} {
			r := approvals.Request{State: c.state, Intent: approvals.Intent{Undo: c.undo}, Closed: true, Ready: asked}
			if !r.MayRetry(asked) {
				t.Errorf("%+v can't be retried", c)
			}
			if err := r.SayNo(to, vote("bo"), asked); err != nil {
				t.Fatal(err)
			}
			want := c.state
			if c.ends {
				want = to
			}
			if no, said := r.No(); r.State != want || said != to || no.Person != "bo" || r.Closed || !r.Stale() || r.MayRetry(asked) {
				t.Errorf("%+v, %s: %+v", c, to, r)
			}
		}
	}
	for _, s := range states(t) {
		for _, undo := range []string{"", "KS-4G7QX2M9ZT0B"} {
			i := approvals.Intent{Undo: undo}
			if want := s == approvals.Failed || s == approvals.Partial && undo != ""; s.EndedByNo(i) != want {
				t.Errorf("%s, undo %q", s, undo)
			}
		}
	}
}

func TestStricterQuorumOfPolicyAndRequestCounts(t *testing.T) {
	for _, c := range []struct {
		policy, request int
		votes           []string
		need, have      int
		quorum          bool
		waiting         []string
	}{
		{1, 1, nil, 1, 1, true, []string{"cy"}},
		{0, 0, nil, 1, 1, true, []string{"cy"}}, // never none
		{-1, 0, nil, 1, 1, true, []string{"cy"}},
		{2, 2, nil, 2, 1, false, []string{"cy"}},
		{2, 1, nil, 2, 1, false, []string{"cy"}}, // the stricter wins
		{1, 2, nil, 2, 1, false, []string{"cy"}},
		{2, 2, []string{"cy"}, 2, 2, true, nil},
		{3, 1, []string{"cy"}, 3, 2, false, nil},
	} {
		b := newBallot()
		b.entry(func(e *approvals.ActionPolicy) { e.Approvals = c.policy })
		b.request.Need = c.request
		b.request.Votes = make([]approvals.Vote, 0, 8)
		for _, p := range c.votes {
			b.request.Votes = append(b.request.Votes, vote(p))
		}
		d := b.decide()
		if d.Refusal != nil || d.Need != c.need || d.Have != c.have || d.Quorum != c.quorum || !slices.Equal(d.Waiting, c.waiting) {
			t.Errorf("%+v: %+v", c, d)
		}
		if spare := b.request.Votes[:8][len(c.votes)]; spare != (approvals.Vote{}) {
			t.Errorf("%+v: the vote was written behind the caller's votes", c)
		}
		// A vote that does not count is not counted.
		b.vote.Person = "ana"
		if d := b.decide(); d.Accept || d.Quorum || d.Have != len(c.votes) {
			t.Errorf("%+v, by the requester: %+v", c, d)
		}
	}
}

// TestOnlyAcceptedApprovalsAreCounted: neither what is not accepted nor a word of
// another kind adds to the approvals, or takes its voter off those who may approve.
func TestOnlyAcceptedApprovalsAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		edit    func(*ballot)
		accept  bool
		waiting []string
	}{
		"a denial":             {func(b *ballot) { b.kind = approvals.Deny }, true, []string{"bo", "cy"}},
		"a cancellation":       {func(b *ballot) { b.kind, b.vote.Person = approvals.Cancel, "ana" }, true, []string{"bo", "cy"}},
		"a retry":              {func(b *ballot) { b.failed() }, true, nil},
		"another kind":         {func(b *ballot) { b.kind = "applaud" }, false, []string{"bo", "cy"}},
		"a late approval":      {func(b *ballot) { b.now = b.request.Expires.Add(1) }, false, []string{"bo", "cy"}},
		"of another call":      {func(b *ballot) { b.vote.Digest = "d2" }, false, []string{"bo", "cy"}},
		"an outsider's":        {func(b *ballot) { b.vote.Person = "zed" }, false, []string{"bo", "cy"}},
		"of what is not open":  {func(b *ballot) { b.request.State = approvals.Approved }, false, nil},
		"a denial by nobody":   {func(b *ballot) { b.kind, b.vote.Person = approvals.Deny, "" }, false, []string{"bo", "cy"}},
		"a cancellation by bo": {func(b *ballot) { b.kind = approvals.Cancel }, false, []string{"bo", "cy"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBallot()
			c.edit(b)
			if d := b.decide(); d.Accept != c.accept || d.Have != 0 || d.Quorum || !slices.Equal(d.Waiting, c.waiting) {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestUndoHasAPolicyOfItsOwn(t *testing.T) {
	p := approvals.Policy{
		Default: approvals.ActionPolicy{Approvals: 1}, Undo: approvals.ActionPolicy{Approvals: 2},
		Actions: map[actions.Name]approvals.ActionPolicy{actions.RevokeSessions: {Approvals: 3}},
	}
	for want, i := range map[int]approvals.Intent{
		1: {Call: actions.Call{Action: "other"}},
		2: {Call: actions.Call{Action: actions.RevokeSessions}, Undo: "KS-4G7QX2M9ZT0B"},
		3: {Call: actions.Call{Action: actions.RevokeSessions}},
	} {
		if got := p.For(i).Approvals; got != want {
			t.Errorf("%v falls under entry %d, want %d", i, got, want)
		}
	}
}

func TestRequesterNeedsTheGroupAndEnoughApprovers(t *testing.T) {
	for _, c := range []struct {
		name   string
		person string
		edit   func(*approvals.ActionPolicy)
		want   []actions.Code
		have   int // people who may approve
	}{
		{"responder", "eve", nil, nil, 3},
		{"responder who is an approver too", "ana", nil, nil, 2},
		{"not a requester", "bo", nil, []actions.Code{approvals.NotRequester}, 2},
		{"unknown", "mallory", nil, []actions.Code{approvals.UnknownPerson}, 3},
		{"nobody", "", nil, []actions.Code{approvals.UnknownPerson}, 3},
		{"requesters unset", "ana", func(e *approvals.ActionPolicy) { e.Requesters = "" }, []actions.Code{approvals.NotRequester}, 2},
		{"approvers unset", "ana", func(e *approvals.ActionPolicy) { e.Approvers = "" }, []actions.Code{approvals.TooFewEligible}, 0},
		{"all but the requester", "ana", func(e *approvals.ActionPolicy) { e.Approvals = 2 }, nil, 2},
		{"too few without the requester", "ana", func(e *approvals.ActionPolicy) { e.Approvals = 3 }, []actions.Code{approvals.TooFewEligible}, 2},
		{"enough for another", "eve", func(e *approvals.ActionPolicy) { e.Approvals = 3 }, nil, 3},
		{"no approvals", "ana", func(e *approvals.ActionPolicy) { e.Approvals = 0 }, []actions.Code{approvals.TooFewEligible}, 2},
		{"fewer than none", "ana", func(e *approvals.ActionPolicy) { e.Approvals = -1 }, []actions.Code{approvals.TooFewEligible}, 2},
		{"both", "bo", func(e *approvals.ActionPolicy) { e.Approvals = 5 }, []actions.Code{approvals.NotRequester, approvals.TooFewEligible}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBallot()
			if c.edit != nil {
				b.entry(c.edit)
			}
			d := b.policy.Admit(b.request.Intent, actions.Identity{}, c.person, approvals.TwoPerson)
			if got := codes(d); !slices.Equal(got, c.want) || d.Accept != (len(c.want) == 0) || len(d.Waiting) != c.have {
				t.Errorf("%+v, want %v of %d", d, c.want, c.have)
			}
		})
	}
	if d := (approvals.Policy{}).Admit(approvals.Intent{}, actions.Identity{}, "ana", approvals.TwoPerson); d.Accept {
		t.Errorf("the empty policy admits: %+v", d)
	}
}

// TestRequesterNeedsTheGroupAndEnoughApprovers: a release asks for nobody's approval, and a click for all else
// that is asked of a person; only what nobody asked for has no person.
func TestOnlyAutomaticRequestsNeedNoPerson(t *testing.T) {
	for _, c := range []struct {
		name   string
		by     approvals.ApprovalMode
		person string
		edit   func(*approvals.ActionPolicy)
		need   int
		want   []actions.Code
	}{
		{"click", approvals.OneClick, "ana", nil, 0, nil},
		{"click where nobody could approve", approvals.OneClick, "ana", func(e *approvals.ActionPolicy) { e.Approvers = "" }, 0, nil},
		{"click of no requester", approvals.OneClick, "bo", nil, 0, []actions.Code{approvals.NotRequester}},
		{"click of nobody we know", approvals.OneClick, "mallory", nil, 0, []actions.Code{approvals.UnknownPerson}},
		{"click of nobody", approvals.OneClick, approvals.AutomaticRequester, nil, 0, []actions.Code{approvals.UnknownPerson}},
		{"rule", approvals.Automatic, approvals.AutomaticRequester, func(e *approvals.ActionPolicy) { e.Requesters, e.Approvers = "", "" }, 0, nil},
		{"rule in a person's name", approvals.Automatic, "ana", func(e *approvals.ActionPolicy) { e.Approvers = "" }, 1, []actions.Code{approvals.TooFewEligible}},
		{"another release", "magic", "ana", func(e *approvals.ActionPolicy) { e.Approvers = "" }, 1, []actions.Code{approvals.TooFewEligible}},
		{"people, of a rule's request", approvals.TwoPerson, approvals.AutomaticRequester, nil, 2, nil},
		{"people, of a rule's request, as many as there are", approvals.TwoPerson, approvals.AutomaticRequester, func(e *approvals.ActionPolicy) { e.Approvals = 3 }, 3, nil},
		{"too few people, of a rule's request", approvals.TwoPerson, approvals.AutomaticRequester, func(e *approvals.ActionPolicy) { e.Approvers = "" }, 1, []actions.Code{approvals.TooFewEligible}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBallot()
			if c.edit != nil {
				b.entry(c.edit)
			}
			d := b.policy.Admit(b.request.Intent, actions.Identity{}, c.person, c.by)
			if got := codes(d); !slices.Equal(got, c.want) || d.Accept != (len(c.want) == 0) || d.Need != c.need {
				t.Errorf("%+v, want %v", d, c.want)
			}
		})
	}
}

// TestNobodyWaitsForWhoJoinedLate: a card names those who may approve it.
func TestNobodyWaitsForWhoJoinedLate(t *testing.T) {
	for _, c := range []struct {
		name     string
		eligible []string
		want     []string
	}{
		{"all who are in the group", nil, []string{"bo", "cy"}},
		{"those of the plan", []string{"cy"}, []string{"cy"}},
		{"the requester is none", []string{"ana", "bo"}, []string{"bo"}},
	} {
		b := newBallot()
		b.kind, b.vote.Person, b.request.Eligible = approvals.Deny, "eve", c.eligible
		if d := b.decide(); !slices.Equal(d.Waiting, c.want) {
			t.Errorf("%s: waiting for %v, want %v", c.name, d.Waiting, c.want)
		}
	}
}

// check is what holds for every decision.
func check(t *testing.T, b *ballot, d approvals.Decision) {
	t.Helper()
	r := b.request
	if d.Accept == (d.Refusal != nil && len(d.Refusal.Codes) > 0) {
		t.Error("refused without a code")
	}
	if d.Need < 1 || d.Quorum && (!d.Accept || b.kind != approvals.Approve || d.Have < d.Need || d.Unsigned) {
		t.Errorf("quorum of %+v", d)
	}
	for _, id := range d.Waiting {
		_, known := b.policy.Roster.ByID(id)
		if !known || id == r.Requester.Person || r.State != approvals.Pending || !d.Unsigned && slices.ContainsFunc(r.Votes, func(v approvals.Vote) bool { return v.Person == id }) {
			t.Errorf("still waiting for %q: %+v", id, d)
		}
	}
	if !d.Accept {
		return
	}
	if _, known := b.policy.Roster.ByID(b.vote.Person); !known {
		t.Errorf("accepted the unknown %q", b.vote.Person)
	}
	if b.kind == approvals.Approve && (b.vote.Person == r.Requester.Person || r.State != approvals.Pending || b.vote.Digest == "" || b.vote.Digest != r.Digest || slices.Contains(d.Waiting, b.vote.Person)) {
		t.Errorf("accepted %+v of %+v: %+v", b.vote, r, d)
	}
}

func TestInvariantsHoldForRandomVotes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(s ...string) string { return s[rnd.IntN(len(s))] }
	minutes := func() time.Duration { return time.Duration(rnd.IntN(70)) * time.Minute }
	all, accepted := states(t), 0
	for range 20_000 {
		b := newBallot()
		b.kind = approvals.Kind(pick("approve", "approve", "deny", "cancel", "retry", ""))
		b.vote.Person, b.request.Requester.Person = pick("ana", "bo", "cy", "eve", "zed", "ghost", ""), pick("ana", "bo", "eve", "")
		b.vote.Digest, b.request.Digest = pick("d1", "d2", ""), pick("d1", "")
		b.vote.At, b.now, b.request.Expires, b.request.Ended = asked.Add(minutes()), asked.Add(minutes()), asked.Add(minutes()), asked.Add(minutes())
		b.request.Need = rnd.IntN(3)
		if rnd.IntN(2) == 0 {
			b.request.State = all[rnd.IntN(len(all))]
		}
		for range rnd.IntN(3) {
			b.request.Votes = append(b.request.Votes, vote(pick("ana", "bo", "cy")))
		}
		b.entry(func(e *approvals.ActionPolicy) {
			e.Approvals, e.Approvers, e.ApproveWithin = rnd.IntN(3), pick("leads", "responders", ""), minutes()
		})
		d := b.decide()
		check(t, b, d)
		if d.Accept {
			accepted++
		}
		if t.Failed() {
			t.Fatalf("%+v", b)
		}
	}
	if accepted < 100 {
		t.Errorf("only %d were accepted: the property says little", accepted)
	}
}

func TestRosterFindsPeopleByTheirAccounts(t *testing.T) {
	r := newBallot().policy.Roster
	r.People = append(r.People, approvals.Person{Name: "no accounts"})
	for user, id := range map[string]string{"U1": "ana", "U2": "bo", "U5": "zed"} { // the first and the last, too
		if p, ok := r.BySlack(user); !ok || p.ID != id {
			t.Errorf("%s is %+v", user, p)
		}
		if p, ok := r.ByID(id); !ok || p.Slack != user {
			t.Errorf("%s is %+v", id, p)
		}
	}
	for _, id := range []string{"", "u2", "U99"} {
		if p, ok := r.BySlack(id); ok {
			t.Errorf("%q is %+v", id, p)
		}
		if p, ok := r.ByID(id); ok {
			t.Errorf("%q is %+v", id, p)
		}
	}
}

// TestOverrule: one approval more than usual, but no more than there are others; never fewer.
func TestOverrule(t *testing.T) {
	for _, c := range []struct {
		approvals      int
		eligible, said []string
		want           int
		others         []string
		enough         bool
	}{
		{1, []string{"a", "b", "c"}, nil, 1, []string{"a", "b", "c"}, true},
		{1, []string{"a", "b", "c"}, []string{"c"}, 2, []string{"a", "b"}, true},
		{1, []string{"a", "c"}, []string{"c"}, 1, []string{"a"}, true},
		{2, []string{"a", "b", "c"}, []string{"c"}, 2, []string{"a", "b"}, true},
		{2, []string{"a", "c"}, []string{"c"}, 2, []string{"a"}, false},
		{1, []string{"c"}, []string{"c"}, 1, nil, false},
	} {
		e, others, enough := approvals.ActionPolicy{Approvals: c.approvals}.Overrule(c.eligible, c.said)
		if e.Approvals != c.want || !slices.Equal(others, c.others) || enough != c.enough {
			t.Errorf("%d of %v without %v: %d of %v, %t", c.approvals, c.eligible, c.said, e.Approvals, others, enough)
		}
	}
}

// TestVoteFromTheCommandLine: where the policy of the plan or of now wants one, clicks alone approve
// nothing; who clicked may sign, and counts once.
func TestVoteFromTheCommandLine(t *testing.T) {
	signed := func(person string) approvals.Vote {
		v := vote(person)
		v.Signed = true
		return v
	}
	for _, c := range []struct {
		name             string
		planned, now     bool
		need             int
		votes            []approvals.Vote
		vote             approvals.Vote
		want             []actions.Code
		have             int
		quorum, unsigned bool
		waiting          []string
	}{
		{"not wanted", false, false, 1, nil, vote("bo"), nil, 1, true, false, []string{"cy"}},
		{"a click alone", false, true, 1, nil, vote("bo"), nil, 1, false, true, []string{"bo"}},
		{"wanted by the plan", true, false, 1, nil, vote("bo"), nil, 1, false, true, []string{"bo"}},
		{"a signed one", true, true, 1, nil, signed("bo"), nil, 1, true, false, []string{"cy"}},
		{"of two, the click first", false, true, 2, nil, vote("cy"), nil, 1, false, true, []string{"bo"}},
		{"of two, the signed one last", false, true, 2, []approvals.Vote{vote("cy")}, signed("bo"), nil, 2, true, false, nil},
		{"of two, the click last", false, true, 2, []approvals.Vote{signed("bo")}, vote("cy"), nil, 2, true, false, nil},
		{"two clicks", false, true, 2, []approvals.Vote{vote("cy")}, vote("bo"), nil, 2, false, true, []string{"bo"}},
		{"who clicked signs", false, true, 1, []approvals.Vote{vote("bo")}, signed("bo"), nil, 1, true, false, []string{"cy"}},
		{"who clicked signs, and counts once", false, true, 2, []approvals.Vote{vote("bo")}, signed("bo"), nil, 1, false, false, []string{"cy"}},
		{"who signed signs again", false, true, 2, []approvals.Vote{signed("bo")}, signed("bo"), []actions.Code{approvals.DoubleVote}, 1, false, false, []string{"cy"}},
		{"who signed clicks", false, true, 2, []approvals.Vote{signed("bo")}, vote("bo"), []actions.Code{approvals.DoubleVote}, 1, false, false, []string{"cy"}},
		{"who clicked clicks again", false, true, 2, []approvals.Vote{vote("bo")}, vote("bo"), []actions.Code{approvals.DoubleVote}, 1, false, true, []string{"cy"}},
		{"one click too many", false, true, 1, []approvals.Vote{vote("bo")}, vote("cy"), []actions.Code{approvals.NotSigned}, 1, false, true, []string{"bo"}},
		{"the requester signs", false, true, 1, nil, signed("ana"), []actions.Code{approvals.SelfApproval}, 0, false, true, []string{"bo", "cy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBallot()
			b.policy.Roster.People[1].IAM = []string{"arn:aws:iam::111122223333:user/bo"}
			b.entry(func(e *approvals.ActionPolicy) { e.Approvals, e.RequireSTS = c.need, c.now })
			b.request.NeedSTS, b.request.Votes, b.vote = c.planned, c.votes, c.vote
			d := b.decide()
			if got := codes(d); !slices.Equal(got, c.want) || d.Have != c.have || d.Quorum != c.quorum || d.Unsigned != c.unsigned || !slices.Equal(d.Waiting, c.waiting) {
				t.Errorf("%v: %+v", got, d)
			}
		})
	}
}

// TestSomebodyMustBeAbleToSign: what wants a vote from the command line is refused at once where nobody
// can give it, and never goes without people.
func TestSomebodyMustBeAbleToSign(t *testing.T) {
	for _, c := range []struct {
		name   string
		signer int
		mode   approvals.ApprovalMode
		want   []actions.Code
	}{
		{"an approver can", 1, approvals.TwoPerson, nil},
		{"the requester alone can", 0, approvals.TwoPerson, []actions.Code{approvals.NoSigner}},
		{"one click", 1, approvals.OneClick, []actions.Code{approvals.NotSigned}},
	} {
		b := newBallot()
		b.policy.Roster.People[c.signer].IAM = []string{"arn:aws:iam::111122223333:user/x"}
		b.entry(func(e *approvals.ActionPolicy) { e.RequireSTS = true })
		if d := b.policy.Admit(b.request.Intent, actions.Identity{}, "ana", c.mode); !slices.Equal(codes(d), c.want) {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}
