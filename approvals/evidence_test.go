package approvals_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// The example of https://docs.slack.dev/authentication/verifying-requests-from-slack
const documentedSecret = "8f742231b10e8888abcd99yyyzzz85a5"

var documented = approvals.Evidence{
	Kind: approvals.SlackEvidence, Timestamp: "1531420618",
	Signature: "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
	Body:      "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
}

type source = func(context.Context) ([]string, error)

func secrets(s ...string) source {
	return func(context.Context) ([]string, error) { return s, nil }
}

// isRefusal tells evidence that proves nothing from evidence that can't be checked.
func isRefusal(err error) bool {
	_, ok := errors.AsType[*actions.Refusal](err)
	return ok
}

func TestOnlySignedEvidenceIsGenuine(t *testing.T) {
	refused := errors.New("a refusal")
	down := errors.New("secrets manager is down")
	fails := func(context.Context) ([]string, error) { return nil, down }
	edit := func(f func(*approvals.Evidence)) approvals.Evidence {
		e := documented
		f(&e)
		return e
	}
	webhook := func(f func(*approvals.Evidence)) approvals.Evidence {
		e, err := approvals.WebhookRequest{Webhook: "soar", Key: "case-1", Asked: "{}"}.Evidence(documented.Timestamp, "")
		if err != nil {
			t.Fatal(err)
		}
		f(&e)
		return e
	}
	good := secrets(documentedSecret)
	for _, c := range []struct {
		name             string
		secrets, refresh source
		evidence         approvals.Evidence
		want             error
	}{
		{"documented", good, nil, documented, nil},
		{"the previous secret", secrets("new", documentedSecret), nil, documented, nil},
		{"rotated just now", secrets("old"), good, documented, nil},
		{"no secrets but refreshed", nil, good, documented, nil},
		{"another secret", secrets("old"), secrets("older"), documented, refused},
		{"no secrets", secrets(), secrets(), documented, refused},
		{"no sources", nil, nil, documented, refused},
		{"empty secret", secrets(""), secrets(""), edit(func(e *approvals.Evidence) { e.Signature = approvals.SignSlack("", e.Timestamp, e.Body) }), refused},
		{"secrets fail", fails, good, documented, down},
		{"refresh fails", secrets("old"), fails, documented, down},
		{"refresh would fail", good, fails, documented, nil},
		{"STS", good, nil, edit(func(e *approvals.Evidence) { e.Kind = approvals.STSEvidence }), refused},
		{"no kind", good, nil, edit(func(e *approvals.Evidence) { e.Kind = "" }), refused},
		{"other kind while secrets fail", fails, nil, edit(func(e *approvals.Evidence) { e.Kind = "" }), refused},
		{"ingress' of a webhook's", good, nil, webhook(func(e *approvals.Evidence) {
			e.Signature = approvals.SignWebhook(documentedSecret, e.Timestamp, e.Body)
		}), nil},
		{"Slack's of a webhook's", good, nil, webhook(func(e *approvals.Evidence) { e.Signature = approvals.SignSlack(documentedSecret, e.Timestamp, e.Body) }), refused},
		{"a webhook's that can't be read", good, nil, webhook(func(e *approvals.Evidence) { e.Body, e.Signature = "{", "" }), refused},
		{"ingress' of a command", good, nil, edit(func(e *approvals.Evidence) {
			e.Signature = approvals.SignWebhook(documentedSecret, e.Timestamp, e.Body)
		}), refused},
		{"body", good, nil, edit(func(e *approvals.Evidence) { e.Body += "&text=x" }), refused},
		{"timestamp", good, nil, edit(func(e *approvals.Evidence) { e.Timestamp = "1531420619" }), refused},
		{"timestamp's sign", good, nil, edit(func(e *approvals.Evidence) { e.Timestamp = "+" + e.Timestamp }), refused},
		{"no signature", good, nil, edit(func(e *approvals.Evidence) { e.Signature = "" }), refused},
		{"half a signature", good, nil, edit(func(e *approvals.Evidence) { e.Signature = e.Signature[:35] }), refused},
		{"signature without version", good, nil, edit(func(e *approvals.Evidence) { e.Signature = e.Signature[3:] }), refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := approvals.SlackVerifier{Secrets: c.secrets, Refresh: c.refresh}.Verify(t.Context(), c.evidence)
			if errors.Is(c.want, refused) {
				if !isRefusal(err) {
					t.Errorf("%v, want a refusal", err)
				}
			} else if !errors.Is(err, c.want) || isRefusal(err) {
				t.Errorf("%v, want %v: a signature that can't be checked is not forged", err, c.want)
			}
		})
	}
}

func TestSecretsAreReloadedOnlyIfNoneFits(t *testing.T) {
	asks := 0
	v := approvals.SlackVerifier{Secrets: secrets(documentedSecret), Refresh: func(context.Context) ([]string, error) {
		asks++
		return nil, nil
	}}
	if err := v.Verify(t.Context(), documented); err != nil || asks != 0 {
		t.Errorf("asked %d times: %v", asks, err)
	}
	other := documented
	other.Kind = approvals.STSEvidence
	if err := v.Verify(t.Context(), other); err == nil || asks != 0 {
		t.Errorf("of another kind: asked %d times: %v", asks, err)
	}
	other = documented
	other.Body = "forged"
	if err := v.Verify(t.Context(), other); err == nil || asks != 1 {
		t.Errorf("forged: asked %d times: %v", asks, err)
	}
}

func TestEvidenceKeyNeverChanges(t *testing.T) {
	// Votes and rows name evidence by its key: it must never change.
	if got := documented.Key(); got != goldenKey {
		t.Errorf("key is %s", got)
	}
	e := documented
	e.Signature = "v0=00"
	if e.Key() != documented.Key() {
		t.Error("the key depends on what was not signed")
	}
}

func TestEvidenceTimeIsInUnixSeconds(t *testing.T) {
	if at, err := documented.At(); err != nil || !at.Equal(time.Date(2018, 7, 12, 18, 36, 58, 0, time.UTC)) || at.Location() != time.UTC {
		t.Errorf("%v, %v", at, err)
	}
	for _, ts := range []string{"", "now", "1531420618.5", " 1531420618", "1531420618:token", "1531420618\n", "99999999999999999999"} {
		if at, err := (approvals.Evidence{Timestamp: ts}).At(); !isRefusal(err) {
			t.Errorf("%q is %v, %v", ts, at, err)
		}
	}
}
