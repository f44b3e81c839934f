package template

import (
	"cmp"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// rulesFile has the rules of template.yaml that take events, as a test has read them there.
//
//go:embed rules.yaml
var rulesFile string

// A rule is what a rule of EventBridge takes.
type rule struct {
	Condition   string // of the template; empty: events are taken at all
	Description string
	Pattern     object
}

func rules(o actions.Org) (map[string]rule, error) {
	text := strings.NewReplacer("${ResponderRoleName}", o.ResponderRole, "${RestorerRoleName}", o.RestorerRole).Replace(rulesFile)
	var all map[string]rule
	if err := yaml.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("rules.yaml: %w", err)
	}
	return all, nil
}

// rulesTo makes the rules with a target, and a queue for what the target did not take within a day.
func rulesTo(all map[string]rule, taken string, target object) object {
	dead := arnOf("DeadQueue")
	target["DeadLetterConfig"] = object{"Arn": dead}
	resources, arns := object{}, []any{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		r := all[name]
		arn := any(arnOf(name))
		if r.Condition != "" {
			arn = when(r.Condition, arn)
		}
		arns = append(arns, arn)
		resources[name] = resource("AWS::Events::Rule", cmp.Or(r.Condition, taken), object{"Description": r.Description, "EventPattern": r.Pattern, "Targets": []any{target}})
	}
	resources["DeadQueue"] = resource("AWS::SQS::Queue", taken, object{"SqsManagedSseEnabled": true, "MessageRetentionPeriod": 1209600})
	resources["DeadQueuePolicy"] = resource("AWS::SQS::QueuePolicy", taken, object{"Queues": []any{ref("DeadQueue")}, "PolicyDocument": object{"Version": "2012-10-17", "Statement": []any{
		object{"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": dead, "Condition": object{"Bool": object{"aws:SecureTransport": false}}},
		object{"Effect": "Allow", "Principal": object{"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": dead, "Condition": object{"ArnEquals": object{"aws:SourceArn": arns}}},
	}}})
	return resources
}

// eventBridge trusts EventBridge, for rules of the same account alone.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/cross-service-confused-deputy-prevention.html
func eventBridge() object {
	return object{"Effect": "Allow", "Principal": object{"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole",
		"Condition": object{"StringEquals": object{"aws:SourceAccount": ref("AWS::AccountId")}}}
}

// forward adds what passes on to the hub's event bus what the hub's own rules take: the same rules, in each region, and
// the role of the account by which they do it.
func forward(f *file, o actions.Org) error {
	all, err := rules(o)
	if err != nil {
		return err
	}
	hub := sub("arn:" + o.Partition + ":events:${HubRegion}:${HubAccountId}:event-bus/default")
	maps.Copy(f.Parameters, object{
		"HubRegion":         parameter("([a-z]{2}(-[a-z]+)+-[0-9])?", "Region of the hub, to whose event bus each region's events go; left out, none are passed on", ""),
		"RoleRegion":        parameter("[a-z]{2}(-[a-z]+)+-[0-9]", "The region whose stack makes the account's roles and policies, for all regions; deploy there first", trail.GlobalRegion(o.Partition)),
		"ForwarderRoleName": parameter("[A-Za-z0-9_+=,.@-]{1,64}", "Name of the role that passes events on (aws.forwarder_role of the configuration, so that a freeze exempts it)", o.Forwarder()),
		"RoleChanges":       object{"Type": "String", "Default": "false", "AllowedValues": []any{"true", "false"}, "Description": "As in the hub's stack: all other IAM changes by sessions of roles, too"},
	})
	maps.Copy(f.Conditions, object{
		"Forwards":         object{"Fn::And": []any{not(equals(ref("HubRegion"), "")), not(condition("IsHub"))}},
		"IsHub":            object{"Fn::And": []any{equals(ref("AWS::AccountId"), ref("HubAccountId")), equals(ref("AWS::Region"), ref("HubRegion"))}}, // there the hub's own rules see everything
		"MakesForwarder":   object{"Fn::And": []any{condition("MakesRoles"), not(equals(ref("HubRegion"), ""))}},
		"TakesRoleChanges": object{"Fn::And": []any{condition("Forwards"), equals(ref("RoleChanges"), "true")}},
	})
	// A stack makes something at least: in the hub's own region, where the roles are not, it makes this, which is nothing.
	f.Resources["Placeholder"] = object{"Type": "AWS::CloudFormation::WaitConditionHandle"}
	f.Resources["ForwarderRole"] = resource("AWS::IAM::Role", "MakesForwarder", object{
		"RoleName": ref("ForwarderRoleName"), "Description": "Killswitch forwarder, may put events on the hub's event bus and nothing else",
		"AssumeRolePolicyDocument": object{"Version": "2012-10-17", "Statement": []any{eventBridge()}},
		"Policies":                 []any{object{"PolicyName": "forward", "PolicyDocument": object{"Version": "2012-10-17", "Statement": []any{object{"Effect": "Allow", "Action": "events:PutEvents", "Resource": hub}}}}},
	})
	// Where the role is made, the rules wait for it.
	role := object{"Fn::If": []any{"MakesForwarder", arnOf("ForwarderRole"), sub("arn:" + o.Partition + ":iam::${AWS::AccountId}:role/${ForwarderRoleName}")}}
	maps.Copy(f.Resources, rulesTo(all, "Forwards", object{"Id": "hub", "Arn": hub, "RoleArn": role}))
	return nil
}
