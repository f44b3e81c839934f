package local_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// TestManyClicksAtOnce: everyone clicks, all workers work, one run comes of it.
func TestManyClicksAtOnce(t *testing.T) {
	t.Parallel()
	for name, alter := range stores {
		t.Run(name, func(t *testing.T) {
			people := 200 / thin.Every(t, 4, "200 people")
			w := newWorld(t, append(alter, func(w *world) {
				ids := []string{"alice"}
				for i := range people {
					id := fmt.Sprintf("p%03d", i)
					w.cfg.Policy.Roster.People = append(w.cfg.Policy.Roster.People, approvals.Person{ID: id, Slack: "U1" + strings.ToUpper(id)})
					w.slack.SetUser(slackfake.User{ID: "U1" + strings.ToUpper(id), Name: id})
					ids = append(ids, id)
				}
				w.cfg.Policy.Roster.Groups["responders"] = ids
			})...)
			r := w.state(w.asks("U01ALICE", command), approvals.Pending)
			var wg sync.WaitGroup
			for i := range people {
				wg.Go(func() { w.slack.Click(fmt.Sprintf("U1P%03d", i), channel, r.Card.TS, "approve") })
			}
			wg.Wait()
			for range 24 {
				wg.Go(func() {
					for w.round() {
					}
				})
			}
			wg.Wait()
			w.pass(time.Minute)
			r = w.state(r, approvals.Contained)
			if len(r.Votes) != 1 {
				t.Errorf("%d votes", len(r.Votes))
			}
			puts := 0
			for _, c := range w.aws.Calls() {
				if c.Op == "iam:PutRolePolicy" && c.Phase == awsfake.After {
					puts++
				}
			}
			if puts != 1 {
				t.Errorf("the deny was put %d times", puts)
			}
			rec, err := approvals.Runs{Reader: w.Runs}.Audit(t.Context(), r.ID)
			w.must(err)
			claimed := 0
			for _, e := range rec.Events {
				if e.Event == "claimed" {
					claimed++
				}
			}
			if claimed != 1 {
				t.Errorf("claimed %d times", claimed)
			}
		})
	}
}

// TestContainmentRunsWithoutSlack: whatever Slack does after the click, the containment runs, and
// the card is right when Slack is back.
func TestContainmentRunsWithoutSlack(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]slackfake.Fault{
		"429":         {Status: http.StatusTooManyRequests, RetryAfter: 60, Times: -1},
		"500":         {Status: http.StatusInternalServerError, Times: -1},
		"lost answer": {Status: http.StatusInternalServerError, After: true, Times: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.state(w.asks("U01ALICE", command), approvals.Pending)
			w.slack.Fail(fault)
			w.clicks("U02BOB", r, "approve")
			w.state(r, approvals.Contained)
			w.pass(time.Minute)
			w.slack.Heal()
			w.pass(time.Minute)
			var cards, results int
			for _, m := range w.slack.Messages(channel) {
				if strings.HasPrefix(m.Text, "contained: revoke_sessions") {
					cards++
				}
				if strings.Contains(m.Text, "every step was read back") && m.ThreadTS != "" {
					results++
				}
			}
			if cards != 1 || results != 1 {
				t.Errorf("%d cards, %d results\n%s", cards, results, w.said())
			}
		})
	}
	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.slack.Fail(slackfake.Fault{Method: "chat.postMessage", Status: http.StatusServiceUnavailable, Times: -1})
		r := w.asks("U01ALICE", command)
		w.told("U01ALICE", "planning. Nothing has been changed")
		w.slack.Heal()
		w.pass(2 * time.Minute)
		w.clicks("U02BOB", w.again(r), "approve")
		w.state(r, approvals.Contained)
	})
	t.Run("a card that vanished", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.asks("U01ALICE", command)
		w.slack.Lose(channel, w.again(r).Card.TS)
		w.pass(2 * time.Minute)
		w.clicks("U02BOB", w.again(r), "approve")
		w.state(r, approvals.Contained)
	})
}

// TestDenialCancellationAndExpiryAreInTheChain: deny with a reason, cancel, expiry; each is in the audit chain.
func TestDenialCancellationAndExpiryAreInTheChain(t *testing.T) {
	t.Parallel()
	end := func(t *testing.T, do func(w *world, r approvals.Request), want approvals.State, said string) {
		t.Helper()
		w := newWorld(t)
		r := w.state(w.asks("U01ALICE", command), approvals.Pending)
		do(w, r)
		r = w.state(r, want)
		w.pass(time.Minute)
		w.untouched()
		if !strings.Contains(w.said(), said) {
			t.Errorf("not said: %q\n%s", said, w.said())
		}
		rec, err := approvals.Runs{Reader: w.Runs}.Audit(t.Context(), r.ID)
		w.must(err)
		found := false
		for _, e := range rec.Events {
			found = found || e.Event == string(want)
		}
		if !found {
			t.Errorf("%s is not in the audit chain: %+v", want, rec.Events)
		}
		w.slack.Command("U02BOB", channel, "/killswitch", "audit "+r.ID)
		w.drain()
		w.told("U02BOB", "agrees with itself")
	}
	t.Run("denied", func(t *testing.T) {
		end(t, func(w *world, r approvals.Request) {
			w.clicks("U02BOB", r, "deny")
			views := w.slack.Views("U02BOB")
			if len(views) != 1 {
				t.Fatalf("%d forms", len(views))
			}
			w.state(r, approvals.Denied) // counts before the reason is given
			w.slack.Submit("U02BOB", views[0].ID, map[string]map[string]string{"reason": {"reason": "that is the *wrong* <!channel> role"}})
			w.drain()
		}, approvals.Denied, "wrong")
	})
	t.Run("denied while Slack is down", func(t *testing.T) {
		end(t, func(w *world, r approvals.Request) {
			w.start() // nothing is remembered of anyone
			w.slack.Fail(slackfake.Fault{Status: 500, Times: -1})
			w.clicks("U02BOB", r, "deny")
			w.slack.Heal()
		}, approvals.Denied, "denied by")
	})
	t.Run("denied by command", func(t *testing.T) {
		end(t, func(w *world, r approvals.Request) { w.types("U02BOB", "deny "+strings.ToLower(r.ID)+" it is a drill") }, approvals.Denied, "it is a drill")
	})
	t.Run("cancelled", func(t *testing.T) {
		end(t, func(w *world, r approvals.Request) {
			w.clicks("U02BOB", r, "cancel")
			w.told("U02BOB", "Only the person who asked")
			w.clicks("U01ALICE", w.again(r), "cancel")
		}, approvals.Cancelled, "Cancelled")
	})
	t.Run("expired", func(t *testing.T) {
		end(t, func(w *world, _ approvals.Request) { w.pass(31 * time.Minute) }, approvals.Expired, "expired")
	})
	t.Run("denied after approval, before the run", func(t *testing.T) {
		end(t, func(w *world, r approvals.Request) {
			w.slack.Click("U02BOB", channel, r.Card.TS, "approve")
			w.slack.Click("U03CAROL", channel, r.Card.TS, "deny")
			for range 4 {
				_, _ = w.zones.Pumps[0].Once(t.Context()) // the bot hears both before the executor hears of anything
			}
			w.drain()
		}, approvals.Denied, "denied by")
	})
}

// TestShowListAndHelpChangeNothing: show, list, approve, help and details change nothing.
func TestShowListAndHelpChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	for text, want := range map[string]string{
		"list": r.ID, "show " + r.ID: "What will happen", "help": "revoke_sessions", "help revoke-sessions": "Example",
		"show KS-000000000000": "There is no request", "show nonsense": "request ID", "audit " + r.ID: "agrees with itself", "approve " + r.ID: "click Approve",
	} {
		w.types("U03CAROL", text)
		w.told("U03CAROL", want)
	}
	r = w.again(r)
	w.types("U03CAROL", "list")
	all := w.slack.Messages(channel)
	list := all[slices.IndexFunc(all, func(m slackfake.Message) bool {
		return m.EphemeralTo == "U03CAROL" && strings.Contains(string(m.Blocks), "*Open*")
	})]
	if link := "/archives/" + channel + "/p" + strings.ReplaceAll(r.Card.TS, ".", ""); !strings.Contains(string(all[len(all)-1].Blocks), link) {
		t.Errorf("the list has no link to the card, %s: %s", link, all[len(all)-1].Blocks)
	}
	if d := w.slack.Press("U03CAROL", channel, list.TS, "details", approvals.Value(r.ID, r.Digest)); d.Err != nil || d.Status != 200 {
		t.Errorf("a click on the list: %d %v", d.Status, d.Err)
	}
	w.drain()
	if len(w.slack.Views("U03CAROL")) != 1 {
		t.Error("the list's button opened no view")
	}
	var last slackfake.Message
	for _, m := range all {
		if m.EphemeralTo == "" && m.ThreadTS == "" {
			last = m
		}
	}
	if last.TS != r.Card.TS {
		t.Error("approve did not bring the card to the end of the channel")
	}
	w.clicks("U03CAROL", r, "details")
	if len(w.slack.Views("U03CAROL")) != 2 {
		t.Error("details opened no view")
	}
	w.state(r, approvals.Pending)
	w.untouched()
}
