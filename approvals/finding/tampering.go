package finding

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// tamperCalls are the calls that can undo what an action did, by the service that takes them. The
// rule ContainmentChangesRule of template.yaml takes them; tests compare it, and this list with
// what the actions write. Left out is what lifts no deny: tags, groups of users, MFA.
var tamperCalls = map[string][]string{
	"iam": {
		"AttachRolePolicy", "DeleteRolePolicy", "DetachRolePolicy", "PutRolePolicy",
		"DeleteRolePermissionsBoundary", "PutRolePermissionsBoundary", "CreateRole", "DeleteRole", "UpdateAssumeRolePolicy",
		"AddRoleToInstanceProfile", "CreateInstanceProfile", "DeleteInstanceProfile", "RemoveRoleFromInstanceProfile",
		"AttachUserPolicy", "DeleteUserPolicy", "DetachUserPolicy", "PutUserPolicy",
		"DeleteUserPermissionsBoundary", "PutUserPermissionsBoundary", "CreateUser", "DeleteUser", "UpdateUser",
		"CreateAccessKey", "DeleteAccessKey", "UpdateAccessKey", "CreateLoginProfile", "DeleteLoginProfile", "UpdateLoginProfile",
		"CreateServiceSpecificCredential", "ResetServiceSpecificCredential", "UpdateServiceSpecificCredential",
		"UpdateSigningCertificate", "UploadSigningCertificate", "UpdateSSHPublicKey", "UploadSSHPublicKey",
		"CreatePolicy", "CreatePolicyVersion", "DeletePolicy", "SetDefaultPolicyVersion",
	},
	"ec2": {
		"AttachNetworkInterface", "ModifyInstanceAttribute", "ModifyNetworkInterfaceAttribute",
		"AssociateIamInstanceProfile", "DisassociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation",
		"AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress", "ModifySecurityGroupRules",
		"StartInstances",
	},
	"organizations": {"DeletePolicy", "DetachPolicy", "DisablePolicyType", "LeaveOrganization", "MoveAccount", "RemoveAccountFromOrganization", "UpdatePolicy"},
}

// Tampering is a call that may undo a containment. All its texts are from outside and untrusted.
type Tampering struct {
	Account string // of the caller
	At      time.Time
	// Names are the names and IDs in the call and in its answer, as [approvals.InForce] spells
	// them: an answer has what a call leaves out, such as the instance of an association.
	Names []string
	// SCP is set for a change of service control policies: they are changed from another
	// account than the target's. AnySCP is set for one that does not say whose.
	SCP, AnySCP bool
}

// ReadTampering reads an event of EventBridge. It returns false for one that is no successful call
// that can undo a containment.
func ReadTampering(event []byte) (Tampering, bool) {
	var e struct {
		Source     string `json:"source"`
		DetailType string `json:"detail-type"`
		Account    string `json:"account"`
		Detail     struct {
			EventSource        string    `json:"eventSource"`
			EventName          string    `json:"eventName"`
			EventTime          time.Time `json:"eventTime"`
			ErrorCode          string    `json:"errorCode"`
			RecipientAccountID string    `json:"recipientAccountId"`
			RequestParameters  any       `json:"requestParameters"`
			ResponseElements   any       `json:"responseElements"`
		} `json:"detail"`
	}
	if json.Unmarshal(event, &e) != nil {
		return Tampering{}, false
	}
	d := e.Detail
	service, ok := strings.CutPrefix(e.Source, "aws.")
	if !ok || e.DetailType != "AWS API Call via CloudTrail" || d.EventSource != service+".amazonaws.com" || d.ErrorCode != "" || d.EventTime.IsZero() ||
		!slices.Contains(tamperCalls[service], d.EventName) {
		return Tampering{}, false
	}
	c := Tampering{Account: d.RecipientAccountID, At: d.EventTime, SCP: service == "organizations"}
	if c.Account == "" {
		c.Account = e.Account
	}
	c.AnySCP = c.SCP && (d.EventName == "UpdatePolicy" || d.EventName == "DisablePolicyType")
	values := append(trail.Values(d.RequestParameters), trail.Values(d.ResponseElements)...)
	if c.SCP {
		values = append(values, c.Account) // which leaves the organization
	}
	for _, v := range values {
		if name := approvals.InForceName(v); name != "" {
			c.Names = append(c.Names, name)
		}
	}
	return c, true
}
