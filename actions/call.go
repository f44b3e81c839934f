package actions

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Name is an action's name as config, JSON and the audit record write it.
type Name string

// The names.
const (
	ApplySCP        Name = "apply_scp"
	DetachPolicies  Name = "detach_policies"
	RevokeSessions  Name = "revoke_sessions"
	DeleteRole      Name = "delete_role"
	QuarantineUser  Name = "quarantine_user"
	DeactivateKey   Name = "deactivate_key"
	DeleteKey       Name = "delete_key"
	IsolateInstance Name = "isolate_instance"
)

// Call is one containment as it is asked for: what to do, to what, where.
// Two texts that mean the same parse to equal Calls.
type Call struct {
	Action Name `json:"action"`
	// Target is canonical: a role's ARN, for instance. A role typed without
	// its path has none here; role names are unique in an account whatever
	// their path.
	Target string `json:"target"`
	// Account is the target's 12-digit account ID; empty for a key that was
	// given without: AWS knows whose it is.
	Account string `json:"account"`
	// Region is set for regional targets only.
	Region  string            `json:"region,omitempty"`
	Options map[string]string `json:"options,omitempty"`
}

// String is the call in the grammar that [Parse] reads: parsing it gives the
// same call. It is what the card shows and what a vote's evidence must name.
func (c Call) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.Action, c.Target)
	if c.Account != "" && !strings.Contains(c.Target, c.Account) {
		fmt.Fprintf(&b, " account=%s", c.Account)
	}
	if c.Region != "" && !strings.Contains(c.Target, ":"+c.Region+":") {
		fmt.Fprintf(&b, " region=%s", c.Region)
	}
	for _, k := range slices.Sorted(maps.Keys(c.Options)) {
		fmt.Fprintf(&b, " %s=%s", k, c.Options[k])
	}
	return b.String()
}

// Equal reports whether two calls ask for the same.
func (c Call) Equal(d Call) bool {
	return c.Action == d.Action && c.Target == d.Target && c.Account == d.Account &&
		c.Region == d.Region && maps.Equal(c.Options, d.Options)
}

// With is the call with an option set.
func (c Call) With(key, value string) Call {
	c.Options = maps.Clone(c.Options)
	if c.Options == nil {
		c.Options = map[string]string{}
	}
	c.Options[key] = value
	return c
}
