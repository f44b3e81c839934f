package actions_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// renamed gives alice another name, as UpdateUser does: the same ID, and all she has.
func (w *world) renamed(name string) {
	u := w.alice()
	u.Name = name
	w.Account(member).DeleteUser("alice")
	w.Account(member).AddUser(u)
}

// A user that was renamed still has its keys: neither their deletion nor their
// deactivation is claimed, before or after it was applied.
func TestRenamedUserKeepsItsKeys(t *testing.T) {
	for name, alter := range map[actions.Name]func(*awsfake.User){actions.DeleteKey: inactive, actions.DeactivateKey: func(*awsfake.User) {}} {
		w := userWorld(t, alter).onKey(name, firstKey, nil)
		s := w.plan().Steps[0]
		w.renamed("mallory")
		state := w.Snapshot()
		_, applied := w.act.Apply(t.Context(), w.responder(), s, w.run())
		r, read := w.act.Verify(t.Context(), w.responder(), s, actions.Effect{Prior: s.Prior})
		for _, err := range []error{applied, read} {
			if err == nil || r.Holds {
				t.Fatalf("%s: done, says Apply or Verify: %v, %+v", name, err, r)
			}
			cause, hint := actions.Explain(err)
			says(t, cause, "no user alice", "deleted", "renamed", s.ResourceID)
			says(t, hint, firstKey, "mallory")
		}
		if d := cmp.Diff(state, w.Snapshot()); d != "" {
			t.Error(d)
		}
		// The next look finds the key's user again.
		all := w.take(w.brief().Steps)
		if len(all) != 1 || !strings.HasSuffix(all[0].step.Resource, "/mallory") || all[0].step.Hold != s.Hold {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

// A quarantine of a user that was renamed, and what stands of it, is not taken
// for one of a user that is gone.
func TestRenamedUserIsNotQuarantined(t *testing.T) {
	w := userWorld(t)
	all := w.contain()
	clean(t, all)
	w.renamed("mallory")
	for _, d := range all {
		_, applied := w.act.Apply(t.Context(), w.responder(), d.step, w.run())
		r, read := w.act.Verify(t.Context(), w.responder(), d.step, d.effect)
		if applied == nil || read == nil || r.Holds {
			t.Errorf("%s: %v, %+v, %v", d.step.ID, applied, r, read)
		}
	}
	state := w.Snapshot()
	for id, r := range w.back(all) { // the deny is on her, by whatever name
		if r.Holds || r.Changed {
			t.Errorf("Revert %s: %+v", id, r)
		}
		if id == "deny" {
			says(t, r.Found, "no user alice", "renamed", all[0].step.ResourceID)
		}
	}
	if d := cmp.Diff(state, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

// Of a user that is deleted, the keys are known to be gone; of the rest nothing is.
func TestDeletedUserOfAQuarantine(t *testing.T) {
	w := userWorld(t)
	all := w.contain()
	clean(t, all)
	w.Account(member).DeleteUser("alice")
	for _, d := range all {
		r, err := w.act.Verify(t.Context(), w.responder(), d.step, d.effect)
		if want := strings.HasPrefix(d.step.ID, "key "); r.Holds != want || (err == nil) != want {
			t.Errorf("%s: %+v, %v", d.step.ID, r, err)
		}
	}
}

// Whose a key is must be known for that: a no from AWS proves nothing.
func TestKeyOfANamelessUserUnknown(t *testing.T) {
	w := userWorld(t, inactive).onKey(actions.DeleteKey, firstKey, nil)
	s := w.plan().Steps[0]
	w.Account(member).DeleteUser("alice")
	w.Fault(awsfake.Fault{Op: "iam:GetAccessKeyLastUsed", Err: denied})
	_, err := w.act.Apply(t.Context(), w.responder(), s, w.run())
	wantCode(t, err, "AccessDenied")
	r, err := w.act.Verify(t.Context(), w.responder(), s, actions.Effect{Prior: s.Prior})
	wantCode(t, err, "AccessDenied")
	if r.Holds {
		t.Errorf("%+v", r)
	}
}

func TestUserPathOfWildcards(t *testing.T) {
	w := userWorld(t)
	path := "/" + strings.Repeat("*", 510) + "/"
	arn := "arn:aws:iam::" + member + ":user" + path + "alice"
	w.do(actions.Call{Action: actions.QuarantineUser, Target: "arn:aws:iam::" + member + ":user/alice", Account: member}, arn)
	if _, err := w.cloud.EnterFor(t.Context(), actions.Responder, w.act, actions.PhaseRun, w.asked, w.resources, actor); err != nil {
		t.Error(err)
	}
}
