package local_test

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

func withAdmins(w *world) {
	exposed(w)
	w.cfg.Org.AdminGroup = "admins"
	w.aws.Account(prod).AddGroup(awsfake.Group{Name: "admins"})
}

func (w *world) bernd() awsfake.User { return w.aws.Snapshot().Accounts[prod].Users["bernd"] }

// The attacker joins the admin group between approval and run.
func TestJoinsAdminsSincePlan(t *testing.T) {
	w := newWorld(t, withAdmins)
	r := w.asks("U01ALICE", "quarantine_user prod/bernd stolen")
	w.state(r, approvals.Pending)
	u := w.bernd()
	u.Groups = []string{"admins"}
	w.aws.Account(prod).AddUser(u)
	w.clicks("U02BOB", w.again(r), "approve")
	r = w.again(r)
	if u := w.bernd(); !u.Keys[0].Inactive || len(u.Attached)+len(u.Inline) < 2 {
		t.Errorf("%s is %s: %s; the key is inactive: %t, attached %v", r.ID, r.State, r.Why, u.Keys[0].Inactive, u.Attached)
	}
}

// The attacker takes the deny off, the key back, and joins the admin group: the
// re-checks must still see and mend it.
func TestJoinsAdminsBeforeRecheck(t *testing.T) {
	w := newWorld(t, withAdmins)
	r := w.contained("quarantine_user prod/bernd stolen")
	u := w.bernd()
	u.Groups, u.Attached, u.Tags = []string{"admins"}, nil, map[string]string{}
	u.Keys[0].Inactive = false
	w.aws.Account(prod).AddUser(u)
	w.pass(70 * time.Second)
	r = w.again(r)
	run, err := approvals.Runs{Reader: w.Runs}.Run(t.Context(), r.ID)
	w.must(err)
	if len(run.Tampering) == 0 {
		t.Errorf("%s is %s after 70 s (%s), no tampering told; the key is inactive: %t", r.ID, r.State, run.Why, w.bernd().Keys[0].Inactive)
	}
}

// Somebody changes the role's trust policy, or the end of a long inline policy,
// between plan and approval: undo brings the new one back, and nobody is told.
func TestDriftIsTold(t *testing.T) {
	long := `{"Version":"2012-10-17","Statement":[{"Sid":"` + strings.Repeat("a", 200) + `","Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	for name, change := range map[string]func(*awsfake.Role){
		"trust": func(r *awsfake.Role) {
			r.Trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::666666666666:root"},"Action":"sts:AssumeRole"}]}`
		},
		"inline": func(r *awsfake.Role) { r.Inline["app"] = strings.Replace(long, "s3:GetObject", "*", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(w *world) {
				w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{"app": long}})
			})
			r := w.asks("U01ALICE", deleteCommand)
			role := w.aws.Snapshot().Accounts[prod].Roles["app-role"]
			change(&role)
			w.aws.Account(prod).AddRole(role)
			w.clicks("U02BOB", w.again(r), "approve")
			w.state(r, approvals.Contained)
			run, err := approvals.Runs{Reader: w.Runs}.Run(t.Context(), r.ID)
			w.must(err)
			w.undo(r)
			back := w.aws.Snapshot().Accounts[prod].Roles["app-role"]
			if len(run.Flags) == 0 && (back.Trust == role.Trust && back.Inline["app"] == role.Inline["app"]) {
				t.Errorf("no flag, and undo brought back what came after the plan: %s %s", back.Trust, back.Inline["app"])
			}
		})
	}
}

// While one containment of a user is taken back, another one that shares its
// deny runs: the deny must stay, and so must the other's hold.
func TestUndoLeavesWhatAnotherJoins(t *testing.T) {
	w := newWorld(t, exposed)
	first := w.contained("quarantine_user prod/bernd stolen")
	w.pass(3 * time.Minute)
	w.clicks("U03CAROL", w.again(first), "undo")
	u := w.state(w.undoOf(first), approvals.Pending)
	second := w.asks("U01ALICE", "deactivate_key "+exposedKey+" account=prod quarantine=yes on a paste site")
	w.state(second, approvals.Pending)
	w.aws.SetPropagation(2 * time.Second)
	done := false
	w.clock.slept = func() {
		if b := w.bernd(); !done && len(b.Attached) == 0 {
			done = true
			w.clicks("U02BOB", w.again(second), "approve")
		}
	}
	w.clicks("U01ALICE", u, "approve")
	w.clock.slept = nil
	if !done {
		t.Fatal("nothing happened in between")
	}
	t.Log(w.again(second).State, w.again(u).State)
	if b := w.bernd(); w.again(second).State == approvals.Contained && len(b.Attached) == 0 {
		t.Errorf("%s is contained, and its deny is gone", second.ID)
	}
	w.pass(3 * time.Minute)
	run, err := approvals.Runs{Reader: w.Runs}.Run(t.Context(), second.ID)
	w.must(err)
	t.Logf("after 3 minutes: %s, tampering %v, attached %v", w.again(second).State, run.Tampering, w.bernd().Attached)
	if w.again(second).State == approvals.Contained {
		w.undo(second)
		if b := w.bernd(); len(b.Attached)+len(b.Tags) != 0 {
			t.Errorf("all is undone, and there is left: %v %v", b.Attached, b.Tags)
		}
	}
}

// All roles' denies are lifted while one of the roles is contained by another request.
func TestUndoOfAllLeavesOneThatAnotherJoins(t *testing.T) {
	w := newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(awsfake.Role{Name: "other"}) })
	first := w.contained("revoke_sessions prod/ALL stolen")
	w.pass(3 * time.Minute)
	w.clicks("U03CAROL", w.again(first), "undo")
	u := w.state(w.undoOf(first), approvals.Pending)
	second := w.asks("U01ALICE", command)
	w.state(second, approvals.Pending)
	w.aws.SetPropagation(2 * time.Second)
	done := false
	w.clock.slept = func() {
		if !done && w.policy("app-role") == "" {
			done = true
			w.clicks("U02BOB", w.again(second), "approve")
		}
	}
	w.clicks("U01ALICE", u, "approve")
	w.clock.slept = nil
	if !done {
		t.Fatal("nothing happened in between")
	}
	t.Log(w.again(second).State, w.again(u).State)
	if w.again(second).State == approvals.Contained && w.policy("app-role") == "" {
		t.Errorf("%s is contained, and its deny is gone", second.ID)
	}
	w.pass(3 * time.Minute)
	run, err := approvals.Runs{Reader: w.Runs}.Run(t.Context(), second.ID)
	w.must(err)
	t.Logf("after 3 minutes: %s, tampering %v, deny %q", w.again(second).State, run.Tampering, w.policy("app-role"))
}

// Freeze and revoke by SCP, overlapping, both ways of undoing.
func TestTwoFreezesOfOneAccount(t *testing.T) {
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		w := newWorld(t, func(w *world) { populate(w, 5) })
		before := w.aws.Snapshot()
		rs := []approvals.Request{w.contained("apply_scp prod one"), {}}
		w.pass(2 * time.Minute)
		rs[1] = w.contained("apply_scp prod again, another team")
		w.pass(2 * time.Minute)
		for _, i := range order {
			w.undo(rs[i])
			w.pass(2 * time.Minute)
		}
		if d := diffState(before, w.aws.Snapshot()); d != "" {
			t.Errorf("%v: %s", order, d)
		}
	}
}

// Quarantine and key, both orders.
func TestOverlapsOnAUser(t *testing.T) {
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		for _, second := range []string{"deactivate_key " + exposedKey + " account=prod quarantine=yes two", "quarantine_user prod/bernd mode=iam-only two", "quarantine_user prod/bernd two"} {
			w := newWorld(t, exposed)
			rs := []approvals.Request{w.contained("quarantine_user prod/bernd one"), {}}
			w.pass(2 * time.Minute)
			rs[1] = w.contained(second)
			w.pass(2 * time.Minute)
			for _, i := range order {
				w.clicks("U03CAROL", w.again(rs[i]), "undo")
				u := w.state(w.undoOf(rs[i]), approvals.Pending)
				w.clicks("U01ALICE", u, "approve")
				w.pass(2 * time.Minute)
				w.state(u, approvals.Restored)
				other := rs[1-i]
				if b := w.bernd(); w.again(other).State == approvals.Contained && len(b.Attached) == 0 {
					t.Errorf("%v %s: the deny is gone: %v", order, second, b)
				}
			}
			if b := w.bernd(); !b.Keys[0].Inactive || len(b.Attached)+len(b.Tags) > 0 {
				t.Errorf("%v %s: left %v", order, second, b)
			}
		}
	}
}

// The role of an isolated instance is deleted and created again, and the
// instance gets another profile: the re-checks must still see the latter.
func TestRecheckLooksAtEveryStep(t *testing.T) {
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
	run, err := approvals.Runs{Reader: w.Runs}.Run(t.Context(), r.ID)
	w.must(err)
	if len(run.Tampering) == 0 {
		t.Errorf("%s is %s after 70 s, unread %d, nothing told of the profile: %s", r.ID, w.again(r).State, run.Unread, run.Why)
	}
	w.pass(3 * time.Minute)
	run, _ = approvals.Runs{Reader: w.Runs}.Run(t.Context(), r.ID)
	t.Logf("later: %s %s %v", w.again(r).State, run.Why, run.Tampering)
}

// Whoever can write the queue has the notice sent before the end is known.
func TestNoticeHasTheEnd(t *testing.T) {
	w := newWorld(t, exposed)
	r := w.asks("U01ALICE", "deactivate_key "+exposedKey+" found in a public repository")
	w.state(r, approvals.Pending)
	w.aws.SetPropagation(2 * time.Second)
	done := false
	w.clock.slept = func() {
		if !done {
			done = true
			_ = w.zones.Executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobReport, ID: r.ID})
		}
	}
	w.clicks("U02BOB", w.again(r), "approve")
	w.clock.slept = nil
	w.pass(2 * time.Minute)
	w.state(r, approvals.Contained)
	for _, n := range w.aws.Notices() {
		if strings.Contains(n.Subject, "running") {
			t.Errorf("all that subscribers hear: %s", n.Subject)
		}
	}
}
