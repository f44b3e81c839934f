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

// TestRecheckContainsARoleThatWasCreatedAgain: and what the new role brought along is
// not lost by the undo.
func TestRecheckContainsARoleThatWasCreatedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{denyName: earlier}})
	before := w.aws.Snapshot()
	w.pass(3 * time.Minute)
	w.state(r, approvals.Contained)
	if w.policy("app-role") == earlier {
		t.Error("the new role has no deny")
	}
	w.tells(r, "deleted and created again")
	w.undo(r)
	w.asBefore(before)
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
