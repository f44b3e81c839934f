package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestClaimThatWasNotWrittenIsNotActedOn: a worker whose claim was lost calls AWS
// not once, and its job fails, so that it comes again.
func TestClaimThatWasNotWrittenIsNotActedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	w.loses(w.Runs, func(p approvals.Put) bool { return p.Key == lockKey })
	w.withoutAWS(func() {
		if err := w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID}); !errors.Is(err, errOutage) {
			t.Errorf("%v, want the outage", err)
		}
	})
	w.unclaimed(r)
	w.job(w.executor, approvals.JobRun, r)
	w.state(r, approvals.Contained)
}

type noQueue struct{}

func (noQueue) Send(context.Context, approvals.Job, time.Duration) error { return errOutage }

// TestJobThatCanNotBePutBackFails: who finds the target locked and can't ask for a
// later try must not say that the job is done.
func TestJobThatCanNotBePutBackFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	w.locked(20 * time.Second)
	w.executor.Jobs = noQueue{}
	if err := w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID}); !errors.Is(err, errOutage) {
		t.Errorf("%v, want the outage", err)
	}
}

// TestLeaseIsProlongedWhileItRuns: of the run and of the target, whenever a good
// part of it is over, so that nobody takes over what is being worked at.
func TestLeaseIsProlongedWhileItRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	slow := false
	w.during("iam:TagRole", func() { w.clock.Add(20 * time.Second); slow = true })
	prolonged := 0
	w.Runs.wrote = func(puts []approvals.Put) error {
		i := slices.IndexFunc(puts, func(p approvals.Put) bool { return p.Key == runKey(r) })
		if i < 0 {
			return nil
		}
		var run approvals.Run
		w.must(json.Unmarshal(puts[i].Body, &run))
		if run.Outcome != "" {
			return nil
		}
		want := w.clock.Now().Add(30 * time.Second)
		if l := w.holder(); !run.Lease.Until.Equal(want) || !l.Until.Equal(want) || l.Owner != r.ID {
			t.Errorf("at %s the lease ends at %s, the lock %+v", w.clock.Now(), run.Lease, l)
		}
		if slow {
			prolonged++
		}
		return nil
	}
	w.job(w.executor, approvals.JobRun, r)
	w.state(r, approvals.Contained)
	if prolonged == 0 {
		t.Error("it was never prolonged")
	}
}

// TestWorkerThatLostItsTargetStops: a worker that was asleep until after its lease
// does not take the target back from the run that has it now.
func TestWorkerThatLostItsTargetStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	calls := 0
	w.during("iam:TagRole", func() {
		w.clock.Add(31 * time.Second)
		w.locked(time.Minute)
		calls = len(w.calls())
	})
	before := w.clock.Now()
	if err := w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID}); !errors.Is(err, approvals.ErrConflict) {
		t.Errorf("%v, want a conflict", err)
	}
	if l, want := w.holder(), (approvals.Lease{Owner: "KS-4G7QX2M9ZT0B", Until: before.Add(91 * time.Second)}); l.Owner != want.Owner || !l.Until.Equal(want.Until) {
		t.Errorf("the target belongs to %+v, want %+v", l, want)
	}
	if more := w.calls()[calls:]; len(more) != 1 { // the call that it was in
		t.Errorf("it went on: %v", more)
	}
	w.pass(3 * time.Minute)
	w.state(r, approvals.Contained)
}

// TestRequestThatWasNeverPlannedIsNotRun: there is nothing that could have been
// approved, whatever its row says, and the job does not come again for it.
func TestRequestThatWasNeverPlannedIsNotRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.bring(w.says(alice, revoke))
	w.edit(r, func(r *approvals.Request) { r.State = approvals.Approved })
	w.withoutAWS(func() {
		if got := w.job(w.executor, approvals.JobRun, r); len(got) > 0 {
			t.Errorf("it sent %+v", got)
		}
	})
	w.unclaimed(r)
}
