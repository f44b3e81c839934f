package finding

import (
	"cmp"
	"errors"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// tools are parts of user agents, with whose they are, and whether that tool undoes by itself
// what it does not know of. A user agent is what the caller says.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
var tools = []struct {
	part, name string
	repeats    bool
}{
	{"cloudformation.amazonaws.com", "CloudFormation", true}, {"opentofu", "OpenTofu", true}, {"terraform", "Terraform", true},
	{"pulumi", "Pulumi", true}, {"crossplane", "Crossplane", true}, {"ansible", "Ansible", true},
	{"console.amazonaws.com", "the AWS console", false}, {"signin.amazonaws.com", "the AWS console", false}, {"aws-cli", "the AWS CLI", false},
	{"boto3", "Boto3", false}, {"aws-sdk", "an AWS SDK", false},
}

// Said by hand of what our own role called with no request or undo that explains it: whoever else may
// enter it is not stopped by what is denied to others.
const byHandOwnRole = "Killswitch's own role was used, and nobody asked for it here: look at once who may assume it (its trust policy, aws.external_id, the hub account), and deploy the member roles again. A freeze exempts it."

// Remover reads CloudTrail's record of the call that removed a change in an account: who called,
// and what contains them. The record comes from CloudTrail itself.
func (r Reader) Remover(account, record string) (approvals.Remover, error) {
	d, err := parse([]byte(record))
	if err != nil {
		return approvals.Remover{}, err
	}
	id := d.at("userIdentity").required()
	c := apiCall{name: d.at("eventName").required().text(), account: cmp.Or(d.at("recipientAccountId").account(), account), caller: readCaller(id)}
	agent, through := d.at("userAgent").text(), id.at("invokedBy").text()
	found := approvals.Remover{
		Who: brief(cmp.Or(c.caller.String(), c.caller.kind), maxFact), Call: brief(c.name, maxFact),
		Address: brief(d.at("sourceIPAddress").text(), maxFact), At: d.at("eventTime").required().time(), Event: brief(d.at("eventID").text(), maxFact),
		Own: c.own(r.Org),
	}
	found.Tool, found.Repeats = toolOf(through + " " + agent)
	o := r.containments("", c.account, d.at("awsRegion").region())
	switch {
	case found.Own:
		o.addByHand(byHandOwnRole)
	case c.caller.kind == ofService:
		found.Who = brief(cmp.Or(through, c.caller.String()), maxFact)
	default:
		if arn := c.offerCaller(o); arn != "" {
			if c.caller.kind == ofRole {
				o.add(false, actions.DetachPolicies, arn, nil)
			}
			if r.Org.OrganizationsAccount() != "" { // whoever removes a deny may remove another
				o.add(false, actions.DenyPrincipal, arn, nil)
			}
		}
		if r.Org.OrganizationsAccount() != "" && c.account != r.Org.ManagementAccount && c.account != r.Org.PolicyAccount {
			o.add(false, actions.ApplySCP, c.account, nil)
		}
	}
	if p := d.problems(); p != "" {
		return approvals.Remover{}, errors.New("CloudTrail's record can't be read: " + p)
	}
	for _, x := range o.list {
		found.Contain = append(found.Contain, x.Call)
	}
	found.ByHand = o.byHand
	return found, nil
}

func toolOf(agent string) (name string, repeats bool) {
	agent = strings.ToLower(agent)
	for _, t := range tools {
		if strings.Contains(agent, t.part) {
			return t.name, t.repeats
		}
	}
	return "", false
}
