package all

import (
	"bytes"
	"encoding/json"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
)

// MemberPolicy is the policy of a member role: exactly the permissions that all actions of
// the organization need in any account, and the responder's for asking sources. In the
// management account those for service control policies are added.
func MemberPolicy(m actions.Member, o actions.Org, management bool) string {
	b, err := actions.PolicyDocument(actions.Merge(memberPermits(m, o), management))
	if err != nil {
		panic(err) // only our own types come here
	}
	var text bytes.Buffer
	if err := json.Indent(&text, b, "", "  "); err != nil {
		panic(err)
	}
	return text.String()
}

// memberPermits are the permissions that all actions need of a member role in any account.
func memberPermits(m actions.Member, o actions.Org) []actions.Statement {
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
	return permits
}
