package executor_test

import (
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

func organized(w *world) {
	w.aws.Organize(awsfake.Organization{Management: "999999999999", Accounts: []awsfake.OrgAccount{{ID: prod, Name: "Production"}}})
}

// TestGuardrailsDontHoldUpALL: what an organization's policy protects stays as it is, and is listed
// with the guardrail's name. A name alone protects nobody.
func TestGuardrailsDontHoldUpALL(t *testing.T) {
	t.Parallel()
	const guardrail = `{"Version":"2012-10-17","Statement":[{"Sid":"GRIAMROLEPOLICY","Effect":"Deny","Action":["iam:PutRolePolicy","iam:AttachRolePolicy","iam:DeleteRolePolicy"],"Resource":["arn:aws:iam::*:role/stacksets-exec-*","arn:aws:iam::*:role/aws-controltower-*"]}]}`
	for name, on := range map[string]bool{"on": true, "only the names": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withRoles(3), func(w *world) {
				for _, role := range []string{"stacksets-exec-0123456789abcdef", "aws-controltower-AdministratorExecutionRole"} {
					w.aws.Account(prod).AddRole(awsfake.Role{Name: role})
				}
				organized(w)
				if on {
					w.aws.AddSCP(awsfake.SCP{Name: "aws-guardrails", Content: guardrail, Targets: []string{prod}})
				}
			})
			r := w.state(w.clicks(bob, w.types(alice, revokeAll), "approve"), approvals.Contained)
			p := w.run(r).Progress
			guarded := 0
			for _, s := range w.steps(r) {
				if s.State == approvals.StepFailed && strings.Contains(s.Cause, "AWS-GR_IAM_ROLE_CHANGE_PROHIBITED") {
					guarded++
				}
			}
			want := 0
			if on {
				want = 2
			}
			if guarded != want || p.Failed != want || w.denied() != p.Total-p.Skipped-want {
				t.Errorf("%d guarded, %d have the deny of %+v", guarded, w.denied(), p)
			}
			if on && !strings.Contains(w.run(r).Cause, "service control policy") {
				t.Errorf("the card says %q", w.run(r).Cause)
			}
			w.undo(r)
		})
	}
	w := newWorld(t, func(w *world) {
		organized(w)
		w.aws.AddSCP(awsfake.SCP{Name: "own", Content: strings.ReplaceAll(guardrail, "stacksets-exec-*", "app-role"), Targets: []string{prod}})
	})
	r := w.state(w.clicks(bob, w.types(alice, revoke), "approve"), approvals.Partial)
	if run := w.run(r); !strings.Contains(run.Hint, "exempt Killswitch's responder role") || strings.Contains(run.Hint, "deployed") {
		t.Errorf("%q: %q", run.Cause, run.Hint)
	}
}
