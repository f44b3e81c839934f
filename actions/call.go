package actions

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Name is an action's name in the configuration, JSON and the audit record.
type Name string

// The names.
const (
	ApplySCP        Name = "apply_scp"
	DenyPrincipal   Name = "deny_principal"
	DetachPolicies  Name = "detach_policies"
	RevokeSessions  Name = "revoke_sessions"
	DeleteRole      Name = "delete_role"
	QuarantineUser  Name = "quarantine_user"
	DeactivateKey   Name = "deactivate_key"
	DeleteKey       Name = "delete_key"
	IsolateInstance Name = "isolate_instance"
)

// Call is a requested containment: action, target, account, region and options.
// Texts of the same meaning parse to equal Calls.
type Call struct {
	Action Name `json:"action"`
	// Target is canonical, for instance a role's ARN. A role that was typed without
	// its path has none here; role names are unique in an account across paths.
	Target string `json:"target"`
	// Account is the target's 12-digit account ID; empty for a key typed without
	// one, which AWS resolves. See [Call.InNoAccount].
	Account string `json:"account"`
	// Region is set for regional targets only.
	Region  string            `json:"region,omitempty"`
	Options map[string]string `json:"options,omitempty"`
}

// String returns the call in the grammar of [Parse], which parses it to the same
// call. Cards show it, and the evidence of a vote must contain it.
func (c Call) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.Action, c.Target)
	if c.Account != "" && !strings.Contains(c.Target, c.Account) && !c.InNoAccount() {
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

// Everywhere reports whether a call is about every account of the organization.
func (c Call) Everywhere() bool {
	return c.OfPerson() || c.Options["scope"] == WholeOrganization
}

// WholeOrganization is the value of scope= for a deny in every account.
const WholeOrganization = "organization"

// OfPerson reports whether the target is a person of IAM Identity Center, who is in every account.
func (c Call) OfPerson() bool { return strings.HasPrefix(c.Target, SSOPrefix) }

// OfUnit reports whether the target is an organizational unit or the root of the organization: all
// accounts in it.
func (c Call) OfUnit() bool { return unitID.MatchString(c.Target) }

// InNoAccount reports whether the target is in no account of its own; Account is then the one from which
// Organizations is called.
func (c Call) InNoAccount() bool { return c.OfPerson() || c.OfUnit() }

// Line returns the line to type for the call, which [Parse] reads.
func (c Call) Line(reason string) string {
	return fmt.Sprintf(`%s reason="%s"`, c, strings.Map(dropQuotes, reason))
}

// Equal reports whether two calls are the same.
func (c Call) Equal(d Call) bool {
	return c.Action == d.Action && c.Target == d.Target && c.Account == d.Account &&
		c.Region == d.Region && maps.Equal(c.Options, d.Options)
}

// With returns the call with an option set.
func (c Call) With(key, value string) Call {
	c.Options = maps.Clone(c.Options)
	if c.Options == nil {
		c.Options = map[string]string{}
	}
	c.Options[key] = value
	return c
}
