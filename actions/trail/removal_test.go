package trail_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

const (
	ofRole  = `"requestParameters":{"roleName":"app","policyName":"Deny"}`
	byOurs  = `"userIdentity":{"type":"AssumedRole","sessionContext":{"sessionIssuer":{"userName":"Killswitch-Responder"}}},`
	failing = `"errorCode":"AccessDenied",`
)

// TestRemovalOf: the last write that names the change, of each kind of step.
func TestRemovalOf(t *testing.T) {
	inline := actions.Step{Resource: "arn:aws:iam::222222222222:role/team/app", Hold: "222222222222/AROAAPP/inline/Deny"}
	managed := actions.Step{Resource: "arn:aws:iam::222222222222:user/eve", Hold: "222222222222/AIDAEVE/quarantine/KillSwitchQuarantine"}
	key := actions.Step{Resource: "arn:aws:iam::222222222222:user/eve", Hold: "222222222222/AIDAEVE/key/" + stolen}
	face := actions.Step{Resource: "arn:aws:ec2:eu-central-1:222222222222:network-interface/eni-0a", Hold: "222222222222/eni-0a/groups/eni-0a"}
	frozen := actions.Step{Resource: "arn:aws:organizations::999999999999:account/o-acme/333333333333", Hold: "999999999999/333333333333/scp/KillSwitch-freeze"}
	type call struct {
		name, record string
		ago          time.Duration
		resources    string
		reads        bool
	}
	for name, c := range map[string]struct {
		step   actions.Step
		region string
		calls  []call
		want   string // name of the call
	}{
		"taken off":             {inline, global, []call{{name: "DeleteRolePolicy", record: ofRole, ago: time.Minute, resources: "app Deny"}}, "DeleteRolePolicy"},
		"overwritten":           {inline, global, []call{{name: "PutRolePolicy", record: ofRole, ago: time.Minute, resources: "app Deny"}}, "PutRolePolicy"},
		"the role made again":   {inline, global, []call{{name: "CreateRole", record: `"requestParameters":{"roleName":"app"}`, ago: time.Minute, resources: "app"}}, "CreateRole"},
		"the user made again":   {managed, global, []call{{name: "CreateUser", record: `"requestParameters":{"userName":"eve"}`, ago: time.Minute, resources: "eve"}}, "CreateUser"},
		"regardless of case":    {inline, global, []call{{name: "DeleteRolePolicy", record: `"requestParameters":{"roleName":"APP","policyName":"DENY"}`, ago: time.Minute, resources: "app"}}, "DeleteRolePolicy"},
		"the role deleted":      {inline, global, []call{{name: "DeleteRole", record: `"requestParameters":{"roleName":"app"}`, ago: time.Minute, resources: "app"}}, "DeleteRole"},
		"by our own role":       {inline, global, []call{{name: "DeleteRolePolicy", record: byOurs + ofRole, ago: time.Minute, resources: "app"}}, "DeleteRolePolicy"},
		"put by our own role":   {inline, global, []call{{name: "PutRolePolicy", record: byOurs + ofRole, ago: time.Minute, resources: "app"}}, ""},
		"failed":                {inline, global, []call{{name: "DeleteRolePolicy", record: failing + ofRole, ago: time.Minute, resources: "app"}}, ""},
		"only read":             {inline, global, []call{{name: "GetRolePolicy", record: ofRole, ago: time.Minute, resources: "app", reads: true}}, ""},
		"another policy":        {inline, global, []call{{name: "DeleteRolePolicy", record: `"requestParameters":{"roleName":"app","policyName":"other"}`, ago: time.Minute, resources: "app"}}, ""},
		"something else":        {inline, global, []call{{name: "TagRole", record: `"requestParameters":{"roleName":"app","tags":[{"key":"a"}]}`, ago: time.Minute, resources: "app"}}, ""},
		"before the time":       {inline, global, []call{{name: "DeleteRolePolicy", record: ofRole, ago: 2 * time.Hour, resources: "app"}}, ""},
		"after the time":        {inline, global, []call{{name: "DeleteRolePolicy", record: ofRole, ago: -time.Minute, resources: "app"}}, ""},
		"not JSON":              {inline, global, []call{{name: "DeleteRolePolicy", record: `"x`, ago: time.Minute, resources: "app"}}, ""},
		"the last one":          {inline, global, []call{{name: "DeleteRolePolicy", record: ofRole, ago: 9 * time.Minute, resources: "app"}, {name: "PutRolePolicy", record: ofRole, ago: time.Minute, resources: "app"}}, "PutRolePolicy"},
		"detached":              {managed, global, []call{{name: "DetachUserPolicy", record: `"requestParameters":{"userName":"eve","policyArn":"arn:aws:iam::222222222222:policy/KillSwitchQuarantine"}`, ago: time.Minute, resources: "eve"}}, "DetachUserPolicy"},
		"the policy's content":  {managed, global, []call{{name: "CreatePolicyVersion", record: `"requestParameters":{"policyArn":"arn:aws:iam::222222222222:policy/KillSwitchQuarantine"}`, ago: time.Minute, resources: "arn:aws:iam::222222222222:policy/KillSwitchQuarantine"}}, "CreatePolicyVersion"},
		"activated":             {key, global, []call{{name: "UpdateAccessKey", record: `"requestParameters":{"userName":"eve","accessKeyId":"` + stolen + `","status":"Active"}`, ago: time.Minute, resources: "eve " + stolen}}, "UpdateAccessKey"},
		"another key":           {key, global, []call{{name: "UpdateAccessKey", record: `"requestParameters":{"userName":"eve","accessKeyId":"` + other + `","status":"Active"}`, ago: time.Minute, resources: "eve " + other}}, ""},
		"an interface's groups": {face, home, []call{{name: "ModifyNetworkInterfaceAttribute", record: `"requestParameters":{"networkInterfaceId":"eni-0a","groupSet":{"items":[{"groupId":"sg-1"}]}}`, ago: time.Minute, resources: "eni-0a"}}, "ModifyNetworkInterfaceAttribute"},
		"an SCP detached":       {frozen, global, []call{{name: "DetachPolicy", record: `"requestParameters":{"policyId":"p-1","targetId":"333333333333"}`, ago: time.Minute}}, "DetachPolicy"},
		"an SCP's content":      {frozen, global, []call{{name: "UpdatePolicy", record: `"requestParameters":{"policyId":"p-1"},"responseElements":{"policy":{"policySummary":{"name":"KillSwitch-freeze"}}}`, ago: time.Minute}}, "UpdatePolicy"},
		"another's SCP":         {frozen, global, []call{{name: "DetachPolicy", record: `"requestParameters":{"policyId":"p-1","targetId":"444444444444"}`, ago: time.Minute}}, ""},
		"all SCPs":              {frozen, global, []call{{name: "DisablePolicyType", record: `"requestParameters":{"rootId":"r-1"}`, ago: time.Minute}}, "DisablePolicyType"},
	} {
		t.Run(name, func(t *testing.T) {
			inTrail(t, []string{home}, func(t *testing.T, w *history) {
				a := w.Account(actiontest.Member)
				for _, x := range c.calls {
					e := w.event(stolen, x.name, x.ago, x.record+fmt.Sprintf(`,"of":%q`, x.name))
					for r := range strings.FieldsSeq(x.resources) {
						e.Resources = append(e.Resources, types.Resource{ResourceName: aws.String(r)})
					}
					e.EventSource, e.ReadOnly = aws.String("iam.amazonaws.com"), aws.String(fmt.Sprint(x.reads))
					if strings.Contains(c.step.Resource, ":organizations:") {
						e.EventSource = aws.String("organizations.amazonaws.com")
					}
					a.AddEvents(c.region, e)
				}
				got, err := trail.RemovalOf(t.Context(), w.enter(), c.step, w.began.Add(-time.Hour), w.began)
				actiontest.Must(t, err)
				if (got == "") != (c.want == "") || !strings.Contains(got, fmt.Sprintf(`"of":%q`, c.want)) && c.want != "" {
					t.Errorf("%q", got)
				}
			})
		})
	}
}

// TestRemovalAmongMany: calls that only name the role can't hide it for ever, and it is said that
// there are more than are looked at.
func TestRemovalAmongMany(t *testing.T) {
	step := actions.Step{Resource: "arn:aws:iam::222222222222:role/app", Hold: "222222222222/AROAAPP/inline/Deny"}
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		var es []types.Event
		for i := range 1000 {
			es = append(es, w.event(stolen, "TagRole", time.Duration(i)*time.Second, `"requestParameters":{"roleName":"app"}`, "AWS::IAM::Role=app", "AWS::IAM::Policy=Deny"))
		}
		removed := w.event(stolen, "DeleteRolePolicy", 1001*time.Second, ofRole, "AWS::IAM::Role=app", "AWS::IAM::Policy=Deny")
		w.Account(actiontest.Member).AddEvents(global, append(es, removed)...)
		got, err := trail.RemovalOf(t.Context(), w.enter(), step, w.began.Add(-time.Hour), w.began)
		if !errors.Is(err, trail.ErrPages) || got != "" {
			t.Errorf("%q, %v", got, err)
		}
		if n := len(w.lookups(global)); n > 20 {
			t.Errorf("%d look-ups", n)
		}
		if got, err := trail.RemovalOf(t.Context(), w.enter(), step, w.began.Add(-time.Hour), w.began.Add(-1000*time.Second)); err != nil || got == "" {
			t.Errorf("%q, %v", got, err)
		}
	})
}
