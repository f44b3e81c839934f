package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

// TestFreePlayFollowsTheRealRules: without a story everything works by the real grammar, and people
// who may not are told so.
func TestFreePlayFollowsTheRealRules(t *testing.T) {
	b := open(t, nil)
	if s := b.state(); s.Story.ID != "" || len(s.Messages) > 0 {
		t.Errorf("it begins with %+v", s.Story)
	}
	if p := b.state().AWS.Organization.SCPs; len(p) != 1 || p[0].Changed || p[0].Ours {
		t.Errorf("it begins with %+v", p)
	}
	if _, wrong := b.ask("next", "{}"); !strings.Contains(wrong, "free play") {
		t.Errorf("next says %q", wrong)
	}
	for line, want := range map[string]string{"/killswitch": "Open the form", " /killswitch  help ": "How to use", "/killswitched": "is not an action", "help": "How to use"} {
		b.types(company.Alice, line)
		if told := b.told(company.Alice); !strings.Contains(told, want) {
			t.Errorf("%q is answered with %q, want %q", line, told, want)
		}
	}
	b.types(company.Alice, "/killswitch revoke_sesions prod/app-role")
	if told := b.told(company.Alice); !strings.Contains(told, "did you mean revoke_sessions?") {
		t.Errorf("a mistake is answered with %q", told)
	}
	for user, want := range map[string]string{
		company.Mallory: "You are not in Killswitch's list of people",
		company.Grace:   "takes no orders from guests",
		company.Oscar:   "only from its own workspace",
	} {
		b.types(user, "list")
		if told := b.told(user); !strings.Contains(told, want) {
			t.Errorf("%s is told %q, want %q", name(user), told, want)
		}
	}
	b.types(company.Alice, `quarantine_user prod/deploy-bot reason="a test"`)
	b.clicks(company.Alice, "Approve")
	if told := b.told(company.Alice); !strings.Contains(told, "a second person must approve") {
		t.Errorf("Alice is told %q", told)
	}
	b.clicks(company.Oscar, "Approve")
	if u := b.state().user(company.DeployBot); u.Changed {
		t.Fatalf("the user was changed: %+v", u)
	}
	b.clicks(company.Carol, "Approve")
	u := b.state().user(company.DeployBot)
	if !u.Changed || u.Keys[0] != (key{company.DeployBotKey, "Inactive", true}) || u.Tags["killswitch"] == "" || !slices.Contains(u.Attached, "KillSwitchQuarantine") {
		t.Errorf("the user is %+v", u)
	}
	b.types(company.Bob, `apply_scp sandbox reason="a test"`)
	b.do("time", timed{Advance: "5s"}) // Slack takes a message a second
	b.clicks(company.Alice, "Approve")
	s := b.state()
	i := slices.IndexFunc(s.AWS.Organization.SCPs, func(p scp) bool { return p.Name == "killswitch-freeze" })
	if i < 0 || !s.AWS.Organization.SCPs[i].Ours || !s.AWS.Organization.SCPs[i].Changed || !slices.Equal(s.account(company.Sandbox).FrozenBy, []string{"killswitch-freeze"}) {
		t.Errorf("the SCPs are %+v", s.AWS.Organization.SCPs)
	}
	b.types(company.Bob, `delete_role prod/reporting confirm=reporting reason="a test"`)
	b.clicks(company.Alice, "Approve")
	b.clicks(company.Carol, "Approve")
	if r := b.state().role("arn:aws:iam::222222222222:role/reporting"); r.Exists || !r.Changed {
		t.Errorf("the deleted role is %+v", r)
	}
	b.do("reset", struct{}{})
	if s := b.state(); len(s.Messages) > 0 || s.user(company.DeployBot).Changed || len(s.Log) > 0 {
		t.Error("a reset leaves something")
	}
}

// TestDenialOpensAForm: a denial opens a form, for its author alone.
func TestDenialOpensAForm(t *testing.T) {
	b := open(t, nil)
	b.types(company.Alice, `revoke_sessions prod/app-role reason="a test"`)
	b.clicks(company.Bob, "Deny")
	s := b.state()
	if len(s.Views[company.Bob]) != 1 || len(s.Views[company.Alice]) != 0 {
		t.Fatalf("forms: %v", s.Views)
	}
	form := submitted{company.Bob, s.Views[company.Bob][0].ID, map[string]map[string]string{"reason": {"reason": "a rehearsal"}}}
	if status, wrong := b.ask("submit", fmt.Sprintf(`{"user":%q,"view":%q,"values":{}}`, company.Alice, form.View)); status != 200 || wrong != "This form is not open any more." {
		t.Errorf("another's form: %d %s", status, wrong)
	}
	b.do("submit", form)
	s = b.state()
	if card := s.cards("denied: "); len(card) != 1 || !strings.Contains(string(card[0].Blocks), "a rehearsal") || len(s.Views[company.Bob]) != 0 {
		t.Errorf("the card: %+v", card)
	}
	b.clicks(company.Bob, "Details")
	if s = b.state(); len(s.Views[company.Bob]) != 1 {
		t.Fatal("no details")
	}
	b.do("dismiss", dismissed{company.Bob, s.Views[company.Bob][0].ID})
	if len(b.state().Views[company.Bob]) != 0 {
		t.Error("the form is still open")
	}
}

// TestTimePassesAtAnySpeed: requests expire and re-checks happen as time goes on, at any speed.
func TestTimePassesAtAnySpeed(t *testing.T) {
	b := open(t, nil)
	b.types(company.Alice, `revoke_sessions prod/app-role reason="a test"`)
	b.do("time", timed{Advance: "31m"})
	s := b.state()
	if len(s.cards("expired: ")) != 1 || !s.Now.Equal(night.Add(31*time.Minute)) {
		t.Errorf("at %s the channel says %s", s.Now, b.said())
	}

	var mu sync.Mutex
	now := time.Now()
	b = open(t, func() time.Time { mu.Lock(); defer mu.Unlock(); return now })
	b.do("time", timed{Speed: 60})
	mu.Lock()
	now = now.Add(time.Hour) // as after a machine's sleep
	mu.Unlock()
	deadline := time.Now().Add(5 * time.Second)
	for b.state().Now.Equal(night) && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if s := b.state(); s.Speed != 60 || !s.Now.Equal(night.Add(time.Minute)) { // one second at 60
		t.Errorf("it is %s at speed %d", s.Now, s.Speed)
	}
}

// TestSlackModes: Slack may be down, or say that it is too much.
func TestSlackModes(t *testing.T) {
	b := open(t, nil)
	b.do("slack", mode{company.SlackLimited})
	for _, role := range []string{"app-role", "reporting", "ci-deployer", "crawler-role"} {
		b.types(company.Alice, "revoke_sessions prod/"+role+` reason="a test"`)
	}
	if n := len(b.state().pending()); n > 2 {
		t.Errorf("%d cards at once", n)
	}
	b.do("time", timed{Advance: "2m"})
	if s := b.state(); len(s.pending()) != 4 || s.Slack != company.SlackLimited {
		t.Errorf("not all cards came: %s", b.said())
	}
	b.do("reset", struct{}{})
	b.do("slack", mode{company.SlackDown})
	b.types(company.Alice, `revoke_sessions prod/app-role reason="a test"`)
	if s := b.state(); len(s.Messages) > 0 || s.Slack != company.SlackDown {
		t.Errorf("Slack is down and shows %s", b.said())
	}
}

// TestWrongRequests: what the page would not send is refused, and changes nothing.
func TestWrongRequests(t *testing.T) {
	b := open(t, nil)
	before := b.state()
	for _, c := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"command", `{"user":"U09NOBODY","text":"list"}`, 400, "there is no person"},
		{"command", `{"user":"U0BOT","text":"list"}`, 400, "there is no person"},
		{"command", `{"user":"U01ALICE","text":"` + strings.Repeat("x", 4001) + `"}`, 400, "4000 characters"},
		{"command", `{"user":"U01ALICE","txt":"list"}`, 400, "not what is asked for"},
		{"command", `{"user":"U01ALICE"`, 400, "not what is asked for"},
		{"command", `[]`, 400, "not what is asked for"},
		{"command", `{"user":"U01ALICE","text":"` + strings.Repeat("x", maxBody) + `"}`, 400, "not what is asked for"},
		{"click", `{"user":"U01ALICE","ts":"","action_id":"approve","value":""}`, 400, "needs ts and action_id"},
		{"click", `{"user":"U01ALICE","ts":"1.2","action_id":"approve","value":""}`, 200, "There is no such message"},
		{"submit", `{"user":"U01ALICE","view":"V1","values":{}}`, 200, "This form is not open any more."},
		{"dismiss", `{"user":"U01ALICE","view":""}`, 200, "This form is not open any more."},
		{"dismiss", `{"user":"","view":""}`, 400, "no person"},
		{"story", `{"id":"nope"}`, 400, "no story"},
		{"next", `{"as":"root"}`, 400, "as is guide"},
		{"time", `{}`, 400, "either"},
		{"time", `{"advance":"1m","speed":10}`, 400, "either"},
		{"time", `{"advance":"-1m"}`, 400, "advance is a duration"},
		{"time", `{"advance":"9000h"}`, 400, "advance is a duration"},
		{"time", `{"speed":1000}`, 400, "1, 10 or 60"},
		{"slack", `{"mode":"on fire"}`, 400, "the mode is"},
		{"nothing", `{}`, 404, "There is no POST /api/nothing"},
	} {
		status, wrong := b.ask(c.path, c.body)
		if status != c.status || !strings.Contains(strings.ToLower(wrong), strings.ToLower(c.says)) {
			t.Errorf("%s %.60s: %d %q, want %d %q", c.path, c.body, status, wrong, c.status, c.says)
		}
	}
	if after := b.state(); len(after.Messages) != len(before.Messages) || len(after.Log) != len(before.Log) || !after.Now.Equal(before.Now) {
		t.Error("something was changed")
	}
}

// TestOnlyOwnHostNamesAreServed: the demo answers only under its own names, and only to its own page.
func TestOnlyOwnHostNamesAreServed(t *testing.T) {
	b := open(t, nil)
	for _, c := range []struct {
		method, host string
		header       map[string]string
		status       int
	}{
		{method: "GET", status: 200},
		{method: "GET", host: "localhost:8080", status: 200},
		{method: "GET", host: "LocalHost", status: 200},
		{method: "GET", host: "[::1]:8080", status: 200},
		{method: "GET", host: "127.0.0.2", status: 200},
		{method: "GET", host: "evil.example", status: 403},
		{method: "GET", host: "localhost.evil.example", status: 403},
		{method: "GET", host: "127.0.0.1.evil.example", status: 403},
		{method: "GET", host: "192.0.2.1", status: 403},
		{method: "POST", status: 200},
		{method: "POST", host: "evil.example", status: 403},
		{method: "POST", header: map[string]string{"Origin": "self"}, status: 200},
		{method: "POST", header: map[string]string{"Origin": "https://evil.example"}, status: 403},
		{method: "POST", header: map[string]string{"Origin": "null"}, status: 403},
		{method: "POST", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, status: 403},
		{method: "POST", header: map[string]string{"Sec-Fetch-Site": "same-origin"}, status: 200},
		{method: "POST", header: map[string]string{"Content-Type": "text/plain"}, status: 415},
		{method: "POST", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, status: 415},
		{method: "POST", header: map[string]string{"Content-Type": ""}, status: 415},
	} {
		path := "/api/state"
		if c.method == "POST" {
			path = "/api/reset"
		}
		r, err := http.NewRequestWithContext(t.Context(), c.method, b.server.URL+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for k, v := range c.header {
			if v == "self" {
				v = b.server.URL
			}
			r.Header.Set(k, v)
		}
		if c.host != "" {
			r.Host = c.host
		}
		if status, _ := b.send(r); status != c.status {
			t.Errorf("%s %q %v: %d, want %d", c.method, c.host, c.header, status, c.status)
		}
	}
}

// TestListeningOnAllAddresses: listening on all addresses makes all addresses ours, but no names.
func TestListeningOnAllAddresses(t *testing.T) {
	for _, c := range []struct {
		host, listen string
		want         bool
	}{
		{"192.0.2.1:8080", "0.0.0.0", true},
		{"[2001:db8::1]:8080", "::", true},
		{"192.0.2.1:8080", "", true},
		{"evil.example", "", false},
		{"evil.example", "0.0.0.0", false},
		{"192.0.2.1", "127.0.0.1", false},
		{"192.0.2.1:80", "192.0.2.1", true},
		{"demo.internal", "demo.internal", true},
		{"", "127.0.0.1", false},
	} {
		if got := ours(c.host, c.listen); got != c.want {
			t.Errorf("ours(%q, %q) = %t", c.host, c.listen, got)
		}
	}
}

// TestPageHasAContentSecurityPolicy: the page comes with a policy that lets it reach nothing else.
func TestPageHasAContentSecurityPolicy(t *testing.T) {
	b := open(t, nil)
	resp, err := b.server.Client().Get(b.server.URL + "/?story=freeze")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || len(body) == 0 {
		t.Errorf("%d %v %v", resp.StatusCode, resp.Header, err)
	}
	if resp.Header.Get("Content-Security-Policy") != policy || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers: %v", resp.Header)
	}
}

// follow reads the stream of states.
func (b *browser) follow(ctx context.Context, each func(state) bool) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.server.URL+"/api/stream", nil)
	if err != nil {
		return err
	}
	resp, err := b.server.Client().Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		return errors.New(kind)
	}
	lines := bufio.NewReader(resp.Body)
	for {
		event, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		data, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		if blank, err := lines.ReadString('\n'); err != nil || event != "event: state\n" || !strings.HasPrefix(data, "data: ") || blank != "\n" {
			return fmt.Errorf("%q %.80q %q %w", event, data, blank, err)
		}
		if !each(b.read([]byte(data[len("data: "):]))) {
			return nil
		}
	}
}

// TestStreamSendsEachChange: whoever watches gets the state at once, after each change, and not
// too often.
func TestStreamSendsEachChange(t *testing.T) {
	b := open(t, nil)
	began, n := time.Now(), 0
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := b.follow(ctx, func(s state) bool {
		n++
		if n == 1 {
			go func() {
				for range 30 {
					b.types(company.Alice, "list")
				}
				b.types(company.Bob, `revoke_sessions prod/app-role reason="a test"`)
			}()
		}
		return len(s.pending()) == 0
	})
	if most := 2 + int(time.Since(began)/showEvery); err != nil || n < 2 || n > most {
		t.Errorf("%d states, %d at most, %v", n, most, err)
	}
}

// TestChangesAreSentAtOnce: what changes as time goes on is shown at once, what does not once a
// second.
func TestChangesAreSentAtOnce(t *testing.T) {
	d := New(night, time.Now, slog.New(slog.DiscardHandler))
	st := &stage{watchers: map[*watcher]struct{}{}}
	if err := d.reset(t.Context(), st, storm); err != nil {
		t.Fatal(err)
	}
	defer func() { st.Close() }()
	if err := st.play.next(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	w := &watcher{state: make(chan []byte, 1)}
	st.watchers[w] = struct{}{}
	now := time.Now()
	shown := func(after time.Duration) bool {
		now = now.Add(after)
		st.show(now)
		select {
		case <-w.state:
			return true
		default:
			return false
		}
	}
	if !shown(0) || shown(showEvery) || shown(timeEvery/2) {
		t.Error("what has not changed is shown again")
	}
	if err := st.Advance(t.Context(), time.Second); err != nil || shown(showEvery) {
		t.Errorf("nothing has happened, and is shown: %v", err)
	}
	if err := st.Advance(t.Context(), time.Second); err != nil || !shown(showEvery) {
		t.Errorf("a card has come, and is not shown: %v", err)
	}
	if !shown(timeEvery) {
		t.Error("the time is not shown")
	}
}

// TestParallelRequestsAreSerialised: whatever people do at the same time, one goroutine has the
// company.
func TestParallelRequestsAreSerialised(t *testing.T) {
	b := open(t, time.Now)
	b.do("story", chosen{"freeze"})
	ctx, cancel := context.WithCancel(t.Context())
	var watching, wg sync.WaitGroup
	for range 4 {
		watching.Go(func() { _ = b.follow(ctx, func(state) bool { return true }) })
	}
	rounds := max(1, 4/thin.Every(t, 1, "the rounds"))
	for i := range 6 {
		wg.Go(func() {
			user := company.People[i%len(company.People)].ID
			for range rounds {
				b.types(user, `revoke_sessions prod/app-role reason="a test"`)
				_, _ = b.ask("next", `{"as":"guide"}`)
				_, _ = b.ask("time", `{"advance":"3s"}`)
				for _, m := range b.state().pending() {
					_, _ = b.ask("click", fmt.Sprintf(`{"user":%q,"ts":%q,"action_id":"approve","value":""}`, user, m.TS))
					break
				}
				if i == 0 {
					_, _ = b.ask("slack", `{"mode":"limited"}`)
				}
			}
			if i == 5 {
				b.do("reset", struct{}{})
			}
		})
	}
	wg.Wait()
	b.state()
	b.stop()
	cancel()
	watching.Wait()
}

// TestEndLeavesNoGoroutine: when a story or the demo ends, nothing of it goes on: neither
// those who watch, nor what Killswitch sleeps in.
func TestEndLeavesNoGoroutine(t *testing.T) {
	ours := func() string { // goroutines of a demo's
		stacks := make([]byte, 4<<20)
		for g := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(g, "company.(*clock)") || strings.Contains(g, "demo.(*Server)") {
				return g
			}
		}
		return ""
	}
	b := open(t, nil)
	var watching sync.WaitGroup
	for range 3 {
		watching.Go(func() { _ = b.follow(context.Background(), func(state) bool { return true }) })
	}
	b.do("story", chosen{"storm"})
	b.do("next", onward{}) // cards wait for their turn
	b.do("story", chosen{"storm"})
	b.do("next", onward{})
	b.stop()
	watching.Wait()
	deadline := time.Now().Add(5 * time.Second)
	left := ours()
	for ; left != "" && time.Now().Before(deadline); left = ours() {
		time.Sleep(10 * time.Millisecond)
	}
	if left != "" {
		t.Errorf("there is still\n%s", left)
	}
}

// TestRequestsAfterTheEndAreRefused: who asks while the demo ends is told so.
func TestRequestsAfterTheEndAreRefused(t *testing.T) {
	d := New(night, time.Now, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := d.do(t.Context(), nil); !errors.Is(err, errStopped) {
		t.Errorf("do: %v", err)
	}
}
