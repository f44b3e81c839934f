package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// askedAgain is the open request that asks again for an earlier one.
func (w *world) askedAgain(old approvals.Request) approvals.Request {
	w.t.Helper()
	rs, err := approvals.Requests{Store: w.Requests}.Marked(w.t.Context(), approvals.MarkOpen, "", 100)
	w.must(err)
	for _, r := range rs {
		if strings.HasPrefix(r.Reason, "again ("+old.ID) {
			return r
		}
	}
	w.t.Fatalf("nobody asked again for %s\n%s", old.ID, w.said())
	return old
}

// TestExpiredRequestIsAskedForAgain by one click of another person.
func TestExpiredRequestIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for name, alter := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, alter...)
			old := w.state(w.asks("U01ALICE", command), approvals.Pending)
			w.pass(32 * time.Minute)
			old = w.state(old, approvals.Expired)
			w.clicks("U02BOB", old, "again")
			r := w.state(w.askedAgain(old), approvals.Pending)
			w.shows(r, "again ("+old.ID+" expired)")
			w.clicks("U03CAROL", old, "again")
			w.told("U03CAROL", r.ID+" asks for the same and is pending")
			w.types("U01ALICE", anotherCommand)
			w.told("U01ALICE", r.ID+" asks for the same and is pending")
			w.clicks("U02BOB", r, "approve")
			w.told("U02BOB", "a second person")
			w.clicks("U01ALICE", r, "approve")
			w.state(r, approvals.Contained)
			w.state(old, approvals.Expired)
		})
	}
}

// TestDeniedRequesterMayNotClickAgain: another person may, and it says who denied it.
func TestDeniedRequesterMayNotClickAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.clicks("U03CAROL", old, "deny")
	old = w.state(old, approvals.Denied)
	w.clicks("U01ALICE", old, "again")
	w.told("U01ALICE", "was yours, and it was denied")
	w.clicks("U02BOB", old, "again")
	w.shows(w.state(w.askedAgain(old), approvals.Pending), "denied by carol")
}

// TestLineToAskAgainIsTaken: a deletion is asked for again by typing what the card shows.
func TestLineToAskAgainIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.state(w.asks("U01ALICE", "delete_role "+appRole+` confirm=app-role reason="the intruder's own role"`), approvals.Pending)
	w.clicks("U01ALICE", old, "cancel")
	old = w.state(old, approvals.Cancelled)
	_, line, found := strings.Cut(w.card(old), "To ask again, send: /killswitch ")
	if !found {
		t.Fatalf("no line on the card:\n%s", w.card(old))
	}
	line, _, _ = strings.Cut(line, `" `)
	r := w.asks("U02BOB", line+`"`)
	if r = w.state(r, approvals.Pending); r.Intent.String() != old.Intent.String() {
		t.Errorf("%s, want %s", r.Intent, old.Intent)
	}
}

// TestRefusedCardHasTheLineToSend: of a typo the card shows the whole line for the role that
// is meant, and that line, copied from it, is taken.
func TestRefusedCardHasTheLineToSend(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ role, reason string }{
		"as it is":        {"app-rol", "keys on a paste site"},
		"marks and signs": {"app-rolee", "_keys_ & more <on> ~a~ 'paste' site"},
		"the longest":     {"app_role", strings.Repeat("why ", 38)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			old := w.state(w.asks("U01ALICE", "revoke_sessions prod/"+c.role+` reason="`+c.reason+`"`), approvals.Refused)
			w.shows(old, "There is no role "+c.role+" in account 222222222222; the nearest is app-role.")
			_, line, _ := strings.Cut(w.card(old), "Send /killswitch ")
			line, _, found := strings.Cut(line, " if app-role is meant.")
			if !found {
				t.Fatalf("no line on the card:\n%s", w.card(old))
			}
			r := w.state(w.asks("U02BOB", line), approvals.Pending)
			if r.Intent.Call.Target != appRole || r.Reason != strings.TrimSpace(c.reason) {
				t.Errorf("%q asks for %s: %q", line, r.Intent, r.Reason)
			}
		})
	}
}
