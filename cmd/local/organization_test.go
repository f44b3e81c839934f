package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/scp"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// organized makes an organization of prod and sandbox, which are in a unit with the hub, and lets Killswitch
// manage its policies.
func organized(w *world) {
	const management, unit = "999999999999", "ou-ab12-11111111"
	w.aws.Organize(awsfake.Organization{Management: management, Units: []awsfake.OrgUnit{{ID: unit, Name: "Workloads"}}, Accounts: []awsfake.OrgAccount{
		{ID: prod, Name: "Production", Parent: unit}, {ID: "333333333333", Name: "Sandbox", Parent: unit}, {ID: awsfake.HubAccount, Name: "Hub", Parent: unit}}})
	w.aws.Member(management, awsfake.MemberRoles{Responder: w.cfg.Org.ResponderRole, Restorer: w.cfg.Org.RestorerRole, ExternalID: w.cfg.Org.ExternalID,
		ResponderPolicy: all.MemberPolicy(actions.Responder, w.cfg.Org, true), RestorerPolicy: all.MemberPolicy(actions.Restorer, w.cfg.Org, true)})
	w.cfg.Policy.Units = w.cfg.Policy.Default
	w.cfg.Policy.Units.Approvals = 2
}

// TestFreezeOfAUnit: two others approve, every account in the unit is bound but the hub, what somebody
// detaches is attached again, and an undo frees all.
func TestFreezeOfAUnit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, organized)
	can := func(account string) bool {
		ok, _ := w.aws.Session(w.aws.Account(account).AddRole(awsfake.Role{Name: "probe", Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}}), "s").Can("s3:GetObject", "arn:aws:s3:::b/k")
		return ok
	}
	r := w.state(w.asks("U01ALICE", `apply_scp ou-ab12-11111111 reason="they are in all of them"`), approvals.Pending)
	w.shows(r, "Freeze the organizational unit: ou-ab12-11111111")
	w.shows(r, "Accounts all in it")
	w.shows(r, "2 accounts at once: 222222222222 Production (alias prod)")
	w.clicks("U02BOB", r, "approve")
	if w.state(r, approvals.Pending); !can(prod) {
		t.Fatal("it runs with one approval of two")
	}
	w.clicks("U03CAROL", r, "approve")
	w.state(r, approvals.Contained)
	for account, want := range map[string]bool{prod: false, "333333333333": false, awsfake.HubAccount: true} {
		if can(account) != want {
			t.Errorf("%s can: %t", account, !want)
		}
	}
	orgs := organizations.NewFromConfig(w.aws.Admin("999999999999"))
	for _, p := range w.aws.Snapshot().Organization.SCPs {
		if strings.HasPrefix(p.Name, "killswitch-") {
			_, err := orgs.DetachPolicy(t.Context(), &organizations.DetachPolicyInput{PolicyId: &p.ID, TargetId: aws.String("ou-ab12-11111111")})
			w.must(err)
		}
	}
	if !can(prod) {
		t.Fatal("the policy is still attached")
	}
	w.pass(20 * time.Minute)
	if w.state(r, approvals.Contained); can(prod) || w.run(r).Tampered != 1 {
		t.Errorf("it was not attached again: %+v", w.run(r).Tampering)
	}
	w.undo(r)
	if !can(prod) || !can("333333333333") {
		t.Error("an account is still bound")
	}
}

// TestCardSaysWhoCanLiftIt: where nothing keeps a containment from the account's administrators, the card
// says so before the approval and while it is in force.
func TestCardSaysWhoCanLiftIt(t *testing.T) {
	t.Parallel()
	const lift = "An administrator of the account can lift it: no tamper protection"
	for _, protected := range []bool{false, true} {
		w := newWorld(t, organized, func(w *world) {
			if protected {
				w.aws.AddSCP(awsfake.SCP{Name: scp.TamperPolicy, Content: all.TamperSCP(w.cfg.Org), Tags: map[string]string{"killswitch": "shared"}, Targets: []string{w.aws.OrganizationRoot()}})
			}
		})
		r := w.state(w.asks("U01ALICE", command), approvals.Pending)
		if strings.Contains(w.card(r), lift) == protected {
			t.Errorf("protected %t, pending: %s", protected, w.card(r))
		}
		w.clicks("U02BOB", r, "approve")
		w.pass(10 * time.Second)
		if w.state(r, approvals.Contained); strings.Contains(w.card(r), lift) == protected {
			t.Errorf("protected %t, contained: %s", protected, w.card(r))
		}
		w.undo(r)
	}
}
