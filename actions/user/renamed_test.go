package user_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// renamed gives alice another name, as UpdateUser does: the same ID, and all she has.
func (w *fixture) renamed(name string) {
	u := w.alice()
	u.Name = name
	w.Account(actiontest.Member).DeleteUser("alice")
	w.Account(actiontest.Member).AddUser(u)
}

// A user that was renamed still has its keys: neither their deletion nor their
// deactivation is claimed, before or after it was applied.
func TestRenamedUserKeepsItsKeys(t *testing.T) {
	for name, alter := range map[actions.Name]func(*awsfake.User){actions.DeleteKey: inactive, actions.DeactivateKey: func(*awsfake.User) {}} {
		w := userWorld(t, alter).onKey(name, actiontest.FirstKey, nil)
		s := w.Plan().Steps[0]
		w.renamed("mallory")
		state := w.Snapshot()
		_, applied := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
		r, read := w.Act.Verify(t.Context(), w.Responder(), s, actions.Effect{Prior: s.Prior})
		for _, err := range []error{applied, read} {
			if err == nil || r.Holds {
				t.Fatalf("%s: done, says Apply or Verify: %v, %+v", name, err, r)
			}
			cause, hint := actions.Explain(err)
			actiontest.HasWords(t, cause, "no user alice", "deleted", "renamed", s.ResourceID)
			actiontest.HasWords(t, hint, actiontest.FirstKey, "mallory")
		}
		if d := cmp.Diff(state, w.Snapshot()); d != "" {
			t.Error(d)
		}
		// The next look finds the key's user again.
		all := w.ApplySteps(w.brief().Steps)
		if len(all) != 1 || !strings.HasSuffix(all[0].Step.Resource, "/mallory") || all[0].Step.Hold != s.Hold {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

// A quarantine of a user that was renamed, and what stands of it, is not taken
// for one of a user that is gone.
func TestRenamedUserIsNotQuarantined(t *testing.T) {
	w := userWorld(t)
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.renamed("mallory")
	for _, d := range all {
		_, applied := w.Act.Apply(t.Context(), w.Responder(), d.Step, w.Run())
		r, read := w.Act.Verify(t.Context(), w.Responder(), d.Step, d.Effect)
		if applied == nil || read == nil || r.Holds {
			t.Errorf("%s: %v, %+v, %v", d.Step.ID, applied, r, read)
		}
	}
	state := w.Snapshot()
	for id, r := range w.Undo(all) { // the deny is on her, by whatever name
		if r.Holds || r.Changed {
			t.Errorf("Revert %s: %+v", id, r)
		}
		if id == "deny" {
			actiontest.HasWords(t, r.Found, "no user alice", "renamed", all[0].Step.ResourceID)
		}
	}
	if d := cmp.Diff(state, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

// Of a user that is deleted, the keys are known to be gone; of the rest nothing is.
func TestDeletedUserOfAQuarantine(t *testing.T) {
	w := userWorld(t)
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.Account(actiontest.Member).DeleteUser("alice")
	for _, d := range all {
		r, err := w.Act.Verify(t.Context(), w.Responder(), d.Step, d.Effect)
		if want := strings.HasPrefix(d.Step.ID, "key "); r.Holds != want || (err == nil) != want {
			t.Errorf("%s: %+v, %v", d.Step.ID, r, err)
		}
	}
}

// Whose a key is must be known for that: a no from AWS proves nothing.
func TestKeyOfAMissingUserUnknown(t *testing.T) {
	w := userWorld(t, inactive).onKey(actions.DeleteKey, actiontest.FirstKey, nil)
	s := w.Plan().Steps[0]
	w.Account(actiontest.Member).DeleteUser("alice")
	w.Fault(awsfake.Fault{Op: "iam:GetAccessKeyLastUsed", Err: actiontest.Denied})
	_, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
	actiontest.WantCode(t, err, "AccessDenied")
	r, err := w.Act.Verify(t.Context(), w.Responder(), s, actions.Effect{Prior: s.Prior})
	actiontest.WantCode(t, err, "AccessDenied")
	if r.Holds {
		t.Errorf("%+v", r)
	}
}

func TestUserPathOfWildcards(t *testing.T) {
	w := userWorld(t)
	path := "/" + strings.Repeat("*", 510) + "/"
	arn := "arn:aws:iam::" + actiontest.Member + ":user" + path + "alice"
	w.SetCall(actions.Call{Action: actions.QuarantineUser, Target: "arn:aws:iam::" + actiontest.Member + ":user/alice", Account: actiontest.Member}, arn)
	if _, err := w.Hub.EnterFor(t.Context(), actions.Responder, w.Act, actions.PhaseRun, w.Asked, w.Resources, actiontest.Actor); err != nil {
		t.Error(err)
	}
}
