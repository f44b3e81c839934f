package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestRecreatedWithAnotherPath: whoever creates the role again under another
// path must not get away.
func TestRecreatedWithAnotherPath(t *testing.T) {
	w := newWorld(t)
	r := w.asks("U01ALICE", `revoke_sessions prod/app-role reason="leak"`)
	w.aws.Account(prod).AddRole(roleAt("/x/", "app-role"))
	w.clicks("U02BOB", w.again(r), "approve")
	w.state(r, approvals.Contained)
	if !strings.Contains(w.policy("app-role"), "Deny") {
		t.Error("the new role has no deny")
	}
}

// TestRecreatedAfterTheContainment: a re-check contains the new role of that
// name too, and what it brought along is not lost by the undo.
func TestRecreatedAfterTheContainment(t *testing.T) {
	w := newWorld(t)
	r := w.contained(command)
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{"AWSRevokeOlderSessions": earlier}})
	before := w.aws.Snapshot()
	w.pass(3 * time.Minute)
	w.state(r, approvals.Contained)
	if w.policy("app-role") == earlier {
		t.Error("the new role has no deny")
	}
	w.shows(r, "deleted and created again")
	w.undo(r)
	if d := diffState(before, w.aws.Snapshot()); d != "" {
		t.Error(d)
	}
}

// TestOneRunPerNameOfARole: two requests that were planned for two lives of one
// role must not write it at once.
func TestOneRunPerNameOfARole(t *testing.T) {
	w := newWorld(t)
	a := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role"})
	b := w.state(w.asks("U01ALICE", anotherCommand), approvals.Pending)
	during, once := false, false
	w.aws.OnCall(func(c awsfake.Call) error {
		switch {
		case !c.Mutating || c.Phase != awsfake.Before:
		case during && c.RoleSessionName == b.ID:
			t.Errorf("%s: both wrote at once", c.Op)
		case c.RoleSessionName == a.ID && !once:
			once, during = true, true
			w.clicks("U02BOB", b, "approve")
			during = false
		}
		return nil
	})
	w.clicks("U02BOB", a, "approve")
	w.pass(time.Minute)
	w.state(a, approvals.Contained)
	w.state(b, approvals.Contained)
}
