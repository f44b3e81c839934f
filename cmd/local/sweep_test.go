package local_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

var keeping sync.Mutex // of all of them

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
	keeping.Lock()
	defer keeping.Unlock()
	*k.jobs = append(*k.jobs, j)
	return nil
}

// TestSweepSendsTheLooksThatAreDue: of a thousand in force only those, each once; not those of
// undos, of what is over, or of what a worker has.
func TestSweepSendsTheLooksThatAreDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now, want := w.clock.Now(), map[string]bool{}
	for i := range 1000 {
		id := approvals.ShortID("KS-", fmt.Sprint(i))
		r := approvals.Request{ID: id, State: approvals.Contained, Closed: true, Ended: now, RunRevision: 1}
		run := approvals.Run{ID: id, Outcome: r.State, Revision: 1, WatchUntil: now.Add(time.Hour), NextCheck: now.Add(time.Minute)}
		switch i % 50 {
		case 0:
			run.NextCheck, want[id] = now.Add(-time.Minute), true
		case 1:
			r.State, run.NextCheck, want[id] = approvals.Partial, now.Add(-time.Hour), true
		case 2:
			r.State, r.Intent.Undo, run.NextCheck = approvals.Partial, "KS-000000000000", now.Add(-time.Hour)
		case 3:
			run.NextCheck = time.Time{}
		case 4: // its end was not told
			run.NextCheck, run.Revision, want[id] = time.Time{}, 2, true
		case 5:
			run.NextCheck, run.Lease = now.Add(-time.Minute), approvals.Lease{Owner: "x", Until: now.Add(time.Second)}
		case 6:
			r.State, run.NextCheck = approvals.Failed, now.Add(-time.Minute)
		}
		if i%50 == 7 { // while its undo runs, too
			r.State, r.UndoneBy, run.UndoneBy, run.NextCheck, want[id] = approvals.Undoing, "KS-000000000000", "KS-000000000000", now.Add(-time.Minute), true
		}
		w.must(approvals.Requests{Store: w.Requests}.Create(t.Context(), r))
		w.must(w.Runs.Write(t.Context(), approvals.PutRow(approvals.RunKey(id), 0, run)))
	}
	var held []approvals.Job
	w.zones.Bot.Jobs = keep{&held}
	w.must(w.zones.Bot.SweepRequests(t.Context()))
	got := map[string]bool{}
	for _, j := range held {
		if j.Verb == approvals.JobLook {
			if got[j.ID] {
				t.Errorf("%s twice", j.ID)
			}
			got[j.ID] = true
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}
