package executor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/memory"
)

// TestChainNamesTheApprovalThatWasProved: who approved, when and by what evidence, as
// it was proved, not as a row says.
func TestChainNamesTheApprovalThatWasProved(t *testing.T) {
	t.Parallel()
	for name, alter := range map[string]func(*approvals.Request){
		"another's name": func(r *approvals.Request) { r.Votes[0].Person, r.Votes[0].Slack = "carol", carol },
		"another time":   func(r *approvals.Request) { r.Votes[0].At = r.Votes[0].At.Add(-time.Hour) },
		"one more": func(r *approvals.Request) {
			v := r.Votes[0]
			v.Evidence, v.At = strings.Repeat("f", 64), v.At.Add(-time.Hour)
			r.Votes = append(r.Votes, v)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			at := w.clock.Now()
			r := w.bring(w.button(bob, w.types(alice, revoke), "approve"))
			w.edit(r, alter)
			w.drain()
			r = w.state(r, approvals.Contained)
			e, n := w.event(r, "approved")
			if n != 1 || e.Actor != "bob" || e.Facts["at"] != at.Format(time.RFC3339) || e.Facts["evidence"] != r.Votes[0].Evidence {
				t.Errorf("%d approvals in the chain, the last is %+v", n, e)
			}
			if got := w.run(r).Approvers; len(got) != 1 || got[0] != "bob" {
				t.Errorf("approvers: %v", got)
			}
		})
	}
}

// TestEndsWithoutARunAreInTheChain: with who said no, and with the reason.
func TestEndsWithoutARunAreInTheChain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end    func(*world, approvals.Request)
		want   approvals.State
		actor  string
		reason string
	}{
		"denied on the card":    {func(w *world, r approvals.Request) { w.clicks(bob, r, "deny") }, approvals.Denied, "bob", ""},
		"denied by command":     {func(w *world, r approvals.Request) { w.types(bob, "deny "+strings.ToLower(r.ID)+" it is a drill") }, approvals.Denied, "bob", ""},
		"cancelled on the card": {func(w *world, r approvals.Request) { w.clicks(alice, r, "cancel") }, approvals.Cancelled, "alice", ""},
		"cancelled by command":  {func(w *world, r approvals.Request) { w.types(alice, "cancel "+r.ID) }, approvals.Cancelled, "alice", ""},
		"denied with a reason": {func(w *world, r approvals.Request) {
			w.bring(w.button(bob, r, "deny"))
			w.edit(r, func(r *approvals.Request) { r.Denial.Reason = "it is a drill" })
			w.drain()
		}, approvals.Denied, "bob", "it is a drill"},
		"expired": {func(w *world, _ approvals.Request) { w.pass(31 * time.Minute) }, approvals.Expired, "", ""},
		"denied after the approval": {func(w *world, r approvals.Request) {
			w.bring(w.button(bob, r, "approve"))
			w.bring(w.button(carol, r, "deny"))
			w.drain()
		}, approvals.Denied, "carol", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.state(w.types(alice, revoke), approvals.Pending)
			w.withoutAWS(func() {
				c.end(w, r)
				w.pass(time.Minute)
			})
			r = w.state(r, c.want)
			e, n := w.event(r, string(c.want))
			if n != 1 || e.Actor != c.actor || e.Facts["reason"] != c.reason || e.Facts["unproved"] != "" || e.Facts["intent"] != r.Intent.String() {
				t.Errorf("%d times in the chain: %+v", n, e)
			}
			if run := w.run(r); run.Started || run.Outcome != c.want || run.Cause != c.reason || !r.Closed {
				t.Errorf("%+v, closed: %t", run, r.Closed)
			}
			for _, v := range []approvals.Verb{approvals.JobRun, approvals.JobClose, approvals.JobPlan, approvals.JobLook, approvals.JobReport} { // and it stays so
				w.withoutAWS(func() { w.job(w.executor, v, r) })
			}
			w.state(r, c.want)
			w.untouched()
		})
	}
}

// TestDeniedRequestIsNotRevived: the run's row bars it, whatever somebody writes into
// the request's.
func TestDeniedRequestIsNotRevived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.types(alice, revoke)
	w.clicks(carol, r, "deny")
	d := w.button(bob, r, "approve")
	w.edit(r, func(r *approvals.Request) { r.Denial, r.State, r.Closed = nil, approvals.Approved, false })
	r = w.bring(d)
	w.drain()
	w.pass(2 * time.Minute)
	w.state(r, approvals.Denied)
	w.untouched()
}

// TestReasonThatCameAfterADenialIsInTheChain: it was typed into the form after the no.
func TestReasonThatCameAfterADenialIsInTheChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.types(alice, revoke)
	w.clicks(bob, r, "deny")
	w.edit(r, func(r *approvals.Request) { r.Denial.Reason = "wrong role" })
	for range 2 {
		w.job(w.executor, approvals.JobClose, r)
	}
	if e, n := w.event(r, "reason"); n != 1 || e.Actor != "bob" || e.Facts["reason"] != "wrong role" {
		t.Errorf("%d times in the chain: %+v", n, e)
	}
	if e, n := w.event(r, "denied"); n != 1 || e.Actor != "bob" {
		t.Errorf("%d times in the chain: %+v", n, e)
	}
	if run := w.run(r); run.Cause != "wrong role" {
		t.Errorf("the run says %q", run.Cause)
	}
}

// TestForgedDenialNamesNobody: a no counts, but the chain does not name somebody as its
// author on the word of a row.
func TestForgedDenialNamesNobody(t *testing.T) {
	t.Parallel()
	no := func(evidence string) approvals.Vote {
		return approvals.Vote{Actor: approvals.Actor{Person: "bob", Slack: bob}, Evidence: evidence, Reason: "I am in on it"}
	}
	for name, forge := range map[string]func(w *world, r approvals.Request) approvals.Vote{
		"with no such evidence": func(*world, approvals.Request) approvals.Vote { return no(strings.Repeat("e", 64)) },
		"with none":             func(*world, approvals.Request) approvals.Vote { return no("") },
		"with the evidence of another click": func(w *world, r approvals.Request) approvals.Vote {
			w.clicks(bob, r, "approve")
			return no(w.again(r).Votes[0].Evidence)
		},
		"with that of another request's denial": func(w *world, _ approvals.Request) approvals.Vote {
			other := w.types(alice, anotherRevoke)
			w.clicks(bob, other, "deny")
			return no(w.again(other).Denial.Evidence)
		},
		"with a stranger's": func(w *world, r approvals.Request) approvals.Vote {
			return no(w.keepsWord(w.button(nobody, r, "deny")))
		},
		"with a command that does not parse": func(w *world, r approvals.Request) approvals.Vote {
			d := w.says(bob, "deny "+r.ID)
			d.text = "deny"
			return no(w.keepsWord(d))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, two)
			r := w.state(w.types(alice, revoke), approvals.Pending)
			v := forge(w, r)
			w.edit(r, func(r *approvals.Request) { r.State, r.Denial = approvals.Denied, &v })
			w.job(w.executor, approvals.JobClose, r)
			if e, n := w.event(r, "denied"); n != 1 || e.Actor != "" {
				t.Errorf("%d times in the chain: %+v", n, e)
			} else if w.run(r).Cause != "I am in on it" || (e.Facts["unproved"] == "") != (e.Facts["evidence"] == "") {
				t.Errorf("%+v, %+v", w.run(r), e)
			}
		})
	}
}

// keepsWord keeps what a person said as evidence.
func (w *world) keepsWord(d *word) string {
	w.t.Helper()
	key, err := w.table().PutEvidence(w.t.Context(), w.sign(d), w.clock.Now())
	w.must(err)
	return key
}

// TestRowsOfWhatIsOverExpire: all of them; those of a containment in force stay.
func TestRowsOfWhatIsOverExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	over := w.contained(revoke)
	w.pass(2 * time.Minute)
	undo := w.undo(over)
	w.pass(time.Minute)
	force := w.contained(anotherRevoke)
	denied := w.types(alice, "revoke_sessions prod/app-role reason=third")
	w.clicks(bob, denied, "deny")
	w.pass(2 * time.Minute)
	for _, r := range []approvals.Request{over, undo, denied} {
		w.edit(r, func(r *approvals.Request) { r.Card.Revision = r.Revision }) // the bot has drawn it
	}
	for _, s := range []*table{w.Requests, w.Runs} {
		w.must(s.Store.(*memory.Store).Sweep(t.Context(), w.clock.Now().Add(401*24*time.Hour)))
	}
	for _, r := range []approvals.Request{over, undo, denied} {
		if rows := w.rows(w.Runs.Store, r.ID); len(rows) != 0 {
			t.Errorf("%s: %d rows of runs are left, the first is %s", r.ID, len(rows), rows[0].Sort)
		}
		if rows := w.rows(w.Requests.Store, r.ID); len(rows) != 0 {
			t.Errorf("%s is left", r.ID)
		}
	}
	w.state(force, approvals.Contained)
	w.undo(force)
}
