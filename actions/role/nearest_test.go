package role_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const rolesOf = "arn:aws:iam::" + actiontest.Member + ":role"

// askFor plans an action on a role that does not exist, with what the phase is permitted.
func (w *fixture) askFor(name actions.Name, role string, look actions.Look) *actions.Refusal {
	w.T.Helper()
	w.SetCall(actions.Call{Action: name, Target: rolesOf + "/" + role, Account: actiontest.Member})
	acct := w.Enter(actions.Responder, actions.PhasePlan)
	acct.Look = look
	_, err := w.Act.Plan(w.T.Context(), acct, w.Call())
	no, ok := errors.AsType[*actions.Refusal](err)
	if !ok {
		w.T.Fatalf("Plan of %s: %v, want a refusal", role, err)
	}
	return no
}

func (w *fixture) listings() (n int) {
	for _, c := range w.Calls() {
		if c.Op == "iam:ListRoles" {
			n++
		}
	}
	return n
}

func TestMissingRoleNamesTheNearest(t *testing.T) {
	for name, tt := range map[string]struct {
		typed, roles string
		nearest      string // as the refusal lists them
		instead      string
	}{
		"two letters swapped":        {"app-roel", "app-role billing", "app-role", "/app-role"},
		"in another case":            {"APP-ROLE", "app-rule app-role", "app-role or app-rule", "/app-role"},
		"the beginning":              {"web-tier", "web-tier-role weird", "web-tier-role", "/web-tier-role"},
		"with more behind it":        {"web-tier-role-prod", "web-tier-role", "web-tier-role", "/web-tier-role"},
		"a part":                     {"lambda", "thumbnail-lambda-role", "thumbnail-lambda-role", "/thumbnail-lambda-role"},
		"a typo before a part":       {"reader", "log-reader-role raeder", "raeder or log-reader-role", "/raeder"},
		"three of five":              {"role-1", "role-12 role-2 role-13 role-14 role-3", "role-2, role-3 or role-12", "/role-2"},
		"on a path":                  {"app-rol", "/team/app-role", "app-role", "/team/app-role"},
		"none is near":               {"app-role", "billing reporting", "", ""},
		"a word of two letters":      {"ap", "app-role", "", ""},
		"none that the grammar bars": {"app-rol", "app-rol, app-role", "app-role", "/app-role"},
		"none that is protected":     {"break-glas", "break-glass", "", ""},
		"nor by its path":            {"keepr", "/ops/keeper", "", ""},
		"none of ours":               {"killswitch-respondr", "billing", "", ""},
		"none of AWS":                {"AWSServiceRoleForSuport", "/aws-service-role/support.amazonaws.com/AWSServiceRoleForSupport", "", ""},
		"one that is named ALL":      {"AL", "ALL", "ALL", "/ALL"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			for r := range strings.FieldsSeq(tt.roles) {
				at := strings.LastIndex(r, "/")
				w.Account(actiontest.Member).AddRole(awsfake.Role{Name: r[at+1:], Path: r[:at+1]})
			}
			for _, a := range []actions.Name{actions.RevokeSessions, actions.DetachPolicies, actions.DeleteRole} {
				no := w.askFor(a, tt.typed, actions.LookAll)
				want := fmt.Sprintf("there is no role %s in account %s", tt.typed, actiontest.Member)
				if tt.nearest != "" {
					want += "; the nearest is " + tt.nearest
				}
				if no.Reason != want {
					t.Errorf("%s: %q, want %q", a, no.Reason, want)
				}
				actiontest.HasWords(t, no.Hint, "check the name (it is case-sensitive) and the account")
				var meant *actions.Call
				if tt.instead != "" {
					meant = &actions.Call{Action: a, Target: rolesOf + tt.instead, Account: actiontest.Member}
				}
				if d := cmp.Diff(meant, no.Instead); d != "" {
					t.Errorf("%s: %s", a, d)
				}
			}
		})
	}
}

// TestNearestRoleDelaysNoRefusal: a listing that fails or hangs changes nothing, a long one
// ends, and a run lists nothing.
func TestNearestRoleDelaysNoRefusal(t *testing.T) {
	for name, tt := range map[string]struct {
		alter    func(*fixture)
		look     actions.Look
		listings int
		names    string
	}{
		"the listing is denied": {func(w *fixture) { w.Fault(awsfake.Fault{Op: "iam:ListRoles", Err: actiontest.Denied}) }, actions.LookAll, 1, ""},
		"the listing hangs":     {func(w *fixture) { w.Fault(awsfake.Fault{Op: "iam:ListRoles", Delay: time.Hour}) }, actions.LookAll, 1, ""},
		"the account has more than are read": {func(w *fixture) {
			for i := range 2500 {
				w.Account(actiontest.Member).AddRole(awsfake.Role{Name: fmt.Sprintf("a%d", i)})
			}
			w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "Victim"})
		}, actions.LookAll, 2, "Victim"},
		"a run":           {func(*fixture) {}, actions.LookSteps, 0, ""},
		"a run's deny":    {func(*fixture) {}, actions.LookFirst, 0, ""},
		"and the request": {func(*fixture) {}, actions.LookAll, 1, "victim"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := fixtureAt(t, &actiontest.Clock{T: time.Now()}, time.Now, "aws")
				tt.alter(w)
				began := time.Now()
				no := w.askFor(actions.RevokeSessions, "victmi", tt.look)
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("refused after %s", took)
				}
				if got := w.listings(); got != tt.listings {
					t.Errorf("listed %d times, want %d", got, tt.listings)
				}
				if found := no.Instead != nil; found != (tt.names != "") || !strings.Contains(no.Reason, tt.names) {
					t.Errorf("%q, instead %v", no.Reason, no.Instead)
				}
			})
		})
	}
}

// TestRoleOfAnotherPathIsNamed, and the line for it has the right ARN.
func TestRoleOfAnotherPathIsNamed(t *testing.T) {
	w := newFixture(t)
	no := w.askFor(actions.RevokeSessions, "other/victim", actions.LookAll)
	actiontest.HasWords(t, no.Reason, "other/victim", w.Role)
	if no.Instead == nil || no.Instead.Target != w.Role || w.listings() != 0 {
		t.Errorf("instead %v, listed %d times", no.Instead, w.listings())
	}
}
