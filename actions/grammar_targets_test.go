package actions_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
)

// TestParseTargets: what people type for each kind of target, and the call that
// it is. The call's own line parses to the same call.
func TestParseTargets(t *testing.T) {
	all := actions.Call{Action: actions.RevokeSessions, Target: "222222222222/ALL", Account: actiontest.Member}
	frozen := actions.Call{Action: actions.ApplySCP, Target: actiontest.Member, Account: actiontest.Member}
	user := actions.Call{Action: actions.QuarantineUser, Target: "arn:aws:iam::222222222222:user/bernd", Account: actiontest.Member}
	key := actions.Call{Action: actions.DeactivateKey, Target: "AKIAIOSFODNN7EXAMPLE", Account: actiontest.Member}
	instance := actions.Call{Action: actions.IsolateInstance, Target: "arn:aws:ec2:eu-west-1:222222222222:instance/i-0123456789abcdef0", Account: actiontest.Member, Region: "eu-west-1"}
	tests := []struct {
		name, text string
		want       actions.Call
	}{
		{"all roles by alias", "revoke_sessions prod/ALL leaked", all},
		{"all roles by ID", "revoke_sessions 222222222222/ALL leaked", all},
		{"all roles by account=", "revoke_sessions ALL account=prod leaked", all},
		{"all roles by role=", "revoke_sessions prod role=ALL leaked", all},
		{"all roles by an SCP", "revoke-sessions prod/ALL via=scp leaked", actions.Call{Action: actions.RevokeSessions, Target: "222222222222/ALL", Account: actiontest.Member, Options: map[string]string{"via": "scp"}}},
		{"a role that is called ALL", "revoke_sessions arn:aws:iam::222222222222:role/ALL leaked", actions.Call{Action: actions.RevokeSessions, Target: "arn:aws:iam::222222222222:role/ALL", Account: actiontest.Member}},

		{"an account by alias", "apply_scp prod leaked", frozen},
		{"an account by ID", "apply_scp 222222222222 leaked", frozen},
		{"an account by account=", "apply_scp account=prod reason=leaked", frozen},
		{"an account by its root's ARN", "apply_scp arn:aws:iam::222222222222:root leaked", frozen},
		{"an account by its ARN", "apply-scp arn:aws:organizations::999999999999:account/o-a1b2c3d4e5/222222222222 scp=freeze leaked", frozen},
		{"another document", "apply_scp prod scp=control-plane leaked", actions.Call{Action: actions.ApplySCP, Target: actiontest.Member, Account: actiontest.Member, Options: map[string]string{"scp": "control-plane"}}},

		{"a user by alias and name", "quarantine_user prod/bernd leaked", user},
		{"a user by name and account", "quarantine_user bernd account=222222222222 leaked", user},
		{"a user by user=", "quarantine_user prod user=bernd leaked", user},
		{"a user by ARN", "Quarantine-User arn:aws:iam::222222222222:user/bernd leaked", user},

		{"a key alone", "deactivate_key AKIAIOSFODNN7EXAMPLE leaked", actions.Call{Action: actions.DeactivateKey, Target: "AKIAIOSFODNN7EXAMPLE"}},
		{"a key in lower case", "deactivate_key akiaiosfodnn7example quarantine=no leaked", actions.Call{Action: actions.DeactivateKey, Target: "AKIAIOSFODNN7EXAMPLE"}},
		{"a key and its account", "deactivate_key prod/AKIAIOSFODNN7EXAMPLE leaked", key},
		{"a key and account=", "deactivate_key AKIAIOSFODNN7EXAMPLE account=prod leaked", key},

		{"a key and whose it is", "deactivate_key AKIAIOSFODNN7EXAMPLE user=bernd leaked", actions.Call{Action: actions.DeactivateKey, Target: "AKIAIOSFODNN7EXAMPLE", Options: map[string]string{"user": "bernd"}}},
		{"two options", "deactivate_key AKIAIOSFODNN7EXAMPLE user=bernd quarantine=yes leaked", actions.Call{Action: actions.DeactivateKey, Target: "AKIAIOSFODNN7EXAMPLE", Options: map[string]string{"user": "bernd", "quarantine": "yes"}}},

		{"an instance by ARN and its region", "isolate_instance arn:aws:ec2:eu-west-1:222222222222:instance/i-0123456789abcdef0 region=eu-west-1 leaked", instance},
		{"an instance by ID", "isolate_instance i-0123456789abcdef0 account=prod region=eu-west-1 leaked", instance},
		{"an instance by alias and ID", "isolate_instance prod/i-0123456789abcdef0 region=EU-WEST-1 snapshot=no leaked", instance},
		{"an instance by ARN", "isolate_instance arn:aws:ec2:eu-west-1:222222222222:instance/i-0123456789abcdef0 leaked", instance},

		{"a deletion, confirmed", "delete_role prod/app confirm=app leaked", actions.Call{Action: actions.DeleteRole, Target: "arn:aws:iam::222222222222:role/app", Account: actiontest.Member, Options: map[string]string{"confirm": "app"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			call, _, err := actions.Parse(tt.text, actiontest.TestOrg("aws").Directory())
			actiontest.Must(t, err)
			if d := cmp.Diff(tt.want, call); d != "" {
				t.Error(d)
			}
			again, _, err := actions.Parse(call.String()+" leaked", actiontest.TestOrg("aws").Directory())
			actiontest.Must(t, err)
			if d := cmp.Diff(tt.want, again); d != "" {
				t.Errorf("%s: %s", call, d)
			}
		})
	}
}

// TestParseTargetMistakes: what can't be read is told with what to send instead,
// and never executed.
func TestParseTargetMistakes(t *testing.T) {
	for _, tt := range []struct {
		name, text, field string
		says              []string
	}{
		{"no account", "apply_scp reason=leaked", "target", []string{"missing", "ID or alias"}},
		{"an unknown alias", "apply_scp prdo leaked", "target", []string{"neither an account ID nor a known alias", "prod"}},
		{"two accounts", "apply_scp prod account=sandbox leaked", "account", []string{"does not match"}},
		{"an account of another partition", "apply_scp arn:aws-cn:iam::222222222222:root leaked", "target", []string{"aws-cn", "works in aws"}},
		{"a role for an account", "apply_scp arn:aws:iam::222222222222:role/app leaked", "target", []string{"is not an account"}},
		{"a role's name for an account", "apply_scp prod/app leaked", "target", []string{"is not an account"}},
		{"all roles of no account", "revoke_sessions ALL leaked", "account", []string{"missing", "ACCOUNT/ALL"}},
		{"a role for a user", "quarantine_user arn:aws:iam::222222222222:role/app leaked", "target", []string{"not a user's ARN", "revoke_sessions"}},
		{"a role's session for a user", "quarantine_user arn:aws:sts::222222222222:assumed-role/app/session leaked", "target", []string{"not a user's ARN", "revoke_sessions"}},
		{"root for a user", "quarantine_user arn:aws:iam::222222222222:root leaked", "target", []string{"root", "apply_scp"}},
		{"all users", "quarantine_user prod/ALL leaked", "target", []string{"one user"}},
		{"another mode", "quarantine_user prod/bernd mode=iam leaked", "mode", []string{"iam-only"}},
		{"a session's key", "deactivate_key ASIAIOSFODNN7EXAMPLE leaked", "target", []string{"session", "revoke_sessions", "quarantine_user"}},
		{"no key", "deactivate_key reason=leaked", "target", []string{"missing", "AKIA"}},
		{"an instance without a region", "isolate_instance i-0123456789abcdef0 account=prod leaked", "region", []string{"missing"}},
		{"an instance without an account", "isolate_instance i-0123456789abcdef0 region=eu-west-1 leaked", "account", []string{"missing"}},
		{"two regions", "isolate_instance arn:aws:ec2:eu-west-1:222222222222:instance/i-0123456789abcdef0 region=us-east-1 leaked", "region", []string{"does not match"}},
		{"a region of another partition", "isolate_instance prod/i-0123456789abcdef0 region=cn-north-1 leaked", "region", []string{"aws-cn"}},
		{"a region of GovCloud", "isolate_instance prod/i-0123456789abcdef0 region=us-gov-west-1 leaked", "region", []string{"aws-us-gov"}},
		{"an ARN of another partition than its region", "isolate_instance arn:aws-cn:ec2:eu-west-1:222222222222:instance/i-0123456789abcdef0 leaked", "target", []string{"aws-cn", "works in aws"}},
		{"no instance at all", "isolate_instance prod/ region=eu-west-1 leaked", "target", []string{"missing"}},
		{"no region", "isolate_instance prod/i-0123456789abcdef0 region=ireland leaked", "region", []string{"not a region"}},
		{"no instance", "isolate_instance prod/web-1 region=eu-west-1 leaked", "target", []string{"not an instance's ID"}},
		{"a deletion that is not confirmed", "delete_role prod/app leaked", "confirm", []string{"confirm=app"}},
		{"another one confirmed", "delete_role prod/app confirm=web leaked", "confirm", []string{"app"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := actions.Parse(tt.text, actiontest.TestOrg("aws").Directory())
			var m *actions.ParseErrors
			if !errors.As(err, &m) {
				t.Fatalf("%v, want mistakes", err)
			}
			for _, mistake := range m.List {
				if mistake.Field == tt.field {
					actiontest.HasWords(t, mistake.Problem+" "+mistake.Hint, tt.says...)
					return
				}
			}
			t.Errorf("no mistake of %s: %+v", tt.field, m.List)
		})
	}
}

// TestNewCallEqualsTheParsedLine: a call of parts is the call of the line that they would be, and
// what could not be typed is no call either.
func TestNewCallEqualsTheParsedLine(t *testing.T) {
	directory := actiontest.TestOrg("aws").Directory()
	for _, c := range []struct {
		name   string
		action actions.Name
		target string
		opts   map[string]string
		line   string // the same, typed
		field  string // of the first mistake
	}{
		{"a user", actions.QuarantineUser, "prod/bernd", nil, "quarantine_user prod/bernd", ""},
		{"an account, with an option", actions.ApplySCP, "prod", map[string]string{"scp": "control-plane"}, "apply_scp prod scp=control-plane", ""},
		{"an instance", actions.IsolateInstance, "i-0123456789abcdef0", map[string]string{"account": "prod", "region": "eu-west-1"}, "isolate_instance i-0123456789abcdef0 account=prod region=eu-west-1", ""},
		{"no action", "format_disk", "prod", nil, "", "action"},
		{"no action at all", "", "prod", nil, "", "action"},
		{"another action's option", actions.QuarantineUser, "prod/bernd", map[string]string{"region": "eu-west-1"}, "", "region"},
		{"no target", actions.QuarantineUser, "", nil, "", "target"},
		{"an unknown account", actions.QuarantineUser, "prdo/bernd", nil, "", "target"},
		{"an option's unknown value", actions.QuarantineUser, "prod/bernd", map[string]string{"mode": "all"}, "", "mode"},
	} {
		call, err := actions.NewCall(c.action, c.target, c.opts, directory)
		if c.field != "" {
			var m *actions.ParseErrors
			if !errors.As(err, &m) || len(m.List) == 0 || m.List[0].Field != c.field || !call.Equal(actions.Call{}) {
				t.Errorf("%s: %+v, %v; want a mistake of %s and no call", c.name, call, err, c.field)
			}
			continue
		}
		want, _, typed := actions.Parse(c.line+" leaked", directory)
		if err != nil || typed != nil || !call.Equal(want) || call.Action == "" {
			t.Errorf("%s: %+v, %v; want %+v (%v)", c.name, call, err, want, typed)
		}
	}
}

// TestCleanRemovesInvisibleCharacters: what is not seen is gone, and what would begin another line does not.
func TestCleanRemovesInvisibleCharacters(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"as it is":             {"revoke_sessions prod/röle", "revoke_sessions prod/röle"},
		"new lines and tabs":   {"a\nb\r\tc", "a b  c"},
		"other white space":    {"a\u00a0b\u2003c", "a b c"},
		"separators of lines":  {"a\u2028b\u2029c\u0085d", "a b c d"},
		"control characters":   {"a\x00b\x1bc\u009bd", "a b c d"},
		"of no width":          {"a\u200bb\u200dc\ufeffd", "abcd"},
		"that reorder":         {"a\u202eb\u2066c", "abc"},
		"fillers":              {"a\u3164b\u115fc\u034fd", "abcd"},
		"variations of a sign": {"a\ufe0fb\U000e0101c", "abc"},
	} {
		if got := actions.Clean(c.text); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestWithoutEmoji: emoji are dropped, by sign and by name; times, ARNs and words stay.
func TestWithoutEmoji(t *testing.T) {
	for text, want := range map[string]string{
		"keys leaked":                                   "keys leaked",
		"two  blanks":                                   "two  blanks",
		"🚨 keys 🔥🔥 leaked 👩💻":                           "keys leaked",
		"👍🏽 done":                                       "done",
		"ℹ step 1\u20e3 ↔ ‼":                            "step",
		":fire: at :rotating_light::fire: dawn":         "at dawn",
		"(:fire:)":                                      "( )",
		"thumbs :+1:, :skin-tone-2: up":                 "thumbs , up",
		"at 10:30:15, arn:aws:iam::222222222222:role/x": "at 10:30:15, arn:aws:iam::222222222222:role/x",
		"a:b:c and fe80::a:b":                           "a:b:c and fe80::a:b",
		"鍵が漏れた 🇯🇵":                                      "鍵が漏れた",
		"🚨":                                             "",
	} {
		if got := actions.WithoutEmoji(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestWithLeavesTheCallAsItWas: a route's mode does not reach the calls of others.
func TestWithLeavesTheCallAsItWas(t *testing.T) {
	for name, options := range map[string]map[string]string{"none": nil, "another": {"scp": "freeze"}, "the same": {"mode": "full"}} {
		c := actions.Call{Action: actions.QuarantineUser, Options: options}
		was := c.String()
		with := c.With("mode", "iam-only")
		if c.String() != was || with.Options["mode"] != "iam-only" || with.Options["scp"] != c.Options["scp"] {
			t.Errorf("options %s: %s became %s, with a mode %s", name, was, c, with)
		}
	}
}
