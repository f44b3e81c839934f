package demo

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

var night = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

// browser is a demo on a server, as a browser reaches it.
type browser struct {
	t      testing.TB
	server *httptest.Server
	stop   func()
}

// open runs a demo. Its company's time goes on only when it is told to, unless
// there is a clock.
func open(t testing.TB, now func() time.Time) *browser {
	t.Helper()
	if now == nil {
		began := time.Now()
		now = func() time.Time { return began }
	}
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	d := New(night, now, log)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	b := &browser{t: t, server: httptest.NewServer(d.Handler("127.0.0.1:8080"))}
	stopped := false
	b.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		b.server.CloseClientConnections()
		b.server.Close()
	}
	t.Cleanup(b.stop)
	return b
}

// ask posts and returns the status and the error that came back.
func (b *browser) ask(path, body string) (int, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, b.server.URL+"/api/"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return b.send(r)
}

func (b *browser) send(r *http.Request) (int, string) {
	b.t.Helper()
	resp, err := b.server.Client().Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	var said struct{ Error string }
	if err := json.Unmarshal(body, &said); err != nil {
		b.t.Fatalf("%s %s: %d %s", r.Method, r.URL, resp.StatusCode, body)
	}
	return resp.StatusCode, said.Error
}

// do posts what must go well.
func (b *browser) do(path string, body any) {
	b.t.Helper()
	j, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	if status, wrong := b.ask(path, string(j)); status != 200 || wrong != "" {
		b.t.Fatalf("%s %s: %d %s", path, j, status, wrong)
	}
}

func (b *browser) state() state {
	b.t.Helper()
	resp, err := b.server.Client().Get(b.server.URL + "/api/state")
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.read(body)
}

// read reads a state, and looks that its lists are lists.
func (b *browser) read(body []byte) (s state) {
	b.t.Helper()
	if err := json.Unmarshal(body, &s); err != nil {
		b.t.Fatal(err)
	}
	var all any
	if err := json.Unmarshal(body, &all); err != nil {
		b.t.Fatal(err)
	}
	if path := null(all); path != "" {
		b.t.Errorf("the state is null at %s", path)
	}
	return s
}

// null is where something is null, or "". What Slack has made may have it.
func null(v any) string {
	switch v := v.(type) {
	case nil:
		return "here"
	case []any:
		for _, x := range v {
			if path := null(x); path != "" {
				return "[]." + path
			}
		}
	case map[string]any:
		for k, x := range v {
			if path := null(x); path != "" && k != "view" && k != "blocks" {
				return k + "." + path
			}
		}
	}
	return ""
}

// types and clicks are what a person does.
func (b *browser) types(user, text string) { b.t.Helper(); b.do("command", typed{user, text}) }

func (b *browser) clicks(user, label string) {
	b.t.Helper()
	if !b.finds(user, label) {
		b.t.Fatalf("%s sees no button %q:\n%s", name(user), label, b.said())
	}
}

// finds clicks a button with the label on the newest message that has one.
func (b *browser) finds(user, label string) bool {
	b.t.Helper()
	for _, m := range slices.Backward(b.state().Messages) {
		for _, e := range buttons(m) {
			if e.Text.Text == label && (m.EphemeralTo == "" || m.EphemeralTo == user) {
				b.do("click", clicked{user, m.TS, e.ActionID, e.Value})
				return true
			}
		}
	}
	return false
}

type button struct {
	Type     string
	ActionID string `json:"action_id"`
	Value    string
	Text     struct{ Text string }
}

func buttons(m message) []button {
	var blocks []struct {
		Elements  []json.RawMessage
		Accessory json.RawMessage
	}
	_ = json.Unmarshal(m.Blocks, &blocks)
	var all []button
	for _, x := range blocks {
		for _, raw := range append(x.Elements, x.Accessory) {
			var e button
			if json.Unmarshal(raw, &e) == nil && e.Type == "button" {
				all = append(all, e)
			}
		}
	}
	return all
}

// said is all that the channel shows.
func (b *browser) said() string {
	var s strings.Builder
	for _, m := range b.state().Messages {
		s.WriteString(m.EphemeralTo + " " + m.Text + "\n")
		for _, e := range buttons(m) {
			s.WriteString("    [" + e.Text.Text + "]\n")
		}
	}
	return s.String()
}

// told is the last that Killswitch said to a person alone.
func (b *browser) told(user string) string {
	for _, m := range slices.Backward(b.state().Messages) {
		if m.EphemeralTo == user {
			return m.Text + string(m.Blocks)
		}
	}
	return ""
}

func (s state) account(id string) account {
	i := slices.IndexFunc(s.AWS.Accounts, func(a account) bool { return a.ID == id })
	return s.AWS.Accounts[i]
}

func (s state) role(arn string) role {
	for _, a := range s.AWS.Accounts {
		for _, r := range a.Roles {
			if r.ARN == arn {
				return r
			}
		}
	}
	return role{}
}

func (s state) user(arn string) user {
	for _, u := range s.account(company.Prod).Users {
		if u.ARN == arn {
			return u
		}
	}
	return user{}
}

func (s state) instance(id string) instance {
	for _, i := range s.account(company.Prod).Instances {
		if i.ID == id {
			return i
		}
	}
	return instance{}
}

// cards are the messages of the channel that begin with a request's or alert's state.
func (s state) cards(begin string) (found []message) {
	for _, m := range s.Messages {
		if m.EphemeralTo == "" && strings.HasPrefix(m.Text, begin) {
			found = append(found, m)
		}
	}
	return found
}

// pending are the cards of requests that wait: the text calls as posted, and says the state once edited.
func (s state) pending() []message { return append(s.cards("Approve? "), s.cards("pending ")...) }

// replies are those in the threads of messages that begin with something.
func (s state) replies(to []message, begin string) (found []message) {
	for _, m := range s.Messages {
		for _, parent := range to {
			if m.ThreadTS == parent.TS && strings.HasPrefix(m.Text, begin) {
				found = append(found, m)
			}
		}
	}
	return found
}
