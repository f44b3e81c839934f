package actions

import (
	"fmt"
	"strings"
)

// TargetText is a target as typed, with the options that belong to it.
type TargetText struct {
	Text      string
	Account   string            // from account=, resolved; may be empty
	Options   map[string]string // all options as typed
	Directory Directory
}

// TargetKind is a kind of target: roles, instances, …
type TargetKind struct {
	// Read parses a typed target into its canonical form.
	Read func(TargetText, *ParseErrors) Target
	// Forms says how people write a target, for help.
	Forms string
	// Options are the option keys that become part of the target.
	Options []string
	// Name returns a target's short name; nil for the part after the last slash.
	Name func(target string) string
	// Secret is true if invalid text may be a secret: it is not repeated.
	Secret bool
}

// Target is a target in its canonical form; zero if the text is invalid.
type Target struct {
	Name    string // an ARN, ACCOUNT/ALL, or an ID
	Account string // its 12 digits
	Region  string // of regional targets
}

// AccountID is the form of an account's ID.
var AccountID = NewPattern(`^[0-9]{12}$`)

// AccountReader finds the account of a typed target: in the target itself and in
// account=, which must agree.
type AccountReader struct {
	ID string // empty while it is not known
	t  TargetText
	m  *ParseErrors
}

// refuseAccount adds a mistake if an account is given beside a target that is in none.
func (t TargetText) refuseAccount(of string, m *ParseErrors) {
	if t.Options["account"] != "" && t.Account != t.Directory.Organization {
		m.Suggest("account", "is not for "+of, "leave it out", "")
	}
}

// AccountReader begins with the account of account=.
func (t TargetText) AccountReader(m *ParseErrors) *AccountReader {
	return &AccountReader{t.Account, t, m}
}

// Set sets the account that the target itself names.
func (r *AccountReader) Set(id, from string) {
	if r.ID != "" && r.ID != id {
		r.m.Add("account", fmt.Sprintf("%s does not match %s", r.ID, from), "leave account= out, or correct one of them")
	}
	r.ID = id
}

// Resolve resolves the account ID or alias in the target.
func (r *AccountReader) Resolve(typed string) bool {
	id, ok := r.t.Directory.Account(typed)
	if !ok {
		near := r.t.Directory.nearestAlias(typed)
		problem, hint := fmt.Sprintf("%q is neither an account ID nor a known alias", Clip(typed)), r.t.Directory.aliasHint()
		if near == "" {
			r.m.Add("target", problem, hint)
		} else {
			r.m.Suggest("target", problem+didYouMean(near), hint, strings.Replace(r.t.Text, typed, near, 1))
		}
		return false
	}
	r.Set(id, "the target's account "+id)
	return true
}

// Require reports whether the account is known. A missing account is a mistake; an
// invalid account= is one already.
func (r *AccountReader) Require(hint string) bool {
	if r.ID == "" && r.t.Options["account"] == "" {
		r.m.Add("account", "is missing: the target alone does not tell in which account", hint)
	}
	return r.ID != ""
}

// CheckPartition checks that an ARN's partition is the configured one.
func (r *AccountReader) CheckPartition(partition string) bool {
	if partition != r.t.Directory.Partition {
		r.m.Add("target", fmt.Sprintf("is in the partition %s; this installation works in %s", partition, r.t.Directory.Partition), "")
	}
	return partition == r.t.Directory.Partition
}

// LastPart returns the part of an ARN after the last slash: the name without its path.
func LastPart(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// ResourceName returns the part of an ARN after the last slash or colon: the name of a resource
// whatever its service writes before it.
func ResourceName(arn string) string { return arn[strings.LastIndexAny(arn, ":/")+1:] }

// LastParts returns the names of several.
func LastParts(arns []string) []string {
	var names []string
	for _, arn := range arns {
		names = append(names, LastPart(arn))
	}
	return names
}
