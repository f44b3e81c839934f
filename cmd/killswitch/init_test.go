package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/cmd/config"
)

// outside is the Slack and the AWS that init looks things up in. They answer a page of two entries at a time,
// and Slack wants a pause before the first.
type outside struct {
	team     string
	users    []map[string]any
	channels []map[string]any

	hub, management string
	accounts        [][2]string // name and ID
	denied          map[string]bool
	limited         sync.Map // methods that were told to wait: each is, once
}

// acme is an outside where all is as it should be.
func acme() *outside {
	person := func(id, name, full string) map[string]any {
		return map[string]any{"id": id, "name": name, "real_name": full, "profile": map[string]any{"real_name": full, "display_name": name}}
	}
	return &outside{
		team: "T01ACME",
		users: []map[string]any{
			person("U01ANA", "ana", "Ana Lopez"), person("U01BEN", "ben", "Ben Roy"), person("U01CEM", "cem", "Cem Ay"), person("U02BEN", "ben.two", "Ben Roy"),
			{"id": "U01BOT", "name": "killswitch", "is_bot": true}, {"id": "U01GUEST", "name": "guest", "is_restricted": true},
		},
		channels: []map[string]any{
			{"id": "C01GEN", "name": "general", "is_member": true}, {"id": "C01OLD", "name": "old", "is_archived": true}, {"id": "C01EXT", "name": "with-partners", "is_member": true, "is_ext_shared": true},
			{"id": "C01SEC", "name": "security", "is_member": true}, {"id": "C02SEC", "name": "security-2"},
		},
		hub: "111111111111", management: "999999999999",
		accounts: [][2]string{
			{"Acme Hub", "111111111111"}, {"Management", "999999999999"}, {"Production", "222222222222"}, {"Team, Data = 1", "333333333333"}, {"プロダクション", "444444444444"},
			{"production!", "555555555555"}, {"r-and-d", "666666666666"}, {"\x1b[31m\"evil\": {x: y} # \n", "777777777777"},
		},
		denied: map[string]bool{},
	}
}

// page is two entries of a list, and where the next begin.
func page[T any](list []T, cursor string) ([]T, string) {
	from, _ := strconv.Atoi(cursor)
	to := min(from+2, len(list))
	if to == len(list) {
		return list[from:to], ""
	}
	return list[from:to], strconv.Itoa(to)
}

func (o *outside) slack(w http.ResponseWriter, req *http.Request) {
	answer := func(m map[string]any) {
		m["ok"] = m["error"] == nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(m)
	}
	method := strings.TrimPrefix(req.URL.Path, "/api/")
	find := func(list []map[string]any, id string) map[string]any {
		if i := slices.IndexFunc(list, func(m map[string]any) bool { return m["id"] == id }); i >= 0 {
			return list[i]
		}
		return nil
	}
	if _, met := o.limited.LoadOrStore(method, true); !met && strings.HasSuffix(method, ".list") {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	switch {
	case req.FormValue("token") != "xoxb-test":
		answer(map[string]any{"error": "invalid_auth"})
	case o.denied[method]:
		answer(map[string]any{"error": "missing_scope"})
	case method == "auth.test":
		answer(map[string]any{"team": "Acme", "team_id": o.team, "user": "killswitch"})
	case method == "users.list":
		list, next := page(o.users, req.FormValue("cursor"))
		answer(map[string]any{"members": list, "response_metadata": map[string]any{"next_cursor": next}})
	case method == "users.info" && find(o.users, req.FormValue("user")) != nil:
		answer(map[string]any{"user": find(o.users, req.FormValue("user"))})
	case method == "conversations.list":
		open := slices.DeleteFunc(slices.Clone(o.channels), func(c map[string]any) bool { return c["is_archived"] == true })
		list, next := page(open, req.FormValue("cursor"))
		answer(map[string]any{"channels": list, "response_metadata": map[string]any{"next_cursor": next}})
	case method == "conversations.info" && find(o.channels, req.FormValue("channel")) != nil:
		answer(map[string]any{"channel": find(o.channels, req.FormValue("channel"))})
	default:
		answer(map[string]any{"error": "not_found"})
	}
}

func (o *outside) aws(w http.ResponseWriter, req *http.Request) {
	_, operation, ok := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	if !ok {
		_, _ = fmt.Fprintf(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::%s:user/admin</Arn><UserId>AIDA</UserId><Account>%[1]s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, o.hub)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	var in struct{ NextToken string }
	_ = json.NewDecoder(req.Body).Decode(&in)
	out := map[string]any{}
	switch {
	case o.denied[operation]:
		w.WriteHeader(http.StatusBadRequest)
		out["__type"] = "AccessDeniedException"
	case operation == "DescribeOrganization":
		out["Organization"] = map[string]any{"Id": "o-acme012345", "MasterAccountId": o.management}
	case operation == "ListRoots":
		out["Roots"] = []any{map[string]any{"Id": "r-acme"}}
	case operation == "ListAccounts":
		list, next := page(o.accounts, in.NextToken)
		var accounts []any
		for _, a := range list {
			accounts = append(accounts, map[string]any{"Name": a[0], "Id": a[1], "Status": "ACTIVE"})
		}
		if out["Accounts"] = accounts; next != "" {
			out["NextToken"] = next
		}
	}
	_ = json.NewEncoder(w).Encode(out)
}

// begin runs init against the outside; typed is what somebody at the terminal answers, "" without one.
func (o *outside) begin(t *testing.T, typed string, args ...string) (code int, file, said string) {
	t.Helper()
	slack, cloud := httptest.NewServer(http.HandlerFunc(o.slack)), httptest.NewServer(http.HandlerFunc(o.aws))
	defer slack.Close()
	defer cloud.Close()
	settings := map[string]string{
		"AWS_ENDPOINT_URL": cloud.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "s", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	}
	if o.hub == "" {
		settings["AWS_ACCESS_KEY_ID"], settings["AWS_SECRET_ACCESS_KEY"] = "", ""
	}
	for k, v := range settings {
		t.Setenv(k, v)
	}
	env := map[string]string{"SLACK_BOT_TOKEN": "xoxb-test", "SLACK_API_URL": slack.URL + "/api"}
	if o.team == "" {
		delete(env, "SLACK_BOT_TOKEN")
	}
	file = filepath.Join(t.TempDir(), "killswitch.yaml")
	var out, errout bytes.Buffer
	code = run(t.Context(), program{
		args: append([]string{"init", "--output", file}, args...), env: func(k string) string { return env[k] },
		in: strings.NewReader(typed), asks: typed != "", out: &out, errout: &errout,
	})
	return code, file, out.String() + errout.String()
}

// choice is a line of the file that is commented out.
var choice = regexp.MustCompile(`(?m)^\s*(# )[a-z_]+:( .*)?$`)

// checkFile: the file is private, and valid; so it is with any one choice in it made.
func checkFile(t *testing.T, file string) (config.Config, string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	choices := choice.FindAllSubmatchIndex(b, -1)
	if len(choices) < 8 {
		t.Errorf("%d choices in %s", len(choices), b)
	}
	for _, at := range choices {
		made := slices.Concat(b[:at[2]], b[at[3]:])
		if _, err := config.Parse("made", made, nil); err != nil {
			t.Errorf("with %s: %v", b[at[3]:at[1]], err)
		}
	}
	return c, string(b)
}

// TestInit: by flags and look-ups, without a terminal.
func TestInit(t *testing.T) {
	code, file, said := acme().begin(t, "", "--channel", "#security", "--people", "ana, U01BEN, chief=Cem Ay", "--break-glass-roles", "break-glass", "--admin-group", "admins", "--external-id", "4b3c2a1f")
	if code != exitDone {
		t.Fatalf("%d %s", code, said)
	}
	_, text := checkFile(t, file)
	golden := filepath.Join("testdata", "init.yaml")
	if *updateReadme {
		if err := os.WriteFile(golden, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), text); d != "" {
		t.Errorf("run go test ./cmd/killswitch -run TestInit$ -update: %s", d)
	}
	if strings.Contains(said+text, "xoxb") || strings.Contains(said, "\x1b") {
		t.Errorf("said %s", said)
	}
	if code, _, said = acme().begin(t, "", "--output", file); code != exitNo || !strings.Contains(said, "--force") {
		t.Errorf("over a file that is there: %d %s", code, said)
	}
	if code, _, said = acme().begin(t, "", "--output", file, "--force", "--channel", "C01SEC", "--people", "ana,ben,cem"); code != exitDone {
		t.Errorf("by force: %d %s", code, said)
	}
	if c, _ := checkFile(t, file); len(c.Org.ExternalID) != 32 {
		t.Errorf("external ID %q", c.Org.ExternalID)
	}
}

// TestInitAsks: what can't be looked up is asked, and asked again where the answer is wrong.
func TestInitAsks(t *testing.T) {
	code, file, said := acme().begin(t, "no-such\nsecurity-2\nana, ben, dora\nana, ben, Cem Ay\n\nbreak-glass\n\n")
	if code != exitDone {
		t.Fatalf("%d %s", code, said)
	}
	c, _ := checkFile(t, file)
	if c.Team != "T01ACME" || c.IncidentChannel != "C02SEC" || len(c.Policy.Roster.People) != 3 || c.Org.HubAccount != "111111111111" || c.Org.ManagementAccount != "999999999999" ||
		!slices.Equal(c.Org.Regions, []string{"eu-west-1", "us-east-1"}) || !slices.Equal(c.Org.ProtectedPrincipals, []string{"arn:aws:iam::*:role/break-glass"}) || c.Org.AdminGroup != "" {
		t.Errorf("%+v", c)
	}
	for _, want := range []string{`no channel "no-such"`, `the name "dora"`, "not in the incident channel: /invite"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in %s", want, said)
		}
	}
	nothing := &outside{denied: map[string]bool{}}
	code, file, said = nothing.begin(t, "T01ACME\nC01SEC\nana=U01ANA,U01BEN,U01CEM\n111111111111\n\nprod=222222222222\nus-gov-west-1\n\n\n")
	if code != exitDone {
		t.Fatalf("with nothing looked up: %d %s", code, said)
	}
	if c, _ := checkFile(t, file); c.Org.Accounts["prod"] != "222222222222" || c.Org.Partition != "aws-us-gov" || c.Policy.Roster.People[0].ID != "ana" {
		t.Errorf("%+v", c)
	}
	if code, file, said = acme().begin(t, "security\n"); code != exitNo || !strings.Contains(said, "no answer for --people") {
		t.Errorf("nobody answers: %d %s", code, said)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file is written")
	}
}

// TestInitSaysWhatIsMissing: all at once, each with its flag; and what is wrong beside it.
func TestInitSaysWhatIsMissing(t *testing.T) {
	nothing := &outside{denied: map[string]bool{}}
	code, file, said := nothing.begin(t, "", "--management-account", "nine")
	for _, want := range []string{"--team", "--channel", "--people", "--hub-account", "SLACK_BOT_TOKEN", "AWS_ACCESS_KEY_ID", `"nine" is not an account`} {
		if !strings.Contains(said, want) {
			t.Errorf("%s is not in %s", want, said)
		}
	}
	if code != exitUsage {
		t.Errorf("exit %d", code)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file is written")
	}
}

// TestInitRefuses: what would make no valid or no safe configuration is not written.
func TestInitRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		denied string
		args   []string
		says   string
	}{
		"one person":           {"", []string{"--people", "ana"}, "can't be satisfied"},
		"a bot":                {"", []string{"--people", "ana,ben,killswitch"}, "is a bot"},
		"a guest":              {"", []string{"--people", "ana,ben,guest"}, "is a guest"},
		"two of a name":        {"", []string{"--people", "ana,Ben Roy,cem"}, "U01BEN, U02BEN"},
		"an address":           {"", []string{"--people", "ana,ben,cem@acme.example"}, "users:read.email"},
		"twice":                {"", []string{"--people", "ana,ben,x=U01ANA"}, "belongs to another person"},
		"archived":             {"", []string{"--channel", "C01OLD"}, "archived"},
		"shared":               {"", []string{"--channel", "with-partners"}, "another organization"},
		"no list of channels":  {"conversations.list", []string{"--channel", "security"}, "missing_scope"},
		"no list of people":    {"users.list", []string{"--people", "ana,ben,cem"}, "missing_scope"},
		"no region":            {"", []string{"--regions", "us-east-1,nowhere"}, "an AWS region"},
		"regions of two kinds": {"", []string{"--regions", "us-east-1,cn-north-1"}, "partition"},
		"no account":           {"", []string{"--accounts", "prod"}, "prod=222222222222"},
		"a secret":             {"", []string{"--external-id", "xoxb-1-2"}, "looks like a secret"},
		"a role's name":        {"", []string{"--break-glass-roles", "a b"}, "protected.principals"},
	} {
		t.Run(name, func(t *testing.T) {
			o := acme()
			o.denied[c.denied] = true
			args := c.args
			for flag, value := range map[string]string{"--channel": "C01SEC", "--people": "U01ANA,U01BEN,U01CEM"} {
				if !slices.Contains(args, flag) {
					args = append(args, flag, value)
				}
			}
			code, file, said := o.begin(t, "", args...)
			if code != exitNo || !strings.Contains(said, c.says) || strings.Contains(said, "xoxb-1-2") {
				t.Errorf("exit %d, said %s; want %q", code, said, c.says)
			}
			if _, err := os.Stat(file); err == nil {
				t.Error("a file is written")
			}
		})
	}
}

// TestInitOfWhateverIsFound: whatever Slack and AWS say, what is written is valid, and means that.
func TestInitOfWhateverIsFound(t *testing.T) {
	fine := func(*outside) {}
	denied := func(operation string) func(*outside) { return func(o *outside) { o.denied[operation] = true } }
	named := func(name string) func(*outside) {
		return func(o *outside) {
			o.users[0]["name"], o.users[0]["real_name"], o.users[0]["profile"] = name, name, map[string]any{"real_name": name}
			o.accounts = append(o.accounts, [2]string{name, "888888888888"})
		}
	}
	for name, c := range map[string]struct {
		alter func(*outside)
		args  []string
		says  string
	}{
		"all":                {fine, nil, "8 active accounts"},
		"two people":         {fine, []string{"--people", "ana,ben"}, "Two people"},
		"no accounts":        {denied("ListAccounts"), nil, "--management-profile"},
		"no organization":    {denied("DescribeOrganization"), nil, "Neither a management account"},
		"one account":        {func(o *outside) { o.hub = o.management }, nil, "an account of its own"},
		"no such profile":    {fine, []string{"--management-profile", "nobody"}, "the profile nobody"},
		"socket mode":        {fine, []string{"--socket-mode"}, "is written"},
		"delegated":          {fine, []string{"--policy-account", "888888888888"}, "is written"},
		"an aliased account": {fine, []string{"--accounts", "prod=222222222222,Prod=333333333333"}, "2 account aliases"},
		"quotes":             {named(`"}]: "x`), nil, ""},
		"a line":             {named("a\nslack: {team: T09}"), nil, ""},
		"controls":           {named("\x00\x07\u202e\u2028"), nil, ""},
		"an anchor":          {named("&a *b !!c"), nil, ""},
		"a template":         {named("%s%n{{.}}${x}"), nil, ""},
		"a word of YAML":     {named("yes"), nil, ""},
		"a number":           {named("0x10"), nil, ""},
		"a target":           {named("AKIA ou-x"), nil, ""},
		"much":               {named(strings.Repeat("länger ", 60)), nil, ""},
		"nothing":            {named(""), nil, ""},
		"a meaning":          {named("nobody"), nil, ""},
		"a webhook":          {named("webhook:soar"), nil, ""},
		"emoji":              {named("🚨"), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := acme()
			c.alter(o)
			args := append([]string{"--channel", "security"}, c.args...)
			if !slices.Contains(args, "--people") {
				args = append(args, "--people", "U01ANA,U01BEN,U01CEM")
			}
			code, file, said := o.begin(t, "", args...)
			if code != exitDone || !strings.Contains(said, c.says) {
				t.Fatalf("exit %d, said %s; want %q", code, said, c.says)
			}
			if strings.ContainsAny(said, "\x00\x07\x1b\u202e") {
				t.Errorf("controls what it is shown on: %q", said)
			}
			got, _ := checkFile(t, file)
			if got.Team != "T01ACME" || got.IncidentChannel != "C01SEC" || got.Policy.Roster.People[0].Slack != "U01ANA" {
				t.Errorf("%+v", got)
			}
			for _, account := range got.Org.Accounts {
				if account == o.hub || account == o.management {
					t.Errorf("%s has an alias", account)
				}
			}
		})
	}
}
