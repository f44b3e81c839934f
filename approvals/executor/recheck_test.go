package executor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/crashtest"
)

// TestRecheckAppliesAgainWhatSomebodyRemoved: three times at most, and then it says
// that somebody works against it.
func TestRecheckAppliesAgainWhatSomebodyRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	undone := 0
	for range 60 {
		if w.policy("app-role") != "" {
			w.dropDeny()
			undone++
		}
		w.pass(5 * time.Second)
	}
	if undone != 4 {
		t.Errorf("it was undone %d times, so applied again %d times", undone, undone-1)
	}
	w.state(r, approvals.Partial)
	w.tells(r, "works against the containment")
	if e, n := w.event(r, "tampered"); n != 4 || e.Facts["applied_again"] != "false" || len(w.run(r).Tampering) != 4 {
		t.Errorf("%d times in the chain: %+v; %+v", n, e, w.run(r).Tampering)
	}
	w.clicks(carol, r, "retry") // and now nobody interferes
	w.state(r, approvals.Contained)
	w.undo(r)
}

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

// TestRecheckThatCanNotReadClaimsNothing: it does not say that the containment
// holds. One that never can read ends it as partial.
func TestRecheckThatCanNotReadClaimsNothing(t *testing.T) {
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
		if n := w.run(r).FailedChecks; n == 0 {
			t.Error("it is not told that it could not be read back")
		}
		w.aws.ClearFaults()
		w.pass(3 * time.Minute)
		w.state(r, approvals.Contained)
		if w.policy("app-role") == "" {
			t.Error("the deny was not applied again")
		}
		if n := len(w.run(r).Tampering); n != 1 {
			t.Errorf("%d times undone by somebody", n)
		}
	})
	t.Run("for good", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.contained(revoke)
		w.dropDeny()
		w.breaks("iam:GetRole*")
		w.pass(5 * time.Minute)
		w.heldLater(r)
		w.state(r, approvals.Partial)
		w.tells(r, "can't be confirmed")
		if run := w.run(r); run.Outcome != approvals.Partial || run.FailedChecks != 8 {
			t.Errorf("%+v", run)
		}
		w.aws.ClearFaults()
		for range 2 { // the first may find out that it has to be applied again
			if w.again(r).State == approvals.Partial {
				w.clock.Add(time.Second)
				w.clicks(bob, r, "retry")
			}
			if s := w.again(r).State; s == approvals.Contained && w.policy("app-role") == "" {
				t.Error("contained, and no deny")
			}
		}
		w.state(r, approvals.Contained)
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

// TestRecheckSeesWhoJoinedTheAdmins: the attacker takes the deny off, the key back,
// and joins the admin group.
func TestRecheckSeesWhoJoinedTheAdmins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withAdmins)
	r := w.contained("quarantine_user prod/bernd stolen")
	u := w.bernd()
	u.Groups, u.Attached, u.Tags = []string{"admins"}, nil, map[string]string{}
	u.Keys[0].Inactive = false
	w.aws.Account(prod).AddUser(u)
	w.pass(70 * time.Second)
	if run := w.run(r); len(run.Tampering) == 0 || !w.bernd().Keys[0].Inactive {
		t.Errorf("%s is %s after 70 s (%s), tampering: %v; the key is inactive: %t", r.ID, w.again(r).State, run.Cause, run.Tampering, w.bernd().Keys[0].Inactive)
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
		t.Errorf("%s is %s after 70 s, unread %d, nothing told of the profile: %s", r.ID, w.again(r).State, run.FailedChecks, run.Cause)
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
	if run.FailedChecks != 0 || len(run.Tampering) != 0 || run.Checks != 3 {
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
