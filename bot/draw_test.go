package bot

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/memory"
	"github.com/killswitch-chatops/killswitch/bot/cards"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// TestActivityIsPostedOnce: drawn again, or by another after the answer to the
// post was lost, the thread has one.
func TestActivityIsPostedOnce(t *testing.T) {
	for name, lost := range map[string]bool{"drawn again": false, "answer lost": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := &Bot{Slack: w.api, Requests: approvals.Requests{Store: memory.NewStore()}, Runs: approvals.Runs{Reader: memory.NewStore()}, Now: func() time.Time { return w.now }, Sleep: w.nap.sleep, Log: slog.New(slog.DiscardHandler)}
			v := cards.View{Now: asked, Request: approvals.Request{
				ID: baseID, State: approvals.Contained, Asked: asked, Ended: asked.Add(time.Minute),
				Intent:    approvals.Intent{Call: actions.Call{Action: actions.DeactivateKey, Target: "AKIAIOSFODNN7EXAMPLE", Account: account}},
				Requester: approvals.Actor{Person: ana.ID, Slack: ana.Slack}, Card: approvals.Card{Channel: sec},
			}}
			if err := b.Requests.Create(t.Context(), v.Request); err != nil {
				t.Fatal(err)
			}
			card := approvals.Card{Channel: sec, Posting: asked, Fresh: true}
			if err := b.postRequest(t.Context(), v, &card, &approvals.Card{}); err != nil {
				t.Fatal(err)
			}
			v.Report = &approvals.Report{At: asked, Activity: trail.Activity{
				Subject: "AKIAIOSFODNN7EXAMPLE", By: "AccessKeyId", From: asked.Add(-24 * time.Hour), To: asked, Total: 3,
				Regions: []trail.RegionActivity{{Name: "eu-central-1", Total: 3}},
			}}
			if lost {
				w.Fail(slackfake.Fault{Method: "chat.postMessage", After: true})
				if err := b.postRequest(t.Context(), v, &card, &approvals.Card{}); err == nil {
					t.Fatal("the answer was not lost")
				}
			}
			for range 3 {
				if err := b.postRequest(t.Context(), v, &card, &approvals.Card{}); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			for _, m := range w.Messages(sec) {
				if strings.Contains(m.Text, "Activity of access key") && m.ThreadTS == card.TS {
					n++
				}
			}
			if n != 1 || card.Replies["activity"] == "" {
				t.Errorf("%d activities in the thread, %v", n, card.Replies)
			}
		})
	}
}
