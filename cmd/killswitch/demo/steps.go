package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

// types is a step in which a person types a line.
func types(who, text, line string, done func(*play) bool) step {
	return step{Text: text, Who: who, Hint: company.Command + " " + line, Done: done,
		Do: func(ctx context.Context, p *play) error { return p.Type(ctx, who, line) }}
}

// clicks is a step in which a person clicks a button with a label on a message.
func clicks(who, text, label, action string, on func(*play) (ts string), done func(*play) bool) step {
	return step{Text: text, Who: who, Hint: "click " + label, Done: done,
		Do: func(ctx context.Context, p *play) error {
			ts := on(p)
			if ts == "" {
				return fmt.Errorf("there is no card on which %s could click %s: begin the story again, or go on by hand", name(who), label)
			}
			return p.Click(ctx, who, ts, action, "")
		}}
}

// wanted describes a request: a call, or the undo of one.
type wanted struct {
	action actions.Name
	target string // what the call's target ends with
	undo   bool
}

// back returns the undo of a wanted request.
func (w wanted) back() wanted {
	w.undo = true
	return w
}

// newest is the newest request of its kind; false if there is none.
func (p *play) newest(w wanted, states ...approvals.State) (approvals.Request, bool) {
	for _, r := range slices.Backward(p.requests) {
		if r.Intent.Call.Action == w.action && strings.HasSuffix(r.Intent.Call.Target, w.target) && (r.Intent.Undo != "") == w.undo && (len(states) == 0 || slices.Contains(states, r.State)) {
			return r, true
		}
	}
	return approvals.Request{}, false
}

// asked reports whether there is such a request.
func asked(w wanted) func(*play) bool {
	return func(p *play) bool {
		_, ok := p.newest(w, approvals.Pending, approvals.Approved, approvals.Running, approvals.Contained, approvals.Partial, approvals.Undoing, approvals.Undone, approvals.Restored)
		return ok
	}
}

// is reports whether there is such a request in one of some states.
func is(w wanted, states ...approvals.State) func(*play) bool {
	return func(p *play) bool {
		_, ok := p.newest(w, states...)
		return ok
	}
}

// card is the message of such a request in one of some states.
func card(w wanted, states ...approvals.State) func(*play) (ts string) {
	return func(p *play) string {
		r, _ := p.newest(w, states...)
		return r.Card.TS
	}
}

// passes is a step that advances the time.
func passes(text string, d time.Duration) step {
	return step{Text: text, Do: func(ctx context.Context, p *play) error { _ = p.Advance(ctx, d); return ctx.Err() }}
}

// deed is a step of the attacker.
func deed(text string, do func(context.Context, *play) error) step {
	return step{Text: text, Who: attacker, Do: do}
}

// event is a step that the story itself does.
func event(text string, do func(context.Context, *play) error) step {
	return step{Text: text, Do: do}
}

// tries uses credentials, and records an unexpected result.
func (p *play) tries(c *company.Credentials, want bool) {
	if p.Use(c) != want {
		p.amiss = append(p.amiss, fmt.Sprintf("%s as %s: works %t", c.By, c.Name, !want))
	}
}

// expect checks a condition of a verdict.
func (p *play) expect(ok bool, what string) {
	if !ok {
		p.amiss = append(p.amiss, what)
	}
}

// asBefore reports whether AWS is, byte for byte, as it was when the story began.
func (p *play) asBefore() bool { return same(p.AWS.Snapshot(), p.before) }

func same(a, b any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// alertAbout is the alert's card that names something.
func alertAbout(what string) func(*play) (ts string) {
	return func(p *play) string {
		return p.message(func(m slackfake.Message) bool {
			return m.ThreadTS == "" && m.EphemeralTo == "" && strings.Contains(string(m.Blocks), `"alert-actions"`) && strings.Contains(m.Text+string(m.Blocks), what)
		})
	}
}

// digest is the newest digest.
func digest(p *play) (ts string) {
	return p.message(func(m slackfake.Message) bool { return strings.Contains(m.Text, "more alerts") })
}

// listed is the list that somebody has opened.
func listed(p *play) (ts string) {
	return p.message(func(m slackfake.Message) bool {
		return m.EphemeralTo != "" && strings.Contains(string(m.Blocks), "Alerts 1 to")
	})
}

// message is the newest that is as it should be.
func (p *play) message(is func(slackfake.Message) bool) (ts string) {
	for _, m := range slices.Backward(p.Slack.Messages(company.Channel)) {
		if is(m) {
			return m.TS
		}
	}
	return ""
}

// shows reports whether somebody is shown something.
func (p *play) shows(user, what string) bool {
	return p.message(func(m slackfake.Message) bool {
		return m.EphemeralTo == user && strings.Contains(string(m.Blocks), what)
	}) != ""
}
