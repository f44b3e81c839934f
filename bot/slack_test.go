package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/bot/cards"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

func TestResponseHosts(t *testing.T) {
	const local, elsewhere = "http://127.0.0.1:8080/api", "https://slack.internal.example/api/"
	for name, c := range map[string]struct {
		api, url string
		want     bool
	}{
		"Slack":                         {"", "https://hooks.slack.com/commands/T1/1/x", true},
		"GovSlack":                      {"", "https://hooks.slack-gov.com/actions/T1/1/x", true},
		"not encrypted":                 {"", "http://hooks.slack.com/commands/T1/1/x", false},
		"another host of Slack":         {"", "https://slack.com/api/chat.postMessage", false},
		"another host":                  {"", "https://evil.example/hooks.slack.com", false},
		"a host below":                  {"", "https://hooks.slack.com.evil.example/x", false},
		"a host before":                 {"", "https://evil-hooks.slack.com/x", false},
		"Slack as user":                 {"", "https://hooks.slack.com@evil.example/x", false},
		"another port":                  {"", "https://hooks.slack.com:8443/x", false},
		"metadata service":              {"", "http://169.254.169.254/latest/meta-data", false},
		"this machine":                  {"", "http://127.0.0.1:8080/x", false},
		"a file":                        {"", "file:///etc/passwd", false},
		"no host":                       {"", "/x", false},
		"empty":                         {"", "", false},
		"override: same host":           {local, "http://127.0.0.1:8080/response/R1", true},
		"override: loopback by name":    {local, "http://localhost:8080/response/R1", true},
		"override: loopback, version 6": {local, "http://[::1]:8080/response/R1", true},
		"override: another port":        {local, "http://127.0.0.1:9090/response/R1", false},
		"override: Slack itself":        {local, "https://hooks.slack.com/commands/T1/1/x", false},
		"override: another host":        {local, "http://192.0.2.1:8080/response/R1", false},
		"override: looks like loopback": {local, "http://localhost.evil.example:8080/x", false},
		"override: metadata service":    {local, "http://169.254.169.254/latest", false},
		"remote: same host":             {elsewhere, "https://slack.internal.example/response/R1", true},
		"remote: this machine":          {elsewhere, "https://127.0.0.1/response/R1", false},
		"remote: another host":          {elsewhere, "https://evil.example/response/R1", false},
		"remote: not encrypted":         {elsewhere, "http://slack.internal.example/response/R1", false},
		"override is no URL":            {"http://[broken", "http://127.0.0.1:8080/response/R1", false},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(c.url)
			if err != nil {
				t.Fatal(err)
			}
			if got := responseHosts(c.api)(u); got != c.want {
				t.Errorf("%s with the API at %q: %v, want %v", c.url, c.api, got, c.want)
			}
		})
	}
}

// sleeper notes how long was waited for, and does not wait.
type sleeper struct {
	slept []time.Duration
	err   error
}

func (s *sleeper) sleep(_ context.Context, d time.Duration) error {
	s.slept = append(s.slept, d)
	return s.err
}

func TestRespond(t *testing.T) {
	type request struct {
		Method, Type, Path string
		Body               map[string]any
	}
	var got []request
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		q := request{Method: r.Method, Type: r.Header.Get("Content-Type"), Path: r.URL.Path}
		if err := json.Unmarshal(b, &q.Body); err != nil {
			t.Error(err)
		}
		if r.Header.Get("Authorization") != "" {
			t.Error("the bot token went along")
		}
		got = append(got, q)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	defer server.Close()
	s := NewSlack(Token("xoxb-secret"), server.URL+"/api", nil, (&sleeper{}).sleep)

	if err := s.respond(t.Context(), server.URL+"/response/R1", cards.Say("Nothing was done.")); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Method != http.MethodPost || got[0].Type != "application/json" || got[0].Path != "/response/R1" {
		t.Fatalf("requests: %+v", got)
	}
	b := got[0].Body
	if b["response_type"] != "ephemeral" || b["replace_original"] != false || b["text"] != "Nothing was done." || b["blocks"] == nil {
		t.Errorf("body: %v, want an answer to its author alone that leaves the card", b)
	}

	for _, status = range []int{http.StatusNotFound, http.StatusInternalServerError, http.StatusTemporaryRedirect, http.StatusFound} {
		before := len(got)
		err := s.respond(t.Context(), server.URL+"/response/R1", cards.Say("x"))
		if err == nil {
			t.Errorf("HTTP %d is taken for an answer that arrived", status)
		} else if strings.Contains(err.Error(), "R1") {
			t.Errorf("the error tells the response_url: %v", err)
		}
		if len(got) != before+1 {
			t.Errorf("HTTP %d: %d requests, want 1: a redirect is not followed", status, len(got)-before)
		}
	}
	status = http.StatusOK

	reached := false
	foreign := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer foreign.Close()
	for _, to := range []string{foreign.URL + "/x", "https://hooks.slack.com/commands/x", "http://[broken", ""} {
		before := len(got)
		if err := s.respond(t.Context(), to, cards.Say("x")); err == nil || reached || len(got) != before {
			t.Errorf("response_url %q: error %v, reached %v", to, err, reached)
		}
	}
}

// TestTimeouts: slack-go's own client waits for ever.
func TestTimeouts(t *testing.T) {
	own := &http.Client{Transport: http.DefaultTransport}
	for name, client := range map[string]*http.Client{"default": nil, "given": own} {
		s := NewSlack(Token("xoxb"), "", client, nil)
		if s.http.Timeout != slackTimeout {
			t.Errorf("%s: timeout %s", name, s.http.Timeout)
		}
	}
	if own.Timeout != 0 || own.CheckRedirect != nil {
		t.Error("the client that was passed in was changed")
	}
}

const sec = "C0SEC"

type slackWorld struct {
	*slackfake.Slack
	api *Slack
	nap *sleeper
	now time.Time
}

func newWorld(t *testing.T) *slackWorld {
	t.Helper()
	w := &slackWorld{nap: &sleeper{}, now: asked}
	w.Slack = slackfake.New(slackfake.Config{
		Now:      func() time.Time { return w.now },
		Users:    []slackfake.User{{ID: ana.Slack, Name: "ana"}, {ID: ben.Slack, Name: "ben"}},
		Channels: []slackfake.Channel{{ID: sec, Name: "security"}},
	})
	w.api = NewSlack(Token(w.Config().BotToken), "http://slack.invalid/api", w.Client(), w.nap.sleep)
	return w
}

func (w *slackWorld) count(method string) int {
	n := 0
	for _, c := range w.Calls() {
		if c.Method == method {
			n++
		}
	}
	return n
}

// goldenCards are the cards that the tests of cards keep, by file.
func goldenCards(t *testing.T) map[string]cards.Message {
	t.Helper()
	ms := map[string]cards.Message{}
	err := filepath.WalkDir("cards/testdata", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var m struct {
			Text   string
			Blocks slack.Blocks
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		ms[name] = cards.Message{Text: m.Text, Blocks: m.Blocks.BlockSet}
		return nil
	})
	if err != nil || len(ms) < 100 {
		t.Fatalf("%d golden cards, %v", len(ms), err)
	}
	return ms
}

// TestSlackTakesEveryCard posts and updates each card in a workspace that refuses
// what Slack refuses.
func TestSlackTakesEveryCard(t *testing.T) {
	golden := goldenCards(t)
	names := slices.Sorted(maps.Keys(golden))
	for i := 0; i < len(names); i += thin.Every(t, 1, "the cards") {
		m := golden[names[i]]
		t.Run(names[i], func(t *testing.T) {
			w := newWorld(t)
			ts, err := w.api.post(t.Context(), sec, "", m)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.api.update(t.Context(), sec, ts, m); err != nil {
				t.Error(err)
			}
			if got := w.Messages(sec)[0]; got.Text != m.Text || got.Blocks == nil || got.Edits != 1 {
				t.Errorf("the message has text %q, %d bytes of blocks, %d edits", got.Text, len(got.Blocks), got.Edits)
			}
			// Posted but not heard of: the sweep finds it by its ID, which ends the
			// text of a card, or by the text of a reply.
			mark := m.Text
			if at := strings.LastIndex(m.Text, "· "); at >= 0 {
				mark, _, _ = strings.Cut(m.Text[at:], " (")
			}
			if got := w.api.find(t.Context(), sec, "", mark, w.now); got != ts {
				t.Errorf("find %q = %q, want %q", mark, got, ts)
			}
		})
	}
}

func TestRateLimit(t *testing.T) {
	calls := map[string]func(context.Context, *slackWorld, string) error{
		"chat.postMessage": func(ctx context.Context, w *slackWorld, _ string) error {
			_, err := w.api.post(ctx, sec, "", cards.Say("x"))
			return err
		},
		"chat.update": func(ctx context.Context, w *slackWorld, ts string) error {
			return w.api.update(ctx, sec, ts, cards.Say("x"))
		},
	}
	broken := errors.New("stop")
	for name, c := range map[string]struct {
		wait, times int
		sleep       error
		slept       []time.Duration
		calls       int
		limited     bool
	}{
		"not limited":        {calls: 1},
		"short":              {wait: 1, times: 1, slept: []time.Duration{time.Second}, calls: 2},
		"as long as allowed": {wait: 2, times: 1, slept: []time.Duration{longestPause}, calls: 2},
		"long":               {wait: 3, times: 1, calls: 1, limited: true},
		"short, twice":       {wait: 1, times: 2, slept: []time.Duration{time.Second}, calls: 2, limited: true},
		"stopped meanwhile":  {wait: 1, times: 1, sleep: broken, slept: []time.Duration{time.Second}, calls: 1},
	} {
		for method, call := range calls {
			t.Run(method+" "+name, func(t *testing.T) {
				w := newWorld(t)
				ts, err := w.api.post(t.Context(), sec, "", cards.Say("first"))
				if err != nil {
					t.Fatal(err)
				}
				before := w.count(method)
				w.nap.err = c.sleep
				if c.times > 0 {
					w.Fail(slackfake.Fault{Method: method, Status: http.StatusTooManyRequests, RetryAfter: c.wait, Times: c.times})
				}
				err = call(t.Context(), w, ts)
				_, limited := errors.AsType[*slack.RateLimitedError](err)
				if limited != c.limited || (err == nil) != (!c.limited && c.sleep == nil) || c.sleep != nil && !errors.Is(err, c.sleep) {
					t.Errorf("error %v", err)
				}
				if got := w.count(method) - before; got != c.calls || !slices.Equal(w.nap.slept, c.slept) {
					t.Errorf("%d calls after sleeping %v, want %d after %v", got, w.nap.slept, c.calls, c.slept)
				}
			})
		}
	}
}

// TestOtherTroubleIsNotRetried: a post whose answer is lost may be there.
func TestOtherTroubleIsNotRetried(t *testing.T) {
	for name, f := range map[string]slackfake.Fault{
		"server error": {Status: http.StatusInternalServerError}, "answer lost": {After: true}, "refused": {Error: "is_archived"},
	} {
		w := newWorld(t)
		f.Method = "chat.postMessage"
		w.Fail(f)
		if ts, err := w.api.post(t.Context(), sec, "", cards.Say("x")); err == nil || ts != "" {
			t.Errorf("%s: ts %q, error %v", name, ts, err)
		}
		if n := w.count("chat.postMessage"); n != 1 || len(w.nap.slept) != 0 {
			t.Errorf("%s: %d calls", name, n)
		}
	}
}

// TestFailedCallsAreCounted: what people must mend apart from what may pass by itself, whatever was called; an
// answer about one message, person, form or channel is neither.
func TestFailedCallsAreCounted(t *testing.T) {
	calls := map[string]func(context.Context, *slackWorld) error{
		"chat.postMessage": func(ctx context.Context, w *slackWorld) error {
			_, err := w.api.post(ctx, sec, "", cards.Say("x"))
			return err
		},
		"chat.update": func(ctx context.Context, w *slackWorld) error { return w.api.update(ctx, sec, "1.0", cards.Say("x")) },
		"chat.postEphemeral": func(ctx context.Context, w *slackWorld) error {
			return w.api.ephemeral(ctx, sec, ana.Slack, cards.Say("x"))
		},
		"views.open": func(ctx context.Context, w *slackWorld) error {
			return w.api.openView(ctx, "trigger", slack.ModalViewRequest{})
		},
		"views.update": func(ctx context.Context, w *slackWorld) error {
			return w.api.updateView(ctx, "V1", "", slack.ModalViewRequest{})
		},
		"users.info":            func(ctx context.Context, w *slackWorld) error { _, err := w.api.user(ctx, ana.Slack); return err },
		"usergroups.users.list": func(ctx context.Context, w *slackWorld) error { _, err := w.api.members(ctx, "S1"); return err },
		"auth.test":             func(ctx context.Context, w *slackWorld) error { _, _, err := w.api.Team(ctx); return err },
		"conversations.info":    func(ctx context.Context, w *slackWorld) error { _, err := w.api.notInternal(ctx, sec); return err },
		"conversations.members": func(ctx context.Context, w *slackWorld) error { _, err := w.api.membersOf(ctx, sec, 10); return err },
		"conversations.history": func(ctx context.Context, w *slackWorld) error { w.api.find(ctx, sec, "", "x", w.now); return nil },
		"conversations.replies": func(ctx context.Context, w *slackWorld) error { w.api.find(ctx, sec, "1.0", "x", w.now); return nil },
	}
	const refused, unavailable = "SlackRefused", "SlackUnavailable"
	for name, c := range map[string]struct {
		fault slackfake.Fault
		token Tokens
		gone  bool // the caller
		want  string
	}{
		"the token is revoked":   {fault: slackfake.Fault{Error: "token_revoked"}, want: refused},
		"a scope is missing":     {fault: slackfake.Fault{Error: "missing_scope"}, want: refused},
		"a code of tomorrow":     {fault: slackfake.Fault{Error: "of_tomorrow"}, want: refused},
		"there is no token":      {token: func(context.Context) ([]string, error) { return nil, nil }, want: refused},
		"the token is not read":  {token: func(context.Context) ([]string, error) { return nil, errors.New("no secret") }, want: refused},
		"server error":           {fault: slackfake.Fault{Status: http.StatusInternalServerError}, want: unavailable},
		"limited":                {fault: slackfake.Fault{Status: http.StatusTooManyRequests, RetryAfter: 30}, want: unavailable},
		"Slack's own trouble":    {fault: slackfake.Fault{Error: "internal_error"}, want: unavailable},
		"the answer is lost":     {fault: slackfake.Fault{After: true}, want: unavailable},
		"a form that was closed": {fault: slackfake.Fault{Error: "not_found"}},
		"a deleted message":      {fault: slackfake.Fault{Error: "message_not_found"}},
		"the caller gave up":     {fault: slackfake.Fault{Status: http.StatusInternalServerError}, gone: true},
	} {
		for method, call := range calls {
			t.Run(name+", "+method, func(t *testing.T) {
				w := newWorld(t)
				counted := map[string]int{}
				w.api.Count = func(_ context.Context, name string, n int) { counted[name] += n }
				if c.token != nil {
					w.api.tokens = c.token
				}
				c.fault.Method, c.fault.Times = method, -1
				w.Fail(c.fault)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.gone {
					cancel()
				}
				err := call(ctx, w)
				if counted[c.want] == 0 && c.want != "" || len(counted) > 1 || len(counted) == 1 && c.want == "" {
					t.Errorf("counted %v, want %s; %v", counted, c.want, err)
				}
			})
		}
	}

	t.Run("a channel that takes no messages", func(t *testing.T) {
		w := newWorld(t)
		counted := map[string]int{}
		w.api.Count = func(_ context.Context, name string, n int) { counted[name] += n }
		if why, err := w.api.notInternal(t.Context(), "C0NONE"); why == "" || err != nil || len(counted) > 0 {
			t.Errorf("asked whether it is ours: %q %v, counted %v", why, err, counted)
		}
		if err := w.api.takesMessages(t.Context(), "C0NONE"); err == nil || counted[refused] != 1 {
			t.Errorf("the incident channel: %v, counted %v", err, counted)
		}
		if _, err := w.api.post(t.Context(), "C0NONE", "", cards.Say("x")); err == nil || counted[refused] != 2 {
			t.Errorf("a post: %v, counted %v", err, counted)
		}
	})
}

func TestFind(t *testing.T) {
	w := newWorld(t)
	send := func(thread, text string) string {
		t.Helper()
		block := slack.NewSectionBlock(slack.NewTextBlockObject(slack.MarkdownType, text, false, true), nil, nil)
		ts, err := w.api.post(t.Context(), sec, thread, cards.Message{Text: text, Blocks: []slack.Block{block}})
		if err != nil {
			t.Fatal(err)
		}
		return ts
	}
	card := send("", "pending 0/1: x · "+baseID)
	reply := send(card, baseID+": refused. <@U0ANA> because &amp; so")
	other := send("", "pending 0/1: x · "+undoID)
	w.Say(ben.Slack, sec, "", "· KS-BYAPERSON00 says ben")
	w.Say(ben.Slack, sec, card, baseID+": denied. says ben")

	for name, c := range map[string]struct {
		thread, text string
		since        time.Time
		want         string
	}{
		"card":                        {"", "· " + baseID, asked, card},
		"card posted just before":     {"", "· " + baseID, asked.Add(4 * time.Second), card},
		"another card":                {"", "· " + undoID, asked, other},
		"none":                        {"", "· KS-0000000000AB", asked, ""},
		"written by a person":         {"", "· KS-BYAPERSON00", asked, ""},
		"too old":                     {"", "· " + baseID, asked.Add(10 * time.Second), ""},
		"reply is not in the channel": {"", "refused. ", asked, ""},
		"reply":                       {card, baseID + ": refused. <@U0ANA> because &amp; so", asked, reply},
		"no such reply":               {card, baseID + ": expired.", asked, ""},
		"a person's reply":            {card, baseID + ": denied.", asked, ""},
		"the parent is no reply":      {card, "pending 0/1", asked, ""},
		"no such thread":              {"1.000000", baseID, asked, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := w.api.find(t.Context(), sec, c.thread, c.text, c.since); got != c.want {
				t.Errorf("find = %q, want %q", got, c.want)
			}
		})
	}
	for _, thread := range []string{"", card} {
		w.Fail(slackfake.Fault{Method: "conversations.*", Error: "missing_scope"})
		if got := w.api.find(t.Context(), sec, thread, baseID, asked); got != "" {
			t.Errorf("find = %q though Slack does not tell", got)
		}
	}
}

func TestUpdateTellsThatAMessageIsGone(t *testing.T) {
	w := newWorld(t)
	ts, err := w.api.post(t.Context(), sec, "", cards.Say("x"))
	if err != nil {
		t.Fatal(err)
	}
	theirs := w.Say(ben.Slack, sec, "", "mine").TS
	w.Lose(sec, ts)
	for name, ts := range map[string]string{"deleted": ts, "another's": theirs} {
		if err := w.api.update(t.Context(), sec, ts, cards.Say("y")); !messageGone(err) {
			t.Errorf("%s: %v, want gone", name, err)
		}
	}
	for name, err := range map[string]error{
		"none": nil, "limited": &slack.RateLimitedError{}, "other": slack.SlackErrorResponse{Err: "channel_not_found"}, "network": errors.New("reset"),
	} {
		if messageGone(err) {
			t.Errorf("%s counts as gone", name)
		}
	}
}
