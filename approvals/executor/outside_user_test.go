package executor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

const denyBernd = `deny_principal prod/user/bernd reason="stolen"`

// outsideUser is a world of withPolicies in which bernd's key is known to somebody.
func outsideUser(t *testing.T) *world {
	t.Helper()
	w, _, _ := withPolicies(t)
	populateUser(w, func() bool { return false })
	actiontest.DeployShared(w.aws, prod)
	return w
}

// deniedInside reports whether our policy denies to bernd in its own account.
func (w *world) deniedInside() bool {
	return len(w.bernd().Attached) > 0 || w.bernd().Inline[w.cfg.Org.Installation.Name("KillSwitchQuarantine")] != ""
}

// deniedOutside reports whether a service control policy is attached to the account.
func (w *world) deniedOutside() bool {
	for _, p := range w.aws.Snapshot().Organization.SCPs {
		if p.Name == "killswitch-deny-"+prod && len(p.Targets) > 0 {
			return true
		}
	}
	return false
}

// lockOut is what an administrator of prod does against us; the result lets us in again.
func (w *world) lockOut() (in func()) {
	role := w.role(w.cfg.Org.ResponderRole)
	shut := role
	shut.Trust = actiontest.Trust("666666666666")
	w.aws.Account(prod).AddRole(shut)
	return func() { w.aws.Account(prod).AddRole(role) }
}

// TestUserIsDeniedInItsAccountToo: the deny in the account is the one of quarantine_user, and is lifted by the
// last that holds it.
func TestUserIsDeniedInItsAccountToo(t *testing.T) {
	t.Parallel()
	for name, commands := range map[string][2]string{
		"quarantined afterwards": {denyBernd, "quarantine_user prod/bernd stolen"},
		"quarantined before":     {"quarantine_user prod/bernd stolen", denyBernd},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := outsideUser(t)
			before := w.bernd()
			one := w.contained(commands[0])
			two := w.contained(commands[1])
			if !w.deniedInside() || !w.deniedOutside() || len(w.bernd().Attached) != 1 {
				t.Fatalf("inside %v, outside %t", w.bernd().Attached, w.deniedOutside())
			}
			w.pass(10 * time.Minute)
			w.undo(one)
			if !w.deniedInside() {
				t.Error("the undo of one lifts the deny that the other holds")
			}
			w.pass(10 * time.Minute)
			w.undo(two)
			after := w.bernd()
			before.Keys, after.Keys = nil, nil // they stay inactive
			if d := cmp.Diff(before, after); d != "" || w.deniedOutside() {
				t.Errorf("not as before: %s; outside %t", d, w.deniedOutside())
			}
		})
	}
}

// TestDenyOutsideComesFirstAndGoesLast: each change is made by the role of its phase, in the account and outside.
func TestDenyOutsideComesFirstAndGoesLast(t *testing.T) {
	t.Parallel()
	w := outsideUser(t)
	var made []string
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Phase == awsfake.After && c.Mutating && c.Op != "sts:AssumeRole" {
			made = append(made, c.Op+" by "+strings.Split(c.Principal, "/")[1])
		}
		return nil
	})
	w.undo(w.contained(denyBernd))
	responder, restorer := " by "+w.cfg.Org.ResponderRole, " by "+w.cfg.Org.RestorerRole
	if d := cmp.Diff([]string{"organizations:CreatePolicy" + responder, "organizations:AttachPolicy" + responder, "iam:AttachUserPolicy" + responder,
		"iam:DetachUserPolicy" + restorer, "organizations:DetachPolicy" + restorer, "organizations:DeletePolicy" + restorer}, made); d != "" {
		t.Error(d)
	}
}

// TestLockedAccountKeepsNoDeny: whoever shuts us out of the account, before or after the approval, is denied from
// outside; what could not be done inside is a flag. The undo ends where the account was never entered, and once it
// can be entered again.
func TestLockedAccountKeepsNoDeny(t *testing.T) {
	t.Parallel()
	for name, planned := range map[string]bool{"before the plan": false, "before the run": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := outsideUser(t)
			before := w.bernd()
			var letIn func()
			if !planned {
				letIn = w.lockOut()
			}
			r := w.state(w.types(alice, denyBernd), approvals.Pending)
			if planned {
				letIn = w.lockOut()
			} else {
				w.tells(r, "could not be read")
				w.tells(r, "not denied in its own account")
			}
			r = w.state(w.clicks(bob, r, "approve"), approvals.Contained)
			if w.deniedInside() || !w.deniedOutside() {
				t.Fatalf("inside %v, outside %t", w.bernd().Attached, w.deniedOutside())
			}
			if planned {
				w.tells(r, "in its own account: AccessDenied")
			}
			w.pass(10 * time.Minute)
			w.state(r, approvals.Contained)
			if planned {
				letIn()
			}
			w.undo(r)
			if d := cmp.Diff(before, w.bernd()); d != "" || w.deniedOutside() {
				t.Errorf("not as before: %s; outside %t", d, w.deniedOutside())
			}
		})
	}
}

// TestSlowAccountDoesNotHoldUpTheDeny: IAM and STS don't answer for the account. The policy is written meanwhile.
func TestSlowAccountDoesNotHoldUpTheDeny(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"iam:*", "sts:AssumeRole"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := outsideUser(t)
				r := w.state(w.types(alice, denyBernd), approvals.Pending)
				start, took := time.Now(), time.Duration(0)
				w.aws.Fault(awsfake.Fault{Op: op, Resource: "arn:aws:iam::" + prod + ":*", Delay: time.Hour})
				w.aws.OnCall(func(c awsfake.Call) error {
					if c.Phase == awsfake.After && c.Op == "organizations:AttachPolicy" && took == 0 {
						took = time.Since(start)
						w.aws.ClearFaults()
					}
					return nil
				})
				w.clicks(bob, r, "approve")
				w.pass(5 * time.Minute)
				w.state(r, approvals.Contained)
				if took == 0 || took > 15*time.Second || !w.deniedInside() {
					t.Errorf("attached after %s; inside %t", took, w.deniedInside())
				}
			})
		})
	}
}

// TestRenamedUserIsDeniedOutside: what was approved is an ID. Nobody escapes by another name, nor by one that the
// configuration protects.
func TestRenamedUserIsDeniedOutside(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mallory", "protected"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := outsideUser(t)
			w.cfg.Org.ProtectedPrincipals = append(w.cfg.Org.ProtectedPrincipals, "arn:aws:iam::*:user/protected")
			w.start()
			r := w.state(w.types(alice, denyBernd), approvals.Pending)
			u := w.bernd()
			w.aws.Account(prod).DeleteUser("bernd")
			u.Name = name
			w.aws.Account(prod).AddUser(u)
			r = w.state(w.clicks(bob, r, "approve"), approvals.Contained)
			if reads(w.aws.KeySession(exposedKey)) || !w.deniedOutside() {
				t.Error("it is not denied")
			}
			inside := len(w.aws.Snapshot().Accounts[prod].Users[name].Attached) > 0
			if inside != (name == "mallory") {
				t.Errorf("denied in its account: %t", inside)
			}
			w.pass(10 * time.Minute)
			w.undo(r)
			if !reads(w.aws.KeySession(exposedKey)) {
				t.Error("not undone")
			}
		})
	}
}

// TestWhoLiftsTheDenyInsideIsTold: it is not put again, since the policy decides; who it was stands in CloudTrail of
// the user's account.
func TestWhoLiftsTheDenyInsideIsTold(t *testing.T) {
	t.Parallel()
	w := outsideUser(t)
	r := w.contained(denyBernd)
	w.lookEvery(5*time.Second, 2*time.Minute)
	arn := w.bernd().Attached[0]
	_, err := iam.NewFromConfig(w.aws.Admin(prod)).DetachUserPolicy(t.Context(), &iam.DetachUserPolicyInput{UserName: aws.String("bernd"), PolicyArn: &arn})
	w.must(err)
	w.aws.Account(prod).AddEvents("us-east-1", record("DetachUserPolicy", w.clock.Now(), byMallory, "", map[string]any{"userName": "bernd", "policyArn": arn}, "bernd", arn))
	w.lookEvery(time.Minute, 30*time.Minute)
	run := w.run(w.state(r, approvals.Contained))
	if len(run.Tampering) != 1 || !strings.Contains(run.Tampering[0].Cause, "only supports") || run.Tampering[0].By == nil || !strings.Contains(run.Tampering[0].By.Who, "mallory") {
		t.Errorf("%+v", run.Tampering)
	}
	if w.deniedInside() || !w.deniedOutside() {
		t.Errorf("inside %t, outside %t", w.deniedInside(), w.deniedOutside())
	}
	w.undo(r)
}
