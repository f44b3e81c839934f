package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/scp"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

const examplePath = "testdata/killswitch.example.yaml"

func example(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestAuditBucket: its region and account may be left out.
func TestAuditBucket(t *testing.T) {
	for line, want := range map[string]Bucket{
		"":                                  {},
		"audit: {bucket: killswitch.heads}": {Name: "killswitch.heads"},
		`audit: {bucket: heads, region: eu-west-1, account: "444444444444"}`: {Name: "heads", Region: "eu-west-1", Account: "444444444444"},
	} {
		if c, err := Parse("x", []byte(example(t)+line), nil); err != nil || c.AuditBucket != want {
			t.Errorf("%s: %+v, %v", line, c.AuditBucket, err)
		}
	}
}

func TestExample(t *testing.T) {
	got, err := Load(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	entry := approvals.ActionPolicy{Requesters: "responders", Approvers: "responders", Approvals: 1, ApproveWithin: 30 * time.Minute, RunWithin: 5 * time.Minute}
	two, units := entry, entry
	two.Approvals, units.Approvals = 2, 2 // two are left when one of three asks
	want := Config{
		Team:            "T01ACME",
		IncidentChannel: "C01INC",
		CommandChannels: []string{"C01INC"},
		Org: actions.Org{
			Actions:             all.Actions,
			Partition:           "aws",
			HubAccount:          "111111111111",
			ManagementAccount:   "999999999999",
			ResponderRole:       "killswitch-responder",
			RestorerRole:        "killswitch-restorer",
			ExternalID:          "4b3c2a1f",
			Regions:             []string{"us-east-1", "eu-west-1"},
			AdminGroup:          "admins",
			Accounts:            map[string]string{"prod": "222222222222", "sandbox": "333333333333"},
			ProtectedAccounts:   []string{"111111111111"},
			ProtectedPrincipals: []string{"arn:aws:iam::*:role/break-glass"},
			IdentityAccounts:    []string{"111111111111"},
		},
		Policy: approvals.Policy{
			Roster: approvals.Roster{
				People: []approvals.Person{
					{ID: "alice", Name: "Alice Anderson", Slack: "U01ALICE", IAM: []string{"arn:aws:iam::111111111111:user/alice"}},
					{ID: "bob", Name: "Bob Brown", Slack: "U02BOB", IAM: []string{"arn:aws:sts::111111111111:assumed-role/AWSReservedSSO_IR_0123456789abcdef/bob@example.com"}},
					{ID: "carol", Name: "Carol Clark", Slack: "U03CAROL", Principals: []string{"sso:carol@example.com"}},
				},
				Groups: map[string][]string{"responders": {"alice", "bob", "carol"}},
			},
			Default: entry,
			Undo:    entry,
			Units:   units,
			Watch:   7 * 24 * time.Hour,
			Actions: map[actions.Name]approvals.ActionPolicy{"delete_role": two, "delete_key": two, "apply_scp": entry},
			Webhooks: map[string]approvals.WebhookGrant{
				"soar": {Actions: []actions.Name{"isolate_instance", "revoke_sessions"}, Owners: []string{"carol"}},
			},
		},
		Usergroups: map[string]string{"responders": "S0RESPONDERS"},
		Alerts: finding.Routing{AutoPerHour: 5, AutoPerHourTotal: 20, Routes: []finding.Route{
			{
				Match:   finding.Match{Source: "guardduty", Type: "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration*", MinSeverity: 7},
				Suggest: []finding.Suggestion{{Action: "revoke_sessions"}, {Action: "isolate_instance"}}, Delivery: finding.Propose, Call: []string{"responders"},
			},
			{Match: finding.Match{Source: "trustedadvisor"}, Suggest: []finding.Suggestion{{Action: "deactivate_key"}}, Delivery: finding.Propose, OneClick: true, Channel: "C01INC", Call: []string{"responders"}, CallFrom: 7},
			{Match: finding.Match{Source: "cloudtrail", Type: "change"}, Delivery: finding.Propose, Call: []string{"responders"}, CallFrom: 7},
			{Match: finding.Match{Source: "cloudtrail"}, Suggest: []finding.Suggestion{{Action: "quarantine_user", Options: map[string]string{"mode": "iam-only"}}}, Delivery: finding.Propose, Call: []string{"responders"}, CallFrom: 7},
			{Match: finding.Match{Source: "guardduty", Type: "Stealth:*"}, Delivery: finding.Propose, Call: []string{"responders"}, CallFrom: 7},
			{Match: finding.Match{Source: "guardduty", Type: "Policy:*"}, Delivery: finding.Propose, Call: []string{"responders"}, CallFrom: 7},
			{Match: finding.Match{Source: "guardduty", MinSeverity: 4}, Delivery: finding.Propose, Call: []string{"responders"}, CallFrom: 7},
			{Match: finding.Match{Source: "health"}, Delivery: finding.Propose, Call: []string{"responders"}, CallFrom: 7},
			{Match: finding.Match{Source: "securityhub", MinSeverity: 7}, Delivery: finding.Propose, Call: []string{"responders"}, CallFrom: 7},
		}},
		Webhooks: []Webhook{
			{ID: "soar", Actions: []actions.Name{"isolate_instance", "revoke_sessions"}, Owners: []string{"carol"}},
			{ID: "eventbridge", Events: true},
		},
		SNSTopic:   "arn:aws:sns:us-east-1:111111111111:security-alerts",
		PagerTopic: "arn:aws:sns:us-east-1:111111111111:pager",
		PagerAfter: 10 * time.Minute,
		Retention:  400 * 24 * time.Hour,
	}
	freeze, _ := scp.BuiltinSCP(want.Org, "freeze")
	want.Org.SCPs = map[string]string{"freeze": freeze}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the example (-want +got):\n%s", diff)
	}
}

// TestProtectedTrust: who may enter a protected role, for those that have a list.
func TestProtectedTrust(t *testing.T) {
	text := strings.Replace(example(t), exampleProtected, `["arn:aws:iam::*:user/emergency", {arn: "arn:aws:iam::*:role/break-glass", trust: ["111111111111", "arn:aws:iam::*:saml-provider/okta", ec2.amazonaws.com, accounts.google.com]}]`, 1)
	cfg, err := Parse("killswitch.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"arn:aws:iam::*:user/emergency", "arn:aws:iam::*:role/break-glass"}, cfg.Org.ProtectedPrincipals); d != "" {
		t.Error(d)
	}
	want := map[string][]string{"arn:aws:iam::*:role/break-glass": {"111111111111", "arn:aws:iam::*:saml-provider/okta", "ec2.amazonaws.com", "accounts.google.com"}}
	if d := cmp.Diff(want, cfg.Org.ProtectedTrust); d != "" {
		t.Error(d)
	}
}

// What users copy is what is tested.
func TestExampleIsTheDocumentedOne(t *testing.T) {
	doc, err := os.ReadFile("../../docs/killswitch.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(doc), example(t)); diff != "" {
		t.Errorf("docs and testdata differ (-docs +testdata):\n%s", diff)
	}
}

func TestInstallation(t *testing.T) {
	for want, edits := range map[actions.Installation][]string{"": nil, "pilot2": {"  external_id:", "  installation: pilot2\n  external_id:"}} {
		got, err := Parse("x.yaml", []byte(edit(t, example(t), edits...)), nil)
		if err != nil || got.Org.Installation != want {
			t.Errorf("installation %q, want %q: %v", got.Org.Installation, want, err)
		}
	}
}

const minimal = `
slack: {team: T01ACME, incident_channel: C01INC}
people: [{id: alice, name: Alice, slack: U01ALICE}, {id: bob, name: Bob, slack: U02BOB}]
groups: {all: {people: [alice, bob]}}
aws: {hub_account: "111111111111", responder_role: responder, restorer_role: restorer, external_id: abcd, regions: [us-gov-west-1]}
policy:
  default: {requesters: all, approvers: all, approvals: 1, approve_within: 1h30m, run_within: 5m}
`

func TestDefaults(t *testing.T) {
	got, err := Parse("minimal.yaml", []byte(minimal), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.CommandChannels) > 0 {
		t.Errorf("command channels %v: left out, it is each that is internal", got.CommandChannels)
	}
	if got.Org.Partition != "aws-us-gov" || got.Retention != 400*24*time.Hour || got.Alerts.AutoPerHour != 5 || got.PagerAfter != 0 {
		t.Errorf("partition %q, retention %v, auto per hour %d, pager after %s", got.Org.Partition, got.Retention, got.Alerts.AutoPerHour, got.PagerAfter)
	}
	if got.Policy.Undo != got.Policy.Default || got.Policy.Default.ApproveWithin != 90*time.Minute {
		t.Errorf("undo = %+v, default = %+v", got.Policy.Undo, got.Policy.Default)
	}
}

// TestIncidentChannelTakesCommands: who may not type elsewhere is sent there.
func TestIncidentChannelTakesCommands(t *testing.T) {
	listed := strings.Replace(minimal, "incident_channel: C01INC}", "incident_channel: C01INC, command_channels: [C02WAR], canary_channel: C03CANARY}", 1)
	got, err := Parse("minimal.yaml", []byte(listed), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"C02WAR", "C01INC"}, got.CommandChannels); diff != "" {
		t.Error(diff)
	}
	if got.CanaryChannel != "C03CANARY" {
		t.Errorf("the canary's channel is %q", got.CanaryChannel)
	}
}

// TestSocketMode is allowed by name alone.
func TestSocketMode(t *testing.T) {
	for line, want := range map[string]bool{"": false, "  socket_mode: false\n": false, "  socket_mode: true\n": true} {
		got, err := Parse("killswitch.yaml", []byte(strings.Replace(example(t), "  team:", line+"  team:", 1)), nil)
		if err != nil || got.SocketMode != want {
			t.Errorf("%q: %t, %v", line, got.SocketMode, err)
		}
	}
}

func TestOverridesInherit(t *testing.T) {
	text := strings.Replace(minimal, "groups: {all", "groups: {two: {people: [alice, bob]}, all", 1) +
		"  undo: {approvers: two}\n  units: {run_within: 10m}\n  watch: 36h\n  actions: {delete_role: {approve_within: 2h}, revoke_sessions: {}}\nretention: 36h\n"
	got, err := Parse("x.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	undo, deleteRole, units := got.Policy.Default, got.Policy.Default, got.Policy.Default
	undo.Approvers, deleteRole.ApproveWithin, units.RunWithin = "two", 2*time.Hour, 10*time.Minute
	want := approvals.Policy{
		Roster: got.Policy.Roster, Default: got.Policy.Default, Undo: undo, Units: units, Watch: 36 * time.Hour,
		Actions: map[actions.Name]approvals.ActionPolicy{"delete_role": deleteRole, "revoke_sessions": got.Policy.Default},
	}
	if diff := cmp.Diff(want, got.Policy); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	if got.Retention != 36*time.Hour {
		t.Errorf("retention = %v", got.Retention)
	}
}

// Many accounts at once want three people, or as many as there are, unless the configuration says how many.
func TestUnitsWantMorePeople(t *testing.T) {
	people, ids := "", ""
	for i := range 5 {
		people += fmt.Sprintf(", {id: p%d, name: P, slack: U1%d}", i, i)
		ids += fmt.Sprintf(", p%d", i)
	}
	large := strings.NewReplacer("slack: U02BOB}", "slack: U02BOB}"+people, "people: [alice, bob]", "people: [alice, bob"+ids+"]").Replace(minimal)
	for _, tt := range []struct {
		text, more string
		want       int
	}{
		{minimal, "", 1},
		{large, "", 3},
		{large, "  units: {approvals: 2}\n", 2},
		{large, "  actions: {apply_scp: {approvals: 4}}\n", 4},
	} {
		got, err := Parse("x.yaml", []byte(tt.text+tt.more), nil)
		if err != nil {
			t.Fatal(err)
		}
		unit := approvals.Intent{Call: actions.Call{Action: actions.ApplySCP, Target: "ou-ab12-11111111"}}
		if n := got.Policy.For(unit).Approvals; n != tt.want {
			t.Errorf("%q: %d approvals, want %d", tt.more, n, tt.want)
		}
	}
	if _, err := Parse("x.yaml", []byte(minimal+"  units: {approvals: 2}\n"), nil); err == nil {
		t.Error("an entry that nobody can satisfy is taken")
	}
}

// Whoever administers an account of identities could vote: it is never a target.
func TestAccountsOfIdentities(t *testing.T) {
	text := strings.NewReplacer(`slack: U01ALICE}`, `slack: U01ALICE, iam: ["arn:aws-us-gov:iam::444444444444:user/alice"]}`, `hub_account: "111111111111",`, `hub_account: "111111111111", identity_accounts: ["444444444444"],`).Replace(minimal)
	got, err := Parse("x.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if no := got.Org.RefuseCall(actions.Call{Action: actions.QuarantineUser, Target: "arn:aws-us-gov:iam::444444444444:user/alice", Account: "444444444444"}); no == nil {
		t.Error("it is a target")
	}
	if d := cmp.Diff([]string{"111111111111", "444444444444"}, got.Org.IdentityAccounts); d != "" {
		t.Error(d)
	}
}

func TestSchemaIsValid(t *testing.T) {
	if _, err := compile(Schema()); err != nil {
		t.Fatal(err)
	}
	if _, err := compile([]byte(`{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "txet"}`)); err == nil {
		t.Fatal("an invalid schema compiles: this test proves nothing")
	}
	var doc any
	if err := json.Unmarshal(Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	checkSchema(t, "#", doc)
	Schema()[0] = 'x'
	if Schema()[0] != '{' {
		t.Error("a caller can change the schema")
	}
}

// checkSchema proves that it is strict (every mapping names its keys) and that
// every pattern has words to say what it wants.
func checkSchema(t *testing.T, at string, node any) {
	switch n := node.(type) {
	case map[string]any:
		if n["type"] == "object" && n["additionalProperties"] != false {
			t.Errorf("%s allows unknown keys", at)
		}
		_, pattern := n["pattern"].(string)
		_, patterns := n["patternProperties"].(map[string]any)
		if title, _ := n["title"].(string); (pattern || patterns) && title == "" {
			t.Errorf("%s has a pattern and no title", at)
		}
		for k, sub := range n {
			checkSchema(t, at+"/"+k, sub)
		}
	case []any:
		for _, sub := range n {
			checkSchema(t, at+"/-", sub)
		}
	}
}

func TestLoad(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	path := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(path, bytes.Repeat([]byte("#"), maxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	var problems Problems
	if _, err := Load(path); !errors.As(err, &problems) || len(problems) != 1 || problems[0].File != path {
		t.Errorf("a large file: %v", err)
	}
}

// TestBreakGlass: off unless configured, per action, after five minutes unless it says otherwise.
func TestBreakGlass(t *testing.T) {
	for after, want := range map[string]time.Duration{"": 5 * time.Minute, "  break_glass_after: 20m\n": 20 * time.Minute} {
		text := strings.Replace(example(t), "  admin_group:", "    revoke_sessions: {break_glass: true}\n"+after+"  admin_group:", 1)
		cfg, err := Parse("killswitch.yaml", []byte(text), beside)
		if err != nil {
			t.Fatal(err)
		}
		for name, e := range cfg.Policy.Actions {
			if on := name == actions.RevokeSessions; e.BreakGlassAfter != 0 != on || on && e.BreakGlassAfter != want {
				t.Errorf("%s: %s", name, e.BreakGlassAfter)
			}
		}
	}
}
