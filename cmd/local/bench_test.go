package local_test

import (
	"testing"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// BenchmarkClickToApplied measures what Killswitch itself takes from the
// approving click to the deny that was read back: AWS and Slack answer at once.
func BenchmarkClickToApplied(b *testing.B) {
	for name, alter := range stores {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, alter...)
			for b.Loop() {
				b.StopTimer()
				w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role"})
				r := w.asks("U01ALICE", command)
				b.StartTimer()
				w.slack.Click("U02BOB", channel, w.again(r).Card.TS, "approve")
				for w.get(r.ID).State != approvals.Contained {
					w.round()
				}
				b.StopTimer()
				w.drain()
				w.clock.Add(1e9) // another second, another evidence
				b.StartTimer()
			}
		})
	}
}
