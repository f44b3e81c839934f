package executor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/crashtest"
)

// manySteps is an action that does next to nothing, very often. It embeds a
// real one for what it is and what it may.
type manySteps struct {
	actions.Action
	n    int
	mu   *sync.Mutex
	done map[string]int
	// What is taken at the same time may be left alone, and may fail first.
	atOnce bool
	skip   func(i int) string
	fails  func(id string, try int) error
	tries  map[string]int
}

func (m manySteps) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	p, err := m.Action.Plan(ctx, acct, c)
	p.Steps = nil
	for i := range m.n {
		id := fmt.Sprintf("role-%05d", i)
		s := actions.Step{ID: id, Title: "Contain " + id, Current: "open", After: "shut", Hold: "many/" + id, Resource: c.Target, ResourceID: p.Identity.ID, Goal: id, Many: m.atOnce}
		if m.atOnce {
			s.Resource = "arn:aws:iam::222222222222:role/" + id
		}
		if m.skip != nil {
			s.Skip = m.skip(i)
		}
		if s.Skip != "" {
			s.Goal = ""
		}
		p.Steps = append(p.Steps, s)
	}
	return p, err
}

func (m manySteps) Apply(_ context.Context, _ *actions.Account, s actions.Step, _ actions.Run) (actions.Effect, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries[s.ID]++
	if m.fails != nil {
		if err := m.fails(s.ID, m.tries[s.ID]); err != nil {
			return actions.Effect{}, err
		}
	}
	m.done[s.ID]++
	wrote := "shut"
	return actions.Effect{Wrote: &wrote, Changed: true}, nil
}

func (m manySteps) Verify(_ context.Context, _ *actions.Account, s actions.Step, _ actions.Effect) (actions.Reading, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return actions.Reading{Holds: m.done[s.ID] > 0}, nil
}

func (m manySteps) Revert(_ context.Context, _ *actions.Account, s actions.Step, _ actions.Effect) (actions.Reading, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := m.done[s.ID] > 0
	delete(m.done, s.ID)
	return actions.Reading{Holds: true, Changed: changed}, nil
}

// many lets the executor's action have so many steps, one after the other.
func many(w *world, n int) manySteps {
	genuine, _ := catalog.Lookup(actions.RevokeSessions)
	m := manySteps{Action: genuine, n: n, mu: &sync.Mutex{}, done: map[string]int{}, tries: map[string]int{}}
	w.executor.Actions = func(actions.Name) (actions.Action, bool) { return m, true }
	return m
}

// manyAtOnce is many whose steps do not depend on each other.
func manyAtOnce(w *world, n int, alter func(*manySteps)) manySteps {
	m := many(w, n)
	m.atOnce = true
	alter(&m)
	w.executor.Actions = func(actions.Name) (actions.Action, bool) { return m, true }
	return m
}

// deadline is a context that ends at a time of the test's own clock.
type deadline struct {
	context.Context
	at time.Time
}

func (d deadline) Deadline() (time.Time, bool) { return d.at, true }

// slow is an action whose steps take time.
type slow struct {
	manySteps
	clock *crashtest.Clock
	step  time.Duration
}

func (s slow) Apply(ctx context.Context, acct *actions.Account, step actions.Step, run actions.Run) (actions.Effect, error) {
	s.clock.Add(s.step)
	return s.manySteps.Apply(ctx, acct, step, run)
}

// stalling is an action during whose first step the world goes on.
type stalling struct {
	manySteps
	pause func()
}

func (s stalling) Apply(ctx context.Context, acct *actions.Account, step actions.Step, run actions.Run) (actions.Effect, error) {
	s.pause()
	return s.manySteps.Apply(ctx, acct, step, run)
}

// TestFiveThousandSteps: a ledger of many rows fits, and comes back.
func TestFiveThousandSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := 5000 / thin.Every(t, 10, "5,000 steps")
	m := many(w, n)
	r := w.contained(revoke)
	m.doneOnce(t, n)
	if p := w.planned(r); p.Steps != n || len(w.steps(r)) != n {
		t.Errorf("%d steps are planned, %d in the ledger", p.Steps, len(w.steps(r)))
	}
	for _, row := range w.rows(w.Runs.Store, r.ID) {
		if len(row.Body) > 100<<10 {
			t.Errorf("row %s has %d bytes: a DynamoDB item holds 400 KB", row.Sort, len(row.Body))
		}
	}
	w.undo(r)
	if len(m.done) != 0 {
		t.Errorf("%d steps were not taken back", len(m.done))
	}
}

// invocations does a request's job as Lambda does: each time 30 s are left for steps.
// It returns how often it took.
func (w *world) invocations(r approvals.Request) (n int) {
	w.t.Helper()
	for ; w.again(r).State != approvals.Contained && n < 20; n++ {
		ctx := deadline{w.t.Context(), w.clock.Now().Add(50 * time.Second)}
		w.must(w.executor.Handle(ctx, approvals.Job{Verb: approvals.JobRun, ID: r.ID}))
		w.clock.Add(time.Second)
	}
	w.state(r, approvals.Contained)
	return n
}

// TestNoStepIsBegunNearTheDeadline: close to the invocation's end no new step is taken;
// the rest is done by a new job, and nothing twice.
func TestNoStepIsBegunNearTheDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := many(w, 100)
	r := w.approved()
	w.executor.Actions = func(actions.Name) (actions.Action, bool) { return slow{m, w.clock, time.Second}, true }
	if n := w.invocations(r); n < 3 || n > 6 {
		t.Errorf("%d invocations of 30 s for 100 steps of 1 s", n)
	}
	m.doneOnce(t, 100)
}

// TestWorkerThatLostItsLeaseStops: a worker that was thought dead and wakes up finds
// that another went on; no later step is done by both.
func TestWorkerThatLostItsLeaseStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := many(w, 3)
	r := w.approved()
	stalled := false
	w.executor.Actions = func(actions.Name) (actions.Action, bool) {
		return stalling{m, func() {
			if stalled {
				return
			}
			stalled = true
			w.clock.Add(time.Minute) // the lease is over; another worker comes
			w.must(w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID}))
		}}, true
	}
	err := w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID})
	if !errors.Is(err, approvals.ErrConflict) {
		t.Errorf("the first worker was not stopped: %v", err)
	}
	w.drain()
	w.state(r, approvals.Contained)
	if m.done["role-00001"] != 1 || m.done["role-00002"] != 1 {
		t.Errorf("done: %v", m.done)
	}
}

// doneOnce fails unless so many steps were done, each once.
func (m manySteps) doneOnce(t *testing.T, want int) {
	t.Helper()
	if len(m.done) != want {
		t.Errorf("%d steps done, want %d", len(m.done), want)
	}
	for id, n := range m.done {
		if n != 1 {
			t.Errorf("%s was done %d times", id, n)
		}
	}
}

// TestNoneOfManyIsLost: of 2,000 independent steps none is lost to throttles and server
// errors, none is done twice, and what is counted adds up to what was listed.
func TestNoneOfManyIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hundreds := max(20/thin.Every(t, 4, "2,000 steps at once"), 1)
	m := manyAtOnce(w, hundreds*100, func(m *manySteps) {
		m.skip = func(i int) string {
			if i%100 == 99 {
				return "it is a service-linked role"
			}
			return ""
		}
		m.fails = func(id string, try int) error {
			switch {
			case strings.HasSuffix(id, "7") && try < 3:
				return apiError("Throttling")
			case strings.HasSuffix(id, "50") && try == 1:
				return apiError("ServiceFailure")
			}
			return nil
		}
	})
	r := w.contained(revoke)
	m.doneOnce(t, hundreds*99)
	if p := w.run(r).Progress; p.Total != hundreds*100 || p.Done != hundreds*99 || p.Skipped != hundreds || p.Failed != 0 {
		t.Errorf("counted %+v", p)
	}
	var alone []string
	for _, s := range w.steps(r) {
		if s.State == approvals.StepSkipped && s.Step.Skip == "it is a service-linked role" {
			alone = append(alone, s.Step.ID)
		}
	}
	if len(alone) != hundreds || alone[0] != "role-00099" {
		t.Errorf("left alone: %v", alone)
	}
	w.undo(r)
	if len(m.done) != 0 {
		t.Errorf("%d steps were not taken back", len(m.done))
	}
}

// TestRetryOfManyTakesWhatFailed: what AWS denies is told with its cause.
func TestRetryOfManyTakesWhatFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	denied := true
	m := manyAtOnce(w, 200, func(m *manySteps) {
		m.fails = func(id string, _ int) error {
			if denied && strings.HasSuffix(id, "13") {
				return &smithy.GenericAPIError{Code: "AccessDenied", Message: "explicit deny"}
			}
			return nil
		}
	})
	r := w.state(w.clicks(bob, w.types(alice, revoke), "approve"), approvals.Partial)
	if p := w.run(r).Progress; p.Total != 200 || p.Done != 198 || p.Failed != 2 {
		t.Errorf("counted %+v", p)
	}
	if want := "2 of 200 failed. The first: Contain role-00013: AccessDenied: explicit deny"; r.Cause != want {
		t.Errorf("because %q, want %q", r.Cause, want)
	}
	var failed []string
	for _, s := range w.steps(r) {
		if s.State == approvals.StepFailed && s.Cause == "AccessDenied: explicit deny" {
			failed = append(failed, s.Step.ID)
		}
	}
	if d := cmp.Diff([]string{"role-00013", "role-00113"}, failed); d != "" {
		t.Error(d)
	}
	denied = false
	clear(m.tries)
	w.state(w.clicks(bob, r, "retry"), approvals.Contained)
	if len(m.tries) != 2 || len(m.done) != 200 {
		t.Errorf("the retry took %d steps: %v", len(m.tries), m.tries)
	}
}

// TestManyGoOnInTheNextInvocation: what one has no time for is done by the next ones.
func TestManyGoOnInTheNextInvocation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := manyAtOnce(w, 1000, func(m *manySteps) {
		m.fails = func(string, int) error {
			w.clock.Add(100 * time.Millisecond)
			return nil
		}
	})
	if n := w.invocations(w.approved()); n < 3 || n > 8 {
		t.Errorf("%d invocations of 30 s for 1,000 steps of 0.1 s", n)
	}
	m.doneOnce(t, 1000)
}

func TestRecheckOfManyMendsWhatWasUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := manyAtOnce(w, 300, func(*manySteps) {})
	r := w.contained(revoke)
	m.mu.Lock()
	delete(m.done, "role-00123")
	m.mu.Unlock()
	w.clock.Add(6 * time.Second)
	w.drain()
	if m.done["role-00123"] != 1 {
		t.Error("what was undone was not applied again")
	}
	if run := w.run(r); len(run.Tampering) != 1 || !run.Tampering[0].Reapplied {
		t.Errorf("tampering: %+v", run.Tampering)
	}
}
