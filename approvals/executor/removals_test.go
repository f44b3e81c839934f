package executor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// removals are the commands that take a role's policies away.
var removals = []string{"detach_policies prod/app-role stolen", "delete_role prod/app-role confirm=app-role made by them"}

// agreed lets as many people approve a request as it needs.
func (w *world) agreed(r approvals.Request, users ...string) approvals.Request {
	w.t.Helper()
	for _, user := range users {
		if w.again(r).State == approvals.Pending {
			w.clicks(user, r, "approve")
		}
	}
	return w.again(r)
}

// TestChangedPolicyIsNotLost: a policy was changed after the plan, and the role can't be read
// again in full. The deny is put; the policy, which undo could not restore, stays for a retry.
func TestChangedPolicyIsNotLost(t *testing.T) {
	t.Parallel()
	const before = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	after := strings.Replace(before, "s3:GetObject", "s3:PutObject", 1)
	for _, command := range removals {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withRole(awsfake.Role{Inline: map[string]string{"own": before}}))
			r := w.state(w.types(alice, command), approvals.Pending)
			role, policy := "app-role", "own"
			_, err := iam.NewFromConfig(w.aws.Admin(prod)).PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: &role, PolicyName: &policy, PolicyDocument: &after})
			w.must(err)
			broken := true
			w.answers("iam:ListRolePolicies", apiError("ServiceFailure"), func() bool { return broken })
			w.agreed(r, bob, carol)
			w.pass(15 * time.Minute)
			r = w.again(r)
			own := w.role(role).Inline
			if own[policy] != after || len(own) != 2 || !strings.Contains(r.Cause, "could not be read") {
				t.Errorf("%s (%s) with %v", r.State, r.Cause, own)
			}
			broken = false
			w.clicks(alice, r, "retry")
			r = w.state(r, approvals.Contained)
			if w.role(role).Inline[policy] != "" || r.Cause != "" {
				t.Errorf("after the retry: %v, %s", w.role(role).Inline, r.Cause)
			}
			w.pass(2 * time.Minute)
			w.state(w.agreed(w.asksUndo(r), alice, bob), approvals.Restored)
			if got := w.role(role).Inline[policy]; got != after {
				t.Errorf("undo put back %s", got)
			}
		})
	}
}

// TestDenyComesBeforeWhatUndoRestores: the role's inline policies fill their quota, and can't
// be read again. The deny has another place.
func TestDenyComesBeforeWhatUndoRestores(t *testing.T) {
	t.Parallel()
	full := crowdedRole(0)
	full.Inline["full"] = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:` + strings.Repeat("x", 400) + `","Resource":"*"}]}`
	w := newWorld(t, withRole(full))
	r := w.state(w.types(alice, removals[0]), approvals.Pending)
	w.answers("iam:ListRolePolicies", apiError("ServiceFailure"), func() bool { return true })
	w.agreed(r, bob)
	w.pass(5 * time.Minute)
	if w.state(r, approvals.Contained); w.role("app-role").Boundary != "arn:aws:iam::aws:policy/AWSDenyAll" {
		t.Error("there is no deny")
	}
}

// TestUndoDoesNotPutBackWhatOthersTookAway: an administrator took the policies away after
// the plan.
func TestUndoDoesNotPutBackWhatOthersTookAway(t *testing.T) {
	t.Parallel()
	for _, command := range removals {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			role, policy, arn := "app-role", "own", "arn:aws:iam::aws:policy/AdministratorAccess"
			w := newWorld(t, withRole(awsfake.Role{Attached: []string{arn}, Inline: map[string]string{policy: allPolicy}}))
			r := w.state(w.types(alice, command), approvals.Pending)
			admin := iam.NewFromConfig(w.aws.Admin(prod))
			_, err := admin.DetachRolePolicy(t.Context(), &iam.DetachRolePolicyInput{RoleName: &role, PolicyArn: &arn})
			w.must(err)
			_, err = admin.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy})
			w.must(err)
			w.agreed(r, bob, carol)
			w.pass(2 * time.Minute)
			r = w.state(r, approvals.Contained)
			w.tells(r, "gone already")
			w.state(w.agreed(w.asksUndo(r), alice, bob), approvals.Restored)
			if got := w.role(role); len(got.Attached)+len(got.Inline) > 0 {
				t.Errorf("undo gave it %v %v", got.Attached, got.Inline)
			}
		})
	}
}
