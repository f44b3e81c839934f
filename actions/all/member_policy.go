package all

import (
	"encoding/json"

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
	type statement struct {
		Effect   string
		Action   []string
		Resource []string
	}
	var ss []statement
	for _, p := range actions.Merge(permits, management) {
		ss = append(ss, statement{"Allow", p.Actions, p.Resources})
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
