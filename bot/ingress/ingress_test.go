package ingress

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The example of https://docs.slack.dev/authentication/verifying-requests-from-slack
const (
	docSecret    = "8f742231b10e8888abcd99yyyzzz85a5"
	docTime      = 1531420618
	docBody      = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	docSignature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
)

var now = time.Unix(docTime, 0)

// queue keeps what was sent to it.
type queue struct {
	sent  [][]byte
	of    []string      // whose
	delay time.Duration // of the last
	err   error
	send  func(context.Context) error
}

func (q *queue) Send(ctx context.Context, body []byte, delay time.Duration) error {
	if q.send != nil {
		if err := q.send(ctx); err != nil {
			return err
		}
	}
	if q.err != nil {
		return q.err
	}
	q.sent, q.delay = append(q.sent, body), delay
	return nil
}

func (q *queue) SendFor(ctx context.Context, user string, body []byte, delay time.Duration) error {
	err := q.Send(ctx, body, delay)
	if err == nil {
		q.of = append(q.of, user)
	}
	return err
}

// toDocumented is the answer to the documented command, which has nothing behind it.
func toDocumented(status int) Response {
	if status == http.StatusOK {
		return Response{Status: status, Type: jsonType, Body: opening}
	}
	return Response{Status: status}
}

func secrets(s ...string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return s, nil }
}

func newIngress() (*Ingress, *queue, *bytes.Buffer) {
	q, log := &queue{}, &bytes.Buffer{}
	return &Ingress{Secrets: secrets(docSecret), SlackQueue: q, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(log, nil))}, q, log
}

// sign is written a second time here: the test does not ask the code what is right.
func sign(secret, timestamp, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, "v0:"+timestamp+":"+body)
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}

// signed is a request as Slack sends it now.
func signed(body string) Request { return signedAt(body, docTime) }

func signedAt(body string, at int64) Request {
	ts := strconv.FormatInt(at, 10)
	h := http.Header{}
	h.Set("X-Slack-Request-Timestamp", ts)
	h.Set("X-Slack-Signature", sign(docSecret, ts, body))
	return Request{Method: http.MethodPost, Path: "/slack/interactions", Header: h, Body: []byte(body)}
}

// click is the body of a click on a card, of about size bytes.
func click(size int) string {
	const block = `,{"type":"section","text":{"type":"mrkdwn","text":"*Asked by* <@U0ANA> & \u00fcber"}}`
	blocks := `{"type":"divider"}`
	for len(url.QueryEscape(blocks)) < size-300 {
		blocks += block
	}
	return "payload=" + url.QueryEscape(`{"type":"block_actions","team":{"id":"T1"},"user":{"id":"U2"},"actions":[{"action_id":"approve","value":"KS-4G7QX2M9ZT0B.3f9a"}],"message":{"blocks":[`+blocks+`]}}`)
}

func TestDocumentedSignature(t *testing.T) {
	in, q, _ := newIngress()
	h := http.Header{"X-Slack-Request-Timestamp": {strconv.Itoa(docTime)}, "X-Slack-Signature": {docSignature}}
	got := in.Answer(t.Context(), Request{Method: http.MethodPost, Path: "/slack/commands", Header: h, Body: []byte(docBody)})
	if got != (Response{Status: http.StatusOK, Type: jsonType, Body: opening}) || len(q.sent) != 1 {
		t.Fatalf("answer %+v, %d queued: want the button of the form and one delivery", got, len(q.sent))
	}
	var d map[string]any
	if err := json.Unmarshal(q.sent[0], &d); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"timestamp": strconv.Itoa(docTime), "signature": docSignature, "body": docBody}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("delivery (-want +got):\n%s", diff)
	}
}

func TestNotSlack(t *testing.T) {
	tests := map[string]func(*Ingress, *Request){
		"body changed": func(_ *Ingress, r *Request) { r.Body = append(r.Body, '1') },
		"time changed": func(_ *Ingress, r *Request) { r.Header.Set("X-Slack-Request-Timestamp", strconv.Itoa(docTime+1)) },
		"one digit changed": func(_ *Ingress, r *Request) {
			r.Header.Set("X-Slack-Signature", docSignature[:len(docSignature)-1]+"4")
		},
		"cut short":       func(_ *Ingress, r *Request) { r.Header.Set("X-Slack-Signature", docSignature[:20]) },
		"in capitals":     func(_ *Ingress, r *Request) { r.Header.Set("X-Slack-Signature", strings.ToUpper(docSignature)) },
		"without version": func(_ *Ingress, r *Request) { r.Header.Set("X-Slack-Signature", docSignature[3:]) },
		"just v0=":        func(_ *Ingress, r *Request) { r.Header.Set("X-Slack-Signature", "v0=") },
		"no signature":    func(_ *Ingress, r *Request) { r.Header.Del("X-Slack-Signature") },
		"empty signature": func(_ *Ingress, r *Request) { r.Header.Set("X-Slack-Signature", "") },
		"no timestamp":    func(_ *Ingress, r *Request) { r.Header.Del("X-Slack-Request-Timestamp") },
		"no headers":      func(_ *Ingress, r *Request) { r.Header = nil },
		"another secret":  func(in *Ingress, _ *Request) { in.Secrets = secrets("another", "and another") },
		"no secret":       func(in *Ingress, _ *Request) { in.Secrets = secrets() },
		"signed with an empty secret": func(in *Ingress, r *Request) {
			in.Secrets = secrets("", docSecret)
			r.Header.Set("X-Slack-Signature", sign("", strconv.Itoa(docTime), docBody))
		},
		"only an empty secret": func(in *Ingress, r *Request) {
			in.Secrets = secrets("")
			r.Header.Set("X-Slack-Signature", sign("", strconv.Itoa(docTime), docBody))
		},
		"unreadable and forged": func(_ *Ingress, r *Request) { r.Body = []byte("garbage") },
		"challenge and forged":  func(_ *Ingress, r *Request) { r.Body = []byte(`{"type":"url_verification","challenge":"x"}`) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			in, q, log := newIngress()
			r := signed(docBody)
			change(in, &r)
			got := in.Answer(t.Context(), r)
			if got.Forged = false; got != (Response{Status: http.StatusUnauthorized}) {
				t.Errorf("answer %+v, want 401 and nothing else", got)
			}
			if len(q.sent) != 0 {
				t.Errorf("queued: %s", q.sent)
			}
			if !strings.Contains(log.String(), "not slack's signature") {
				t.Errorf("the log does not say that a request was refused: %q", log)
			}
			for _, word := range []string{"command", "xyzz0WbapA4vBCDEFasx0q6G", docSecret, docSignature[3:20]} {
				if strings.Contains(log.String(), word) {
					t.Errorf("the log holds %q: %s", word, log)
				}
			}
		})
	}
}

func TestTimestamps(t *testing.T) {
	tests := map[string]struct {
		at   int64
		now  time.Time
		want int
	}{
		"now":                           {docTime, now, http.StatusOK},
		"five minutes old":              {docTime - 300, now, http.StatusOK},
		"a nanosecond older":            {docTime - 300, now.Add(1), http.StatusUnauthorized},
		"a second older":                {docTime - 301, now, http.StatusUnauthorized},
		"five minutes ahead":            {docTime + 300, now, http.StatusOK},
		"a nanosecond more":             {docTime + 300, now.Add(-1), http.StatusUnauthorized},
		"a second more":                 {docTime + 301, now, http.StatusUnauthorized},
		"zero":                          {0, now, http.StatusUnauthorized},
		"negative":                      {-docTime, now, http.StatusUnauthorized},
		"milliseconds":                  {docTime * 1000, now, http.StatusUnauthorized},
		"the largest":                   {math.MaxInt64, now, http.StatusUnauthorized},
		"the smallest":                  {math.MinInt64, now, http.StatusUnauthorized},
		"a difference that overflows":   {docTime - math.MaxInt64/int64(time.Second) - 1, now, http.StatusUnauthorized},
		"a difference that wraps round": {docTime + math.MinInt64, now, http.StatusUnauthorized},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			in, q, _ := newIngress()
			in.Now = func() time.Time { return c.now }
			got := in.Answer(t.Context(), signedAt(docBody, c.at))
			if got != toDocumented(c.want) || len(q.sent) != map[int]int{http.StatusOK: 1}[c.want] {
				t.Errorf("answer %+v, %d queued, want %d", got, len(q.sent), c.want)
			}
		})
	}
	for _, ts := range []string{"", "now", " 1531420618", "1531420618.0", "1531420618\n", "0x5B479C4A", "99999999999999999999"} {
		in, q, _ := newIngress()
		r := signed(docBody)
		r.Header["X-Slack-Request-Timestamp"] = []string{ts}
		r.Header.Set("X-Slack-Signature", sign(docSecret, ts, docBody))
		if got := in.Answer(t.Context(), r); got != (Response{Status: http.StatusUnauthorized}) || len(q.sent) != 0 {
			t.Errorf("timestamp %q: %+v", ts, got)
		}
	}
}

func TestRotation(t *testing.T) {
	for name, s := range map[string][]string{"current": {docSecret, "old"}, "previous": {"new", docSecret}, "beside an empty one": {"", docSecret}} {
		in, q, _ := newIngress()
		in.Secrets = secrets(s...)
		if got := in.Answer(t.Context(), signed(docBody)); got.Status != http.StatusOK || len(q.sent) != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSecretsCanNotBeHad(t *testing.T) {
	in, q, log := newIngress()
	in.Secrets = func(context.Context) ([]string, error) {
		return []string{docSecret}, errors.New("secretsmanager: AccessDenied for arn:aws:secretsmanager:x")
	}
	got := in.Answer(t.Context(), signed(docBody))
	if got.Status != http.StatusServiceUnavailable || strings.Contains(got.Body, "arn:") || len(q.sent) != 0 {
		t.Errorf("answer %+v, %d queued", got, len(q.sent))
	}
	if !strings.Contains(log.String(), "AccessDenied") {
		t.Errorf("the log does not say why: %q", log)
	}
}

// TestRouting: what needs no signature, and what never gets to one.
func TestRouting(t *testing.T) {
	form := "command=%2Fkillswitch&text="
	exact := form + strings.Repeat("x", MaxBody-len(form))
	tests := map[string]struct {
		method, path, body string
		status             int
		queued             bool
	}{
		"health":             {http.MethodGet, "/healthz", "", http.StatusOK, false},
		"health by POST":     {http.MethodPost, "/healthz", form, http.StatusNotFound, false},
		"commands":           {http.MethodPost, "/slack/commands", form, http.StatusOK, true},
		"one URL for all":    {http.MethodPost, "/slack", form, http.StatusOK, true},
		"whatever follows":   {http.MethodPost, "/slack/a/b", form, http.StatusOK, true},
		"GET":                {http.MethodGet, "/slack/commands", "", http.StatusMethodNotAllowed, false},
		"PUT":                {http.MethodPut, "/slack/commands", form, http.StatusMethodNotAllowed, false},
		"no method":          {"", "/slack/commands", form, http.StatusMethodNotAllowed, false},
		"root":               {http.MethodPost, "/", form, http.StatusNotFound, false},
		"no path":            {http.MethodPost, "", form, http.StatusNotFound, false},
		"begins like it":     {http.MethodPost, "/slackers", form, http.StatusNotFound, false},
		"another's door":     {http.MethodPost, "/cli", form, http.StatusNotFound, false},
		"as large as may be": {http.MethodPost, "/slack/commands", exact, http.StatusOK, true},
		"one byte more":      {http.MethodPost, "/slack/commands", exact + "x", http.StatusRequestEntityTooLarge, false},
		"far more":           {http.MethodPost, "/slack/commands", exact + exact, http.StatusRequestEntityTooLarge, false},
	}
	if MaxBody != 262144 {
		t.Errorf("MaxBody = %d, want 256 KiB", MaxBody)
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			in, q, _ := newIngress()
			r := signed(c.body)
			r.Method, r.Path = c.method, c.path
			got := in.Answer(t.Context(), r)
			if got.Status != c.status || len(q.sent) != map[bool]int{true: 1}[c.queued] {
				t.Errorf("Answer: %d %q, %d queued; want %d", got.Status, got.Body, len(q.sent), c.status)
			}
			if c.method == "" || c.path == "" {
				return
			}
			// The same over HTTP.
			in, q, _ = newIngress()
			w := httptest.NewRecorder()
			h := httptest.NewRequest(c.method, "http://ingress.example"+c.path, strings.NewReader(c.body))
			h.Header = r.Header
			in.ServeHTTP(w, h)
			if w.Code != got.Status || w.Body.String() != got.Body || w.Header().Get("Content-Type") != got.Type || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("ServeHTTP: %d %q %v, want %+v", w.Code, w.Body, w.Header(), got)
			}
			if late := got.Body == checking; late != (q.delay == afterAnswer) || !late && q.delay != 0 {
				t.Errorf("a delay of %s", q.delay)
			}
			if len(q.sent) != map[bool]int{true: 1}[c.queued] {
				t.Errorf("ServeHTTP queued %d", len(q.sent))
			}
		})
	}
}

// TestRoutingAsksForNoSecret: whoever is turned away at the door costs no look-up.
func TestRoutingAsksForNoSecret(t *testing.T) {
	for _, r := range []Request{
		{Method: http.MethodGet, Path: "/healthz"}, {Method: http.MethodPost, Path: "/"}, {Method: http.MethodGet, Path: "/slack"},
		{Method: http.MethodPost, Path: "/slack", Body: make([]byte, MaxBody+1)},
	} {
		in, _, _ := newIngress()
		in.Secrets = func(context.Context) ([]string, error) { t.Errorf("%s %s", r.Method, r.Path); return nil, nil }
		in.Answer(t.Context(), r)
	}
}

func submissionOf(callback string) string {
	return "payload=" + url.QueryEscape(`{"type":"view_submission","view":{"callback_id":"`+callback+`"}}`)
}

func TestKindsOfBodies(t *testing.T) {
	tests := map[string]struct {
		body   string
		want   Response
		queued bool
	}{
		"command":            {strings.Replace(docBody, "text=", "text=list", 1), Response{Status: 200}, true},
		"bare command":       {docBody, Response{Status: 200, Type: jsonType, Body: opening}, true},
		"blank command":      {strings.Replace(docBody, "text=", "text=+%09", 1), Response{Status: 200, Type: jsonType, Body: opening}, true},
		"submission":         {submissionOf(FormCallback), Response{Status: 200, Type: jsonType, Body: checking}, true},
		"other form":         {submissionOf("deny_reason"), Response{Status: 200}, true},
		"click":              {click(12 << 10), Response{Status: 200}, true},
		"form":               {"payload=" + url.QueryEscape(`{"type":"view_submission"}`), Response{Status: 200}, true},
		"unknown kind":       {"payload=" + url.QueryEscape(`{"type":"something_new"}`), Response{Status: 200}, true},
		"handshake":          {`{"type":"url_verification","challenge":"3eZb<>&","token":"x"}`, Response{Status: 200, Type: "text/plain; charset=utf-8", Body: "3eZb<>&"}, false},
		"event":              {`{"type":"event_callback","event":{"type":"app_home_opened"}}`, Response{Status: 200}, false},
		"certificate probe":  {"ssl_check=1&token=x", Response{Status: 200}, false},
		"garbage":            {"\x00\x01garbage", Response{Status: 400}, false},
		"empty":              {"", Response{Status: 400}, false},
		"no form":            {"a=%zz", Response{Status: 400}, false},
		"neither":            {"text=revoke_sessions&team_id=T1", Response{Status: 400}, false},
		"no form beside it":  {"command=%2Fkillswitch&a=%zz", Response{Status: 400}, false},
		"empty command":      {"command=&text=x", Response{Status: 400}, false},
		"JSON without type":  {`{"challenge":"x"}`, Response{Status: 400}, false},
		"JSON of other type": {`{"type":"block_actions"}`, Response{Status: 400}, false},
		"broken JSON":        {`{"type":"url_verification"`, Response{Status: 400}, false},
		"no challenge":       {`{"type":"url_verification","challenge":1}`, Response{Status: 400}, false},
		"type is a number":   {`{"type":1}`, Response{Status: 400}, false},
		"JSON list":          {`[{"type":"url_verification"}]`, Response{Status: 400}, false},
		"payload no JSON":    {"payload=hello", Response{Status: 400}, false},
		"payload no object":  {"payload=%5B%5D", Response{Status: 400}, false},
		"payload no type":    {"payload=%7B%7D", Response{Status: 400}, false},
		"payload cut off":    {"payload=" + url.QueryEscape(`{"type":"block_actions"`), Response{Status: 400}, false},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			in, q, _ := newIngress()
			got := in.Answer(t.Context(), signed(c.body))
			if c.want.Status == http.StatusBadRequest {
				if got.Status != c.want.Status || got.Type == "" || strings.TrimSpace(got.Body) == "" {
					t.Errorf("answer %+v, want 400 with a reason", got)
				}
				if strings.Contains(got.Body, "garbage") {
					t.Errorf("the reason echoes the body: %q", got.Body)
				}
			} else if got != c.want {
				t.Errorf("answer %+v, want %+v", got, c.want)
			}
			if late := got.Body == checking; late != (q.delay == afterAnswer) || !late && q.delay != 0 {
				t.Errorf("a delay of %s", q.delay)
			}
			if len(q.sent) != map[bool]int{true: 1}[c.queued] {
				t.Errorf("%d queued, want %v", len(q.sent), c.queued)
			}
		})
	}
}

// TestWhoseMessage: each is queued as its person's, so that nobody waits for the messages of another; one whose
// person can't be told is taken all the same.
func TestWhoseMessage(t *testing.T) {
	payload := func(user string) string {
		return "payload=" + url.QueryEscape(`{"type":"block_actions","user":{"id":"`+user+`"},"message":{"user":"U0BOT"}}`)
	}
	for name, c := range map[string]struct{ body, want string }{
		"command":        {docBody, "U2CERLKJA"},
		"click":          {payload("W012AB3CD"), "W012AB3CD"},
		"nobody":         {"payload=" + url.QueryEscape(`{"type":"view_submission"}`), ""},
		"no ID":          {payload("U1 §"), ""},
		"longer than an": {payload(strings.Repeat("U", 200)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			in, q, _ := newIngress()
			if got := in.Answer(t.Context(), signed(c.body)); got.Status != http.StatusOK {
				t.Fatalf("answer %+v", got)
			}
			if diff := cmp.Diff([]string{c.want}, q.of); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestByteForByte: what is queued is what was signed, or nothing is queued: the
// executor computes the signature again.
func TestByteForByte(t *testing.T) {
	for name, body := range map[string]string{
		"as documented": docBody, "click": click(12 << 10), "markup": "command=/x&text=<&>\"\\'\u2028\u2029\x00\x7f",
		"lines": "command=/x&text=a\r\nb\n", "letters": "command=/x&text=\u00fc\u4e16\U0001f600", "escapes": `command=/x&text=\u0026\n`,
		"many fields": "command=/x" + strings.Repeat("&a=", 1000), "not UTF-8": "command=/x&text=\xff\xfe\xc3",
	} {
		t.Run(name, func(t *testing.T) {
			in, q, _ := newIngress()
			r := signed(body)
			got := in.Answer(t.Context(), r)
			if got.Status == http.StatusBadRequest && name == "not UTF-8" && len(q.sent) == 0 {
				return
			}
			if got.Status != http.StatusOK || len(q.sent) != 1 {
				t.Fatalf("answer %+v, %d queued", got, len(q.sent))
			}
			var d SignedRequest
			if err := json.Unmarshal(q.sent[0], &d); err != nil {
				t.Fatal(err)
			}
			want := SignedRequest{Timestamp: strconv.Itoa(docTime), Signature: r.Header.Get("X-Slack-Signature"), Body: body}
			if d != want {
				t.Errorf("queued %+q, want %+q", d, want)
			}
			if sign(docSecret, d.Timestamp, d.Body) != d.Signature {
				t.Error("what is queued no longer fits its signature")
			}
			if len(q.sent[0]) > len(body)+300 {
				t.Errorf("a body of %d bytes is %d on the queue, which limits them", len(body), len(q.sent[0]))
			}
		})
	}
}

func TestQueueTrouble(t *testing.T) {
	in, q, log := newIngress()
	q.err = errors.New("sqs: AccessDenied https://sqs.eu-central-1.amazonaws.com/222222222222/slack")
	for name, c := range map[string]struct {
		body string
		want Response
	}{
		"typed":    {docBody, Response{Status: http.StatusOK, Type: jsonType, Body: notTyped, Lost: true}},
		"the form": {submissionOf(FormCallback), Response{Status: http.StatusOK, Type: jsonType, Body: notSubmitted, Lost: true}},
		"a click":  {click(1000), text(http.StatusServiceUnavailable, "could not be stored; nothing was started, try again\n")},
	} {
		got := in.Answer(t.Context(), signed(c.body))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if got.Lost && !json.Valid([]byte(got.Body)) {
			t.Errorf("%s: Slack can't read %s", name, got.Body)
		}
	}
	if !strings.Contains(log.String(), "AccessDenied") {
		t.Errorf("the log does not say why: %q", log)
	}
}

// TestHealth: 503 in words while nothing can be stored, without what only the log should say.
func TestHealth(t *testing.T) {
	in, _, _ := newIngress()
	var full error
	in.Healthy = func(context.Context) error { return full }
	health := Request{Method: http.MethodGet, Path: "/healthz"}
	for _, c := range []struct {
		err  error
		want int
	}{{nil, 200}, {errors.New("no space left in /var/lib/killswitch"), 503}, {nil, 200}} {
		full = c.err
		if got := in.Answer(t.Context(), health); got.Status != c.want || strings.Contains(got.Body, "/var") || got.Body == "" {
			t.Errorf("%v: %+v", c.err, got)
		}
	}
}

// TestSlowQueue: the answer leaves in time for Slack's 3 seconds, and as a failure.
func TestSlowQueue(t *testing.T) {
	for name, c := range map[string]struct {
		takes, answered time.Duration
		status          int
	}{
		"fast": {0, 0, http.StatusOK}, "just in time": {answerWithin - 1, answerWithin - 1, http.StatusOK},
		"slow": {10 * time.Second, answerWithin, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, q, _ := newIngress()
				q.send = func(ctx context.Context) error {
					deadline, ok := ctx.Deadline()
					if left := time.Until(deadline); !ok || left > 2*time.Second || left <= 0 {
						t.Errorf("the queue gets %s (%v), want 2 s at most", left, ok)
					}
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(c.takes):
						return nil
					}
				}
				began := time.Now()
				got := in.Answer(t.Context(), signed(docBody))
				if took := time.Since(began); got.Status != c.status || took != c.answered {
					t.Errorf("answered %d after %s, want %d after %s", got.Status, took, c.status, c.answered)
				}
			})
		})
	}
}

// TestSlowSecrets: secret and queue share the time that Slack waits.
func TestSlowSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, _, _ := newIngress()
		in.Secrets = func(ctx context.Context) ([]string, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Minute):
				return []string{docSecret}, nil
			}
		}
		began := time.Now()
		got := in.Answer(t.Context(), signed(docBody))
		if took := time.Since(began); got.Status != http.StatusServiceUnavailable || took >= 3*time.Second {
			t.Errorf("answered %d after %s, want 503 within Slack's 3 s", got.Status, took)
		}
	})
}

func TestCallerGoneIsHeard(t *testing.T) {
	in, q, _ := newIngress()
	q.send = func(ctx context.Context) error { return ctx.Err() }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := in.Answer(ctx, signed(docBody)); got.Status != http.StatusServiceUnavailable {
		t.Errorf("answer %+v", got)
	}
}

func TestFromGateway(t *testing.T) {
	header := map[string]string{"x-slack-request-timestamp": strconv.Itoa(docTime), "x-slack-signature": docSignature, "content-type": "application/x-www-form-urlencoded"}
	for name, c := range map[string]struct {
		body     string
		isBase64 bool
	}{
		"plain": {docBody, false}, "base64": {base64.StdEncoding.EncodeToString([]byte(docBody)), true},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := FromGateway(http.MethodPost, "/slack/commands", header, c.body, c.isBase64)
			if err != nil {
				t.Fatal(err)
			}
			if string(r.Body) != docBody || r.Method != http.MethodPost || r.Path != "/slack/commands" {
				t.Errorf("request %+v", r)
			}
			in, q, _ := newIngress()
			if got := in.Answer(t.Context(), r); got.Status != http.StatusOK || len(q.sent) != 1 {
				t.Errorf("answer %+v, %d queued", got, len(q.sent))
			}
		})
	}
	for _, broken := range []string{"not base64!", "YQ", "YQ==YQ=="} {
		if r, err := FromGateway(http.MethodPost, "/slack", header, broken, true); err == nil || strings.Contains(err.Error(), broken) {
			t.Errorf("%q: request %+v, error %v", broken, r, err)
		}
	}
	if r, err := FromGateway(http.MethodGet, "/healthz", nil, "", false); err != nil || r.Header.Get("X") != "" {
		t.Errorf("no headers: %+v, %v", r, err)
	}
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, errors.New("connection reset by 10.0.0.1") }

func TestServeHTTP(t *testing.T) {
	in, q, _ := newIngress()
	server := httptest.NewServer(in)
	defer server.Close()
	send := func(signature string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/slack/commands", strings.NewReader(docBody))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("x-slack-request-timestamp", strconv.Itoa(docTime))
		req.Header.Set("x-slack-signature", signature)
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	for signature, want := range map[string]int{docSignature: http.StatusOK, "v0=00": http.StatusUnauthorized} {
		resp := send(signature)
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != want || string(body) != toDocumented(want).Body || resp.Header.Get("Content-Type") != toDocumented(want).Type {
			t.Errorf("%s: %d %q %v %v, want %d and its answer", signature, resp.StatusCode, body, resp.Header, err, want)
		}
	}
	if len(q.sent) != 1 {
		t.Errorf("%d queued", len(q.sent))
	}

	w := httptest.NewRecorder()
	breaks := httptest.NewRequest(http.MethodPost, "/slack/commands", brokenBody{})
	breaks.Header = signed(docBody).Header
	in.ServeHTTP(w, breaks)
	if w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "10.0.0.1") || len(q.sent) != 1 {
		t.Errorf("a body that breaks off: %d %q, %d queued", w.Code, w.Body, len(q.sent))
	}
}

// TestIngressImportsNothingOfOurs: the public zone holds nothing of ours. A new import of it has to
// pass here, whatever the linter is told.
func TestIngressImportsNothingOfOurs(t *testing.T) {
	const module = "github.com/killswitch-chatops/killswitch"
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			looked++
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if path == module || strings.HasPrefix(path, module+"/") {
				t.Errorf("%s imports %s", name, path)
			} else if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s: the standard library is enough", name, path)
			}
		}
	}
	if looked < 5 {
		t.Errorf("only %d imports found", looked)
	}
}

// FuzzAnswer: nothing panics, nothing is queued that Slack did not sign, and
// what is queued is what was signed.
func FuzzAnswer(f *testing.F) {
	f.Add("/slack/commands", strconv.Itoa(docTime), docSignature, docBody, false, int64(0))
	f.Add("/slack", strconv.Itoa(docTime), "", click(4<<10), true, int64(299))
	f.Add("/slack", strconv.Itoa(docTime), "", click(4<<10), true, int64(301))
	f.Add("/healthz", "", "", "", false, int64(0))
	f.Add("/slack", "9223372036854775807", "v0=", `{"type":"url_verification","challenge":"x"}`, true, int64(0))
	f.Add("/slack", strconv.Itoa(docTime), "v0=", "payload=%7B%22type%22%3A%22x%22%7D", false, int64(0))
	f.Add("/slack", strconv.Itoa(docTime), "", "command=/x&payload=&ssl_check=1", true, int64(-300))
	f.Add("/slack", strconv.Itoa(docTime), "", "command=%ff", true, int64(0))
	f.Fuzz(func(t *testing.T, path, timestamp, signature, body string, doSign bool, late int64) {
		if doSign {
			signature = sign(docSecret, timestamp, body)
		}
		in, q, _ := newIngress()
		at := now.Add(time.Duration(late%100_000) * time.Second)
		in.Now = func() time.Time { return at }
		h := http.Header{"X-Slack-Request-Timestamp": {timestamp}, "X-Slack-Signature": {signature}}
		got := in.Answer(t.Context(), Request{Method: http.MethodPost, Path: path, Header: h, Body: []byte(body)})

		seconds, err := strconv.ParseInt(timestamp, 10, 64)
		fresh := err == nil && seconds >= at.Unix()-300 && seconds <= at.Unix()+300
		genuine := fresh && signature == sign(docSecret, timestamp, body)
		if !genuine && (len(q.sent) != 0 || got.Status == http.StatusOK) {
			t.Fatalf("answer %+v, %d queued, without a genuine signature", got, len(q.sent))
		}
		if len(q.sent) > 1 || len(q.sent) == 1 && got.Status != http.StatusOK {
			t.Fatalf("answer %+v, %d queued", got, len(q.sent))
		}
		switch got.Status {
		case http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge:
		case http.StatusUnauthorized:
			if genuine || got != (Response{Status: http.StatusUnauthorized}) {
				t.Fatalf("answer %+v to a genuine request: %v", got, genuine)
			}
		default:
			t.Fatalf("answer %+v", got)
		}
		for _, b := range q.sent {
			var d SignedRequest
			if err := json.Unmarshal(b, &d); err != nil {
				t.Fatal(err)
			}
			if d != (SignedRequest{timestamp, signature, body}) {
				t.Fatalf("queued %+q, want %+q", d, SignedRequest{timestamp, signature, body})
			}
		}
	})
}

type nowhere struct{}

func (nowhere) SendFor(context.Context, string, []byte, time.Duration) error { return nil }

// BenchmarkIngress is a signed click of about 12 KB, to a queue that takes no time.
func BenchmarkIngress(b *testing.B) {
	in, _, _ := newIngress()
	in.SlackQueue = nowhere{}
	r := signed(click(12 << 10))
	b.SetBytes(int64(len(r.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if got := in.Answer(b.Context(), r); got.Status != http.StatusOK {
			b.Fatal(got)
		}
	}
}
