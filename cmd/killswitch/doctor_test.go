package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/cmd/doctor"
)

// TestDoctorBeginsWithTheConfiguration: without a valid one nothing else is looked at, and it is a finding like others.
func TestDoctorBeginsWithTheConfiguration(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("slack: {team: nope}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, mend := range map[string]string{broken: "killswitch validate " + broken, broken + ".not": "killswitch init"} {
		code, out, _ := call(t, nil, "doctor", "--config", file, "--output", "json")
		var results []doctor.Result
		if err := json.Unmarshal([]byte(out), &results); code != exitNo || err != nil || len(results) != 1 {
			t.Fatalf("%s: exit %d, %v, %s", file, code, err, out)
		}
		if r := results[0]; r.Check != "configuration" || r.OK || r.Found == "" || !strings.Contains(r.Mend, mend) {
			t.Errorf("%s: %+v", file, r)
		}
	}
	for _, args := range []string{"", "--config x --output xml", "--config x y"} {
		if code, _, errout := call(t, nil, append([]string{"doctor"}, strings.Fields(args)...)...); code != exitUsage || !strings.Contains(errout, "usage: killswitch doctor") {
			t.Errorf("%s: exit %d, %s", args, code, errout)
		}
	}
}

// TestDoctorWithoutAnything: where AWS and Slack answer nothing that helps, each check says so, in lines for people,
// none of which can be written by who answers.
func TestDoctorWithoutAnything(t *testing.T) {
	nobody := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			_, _ = w.Write([]byte(`{"ok":false,"error":"account_inactive\u001b[2J\nok    slack.token: well"}`))
			return
		}
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer nobody.Close()
	for k, v := range map[string]string{"AWS_ENDPOINT_URL": nobody.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_MAX_ATTEMPTS": "1"} {
		t.Setenv(k, v)
	}
	env := map[string]string{"SLACK_API_URL": nobody.URL + "/api/", "SLACK_BOT_TOKEN": "xoxb-1234"}
	code, out, _ := call(t, env, "doctor", "--config", filepath.Join("..", "..", "docs", "killswitch.example.yaml"), "--url", nobody.URL)
	if code != exitNo || strings.Contains(out, "\x1b") || strings.Contains(out, "\nok    slack.token") || strings.Contains(out, "xoxb-1234") {
		t.Errorf("exit %d: %q", code, out)
	}
	for _, want := range []string{"FAIL  hub.credentials: ", "FAIL  management.credentials: ", "FAIL  hub.stack: ", "FAIL  slack.token: ", "FAIL  address.slack: ", "FAIL  member.look: ", "      do: "} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}
