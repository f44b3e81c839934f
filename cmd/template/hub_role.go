package template

import (
	"maps"
	"slices"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Serve is what the role of a `killswitch serve` follows from.
type Serve struct {
	Org    actions.Org
	Topics []string // ARNs of what notify names
	Bucket string   // of heads of audit chains; may be empty
}

const hubRoleHead = `# What "killswitch serve" needs in the hub account: the role that it runs as, which the member roles trust, and, where it is to
# get events, the rules that bring them to its POST /events. Printed by "killswitch template hub-role"; docs/serve.md tells
# how to deploy it. In Lambda template.yaml is in its place.
`

// noKey stands for a key that is not given: a parameter that hides its value has no list of allowed ones.
const noKey = "none"

// HubRole returns the template of what serve needs in the hub account. Events come to it by an API destination:
// the hub's own ones, and what the member accounts pass on.
func HubRole(s Serve) ([]byte, error) {
	o := s.Org
	all, err := rules(o)
	if err != nil {
		return nil, err
	}
	members := []any{roleOf(o, o.ResponderRole), roleOf(o, o.RestorerRole)}
	allow := func(resources any, acts ...any) object {
		return object{"Effect": "Allow", "Action": acts, "Resource": resources}
	}
	enter := allow(members, "sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession")
	// No account outside the organization learns of a request by a session there.
	enter["Condition"] = when("HasOrganization", object{"StringEquals": object{"aws:ResourceOrgID": ref("OrganizationId")}})
	statements := []any{
		enter,
		object{"Effect": "Deny", "Action": "sts:Assume*", "NotResource": members}, // also where another role trusts this one
		allow("*", "sts:GetAccessKeyInfo"),                                        // whose an access key is; it takes no resource
	}
	for _, topic := range slices.Compact(slices.Sorted(slices.Values(s.Topics))) {
		statements = append(statements, allow(topic, "sns:GetTopicAttributes", "sns:Publish"))
	}
	if s.Bucket != "" { // locked heads, none over another; it reads and deletes none
		heads := "arn:" + o.Partition + ":s3:::" + s.Bucket + "/heads/*"
		put := allow(heads, "s3:PutObject")
		put["Condition"] = object{"StringEquals": object{"s3:object-lock-mode": "COMPLIANCE"}, "Null": object{"s3:if-none-match": "false"}}
		statements = append(statements, put, allow(heads, "s3:PutObjectRetention"))
	}
	trusts := func(principal object) object {
		return object{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
	}
	f := file{
		Version:     "2010-09-09",
		Description: "Killswitch hub, the role that killswitch serve runs as, and the rules that bring it events",
		Parameters: object{
			"HubRoleName":      parameter("[A-Za-z0-9_+=,.@-]{1,64}", "Name of the role: ExecutorRoleName of the member accounts", ExecutorRole),
			"TrustedPrincipal": parameter("(arn:aws[a-z-]*:iam::[0-9]{12}:(user|role)/.+)?", "User or role whose credentials serve has, where it runs outside of EC2; left out, it runs on an EC2 instance with the profile of the outputs", ""),
			"OrganizationId":   parameter("(o-[a-z0-9]{10,32})?", "Your organization (o-...): serve enters no account outside of it, and its accounts may pass events on to this one; left out, only this account's own events are seen", ""),
			"EventsUrl":        parameter("(https://.+/events)?", "Where serve takes events from outside, with TLS; left out, none are brought", ""),
			"EventsKey":        object{"Type": "String", "NoEcho": true, "Default": noKey, "Description": "With EventsUrl: the secret of a webhook with events: true, as in KILLSWITCH_WEBHOOK_KEYS"},
			"RoleChanges":      object{"Type": "String", "Default": "false", "AllowedValues": []any{"true", "false"}, "Description": "true brings all other IAM changes by sessions of roles too, which are most of all; they are shown where a route names their type"},
		},
		Rules: object{"EventsHaveAKey": object{"RuleCondition": not(equals(ref("EventsUrl"), "")), "Assertions": []any{
			object{"Assert": not(equals(ref("EventsKey"), noKey)), "AssertDescription": "EventsUrl wants EventsKey: without a webhook's secret each event is refused"}}}},
		Conditions: object{
			"HasOrganization":  not(equals(ref("OrganizationId"), "")),
			"OnEC2":            equals(ref("TrustedPrincipal"), ""),
			"TakesEvents":      not(equals(ref("EventsUrl"), "")),
			"TakesRoleChanges": object{"Fn::And": []any{condition("TakesEvents"), equals(ref("RoleChanges"), "true")}},
		},
		Resources: object{
			"HubRole": resource("AWS::IAM::Role", "", object{"RoleName": ref("HubRoleName"), "Description": "Killswitch serve, contains and undoes in member accounts",
				"AssumeRolePolicyDocument": object{"Version": "2012-10-17", "Statement": []any{object{"Fn::If": []any{"OnEC2", trusts(object{"Service": "ec2.amazonaws.com"}), trusts(object{"AWS": ref("TrustedPrincipal")})}}}},
				"Policies":                 []any{object{"PolicyName": "serve", "PolicyDocument": object{"Version": "2012-10-17", "Statement": statements}}}}),
			"InstanceProfile": resource("AWS::IAM::InstanceProfile", "OnEC2", object{"InstanceProfileName": ref("HubRoleName"), "Roles": []any{ref("HubRole")}}),
			"EventsConnection": resource("AWS::Events::Connection", "TakesEvents", object{"Description": "The key by which events come to Killswitch", "AuthorizationType": "API_KEY",
				"AuthParameters": object{"ApiKeyAuthParameters": object{"ApiKeyName": "X-Api-Key", "ApiKeyValue": ref("EventsKey")}}}), //nolint:gosec // a parameter, which hides its value
			"EventsDestination": resource("AWS::Events::ApiDestination", "TakesEvents", object{"Description": "Killswitch's POST /events", "ConnectionArn": arnOf("EventsConnection"), "HttpMethod": "POST",
				"InvocationEndpoint": ref("EventsUrl"), "InvocationRateLimitPerSecond": 50}),
			"EventsRole": resource("AWS::IAM::Role", "TakesEvents", object{"Description": "Killswitch events, may call POST /events and nothing else",
				"AssumeRolePolicyDocument": object{"Version": "2012-10-17", "Statement": []any{eventBridge()}},
				"Policies": []any{object{"PolicyName": "events", "PolicyDocument": object{"Version": "2012-10-17", "Statement": []any{
					allow(arnOf("EventsDestination"), "events:InvokeApiDestination")}}}}}),
			"ForwardedEvents": resource("AWS::Events::EventBusPolicy", "HasOrganization", object{"StatementId": "killswitch-forwarders", "Statement": object{"Effect": "Allow", "Principal": "*", "Action": "events:PutEvents",
				"Resource":  sub("arn:" + o.Partition + ":events:${AWS::Region}:${AWS::AccountId}:event-bus/default"),
				"Condition": object{"StringEquals": object{"aws:PrincipalOrgID": ref("OrganizationId"), "events:eventBusInvocation": "true"}}}}),
		},
		Outputs: object{
			"HubRoleArn": object{"Description": "What serve runs as; the member roles trust its name, as ExecutorRoleName", "Value": arnOf("HubRole")},
			"HubRegion":  object{"Description": "HubRegion of the member accounts", "Value": ref("AWS::Region")},
		},
	}
	maps.Copy(f.Resources, rulesTo(all, "TakesEvents", object{"Id": "serve", "Arn": arnOf("EventsDestination"), "RoleArn": arnOf("EventsRole")}))
	return encode(hubRoleHead, f)
}

// roleOf is the ARN of a member role in any account.
func roleOf(o actions.Org, name string) string { return "arn:" + o.Partition + ":iam::*:role/" + name }
