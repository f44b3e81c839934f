package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// failedUndo is an undo that carol asked for, alice approved and AWS refused.
func (w *world) failedUndo() (r, u approvals.Request) {
	w.t.Helper()
	r = w.contained(command)
	w.pass(2 * time.Minute)
	broken := true
	w.answers("iam:DeleteRolePolicy", apiError("AccessDenied"), func() bool { return broken })
	w.clicks("U03CAROL", w.again(r), "undo")
	u = w.undoOf(r)
	w.clicks("U01ALICE", w.again(u), "approve")
	broken = false
	if u = w.again(u); u.State != approvals.Partial && u.State != approvals.Failed {
		w.t.Fatalf("the undo is %s", u.State)
	}
	w.clock.Add(time.Minute)
	return w.state(r, approvals.Partial), u
}

// TestFailedUndoIsWithdrawn: one approval does not live on after somebody's no: neither a
// click nor 38 hours lift the deny, and another undo may be asked for.
func TestFailedUndoIsWithdrawn(t *testing.T) {
	t.Parallel()
	for store, with := range stores {
		for name, c := range map[string]struct {
			no    func(*world, approvals.Request)
			end   approvals.State
			shows []string
		}{
			"typed": {func(w *world, u approvals.Request) { w.types("U02BOB", "deny "+u.ID+" the incident is not over") },
				approvals.Denied, []string{"@U02BOB", "not tried again", "the incident is not over"}},
			"the button":         {func(w *world, u approvals.Request) { w.clicks("U02BOB", u, "deny") }, approvals.Denied, []string{"@U02BOB", "not tried again"}},
			"typed by the asker": {func(w *world, u approvals.Request) { w.types("U03CAROL", "cancel "+u.ID) }, approvals.Cancelled, []string{"by the requester", "not tried again"}},
		} {
			t.Run(store+", "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, with...)
				r, u := w.failedUndo()
				held, changes := w.policy("app-role"), w.aws.Mutations()
				c.no(w, u)
				u = w.state(u, c.end)
				for _, want := range c.shows {
					w.shows(u, want)
				}
				for _, later := range []time.Duration{0, 38 * time.Hour} {
					w.clock.Add(later)
					w.slack.ClickRaw("U03CAROL", channel, u.Card.TS, func(p map[string]any) { // on a phone that still shows the old card
						action(p)["action_id"] = "retry"
					})
					w.drain()
					w.told("U03CAROL", string(c.end)+" by now")
				}
				w.types("U01ALICE", "deny "+u.ID)
				w.told("U01ALICE", string(c.end)+" by now")
				w.state(u, c.end)
				w.state(r, approvals.Partial)
				if w.policy("app-role") != held || w.aws.Mutations() != changes {
					t.Error("the deny is not as it was")
				}
				w.undo(r)
			})
		}
	}
}

// TestNoToAPartialContainmentInSlack: the card says who; what holds stays, and is undone.
func TestNoToAPartialContainmentInSlack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.asks("U01ALICE", command)
	broken := true
	w.answers("iam:PutRolePolicy", apiError("AccessDenied"), func() bool { return broken })
	w.clicks("U02BOB", w.again(r), "approve")
	broken = false
	r = w.state(r, approvals.Partial)
	w.types("U03CAROL", "deny "+strings.ToLower(r.ID)+" the rest is done by hand")
	r = w.state(r, approvals.Partial)
	w.shows(r, "Not tried again")
	w.shows(r, "@U03CAROL")
	w.types("U02BOB", "deny "+r.ID)
	w.told("U02BOB", "denied or cancelled")
	if e, n := w.event(r, "denied"); n != 1 || e.Actor != "carol" || e.Facts["reason"] != "the rest is done by hand" {
		t.Errorf("%d times in the chain: %+v", n, e)
	}
	w.undo(r)
}

// TestUndoOfWhatWasDenied: what never ran has nothing to undo, what ran before has.
func TestUndoOfWhatWasDenied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.asks("U01ALICE", command)
	w.clicks("U02BOB", w.again(r), "deny")
	w.types("U01ALICE", "undo "+r.ID)
	w.told("U01ALICE", "nothing to undo")
}
