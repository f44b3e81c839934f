package local_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/cmd/config"
)

const exfiltration = "guardduty_iam_exfil-outside.json"

// exfiltrated is a world in which GuardDuty has the finding of that sample, and
// what the route makes of it.
func exfiltrated(t *testing.T, route finding.Route, edit ...func(event string) string) (w *world, event []byte) {
	t.Helper()
	w = newWorld(t, func(w *world) {
		route.Match, route.Suggest = finding.Match{Source: finding.GuardDuty, MinSeverity: 7}, []finding.Suggestion{{Action: actions.RevokeSessions}}
		w.cfg.Alerts = finding.Routing{AutoPerHour: 5, AutoPerHourTotal: 20, Routes: []finding.Route{route}}
		w.cfg.Webhooks = []config.Webhook{{ID: "plain", Events: true}, {ID: "trusted", Events: true, Auto: true}}
		w.hooks = "plain=plain-key,trusted=trusted-key"
		w.cfg.Org.Regions = []string{region}
	})
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "web-tier-role"})
	event = []byte(strings.ReplaceAll(string(w.sample(exfiltration)), "2026-11-12T", "2026-11-20T")) // less than a day ago
	said := string(event)
	for _, f := range edit {
		said = f(said)
	}
	var envelope struct{ Detail json.RawMessage }
	w.must(json.Unmarshal([]byte(said), &envelope))
	w.aws.Account(prod).AddFinding(region, detector, string(envelope.Detail))
	return w, event
}

// born are the requests that came of the finding, oldest first.
func (w *world) born() []approvals.Request {
	w.t.Helper()
	a, err := alerts.Table{Requests: approvals.Requests{Store: w.Requests}}.Get(w.t.Context(), alertID)
	if errors.Is(err, approvals.ErrNotFound) {
		return nil
	}
	w.must(err)
	var rs []approvals.Request
	for _, b := range a.Requests {
		rs = append(rs, w.get(b.Request))
	}
	return rs
}

// alertTS is the message of the one alert.
func (w *world) alertTS() string {
	w.t.Helper()
	for _, m := range w.slack.Messages(channel) {
		if m.ThreadTS == "" && strings.Contains(m.Text, "AL-") {
			return m.TS
		}
	}
	w.t.Fatalf("no alert\n%s", w.said())
	return ""
}

// lookedAt counts the calls of an operation.
func (w *world) lookedAt(op string) (n int) {
	for _, c := range w.aws.Calls() {
		if c.Op == op {
			n++
		}
	}
	return n
}

func (w *world) revoked() bool { return w.policy("web-tier-role") != "" }

// TestEventContains: from the event to the deny, with delivery: auto; and the ways
// in which it is not.
func TestEventContains(t *testing.T) {
	t.Parallel()
	auto := finding.Route{Delivery: finding.Auto}
	as := func(old, now string) func(string) string {
		return func(event string) string { return strings.Replace(event, old, now, 1) }
	}
	for name, c := range map[string]struct {
		route finding.Route
		said  func(string) string // by GuardDuty, when it is asked
		bring func(*world, []byte)
		want  bool
	}{
		"by EventBridge":       {route: auto, want: true},
		"a webhook of trust":   {route: auto, bring: func(w *world, e []byte) { w.bring("trusted-key", "", e) }, want: true},
		"any webhook":          {route: auto, bring: func(w *world, e []byte) { w.bring("plain-key", "", e) }},
		"a drill":              {route: auto, bring: func(w *world, e []byte) { w.bring("trusted-key", "drill-1", e) }},
		"proposed":             {route: finding.Route{Delivery: finding.Propose}},
		"one click, not made":  {route: finding.Route{Delivery: finding.Propose, OneClick: true}},
		"told only":            {route: finding.Route{Delivery: finding.Notify}},
		"archived since":       {route: auto, said: as(`"archived": false`, `"archived": true`)},
		"a sample in truth":    {route: auto, said: as(`"recentApiCalls"`, `"sample": true, "recentApiCalls"`)},
		"less severe in truth": {route: auto, said: as(`"severity": 8`, `"severity": 5`)},
		"of another role":      {route: auto, said: func(e string) string { return strings.ReplaceAll(e, "web-tier-role", "other-role") }},
		"old in truth":         {route: auto, said: func(e string) string { return strings.ReplaceAll(e, "2026-11-20T", "2026-11-18T") }},
		"unknown to GuardDuty": {route: auto, said: func(e string) string { return strings.ReplaceAll(e, findingID, "0a3c9fb69bf06f4010a963bf880307d5") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := c.said
			if said == nil {
				said = func(e string) string { return e }
			}
			w, event := exfiltrated(t, c.route, said)
			if c.bring == nil {
				w.arrive(event)
			} else {
				c.bring(w, event)
			}
			w.pass(30 * time.Second)
			if w.revoked() != c.want {
				t.Fatalf("revoked: %t\n%s", w.revoked(), w.said())
			}
			if !c.want {
				w.untouched()
				rs := w.born()
				if asked := c.said != nil; asked != (len(rs) == 1) || asked && (rs[0].State != approvals.Refused || !strings.Contains(rs[0].Hint, "click on the alert's card")) {
					t.Errorf("requests: %+v", rs)
				}
				return
			}
			r := w.born()[0]
			if r.State != approvals.Contained || r.Requester.Person != approvals.AutomaticRequester || r.Mode != approvals.Automatic {
				t.Errorf("%+v", r)
			}
			w.arrive(event, event) // once is enough
			w.pass(30 * time.Second)
			if n := len(w.born()); n != 1 {
				t.Errorf("%d requests", n)
			}
			w.undo(r)
			if w.revoked() {
				t.Error("the deny is still there")
			}
			w.quiet()
		})
	}
}

// TestClickContains: from the event to the deny, with one click or two people.
func TestClickContains(t *testing.T) {
	t.Parallel()
	for name, oneClick := range map[string]bool{"one click": true, "two people": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, event := exfiltrated(t, finding.Route{Delivery: finding.Propose, OneClick: oneClick})
			w.arrive(event)
			w.pass(10 * time.Second)
			ts := w.alertTS()
			for _, user := range []string{"U04MALLORY", "U05STRANGER"} {
				w.slack.Click(user, channel, ts, "propose:revoke_sessions")
				w.drain()
			}
			if n := len(w.born()); n != 0 {
				t.Fatalf("%d requests of nobody who may", n)
			}
			w.slack.Click("U01ALICE", channel, ts, "propose:revoke_sessions")
			w.drain()
			r := w.born()[0]
			if !oneClick {
				w.clicks("U01ALICE", w.state(r, approvals.Pending), "approve")
				w.untouched()
				w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
			}
			r = w.state(r, approvals.Contained)
			if !w.revoked() || r.Requester.Person != "alice" || (r.Mode == approvals.OneClick) != oneClick {
				t.Errorf("%+v", r)
			}
			w.quiet()
		})
	}
}

// TestClickBringsRecentActivity: a click brings what the role did lately, into the thread.
func TestClickBringsRecentActivity(t *testing.T) {
	t.Parallel()
	w, event := exfiltrated(t, finding.Route{Delivery: finding.Notify})
	w.arrive(event)
	w.pass(10 * time.Second)
	w.slack.Click("U01ALICE", channel, w.alertTS(), "activity")
	w.pass(20 * time.Second)
	if w.lookedAt("cloudtrail:LookupEvents") == 0 || !strings.Contains(w.said(), "Recent activity: access key ASIAWEBROLEA2EXAMPLE") {
		t.Errorf("looked up %d times\n%s", w.lookedAt("cloudtrail:LookupEvents"), w.said())
	}
	w.quiet()
}

// seen makes an event one of this moment, and GuardDuty say the same.
func (w *world) seen(event []byte, count int, key string) []byte {
	var e map[string]any
	w.must(json.Unmarshal(event, &e))
	now := w.clock.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	d := e["detail"].(map[string]any)
	s := d["service"].(map[string]any)
	e["time"], d["updatedAt"], s["eventLastSeen"], s["count"] = w.clock.Now().UTC().Format(time.RFC3339), now, now, count
	d["resource"].(map[string]any)["accessKeyDetails"].(map[string]any)["accessKeyId"] = key
	said, err := json.Marshal(d)
	w.must(err)
	w.aws.Account(prod).AddFinding(region, detector, string(said))
	out, err := json.Marshal(e)
	w.must(err)
	return out
}

// TestSecondTheftIsContainedToo: twenty minutes after the first containment the same instance's role is
// stolen again. GuardDuty counts it in the same finding, and the old cut-off does not reach it.
func TestSecondTheftIsContainedToo(t *testing.T) {
	t.Parallel()
	w, event := exfiltrated(t, finding.Route{Delivery: finding.Auto})
	w.arrive(w.seen(event, 1, "ASIAWEBROLEA2EXAMPLE"))
	w.pass(30 * time.Second)
	w.state(w.born()[0], approvals.Contained)
	first := w.policy("web-tier-role")
	w.pass(20 * time.Minute)
	second := w.seen(event, 2, "ASIAWEBROLEB2EXAMPLE")
	w.pass(5 * time.Minute) // until EventBridge brings it
	w.arrive(second)
	w.pass(30 * time.Second)
	w.arrive(second)
	w.pass(30 * time.Second)
	rs := w.born()
	if len(rs) != 2 || w.policy("web-tier-role") == first {
		t.Fatalf("%d requests; the cut-off moved: %t", len(rs), w.policy("web-tier-role") != first)
	}
	w.state(rs[1], approvals.Contained)
	w.undo(rs[1])
	w.undo(rs[0])
	if w.revoked() {
		t.Error("the deny is still there")
	}
}

// called fails unless a message begins so.
func (w *world) called(begins string) {
	w.t.Helper()
	var texts []string
	for _, m := range w.slack.Messages(channel) {
		if texts = append(texts, m.Text); strings.HasPrefix(m.Text, begins) {
			return
		}
	}
	w.t.Errorf("nobody is called by %q: %q", begins, texts)
}

// TestInventedFindingNeedsASecondPerson: a responder who may put events in, on a route with approvals: 0.
// The second person is called by name, and told why.
func TestInventedFindingNeedsASecondPerson(t *testing.T) {
	t.Parallel()
	w, event := exfiltrated(t, finding.Route{Delivery: finding.Propose, OneClick: true})
	w.arrive([]byte(strings.ReplaceAll(string(event), findingID, "0a3c9fb69bf06f4010a963bf880307d5")))
	w.pass(10 * time.Second)
	w.slack.Click("U01ALICE", channel, w.alertTS(), "propose:revoke_sessions")
	w.pass(time.Minute)
	var rs []approvals.Request
	for _, r := range w.all() {
		rs = append(rs, r)
	}
	if len(rs) != 1 {
		t.Fatalf("%d requests", len(rs))
	}
	r := w.state(rs[0], approvals.Pending)
	w.untouched()
	w.shows(r, "One click was not enough")
	w.shows(r, "GuardDuty has no finding 0a3c9fb69bf06f4010a963bf880307d5")
	w.called("Approve? <@U02BOB>, <@U03CAROL>: ")
	w.clicks("U01ALICE", r, "approve")
	w.untouched()
	w.clicks("U02BOB", r, "approve")
	w.state(r, approvals.Contained)
}

// TestThrottledSourceCallsPeople: an attacker who uses up GuardDuty's rate keeps nothing from being contained.
func TestThrottledSourceCallsPeople(t *testing.T) {
	t.Parallel()
	w, event := exfiltrated(t, finding.Route{Delivery: finding.Auto})
	w.answers("guardduty:*", &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}, func() bool { return true })
	w.arrive(event)
	w.pass(30 * time.Second)
	r := w.state(w.born()[0], approvals.Pending)
	w.shows(r, "Not confirmed at its source")
	w.shows(r, "ThrottlingException")
	w.called("Approve? <@U01ALICE>, <@U02BOB>, <@U03CAROL>: Killswitch itself asks ")
	w.clicks("U01ALICE", r, "approve")
	w.state(r, approvals.Pending)
	w.untouched()
	w.clicks("U02BOB", r, "approve")
	w.state(r, approvals.Contained)
}

// TestSourceThatFallsSilentCallsPeople: what was to run at once, and is not confirmed again, calls people
// by a new message: they may have seen the card that said that it runs.
func TestSourceThatFallsSilentCallsPeople(t *testing.T) {
	t.Parallel()
	w, event := exfiltrated(t, finding.Route{Delivery: finding.Auto})
	asked := 0
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op != "guardduty:GetFindings" || c.Phase != awsfake.Before {
			return nil
		}
		if asked++; asked == 1 {
			return nil
		}
		if asked == 2 { // its card says that it is about to start
			w.must(w.zones.Bot.HandleChange(w.t.Context(), approvals.Change{ID: w.born()[0].ID}))
		}
		return &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}
	})
	w.arrive(event)
	w.pass(30 * time.Second)
	r := w.state(w.born()[0], approvals.Pending)
	w.shows(r, "Not confirmed at its source")
	w.called("Approve? <@U01ALICE>, <@U02BOB>, <@U03CAROL>: Killswitch itself asks ")
	w.called(r.ID + ": its card has moved")
}

// TestSessionNamedLikeAnInstance: whoever may assume a role names the session like the instance that he
// wants isolated. The card says so, and one click does not isolate it.
func TestSessionNamedLikeAnInstance(t *testing.T) {
	t.Parallel()
	w, event := exfiltrated(t, finding.Route{Delivery: finding.Propose, OneClick: true}, func(event string) string { return withoutInstance(t, event) })
	w.zones.Bot.Findings.Routes[0].Suggest = []finding.Suggestion{{Action: actions.IsolateInstance}}
	w.zones.Executor.Findings.Routes[0].Suggest = w.zones.Bot.Findings.Routes[0].Suggest
	w.arrive([]byte(withoutInstance(t, string(event))))
	w.pass(10 * time.Second)
	card := w.cardOf(w.alertRow())
	if !strings.Contains(card, "The target is not sure. Only the session's name says") || strings.Contains(card, approvals.OneClickText) {
		t.Errorf("the card:\n%s", card)
	}
	w.slack.Click("U01ALICE", channel, w.alertTS(), "propose:isolate_instance")
	w.pass(time.Minute)
	w.untouched()
	if r := w.born()[0]; r.Mode != approvals.TwoPerson || r.State != approvals.Pending && r.State != approvals.Refused {
		t.Errorf("%+v", r)
	}
}

// withoutInstance takes out of an event what GuardDuty itself says of the instance.
func withoutInstance(t *testing.T, event string) string {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal([]byte(event), &e); err != nil {
		t.Fatal(err)
	}
	delete(e["detail"].(map[string]any)["resource"].(map[string]any), "instanceDetails")
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
