package ingress

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const clickPayload = `{"type":"block_actions","user":{"id":"U2"},"actions":[{"action_id":"approve","value":"KS-4G7QX2M9ZT0B.3f9a"}],"text":"a & b + ü"}`

func delivered(t *testing.T, body []byte) SignedRequest {
	t.Helper()
	var d SignedRequest
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatal(err)
	}
	if d.Signature != sign(docSecret, d.Timestamp, d.Body) {
		t.Errorf("the evidence does not hold: %+v", d)
	}
	return d
}

func TestSocketSignsInSlacksStead(t *testing.T) {
	command := `{"command":"/killswitch","text":"list & more","team_id":"T1","user_id":"U1","channel_id":"C1","response_url":"https://hooks.slack.com/x","is_enterprise_install":"false"}`
	for name, c := range map[string]struct {
		envelope, payload string
		want              url.Values
		ack               any
	}{
		"click":   {"interactive", clickPayload, url.Values{"payload": {clickPayload}}, nil},
		"form":    {"interactive", `{"type":"view_submission","view":{"callback_id":"request"}}`, url.Values{"payload": {`{"type":"view_submission","view":{"callback_id":"request"}}`}}, json.RawMessage(checking)},
		"command": {"slash_commands", command, url.Values{"command": {"/killswitch"}, "text": {"list & more"}, "team_id": {"T1"}, "user_id": {"U1"}, "channel_id": {"C1"}, "response_url": {"https://hooks.slack.com/x"}, "is_enterprise_install": {"false"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			in, q, _ := newIngress()
			in.Secrets = secrets(docSecret, "previous")
			s := &Socket{Ingress: in}
			ack, err := s.Take(t.Context(), c.envelope, json.RawMessage(c.payload))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.ack, ack); diff != "" {
				t.Errorf("acknowledged (-want +got):\n%s", diff)
			}
			if len(q.sent) != 1 {
				t.Fatalf("%d queued", len(q.sent))
			}
			d := delivered(t, q.sent[0])
			got, err := url.ParseQuery(d.Body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" || d.Timestamp != strconv.Itoa(docTime) {
				t.Errorf("at %s (-want +got):\n%s", d.Timestamp, diff)
			}
		})
	}
}

// TestSocketRepetition: what Slack sends again is the same evidence, so that it
// is the same request, as long as it would be taken at all.
func TestSocketRepetition(t *testing.T) {
	in, q, _ := newIngress()
	at := now
	in.Now = func() time.Time { return at }
	s := &Socket{Ingress: in}
	take := func(payload string) SignedRequest {
		t.Helper()
		if _, err := s.Take(t.Context(), "interactive", json.RawMessage(payload)); err != nil {
			t.Fatal(err)
		}
		return delivered(t, q.sent[len(q.sent)-1])
	}
	first := take(clickPayload)
	at = now.Add(maxAge)
	if again := take(clickPayload); again != first {
		t.Errorf("sent again, it is %+v, was %+v", again, first)
	}
	if other := take(`{"type":"block_actions"}`); other.Timestamp == first.Timestamp {
		t.Error("another click has the time of the first")
	}
	at = now.Add(maxAge + time.Second)
	if late := take(clickPayload); late.Timestamp != strconv.FormatInt(at.Unix(), 10) {
		t.Errorf("after its time it is taken as of %s, want anew", late.Timestamp)
	}
	at = at.Add(time.Hour)
	take(`{"type":"last"}`)
	if len(s.seen) != 1 {
		t.Errorf("%d payloads are remembered for ever", len(s.seen)-1)
	}
}

func TestSocketTakesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		envelope, payload string
		change            func(*Ingress, *queue)
		fails             bool
	}{
		"event":                 {"events_api", `{"type":"event_callback"}`, nil, false},
		"hello":                 {"hello", ``, nil, false},
		"click without type":    {"interactive", `{}`, nil, true},
		"click that is no JSON": {"interactive", `garbage`, nil, true},
		"command, no object":    {"slash_commands", `[]`, nil, true},
		"command without name":  {"slash_commands", `{"text":"x"}`, nil, true},
		"too large":             {"interactive", `{"type":"` + strings.Repeat("x", MaxBody) + `"}`, nil, true},
		"no secret":             {"interactive", clickPayload, func(in *Ingress, _ *queue) { in.Secrets = secrets() }, true},
		"empty secret":          {"interactive", clickPayload, func(in *Ingress, _ *queue) { in.Secrets = secrets("", docSecret) }, true},
		"secret can't be had": {"interactive", clickPayload, func(in *Ingress, _ *queue) {
			in.Secrets = func(context.Context) ([]string, error) { return nil, errors.New("denied") }
		}, true},
		"queue can't be reached": {"interactive", clickPayload, func(_ *Ingress, q *queue) { q.err = errors.New("down") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			in, q, _ := newIngress()
			if c.change != nil {
				c.change(in, q)
			}
			_, err := (&Socket{Ingress: in}).Take(t.Context(), c.envelope, json.RawMessage(c.payload))
			if (err != nil) != c.fails || len(q.sent) != 0 {
				t.Errorf("error %v, %d queued", err, len(q.sent))
			}
			if err != nil && strings.Contains(err.Error(), "garbage") {
				t.Errorf("the error tells the body: %v", err)
			}
		})
	}
}

func TestSocketAtOnce(t *testing.T) {
	in, q, _ := newIngress()
	var mu sync.Mutex
	in.SlackQueue = sendFunc(func(ctx context.Context, user string, body []byte, delay time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		return q.SendFor(ctx, user, body, delay)
	})
	s := &Socket{Ingress: in}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := s.Take(t.Context(), "interactive", json.RawMessage(clickPayload)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, b := range q.sent {
		if delivered(t, b) != delivered(t, q.sent[0]) {
			t.Fatal("one click became two pieces of evidence")
		}
	}
	if len(q.sent) != 50 {
		t.Errorf("%d queued", len(q.sent))
	}
}

type sendFunc func(context.Context, string, []byte, time.Duration) error

func (f sendFunc) SendFor(ctx context.Context, user string, body []byte, delay time.Duration) error {
	return f(ctx, user, body, delay)
}
