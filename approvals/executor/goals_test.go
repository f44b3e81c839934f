package executor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// fiftyTags leave no room for a fifty-first.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
func fiftyTags() map[string]string {
	tags := map[string]string{}
	for i := range 50 {
		tags[fmt.Sprintf("t%02d", i)] = "x"
	}
	return tags
}

// TestFullTagsDoNotDecide: the attacker's 50th tag keeps the tag of ours away, and
// nothing else. The containment counts, is looked at again, and says what is missing.
func TestFullTagsDoNotDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRole(awsfake.Role{Tags: fiftyTags()}))
	r := w.contained(revoke)
	if run := w.run(r); run.NextCheck.IsZero() || !strings.Contains(run.Cause, "Tag the role as contained") || !strings.Contains(run.Cause, "LimitExceeded") || run.Hint == "" {
		t.Errorf("%+v", run)
	}
	if r = w.again(r); !strings.Contains(r.Cause, "Tag the role as contained") {
		t.Errorf("the request does not say what is missing: %q", r.Cause)
	}
	w.dropDeny()
	w.pass(2 * time.Minute)
	if w.policy("app-role") == "" {
		t.Error("the deny was removed, and nobody looked")
	}
	w.state(r, approvals.Contained)
	if n := w.run(r).Checks; n < 3 {
		t.Errorf("%d re-checks", n)
	}
}

// TestRetryOfAContainmentDoesWhatIsLeft: a supporting step that failed can be tried
// again, and one whose steps all hold can't.
func TestRetryOfAContainmentDoesWhatIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRole(awsfake.Role{Tags: fiftyTags()}))
	r := w.contained(revoke)
	name := "app-role"
	_, err := iam.NewFromConfig(w.aws.Admin(prod)).UntagRole(t.Context(), &iam.UntagRoleInput{RoleName: &name, TagKeys: []string{"t00"}})
	w.must(err)
	w.clicks(carol, r, "retry")
	r = w.state(r, approvals.Contained)
	if run := w.run(r); run.Attempt != 2 || run.Cause != "" || r.Cause != "" {
		t.Errorf("%+v; the request says %q", run, r.Cause)
	}
	if w.role("app-role").Tags["killswitch"] != r.ID {
		t.Error("it is not tagged")
	}
	w.clicks(carol, r, "retry")
	w.attempts(w.state(r, approvals.Contained), 2)
	w.undo(r)
}

// TestGoalThatDoesNotHoldIsNoContainment: the tag holds, and the deny was refused.
func TestGoalThatDoesNotHoldIsNoContainment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.breaks("iam:PutRolePolicy")
	r := w.state(w.types(alice, revoke), approvals.Pending)
	w.clicks(bob, r, "approve")
	r = w.state(r, approvals.Partial)
	if !strings.HasPrefix(r.Cause, "Deny all sessions issued until now") {
		t.Errorf("the cause is %q", r.Cause)
	}
}

// TestTakenIsolationProfileIsNotUsed: somebody made the isolation profile first, with another role in it.
// The instance is left without a profile, and gets its own back.
func TestTakenIsolationProfileIsNotUsed(t *testing.T) {
	t.Parallel()
	var a attackers
	w := newWorld(t, func(w *world) { a = populate(w, 2) })
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "backdoor", Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}, Profiles: []string{"killswitch-isolation"}})
	profile := func() string { return w.aws.Snapshot().Accounts[prod].Regions[region].Instances[suspect].Profile }
	before := profile()
	r := w.contained("isolate_instance prod/" + suspect + " region=" + region + " stolen")
	if run := w.run(r); run.Cause != "" || run.NextCheck.IsZero() || profile() != "" {
		t.Errorf("%+v, profile %q", run, profile())
	}
	if ok, _ := a.instance.Can("s3:GetObject", "arn:aws:s3:::secrets/key"); ok {
		t.Error("the instance's credentials work")
	}
	w.undo(r)
	if profile() != before {
		t.Errorf("the profile is %q, it was %q", profile(), before)
	}
}

// TestOtherRoleOfTheInstanceCounts: after the plan the instance gets another role, which has
// no room for the deny. The deny on the first one is not enough.
func TestOtherRoleOfTheInstanceCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { populate(w, 3) })
	full := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:` + strings.Repeat("x", 10140) + `","Resource":"*"}]}`
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "second", Profiles: []string{"second"}, Inline: map[string]string{"full": full}})
	r := w.state(w.types(alice, "isolate_instance prod/"+suspect+" region="+region+" stolen"), approvals.Pending)
	w.aws.Account(prod).Region(region).SetInstance(suspect, func(i *awsfake.Instance) {
		i.Profile = strings.Replace(i.Profile, "app-profile", "second", 1)
	})
	w.clicks(bob, r, "approve")
	r = w.state(r, approvals.Partial)
	if !strings.HasPrefix(r.Cause, "Deny the role second") {
		t.Errorf("the cause is %q", r.Cause)
	}
}

// TestUnreadableRoleOfTheInstanceIsFoundLater: once it can be read, the goal of the plan
// holds where its role is denied.
func TestUnreadableRoleOfTheInstanceIsFoundLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { populate(w, 3) })
	mend := w.breaks("iam:GetInstanceProfile")
	r := w.state(w.types(alice, "isolate_instance prod/"+suspect+" region="+region+" stolen"), approvals.Pending)
	mend()
	w.state(w.clicks(bob, r, "approve"), approvals.Contained)
}

// TestSupportingStepIsNotFought: somebody removes the tag again and again. That is told once;
// a retry may put it back.
func TestSupportingStepIsNotFought(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	name := "app-role"
	for range 60 {
		_, err := iam.NewFromConfig(w.aws.Admin(prod)).UntagRole(t.Context(), &iam.UntagRoleInput{RoleName: &name, TagKeys: []string{"killswitch"}})
		w.must(err)
		w.pass(10 * time.Second)
	}
	run := w.run(w.state(r, approvals.Contained))
	if len(run.Told()) != 1 || run.Tampering[0].Reapplied || strings.Count(run.Cause, "undone by somebody") != 1 || w.called("iam:TagRole") != 1 {
		t.Errorf("told %+v, tagged %d times, because %q", run.Told(), w.called("iam:TagRole"), run.Cause)
	}
	w.clicks(carol, r, "retry")
	if w.state(r, approvals.Contained); w.role(name).Tags["killswitch"] != r.ID || w.run(r).Cause != "" {
		t.Errorf("after a retry: %+v", w.run(r))
	}
}

// TestUndoThatDidNothingLeavesTheContainment: its account could not be entered, so
// what held holds.
func TestUndoThatDidNothingLeavesTheContainment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.pass(2 * time.Minute)
	u := w.state(w.clicks(alice, r, "undo"), approvals.Pending)
	w.breaks("sts:AssumeRole")
	w.clicks(bob, u, "approve")
	w.state(u, approvals.Failed)
	r = w.state(r, approvals.Contained)
	if !strings.Contains(r.Cause, u.ID) {
		t.Errorf("the original says %q", r.Cause)
	}
	w.aws.ClearFaults()
	w.undo(r)
}
