//go:build e2e

package e2e

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfn "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	alarms "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	rules "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	buckets "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/scp"
	"github.com/killswitch-chatops/killswitch/bot/ingress"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/doctor"
)

// between stands before a service and answers some operations in its place: what moto and local-slack do not have,
// and faults that nobody can make there.
type between struct {
	t       *testing.T
	URL     string
	mu      sync.Mutex
	answers map[string]func(body string) (status int, answer string)
	header  map[string]string // of all answers
	edits   map[string]func(answer string) string
}

func standBetween(t *testing.T, to string) *between {
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	b := &between{t: t, answers: map[string]func(string) (int, string){}, header: map[string]string{}, edits: map[string]func(string) string{}}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(resp *http.Response) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		for k, v := range b.header {
			resp.Header.Set(k, v)
		}
		edit := b.edits[resp.Request.Header.Get("X-Operation")]
		if edit == nil {
			return nil
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		changed := edit(string(body))
		resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(changed)), int64(len(changed))
		resp.Header.Del("Content-Length")
		return nil
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		operation := operationOf(r, string(body))
		b.mu.Lock()
		answer := b.answers[operation]
		header := b.header
		b.mu.Unlock()
		if answer != nil {
			if status, text := answer(string(body)); status != 0 {
				for k, v := range header {
					w.Header().Set(k, v)
				}
				w.Header().Set("Content-Type", map[bool]string{true: "application/json", false: "text/xml"}[strings.HasPrefix(text, "{")])
				w.WriteHeader(status)
				_, _ = io.WriteString(w, text)
				return
			}
		}
		r.Header.Set("X-Operation", operation)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.URL = server.URL
	return b
}

// operationOf is the operation that is called: by its target, its form or its path.
func operationOf(r *http.Request, body string) string {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		return target[strings.LastIndex(target, ".")+1:]
	}
	if form, err := url.ParseQuery(body); err == nil && form.Get("Action") != "" {
		return form.Get("Action")
	}
	if of := r.URL.Query().Get("FunctionName"); of != "" {
		return "mappings of " + of
	}
	return r.Method + " " + r.URL.Path
}

// answer has an operation answered, until it is taken back.
func (b *between) answer(operation string, status int, text string) (back func()) {
	return b.answerIf(operation, "", status, text)
}

// answerIf answers only what has a text in its body.
func (b *between) answerIf(operation, has string, status int, text string) (back func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.answers[operation]
	b.answers[operation] = func(body string) (int, string) {
		if !strings.Contains(body, has) {
			if before != nil {
				return before(body)
			}
			return 0, ""
		}
		return status, text
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.answers[operation] = before; before == nil {
			delete(b.answers, operation)
		}
	}
}

// edit has the answers of an operation changed, until it is taken back.
func (b *between) edit(operation string, change func(string) string) (back func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.edits[operation]
	b.edits[operation] = func(answer string) string {
		if before != nil {
			answer = before(answer)
		}
		return change(answer)
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.edits[operation] = before; before == nil {
			delete(b.edits, operation)
		}
	}
}

func (b *between) head(name, value string) (back func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.header[name]
	header := map[string]string{name: value}
	for k, v := range b.header {
		if k != name {
			header[k] = v
		}
	}
	b.header = header
	return func() { b.head(name, before) }
}

// installation is one that is well, as functions, in an organization with two member accounts.
type installation struct {
	*scene
	aws, slack *between
	ingress    *ingress.Ingress
	url        string
	file       string
	accounts   []string
	d          deployment
	hub, mgmt  aws.Config
	env        []string
	functions  map[string]string // names by logical ID
}

func install(t *testing.T) *installation {
	t.Helper()
	ctx := t.Context()
	w := Acme("http://127.0.0.1:1/slack/events")
	w.Users = append(w.Users, User{ID: cem, Name: "cem", RealName: "Cem"})
	w.Channels[0].Members = append(w.Channels[0].Members, cem)
	in := &installation{scene: &scene{t: t, slack: StartSlack(t, w), aws: StartAWS(t), dir: t.TempDir(), management: "999999999999"}}
	in.aws, in.slack = standBetween(t, in.scene.aws.URL), standBetween(t, in.scene.slack.URL)
	in.slack.head("X-Oauth-Scopes", strings.Join(doctor.Scopes, ","))
	in.hub, in.mgmt = in.scene.aws.Hub(t), in.scene.aws.Member(t, in.management)
	in.accounts = []string{in.memberAccount("prod"), in.memberAccount("staging")}
	organization, err := in.org().DescribeOrganization(ctx, nil)
	in.must(err)
	id := *organization.Organization.Id
	// The hub is a member, which moto can't make of an account that is there already.
	in.aws.edit("ListAccounts", func(s string) string {
		return strings.Replace(s, `{"Accounts": [`, `{"Accounts": [{"Id": "`+HubAccount+`", "Name": "security", "Status": "ACTIVE"}, `, 1)
	})

	topic := func(name string) string {
		client := sns.NewFromConfig(in.hub)
		made, err := client.CreateTopic(ctx, &sns.CreateTopicInput{Name: &name})
		in.must(err)
		queue, err := sqs.NewFromConfig(in.hub).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name + "-listener")})
		in.must(err)
		_, err = client.Subscribe(ctx, &sns.SubscribeInput{TopicArn: made.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:" + region + ":" + HubAccount + ":" + lastPart(*queue.QueueUrl, "/"))})
		in.must(err)
		return *made.TopicArn
	}
	pager, alarm := topic("pager"), topic("alarms")
	client := s3.NewFromConfig(in.hub, func(o *s3.Options) { o.UsePathStyle = true })
	_, err = client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("heads"), ObjectLockEnabledForBucket: aws.Bool(true), CreateBucketConfiguration: &buckets.CreateBucketConfiguration{LocationConstraint: region}})
	in.must(err)
	_, err = client.PutObjectLockConfiguration(ctx, &s3.PutObjectLockConfigurationInput{Bucket: aws.String("heads"), ObjectLockConfiguration: &buckets.ObjectLockConfiguration{
		ObjectLockEnabled: buckets.ObjectLockEnabledEnabled, Rule: &buckets.ObjectLockRule{DefaultRetention: &buckets.DefaultRetention{Mode: buckets.ObjectLockRetentionModeCompliance, Days: aws.Int32(400)}}}})
	in.must(err)

	in.file = filepath.Join(in.dir, "killswitch.yaml")
	in.must(os.WriteFile(in.file, []byte(in.configuration(pager)), 0o600))
	in.d = deploy(t, in.scene.aws, "OrganizationId="+id, "PagerTopicArn="+pager, "AlarmTopicArn="+alarm, "AuditBucketName=heads")
	in.secret("SigningSecretArn", w.App.SigningSecret)
	in.secret("BotTokenArn", w.App.BotToken)
	in.secret("WebhookKeysArn", "soar=9f8e7d6c5b4a")
	in.notInMoto(id, alarm)
	in.members(id)
	in.tamper()

	secret := w.App.SigningSecret
	in.ingress = &ingress.Ingress{Secrets: func(context.Context) ([]string, error) { return []string{secret}, nil }, Now: time.Now, Log: slog.New(slog.DiscardHandler), Bodies: ingress.NewBodies()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { in.ingress.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	in.url = server.URL

	profiles := filepath.Join(in.dir, "config")
	in.must(os.WriteFile(profiles, fmt.Appendf(nil, "[profile hub]\nregion = %s\naws_access_key_id = AKIAE2EHUBACCOUNT00\naws_secret_access_key = e2e\n[profile management]\nregion = %[1]s\nsource_profile = hub\nrole_arn = arn:aws:iam::%s:role/admin\n", region, in.management), 0o600))
	in.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + in.dir, "AWS_ENDPOINT_URL=" + in.aws.URL, "AWS_CONFIG_FILE=" + profiles, "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true", "SLACK_API_URL=" + in.slack.URL + "/api/"}
	return in
}

func lastPart(s, sep string) string { return s[strings.LastIndex(s, sep)+1:] }

func (in *installation) configuration(pager string) string {
	return fmt.Sprintf(`
slack: {team: T01ACME, incident_channel: C01SEC}
people:
  - {id: ana, name: Ana, slack: U01ANA}
  - {id: ben, name: Ben, slack: U01BEN}
  - {id: cem, name: Cem, slack: %s}
groups: {responders: {people: [ana, ben, cem]}}
aws:
  hub_account: "%s"
  management_account: "%s"
  responder_role: killswitch-responder
  restorer_role: killswitch-restorer
  forwarder_role: killswitch-forwarder
  external_id: 5f0c
  regions: [us-east-1, %s]
  accounts: {prod: "%s", staging: "%s"}
protected: {accounts: ["%[2]s"]}
policy: {default: {requesters: responders, approvers: responders, approvals: 1, approve_within: 30m, run_within: 5m}}
alerts: {routes: [{match: {source: guardduty}}, {match: {source: trustedadvisor}}]}
webhooks: [{id: soar, actions: [revoke_sessions], owners: [cem]}]
notify: {pager_topic_arn: "%s"}
audit: {bucket: heads}
`, cem, HubAccount, in.management, region, in.accounts[0], in.accounts[1], pager)
}

func (in *installation) secret(output, value string) {
	_, err := secretsmanager.NewFromConfig(in.hub).PutSecretValue(in.t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String(in.d.Outputs[output]), SecretString: &value})
	in.must(err)
}

// notInMoto stands for what moto's Lambda, CloudWatch, EventBridge and Support lack, or need a container engine for.
func (in *installation) notInMoto(organization, alarm string) {
	t := in.t
	raw, err := os.ReadFile(in.file)
	in.must(err)
	code := in.code(raw)
	functions := map[string]string{}
	out, err := cloudformation.NewFromConfig(in.hub).DescribeStackResources(t.Context(), &cloudformation.DescribeStackResourcesInput{StackName: aws.String("killswitch")})
	in.must(err)
	for _, r := range out.StackResources {
		if aws.ToString(r.ResourceType) == "AWS::Lambda::Function" {
			functions[*r.LogicalResourceId] = *r.PhysicalResourceId
		}
	}
	for id, n := range map[string]int{"IngressFunction": 0, "BotFunction": 7, "ExecutorFunction": 2} {
		in.aws.answer("GET /2015-03-31/functions/"+functions[id], http.StatusOK, fmt.Sprintf(`{"Configuration":{"FunctionName":%q,"State":"Active"},"Code":{"Location":%q}}`, functions[id], code))
		mappings := strings.TrimSuffix(strings.Repeat(`{"State":"Enabled","EventSourceArn":"arn:aws:sqs:`+region+":"+HubAccount+`:queue"},`, n), ",")
		in.aws.answer("mappings of "+functions[id], http.StatusOK, `{"EventSourceMappings":[`+mappings+`]}`)
	}
	in.functions = functions
	in.aws.answer("GET /2016-08-19/account-settings", http.StatusOK, `{"AccountLimit":{"ConcurrentExecutions":1000}}`)
	in.aws.answer("DescribeTrustedAdvisorChecks", http.StatusOK, `{"checks":[]}`)
	_, err = cloudwatch.NewFromConfig(in.hub).PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("killswitch-NotContained-1"), Namespace: aws.String("Killswitch"), MetricName: aws.String("NotContained"),
		ComparisonOperator: alarms.ComparisonOperatorGreaterThanThreshold, EvaluationPeriods: aws.Int32(1), Period: aws.Int32(60), Threshold: aws.Float64(0), Statistic: alarms.StatisticSum, AlarmActions: []string{alarm}, ActionsEnabled: aws.Bool(true)})
	in.must(err)
	_, err = eventbridge.NewFromConfig(in.hub).PutPermission(t.Context(), &eventbridge.PutPermissionInput{StatementId: aws.String("forwarders"), Action: aws.String("events:PutEvents"), Principal: aws.String("*"),
		Condition: &rules.Condition{Type: aws.String("StringEquals"), Key: aws.String("aws:PrincipalOrgID"), Value: &organization}})
	in.must(err)
	queues := sqs.NewFromConfig(in.hub)
	listed, err := queues.ListQueues(t.Context(), nil)
	in.must(err)
	for _, url := range listed.QueueUrls {
		_, err := queues.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`}})
		in.must(err)
	}
}

// code is where a function's zip can be fetched.
func (in *installation) code(configuration []byte) string {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("killswitch.yaml")
	in.must(err)
	_, err = f.Write(configuration)
	in.must(err)
	in.must(z.Close())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b.Bytes()) }))
	in.t.Cleanup(server.Close)
	return server.URL
}

// members deploys what "killswitch template members" prints, by a StackSet, and what records and finds.
func (in *installation) members(organization string) {
	ctx := in.t.Context()
	printed, err := exec.CommandContext(ctx, Setting(in.t, "KILLSWITCH"), "template", "members", "--config", in.file).Output()
	in.must(err)
	stacks := cloudformation.NewFromConfig(in.mgmt)
	name := aws.String("killswitch-members")
	parameter := func(k, v string) cfn.Parameter {
		return cfn.Parameter{ParameterKey: &k, ParameterValue: &v}
	}
	given := []cfn.Parameter{parameter("HubRegion", region), parameter("OrganizationId", organization)}
	_, err = stacks.CreateStackSet(ctx, &cloudformation.CreateStackSetInput{StackSetName: name, TemplateBody: aws.String(string(printed)), Parameters: given, Capabilities: []cfn.Capability{cfn.CapabilityCapabilityNamedIam},
		AutoDeployment: &cfn.AutoDeployment{Enabled: aws.Bool(true), RetainStacksOnAccountRemoval: aws.Bool(true)}, PermissionModel: cfn.PermissionModelsServiceManaged})
	in.must(err)
	in.aws.edit("DescribeStackSet", func(s string) string { // moto keeps no automatic deployment
		return strings.Replace(s, "<StackSetName>", "<AutoDeployment><Enabled>true</Enabled><RetainStacksOnAccountRemoval>true</RetainStacksOnAccountRemoval></AutoDeployment><StackSetName>", 1)
	})
	for _, r := range []string{"us-east-1", region} {
		_, err = stacks.CreateStackInstances(ctx, &cloudformation.CreateStackInstancesInput{StackSetName: name, Accounts: in.accounts, Regions: []string{r}})
		in.must(err)
	}
	management := in.mgmt
	management.Region = "us-east-1"
	_, err = cloudformation.NewFromConfig(management).CreateStack(ctx, &cloudformation.CreateStackInput{StackName: name, TemplateBody: aws.String(string(printed)), Parameters: given, Capabilities: []cfn.Capability{cfn.CapabilityCapabilityNamedIam}})
	in.must(err)
	management.Region = region
	_, err = cloudformation.NewFromConfig(management).CreateStack(ctx, &cloudformation.CreateStackInput{StackName: name, TemplateBody: aws.String(string(printed)), Parameters: given, Capabilities: []cfn.Capability{cfn.CapabilityCapabilityNamedIam}})
	in.must(err)
	for _, account := range append([]string{in.management}, in.accounts...) {
		cfg := in.scene.aws.Member(in.t, account)
		for _, r := range []string{"us-east-1", region} {
			cfg.Region = r
			_, err := guardduty.NewFromConfig(cfg).CreateDetector(ctx, &guardduty.CreateDetectorInput{Enable: aws.Bool(true)})
			in.must(err)
		}
		cfg.Region = "us-east-1"
		bucket := aws.String("trail-" + account)
		_, err := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
		in.must(err)
		client := cloudtrail.NewFromConfig(cfg)
		_, err = client.CreateTrail(ctx, &cloudtrail.CreateTrailInput{Name: aws.String("all"), S3BucketName: bucket, IsMultiRegionTrail: aws.Bool(true), IncludeGlobalServiceEvents: aws.Bool(true)})
		in.must(err)
		_, err = client.StartLogging(ctx, &cloudtrail.StartLoggingInput{Name: aws.String("all")})
		in.must(err)
	}
}

func (in *installation) root() string {
	roots, err := in.org().ListRoots(in.t.Context(), nil)
	in.must(err)
	return *roots.Roots[0].Id
}

// attach puts a policy on a target, until it is taken back.
func (in *installation) attach(name, target, content string) (back func()) {
	ctx := in.t.Context()
	made, err := in.org().CreatePolicy(ctx, &organizations.CreatePolicyInput{Content: &content, Name: &name, Description: &name, Type: orgtypes.PolicyTypeServiceControlPolicy})
	in.must(err)
	id := made.Policy.PolicySummary.Id
	_, err = in.org().AttachPolicy(ctx, &organizations.AttachPolicyInput{PolicyId: id, TargetId: &target})
	in.must(err)
	return func() {
		_, err := in.org().DetachPolicy(ctx, &organizations.DetachPolicyInput{PolicyId: id, TargetId: &target})
		in.must(err)
		_, err = in.org().DeletePolicy(ctx, &organizations.DeletePolicyInput{PolicyId: id})
		in.must(err)
	}
}

func (in *installation) tamper() func() {
	c, err := config.Load(in.file)
	in.must(err)
	return in.attach(scp.TamperPolicy, in.root(), all.TamperSCP(c.Org))
}

// examine runs doctor.
func (in *installation) examine(more ...string) []doctor.Result {
	in.t.Helper()
	args := append([]string{"doctor", "--config", in.file, "--profile", "hub", "--management-profile", "management", "--member-role", "e2e-test", "--url", in.url, "--output", "json"}, more...)
	var stderr bytes.Buffer
	cmd := exec.CommandContext(in.t.Context(), Setting(in.t, "KILLSWITCH"), args...)
	cmd.Env, cmd.Stderr = in.env, &stderr
	out, err := cmd.Output()
	var results []doctor.Result
	if jerr := json.Unmarshal(out, &results); jerr != nil {
		in.t.Fatalf("%v %v: %s%s", err, jerr, out, &stderr)
	}
	wrong := slices.ContainsFunc(results, func(r doctor.Result) bool { return !r.OK })
	var exit *exec.ExitError
	if errors.As(err, &exit) != wrong || wrong && exit.ExitCode() != 1 {
		in.t.Errorf("it ends with %v, %t", err, wrong)
	}
	return results
}

// TestDoctor: an installation that is well has no finding; each fault is found by its check, which says what mends it.
func TestDoctor(t *testing.T) {
	in := install(t)
	for _, r := range in.examine() {
		if !r.OK {
			t.Errorf("nothing is wrong, and %s says: %s; do: %s", r.Check, r.Found, r.Mend)
		}
		t.Logf("%+v", r)
	}
}
