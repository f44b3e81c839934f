package role_test

import (
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func atPath(path string) func(*awsfake.Role) { return func(r *awsfake.Role) { r.Path = path } }

// revokedAt revokes the sessions of a role that an attacker made at a path of
// their choice, by name as a responder would.
func revokedAt(t *testing.T, path string) {
	t.Helper()
	w := newFixture(t, atPath(path))
	w.SetCall(actions.Call{Action: actions.RevokeSessions, Target: "arn:aws:iam::" + actiontest.Member + ":role/victim", Account: actiontest.Member}, w.Role)
	p := w.Plan()
	acct, err := w.Hub.EnterFor(t.Context(), actions.Responder, w.Act, actions.PhaseRun, w.Asked, w.Resources, actiontest.Actor)
	if err != nil {
		t.Fatalf("path %.40q: no session: %v", path, err)
	}
	for _, s := range p.Steps {
		if _, err := w.Act.Apply(t.Context(), acct, s, w.Run()); err != nil {
			t.Errorf("path %.40q: %s: %v", path, s.ID, err)
		}
	}
	if w.Victim().Inline[actiontest.Revoke] == "" {
		t.Errorf("path %.40q: the role is not denied", path)
	}
}

// A role's path may look like an ARN of Organizations.
func TestPathLikeAnARN(t *testing.T) { revokedAt(t, "/:organizations:/") }

// IAM's pattern of a path allows two slashes in a row.
func TestPathOfTwoSlashes(t *testing.T) { revokedAt(t, "/a//b/") }

// Each * of a path is four characters in a session policy.
func TestPathOfWildcards(t *testing.T) { revokedAt(t, "/"+strings.Repeat("*", 510)+"/") }

// ALL must not say of such a role that it no longer exists.
func TestAllRolesOfStrangePaths(t *testing.T) {
	for _, path := range []string{"/a//b/", "/:organizations:/"} {
		w := newFixture(t, atPath(path))
		w.SetCall(actions.Call{Action: actions.RevokeSessions, Target: actiontest.Member + "/ALL", Account: actiontest.Member})
		p := w.Plan()
		s := actiontest.StepOf(t, p, "revoke victim")
		e, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
		if err != nil {
			t.Errorf("%s: apply: %v", path, err)
			continue
		}
		r, err := w.Act.Verify(t.Context(), w.Responder(), s, e)
		if denied := w.Victim().Inline[actiontest.Revoke] != ""; err != nil || r.Holds != denied {
			t.Errorf("%s: Verify says holds=%t (%s), the role is denied: %t, %v", path, r.Holds, r.Found, denied, err)
		}
	}
}
