package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// desk is a running Killswitch without Slack, and people at the command line.
type desk struct {
	t      *testing.T
	aws    *awsfake.Cloud
	file   string
	url    string
	meddle func(*local.Reply) // between server and client
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, aws: awsfake.New(time.Now)}
	text, err := os.ReadFile("../../docs/killswitch.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d.file = filepath.Join(t.TempDir(), "killswitch.yaml")
	quick := strings.Replace(string(text), "{id: carol, name: Carol Clark,    slack: U03CAROL,", `{id: carol, name: Carol Clark, slack: U03CAROL, iam: ["arn:aws:iam::111111111111:user/carol"],`, 1)
	if err := os.WriteFile(d.file, []byte(quick), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(d.file)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "carol"} {
		d.aws.Account(awsfake.HubAccount).AddUser(awsfake.User{Name: name, Keys: []awsfake.AccessKey{{ID: "AKIA0000000000" + strings.ToUpper(name)}}})
	}
	d.aws.Member("222222222222", awsfake.MemberRoles{Responder: c.Org.ResponderRole, Restorer: c.Org.RestorerRole, ExternalID: c.Org.ExternalID,
		ResponderPolicy: all.MemberPolicy(actions.Responder, c.Org, false), RestorerPolicy: all.MemberPolicy(actions.Restorer, c.Org, false)})
	d.aws.Account("222222222222").AddRole(awsfake.Role{Name: "app"})
	silent := httptest.NewServer(http.NotFoundHandler()) // Slack is down
	t.Cleanup(silent.Close)
	zones := local.New(local.Environment{Config: c, SigningSecret: "s", BotToken: "xoxb-test", SlackAPI: silent.URL + "/", AWS: d.aws.Config(),
		STS: &http.Client{Transport: d.aws.STS()}, Now: time.Now, Sleep: approvals.Sleep, Log: slog.New(slog.DiscardHandler)}, local.InMemory(time.Now))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if d.meddle == nil {
			zones.CommandLine.ServeHTTP(w, req)
			return
		}
		rec := httptest.NewRecorder()
		zones.CommandLine.ServeHTTP(rec, req)
		var reply local.Reply
		if err := json.Unmarshal(rec.Body.Bytes(), &reply); err != nil {
			t.Error(err)
		}
		d.meddle(&reply)
		w.WriteHeader(rec.Code)
		_ = json.NewEncoder(w).Encode(reply)
	}))
	t.Cleanup(server.Close)
	d.url = server.URL
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { zones.Run(ctx) })
	t.Cleanup(func() { stop(); wg.Wait() })
	return d
}

// says runs a command as a person, who answers questions.
func (d *desk) says(who, answer string, args ...string) (code int, out, errout string) {
	d.t.Helper()
	d.t.Setenv("AWS_ACCESS_KEY_ID", "AKIA0000000000"+strings.ToUpper(who))
	d.t.Setenv("AWS_SECRET_ACCESS_KEY", d.aws.KeySession("AKIA0000000000"+strings.ToUpper(who)).Credentials().SecretAccessKey)
	d.t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	env := map[string]string{"KILLSWITCH_CONFIG": d.file, "KILLSWITCH_SERVER": d.url, "AWS_REGION": "eu-west-1"}
	var o, e strings.Builder
	code = run(d.t.Context(), program{args: args, env: func(k string) string { return env[k] }, in: strings.NewReader(answer + "\n"), out: &o, errout: &e})
	return code, o.String(), e.String()
}

var anID = regexp.MustCompile(`KS-[0-9A-Z]{12}`)

// TestAtTheDesk: people contain and take back while Slack does not answer.
func TestAtTheDesk(t *testing.T) {
	d := newDesk(t)
	if code, out, errout := d.says("alice", "no", "request", "revoke_sessions", "prod/app", "--reason", "keys on a paste site"); code != exitNo || !strings.Contains(errout, "nothing was done") {
		t.Fatalf("she does not want it: %d %s %s", code, out, errout)
	}
	code, out, errout := d.says("alice", "yes", "request", "revoke_sessions", "prod/app", "--reason", "keys on a paste site", "--output", "json")
	var asked struct {
		ID string `json:"request_id"`
	}
	if code != exitDone || json.Unmarshal([]byte(out), &asked) != nil || !anID.MatchString(asked.ID) {
		t.Fatalf("%d %s %s", code, out, errout)
	}
	id := asked.ID
	if code, out, errout := d.says("alice", "yes", "approve", id); code != exitNo || !strings.Contains(out, "asked for this yourself") {
		t.Errorf("her own approval: %d %s %s", code, out, errout)
	}
	if code, out, errout := d.says("alice", "", "approve", id, "--break-glass", "222222222222", "--reason", "nobody answers"); code != exitNo || !strings.Contains(out, "break_glass is off") || strings.Contains(errout, "[yes/no]") {
		t.Errorf("alone: %d %s %s", code, out, errout)
	}
	d.meddle = func(r *local.Reply) { // a hostile server shows another call
		if r.Shown != nil && r.Shown.Planned != nil {
			r.Shown.Planned.Intent.Call.Target = "arn:aws:iam::222222222222:role/harmless"
		}
	}
	if code, out, errout := d.says("carol", "yes", "approve", id); code != exitNo || !strings.Contains(errout, "role/harmless") || !strings.Contains(out, "not what") {
		t.Errorf("a hostile server: %d %s %s", code, out, errout)
	}
	d.meddle = nil
	if code, out, errout := d.says("carol", "yes", "approve", id); code != exitDone || !strings.Contains(errout, "Why (alice): keys on a paste site") {
		t.Fatalf("%d %s %s", code, out, errout)
	}
	if code, out, _ := d.says("alice", "", "watch", id); code != exitDone || !strings.Contains(out, "contained") {
		t.Errorf("watch: %d %s", code, out)
	}
	if ok, _ := d.aws.Session("arn:aws:iam::222222222222:role/app", "s").Can("s3:GetObject", "arn:aws:s3:::b/k"); ok {
		t.Error("the role is not contained")
	}
	if code, out, _ := d.says("alice", "", "list"); code != exitDone || !strings.Contains(out, id) || !strings.Contains(out, "contained") {
		t.Errorf("list: %d %s", code, out)
	}
	if code, out, _ := d.says("alice", "", "show", id, "--output", "json"); code != exitDone || !strings.Contains(out, `"contained"`) {
		t.Errorf("show: %d %s", code, out)
	}
	code, out, errout = d.says("carol", "yes", "undo", id, "rotated")
	undo := anID.FindString(out)
	if code != exitDone || undo == "" || undo == id {
		t.Fatalf("undo: %d %s %s", code, out, errout)
	}
}

// TestWrongAtTheDesk: what is wrong is told with what to do, and exits as the contract says.
func TestWrongAtTheDesk(t *testing.T) {
	d := newDesk(t)
	for _, tt := range []struct {
		who, args, want string
		code            int
	}{
		{"alice", "request revoke_session prod/app --reason x", "did you mean revoke_sessions", exitUsage},
		{"alice", "request revoke_sessions prod/app", "reason", exitUsage},
		{"alice", "request apply_scp 111111111111 --reason x", "Killswitch itself runs in", exitNo},
		{"alice", "approve KS-0000000000AA", "there is no request", exitNo},
		{"alice", "approve 12", "request", exitUsage},
		{"alice", "show", "not a request ID", exitUsage},
		{"alice", "show 4G7QX2M9ZT0B", "say instead: killswitch show KS-4G7QX2M9ZT0B", exitUsage},
		{"alice", "cancel KS-4G7QX2M9ZT0B KS-4G7QX2M9ZT0C", "takes only a request ID", exitUsage},
		{"alice", "deny KS-4G7QX2M9ZT0B " + strings.Repeat("x", 2000), "the limit is", exitUsage},
		{"alice", "approve KS-0000000000AA --break-glass prod --reason x", "12 digits", exitUsage},
		{"alice", "approve KS-0000000000AA --break-glass 222222222222", "wants --reason", exitUsage},
		{"alice", "deny KS-0000000000AA --break-glass 222222222222", "flag provided but not defined", exitUsage},
		{"alice", "list --output xml", "text or json", exitUsage},
		{"alice", "list --server ftp://x", "--server is not like", exitUsage},
		{"alice", "list --queue https://x", "say --server URL, or --queue URL", exitUsage},
	} {
		if code, out, errout := d.says(tt.who, "yes", strings.Fields(tt.args)...); code != tt.code || !strings.Contains(out+errout, tt.want) {
			t.Errorf("%s: %d %s %s", tt.args, code, out, errout)
		}
	}
	d.aws.Account(awsfake.HubAccount).AddUser(awsfake.User{Name: "mallory", Keys: []awsfake.AccessKey{{ID: "AKIA0000000000MALLORY"}}})
	for _, args := range []string{"list", "request revoke_sessions prod/app --reason x"} {
		if code, out, errout := d.says("mallory", "yes", strings.Fields(args)...); code != exitNo || !strings.Contains(out+errout, "nobody of people[].iam") {
			t.Errorf("a stranger, %s: %d %s %s", args, code, out, errout)
		}
	}
	for path, want := range map[string]int{"": http.StatusBadRequest, "{}": http.StatusBadRequest, strings.Repeat("x", 40<<10): http.StatusRequestEntityTooLarge} {
		resp, err := http.Post(d.url+"/cli", "application/json", strings.NewReader(path))
		if err != nil || resp.StatusCode != want {
			t.Errorf("%.10s: %v %v", path, resp, err)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
	}
}

// TestNoTextSteersTheTerminal: a hostile server's words are shown without what a terminal obeys.
func TestNoTextSteersTheTerminal(t *testing.T) {
	d := newDesk(t)
	_, out, _ := d.says("alice", "yes", "request", "revoke_sessions", "prod/app", "--reason", "keys on a paste site", "--output", "json")
	id := anID.FindString(out)
	const steers = "\x1b]0;owned\x07\u009b2J\u202e"
	d.meddle = func(r *local.Reply) {
		r.Error, r.Answer = steers, steers
		if r.Shown != nil {
			r.Shown.Request.State, r.Shown.Request.Cause = approvals.State("denied"+steers), steers
			r.Shown.Request.Reason, r.Shown.Request.Intent.Call.Target = steers, steers
			if r.Shown.Planned != nil {
				r.Shown.Planned.Reason, r.Shown.Planned.Person, r.Shown.Planned.Plan.Warnings = steers, steers, []string{steers}
			}
		}
		for i := range r.Listed {
			r.Listed[i].Request.State = steers
		}
	}
	for _, args := range []string{"show " + id, "watch " + id, "approve " + id, "list", "deny " + id, "undo " + id} {
		if _, out, errout := d.says("carol", "yes", strings.Fields(args)...); strings.ContainsAny(out+errout, "\x1b\x07\u009b\u202e") {
			t.Errorf("%s: %q %q", args, out, errout)
		}
	}
}

// TestBarIsDrawnAnew: in a terminal a state has one line, which goes on.
func TestBarIsDrawnAnew(t *testing.T) {
	if got := drawn(false, "running "+bar(1, 4)) + drawn(true, "running "+bar(2, 4)); got != "running [#####...............]\n\x1b[1A\r\x1b[Krunning [##########..........]\n" {
		t.Errorf("%q", got)
	}
	if isTerminal(&strings.Builder{}) {
		t.Error("a buffer is no terminal")
	}
}
