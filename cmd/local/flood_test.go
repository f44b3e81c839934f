package local_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// TestFloodOfOnePersonHoldsNobodyUp: carol types 300 commands, with a worker for each queue and
// as many messages as Slack takes. Alice's approval, typed denial and request come after all of
// them, and are handled at once; carol has as many requests as one may, all with a card in the
// end, and hears why the others are refused.
func TestFloodOfOnePersonHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(*world){"in memory": func(*world) {}, "in a file": inFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n, bound = 300, 6 * time.Second // here all workers share one time: each waits for the turns of the others', too
			w := newWorld(t, store)
			w.slack.RateLimit("chat.postMessage", 60, 3)
			w.slack.RateLimit("chat.update", 50, 5)
			for i := range n + 1 {
				w.aws.Account(prod).AddRole(roleAt("/", fmt.Sprintf("role-%d", i)))
			}
			waits, unwanted := w.asks("U02BOB", command), w.asks("U02BOB", "revoke_sessions prod/role-300 stolen")
			w.pass(time.Minute)
			for i := range n {
				w.slack.Command("U03CAROL", channel, "/killswitch", fmt.Sprintf("revoke_sessions prod/role-%d stolen", i))
			}
			began := w.clock.Now()
			done := map[string]time.Duration{}
			w.slack.Subscribe(func(e slackfake.Event) {
				note := func(what string) {
					if _, ok := done[what]; !ok {
						done[what] = w.clock.Now().Sub(began)
					}
				}
				switch text := e.Message.Text; {
				case strings.HasPrefix(text, "Approve? ") && strings.Contains(text, "<@U01ALICE> asks"):
					note("request")
				case strings.HasPrefix(text, "denied") && strings.Contains(text, unwanted.ID):
					note("denial")
				case strings.HasPrefix(text, "contained") && strings.Contains(text, waits.ID):
					note("approval")
				}
			})
			w.slack.Click("U01ALICE", channel, w.again(waits).Card.TS, "approve")
			w.slack.Command("U01ALICE", channel, "/killswitch", "deny "+unwanted.ID+" not ours")
			w.slack.Command("U01ALICE", channel, "/killswitch", "detach_policies prod/role-300 stolen")
			for working := true; working && len(done) < 3; {
				working = w.round()
			}
			t.Logf("after %d commands of another: %v", n, done)
			for _, what := range []string{"approval", "denial", "request"} {
				if after, ok := done[what]; !ok || after > bound {
					t.Errorf("the %s was handled after %s (%v)", what, after, ok)
				}
			}
			w.drain()
			w.pass(3 * time.Minute)
			of, called := 0, 0
			for _, r := range w.all() {
				if r.Requester.Person != "carol" {
					continue
				}
				if of++; r.State == approvals.Pending && strings.Contains(w.card(r), "Approve") {
					called++
				}
			}
			if of != 30 || called != 30 {
				t.Errorf("%d requests of carol, %d with a card", of, called)
			}
			w.told("U03CAROL", "30 requests of yours wait already")
			w.quiet()
		})
	}
}
