package template

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
)

// TestResolve: of members.yaml each account and region gets its part. That it is what a stack makes, moto says (e2e).
func TestResolve(t *testing.T) {
	o := actions.Org{Actions: all.Actions, Partition: "aws", HubAccount: "111111111111", ManagementAccount: "999999999999", ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer", ExternalID: "x1"}
	text, err := Members(o)
	if err != nil {
		t.Fatal(err)
	}
	members, err := Read(text)
	if err != nil {
		t.Fatal(err)
	}
	resolve := func(account, region string, parameters map[string]string) map[string]Resource {
		return members.Resolve(Place{"aws", account, region, parameters})
	}
	forwards := map[string]string{"HubRegion": "eu-west-1", "OrganizationId": "o-acme000000"}
	kinds := func(made map[string]Resource) map[string]int {
		n := map[string]int{}
		for _, r := range made {
			n[r.Type]++
		}
		return n
	}
	rules := len(slices.DeleteFunc(slices.Collect(maps.Keys(resolve("222222222222", "eu-west-1", forwards))), func(id string) bool { return len(id) < 5 || id[len(id)-4:] != "Rule" }))
	for name, c := range map[string]struct {
		account, region string
		parameters      map[string]string
		want            map[string]int
	}{
		"a member's region of roles": {"222222222222", "us-east-1", forwards, map[string]int{"AWS::IAM::Role": 4, "AWS::IAM::Policy": 2, "AWS::IAM::ManagedPolicy": 2, "AWS::IAM::InstanceProfile": 1,
			"AWS::Events::Rule": rules, "AWS::SQS::Queue": 1, "AWS::SQS::QueuePolicy": 1, "AWS::CloudFormation::WaitConditionHandle": 1}},
		"another region":             {"222222222222", "eu-west-1", forwards, map[string]int{"AWS::Events::Rule": rules, "AWS::SQS::Queue": 1, "AWS::SQS::QueuePolicy": 1, "AWS::CloudFormation::WaitConditionHandle": 1}},
		"without forwarding":         {"222222222222", "eu-west-1", nil, map[string]int{"AWS::CloudFormation::WaitConditionHandle": 1}},
		"the management account":     {"999999999999", "us-east-1", nil, map[string]int{"AWS::IAM::Role": 2, "AWS::IAM::Policy": 2, "AWS::CloudFormation::WaitConditionHandle": 1}},
		"the hub's own region":       {"111111111111", "eu-west-1", forwards, map[string]int{"AWS::CloudFormation::WaitConditionHandle": 1}},
		"roles are made elsewhere":   {"222222222222", "us-east-1", map[string]string{"RoleRegion": "eu-west-1"}, map[string]int{"AWS::CloudFormation::WaitConditionHandle": 1}},
		"the hub, in another region": {"111111111111", "eu-central-1", forwards, map[string]int{"AWS::Events::Rule": rules, "AWS::SQS::Queue": 1, "AWS::SQS::QueuePolicy": 1, "AWS::CloudFormation::WaitConditionHandle": 1}},
		"with all of roles' changes": {"222222222222", "eu-west-1", map[string]string{"HubRegion": "eu-west-1", "RoleChanges": "true"}, map[string]int{}},
	} {
		got := kinds(resolve(c.account, c.region, c.parameters))
		if name == "with all of roles' changes" {
			c.want = kinds(resolve("222222222222", "eu-west-1", forwards))
			c.want["AWS::Events::Rule"]++
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	responder := resolve("222222222222", "us-east-1", forwards)["ResponderRole"].Properties
	allow := func(acts []any, condition map[string]any) any {
		return map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": "arn:aws:iam::111111111111:root"}, "Action": acts, "Condition": condition}
	}
	executor := map[string]any{"aws:PrincipalArn": []any{"arn:aws:iam::111111111111:role/killswitch-executor"}} // no standby, and nothing in its place
	ours := map[string]any{"aws:PrincipalOrgID": "o-acme000000"}
	want := map[string]any{"Version": "2012-10-17", "Statement": []any{
		allow([]any{"sts:AssumeRole"}, map[string]any{"ArnEquals": executor, "StringLike": ours, "StringEquals": map[string]any{"sts:ExternalId": "x1"}}),
		allow([]any{"sts:SetSourceIdentity", "sts:TagSession"}, map[string]any{"ArnEquals": executor, "StringLike": ours}),
	}}
	if diff := cmp.Diff(any(want), responder["AssumeRolePolicyDocument"]); diff != "" {
		t.Errorf("the responder's trust (-want +got):\n%s", diff)
	}
}
