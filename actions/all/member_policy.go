package all

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
)

// MemberPolicy is the policy of a member role: exactly the permissions that all actions of
// the organization need in any account, and the responder's for asking sources and for traces. With organizations
// it is what the role needs beside that in the account from which Organizations is called, and all
// that it needs if that is the management account.
func MemberPolicy(m actions.Member, o actions.Org, organizations bool) string {
	permits := actions.Merge(memberPermits(m, o), false)
	if organizations {
		permits = organizationsPermits(m, o)
	}
	b, err := actions.PolicyDocument(permits)
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
		permits = append(permits, source.LookPermits(actions.Anything(o))...)
	}
	return permits
}

// organizationsPermits are those of them that are AWS Organizations'.
func organizationsPermits(m actions.Member, o actions.Org) []actions.Statement {
	permits := memberPermits(m, o)
	for i, p := range permits {
		permits[i].Actions = slices.DeleteFunc(slices.Clone(p.Actions), func(act string) bool { return !strings.HasPrefix(act, "organizations:") })
	}
	return actions.Merge(permits, true)
}
