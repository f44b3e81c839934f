package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/cmd/config"
)

// listening takes events from EventBridge and from a webhook.
func listening(w *world) {
	w.cfg.Alerts.Routes = []finding.Route{{Match: finding.Match{Source: finding.GuardDuty}, Delivery: finding.Propose}, {Match: finding.Match{Source: finding.TrustedAdvisor}, Delivery: finding.Propose}}
	w.cfg.Webhooks = []config.Webhook{{ID: "eventbridge", Events: true}, {ID: "soar"}}
	w.hooks = "eventbridge=hook-key,soar=soar-key"
}

// alertCards are the alerts that stand in the channel.
func (w *world) alertCards() (texts []string) {
	for _, m := range w.slack.Messages(channel) {
		if m.ThreadTS == "" && m.EphemeralTo == "" {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// TestEventsArriveByBothWays: by EventBridge and by a webhook, one or many, once or again.
func TestEventsArriveByBothWays(t *testing.T) {
	t.Parallel()
	const finding = "guardduty_iam_persistence-akia.json"
	for name, c := range map[string]struct {
		do   func(*world)
		want []string // how the cards begin
	}{
		"EventBridge":               {func(w *world) { w.arrive(w.sample(finding)) }, []string{"medium"}},
		"EventBridge, again":        {func(w *world) { w.arrive(w.sample(finding), w.sample(finding)); w.arrive(w.sample(finding)) }, []string{"medium"}},
		"webhook":                   {func(w *world) { w.bring("hook-key", "", w.sample(finding)) }, []string{"medium"}},
		"webhook, then EventBridge": {func(w *world) { w.bring("hook-key", "", w.sample(finding)); w.arrive(w.sample(finding)) }, []string{"medium"}},
		"an array":                  {func(w *world) { w.bring("hook-key", "", w.sample("hostile_array_two-events.json")) }, []string{"high", "high"}},
		"a drill":                   {func(w *world) { w.bring("hook-key", "drill-1", w.sample(finding)) }, []string{"[DRILL] medium"}},
		"a drill twice": {func(w *world) {
			w.bring("hook-key", "drill-1", w.sample(finding))
			w.bring("hook-key", "drill-2", w.sample(finding))
		}, []string{"[DRILL] medium", "[DRILL] medium"}},
		"a drill beside the finding": {func(w *world) { w.arrive(w.sample(finding)); w.bring("hook-key", "drill-1", w.sample(finding)) }, []string{"medium", "[DRILL] medium"}},
		"no route":                   {func(w *world) { w.arrive(w.sample("health_exposed_one.json")) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for store, alter := range stores {
				w := newWorld(t, append(alter, listening)...)
				c.do(w)
				w.pass(10 * time.Second)
				got := w.alertCards()
				ok := len(got) == len(c.want)
				for i := range min(len(got), len(c.want)) {
					ok = ok && strings.HasPrefix(got[i], c.want[i])
				}
				if !ok {
					t.Errorf("%s: cards %q, want %q", store, got, c.want)
				}
			}
		})
	}
}

// TestUnauthorizedEventsAreNotQueued: what has no right to is not even on a queue.
func TestUnauthorizedEventsAreNotQueued(t *testing.T) {
	t.Parallel()
	w := newWorld(t, listening)
	for key, want := range map[string]int{"": 401, "guessed": 401, "soar-key": 401, "hook-key": http.StatusBadRequest} {
		if got := w.bring(key, "", []byte("garbage")); got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
	w = newWorld(t, listening, func(w *world) { w.hooks = "" })
	if got := w.bring("hook-key", "", w.sample("guardduty_iam_root.json")); got != http.StatusUnauthorized {
		t.Errorf("without keys: %d", got)
	}
	w.pass(10 * time.Second)
	if got := w.alertCards(); len(got) > 0 {
		t.Errorf("cards %q", got)
	}
}

// TestUnreadableIsSetAside: at once, and whole; what could be read of the same
// delivery has its card.
func TestUnreadableIsSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, listening)
	broken := strings.Replace(string(w.sample("guardduty_iam_persistence-akia.json")), `"severity": 5`, `"severity": "grave"`, 1)
	both := "[" + broken + "," + string(w.sample("guardduty_iam_exfil-outside.json")) + "]"
	for _, body := range []string{string(w.sample("hostile_truncated_guardduty.bin")), both} {
		w.arrive([]byte(body))
		d, ok, err := w.Dead.Receive(t.Context(), time.Hour)
		w.must(err)
		if _, due := w.Alerts.Due(); !ok || due {
			t.Errorf("%.40s…: set aside %v, due again %v", body, ok, due)
		}
		if want := `"queue":"alerts"`; !strings.Contains(string(d.Body), want) || d.Receives != 1 {
			t.Errorf("set aside: %.100s", d.Body)
		}
	}
	w.pass(time.Minute)
	if said := strings.Join(w.alertCards(), "\n"); !strings.Contains(said, "high") {
		t.Errorf("the other event's card is missing: %s", said)
	}
}

// TestAlertsHoldUpNobody: when all who deal with events are busy, people are
// answered all the same.
func TestAlertsHoldUpNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, listening)
	busy := make(chan struct{})
	taken := make(chan struct{}, 100)
	for _, p := range w.zones.Pumps {
		if p.Name == "alerts" || p.Name == "webhooks" {
			p.Handle = func(context.Context, []byte) error {
				taken <- struct{}{}
				<-busy
				return nil
			}
		}
	}
	for range 20 {
		w.must(w.Alerts.Send(t.Context(), []byte("{}"), 0))
		w.must(w.Webhooks.Send(t.Context(), []byte("{}"), 0))
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.zones.Run(ctx); close(done) }()
	for quiet := false; !quiet; { // until both pumps have all their hands full
		select {
		case <-taken:
		case <-time.After(300 * time.Millisecond):
			quiet = true
		}
	}
	d := w.slack.Command("U01ALICE", channel, "/killswitch", command)
	id := approvals.RequestID(approvals.Evidence{Kind: approvals.SlackEvidence, Timestamp: d.SentHeader.Get("X-Slack-Request-Timestamp"), Body: string(d.Request)})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		r, err := approvals.Requests{Store: w.Requests}.Get(t.Context(), id)
		if err == nil && r.State == approvals.Pending && r.Card.TS != "" {
			break
		}
		if time.Now().After(end) {
			t.Errorf("not answered: %v %s", err, r.State)
			break
		}
	}
	stop()
	close(busy)
	<-done
}

// TestChangesHoldUpNoContainment: twenty failed calls a second that name our policy set no look, and
// while those of twenty that succeeded keep every worker of the looks busy, what people approve is
// contained at once.
func TestChangesHoldUpNoContainment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(awsfake.Role{Name: "db-role"}) })
	w.contained(command)
	w.pass(20 * time.Minute)
	looks := 0
	for _, p := range w.zones.Pumps {
		if p.Name == "checks" {
			p.Handle = func(_ context.Context, body []byte) error {
				var j approvals.Job
				w.must(json.Unmarshal(body, &j))
				if j.Verb == approvals.JobEvent {
					looks++
				}
				return errors.New("every worker is busy")
			}
		}
	}
	flood := func(failed string) {
		for range 20 {
			w.must(w.zones.Bot.HandleTrail(t.Context(), fmt.Appendf(nil, `{"source":"aws.iam","detail-type":"AWS API Call via CloudTrail","account":%[1]q,"detail":{"eventSource":"iam.amazonaws.com",
"eventName":"DeleteRolePolicy","eventTime":%[2]q,"recipientAccountId":%[1]q%[3]s,"requestParameters":{"roleName":"app-role","policyName":"AWSRevokeOlderSessions"}}}`,
				prod, w.clock.Now().UTC().Format(time.RFC3339), failed)))
		}
	}
	for range 60 {
		flood(`,"errorCode":"AccessDenied"`)
		w.drain()
		w.clock.Add(time.Second)
	}
	if looks != 0 {
		t.Errorf("%d looks for calls that failed", looks)
	}
	for second := range 60 {
		flood(`,"errorCode":"AccessDenied"`)
		flood("")
		if second == 30 {
			began := w.clock.Now()
			r := w.asks("U01ALICE", "revoke_sessions arn:aws:iam::222222222222:role/db-role stolen")
			w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
			w.state(r, approvals.Contained)
			if took := w.clock.Now().Sub(began); took > 10*time.Second {
				t.Errorf("contained after %s", took)
			}
		}
		w.drain()
		w.clock.Add(time.Second)
	}
	if looks == 0 {
		t.Error("calls that succeeded set no look")
	}
}
