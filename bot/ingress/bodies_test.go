package ingress

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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

// ends is a response whose reading can be ended, as a server's can.
type ends struct {
	*httptest.ResponseRecorder
	body *io.PipeWriter
}

func (e ends) SetReadDeadline(time.Time) error { return e.body.CloseWithError(os.ErrDeadlineExceeded) }

// TestLargeBodiesAreBounded: as many as may be are read at the same time. One more ends the one that takes the longest, which
// is told to come again; where all are read, and none is dealt with, it is told so itself. What people type and click is taken
// meanwhile.
func TestLargeBodiesAreBounded(t *testing.T) {
	large := "command=%2Fkillswitch&text=" + strings.Repeat("x", smallBody)
	post := func(in *Ingress, w http.ResponseWriter, body io.Reader, length int64, head http.Header) {
		r := httptest.NewRequest(http.MethodPost, "/slack/interactions", body)
		r.Header, r.ContentLength = head, length
		in.ServeHTTP(w, r)
	}
	send := func(in *Ingress, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		post(in, w, strings.NewReader(body), int64(len(body)), signed(body).Header)
		return w
	}
	synctest.Test(t, func(t *testing.T) {
		in, q, _ := newIngress()
		in.Bodies = NewBodies()
		var held []ends
		for i := range largeAtOnce {
			r, w := io.Pipe()
			held = append(held, ends{httptest.NewRecorder(), w})
			go post(in, held[i], r, []int64{MaxBody, -1}[i%2], signed("forged").Header)
			synctest.Wait()
		}
		if w := send(in, docBody); w.Code != http.StatusOK || len(q.sent) != 1 {
			t.Errorf("a small one: %d %q", w.Code, w.Body)
		}
		if w := send(in, large); w.Code != http.StatusOK || len(q.sent) != 2 {
			t.Errorf("a large one: %d %q", w.Code, w.Body)
		}
		synctest.Wait()
		if w := held[0]; w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || len(in.Bodies.large) != largeAtOnce-1 {
			t.Errorf("the one that took the longest: %d %q, %d are left", w.Code, w.Body, len(in.Bodies.large))
		}
		for _, h := range held[1:] {
			_ = h.body.CloseWithError(io.ErrUnexpectedEOF)
		}
		synctest.Wait()
		if len(in.Bodies.large) != 0 || in.Bodies.reading.Len() != 0 {
			t.Errorf("%d rooms are not given back", len(in.Bodies.large))
		}
	})
	synctest.Test(t, func(t *testing.T) { // whose reading can't be ended, or is over
		in, q, _ := newIngress()
		in.Bodies = NewBodies()
		for range largeAtOnce {
			in.Bodies.large <- struct{}{}
		}
		if w := send(in, large); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || len(q.sent) != 0 {
			t.Errorf("one more: %d %q", w.Code, w.Body)
		}
	})
}
