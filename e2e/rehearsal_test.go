//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/dynamodb"
)

// rehearsal is the stack of template.yaml at work: three bootstraps, the queues
// and tables as deployed, and Slack in front. What the executor checks has a sandbox
// of its own, as Lambda would start one while the other contains.
type rehearsal struct {
	*scene
	requests               approvals.Requests // as somebody who can write the table has it
	runs                   approvals.Runs
	ingress, bot, executor *Function
	checks                 *Function // the executor again
	outputs                map[string]string
}

func newRehearsal(t *testing.T) *rehearsal {
	t.Helper()
	s := &scene{t: t, addr: FreeAddr(t), dir: t.TempDir()}
	w := Acme("http://" + s.addr + "/slack/events")
	w.Users = append(w.Users, User{ID: cem, Name: "cem", RealName: "Cem"}, User{ID: eve, Name: "eve", RealName: "Eve"})
	w.Channels = append(w.Channels, Channel{ID: canary, Name: "canary", Members: []string{"U01BOT"}})
	s.slack, s.aws = StartSlack(t, w), StartAWS(t)
	s.iam = iam.NewFromConfig(s.aws.Member(t, prod))
	s.organize() // of which the daily check asks
	short := strings.NewReplacer("approve_within: 30m", "approve_within: 1m", "incident_channel: C01SEC", "incident_channel: C01SEC, canary_channel: "+canary).Replace(configuration) + "  undo: {approvals: 2}\n" + eventsToo
	s.must(os.WriteFile(s.config(), []byte(identified("ana", "ben")(short)), 0o600))

	d := deploy(t, s.aws)
	secrets := secretsmanager.NewFromConfig(s.aws.Hub(t))
	for output, value := range map[string]string{"SigningSecretArn": s.slack.App.SigningSecret, "BotTokenArn": s.slack.App.BotToken, "WebhookKeysArn": "eventbridge=hook-key,soar=soar-key\n"} {
		_, err := secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String(d.Outputs[output]), SecretString: &value})
		s.must(err)
	}
	// As cmd/pack writes it.
	grants := filepath.Join(s.dir, "webhooks.json")
	s.must(os.WriteFile(grants, []byte(`{"direct":{"actions":["revoke_sessions"],"role_to_assume":"killswitch-responder","org_management_account":"999999999999"},"eventbridge":{"events":true},"soar":{"actions":["revoke_sessions"],"role_to_assume":"killswitch-responder","org_management_account":"999999999999"}}`), 0o600))
	r := &rehearsal{scene: s, outputs: d.Outputs}
	r.requests.Store = dynamodb.New(ddb.NewFromConfig(s.aws.Hub(t), dynamodb.ClientOptions), d.Outputs["RequestsTable"], approvals.Marks...)
	r.runs.Reader = dynamodb.New(ddb.NewFromConfig(s.aws.Hub(t), dynamodb.ClientOptions), d.Outputs["RunsTable"])
	for f, name := range map[**Function]string{&r.ingress: "Ingress", &r.bot: "Bot", &r.executor: "Executor", &r.checks: "Executor"} {
		env := s.aws.EnvOf(name)
		for k, v := range d.Functions[name+"Function"].Environment {
			switch k {
			case "CONFIG_FILE":
				v = s.config()
			case "WEBHOOKS_FILE":
				v = grants
			case "INGRESS_URL":
				v = "http://" + s.addr
			}
			env = append(env, k+"="+v)
		}
		if name == "Bot" {
			env = append(env, "SLACK_API_URL="+s.slack.API())
		}
		*f = StartFunction(t, strings.ToLower(name), filepath.Join(Setting(t, "BOOTSTRAPS"), strings.ToLower(name)), env)
	}
	l, err := net.Listen("tcp", s.addr)
	s.must(err)
	server := &http.Server{Handler: Gateway{r.ingress}, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })

	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { stop(); wg.Wait() })
	for output, to := range map[string]*Function{"SlackQueueUrl": r.bot, "ChangesQueueUrl": r.bot, "AlertsQueueUrl": r.bot, "ImportedQueueUrl": r.bot, "WebhooksQueueUrl": r.bot, "TrailQueueUrl": r.bot, "CliQueueUrl": r.bot, "JobsQueueUrl": r.executor, "ChecksQueueUrl": r.checks} {
		zone := strings.ToUpper(to.name[:1]) + to.name[1:]
		queues := sqs.NewFromConfig(s.aws.As(t, zone)) // Lambda polls as the function's role
		p := Pump{SQS: queues, URL: d.Outputs[output], To: to}
		if output == "AlertsQueueUrl" || output == "ImportedQueueUrl" || output == "TrailQueueUrl" { // moto drops the envelope's account
			p.Body = func(body string) string { return strings.Replace(body, "{", `{"account": "`+HubAccount+`", `, 1) }
		}
		out, err := queues.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &p.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn}})
		s.must(err)
		p.ARN = out.Attributes["QueueArn"]
		if !slices.Contains(d.Functions[zone+"Function"].Sources, p.ARN) {
			t.Fatalf("%s is no event source of %s", p.ARN, zone)
		}
		wg.Go(func() { p.Run(ctx, t) })
	}
	wg.Go(func() { // the schedule, faster than in Lambda
		for ctx.Err() == nil {
			_, _ = r.bot.Invoke(map[string]string{"source": "aws.scheduler", "detail-type": "Scheduled Event"}, 60*time.Second)
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Second):
			}
		}
	})
	return r
}

// eventsToo is configuration: who may send events, and what becomes of them; who may ask.
const eventsToo = `
alerts:
  routes:
    - match: {source: guardduty}
webhooks:
  - {id: eventbridge, events: true}
  - {id: soar, actions: [revoke_sessions]}
  - {id: direct, actions: [revoke_sessions]}
`

// TestRehearsalEvents: what EventBridge's rules bring, and what a webhook brings,
// becomes a card; what has no key does not.
func TestRehearsalEvents(t *testing.T) {
	t.Parallel()
	r := newRehearsal(t)
	finding := r.sample("guardduty_iam_persistence-akia.json")
	for key, want := range map[string]int{"": 401, "guessed": 401, "soar-key": 401, "hook-key": 200} {
		if got := r.brings(key, "rehearsal-1", finding); got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
	r.slack.Await(t, channel, "the drill's card", func(m Message) bool { return strings.HasPrefix(m.Text, "[DRILL] medium") })
	for _, e := range append(eventsOf(t, finding), eventsOf(t, finding)...) {
		putEvent(t, r.aws.Hub(t), e)
	}
	r.slack.Await(t, channel, "the finding's card", func(m Message) bool { return strings.HasPrefix(m.Text, "medium") })
	if out, err := r.killswitchEvent("hook-key", samples+"guardduty_iam_exfil-outside.json"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	r.slack.Await(t, channel, "the command's card", func(m Message) bool { return strings.HasPrefix(m.Text, "[DRILL] high") })
	if n := r.count("medium"); n != 2 {
		t.Errorf("%d cards of a finding and its drill, each delivered twice", n)
	}
	for _, f := range []*Function{r.ingress, r.bot, r.executor, r.checks} {
		if out := f.boot.Output(); strings.Contains(out, "hook-key") || strings.Contains(out, "soar-key") || strings.Contains(out, "AKIACIBUILDA2EXAMPLE") {
			t.Errorf("%s logs a key or a body:\n%s", f.name, out)
		}
	}
}

// TestRehearsal: the spine's path and its refusals in the Lambda shape, every
// message delivered twice and out of order.
func TestRehearsal(t *testing.T) {
	t.Parallel()
	r := newRehearsal(t)
	role := r.role("app-role")
	body := url.Values{"command": {"/killswitch"}, "text": {"revoke_sessions prod/" + role + " reason=leak"}, "team_id": {"T01ACME"}, "channel_id": {channel}, "user_id": {ana}, "api_app_id": {r.slack.App.ID}}.Encode()
	if got := r.post(body, "guessed", time.Now()); got != http.StatusUnauthorized {
		t.Errorf("forged: %d", got)
	}
	if got := r.post(body, r.slack.App.SigningSecret, time.Now().Add(-6*time.Minute)); got != http.StatusUnauthorized {
		t.Errorf("stale: %d", got)
	}

	card := r.asks(role)
	r.click(ana, card, "approve")
	r.told("a second person must approve")
	r.click(eve, card, "approve")
	r.told("not in Killswitch's list of people")
	clicked := time.Now()
	r.click(ben, card, "approve")
	card = r.card("contained", role, false)
	t.Logf("from the click to the card that says contained: %s", time.Since(clicked).Round(time.Millisecond))
	if !strings.Contains(r.deny(role), "aws:TokenIssueTime") || r.tags(role) != 1 {
		t.Fatalf("contained, and the policy is %s with %d tags", r.deny(role), r.tags(role))
	}
	r.click(cem, card, "undo")
	undo := r.card("pending 0/2", role, true)
	r.click(cem, undo, "approve")
	r.told("You asked for this yourself")
	r.click(ana, undo, "approve")
	undo = r.card("pending 1/2", role, true)
	r.click(ana, undo, "approve")
	r.told("You have approved this already")
	r.click(ben, undo, "approve")
	r.card("restored", role, true)
	r.card("undone", role, false)
	if r.deny(role) != "" || r.tags(role) != 0 {
		t.Errorf("not as before: %q with %d tags", r.deny(role), r.tags(role))
	}

	r.refusals()
	r.edited()
	r.expired()
	other := r.role("other-role")
	card = r.asks(other)
	r.click(ben, card, "deny")
	r.card("denied", other, false)
	if r.deny(other) != "" {
		t.Error("it ran")
	}
	if n := r.count("· " + id(card)); n != 1 {
		t.Errorf("%d cards", n)
	}
}

// edited: a row of requests says that it is approved, and nobody approved it.
func (r *rehearsal) edited() {
	r.t.Helper()
	role := r.role("edited-role")
	card := r.asks(role)
	_, err := r.requests.Change(r.t.Context(), id(card), func(q *approvals.Request) error {
		q.State, q.Need = approvals.Approved, 0
		q.Votes = []approvals.Vote{{Actor: approvals.Actor{Person: "ben", Slack: ben}, Evidence: strings.Repeat("a", 64), Digest: q.Digest, At: time.Now()}}
		q.Revise()
		return nil
	})
	r.must(err)
	r.card("refused", role, false)
	if r.deny(role) != "" {
		r.t.Error("it ran")
	}
}

// expired: the button of a request whose time is over, and the same signed
// request twice.
func (r *rehearsal) expired() {
	r.t.Helper()
	role := r.role("late-role")
	body := url.Values{"command": {"/killswitch"}, "text": {"revoke_sessions arn:aws:iam::" + prod + ":role/" + role + " reason=leak"}, "team_id": {"T01ACME"}, "channel_id": {channel}, "user_id": {ana}, "api_app_id": {r.slack.App.ID}}.Encode()
	at := time.Now()
	for range 2 {
		if got := r.post(body, r.slack.App.SigningSecret, at); got != http.StatusOK {
			r.t.Errorf("genuine: %d", got)
		}
	}
	card := r.card("pending 0/1", role, false)
	r.card("expired", role, false)
	r.crafted(ben, card, "approve", func(map[string]any) {})
	r.told("is expired by now")
	if n := r.count("· " + id(card)); n != 1 || r.deny(role) != "" {
		r.t.Errorf("%d cards, deny %q", n, r.deny(role))
	}
}

// TestRehearsalTampering: somebody removes the deny, a second later EventBridge has CloudTrail's
// event of it. The deny is applied again and told before the schedule looks, 60 s after it was
// applied; the event alone says nothing.
func TestRehearsalTampering(t *testing.T) {
	t.Parallel()
	r := newRehearsal(t)
	role := r.role("app-role")
	card := r.asks(role)
	r.click(ben, card, "approve")
	r.card("contained", role, false)
	run := r.awaits(card, "the look after 15 s", func(run approvals.Run) bool { return run.LookedAt.After(run.AppliedAt.Add(10 * time.Second)) }) // the one before was after 5
	applied, policy := run.AppliedAt, "AWSRevokeOlderSessions"
	_, err := r.iam.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy})
	r.must(err)
	time.Sleep(time.Second)
	for _, e := range eventsOf(t, strings.NewReplacer("PutRolePolicy", "DeleteRolePolicy", "web-tier-role", role, "2026-11-13T09:30:02Z", time.Now().UTC().Format(time.RFC3339)).
		Replace(r.sample("cloudtrail_putrolepolicy_own-responder.json"))) {
		putEvent(t, r.aws.Hub(t), e)
	}
	run = r.awaits(card, "the look that the event sets", func(run approvals.Run) bool { return run.Tampered > 0 && run.Tampering[0].Known() })
	if at := run.Tampering[0].At.Sub(applied); at >= 59*time.Second || !run.Tampering[0].Reapplied || r.deny(role) == "" {
		t.Errorf("%s after the deny: %+v, the deny is %q", at, run.Tampering[0], r.deny(role))
	}
	r.slack.Await(t, channel, "what somebody did", func(m Message) bool { return m.ThreadTS != "" && strings.Contains(m.Text, "applied again") })
	if n := r.count("DeleteRolePolicy"); n != 0 {
		t.Errorf("%d messages about the event", n)
	}
}

// TestRehearsalCommandLine: people work by the queue cli and the tables, and Slack has the cards.
func TestRehearsalCommandLine(t *testing.T) {
	t.Parallel()
	r := newRehearsal(t)
	role := r.role("app-role")
	at := []string{"KILLSWITCH_QUEUE=" + r.outputs["CliQueueUrl"], "KILLSWITCH_REQUESTS_TABLE=" + r.outputs["RequestsTable"], "KILLSWITCH_RUNS_TABLE=" + r.outputs["RunsTable"]}
	anaDesk, benDesk, stranger := append(r.hubUser("ana"), at...), append(r.hubUser("ben"), at...), append(r.hubUser("mallory"), at...)
	out, err := killswitch(t, anaDesk, "request", "revoke_sessions", "prod/"+role, "--reason", "leak", "--yes")
	asked := someID.FindString(out)
	if err != nil || asked == "" {
		t.Fatalf("request: %v %s", err, out)
	}
	if out, err := killswitch(t, stranger, "approve", asked, "--yes"); err == nil || !strings.Contains(out, "nobody of people[].iam") {
		t.Errorf("a stranger: %v %s", err, out)
	}
	r.card("pending 0/1", role, false)
	if out, err := killswitch(t, benDesk, "approve", asked, "--yes"); err != nil {
		t.Fatalf("approve: %v %s", err, out)
	}
	r.card("contained", role, false)
	if out, err := killswitch(t, anaDesk, "list"); err != nil || !strings.Contains(out, asked) {
		t.Errorf("list: %v %s", err, out)
	}
	if !strings.Contains(r.deny(role), "aws:TokenIssueTime") {
		t.Error("no deny")
	}
}

// awaits waits for a run to be as it should.
func (r *rehearsal) awaits(card Message, what string, is func(approvals.Run) bool) approvals.Run {
	r.t.Helper()
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		run, err := r.runs.Run(r.t.Context(), id(card))
		r.must(err)
		if is(run) {
			return run
		}
	}
	r.t.Fatalf("%s never comes", what)
	return approvals.Run{}
}

// TestRehearsalKilled: a sandbox is killed in the middle; the rest is done by
// the next one.
func TestRehearsalKilled(t *testing.T) {
	t.Parallel()
	r := newRehearsal(t)
	for i, kill := range []func(){r.executor.Kill, func() { r.bot.Kill(); r.executor.Kill() }} {
		role := r.role(fmt.Sprintf("role-%d", i))
		card := r.asks(role)
		r.click(ben, card, "approve") // acknowledged
		time.Sleep(time.Duration(40+60*i) * time.Millisecond)
		kill()
		r.card("contained", role, false)
		if !strings.Contains(r.deny(role), "aws:TokenIssueTime") {
			t.Errorf("%s: no deny", role)
		}
		if n := r.count("in account prod (222222222222) · " + id(card)); n != 1 {
			t.Errorf("%s: %d cards", role, n)
		}
	}
}
