package main

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/killswitch-chatops/killswitch/bot/ingress"
)

// fakeAWS has the secret with the webhooks' keys, and takes messages.
type fakeAWS struct{ sent []string }

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch target := r.Header.Get("X-Amz-Target"); {
	case strings.HasSuffix(target, "GetSecretValue") && !bytes.Contains(body, []byte("AWSPREVIOUS")):
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"Name":"s","SecretString":"soar=soar-key"}`)
	case strings.HasSuffix(target, "SendMessage"):
		var in struct{ MessageBody string }
		_ = json.Unmarshal(body, &in)
		f.sent = append(f.sent, in.MessageBody)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = fmt.Fprintf(w, `{"MessageId":"1","MD5OfMessageBody":"%x"}`, md5.Sum([]byte(in.MessageBody)))
	default:
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ResourceNotFoundException","Message":"none"}`)
	}
}

// newFunction is the function with these webhooks.
func newFunction(t *testing.T, grants string) (handle, *fakeAWS) {
	t.Helper()
	return newFunctionWith(t, grants, slog.New(slog.DiscardHandler))
}

func newFunctionWith(t *testing.T, grants string, log *slog.Logger) (handle, *fakeAWS) {
	t.Helper()
	aws := &fakeAWS{}
	server := httptest.NewServer(aws)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "webhooks.json")
	if err := os.WriteFile(file, []byte(grants), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "WEBHOOKS_FILE": file, "SLACK_QUEUE_URL": server.URL + "/1/slack",
		"WEBHOOKS_QUEUE_URL": server.URL + "/1/webhooks", "SIGNING_SECRET_ID": "signing", "WEBHOOK_KEYS_SECRET_ID": "keys"}
	h, err := handler(func(k string) string { return env[k] }, time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	return h, aws
}

const may = `{"actions":["revoke_sessions"],"role_to_assume":"killswitch-responder","org_management_account":"999999999999"}`

// TestWhoCallsTheFunction: what an HTTP API sends is answered as HTTP, whatever it has for a body; all else
// is somebody whom IAM lets call the function, answered in the form that awskillswitch's client prints: a
// JSON string, or the function's error.
func TestWhoCallsTheFunction(t *testing.T) {
	t.Parallel()
	payload := `{"action":"revoke_sessions","target_account_id":"222222222222","role_to_assume":"killswitch-responder","target_role_name":"app-role","region":"us-east-1"}`
	http := func(path, key, body string) string {
		e := events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: path, Headers: map[string]string{"x-api-key": key}, Body: body}
		e.RequestContext.HTTP.Method = "POST"
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, c := range map[string]struct {
		grants, event string
		want          string // the beginning of the answer, or of the error
		sent          int
	}{
		"a webhook":                          {`{"soar":` + may + `}`, http("/requests", "soar-key", payload), `{"statusCode":202,"headers":{"content-type":"application/json; charset=utf-8"}`, 1},
		"a wrong key":                        {`{"soar":` + may + `,"direct":` + may + `}`, http("/requests", "guessed", payload), `{"statusCode":401,`, 0},
		"the client":                         {`{"direct":` + may + `}`, payload, `"KS-`, 1},
		"the client, where that is off":      {`{"soar":` + may + `}`, payload, "nothing was asked for: this function takes no direct invocation", 0},
		"the client, with another role":      {`{"direct":` + may + `}`, strings.Replace(payload, "killswitch-responder", "security-role", 1), "nothing was asked for: role_to_assume is not what the configuration says", 0},
		"a payload that is no object":        {`{"direct":` + may + `}`, `"x"`, "nothing was asked for: body is not a JSON object", 0},
		"somebody who plays an HTTP API":     {`{"direct":` + may + `}`, http("/requests", "", payload), `{"statusCode":401,`, 0},
		"half of an HTTP API's event":        {`{"direct":` + may + `}`, `{"version":"2.0","rawPath":"/requests","requestContext":{},"body":"x"}`, "nothing was asked for: action is missing", 0},
		"an HTTP API's event of another one": {`{"direct":` + may + `}`, `{"requestContext":"x"}`, "nothing was asked for: action is missing", 0},
	} {
		h, aws := newFunction(t, c.grants)
		out, err := h(t.Context(), json.RawMessage(c.event))
		got, _ := json.Marshal(out)
		if err != nil {
			got = []byte(err.Error())
		}
		if !strings.HasPrefix(string(got), c.want) || len(aws.sent) != c.sent {
			t.Errorf("%s: %s, %d queued; want %s", name, got, len(aws.sent), c.want)
		}
		var m ingress.Webhook
		if c.sent > 0 && (json.Unmarshal([]byte(aws.sent[0]), &m) != nil || !strings.Contains(string(got), m.RequestID())) {
			t.Errorf("%s: %s, and queued is %s", name, got, aws.sent[0])
		}
	}
}

// TestForgedClicksAreCounted, for the alarm: not those of strangers who sign nothing.
func TestForgedClicksAreCounted(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h, _ := newFunctionWith(t, "{}", slog.New(slog.NewJSONHandler(&log, nil)))
	send := func(headers map[string]string) {
		e := events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: "/slack", Headers: headers, Body: "command=x"}
		e.RequestContext.HTTP.Method = "POST"
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	send(nil)
	if strings.Contains(log.String(), `"Forged"`) {
		t.Errorf("of a stranger: %s", &log)
	}
	send(map[string]string{"x-slack-request-timestamp": fmt.Sprint(time.Now().Unix()), "x-slack-signature": "v0=" + strings.Repeat("0", 64)})
	if !strings.Contains(log.String(), `"Forged":1`) || strings.Count(log.String(), `"Refused":1`) != 2 {
		t.Errorf("counted %s", &log)
	}
}
