package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// alertRow is the row of the one alert.
func (w *world) alertRow() alerts.Alert {
	w.t.Helper()
	a, err := alerts.Table{Requests: approvals.Requests{Store: w.Requests}}.Get(w.t.Context(), alertID)
	w.must(err)
	return a
}

// inThread is what stands below an alert; the cards in it are in the channel, too.
func (w *world) inThread(a alerts.Alert) (texts []string) {
	for _, m := range w.slack.Thread(channel, a.Card.TS)[1:] {
		texts = append(texts, m.Text)
		if card := strings.Contains(m.Text, "· KS-"); card != m.Broadcast {
			w.t.Errorf("in the channel: %v: %s", m.Broadcast, m.Text)
		}
	}
	return texts
}

func (w *world) cardOf(a alerts.Alert) string {
	for _, m := range w.slack.Messages(channel) {
		if m.TS == a.Card.TS {
			return slackfake.Text(m)
		}
	}
	return ""
}

// TestAlertCardFollowsItsContainments: what an alert's card and thread show of the containments that it
// led to, from the event to the undo, by the buttons that are on the cards.
func TestAlertCardFollowsItsContainments(t *testing.T) {
	t.Parallel()
	click := func(w *world, a alerts.Alert) {
		w.slack.Click("U01ALICE", channel, a.Card.TS, "propose:revoke_sessions")
		w.drain()
	}
	for name, c := range map[string]struct {
		route finding.Route
		do    func(w *world, a alerts.Alert)
	}{
		"proposed": {finding.Route{Delivery: finding.Propose}, func(w *world, a alerts.Alert) {
			click(w, a)
			w.clicks("U02BOB", w.born()[0], "approve")
		}},
		"one click": {finding.Route{Delivery: finding.Propose, OneClick: true}, click},
		"by itself": {finding.Route{Delivery: finding.Auto}, func(*world, alerts.Alert) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, event := exfiltrated(t, c.route)
			w.arrive(event)
			c.do(w, w.alertRow())
			w.pass(2 * time.Minute)
			a, r := w.alertRow(), w.state(w.born()[0], approvals.Contained)
			if r.Card.Thread != a.Card.TS {
				t.Errorf("its card: %+v", r.Card)
			}
			got := w.inThread(a)
			for i, begins := range []string{"contained: revoke_sessions", r.ID + ": the plan", r.ID + ": contained", r.ID + ": checked again"} {
				if len(got) != 4 || !strings.HasPrefix(got[i], begins) {
					t.Fatalf("in the thread: %q, want %q", got, begins)
				}
			}
			if card := w.cardOf(a); !strings.Contains(card, "contained: revoke_sessions") {
				t.Errorf("the alert's card:\n%s", card)
			}
			update := string(w.sample("guardduty_iam_exfil-outside-update.json"))
			w.arrive([]byte(strings.ReplaceAll(update, "2026-11-12T", "2026-11-20T"))) // as the first event
			if got := w.inThread(a); len(got) != 5 || !strings.Contains(got[4], "seen 9 times, was 1") {
				t.Errorf("in the thread after an update: %q", got)
			}
			if n := len(w.born()); n != 1 {
				t.Errorf("%d requests after an update", n)
			}

			// Taken back by its own card, or right on the alert's where nobody asked for it.
			if r.Mode == approvals.Automatic {
				w.slack.Click("U02BOB", channel, a.Card.TS, "undo")
				w.drain()
			} else {
				w.clicks("U02BOB", r, "undo")
			}
			u := w.undoOf(r)
			w.clicks("U03CAROL", w.state(u, approvals.Pending), "approve")
			w.pass(time.Minute)
			w.state(u, approvals.Restored)
			if u = w.again(u); u.Card.Thread != a.Card.TS || w.revoked() {
				t.Errorf("the undo's card: %+v", u.Card)
			}
			if card := w.cardOf(a); !strings.Contains(card, "undone: revoke_sessions") {
				t.Errorf("the alert's card after the undo:\n%s", card)
			}
			if a := w.alertRow(); a.Stale() || len(a.Pending) != 0 || len(w.alertCards()) != 1 {
				t.Errorf("something is left: %+v", a)
			}
		})
	}
}
