package ingress

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	hookKey  = "4f1c-eventbridge-key"
	soarKey  = "9a77-soar-key"
	hookKeys = "eventbridge=" + hookKey + ",soar=" + soarKey
	anEvent  = `{"id":"1","source":"aws.guardduty","detail":{"text":"a & b <c>"}}`
)

// newHooks is an ingress for webhooks. It has no way to Slack's secret.
func newHooks(t testing.TB) (*Ingress, *queue, *bytes.Buffer) {
	q, log := &queue{}, &bytes.Buffer{}
	return &Ingress{
		Secrets:    func(context.Context) ([]string, error) { t.Error("Slack's secret is asked for"); return nil, nil },
		SlackQueue: &queue{send: func(context.Context) error { t.Error("on Slack's queue"); return nil }},
		Keys:       secrets(hookKeys), Webhooks: map[string]Grant{"eventbridge": {Events: true}, "soar": {}}, WebhookQueue: q,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}, q, log
}

func brings(secret, body string) Request {
	h := http.Header{}
	if secret != "" {
		h.Set("X-Api-Key", secret)
	}
	return Request{Method: http.MethodPost, Path: "/events", Header: h, Body: []byte(body)}
}

func TestEventsAreQueued(t *testing.T) {
	big := `{"detail":"` + strings.Repeat("x", MaxBody-len(`{"detail":""}`)) + `"}`
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"one":             {anEvent, 200},
		"an array":        {"[" + anEvent + ",\n {} ]", 200},
		"white space":     {" \r\n\t" + anEvent + "\n", 200},
		"letters":         {`{"a":"ü世😀"}`, 200},
		"as large as can": {big, 200},
		"one byte more":   {big + " ", 413},
		"nothing":         {"", 400},
		"not JSON":        {"secret garbage", 400},
		"cut off":         {anEvent[:30], 400},
		"two documents":   {anEvent + anEvent, 400},
		"no event":        {"[]", 400},
		"text":            {`"secret"`, 400},
		"number":          {"1", 400},
		"null":            {"null", 400},
		"null in array":   {"[" + anEvent + ",null]", 400},
		"array in array":  {"[[" + anEvent + "]]", 400},
		"a thousand":      {"[{}" + strings.Repeat(",{}", 999) + "]", 200},
		"more":            {"[{}" + strings.Repeat(",{}", 1000) + "]", 400},
		"not UTF-8":       {"{\"a\":\"\xff secret\"}", 400},
		"too deep":        {strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), 400},
	} {
		t.Run(name, func(t *testing.T) {
			in, q, log := newHooks(t)
			got := in.Answer(t.Context(), brings(hookKey, c.body))
			if c.want == 200 && got != (Response{Status: 200}) || got.Status != c.want || c.want != 200 && strings.TrimSpace(got.Body) == "" {
				t.Fatalf("answer %+v, want %d", got, c.want)
			}
			if strings.Contains(got.Body+log.String(), "secret") || strings.Contains(log.String(), hookKey) {
				t.Errorf("the content is repeated: %q, log %s", got.Body, log)
			}
			if c.want != 200 {
				if len(q.sent) != 0 {
					t.Errorf("queued %s", q.sent)
				}
				return
			}
			var m map[string]any
			if len(q.sent) != 1 || json.Unmarshal(q.sent[0], &m) != nil {
				t.Fatalf("queued %s", q.sent)
			}
			if diff := cmp.Diff(map[string]any{"webhook": "eventbridge", "path": "/events", "body": c.body}, m); diff != "" {
				t.Errorf("queued (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNotAWebhook: 401 and nothing else, whatever is wrong.
func TestNotAWebhook(t *testing.T) {
	for name, c := range map[string]struct {
		secret string
		change func(*Ingress)
	}{
		"no key":              {"", nil},
		"unknown":             {"guessed", nil},
		"begins like one":     {hookKey[:len(hookKey)-1], nil},
		"more than one":       {hookKey + "x", nil},
		"an entry":            {"eventbridge=" + hookKey, nil},
		"all keys":            {hookKeys, nil},
		"may not send events": {soarKey, nil},
		"no such webhook":     {hookKey, func(in *Ingress) { in.Webhooks = map[string]Grant{"other": {Events: true}} }},
		"no grants":           {hookKey, func(in *Ingress) { in.Webhooks = nil }},
		"keys left empty":     {hookKey, func(in *Ingress) { in.Keys = secrets("") }},
		"no text of keys":     {hookKey, func(in *Ingress) { in.Keys = secrets() }},
		"no webhooks":         {hookKey, func(in *Ingress) { in.Keys = nil }},
		"not found anew":      {"guessed", func(in *Ingress) { in.RefreshKeys = secrets(hookKeys) }},
		"can't look anew":     {"guessed", func(in *Ingress) { in.RefreshKeys = failing("throttled") }},
	} {
		for _, body := range []string{anEvent, "garbage"} {
			in, q, log := newHooks(t)
			if c.change != nil {
				c.change(in)
			}
			if got := in.Answer(t.Context(), brings(c.secret, body)); got != (Response{Status: http.StatusUnauthorized}) || len(q.sent) != 0 {
				t.Errorf("%s: answer %+v, %d queued; want 401 and nothing else", name, got, len(q.sent))
			}
			if strings.Contains(log.String(), hookKey) || strings.Contains(log.String(), soarKey) || c.secret != "" && strings.Contains(log.String(), c.secret) {
				t.Errorf("%s: a key is in the log: %s", name, log)
			}
			if name != "may not send events" && c.change == nil && !strings.Contains(log.String(), "not a webhook's key") {
				t.Errorf("%s: the log does not say that a request was refused: %q", name, log)
			}
			if name == "may not send events" && !strings.Contains(log.String(), "webhook=soar") {
				t.Errorf("%s: the log does not say whose key: %s", name, log)
			}
		}
	}
}

func failing(text string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return nil, errors.New(text) }
}

// TestKeysChange: the previous keys count beside the current ones, and what was
// changed just now is looked for.
func TestKeysChange(t *testing.T) {
	const other = "eventbridge=other"
	for name, c := range map[string]struct {
		keys, found []string
		asked       int
		status      int
	}{
		"current":                            {[]string{hookKeys, other}, nil, 0, 200},
		"previous":                           {[]string{other, hookKeys}, nil, 0, 200},
		"changed just now":                   {[]string{other}, []string{hookKeys, other}, 1, 200},
		"one webhook, two keys":              {[]string{other + "," + hookKeys}, nil, 0, 200},
		"previous is not readable":           {[]string{hookKeys, "nonsense"}, nil, 0, 200},
		"current is not readable":            {[]string{"nonsense", hookKeys}, nil, 0, 200},
		"none is readable":                   {[]string{"nonsense", "nonsense"}, []string{"nonsense"}, 1, 503},
		"put right just now":                 {[]string{"nonsense"}, []string{hookKeys, "nonsense"}, 1, 200},
		"previous, but found anew":           {[]string{other}, []string{other}, 1, 401},
		"nobody's, previous is not readable": {[]string{other, "nonsense"}, []string{other, "nonsense"}, 1, 401},
		"nobody's, current is not readable":  {[]string{"nonsense", other}, []string{"nonsense", other}, 1, 503},
		"somebody else's until now":          {[]string{hookKeys, "soar=" + hookKey}, nil, 0, 200},
	} {
		in, q, log := newHooks(t)
		asked := 0
		in.Keys = secrets(c.keys...)
		in.RefreshKeys = func(context.Context) ([]string, error) { asked++; return c.found, nil }
		got := in.Answer(t.Context(), brings(hookKey, anEvent))
		if got.Status != c.status || asked != c.asked || len(q.sent) != map[int]int{200: 1}[c.status] {
			t.Errorf("%s: answer %+v, asked %d times, %d queued; want %d, asked %d times", name, got, asked, len(q.sent), c.status, c.asked)
		}
		if strings.Contains(log.String(), "nonsense") {
			t.Errorf("%s: the keys' text is logged: %s", name, log)
		}
	}
	for name, change := range map[string]func(*Ingress){
		"can't be had":                      func(in *Ingress) { in.Keys = failing("AccessDenied for arn:aws:secretsmanager:x") },
		"not readable":                      func(in *Ingress) { in.Keys = secrets("nonsense") },
		"not readable, and can't look anew": func(in *Ingress) { in.Keys, in.RefreshKeys = secrets("nonsense"), failing("throttled") },
	} {
		in, q, log := newHooks(t)
		change(in)
		if got := in.Answer(t.Context(), brings(hookKey, anEvent)); got.Status != 503 || strings.Contains(got.Body, "arn:") || len(q.sent) != 0 {
			t.Errorf("keys %s: %+v, %d queued; want 503, as it is nobody's fault who asks", name, got, len(q.sent))
		}
		if !strings.Contains(log.String(), "no webhook keys") {
			t.Errorf("keys %s: the log does not say so: %q", name, log)
		}
	}
	in, q, _ := newHooks(t)
	q.err = errors.New("sqs: AccessDenied https://sqs.example/222222222222/webhooks")
	if got := in.Answer(t.Context(), brings(hookKey, anEvent)); got.Status != 503 || strings.Contains(got.Body, "2222") {
		t.Errorf("no queue: %+v", got)
	}
}

func TestDrillHeader(t *testing.T) {
	for name, ok := range map[string]bool{
		"": true, "drill-2026-11-21": true, "A": true, "azAZ09-": true, strings.Repeat("a", 64): true,
		strings.Repeat("a", 65): false, "two words": false, "a/b": false, "a_b": false, "ü": false, "a\n": false, " ": false,
	} {
		in, q, _ := newHooks(t)
		r := brings(hookKey, anEvent)
		r.Header["X-Killswitch-Drill"] = []string{name}
		got := in.Answer(t.Context(), r)
		if ok != (got.Status == 200) || ok != (len(q.sent) == 1) || !ok && (got.Status != 400 || strings.Contains(got.Body, name) && name != " ") {
			t.Errorf("%q: %+v, %d queued", name, got, len(q.sent))
			continue
		}
		if !ok {
			continue
		}
		var m Webhook
		if err := json.Unmarshal(q.sent[0], &m); err != nil || m.Drill != name {
			t.Errorf("%q: queued %s", name, q.sent[0])
		}
	}
}

// TestEventsDoor: what never gets to a key, and whose keys it is never asked.
func TestEventsDoor(t *testing.T) {
	for _, c := range []struct {
		method, path string
		size, want   int
	}{
		{"GET", "/events", 0, 405}, {"PUT", "/events", 1, 405}, {"POST", "/events/", 1, 404}, {"POST", "/event", 1, 404}, {"POST", "/Events", 1, 404},
		{"POST", "/events", MaxBody + 1, 413}, {"GET", "/requests", 0, 405}, {"POST", "/requests", MaxBody + 1, 413}, {"POST", "/isolate", MaxBody + 1, 413}, {"POST", "/isolate/", 1, 404},
	} {
		in, _, _ := newHooks(t)
		in.Keys = func(context.Context) ([]string, error) {
			t.Errorf("%s %s asks for keys", c.method, c.path)
			return nil, nil
		}
		r := brings(hookKey, strings.Repeat("x", c.size))
		r.Method, r.Path = c.method, c.path
		if got := in.Answer(t.Context(), r); got.Status != c.want {
			t.Errorf("%s %s of %d bytes: %+v, want %d", c.method, c.path, c.size, got, c.want)
		}
	}
	in, q, _ := newHooks(t)
	in.Keys = func(context.Context) ([]string, error) {
		t.Error("keys are asked for, though none was sent")
		return nil, nil
	}
	if got := in.Answer(t.Context(), brings("", anEvent)); got.Status != 401 || len(q.sent) != 0 {
		t.Errorf("no key: %+v, %d queued", got, len(q.sent))
	}
	in, q, _ = newIngress()
	in.Keys = func(context.Context) ([]string, error) {
		t.Error("Slack's click asks for webhooks' keys")
		return nil, nil
	}
	r := signed(docBody)
	r.Header.Set("X-Api-Key", hookKey)
	if got := in.Answer(t.Context(), r); got.Status != 200 || len(q.sent) != 1 {
		t.Errorf("a click: %+v", got)
	}
}

func TestEventsOverHTTP(t *testing.T) {
	in, q, _ := newHooks(t)
	for secret, want := range map[string]int{hookKey: 200, soarKey: 401} {
		r := httptest.NewRequest(http.MethodPost, "http://x/events", strings.NewReader(anEvent))
		r.Header.Set("x-api-key", secret)
		w := httptest.NewRecorder()
		in.ServeHTTP(w, r)
		if w.Code != want || w.Body.Len() != 0 {
			t.Errorf("%s: %d %q, want %d", secret, w.Code, w.Body, want)
		}
	}
	if len(q.sent) != 1 {
		t.Errorf("%d queued", len(q.sent))
	}
	r, err := FromGateway(http.MethodPost, "/events", map[string]string{"x-api-key": hookKey, "x-killswitch-drill": "d1"}, anEvent, false)
	if got := in.Answer(t.Context(), r); err != nil || got.Status != 200 || !strings.Contains(string(q.sent[1]), `"drill":"d1"`) {
		t.Errorf("by a gateway: %v %+v %s", err, got, q.sent)
	}
}

func TestParseKeys(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "[]",
		" \n":                   "[]",
		"a=x":                   "[a]",
		"a=x,b=y\n":             "[a b]",
		" a=x ,\n b-1=y=z== ":   "[a b-1]",
		"a=x,a=y":               "[a a]",
		"a=x,a=x":               "[a a]",
		"a":                     "entry 1 is not",
		"a=":                    "entry 1 is not",
		"=x":                    "entry 1 is not",
		"a=x,":                  "entry 2 is not",
		"a=x,,b=y":              "entry 2 is not",
		"a b=x":                 "entry 1 is not",
		"a=x,b=x":               "entries 1 and 2 have the same secret",
		"a=secret,b:secret":     "entry 2 is not",
		strings.Repeat("a", 64): "entry 1 is not",
	} {
		keys, err := ParseKeys(text)
		got := fmt.Sprint(keys.Webhooks())
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || strings.Contains(got, "secret,") {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// FuzzEvents: nothing is queued without a key, and what is queued is what came.
func FuzzEvents(f *testing.F) {
	f.Add(hookKey, "drill-1", anEvent)
	f.Add(soarKey, "", "["+anEvent+"]")
	f.Add("", "x y", "[1")
	f.Add(hookKey, "", "\xff{}")
	f.Fuzz(func(t *testing.T, secret, drill, body string) {
		in, q, log := newHooks(t)
		r := brings(secret, body)
		r.Header["X-Killswitch-Drill"] = []string{drill}
		got := in.Answer(t.Context(), r)
		if secret != hookKey && (got != (Response{Status: 401}) && len(body) <= MaxBody || len(q.sent) > 0) {
			t.Fatalf("answer %+v, %d queued, without a key", got, len(q.sent))
		}
		if (got.Status == 200) != (len(q.sent) == 1) {
			t.Fatalf("answer %+v, %d queued", got, len(q.sent))
		}
		for _, b := range q.sent {
			var m Webhook
			if err := json.Unmarshal(b, &m); err != nil || m != (Webhook{Webhook: "eventbridge", Path: "/events", Drill: drill, Body: body}) || !json.Valid([]byte(body)) {
				t.Fatalf("queued %+q", b)
			}
		}
		if secret != "" && strings.Contains(log.String(), hookKey) {
			t.Fatal("a key is logged")
		}
	})
}
