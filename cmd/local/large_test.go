package local_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
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
		s := actions.Step{ID: id, Title: "Contain " + id, Current: "open", After: "shut", Hold: "many/" + id, Resource: c.Target, ResourceID: p.Identity.ID, Many: m.atOnce}
		if m.atOnce {
			s.Resource = "arn:aws:iam::222222222222:role/" + id
		}
		if m.skip != nil {
			s.Skip = m.skip(i)
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

func many(w *world, n int) manySteps {
	genuine, _ := all.Actions.Lookup(actions.RevokeSessions)
	m := manySteps{Action: genuine, n: n, mu: &sync.Mutex{}, done: map[string]int{}, tries: map[string]int{}}
	w.zones.Executor.Actions = func(actions.Name) (actions.Action, bool) { return m, true }
	return m
}

// manyAtOnce is many whose steps do not depend on each other.
func manyAtOnce(w *world, n int, alter func(*manySteps)) manySteps {
	m := many(w, n)
	m.atOnce = true
	alter(&m)
	w.zones.Executor.Actions = func(actions.Name) (actions.Action, bool) { return m, true }
	return m
}

// TestFiveThousandSteps: a ledger of many rows fits, is drawn short, and comes back.
func TestFiveThousandSteps(t *testing.T) {
	w := newWorld(t)
	m := many(w, 5000)
	r := w.contained(command)
	if len(m.done) != 5000 {
		t.Fatalf("%d steps done", len(m.done))
	}
	for id, n := range m.done {
		if n != 1 {
			t.Errorf("%s was done %d times", id, n)
		}
	}
	if said := w.said(); !strings.Contains(said, "of 5000 steps") || len(said) > 20000 {
		t.Errorf("the card has %d characters", len(said))
	}
	for _, row := range mustRows(t, w.Runs, r.ID) {
		if len(row.Body) > 100<<10 {
			t.Errorf("row %s has %d bytes: a DynamoDB item holds 400 KB", row.Sort, len(row.Body))
		}
	}
	w.undo(r)
	if len(m.done) != 0 {
		t.Errorf("%d steps were not taken back", len(m.done))
	}
}

func mustRows(t *testing.T, s approvals.Store, part string) []approvals.Row {
	t.Helper()
	rows, err := s.Rows(t.Context(), part, "", "", 100000)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// deadline is a context that ends at a time of the test's own clock.
type deadline struct {
	context.Context
	at time.Time
}

func (d deadline) Deadline() (time.Time, bool) { return d.at, true }

// TestDeadline: close to the invocation's end no new step is taken; the rest is
// done by a new job, and nothing twice.
func TestDeadline(t *testing.T) {
	w := newWorld(t)
	m := many(w, 100)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.slack.Click("U02BOB", channel, r.Card.TS, "approve")
	if _, err := w.zones.Pumps[0].Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	invocations := 0
	for w.get(r.ID).State != approvals.Contained && invocations < 100 {
		invocations++
		w.zones.Executor.Actions = func(actions.Name) (actions.Action, bool) {
			return slow{m, w.clock, time.Second}, true
		}
		ctx := deadline{t.Context(), w.clock.Now().Add(50 * time.Second)} // 30 s for steps
		if err := w.zones.Executor.Handle(ctx, approvals.Job{Verb: approvals.JobRun, ID: r.ID}); err != nil {
			t.Fatal(err)
		}
		w.clock.Add(time.Second)
	}
	w.state(r, approvals.Contained)
	if invocations < 3 || invocations > 6 {
		t.Errorf("%d invocations of 30 s for 100 steps of 1 s", invocations)
	}
	for id, n := range m.done {
		if n != 1 {
			t.Errorf("%s was done %d times", id, n)
		}
	}
}

// slow is an action whose steps take time.
type slow struct {
	manySteps
	clock *clock
	step  time.Duration
}

func (s slow) Apply(ctx context.Context, acct *actions.Account, step actions.Step, run actions.Run) (actions.Effect, error) {
	s.clock.Add(s.step)
	return s.manySteps.Apply(ctx, acct, step, run)
}

// TestLeaseLost: a worker that was thought dead and wakes up finds that another
// went on; the step it was in is not done by both.
func TestLeaseLost(t *testing.T) {
	w := newWorld(t)
	m := many(w, 3)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.slack.Click("U02BOB", channel, r.Card.TS, "approve")
	if _, err := w.zones.Pumps[0].Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	stalled := false
	w.zones.Executor.Gone = nil // as in Lambda: only the lease tells
	w.zones.Executor.Actions = func(actions.Name) (actions.Action, bool) {
		return stalling{m, func() {
			if stalled {
				return
			}
			stalled = true
			w.clock.Add(time.Minute) // the lease is over; another worker comes
			w.must(w.zones.Executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID}))
		}}, true
	}
	err := w.zones.Executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID})
	if !errors.Is(err, approvals.ErrConflict) {
		t.Errorf("the first worker was not stopped: %v", err)
	}
	w.drain()
	w.state(r, approvals.Contained)
	if m.done["role-00001"] != 1 || m.done["role-00002"] != 1 {
		t.Errorf("done: %v", m.done)
	}
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
