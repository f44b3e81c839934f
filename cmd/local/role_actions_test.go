package local_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

const (
	stripCommand  = "detach_policies " + appRole + ` reason="used from an unknown network"`
	deleteCommand = "delete_role " + appRole + ` confirm=app-role reason="made by the intruder"`
	allowS3       = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
)

// withWholeRole has a role with all that a role can have.
func withWholeRole(w *world) {
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Description: "serves", MaxSession: 2 * time.Hour, Boundary: "arn:aws:iam::aws:policy/PowerUserAccess",
		Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}, Inline: map[string]string{"app": allowS3, "earlier": earlier},
		Tags: map[string]string{"Team": "a"}, Profiles: []string{"batch", "web"}})
}

// withoutIDs leaves out what a role that is made again can't keep, and the order
// of its policies, which AWS does not have.
func withoutIDs(s awsfake.State) awsfake.State {
	r := s.Accounts[prod].Roles["app-role"]
	r.ID, r.Created = "", time.Time{}
	slices.Sort(r.Attached)
	s.Accounts[prod].Roles["app-role"] = r
	return s
}

// TestWholeRole: strip or delete a role, look again after minutes, take it back.
func TestWholeRole(t *testing.T) {
	for _, line := range []string{stripCommand, deleteCommand} {
		for _, delay := range []time.Duration{0, 4 * time.Second} {
			t.Run(strings.Fields(line)[0]+"/after "+delay.String(), func(t *testing.T) {
				w := newWorld(t, withWholeRole)
				w.aws.SetPropagation(delay)
				before := withoutIDs(w.aws.Snapshot())
				r := w.contained(line)
				w.pass(3 * time.Minute)
				w.state(r, approvals.Contained)
				w.undo(r)
				if d := diffState(before, withoutIDs(w.aws.Snapshot())); d != "" {
					t.Error(d)
				}
			})
		}
	}
}

// TestDeletedOnRetry: at first the deletion is refused; the retry plans a role
// that is empty by then, and undo brings all of it back.
func TestDeletedOnRetry(t *testing.T) {
	w := newWorld(t, withWholeRole)
	before := withoutIDs(w.aws.Snapshot())
	w.aws.Fault(awsfake.Fault{Op: "iam:DeleteRole", Err: &types.ServiceNotSupportedException{}})
	r := w.asks("U01ALICE", deleteCommand)
	w.clicks("U02BOB", w.again(r), "approve")
	w.state(r, approvals.Partial)
	w.aws.ClearFaults()
	w.clicks("U03CAROL", w.again(r), "retry")
	w.state(r, approvals.Contained)
	w.undo(r)
	if d := diffState(before, withoutIDs(w.aws.Snapshot())); d != "" {
		t.Error(d)
	}
}

// TestNothingElseIsDeleted: another role of that name, made since the plan, is
// denied and not deleted.
func TestNothingElseIsDeleted(t *testing.T) {
	w := newWorld(t, withWholeRole)
	r := w.asks("U01ALICE", deleteCommand)
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{"app": allowS3}})
	w.clicks("U02BOB", w.again(r), "approve")
	w.state(r, approvals.Partial)
	role, there := w.aws.Snapshot().Accounts[prod].Roles["app-role"]
	if !there || role.Inline["app"] != allowS3 || !strings.Contains(w.policy("app-role"), "Deny") {
		t.Errorf("the new role: %v", role)
	}
	if said := strings.ReplaceAll(w.said(), "\n", " "); !strings.Contains(said, "deleted and created again") {
		t.Errorf("no flag:\n%s", w.said())
	}
}

// TestAttachedSinceThePlan: what was attached between plan and approval goes too.
func TestAttachedSinceThePlan(t *testing.T) {
	for _, line := range []string{stripCommand, deleteCommand} {
		w := newWorld(t, withWholeRole)
		r := w.asks("U01ALICE", line)
		role := w.aws.Snapshot().Accounts[prod].Roles["app-role"]
		role.Attached = slices.Concat(role.Attached, []string{"arn:aws:iam::aws:policy/IAMFullAccess"})
		role.Inline["more"] = allowS3
		w.aws.Account(prod).AddRole(role)
		w.clicks("U02BOB", w.again(r), "approve")
		w.state(r, approvals.Contained)
		if role := w.aws.Snapshot().Accounts[prod].Roles["app-role"]; len(role.Attached) > 0 || role.Inline["more"] != "" {
			t.Errorf("%s leaves %v", line, role)
		}
	}
	if _, ok := all.Actions.Lookup(actions.DeleteRole); !ok {
		t.Error("not registered")
	}
}
