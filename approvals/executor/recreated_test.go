package executor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestRoleThatWasCreatedAgainIsContained: the target is deleted and made anew after
// the approval was asked for: the deny goes on, with a flag.
func TestRoleThatWasCreatedAgainIsContained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.types(alice, revoke)
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role"})
	w.state(w.clicks(bob, r, "approve"), approvals.Contained)
	if flags := w.run(r).Flags; !strings.Contains(strings.Join(flags, " "), "deleted and created again") {
		t.Errorf("no flag: %q", flags)
	}
	if !strings.Contains(w.policy("app-role"), "Deny") {
		t.Error("the new role has no deny")
	}
}

// TestRoleThatWasCreatedAgainElsewhereIsContained: another path is no way out.
func TestRoleThatWasCreatedAgainElsewhereIsContained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.types(alice, `revoke_sessions prod/app-role reason="leak"`)
	w.aws.Account(prod).AddRole(roleAt("/x/", "app-role"))
	w.state(w.clicks(bob, r, "approve"), approvals.Contained)
	if !strings.Contains(w.policy("app-role"), "Deny") {
		t.Error("the new role has no deny")
	}
}

// TestRoleThatWasCreatedAgainLaterIsTold: it is another principal than people approved, so
// that it is told once, and neither denied nor deleted.
func TestRoleThatWasCreatedAgainLaterIsTold(t *testing.T) {
	t.Parallel()
	for _, line := range []string{revoke, "detach_policies prod/app-role stolen", deleteRole} {
		w := newWorld(t, withWholeRole)
		r := w.types(alice, line)
		w.clicks(bob, r, "approve")
		if w.again(r).State == approvals.Pending { // of two
			w.clicks(carol, r, "approve")
		}
		w.state(r, approvals.Contained)
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{denyName: earlier}})
		before := w.aws.Snapshot()
		w.lookEvery(time.Minute, 2*time.Hour)
		w.asBefore(before)
		run := w.run(w.state(r, approvals.Partial))
		fresh := 0
		for _, told := range run.Told() {
			if told.Reapplied || !strings.Contains(told.Found, "created again") || !strings.Contains(told.Cause, "ask for it") {
				t.Errorf("%s: %+v", line, told)
			}
			fresh++
		}
		if fresh == 0 || fresh > 3 || run.Tampered > len(w.steps(r)) {
			t.Errorf("%s: told %d times of %d", line, fresh, run.Tampered)
		}
	}
}

// TestRoleThatWasCreatedAgainInTheRunIsTold: whatever is written on the role, somebody makes it anew, so
// that nothing holds. It is watched all the same, and told who made it.
func TestRoleThatWasCreatedAgainInTheRunIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Phase == awsfake.After && c.Mutating {
			w.clock.Add(time.Second)
			w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role"})
			w.aws.Account(prod).AddEvents("us-east-1", record("CreateRole", w.clock.Now(), byCI, "", map[string]any{"roleName": "app-role"}, "app-role"))
		}
		return nil
	})
	r := w.types(alice, deleteRole)
	w.agreed(r, bob, carol)
	w.state(r, approvals.Partial)
	w.lookEvery(5*time.Second, time.Minute)
	told := w.run(w.state(r, approvals.Partial)).Told()
	if len(told) == 0 || told[0].By == nil || told[0].By.Who != "role ci, session build" || told[0].By.Call != "CreateRole" {
		t.Errorf("told: %+v", told)
	}
}

// TestOneRunPerNameOfARole: two requests that were planned for two lives of one role
// do not write it at once.
func TestOneRunPerNameOfARole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.state(w.types(alice, revoke), approvals.Pending)
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role"})
	b := w.state(w.types(alice, anotherRevoke), approvals.Pending)
	during, once := false, false
	w.aws.OnCall(func(c awsfake.Call) error {
		switch {
		case !c.Mutating || c.Phase != awsfake.Before:
		case during && c.RoleSessionName == b.ID:
			t.Errorf("%s: both wrote at once", c.Op)
		case c.RoleSessionName == a.ID && !once:
			once, during = true, true
			w.clicks(bob, b, "approve")
			during = false
		}
		return nil
	})
	w.clicks(bob, a, "approve")
	w.pass(time.Minute)
	w.state(a, approvals.Contained)
	w.state(b, approvals.Contained)
}

// TestAnotherRoleOfThatNameIsNotDeleted: one that was made since the plan is denied.
func TestAnotherRoleOfThatNameIsNotDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withWholeRole)
	r := w.types(alice, deleteRole)
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{"app": allowS3}})
	w.state(w.clicks(bob, r, "approve"), approvals.Partial)
	role := w.role("app-role")
	if role.Inline["app"] != allowS3 || !strings.Contains(w.policy("app-role"), "Deny") {
		t.Errorf("the new role: %v", role)
	}
	if flags := w.run(r).Flags; !strings.Contains(strings.Join(flags, " "), "deleted and created again") {
		t.Errorf("no flag: %q", flags)
	}
}

// TestRoleThatIsCreatedAgainDuringTheRunIsContained: the attacker makes it anew after the
// run has looked at it.
func TestRoleThatIsCreatedAgainDuringTheRunIsContained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.state(w.types(alice, "detach_policies prod/app-role stolen"), approvals.Pending)
	w.during("iam:ListRolePolicies", func() {
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}})
	})
	w.clicks(bob, r, "approve")
	w.pass(time.Minute)
	w.state(r, approvals.Contained)
	if role := w.role("app-role"); !strings.Contains(role.Inline["KillswitchDenyAll"], "Deny") || len(role.Attached) != 0 {
		t.Errorf("the new role: %+v", role)
	}
}
