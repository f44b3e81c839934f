//go:build e2e

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	eventsources "github.com/killswitch-chatops/killswitch/approvals/finding"
)

// When an event arrives in the queue of alerts.
type arrives string

const (
	always        arrives = "always"
	never         arrives = "never"
	ifRoleChanges arrives = "if RoleChanges is true"
)

// exceptions are the samples that do not always arrive. The others do, also those that
// the rules can't tell from a finding and the bot ignores: samples, archived and foreign
// findings, resolved ones.
var exceptions = map[string]arrives{
	"cloudtrail_listusers_readonly.json":                  never,
	"health_other_ec2-retirement.json":                    never,
	"trustedadvisor_other_s3-permissions.json":            never,
	"cloudtrail_createservicelinkedrole_own-service.json": never,
}

// altered are samples with a few words changed.
var altered = []struct {
	name, sample string
	edits        []string // old, new
	want         arrives
}{
	{"somebody else's event", "guardduty_iam_root.json", []string{"aws.guardduty", "acme.guardduty"}, never},
	{"GuardDuty about itself", "guardduty_iam_root.json", []string{"GuardDuty Finding", "GuardDuty Runtime Protection Healthy"}, never},
	{"GuardDuty mocked", "guardduty_iam_root.json", []string{"aws.guardduty", "awsmock.guardduty"}, never},
	{"Health, another code of RISK", "health_exposed_one.json", []string{`"eventTypeCode": "AWS_RISK_CREDENTIALS_EXPOSED"`, `"eventTypeCode": "AWS_SPEND_NOTICE"`}, never},
	{"Health, the code of another service", "health_exposed_one.json", []string{`"service": "RISK"`, `"service": "EC2"`}, never},
	{"Security Hub's insights", "securityhub_asff_guardduty-iam.json", []string{"Security Hub Findings - Imported", "Security Hub Insight Results"}, never},
	{"IAM, by a service", "cloudtrail_createuser_iamuser.json", []string{`"type": "IAMUser"`, `"type": "AWSService"`}, never},
	{"IAM, another API's call", "cloudtrail_createuser_iamuser.json", []string{`"eventSource": "iam.amazonaws.com"`, `"eventSource": "sts.amazonaws.com"`}, never},
	{"IAM, a reading role", "cloudtrail_attachuserpolicy_assumed-role.json", []string{`"readOnly": false`, `"readOnly": true`}, never},
	{"IAM, our restorer", "cloudtrail_putrolepolicy_own-responder.json", []string{"role/killswitch-responder", "role/killswitch-restorer"}, always},
	{"IAM, a role with our role's name in a path", "cloudtrail_putrolepolicy_own-responder.json", []string{":role/killswitch-responder", ":role/x/killswitch-responder"}, always},
	{"IAM, our responder reads", "cloudtrail_putrolepolicy_own-responder.json", []string{`"readOnly": false`, `"readOnly": true`}, never},
	{"another service, our responder", "cloudtrail_putrolepolicy_own-responder.json", []string{"iam.amazonaws.com", "autoscaling.amazonaws.com"}, always},
	{"IAM, a role's change that is not listed", "cloudtrail_attachuserpolicy_assumed-role.json", []string{"AttachUserPolicy", "TagUser"}, ifRoleChanges},
	{"IAM, a role that is called almost as ours", "cloudtrail_attachuserpolicy_assumed-role.json", []string{"AttachUserPolicy", "TagUser", ":role/ci-deployer", ":role/killswitch-responder2"}, ifRoleChanges},
	{"a listed call, by a service", "cloudtrail_stoplogging_user.json", []string{`"type": "IAMUser"`, `"type": "AWSService"`}, never},
	{"a call beside a listed one", "cloudtrail_stoplogging_user.json", []string{"StopLogging", "StartLogging"}, never},
	{"a listed call's name, of another service", "cloudtrail_stoplogging_user.json", []string{"aws.cloudtrail", "aws.logs"}, never},
	{"a user's sign-in", "cloudtrail_consolelogin_root.json", []string{`"type": "Root"`, `"type": "IAMUser"`}, always},
	{"a federated sign-in", "cloudtrail_consolelogin_root.json", []string{`"type": "Root"`, `"type": "AssumedRole"`}, never},
	{"another event of signing in", "cloudtrail_consolelogin_root.json", []string{"ConsoleLogin", "SwitchRole"}, never},
}

// call sends a request to AWS as the SDK would, for services that this module
// has no client of.
func call(t *testing.T, cfg aws.Config, service, target, contentType, body string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, *cfg.BaseEndpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	sum := sha256.Sum256([]byte(body))
	credentials, err := cfg.Credentials.Retrieve(t.Context())
	if err == nil {
		err = v4.NewSigner().SignHTTP(t.Context(), credentials, req, hex.EncodeToString(sum[:]), service, cfg.Region, time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %v %s", service, target, resp.Status, err, answer)
	}
	return answer
}

// envelope is the part of an event that PutEvents takes.
type envelope struct {
	Source     string          `json:"source"`
	DetailType string          `json:"detail-type"`
	Detail     json.RawMessage `json:"detail"`
}

// putEvent puts an event on an account's default bus.
func putEvent(t *testing.T, cfg aws.Config, e envelope) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"Entries": []any{map[string]string{"Source": e.Source, "DetailType": e.DetailType, "Detail": string(e.Detail)}}})
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ FailedEntryCount int }
	answer := call(t, cfg, "events", "AWSEvents.PutEvents", "application/x-amz-json-1.1", string(body))
	if err := json.Unmarshal(answer, &out); err != nil || out.FailedEntryCount != 0 {
		t.Fatalf("put: %v %s", err, answer)
	}
}

// eventsOf reads a sample: one event or an array, each with its detail as an object.
func eventsOf(t *testing.T, text string) []envelope {
	t.Helper()
	if !strings.HasPrefix(text, "[") {
		text = "[" + text + "]"
	}
	var es []envelope
	if err := json.Unmarshal([]byte(text), &es); err != nil {
		t.Fatal(err)
	}
	for i, e := range es {
		if detail := ""; json.Unmarshal(e.Detail, &detail) == nil { // as it is put, not as it arrives
			es[i].Detail = json.RawMessage(detail)
		}
	}
	return es
}

// TestRules: EventBridge brings to the queue of alerts, by the rules of
// template.yaml, exactly those samples that it should, those of Security Hub to a queue of
// their own; from another account and region by those of deploy/members.yaml. To the queue trail it brings what can undo
// a containment.
func TestRules(t *testing.T) {
	t.Parallel()
	texts, wants := ruleSamples(t)
	for _, roleChanges := range []string{"false", "true"} {
		t.Run("RoleChanges "+roleChanges, func(t *testing.T) {
			a := StartAWS(t)
			d := deploy(t, a, "RoleChanges="+roleChanges)
			hub, member := a.Hub(t), a.Member(t, prod)
			role, err := arn.Parse(d.Outputs["ExecutorRoleArn"])
			if err != nil {
				t.Fatal(err)
			}
			member.Region = "us-east-1"
			forward := func(cfg aws.Config) {
				t.Helper()
				template, err := os.ReadFile("../deploy/members.yaml")
				if err != nil {
					t.Fatal(err)
				}
				call(t, cfg, "cloudformation", "", "application/x-www-form-urlencoded", url.Values{
					"Action": {"CreateStack"}, "Version": {"2010-05-15"}, "StackName": {"killswitch-members"}, "TemplateBody": {string(template)}, "Capabilities.member.1": {"CAPABILITY_NAMED_IAM"},
					"Parameters.member.1.ParameterKey": {"HubAccountId"}, "Parameters.member.1.ParameterValue": {role.AccountID},
					"Parameters.member.2.ParameterKey": {"HubRegion"}, "Parameters.member.2.ParameterValue": {hub.Region},
					"Parameters.member.3.ParameterKey": {"RoleChanges"}, "Parameters.member.3.ParameterValue": {roleChanges},
				}.Encode())
			}
			forward(member)
			forward(hub) // where it must do nothing, or all would arrive twice
			queue := sqs.NewFromConfig(hub)
			for from, cfg := range map[string]aws.Config{"the hub": hub, "another account and region": member} {
				for name, want := range wants {
					var expected, imported, looks []any
					for _, e := range eventsOf(t, texts[name]) {
						putEvent(t, cfg, e)
						switch arrives := want == always || want == ifRoleChanges && roleChanges == "true"; {
						case arrives && e.Source == "aws.securityhub":
							imported = append(imported, decode(t, e.Detail))
						case arrives:
							expected = append(expected, decode(t, e.Detail))
						}
						whole, err := json.Marshal(e)
						if err != nil {
							t.Fatal(err)
						}
						if _, ok := eventsources.ReadTampering(whole); ok {
							looks = append(looks, decode(t, e.Detail))
						}
					}
					if diff := cmp.Diff(expected, arrived(t, queue, d.Outputs["AlertsQueueUrl"])); diff != "" {
						t.Errorf("%s, from %s, arrives %s (-want +got):\n%.600s", name, from, want, diff)
					}
					if diff := cmp.Diff(imported, arrived(t, queue, d.Outputs["ImportedQueueUrl"])); diff != "" {
						t.Errorf("%s, from %s, in the queue of what is imported (-want +got):\n%.600s", name, from, diff)
					}
					if diff := cmp.Diff(looks, arrived(t, queue, d.Outputs["TrailQueueUrl"])); diff != "" {
						t.Errorf("%s, from %s, in the queue trail (-want +got):\n%.600s", name, from, diff)
					}
				}
			}
		})
	}
}

// ruleSamples are the samples of events, and when each arrives in the queue of alerts.
func ruleSamples(t *testing.T) (texts map[string]string, wants map[string]arrives) {
	t.Helper()
	samples, err := filepath.Glob("../approvals/finding/testdata/events/*.json")
	if err != nil || len(samples) < 40 {
		t.Fatalf("%d samples, %v", len(samples), err)
	}
	texts, wants = map[string]string{}, map[string]arrives{}
	for _, path := range samples {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(path)], wants[filepath.Base(path)] = string(b), always
	}
	for name, when := range exceptions {
		if texts[name] == "" {
			t.Errorf("%s: there is no such sample", name)
		}
		wants[name] = when
	}
	for _, c := range altered {
		text := texts[c.sample]
		if !strings.Contains(text, c.edits[0]) {
			t.Fatalf("%s: %s has no %s", c.name, c.sample, c.edits[0])
		}
		texts[c.name], wants[c.name] = strings.NewReplacer(c.edits...).Replace(text), c.want
	}

	for name, c := range tampering(texts["cloudtrail_attachuserpolicy_assumed-role.json"]) {
		texts[name], wants[name] = c.event, c.want
	}
	return texts, wants
}

// tampered is an event of a call that can undo a containment, or of one that can't.
type tampered struct {
	event string
	want  arrives // in the queue of alerts
}

// tampering are events of one call of each service, and such as are none, by a sample.
func tampering(sample string) map[string]tampered {
	of := func(want arrives, service, call string, more ...string) tampered {
		return tampered{strings.NewReplacer(append(more, "aws.iam", "aws."+service, "iam.amazonaws.com", service+".amazonaws.com", "AttachUserPolicy", call)...).Replace(sample), want}
	}
	return map[string]tampered{
		"an interface's groups":    of(never, "ec2", "ModifyNetworkInterfaceAttribute"),
		"rules of a group":         of(always, "ec2", "AuthorizeSecurityGroupIngress"),
		"an SCP":                   of(always, "organizations", "DetachPolicy"),
		"an account that leaves":   of(always, "organizations", "LeaveOrganization"),
		"a new instance":           of(never, "ec2", "RunInstances"),
		"another service":          of(never, "s3", "DeleteBucketPolicy"),
		"a role's policy, refused": of(ifRoleChanges, "iam", "DeleteRolePolicy", `"eventVersion"`, `"errorCode": "AccessDenied", "eventVersion"`),
	}
}

func decode(t *testing.T, b []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// arrived takes what is in a queue and returns the events' details, in their order. What two rules of
// another account passed on is there twice.
func arrived(t *testing.T, client *sqs.Client, queue string) (details []any) {
	t.Helper()
	for {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return details
		}
		for _, m := range out.Messages {
			var e envelope
			if err := json.Unmarshal([]byte(*m.Body), &e); err != nil {
				t.Fatal(err)
			}
			detail := decode(t, e.Detail)
			if !slices.ContainsFunc(details, func(d any) bool { return cmp.Equal(d, detail) }) {
				details = append(details, detail)
			}
			if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
		if len(details) > 100 {
			t.Fatal("they never end")
		}
	}
}
