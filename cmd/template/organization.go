package template

import (
	"encoding/json"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/scp"
)

const organizationHead = `# The tamper protection: a service control policy on the organization's root. Printed by "killswitch template
# organization"; deploy it once, as a stack of the management account, after members.yaml.
# Service control policies must be enabled: aws organizations enable-policy-type --root-id r-... --policy-type SERVICE_CONTROL_POLICY
# Where policies are managed from another account, merge what "killswitch policy delegation" prints into the organization's
# delegation policy: an organization has one, and no stack should own it. It does not allow this stack from that account.
`

// Organization returns the template of the tamper protection.
func Organization(o actions.Org) ([]byte, error) {
	var content object
	if err := json.Unmarshal([]byte(all.TamperSCP(o)), &content); err != nil {
		return nil, err
	}
	return encode(organizationHead, file{
		Version:     "2010-09-09",
		Description: "Killswitch, nobody in a member account lifts a containment, nor changes what Killswitch needs there",
		Parameters:  object{"RootId": object{"Type": "String", "AllowedPattern": "r-[0-9a-z]{4,32}", "Description": "The organization's root (r-...): aws organizations list-roots"}},
		Resources: object{"TamperProtection": resource("AWS::Organizations::Policy", "", object{
			"Name": scp.TamperPolicy, "Type": "SERVICE_CONTROL_POLICY", "Description": "Killswitch keeps what it contains, and its own roles, from the account's administrators",
			"Content": content, "TargetIds": []any{ref("RootId")}, "Tags": []any{object{"Key": deny.TamperTag, "Value": "shared"}},
		})},
	})
}
