package local_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// What the bot's sweep brings on.

// TestUndoingIsWatched: an original that waits for the end of its undo is told,
// even where the job that should tell it is gone.
func TestUndoingIsWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(command)
	w.pass(2 * time.Minute)
	u := w.undo(r)
	w.edit(r, func(r *approvals.Request) { r.State, r.Card.State = approvals.Undoing, approvals.Undoing; r.Revise() }) // as a worker leaves it that dies here
	w.pass(2 * time.Minute)
	w.state(u, approvals.Restored)
	w.state(r, approvals.Undone)
}

// TestLooksTakeNoContainmentsPlace: nobody works off what only looks, and requests are
// contained and undone as ever.
func TestLooksTakeNoContainmentsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.zones.Pumps = slices.DeleteFunc(w.zones.Pumps, func(p *local.Pump) bool { return p.Name == "checks" })
	r := w.contained(command)
	if _, due := w.Checks.Due(); !due {
		t.Error("no look is on the queue checks")
	}
	w.state(w.undo(r), approvals.Restored)
}

// TestRunNeverStartsAgain: a run happened; whatever the row says, it never starts again.
func TestRunNeverStartsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(command)
	n := w.aws.Mutations()
	w.edit(r, func(r *approvals.Request) { r.State = approvals.Approved })
	w.pass(3 * time.Minute)
	w.state(r, approvals.Contained)
	if w.aws.Mutations() != n {
		t.Errorf("%d changes after %d", w.aws.Mutations(), n)
	}
}

// keep is a queue that nobody works off.
type keep struct{ jobs *[]approvals.Job }

// TestSweepSendsLostJobsOfRequestsWithoutApprover: the sweep brings on what a released request waits for, and
// ends it where nobody came in time.
func TestSweepSendsLostJobsOfRequestsWithoutApprover(t *testing.T) {
	t.Parallel()
	w := alerted(t, true, false)
	p := w.proposed(w.happened(w.story()))
	w.sign(p)
	r := w.store(p) // and the job plan was lost
	w.pass(30 * time.Second)
	w.state(r, approvals.Contained)

	w = alerted(t, true, false)
	var held []approvals.Job
	jobs := w.zones.Executor.Jobs
	w.zones.Executor.Jobs = keep{&held} // the job run was lost
	p = w.proposed(w.happened(w.story()))
	w.sign(p)
	r = w.store(p)
	w.job(approvals.JobPlan, r.ID)
	w.zones.Executor.Jobs = jobs
	w.pass(10 * time.Second)
	w.state(r, approvals.Approved)
	w.pass(20 * time.Second)
	w.state(r, approvals.Contained)

	w = alerted(t, true, false)
	w.zones.Executor.Jobs = keep{&held}
	p = w.proposed(w.happened(w.story()))
	w.sign(p)
	r = w.store(p)
	w.job(approvals.JobPlan, r.ID)
	w.zones.Executor.Jobs = jobs
	w.clock.Add(5*time.Minute + 10*time.Second) // nobody was there
	w.pass(30 * time.Second)
	w.state(r, approvals.Expired)
	w.untouched()
}

func (k keep) Send(_ context.Context, j approvals.Job, _ time.Duration) error {
	*k.jobs = append(*k.jobs, j)
	return nil
}
