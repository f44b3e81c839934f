package actions_test

import (
	"slices"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
)

func TestProtectedTargetsAreRefused(t *testing.T) {
	const at = "arn:aws:iam::" + actiontest.Member + ":role"
	tests := []struct {
		name, target string
		words        []string // nil: not refused
	}{
		{"a role as usual", at + "/app-role", nil},
		{"a role for a service", at + "/service-role/lambda-x", nil},
		{"a role whose name only looks like a service's", at + "/app/AWSServiceRoleForNothing", nil},
		{"a role whose name only looks like Identity Center's", at + "/AWSReservedSSO_Admin_0123456789abcdef", nil},
		{"a service-linked role", at + "/aws-service-role/support.amazonaws.com/AWSServiceRoleForSupport", []string{"service-linked"}},
		{"an Identity Center role", at + "/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0123456789abcdef", []string{"Identity Center", "deny_principal sso:USERNAME"}},
		{"an Identity Center role with its region", at + "/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0123456789abcdef", []string{"Identity Center", "deny_principal sso:USERNAME"}},
		{"the responder", at + "/killswitch-responder", []string{"member role", "lock us out"}},
		{"the restorer", at + "/killswitch-restorer", []string{"member role", "lock us out"}},
		{"the responder on a path", at + "/security/killswitch-responder", []string{"member role"}},
		{"the responder in another case", at + "/KillSwitch-Responder", []string{"member role"}},
		{"a role named after the responder", at + "/killswitch-responder-2", nil},
		{"protected in any account", at + "/break-glass", []string{"protected"}},
		{"protected in any other account", "arn:aws:iam::" + actiontest.Sandbox + ":role/break-glass", []string{"protected"}},
		{"protected, with more to its name", at + "/break-glass-2", nil},
		{"protected, on another path", at + "/ops/break-glass", nil},
		{"protected in this account", at + "/ops/keeper", []string{"protected"}},
		{"protected in this account, with more to its name", at + "/ops/keeper-2", nil},
		{"protected in another account only", "arn:aws:iam::" + actiontest.Sandbox + ":role/ops/keeper", nil},
	}
	org := actiontest.TestOrg("aws")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, account, _, _, ok := actions.SplitRoleARN(tt.target)
			if !ok {
				t.Fatalf("%s is no role's ARN", tt.target)
			}
			// As it is typed, and as it is found when its path was not typed.
			call := actions.Call{Action: actions.RevokeSessions, Target: tt.target, Account: account}
			typed := call
			typed.Options = map[string]string{"confirm": actions.LastPart(tt.target)}
			if byName, no := slices.Equal(tt.words, []string{"protected"}), org.RefuseCall(typed); (no != nil) != (tt.words != nil && !byName) {
				t.Errorf("with the name typed: %v", no) // the plan looks at who may enter what only has a protected name
			}
			for name, no := range map[string]*actions.Refusal{
				"RefuseCall":     org.RefuseCall(call),
				"RefuseIdentity": org.RefuseIdentity(actions.Identity{ARN: tt.target, ID: "AROAX"}, false),
			} {
				if (no != nil) != (tt.words != nil) {
					t.Fatalf("%s: %v", name, no)
				}
				if no == nil {
					continue
				}
				actiontest.HasWords(t, no.Error(), tt.words...)
				if no.Reason == "" || no.Hint == "" {
					t.Errorf("%s: %+v", name, no)
				}
			}
		})
	}
}

func TestProtectedAccountsAreRefused(t *testing.T) {
	org := actiontest.TestOrg("aws")
	for account, words := range map[string][]string{
		org.HubAccount: {org.HubAccount, "Killswitch itself runs in"},
		"888888888888": {"888888888888", "protected"},
	} {
		no := org.RefuseCall(actions.Call{Action: actions.RevokeSessions, Target: actions.RoleARN("aws", account, "/", "app-role"), Account: account})
		if no == nil {
			t.Errorf("%s is not refused", account)
			continue
		}
		actiontest.HasWords(t, no.Error(), words...)
	}
	// Sessions can be revoked in the management account: only SCPs don't reach it.
	if no := org.RefuseCall(actions.Call{Action: actions.RevokeSessions, Target: actions.RoleARN("aws", org.ManagementAccount, "/", "app-role"), Account: org.ManagementAccount}); no != nil {
		t.Errorf("the management account is refused: %v", no)
	}
	org.ProtectedPrincipals = append(org.ProtectedPrincipals, "arn:aws:iam::*:user/alice")
	if no := org.RefuseIdentity(actions.Identity{ARN: "arn:aws:iam::222222222222:user/alice"}, false); no == nil {
		t.Error("a protected user is not refused")
	}
	// Whoever holds the account makes a user of any name: that takes more than the name.
	if no := org.RefuseIdentity(actions.Identity{ARN: "arn:aws:iam::222222222222:user/alice"}, true); no != nil {
		t.Errorf("a user that is protected in any account is nobody's to contain: %v", no)
	}
	org.ProtectedPrincipals = append(org.ProtectedPrincipals, "arn:aws:iam::222222222222:user/alice")
	if no := org.RefuseIdentity(actions.Identity{ARN: "arn:aws:iam::222222222222:user/alice"}, true); no == nil {
		t.Error("a user that is protected in its account is contained")
	}
}

// A protected account that is all wildcard protects; a wildcard anywhere else is just a character.
func TestOnlyTheAccountMayBeAWildcard(t *testing.T) {
	org := actiontest.TestOrg("aws")
	for _, p := range []string{"arn:aws:iam::*:role/app-*", "arn:aws:iam::2222*:role/app-role", "arn:*:iam::222222222222:role/app-role", "arn:aws:iam::*:role/*/app-role", "*"} {
		org.ProtectedPrincipals = []string{p}
		if no := org.RefuseIdentity(actions.Identity{ARN: "arn:aws:iam::222222222222:role/app-role"}, false); no != nil {
			t.Errorf("%s: %v", p, no)
		}
	}
	for _, partition := range []string{"aws-us-gov", "aws-cn"} {
		if no := actiontest.TestOrg(partition).RefuseIdentity(actions.Identity{ARN: actions.RoleARN(partition, actiontest.Member, "/", "break-glass")}, false); no == nil {
			t.Errorf("break-glass in %s is not protected", partition)
		}
	}
}

func TestAliasOfAnAccount(t *testing.T) {
	org := actiontest.TestOrg("aws")
	if got := org.Alias(actiontest.Member); got != "prod" {
		t.Errorf("alias %q", got)
	}
	if got := org.Alias("999999999999"); got != "" {
		t.Errorf("alias %q of an account that has none", got)
	}
}
