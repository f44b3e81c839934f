package all_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/source"
)

// TestMemberPolicy: the member roles' policies are exactly the unions of what
// the actions and the sources need: nothing is missing, and nothing is there for
// neither.
func TestMemberPolicy(t *testing.T) {
	org := actiontest.TestOrg("aws")
	type grant struct{ action, resource string }
	for _, tt := range []struct {
		member     actions.Member
		management bool
		phases     []actions.Phase
	}{
		{actions.Responder, false, []actions.Phase{actions.PhasePlan, actions.PhaseRun, actions.PhaseReport}},
		{actions.Responder, true, []actions.Phase{actions.PhasePlan, actions.PhaseRun, actions.PhaseReport}},
		{actions.Restorer, false, []actions.Phase{actions.PhaseUndo}},
		{actions.Restorer, true, []actions.Phase{actions.PhaseUndo}},
	} {
		want := map[grant]bool{}
		for _, a := range all.Actions {
			for _, p := range tt.phases {
				for _, s := range actions.Permits(a, p, actions.Anything(org)) {
					for _, act := range s.Actions {
						for _, r := range s.Resources {
							if s.Deny {
								continue
							}
							if tt.management == strings.HasPrefix(act, "organizations:") {
								want[grant{act, r}] = true
							}
						}
					}
				}
			}
		}
		if tt.member == actions.Responder && !tt.management { // what asking sources needs beside
			want[grant{"guardduty:GetFindings", "*"}] = true
			for _, s := range source.LookPermits(actions.Anything(org)) { // and traces
				for _, act := range s.Actions {
					for _, r := range s.Resources {
						want[grant{act, r}] = true
					}
				}
			}
		}
		document := all.MemberPolicy(tt.member, org, tt.management)
		var policy struct {
			Statement []struct {
				Effect           string
				Action, Resource []string
			}
		}
		actiontest.Must(t, json.Unmarshal([]byte(document), &policy))
		missing := maps.Clone(want)
		for _, s := range policy.Statement {
			if !slices.IsSorted(s.Action) {
				t.Errorf("a statement is %+v", s)
			}
			if s.Effect == "Deny" {
				continue // TestOwnRolesAreOutOfReach
			}
			for _, act := range s.Action {
				for _, r := range s.Resource {
					if !want[grant{act, r}] {
						t.Errorf("member %d may %s on %s, for no action", tt.member, act, r)
					}
					delete(missing, grant{act, r})
				}
			}
		}
		if len(missing) > 0 {
			t.Errorf("member %d lacks %v", tt.member, missing)
		}
		// It must fit into a role's inline policies.
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
		if n := len(strings.Join(strings.Fields(all.MemberPolicy(tt.member, org, false)+all.MemberPolicy(tt.member, org, true)), "")); n > 10240 {
			t.Errorf("member %d has a policy of %d characters", tt.member, n)
		}
	}
}
