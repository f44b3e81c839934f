package actions

import (
	"fmt"
	"strings"
	"unicode"
)

// KeyID is the form of an access key's ID.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-prefixes
var KeyID = NewPattern(`^(AKIA|ASIA)[A-Z0-9]{12,124}$`)

// KeyTarget is an access key: its ID, or ACCOUNT/ID. The owner is optional: AWS
// knows it.
var KeyTarget = TargetKind{Forms: "an access key: its ID, AKIA…", Read: keyTarget, Options: []string{"account"}, Secret: true}

func keyTarget(t TargetText, m *ParseErrors) Target {
	acct := t.AccountReader(m)
	id := t.Text
	if account, rest, ok := strings.Cut(id, "/"); ok {
		// A secret may contain a slash: the text before it is repeated only if it is
		// an account or if a key's ID follows.
		if _, known := t.Directory.Account(account); known || KeyID.MatchString(strings.ToUpper(rest)) {
			if !acct.Resolve(account) {
				return Target{}
			}
			id = rest
		}
	}
	id = strings.ToUpper(id)
	const hint = "give the ID of the key, which begins with AKIA; never its secret"
	switch {
	case id == "":
		m.Add("target", "is missing", hint)
		return Target{}
	case !KeyID.MatchString(id):
		// It may be a pasted secret: it is not repeated.
		m.Add("target", "is not an access key's ID", hint)
		return Target{}
	case strings.HasPrefix(id, "ASIA"):
		m.Add("target", fmt.Sprintf("%s is a session's key: it can't be deactivated by itself", id),
			"contain whose session it is: a role with revoke_sessions, a user with quarantine_user")
		return Target{}
	}
	return Target{Name: id, Account: acct.ID}
}

// looksSecret reports whether a word may be a secret access key: 40 characters of
// base64, with upper and lower case and digits. Example:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html
func looksSecret(word string) bool {
	const length = 40
	if len(word) != length {
		return false
	}
	var upper, lower, digit bool
	for _, r := range word {
		switch {
		case 'A' <= r && r <= 'Z':
			upper = true
		case 'a' <= r && r <= 'z':
			lower = true
		case '0' <= r && r <= '9':
			digit = true
		case r != '/' && r != '+':
			return false
		}
	}
	return upper && lower && digit
}

// WithoutSecrets removes words that may be secret access keys: bare, in quotes or
// brackets, or after a name as in a credentials file.
func WithoutSecrets(text string) (rest string, found bool) {
	var words []string
	for word := range strings.FieldsSeq(text) {
		bare := strings.TrimFunc(word, func(r rune) bool { return r != '/' && r != '+' && unicode.In(r, unicode.P, unicode.S) })
		if i := strings.LastIndexAny(bare, "=:"); i >= 0 && !strings.HasPrefix(bare, "arn:") {
			bare = strings.TrimFunc(bare[i+1:], func(r rune) bool { return quoteKind(r) != "" })
		}
		if looksSecret(bare) {
			found = true
			continue
		}
		words = append(words, word)
	}
	if !found {
		return text, false
	}
	return strings.Join(words, " "), true
}
