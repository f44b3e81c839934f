package actions_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
)

// TestParseTargets: what people type for each kind of target, and the call that
// it is. The call's own line parses to the same call.
func TestParseTargets(t *testing.T) {
	all := actions.Call{Action: actions.RevokeSessions, Target: "222222222222/ALL", Account: member}
	tests := []struct {
		name, text string
		want       actions.Call
	}{
		{"all roles by alias", "revoke_sessions prod/ALL leaked", all},
		{"all roles by ID", "revoke_sessions 222222222222/ALL leaked", all},
		{"all roles by account=", "revoke_sessions ALL account=prod leaked", all},
		{"all roles by role=", "revoke_sessions prod role=ALL leaked", all},
		{"all roles by an SCP", "revoke-sessions prod/ALL via=scp leaked", actions.Call{Action: actions.RevokeSessions, Target: "222222222222/ALL", Account: member, Options: map[string]string{"via": "scp"}}},
		{"a role that is called ALL", "revoke_sessions arn:aws:iam::222222222222:role/ALL leaked", actions.Call{Action: actions.RevokeSessions, Target: "arn:aws:iam::222222222222:role/ALL", Account: member}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			call, _, err := actions.Parse(tt.text, testOrg("aws").Directory())
			must(t, err)
			if d := cmp.Diff(tt.want, call); d != "" {
				t.Error(d)
			}
			again, _, err := actions.Parse(call.String()+" leaked", testOrg("aws").Directory())
			must(t, err)
			if d := cmp.Diff(tt.want, again); d != "" {
				t.Errorf("%s: %s", call, d)
			}
		})
	}
}
