package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/bot"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

const samples = "../../approvals/finding/testdata/events/"

// newServe is what serve runs, without its pumps: what is accepted stays in the
// queues.
func newServe(t *testing.T) (url string, queues local.Backends) {
	t.Helper()
	c, err := config.Load(filepath.Join("..", "..", "docs", "killswitch.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	queues = local.InMemory(time.Now)
	zones := local.New(local.Environment{
		Config: c, SigningSecret: "s", BotToken: "xoxb-test", WebhookKeys: "eventbridge=hook-key,soar=soar-key",
		AWS: awsfake.New(time.Now).Config(), Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}, queues)
	server := httptest.NewServer(zones.Ingress)
	t.Cleanup(server.Close)
	return server.URL, queues
}

// TestEventIsSentAsADrill: what is sent is on the queue, marked as a drill of its own.
func TestEventIsSentAsADrill(t *testing.T) {
	url, queues := newServe(t)
	env := map[string]string{"KILLSWITCH_API_KEY": "hook-key"}
	names := map[string]bool{}
	for _, args := range []string{
		samples + "guardduty_iam_persistence-akia.json",
		samples + "hostile_array_two-events.json --output json",
		"-",
	} {
		sent, err := os.ReadFile(samples + "guardduty_iam_root.json")
		if file := strings.Fields(args)[0]; file != "-" {
			sent, err = os.ReadFile(file)
		}
		if err != nil {
			t.Fatal(err)
		}
		var out, errout bytes.Buffer
		code := run(t.Context(), program{args: append([]string{"event", "--url", url}, strings.Fields(args)...), env: func(k string) string { return env[k] }, in: bytes.NewReader(sent), out: &out, errout: &errout})
		if code != exitDone || errout.Len() > 0 {
			t.Fatalf("%s: exit %d: %s", args, code, &errout)
		}
		d, ok, err := queues.Webhooks.Receive(t.Context(), time.Minute)
		if err != nil || !ok {
			t.Fatalf("%s: nothing on the queue: %v", args, err)
		}
		var w bot.Webhook
		if err := json.Unmarshal(d.Body, &w); err != nil {
			t.Fatal(err)
		}
		if w.ID != "eventbridge" || w.Path != "/events" || w.Body != string(sent) || !regexp.MustCompile(`^drill-[a-z0-9]{13}$`).MatchString(w.Drill) || names[w.Drill] {
			t.Errorf("%s: on the queue: webhook %s, path %s, drill %s, %d bytes", args, w.ID, w.Path, w.Drill, len(w.Body))
		}
		names[w.Drill] = true
		if !strings.Contains(out.String(), w.Drill) {
			t.Errorf("%s: the drill's name is not told: %s", args, &out)
		}
		if strings.Contains(args, "json ") {
			var report drill
			if err := json.Unmarshal(out.Bytes(), &report); err != nil || report.Name != w.Drill || report.Events != 2 || report.URL != url+"/events" {
				t.Errorf("report: %v %s", err, &out)
			}
		}
	}
}

// TestEventTellsItsRoute: with a configuration it says what becomes of each event.
func TestEventTellsItsRoute(t *testing.T) {
	url, _ := newServe(t)
	for sample, want := range map[string]string{
		"guardduty_iam_persistence-akia.json":       "event 1: guardduty Persistence:IAMUser/AnomalousBehavior (medium) is posted with deactivate_key AKIACIBUILDA2EXAMPLE",
		"hostile_array_two-events.json":             "event 2: trustedadvisor Exposed Access Keys (high) is posted in C01INC with deactivate_key",
		"guardduty_iam_root.json":                   "event 1: guardduty Policy:IAMUser/RootCredentialUsage (low) is posted with deny_principal",
		"cloudtrail_stoplogging_user.json":          "event 1: cloudtrail StopLogging (high) is posted with quarantine_user arn:aws:iam::222222222222:user/build-7, deactivate_key",
		"cloudtrail_createprofile_role.json":        "event 1: cloudtrail AssumedRole:CreateProfile (high) is posted with revoke_sessions",
		"cloudtrail_createaccesskey_denied.json":    "event 1: cloudtrail Denied:CreateAccessKey (low) no route takes it",
		"guardduty_iam_archived.json":               "event 1: ignored: archived",
		"trustedadvisor_exposedkeys_status-ok.json": "is over",
		"guardduty_ec2_pascalcase-negative.json":    "event 1: event can't be read: detail.type is missing",
	} {
		code, out, errout := call(t, map[string]string{"KILLSWITCH_API_KEY": "hook-key"}, "event", samples+sample, "--url", url, "--config", "../../docs/killswitch.example.yaml")
		if code != exitDone || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, said %s%s, want %s", sample, code, out, errout, want)
		}
	}
}

// TestEventErrorsHaveAHint: what goes wrong is said, with what to do.
func TestEventErrorsHaveAHint(t *testing.T) {
	url, queues := newServe(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved/events":
			http.Redirect(w, r, url+"/events", http.StatusTemporaryRedirect)
		case "/small/events":
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case "/odd/events":
			http.Error(w, "try \x1b[2Jagain", http.StatusServiceUnavailable)
		default:
			http.NotFound(w, r)
		}
	}))
	defer other.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	_ = l.Close()
	large := filepath.Join(t.TempDir(), "large.json")
	if err := os.WriteFile(large, []byte(`"`+strings.Repeat("x", 256<<10)+`"`), 0o600); err != nil {
		t.Fatal(err)
	}
	const sample = samples + "guardduty_iam_root.json"
	for name, c := range map[string]struct {
		key, args string
		code      int
		says      string
	}{
		"unknown key":      {"guessed", sample + " --url " + url, 1, "KILLSWITCH_WEBHOOK_KEYS"},
		"may not":          {"soar-key", sample + " --url " + url, 1, "events: true"},
		"no key":           {"", sample + " --url " + url, 1, "KILLSWITCH_API_KEY must be set"},
		"nobody listens":   {"hook-key", sample + " --url " + nobody, 1, "is killswitch serve running"},
		"another server":   {"hook-key", sample + " --url " + other.URL, 1, "no Killswitch"},
		"a redirect":       {"hook-key", sample + " --url " + other.URL + "/moved", 1, "307"},
		"too large there":  {"hook-key", sample + " --url " + other.URL + "/small", 1, "256 KiB"},
		"in trouble":       {"hook-key", sample + " --url " + other.URL + "/odd", 1, "503 Service Unavailable: try  [2Jagain"},
		"too large":        {"hook-key", large + " --url " + url, 1, "256 KiB"},
		"not JSON":         {"hook-key", samples + "hostile_truncated_guardduty.bin --url " + url, 1, "not JSON"},
		"no such file":     {"hook-key", "none.json --url " + url, 1, "no such file"},
		"no file":          {"hook-key", "--url " + url, 2, "name one file"},
		"two files":        {"hook-key", sample + " " + sample, 2, "name one file"},
		"output":           {"hook-key", sample + " --output yaml", 2, "text or json"},
		"URL without http": {"hook-key", sample + " --url 127.0.0.1:8080", 2, "--url"},
		"URL with a name":  {"hook-key", sample + " --url http://a:b@127.0.0.1", 2, "--url"},
		"configuration":    {"hook-key", sample + " --config none.yaml --url " + url, 1, "none.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errout := call(t, map[string]string{"KILLSWITCH_API_KEY": c.key}, append([]string{"event"}, strings.Fields(c.args)...)...)
			if code != c.code || !strings.Contains(errout, c.says) || out != "" {
				t.Errorf("exit %d, said %q %q; want %d and %q", code, out, errout, c.code, c.says)
			}
			if c.key != "" && strings.Contains(errout, c.key) {
				t.Errorf("the key is shown: %s", errout)
			}
		})
	}
	if d, ok, err := queues.Webhooks.Receive(t.Context(), time.Minute); ok || err != nil {
		t.Errorf("queued: %s %v", d.Body, err)
	}
}
