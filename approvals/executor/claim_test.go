package executor_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// approved is a request that may run, whose job was not done yet.
func (w *world) approved() approvals.Request {
	w.t.Helper()
	r := w.bring(w.button(bob, w.types(alice, revoke), "approve"))
	w.clears()
	return w.state(r, approvals.Approved)
}

// TestOnlyWhatIsApprovedIsClaimed: in any other state a job starts nothing, whoever
// sent it, and leaves the row as it is.
func TestOnlyWhatIsApprovedIsClaimed(t *testing.T) {
	t.Parallel()
	for _, s := range []approvals.State{approvals.Planning, approvals.Pending, approvals.Running, approvals.Partial, approvals.Failed, approvals.Contained, approvals.Denied, approvals.Expired, approvals.Undoing} {
		t.Run(string(s), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.approved()
			w.edit(r, func(r *approvals.Request) { r.State = s })
			for _, v := range []approvals.Verb{approvals.JobRun, approvals.JobUndo, approvals.JobLook, approvals.JobReport} {
				w.withoutAWS(func() { w.job(w.executor, v, r) })
			}
			w.state(r, s)
			w.unclaimed(r)
		})
	}
}

// TestClaimIsWrittenBeforeAWSIsCalled: when the account is entered the run is a
// worker's, and the target is the run's.
func TestClaimIsWrittenBeforeAWSIsCalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	now := w.clock.Now()
	w.taking(func(run approvals.Run, l approvals.Lease) {
		if run.Lease.Owner != "worker-1/2" || !run.Lease.Until.Equal(now.Add(30*time.Second)) || !run.Since.Equal(now) || run.Attempt != 1 { // it was the planner, too
			t.Errorf("%+v", run)
		}
		if d := cmp.Diff(approvals.Lease{Owner: r.ID, Until: run.Lease.Until}, l); d != "" {
			t.Error(d)
		}
	})
	w.during("sts:AssumeRole", func() {
		if run, l := w.run(r), w.holder(); run.Lease.Owner != "worker-1/2" || !run.Started || l != (approvals.Lease{Owner: r.ID, Until: run.Lease.Until}) {
			t.Errorf("%+v, %+v", run, l)
		}
		w.state(r, approvals.Running)
	})
	w.job(w.executor, approvals.JobRun, r)
	w.state(r, approvals.Contained)
	if l := w.holder(); l != (approvals.Lease{}) {
		t.Errorf("the target still belongs to %+v", l)
	}
}

// TestLockedTargetPutsTheJobBack: while another request's run has the target, nothing
// is written and AWS is not called; the job comes again after a pause.
func TestLockedTargetPutsTheJobBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	w.locked(20 * time.Second)
	links := len(w.chain(r))
	writes := 0
	w.Runs.writes = func([]approvals.Put) error { writes++; return nil }
	w.withoutAWS(func() {
		got := w.job(w.executor, approvals.JobRun, r)
		if d := cmp.Diff([]sent{{approvals.Job{Verb: approvals.JobRun, ID: r.ID}, 3 * time.Second}}, got); d != "" {
			t.Error(d)
		}
	})
	if writes != 0 || len(w.chain(r)) != links {
		t.Errorf("%d writes, the chain grew from %d to %d", writes, links, len(w.chain(r)))
	}
	w.unclaimed(r)
	w.state(r, approvals.Approved)
	w.withoutAWS(func() { w.pass(15 * time.Second) })
	w.pass(10 * time.Second)
	w.state(r, approvals.Contained)
}

// TestLockWhoseLeaseIsOverIsTaken: a run that ended without a word does not keep
// others off its target.
func TestLockWhoseLeaseIsOverIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	w.locked(0)
	w.job(w.executor, approvals.JobRun, r)
	w.state(r, approvals.Contained)
}

// TestSlowerOfTwoWorkersPutsTheJobBack: two workers claim a run at the same moment.
// The one whose write comes second calls AWS not once.
func TestSlowerOfTwoWorkersPutsTheJobBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	slow, fast := w.worker(), w.worker()
	var calls int
	w.Runs.writes = func(puts []approvals.Put) error {
		if writing(puts, "run") {
			w.Runs.writes = nil
			w.must(fast.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID}))
			calls, w.sent = len(w.calls()), nil
		}
		return nil
	}
	w.must(slow.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID}))
	if more := w.calls()[calls:]; len(more) > 0 || calls == 0 {
		t.Errorf("the slower worker called AWS: %v", more)
	}
	if d := cmp.Diff([]sent{{approvals.Job{Verb: approvals.JobRun, ID: r.ID}, 3 * time.Second}}, w.sent); d != "" {
		t.Error(d)
	}
	w.state(r, approvals.Contained)
	if _, n := w.event(r, "claimed"); n != 1 {
		t.Errorf("claimed %d times", n)
	}
}

// TestTwoRequestsForOneTargetRunOneAfterTheOther, also if both are claimed at the
// same moment.
func TestTwoRequestsForOneTargetRunOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.approved()
	second := w.bring(w.button(bob, w.types(alice, anotherRevoke), "approve"))
	w.clears()
	w.during("iam:PutRolePolicy", func() {
		w.withoutAWS(func() {
			got := w.job(w.worker(), approvals.JobRun, second)
			if d := cmp.Diff([]sent{{approvals.Job{Verb: approvals.JobRun, ID: second.ID}, 3 * time.Second}}, got); d != "" {
				t.Error(d)
			}
		})
		w.unclaimed(second)
	})
	w.job(w.executor, approvals.JobRun, first)
	w.state(first, approvals.Contained)
	w.pass(5 * time.Second)
	w.state(second, approvals.Contained)
}

// TestDenialBeforeTheFirstStepWins: the request's row is asked once more after the
// claim; what was denied or cancelled meanwhile does not run.
func TestDenialBeforeTheFirstStepWins(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		user, action string
		want         approvals.State
	}{{carol, "deny", approvals.Denied}, {alice, "cancel", approvals.Cancelled}} {
		t.Run(c.action, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.approved()
			w.Runs.writes = func(puts []approvals.Put) error {
				if writing(puts, "run") {
					w.Runs.writes = nil
					w.bring(w.button(c.user, r, c.action))
				}
				return nil
			}
			w.withoutAWS(func() { w.job(w.executor, approvals.JobRun, r); w.drain() })
			w.state(r, c.want)
			w.untouched()
			if run := w.run(r); run.Started || run.Outcome != c.want {
				t.Errorf("%+v", run)
			}
			if l := w.holder(); l != (approvals.Lease{}) {
				t.Errorf("the target still belongs to %+v", l)
			}
		})
	}
}

// TestEndLeavesTheLockOfAnother: a run that ends frees its target only where the
// lock is still its own. Another request may have taken it when the lease was over.
func TestEndLeavesTheLockOfAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	theirs := approvals.Lease{Owner: "KS-4G7QX2M9ZT0B", Until: w.clock.Now().Add(time.Hour)}
	w.during("iam:PutRolePolicy", func() { rewrite(w, lockKey, func(l *approvals.Lease) { *l = theirs }) })
	w.job(w.executor, approvals.JobRun, r)
	w.state(r, approvals.Contained)
	if got := w.holder(); got != theirs {
		t.Errorf("the lock is %+v after the end of %s, want %+v", got, r.ID, theirs)
	}
}
