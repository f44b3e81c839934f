package local_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot"
)

// dropped is CloudTrail's event of our own responder, which somebody stole, that removed the deny
// just now: it is no alert.
func (w *world) dropped() []byte {
	w.t.Helper()
	return []byte(strings.NewReplacer("PutRolePolicy", "DeleteRolePolicy", "web-tier-role", "app-role",
		"2026-11-13T09:30:02Z", w.clock.Now().UTC().Format(time.RFC3339)).Replace(string(w.sample("cloudtrail_putrolepolicy_own-responder.json"))))
}

// TestEventBringsTheDenyBack: somebody removes the deny, a second later a webhook brings the event.
// The deny is applied again at once, and people are told; the event itself says nothing.
func TestEventBringsTheDenyBack(t *testing.T) {
	t.Parallel()
	for store, alter := range stores {
		for _, line := range []string{command, "revoke_sessions prod/ALL stolen"} {
			t.Run(store+", "+line, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, append(alter, listening)...)
				r := w.contained(line)
				w.pass(10 * time.Minute) // the next look of the schedule is minutes away
				before := w.said()
				if status := w.bring("hook-key", "", w.dropped()); status != http.StatusOK {
					t.Fatalf("the event: %d", status)
				}
				w.pass(10 * time.Second)
				if w.said() != before || w.run(r).Tampered != 0 {
					t.Errorf("an event alone says something: %s", strings.TrimPrefix(w.said(), before))
				}
				w.pass(time.Minute)
				w.dropDeny()
				w.clock.Add(time.Second)
				w.bring("hook-key", "", w.dropped())
				w.drain()
				run := w.run(w.state(r, approvals.Contained))
				if w.policy("app-role") == "" || run.Tampered != 1 || !run.Tampering[0].Reapplied {
					t.Fatalf("a second later: deny %q, %+v", w.policy("app-role"), run.Tampering)
				}
				w.pass(5 * time.Second)
				if said := strings.TrimPrefix(w.said(), before); !strings.Contains(said, "applied again") {
					t.Errorf("told: %s", said)
				}
				w.undo(r)
			})
		}
	}
}

// TestContainmentIsNotHeldUpByEvents: for a minute twenty events a second come about what is in force,
// and twenty of calls that failed. Another containment takes no longer, and what is in force is looked
// at twice.
func TestContainmentIsNotHeldUpByEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, listening)
	w.aws.Account(prod).AddRole(roleAt("/", "other-role"))
	r := w.contained(command)
	w.pass(10 * time.Minute)
	checks := w.run(r).Checks
	for second := range 60 {
		event := string(w.dropped())
		failed := strings.Replace(event, `"eventVersion"`, `"errorCode":"AccessDenied","eventVersion"`, 1)
		for range 20 {
			for _, body := range []string{event, failed} {
				m, err := json.Marshal(bot.Webhook{ID: "eventbridge", Path: "/events", Body: body})
				w.must(err)
				w.must(w.Webhooks.Send(t.Context(), m, 0))
			}
		}
		if second == 30 {
			w.contained("revoke_sessions prod/other-role stolen")
		}
		w.drain()
		w.clock.Add(time.Second)
	}
	if n := w.run(r).Checks - checks; n != 2 {
		t.Errorf("%d looks in a minute", n)
	}
	if run := w.run(r); run.Tampered != 0 || len(w.alertCards()) != 2 {
		t.Errorf("an event says something: %+v\n%s", run.Tampering, w.said())
	}
}
