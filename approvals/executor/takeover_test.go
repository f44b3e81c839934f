package executor_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestSecondWorkerWaitsForTheLease: a job that is delivered twice is worked at by
// one. The second worker, while the first is at it, calls AWS not once, writes
// nothing, and puts the job back until the lease is over.
func TestSecondWorkerWaitsForTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	second := w.worker()
	asked := false
	w.during("iam:PutRolePolicy", func() {
		asked = true
		w.clock.Add(12 * time.Second)
		before := w.run(r)
		w.withoutAWS(func() {
			got := w.job(second, approvals.JobRun, r)
			rest := before.Lease.Until.Sub(w.clock.Now()) + time.Second
			if d := cmp.Diff([]sent{{approvals.Job{Verb: approvals.JobRun, ID: r.ID}, rest}}, got); d != "" || rest != 19*time.Second {
				t.Errorf("it was put back for %s: %s", rest, d)
			}
		})
		if d := cmp.Diff(before, w.run(r)); d != "" {
			t.Error(d)
		}
	})
	w.job(w.executor, approvals.JobRun, r)
	w.state(r, approvals.Contained)
	if _, n := w.event(r, "resumed"); n != 0 || !asked {
		t.Errorf("resumed %d times", n)
	}
}

// TestRunIsResumedWhenItsLeaseIsOver: not a moment before; then the run and its
// target are the second worker's.
func TestRunIsResumedWhenItsLeaseIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	w.dies(w.worker(), "iam:PutRolePolicy", approvals.JobRun, r)
	lease := w.run(r).Lease.Until
	second := w.worker()
	w.clock.Add(lease.Sub(w.clock.Now()) - time.Second)
	w.withoutAWS(func() {
		got := w.job(second, approvals.JobRun, r)
		if d := cmp.Diff([]sent{{approvals.Job{Verb: approvals.JobRun, ID: r.ID}, 2 * time.Second}}, got); d != "" {
			t.Error(d)
		}
	})
	w.clock.Add(time.Second)
	resumed := w.clock.Now()
	w.taking(func(run approvals.Run, l approvals.Lease) {
		if run.Lease.Owner != "worker-3/1" || !run.Lease.Until.Equal(resumed.Add(30*time.Second)) || run.Attempt != 1 {
			t.Errorf("%+v", run)
		}
		if d := cmp.Diff(approvals.Lease{Owner: r.ID, Until: run.Lease.Until}, l); d != "" {
			t.Error(d)
		}
	})
	w.job(second, approvals.JobRun, r)
	w.state(r, approvals.Contained)
	if e, n := w.event(r, "resumed"); n != 1 || e.Facts["attempt"] != "1" {
		t.Errorf("resumed %d times: %+v", n, e)
	}
}

// TestRunOfAWorkerThatIsGoneIsResumedAtOnce: where it is known that a worker is
// gone nobody waits for its lease, and for no other worker's.
func TestRunOfAWorkerThatIsGoneIsResumedAtOnce(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"gone": true, "alive": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.approved()
			w.dies(w.worker(), "iam:PutRolePolicy", approvals.JobRun, r)
			second := w.worker()
			second.Gone = func(owner string) bool { return gone && owner == "worker-2/1" }
			if gone {
				w.job(second, approvals.JobRun, r)
				w.state(r, approvals.Contained)
				return
			}
			w.withoutAWS(func() { w.job(second, approvals.JobRun, r) })
			w.state(r, approvals.Running)
		})
	}
}

// TestResumedRunWaitsForItsTarget: a run whose lease is over may have lost its
// target to another request's run meanwhile.
func TestResumedRunWaitsForItsTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	w.dies(w.worker(), "iam:PutRolePolicy", approvals.JobRun, r)
	before := w.run(r)
	w.clock.Add(time.Minute)
	w.locked(20 * time.Second)
	w.withoutAWS(func() {
		got := w.job(w.worker(), approvals.JobRun, r)
		if d := cmp.Diff([]sent{{approvals.Job{Verb: approvals.JobRun, ID: r.ID}, 3 * time.Second}}, got); d != "" {
			t.Error(d)
		}
	})
	if d := cmp.Diff(before, w.run(r)); d != "" {
		t.Error(d)
	}
	w.pass(30 * time.Second)
	w.state(r, approvals.Contained)
}

// TestSlowerOfTwoWhoResumePutsTheJobBack: two workers find the lease over at the
// same moment.
func TestSlowerOfTwoWhoResumePutsTheJobBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	w.dies(w.worker(), "iam:PutRolePolicy", approvals.JobRun, r)
	w.clock.Add(time.Minute)
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
	if more := w.calls()[calls:]; len(more) > 0 {
		t.Errorf("the slower worker called AWS: %v", more)
	}
	if d := cmp.Diff([]sent{{approvals.Job{Verb: approvals.JobRun, ID: r.ID}, 3 * time.Second}}, w.sent); d != "" {
		t.Error(d)
	}
	if _, n := w.event(r, "resumed"); n != 1 {
		t.Errorf("resumed %d times", n)
	}
	w.state(r, approvals.Contained)
}

// TestOvertakenWorkerStops: a worker that was asleep until after its lease does not
// go on once another has resumed its run.
func TestOvertakenWorkerStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	var calls []string
	w.during("iam:PutRolePolicy", func() {
		w.clock.Add(time.Minute)
		w.job(w.worker(), approvals.JobRun, r)
		w.state(r, approvals.Contained)
		calls = w.calls()
	})
	err := w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID})
	if err == nil {
		t.Error("it did not notice")
	}
	if more := w.calls()[len(calls):]; len(more) != 1 { // the call that it was in
		t.Errorf("it went on: %v", more)
	}
	w.state(r, approvals.Contained)
	w.chain(r)
}
