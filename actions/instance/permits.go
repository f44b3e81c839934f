package instance

import (
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// The permissions of isolate_instance, from the Service Authorization Reference.
// Actions without resource types there ("Describe…") are allowed on "*".
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
//
// Actions on different kinds of resources share a statement: an action is matched
// with resources of its own kinds only, and a statement takes space in the session
// policy. Actions on several kinds (CreateTags, IAM's on roles) have their own.

func isolatePermits(p actions.Phase, s actions.Scope) []actions.Statement {
	switch p {
	case actions.PhasePlan: // and Verify, when an undo is planned
		looks := []string{"ec2:DescribeInstances", "autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeAutoScalingGroups",
			"elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth", "cloudtrail:LookupEvents",
			"ec2:DescribeNetworkInterfaces", "ec2:DescribeTrunkInterfaceAssociations", "ec2:DescribeSecurityGroups", "ec2:DescribeIamInstanceProfileAssociations"}
		if asked(s, "snapshot") {
			looks = append(looks, "ec2:DescribeSnapshots", "ec2:DescribeLockedSnapshots")
		}
		return []actions.Statement{
			{Actions: looks, Resources: []string{"*"}},
			{Actions: []string{"ec2:DescribeInstanceAttribute"}, Resources: targetInstance(s)},
			// The instance's profile and role are unknown before the first read.
			{Actions: []string{"iam:GetInstanceProfile"}, Resources: []string{s.ARN("iam", "instance-profile/*")}},
			{Actions: []string{"iam:GetRole", "iam:GetRolePolicy"}, Resources: []string{s.ARN("iam", "role/*")}},
		}
	case actions.PhaseRun:
		return narrowPermits(s, runPermits)
	case actions.PhaseUndo:
		return narrowPermits(s, undoPermits)
	case actions.PhaseReport:
	}
	return nil
}

// widenOrder lists the kinds of resources that are replaced by a wildcard, in this
// order, until the session policy fits: an attacker who registers the instance in fifty
// target groups must not prevent the isolation. The wildcard is all of the kind in the
// account and region; for a role, its name with any path. The condition goes first: the
// member role's policy, which limits the session too, has it.
var widenOrder = []string{"condition", "targetgroup", "network-interface", "role"}

// narrowPermits returns permissions with exact resources, as far as they fit.
func narrowPermits(s actions.Scope, permits func(actions.Scope, func(string) bool) []actions.Statement) []actions.Statement {
	for n := 0; ; n++ {
		wide := func(kind string) bool { return slices.Contains(widenOrder[:n], kind) }
		ss := permits(s, wide)
		if actions.Fits(ss) || s.Any() || n == len(widenOrder) {
			return ss
		}
	}
}

func runPermits(s actions.Scope, wide func(string) bool) []actions.Statement {
	looks := []string{"ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeIamInstanceProfileAssociations"}
	acts := []string{"ec2:DescribeInstanceAttribute", "ec2:ModifyInstanceAttribute", "ec2:ReplaceIamInstanceProfileAssociation", "ec2:DisassociateIamInstanceProfile",
		// The groups and the VPC are unknown here: new groups have no ID yet.
		"ec2:ModifyNetworkInterfaceAttribute", "ec2:CreateSecurityGroup", "ec2:RevokeSecurityGroupEgress"}
	on := slices.Concat(targetInstance(s), changedOrWide(s, "ec2", "network-interface", wide), shared(s, "security-group/*"), shared(s, "vpc/*"))
	if groups := scalingGroupARNs(s); groups != nil {
		looks = append(looks, "autoscaling:DescribeAutoScalingInstances")
		acts, on = append(acts, "autoscaling:EnterStandby"), append(on, groups...)
	}
	if targets := changedOrWide(s, "elasticloadbalancing", "targetgroup", wide); targets != nil {
		looks = append(looks, "elasticloadbalancing:DescribeTargetHealth")
		acts, on = append(acts, "elasticloadbalancing:DeregisterTargets"), append(on, targets...)
	}
	if asked(s, "stop") {
		acts = append(acts, "ec2:StopInstances")
	}
	var locks actions.Statement
	tags := actions.Statement{Actions: []string{"ec2:CreateTags"}, Resources: []string{s.ARN("ec2", "security-group/*")}, Condition: actions.Condition{"StringEquals": {"ec2:CreateAction": {"CreateSecurityGroup"}}}}
	if asked(s, "snapshot") {
		// A snapshot's ARN has no account.
		made := strings.Replace(s.ARN("ec2", "snapshot/*"), ":"+s.Account+":", "::", 1)
		if s.Any() { // region and account are both *
			made = "arn:" + s.Org.Partition + ":ec2:*::snapshot/*"
		}
		looks = append(looks, "ec2:DescribeSnapshots", "ec2:DescribeLockedSnapshots")
		// The volumes are the instance's: the call is authorised on it, too.
		acts, on = append(acts, "ec2:CreateSnapshots"), append(on, s.ARN("ec2", "volume/*"), made)
		tags.Resources, tags.Condition["StringEquals"]["ec2:CreateAction"] = append(tags.Resources, made), []string{"CreateSecurityGroup", "CreateSnapshots"}
		locks = actions.Statement{Actions: []string{"ec2:LockSnapshot"}, Resources: []string{made}, Condition: actions.Condition{"Null": {"aws:ResourceTag/" + deny.TamperTag: {"false"}}}}
	}
	isolated := []string{s.ARN("iam", "role/"+IsolationName)}
	ours := actions.Statement{Actions: []string{"iam:GetInstanceProfile", "iam:GetRole"}, Resources: []string{s.ARN("iam", "instance-profile/"+IsolationName), isolated[0]}}
	pass := s.PassRole(isolated)
	bounded := []actions.Statement{ours, pass, locks, tags, {Actions: tags.Actions, Resources: targetInstance(s)}}
	if wide("condition") {
		ours.Actions, tags.Resources, tags.Condition = slices.Concat(ours.Actions, pass.Actions), append(tags.Resources, targetInstance(s)...), nil
		tags.Actions = append(tags.Actions, locks.Actions...)
		bounded = []actions.Statement{ours, tags}
	}
	return append([]actions.Statement{
		{Actions: looks, Resources: []string{"*"}},
		{Actions: acts, Resources: on},
		{Actions: []string{"iam:GetRole", "iam:GetRolePolicy", "iam:PutRolePolicy"}, Resources: changedOrWide(s, "iam", "role", wide)},
	}, bounded...)
}

func undoPermits(s actions.Scope, wide func(string) bool) []actions.Statement {
	looks := []string{"ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces", "ec2:DescribeIamInstanceProfileAssociations"}
	acts := []string{"ec2:DescribeInstanceAttribute", "ec2:ModifyInstanceAttribute", "ec2:ReplaceIamInstanceProfileAssociation", "ec2:AssociateIamInstanceProfile", "ec2:ModifyNetworkInterfaceAttribute"}
	// The restored groups are in the ledger, not among the resources.
	on := slices.Concat(targetInstance(s), changedOrWide(s, "ec2", "network-interface", wide), shared(s, "security-group/*"))
	if groups := scalingGroupARNs(s); groups != nil {
		looks = append(looks, "autoscaling:DescribeAutoScalingInstances")
		acts, on = append(acts, "autoscaling:ExitStandby"), append(on, groups...)
	}
	if targets := changedOrWide(s, "elasticloadbalancing", "targetgroup", wide); targets != nil {
		looks = append(looks, "elasticloadbalancing:DescribeTargetHealth")
		acts, on = append(acts, "elasticloadbalancing:RegisterTargets"), append(on, targets...)
	}
	if asked(s, "stop") {
		acts = append(acts, "ec2:StartInstances")
	}
	roles := changedOrWide(s, "iam", "role", wide)
	passed := roles
	if passed == nil {
		// The role in the restored profile may have no step (it is protected, or was not
		// read). PassRole alone does nothing, and this session can pass a role to this
		// instance only.
		passed = []string{s.ARN("iam", "role/*")}
	}
	return []actions.Statement{
		{Actions: looks, Resources: []string{"*"}},
		{Actions: acts, Resources: on},
		{Actions: []string{"ec2:CreateTags", "ec2:DeleteTags"}, Resources: targetInstance(s)},
		{Actions: []string{"iam:GetRole", "iam:GetRolePolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy"}, Resources: roles},
		s.PassRole(passed),
	}
}

// shared returns the ARN of resources of the network that other accounts may own: those of a shared VPC, and
// of a shared group, have their owner's account.
// https://docs.aws.amazon.com/vpc/latest/userguide/vpc-sharing.html
func shared(s actions.Scope, resource string) []string {
	s.Account = "*"
	return []string{s.ARN("ec2", resource)}
}

// asked reports whether a call has an option set.
func asked(s actions.Scope, option string) bool { return s.Any() || s.Call.Options[option] == "yes" }

// targetInstance returns the call's target.
func targetInstance(s actions.Scope) []string {
	if s.Any() {
		return []string{s.ARN("ec2", "instance/*")}
	}
	return []string{actions.Literal(s.Call.Target)}
}

// changedOrWide returns the changed resources of a kind, or a wildcard; nil if there are none.
func changedOrWide(s actions.Scope, service, kind string, wide func(string) bool) []string {
	exact := s.Changed(service, kind+"/")
	if len(exact) == 0 || !wide(kind) {
		return exact
	}
	if kind != "role" {
		return []string{s.ARN(service, kind+"/*")}
	}
	var named []string
	for _, arn := range exact {
		named = append(named, s.ARN("iam", "role/*"+actions.LastPart(arn)))
	}
	return named
}

// scalingGroupARNs returns the Auto Scaling groups by the unique ID in their ARN: names
// have up to 255 characters, which may be wildcards in a policy.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2autoscaling.html
func scalingGroupARNs(s actions.Scope) []string {
	if s.Any() {
		return []string{s.ARN("autoscaling", "autoScalingGroup:*:autoScalingGroupName/*")}
	}
	var arns []string
	for _, arn := range s.Resources {
		if head, _, ok := strings.Cut(arn, ":autoScalingGroupName/"); ok && strings.Contains(head, ":autoscaling:") {
			arns = append(arns, head+":autoScalingGroupName/*")
		}
	}
	return arns
}
