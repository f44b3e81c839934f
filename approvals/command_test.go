package approvals_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
)

var directory = actions.Directory{Actions: all.Actions, Partition: "aws", Accounts: map[string]string{"prod": "111122223333"}}

// secretKey is the example of AWS's own documentation.
const secretKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

func TestParseCommand(t *testing.T) {
	const id = "KS-401QX2M9ZT0B"
	longest := strings.Repeat("ü", actions.MaxReason)
	about := func(verb, reason string) approvals.Command {
		return approvals.Command{Verb: verb, ID: id, Reason: reason}
	}
	for text, want := range map[string]approvals.Command{
		"":                       {Verb: "form"},
		" \t\n":                  {Verb: "form"},
		"help":                   {Verb: "help"},
		"?":                      {Verb: "help"},
		"--help":                 {Verb: "help"},
		"HELP Revoke-Sessions x": {Verb: "help", Topic: "revoke_sessions"},
		"help revoke_sessions":   {Verb: "help", Topic: "revoke_sessions"},
		"list":                   {Verb: "list"},
		" List all ":             {Verb: "list"},

		"show " + id:    about("show", ""),
		"approve " + id: about("approve", ""),
		"deny " + id:    about("deny", ""),
		"cancel " + id:  about("cancel", ""),
		"undo " + id:    about("undo", ""),
		"audit " + id:   about("audit", ""),

		"APPROVE\u00a0 " + id:            about("approve", ""),
		"app\u200brove \u2060" + id:      about("approve", ""),
		"approve ks-401qx2m9zt0b":        about("approve", ""),
		"approve KS-4OIQX2M9ZTOB":        about("approve", ""),
		"approve ks-4olqx2m9ztob":        about("approve", ""),
		"show `KS-401QX2M9ZT0B`":         about("show", ""),
		"show *KS-401QX2M9ZT0B*,":        about("show", ""),
		"show _KS-401QX2M9ZT0B_.":        about("show", ""),
		"deny " + id + " not  ours":      about("deny", "not ours"),
		"deny " + id + ` reason="a b"`:   about("deny", "a b"),
		"deny " + id + " reason=a":       about("deny", "a"),
		"deny " + id + " --reason a b":   about("deny", "a b"),
		"deny " + id + ` reason = "a b"`: about("deny", "a b"),
		"undo " + id + " over 🎉":         about("undo", "over"),
		"deny " + id + " “a b”":          about("deny", "a b"),
		"undo " + id + " reason=over":    about("undo", "over"),

		"undo " + id + " keys=reactivate":                    {Verb: "undo", ID: id, ReactivateKeys: true},
		"undo " + id + " Keys=Reactivate reason=over":        {Verb: "undo", ID: id, ReactivateKeys: true, Reason: "over"},
		"undo " + id + " over keys=reactivate":               about("undo", "over keys=reactivate"), // the end of a reason
		"deny " + id + " keys=reactivate":                    about("deny", "keys=reactivate"),      // gives nothing back
		"deny " + id + " " + longest:                         about("deny", longest),
		"deny " + id + " not with " + secretKey:              about("deny", "not with"), // it counts at once, without the secret
		"deny " + id + " aws_secret_access_key=" + secretKey: about("deny", ""),

		`revoke-sessions arn:aws:iam::111122223333:role/app reason="keys leaked"`: {
			Verb: "act", Reason: "keys leaked",
			Call: actions.Call{Action: actions.RevokeSessions, Target: "arn:aws:iam::111122223333:role/app", Account: "111122223333"},
		},
	} {
		if got, err := approvals.ParseCommand(text, directory); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestParseCommandMistakes(t *testing.T) {
	const id = "KS-4G7QX2M9ZT0B"
	for _, c := range []struct{ text, verb, field, answer string }{
		{"approve", "approve", "request", "approve KS-…"},
		{"deny 4g7qx2m9ztob not  ours", "deny", "request", "deny " + id + " not ours"},
		{"Deny because", "deny", "request", "deny KS-…"},
		{"show 4G7QX2M9ZT0B", "show", "request", "show " + id},
		{"undo KS-4G7QX2M9ZT0", "undo", "request", "undo KS-…"},
		{"undo KS-4G7QX2M9ZT0BB", "undo", "request", "undo KS-…"},
		{"audit KS-UG7QX2M9ZT0B", "audit", "request", "audit KS-…"}, // U resembles no digit
		{"approve " + id + " please", "approve", "text", "approve " + id},
		{"show " + id + " " + id, "show", "text", "show " + id},
		{"cancel ks-4g7qx2m9ztob now", "cancel", "text", "cancel " + id},
		{"audit " + id + " reason=x", "audit", "text", "audit " + id},
		{"undo " + id + " keys=all", "undo", "keys", "undo " + id},
		{"undo " + id + " keys= it is over", "undo", "keys", "undo " + id + ` reason="it is over"`},
		{"deny " + id + " " + strings.Repeat("ü", actions.MaxReason+1), "deny", "reason", "deny " + id + ` reason="…"`},
		{"undo " + id + " it is over, with " + secretKey, "undo", "reason", "undo " + id + ` reason="it is over, with"`},
		{"undo " + id + " '" + secretKey + "'", "undo", "reason", "undo " + id},
		{"undo 4g7qx2m9ztob " + secretKey, "undo", "reason", "undo " + id},
		{"aprove " + id, "act", "action", "approve " + id},
		{"aprove", "act", "action", `… … reason="…"`},
		{"status", "act", "action", "list"},
		{"reject " + id + " a drill", "act", "action", "deny " + id + " a drill"},
		{"revoke-sessions arn:aws:iam::111122223333:role/app", "act", "reason", `revoke_sessions arn:aws:iam::111122223333:role/app reason="…"`},
	} {
		cmd, err := approvals.ParseCommand(c.text, directory)
		var m *actions.ParseErrors
		if !errors.As(err, &m) || len(m.List) == 0 || m.List[0].Field != c.field || cmd.Verb != c.verb || m.Corrected+m.Example != c.answer {
			t.Errorf("%q: %+v, %+v", c.text, cmd, err)
			continue
		}
		if _, err := approvals.ParseCommand(m.Corrected, directory); err != nil || strings.Contains(m.Corrected, actions.Missing) {
			t.Errorf("%q: corrected %q: %v", c.text, m.Corrected, err)
		}
	}
}
