package local_test

import (
	"fmt"
	"testing"
	"time"

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

// BenchmarkRevokeAll revokes the sessions of every role of an account, every
// call to AWS taking 40 ms. The time is from the approving click to the end, all
// roles read back; at N writes a second the bound is roles ÷ N.
func BenchmarkRevokeAll(b *testing.B) {
	for _, roles := range []int{1000, 5000} {
		for _, perSecond := range []float64{0, 20, 100} {
			name := fmt.Sprintf("%d roles/%.0f writes a second", roles, perSecond)
			if perSecond == 0 {
				name = fmt.Sprintf("%d roles/no limit", roles)
			}
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					revokeAll(b, roles, perSecond)
				}
			})
		}
	}
}

func revokeAll(b *testing.B, roles int, perSecond float64) {
	b.StopTimer()
	w := newWorld(b, func(w *world) { w.clock.Real = true })
	for i := range roles - 1 { // with app-role
		w.aws.Account(prod).AddRole(awsfake.Role{Name: fmt.Sprintf("role-%05d", i)})
	}
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Phase == awsfake.Before {
			time.Sleep(40 * time.Millisecond)
		}
		return nil
	})
	if perSecond > 0 {
		w.aws.Throttle("iam:Put*", perSecond, 2*int(perSecond))
	}
	r := w.asks("U01ALICE", "revoke_sessions prod/ALL account takeover")
	w.aws.ResetCalls()
	w.slack.Click("U02BOB", channel, w.state(r, approvals.Pending).Card.TS, "approve")
	b.StartTimer()
	began := time.Now()
	for w.get(r.ID).State != approvals.Contained {
		w.round()
	}
	took := time.Since(began)
	b.StopTimer()
	lost, puts, calls := 0, 0, 0
	for name, role := range w.aws.Snapshot().Accounts[prod].Roles {
		if role.Inline["AWSRevokeOlderSessions"] == "" && name != "killswitch-responder" && name != "killswitch-restorer" {
			lost++
		}
	}
	for _, c := range w.aws.Calls() {
		if c.Phase != awsfake.After {
			continue
		}
		if calls++; c.Op == "iam:PutRolePolicy" {
			puts++
		}
	}
	b.ReportMetric(took.Seconds(), "s")
	b.ReportMetric(float64(calls), "calls")
	b.ReportMetric(float64(puts), "writes")
	b.ReportMetric(float64(lost), "roles-lost")
	b.StartTimer()
}
