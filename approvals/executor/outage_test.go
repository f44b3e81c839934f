package executor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestIsolationWithoutIAM: IAM's control plane is in one region for all. While it is down, the network is cut
// at once and all that is not IAM's is done; the run settles, says what waits, and a retry does that.
func TestIsolationWithoutIAM(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"since the plan": false, "before the plan": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world) { populate(w, 3) })
			down := before
			var last time.Time // of the changes that are not IAM's
			w.aws.OnCall(func(c awsfake.Call) error {
				ours := strings.HasPrefix(c.Op, "iam:")
				if c.Phase == awsfake.Before && ours && down {
					return apiError("ServiceUnavailable")
				}
				if c.Op == "ec2:ModifyNetworkInterfaceAttribute" || c.Op == "ec2:LockSnapshot" || c.Op == "autoscaling:EnterStandby" {
					last = w.clock.Now()
				}
				return nil
			})
			r := w.state(w.types(alice, "isolate_instance prod/"+suspect+" region="+region+" snapshot=yes stolen"), approvals.Pending)
			down = true
			began := w.clock.Now()
			r = w.state(w.clicks(bob, r, "approve"), approvals.Partial)
			if d := last.Sub(began); last.IsZero() || d > 10*time.Second || w.aws.Account(prod).Region(region).CanTalk(suspect) {
				t.Errorf("what does not need IAM was done after %v", d)
			}
			if d := w.clock.Now().Sub(began); d > 15*time.Minute {
				t.Errorf("it settled after %v", d)
			}
			hints := ""
			for _, s := range w.steps(r) {
				hints += s.Hint
				if kind, _, _ := strings.Cut(s.Step.ID, " "); kind != "role" && kind != "profile" && s.State != approvals.StepVerified {
					t.Errorf("%s: %s, %s", s.Step.ID, s.State, s.Cause)
				}
			}
			for _, word := range []string{"IAM", "one region", "isolate_instance", "retry"} {
				if !strings.Contains(hints, word) {
					t.Errorf("the hints %q do not say %q", hints, word)
				}
			}
			down = false
			w.state(w.clicks(carol, r, "retry"), approvals.Contained)
		})
	}
}
