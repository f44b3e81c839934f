package actions

import (
	"fmt"
	"regexp"
	"strings"
)

// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-prefixes
var keyID = regexp.MustCompile(`^(AKIA|ASIA)[A-Z0-9]{12,124}$`)

// keyTarget reads an access key: its ID, or ACCOUNT/ID. Whose it is need not be
// said: AWS knows.
func keyTarget(t TargetText, m *Mistakes) Target {
	at := t.place(m)
	id := t.Text
	if account, rest, ok := strings.Cut(id, "/"); ok {
		if !at.named(account) {
			return Target{}
		}
		id = rest
	}
	id = strings.ToUpper(id)
	const hint = "give the ID of the key, which begins with AKIA; never its secret"
	switch {
	case id == "":
		m.add("target", "is missing", hint)
		return Target{}
	case !keyID.MatchString(id):
		// It may be a secret that somebody pasted: it is not repeated.
		m.add("target", "is not an access key's ID", hint)
		return Target{}
	case strings.HasPrefix(id, "ASIA"):
		m.add("target", fmt.Sprintf("%s is a session's key: it can't be deactivated by itself", id),
			"contain whose session it is: a role with revoke_sessions, a user with quarantine_user")
		return Target{}
	}
	return Target{Name: id, Account: at.id}
}
