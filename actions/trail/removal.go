package trail

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// removalBudget limits one look-up of a removal: an attacker can make many calls that name the
// same resource.
var removalBudget = Budget{Pages: 4, Within: 5 * time.Second}

// wholeCalls take a change away although they don't name it: they are about the resource, which
// may be another one of its name now, or about the content of the policy. DisablePolicyType takes all service control policies away.
var wholeCalls = []string{
	"CreateRole", "DeleteRole", "CreateUser", "DeleteUser", "UpdateUser", "CreatePolicyVersion", "SetDefaultPolicyVersion", "DeletePolicyVersion", "DeletePolicy",
	"CreateLoginProfile", "UpdateLoginProfile",
	"ModifyInstanceAttribute", "ModifyNetworkInterfaceAttribute", "StartInstances", "TerminateInstances",
	"AssociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation", "DisassociateIamInstanceProfile",
	"AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress", "ModifySecurityGroupRules",
	"DetachPolicy", "UpdatePolicy", "MoveAccount", "RemoveAccountFromOrganization", "LeaveOrganization",
}

// RemovalOf returns the record of the call that removed a step's change between two times: the
// last write in CloudTrail's Event history that names it. What our own roles put is none. It
// returns "" if the history has none yet, and a [CutError] if there are more calls than are
// looked at. The account is the one in which the step is applied.
func RemovalOf(ctx context.Context, acct *actions.Account, s actions.Step, from, to time.Time) (record string, err error) {
	resource, content := s.ResourceName(), s.HoldName()
	region := s.Region()
	if region == "" {
		region = GlobalRegion(acct.Partition)
	}
	var cut error
	for _, subject := range removalSubjects(acct, s, resource, content) {
		err := Lookup(ctx, acct, region, subject, from.Truncate(time.Second), to, removalBudget, func(es []types.Event) bool {
			i := slices.IndexFunc(es, func(e types.Event) bool { return removes(acct.Org, e, resource, content) })
			if i >= 0 {
				record = aws.ToString(es[i].CloudTrailEvent)
			}
			return i < 0
		})
		switch {
		case record != "":
			return record, nil
		case errors.Is(err, ErrPages):
			cut = err
		case err != nil:
			return "", err
		}
	}
	return "", cut
}

// removalSubjects are what to ask CloudTrail for. A call of Organizations names no resource
// there, and there are few.
func removalSubjects(acct *actions.Account, s actions.Step, resource, content string) []Subject {
	if strings.HasPrefix(s.Resource, "arn:"+acct.Partition+":organizations:") {
		return []Subject{{string(types.LookupAttributeKeyEventSource), "organizations.amazonaws.com"}}
	}
	named := []Subject{{string(types.LookupAttributeKeyResourceName), resource}}
	if content != "" && content != resource {
		named = append(named, Subject{string(types.LookupAttributeKeyResourceName), content},
			Subject{string(types.LookupAttributeKeyResourceName), "arn:" + acct.Partition + ":iam::" + acct.ID + ":policy/" + content})
	}
	return named
}

// removes reports whether a recorded call can have removed a change.
func removes(org actions.Org, e types.Event, resource, content string) bool {
	var r struct {
		Error    string `json:"errorCode"`
		Request  any    `json:"requestParameters"`
		Response any    `json:"responseElements"`
		Identity struct {
			Session struct {
				Issuer struct {
					Name string `json:"userName"`
				} `json:"sessionIssuer"`
			} `json:"sessionContext"`
		} `json:"userIdentity"`
	}
	call := aws.ToString(e.EventName)
	if aws.ToString(e.ReadOnly) == "true" || json.Unmarshal([]byte(aws.ToString(e.CloudTrailEvent)), &r) != nil || r.Error != "" {
		return false
	}
	who := r.Identity.Session.Issuer.Name
	if own := strings.EqualFold(who, org.ResponderRole) || strings.EqualFold(who, org.RestorerRole); own && (strings.HasPrefix(call, "Put") || strings.HasPrefix(call, "Attach")) {
		return false
	}
	values := append(Values(r.Request), Values(r.Response)...)
	ofResource, ofContent := names(values, resource), names(values, content)
	return ofResource && ofContent || (ofResource || ofContent) && slices.Contains(wholeCalls, call) || call == "DisablePolicyType"
}

// names reports whether one of the values of a call is a name, or an ARN that ends with it. IAM's
// names are unique regardless of case.
func names(values []string, name string) bool {
	return name != "" && slices.ContainsFunc(values, func(v string) bool {
		return strings.EqualFold(v, name) || strings.HasPrefix(v, "arn:") && strings.EqualFold(actions.ResourceName(v), name)
	})
}

// Values are all texts in a call's parameters or answer.
func Values(parameters any) (vs []string) {
	switch p := parameters.(type) {
	case string:
		vs = append(vs, p)
	case []any:
		for _, v := range p {
			vs = append(vs, Values(v)...)
		}
	case map[string]any:
		for _, v := range p {
			vs = append(vs, Values(v)...)
		}
	}
	return vs
}
