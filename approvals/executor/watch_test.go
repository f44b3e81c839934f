package executor_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/crashtest"
)

// heldLater fails if a re-check says that the containment held.
func (w *world) heldLater(r approvals.Request) {
	w.t.Helper()
	for _, e := range w.chain(r) {
		if e.Event == "rechecked" && e.Facts["result"] == "holds" {
			w.t.Errorf("nobody could see this: %+v", e)
		}
	}
	if n := w.run(r).Checks; n != 0 {
		w.t.Errorf("%d re-checks count", n)
	}
}

// TestLookThatCanNotReadClaimsNothing: it does not say that the containment holds, and the
// watch goes on.
func TestLookThatCanNotReadClaimsNothing(t *testing.T) {
	t.Parallel()
	t.Run("for a while", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.contained(revoke)
		w.dropDeny()
		w.breaks("iam:GetRole*")
		w.pass(time.Minute)
		w.heldLater(r)
		w.state(r, approvals.Contained)
		w.pass(time.Minute)
		if run := w.run(r); run.UnreadSince.IsZero() || !strings.Contains(run.Unread, "AccessDenied") {
			t.Errorf("it is not told that it can't be read: %+v", run)
		}
		w.aws.ClearFaults()
		w.pass(3 * time.Minute)
		if run := w.run(r); !run.UnreadSince.IsZero() || run.Unread != "" {
			t.Errorf("it can be read: %+v", run)
		}
		w.state(r, approvals.Contained)
		if w.policy("app-role") == "" {
			t.Error("the deny was not applied again")
		}
		if n := len(w.run(r).Tampering); n != 1 {
			t.Errorf("%d times undone by somebody", n)
		}
	})
	t.Run("for days", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.contained(revoke)
		w.breaks("iam:GetRole*")
		w.lookEvery(15*time.Minute, 24*time.Hour)
		w.heldLater(r)
		w.state(r, approvals.Contained)
		if n := w.called("iam:GetRole"); n > 3*2*24*4+100 {
			t.Errorf("%d calls", n)
		}
		w.dropDeny()
		w.aws.ClearFaults()
		w.lookEvery(time.Minute, 16*time.Minute)
		w.state(r, approvals.Contained)
		if run := w.run(r); w.policy("app-role") == "" || run.Tampered != 1 {
			t.Errorf("not applied again: %+v", run)
		}
	})
}

// TestStepWhoseReapplyingWasCutOffDoesNotCountAsHeld: the process died when it was
// about to apply a step again.
func TestStepWhoseReapplyingWasCutOffDoesNotCountAsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.dropDeny()
	w.aws.OnCall(func(c awsfake.Call) error {
		switch {
		case w.killer.Dead():
			return crashtest.ErrDead
		case c.Op == "iam:PutRolePolicy" && c.Phase == awsfake.Before && w.killer.Where() == "":
			return w.killer.Kill("before the deny is put again")
		}
		return nil
	})
	w.live("the deny", func() bool { return w.policy("app-role") != "" })
	if w.killer.Where() == "" {
		t.Fatal("nobody died")
	}
	w.pass(3 * time.Minute)
	w.state(r, approvals.Contained)
	for _, s := range w.steps(r) {
		if s.State != approvals.StepVerified {
			t.Errorf("the ledger says %s: %s", s.Step.ID, s.State)
		}
	}
}

// TestLostEndOfARecheckIsNotContained: one lost write does not turn "undone by
// somebody, and could not be applied again" into contained.
func TestLostEndOfARecheckIsNotContained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.dropDeny()
	w.breaks("iam:PutRolePolicy")
	w.loses(w.Runs, func(p approvals.Put) bool {
		return p.Part == r.ID && p.Sort == "run" && strings.Contains(string(p.Body), `"outcome":"partial"`)
	})
	w.pass(3 * time.Minute)
	w.heldLater(r)
	w.state(r, approvals.Partial)
	w.tells(r, "undone by somebody")
}

// withAdmins is a world in which some users are exempt from a quarantine.
func withAdmins(w *world) {
	exposed(w)
	w.cfg.Org.AdminGroup = "admins"
	w.aws.Account(prod).AddGroup(awsfake.Group{Name: "admins"})
}

// TestLookSeesWhoJoinedTheAdmins: the attacker takes the deny off, the key back, and joins the
// admin group. The deny is put again, the rest is told.
func TestLookSeesWhoJoinedTheAdmins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withAdmins)
	r := w.contained("quarantine_user prod/bernd stolen")
	u := w.bernd()
	u.Groups, u.Attached, u.Tags = []string{"admins"}, nil, map[string]string{}
	u.Keys[0].Inactive = false
	w.aws.Account(prod).AddUser(u)
	w.pass(70 * time.Second)
	if run := w.run(w.state(r, approvals.Contained)); len(run.Told()) != 3 || len(w.bernd().Attached) != 1 {
		t.Errorf("%s: told %+v, attached %v", run.Cause, run.Told(), w.bernd().Attached)
	}
}

// TestRecheckLooksAtEveryStep: the role of an isolated instance is deleted and created
// again, and the instance gets another profile; the latter is seen, too.
func TestRecheckLooksAtEveryStep(t *testing.T) {
	t.Parallel()
	var other string
	w := newWorld(t, func(w *world) {
		populate(w, 3)
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "backdoor", Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}, Profiles: []string{"backdoor"}})
		other = "arn:aws:iam::" + prod + ":instance-profile/backdoor"
	})
	r := w.contained("isolate_instance prod/" + suspect + " region=" + region + " stolen")
	role := w.aws.Snapshot().Accounts[prod].Roles["app-role"]
	role.ID = ""
	w.aws.Account(prod).AddRole(role) // deleted, and created again
	c := ec2.NewFromConfig(w.aws.Admin(prod))
	out, err := c.DescribeIamInstanceProfileAssociations(t.Context(), &ec2.DescribeIamInstanceProfileAssociationsInput{})
	w.must(err)
	for _, a := range out.IamInstanceProfileAssociations {
		if aws.ToString(a.InstanceId) == suspect {
			_, err = c.ReplaceIamInstanceProfileAssociation(t.Context(), &ec2.ReplaceIamInstanceProfileAssociationInput{AssociationId: a.AssociationId, IamInstanceProfile: &ec2types.IamInstanceProfileSpecification{Arn: &other}})
			w.must(err)
		}
	}
	w.pass(70 * time.Second)
	run := w.run(r)
	if len(run.Tampering) == 0 {
		t.Errorf("%s is %s after 70 s, unread %q, nothing told of the profile: %s", r.ID, w.again(r).State, run.Unread, run.Cause)
	}
}

// TestRecheckAppliesAgainToWhoJoinedTheAdmins: whoever takes the deny off and puts
// the user among the exempt does not keep the re-checks from applying it again.
func TestRecheckAppliesAgainToWhoJoinedTheAdmins(t *testing.T) {
	t.Parallel()
	var before awsfake.User
	w := newWorld(t, func(w *world) {
		w.cfg.Org.AdminGroup = "admins"
		populateUser(w, func() bool { return false })
		before = w.aws.Snapshot().Accounts[prod].Users["bernd"]
	})
	r := w.contained("quarantine_user prod/bernd stolen")
	before.Groups = append(before.Groups, "admins")
	w.aws.Account(prod).AddUser(before)
	w.pass(2 * time.Minute)
	w.state(r, approvals.Contained)
	if ok, _ := w.aws.KeySession(exposedKey).Can("s3:GetObject", "arn:aws:s3:::secrets/key"); ok {
		t.Error("the attacker can read secrets again")
	}
	run := w.run(r)
	if len(run.Tampering) == 0 || !run.Tampering[0].Reapplied {
		t.Errorf("nobody is told: %+v", run.Tampering)
	}
}

func TestKeyThatWentWithItsUserStaysContained(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	r := w.contained("deactivate_key " + exposedKey + " stolen")
	w.aws.Account(prod).DeleteUser("bernd")
	w.pass(5 * time.Minute)
	w.state(r, approvals.Contained)
	run := w.run(r)
	if !run.UnreadSince.IsZero() || run.Tampered != 0 || run.Checks < 3 {
		t.Errorf("%+v", run)
	}
}

// TestRecheckNeedsTheDenyAlone: what the deny does not need can't be read, and the deny was
// removed. It is put again.
func TestRecheckNeedsTheDenyAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained("detach_policies prod/app-role stolen")
	role, policy := "app-role", "KillswitchDenyAll"
	_, err := iam.NewFromConfig(w.aws.Admin(prod)).DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy})
	w.must(err)
	w.answers("iam:ListRolePolicies", apiError("ServiceFailure"), func() bool { return true })
	w.pass(5 * time.Minute)
	if r = w.state(r, approvals.Contained); w.role(role).Inline[policy] == "" {
		t.Errorf("the deny was removed, and is not put again: %s", r.Cause)
	}
}

// lookEvery lets time pass in steps in which the sweep and the jobs that are due are at work.
func (w *world) lookEvery(step, d time.Duration) {
	w.t.Helper()
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); w.drain() {
		w.clock.Add(min(step, end.Sub(w.clock.Now())))
		w.sweep()
	}
}

// withFullRole adds a role whose inline policies fill their quota: it can't be denied.
func withFullRole(w *world) {
	full := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:` + strings.Repeat("x", 10140) + `","Resource":"*"}]}`
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "full", Inline: map[string]string{"full": full}})
}

// dropAsResponder removes an inline policy of the role with a session of the member role, as
// somebody does who stole it.
func (w *world) dropAsResponder(policy string) {
	w.t.Helper()
	role := "app-role"
	acct, err := w.executor.Cloud.Enter(w.t.Context(), actions.Responder, prod, "", actions.SessionContext{RequestID: "stolen", Requester: "mallory"},
		[]actions.Statement{{Actions: []string{"iam:DeleteRolePolicy"}, Resources: []string{appRole}}})
	w.must(err)
	_, err = acct.IAM().DeleteRolePolicy(w.t.Context(), &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy})
	w.must(err)
}

// TestWatchAppliesAgainWhatSomebodyRemoved: whenever, whoever, after contained and after
// partial, of one and of ALL. It is told as it is.
func TestWatchAppliesAgainWhatSomebodyRemoved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		line  string
		alter []func(*world)
		state approvals.State
		every time.Duration // between looks on the third day
		deny  string        // the policy that is removed; empty: that of revoke_sessions
	}{
		"contained":        {line: revoke, state: approvals.Contained, every: time.Hour},
		"contained, ALL":   {line: revokeAll, alter: []func(*world){withRoles(5)}, state: approvals.Contained, every: time.Hour},
		"partial, ALL":     {line: revokeAll, alter: []func(*world){withRoles(5), withFullRole}, state: approvals.Partial, every: time.Hour},
		"contained, twice": {line: "detach_policies prod/app-role stolen", state: approvals.Contained, every: time.Hour, deny: "KillswitchDenyAll"},
		"partial": {line: "isolate_instance prod/" + suspect + " region=" + region + " stolen", state: approvals.Partial, every: time.Hour, deny: "KillswitchIsolate",
			alter: []func(*world){func(w *world) { populate(w, 3) }, func(w *world) { w.breaks("ec2:ModifyNetworkInterfaceAttribute") }}},
	} {
		for _, by := range []string{"an administrator", "our own role"} {
			t.Run(name+", by "+by, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, c.alter...)
				r := w.state(w.clicks(bob, w.types(alice, c.line), "approve"), c.state)
				drop := w.dropPolicy
				if by == "our own role" {
					drop = w.dropAsResponder
				}
				began := w.clock.Now()
				for n, at := range []time.Duration{time.Second, 90 * time.Second, 20 * time.Minute, 72 * time.Hour} {
					w.lookEvery(at/30+time.Second, began.Add(at).Sub(w.clock.Now()))
					drop(cmp.Or(c.deny, denyName))
					within := 17 * time.Minute
					if n == 3 {
						within = c.every + 2*time.Minute
					}
					w.lookEvery(within/30, within)
					run := w.run(w.state(r, c.state))
					if run.Tampered != n+1 || !run.Tampering[n].Reapplied || run.Tampering[n].Cause != "" {
						t.Fatalf("removed after %s: %d, %+v", at, run.Tampered, run.Tampering)
					}
				}
				w.state(r, c.state)
				if told := w.run(r).Told(); len(told) != 4 {
					t.Errorf("told %d times", len(told))
				}
				w.aws.ClearFaults()
				w.undo(r)
			})
		}
	}
}

// dropPolicy removes an inline policy of the role.
func (w *world) dropPolicy(policy string) {
	w.t.Helper()
	role := "app-role"
	_, err := iam.NewFromConfig(w.aws.Admin(prod)).DeleteRolePolicy(w.t.Context(), &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy})
	w.must(err)
}

// TestWatchThatMayNotWriteSaysSo, and applies again as soon as it may. What never held it
// leaves to a retry.
func TestWatchThatMayNotWriteSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.lookEvery(time.Minute, 10*time.Minute)
	w.dropDeny()
	mend := w.breaks("iam:PutRolePolicy")
	w.lookEvery(time.Minute, 3*time.Hour)
	run := w.run(w.state(r, approvals.Partial))
	if told := run.Told(); len(told) != 1 || told[0].Reapplied || !strings.Contains(told[0].Cause, "AccessDenied") || !strings.Contains(run.Cause, "undone by somebody") {
		t.Errorf("%q, %+v", run.Cause, told)
	}
	mend()
	w.lookEvery(time.Minute, 17*time.Minute)
	if run = w.run(w.state(r, approvals.Contained)); w.policy("app-role") == "" || run.Cause != "" || run.Tampered != 1 {
		t.Errorf("deny %q, %q", w.policy("app-role"), run.Cause)
	}

	w = newWorld(t)
	r = w.failed()
	w.lookEvery(time.Minute, time.Hour)
	if w.state(r, approvals.Partial); w.policy("app-role") != "" || w.run(r).Tampered != 0 {
		t.Errorf("what never held was applied: %+v", w.run(r))
	}
}

// TestPartialThatHoldsAfterAllIsContained: IAM shows the deny too late for the run.
func TestPartialThatHoldsAfterAllIsContained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	blind := true
	w.answers("iam:GetRolePolicy", apiError("NoSuchEntity"), func() bool { return blind && w.called("iam:PutRolePolicy") > 0 })
	r := w.state(w.clicks(bob, w.types(alice, revoke), "approve"), approvals.Partial)
	blind = false
	n := w.called("iam:PutRolePolicy")
	w.lookEvery(5*time.Second, time.Minute)
	if run := w.run(w.state(r, approvals.Contained)); run.Cause != "" || run.Tampered != 0 || run.Verified.IsZero() || w.called("iam:PutRolePolicy") != n {
		t.Errorf("%+v", run)
	}
}

// TestWatchIsToldRarelyAndWritesAlways: an attacker who removes the deny every five seconds
// for twenty minutes, and Terraform every half hour for a day.
func TestWatchIsToldRarelyAndWritesAlways(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		every, during time.Duration
		least         int // removals
	}{"an attacker": {5 * time.Second, 20 * time.Minute, 200}, "Terraform": {30 * time.Minute, 24 * time.Hour, 48}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.contained(revoke)
			links, removals, largest := len(w.chain(r)), 0, 0
			for end := w.clock.Now().Add(c.during); w.clock.Now().Before(end); {
				if w.policy("app-role") != "" {
					w.dropDeny()
					removals++
				}
				w.lookEvery(min(c.every, 5*time.Minute), c.every)
				row, err := w.Runs.Store.Get(t.Context(), runKey(r))
				w.must(err)
				largest = max(largest, len(row.Body))
			}
			run := w.run(w.state(r, approvals.Contained))
			hours := int(c.during / time.Hour)
			if removals < c.least || run.Tampered != removals || w.called("iam:PutRolePolicy") != removals+1 {
				t.Errorf("%d removals, %d counted, %d writes", removals, run.Tampered, w.called("iam:PutRolePolicy"))
			}
			if told := run.Told(); len(told) < 3 || len(told) > 4+hours || len(run.Tampering) > 21 || run.Tampering[0].N != 1 || run.Tampering[len(run.Tampering)-1].N != removals {
				t.Errorf("told %d times, %d kept", len(told), len(run.Tampering))
			}
			if more, most := len(w.chain(r))-links, int(c.during/time.Minute); more > most {
				t.Errorf("%d links in %d minutes", more, most)
			}
			if largest > 16<<10 {
				t.Errorf("the row has %d bytes", largest)
			}
			w.undo(r)
		})
	}
}

// TestWatchNeverFightsAnUndo: while it runs, after it has ended, also in part, and after it was
// withdrawn.
func TestWatchNeverFightsAnUndo(t *testing.T) {
	t.Parallel()
	t.Run("running, and ended", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.contained(revoke)
		w.pass(10 * time.Minute)
		u := w.asksUndo(r)
		looking := false
		w.aws.OnCall(func(c awsfake.Call) error {
			if c.RoleSessionName == u.ID && !looking { // a look in the middle of every step
				looking = true
				w.clock.Add(time.Second)
				rewrite(w, runKey(r), func(run *approvals.Run) { run.NextCheck = w.clock.Now() })
				w.must(w.worker().Handle(t.Context(), approvals.Job{Verb: approvals.JobLook, ID: r.ID}))
				looking = false
			}
			return nil
		})
		n := w.called("iam:PutRolePolicy")
		w.state(w.clicks(alice, u, "approve"), approvals.Restored)
		w.lookEvery(time.Minute, 2*time.Hour)
		w.must(w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobLook, ID: r.ID}))
		w.state(r, approvals.Undone)
		if w.called("iam:PutRolePolicy") != n || w.policy("app-role") != "" || w.run(r).Tampered != 0 {
			t.Errorf("it was fought: %+v", w.run(r).Tampering)
		}
	})
	t.Run("whose worker died", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.contained(revoke)
		w.pass(10 * time.Minute)
		u := w.asksUndo(r)
		u = w.bring(w.button(alice, u, "approve"))
		w.clears()
		ctx, die := context.WithCancel(t.Context())
		w.aws.OnCall(func(c awsfake.Call) error {
			if c.Op == "iam:DeleteRolePolicy" && c.Phase == awsfake.After {
				die() // the deny is gone, and nothing of that is recorded
			}
			return nil
		})
		if err := w.executor.Handle(ctx, approvals.Job{Verb: approvals.JobUndo, ID: u.ID}); err == nil {
			t.Fatal("the worker came to its end")
		}
		w.clears()
		w.clock.Add(time.Minute) // lease and lock are over
		rewrite(w, runKey(r), func(run *approvals.Run) { run.NextCheck = w.clock.Now() })
		n := w.called("iam:PutRolePolicy")
		w.must(w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobLook, ID: r.ID}))
		if w.called("iam:PutRolePolicy") != n || w.policy("app-role") != "" || w.run(r).Tampered != 0 {
			t.Errorf("it was fought: %+v", w.run(r).Tampering)
		}
		w.sends(approvals.JobUndo, u)
		w.drain()
		w.state(u, approvals.Restored)
		w.state(r, approvals.Undone)
	})
	t.Run("and somebody else", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.contained("detach_policies prod/app-role stolen")
		w.pass(10 * time.Minute)
		u := w.asksUndo(r)
		u = w.bring(w.button(alice, u, "approve"))
		w.clears()
		ctx, die := context.WithCancel(t.Context())
		before := w.aws.Mutations()
		w.aws.OnCall(func(c awsfake.Call) error {
			if c.RoleSessionName == u.ID && c.Phase == awsfake.After && w.aws.Mutations() > before {
				die() // after the first of its changes; the deny is the last
			}
			return nil
		})
		if err := w.executor.Handle(ctx, approvals.Job{Verb: approvals.JobUndo, ID: u.ID}); err == nil {
			t.Fatal("the worker came to its end")
		}
		w.clears()
		w.dropPolicy("KillswitchDenyAll")
		look := func() approvals.Run {
			rewrite(w, runKey(r), func(run *approvals.Run) { run.NextCheck = w.clock.Now() })
			w.must(w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobLook, ID: r.ID}))
			return w.run(r)
		}
		if run := look(); run.Tampered != 0 || run.LookedAt.Equal(w.clock.Now().UTC()) {
			t.Errorf("the undo has the target: %+v", run.Tampering)
		}
		w.clock.Add(time.Minute) // lease and lock are over
		n := w.aws.Mutations()
		run := look()
		if told := run.Told(); len(told) != 1 || told[0].Reapplied || !strings.Contains(told[0].Cause, u.ID+" is under way") || w.aws.Mutations() != n {
			t.Errorf("%d changes, told %+v", w.aws.Mutations()-n, told)
		}
		if run.Outcome != approvals.Contained || w.state(r, approvals.Undoing).RunRevision != run.Revision {
			t.Errorf("the look settled the undo: %s", run.Outcome)
		}
		w.sends(approvals.JobUndo, u)
		w.drain()
		w.state(u, approvals.Restored)
		w.state(r, approvals.Undone)
	})
	for _, withdrawn := range []bool{false, true} {
		t.Run(fmt.Sprintf("in part, withdrawn: %t", withdrawn), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withRoles(5))
			r := w.contained(revokeAll)
			w.pass(10 * time.Minute)
			w.answers("iam:DeleteRolePolicy", apiError("AccessDenied"), times(3)) // three of five stay denied
			u := w.asksUndo(r)
			u = w.state(w.clicks(alice, u, "approve"), approvals.Partial)
			if withdrawn {
				w.state(w.clicks(bob, u, "deny"), approvals.Denied)
			}
			left := w.denied()
			w.lookEvery(time.Minute, 2*time.Hour)
			run := w.run(w.state(r, approvals.Partial))
			if w.denied() != left || run.Tampered != 0 {
				t.Errorf("%d denied, of %d after the undo; %+v", w.denied(), left, run.Tampering)
			}
			for name, role := range w.aws.Snapshot().Accounts[prod].Roles { // what it left is watched as before
				if role.Inline[denyName] != "" {
					policy := denyName
					_, err := iam.NewFromConfig(w.aws.Admin(prod)).DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &policy})
					w.must(err)
					break
				}
			}
			w.lookEvery(time.Minute, 2*time.Hour)
			if run := w.run(w.state(r, approvals.Partial)); w.denied() != left || run.Tampered != 1 || !run.Tampering[0].Reapplied {
				t.Errorf("%d denied, of %d: %+v", w.denied(), left, run.Tampering)
			}
		})
	}
}

// TestWatchAppliesTheStricterRules: what is protected by now is looked at, and not written.
func TestWatchAppliesTheStricterRules(t *testing.T) {
	t.Parallel()
	for name, protect := range map[string]func(*actions.Org){
		"the account": func(o *actions.Org) { o.ProtectedAccounts = append(o.ProtectedAccounts, prod) },
		"the role": func(o *actions.Org) {
			o.ProtectedPrincipals = append(o.ProtectedPrincipals, "arn:aws:iam::*:role/app-role")
		},
		"one of many": func(o *actions.Org) {
			o.ProtectedPrincipals = append(o.ProtectedPrincipals, "arn:aws:iam::*:role/app-role")
		},
		"not a member": func(o *actions.Org) { o.Accounts = map[string]string{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withRoles(3), withRole(awsfake.Role{Trust: lets(prod)}))
			line := revoke
			if name == "one of many" {
				line = revokeAll
			}
			r := w.contained(line)
			w.pass(2 * time.Minute)
			w.dropDeny()
			protect(&w.cfg.Org)
			w.start()
			w.lookEvery(time.Minute, time.Hour)
			run := w.run(r)
			if w.policy("app-role") != "" {
				t.Fatal("it was applied again")
			}
			if name == "not a member" {
				if run.Unread == "" {
					t.Errorf("nothing is told: %+v", run)
				}
				return
			}
			if told := run.Told(); len(told) != 1 || told[0].Reapplied || !strings.Contains(told[0].Cause, "protected") || run.Outcome != approvals.Partial {
				t.Errorf("%s, %+v", run.Outcome, told)
			}
		})
	}
}

// TestWatchDeletesNothing: AWS shows a role again after its deletion. Another try is for people.
func TestWatchDeletesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withWholeRole)
	role := w.aws.Snapshot().Accounts[prod].Roles["app-role"]
	r := w.contained(deleteRole)
	w.aws.Account(prod).AddRole(role)
	w.lookEvery(time.Minute, time.Hour)
	run := w.run(w.state(r, approvals.Partial))
	if w.called("iam:DeleteRole") != 1 {
		t.Errorf("%d deletions", w.called("iam:DeleteRole"))
	}
	for _, told := range run.Told() {
		if told.Reapplied || told.Cause == "" {
			t.Errorf("%+v", told)
		}
	}
}

// TestWatchEndsWhenItWasToAndAClickProlongsIt: configuration does not shorten it. The click is
// proved, and counts once.
func TestWatchEndsWhenItWasToAndAClickProlongsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	until := w.run(r).WatchUntil
	if want := w.clock.Now().Add(7 * 24 * time.Hour); !until.Equal(want) {
		t.Errorf("watched until %s, want %s", until, want)
	}
	w.cfg.Policy.Watch = time.Hour
	w.start()
	w.lookEvery(10*time.Minute, until.Add(-time.Hour).Sub(w.clock.Now()))
	w.dropDeny()
	w.lookEvery(10*time.Minute, time.Hour)
	if run := w.run(r); run.Tampered != 1 || !run.Tampering[0].Reapplied {
		t.Errorf("an hour before the end: %+v", run.Tampering)
	}
	w.lookEvery(10*time.Minute, 20*time.Minute)
	if run := w.run(r); !run.NextCheck.IsZero() || !run.WatchUntil.Equal(until) {
		t.Errorf("it is not over: %+v", run)
	}
	w.told()
	w.dropDeny()
	w.withoutAWS(func() { w.pass(time.Hour) })
	w.state(r, approvals.Contained)

	w.cfg.Policy.Watch = 24 * time.Hour
	w.start()
	for name, forge := range map[string]func(*word){
		"a stranger":         func(d *word) { d.user = nobody },
		"in no group":        func(d *word) { d.user = mallory },
		"another button":     func(d *word) { d.actions[0].ID = "retry" },
		"another card":       func(d *word) { d.blocks[1] = plainBlock(approvals.CallBlock, "revoke_sessions prod/other") },
		"another's digest":   func(d *word) { d.actions[0].Value = approvals.Value(r.ID, strings.Repeat("0", 64)) },
		"another secret":     func(d *word) { d.secret = "guessed" },
		"not on a message":   func(d *word) { d.container = "view" },
		"another request's":  func(d *word) { d.actions[0].Value = approvals.Value("KS-4G7QX2M9ZT0B", r.Digest) },
		"from another place": func(d *word) { d.team = "T0EVIL" },
	} {
		d := w.button(carol, r, "watch")
		forge(d)
		w.withoutAWS(func() { w.bring(d); w.drain() })
		if run := w.run(r); !run.WatchUntil.Equal(until) {
			t.Errorf("%s prolonged it", name)
		}
	}
	at := w.clock.Now()
	w.clicks(carol, r, "watch")
	run := w.run(w.state(r, approvals.Contained))
	if !run.WatchUntil.Equal(at.Add(24*time.Hour)) || w.policy("app-role") == "" || run.Tampered != 2 {
		t.Errorf("after the click: %+v", run)
	}
	if e, n := w.event(r, "watch_extended"); n != 1 || e.Actor != "carol" || e.Facts["evidence"] == "" {
		t.Errorf("%d times in the chain: %+v", n, e)
	}
	w.lookEvery(10*time.Minute, 10*time.Hour)
	if run := w.run(r); !run.WatchUntil.Equal(at.Add(24 * time.Hour)) {
		t.Errorf("one click counted twice: %s", run.WatchUntil)
	}
	w.lookEvery(10*time.Minute, 15*time.Hour)
	if !w.run(r).NextCheck.IsZero() {
		t.Error("it does not end")
	}
	w.undo(r)
}

// TestTwoLooksAtOnce: jobs are delivered twice, and the sweep sends another one. What was
// removed is applied once and told once.
func TestTwoLooksAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.dropDeny()
	w.clock.Add(6 * time.Second)
	var wg sync.WaitGroup
	for range 8 {
		x := w.worker()
		wg.Go(func() {
			err := x.Handle(t.Context(), approvals.Job{Verb: approvals.JobLook, ID: r.ID})
			if err != nil && !errors.Is(err, approvals.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.pass(time.Minute)
	if run := w.run(w.state(r, approvals.Contained)); run.Tampered != 1 || w.called("iam:PutRolePolicy") != 2 {
		t.Errorf("%d writes, %+v", w.called("iam:PutRolePolicy"), run.Tampering)
	}
	for range 3 { // looks that come early are not sent again
		w.withoutAWS(func() {
			if sent := w.job(w.executor, approvals.JobLook, r); len(sent) > 0 {
				t.Errorf("an early look lives on: %+v", sent)
			}
		})
	}
}

// tamperedAndKilled removes a deny and kills the executor at a point of the looks that follow.
func tamperedAndKilled(t *testing.T, line string, at int, alter ...func(*world)) int {
	w := newWorld(t, append(append([]func(*world){withRoles(4)}, alter...), mortal)...)
	r := w.contained(line)
	w.lookEvery(time.Minute, 3*time.Minute)
	w.dropDeny()
	w.told()
	began := w.clock.Now()
	w.killer.Aim(at)
	w.live("applied again", func() bool {
		run := w.run(r)
		return len(run.Told()) == 1 && run.Told()[0].Reapplied && w.again(r).RunRevision == run.Revision && w.clock.Now().Sub(began) > 4*time.Minute
	})
	points := w.killer.Aim(0)
	if run := w.run(w.state(r, approvals.Contained)); w.policy("app-role") == "" || run.Tampered != 1 {
		t.Errorf("killed %s: deny %q, %+v", w.killer.Where(), w.policy("app-role"), run.Tampering)
	}
	if len(w.told()) == 0 {
		t.Errorf("killed %s: the bot heard nothing", w.killer.Where())
	}
	for _, s := range w.steps(r) {
		if s.State != approvals.StepVerified && s.State != approvals.StepSkipped {
			t.Errorf("killed %s: the ledger says %s: %s", w.killer.Where(), s.Step.ID, s.State)
		}
	}
	w.chain(r)
	return points
}

// TestLookSurvivesAnyDeath: wherever the worker dies, what was removed is applied again, and
// told once.
func TestLookSurvivesAnyDeath(t *testing.T) {
	t.Parallel()
	for _, line := range []string{revoke, revokeAll} {
		points := tamperedAndKilled(t, line, 0)
		if points < 30 {
			t.Fatalf("only %d points", points)
		}
		step := thin.Every(t, 10, "the deaths of a look at "+line)
		for at := 1; at <= points; at += step {
			t.Run(fmt.Sprintf("%s/%03d", line, at), func(t *testing.T) {
				t.Parallel()
				tamperedAndKilled(t, line, at)
			})
		}
	}
}

// TestWatchThatMayOnlyReadSaysSo: the session that writes can't be had.
func TestWatchThatMayOnlyReadSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.lookEvery(time.Minute, 10*time.Minute)
	w.dropDeny()
	locked := true
	w.aws.OnCall(func(c awsfake.Call) error {
		if locked && c.Op == "sts:AssumeRole" && c.Phase == awsfake.Before && strings.Contains(c.SessionPolicy, "iam:PutRolePolicy") {
			return apiError("AccessDenied")
		}
		return nil
	})
	w.lookEvery(time.Minute, time.Hour)
	run := w.run(w.state(r, approvals.Partial))
	if told := run.Told(); len(told) != 1 || told[0].Reapplied || !strings.Contains(told[0].Cause, "AccessDenied") || run.Tampered != 1 {
		t.Errorf("%q, %+v", run.Cause, run.Tampering)
	}
	locked = false
	w.lookEvery(time.Minute, 17*time.Minute)
	if w.state(r, approvals.Contained); w.policy("app-role") == "" {
		t.Error("it is not applied again")
	}
}

// TestLookThatFindsAllInPlaceIsCheap: two reads, in a session that lasts for an hour; nothing is
// written in the account, nobody is told, and the chain does not grow.
func TestLookThatFindsAllInPlaceIsCheap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.lookEvery(time.Minute, time.Hour)
	w.told()
	calls, links, looks, changes := len(w.calls()), len(w.chain(r)), w.run(r).Checks, w.aws.Mutations()
	w.lookEvery(5*time.Minute, 20*time.Hour)
	looks = w.run(r).Checks - looks
	if n := len(w.calls()) - calls; looks < 70 || looks > 81 || n > 2*looks+22 {
		t.Errorf("%d looks, %d calls", looks, n)
	}
	if more := len(w.chain(r)) - links; more != 0 || w.aws.Mutations() != changes || len(w.told()) != 0 {
		t.Errorf("%d links, %d changes", more, w.aws.Mutations()-changes)
	}
}

// TestLooksAtOneAccountShareASession: those at other containments too. What writes has the
// session of its request.
func TestLooksAtOneAccountShareASession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRoles(3), exposed)
	ids := []string{w.contained(revoke).ID, w.contained(revokeAll).ID, w.contained("quarantine_user prod/bernd stolen").ID}
	w.lookEvery(time.Minute, 20*time.Minute) // after the last look for what was made
	n, sessions := len(w.aws.Calls()), w.called("sts:AssumeRole")
	w.lookEvery(time.Minute, 40*time.Minute)
	for _, c := range w.aws.Calls()[n:] {
		if c.RoleSessionName != "killswitch-watch" {
			t.Errorf("%s in the session %q", c.Op, c.RoleSessionName)
		}
	}
	if n := w.called("sts:AssumeRole") - sessions; n > 1 {
		t.Errorf("%d sessions in 40 minutes", n)
	}
	n = len(w.aws.Calls())
	w.dropDeny()
	w.lookEvery(time.Minute, 16*time.Minute)
	written := slices.IndexFunc(w.aws.Calls()[n:], func(c awsfake.Call) bool {
		return c.Op == "iam:PutRolePolicy" && slices.Contains(ids, c.RoleSessionName)
	})
	if written < 0 || w.policy("app-role") == "" {
		t.Error("not applied again in a session of its request")
	}
}
