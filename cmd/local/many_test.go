package local_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

func throttle() error { return &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"} }

// TestManyAtOnce: of 2,000 independent steps none is lost to throttles and server
// errors, none is done twice, and what is told adds up to what was listed.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	m := manyAtOnce(w, 2000, func(m *manySteps) {
		m.skip = func(i int) string {
			if i%100 == 99 {
				return "it is a service-linked role"
			}
			return ""
		}
		m.fails = func(id string, try int) error {
			switch {
			case strings.HasSuffix(id, "7") && try < 3:
				return throttle()
			case strings.HasSuffix(id, "50") && try == 1:
				return &smithy.GenericAPIError{Code: "ServiceFailure", Message: "try again"}
			}
			return nil
		}
	})
	r := w.contained(command)
	if len(m.done) != 1980 {
		t.Fatalf("%d steps done", len(m.done))
	}
	for id, n := range m.done {
		if n != 1 {
			t.Errorf("%s was done %d times", id, n)
		}
	}
	run, err := w.zones.Bot.Runs.Run(t.Context(), r.ID)
	w.must(err)
	if p := run.Progress; p.Total != 2000 || p.Done != 1980 || p.Skipped != 20 || p.Failed != 0 {
		t.Errorf("counted %+v", p)
	}
	said := w.said()
	for _, words := range []string{"1980 of 2000 done, 20 left alone", "20 left alone: it is a service-linked role", "role-00099", "role-01999"} {
		if !strings.Contains(said, words) {
			t.Errorf("nobody says %q in\n%s", words, said)
		}
	}
	w.undo(r)
	if len(m.done) != 0 {
		t.Errorf("%d steps were not taken back", len(m.done))
	}
}

// TestManyPartly: what AWS denies is told with its cause, and a retry takes only that.
func TestManyPartly(t *testing.T) {
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
	r := w.asks("U01ALICE", command)
	w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
	r = w.state(r, approvals.Partial)
	said := w.said()
	for _, words := range []string{"198 of 200 done, 2 failed", "AccessDenied: explicit deny", "role-00013", "role-00113"} {
		if !strings.Contains(said, words) {
			t.Errorf("nobody says %q in\n%s", words, said)
		}
	}
	denied = false
	clear(m.tries)
	w.slack.Click("U02BOB", channel, r.Card.TS, "retry")
	w.drain()
	w.state(r, approvals.Contained)
	if len(m.tries) != 2 || len(m.done) != 200 {
		t.Errorf("the retry took %d steps: %v", len(m.tries), m.tries)
	}
}

// TestManyDeadline: what an invocation has no time for is done by the next ones.
func TestManyDeadline(t *testing.T) {
	w := newWorld(t)
	m := manyAtOnce(w, 1000, func(m *manySteps) {
		m.fails = func(string, int) error {
			w.clock.Add(100 * time.Millisecond)
			return nil
		}
	})
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.slack.Click("U02BOB", channel, r.Card.TS, "approve")
	if _, err := w.zones.Pumps[0].Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	invocations := 0
	for w.get(r.ID).State != approvals.Contained && invocations < 20 {
		invocations++
		ctx := deadline{t.Context(), w.clock.Now().Add(50 * time.Second)}
		w.must(w.zones.Executor.Handle(ctx, approvals.Job{Verb: approvals.JobRun, ID: r.ID}))
		w.clock.Add(time.Second)
	}
	w.state(r, approvals.Contained)
	if invocations < 3 || invocations > 8 {
		t.Errorf("%d invocations of 30 s for 1,000 steps of 0.1 s", invocations)
	}
	for i := range 1000 {
		if n := m.done[fmt.Sprintf("role-%05d", i)]; n != 1 {
			t.Errorf("role %d was done %d times", i, n)
		}
	}
}

// TestManyTampered: a re-check looks at all of them, and mends what was undone.
func TestManyTampered(t *testing.T) {
	w := newWorld(t)
	m := manyAtOnce(w, 300, func(*manySteps) {})
	r := w.asks("U01ALICE", command)
	w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
	w.state(r, approvals.Contained)
	m.mu.Lock()
	delete(m.done, "role-00123")
	m.mu.Unlock()
	w.clock.Add(6 * time.Second)
	w.drain()
	if m.done["role-00123"] != 1 {
		t.Error("what was undone was not applied again")
	}
	run, err := w.zones.Bot.Runs.Run(t.Context(), r.ID)
	w.must(err)
	if len(run.Tampering) != 1 || !run.Tampering[0].Reapplied {
		t.Errorf("tampering: %+v", run.Tampering)
	}
}

var _ actions.Action = manySteps{}
