package actions

import (
	"slices"
	"strings"
)

// Catalog is the list of actions. The package all defines it; all other packages
// get it with the configuration, in [Org].
type Catalog []Action

// Lookup finds an action by its name.
func (c Catalog) Lookup(n Name) (Action, bool) {
	i := slices.IndexFunc(c, func(a Action) bool { return a.Spec().Name == n })
	if i < 0 {
		return nil, false
	}
	return c[i], true
}

// TargetName returns the short name of a call's target: a role's name, an instance's ID.
func (c Catalog) TargetName(call Call) string {
	if a, ok := c.Lookup(call.Action); ok && a.Spec().Target.Name != nil {
		return a.Spec().Target.Name(call.Target)
	}
	return LastPart(call.Target)
}

// optionKeys returns the option keys of all actions, and reason.
func (c Catalog) optionKeys() []string {
	var keys []string
	for _, a := range c {
		keys = append(keys, a.Spec().optionKeys()...)
	}
	slices.Sort(keys)
	return append(slices.Compact(keys), "reason")
}

// Equal reports whether two catalogs have the same actions.
func (c Catalog) Equal(d Catalog) bool { return slices.Equal(c, d) }

func (c Catalog) names() []string {
	var s []string
	for _, a := range c {
		s = append(s, string(a.Spec().Name))
	}
	return s
}

func (c Catalog) nameList() string { return strings.Join(c.names(), ", ") }
