package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// call runs the command line in a world of its own.
func call(t *testing.T, env map[string]string, args ...string) (code int, out, errout string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), program{args: args, env: func(k string) string { return env[k] }, out: &o, errout: &e})
	return code, o.String(), e.String()
}

// TestPolicyOfTheManagementAccount: Organizations alone.
func TestPolicyOfTheManagementAccount(t *testing.T) {
	for _, role := range []string{"responder", "restorer"} {
		_, member, _ := call(t, nil, "policy", role)
		_, organizations, _ := call(t, nil, "policy", role, "--organizations")
		if !strings.Contains(member, `"iam:`) || strings.Contains(member, `"organizations:`) || strings.Contains(organizations, `"iam:`) || !strings.Contains(organizations, `"organizations:`) {
			t.Errorf("%s: %s %s", role, member, organizations)
		}
	}
}

// TestExitCodes: 0 done, 1 refused or failed, 2 wrong usage; what is wrong is said.
func TestExitCodes(t *testing.T) {
	example := filepath.Join("..", "..", "docs", "killswitch.example.yaml")
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("slack: {team: nope}\nunknown: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "socket.yaml")
	if err := os.WriteFile(socket, bytes.Replace(text, []byte("  team:"), []byte("  socket_mode: true\n  team:"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{"SLACK_SIGNING_SECRET": "s", "SLACK_BOT_TOKEN": "t"}
	withApp := map[string]string{"SLACK_SIGNING_SECRET": "s", "SLACK_BOT_TOKEN": "t", "SLACK_APP_TOKEN": "a"}
	for name, c := range map[string]struct {
		env  map[string]string
		args string
		code int
		says string
	}{
		"nothing":              {code: 2, says: "killswitch serve"},
		"help":                 {args: "help", code: 0, says: "killswitch serve"},
		"unknown":              {args: "contain", code: 2, says: "is not a command"},
		"version":              {args: "version", code: 0, says: runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH},
		"version by a flag":    {args: "--version", code: 0, says: "killswitch "},
		"version for programs": {args: "version --output json", code: 0, says: `"platform":"` + runtime.GOOS + "/" + runtime.GOARCH + `"`},
		"version of what":      {args: "version killswitch", code: 2, says: "nothing else"},
		"valid":                {args: "validate " + example, code: 0, says: "is valid"},
		"valid, for programs":  {args: "validate --output json " + example, code: 0, says: `"problems": []`},
		"broken":               {args: "validate " + broken, code: 1, says: "broken.yaml:2: unknown"},
		"broken, for programs": {args: "validate " + broken + " --output json", code: 1, says: `"line": 2`},
		"template":             {args: "template members --config " + example, code: 0, says: "Default: \"999999999999\""},
		"tamper protection":    {args: "template organization", code: 0, says: "KillswitchContained"},
		"template of what":     {args: "template", code: 2, says: "say members"},
		"template not there":   {args: "template hub", code: 2, says: "say members, organization or hub-role"},
		"template, bad config": {args: "template members --config " + broken, code: 1, says: "unknown"},
		"no file":              {args: "validate", code: 2, says: "name one"},
		"bad flag":             {args: "validate --nope", code: 2, says: "usage"},
		"demo of what":         {args: "demo more", code: 2, says: "--script"},
		"demo nowhere":         {args: "demo --listen nowhere.invalid:1", code: 1, says: "another --listen"},
		"serve without flags":  {env: secrets, args: "serve", code: 2, says: "--config and --data"},
		"serve, no secrets":    {args: "serve --config " + example + " --data " + t.TempDir(), code: 1, says: "SLACK_SIGNING_SECRET"},
		"serve, --url is none": {env: secrets, args: "serve --url killswitch.example.com --config " + example + " --data " + t.TempDir(), code: 2, says: "--url is not an address"},
		"serve, no app token":  {env: secrets, args: "serve --socket-mode --config " + example + " --data " + t.TempDir(), code: 1, says: "SLACK_APP_TOKEN"},
		"serve, no socket mode in the configuration": {env: withApp, args: "serve --socket-mode --config " + example + " --data " + socket + "/data", code: 1, says: "set slack.socket_mode: true"},
		"serve, socket mode":                         {env: withApp, args: "serve --socket-mode --config " + socket + " --data " + socket + "/data", code: 1, says: "not a directory"},
		"serve, socket mode allowed and not used":    {env: secrets, args: "serve --config " + socket + " --data " + socket + "/data", code: 1, says: "not a directory"},
		"serve, bad keys":                            {env: map[string]string{"SLACK_SIGNING_SECRET": "s", "SLACK_BOT_TOKEN": "t", "KILLSWITCH_WEBHOOK_KEYS": "soar=a,b"}, args: "serve --config " + example + " --data " + t.TempDir(), code: 1, says: "KILLSWITCH_WEBHOOK_KEYS in the environment: webhook keys: entry 2"},
		"serve, bad config":                          {env: secrets, args: "serve --config " + broken + " --data " + t.TempDir(), code: 1, says: "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errout := call(t, c.env, strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(out+errout, c.says) {
				t.Errorf("exit %d, said %q%q; want %d and %q", code, out, errout, c.code, c.says)
			}
		})
	}
}

// TestDemoStoryChecksItself: the story is a check of itself.
func TestDemoStoryChecksItself(t *testing.T) {
	code, out, errout := call(t, nil, "demo", "--script")
	if code != 0 || !strings.Contains(out, "byte for byte, as it was before") {
		t.Errorf("exit %d: %s\n%s", code, errout, out)
	}
}

func TestSecretIsNotShown(t *testing.T) {
	s := secret("xoxb-very-secret")
	b, err := s.MarshalJSON()
	if err != nil || strings.Contains(s.String()+s.GoString()+s.LogValue().String()+string(b), "very") {
		t.Errorf("%s %#v %s", s, s, b)
	}
}

// TestHelpOfEachCommand says how it is called, what it does, and its flags.
func TestHelpOfEachCommand(t *testing.T) {
	for _, c := range subcommands() {
		for _, args := range [][]string{{"help", c.name}, {c.name, "--help"}} {
			code, out, errout := call(t, nil, args...)
			if code != exitDone || errout != "" || !strings.HasPrefix(out, "killswitch "+c.name) || !strings.Contains(out, c.summary) {
				t.Errorf("%v: %d %s%s", args, code, out, errout)
			}
		}
	}
}
