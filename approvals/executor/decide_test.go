package executor_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// two makes two people's approval necessary.
func two(w *world) { w.cfg.Policy.Default.Approvals = 2 }

// TestApprovalsAreCountedAnew: the executor alone decides whether what was approved
// may run: by the plan, by the policy of now, and by votes that it has proved.
func TestApprovalsAreCountedAnew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		alter func(*world)
		votes []string                        // who clicks on Approve
		then  func(*world, approvals.Request) // before the job is done
		why   string                          // empty: it runs
	}{
		"one of one": {votes: []string{bob}},
		"two of two": {alter: two, votes: []string{bob, carol}},

		"the row says approved, and nobody was": {why: "there are 0 proved approvals of the 1 needed"},
		"the row says that it needs nobody": {then: func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Need, r.Ready, r.Mode = 0, w.clock.Now(), approvals.OneClick })
		}, why: "there are 0 proved approvals of the 1 needed"},

		"an alert in the row of what was typed": {votes: []string{bob}, then: func(w *world, r approvals.Request) { // it is not believed, and nothing hangs on it
			w.edit(r, func(r *approvals.Request) { r.Alert, r.Event = "AL-4G7QX2M9ZT0B", "e" })
		}},

		// The row was altered since the plan.
		"another expiry in the row": {votes: []string{bob}, then: func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Expires = r.Expires.Add(time.Hour) })
		}, why: "the stored request was altered"},
		"another digest in the row": {votes: []string{bob}, then: func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Digest = "0" + r.Digest[1:] })
		}, why: "the stored request was altered"},
		"a denial in the row": {votes: []string{bob}, then: func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Denial = &approvals.Vote{Actor: approvals.Actor{Person: "carol"}} })
		}, why: "the stored request was altered"},
		"a cancellation in the row": {votes: []string{bob}, then: func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Cancelled = &approvals.Vote{Actor: approvals.Actor{Person: "alice"}} })
		}, why: "the stored request was altered"},

		// The policy of now says no.
		"the requester left the group": {votes: []string{bob}, then: func(w *world, _ approvals.Request) {
			w.executor.Policy.Roster.Groups["responders"] = []string{"bob", "carol"}
		}, why: "not_requester"},
		"too few are left who could approve": {votes: []string{bob}, then: func(w *world, _ approvals.Request) {
			w.executor.Policy.Roster.Groups["responders"] = []string{"alice"}
		}, why: "too_few_eligible"},
		"the account is protected now": {votes: []string{bob}, then: func(w *world, _ approvals.Request) {
			w.executor.Org.ProtectedAccounts = []string{prod}
		}, why: "protected by the configuration"},
		"the approver left the group": {votes: []string{bob}, then: func(w *world, _ approvals.Request) {
			w.executor.Policy.Roster.Groups["responders"] = []string{"alice", "carol"}
		}, why: "not_approver"},
		"the policy of now wants two": {votes: []string{bob}, then: func(w *world, _ approvals.Request) {
			w.executor.Policy.Default.Approvals = 2
		}, why: "there are 1 proved approvals of the 2 needed"},
		"the plan wants two, the policy of now one": {alter: two, votes: []string{bob}, then: func(w *world, r approvals.Request) {
			w.executor.Policy.Default.Approvals = 1
			w.edit(r, func(r *approvals.Request) { r.State = approvals.Approved })
		}, why: "there are 1 proved approvals of the 2 needed"},

		// Votes that count for nothing.
		"the requester's own": {votes: []string{alice}, why: "self_approval"},
		"the requester's own, in another's name": {votes: []string{alice}, then: func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Votes[0].Actor = approvals.Actor{Person: "bob", Slack: bob} })
		}, why: "self_approval"},
		"the requester's own, of a row that names another requester": {votes: []string{alice}, then: func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Requester.Person = "carol" })
		}, why: "not what was asked for"},
		"somebody's outside, in another's name": {votes: []string{mallory}, then: func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Votes[0].Actor = approvals.Actor{Person: "bob", Slack: bob} })
		}, why: "not_approver"},
		"somebody's outside":         {votes: []string{mallory}, why: "not_approver"},
		"one person's, twice":        {alter: two, votes: []string{bob, bob}, why: "double_vote"},
		"a vote and the requester's": {alter: two, votes: []string{bob, alice}, why: "self_approval"},
		"of somebody who joined since the plan": {votes: []string{mallory}, then: func(w *world, _ approvals.Request) {
			w.executor.Policy.Roster.Groups["responders"] = []string{"alice", "bob", "carol", "mallory"}
		}, why: "joined_late"},
		"of a plan that names nobody": {votes: []string{bob}, then: func(w *world, r approvals.Request) {
			rewrite(w, planKey(r), func(p *approvals.Planned) { p.Eligible = nil })
		}, why: "there are 0 proved approvals of the 1 needed"},
		"one that was altered beside a good one": {alter: two, votes: []string{bob, carol}, then: func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Votes[1].Evidence = r.Evidence })
		}, why: "it is not a click on approve"},
		"more than enough, one of them altered": {votes: []string{carol, bob}, then: func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Votes[0].Evidence = r.Evidence })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.alter != nil {
				w = newWorld(t, c.alter)
			}
			r := w.state(w.types(alice, revoke), approvals.Pending)
			for _, user := range c.votes {
				w.bring(w.button(user, r, "approve"))
			}
			if len(c.votes) == 0 {
				w.edit(r, func(r *approvals.Request) { r.State = approvals.Approved })
				w.sends(approvals.JobRun, r)
			}
			if c.then != nil {
				c.then(w, r)
			}
			if c.why == "" {
				w.drain()
				w.state(r, approvals.Contained)
				return
			}
			w.withoutAWS(w.drain)
			w.refused(r, c.why)
			w.untouched()
		})
	}
}

// TestRecordNamesWhoseApprovalWasProved: the row's names are not believed.
func TestRecordNamesWhoseApprovalWasProved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, two)
	r := w.types(alice, revoke)
	w.bring(w.button(bob, r, "approve"))
	w.bring(w.button(carol, r, "approve"))
	w.edit(r, func(r *approvals.Request) {
		r.Votes[0].Person, r.Votes[0].Slack = "mallory", mallory
		r.Votes = append(r.Votes, approvals.Vote{Actor: approvals.Actor{Person: "alice"}, Evidence: r.Evidence})
	})
	w.drain()
	w.state(r, approvals.Contained)
	if d := cmp.Diff([]string{"bob", "carol"}, w.run(r).Approvers); d != "" {
		t.Error(d)
	}
	var told []string
	for _, e := range w.chain(r) {
		if e.Event == "approved" {
			told = append(told, e.Actor)
		}
	}
	if d := cmp.Diff([]string{"bob", "carol"}, told); d != "" {
		t.Error(d)
	}
}

// TestRunWindowCountsFromTheLastApproval: what was approved runs within run_within
// of the approval, however long ago it was planned, and not later.
func TestRunWindowCountsFromTheLastApproval(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		alter  func(*world)
		votes  map[time.Duration]string // after the plan
		policy time.Duration            // run_within of the policy of now
		at     time.Duration            // of the job, after the plan
		late   bool
	}{
		"approved long after the plan":                 {votes: map[time.Duration]string{10 * time.Minute: bob}, at: 10 * time.Minute},
		"the job comes in time":                        {votes: map[time.Duration]string{10 * time.Minute: bob}, at: 15 * time.Minute},
		"the job comes a second late":                  {votes: map[time.Duration]string{10 * time.Minute: bob}, at: 15*time.Minute + time.Second, late: true},
		"the job comes a minute late":                  {votes: map[time.Duration]string{0: bob}, at: 6 * time.Minute, late: true},
		"the last of two approvals counts":             {alter: two, votes: map[time.Duration]string{0: bob, 10 * time.Minute: carol}, at: 14 * time.Minute},
		"it was approved just before it expired":       {votes: map[time.Duration]string{30 * time.Minute: bob}, at: 33 * time.Minute},
		"the policy of now gives less time":            {votes: map[time.Duration]string{0: bob}, policy: 2 * time.Minute, at: 3 * time.Minute, late: true},
		"the policy of now gives more, the plan stays": {votes: map[time.Duration]string{0: bob}, policy: time.Hour, at: 6 * time.Minute, late: true},
		"it was approved after it expired":             {votes: map[time.Duration]string{31 * time.Minute: bob}, at: 31 * time.Minute, late: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.alter != nil {
				w = newWorld(t, c.alter)
			}
			r := w.state(w.types(alice, revoke), approvals.Pending)
			planned := w.clock.Now()
			for d := time.Duration(0); d <= c.at; d += time.Second {
				if user, votes := c.votes[d]; votes {
					w.clock.Add(planned.Add(d).Sub(w.clock.Now()))
					w.bring(w.button(user, r, "approve"))
				}
			}
			w.clock.Add(planned.Add(c.at).Sub(w.clock.Now()))
			if c.policy != 0 {
				w.executor.Policy.Default.RunWithin = c.policy
			}
			if !c.late {
				w.drain()
				w.state(r, approvals.Contained)
				return
			}
			w.withoutAWS(w.drain)
			w.refused(r, string(approvals.PastExpiry))
			w.untouched()
		})
	}
}
