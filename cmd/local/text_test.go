package local_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// TestLineFeedMakesNoLineInTheAudit: a line feed in what people type, or AWS says, must not make a
// line of its own in the audit.
func TestLineFeedMakesNoLineInTheAudit(t *testing.T) {
	t.Parallel()
	const line = "03:00:09 approved · by bob"
	// forged looks at what the audit shows, as Slack gets it: it wraps lines by itself.
	forged := func(w *world, r approvals.Request) bool {
		w.types("U03CAROL", "audit "+r.ID)
		w.told("U03CAROL", "agrees with itself")
		all := w.slack.Messages(channel)
		m := all[len(all)-1]
		shown := ""
		for _, text := range mrkdwns(t, m) {
			shown += text.Text + "\n"
		}
		if m.EphemeralTo != "U03CAROL" || !strings.Contains(shown, line) {
			t.Fatalf("not the audit: %s", m.Blocks)
		}
		return strings.ContainsFunc(shown, func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || r == '\u2028') }) ||
			strings.Contains(shown, "\n"+line)
	}
	for name, feed := range map[string]string{"line feed": "\n", "carriage return": "\r", "next line": "\u0085", "line separator": "\u2028"} {
		t.Run(name+" in a reason", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.state(w.asks("U01ALICE", "revoke_sessions "+appRole+` reason="x`+feed+line+feed+`y"`), approvals.Pending)
			if r.Reason != "x "+line+" y" {
				t.Errorf("the reason is %q", r.Reason)
			}
			if forged(w, r) {
				t.Errorf("a forged line:\n%s", w.said())
			}
		})
		t.Run(name+" in AWS's words", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.aws.Fault(awsfake.Fault{Op: "iam:PutRolePolicy", Err: &smithy.GenericAPIError{Code: "AccessDenied", Message: "no" + feed + line}})
			r := w.asks("U01ALICE", command)
			w.clicks("U02BOB", w.again(r), "approve")
			w.state(r, approvals.Partial)
			if forged(w, r) {
				t.Errorf("a forged line:\n%s", w.said())
			}
		})
	}
}

// TestMentionInATarget: what is in a role's path must not call a channel.
func TestMentionInATarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(roleAt("/<!channel>/", "r")) })
	r := w.state(w.asks("U01ALICE", `revoke_sessions arn:aws:iam::222222222222:role/<!channel>/r reason="x"`), approvals.Pending)
	w.slack.Fail(slackfake.Fault{Method: "views.open", Status: http.StatusInternalServerError, Times: -1})
	w.clicks("U03CAROL", r, "details") // no view opens: it comes as a message
	w.slack.Heal()
	w.told("U03CAROL", r.ID)
	w.types("U03CAROL", "list")
	w.types("U03CAROL", "show "+r.ID)
	w.clicks("U02BOB", r, "approve")
	w.state(r, approvals.Contained)
	w.pass(2 * time.Minute)
	for _, m := range w.slack.Messages(channel) {
		if strings.Contains(m.Text, "<!channel>") {
			t.Errorf("in the text of a message: %s", m.Text)
		}
		for _, o := range mrkdwns(t, m) {
			if strings.Contains(o.Text, "<!channel>") {
				t.Errorf("in a block: %s", o.Text)
			}
		}
	}
}

// mrkdwn is a text object that Slack formats.
type mrkdwn struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim"`
}

// mrkdwns are the formatted texts of a message, wherever in it they are.
func mrkdwns(t *testing.T, m slackfake.Message) (found []mrkdwn) {
	t.Helper()
	var all any
	if len(m.Blocks) == 0 {
		return nil
	}
	if err := json.Unmarshal(m.Blocks, &all); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			if v["type"] == "mrkdwn" {
				o := mrkdwn{Type: "mrkdwn"}
				o.Text, _ = v["text"].(string)
				o.Verbatim, _ = v["verbatim"].(bool)
				found = append(found, o)
			}
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(all)
	return found
}

// TestLinkInATag: what somebody writes into the account must not become a link
// or a mention in the message that wakes everybody.
func TestLinkInATag(t *testing.T) {
	t.Parallel()
	const lure = "false alarm. Confirm at https://evil.example/sso @channel"
	w := newWorld(t)
	w.contained(command)
	role, key, value := "app-role", "killswitch", lure
	_, err := iam.NewFromConfig(w.aws.Admin(prod)).TagRole(t.Context(), &iam.TagRoleInput{RoleName: &role, Tags: []types.Tag{{Key: &key, Value: &value}}})
	w.must(err)
	w.pass(time.Minute)
	shown := 0
	for _, m := range w.slack.Messages(channel) {
		for _, o := range mrkdwns(t, m) {
			if !strings.Contains(o.Text, "evil.example") {
				continue
			}
			shown++
			if !o.Verbatim {
				t.Errorf("Slack makes a link of it: %s", o.Text)
			}
		}
	}
	if shown == 0 {
		t.Errorf("not told:\n%s", w.said())
	}
}

// TestCardIsNotPostedAgain: a typed approve must not let people outside the
// group, or anybody once it is decided, fill the channel.
func TestCardIsNotPostedAgain(t *testing.T) {
	t.Parallel()
	public := func(w *world) (n int) {
		for _, m := range w.slack.Messages(channel) {
			if m.EphemeralTo == "" {
				n++
			}
		}
		return n
	}
	w := newWorld(t)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	none := func(user, told string) {
		t.Helper()
		n := public(w)
		for range 3 {
			w.types(user, "approve "+r.ID)
		}
		w.told(user, told)
		if more := public(w) - n; more != 0 {
			t.Errorf("%s made it post %d messages", user, more)
		}
	}
	none("U04MALLORY", "not in the group responders")
	w.clicks("U02BOB", w.again(r), "approve")
	w.state(r, approvals.Contained)
	w.pass(2 * time.Minute)
	none("U04MALLORY", "not in the group responders")
	none("U03CAROL", "contained by now")
}
