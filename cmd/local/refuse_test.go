package local_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// untouched fails if anything was changed in any account.
func (w *world) untouched() {
	w.t.Helper()
	if n := w.aws.Mutations(); n != 0 {
		w.t.Errorf("%d changes were made:\n%+v", n, w.aws.Calls())
	}
}

// TestRefusedClickRunsNothingAndSaysWhy: nothing runs, and the person is told why.
func TestRefusedClickRunsNothingAndSaysWhy(t *testing.T) {
	t.Parallel()
	edit := func(f func(p map[string]any)) func(w *world, r approvals.Request) {
		return func(w *world, r approvals.Request) {
			w.slack.ClickRaw("U02BOB", channel, r.Card.TS, f)
			w.drain()
		}
	}
	approve := func(user string) func(w *world, r approvals.Request) {
		return func(w *world, r approvals.Request) { w.clicks(user, r, "approve") }
	}
	for name, c := range map[string]struct {
		alter func(*world)
		click func(w *world, r approvals.Request)
		user  string
		told  string
		state approvals.State
	}{
		"the requester's own click":  {click: approve("U01ALICE"), user: "U01ALICE", told: "a second person", state: approvals.Pending},
		"somebody outside the group": {click: approve("U04MALLORY"), user: "U04MALLORY", told: "not in the group responders", state: approvals.Pending},
		"somebody whom nobody knows": {click: approve("U05STRANGER"), user: "U05STRANGER", told: "not in Killswitch's list", state: approvals.Pending},
		"a guest": {
			alter: func(w *world) { w.slack.SetUser(slackfake.User{ID: "U02BOB", Name: "bob", Restricted: true}) },
			click: approve("U02BOB"), user: "U02BOB", told: "guests", state: approvals.Pending,
		},
		"a bot": {
			alter: func(w *world) { w.slack.SetUser(slackfake.User{ID: "U02BOB", Name: "bob", Bot: true}) },
			click: approve("U02BOB"), user: "U02BOB", told: "no orders from bots", state: approvals.Pending,
		},
		"somebody of a shared channel": {
			alter: func(w *world) { w.slack.SetUser(slackfake.User{ID: "U02BOB", Name: "bob", Team: "T99OTHER"}) },
			click: approve("U02BOB"), user: "U02BOB", told: "own workspace", state: approvals.Pending,
		},
		"somebody of whom Slack does not tell": {
			alter: func(w *world) { w.slack.Fail(slackfake.Fault{Method: "users.info", Status: 500, Times: -1}) },
			click: approve("U02BOB"), user: "U02BOB", told: "can't be looked up", state: approvals.Pending,
		},
		"somebody not in the Slack user group now": {
			alter: func(w *world) {
				w.cfg.Usergroups = map[string]string{"responders": "S0RESP"}
				w.slack.SetUsergroup("S0RESP", []string{"U01ALICE", "U03CAROL"})
			},
			click: approve("U02BOB"), user: "U02BOB", told: "not in the Slack user group", state: approvals.Pending,
		},
		"the same person twice": {
			alter: func(w *world) { w.cfg.Policy.Default.Approvals = 2 },
			click: func(w *world, r approvals.Request) {
				w.clicks("U02BOB", r, "approve")
				w.clicks("U02BOB", w.again(r), "approve")
			},
			user: "U02BOB", told: "approved this already", state: approvals.Pending,
		},
		"a card whose text was altered": {
			click: edit(func(p map[string]any) {
				for _, b := range p["message"].(map[string]any)["blocks"].([]any) {
					if block := b.(map[string]any); block["block_id"] == "call" {
						block["text"].(map[string]any)["text"] = "revoke_sessions arn:aws:iam::222222222222:role/harmless"
					}
				}
			}),
			user: "U02BOB", told: "does not show", state: approvals.Pending,
		},
		"a card with two call blocks": {
			click: edit(func(p map[string]any) {
				m := p["message"].(map[string]any)
				m["blocks"] = append(m["blocks"].([]any), map[string]any{"type": "section", "block_id": "call", "text": map[string]any{"type": "plain_text", "text": "x"}})
			}),
			user: "U02BOB", told: "does not show", state: approvals.Pending,
		},
		"a digest of another call": {
			click: func(w *world, r approvals.Request) {
				edit(func(p map[string]any) { action(p)["value"] = approvals.Value(r.ID, strings.Repeat("0", 64)) })(w, r)
			},
			user: "U02BOB", told: "another version", state: approvals.Pending,
		},
		"another workspace": {
			click: edit(func(p map[string]any) { p["team"] = map[string]any{"id": "T99OTHER"} }),
			user:  "U02BOB", told: "own workspace", state: approvals.Pending,
		},
		"a button of an expired request": {
			click: func(w *world, r approvals.Request) {
				w.clock.Add(31 * time.Minute) // and no sweep has come by
				w.clicks("U02BOB", r, "approve")
			},
			user: "U02BOB", told: "over", state: approvals.Pending,
		},
		"a button of a denied request": {
			click: func(w *world, r approvals.Request) {
				w.slack.Click("U03CAROL", channel, r.Card.TS, "deny")
				w.slack.Click("U02BOB", channel, r.Card.TS, "approve") // his screen was not redrawn yet
				w.drain()
			},
			user: "U02BOB", told: "denied by now", state: approvals.Denied,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.state(w.asks("U01ALICE", command), approvals.Pending)
			if c.alter != nil {
				c.alter(w)
				w.start() // with what is new in the configuration, and nothing remembered
				if name == "the same person twice" {
					w.clicks("U01ALICE", r, "cancel") // it would ask for the same
					r = w.state(w.asks("U01ALICE", anotherCommand), approvals.Pending)
				}
			}
			c.click(w, r)
			w.told(c.user, c.told)
			w.state(r, c.state)
			w.untouched()
		})
	}
}

func action(p map[string]any) map[string]any { return p["actions"].([]any)[0].(map[string]any) }

// TestRefusedCommands: a request is not even made.
func TestRefusedCommands(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		user, channel, text, told string
		alter                     func(*world)
	}{
		"outside the group":     {user: "U04MALLORY", text: command, told: "not in the group responders"},
		"unknown":               {user: "U05STRANGER", text: command, told: "not in Killswitch's list"},
		"wrong channel":         {user: "U01ALICE", channel: "C02RANDOM", text: command, told: "not one of slack.command_channels"},
		"hub account":           {user: "U01ALICE", text: `revoke_sessions arn:aws:iam::111111111111:role/x reason="y"`, told: "runs in"},
		"protected":             {user: "U01ALICE", text: `revoke_sessions prod/break-glass reason="y"`, told: "protected"},
		"management account":    {user: "U01ALICE", text: `apply_scp 999999999999 reason="somebody makes users"`, told: "management account"},
		"own role":              {user: "U01ALICE", text: `revoke_sessions prod/killswitch-responder reason="y"`, told: "own member roles"},
		"several mistakes":      {user: "U01ALICE", text: `revoke_session prod/app-role mode=x`, told: "not an action"},
		"no reason, and a line": {user: "U01ALICE", text: `revoke_sessions prod/app-role`, told: "with what is missing"},
		"too few approvers": {user: "U01ALICE", text: command, told: "has 2 beside",
			alter: func(w *world) { w.cfg.Policy.Default.Approvals = 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.alter != nil {
				c.alter(w)
				w.start()
			}
			ch := channel
			if c.channel != "" {
				ch = c.channel
			}
			w.slack.Command(c.user, ch, "/killswitch", c.text)
			w.drain()
			var told string
			for _, m := range w.slack.Messages(ch) {
				if m.EphemeralTo != c.user {
					t.Errorf("said in public: %s", slackfake.Text(m))
				}
				told += slackfake.Text(m)
			}
			if !strings.Contains(told, c.told) {
				t.Errorf("told %q, want %q", told, c.told)
			}
			rs, err := approvals.Requests{Store: w.Requests}.Marked(t.Context(), approvals.MarkOpen, "", 10)
			w.must(err)
			if len(rs) != 0 || len(w.aws.Calls()) != 0 {
				t.Errorf("%d requests, %d AWS calls", len(rs), len(w.aws.Calls()))
			}
		})
	}
}

// TestForgedRequestGets401AndNothingElse: a forged or stale request gets 401 and nothing else.
func TestForgedRequestGets401AndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	form := url.Values{"command": {"/killswitch"}, "text": {command}, "team_id": {"T01ACME"}, "user_id": {"U01ALICE"}, "channel_id": {channel}}.Encode()
	forged := w.slack.Sign([]byte(form), w.clock.Now())
	forged.Set("X-Slack-Signature", "v0="+strings.Repeat("0", 64))
	stale := w.slack.Sign([]byte(form), w.clock.Now().Add(-6*time.Minute))
	for name, h := range map[string]http.Header{"forged": forged, "stale": stale, "none": {}} {
		d := w.slack.Send([]byte(form), h)
		w.drain()
		if d.Status != http.StatusUnauthorized || len(d.Body) != 0 {
			t.Errorf("%s: %d %q", name, d.Status, d.Body)
		}
	}
	if len(w.slack.Messages(channel)) != 0 || len(w.aws.Calls()) != 0 {
		t.Error("it was not silent")
	}
}

// TestOneEvidenceIsOneRequestAndOneVote: one evidence is one request, and one vote.
func TestOneEvidenceIsOneRequestAndOneVote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.types("U01ALICE", command)
	for range 3 {
		w.slack.Send(d.Request, d.SentHeader)
		w.drain()
	}
	if n := len(w.cards()); n != 1 {
		t.Errorf("%d cards", n)
	}
	r := w.cards()[0]
	click := w.slack.Click("U02BOB", channel, r.Card.TS, "approve")
	w.drain()
	mutations := w.aws.Mutations()
	w.clock.Add(time.Minute)
	for range 3 {
		w.slack.Send(click.Request, click.SentHeader)
		w.drain()
	}
	r = w.state(r, approvals.Contained)
	if len(r.Votes) != 1 || w.aws.Mutations() != mutations {
		t.Errorf("%d votes, %d changes after %d", len(r.Votes), w.aws.Mutations(), mutations)
	}
}

// cards are the requests that have a card, by the messages in the channel.
func (w *world) cards() []approvals.Request {
	var rs []approvals.Request
	for _, mark := range []string{approvals.MarkOpen, approvals.MarkInForce} {
		found, err := approvals.Requests{Store: w.Requests}.Marked(w.t.Context(), mark, "", 100)
		w.must(err)
		for _, r := range found {
			for _, m := range w.slack.Messages(r.Card.Channel) {
				if m.TS == r.Card.TS {
					rs = append(rs, r)
				}
			}
		}
	}
	return rs
}
