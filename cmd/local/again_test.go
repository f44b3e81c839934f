package local_test

import (
	"maps"
	"slices"
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

// TestDenialIsOverruledByOneMore: who denied the call has no vote on it when it is asked for
// again, so that one person can't stop it for good; it takes one approval more.
func TestDenialIsOverruledByOneMore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		people []string // beside alice, bob and carol
		need   string
	}{
		"of three people": {nil, "Pending 0/1"},
		"of four":         {[]string{"dave"}, "Pending 0/2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world) {
				roster := &w.cfg.Policy.Roster
				roster.Groups = maps.Clone(roster.Groups)
				for _, id := range c.people {
					roster.People = append(slices.Clone(roster.People), approvals.Person{ID: id, Name: id, Slack: "U05STRANGER"})
					roster.Groups["responders"] = append(slices.Clone(roster.Groups["responders"]), id)
				}
			})
			old := w.state(w.asks("U01ALICE", command), approvals.Pending)
			w.clicks("U03CAROL", old, "deny")
			old = w.state(old, approvals.Denied)
			w.clicks("U02BOB", old, "again")
			r := w.state(w.askedAgain(old), approvals.Pending)
			w.shows(r, c.need)
			w.shows(r, "Overrules the denial by carol")
			w.clicks("U03CAROL", r, "deny")
			w.told("U03CAROL", "others decide on it now")
			w.clicks("U03CAROL", r, "approve")
			r = w.state(r, approvals.Pending)
			w.clicks("U01ALICE", r, "approve")
			if c.people != nil {
				w.clicks("U05STRANGER", w.state(r, approvals.Pending), "approve")
			}
			w.state(r, approvals.Contained)
		})
	}
}

// TestDenierMayAskAgain: who denied it may ask for it, with nobody overruled; and a denial of
// what overrules one is overruled too.
func TestDenierMayAskAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.clicks("U03CAROL", old, "deny")
	w.clicks("U03CAROL", w.state(old, approvals.Denied), "again")
	r := w.state(w.askedAgain(old), approvals.Pending)
	if r.Need != 1 || len(r.Overrules) != 0 {
		t.Errorf("needs %d, overrules %v", r.Need, r.Overrules)
	}
	w.clicks("U02BOB", r, "deny")
	w.clicks("U01ALICE", w.state(r, approvals.Denied), "again")
	if next := w.state(w.askedAgain(r), approvals.Pending); !slices.Equal(next.Overrules, []string{"bob"}) {
		t.Errorf("overrules %v", next.Overrules)
	}
}

// TestLineToAskAgainIsTaken: an undo that gives keys back is asked for again by typing what the card shows.
func TestLineToAskAgainIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	done := w.contained(command)
	old := w.state(w.asks("U01ALICE", "undo "+done.ID+` keys=reactivate reason="the owner's, not the intruder's"`), approvals.Pending)
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
