package finding

import (
	"cmp"
	"errors"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// tools are parts of the user agents of tools: some undo by themselves what they don't know of. A
// user agent is what the caller says.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
var tools = [][2]string{
	{"cloudformation.amazonaws.com", "CloudFormation"}, {"opentofu", "OpenTofu"}, {"terraform", "Terraform"}, {"pulumi", "Pulumi"},
	{"crossplane", "Crossplane"}, {"ansible", "Ansible"}, {"aws-cdk", "AWS CDK"}, {"console.amazonaws.com", "the AWS console"},
	{"signin.amazonaws.com", "the AWS console"}, {"aws-cli", "the AWS CLI"}, {"boto3", "Boto3"}, {"aws-sdk", "an AWS SDK"},
}

// Said by hand of a removal that our own role made: whoever else may enter it is not stopped by
// what is denied to others.
const byHandOwnRole = "Killswitch's own role was used, and no undo ran: look at once who may assume it (its trust policy, aws.external_id, the hub account), and deploy the member roles again. A freeze exempts it."

// Remover reads CloudTrail's record of the call that removed a change in an account: who called,
// and what contains them. The record comes from CloudTrail itself.
func (r Reader) Remover(account, record string) (approvals.Remover, error) {
	d, err := parse([]byte(record))
	if err != nil {
		return approvals.Remover{}, err
	}
	id := d.at("userIdentity").required()
	c := iamCall{name: d.at("eventName").required().text(), account: cmp.Or(d.at("recipientAccountId").account(), account), caller: readCaller(id)}
	agent, through := d.at("userAgent").text(), id.at("invokedBy").text()
	found := approvals.Remover{
		Who: brief(cmp.Or(c.caller.String(), c.caller.kind), maxFact), Call: brief(c.name, maxFact), Tool: toolOf(through + " " + agent),
		Address: brief(d.at("sourceIPAddress").text(), maxFact), At: d.at("eventTime").required().time(), Event: brief(d.at("eventID").text(), maxFact),
		Own: c.own(r.Org),
	}
	o := r.containments("", c.account, d.at("awsRegion").region())
	switch {
	case found.Own:
		o.addByHand(byHandOwnRole)
	case c.caller.kind == ofService:
		found.Who = brief(cmp.Or(through, c.caller.String()), maxFact)
	default:
		if arn := c.offerCaller(o); c.caller.kind == ofRole && arn != "" {
			o.add(false, actions.DetachPolicies, arn, nil)
		}
		if r.Org.ManagementAccount != "" && c.account != r.Org.ManagementAccount {
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

func toolOf(agent string) string {
	agent = strings.ToLower(agent)
	for _, t := range tools {
		if strings.Contains(agent, t[0]) {
			return t[1]
		}
	}
	return ""
}
