package finding

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
)

// notTampering are writes of our actions that undo no goal of another one: what only supports, what
// only takes away or adds, and what EC2 does with new objects.
var notTampering = []string{
	"iam:TagRole", "iam:UntagRole", "iam:TagUser", "iam:UntagUser", "iam:PassRole", "ec2:CreateTags", "ec2:DeleteTags",
	"iam:DeactivateMFADevice", "ec2:CreateSnapshots", "ec2:LockSnapshot", "ec2:CreateSecurityGroup", "ec2:RevokeSecurityGroupEgress", "ec2:StopInstances",
	"autoscaling:EnterStandby", "autoscaling:ExitStandby", "elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets",
	"organizations:AttachPolicy", "organizations:CreatePolicy", "organizations:TagResource",
}

// TestEveryWriteOfAnActionHasItsCall: what undoes a step of any action, and what writes it, is a call
// that is listened for.
func TestEveryWriteOfAnActionHasItsCall(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range all.Actions {
		for _, phase := range []actions.Phase{actions.PhaseRun, actions.PhaseUndo} {
			for _, s := range a.Spec().Permits(phase, actions.Anything(actions.Org{Partition: "aws", AdminGroup: "admins"})) {
				for _, permission := range s.Actions {
					service, call, _ := strings.Cut(permission, ":")
					reads := strings.HasPrefix(call, "Get") || strings.HasPrefix(call, "List") || strings.HasPrefix(call, "Describe") || strings.HasPrefix(call, "Lookup")
					if seen[permission] = true; !reads && !slices.Contains(tamperCalls[service], call) && !slices.Contains(notTampering, permission) {
						t.Errorf("%s uses %s: nobody listens to what undoes or overwrites it", a.Spec().Name, permission)
					}
				}
			}
		}
	}
	for _, permission := range notTampering {
		if !seen[permission] {
			t.Errorf("no action uses %s any more", permission)
		}
	}
}

// TestRuleTakesTheCalls: ContainmentChangesRule has the list of this package.
func TestRuleTakesTheCalls(t *testing.T) {
	for _, file := range []string{"../../template.yaml", "../../deploy/members.yaml"} {
		got := rulesOf(t, file)["ContainmentChangesRule"]
		var sources, services, calls []string
		for service, names := range tamperCalls {
			sources, services, calls = append(sources, "aws."+service), append(services, service+".amazonaws.com"), append(calls, names...)
		}
		for what, pair := range map[string][2][]string{"source": {sources, got.source}, "eventSource": {services, got.eventSource}, "eventName": {calls, got.eventName}} {
			slices.Sort(pair[0])
			slices.Sort(pair[1])
			if d := cmp.Diff(slices.Compact(pair[0]), pair[1]); d != "" {
				t.Errorf("%s, %s (-tampering.go +rule):\n%s", file, what, d)
			}
		}
	}
}

// tamperCall is an event of CloudTrail.
func tamperCall(service, call, request, response string, alter ...string) string {
	e := `{"source":"aws.` + service + `","detail-type":"AWS API Call via CloudTrail","account":"222222222222","detail":{"eventSource":"` + service + `.amazonaws.com","eventName":"` + call +
		`","eventTime":"2026-11-13T09:30:02Z","recipientAccountId":"222222222222","requestParameters":` + request + `,"responseElements":` + response + `}}`
	return strings.NewReplacer(alter...).Replace(e)
}

func TestReadTampering(t *testing.T) {
	scp := []string{"organizations", "DetachPolicy"}
	for name, c := range map[string]struct {
		event string
		want  []string // nil: it is none
		scp   bool
		any   bool
	}{
		"a role's policy": {event: tamperCall("iam", "DeleteRolePolicy", `{"roleName":"App-Role","policyName":"AWSRevokeOlderSessions"}`, `null`), want: []string{"app-role", "awsrevokeoldersessions"}},
		"by an ARN":       {event: tamperCall("iam", "DetachUserPolicy", `{"userName":"bernd","policyArn":"arn:aws:iam::222222222222:policy/KillSwitchQuarantine"}`, `null`), want: []string{"bernd", "killswitchquarantine"}},
		"an own key":      {event: tamperCall("iam", "CreateAccessKey", `null`, `{"accessKey":{"userName":"bernd","accessKeyId":"AKIA0123456789ABCDEF"}}`), want: []string{"akia0123456789abcdef", "bernd"}},
		"groups of an interface": {event: tamperCall("ec2", "ModifyNetworkInterfaceAttribute", `{"networkInterfaceId":"eni-0a","groupSet":{"items":[{"groupId":"sg-1"}]}}`, `{"_return":true}`),
			want: []string{"eni-0a", "sg-1"}},
		"a profile, by its association": {event: tamperCall("ec2", "ReplaceIamInstanceProfileAssociation", `{"AssociationId":"iip-1","IamInstanceProfile":{"Name":"web"}}`, `{"iamInstanceProfileAssociation":{"instanceId":"i-0a"}}`),
			want: []string{"i-0a", "iip-1", "web"}},
		"an SCP":           {event: tamperCall(scp[0], scp[1], `{"policyId":"p-freeze01","targetId":"333333333333"}`, `null`), want: []string{"222222222222", "333333333333", "p-freeze01"}, scp: true},
		"an SCP's content": {event: tamperCall(scp[0], "UpdatePolicy", `{"policyId":"p-freeze01","content":"`+strings.Repeat("x", 200)+`"}`, `null`), want: []string{"222222222222", "p-freeze01"}, scp: true, any: true},
		"no account":       {event: tamperCall("iam", "DeleteRole", `{"roleName":"a"}`, `null`, `"recipientAccountId":"222222222222",`, ""), want: []string{"a"}},

		"failed":             {event: tamperCall("iam", "DeleteRolePolicy", `{"roleName":"a"}`, `null`, `"eventTime"`, `"errorCode":"AccessDenied","eventTime"`)},
		"another call":       {event: tamperCall("iam", "GetRolePolicy", `{"roleName":"a"}`, `null`)},
		"another service":    {event: tamperCall("sts", "DeleteRolePolicy", `{"roleName":"a"}`, `null`)},
		"of another service": {event: tamperCall("iam", "ModifyNetworkInterfaceAttribute", `{"roleName":"a"}`, `null`)},
		"a mock":             {event: tamperCall("iam", "DeleteRolePolicy", `{"roleName":"a"}`, `null`, "aws.iam", "awsmock.iam")},
		"no call":            {event: tamperCall("iam", "DeleteRolePolicy", `{"roleName":"a"}`, `null`, "AWS API Call", "AWS Console Sign In")},
		"no time":            {event: tamperCall("iam", "DeleteRolePolicy", `{"roleName":"a"}`, `null`, `"eventTime":"2026-11-13T09:30:02Z",`, "")},
		"an array":           {event: `[]`},
		"nothing":            {event: ``},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := ReadTampering([]byte(c.event))
			slices.Sort(got.Names)
			if ok != (c.want != nil) || !slices.Equal(got.Names, c.want) || got.SCP != c.scp || got.AnySCP != c.any || ok && (got.Account != "222222222222" || got.At.IsZero()) {
				t.Errorf("%t, %+v", ok, got)
			}
		})
	}
}

// TestHugeTamperingIsRead: a list as long as a message may be, and one as deep as JSON may be.
func TestHugeTamperingIsRead(t *testing.T) {
	var list []string
	for range 100_000 {
		list = append(list, "sg-0")
	}
	b, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := ReadTampering([]byte(tamperCall("ec2", "ModifyInstanceAttribute", string(b), `null`))); !ok || len(c.Names) != len(list) {
		t.Errorf("%t, %d names", ok, len(c.Names))
	}
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	if _, ok := ReadTampering([]byte(tamperCall("ec2", "ModifyInstanceAttribute", deep, `null`))); !ok {
		t.Error("a deep one is not read")
	}
}

// TestSamplesOfTampering: which of the samples are changes that can undo something.
func TestSamplesOfTampering(t *testing.T) {
	want := map[string]bool{
		"cloudtrail_attachuserpolicy_assumed-role.json": true, "cloudtrail_createaccesskey_other-user.json": true, "cloudtrail_createaccesskey_own-root.json": true,
		"cloudtrail_createloginprofile_own-federated.json": true, "cloudtrail_createuser_iamuser.json": true, "cloudtrail_putrolepolicy_own-responder.json": true,
		"cloudtrail_putuserpolicy_own-identity-center.json": true, "cloudtrail_updateaccesskey_own-reactivated.json": true, "cloudtrail_updateassumerolepolicy_own-instance.json": true,
		"cloudtrail_putuserpolicy_aws-quarantine.json": true, "cloudtrail_attachuserpolicy_aws-quarantine.json": true, "cloudtrail_detachuserpolicy_aws-quarantine.json": true,
		"cloudtrail_createrole_trusts-outside.json": true, "cloudtrail_createrole_trusts-own-account.json": true,
	}
	files, err := os.ReadDir("testdata/events")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile("testdata/events/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := ReadTampering(b); ok != want[f.Name()] {
			t.Errorf("%s: %t", f.Name(), ok)
		}
	}
}
