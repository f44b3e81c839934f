package executor_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestOneClickContainsOnce: where the route says approvals: 0 and the card said so, the
// click contains, however often its jobs come; undo asks two people as ever.
func TestOneClickContainsOnce(t *testing.T) {
	t.Parallel()
	for name, alter := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, false, alter...)
			r := w.state(w.goes(w.proposal(alice, w.happened(w.finding()))), approvals.Contained)
			if r.Need != 0 || r.Mode != approvals.OneClick || r.Ready.IsZero() || len(r.Votes) != 0 {
				t.Errorf("the row is %+v", r)
			}
			if p := w.planned(r); p.Mode != approvals.OneClick || p.Policy.Approvals != 0 || p.Alert != alertID || p.Finding != findingID || p.Person != "alice" {
				t.Errorf("planned %+v", p)
			}
			if e, n := w.event(r, "released"); n != 1 || e.Actor != "alice" || e.Facts["by"] != "click" || e.Facts["finding"] != findingID || e.Facts["alert"] != alertID || e.Facts["evidence"] != r.Evidence {
				t.Errorf("released %d times: %+v", n, e)
			}
			if e, _ := w.event(r, "requested"); e.Actor != "alice" || e.Facts["finding"] != findingID || e.Facts["event"] != r.Event {
				t.Errorf("requested %+v", e)
			}
			for range 3 {
				w.job(w.executor, approvals.JobPlan, r)
				w.job(w.executor, approvals.JobRun, r)
				w.drain()
			}
			if _, n := w.event(r, "claimed"); n != 1 {
				t.Errorf("claimed %d times", n)
			}
			w.undo(r)
		})
	}
}

// released is a request that needs nobody, was planned, and whose job run is not done yet.
func (w *world) released(d *word) approvals.Request {
	w.t.Helper()
	r := w.bring(d)
	w.clears()
	w.job(w.executor, approvals.JobPlan, r)
	w.clears()
	return w.state(r, approvals.Approved)
}

// TestPlanOfARequestWithoutApproverSendsItsRunAgain: its end may have been lost.
func TestPlanOfARequestWithoutApproverSendsItsRunAgain(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, true, false)
	r := w.released(w.proposal(alice, w.happened(w.finding())))
	if d := cmp.Diff([]sent{{Job: approvals.Job{Verb: approvals.JobRun, ID: r.ID}}}, w.job(w.executor, approvals.JobPlan, r)); d != "" {
		t.Error(d)
	}
	w.untouched()
	w.drain()
	w.state(r, approvals.Contained)
}

// TestRequestWithoutApproverCanBeStopped before it is claimed, also if its job comes first.
func TestRequestWithoutApproverCanBeStopped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		user, says string
		want       approvals.State
	}{
		"somebody says no":         {bob, "deny %s our own test", approvals.Denied},
		"the clicker thinks again": {alice, "cancel %s", approvals.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, false)
			r := w.released(w.proposal(alice, w.happened(w.finding())))
			w.bring(w.says(c.user, fmt.Sprintf(c.says, r.ID)))
			w.job(w.executor, approvals.JobRun, r)
			w.drain()
			w.state(r, c.want)
			w.untouched()
			w.toldOnce(r, string(c.want))
		})
	}
}
