package ingress

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
)

// unread is a body that nobody may read.
type unread struct{ t *testing.T }

func (b unread) Read([]byte) (int, error) {
	b.t.Error("the body is read")
	return 0, io.EOF
}

// TestHeadIsEnough: what the head refuses is refused before its body is read, and before a secret is asked for.
func TestHeadIsEnough(t *testing.T) {
	now := signed(docBody).Header
	but := func(h http.Header, name, value string) http.Header {
		h = h.Clone()
		h.Set(name, value)
		return h
	}
	hook := brings(hookKey, "").Header
	for name, c := range map[string]struct {
		method, path string
		header       http.Header
		length       int64
		status       int
	}{
		"no such path":                   {http.MethodPost, "/nothing", now, 100, http.StatusNotFound},
		"GET":                            {http.MethodGet, "/slack/commands", now, 100, http.StatusMethodNotAllowed},
		"GET, health":                    {http.MethodGet, "/healthz", nil, 100, http.StatusOK},
		"nothing signed":                 {http.MethodPost, "/slack/commands", nil, 100, http.StatusUnauthorized},
		"no signature":                   {http.MethodPost, "/slack/commands", but(now, "X-Slack-Signature", ""), 100, http.StatusUnauthorized},
		"not the form of one":            {http.MethodPost, "/slack/commands", but(now, "X-Slack-Signature", "v0=zz"), 100, http.StatusUnauthorized},
		"no time":                        {http.MethodPost, "/slack/commands", but(now, "X-Slack-Request-Timestamp", ""), 100, http.StatusUnauthorized},
		"too old":                        {http.MethodPost, "/slack/commands", signedAt(docBody, docTime-301).Header, 100, http.StatusUnauthorized},
		"says that it is too large":      {http.MethodPost, "/slack/commands", now, MaxBody + 1, http.StatusRequestEntityTooLarge},
		"events without a key":           {http.MethodPost, "/events", nil, 100, http.StatusUnauthorized},
		"events, no such key":            {http.MethodPost, "/events", but(hook, "X-Api-Key", "guess"), 100, http.StatusUnauthorized},
		"events, length not known":       {http.MethodPost, "/events", nil, -1, http.StatusUnauthorized},
		"events, another drill":          {http.MethodPost, "/events", but(hook, DrillHeader, "a b"), 100, http.StatusBadRequest},
		"requests by a key for events":   {http.MethodPost, "/requests", hook, 100, http.StatusUnauthorized},
		"an isolation without a key":     {http.MethodPost, "/isolate", nil, 100, http.StatusUnauthorized},
		"events that are too large":      {http.MethodPost, "/events", hook, MaxBody + 1, http.StatusRequestEntityTooLarge},
		"an isolation that is too large": {http.MethodPost, "/isolate", hook, MaxBody + 1, http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			in, q, _ := newIngress()
			in.Keys, in.Webhooks, in.WebhookQueue = secrets(hookKeys), map[string]Grant{"eventbridge": {Events: true}}, q
			in.Secrets = func(context.Context) ([]string, error) {
				t.Error("the secret is asked for")
				return nil, errors.New("no")
			}
			r := httptest.NewRequest(c.method, c.path, unread{t})
			r.Header, r.ContentLength = c.header, c.length
			w := httptest.NewRecorder()
			in.ServeHTTP(w, r)
			if w.Code != c.status || len(q.sent) != 0 {
				t.Errorf("%d %q, %d queued; want %d", w.Code, w.Body, len(q.sent), c.status)
			}
		})
	}
}

// TestLengthsThatLie: a body is taken as it was announced, or not at all.
func TestLengthsThatLie(t *testing.T) {
	for name, c := range map[string]struct {
		length int64
		body   string
		status int
	}{
		"not known":              {-1, docBody, http.StatusOK},
		"shorter than announced": {int64(len(docBody)) + 1, docBody, http.StatusBadRequest},
		"none after all":         {int64(len(docBody)), "", http.StatusBadRequest},
		"longer than may be":     {-1, docBody + strings.Repeat("x", MaxBody), http.StatusRequestEntityTooLarge},
	} {
		in, q, _ := newIngress()
		in.Bodies = NewBodies()
		r := httptest.NewRequest(http.MethodPost, "/slack/commands", strings.NewReader(c.body))
		r.Header, r.ContentLength = signed(docBody).Header, c.length
		w := httptest.NewRecorder()
		in.ServeHTTP(w, r)
		if w.Code != c.status || len(q.sent) != map[int]int{http.StatusOK: 1}[c.status] {
			t.Errorf("%s: %d %q, %d queued; want %d", name, w.Code, w.Body, len(q.sent), c.status)
		}
		if len(in.Bodies.large) != 0 {
			t.Errorf("%s: room for a body is not given back", name)
		}
	}
}

// TestLargeBodiesAreBounded: while as many as may be are being read, a further large one is told to come again,
// what people type and click is taken, and afterwards the large one, too.
func TestLargeBodiesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, q, _ := newIngress()
		in.Bodies = NewBodies()
		send := func(body io.Reader, length int64, head http.Header) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodPost, "/slack/interactions", body)
			r.Header, r.ContentLength = head, length
			w := httptest.NewRecorder()
			in.ServeHTTP(w, r)
			return w
		}
		var stalled []*io.PipeWriter
		for i := range largeAtOnce {
			r, w := io.Pipe()
			stalled = append(stalled, w)
			go send(r, []int64{MaxBody, -1}[i%2], signed("forged").Header)
		}
		synctest.Wait()
		large := "command=%2Fkillswitch&text=" + strings.Repeat("x", smallBody)
		full := send(strings.NewReader(large), int64(len(large)), signed(large).Header)
		if full.Code != http.StatusServiceUnavailable || full.Header().Get("Retry-After") == "" || len(q.sent) != 0 {
			t.Errorf("one more: %d %q %v", full.Code, full.Body, full.Header())
		}
		if w := send(strings.NewReader(docBody), int64(len(docBody)), signed(docBody).Header); w.Code != http.StatusOK || len(q.sent) != 1 {
			t.Errorf("a small one meanwhile: %d %q", w.Code, w.Body)
		}
		for _, w := range stalled {
			_ = w.CloseWithError(io.ErrUnexpectedEOF)
		}
		synctest.Wait()
		if w := send(strings.NewReader(large), int64(len(large)), signed(large).Header); w.Code != http.StatusOK || len(q.sent) != 2 {
			t.Errorf("afterwards: %d %q", w.Code, w.Body)
		}
	})
}
