package local_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/config"
)

const (
	intruderKey = "AKIAINTRUDERINEXAMPLE"
	adminPolicy = "arn:aws:iam::aws:policy/AdministratorAccess"
	opensToAll  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`
)

// attacked is a world in which the holder of an administrator's key has made a user and a role, and goes on
// by a session of that role.
func attacked(w *world) {
	actiontest.DeployShared(w.aws, prod)
	w.aws.Account(prod).AddUser(awsfake.User{Name: "intruder", Attached: []string{adminPolicy}, Keys: []awsfake.AccessKey{{ID: intruderKey}}})
	w.aws.RecordTrail()
	ctx, bad := w.t.Context(), iam.NewFromConfig(w.aws.KeySession(intruderKey).Config())
	_, err := bad.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("backdoor")})
	w.must(err)
	_, err = bad.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("backdoor"), PolicyArn: aws.String(adminPolicy)})
	w.must(err)
	_, err = bad.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("support"), AssumeRolePolicyDocument: aws.String(opensToAll)})
	w.must(err)
	_, err = bad.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("support"), PolicyArn: aws.String(adminPolicy)})
	w.must(err)
	w.clock.Add(time.Minute)
	out, err := sts.NewFromConfig(w.aws.KeySession(intruderKey).Config()).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + prod + ":role/support"), RoleSessionName: aws.String("chained")})
	w.must(err)
	cfg := w.aws.Config()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	_, err = iam.NewFromConfig(cfg).CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: aws.String("backdoor")})
	w.must(err)
}

// lists are the messages with what was made.
func (w *world) lists() (ms []slackfake.Message) {
	for _, m := range w.slack.Messages(channel) {
		if strings.Contains(m.Text, " made: ") || strings.Contains(m.Text, "that it made") || strings.Contains(m.Text, " made or changed.") {
			ms = append(ms, m)
		}
	}
	return ms
}

// presses clicks a button of a message.
func (w *world) presses(user string, m slackfake.Message, action string) {
	w.t.Helper()
	if d := w.slack.Click(user, m.Channel, m.TS, action); d.Err != nil || d.Status != 200 {
		w.t.Fatalf("%s clicks %s: %d %v\n%s", user, action, d.Status, d.Err, slackfake.Text(m))
	}
	w.drain()
}

// about finds the request about a target.
func (w *world) about(target string) approvals.Request {
	w.t.Helper()
	for _, r := range w.all() {
		if strings.HasSuffix(r.Intent.Call.Target, target) {
			return r
		}
	}
	w.t.Fatalf("no request about %s\n%s", target, w.said())
	return approvals.Request{}
}

// TestTraceIsTheIncidentsChecklist: once a user is contained, the thread lists what they made, with a button
// for each; it is drawn anew as things are contained, from there or typed elsewhere, and undone.
func TestTraceIsTheIncidentsChecklist(t *testing.T) {
	t.Parallel()
	for store, alter := range stores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, append(alter, attacked)...)
			r := w.contained("quarantine_user prod/intruder stolen")
			w.pass(10 * time.Second)
			list := w.lists()
			if len(list) != 1 || list[0].ThreadTS != w.again(r).Card.TS {
				t.Fatalf("%d lists\n%s", len(list), w.said())
			}
			w.has(list[0], "2 things, 0 contained or gone. It changed or used 0 more.", "user backdoor", "created it", "created a console password for it", "role support", "assumed it, a session until")
			w.presses("U03CAROL", list[0], "propose:quarantine_user")
			backdoor := w.state(w.about("user/backdoor"), approvals.Pending)
			w.shows(backdoor, "found by the trace of "+r.ID)
			w.has(w.lists()[0], "pending 0/1")
			w.clicks("U03CAROL", backdoor, "approve")
			w.told("U03CAROL", "a second person")
			w.clicks("U02BOB", backdoor, "approve")
			w.state(backdoor, approvals.Contained)
			w.pass(10 * time.Second)
			w.has(w.lists()[0], "2 things, 1 contained or gone", "Contained: Quarantine the user ("+backdoor.ID+")")

			w.contained("detach_policies prod/support typed")
			w.pass(10 * time.Second)
			w.has(w.lists()[0], "2 things, 2 contained or gone")
			w.undo(backdoor)
			w.pass(10 * time.Second)
			w.has(w.lists()[0], "2 things, 1 contained or gone", "[! Quarantine ]")

			w.presses("U01ALICE", w.lists()[0], "trace")
			w.told("U01ALICE", "looking up what was made")
			w.pass(20 * time.Minute)
			if n := len(w.lists()); n > 2 {
				t.Errorf("%d lists\n%s", n, w.said())
			}
		})
	}
}

// has checks that a message shows some words.
func (w *world) has(m slackfake.Message, words ...string) {
	w.t.Helper()
	text := m.Text + "\n" + slackfake.Text(m)
	for _, word := range words {
		if !strings.Contains(strings.ReplaceAll(text, "*", ""), word) {
			w.t.Errorf("no %q in\n%s", word, text)
		}
	}
}

// TestTraceOfAnExposedKey: by itself, in the alert's thread, whose buttons go on after the alert is over.
func TestTraceOfAnExposedKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, attacked, func(w *world) {
		w.hooks = "eventbridge=hook-key"
		w.cfg.Webhooks = []config.Webhook{{ID: "eventbridge", Events: true}}
		w.cfg.Alerts = finding.Routing{Routes: []finding.Route{{Match: finding.Match{Source: finding.Health}, Delivery: finding.Propose}}}
	})
	event := []byte(strings.ReplaceAll(string(w.sample("health_exposed_one.json")), "AKIAHEALTHKY2EXAMPLE", intruderKey))
	if status := w.bring("hook-key", "", event); status != http.StatusOK {
		t.Fatalf("the event: %d", status)
	}
	w.pass(10 * time.Second)
	list := w.lists()
	if len(list) != 1 {
		t.Fatalf("%d lists\n%s", len(list), w.said())
	}
	w.has(list[0], "2 things, 0 contained or gone", "user backdoor")
	w.presses("U03CAROL", list[0], "propose:quarantine_user")
	r := w.state(w.about("user/backdoor"), approvals.Pending)
	if r.Alert == "" || r.Event != "" || r.Card.Thread != list[0].ThreadTS {
		t.Errorf("it is not the alert's: %+v", r.Card)
	}
	w.clicks("U02BOB", r, "approve")
	w.state(r, approvals.Contained)
	w.pass(10 * time.Second)
	w.has(w.lists()[0], "2 things, 1 contained or gone")
}

// TestTraceByAClick on a pending request's card: before anything runs, and only for a responder.
func TestTraceByAClick(t *testing.T) {
	t.Parallel()
	w := newWorld(t, attacked)
	r := w.asks("U01ALICE", "quarantine_user prod/intruder stolen")
	w.clicks("U04MALLORY", r, "trace")
	w.pass(10 * time.Second)
	if len(w.lists()) != 0 {
		t.Errorf("anybody may\n%s", w.said())
	}
	w.clicks("U02BOB", r, "trace")
	w.pass(10 * time.Second)
	if list := w.lists(); len(list) != 1 {
		t.Errorf("%d lists\n%s", len(list), w.said())
	}
	w.state(r, approvals.Pending)
}

// TestForgedTraceClicks: what the list does not have, or the message did not show, makes no request.
func TestForgedTraceClicks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, attacked)
	r := w.contained("quarantine_user prod/intruder stolen")
	w.pass(10 * time.Second)
	list, before := w.lists()[0], len(w.all())
	other := approvals.Intent{Call: r.Intent.Call}
	for name, forge := range map[string]func(map[string]any){
		"another call": func(p map[string]any) {
			pressed(p)["value"] = approvals.Value(r.ID, approvals.IntentDigest(other))
		},
		"another request": func(p map[string]any) {
			_, digest, _ := strings.Cut(pressed(p)["value"].(string), ".")
			pressed(p)["value"] = approvals.Value("KS-000000000000", digest)
		},
		"a message that shows nothing": func(p map[string]any) { p["message"].(map[string]any)["blocks"] = []any{} },
	} {
		d := w.slack.ClickRaw("U03CAROL", list.Channel, list.TS, func(p map[string]any) {
			pressed(p)["action_id"] = "propose:quarantine_user"
			for _, b := range p["message"].(map[string]any)["blocks"].([]any) {
				if a, ok := b.(map[string]any)["accessory"].(map[string]any); ok && strings.HasPrefix(a["action_id"].(string), "propose:quarantine_user") {
					pressed(p)["value"] = a["value"]
				}
			}
			forge(p)
		})
		if d.Err != nil {
			t.Fatal(d.Err)
		}
		w.drain()
		if n := len(w.all()); n != before {
			t.Errorf("%s made a request", name)
		}
	}
}

func pressed(payload map[string]any) map[string]any {
	return payload["actions"].([]any)[0].(map[string]any)
}
