package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// edit replaces texts that occur once: old, new, old, new.
func edit(t testing.TB, text string, edits ...string) string {
	t.Helper()
	for i := 0; i < len(edits); i += 2 {
		if n := strings.Count(text, edits[i]); n != 1 {
			t.Fatalf("%q occurs %d times", edits[i], n)
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	return text
}

// places are what the tests compare: lines and fields, not prose.
func places(t *testing.T, err error) []string {
	t.Helper()
	var problems Problems
	if err != nil && !errors.As(err, &problems) {
		t.Fatalf("error %T: %v", err, err)
	}
	var ss []string
	for _, p := range problems {
		ss = append(ss, strings.TrimSpace(fmt.Sprintf("%d %s", p.Line, p.Field)))
	}
	return ss
}

func TestWrongFilesNameTheField(t *testing.T) {
	for _, row := range wrong {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("killswitch.yaml", []byte(edit(t, example(t), row.edits...)), beside)
			if diff := cmp.Diff(row.want, places(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

func TestRightFilesHaveNoProblem(t *testing.T) {
	for name, edits := range map[string][]string{
		"no command channels":          {"  command_channels: [C01INC]", "  "},
		"quoted keys":                  {"  team: T01ACME", `  "team": 'T01ACME'`},
		"auto with what is gentle":     {"delivery: propose", "delivery: auto"},
		"a dated external ID":          {"external_id: 4b3c2a1f", "external_id: 2026-01-02"},
		"an SCP from a file":           {"{builtin: freeze} ", "{file: scps/freeze.json} "},
		"a user in a path":             {"user/alice", "user/security/alice"},
		"a protected user":             {"*:role/break-glass", "123456789012:user/ops/break-glass"},
		"longest and shortest":         {"approve_within: 30m, run_within: 5m", "approve_within: 24h, run_within: 60s"},
		"no protected, hub not listed": {`["111111111111"]`, "[]"},
		"asked for by others":          {"requesters: responders", "requesters: callers", "groups:\n", "groups:\n  callers: {people: [carol]}\n"},
		"Windows line ends":            {"\nslack:\n", "\r\nslack:\r\n"},
	} {
		if _, err := Parse("x.yaml", []byte(edit(t, example(t), edits...)), beside); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTenProblemsAtOnce(t *testing.T) {
	_, err := Parse("killswitch.yaml", []byte(edit(t, example(t),
		"team: T01ACME", "team: acme",
		"U02BOB", "U01ALICE",
		"[alice, bob, carol]", "[alice, bob, carl]",
		`"333333333333"`, `"222222222222"`,
		"approve_within: 30m", "approve_within: 30s",
		"delete_role: {approvals: 2}", "delete_role: {approvals: 3}",
		"require_sts_vote: false", "require_sts_vote: maybe",
		"approvals: 0", "approval: 0",
		"source: health", "source: heath",
		"id: eventbridge", "id: soar",
	)), beside)
	want := []string{
		"3 slack.team", "9 people[1].slack", "14 groups.responders.people[2]", "24 aws.accounts.sandbox",
		"31 policy.default.approve_within", "34 policy.actions.delete_role.approvals", "36 policy.actions.apply_scp.require_sts_vote",
		"53 alerts.routes[1].approval", "61 alerts.routes[7].match.source", "66 webhooks[1].id",
	}
	if diff := cmp.Diff(want, places(t, err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s\n%v", diff, err)
	}
	for i, line := range strings.Split(err.Error(), "\n") {
		if !strings.HasPrefix(line, "killswitch.yaml:"+strings.Replace(want[i], " ", ": ", 1)+": ") {
			t.Errorf("line %d of the message: %s", i, line)
		}
	}
}

func TestInvalidYAMLNamesTheLine(t *testing.T) {
	for _, row := range notYAML {
		t.Run(row.name, func(t *testing.T) {
			start := time.Now()
			_, err := Parse("killswitch.yaml", []byte(row.text), beside)
			if got := places(t, err); !slices.Contains(got, row.want) {
				t.Errorf("problems %.300q, want among them %q", got, row.want)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestHints(t *testing.T) {
	for _, row := range []struct{ name, old, new, hint string }{
		{"key", "incident_channel", "incident_chanel", "incident_channel"},
		{"key that begins alike", "name: Carol", "nam: Carol", "mean name"},
		{"tab", "\nslack:\n  team", "\nslack:\n\tteam", "spaces"},
		{"action in policy", "delete_role: {", "delete_rol: {", "delete_role"},
		{"group", "requesters: responders", "requesters: responder", "responders"},
		{"person", "bob, carol]", "bob, carlo]", "carol"},
		{"value", "iam-only", "iamonly", "iam-only"},
		{"number for text", `"111111111111"` + "\n  management", "111111111111\n  management", "quotes"},
		{"pattern", "[C01INC]        #", "[incidents]     #", "C0123ABCD"},
		{"numbers", "delete_role: {approvals: 2}", "delete_role: {approvals: 3}", "responders"},
	} {
		_, err := Parse("x", []byte(edit(t, example(t), row.old, row.new)), beside)
		var problems Problems
		if !errors.As(err, &problems) || !strings.Contains(problems[0].Hint+problems[len(problems)-1].Hint, row.hint) {
			t.Errorf("%s: no hint of %q:\n%v", row.name, row.hint, err)
		}
	}
}

func TestUnsatisfiableNamesThePersonAndTheNumbers(t *testing.T) {
	_, err := Parse("x", []byte(edit(t, example(t), "approvals: 1, approve_within", "approvals: 3, approve_within")), beside)
	for _, word := range []string{"alice", "3", "2"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in: %v", word, err)
		}
	}
}

func TestSecretsAreNotRepeated(t *testing.T) {
	for name, token := range map[string]string{
		"bot":    "xoxb-" + "1234567890-abcdefghij",
		"app":    "xapp-" + "1-A0123-abcdefghij",
		"key":    "AKIA" + "ABCDEFGHIJKLMNOP",
		"PEM":    "-----BEGIN" + " RSA PRIVATE KEY-----MIIEabcdefghij",
		"broken": "xoxb-" + "1234567890-abcdefghij\n\t- [",
	} {
		for where, edits := range map[string][]string{
			"value":       {"external_id: 4b3c2a1f", "external_id: " + token},
			"of a list":   {"[alice, bob, carol]", "[alice, bob, carol, '" + token + "']"},
			"key":         {"retention: 400d", "retention: 400d\n'" + token + "': 1"},
			"in a map":    {"  responders:\n", "  '" + token + "':\n"},
			"comment":     {"# aliases for typing", "# " + token},
			"anchor":      {"external_id: 4b3c2a1f", "external_id: *" + token},
			"block":       {"external_id: 4b3c2a1f", "external_id: |\n    " + token},
			"group asked": {"requesters: responders", "requesters: '" + token + "'"},
		} {
			_, err := Parse("x", []byte(edit(t, example(t), edits...)), beside)
			if err == nil {
				t.Errorf("%s as %s: accepted", name, where)
			} else if strings.Contains(err.Error(), token[5:14]) || strings.Contains(err.Error(), "abcdefghij") {
				t.Errorf("%s as %s is repeated: %v", name, where, err)
			}
		}
	}
}
