package executor_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/organizations"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// withPolicies is an organization whose management account has the member roles, with two roles in prod
// that somebody has sessions of.
func withPolicies(t *testing.T) (w *world, app, batch *awsfake.Session) {
	t.Helper()
	w = newWorld(t, func(w *world) {
		w.aws.Organize(awsfake.Organization{Management: w.cfg.Org.ManagementAccount, Accounts: []awsfake.OrgAccount{{ID: prod, Name: "Production"}, {ID: sandbox, Name: "Sandbox"}}})
		w.aws.Member(w.cfg.Org.ManagementAccount, awsfake.MemberRoles{Responder: w.cfg.Org.ResponderRole, Restorer: w.cfg.Org.RestorerRole, ExternalID: w.cfg.Org.ExternalID,
			ResponderPolicy: memberPolicy(actions.Responder, w.cfg.Org, true), RestorerPolicy: memberPolicy(actions.Restorer, w.cfg.Org, true)})
		batch = w.aws.Session(w.aws.Account(prod).AddRole(awsfake.Role{Name: "batch", Inline: map[string]string{"all": allPolicy}}), "attacker")
	})
	return w, w.aws.Session(appRole, "attacker"), batch
}

func reads(s *awsfake.Session) bool {
	ok, _ := s.Can("s3:GetObject", "arn:aws:s3:::secrets/key")
	return ok
}

// TestTwoDeniesShareAPolicy: each request's principal is in it; the undo of one keeps the other's deny, and so do
// the looks; the policy goes with the last. Two requests about one principal: it is free after the second undo.
func TestTwoDeniesShareAPolicy(t *testing.T) {
	t.Parallel()
	w, app, batch := withPolicies(t)
	policies := func() (n int) {
		for _, p := range w.aws.Snapshot().Organization.SCPs {
			if !p.AWSManaged {
				n++
			}
		}
		return n
	}
	one := w.contained(`deny_principal prod/role/app-role reason="stolen"`)
	two := w.contained(`deny_principal prod/role/batch reason="stolen, too"`)
	again := w.contained(`deny_principal prod/role/batch reason="seen once more"`)
	if reads(app) || reads(batch) || policies() != 1 {
		t.Fatalf("app %t, batch %t, %d policies", reads(app), reads(batch), policies())
	}
	w.pass(10 * time.Minute)
	w.undo(one)
	if !reads(app) || reads(batch) {
		t.Errorf("after the undo of one: app %t, batch %t", reads(app), reads(batch))
	}
	w.pass(10 * time.Minute)
	undoOfTwo := w.undo(two)
	if reads(batch) {
		t.Error("the undo of one request lifts the deny that another holds")
	}
	var kept bool
	for _, s := range w.steps(undoOfTwo) {
		kept = kept || s.State == approvals.StepKept && s.Cause == again.ID+" holds it too" && s.Step.After == "stays: "+again.ID+" holds it too"
	}
	if !kept {
		t.Errorf("it does not say who still denies it: %+v", w.steps(undoOfTwo))
	}
	w.pass(10 * time.Minute)
	w.state(again, approvals.Contained)
	w.undo(again)
	if !reads(batch) || policies() != 0 {
		t.Errorf("after the last: batch %t, %d policies", reads(batch), policies())
	}
}

// TestUndoAfterThePolicyWasDeletedByHand: the undo of one of two writes the other's deny anew, that of the last
// finds nothing to take away.
func TestUndoAfterThePolicyWasDeletedByHand(t *testing.T) {
	t.Parallel()
	w, app, batch := withPolicies(t)
	one := w.contained(`deny_principal prod/role/app-role reason="stolen"`)
	two := w.contained(`deny_principal prod/role/batch reason="stolen, too"`)
	w.pass(10 * time.Minute)
	w.deletePolicy("killswitch-deny-"+prod, prod)
	w.undo(one)
	if !reads(app) || reads(batch) {
		t.Errorf("after the undo of one: app %t, batch %t", reads(app), reads(batch))
	}
	w.deletePolicy("killswitch-deny-"+prod, prod)
	w.undo(two)
	if !reads(batch) {
		t.Error("after the undo of both, one is denied")
	}
}

// deletePolicy is what somebody does by hand in Organizations.
func (w *world) deletePolicy(name, target string) {
	w.t.Helper()
	client := organizations.NewFromConfig(w.aws.Admin(w.cfg.Org.ManagementAccount))
	for _, p := range w.aws.Snapshot().Organization.SCPs {
		if p.Name == name {
			_, err := client.DetachPolicy(w.t.Context(), &organizations.DetachPolicyInput{PolicyId: &p.ID, TargetId: &target})
			w.must(err)
			_, err = client.DeletePolicy(w.t.Context(), &organizations.DeletePolicyInput{PolicyId: &p.ID})
			w.must(err)
			return
		}
	}
	w.t.Fatal("there is no policy " + name)
}

// TestDenyFromOutsideHoldsAgainstTheAdministrator: whoever administers the account takes everything off what is
// contained, twice a second. A deny inside is off until the next look; the one from outside is never.
func TestDenyFromOutsideHoldsAgainstTheAdministrator(t *testing.T) {
	t.Parallel()
	for name, outside := range map[string]bool{"inside": false, "outside": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, app, _ := withPolicies(t)
			r := w.contained(revoke)
			if outside {
				w.contained(`deny_principal prod/role/app-role reason="they race us"`)
			}
			admin := iam.NewFromConfig(w.aws.Admin(prod))
			strip := func() {
				role := w.aws.Snapshot().Accounts[prod].Roles["app-role"]
				for policy := range role.Inline {
					_, err := admin.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: aws.String("app-role"), PolicyName: &policy})
					if err != nil {
						t.Fatal(err)
					}
				}
				for tag := range role.Tags {
					if _, err := admin.UntagRole(t.Context(), &iam.UntagRoleInput{RoleName: aws.String("app-role"), TagKeys: []string{tag}}); err != nil {
						t.Fatal(err)
					}
				}
				if role.Boundary != "" {
					if _, err := admin.DeleteRolePermissionsBoundary(t.Context(), &iam.DeleteRolePermissionsBoundaryInput{RoleName: aws.String("app-role")}); err != nil {
						t.Fatal(err)
					}
				}
			}
			got := 0
			for range 120 { // a minute
				strip()
				if reads(app) {
					got++
				}
				w.pass(500 * time.Millisecond)
			}
			if outside != (got == 0) {
				t.Errorf("the attacker could read %d times of 120", got)
			}
			if run := w.run(r); len(run.Tampering) == 0 { // of the deny inside
				t.Error("nobody has seen the race")
			}
		})
	}
}
