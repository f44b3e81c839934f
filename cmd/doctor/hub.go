package doctor

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfn "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	alarms "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	tables "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	functions "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	queues "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	store "github.com/killswitch-chatops/killswitch/approvals/dynamodb"
	"github.com/killswitch-chatops/killswitch/bot/ingress"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/template"
)

// identities looks whose credentials these are.
func (d *Doctor) identities(ctx context.Context, r *report) {
	o := d.Config.Org
	look := func(check string, cfg aws.Config, want, mend string) bool {
		if cfg.Credentials == nil {
			r.bad(check, mend, "there are no credentials for it: nothing is looked at there")
			return false
		}
		me, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		switch {
		case err != nil:
			r.bad(check, mend, "AWS does not know these credentials: %s", said(err))
			return false
		case aws.ToString(me.Account) != want:
			r.bad(check, mend, "the credentials are those of %s (%s), not of %s", aws.ToString(me.Arn), aws.ToString(me.Account), want)
			return false
		}
		r.ok(check, "%s", aws.ToString(me.Arn))
		if at, ok := middleware.GetServerTime(me.ResultMetadata); ok && check == "hub.credentials" {
			d.clock(r, "hub.clock", "AWS", http.Header{"Date": {at.UTC().Format(http.TimeFormat)}})
		}
		return true
	}
	look("hub.credentials", d.Hub, o.HubAccount, "use credentials of the hub account: --profile NAME, or AWS_PROFILE")
	if o.ManagementAccount == o.HubAccount && d.Management.Credentials == nil {
		d.Management = d.Hub
	}
	if o.ManagementAccount != "" && !look("management.credentials", d.Management, o.ManagementAccount, "name a profile of the management account that may read: --management-profile NAME") {
		d.Management = aws.Config{}
	}
}

// stack reads the hub's stack: parameters and secrets.
func (d *Doctor) stack(ctx context.Context, r *report) {
	d.facts.executorRole = template.ExecutorRole
	client := cloudformation.NewFromConfig(d.Hub)
	names := []string{d.Stack}
	if d.Stack == "" {
		names = []string{"killswitch", "killswitch-serve"}
	}
	var out *cloudformation.DescribeStacksOutput
	err := errors.New("it is not there")
	for _, d.Stack = range names {
		if out, err = client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &d.Stack}); err == nil && len(out.Stacks) > 0 {
			break
		}
	}
	if err != nil || len(out.Stacks) == 0 {
		r.bad("hub.stack", "deploy it (docs/install.md), or say --stack NAME and --region REGION", "the stack %s can't be looked up in %s: %s", strings.Join(names, " or "), d.Hub.Region, said(err))
		return
	}
	s := out.Stacks[0]
	d.facts.parameters = map[string]string{}
	for _, p := range s.Parameters {
		d.facts.parameters[aws.ToString(p.ParameterKey)] = cmp.Or(aws.ToString(p.ResolvedValue), aws.ToString(p.ParameterValue))
	}
	outputs := map[string]string{}
	for _, o := range s.Outputs {
		outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	d.facts.lambda, d.facts.requests, d.facts.runs = outputs["SlackQueueUrl"] != "", outputs["RequestsTable"], outputs["RunsTable"]
	d.facts.executorRole = cmp.Or(d.facts.parameters["ExecutorRoleName"], d.facts.parameters["HubRoleName"], d.facts.executorRole)
	d.facts.organization = d.facts.parameters["OrganizationId"]
	d.facts.forwards = d.facts.organization != ""
	switch s.StackStatus {
	case cfn.StackStatusCreateComplete, cfn.StackStatusUpdateComplete, cfn.StackStatusImportComplete:
		r.ok("hub.stack", "%s in %s, %s", d.Stack, d.Hub.Region, s.StackStatus)
	default:
		r.bad("hub.stack", "aws cloudformation describe-stack-events --stack-name "+d.Stack+" tells why; then deploy it again", "the stack %s is %s", d.Stack, s.StackStatus)
	}
	if d.facts.lambda {
		d.URL = cmp.Or(d.URL, strings.TrimSuffix(outputs["SlackUrl"], "/slack"))
		d.parameters(r)
		d.secrets(ctx, r, outputs)
	}
}

// parameters compares the stack's with the configuration: the executor's role may do what they say.
func (d *Doctor) parameters(r *report) {
	c := d.Config
	var wrong []string
	for name, want := range map[string]string{
		"ResponderRoleName": c.Org.ResponderRole, "RestorerRoleName": c.Org.RestorerRole, "NoticeTopicArn": c.SNSTopic, "PagerTopicArn": c.PagerTopic, "AuditBucketName": c.AuditBucket.Name,
	} {
		if have, ok := d.facts.parameters[name]; ok && have != want {
			wrong = append(wrong, fmt.Sprintf("%s is %q, %s says %q", name, have, d.File, want))
		}
	}
	slices.Sort(wrong)
	r.either("hub.parameters", "deploy the stack with what the configuration says: sam deploy --parameter-overrides NAME=VALUE", wrong, "the stack's parameters are the configuration's")
}

// secrets reads those that the zones read, where the operator has given none.
func (d *Doctor) secrets(ctx context.Context, r *report, outputs map[string]string) {
	client := secretsmanager.NewFromConfig(d.Hub)
	read := func(arn, command, what string) string {
		out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
		switch {
		case isCode(err, "ResourceNotFoundException"):
			r.bad("hub.secret", outputs[command], "%s has never been put into its secret", what)
		case err != nil:
			r.bad("hub.secret", "allow yourself secretsmanager:GetSecretValue on it", "%s can't be read: %s", what, said(err))
		}
		if err != nil {
			return ""
		}
		return aws.ToString(out.SecretString)
	}
	wellFormed := func(value, command, what, form string, ok func(string) bool) string {
		switch trimmed := strings.TrimSpace(value); {
		case value == "":
			return ""
		case !ok(trimmed):
			r.bad("hub.secret", outputs[command], "what is in the secret of %s is not one: %s", what, form)
			return ""
		default:
			r.ok("hub.secret", "%s is there", what)
			return trimmed
		}
	}
	digits := func(s string) bool {
		return len(s) == 32 && strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
	}
	signing := wellFormed(read(outputs["SigningSecretArn"], "SigningSecretCommand", "the signing secret"), "SigningSecretCommand", "the signing secret", "it has 32 small letters and digits", digits)
	token := wellFormed(read(outputs["BotTokenArn"], "BotTokenCommand", "the bot token"), "BotTokenCommand", "the bot token", "it begins with xoxb-", func(s string) bool { return strings.HasPrefix(s, "xoxb-") })
	d.SigningSecret, d.BotToken = cmp.Or(d.SigningSecret, signing), cmp.Or(d.BotToken, token)
	if !slices.ContainsFunc(d.Config.Webhooks, config.Webhook.WantsKey) {
		return
	}
	text := read(outputs["WebhookKeysArn"], "WebhookKeysCommand", "the webhooks' keys")
	if text == "" {
		return
	}
	keys, err := ingress.ParseKeys(text)
	if err != nil {
		r.bad("hub.secret", outputs["WebhookKeysCommand"], "nobody is let in: %s", err)
		return
	}
	for _, w := range d.Config.Webhooks {
		if w.WantsKey() && !slices.Contains(keys.Webhooks(), w.ID) {
			r.bad("hub.secret", outputs["WebhookKeysCommand"], "the webhook %s has no key: it is not let in", w.ID)
		}
	}
}

// hub looks at the parts of the hub: functions, queues, tables and alarms, or the role of serve.
func (d *Doctor) hub(ctx context.Context, r *report) {
	if d.facts.parameters == nil {
		return
	}
	if !d.facts.lambda {
		d.serveRole(ctx, r)
		return
	}
	parts := map[string]map[string]string{} // type → logical ID → physical
	made, err := partsOf(ctx, d.Hub, d.Stack)
	if err != nil {
		r.bad("hub.parts", "allow yourself cloudformation:ListStackResources", "what the stack has made can't be read: %s", said(err))
		return
	}
	for _, x := range made {
		kind := aws.ToString(x.ResourceType)
		if parts[kind] == nil {
			parts[kind] = map[string]string{}
		}
		parts[kind][aws.ToString(x.LogicalResourceId)] = aws.ToString(x.PhysicalResourceId)
	}
	d.functions(ctx, r, parts["AWS::Lambda::Function"])
	d.queues(ctx, r, parts["AWS::SQS::Queue"])
	d.tables(ctx, r, parts["AWS::DynamoDB::Table"])
	d.alarms(ctx, r)
	d.checked(ctx, r)
}

// checked reads what the zones found when they last looked at themselves.
func (d *Doctor) checked(ctx context.Context, r *report) {
	client := dynamodb.NewFromConfig(d.Hub)
	h, err := approvals.Requests{Store: store.New(client, d.facts.requests)}.HealthCheck(ctx)
	var x approvals.HealthFound // the executor's own row, which the bot can't write
	if err == nil {
		_, err = approvals.Find(ctx, store.New(client, d.facts.runs), approvals.HealthFoundKey, &x)
	}
	const overdue = 26 * time.Hour
	var wrong []string
	for _, t := range slices.Concat(h.Own, x.Found) { // what they say to do is not printed: who writes the table would say it
		wrong = append(wrong, actions.Clip(t.Check)+": "+actions.Clip(t.Found))
	}
	at := h.Begun.UTC().Format(time.DateTime)
	switch mend := "docs/runbook.md#botcheckmissing"; {
	case err != nil:
		r.bad("hub.checked", "allow yourself dynamodb:GetItem on the two tables", "what the zones found themselves can't be read: %s", said(err))
	case h.ID == "":
		r.bad("hub.checked", mend, "the zones have never looked at themselves: the bot's schedule begins that within a minute")
	case d.Now().Sub(h.Begun).Abs() > overdue:
		r.bad("hub.checked", mend, "the zones have not looked at themselves since %s", at)
	case h.Ended.IsZero():
		r.bad("hub.checked", "look again in an hour; "+mend, "the zones look at themselves since %s, and have not ended", at)
	case len(wrong) == 0 && x.ID != h.ID:
		r.bad("hub.checked", mend, "the executor has not looked at itself since %s", at)
	default:
		r.either("hub.checked", "docs/runbook.md#botcheckfailed and #executorcheckfailed; the functions' logs say of each what to do", wrong, "the zones found nothing wrong at %s", at)
	}
}

// partsOf are what a stack has made.
func partsOf(ctx context.Context, cfg aws.Config, stack string) ([]cfn.StackResourceSummary, error) {
	return actions.List(ctx, cloudformation.NewListStackResourcesPaginator(cloudformation.NewFromConfig(cfg), &cloudformation.ListStackResourcesInput{StackName: &stack}),
		func(p *cloudformation.ListStackResourcesOutput) []cfn.StackResourceSummary {
			return p.StackResourceSummaries
		}, actions.Itself)
}

// functions looks at the three zones: whether they run, what they were built from and are called by.
func (d *Doctor) functions(ctx context.Context, r *report, made map[string]string) {
	client := lambda.NewFromConfig(d.Hub)
	deploy := "make build CONFIG=" + d.File + ", then sam deploy (docs/install.md)"
	var wrong, unlike []string
	sources := map[string]int{"IngressFunction": 0, "BotFunction": 7, "ExecutorFunction": 2} // queues that call it, at least
	for _, id := range slices.Sorted(maps.Keys(sources)) {
		name := made[id]
		out, err := client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &name})
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s can't be looked at: %s", id, said(err)))
			continue
		}
		if s := out.Configuration.State; s != "" && s != functions.StateActive {
			wrong = append(wrong, fmt.Sprintf("%s is %s: %s", id, s, aws.ToString(out.Configuration.StateReason)))
		}
		if out.Concurrency != nil && aws.ToInt32(out.Concurrency.ReservedConcurrentExecutions) == 0 {
			wrong = append(wrong, id+" is stopped: its reserved concurrency is 0")
		}
		enabled := 0
		mappings, err := actions.List(ctx, lambda.NewListEventSourceMappingsPaginator(client, &lambda.ListEventSourceMappingsInput{FunctionName: &name}),
			func(p *lambda.ListEventSourceMappingsOutput) []functions.EventSourceMappingConfiguration {
				return p.EventSourceMappings
			}, actions.Itself)
		for _, m := range mappings {
			if s := aws.ToString(m.State); s == "Enabled" || s == "Enabling" || s == "Creating" || s == "Updating" || s == "" {
				enabled++
			} else {
				wrong = append(wrong, fmt.Sprintf("%s does not take messages from %s: its mapping is %s", id, lastOf(aws.ToString(m.EventSourceArn), ":"), s))
			}
		}
		if err == nil && len(mappings) < sources[id] {
			wrong = append(wrong, fmt.Sprintf("%s takes messages from %d queues, not %d", id, enabled, sources[id]))
		}
		if out.Code != nil && id != "IngressFunction" { // which reads no configuration
			unlike = append(unlike, d.packed(ctx, id, aws.ToString(out.Code.Location))...)
		}
	}
	r.either("hub.functions", deploy, wrong, "three functions run")
	r.either("hub.version", deploy, unlike, "the functions have this configuration and version")
	settings, err := client.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err != nil || settings.AccountLimit == nil {
		return // an emulator; who may read functions may read this
	}
	const enough = 100
	if n := settings.AccountLimit.ConcurrentExecutions; n < enough {
		r.bad("hub.concurrency", fmt.Sprintf("aws service-quotas request-service-quota-increase --region %s --service-code lambda --quota-code L-B99A9384 --desired-value 1000", d.Hub.Region),
			"the account runs %d functions at once: a flood of alerts takes all of them, and nobody can contain", n)
	} else {
		r.ok("hub.concurrency", "%d functions at once", n)
	}
}

// codeWithin is how long the download of a function's code may take.
const codeWithin = 2 * time.Minute

// packed compares what a function carries with the configuration that is looked at, and its version with this program's.
func (d *Doctor) packed(ctx context.Context, id, url string) (wrong []string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return []string{fmt.Sprintf("the code of %s can't be fetched: %s", id, said(err))}
	}
	patient := *d.HTTP
	patient.Timeout = codeWithin
	resp, err := patient.Do(req)
	if err != nil {
		return []string{fmt.Sprintf("the code of %s can't be fetched: %s", id, said(err))}
	}
	defer func() { _ = resp.Body.Close() }()
	const most = 64 << 20
	b, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return []string{fmt.Sprintf("the code of %s can't be fetched: %s", id, said(err))}
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return []string{fmt.Sprintf("the code of %s is no zip", id)}
	}
	switch text, err := fs(z, "killswitch.yaml"); {
	case err != nil:
		wrong = append(wrong, id+" carries no configuration")
	case !bytes.Equal(text, d.Raw):
		wrong = append(wrong, fmt.Sprintf("%s carries another configuration than %s", id, d.File))
	}
	if commit, err := fs(z, "commit"); err == nil && d.Commit != "" && strings.TrimSpace(string(commit)) != d.Commit {
		wrong = append(wrong, fmt.Sprintf("%s is made from the commit %s, this program from %s", id, actions.Clip(strings.TrimSpace(string(commit))), d.Commit))
	}
	return wrong
}

func fs(z *zip.Reader, name string) ([]byte, error) {
	f, err := z.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, 2<<20))
}

func lastOf(s, sep string) string { return s[strings.LastIndex(s, sep)+1:] }

// queues looks for what waits, and for what could not be dealt with.
func (d *Doctor) queues(ctx context.Context, r *report, made map[string]string) {
	client := sqs.NewFromConfig(d.Hub)
	var wrong, dead, stuck []string
	for _, producer := range []string{"Slack", "Cli", "Webhooks", "Alerts", "Imported", "Trail", "Changes", "Jobs", "Checks"} {
		for _, id := range []string{producer + "Queue", producer + "DeadQueue"} {
			if made[id] == "" {
				wrong = append(wrong, "there is no "+id)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(made)) {
		url := made[id]
		out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []queues.QueueAttributeName{queues.QueueAttributeNameAll}})
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s can't be looked at: %s", id, said(err)))
			continue
		}
		waiting := out.Attributes["ApproximateNumberOfMessages"]
		isDead := strings.Contains(id, "Dead")
		switch {
		case isDead && waiting != "0" && waiting != "":
			dead = append(dead, fmt.Sprintf("%s has %s", id, waiting))
		case !isDead && len(waiting) > 3:
			stuck = append(stuck, fmt.Sprintf("%s has %s", id, waiting))
		}
		if !isDead && out.Attributes["RedrivePolicy"] == "" {
			wrong = append(wrong, id+" has no dead-letter queue: what can't be dealt with is lost")
		}
		if !sends(out.Attributes["Policy"]) {
			wrong = append(wrong, id+" has no policy that says who sends to it")
		}
	}
	r.either("hub.queues", "deploy the stack again: sam deploy", wrong, "%d queues", len(made))
	r.either("hub.dead", "docs/runbook.md#deadmessages", dead, "no message lies in a dead-letter queue")
	r.either("hub.waiting", "see hub.functions, and the functions' logs", stuck, "no queue stands still")
}

// sends reports whether a queue's policy denies those who are not named.
func sends(policy string) bool {
	var p struct {
		Statement []struct{ Effect string }
	}
	return json.Unmarshal([]byte(policy), &p) == nil && slices.ContainsFunc(p.Statement, func(s struct{ Effect string }) bool { return s.Effect == "Deny" })
}

// tables looks whether they are there and kept.
func (d *Doctor) tables(ctx context.Context, r *report, made map[string]string) {
	client := dynamodb.NewFromConfig(d.Hub)
	for _, id := range slices.Sorted(maps.Keys(made)) {
		name := made[id]
		out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
		if err != nil {
			r.bad("hub.tables", "restore it from its point-in-time backup (docs/restore.md)", "%s can't be looked at: %s", id, said(err))
			continue
		}
		var wrong []string
		if s := out.Table.TableStatus; s != tables.TableStatusActive && s != tables.TableStatusUpdating {
			wrong = append(wrong, fmt.Sprintf("%s is %s", id, s))
		}
		if !aws.ToBool(out.Table.DeletionProtectionEnabled) {
			wrong = append(wrong, id+" can be deleted")
		}
		backups, err := client.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &name})
		if err != nil || backups.ContinuousBackupsDescription == nil || backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription == nil ||
			backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus != tables.PointInTimeRecoveryStatusEnabled {
			wrong = append(wrong, id+" has no point-in-time backup")
		}
		r.either("hub.tables", fmt.Sprintf("aws dynamodb update-table --table-name %s --deletion-protection-enabled; aws dynamodb update-continuous-backups --table-name %[1]s --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true", name), wrong, "%s", id)
	}
}

// alarms looks whether somebody hears them, and which ring.
func (d *Doctor) alarms(ctx context.Context, r *report) {
	found, err := actions.List(ctx, cloudwatch.NewDescribeAlarmsPaginator(cloudwatch.NewFromConfig(d.Hub), &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: aws.String(d.Stack + "-")}),
		func(p *cloudwatch.DescribeAlarmsOutput) []alarms.MetricAlarm { return p.MetricAlarms }, actions.Itself)
	var ring, mute []string
	for _, a := range found {
		name := aws.ToString(a.AlarmName)
		if a.StateValue == alarms.StateValueAlarm {
			ring = append(ring, name)
		}
		if !aws.ToBool(a.ActionsEnabled) || len(a.AlarmActions) == 0 {
			mute = append(mute, name)
		}
	}
	switch {
	case err != nil:
		r.bad("hub.alarms", "allow yourself cloudwatch:DescribeAlarms", "the alarms can't be read: %s", said(err))
		return
	case len(found) == 0:
		r.bad("hub.alarms", "deploy the stack again: sam deploy", "there are no alarms named %s-…", d.Stack)
		return
	case len(ring) > 0:
		r.bad("hub.alarms", "docs/runbook.md has a section for each", "in alarm: %s", some(ring))
	default:
		r.ok("hub.alarms", "%d, none rings", len(found))
	}
	r.either("hub.alarm_actions", "deploy the stack with AlarmTopicArn, a topic that somebody is subscribed to", prefixed("they tell nobody: ", mute), "each alarm tells a topic")
	topics := map[string]bool{}
	for _, a := range found {
		for _, arn := range a.AlarmActions {
			topics[arn] = true
		}
	}
	for arn := range topics {
		d.topic(ctx, r, "hub.alarm_topic", arn, "AlarmTopicArn")
		d.hears(ctx, r, arn)
	}
}

// serveRole compares what serve runs as with what this version wants.
func (d *Doctor) serveRole(ctx context.Context, r *report) {
	made, at, err := d.hubRole(d.facts.parameters)
	if err != nil {
		r.bad("hub.role", "killswitch validate "+d.File, "%s", err)
		return
	}
	wrong := compareIAM(ctx, d.Hub, at, made)
	r.either("hub.role", fmt.Sprintf("killswitch template hub-role --config %s > hub-role.yaml, then aws cloudformation deploy --stack-name %s --template-file hub-role.yaml --capabilities CAPABILITY_NAMED_IAM", d.File, d.Stack), wrong,
		"what serve runs as is what this version wants")
}

// hubRole is what a stack of hub-role.yaml makes in the hub with these parameters.
func (d *Doctor) hubRole(given map[string]string) (map[string]template.Resource, template.Place, error) {
	at := template.Place{Partition: d.Config.Org.Partition, Account: d.Config.Org.HubAccount, Region: d.Hub.Region, Parameters: given}
	text, err := template.HubRole(template.Serve{Org: d.Config.Org, Topics: d.Config.Topics(), Bucket: d.Config.AuditBucket.Name})
	if err != nil {
		return nil, at, err
	}
	f, err := template.Read(text)
	return f.Resolve(at), at, err
}

// hubs looks for a second hub that works: two know nothing of each other's requests.
func (d *Doctor) hubs(ctx context.Context, r *report) {
	if d.facts.parameters == nil {
		return
	}
	var others []string
	looked := 0
	for _, region := range d.Config.Org.Regions {
		client := cloudformation.NewFromConfig(in(d.Hub, region))
		stacks, err := actions.List(ctx, cloudformation.NewDescribeStacksPaginator(client, &cloudformation.DescribeStacksInput{}),
			func(p *cloudformation.DescribeStacksOutput) []cfn.Stack { return p.Stacks }, actions.Itself)
		if err != nil {
			r.bad("hub.one", "allow yourself cloudformation:DescribeStacks in "+region, "the stacks of %s can't be read: %s", region, said(err))
			continue
		}
		looked++
		for _, s := range stacks {
			isHub := slices.ContainsFunc(s.Outputs, func(o cfn.Output) bool {
				return aws.ToString(o.OutputKey) == "RunsTable" || aws.ToString(o.OutputKey) == "HubRoleArn"
			})
			own := region == d.Hub.Region && aws.ToString(s.StackName) == d.Stack
			if isHub && !own && d.works(ctx, region, aws.ToString(s.StackName)) {
				others = append(others, fmt.Sprintf("%s in %s", aws.ToString(s.StackName), region))
			}
		}
	}
	if len(others) > 0 || looked == len(d.Config.Org.Regions) {
		r.either("hub.one", "keep one that waits: disable the rules and event source mappings of its functions, or stop its serve, and delete what you don't need (docs/restore.md)", prefixed("another hub works beside this one, and neither knows what the other has in force: ", others), "no other hub works in %s", some(d.Config.Org.Regions))
	}
}

// works reports whether the functions of a stack are called by anything. What serve runs as works for all that can be seen.
func (d *Doctor) works(ctx context.Context, region, stack string) bool {
	cfg := in(d.Hub, region)
	made, err := partsOf(ctx, cfg, stack)
	if err != nil {
		return true
	}
	i := slices.IndexFunc(made, func(x cfn.StackResourceSummary) bool { return aws.ToString(x.LogicalResourceId) == "ExecutorFunction" })
	if i < 0 {
		return true
	}
	mappings, err := lambda.NewFromConfig(cfg).ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{FunctionName: made[i].PhysicalResourceId})
	return err != nil || slices.ContainsFunc(mappings.EventSourceMappings, func(m functions.EventSourceMappingConfiguration) bool {
		return !slices.Contains([]string{"Disabled", "Disabling", "Deleting"}, aws.ToString(m.State))
	})
}
