package local_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// TestReplySaysWhoRemovedItAndContainsThem: the one message about a removal is completed when
// CloudTrail has it, and its button ends the attacker's other way in.
func TestReplySaysWhoRemovedItAndContainsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "ci", Path: "/"})
	})
	r := w.contained(command)
	w.pass(10 * time.Minute)
	w.dropDeny()
	at := w.clock.Now()
	w.pass(16 * time.Minute)
	replies := func() (ms []slackfake.Message) {
		for _, m := range w.slack.Messages(channel) {
			if strings.Contains(m.Text, "somebody works against this containment") {
				ms = append(ms, m)
			}
		}
		return ms
	}
	if ms := replies(); len(ms) != 1 || !strings.Contains(ms[0].Text, "added here when CloudTrail tells") || !strings.Contains(ms[0].Text, "applied again") {
		t.Fatalf("%d replies\n%s", len(ms), w.said())
	}
	w.aws.Account(prod).AddEvents("us-east-1", trailtypes.Event{
		EventName: aws.String("DeleteRolePolicy"), EventTime: aws.Time(at.Truncate(time.Second)), ReadOnly: aws.String("false"),
		Resources: []trailtypes.Resource{{ResourceName: aws.String("app-role")}, {ResourceName: aws.String("AWSRevokeOlderSessions")}},
		CloudTrailEvent: aws.String(fmt.Sprintf(`{"eventName":"DeleteRolePolicy","eventTime":%q,"eventID":"4f0d130d-fae9-5907-92f7-662945944572","awsRegion":"us-east-1",
"recipientAccountId":"222222222222","sourceIPAddress":"203.0.113.7","userAgent":"<!channel> Terraform/1.5",
"userIdentity":{"type":"AssumedRole","principalId":"AROACI0000000000001:<!here>","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::222222222222:role/ci","userName":"ci"}}},
"requestParameters":{"roleName":"app-role","policyName":"AWSRevokeOlderSessions"}}`, at.UTC().Format(time.RFC3339))),
	})
	w.pass(6 * time.Minute)
	ms := replies()
	if len(ms) != 1 {
		t.Fatalf("%d replies\n%s", len(ms), w.said())
	}
	m := ms[0]
	for _, want := range []string{"By role ci, session", ": DeleteRolePolicy at", "from 203.0.113.7", "calls itself Terraform"} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("no %q in %s", want, m.Text)
		}
	}
	if strings.Count(m.Text, "<!here>") != 1 || strings.Contains(m.Text, "<!channel>") {
		t.Errorf("who removed it calls people: %s", m.Text)
	}
	if d := w.slack.Click("U03CAROL", channel, m.TS, "propose:revoke_sessions"); d.Err != nil || d.Status != 200 {
		t.Fatal(d.Status, d.Err)
	}
	w.drain()
	var asked approvals.Request
	for _, o := range w.all() {
		if o.Intent.Call.Target == "arn:aws:iam::222222222222:role/ci" {
			asked = w.state(o, approvals.Pending)
		}
	}
	w.shows(asked, "who removed what "+r.ID+" contains")
	w.clicks("U03CAROL", asked, "approve")
	w.told("U03CAROL", "a second person")
	w.clicks("U02BOB", asked, "approve")
	w.state(asked, approvals.Contained)
	if w.policy("ci") == "" {
		t.Error("it was not contained")
	}
	w.state(r, approvals.Contained)
}
