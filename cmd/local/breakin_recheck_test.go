package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// claims fails if anything that was said claims that the containment held later.
func (w *world) claims() {
	w.t.Helper()
	for _, claim := range []string{"it holds", "It held", "still held"} {
		if said := flat(w.said()); strings.Contains(said, claim) {
			w.t.Errorf("said %q of what nobody could see:\n%s", claim, w.said())
		}
	}
}

// TestUnreadableRecheck: a re-check that could not read must not say that it
// holds; one that never can must wake people.
func TestUnreadableRecheck(t *testing.T) {
	t.Run("for a while", func(t *testing.T) {
		w := newWorld(t)
		r := w.contained(command)
		w.dropDeny()
		w.aws.Fault(denied("iam:GetRole*"))
		w.pass(time.Minute)
		w.claims()
		w.state(r, approvals.Contained)
		w.shows(r, "It could not be read back since")
		w.aws.ClearFaults()
		w.pass(3 * time.Minute)
		w.state(r, approvals.Contained)
		if w.policy("app-role") == "" {
			t.Error("the deny was not applied again")
		}
		if n := len(w.run(r).Tampering); n != 1 {
			t.Errorf("%d times undone by somebody", n)
		}
	})
	t.Run("for good", func(t *testing.T) {
		w := newWorld(t)
		r := w.contained(command)
		w.dropDeny()
		w.aws.Fault(denied("iam:GetRole*"))
		w.pass(5 * time.Minute)
		w.claims()
		w.state(r, approvals.Partial)
		w.shows(r, "can't be confirmed")
		if !strings.Contains(w.said(), "partial. @here") {
			t.Errorf("nobody was woken:\n%s", w.said())
		}
		w.aws.ClearFaults()
		for range 2 { // the first may find out that it has to be applied again
			if w.again(r).State == approvals.Partial {
				w.clock.Add(time.Second)
				w.clicks("U02BOB", w.again(r), "retry")
			}
			if s := w.again(r).State; s == approvals.Contained && w.policy("app-role") == "" {
				t.Error("contained, and no deny")
			}
		}
		w.state(r, approvals.Contained)
	})
}

// TestInterruptedReapply: a step that was being applied again when the process
// died must not count as one that holds.
func TestInterruptedReapply(t *testing.T) {
	k := &reaper{}
	w := newWorld(t, func(w *world) { mortal(w, k) })
	r := w.contained(command)
	w.dropDeny()
	w.aws.OnCall(func(c awsfake.Call) error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if c.Op == "iam:PutRolePolicy" && c.Phase == awsfake.Before && c.RoleSessionName == r.ID && k.what == "" {
			k.dead, k.what = true, "before the deny is put again"
			return errDead
		}
		return nil
	})
	w.live(k, "the deny", func() int { return 200 }, func() bool { return w.policy("app-role") != "" })
	if k.what == "" {
		t.Fatal("nobody died")
	}
	w.pass(3 * time.Minute)
	w.state(r, approvals.Contained)
	steps, err := approvals.Runs{Reader: w.Runs}.Steps(t.Context(), r.ID, 0)
	w.must(err)
	for _, s := range steps {
		if s.State != approvals.StepVerified {
			t.Errorf("the ledger says %s: %s", s.Step.ID, s.State)
		}
	}
}

// TestLostEndOfARecheck: one lost write must not turn "undone by somebody, and
// could not be applied again" into contained.
func TestLostEndOfARecheck(t *testing.T) {
	f := &failOnce{}
	w := newWorld(t, func(w *world) {
		w.wrap = func(b local.Backends) local.Backends { f.Store = b.Runs; b.Runs = f; return b }
	})
	r := w.contained(command)
	w.dropDeny()
	w.aws.Fault(denied("iam:PutRolePolicy"))
	f.arm(func(p approvals.Put) bool {
		return p.Part == r.ID && p.Sort == "run" && strings.Contains(string(p.Body), `"outcome":"partial"`)
	})
	w.pass(3 * time.Minute)
	if !f.lost() {
		t.Fatal("nothing was lost")
	}
	w.claims()
	w.state(r, approvals.Partial)
	w.shows(r, "undone by somebody")
}
