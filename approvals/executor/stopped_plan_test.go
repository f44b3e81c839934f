package executor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// broken is what a card says of our own tables and secrets.
const broken = "Killswitch's own tables or secrets failed"

// TestWhatStopsAPlanIsTold: within 30 seconds, by the job that was stopped, with what to
// do next, and the plan is made once it is over.
func TestWhatStopsAPlanIsTold(t *testing.T) {
	t.Parallel()
	rows := func(match func(string) bool) func(*world, func() bool) {
		return func(w *world, down func() bool) {
			w.Runs.writes = func(puts []approvals.Put) error {
				if down() && slices.ContainsFunc(puts, func(p approvals.Put) bool { return match(p.Sort) }) {
					return errOutage
				}
				return nil
			}
		}
	}
	for name, c := range map[string]struct {
		stop func(w *world, down func() bool)
		want string
	}{
		"no row can be written":       {rows(func(string) bool { return true }), broken},
		"the plan can't be written":   {rows(func(sort string) bool { return sort == "plan" }), broken},
		"the steps can't be written":  {rows(func(sort string) bool { return strings.HasPrefix(sort, "step#") }), broken},
		"no lease can be taken":       {rows(func(sort string) bool { return sort == "planner" }), broken},
		"the table can't be read":     {func(w *world, down func() bool) { w.Runs.reads = whileDown[approvals.Key](down) }, broken},
		"what was written is unknown": {func(w *world, down func() bool) { w.Runs.wrote = whileDown[[]approvals.Put](down) }, broken},
		"no secret": {func(w *world, down func() bool) {
			w.executor.Verifiers[approvals.SlackEvidence] = approvals.SlackVerifier{Secrets: func(context.Context) ([]string, error) {
				if down() {
					return nil, errors.New("Secrets Manager: timeout")
				}
				return []string{signingSecret}, nil
			}}
		}, broken + ": signing secret: Secrets Manager: timeout"},
		"the table says no": {func(w *world, down func() bool) {
			w.Runs.writes = func([]approvals.Put) error {
				if down() {
					return apiError("AccessDeniedException")
				}
				return nil
			}
		}, broken},
		"AWS hangs": {func(w *world, down func() bool) {
			w.aws.OnCall(func(c awsfake.Call) error {
				if c.Op != "iam:GetRole" || c.Phase != awsfake.Before || !down() {
					return nil
				}
				w.clock.Add(8 * time.Second) // as long as an exchange may take
				return fmt.Errorf("exceeded: %w", context.DeadlineExceeded)
			})
		}, "AWS did not answer in time"},
		"no session": {func(w *world, down func() bool) { w.answers("sts:AssumeRole", apiError("ServiceUnavailable"), down) }, "ServiceUnavailable"},
	} {
		for store, in := range stores {
			t.Run(name+"/"+store, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, in...)
				down := true
				c.stop(w, func() bool { return down })
				began := w.clock.Now()
				r := w.bring(w.says(alice, revoke))
				w.told()
				w.round()
				r = w.state(r, approvals.Planning)
				if took := w.clock.Now().Sub(began); took > 30*time.Second || !strings.Contains(r.Cause, c.want) || len(w.told()) == 0 {
					t.Errorf("after %s the card says %q (%s), and the bot was told %v", took, r.Cause, r.Hint, w.told())
				}
				if strings.HasPrefix(c.want, broken) && !strings.Contains(r.Hint, "until the request expires") {
					t.Errorf("what to do next: %q", r.Hint)
				}
				w.pass(2 * time.Minute)
				w.state(r, approvals.Planning)
				w.untouched()
				down = false
				w.pass(2 * time.Minute)
				if r = w.state(r, approvals.Pending); r.Cause != "" {
					t.Errorf("it still says %q", r.Cause)
				}
				w.state(w.clicks(bob, r, "approve"), approvals.Contained)
				w.chain(r)
			})
		}
	}
}

// TestWhatStopsThePlanOfAnUndoIsTold, and that it is not the account.
func TestWhatStopsThePlanOfAnUndoIsTold(t *testing.T) {
	t.Parallel()
	for _, sort := range []string{"plan", "run", "step#", "hold"} {
		t.Run(sort, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.contained(revoke)
			w.pass(2 * time.Minute)
			down := true
			w.Runs.reads = func(k approvals.Key) error {
				if down && k.Sort == sort && (k.Part == r.ID || sort == "hold") {
					return apiError("AccessDeniedException")
				}
				return nil
			}
			u := w.state(w.clicks(carol, r, "undo"), approvals.Planning)
			if !strings.Contains(u.Cause, broken) || strings.Contains(u.Hint, "member roles") {
				t.Errorf("the card says %q (%s)", u.Cause, u.Hint)
			}
			down = false
			w.pass(2 * time.Minute)
			w.state(u, approvals.Pending)
		})
	}
}

// whileDown fails all accesses to a table while it is down.
func whileDown[T any](down func() bool) func(T) error {
	return func(T) error {
		if down() {
			return errOutage
		}
		return nil
	}
}

// TestSnapshotBlocksNothing: it is for the record, and kept after the plan.
func TestSnapshotBlocksNothing(t *testing.T) {
	t.Parallel()
	const strip = "detach_policies prod/app-role stolen"
	w := newWorld(t)
	r := w.types(alice, strip)
	row, err := w.Runs.Store.Get(t.Context(), approvals.SnapshotKey(r.ID))
	w.must(err)
	if !strings.Contains(string(row.Body), "AdministratorAccess") {
		t.Errorf("the snapshot is %s", row.Body)
	}
	row, err = w.Runs.Store.Get(t.Context(), planKey(r))
	w.must(err)
	if strings.Contains(string(row.Body), `"snapshot"`) {
		t.Errorf("the plan is %s", row.Body)
	}
	r = w.bring(w.says(alice, strip+" again"))
	refused := false
	w.Runs.writes = func(puts []approvals.Put) error {
		if !writing(puts, "snapshot") {
			return nil
		}
		if refused = true; len(puts) > 1 || w.again(r).State != approvals.Pending {
			t.Error("the request waits for the snapshot")
		}
		return errOutage
	}
	w.drain()
	if !refused {
		t.Error("no snapshot was written")
	}
	w.state(r, approvals.Pending)
	w.state(w.clicks(bob, r, "approve"), approvals.Contained)
}
