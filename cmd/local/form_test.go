package local_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// form is what alice sees of her form.
type form struct {
	ID     string `json:"id"`
	Blocks []struct {
		Type    string
		ID      string `json:"block_id"`
		Label   struct{ Text string }
		Text    struct{ Text string }
		Element struct {
			Type         string
			ActionID     string `json:"action_id"`
			InitialValue string `json:"initial_value"`
			Initial      struct {
				Value string
			} `json:"initial_option"`
			Options []struct{ Value string }
			Groups  []struct {
				Options []struct{ Value string }
			} `json:"option_groups"`
		}
	}
}

func (w *world) form() form {
	w.t.Helper()
	views := w.slack.Views("U01ALICE")
	if len(views) != 1 {
		w.t.Fatalf("%d views are open\n%s", len(views), w.said())
	}
	var f form
	w.must(json.Unmarshal(views[0].JSON, &f))
	return f
}

// block is the ID of a field's block.
func (f form) block(field string) string {
	for _, b := range f.Blocks {
		if strings.HasPrefix(b.ID, field+".") {
			return b.ID
		}
	}
	return ""
}

// initial is what the form has in a field.
func (f form) initial(field string) string {
	for _, b := range f.Blocks {
		if b.ID == f.block(field) {
			return b.Element.InitialValue + b.Element.Initial.Value
		}
	}
	return ""
}

// under is the line under a field, or with "" all that is said in the form.
func (f form) under(field string) string {
	var said []string
	for i, b := range f.Blocks {
		if b.Type == "section" && (field == "" || i > 0 && f.Blocks[i-1].ID == f.block(field)) {
			said = append(said, b.Text.Text)
		}
	}
	return strings.Join(said, "\n")
}

// submits fills the form in and sends it. Its answer is there a moment later.
func (w *world) submits(fields map[string]string) slackfake.Delivered {
	w.t.Helper()
	f := w.form()
	values := map[string]map[string]string{}
	for field, value := range fields {
		values[f.block(field)] = map[string]string{field: value}
	}
	d := w.slack.Submit("U01ALICE", f.ID, values)
	if d.Err != nil || d.Status != 200 {
		w.t.Fatalf("submit: %d %v", d.Status, d.Err)
	}
	return d
}

func (w *world) settle() {
	w.t.Helper()
	w.clock.Add(time.Second)
	w.drain()
}

func requestOf(d slackfake.Delivered) string {
	return approvals.RequestID(approvals.Evidence{Kind: approvals.SlackEvidence, Timestamp: d.SentHeader.Get("X-Slack-Request-Timestamp"), Body: string(d.Request)})
}

// chooses picks an action in the form, which is drawn for it.
func (w *world) chooses(action string) {
	w.t.Helper()
	f := w.form()
	if d := w.slack.Enter("U01ALICE", f.ID, nil, f.block("action"), "action", action); d.Err != nil || d.Status != 200 {
		w.t.Fatalf("choose: %d %v", d.Status, d.Err)
	}
	w.drain()
}

// TestFormAsks: what is entered in the form is asked for, proved and done as what is typed is.
func TestFormAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.types("U01ALICE", "")
	w.told("U01ALICE", "Open the form")
	w.slack.Enter("U01ALICE", w.form().ID, nil, w.form().block("target"), "target", "app-role")
	if f := w.form(); f.block("account") != "" {
		t.Error("there are fields of an action before one is chosen")
	}
	w.chooses("revoke_sessions")
	if f := w.form(); f.block("account") == "" || f.block("via") == "" || f.block("region") != "" {
		t.Errorf("the fields are not those of the action: %+v", f.Blocks)
	}
	d := w.submits(map[string]string{"account": prod + " prod", "reason": "keys on a paste site 🚨"})
	if got := w.form().under(""); !strings.HasPrefix(got, "Checking") {
		t.Errorf("meanwhile the form says %q", got)
	}
	w.settle()
	r := w.state(w.get(requestOf(d)), approvals.Pending)
	if r.Intent.Call.Target != appRole || r.Reason != "keys on a paste site" {
		t.Errorf("asked for %s because %q", r.Intent, r.Reason)
	}
	if got := w.form().under(""); !strings.Contains(got, r.ID) {
		t.Errorf("the form ends with %q", got)
	}
	w.clicks("U02BOB", r, "approve")
	w.state(r, approvals.Contained)
}

// TestFormMistakes: a line stands under each wrong field, what was entered is kept, though Slack keeps the
// inputs of fields that it knows, and what is sent then is asked for.
func TestFormMistakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.types("U01ALICE", "")
	w.chooses("isolate_instance")
	w.submits(map[string]string{"target": "i-0d3e1a5b7c9f2000", "reason": "?!"})
	w.settle()
	f := w.form()
	for _, field := range []string{"target", "region", "reason"} {
		if f.under(field) == "" {
			t.Errorf("nothing is said under %s: %+v", field, f.Blocks)
		}
	}
	if f.initial("target") != "i-0d3e1a5b7c9f2000" || f.initial("action") != "isolate_instance" {
		t.Errorf("what was entered is lost: %+v", f.Blocks)
	}
	w.submits(map[string]string{"target": "AKIAIOSFODNN7EXAMPLE", "reason": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY found"})
	w.settle()
	if f = w.form(); !strings.Contains(f.under("reason"), "secret access key") || strings.Contains(fmt.Sprint(f), "wJalrXUtnFEMI") {
		t.Errorf("a secret in the reason: %+v", f.Blocks)
	}
	w.chooses("revoke_sessions")
	w.submits(map[string]string{"target": appRole, "account": "333333333333 sandbox", "reason": "a leak"})
	w.settle()
	if f = w.form(); !strings.Contains(f.under("account"), "does not match") || f.initial("account") != "333333333333 sandbox" {
		t.Errorf("an account that contradicts the target: %+v", f.Blocks)
	}
	if len(w.all()) != 0 {
		t.Fatal("something was asked for")
	}
	d := w.submits(map[string]string{"account": ""})
	w.settle()
	w.state(w.get(requestOf(d)), approvals.Pending)
}

// TestFormRefused: who may not ask reads why in place of the form, with what was entered.
func TestFormRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.cfg.Policy.Roster.Groups["responders"] = []string{"bob", "carol"} })
	w.types("U01ALICE", "")
	w.chooses("revoke_sessions")
	w.submits(map[string]string{"target": appRole, "reason": "a leak"})
	w.settle()
	if f := w.form(); !strings.Contains(f.under(""), "You are not in the group responders") || f.initial("reason") != "a leak" {
		t.Errorf("the form says %q", f.under(""))
	}
}

// TestFormIsForResponders: the form has the accounts in it; who is nobody of the roster is not shown it, by
// the button either, which ingress gives to everybody.
func TestFormIsForResponders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.types("U05STRANGER", "")
	for _, m := range w.slack.Messages(channel) {
		if strings.Contains(string(m.Blocks), `"`+approvals.FormButton+`"`) {
			w.slack.Click("U05STRANGER", channel, m.TS, approvals.FormButton)
			w.drain()
		}
	}
	if len(w.slack.Views("U05STRANGER")) != 0 {
		t.Error("a stranger sees the form")
	}
	w.told("U05STRANGER", "not in Killswitch's list of people")
}

// TestFormTwice: the same submission, delivered again, is the same request, and a form that asks for what
// is asked for already is told so.
func TestFormTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.asks("U02BOB", command)
	w.types("U01ALICE", "")
	w.chooses("revoke_sessions")
	d := w.submits(map[string]string{"target": appRole, "reason": "a leak"})
	w.slack.Send(d.Request, d.SentHeader)
	w.settle()
	if got := w.form().under(""); !strings.Contains(got, "asks for the same") || len(w.all()) != 1 {
		t.Errorf("%d requests, the form says %q", len(w.all()), got)
	}
}

// TestBotsViewComesFirst: Slack may apply ingress' answer after the bot's view; what came of it is shown
// all the same.
func TestBotsViewComesFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.types("U01ALICE", "")
	w.chooses("revoke_sessions")
	shown, answered, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	w.zones.Bot.Sleep = func(_ context.Context, d time.Duration) error {
		if d == 3*time.Second {
			close(shown)
			<-answered
		}
		return nil
	}
	w.slack.BeforeAnswer(func() {
		go func() {
			defer close(done)
			w.settle()
		}()
		<-shown
		if got := w.form().under(""); !strings.Contains(got, "KS-") {
			t.Errorf("the bot's first view says %q", got)
		}
	})
	w.submits(map[string]string{"target": appRole, "reason": "a leak"})
	if got := w.form().under(""); !strings.HasPrefix(got, "Checking") {
		t.Errorf("the answer has no effect: %q", got)
	}
	close(answered)
	<-done
	if got := w.form().under(""); !strings.Contains(got, "KS-") {
		t.Errorf("in the end the form says %q", got)
	}
}

// TestFormClosedMeanwhile: who has closed the form is told in the channel, or where nobody of them is, by a
// direct message.
func TestFormClosedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.types("U01ALICE", "")
	w.chooses("revoke_sessions")
	w.submits(map[string]string{"target": appRole, "account": "333333333333 sandbox", "reason": "a leak"})
	w.slack.Dismiss("U01ALICE", w.form().ID)
	w.settle()
	w.told("U01ALICE", "does not match")
}

// TestAnswerFindsItsWay: who is in no channel in which they could be answered is answered directly.
func TestAnswerFindsItsWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.types("U01ALICE", "")
	w.chooses("revoke_sessions")
	w.submits(map[string]string{"target": appRole, "account": "333333333333 sandbox", "reason": "a leak"})
	w.slack.Dismiss("U01ALICE", w.form().ID)
	w.slack.Fail(slackfake.Fault{Method: "chat.postEphemeral", Error: "user_not_in_channel", Times: 2})
	w.settle()
	var direct []slackfake.APICall
	for _, c := range w.slack.Calls() {
		if c.Method == "chat.postMessage" && c.Channel == "U01ALICE" {
			direct = append(direct, c)
		}
	}
	if len(direct) != 1 {
		t.Errorf("direct messages: %+v", direct)
	}
}

// TestFormOf600Accounts: as many as a select may have are chosen from a list, which Slack takes and ingress
// reads; one more is typed.
func TestFormOf600Accounts(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{100: "static_select", 600: "static_select", 601: "plain_text_input"} {
		w := newWorld(t, func(w *world) {
			w.cfg.Org.Accounts = map[string]string{"zz-prod": prod}
			for i := range n - 1 {
				w.cfg.Org.Accounts[fmt.Sprintf("a-rather-long-alias-of-a-team-%03d", i)] = fmt.Sprintf("4%011d", i)
			}
		})
		w.types("U01ALICE", "")
		w.chooses("isolate_instance")
		f := w.form()
		for _, b := range f.Blocks {
			if b.ID == f.block("account") && b.Element.Type != want {
				t.Errorf("%d accounts: %s", n, b.Element.Type)
			}
		}
		account := prod + " zz-prod"
		if want == "plain_text_input" {
			account = "zz-prod"
		}
		d := w.submits(map[string]string{"target": "i-0d3e1a5b7c9f20007", "account": account, "region": "us-east-1", "reason": "a miner"})
		if len(d.Request) > 256<<10 {
			t.Errorf("%d accounts: a submission of %d bytes", n, len(d.Request))
		}
		w.settle()
		if r := w.get(requestOf(d)); r.Intent.Call.Account != prod {
			t.Errorf("%d accounts: %s", n, r.Intent)
		}
	}
}

// TestColdBot: a bot that takes longer than a trigger lives opens no form; the button that ingress gave
// does.
func TestColdBot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if d := w.slack.Command("U01ALICE", channel, "/killswitch", " "); d.Err != nil {
		t.Fatal(d.Err)
	}
	w.clock.Add(4 * time.Second)
	w.drain()
	if len(w.slack.Views("U01ALICE")) != 0 {
		t.Fatal("a form was opened by an old trigger")
	}
	open := func() slackfake.Message {
		ms := w.slack.Messages(channel)
		return ms[len(ms)-1]
	}
	if d := w.slack.Click("U01ALICE", channel, open().TS, approvals.FormButton); d.Err != nil {
		t.Fatal(d.Err)
	}
	w.clock.Add(4 * time.Second)
	w.drain()
	w.told("U01ALICE", "within 3 seconds")
	if d := w.slack.Click("U01ALICE", channel, open().TS, approvals.FormButton); d.Err != nil {
		t.Fatal(d.Err)
	}
	w.drain()
	w.form()
}

// TestFormOfAMistake: the button beside a correction opens the form with what was typed.
func TestFormOfAMistake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.types("U01ALICE", `isolate_instnce i-0d3e1a5b7c9f20007 region=us-east-1 reason="a miner"`)
	ms := w.slack.Messages(channel)
	if d := w.slack.Click("U01ALICE", channel, ms[len(ms)-1].TS, approvals.FormButton); d.Err != nil {
		t.Fatal(d.Err)
	}
	w.drain()
	f := w.form()
	for field, want := range map[string]string{"action": "isolate_instance", "target": "i-0d3e1a5b7c9f20007", "region": "us-east-1", "reason": "a miner"} {
		if f.initial(field) != want {
			t.Errorf("%s: %q, want %q", field, f.initial(field), want)
		}
	}
}

// TestFormAgain: what one click may not ask for again opens the form, without the name that is typed to
// confirm it.
func TestFormAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.deployMember() })
	r := w.state(w.asks("U01ALICE", "delete_role "+appRole+` confirm=app-role reason="made by the intruder"`), approvals.Pending)
	w.clicks("U02BOB", r, "deny")
	w.slack.Dismiss("U02BOB", w.slack.Views("U02BOB")[0].ID)
	r = w.state(r, approvals.Denied)
	w.clicks("U01ALICE", r, approvals.AgainButton)
	f := w.form()
	if f.initial("action") != "delete_role" || f.initial("target") != appRole || f.initial("confirm") != "" || !strings.Contains(f.initial("reason"), "made by the intruder") {
		t.Errorf("the form: %+v", f.Blocks)
	}
	d := w.submits(map[string]string{"confirm": "app-role"})
	w.settle()
	w.state(w.get(requestOf(d)), approvals.Pending)
}

// TestFormInFile: the submission is stored before Slack is answered, and its delay with it.
func TestFormInFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, inFile)
	w.types("U01ALICE", "")
	w.chooses("revoke_sessions")
	d := w.submits(map[string]string{"target": appRole, "reason": "a leak"})
	w.must(w.file.Close())
	w.start()
	w.settle()
	w.state(w.get(requestOf(d)), approvals.Pending)
}
