package user_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

var withQuarantine = map[string]string{"quarantine": "yes"}

// inactive makes alice's keys inactive.
func inactive(u *awsfake.User) {
	u.Keys = slices.Clone(u.Keys)
	for i := range u.Keys {
		u.Keys[i].Inactive = true
	}
}

func keyContract(t *testing.T, name actions.Name, starts map[string]func(w *fixture), alter ...func(*awsfake.User)) {
	actiontest.EachPartition(t, func(t *testing.T, partition string, delay time.Duration) {
		contract := actiontest.Contract{}
		for _, title := range slices.Sorted(maps.Keys(starts)) {
			contract.Starts = append(contract.Starts, actiontest.Start{Name: title, Open: func(t *testing.T) actiontest.Environment {
				w := userWorldAt(t, &actiontest.Clock{T: actiontest.Began.Add(123 * time.Millisecond)}, partition, alter...)
				starts[title](w)
				w.SetPropagation(delay)
				s := userEnvironment(w)
				if name == actions.DeleteKey {
					s.State = func() any { return w.Snapshot() }
				}
				return s
			}})
		}
		contract.Action, _ = all.Actions.Lookup(name)
		contract.ErrorPathPermits = append([]string{"cloudtrail:LookupEvents", "iam:GetAccessKeyLastUsed"}, boundaryPermits...) // for an exempt user, TestKeyOfAnAdmin; for one whose name is gone, TestRenamedUser
		actiontest.Test(t, contract)
	})
}

func TestDeactivateKeyContract(t *testing.T) {
	change := func(f func(*awsfake.User)) func(*fixture) {
		return func(w *fixture) {
			u := w.alice()
			f(&u)
			for _, arn := range u.Attached {
				if strings.Contains(arn, ":"+actiontest.Member+":") {
					w.AddPolicy(arn, actiontest.AllowIAM)
				}
			}
			w.Account(actiontest.Member).AddUser(u)
			w.onKey(actions.DeactivateKey, actiontest.FirstKey, withQuarantine)
		}
	}
	keyContract(t, actions.DeactivateKey, map[string]func(*fixture){
		"the key alone":      func(w *fixture) { w.onKey(actions.DeactivateKey, actiontest.FirstKey, nil) },
		"and the user":       func(w *fixture) { w.onKey(actions.DeactivateKey, actiontest.SecondKey, withQuarantine) },
		"a tagged user":      change(userTagged("KS-EARLIER")),
		"no place to attach": change(tenUserPolicies),
		"nor of our name": change(func(u *awsfake.User) {
			tenUserPolicies(u)
			userInline(actiontest.FullQuarantine, actiontest.Handwritten)(u)
		}),
		"an admin": func(w *fixture) {
			w.exempting("devs").onKey(actions.DeactivateKey, actiontest.FirstKey, withQuarantine)
			w.Org.AdminGroup = "devs"
		},
	})
}

func TestDeleteKeyContract(t *testing.T) {
	keyContract(t, actions.DeleteKey, map[string]func(*fixture){
		"an inactive key": func(w *fixture) { w.onKey(actions.DeleteKey, actiontest.FirstKey, nil) },
		"with its user": func(w *fixture) {
			w.onKey(actions.DeleteKey, actiontest.FirstKey, map[string]string{"user": "alice"})
		},
	}, inactive)
}

// refused is the plan's no.
func (w *fixture) refused() *actions.Refusal {
	w.T.Helper()
	_, err := w.Act.Plan(w.T.Context(), w.Enter(actions.Responder, actions.PhasePlan), w.Call())
	var no *actions.Refusal
	if !errors.As(err, &no) {
		w.T.Fatalf("Plan: %v", err)
	}
	return no
}

// brief plans as a run and a re-check do.
func (w *fixture) brief() actions.Plan {
	w.T.Helper()
	acct := w.Enter(actions.Responder, actions.PhasePlan)
	acct.Look = actions.LookSteps
	p, err := w.Act.Plan(w.T.Context(), acct, w.Call())
	actiontest.Must(w.T, err)
	return p
}

// The key dies, and a session that was derived from it only with the user.
func TestDerivedSessionOutlivesItsKey(t *testing.T) {
	for _, options := range []map[string]string{nil, withQuarantine} {
		w := userWorld(t).onKey(actions.DeactivateKey, actiontest.FirstKey, options)
		key, other := w.KeySession(actiontest.FirstKey), w.KeySession(actiontest.SecondKey)
		derived := key.SessionToken()
		p := w.Plan()
		all := w.ApplySteps(p.Steps)
		actiontest.AllApplied(t, all)
		w.holdsAll(all)
		for s, want := range map[*awsfake.Session]bool{key: false, derived: options == nil, other: options == nil} {
			if ok, why := s.Can("s3:GetObject", "arn:aws:s3:::b/k"); ok != want {
				t.Errorf("%v: can %t: %s", options, ok, why)
			}
		}
		if residual := strings.Join(p.Residual, " "); options == nil {
			actiontest.HasWords(t, residual, "GetSessionToken", "live on", "quarantine=yes")
		}
		actiontest.HasWords(t, p.Undo, "keys=reactivate")
		actiontest.HasWords(t, p.Snapshot, actiontest.FirstKey, "Active", w.userARN())
		if d := cmp.Diff(actions.Identity{ARN: w.userARN(), ID: actiontest.FirstKey, Created: actiontest.Began}, p.Identity); d != "" {
			t.Error(d)
		}
	}
}

// TestSharedHolds: what both requests change is held by both, so that the undo of
// one leaves what the other still needs.
func TestSharedHolds(t *testing.T) {
	w := userWorld(t)
	user := w.Plan()
	key := w.onKey(actions.DeactivateKey, actiontest.FirstKey, withQuarantine).Plan()
	if d := cmp.Diff([]string{"key " + actiontest.FirstKey, "deny", "tag"}, actiontest.StepIDs(key)); d != "" {
		t.Error(d)
	}
	for _, s := range key.Steps {
		same := actiontest.StepOf(t, user, s.ID)
		if d := cmp.Diff(same, s, cmpopts.IgnoreFields(s, "Goal")); d != "" { // in a quarantine the key only supports
			t.Errorf("another step: %s", d)
		}
	}

	// The second containment finds the first one's; the undo of both by the first one's snapshot is complete.
	w = userWorld(t)
	before := w.users()
	first := w.Contain()
	actiontest.AllApplied(t, first)
	w.onKey(actions.DeactivateKey, actiontest.FirstKey, withQuarantine)
	second := w.Contain()
	actiontest.AllApplied(t, second)
	w.holdsAll(second)
	actiontest.HasWords(t, actiontest.StepOf(t, w.Plan(), "key "+actiontest.FirstKey).Current, "inactive already")
	for i, d := range second { // the hold keeps the first holder's snapshot
		for _, f := range first {
			if f.Step.Hold == d.Step.Hold {
				second[i].Effect.Prior = f.Effect.Prior
			}
		}
	}
	for id, r := range w.Undo(second) {
		if !r.Holds || !r.Changed {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	w.quarantine(nil)
	for id, r := range w.Undo(first) {
		if !r.Holds && id != "password" {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	if d := cmp.Diff(before, w.users()); d != "" {
		t.Error(d)
	}
}

func TestKeyWithoutAnOwner(t *testing.T) {
	const root = "AKIA00000000000ROOT1"
	for _, name := range []actions.Name{actions.DeactivateKey, actions.DeleteKey} {
		w := userWorld(t)
		w.Account(actiontest.Member).AddRootKey(root)
		if account, err := w.Hub.AccountOfKey(t.Context(), root); err != nil || account != actiontest.Member {
			t.Errorf("%s, %v", account, err)
		}
		for _, id := range []string{root, "AKIA0000000000MISSING"} {
			no := w.onKey(name, id, nil).refused()
			actiontest.HasWords(t, no.Reason, id, "does not exist", "root user's", "the root user's")
			actiontest.HasWords(t, no.Hint, "as root")
		}
		// AWS may say no instead: that is not about the member roles alone.
		w.Fault(awsfake.Fault{Op: "iam:GetAccessKeyLastUsed", Err: actiontest.Denied})
		_, err := w.Act.Plan(t.Context(), w.Enter(actions.Responder, actions.PhasePlan), w.Call())
		_, hint := actions.Explain(err)
		actiontest.HasWords(t, hint, "not in account "+actiontest.Member)
	}
}

func TestKeyOfAnotherUser(t *testing.T) {
	for _, name := range []actions.Name{actions.DeactivateKey, actions.DeleteKey} {
		w := userWorld(t, inactive)
		no := w.onKey(name, actiontest.FirstKey, map[string]string{"user": "bob"}).refused()
		actiontest.HasWords(t, no.Reason, actiontest.FirstKey, "alice", "not of bob")
		w.onKey(name, actiontest.FirstKey, map[string]string{"user": "Alice"}).Plan()
	}
}

func TestKeyCallsParse(t *testing.T) {
	dir := actiontest.TestOrg("aws").Directory()
	for text, want := range map[string]actions.Call{
		"deactivate_key " + actiontest.FirstKey + " leaked":                             {Action: actions.DeactivateKey, Target: actiontest.FirstKey},
		"deactivate_key " + actiontest.FirstKey + " quarantine=no leaked":               {Action: actions.DeactivateKey, Target: actiontest.FirstKey},
		"deactivate-key prod/" + actiontest.FirstKey + " quarantine=yes leaked":         {Action: actions.DeactivateKey, Target: actiontest.FirstKey, Account: actiontest.Member, Options: withQuarantine},
		"delete_key " + actiontest.FirstKey + " account=prod user=alice leaked":         {Action: actions.DeleteKey, Target: actiontest.FirstKey, Account: actiontest.Member, Options: map[string]string{"user": "alice"}},
		"quarantine_user prod/alice user=alice mode=iam-only leaked":                    {Action: actions.QuarantineUser, Target: "arn:aws:iam::222222222222:user/alice", Account: actiontest.Member, Options: map[string]string{"mode": "iam-only"}},
		"quarantine_user arn:aws:iam::222222222222:user/team/alice leaked":              {Action: actions.QuarantineUser, Target: "arn:aws:iam::222222222222:user/team/alice", Account: actiontest.Member},
		"deactivate_key " + actiontest.FirstKey + " user=alice quarantine=yes reason=x": {Action: actions.DeactivateKey, Target: actiontest.FirstKey, Options: map[string]string{"user": "alice", "quarantine": "yes"}},
	} {
		call, _, err := actions.Parse(text, dir)
		actiontest.Must(t, err)
		if !call.Equal(want) {
			t.Errorf("%s: %+v", text, call)
		}
		again, _, err := actions.Parse(call.String()+" reason=x", dir)
		actiontest.Must(t, err)
		if !again.Equal(want) {
			t.Errorf("%s: %+v", call, again)
		}
	}
	for text, words := range map[string][]string{
		"deactivate_key ASIA0000000000000001 leaked":                         {"session's key", "revoke_sessions", "quarantine_user"},
		"deactivate_key " + actiontest.FirstKey + " quarantine=maybe leaked": {"quarantine", "yes or no"},
		"delete_key " + actiontest.FirstKey + " quarantine=yes leaked":       {"quarantine"},
		"quarantine_user prod/alice mode=full leaked":                        {"iam-only"},
		"deactivate_key " + actiontest.FirstKey + ` user="a b" reason=x`:     {"not a user name"},
		"quarantine_user prod/alice user=bob leaked":                         {"does not match"},
		"quarantine_user arn:aws:iam::222222222222:role/app leaked":          {"revoke_sessions"},
	} {
		_, _, err := actions.Parse(text, dir)
		var m *actions.ParseErrors
		if !errors.As(err, &m) {
			t.Errorf("%s: %v", text, err)
			continue
		}
		said := ""
		for _, x := range m.List {
			said += x.Field + " " + x.Problem + " " + x.Hint + "\n"
		}
		actiontest.HasWords(t, said, words...)
	}
	var m *actions.ParseErrors
	_, _, err := actions.Parse("deactivate_key "+actiontest.FirstKey+" user=alice quarantine=maybe leaked", dir)
	if !errors.As(err, &m) {
		t.Fatal(err)
	}
	actiontest.HasWords(t, m.Example, "user=alice")
}

func TestKeyInactiveAlready(t *testing.T) {
	w := userWorld(t, inactive).onKey(actions.DeactivateKey, actiontest.FirstKey, nil)
	p := w.Plan()
	actiontest.HasWords(t, p.Steps[0].Current, "inactive already")
	n := w.Mutations()
	all := w.ApplySteps(p.Steps)
	actiontest.AllApplied(t, all)
	w.holdsAll(all)
	if r := w.Undo(all)[p.Steps[0].ID]; !r.Holds || r.Changed || w.Mutations() != n {
		t.Errorf("%+v, %d calls that write", r, w.Mutations()-n)
	}
}

// The owner is exempt: the key goes all the same, and why the user does not is said.
func TestKeyOfAnAdmin(t *testing.T) {
	w := userWorld(t).exempting("DEVS").onKey(actions.DeactivateKey, actiontest.FirstKey, withQuarantine)
	w.Fault(awsfake.Fault{Op: "cloudtrail:LookupEvents", Err: actiontest.Denied})
	p := w.Plan()
	if d := cmp.Diff([]string{"key " + actiontest.FirstKey}, actiontest.StepIDs(p)); d != "" {
		t.Error(d)
	}
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "alice", "admin group devs", "since when is not known", "Only the key is deactivated", "confirm=alice")
	actiontest.HasWords(t, strings.Join(p.Residual, " "), "live on for up to 36 hours")
	actiontest.AllApplied(t, w.ApplySteps(p.Steps))
	if got := w.alice(); !got.Keys[0].Inactive || len(got.Tags) != 0 || len(got.Inline) != 0 || len(got.Attached) != 1 {
		t.Errorf("%+v", got)
	}

	w = userWorld(t).exempting("admins").onKey(actions.DeactivateKey, actiontest.FirstKey, withQuarantine)
	w.Fault(awsfake.Fault{Op: "iam:ListGroupsForUser", Err: actiontest.Throttling})
	if p := w.Plan(); len(p.Steps) != 1 || !strings.Contains(strings.Join(p.Warnings, " "), "can't be read (Throttling") {
		t.Errorf("%v, %q", actiontest.StepIDs(p), p.Warnings)
	}
	// Without quarantine nobody asks.
	w.onKey(actions.DeactivateKey, actiontest.FirstKey, nil).Plan()
}

// A key that its owner deletes meanwhile is as dead as it can be.
func TestKeyDeletedMeanwhile(t *testing.T) {
	w := userWorld(t).onKey(actions.DeactivateKey, actiontest.FirstKey, nil)
	p := w.Plan()
	u := w.alice()
	u.Keys = u.Keys[1:]
	w.Account(actiontest.Member).AddUser(u)
	all := w.ApplySteps(p.Steps)
	actiontest.AllApplied(t, all)
	w.holdsAll(all)
	again := w.brief()
	if again.Identity.ID != p.Identity.ID || w.Org.RefuseIdentity(again.Identity, false) != nil {
		t.Errorf("%+v", again.Identity)
	}
	if r := w.Undo(all)[p.Steps[0].ID]; r.Holds || r.Changed || !strings.Contains(r.Found, "no longer exists") {
		t.Errorf("%+v", r)
	}
}

func TestDeleteOfAnActiveKey(t *testing.T) {
	w := userWorld(t).onKey(actions.DeleteKey, actiontest.FirstKey, nil)
	no := w.refused()
	actiontest.HasWords(t, no.Reason, actiontest.FirstKey, "active")
	actiontest.HasWords(t, no.Hint, "deactivate_key first")

	// Activated after the plan: nothing is deleted.
	w = userWorld(t, inactive).onKey(actions.DeleteKey, actiontest.FirstKey, nil)
	p := w.Plan()
	u := w.alice()
	u.Keys[0].Inactive = false
	w.Account(actiontest.Member).AddUser(u)
	_, err := w.Act.Apply(t.Context(), w.Responder(), p.Steps[0], w.Run())
	var refused *actions.Refusal
	if !errors.As(err, &refused) || len(w.alice().Keys) != 2 {
		t.Errorf("%v, %v", err, w.alice().Keys)
	}
}

func TestDeleteKeyTwice(t *testing.T) {
	w := userWorld(t, inactive).onKey(actions.DeleteKey, actiontest.FirstKey, nil)
	p := w.Plan()
	actiontest.HasWords(t, p.Steps[0].NotReverted+p.Undo, "can't be restored")
	if p.Reversible || w.Act.Spec().Quorum != 2 {
		t.Errorf("%+v", w.Act.Spec())
	}
	all := w.ApplySteps(p.Steps)
	actiontest.AllApplied(t, all)
	if !all[0].Effect.Changed {
		t.Error("not changed")
	}
	actiontest.AllApplied(t, w.ApplySteps(p.Steps))
	w.holdsAll(all)
	if got := w.alice().Keys; len(got) != 1 || got[0].ID != actiontest.SecondKey {
		t.Errorf("%v", got)
	}

	// A re-check, and a run that goes on, look again: the key is gone, and that is no error.
	again := w.brief()
	if again.Identity.ID != p.Identity.ID || len(again.Steps) != 0 || w.Org.RefuseIdentity(again.Identity, false) != nil {
		t.Errorf("%+v", again)
	}
	actiontest.HasWords(t, w.refused().Reason, "does not exist") // a new request is told
	r, err := w.Act.Revert(t.Context(), w.Responder(), all[0].Step, all[0].Effect)
	if err != nil || r.Holds || r.Changed || !strings.Contains(r.Found, "can't be restored") {
		t.Errorf("%+v, %v", r, err)
	}
	w.Account(actiontest.Member).DeleteUser("alice")
	actiontest.AllApplied(t, w.ApplySteps(p.Steps))
	w.holdsAll(all)
}

func TestKeyOfAUserCreatedAgain(t *testing.T) {
	w := userWorld(t).onKey(actions.DeactivateKey, actiontest.FirstKey, withQuarantine)
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.anotherAlice()
	state := w.Snapshot()
	for _, d := range all {
		if _, err := w.Act.Apply(t.Context(), w.Responder(), d.Step, w.Run()); !errors.Is(err, actions.ErrRecreated) {
			t.Errorf("Apply %s: %v", d.Step.ID, err)
		}
	}
	for id, r := range w.Undo(all) {
		if r.Holds || r.Changed {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	if d := cmp.Diff(state, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

func TestDeactivateKeyKilledAfterAnyCall(t *testing.T) {
	for n, died := 1, true; died; n++ {
		w := userWorld(t).onKey(actions.DeactivateKey, actiontest.FirstKey, withQuarantine)
		before := w.users()
		died = w.Killed(n)
		if d := cmp.Diff(before, w.users()); d != "" {
			t.Errorf("killed at call %d:\n%s", n, d)
		}
		if !died && n < 6 {
			t.Errorf("only %d calls change something", n)
		}
	}
}
