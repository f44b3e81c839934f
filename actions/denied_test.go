package actions_test

import (
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
)

// TestDenialsAreExplained: by the policy that AWS names. None points at the member roles where these
// are right.
func TestDenialsAreExplained(t *testing.T) {
	who := "User: arn:aws:sts::222222222222:assumed-role/killswitch-responder/KS-1 is not authorized to perform: iam:PutRolePolicy on resource: role app-role "
	for why, want := range map[string]string{
		"with an explicit deny in a service control policy":                                  "exempt Killswitch's responder role in that policy",
		"because no service control policy allows the iam:PutRolePolicy action":              "exempt Killswitch's responder role in that policy",
		"with an explicit deny in a service control policy: arn:aws:organizations::1:policy": "exempt Killswitch's responder role in that policy",
		"with an explicit deny in a resource control policy":                                 "resource control policy",
		"because no permissions boundary allows the iam:PutRolePolicy action":                "permissions boundary",
		"with an explicit deny in a permissions boundary":                                    "permissions boundary",
		"because no session policy allows the iam:PutRolePolicy action":                      "fault of Killswitch",
		"because no VPC endpoint policy allows the iam:PutRolePolicy action":                 "VPC endpoint",
		"with an explicit deny in a resource-based policy":                                   "policy of the resource",
		"because no identity-based policy allows the iam:PutRolePolicy action":               "member roles are deployed",
		"": "member roles are deployed",
	} {
		for _, code := range []string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"} {
			err := &smithy.GenericAPIError{Code: code, Message: who + why}
			_, hint := actions.Explain(err)
			if !strings.Contains(hint, want) || want != "member roles are deployed" && strings.Contains(hint, "deployed in this account") {
				t.Errorf("%s %q: %s", code, why, hint)
			}
			if bySCP := strings.HasPrefix(why, "with an explicit deny in a service control policy"); actions.DeniedBySCP(err) != bySCP {
				t.Errorf("%q: denied by an SCP: %t", why, !bySCP)
			}
		}
	}
	if !actions.Transient(&smithy.GenericAPIError{Code: "EntityTemporarilyUnmodifiable"}) {
		t.Error("a user that was just made again is not waited for")
	}
}
