package actions_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
)

// secretKey is the example of AWS's own documentation.
const secretKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

// TestSecretIsNotRepeated: a secret access key that somebody pasted is neither in
// a mistake nor in the line to send instead, and never becomes the reason, which
// card, notice and record show.
func TestSecretIsNotRepeated(t *testing.T) {
	plain := strings.ReplaceAll(secretKey, "/", "a")
	for name, line := range map[string]string{
		"the target":              "deactivate_key " + secretKey + ` reason="leaked"`,
		"the target, no slash":    "deactivate_key " + plain + ` reason="leaked"`,
		"the target to delete":    "delete_key prod/" + secretKey + ` reason="leaked"`,
		"a target of nothing":     "remove " + secretKey + ` reason="leaked"`,
		"the action":              secretKey + ` reason="leaked"`,
		"a trailing word":         "deactivate_key " + actiontest.FirstKey + " " + secretKey,
		"among trailing words":    "deactivate_key " + actiontest.FirstKey + " leaked with " + plain + ", on GitHub",
		"in the reason":           "deactivate_key " + actiontest.FirstKey + ` reason="leaked with '` + secretKey + `' on GitHub"`,
		"as in a file":            "deactivate_key " + actiontest.FirstKey + ` reason="aws_secret_access_key=` + secretKey + `"`,
		"beside the reason":       "deactivate_key " + actiontest.FirstKey + ` reason="leaked" ` + secretKey,
		"quoted as in a file":     "deactivate_key " + actiontest.FirstKey + ` reason='aws_secret_access_key="` + secretKey + `"'`,
		"a part of it":            "deactivate_key " + secretKey[:39] + ` reason="leaked"`,
		"in the reason of a role": "revoke_sessions prod/app-role leaked " + secretKey,
	} {
		_, reason, err := actions.Parse(line, directory)
		var m *actions.ParseErrors
		if !errors.As(err, &m) {
			t.Errorf("%s: it parses: %v, the reason is %q", name, err, reason)
			continue
		}
		all := m.Error() + m.Corrected + m.Example
		for _, x := range m.List {
			all += x.Hint
		}
		all = strings.ToLower(all) // as an action is read
		if strings.Contains(all, strings.ToLower(secretKey[:13])) || strings.Contains(all, strings.ToLower(secretKey[30:])) {
			t.Errorf("%s: %s\n%s", name, m.Error(), m.Corrected)
		}
	}
}

// TestCorrectedKeepsTheReason: what is left of a reason without the secret is sent.
func TestCorrectedKeepsTheReason(t *testing.T) {
	_, _, err := actions.Parse("deactivate_key "+actiontest.FirstKey+" leaked with "+secretKey+" on GitHub", directory)
	var m *actions.ParseErrors
	if !errors.As(err, &m) {
		t.Fatal(err)
	}
	call, reason, err := actions.Parse(m.Corrected, directory)
	if err != nil || call.Target != actiontest.FirstKey || reason != "leaked with on GitHub" {
		t.Errorf("%q: %v, %q, %v", m.Corrected, call, reason, err)
	}
}

// TestSecretsOfAnyLetters: the first and the last letter of each kind, and / and +
// where there is punctuation, belong to a secret.
func TestSecretsOfAnyLetters(t *testing.T) {
	filler := strings.Repeat("mM5", 13)
	for _, secret := range []string{
		"A" + filler, "Z" + filler, "a" + filler, "z" + filler, "0" + filler, "9" + filler,
		"/" + filler, filler + "/", "+" + filler, filler + "+", filler[:20] + "+" + filler[20:],
	} {
		for _, text := range []string{secret, "(" + secret + "),", "'" + secret + "'", `key="` + secret + `"`, "key: " + secret + "."} {
			if rest, found := actions.WithoutSecrets("leaked: " + text); !found || strings.Contains(rest, secret) {
				t.Errorf("%s: %q, %t", text, rest, found)
			}
		}
	}
}

// TestNoSecretIsTakenForOne: what is no secret access key may be in a reason.
func TestNoSecretIsTakenForOne(t *testing.T) {
	for _, reason := range []string{
		"commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
		"see arn:aws:iam::222222222222:role/Team1/" + strings.Repeat("a", 34),
		"key " + actiontest.FirstKey + " in use",
		"longer " + secretKey + "1",
		"words/with/Slashes/and/more/words/than/that/1/2",
		strings.Repeat("A", 40),
		strings.Repeat("aB", 20),
		strings.Repeat("A1", 20),
		strings.Repeat("a1", 20),
		strings.Repeat("aB12", 9) + "a-B1",
		strings.Repeat("aB12", 9) + "a~B1",
		strings.Repeat("aB", 19) + "a-",
		strings.Repeat("aB", 19) + "a_b",
		"arn:aws:logs:eu-west-1:222222222222:" + strings.Repeat("aB12", 10),
	} {
		if _, got, err := actions.Parse("deactivate_key "+actiontest.FirstKey+` reason="`+reason+`"`, directory); err != nil || got != reason {
			t.Errorf("%q: %q, %v", reason, got, err)
		}
	}
}
