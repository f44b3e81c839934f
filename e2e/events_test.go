//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// withEvents takes events of a webhook.
func withEvents(s *scene, _ *Workspace) {
	s.more, s.hooks = eventsToo, "eventbridge=hook-key,soar=soar-key"
}

const samples = "../approvals/finding/testdata/events/"

// sample is an event of approvals/finding's testdata.
func (s *scene) sample(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(samples + name)
	s.must(err)
	return string(b)
}

// brings posts to /events as a webhook does.
func (s *scene) brings(key, drill, body string) (status int) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.addr+"/events", strings.NewReader(body))
	s.must(err)
	req.Header.Set("X-Api-Key", key)
	req.Header.Set("X-Killswitch-Drill", drill)
	resp, err := http.DefaultClient.Do(req)
	s.must(err)
	s.must(resp.Body.Close())
	return resp.StatusCode
}

// killswitchEvent runs `killswitch event` with a file.
func (s *scene) killswitchEvent(key, file string) (out string, err error) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), Setting(s.t, "KILLSWITCH"), "event", file, "--url", "http://"+s.addr, "--config", s.config())
	cmd.Env = append(os.Environ(), "KILLSWITCH_API_KEY="+key)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// TestEvents: serve takes events of who has a key that may, once, also across
// its own death; a drill stays apart.
func TestEvents(t *testing.T) {
	t.Parallel()
	s := newScene(t, withEvents)
	finding := s.sample("guardduty_iam_persistence-akia.json")
	for key, want := range map[string]int{"": 401, "guessed": 401, "soar-key": 401} {
		if got := s.brings(key, "", finding); got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
	if out, err := s.killswitchEvent("guessed", samples+"guardduty_iam_root.json"); err == nil || !strings.Contains(out, "401") {
		t.Errorf("a guessed key: %v %s", err, out)
	}
	if out, err := s.killswitchEvent("hook-key", samples+"guardduty_iam_exfil-outside.json"); err != nil || !strings.Contains(out, "with revoke_sessions") {
		t.Errorf("a drill: %v %s", err, out)
	}
	s.slack.Await(t, channel, "the drill's card", func(m Message) bool { return strings.HasPrefix(m.Text, "[DRILL] high") })
	if got := s.brings("hook-key", "", finding); got != http.StatusOK {
		t.Fatalf("an event: %d", got)
	}
	s.bot.Kill() // what was acknowledged is kept
	s.start()
	s.slack.Await(t, channel, "the card", func(m Message) bool { return strings.HasPrefix(m.Text, "medium") })
	if got := s.brings("hook-key", "", finding); got != http.StatusOK {
		t.Fatalf("the event again: %d", got)
	}
	if got := s.brings("hook-key", "", s.sample("hostile_array_two-events.json")); got != http.StatusOK {
		t.Fatalf("an array: %d", got)
	}
	s.slack.Await(t, channel, "another card", func(m Message) bool {
		return strings.HasPrefix(m.Text, "high") && strings.Contains(m.Text, "InsideAWS")
	})
	if n := s.count("medium"); n != 1 {
		t.Errorf("%d cards of one finding", n)
	}
	if out := s.bot.Output(); strings.Contains(out, "hook-key") || strings.Contains(out, "soar-key") || strings.Contains(out, "ci-build") {
		t.Errorf("a key or a body is logged:\n%s", out)
	}
}
