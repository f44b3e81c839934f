//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/slack-go/slack"
)

// The harness itself: a command and a click reach a server of ours, signed;
// what the bot posts is there to be read and clicked.
func TestSmokeSlack(t *testing.T) {
	received := make(chan url.Values, 1)
	bot := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		verifier, err := slack.NewSecretsVerifier(r.Header, Acme("").App.SigningSecret)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := verifier.Write(body); err != nil {
			t.Error(err)
		}
		if err := verifier.Ensure(); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusOK)
		received <- form
	}))
	defer bot.Close()
	next := func() url.Values {
		t.Helper()
		select {
		case form := <-received:
			return form
		case <-time.After(patience):
			t.Fatal("Slack did not call")
			return nil
		}
	}

	s := StartSlack(t, Acme(bot.URL+"/slack"))
	s.Command(t, "C01SEC", "U01ANA", "/killswitch", `list reason="why & how"`)
	form := next()
	for field, want := range map[string]string{
		"team_id": "T01ACME", "api_app_id": "A01KILL", "channel_id": "C01SEC", "user_id": "U01ANA",
		"command": "/killswitch", "text": `list reason="why & how"`,
	} {
		if got := form.Get(field); got != want {
			t.Errorf("command: %s = %q, want %q", field, got, want)
		}
	}

	button := slack.NewButtonBlockElement("approve", "KS-1.abc", slack.NewTextBlockObject(slack.PlainTextType, "Approve", false, false))
	_, _, err := slack.New(s.App.BotToken, slack.OptionAPIURL(s.API())).PostMessageContext(t.Context(), "C01SEC",
		slack.MsgOptionText("pending 0/1", false), slack.MsgOptionBlocks(slack.NewActionBlock("votes", button)))
	if err != nil {
		t.Fatal(err)
	}
	card := s.Await(t, "C01SEC", "the card", func(m Message) bool { return m.Text == "pending 0/1" })
	if !bytes.Contains(card.Blocks[0].Raw, []byte(`"KS-1.abc"`)) {
		t.Errorf("the card has no value: %s", card.Blocks[0].Raw)
	}

	s.Click(t, "C01SEC", "U01BEN", card, "approve")
	var click struct {
		Type string
		User struct{ ID string }
		Team struct{ ID string }

		Actions []struct {
			ActionID string `json:"action_id"`
			BlockID  string `json:"block_id"`
			Value    string
			Text     struct{ Type, Text string }
		}
		Message struct{ TS string }
	}
	if err := json.Unmarshal([]byte(next().Get("payload")), &click); err != nil {
		t.Fatal(err)
	}
	if click.Type != "block_actions" || click.User.ID != "U01BEN" || click.Team.ID != "T01ACME" || click.Message.TS != card.TS ||
		len(click.Actions) != 1 || click.Actions[0].Value != "KS-1.abc" || click.Actions[0].BlockID != "votes" ||
		click.Actions[0].Text.Text != "Approve" {
		t.Errorf("click: %+v", click)
	}

	if n := len(s.Log(t)); n == 0 {
		t.Error("the log is empty")
	}
	s.Reset(t)
	if got := s.Messages(t, "C01SEC"); len(got) != 0 {
		t.Errorf("after a reset: %v", got)
	}
}

func TestSmokeAWS(t *testing.T) {
	a := StartAWS(t)
	account := func(cfg aws.Config) string {
		t.Helper()
		who, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return aws.ToString(who.Account)
	}
	if got := account(a.Hub(t)); got != HubAccount {
		t.Errorf("hub: account %s, want %s", got, HubAccount)
	}
	if got := account(a.Member(t, "222222222222")); got != "222222222222" {
		t.Errorf("member: account %s, want 222222222222", got)
	}
}

// Nothing but the loopback can be reached from here.
func TestSmokeIsolated(t *testing.T) {
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			t.Errorf("interface %s is up: run the tests with e2e/run", i.Name)
		}
	}
}
