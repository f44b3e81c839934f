package all

import (
	"encoding/json"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/instance"
)

// changesIAM are the verbs of IAM that change something.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
var changesIAM = []string{
	"iam:Add*", "iam:Attach*", "iam:Create*", "iam:Deactivate*", "iam:Delete*", "iam:Detach*", "iam:Enable*", "iam:Put*", "iam:Remove*",
	"iam:Reset*", "iam:Resync*", "iam:Set*", "iam:Tag*", "iam:Untag*", "iam:Update*", "iam:Upload*",
}

// changesEC2 are the actions of EC2 that undo an isolation or destroy what is kept as evidence. DeleteTags
// without a list of tags takes all away, and then has no tag's name in the request.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
var changesEC2 = []string{
	"ec2:AssociateIamInstanceProfile", "ec2:AttachNetworkInterface", "ec2:AuthorizeSecurityGroup*", "ec2:CreateReplaceRootVolumeTask", "ec2:DeleteNetworkInterface", "ec2:DeleteSecurityGroup",
	"ec2:DeleteSnapshot", "ec2:DeleteTags", "ec2:DetachNetworkInterface", "ec2:DetachVolume", "ec2:DisassociateIamInstanceProfile", "ec2:ModifyInstanceAttribute",
	"ec2:ModifyInstanceMetadataOptions", "ec2:ModifyNetworkInterfaceAttribute", "ec2:ModifySecurityGroupRules", "ec2:ModifySnapshotAttribute",
	"ec2:ReplaceIamInstanceProfileAssociation", "ec2:ResetInstanceAttribute", "ec2:ResetNetworkInterfaceAttribute", "ec2:ResetSnapshotAttribute",
	"ec2:RevokeSecurityGroup*", "ec2:StartInstances", "ec2:TerminateInstances", "ec2:UnlockSnapshot", "ec2:UpdateSecurityGroupRuleDescriptions*", "ec2-instance-connect:SendSerialConsoleSSHPublicKey",
}

// TamperSCP is the service control policy that keeps what is contained, and what Killswitch needs for it, from whoever
// administers a member account: nobody there changes what has our tag, sets or takes that tag, changes the
// member roles and what actions share, or makes roles of StackSets, which may. It is static: a containment
// tags its target. It protects what any installation contains, whose member roles have these names. It is
// attached to the organization's root, ahead of any incident.
func TamperSCP(o actions.Org) string {
	type object = map[string]any
	anywhere := func(resource string) string { return "arn:" + o.Partition + ":iam::*:" + resource }
	stackSets := anywhere("role/stacksets-exec-*")
	ours := []string{anywhere("role/" + o.ResponderRole), anywhere("role/" + o.RestorerRole)}
	but := func(who ...string) object {
		return object{"ArnNotLike": object{"aws:PrincipalArn": who}}
	}
	tagged := func() object {
		c := but(ours...)
		c["Null"] = object{"aws:ResourceTag/" + deny.TamperTag: "false"}
		return c
	}
	setsTag := but(ours...)
	// IAM's tag keys are unique regardless of case.
	setsTag["ForAnyValue:StringEqualsIgnoreCase"] = object{"aws:TagKeys": deny.TamperTag}
	shared := append([]string{anywhere("role/" + instance.IsolationName), anywhere("instance-profile/" + instance.IsolationName), anywhere("role/" + o.Forwarder())}, ours...)
	for _, name := range []string{deny.FullQuarantine, deny.IAMQuarantine} {
		shared = append(shared, anywhere("policy/"+name), anywhere("policy/"+actions.Installation("*").Name(name)))
	}
	denied := func(sid string, acts, on any, when object) object {
		s := object{"Sid": sid, "Effect": "Deny", "Action": acts, "Resource": on}
		if when != nil {
			s["Condition"] = when
		}
		return s
	}
	b, err := json.Marshal(object{"Version": "2012-10-17", "Statement": []any{
		denied("KillswitchContained", changesIAM, []string{anywhere("role/*"), anywhere("user/*")}, tagged()),
		denied("KillswitchIsolated", changesEC2, "*", tagged()),
		denied("KillswitchTag", "*", "*", setsTag),
		denied("KillswitchOwn", changesIAM, shared, but(stackSets)),
		denied("KillswitchStay", []string{"account:CloseAccount", "organizations:LeaveOrganization"}, "*", nil),
		// AWS makes them by a service-linked role, which no policy binds.
		// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stacksets-orgs-enable-trusted-access.html
		denied("KillswitchStackSets", changesIAM, []string{stackSets}, nil),
	}})
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(b)
}
