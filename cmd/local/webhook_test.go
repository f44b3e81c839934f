package local_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/crashtest"
	"github.com/killswitch-chatops/killswitch/bot/ingress"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/config"
)

const soarKey = "9a77-soar-key"

// hooked lets the webhooks soar, other and direct ask for everything. owners hold soar's key.
func hooked(owners ...string) func(*world) {
	return func(w *world) {
		w.hooks = "soar=" + soarKey + ",other=other-key"
		w.cfg.Policy.Webhooks = map[string]approvals.WebhookGrant{}
		for _, id := range []string{"soar", "other", ingress.DirectWebhook} {
			h := config.Webhook{ID: id}
			if id == "soar" {
				h.Owners = owners
			}
			for _, a := range all.Actions {
				h.Actions = append(h.Actions, a.Spec().Name)
			}
			w.cfg.Webhooks = append(w.cfg.Webhooks, h)
			w.cfg.Policy.Webhooks[id] = approvals.WebhookGrant{Actions: h.Actions, Owners: h.Owners}
		}
	}
}

// door posts a body as a webhook does, and returns the status and the request's ID.
func (w *world) door(key, path, name, body string) (status int, id string) {
	w.t.Helper()
	h := http.Header{}
	h.Set(ingress.KeyHeader, key)
	if name != "" {
		h.Set(ingress.IdempotencyHeader, name)
	}
	resp := w.zones.Ingress.Answer(w.t.Context(), ingress.Request{Method: http.MethodPost, Path: path, Header: h, Body: []byte(body)})
	var told struct {
		ID string `json:"request_id"`
	}
	_ = json.Unmarshal([]byte(resp.Body), &told)
	return resp.Status, told.ID
}

// hookAsks posts a body that is taken, and returns the request that came of it.
func (w *world) hookAsks(path, name, body string) approvals.Request {
	w.t.Helper()
	status, id := w.door(soarKey, path, name, body)
	if status != http.StatusAccepted {
		w.t.Fatalf("%d", status)
	}
	w.drain()
	return w.get(id)
}

// revocation asks for app-role.
func revocation(reason string) string {
	return fmt.Sprintf(`{"action":"revoke_sessions","target":"prod/app-role","reason":%q}`, reason)
}

// call is the text that calls those who may approve a request, as it was posted.
func (w *world) call(r approvals.Request) (text string) {
	for _, m := range w.slack.Messages(channel) {
		if strings.HasPrefix(m.Text, "Approve? ") && strings.Contains(m.Text, r.ID) {
			text = m.Text
		}
	}
	return text
}

// TestWebhookAsksAndPeopleDecide: from the key to the containment. Who holds the key and approves is one
// person, and not enough; the second one is, and an owner may not approve at all.
func TestWebhookAsksAndPeopleDecide(t *testing.T) {
	t.Parallel()
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, append(store, hooked())...)
			r := w.state(w.hookAsks("/requests", "", revocation("beacon of <!channel> *C2*")), approvals.Pending)
			w.shows(r, "Asked by the webhook soar")
			w.shows(r, "Pending 0/2: 2 responders must approve")
			w.shows(r, "behind which nobody stands: it needs one approval more")
			w.shows(r, "Why (webhook.soar): beacon of <!channel> *C2*") // in a block of plain text
			if call := w.call(r); !strings.Contains(call, "<@U01ALICE>") || strings.Contains(call, "<!channel>") || !strings.Contains(call, "the webhook soar asks to revoke") {
				t.Errorf("called by %q", call)
			}
			if strings.Contains(w.card(r), "Cancel") {
				t.Errorf("there is nobody who could cancel: %s", w.card(r))
			}
			w.clicks("U03CAROL", r, "approve")
			r = w.state(r, approvals.Pending)
			w.clicks("U03CAROL", r, "approve")
			w.told("U03CAROL", "another person must approve it too")
			if w.policy("app-role") != "" {
				t.Fatal("one person approved what their own key may have asked for, and it ran")
			}
			w.clicks("U02BOB", w.again(r), "approve")
			w.state(r, approvals.Contained)
			if e, _ := w.event(r, "requested"); e.Actor != "webhook.soar" || w.policy("app-role") == "" {
				t.Errorf("asked for by %q, the deny is %q", e.Actor, w.policy("app-role"))
			}
			w.undo(w.again(r))
			w.quiet()
		})
	}
	t.Run("with an owner", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, hooked("carol"), func(w *world) {
			w.cfg.Usergroups = map[string]string{"responders": "S0RESP"} // of which carol is one, and not called
			w.slack.SetUsergroup("S0RESP", []string{"U01ALICE", "U02BOB", "U03CAROL"})
		})
		r := w.state(w.hookAsks("/requests", "", revocation("beacon")), approvals.Pending)
		if call := w.call(r); !strings.Contains(call, "<@U01ALICE>") || strings.Contains(call, "<@U03CAROL>") || strings.Contains(call, "S0RESP") {
			t.Errorf("called by %q", call)
		}
		w.shows(r, "Pending 0/1: a responder must approve")
		w.shows(r, "May not approve")
		w.clicks("U03CAROL", r, "approve")
		w.told("U03CAROL", "You hold the key of the webhook that asked for this")
		w.state(r, approvals.Pending)
		w.clicks("U02BOB", r, "approve")
		w.state(r, approvals.Contained)
		for _, c := range w.aws.Calls() {
			if c.Op == "sts:AssumeRole" && c.SourceIdentity != "webhook.soar" && c.SourceIdentity != "killswitch-watch" {
				t.Errorf("entered by %s", c.SourceIdentity)
			}
		}
	})
	t.Run("and who holds the key may deny", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, hooked("carol"))
		r := w.hookAsks("/requests", "", revocation("beacon"))
		w.clicks("U03CAROL", r, "deny")
		w.state(r, approvals.Denied)
	})
}

// TestEachBodyAsksForTheSame: the bodies of awskillswitch and of the EC2 isolation webhook, and a direct
// invocation, make requests of the same engine.
func TestEachBodyAsksForTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hooked())
	kill := `{"action":%q,"target_account_id":"222222222222","role_to_assume":"killswitch-responder","org_management_account":"999999999999"%s}`
	for body, want := range map[string]string{
		fmt.Sprintf(kill, "apply_scp", ""):                                                                 "apply_scp 222222222222",
		fmt.Sprintf(kill, "revoke_sessions", `,"target_role_name":"ALL"`):                                  "revoke_sessions 222222222222/ALL",
		fmt.Sprintf(kill, "revoke_sessions", `,"target_role_name":"app-role"`):                             "revoke_sessions " + appRole,
		fmt.Sprintf(kill, "detach_policies", `,"target_role_name":"app-role"`):                             "detach_policies " + appRole,
		fmt.Sprintf(kill, "delete_role", `,"target_role_name":"app-role","confirm":"app-role"`):            "delete_role " + appRole + " confirm=app-role",
		`{"action":"quarantine-user","target":"prod/joe","options":{"mode":"iam-only"},"reason":"leaked"}`: "quarantine_user arn:aws:iam::222222222222:user/joe mode=iam-only",
	} {
		if r := w.hookAsks("/requests", "", body); r.Intent.String() != want {
			t.Errorf("%s asks for %s, want %s", body, r.Intent, want)
		}
	}
	if r := w.hookAsks("/isolate", "", `{"instance_id":"i-0d3e1a5b7c9f20007","account_id":"222222222222","region":"eu-west-1"}`); r.Intent.Call.Action != actions.IsolateInstance || r.Intent.Call.Region != "eu-west-1" || r.Intent.Call.Account != prod {
		t.Errorf("isolates %s", r.Intent)
	}
	told, err := w.zones.Ingress.Direct(t.Context(), []byte(`{"action":"revoke_sessions","target_account_id":"222222222222","role_to_assume":"killswitch-responder","target_role_name":"other-role"}`))
	w.must(err)
	w.drain()
	id, _, _ := strings.Cut(told, " ")
	if r := w.get(id); r.Requester.Person != "webhook.direct" || r.Need != 2 {
		t.Errorf("%q made %+v", told, r)
	}
	w.quiet()
}

// TestTheSameTwice: a retry is the same request, with one card. What comes under its name and is something
// else, or comes again when it has ended, asks for nothing, and people are told.
func TestTheSameTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hooked())
	first := w.hookAsks("/requests", "", revocation("beacon"))
	w.clock.Add(5 * time.Second)
	if again := w.hookAsks("/requests", "", revocation("beacon")); again.ID != first.ID || again.Asked != first.Asked {
		t.Errorf("%s, then %s", first.ID, again.ID)
	}
	before := w.said()
	w.drain()
	if n := strings.Count(w.said(), "Pending 0/2"); n != 1 || w.said() != before {
		t.Errorf("%d cards\n%s", n, w.said())
	}
	named := w.hookAsks("/requests", "case-1", `{"action":"detach_policies","target":"prod/app-role","reason":"beacon"}`)
	if other := w.hookAsks("/requests", "case-1", `{"action":"detach_policies","target":"prod/db-role","reason":"beacon"}`); other.ID != named.ID || other.Intent.Call.Target != appRole {
		t.Errorf("%s asks for %s by now", other.ID, other.Intent)
	}
	if said := flat(w.said()); !strings.Contains(said, named.ID+", by the webhook soar: Nothing was done. It is the name (Idempotency-Key) of another request") || !strings.Contains(said, "role/db-role") {
		t.Errorf("nobody was told: %s", said)
	}
	w.clicks("U01ALICE", w.again(first), "deny")
	w.clock.Add(time.Minute)
	if again := w.hookAsks("/requests", "", revocation("beacon")); again.State != approvals.Denied {
		t.Errorf("it is %s", again.State)
	}
	if said := flat(w.said()); !strings.Contains(said, first.ID+", by the webhook soar: Nothing was done. It was asked for again, and is denied") {
		t.Errorf("nobody was told: %s", said)
	}
	w.clock.Add(24 * time.Hour)
	if next := w.hookAsks("/requests", "", revocation("beacon")); next.ID == first.ID || next.State != approvals.Pending {
		t.Errorf("the next day it is %s, %s", next.ID, next.State)
	}
	w.quiet()
}

// TestWhatIngressCantKnow: what only others know is told in the channel, with the ID that the webhook was
// answered with; an open request for the same is named.
func TestWhatIngressCantKnow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, want string }{
		"an unknown account":         {`{"action":"revoke_sessions","target":"staging/app-role","reason":"x"}`, `*target*`},
		"an option that is not one":  {`{"action":"revoke_sessions","target":"prod/app-role","options":{"stop":"yes"},"reason":"x"}`, "*stop* is not an option of revoke_sessions"},
		"a reason without a word":    {`{"action":"revoke_sessions","target":"prod/app-role","reason":"..."}`, "*reason* is missing"},
		"a secret in the reason":     {`{"action":"revoke_sessions","target":"prod/app-role","reason":"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}`, "*reason* holds what looks like a secret access key"},
		"hostile text":               {`{"action":"revoke_sessions","target":"<!channel>/x","reason":"x"}`, "&lt;!channel&gt;"},
		"a protected account":        {`{"action":"apply_scp","target":"111111111111","reason":"x"}`, "Nothing was done"},
		"a deletion that is unsure":  {`{"action":"delete_role","target":"prod/app-role","reason":"x"}`, "*confirm*"},
		"the same as somebody's own": {`{"action":"revoke_sessions","target":"` + appRole + `","reason":"x"}`, "asks for the same and is pending"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, hooked())
			if strings.HasPrefix(name, "the same") {
				w.asks("U01ALICE", command)
			}
			status, id := w.door(soarKey, "/requests", "", c.body)
			w.drain()
			told := ""
			for _, m := range w.slack.Messages(channel) {
				if strings.HasPrefix(m.Text, id+", by the webhook soar: Nothing was done") && m.EphemeralTo == "" {
					told = m.Text
				}
			}
			if status != http.StatusAccepted || !strings.Contains(told, c.want) || strings.Contains(w.said(), "wJalr") {
				t.Errorf("%d %s, told %q, want %q\n%s", status, id, told, c.want, w.said())
			}
			if _, err := (approvals.Requests{Store: w.Requests}).Get(t.Context(), id); err == nil {
				t.Error("there is a request")
			}
			w.quiet()
		})
	}
	t.Run("a role that is not there", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, hooked())
		r := w.hookAsks("/requests", "", `{"action":"revoke_sessions","target":"prod/gone-role","reason":"x"}`)
		w.state(r, approvals.Refused)
		w.shows(r, "Refused: nothing was changed. There is no role gone-role")
	})
	t.Run("a message that can't be read", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, hooked())
		w.must(w.Webhooks.Send(t.Context(), []byte(`{"webhook":"soar","path":"/requests","timestamp":"soon","body":"{"}`), 0))
		w.must(w.Webhooks.Send(t.Context(), []byte(`{"webhook":"none","path":"/requests","timestamp":"1","body":"{}"}`), 0))
		w.drain()
		if d, ok, err := w.Dead.Receive(t.Context(), time.Minute); err != nil || !ok || !strings.Contains(string(d.Body), "can't be read") {
			t.Errorf("set aside: %s %v", d.Body, err)
		}
		w.quiet()
	})
}

// TestFloodOfOneKeyHoldsNobodyUp: a thousand requests of one key, with as many messages as Slack takes. A
// person's approval, and another key's request, come after all of them and are not kept waiting; thirty
// of the key's wait, and the channel hears once that there are more.
func TestFloodOfOneKeyHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(*world){"in memory": func(*world) {}, "in a file": inFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n, bound = 1000, 6 * time.Second
			w := newWorld(t, store, hooked())
			w.slack.RateLimit("chat.postMessage", 60, 3)
			w.slack.RateLimit("chat.update", 50, 5)
			for i := range n {
				w.aws.Account(prod).AddRole(roleAt("/", fmt.Sprintf("role-%d", i)))
			}
			waits := w.asks("U02BOB", command)
			w.pass(time.Minute)
			for i := range n {
				if status, _ := w.door(soarKey, "/requests", "", fmt.Sprintf(`{"action":"revoke_sessions","target":"prod/role-%d","reason":"beacon"}`, i)); status != http.StatusAccepted {
					t.Fatalf("%d: %d", i, status)
				}
			}
			for i := range 100 {
				w.door(soarKey, "/requests", "", fmt.Sprintf(`{"action":"revoke_sessions","target":"nowhere/role-%d","reason":"beacon"}`, i))
			}
			_, other := w.door("other-key", "/requests", "", `{"action":"detach_policies","target":"prod/role-7","reason":"beacon"}`)
			began := w.clock.Now()
			done := map[string]time.Duration{}
			w.slack.Subscribe(func(e slackfake.Event) {
				for what, is := range map[string]bool{
					"approval": strings.HasPrefix(e.Message.Text, "contained") && strings.Contains(e.Message.Text, waits.ID),
					"request":  strings.HasPrefix(e.Message.Text, "Approve? ") && strings.Contains(e.Message.Text, other),
				} {
					if _, ok := done[what]; !ok && is {
						done[what] = w.clock.Now().Sub(began)
					}
				}
			})
			w.slack.Click("U01ALICE", channel, w.again(waits).Card.TS, "approve")
			for working := true; working && len(done) < 2; {
				working = w.round()
			}
			t.Logf("after %d requests of one key: %v", n, done)
			for _, what := range []string{"approval", "request"} {
				if after, ok := done[what]; !ok || after > bound {
					t.Errorf("the %s was handled after %s (%v)", what, after, ok)
				}
			}
			for w.round() {
			}
			w.pass(3 * time.Minute)
			of, called := 0, 0
			for _, r := range w.all() {
				if r.Requester.Person == "webhook.soar" {
					if of++; r.State == approvals.Pending && strings.Contains(w.card(r), "Approve") {
						called++
					}
				}
			}
			said := w.said()
			if more, vain := strings.Count(said, "asks for more than may wait"), strings.Count(said, ", by the webhook soar: Nothing was done"); of != 30 || called != 30 || more != 1 || vain != 10 || strings.Count(said, "is not told for an hour") != 1 {
				t.Errorf("%d requests of the key, %d with a card; told %d times that there are more, %d of what it asks in vain\n%s", of, called, more, vain, said)
			}
			w.quiet()
		})
	}
}

// TestWebhookSurvivesAnyDeath: the process dies at any point between the door and the card, or the notice; the
// webhook sends again what was not taken. It ends with one request and one card, and one notice.
func TestWebhookSurvivesAnyDeath(t *testing.T) {
	t.Parallel()
	live := func(t *testing.T, at int) (points int) {
		k := &crashtest.Killer{}
		w := newWorld(t, hooked(), func(w *world) { mortal(w, k) })
		k.Aim(at)
		ids := map[string]string{}
		door := func(body string) func() int {
			return func() int {
				status, id := w.door(soarKey, "/requests", "", body)
				if status != http.StatusAccepted {
					return status
				}
				ids[body] = id
				return http.StatusOK
			}
		}
		asked, vain := revocation("beacon"), `{"action":"revoke_sessions","target":"nowhere/app-role","reason":"beacon"}`
		w.live(k, "pending", door(asked), func() bool {
			r, err := approvals.Requests{Store: w.Requests}.Get(t.Context(), ids[asked])
			return err == nil && r.State == approvals.Pending && r.Card.TS != ""
		})
		count := func(text string) int { return strings.Count(w.said(), text) }
		w.live(k, "the notice", door(vain), func() bool { return count(ids[vain]+", by the webhook soar: Nothing was done") > 0 })
		points = k.Aim(0)
		w.live(k, "the cards", func() int { return http.StatusOK }, func() bool { return !w.get(ids[asked]).Stale() })
		w.pass(time.Minute)
		if cards, notices, all := count("Pending 0/2"), count("Nothing was done"), len(w.all()); cards != 1 || notices != 1 || all != 1 {
			t.Errorf("killed %s: %d cards, %d notices, %d requests\n%s", k.Where(), cards, notices, all, w.said())
		}
		return points
	}
	points := live(t, 0)
	if points < 30 {
		t.Fatalf("only %d points", points)
	}
	for at := 1; at <= points; at += thin.Every(t, 4, "the deaths after a webhook's request") {
		t.Run(fmt.Sprintf("%03d", at), func(t *testing.T) {
			t.Parallel()
			live(t, at)
		})
	}
}
