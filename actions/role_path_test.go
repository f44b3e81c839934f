package actions_test

import (
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func atPath(path string) func(*awsfake.Role) { return func(r *awsfake.Role) { r.Path = path } }

// revokedAt revokes the sessions of a role that an attacker made at a path of
// their choice, by name as a responder would.
func revokedAt(t *testing.T, path string) {
	t.Helper()
	w := newWorld(t, atPath(path))
	w.do(actions.Call{Action: actions.RevokeSessions, Target: "arn:aws:iam::" + member + ":role/victim", Account: member}, w.role)
	p := w.plan()
	acct, err := w.cloud.EnterFor(t.Context(), actions.Responder, w.act, actions.PhaseRun, w.asked, w.resources, actor)
	if err != nil {
		t.Fatalf("path %.40q: no session: %v", path, err)
	}
	for _, s := range p.Steps {
		if _, err := w.act.Apply(t.Context(), acct, s, w.run()); err != nil {
			t.Errorf("path %.40q: %s: %v", path, s.ID, err)
		}
	}
	if w.victim().Inline[revoke] == "" {
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
		w := newWorld(t, atPath(path))
		w.do(actions.Call{Action: actions.RevokeSessions, Target: member + "/ALL", Account: member})
		p := w.plan()
		s := step(t, p, "revoke victim")
		e, err := w.act.Apply(t.Context(), w.responder(), s, w.run())
		if err != nil {
			t.Errorf("%s: apply: %v", path, err)
			continue
		}
		r, err := w.act.Verify(t.Context(), w.responder(), s, e)
		if denied := w.victim().Inline[revoke] != ""; err != nil || r.Holds != denied {
			t.Errorf("%s: Verify says holds=%t (%s), the role is denied: %t, %v", path, r.Holds, r.Found, denied, err)
		}
	}
}
