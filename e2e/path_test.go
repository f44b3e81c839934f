//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/approvals"
)

const (
	prod    = "222222222222"
	channel = "C01SEC"
	ana     = "U01ANA"
	ben     = "U01BEN"
	cem     = "U01CEM"
	eve     = "U01EVE" // in the workspace, no responder
)

const configuration = `
slack: {team: T01ACME, incident_channel: C01SEC}
people:
  - {id: ana, name: Ana, slack: U01ANA}
  - {id: ben, name: Ben, slack: U01BEN}
  - {id: cem, name: Cem, slack: U01CEM}
groups:
  responders: {people: [ana, ben, cem]}
aws:
  hub_account: "123456789012"
  management_account: "999999999999"
  responder_role: killswitch-responder
  restorer_role: killswitch-restorer
  external_id: 4b3c2a1f
  regions: [eu-west-1]
  accounts: {prod: "222222222222"}
policy:
  default: {requesters: responders, approvers: responders, approvals: 1, approve_within: 30m, run_within: 5m}
`

// scene is a Slack, an AWS and a Killswitch between them.
type scene struct {
	t     *testing.T
	slack *Slack
	aws   *AWS
	iam   *iam.Client // prod's administrator
	bot   *Process
	addr  string
	dir   string

	socket bool   // Socket Mode
	more   string // of the configuration
	edit   func(string) string
	hooks  string   // the webhooks' keys
	env    []string // more of Killswitch's environment

	// prod, the organization's and app-role, where they are empty.
	account, management, instanceRole string
	key, notices                      string // what a containment is about; the URL of the queue of notices
}

func newScene(t *testing.T, alter ...func(*scene, *Workspace)) *scene {
	t.Helper()
	s := &scene{t: t, addr: FreeAddr(t), dir: t.TempDir(), aws: StartAWS(t)}
	w := Acme("http://" + s.addr + "/slack/events")
	for _, f := range alter {
		f(s, &w)
	}
	w.Users = append(w.Users, User{ID: cem, Name: "cem", RealName: "Cem"}, User{ID: eve, Name: "eve", RealName: "Eve"})
	s.slack = StartSlack(t, w)
	s.iam = iam.NewFromConfig(s.aws.Member(t, prod))
	s.organize() // of which the daily check asks
	config := configuration + s.more
	if s.edit != nil {
		config = s.edit(config)
	}
	s.must(os.WriteFile(s.config(), []byte(config), 0o600))
	s.start()
	return s
}

func (s *scene) config() string { return filepath.Join(s.dir, "killswitch.yaml") }

// start starts Killswitch on what its data directory holds.
func (s *scene) start() {
	s.t.Helper()
	env := append(s.aws.EnvOf("Serve"), "SLACK_SIGNING_SECRET="+s.slack.App.SigningSecret, "SLACK_BOT_TOKEN="+s.slack.App.BotToken, "SLACK_API_URL="+s.slack.API())
	if s.hooks != "" {
		env = append(env, "KILLSWITCH_WEBHOOK_KEYS="+s.hooks)
	}
	env = append(env, s.env...)
	args := []string{"serve", "--config", s.config(), "--data", filepath.Join(s.dir, "data"), "--listen", s.addr}
	if s.socket {
		env, args = append(env, "SLACK_APP_TOKEN=xapp-test-token"), append(args, "--socket-mode")
	}
	s.bot = Start(s.t, "killswitch", Setting(s.t, "KILLSWITCH"), env, args...)
	s.bot.Answers(s.t, "http://"+s.addr+"/healthz")
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// role makes a role and returns its name.
func (s *scene) role(name string) string {
	s.t.Helper()
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	_, err := s.iam.CreateRole(s.t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	s.must(err)
	return name
}

// deny is the role's revocation, "" if there is none.
func (s *scene) deny(role string) string {
	s.t.Helper()
	policy := "AWSRevokeOlderSessions"
	out, err := s.iam.GetRolePolicy(s.t.Context(), &iam.GetRolePolicyInput{RoleName: &role, PolicyName: &policy})
	if err != nil {
		if strings.Contains(err.Error(), "NoSuchEntity") {
			return ""
		}
		s.t.Fatal(err)
	}
	doc, err := url.PathUnescape(*out.PolicyDocument)
	s.must(err)
	return doc
}

func (s *scene) tags(role string) int {
	s.t.Helper()
	out, err := s.iam.ListRoleTags(s.t.Context(), &iam.ListRoleTagsInput{RoleName: &role})
	s.must(err)
	return len(out.Tags)
}

// card waits for the role's card in a state; undo tells which of the two.
func (s *scene) card(state, role string, undo bool) Message {
	s.t.Helper()
	return s.slack.Await(s.t, channel, state+" of "+role, func(m Message) bool {
		return inState(m, state+":") && strings.Contains(m.Text, "/"+role+" ") && strings.Contains(m.Text, "(undo of") == undo
	})
}

// inState reports whether a message is a card in a state. A pending one calls those who may
// approve until it is edited.
func inState(m Message, state string) bool {
	return strings.HasPrefix(m.Text, state) || strings.HasPrefix(state, "pending") && strings.HasPrefix(m.Text, "Approve? ") && strings.Contains(m.Text, state)
}

func (s *scene) asks(role string) Message {
	s.t.Helper()
	s.slack.Command(s.t, channel, ana, "/killswitch", "revoke_sessions arn:aws:iam::"+prod+":role/"+role+` reason="keys on a paste site"`)
	return s.card("pending 0/1", role, false)
}

func (s *scene) click(user string, m Message, action string) {
	s.t.Helper()
	s.slack.Click(s.t, channel, user, m, action)
}

// told waits until somebody alone is told something.
func (s *scene) told(words string) {
	s.t.Helper()
	s.slack.Await(s.t, channel, words, func(m Message) bool { return strings.Contains(m.Text, words) })
}

func (s *scene) count(text string) int {
	s.t.Helper()
	n := 0
	for _, m := range s.slack.Messages(s.t, channel) {
		if strings.Contains(m.Text, text) {
			n++
		}
	}
	return n
}

// TestPath: ask, refuse whom it must, approve, contain, undo, restore.
func TestPath(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	role := s.role("app-role")
	earlier := "{\n \"Version\": \"2012-10-17\",\n \"Statement\": [{\"Effect\": \"Deny\", \"Action\": \"s3:*\", \"Resource\": \"arn:aws:s3:::a+b%20c/*\"}]\n}"
	policy := "AWSRevokeOlderSessions"
	_, err := s.iam.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: &role, PolicyName: &policy, PolicyDocument: &earlier})
	s.must(err)

	card := s.asks(role)
	s.click(ana, card, "approve")
	s.told("a second person must approve")
	s.click(eve, card, "approve")
	s.told("not in Killswitch's list of people")
	if got := s.deny(role); got != earlier {
		t.Fatalf("something was changed before approval: %s", got)
	}
	s.click(ben, card, "approve")
	card = s.card("contained", role, false)
	if got := s.deny(role); !strings.Contains(got, "aws:TokenIssueTime") || s.tags(role) != 1 {
		t.Fatalf("contained, and the policy is %s with %d tags", got, s.tags(role))
	}
	s.told("every step was read back")

	s.click(cem, card, "undo")
	undo := s.card("pending 0/1", role, true)
	s.click(cem, undo, "approve")
	s.told("You asked for this yourself")
	s.click(ana, undo, "approve")
	s.card("restored", role, true)
	s.card("undone", role, false)
	if got := s.deny(role); got != earlier || s.tags(role) != 0 {
		t.Errorf("not as before: %q with %d tags", got, s.tags(role))
	}
	s.slack.Command(t, channel, ben, "/killswitch", "audit "+id(card))
	s.told("Audit of " + id(card))
	for _, m := range s.slack.Messages(t, channel) {
		if strings.Contains(m.Text, s.slack.App.SigningSecret) {
			t.Error("a secret was shown")
		}
	}
	if out := s.bot.Output(); strings.Contains(out, s.slack.App.SigningSecret) || strings.Contains(out, s.slack.App.BotToken) || strings.Contains(out, "paste site") {
		t.Errorf("a secret or a body was logged:\n%s", out)
	}
}

// id is the request that a card shows.
func id(m Message) string {
	_, rest, _ := strings.Cut(m.Text, "· ")
	return rest[:len("KS-")+12]
}

// TestDenied: a denial counts at once, its reason follows.
func TestDenied(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	role := s.role("app-role")
	card := s.asks(role)
	s.click(ben, card, "deny")
	s.card("denied", role, false)
	s.click(cem, card, "approve") // his screen was not redrawn yet
	s.told("denied by now")
	payload, err := json.Marshal(map[string]any{
		"type": "view_submission", "team": map[string]string{"id": "T01ACME"}, "user": map[string]string{"id": ben, "team_id": "T01ACME"}, "api_app_id": s.slack.App.ID,
		"view": map[string]any{"callback_id": "deny_reason", "private_metadata": id(card), "state": map[string]any{"values": map[string]any{"reason": map[string]any{"reason": map[string]string{"type": "plain_text_input", "value": "wrong role"}}}}},
	})
	s.must(err)
	if status := s.post(url.Values{"payload": {string(payload)}}.Encode(), s.slack.App.SigningSecret, time.Now()); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	s.told("wrong role")
	if s.deny(role) != "" {
		t.Error("it ran")
	}
}

// post sends a body as Slack would.
func (s *scene) post(body, secret string, at time.Time) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.addr+"/slack/commands", strings.NewReader(body))
	s.must(err)
	ts := strconv.FormatInt(at.Unix(), 10)
	req.Header.Set("X-Slack-Request-Timestamp", ts)
	req.Header.Set("X-Slack-Signature", approvals.SignSlack(secret, ts, body))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	s.must(err)
	s.must(resp.Body.Close())
	return resp.StatusCode
}

// TestForged: what is not Slack's word is answered with 401 and silence, and
// one signed word is one request.
func TestForged(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	role := s.role("app-role")
	body := url.Values{"command": {"/killswitch"}, "text": {"revoke_sessions prod/" + role + " reason=leak"}, "team_id": {"T01ACME"}, "channel_id": {channel}, "user_id": {ana}, "api_app_id": {s.slack.App.ID}}.Encode()
	if got := s.post(body, "guessed", time.Now()); got != http.StatusUnauthorized {
		t.Errorf("forged: %d", got)
	}
	if got := s.post(body, s.slack.App.SigningSecret, time.Now().Add(-6*time.Minute)); got != http.StatusUnauthorized {
		t.Errorf("stale: %d", got)
	}
	if n := len(s.slack.Messages(t, channel)); n != 0 {
		t.Errorf("%d messages", n)
	}
	at := time.Now()
	for range 3 {
		if got := s.post(body, s.slack.App.SigningSecret, at); got != http.StatusOK {
			t.Errorf("genuine: %d", got)
		}
	}
	s.card("pending 0/1", role, false)
	time.Sleep(time.Second) // what the repetitions might do, they would have done
	if n := s.count("pending 0/1:"); n != 1 {
		t.Errorf("%d cards", n)
	}
}

// TestKilled: SIGKILL at any moment after the click; the next start brings the
// containment, one card and one result.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for i, pause := range []time.Duration{0, 5, 10, 20, 30, 45, 60, 80, 110, 150, 250} {
		role := s.role(fmt.Sprintf("role-%d", i))
		card := s.asks(role)
		s.click(ben, card, "approve") // acknowledged
		time.Sleep(pause * time.Millisecond)
		s.bot.Kill()
		s.start()
		s.card("contained", role, false)
		if !strings.Contains(s.deny(role), "aws:TokenIssueTime") {
			t.Errorf("killed after %d ms: no deny", pause)
		}
		Eventually(t, "the result in the thread", func(context.Context) error {
			if n := s.count(id(card) + ": contained."); n != 1 {
				return fmt.Errorf("said %d times", n)
			}
			return nil
		})
		if n := s.count("in account prod (222222222222) · " + id(card)); n != 1 {
			t.Errorf("killed after %d ms: %d cards", pause, n)
		}
	}
}

// TestSocketMode: the same path, over a connection that Killswitch opened.
func TestSocketMode(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(s *scene, w *Workspace) {
		s.socket, w.App.Mode, w.App.RequestURL = true, "socket", ""
		s.edit = strings.NewReplacer("slack: {", "slack: {socket_mode: true, ").Replace
	})
	role := s.role("app-role")
	Eventually(t, "the connection", func(context.Context) error {
		s.slack.Command(t, channel, ana, "/killswitch", "help")
		if s.count("How to use /killswitch") == 0 {
			return fmt.Errorf("no answer")
		}
		return nil
	})
	card := s.asks(role)
	s.click(ana, card, "approve")
	s.told("a second person must approve")
	s.click(ben, card, "approve")
	s.card("contained", role, false)
	if !strings.Contains(s.deny(role), "aws:TokenIssueTime") {
		t.Error("no deny")
	}
}

// crafted sends a click that Slack signed, with something in it changed.
func (s *scene) crafted(user string, card Message, action string, change func(p map[string]any)) {
	s.t.Helper()
	var blocks []any
	click := map[string]any{"action_id": action, "type": "button"}
	for _, b := range card.Blocks {
		var block map[string]any
		s.must(json.Unmarshal(b.Raw, &block))
		blocks = append(blocks, block)
		for _, e := range b.Elements {
			if e.ActionID == action {
				click["value"] = e.Value
			}
		}
	}
	p := map[string]any{
		"type": "block_actions", "team": map[string]any{"id": "T01ACME"}, "api_app_id": s.slack.App.ID, "user": map[string]any{"id": user, "team_id": "T01ACME"},
		"channel": map[string]any{"id": channel}, "container": map[string]any{"type": "message"}, "message": map[string]any{"ts": card.TS, "blocks": blocks}, "actions": []any{click},
	}
	change(p)
	payload, err := json.Marshal(p)
	s.must(err)
	if status := s.post(url.Values{"payload": {string(payload)}}.Encode(), s.slack.App.SigningSecret, time.Now()); status != http.StatusOK {
		s.t.Fatalf("status %d", status)
	}
}

// refusals are clicks that must change nothing; the person is told why.
func (s *scene) refusals() {
	s.t.Helper()
	role := s.role("guarded-role")
	card := s.asks(role)
	clicked := func(p map[string]any) map[string]any { return p["actions"].([]any)[0].(map[string]any) }
	s.crafted(ben, card, "approve", func(p map[string]any) {
		for _, b := range p["message"].(map[string]any)["blocks"].([]any) {
			if block := b.(map[string]any); block["block_id"] == "call" {
				block["text"].(map[string]any)["text"] = "revoke_sessions arn:aws:iam::222222222222:role/harmless"
			}
		}
	})
	s.told("does not show what")
	s.crafted(ben, card, "approve", func(p map[string]any) { clicked(p)["value"] = id(card) + "." + strings.Repeat("0", 64) })
	s.told("another version of the request")
	s.crafted(ben, card, "approve", func(p map[string]any) { p["user"].(map[string]any)["team_id"] = "T99OTHER" })
	s.told("only from its own workspace")
	s.crafted(ben, card, "approve", func(p map[string]any) {
		p["actions"] = append(p["actions"].([]any), clicked(p))
	})
	s.told("One click at a time")
	s.crafted("U01NOBODY", card, "approve", func(map[string]any) {})
	s.told("not in Killswitch's list")
	s.crafted(ben, card, "deny", func(p map[string]any) {}) // a no counts; offered as approval it must not
	s.card("denied", role, false)
	s.crafted(cem, card, "approve", func(map[string]any) {})
	s.told("denied by now")
	if s.deny(role) != "" || s.tags(role) != 0 {
		s.t.Errorf("something was changed: %q", s.deny(role))
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	newScene(t).refusals()
}

// TestRefusedTypo: the card of a target that does not exist has the line to send.
func TestRefusedTypo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	role, user := s.role("reporting-role"), "reporting-bot"
	_, err := s.iam.CreateUser(t.Context(), &iam.CreateUserInput{UserName: &user})
	s.must(err)
	abroad := ec2.NewFromConfig(s.aws.Member(t, prod), func(o *ec2.Options) { o.Region = "eu-west-1" })
	images, err := abroad.DescribeImages(t.Context(), &ec2.DescribeImagesInput{})
	s.must(err)
	run, err := abroad.RunInstances(t.Context(), &ec2.RunInstancesInput{ImageId: images.Images[0].ImageId, MinCount: aws.Int32(1), MaxCount: aws.Int32(1)})
	s.must(err)
	instance := *run.Instances[0].InstanceId
	for _, c := range []struct{ action, typed, meant string }{
		{"revoke_sessions", "reporting-rloe", role},
		{"revoke_sessions", "Reporting-Role", role},
		{"quarantine_user", "reporting-bto", user},
		{"isolate_instance", instance + " region=us-east-1", instance},
	} {
		typed, meant := c.typed, c.meant
		s.slack.Command(t, channel, ana, "/killswitch", c.action+" prod/"+typed+` reason="keys on a paste site"`)
		typed, _, _ = strings.Cut(typed, " ")
		card := s.card("refused", typed, false)
		_, line, _ := strings.Cut(strings.ReplaceAll(card.String(), `\"`, `"`), "Send /killswitch ")
		line, _, found := strings.Cut(line, " if "+meant+" is meant")
		if !found {
			t.Fatalf("no line to send:\n%s", card)
		}
		s.slack.Command(t, channel, ana, "/killswitch", line)
		s.click(ana, s.card("pending 0/1", meant, false), "cancel")
		s.card("cancelled", meant, false)
	}
}
