package actions_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
)

var directory = actions.Directory{Actions: all.Actions, Partition: "aws", Accounts: map[string]string{"prod": actiontest.Member, "sandbox": actiontest.Sandbox}}

const (
	prodApp    = "arn:aws:iam::222222222222:role/app-role"
	sandboxApp = "arn:aws:iam::333333333333:role/app-role"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, text     string
		target, reason string
	}{
		{"ARN", `revoke_sessions arn:aws:iam::222222222222:role/app-role reason="leaked"`, prodApp, "leaked"},
		{"ARN with a path", `revoke_sessions arn:aws:iam::222222222222:role/team/a/app-role reason=leaked`, "arn:aws:iam::222222222222:role/team/a/app-role", "leaked"},
		{"ARN of a session", `revoke_sessions arn:aws:sts::222222222222:assumed-role/app-role/i-0abc reason=leaked`, prodApp, "leaked"},
		{"ARN and its account", `revoke_sessions arn:aws:iam::222222222222:role/app-role account=prod reason=leaked`, prodApp, "leaked"},
		{"ARN and its role", `revoke_sessions arn:aws:iam::222222222222:role/app-role role=app-role reason=leaked`, prodApp, "leaked"},
		{"account and name", `revoke_sessions 222222222222/app-role reason=leaked`, prodApp, "leaked"},
		{"alias and name", `revoke_sessions sandbox/app-role reason=leaked`, sandboxApp, "leaked"},
		{"alias in another case", `revoke_sessions Prod/app-role reason=leaked`, prodApp, "leaked"},
		{"name and account", `revoke_sessions app-role account=222222222222 reason=leaked`, prodApp, "leaked"},
		{"name and alias", `revoke_sessions app-role account=prod reason=leaked`, prodApp, "leaked"},
		{"account and role", `revoke_sessions 222222222222 role=app-role reason=leaked`, prodApp, "leaked"},
		{"alias and role", `revoke_sessions prod role=app-role reason=leaked`, prodApp, "leaked"},
		{"a name with all its characters", `revoke_sessions prod/a+b=c,d.e@f_g-h reason=leaked`, "arn:aws:iam::222222222222:role/a+b=c,d.e@f_g-h", "leaked"},
		{"a role named ALL has an ARN", `revoke_sessions arn:aws:iam::222222222222:role/ALL reason=leaked`, "arn:aws:iam::222222222222:role/ALL", "leaked"},

		{"action with hyphens", `revoke-sessions prod/app-role reason=leaked`, prodApp, "leaked"},
		{"action in upper case", `REVOKE_SESSIONS prod/app-role reason=leaked`, prodApp, "leaked"},
		{"action as a phone begins it", `Revoke-sessions prod/app-role reason=leaked`, prodApp, "leaked"},
		{"key in upper case", `revoke_sessions app-role ACCOUNT=prod Reason="leaked"`, prodApp, "leaked"},

		{"straight quotes", `revoke_sessions prod/app-role reason="keys on a paste site"`, prodApp, "keys on a paste site"},
		{"single quotes", `revoke_sessions prod/app-role reason='keys on a paste site'`, prodApp, "keys on a paste site"},
		{"curly quotes", `revoke_sessions prod/app-role reason=“keys on a paste site”`, prodApp, "keys on a paste site"},
		{"single curly quotes", `revoke_sessions prod/app-role reason=‘keys on a paste site’`, prodApp, "keys on a paste site"},
		{"low quotes", `revoke_sessions prod/app-role reason=„keys on a paste site“`, prodApp, "keys on a paste site"},
		{"guillemets", `revoke_sessions prod/app-role reason=«keys on a paste site»`, prodApp, "keys on a paste site"},
		{"guillemets the other way", `revoke_sessions prod/app-role reason=»keys on a paste site«`, prodApp, "keys on a paste site"},
		{"one straight, one curly", `revoke_sessions prod/app-role reason="keys on a paste site”`, prodApp, "keys on a paste site"},
		{"an apostrophe in a quoted word", `revoke_sessions prod/app-role reason='it's the intern's key'`, prodApp, "it's the intern's key"},
		{"an inch in a quoted word", `revoke_sessions prod/app-role reason="a 5"5 key"`, prodApp, `a 5"5 key`},
		{"an equals sign in a reason", `revoke_sessions prod/app-role reason="account=prod, role=x"`, prodApp, "account=prod, role=x"},
		{"options after the reason", `revoke_sessions app-role reason="leaked" account=prod`, prodApp, "leaked"},
		{"quotes around an option", `revoke_sessions app-role account="prod" reason=leaked`, prodApp, "leaked"},
		{"quotes around the target", `revoke_sessions "prod/app-role" reason=leaked`, prodApp, "leaked"},

		{"free text", `revoke_sessions prod/app-role keys on a paste site`, prodApp, "keys on a paste site"},
		{"quoted words in free text", `revoke_sessions prod/app-role the “paste site” and 'more' “”`, prodApp, "the paste site and more"},
		{"the longest reason", "revoke_sessions prod/app-role reason=" + strings.Repeat("é", 600), prodApp, strings.Repeat("é", 600)},
		{"free text after options", `revoke_sessions app-role account=prod keys on a paste site`, prodApp, "keys on a paste site"},
		{"free text with apostrophes", `revoke_sessions prod/app-role it's the users' keys, isn't it`, prodApp, "it's the users' keys, isn't it"},
		{"free text with curly apostrophes", `revoke_sessions prod/app-role it’s the intern’s key`, prodApp, "it’s the intern’s key"},
		{"free text with an equals sign", `revoke_sessions prod/app-role 2+2=5, they said`, prodApp, "2+2=5, they said"},
		{"free text of another script", `revoke_sessions prod/app-role утечка ключей 鍵が漏れた`, prodApp, "утечка ключей 鍵が漏れた"},
		{"white space within a reason", "revoke_sessions prod/app-role reason=\"  two  words\t\"", prodApp, "two  words"},

		{"white space of all kinds", "\t revoke_sessions\u00a0\u00a0prod/app-role\n\u2003reason=leaked \r\n", prodApp, "leaked"},
		{"an invisible character inside the target", "revoke_sessions prod/app\u200b-role leaked", prodApp, "leaked"},
		{"zero-width characters", "\ufeffrevoke_sessions \u200bprod/app-role\u2060 reason=leaked\u200b", prodApp, "leaked"},
		{"backticks", "revoke_sessions `prod/app-role` reason=leaked", prodApp, "leaked"},
		{"angle brackets", "revoke_sessions <arn:aws:iam::222222222222:role/app-role> reason=leaked", prodApp, "leaked"},
		{"a comma behind the target", "revoke_sessions prod/app-role, keys on a paste site", prodApp, "keys on a paste site"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			call, reason, err := actions.Parse(tt.text, directory)
			actiontest.Must(t, err)
			_, account, _, _, _ := actions.SplitRoleARN(tt.target)
			want := actions.Call{Action: actions.RevokeSessions, Target: tt.target, Account: account}
			if d := cmp.Diff(want, call); d != "" {
				t.Error(d)
			}
			if reason != tt.reason {
				t.Errorf("reason %q, want %q", reason, tt.reason)
			}
		})
	}
	for partition, arn := range map[string]string{"aws-us-gov": "arn:aws-us-gov:iam::222222222222:role/app-role", "aws-cn": "arn:aws-cn:iam::222222222222:role/app-role"} {
		d := actions.Directory{Actions: all.Actions, Partition: partition, Accounts: directory.Accounts}
		for _, text := range []string{arn, "prod/app-role", "app-role account=prod", strings.Replace(strings.Replace(arn, ":iam:", ":sts:", 1), "role/app-role", "assumed-role/app-role/x1", 1)} {
			call, _, err := actions.Parse("revoke_sessions "+text+" reason=leaked", d)
			if err != nil || call.Target != arn {
				t.Errorf("%s: %v, %v", text, call, err)
			}
		}
	}
}

func TestParseMistakes(t *testing.T) {
	tests := []struct {
		name, text string
		fields     string // of the mistakes, in order
		says       []string
		answer     string // the corrected line, or with … in it, the example
	}{
		{"nothing", "", "action reason", []string{"missing"}, `… … reason="…"`},
		{"white space alone", " \t\u200b", "action reason", []string{"missing"}, `… … reason="…"`},
		{"no such action", "revoke prod/app-role reason=leaked", "action", []string{`"revoke"`, "revoke_sessions"}, `revoke_sessions prod/app-role reason="leaked"`},
		{"an action misspelt", "revoke-session prod/app-role reason=leaked", "action", []string{`"revoke-session"`, "did you mean revoke_sessions"}, `revoke_sessions prod/app-role reason="leaked"`},
		{"an option first", "account=prod reason=leaked", "action", []string{"missing"}, `… … account=prod reason="leaked"`},
		{"the action alone", "revoke_sessions", "target reason", []string{"missing"}, `revoke_sessions … reason="…"`},
		{"no target", "revoke_sessions account=prod reason=leaked", "target", []string{"missing"}, `revoke_sessions … account=prod reason="leaked"`},
		{"no reason", "revoke_sessions prod/app-role", "reason", []string{"missing"}, `revoke_sessions prod/app-role reason="…"`},
		{"a reason of white space", `revoke_sessions prod/app-role reason="  "`, "reason", []string{"missing"}, `revoke_sessions prod/app-role reason="…"`},
		{"no account", "revoke_sessions app-role reason=leaked", "account", []string{"missing", "account="}, `revoke_sessions app-role account=… reason="leaked"`},
		{"an unknown alias", "revoke_sessions app-role account=prd reason=leaked", "account", []string{`"prd"`, "prod, sandbox"}, `revoke_sessions app-role account=prod reason="leaked"`},
		{"an unknown alias before the name", "revoke_sessions prd/app-role reason=leaked", "target", []string{`"prd"`, "prod, sandbox"}, `revoke_sessions prod/app-role reason="leaked"`},
		{"an account of eleven digits", "revoke_sessions 22222222222/app-role reason=leaked", "target", []string{"22222222222"}, `revoke_sessions … reason="leaked"`},
		{"two accounts", "revoke_sessions prod/app-role account=sandbox reason=leaked", "account", []string{actiontest.Member, actiontest.Sandbox}, `revoke_sessions prod/app-role account=… reason="leaked"`},
		{"an ARN and another account", "revoke_sessions " + prodApp + " account=sandbox reason=leaked", "account", []string{actiontest.Member, actiontest.Sandbox}, `revoke_sessions arn:aws:iam::222222222222:role/app-role account=… reason="leaked"`},
		{"two roles", "revoke_sessions prod/app-role role=other reason=leaked", "role", []string{"other", "app-role"}, `revoke_sessions prod/app-role role=… reason="leaked"`},
		{"an account alone", "revoke_sessions prod reason=leaked", "target", []string{"which role"}, `revoke_sessions prod/… reason="leaked"`},
		{"one role by way of the account", "revoke_sessions prod/app via=scp leaked", "via", []string{"only for a whole account", "ACCOUNT/ALL"}, `revoke_sessions prod/app reason="leaked"`},
		{"an unknown way", "revoke_sessions prod/ALL via=spc leaked", "via", []string{"did you mean scp", "it takes scp"}, `revoke_sessions prod/ALL via=scp reason="leaked"`},
		{"no role name", "revoke_sessions prod/ reason=leaked", "target", []string{"not a role name"}, `revoke_sessions prod/… reason="leaked"`},
		{"a name that IAM has not", "revoke_sessions prod/a:b reason=leaked", "target", []string{"a:b"}, `revoke_sessions prod/… reason="leaked"`},
		{"a name of 65 characters", "revoke_sessions prod/" + strings.Repeat("x", 65) + " reason=leaked", "target", []string{"not a role name"}, `revoke_sessions prod/… reason="leaked"`},

		{"another partition", "revoke_sessions arn:aws-cn:iam::222222222222:role/app-role reason=leaked", "target", []string{"aws-cn", "works in aws"}, `revoke_sessions … reason="leaked"`},
		{"a session of another partition", "revoke_sessions arn:aws-us-gov:sts::222222222222:assumed-role/app-role/x1 reason=leaked", "target", []string{"aws-us-gov"}, `revoke_sessions … reason="leaked"`},
		{"an instance profile", "revoke_sessions arn:aws:iam::222222222222:instance-profile/web reason=leaked", "target", []string{"not a role's ARN", "instance profile's name is not its role's"}, `revoke_sessions … reason="leaked"`},
		{"a user", "revoke_sessions arn:aws:iam::222222222222:user/alice reason=leaked", "target", []string{"not a role's ARN", "user", "quarantine_user"}, `quarantine_user arn:aws:iam::222222222222:user/alice reason="leaked"`},
		{"a policy", "revoke_sessions arn:aws:iam::222222222222:policy/p reason=leaked", "target", []string{"not a role's ARN"}, `revoke_sessions … reason="leaked"`},
		{"a role in a region", "revoke_sessions arn:aws:iam:eu-west-1:222222222222:role/app-role reason=leaked", "target", []string{"not a role's ARN"}, `revoke_sessions … reason="leaked"`},

		{"an option of other actions", "revoke_sessions prod/app-role region=eu-west-1 reason=leaked", "region", []string{"not an option", "account="}, `revoke_sessions prod/app-role reason="leaked region=eu-west-1"`},
		{"an option misspelt", "revoke_sessions app-role acount=prod reason=leaked", "acount", []string{"did you mean account"}, `revoke_sessions app-role account=prod reason="leaked"`},
		{"an option that nobody knows", "revoke_sessions prod/app-role ticket=4711 reason=leaked", "ticket", []string{"not an option"}, `revoke_sessions prod/app-role reason="leaked ticket=4711"`},
		{"what looks like an option in the free text", "revoke_sessions prod/app-role seen ticket=4711", "ticket", []string{"not an option"}, `revoke_sessions prod/app-role reason="seen ticket=4711"`},
		{"an option twice", "revoke_sessions app-role account=prod account=sandbox reason=leaked", "account", []string{"twice"}, `revoke_sessions app-role account=… reason="leaked"`},
		{"a reason twice", "revoke_sessions prod/app-role reason=leaked reason=again", "reason", []string{"twice"}, `revoke_sessions prod/app-role reason="leaked again"`},
		{"an option without a value", "revoke_sessions prod/app-role account= reason=leaked", "account", []string{"no value"}, `revoke_sessions prod/app-role reason="leaked"`},
		{"an option in the free text", "revoke_sessions app-role keys leaked account=prod", "account", []string{"after free text"}, `revoke_sessions app-role account=prod reason="keys leaked"`},
		{"the line ends after an equals sign", "revoke_sessions prod/app-role reason=leaked account=", "account", []string{"no value"}, `revoke_sessions prod/app-role reason="leaked"`},
		{"a quote that stays open in free text", `revoke_sessions prod/app-role "leaked`, "text", []string{"not closed"}, `revoke_sessions prod/app-role reason="leaked"`},
		{"all roles of no account", "revoke_sessions ALL reason=leaked", "account", []string{"missing", "ACCOUNT/ALL"}, `revoke_sessions ALL account=… reason="leaked"`},
		{"a target that can't be shown", "revoke_sessions prod/röle reason=leaked", "target", []string{"not a role name"}, `revoke_sessions … reason="leaked"`},
		{"an option's value of two words", `revoke_sessions app-role account="my prod" reason=leaked`, "account", []string{"my prod"}, `revoke_sessions app-role account=… reason="leaked"`},
		{"a reason and free text", "revoke_sessions prod/app-role reason=keys on a paste site", "reason", []string{"on a paste site", "quotes"}, `revoke_sessions prod/app-role reason="keys on a paste site"`},
		{"a quote that stays open", `revoke_sessions prod/app-role reason="leaked`, "reason", []string{"not closed"}, `revoke_sessions prod/app-role reason="leaked"`},
		{"a quote of the other kind", `revoke_sessions prod/app-role reason="leaked'`, "reason", []string{"not closed"}, `revoke_sessions prod/app-role reason="leaked'"`},
		{"a reason of 601 characters", "revoke_sessions prod/app-role reason=" + strings.Repeat("é", 601), "reason", []string{"601", "600"}, `revoke_sessions prod/app-role reason="…"`},

		{"several at once", "rvoke prd/app-role account=prod account=prod", "account action target reason", []string{"twice", `"rvoke"`, `"prd"`, "missing"}, `revoke_sessions prod/app-role account=prod reason="…"`},
		{"all that can be wrong", "revoke_sessions prd/app-role region=eu-west-1 mode= account=nowhere", "region mode account target reason", []string{"not an option", "no value", `"nowhere"`, `"prd"`, "missing"}, `revoke_sessions prod/app-role account=… reason="…"`},
		{"double quotes in a reason", `revoke_sessions app-role reason='say "hello" now'`, "account", []string{"missing"}, `revoke_sessions app-role account=… reason="say 'hello' now"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			call, reason, err := actions.Parse(tt.text, directory)
			var m *actions.ParseErrors
			if !errors.As(err, &m) {
				t.Fatalf("got %v, %v; want mistakes", call, err)
			}
			if !call.Equal(actions.Call{}) || reason != "" {
				t.Errorf("with mistakes there is a call: %v, %q", call, reason)
			}
			fields, all := map[string]int{}, []string{m.Error()}
			for _, x := range m.List {
				fields[x.Field]++
				all = append(all, x.Hint)
			}
			want := map[string]int{}
			for f := range strings.FieldsSeq(tt.fields) {
				want[f]++
			}
			if d := cmp.Diff(want, fields); d != "" {
				t.Errorf("mistakes %v:\n%s", m.List, d)
			}
			actiontest.HasWords(t, strings.Join(all, "\n"), tt.says...)
			checkAnswer(t, m)
			if d := cmp.Diff(tt.answer, m.Corrected+m.Example); d != "" {
				t.Errorf("corrected line:\n%s", d)
			}
		})
	}
}

// checkAnswer: a corrected line is one that parses, an example one that does not.
func checkAnswer(t *testing.T, m *actions.ParseErrors) {
	t.Helper()
	if (m.Corrected == "") == (m.Example == "") {
		t.Errorf("corrected %q, example %q: not one of both", m.Corrected, m.Example)
	}
	if _, _, err := actions.Parse(m.Corrected, directory); m.Corrected != "" && err != nil {
		t.Errorf("corrected %q does not parse: %v", m.Corrected, err)
	}
	if _, _, err := actions.Parse(m.Example, directory); m.Example != "" && (err == nil || !strings.Contains(m.Example, actions.Missing)) {
		t.Errorf("example %q parses, or lacks nothing", m.Example)
	}
}

// Hostile text can't fill a message; a hint never shows more aliases than there are.
func TestMistakesAreShort(t *testing.T) {
	for _, target := range []string{"arn:aws:iam::1:" + strings.Repeat("x", 9000), "prod/" + strings.Repeat("x", 9000), strings.Repeat("x", 9000) + "/a", strings.Repeat("x", 9000)} {
		_, _, err := actions.Parse("revoke_sessions "+target+" account=prod reason=leaked", directory)
		if err == nil {
			t.Fatal("no error")
		}
		var m *actions.ParseErrors
		if !errors.As(err, &m) || len(m.Error()) > 600 || len(m.Corrected) > 600 {
			t.Errorf("%d and %d characters", len(err.Error()), len(m.Corrected))
		}
	}
}

func TestCallEqual(t *testing.T) {
	base := actions.Call{Action: actions.RevokeSessions, Target: prodApp, Account: actiontest.Member, Region: "eu-west-1", Options: map[string]string{"mode": "iam-only", "scp": "freeze"}}
	if got, want := base.String(), "revoke_sessions "+prodApp+" region=eu-west-1 mode=iam-only scp=freeze"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if name := all.Actions.TargetName(base); name != "app-role" {
		t.Errorf("name %q", name)
	}
	for name, change := range map[string]func(*actions.Call){
		"action":           func(c *actions.Call) { c.Action = "delete_role" },
		"target":           func(c *actions.Call) { c.Target = sandboxApp },
		"account":          func(c *actions.Call) { c.Account = actiontest.Sandbox },
		"region":           func(c *actions.Call) { c.Region = "" },
		"an option's text": func(c *actions.Call) { c.Options = map[string]string{"mode": "full", "scp": "freeze"} },
		"an option less":   func(c *actions.Call) { c.Options = map[string]string{"mode": "iam-only"} },
	} {
		other := base
		change(&other)
		if base.Equal(other) || other.Equal(base) {
			t.Errorf("another %s makes no difference", name)
		}
	}
	if !(actions.Call{}).Equal(actions.Call{Options: map[string]string{}}) {
		t.Error("no options are not like none")
	}
}

// Names that IAM allows. One that ends in a comma can't be typed: there it is punctuation.
var roleNames = rapid.StringMatching(`[\w+=,.@-]{0,63}[\w+=.@-]`)

func typedCall(t *rapid.T) (text string, want actions.Call) {
	account := rapid.SampledFrom([]string{actiontest.Member, actiontest.Sandbox, "000000000000"}).Draw(t, "account")
	name := roleNames.Filter(func(s string) bool { return !strings.EqualFold(s, "ALL") }).Draw(t, "name")
	path := rapid.StringMatching(`/([a-z0-9.-]{1,8}/){0,3}`).Draw(t, "path")
	alias := account
	for a, id := range directory.Accounts {
		if id == account && rapid.Bool().Draw(t, "by alias") {
			alias = a
		}
	}
	var target string
	switch form := rapid.IntRange(0, 4).Draw(t, "form"); form {
	case 0:
		target = actions.RoleARN("aws", account, path, name)
	case 1:
		target, path = fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/session-1", account, name), "/"
	case 2:
		target, path = alias+"/"+name, "/"
	case 3:
		target, path = alias+" role="+name, "/"
	case 4:
		name = rapid.StringMatching(`[A-Z][A-Za-z0-9._-]{0,30}`).Draw(t, "plain name")
		target, path = name+" account="+alias, "/"
	}
	action := rapid.SampledFrom([]string{"revoke_sessions", "revoke-sessions", "Revoke-Sessions", "REVOKE_SESSIONS"}).Draw(t, "action")
	space := rapid.StringMatching("[ \t\u00a0\u2003]{1,3}").Draw(t, "space")
	return strings.Join(append([]string{action}, strings.Fields(target)...), space),
		actions.Call{Action: actions.RevokeSessions, Target: actions.RoleARN("aws", account, path, name), Account: account}
}

// However a call is typed, it is the same call, and what is shown of it reads back as it.
func TestParseProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, want := typedCall(t)
		reason := rapid.StringMatching(`[a-zа-я]([\p{L}\p{N} .,:;!?'=/-]{0,40}[a-z0-9])?`).Draw(t, "reason")
		quotes := rapid.SampledFrom([]string{`""`, "“”", "„“", "«»", "＂＂"}).Draw(t, "quotes")
		q := []rune(quotes)
		got, why, err := actions.Parse(text+" reason="+string(q[0])+reason+string(q[1]), directory)
		if err != nil || !got.Equal(want) || why != reason {
			t.Fatalf("%q: %+v, reason %q, %v; want %+v", text, got, why, err, want)
		}
		again, _, err := actions.Parse(got.String()+` reason="x"`, directory)
		if err != nil || !again.Equal(got) {
			t.Fatalf("%q, shown as %q, reads back as %+v, %v", text, got.String(), again, err)
		}
	})
}

// Where only the reason is missing, the example is the call with a place for it.
func TestExampleProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, want := typedCall(t)
		_, _, err := actions.Parse(text, directory)
		var m *actions.ParseErrors
		if !errors.As(err, &m) || len(m.List) != 1 || m.List[0].Field != "reason" {
			t.Fatalf("%q: %v, want the reason to be missing", text, err)
		}
		if strings.Count(m.Example, actions.Missing) != 1 {
			t.Fatalf("%q: example %q", text, m.Example)
		}
		got, reason, err := actions.Parse(strings.Replace(m.Example, actions.Missing, "leaked", 1), directory)
		if err != nil || !got.Equal(want) || reason != "leaked" {
			t.Fatalf("%q: example %q reads as %+v, %q, %v", text, m.Example, got, reason, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		call, reason, err := actions.Parse(text, directory)
		if err != nil {
			var m *actions.ParseErrors
			if !errors.As(err, &m) || len(m.List) == 0 || (m.Corrected == "") == (m.Example == "") {
				t.Fatalf("%q: error %#v", text, err)
			}
			if !call.Equal(actions.Call{}) || reason != "" {
				t.Fatalf("%q: mistakes, and a call %+v, %q", text, call, reason)
			}
			if _, _, err := actions.Parse(m.Corrected, directory); m.Corrected != "" && err != nil {
				t.Fatalf("%q: corrected line %q: %v", text, m.Corrected, err)
			}
			return
		}
		if _, ok := all.Actions.Lookup(call.Action); !ok || reason == "" || len([]rune(reason)) > actions.MaxReason {
			t.Fatalf("%q: %+v, reason %q", text, call, reason)
		}
		if _, account, _, _, ok := actions.SplitRoleARN(call.Target); !ok || account != call.Account {
			t.Fatalf("%q: target %s in account %s", text, call.Target, call.Account)
		}
		again, _, err := actions.Parse(call.String()+` reason="x"`, directory)
		if err != nil || !again.Equal(call) {
			t.Fatalf("%q, shown as %q, reads back as %+v, %v", text, call.String(), again, err)
		}
		if no := actiontest.TestOrg("aws").RefuseCall(call); no != nil && no.Error() == "" {
			t.Fatalf("%q: refused without a word", text)
		}
	})
}

// A name that ends in a comma could be another role's name with punctuation.
func TestTrailingComma(t *testing.T) {
	for _, text := range []string{"revoke_sessions prod role=app-role, reason=leaked", "revoke_sessions arn:aws:sts::222222222222:assumed-role/app-role,/session reason=leaked"} {
		if _, _, err := actions.Parse(text, directory); err == nil {
			t.Errorf("%q parses", text)
		}
	}
}
