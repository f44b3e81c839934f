//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// sent is a request to AWS, as far as policies are about it.
type sent struct {
	key, region, service, operation string
	account                         string
	form                            url.Values     // of the query protocol
	json                            map[string]any // of the JSON protocols
	header                          http.Header
	path                            string
}

func (c *sent) name() string { return c.service + ":" + c.operation }

// read returns nil for what nobody signed.
func read(r *http.Request, body []byte) *sent {
	signed := scope.FindStringSubmatch(r.Header.Get("Authorization"))
	if signed == nil {
		return nil
	}
	c := &sent{key: signed[1], region: signed[2], service: signed[3], header: r.Header, path: r.URL.Path}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		c.operation = target[strings.LastIndex(target, ".")+1:]
		_ = json.Unmarshal(body, &c.json) // what is none has no fields, of which AWS asks nothing
		return c
	}
	c.form, _ = url.ParseQuery(string(body)) // likewise
	c.operation = c.form.Get("Action")
	query := r.URL.Query()
	switch {
	case c.operation != "":
	case getFindings.MatchString(r.URL.Path):
		c.operation = "GetFindings"
	case c.service == "s3" && query.Has("lifecycle"):
		c.operation = "GetLifecycleConfiguration"
	case c.service == "s3" && query.Has("policy"):
		c.operation = "GetBucketPolicy"
	case c.service == "s3" && r.URL.Path == "/":
		c.operation = "ListAllMyBuckets"
	default:
		c.operation = r.Method + " " + r.URL.Path
	}
	return c
}

// text is a field of the request; where there are several names, one of them.
func (c *sent) text(names ...string) string {
	for _, name := range names {
		if v := c.form.Get(name); v != "" {
			return v
		}
		if v, ok := c.json[name].(string); ok {
			return v
		}
	}
	return ""
}

// list are the members of a field: prefix.1, prefix.2.
func (c *sent) list(prefix string) []string {
	var all []string
	for i := 1; c.form.Has(fmt.Sprintf("%s.%d", prefix, i)); i++ {
		all = append(all, c.form.Get(fmt.Sprintf("%s.%d", prefix, i)))
	}
	return all
}

// tags are those of a field of the query protocol, or of the field Tags.
func (c *sent) tags(prefix string) map[string]string {
	all := map[string]string{}
	for i := 1; c.form.Has(fmt.Sprintf("%s.%d.Key", prefix, i)); i++ {
		all[c.form.Get(fmt.Sprintf("%s.%d.Key", prefix, i))] = c.form.Get(fmt.Sprintf("%s.%d.Value", prefix, i))
	}
	tags, _ := c.json["Tags"].([]any)
	for _, t := range tags {
		tag, _ := t.(map[string]any)
		all[fmt.Sprint(tag["Key"])] = fmt.Sprint(tag["Value"])
	}
	return all
}

// tagging is what policies see of tags in a request.
func tagging(tags map[string]string) map[string]any {
	if len(tags) == 0 {
		return nil
	}
	context, keys := map[string]any{}, []string{}
	for k, v := range tags {
		context["aws:RequestTag/"+k] = v
		keys = append(keys, k)
	}
	slices.Sort(keys)
	context["aws:TagKeys"] = keys
	return context
}

var (
	iamARN      = regexp.MustCompile(`<Arn>(arn:aws:iam::[0-9]{12}:(role|user|group|instance-profile)/[^<]*)</Arn>`)
	boundaryARN = regexp.MustCompile(`<PermissionsBoundaryArn>([^<]+)<`)
	association = regexp.MustCompile(`(?s)<associationId>([^<]+)</associationId>\s*<instanceId>([^<]+)</instanceId>`)
	userName    = regexp.MustCompile(`<UserName>([^<]+)<`)
	snapshotID  = regexp.MustCompile(`<snapshotId>([^<]+)<`)
	policyID    = regexp.MustCompile(`"Id": ?"(p-[^"]+)"`)
	roleOf      = regexp.MustCompile(`(?s)<InstanceProfileName>([^<]+)</InstanceProfileName>.*?<RoleName>([^<]+)</RoleName>`)
)

// learn keeps of an answer what requests refer to.
func (c *calls) learn(asked *sent, body string) {
	keep := func(value string, about ...string) {
		c.learned[strings.Join(append(about, asked.account), " ")] = value
	}
	for _, m := range iamARN.FindAllStringSubmatch(body, -1) {
		keep(m[1], m[2], m[1][strings.LastIndex(m[1], "/")+1:])
	}
	for _, m := range association.FindAllStringSubmatch(body, -1) {
		keep(m[2], "associated", m[1])
	}
	switch asked.name() {
	case "iam:GetRole", "iam:GetUser":
		boundary := ""
		if m := boundaryARN.FindStringSubmatch(body); m != nil {
			boundary = m[1]
		}
		keep(boundary, "boundary", asked.text("RoleName", "UserName"))
	case "iam:PutRolePermissionsBoundary", "iam:PutUserPermissionsBoundary":
		keep(asked.text("PermissionsBoundary"), "boundary", asked.text("RoleName", "UserName"))
	case "iam:GetAccessKeyLastUsed":
		if m := userName.FindStringSubmatch(body); m != nil {
			keep(m[1], "key", asked.text("AccessKeyId"))
		}
	case "iam:GetInstanceProfile":
		if m := roleOf.FindStringSubmatch(body); m != nil {
			keep(m[2], "in profile", m[1])
		}
	case "iam:ListInstanceProfilesForRole":
		for _, profile := range regexp.MustCompile(`<InstanceProfileName>([^<]+)<`).FindAllStringSubmatch(body, -1) {
			keep(asked.text("RoleName"), "in profile", profile[1])
		}
	case "ec2:CreateSnapshots":
		for _, m := range snapshotID.FindAllStringSubmatch(body, -1) {
			keep(asked.form.Get("TagSpecification.1.Tag.1.Value"), "tag of", m[1])
		}
	case "organizations:CreatePolicy":
		if m := policyID.FindStringSubmatch(body); m != nil {
			keep(asked.tags("")["killswitch"], "tag of", m[1])
		}
	}
}

// known is what was learned.
func (c *calls) known(asked *sent, about ...string) string {
	return c.learned[strings.Join(append(about, asked.account), " ")]
}

// arn is a resource of IAM by its name.
func (c *calls) arn(asked *sent, kind, name string) string {
	if known := c.known(asked, kind, name); known != "" {
		return known
	}
	return "arn:aws:iam::" + asked.account + ":" + kind + "/" + name
}

func (c *sent) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + c.region + ":" + c.account + ":" + resource
}

// asks is what AWS asks about a call. What actions are about is in the Service Authorization Reference.
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html
type asks func(*calls, *sent) []ask

// everywhere is about calls that are on no resource.
func everywhere(_ *calls, asked *sent) []ask { return []ask{{Action: asked.name(), On: "*"}} }

// nothing is about calls that AWS allows to everybody.
func nothing(*calls, *sent) []ask { return nil }

// with adds to the context what is not empty.
func with(context map[string]any, pairs ...string) map[string]any {
	if context == nil {
		context = map[string]any{}
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			context[pairs[i]] = pairs[i+1]
		}
	}
	return context
}

// onRole is about calls on a role.
func onRole(c *calls, asked *sent) []ask {
	name := asked.text("RoleName")
	boundary := asked.text("PermissionsBoundary")
	if boundary == "" {
		boundary = c.known(asked, "boundary", name)
	}
	context := with(tagging(asked.tags("Tags.member")), "iam:PolicyARN", asked.text("PolicyArn"), "iam:PermissionsBoundary", boundary)
	if keys := asked.list("TagKeys.member"); len(keys) > 0 {
		context["aws:TagKeys"] = keys
	}
	all := []ask{{Action: asked.name(), On: c.arn(asked, "role", name), Context: context}}
	if asked.operation == "CreateRole" {
		path := asked.text("Path")
		if path == "" {
			path = "/"
		}
		all[0].On = "arn:aws:iam::" + asked.account + ":role" + path + name
		if len(asked.tags("Tags.member")) > 0 {
			all = append(all, ask{Action: "iam:TagRole", On: all[0].On, Context: tagging(asked.tags("Tags.member"))})
		}
	}
	return all
}

// onUser is about calls on a user.
func onUser(c *calls, asked *sent) []ask {
	name := asked.text("UserName")
	if name == "" {
		name = c.known(asked, "key", asked.text("AccessKeyId"))
	}
	boundary := asked.text("PermissionsBoundary")
	if boundary == "" {
		boundary = c.known(asked, "boundary", name)
	}
	context := with(tagging(asked.tags("Tags.member")), "iam:PolicyARN", asked.text("PolicyArn"), "iam:PermissionsBoundary", boundary)
	if keys := asked.list("TagKeys.member"); len(keys) > 0 {
		context["aws:TagKeys"] = keys
	}
	return []ask{{Action: asked.name(), On: c.arn(asked, "user", name), Context: context}}
}

func onProfile(c *calls, asked *sent) []ask {
	all := []ask{{Action: asked.name(), On: c.arn(asked, "instance-profile", asked.text("InstanceProfileName"))}}
	if asked.operation == "AddRoleToInstanceProfile" {
		all = append(all, c.pass(asked, asked.text("RoleName")))
	}
	return all
}

// pass is the question whether a role may be passed to EC2.
func (c *calls) pass(asked *sent, role string) ask {
	return ask{Action: "iam:PassRole", On: c.arn(asked, "role", role), Context: map[string]any{"iam:PassedToService": "ec2.amazonaws.com"}}
}

// associates is about profiles that instances get.
func associates(c *calls, asked *sent) []ask {
	profile := asked.text("IamInstanceProfile.Arn")
	if profile == "" {
		profile = c.arn(asked, "instance-profile", asked.text("IamInstanceProfile.Name"))
	}
	id := asked.text("InstanceId")
	if id == "" {
		id = c.known(asked, "associated", asked.text("AssociationId"))
	}
	role := c.known(asked, "in profile", profile[strings.LastIndex(profile, "/")+1:])
	return []ask{{Action: asked.name(), On: asked.arn("ec2", "instance/"+id), Context: map[string]any{"ec2:NewInstanceProfile": profile}}, c.pass(asked, role)}
}

// ofInstance is about calls on an instance, which may give it security groups.
func ofInstance(c *calls, asked *sent) []ask {
	ids := asked.list("InstanceId")
	switch {
	case asked.form.Has("InstanceId"):
		ids = append(ids, asked.text("InstanceId"))
	case asked.form.Has("AssociationId"):
		ids = append(ids, c.known(asked, "associated", asked.text("AssociationId")))
	}
	var all []ask
	for _, id := range ids {
		all = append(all, ask{Action: asked.name(), On: asked.arn("ec2", "instance/"+id)})
	}
	for _, group := range asked.list("GroupId") {
		all = append(all, ask{Action: asked.name(), On: asked.arn("ec2", "security-group/"+group)})
	}
	return all
}

func ofInterface(_ *calls, asked *sent) []ask {
	all := []ask{{Action: asked.name(), On: asked.arn("ec2", "network-interface/"+asked.text("NetworkInterfaceId"))}}
	for _, group := range asked.list("SecurityGroupId") {
		all = append(all, ask{Action: asked.name(), On: asked.arn("ec2", "security-group/"+group)})
	}
	return all
}

// kinds are those of EC2's resources, by what their IDs begin with.
var kinds = map[string]string{"i": "instance", "eni": "network-interface", "sg": "security-group", "snap": "snapshot", "vol": "volume"}

func (c *sent) ec2(id string) string {
	kind, _, _ := strings.Cut(id, "-")
	if kind == "snap" {
		return "arn:aws:ec2:" + c.region + "::snapshot/" + id
	}
	return c.arn("ec2", kinds[kind]+"/"+id)
}

func tagsOf(_ *calls, asked *sent) []ask {
	context := tagging(asked.tags("Tag"))
	var all []ask
	for _, id := range asked.list("ResourceId") {
		all = append(all, ask{Action: asked.name(), On: asked.ec2(id), Context: context})
	}
	return all
}

// tagged are the questions about tags with which things are made.
func (c *sent) tagged(on string) []ask {
	tags := c.tags("TagSpecification.1.Tag")
	if len(tags) == 0 {
		return nil
	}
	context := tagging(tags)
	context["ec2:CreateAction"] = c.operation
	return []ask{{Action: "ec2:CreateTags", On: on, Context: context}}
}

func ofSnapshot(c *calls, asked *sent) []ask {
	id := asked.text("SnapshotId")
	return []ask{{Action: asked.name(), On: asked.ec2(id), Context: with(nil, "aws:ResourceTag/killswitch", c.known(asked, "tag of", id))}}
}

// organizations asks about a policy, or what policies are on. Only policies have tags there.
func (c *calls) organization(asked *sent, ids ...string) []ask {
	var all []ask
	for _, id := range ids {
		kind, _, _ := strings.Cut(id, "-")
		at := "arn:aws:organizations::" + asked.account + ":"
		switch {
		case id == "p-FullAWSAccess":
			all = append(all, ask{Action: asked.name(), On: "arn:aws:organizations::aws:policy/service_control_policy/p-FullAWSAccess"})
		case kind == "p":
			all = append(all, ask{Action: asked.name(), On: at + "policy/o-abcdefghij/service_control_policy/" + id, Context: with(tagging(asked.tags("")), "aws:ResourceTag/killswitch", c.known(asked, "tag of", id))})
		case kind == "ou":
			all = append(all, ask{Action: asked.name(), On: at + "ou/o-abcdefghij/" + id})
		case kind == "r":
			all = append(all, ask{Action: asked.name(), On: at + "root/o-abcdefghij/" + id})
		default:
			all = append(all, ask{Action: asked.name(), On: at + "account/o-abcdefghij/" + id})
		}
	}
	return all
}

// inOrganization is about calls on what some fields name.
func inOrganization(fields ...string) asks {
	return func(c *calls, asked *sent) []ask {
		var ids []string
		for _, f := range fields {
			ids = append(ids, asked.text(f))
		}
		return c.organization(asked, ids...)
	}
}

func onQueue(action string) asks {
	return func(_ *calls, asked *sent) []ask {
		queue := asked.text("QueueUrl")
		return []ask{{Action: action, On: asked.arn("sqs", queue[strings.LastIndex(queue, "/")+1:])}}
	}
}

// onTable is about one call, or one part of a transaction; the partition key of each row is a condition.
func (c *sent) onTable(action string, in map[string]any) ask {
	table := fmt.Sprint("table/", in["TableName"])
	a := ask{Action: "dynamodb:" + action}
	if index, ok := in["IndexName"]; ok {
		table += fmt.Sprint("/index/", index)
	}
	a.On = c.arn("dynamodb", table)
	value := func(of any) string {
		v, _ := of.(map[string]any)
		s, _ := v["S"].(string)
		return s
	}
	for _, field := range []string{"Key", "Item"} {
		if row, ok := in[field].(map[string]any); ok {
			a.Context = map[string]any{"dynamodb:LeadingKeys": []string{value(row["pk"])}}
		}
	}
	if values, ok := in["ExpressionAttributeValues"].(map[string]any); ok && action == "Query" {
		for _, name := range []string{":p", ":marked"} {
			if key := value(values[name]); key != "" {
				a.Context = map[string]any{"dynamodb:LeadingKeys": []string{key}}
			}
		}
	}
	return a
}

func onTable(_ *calls, asked *sent) []ask { return []ask{asked.onTable(asked.operation, asked.json)} }

func inTransaction(_ *calls, asked *sent) []ask {
	var all []ask
	items, _ := asked.json["TransactItems"].([]any)
	for _, item := range items {
		of, _ := item.(map[string]any)
		for kind, in := range of {
			row, _ := in.(map[string]any)
			action := map[string]string{"Put": "PutItem", "Delete": "DeleteItem", "Update": "UpdateItem", "ConditionCheck": "ConditionCheckItem"}[kind]
			all = append(all, asked.onTable(action, row))
		}
	}
	return all
}

// operations has each call that Killswitch makes.
var operations = map[string]asks{
	"sts:GetCallerIdentity": nothing, // https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
	"sts:GetAccessKeyInfo":  everywhere,
	"sts:AssumeRole": func(_ *calls, asked *sent) []ask {
		tags := asked.tags("Tags.member")
		context := with(tagging(tags), "sts:ExternalId", asked.text("ExternalId"), "sts:RoleSessionName", asked.text("RoleSessionName"), "sts:SourceIdentity", asked.text("SourceIdentity"))
		all := []ask{{Action: "sts:AssumeRole", On: asked.text("RoleArn"), Context: context}}
		if asked.form.Has("SourceIdentity") {
			all = append(all, ask{Action: "sts:SetSourceIdentity", On: asked.text("RoleArn"), Context: context})
		}
		if len(tags) > 0 {
			all = append(all, ask{Action: "sts:TagSession", On: asked.text("RoleArn"), Context: context})
		}
		return all
	},

	"dynamodb:GetItem": onTable, "dynamodb:PutItem": onTable, "dynamodb:DeleteItem": onTable, "dynamodb:Query": onTable, "dynamodb:TransactWriteItems": inTransaction,

	"sqs:SendMessage": onQueue("sqs:SendMessage"), "sqs:SendMessageBatch": onQueue("sqs:SendMessage"), "sqs:ReceiveMessage": onQueue("sqs:ReceiveMessage"),
	"sqs:DeleteMessage": onQueue("sqs:DeleteMessage"), "sqs:GetQueueAttributes": onQueue("sqs:GetQueueAttributes"),

	"secretsmanager:GetSecretValue": func(_ *calls, asked *sent) []ask { return []ask{{Action: asked.name(), On: asked.text("SecretId")}} },
	"sns:Publish":                   onTopic, "sns:GetTopicAttributes": onTopic,

	"iam:GetAccountAuthorizationDetails": everywhere, "iam:ListRoles": everywhere, "iam:ListUsers": everywhere,
	"iam:GetRole": onRole, "iam:GetRolePolicy": onRole, "iam:ListRolePolicies": onRole, "iam:ListAttachedRolePolicies": onRole, "iam:ListInstanceProfilesForRole": onRole,
	"iam:PutRolePolicy": onRole, "iam:DeleteRolePolicy": onRole, "iam:AttachRolePolicy": onRole, "iam:DetachRolePolicy": onRole, "iam:PutRolePermissionsBoundary": onRole,
	"iam:DeleteRolePermissionsBoundary": onRole, "iam:TagRole": onRole, "iam:UntagRole": onRole, "iam:CreateRole": onRole, "iam:DeleteRole": onRole,
	"iam:GetUser": onUser, "iam:GetUserPolicy": onUser, "iam:ListUserPolicies": onUser, "iam:ListAttachedUserPolicies": onUser, "iam:ListGroupsForUser": onUser,
	"iam:PutUserPolicy": onUser, "iam:DeleteUserPolicy": onUser, "iam:AttachUserPolicy": onUser, "iam:DetachUserPolicy": onUser, "iam:PutUserPermissionsBoundary": onUser,
	"iam:DeleteUserPermissionsBoundary": onUser, "iam:TagUser": onUser, "iam:UntagUser": onUser,
	"iam:GetLoginProfile": onUser, "iam:DeleteLoginProfile": onUser, "iam:ListAccessKeys": onUser, "iam:UpdateAccessKey": onUser, "iam:DeleteAccessKey": onUser, "iam:GetAccessKeyLastUsed": onUser,
	"iam:ListMFADevices": onUser, "iam:DeactivateMFADevice": onUser, "iam:ListSSHPublicKeys": onUser, "iam:UpdateSSHPublicKey": onUser, "iam:ListServiceSpecificCredentials": onUser,
	"iam:UpdateServiceSpecificCredential": onUser, "iam:ListSigningCertificates": onUser, "iam:UpdateSigningCertificate": onUser,
	"iam:GetInstanceProfile": onProfile, "iam:AddRoleToInstanceProfile": onProfile, "iam:RemoveRoleFromInstanceProfile": onProfile,
	"iam:GetPolicy": onPolicy, "iam:GetPolicyVersion": onPolicy,
	"iam:GetGroupPolicy": onGroup, "iam:ListAttachedGroupPolicies": onGroup,

	"ec2:DescribeInstances": everywhere, "ec2:DescribeNetworkInterfaces": everywhere, "ec2:DescribeSecurityGroups": everywhere, "ec2:DescribeIamInstanceProfileAssociations": everywhere,
	"ec2:DescribeSnapshots": everywhere, "ec2:DescribeLockedSnapshots": everywhere, "ec2:DescribeTrunkInterfaceAssociations": everywhere,
	"ec2:DescribeInstanceAttribute": ofInstance, "ec2:ModifyInstanceAttribute": ofInstance, "ec2:StopInstances": ofInstance, "ec2:StartInstances": ofInstance, "ec2:DisassociateIamInstanceProfile": ofInstance,
	"ec2:AssociateIamInstanceProfile": associates, "ec2:ReplaceIamInstanceProfileAssociation": associates,
	"ec2:ModifyNetworkInterfaceAttribute": ofInterface,
	"ec2:CreateTags":                      tagsOf, "ec2:DeleteTags": tagsOf,
	"ec2:DescribeSnapshotAttribute": ofSnapshot, "ec2:LockSnapshot": ofSnapshot,
	"ec2:RevokeSecurityGroupEgress": func(_ *calls, asked *sent) []ask {
		return []ask{{Action: asked.name(), On: asked.ec2(asked.text("GroupId"))}}
	},
	"ec2:CreateSecurityGroup": func(_ *calls, asked *sent) []ask {
		group := asked.arn("ec2", "security-group/sg-0123456789abcdef0")
		return append(asked.tagged(group), ask{Action: asked.name(), On: group, Context: tagging(asked.tags("TagSpecification.1.Tag"))}, ask{Action: asked.name(), On: asked.arn("ec2", "vpc/"+asked.text("VpcId"))})
	},
	"ec2:CreateSnapshots": func(_ *calls, asked *sent) []ask {
		snapshot := asked.ec2("snap-0123456789abcdef0")
		return append(asked.tagged(snapshot), ask{Action: asked.name(), On: snapshot, Context: tagging(asked.tags("TagSpecification.1.Tag"))},
			ask{Action: asked.name(), On: asked.ec2(asked.text("InstanceSpecification.InstanceId"))}, ask{Action: asked.name(), On: asked.ec2("vol-0123456789abcdef0")})
	},

	"autoscaling:DescribeAutoScalingGroups": everywhere, "autoscaling:DescribeAutoScalingInstances": everywhere,
	"elasticloadbalancing:DescribeTargetGroups": everywhere, "elasticloadbalancing:DescribeTargetHealth": everywhere,
	"cloudtrail:LookupEvents": everywhere, "guardduty:GetFindings": everywhere, "kms:ListKeys": everywhere, "kms:ListAliases": everywhere, "s3:ListAllMyBuckets": everywhere,
	"kms:ListGrants": func(_ *calls, asked *sent) []ask {
		key := asked.text("KeyId")
		return []ask{{Action: asked.name(), On: asked.arn("kms", "key/"+key[strings.LastIndex(key, "/")+1:])}}
	},
	"s3:GetBucketPolicy": onBucket, "s3:GetLifecycleConfiguration": onBucket,

	"organizations:ListPolicies": everywhere, "organizations:ListRoots": everywhere,
	"organizations:CreatePolicy": func(_ *calls, asked *sent) []ask {
		context := tagging(asked.tags(""))
		return []ask{{Action: asked.name(), On: "*", Context: context}, {Action: "organizations:TagResource", On: "arn:aws:organizations::" + asked.account + ":policy/o-abcdefghij/service_control_policy/p-01234567", Context: context}}
	},
	"organizations:DescribePolicy": inOrganization("PolicyId"), "organizations:UpdatePolicy": inOrganization("PolicyId"), "organizations:DeletePolicy": inOrganization("PolicyId"),
	"organizations:ListTargetsForPolicy": inOrganization("PolicyId"), "organizations:ListTagsForResource": inOrganization("ResourceId"), "organizations:TagResource": inOrganization("ResourceId"),
	"organizations:ListPoliciesForTarget": inOrganization("TargetId"), "organizations:AttachPolicy": inOrganization("PolicyId", "TargetId"), "organizations:DetachPolicy": inOrganization("PolicyId", "TargetId"),
	"organizations:DescribeAccount": inOrganization("AccountId"), "organizations:DescribeOrganizationalUnit": inOrganization("OrganizationalUnitId"),
	"organizations:ListAccountsForParent": inOrganization("ParentId"), "organizations:ListOrganizationalUnitsForParent": inOrganization("ParentId"),
}

func onTopic(_ *calls, asked *sent) []ask {
	return []ask{{Action: asked.name(), On: asked.text("TopicArn")}}
}

func onPolicy(_ *calls, asked *sent) []ask {
	return []ask{{Action: asked.name(), On: asked.text("PolicyArn")}}
}

func onGroup(c *calls, asked *sent) []ask {
	return []ask{{Action: asked.name(), On: c.arn(asked, "group", asked.text("GroupName"))}}
}

func onBucket(_ *calls, asked *sent) []ask {
	bucket, _, _ := strings.Cut(strings.TrimPrefix(asked.path, "/"), "/")
	return []ask{{Action: asked.name(), On: "arn:aws:s3:::" + bucket}}
}
