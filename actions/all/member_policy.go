package all

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
)

// MemberPolicy is the policy of a member role: exactly the permissions that all actions of
// the organization need in any account, and the responder's for asking sources. In the
// management account those for service control policies are added.
func MemberPolicy(m actions.Member, o actions.Org, management bool) string {
	phases := []actions.Phase{actions.PhasePlan, actions.PhaseRun, actions.PhaseReport}
	if m == actions.Restorer {
		phases = []actions.Phase{actions.PhaseUndo}
	}
	var permits []actions.Statement
	for _, a := range o.Actions {
		for _, p := range phases {
			permits = append(permits, actions.Permits(a, p, actions.Anything(o))...)
		}
	}
	if m == actions.Responder {
		for _, kind := range source.Kinds {
			permits = append(permits, source.ConfirmPermits(kind, actions.Anything(o))...)
		}
	}
	byResources := map[string]*actions.Statement{}
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
				of = &actions.Statement{Resources: s.Resources}
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
