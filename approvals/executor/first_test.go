package executor_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// crowdedRole has as many inline policies as fit into their quota of 10,240 characters,
// and profiles.
func crowdedRole(profiles int) awsfake.Role {
	r := awsfake.Role{Inline: map[string]string{}}
	for i := range 160 {
		r.Inline[fmt.Sprintf("p%03d", i)] = `{"Statement":{"Effect":"Deny","Action":"a:b","Resource":"*"}}`
	}
	for i := range profiles {
		r.Profiles = append(r.Profiles, fmt.Sprintf("profile-%03d", i))
	}
	return r
}

// TestManyPoliciesDoNotHoldUpTheDeny: reading them one by one takes longer than a step
// may, at the 125 ms that a call takes from a hub far away. The deny needs none of them.
func TestManyPoliciesDoNotHoldUpTheDeny(t *testing.T) {
	t.Parallel()
	for command, policy := range map[string]string{
		"detach_policies prod/app-role stolen":                    "KillswitchDenyAll",
		"delete_role prod/app-role confirm=app-role made by them": denyName,
		"revoke_sessions prod/app-role stolen":                    denyName,
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, withRole(crowdedRole(3)))
				var mu sync.Mutex
				var before []string
				denied := time.Duration(0)
				start := time.Now()
				w.aws.OnCall(func(c awsfake.Call) error {
					if c.Phase != awsfake.Before {
						return nil
					}
					time.Sleep(125 * time.Millisecond)
					mu.Lock()
					defer mu.Unlock()
					if denied == 0 && c.Op == "iam:PutRolePolicy" {
						denied = time.Since(start)
					}
					if denied == 0 {
						before = append(before, c.Op)
					}
					return nil
				})
				r := w.state(w.types(alice, command), approvals.Pending)
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("the plan took %s", took)
				}
				before, start = nil, time.Now()
				for _, user := range []string{bob, carol} {
					if w.again(r).State == approvals.Pending {
						w.clicks(user, r, "approve")
					}
				}
				w.pass(5 * time.Minute)
				w.state(r, approvals.Contained)
				if denied > 2*time.Second || slices.ContainsFunc(before, func(op string) bool { return strings.HasPrefix(op, "iam:List") }) {
					t.Errorf("%s was put after %s and %v", policy, denied, before)
				}
			})
		})
	}
}

// TestUnreadablePoliciesDoNotKeepThePlan: the attacker uses up what IAM allows of reads.
// Who approves is told, and what contains is done.
func TestUnreadablePoliciesDoNotKeepThePlan(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"detach_policies prod/app-role stolen", "delete_role prod/app-role confirm=app-role stolen"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answers("iam:List*", apiError("Throttling"), func() bool { return true })
			asked := w.clock.Now()
			r := w.types(alice, command)
			for w.again(r).State == approvals.Planning && w.clock.Now().Sub(asked) < time.Minute {
				w.pass(5 * time.Second)
			}
			r = w.state(r, approvals.Pending)
			if took := w.clock.Now().Sub(asked); took > 30*time.Second {
				t.Errorf("planned after %s", took)
			}
			if p := w.planned(r).Plan; !strings.Contains(strings.Join(p.Warnings, " "), "there are more steps than these") || !p.Reversible || p.Undo == "" {
				t.Errorf("%+v", p)
			}
			for _, user := range []string{bob, carol} {
				if w.again(r).State == approvals.Pending {
					w.clicks(user, r, "approve")
				}
			}
			w.pass(5 * time.Minute)
			if role := w.role("app-role"); len(role.Inline) == 0 {
				t.Errorf("the role has no deny: %+v; %s", role, w.again(r).State)
			}
		})
	}
}
