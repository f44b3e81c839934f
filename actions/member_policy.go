package actions

import (
	"encoding/json"
	"slices"
	"strings"
)

// MemberPolicy is the policy of a member role: exactly what all actions together
// need in any account, and the responder's for asking sources. In the management
// account the service control policies come to it.
func MemberPolicy(m Member, o Org, management bool) string {
	phases := []Phase{PhasePlan, PhaseRun, PhaseReport}
	if m == Restorer {
		phases = []Phase{PhaseUndo}
	}
	var permits []Statement
	for _, a := range All {
		for _, p := range phases {
			permits = append(permits, Permits(a, p, Anything(o))...)
		}
	}
	if m == Responder {
		for _, kind := range sightingKinds {
			permits = append(permits, sightPermits(kind, Anything(o))...)
		}
	}
	byResources := map[string]*Statement{}
	var order []string
	for _, s := range permits {
		slices.Sort(s.Resources)
		key := strings.Join(s.Resources, " ")
		for _, act := range s.Actions {
			if strings.HasPrefix(act, "organizations:") && !management {
				continue
			}
			of := byResources[key]
			if of == nil {
				of = &Statement{Resources: s.Resources}
				byResources[key] = of
				order = append(order, key)
			}
			if !slices.Contains(of.Actions, act) {
				of.Actions = append(of.Actions, act)
			}
		}
	}
	slices.Sort(order)
	type statement struct {
		Effect   string
		Action   []string
		Resource []string
	}
	var ss []statement
	for _, key := range order {
		slices.Sort(byResources[key].Actions)
		ss = append(ss, statement{"Allow", byResources[key].Actions, byResources[key].Resources})
	}
	b, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", ss}, "", "  ")
	if err != nil {
		panic(err) // only our own types come here
	}
	return string(b)
}
