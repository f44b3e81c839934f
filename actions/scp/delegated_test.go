package scp_test

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/organizations"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// policyAccount is a member account that policy management is delegated to.
const policyAccount = "777777777777"

// delegatedWorld is an organization whose management account has no role of ours: what
// Delegation prints is its delegation policy, and the policy account has the member roles.
func delegatedWorld(t *testing.T, delegation func(*actions.Org) string) *fixture {
	t.Helper()
	c := &actiontest.Clock{T: actiontest.Began}
	w := fixtureAt(t, c, c.Now, "aws")
	w.Org.PolicyAccount = policyAccount
	w.Organize(awsfake.Organization{Management: actiontest.Management, Delegation: delegation(&w.Org), Accounts: []awsfake.OrgAccount{
		{ID: actiontest.Member, Name: "Production"}, {ID: actiontest.Sandbox, Name: "Sandbox"}, {ID: policyAccount, Name: "Policies"},
	}})
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	w.Hub.SetNow(c.Now)
	w.Member(policyAccount, awsfake.MemberRoles{ExternalID: w.Org.ExternalID,
		ResponderPolicy: all.MemberPolicy(actions.Responder, w.Org, true), RestorerPolicy: all.MemberPolicy(actions.Restorer, w.Org, true)})
	w.freeze(actiontest.Member)
	return w
}

func delegated(o *actions.Org) string { return all.Delegation(*o) }

// TestFreezeFromThePolicyAccount: no session in the management account, where there is no role.
func TestFreezeFromThePolicyAccount(t *testing.T) {
	for name, management := range map[string]string{"management account known": actiontest.Management, "unknown": ""} {
		t.Run(name, func(t *testing.T) {
			w := delegatedWorld(t, func(o *actions.Org) string { o.ManagementAccount = management; return all.Delegation(*o) })
			victim := w.Session(w.Role, "attacker")
			d := w.Contain()
			actiontest.AllApplied(t, d)
			if ok, _ := victim.Can("s3:GetObject", "arn:aws:s3:::b/k"); ok {
				t.Error("the account is not frozen")
			}
			if p := w.scp("killswitch-freeze"); len(p.Targets) != 1 || p.Targets[0] != actiontest.Member {
				t.Errorf("attached to %v", p.Targets)
			}
			w.Undo(d)
			if p := w.scp("killswitch-freeze"); p.ID != "" {
				t.Errorf("left over: %+v", p)
			}
			for _, c := range w.Calls() {
				if c.Account == actiontest.Management {
					t.Errorf("%s was called in the management account", c.Op)
				}
			}
		})
	}
}

func TestPolicyAccountIsNeverFrozen(t *testing.T) {
	w := delegatedWorld(t, delegated)
	for account, why := range map[string]string{policyAccount: "is the account from which service control policies are managed", actiontest.Management: "management account"} {
		no := w.Org.RefuseCall(actions.Call{Action: actions.ApplySCP, Account: account, Target: account})
		if no == nil {
			t.Fatalf("%s may be frozen", account)
		}
		actiontest.HasWords(t, no.Reason, why)
	}
	w = delegatedWorld(t, func(o *actions.Org) string { o.ManagementAccount = ""; return all.Delegation(*o) }) // the plan finds it out
	w.freeze(actiontest.Management)
	actiontest.HasWords(t, refusal(t, w.planned()).Reason, "management account")
}

// TestWithoutDelegation: the hint says what to merge into which policy.
func TestWithoutDelegation(t *testing.T) {
	w := delegatedWorld(t, func(*actions.Org) string { return "" })
	err := w.planned()
	actiontest.WantCode(t, err, "AccessDeniedException")
	_, hint := actions.Explain(err)
	actiontest.HasWords(t, hint, "aws.policy_account", "killswitch policy delegation")
}

// TestDelegationIsForOurRolesAlone: others in the policy account, administrators too, manage nothing.
func TestDelegationIsForOurRolesAlone(t *testing.T) {
	w := delegatedWorld(t, delegated)
	admin := w.Account(policyAccount).AddRole(awsfake.Role{Name: "admin", Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}})
	client := organizations.NewFromConfig(w.Session(admin, "x").Config())
	_, err := client.ListPolicies(t.Context(), &organizations.ListPoliciesInput{Filter: "SERVICE_CONTROL_POLICY"})
	actiontest.WantCode(t, err, "AccessDeniedException")
	var policy any
	if err := json.Unmarshal([]byte(all.Delegation(w.Org)), &policy); err != nil {
		t.Error(err)
	}
}

// TestMembershipIsAskedInThePolicyAccount: what the configuration does not name is entered once
// Organizations says that it is a member.
func TestMembershipIsAskedInThePolicyAccount(t *testing.T) {
	const unnamed = "666666666666"
	w := delegatedWorld(t, delegated)
	w.Member(unnamed, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: actiontest.AllowIAM, RestorerPolicy: actiontest.AllowIAM})
	_, err := w.Hub.Enter(t.Context(), actions.Responder, unnamed, "", actiontest.Actor, []actions.Statement{{Actions: []string{"iam:GetRole"}, Resources: []string{"*"}}})
	actiontest.HasWords(t, refusal(t, err).Reason, "not a member")
	w.Organize(awsfake.Organization{Management: actiontest.Management, Delegation: all.Delegation(w.Org), Accounts: []awsfake.OrgAccount{{ID: unnamed}, {ID: policyAccount}}})
	_, err = w.Hub.Enter(t.Context(), actions.Responder, unnamed, "", actiontest.Actor, []actions.Statement{{Actions: []string{"iam:GetRole"}, Resources: []string{"*"}}})
	actiontest.Must(t, err)
}
