package finding

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestRemover: who removed a change, and what contains them. Only people decide on it, so that
// there is an offer for whatever can be contained, and words for the rest.
func TestRemover(t *testing.T) {
	session := func(arn, name, id string) string {
		return fmt.Sprintf(`{"type":"AssumedRole","principalId":%q,"accountId":"222222222222","sessionContext":{"sessionIssuer":{"type":"Role","arn":%q,"userName":%q}}}`, id, arn, name)
	}
	for name, c := range map[string]struct {
		identity, rest string
		who, tool      string
		own            bool
		offers         string
		byHand         string
	}{
		"a user": {`{"type":"IAMUser","arn":"arn:aws:iam::222222222222:user/ops/eve","accountId":"222222222222","userName":"eve","accessKeyId":"AKIAIOSFODNN7EXAMPLE"}`, `"userAgent":"Boto3/1.34"`,
			"user eve, key AKIAIOSFODNN7EXAMPLE", "Boto3", false, "quarantine_user arn:aws:iam::222222222222:user/ops/eve; deny_principal arn:aws:iam::222222222222:user/ops/eve; apply_scp 222222222222", ""},
		"a federated session": {`{"type":"FederatedUser","principalId":"222222222222:x","sessionContext":{"sessionIssuer":{"type":"IAMUser","arn":"arn:aws:iam::222222222222:user/eve","userName":"eve"}}}`, ``,
			"user eve", "", false, "quarantine_user arn:aws:iam::222222222222:user/eve; deny_principal arn:aws:iam::222222222222:user/eve; apply_scp 222222222222", ""},
		"a role": {session("arn:aws:iam::222222222222:role/ci", "ci", "AROAX:build"), `"userAgent":"APN/1.0 HashiCorp/1.0 Terraform/1.5.7"`,
			"role ci, session build", "Terraform", false,
			"revoke_sessions arn:aws:iam::222222222222:role/ci; detach_policies arn:aws:iam::222222222222:role/ci; deny_principal arn:aws:iam::222222222222:role/ci; apply_scp 222222222222", ""},
		"CloudFormation": {strings.Replace(session("arn:aws:iam::222222222222:role/cfn", "cfn", "AROAX:AWSCloudFormation"), `"accountId"`, `"invokedBy":"cloudformation.amazonaws.com","accountId"`, 1), `"userAgent":"cloudformation.amazonaws.com"`,
			"role cfn, session AWSCloudFormation", "CloudFormation", false,
			"revoke_sessions arn:aws:iam::222222222222:role/cfn; detach_policies arn:aws:iam::222222222222:role/cfn; deny_principal arn:aws:iam::222222222222:role/cfn; apply_scp 222222222222", ""},
		"Identity Center": {session("arn:aws:iam::222222222222:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0123456789abcdef", "AWSReservedSSO_Admin_0123456789abcdef", "AROAX:eve@example.com"), ``,
			"role AWSReservedSSO_Admin_0123456789abcdef, session eve@example.com", "", false, "deny_principal sso:eve@example.com; apply_scp 222222222222", "Identity Center"},
		"root":            {`{"type":"Root","principalId":"222222222222","arn":"arn:aws:iam::222222222222:root"}`, ``, "root user", "", false, "deny_principal arn:aws:iam::222222222222:root; apply_scp 222222222222", "root"},
		"our role":        {session("arn:aws:iam::222222222222:role/killswitch-restorer", "killswitch-restorer", "AROAX:KS-1"), ``, "role killswitch-restorer, session KS-1", "", true, "", "who may assume it"},
		"a service":       {`{"type":"AWSService","invokedBy":"autoscaling.amazonaws.com"}`, ``, "autoscaling.amazonaws.com", "", false, "", ""},
		"another account": {session("arn:aws:iam::444444444444:role/ci", "ci", "AROAX:build"), ``, "role ci, session build", "", false, "apply_scp 222222222222", "another account, 444444444444"},
		"the management account": {session("arn:aws:iam::999999999999:role/org", "org", "AROAX:s"), `"recipientAccountId":"999999999999"`, "role org, session s", "", false,
			"revoke_sessions arn:aws:iam::999999999999:role/org; detach_policies arn:aws:iam::999999999999:role/org", ""},
		"hostile": {session("arn:aws:iam::222222222222:role/"+strings.Repeat("x", 2000), "<!channel> \u202e"+strings.Repeat("y", 2000), "AROAX:<!here>"), `"userAgent":"<!channel>"`, "", "", false, "apply_scp 222222222222", ""},
	} {
		t.Run(name, func(t *testing.T) {
			record := fmt.Sprintf(`{"eventName":"DeleteRolePolicy","eventTime":"2026-11-21T03:00:00Z","eventID":"4f0d130d-fae9-5907-92f7-662945944572","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.7","userIdentity":%s}`, c.identity)
			if c.rest != "" {
				record = strings.TrimSuffix(record, "}") + "," + c.rest + "}"
			}
			r := automatic()
			r.Org.ManagementAccount = "999999999999"
			got, err := r.Remover("222222222222", record)
			if err != nil {
				t.Fatal(err)
			}
			var offers []string
			for _, call := range got.Contain {
				offers = append(offers, call.String())
			}
			if c.who == "" {
				if utf8.RuneCountInString(got.Who) > 300 || strings.Contains(got.Who, "\u202e") {
					t.Errorf("who: %q", got.Who)
				}
			} else if got.Who != c.who || got.Call != "DeleteRolePolicy" || got.Address != "203.0.113.7" {
				t.Errorf("%+v", got)
			}
			if repeats := c.tool == "Terraform" || c.tool == "CloudFormation"; got.Tool != c.tool || got.Repeats != repeats || got.Own != c.own || strings.Join(offers, "; ") != c.offers || !strings.Contains(strings.Join(got.ByHand, "\n"), c.byHand) {
				t.Errorf("%+v\noffers %q", got, offers)
			}
		})
	}
	for _, record := range []string{"", "{", `{"eventName":"X"}`, `{"userIdentity":[]}`, `{"eventName":"X","userIdentity":{"type":"Root"}}`} {
		if got, err := automatic().Remover("222222222222", record); err == nil {
			t.Errorf("%s: %+v", record, got)
		}
	}
}
