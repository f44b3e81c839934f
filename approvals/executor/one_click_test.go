package executor_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
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

// TestOneClickAsksTheSource: one responder who makes up a finding contains nothing alone; the same
// click contains what the source confirms.
func TestOneClickAsksTheSource(t *testing.T) {
	t.Parallel()
	said := func(edit func(*guardDuty)) func(*world) { return func(w *world) { w.saysGuardDuty(edit) } }
	tests := maps.Clone(troubles)
	type trouble = struct {
		world   func(*world)
		finding func(*finding.Finding)
		why     string
	}
	tests["made up"] = trouble{finding: func(f *finding.Finding) { f.Confirmation.ID = "0a3c9fb69bf06f4010a963bf880307d5" }, why: "GuardDuty has no finding 0a3c"}
	tests["archived"] = trouble{world: said(func(g *guardDuty) { g.Archived = true }), why: "archived"}
	tests["of another role"] = trouble{world: said(func(g *guardDuty) { g.Finding.Containments = nil }), why: "does not let it run"}
	tests["unsure of the role"] = trouble{world: said(func(g *guardDuty) { g.Finding.Containments[0].Unsure = "It is a name." }), why: "does not let it run"}
	tests["less severe"] = trouble{world: said(func(g *guardDuty) { g.Finding.Severity = 5 }), why: "does not let it run"}
	tests["two days old"] = trouble{world: said(func(g *guardDuty) { g.Finding.Updated = g.Finding.Updated.Add(-48 * time.Hour) }), why: "more than a day ago"}
	tests["in another account"] = trouble{finding: func(f *finding.Finding) { f.Confirmation.Account = sandbox }, why: "in another account"}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, false)
			if c.world != nil {
				c.world(w)
			}
			f := w.finding()
			if c.finding != nil {
				c.finding(&f)
			}
			r := w.goes(w.proposal(alice, w.happened(f)))
			w.asksPeople(r, 1, c.why)
			w.untouched()
			w.state(w.clicks(bob, r, "approve"), approvals.Contained)
			if _, n := w.event(r, "released"); n != 0 {
				t.Error("it says that it was released")
			}
		})
	}
}

// TestOneClickNeverRunsWhatNobodyConfirms: an imported finding, or one that only a webhook tells of, has
// nobody who can be asked.
func TestOneClickNeverRunsWhatNobodyConfirms(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, true, true)
	f := w.finding()
	f.Confirmation = source.Confirmation{}
	r := w.bring(w.proposal(alice, w.happened(f)))
	w.drain()
	w.asksPeople(r, 1, "the configuration does not let one click run this")
	if w.called("guardduty:GetFindings") != 0 {
		t.Error("GuardDuty was asked")
	}
}

// TestOneClickNeverRunsUnsureTargets: who assumes a role names the session, and takes the name of the
// instance that he wants isolated. Two people may, and are told.
func TestOneClickNeverRunsUnsureTargets(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, true, true)
	f := w.finding()
	f.Containments[0].Unsure = "Only the session's name says so."
	r := w.goes(w.proposal(alice, w.happened(f)))
	w.asksPeople(r, 1, "")
	w.tells(r, "The target is not sure. Only the session's name says so.")
	w.untouched()
	w.state(w.clicks(bob, r, "approve"), approvals.Contained)
}
