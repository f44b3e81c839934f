package executor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// voted are the votes in a request's chain: who approved, and of rejected ones who is proved and why.
func (w *world) voted(r approvals.Request) (votes []string) {
	for _, e := range w.chain(r) {
		switch e.Event {
		case "approved":
			votes = append(votes, e.Actor+" approved")
		case "vote_rejected":
			votes = append(votes, e.Actor+" rejected: "+e.Facts["why"]+e.Facts["unproved"])
		}
	}
	return votes
}

// TestVotesThatDidNotSufficeAreInTheChain: of a request that ended with one approval of two the chain says who
// gave it, and of a vote that is rejected why, however the request ended.
func TestVotesThatDidNotSufficeAreInTheChain(t *testing.T) {
	t.Parallel()
	forge := func(v approvals.Vote) func(w *world, r approvals.Request) {
		return func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Votes = append(r.Votes, v) })
		}
	}
	carols := approvals.Vote{Actor: approvals.Actor{Person: "carol", Slack: carol}, Evidence: strings.Repeat("f", 64)}
	const noEvidence = " rejected: evidence does not hold: there is nonethe row names carol"
	expires := func(w *world, _ approvals.Request) { w.pass(31 * time.Minute) }
	for name, c := range map[string]struct {
		votes []string
		then  func(*world, approvals.Request)
		end   func(*world, approvals.Request)
		state approvals.State
		want  []string
	}{
		"expired with one of two":   {[]string{bob}, nil, expires, approvals.Expired, []string{"bob approved"}},
		"expired with none":         {nil, nil, expires, approvals.Expired, nil},
		"denied with one of two":    {[]string{bob}, nil, func(w *world, r approvals.Request) { w.clicks(carol, r, "deny") }, approvals.Denied, []string{"bob approved"}},
		"cancelled with one of two": {[]string{bob}, nil, func(w *world, r approvals.Request) { w.clicks(alice, r, "cancel") }, approvals.Cancelled, []string{"bob approved"}},
		"a forged one":              {[]string{bob}, forge(carols), expires, approvals.Expired, []string{"bob approved", noEvidence}},
		"the requester's own":       {[]string{alice}, nil, expires, approvals.Expired, []string{"alice rejected: self_approval"}},
		"an outsider's":             {[]string{mallory}, nil, expires, approvals.Expired, []string{"mallory rejected: not_approver"}},
		"the same person's twice":   {[]string{bob, bob}, nil, expires, approvals.Refused, []string{"bob approved", "bob rejected: double_vote"}},
		"refused when it was to run": {[]string{bob}, func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.State = approvals.Approved })
			w.sends(approvals.JobRun, r)
		}, func(w *world, _ approvals.Request) { w.drain() }, approvals.Refused, []string{"bob approved"}},
		"more than enough, one of them forged": {[]string{bob, carol}, forge(approvals.Vote{Actor: carols.Actor, Evidence: strings.Repeat("e", 64)}), func(w *world, _ approvals.Request) { w.drain() },
			approvals.Contained, []string{"bob approved", "carol approved", noEvidence}},
		"a thousand forged ones": {[]string{bob}, func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) {
				for range 1000 {
					v := carols
					v.Evidence = strings.Repeat("e", len(r.Votes)) // each another one
					r.Votes = append(r.Votes, v)
				}
			})
		}, expires, approvals.Expired, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, two)
			r := w.state(w.types(alice, revoke), approvals.Pending)
			for _, user := range c.votes {
				w.bring(w.button(user, r, "approve"))
			}
			if c.then != nil {
				c.then(w, r)
			}
			c.end(w, r)
			w.pass(time.Minute)
			w.state(r, c.state)
			got := w.voted(r)
			if len(w.again(r).Votes) > 1000 {
				if len(got) != 21 || got[0] != "bob approved" || !strings.Contains(got[20], "there are 1001 votes") {
					t.Errorf("%d: %q", len(got), got)
				}
				return
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestVoteWithoutAPlanIsRejected: there is nothing that it could be for.
func TestVoteWithoutAPlanIsRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.bring(w.says(alice, "revoke_sessions prod/nobody reason=x"))
	w.edit(r, func(r *approvals.Request) {
		r.Votes = []approvals.Vote{{Actor: approvals.Actor{Person: "bob"}, Evidence: r.Evidence}}
	})
	w.drain()
	w.state(r, approvals.Refused)
	if got := w.voted(r); len(got) != 1 || !strings.Contains(got[0], "it is not a click on approve") {
		t.Errorf("%q", got)
	}
}
