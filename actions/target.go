package actions

import (
	"fmt"
	"strings"
)

// TargetText is a target as typed, with what else on the line bears on it.
type TargetText struct {
	Text      string
	Account   string            // from account=, resolved; may be empty
	Options   map[string]string // all options as typed
	Directory Directory
}

// TargetKind is a kind of targets: roles, instances, …
type TargetKind struct {
	// Read reads a typed target into its canonical form.
	Read func(TargetText, *ParseErrors) Target
	// Options are the keys that belong to the target and end up in it.
	Options []string
	// Name is a target's short name; nil for the part behind the last slash.
	Name func(target string) string
	// Secret is true where text that can't be read may be a secret: it is not repeated.
	Secret bool
}

// Target is a target in its canonical form; the zero one where it can't be read.
type Target struct {
	Name    string // an ARN, ACCOUNT/ALL, or an ID
	Account string // its 12 digits
	Region  string // of regional targets
}

// AccountID is the form of an account's ID.
var AccountID = NewPattern(`^[0-9]{12}$`)

// place is the account of a target that is being read: from the target itself
// and from account=, which must agree.
type place struct {
	t  TargetText
	m  *ParseErrors
	id string
}

func (t TargetText) place(m *ParseErrors) *place { return &place{t, m, t.Account} }

// is says which account the target itself names.
func (p *place) is(id, from string) {
	if p.id != "" && p.id != id {
		p.m.Add("account", fmt.Sprintf("%s does not match %s", p.id, from), "leave account= out, or correct one of them")
	}
	p.id = id
}

// named resolves an account that stands in the target.
func (p *place) named(typed string) bool {
	id, ok := p.t.Directory.Account(typed)
	if !ok {
		p.m.Add("target", fmt.Sprintf("%q is neither an account ID nor a known alias", Clip(typed)), p.t.Directory.aliasHint())
		return false
	}
	p.is(id, "the target's account "+id)
	return true
}

// known reports whether there is an account; that there is none is a mistake
// unless account= was one already.
func (p *place) known(hint string) bool {
	if p.id == "" && p.t.Options["account"] == "" {
		p.m.Add("account", "is missing: the target alone does not tell in which account", hint)
	}
	return p.id != ""
}

// partition checks that an ARN's partition is ours.
func (p *place) partition(of string) bool {
	if of != p.t.Directory.Partition {
		p.m.Add("target", fmt.Sprintf("is in the partition %s; this installation works in %s", of, p.t.Directory.Partition), "")
	}
	return of == p.t.Directory.Partition
}

// LastPart is what follows the last slash of an ARN: the name without its path.
func LastPart(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }
