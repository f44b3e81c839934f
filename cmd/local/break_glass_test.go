package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// breakable lets one person act alone on revoke_sessions, after five minutes.
func breakable(w *world) {
	identities(w)
	w.cfg.PagerTopic, w.cfg.PagerAfter = w.aws.AddTopic("pager"), 10*time.Minute
	e := w.cfg.Policy.Default
	e.BreakGlassAfter = 5 * time.Minute
	w.cfg.Policy.Actions = map[actions.Name]approvals.ActionPolicy{actions.RevokeSessions: e}
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "other"})
}

// alone is what somebody signs who acts alone on a request that they have seen.
func (w *world) alone(r approvals.Request) approvals.Statement {
	w.t.Helper()
	st := w.approval(r)
	st.Verb, st.Why, st.Account = approvals.BreakGlassVerb, "nobody answers", prod
	return st
}

// posted is the newest message in the channel with a text in it.
func (w *world) posted(text string) (found slackfake.Message) {
	w.t.Helper()
	for _, m := range w.slack.Messages(channel) {
		if strings.Contains(flat(slackfake.Text(m)), text) && m.EphemeralTo == "" {
			found = m
		}
	}
	if found.TS == "" {
		w.t.Fatalf("%q was not posted\n%s", text, w.said())
	}
	return found
}

// TestBreakGlass: the whole path. One person acts alone; everybody is called and sees it for good; another
// one reviews it, and it is undone as all else.
func TestBreakGlass(t *testing.T) {
	t.Parallel()
	for _, inSlack := range []bool{true, false} {
		w := newWorld(t, breakable)
		var r approvals.Request
		if inSlack {
			r = w.asks("U01ALICE", command)
		} else {
			r = w.get(w.sends(w.signs(w.alice(), typed)).ID)
		}
		w.state(r, approvals.Pending)
		w.pass(5 * time.Minute)
		if a := w.sends(w.signs(w.alice(), w.alone(r))); a.Text != "" || !a.Counts || a.ID != r.ID {
			t.Fatalf("%+v", a)
		}
		w.state(r, approvals.Contained)
		w.shows(r, "BREAK-GLASS: Alice Anderson acted alone: nobody answers. Nobody else has reviewed it yet.")
		call := w.posted("undo it if it was wrong")
		for _, want := range []string{"<@U02BOB>", "<@U03CAROL>", "acted alone: nobody answers"} {
			if !strings.Contains(call.Text, want) {
				t.Errorf("%q is not in the call: %s", want, call.Text)
			}
		}
		if strings.Contains(call.Text, "<@U01ALICE>") {
			t.Errorf("she is called herself: %s", call.Text)
		}
		w.types("U03CAROL", "list")
		w.told("U03CAROL", "BREAK-GLASS: Alice Anderson acted alone")
		if n := w.aws.Notices(); len(n) != 1 || strings.Contains(n[0].Message, "nobody answers") || !strings.Contains(n[0].Subject, "break-glass") {
			t.Errorf("the pager was told %+v", n)
		}
		clicks := func(user, action string) {
			t.Helper()
			if d := w.slack.Click(user, channel, call.TS, action); d.Err != nil || d.Status != 200 {
				t.Fatal(d)
			}
			w.drain()
		}
		clicks("U01ALICE", approvals.ReviewedButton)
		w.told("U01ALICE", "another responder")
		clicks("U02BOB", approvals.ReviewedButton)
		w.pass(time.Minute)
		w.shows(r, "Reviewed by @U02BOB")
		w.posted("Reviewed by @U02BOB")
		clicks("U03CAROL", "undo")
		u := w.state(w.undoOf(r), approvals.Pending)
		w.clicks("U02BOB", u, "approve")
		w.state(r, approvals.Undone)
		w.shows(r, "BREAK-GLASS: Alice Anderson acted alone")
		for _, name := range []string{"broke_glass", "reviewed"} {
			if _, n := w.event(r, name); n != 1 {
				t.Errorf("%s is %d times in the record", name, n)
			}
		}
	}
}

// TestBreakGlassIsRefusedWithWords: whoever may not act alone is told why, and the request goes on waiting.
func TestBreakGlassIsRefusedWithWords(t *testing.T) {
	t.Parallel()
	other := strings.Replace(command, "app-role", "other", 1)
	for name, c := range map[string]struct {
		alter func(*world)
		asks  string        // empty: command
		wait  time.Duration // 0: five minutes
		bob   bool          // signs
		edit  func(*approvals.Statement)
		first func(*world)                    // before it is asked for
		then  func(*world, approvals.Request) // before it is signed
		told  string
		state approvals.State // empty: pending
	}{
		"too early":          {wait: 4*time.Minute + 59*time.Second, told: "nobody acts alone before 03:05:00 UTC"},
		"off":                {alter: func(w *world) { w.cfg.Policy.Actions = nil }, told: "break_glass is off for revoke_sessions"},
		"another's request":  {bob: true, told: "only alice, who asked for it"},
		"another account":    {edit: func(s *approvals.Statement) { s.Account = "333333333333" }, told: "is not the target's account"},
		"no account":         {edit: func(s *approvals.Statement) { s.Account = "" }, told: "is not the target's account"},
		"no reason":          {edit: func(s *approvals.Statement) { s.Why = "" }, told: "a reason is missing"},
		"another call shown": {edit: func(s *approvals.Statement) { s.Call = "revoke_sessions arn:aws:iam::222222222222:role/other" }, told: "is not what"},
		"a whole account":    {asks: "revoke_sessions prod/ALL reason=x", told: "more than one target"},
		"all that is wrong":  {wait: time.Minute, edit: func(s *approvals.Statement) { s.Why, s.Account = "", "" }, told: "type its ID; a reason is missing"},
		"it was denied":      {then: func(w *world, r approvals.Request) { w.clicks("U02BOB", w.again(r), "deny") }, told: "was denied, for the same", state: approvals.Denied},
		"the same was denied": {first: func(w *world) {
			w.clicks("U02BOB", w.asks("U03CAROL", command), "deny")
		}, told: "was denied, for the same"},
		"alice has acted alone": {first: func(w *world) {
			r := w.asks("U01ALICE", other)
			w.pass(5 * time.Minute)
			w.sends(w.signs(w.alice(), w.alone(r)))
			w.state(r, approvals.Contained)
		}, told: "alice has acted alone within the last hour"},
		"it has expired": {wait: 31 * time.Minute, told: "The time for this request is over"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, breakable, func(w *world) {
				if c.alter != nil {
					c.alter(w)
				}
			})
			if c.first != nil {
				c.first(w)
			}
			line := c.asks
			if line == "" {
				line = command
			}
			r := w.state(w.asks("U01ALICE", line), approvals.Pending)
			wait := c.wait
			if wait == 0 {
				wait = 5 * time.Minute
			}
			w.clock.Add(wait)
			if c.then != nil {
				c.then(w, r)
			}
			st := w.alone(r)
			if c.edit != nil {
				c.edit(&st)
			}
			who := w.alice()
			if c.bob {
				who = w.bob()
			}
			if a := w.sends(w.signs(who, st)); a.Counts || !strings.Contains(flat(a.Text), c.told) {
				t.Errorf("told %q, want %q", a.Text, c.told)
			}
			want := c.state
			if want == "" {
				want = approvals.Pending
			}
			if got := w.again(r).State; got != want {
				t.Errorf("it is %s", got)
			}
			if w.policy("app-role") != "" {
				t.Error("it ran")
			}
		})
	}
}
