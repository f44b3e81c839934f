package actions_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
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

func keyContract(t *testing.T, name actions.Name, starts map[string]func(w *world), alter ...func(*awsfake.User)) {
	eachPartition(t, func(t *testing.T, partition string, delay time.Duration) {
		contract := actiontest.World{}
		for _, title := range slices.Sorted(maps.Keys(starts)) {
			contract.Starts = append(contract.Starts, actiontest.Start{Name: title, Open: func(t *testing.T) actiontest.Scene {
				w := userWorldAt(t, &clock{t: start.Add(123 * time.Millisecond)}, partition, alter...)
				starts[title](w)
				w.SetPropagation(delay)
				s := userScene(w)
				if name == actions.DeleteKey {
					s.State = func() any { return w.Snapshot() }
				}
				return s
			}})
		}
		contract.Action, _ = actions.All.Lookup(name)
		contract.Seldom = []string{"cloudtrail:LookupEvents", "iam:GetAccessKeyLastUsed"} // for an exempt user, TestKeyOfAnAdmin; for one whose name is gone, TestRenamedUser
		actiontest.Test(t, contract)
	})
}

func TestDeactivateKeyContract(t *testing.T) {
	change := func(f func(*awsfake.User)) func(*world) {
		return func(w *world) {
			u := w.alice()
			f(&u)
			for _, arn := range u.Attached {
				if strings.Contains(arn, ":"+member+":") {
					w.AddPolicy(arn, allowIAM)
				}
			}
			w.Account(member).AddUser(u)
			w.onKey(actions.DeactivateKey, firstKey, withQuarantine)
		}
	}
	keyContract(t, actions.DeactivateKey, map[string]func(*world){
		"the key alone":      func(w *world) { w.onKey(actions.DeactivateKey, firstKey, nil) },
		"and the user":       func(w *world) { w.onKey(actions.DeactivateKey, secondKey, withQuarantine) },
		"a tagged user":      change(userTagged("KS-EARLIER")),
		"no place to attach": change(tenUserPolicies),
		"nor of our name":    change(func(u *awsfake.User) { tenUserPolicies(u); userInline(quarantineName, handwritten)(u) }),
		"an admin": func(w *world) {
			w.exempting("devs").onKey(actions.DeactivateKey, firstKey, withQuarantine)
			w.org.AdminGroup = "devs"
		},
	})
}

func TestDeleteKeyContract(t *testing.T) {
	keyContract(t, actions.DeleteKey, map[string]func(*world){
		"an inactive key": func(w *world) { w.onKey(actions.DeleteKey, firstKey, nil) },
		"with its user":   func(w *world) { w.onKey(actions.DeleteKey, firstKey, map[string]string{"user": "alice"}) },
	}, inactive)
}

// refused is the plan's no.
func (w *world) refused() *actions.Refusal {
	w.t.Helper()
	_, err := w.act.Plan(w.t.Context(), w.enter(actions.Responder, actions.PhasePlan), w.call())
	var no *actions.Refusal
	if !errors.As(err, &no) {
		w.t.Fatalf("Plan: %v", err)
	}
	return no
}

// brief plans as a run and a re-check do.
func (w *world) brief() actions.Plan {
	w.t.Helper()
	acct := w.enter(actions.Responder, actions.PhasePlan)
	acct.Brief = true
	p, err := w.act.Plan(w.t.Context(), acct, w.call())
	must(w.t, err)
	return p
}

// The key dies, and a session that was derived from it only with the user.
func TestDerivedSessionOutlivesItsKey(t *testing.T) {
	for _, options := range []map[string]string{nil, withQuarantine} {
		w := userWorld(t).onKey(actions.DeactivateKey, firstKey, options)
		key, other := w.KeySession(firstKey), w.KeySession(secondKey)
		derived := key.SessionToken()
		p := w.plan()
		all := w.take(p.Steps)
		clean(t, all)
		w.holdsAll(all)
		for s, want := range map[*awsfake.Session]bool{key: false, derived: options == nil, other: options == nil} {
			if ok, why := s.Can("s3:GetObject", "arn:aws:s3:::b/k"); ok != want {
				t.Errorf("%v: can %t: %s", options, ok, why)
			}
		}
		if residual := strings.Join(p.Residual, " "); options == nil {
			says(t, residual, "GetSessionToken", "live on", "quarantine=yes")
		}
		says(t, p.Undo, "keys=reactivate")
		says(t, p.Snapshot, firstKey, "Active", w.userARN())
		if d := cmp.Diff(actions.Identity{ARN: w.userARN(), ID: firstKey, Created: start}, p.Identity); d != "" {
			t.Error(d)
		}
	}
}

// TestSharedHolds: what both requests change is held by both, so that the undo of
// one leaves what the other still needs.
func TestSharedHolds(t *testing.T) {
	w := userWorld(t)
	user := w.plan()
	key := w.onKey(actions.DeactivateKey, firstKey, withQuarantine).plan()
	if d := cmp.Diff([]string{"key " + firstKey, "tag", "deny"}, stepIDs(key)); d != "" {
		t.Error(d)
	}
	for _, s := range key.Steps {
		same := step(t, user, s.ID)
		if d := cmp.Diff(same, s); d != "" {
			t.Errorf("another step: %s", d)
		}
	}

	// The second containment finds the first one's; the undo of both by the first one's snapshot is complete.
	w = userWorld(t)
	before := w.users()
	first := w.contain()
	clean(t, first)
	w.onKey(actions.DeactivateKey, firstKey, withQuarantine)
	second := w.contain()
	clean(t, second)
	w.holdsAll(second)
	says(t, step(t, w.plan(), "key "+firstKey).Current, "inactive already")
	for i, d := range second { // the hold keeps the first holder's snapshot
		for _, f := range first {
			if f.step.Hold == d.step.Hold {
				second[i].effect.Prior = f.effect.Prior
			}
		}
	}
	for id, r := range w.back(second) {
		if !r.Holds || !r.Changed {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	w.quarantine(nil)
	for id, r := range w.back(first) {
		if !r.Holds && id != "password" {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	if d := cmp.Diff(before, w.users()); d != "" {
		t.Error(d)
	}
}

func TestKeyThatIsNoUsers(t *testing.T) {
	const root = "AKIA00000000000ROOT1"
	for _, name := range []actions.Name{actions.DeactivateKey, actions.DeleteKey} {
		w := userWorld(t)
		w.Account(member).AddRootKey(root)
		if account, err := w.cloud.AccountOfKey(t.Context(), root); err != nil || account != member {
			t.Errorf("%s, %v", account, err)
		}
		for _, id := range []string{root, "AKIA0000000000MISSING"} {
			no := w.onKey(name, id, nil).refused()
			says(t, no.Reason, id, "does not exist", "root user's", "no API")
			says(t, no.Hint, "as root")
		}
		// AWS may say no instead: that is not about the member roles alone.
		w.Fault(awsfake.Fault{Op: "iam:GetAccessKeyLastUsed", Err: denied})
		_, err := w.act.Plan(t.Context(), w.enter(actions.Responder, actions.PhasePlan), w.call())
		_, hint := actions.Explain(err)
		says(t, hint, "not in account "+member)
	}
}

func TestKeyOfAnotherUser(t *testing.T) {
	for _, name := range []actions.Name{actions.DeactivateKey, actions.DeleteKey} {
		w := userWorld(t, inactive)
		no := w.onKey(name, firstKey, map[string]string{"user": "bob"}).refused()
		says(t, no.Reason, firstKey, "alice", "not of bob")
		w.onKey(name, firstKey, map[string]string{"user": "Alice"}).plan()
	}
}

func TestKeyGrammar(t *testing.T) {
	dir := testOrg("aws").Directory()
	for text, want := range map[string]actions.Call{
		"deactivate_key " + firstKey + " leaked":                             {Action: actions.DeactivateKey, Target: firstKey},
		"deactivate_key " + firstKey + " quarantine=no leaked":               {Action: actions.DeactivateKey, Target: firstKey},
		"deactivate-key prod/" + firstKey + " quarantine=yes leaked":         {Action: actions.DeactivateKey, Target: firstKey, Account: member, Options: withQuarantine},
		"delete_key " + firstKey + " account=prod user=alice leaked":         {Action: actions.DeleteKey, Target: firstKey, Account: member, Options: map[string]string{"user": "alice"}},
		"quarantine_user prod/alice user=alice mode=iam-only leaked":         {Action: actions.QuarantineUser, Target: "arn:aws:iam::222222222222:user/alice", Account: member, Options: map[string]string{"mode": "iam-only"}},
		"quarantine_user arn:aws:iam::222222222222:user/team/alice leaked":   {Action: actions.QuarantineUser, Target: "arn:aws:iam::222222222222:user/team/alice", Account: member},
		"deactivate_key " + firstKey + " user=alice quarantine=yes reason=x": {Action: actions.DeactivateKey, Target: firstKey, Options: map[string]string{"user": "alice", "quarantine": "yes"}},
	} {
		call, _, err := actions.Parse(text, dir)
		must(t, err)
		if !call.Equal(want) {
			t.Errorf("%s: %+v", text, call)
		}
		again, _, err := actions.Parse(call.String()+" reason=x", dir)
		must(t, err)
		if !again.Equal(want) {
			t.Errorf("%s: %+v", call, again)
		}
	}
	for text, words := range map[string][]string{
		"deactivate_key ASIA0000000000000001 leaked":                {"session's key", "revoke_sessions", "quarantine_user"},
		"deactivate_key " + firstKey + " quarantine=maybe leaked":   {"quarantine", "yes or no"},
		"delete_key " + firstKey + " quarantine=yes leaked":         {"quarantine"},
		"quarantine_user prod/alice mode=full leaked":               {"iam-only"},
		"deactivate_key " + firstKey + ` user="a b" reason=x`:       {"not a user name"},
		"quarantine_user prod/alice user=bob leaked":                {"does not match"},
		"quarantine_user arn:aws:iam::222222222222:role/app leaked": {"revoke_sessions"},
	} {
		_, _, err := actions.Parse(text, dir)
		var m *actions.Mistakes
		if !errors.As(err, &m) {
			t.Errorf("%s: %v", text, err)
			continue
		}
		said := ""
		for _, x := range m.List {
			said += x.Field + " " + x.Problem + " " + x.Hint + "\n"
		}
		says(t, said, words...)
	}
	var m *actions.Mistakes
	_, _, err := actions.Parse("deactivate_key "+firstKey+" user=alice quarantine=maybe leaked", dir)
	if !errors.As(err, &m) {
		t.Fatal(err)
	}
	says(t, m.Corrected, "user=alice")
}

func TestKeyInactiveAlready(t *testing.T) {
	w := userWorld(t, inactive).onKey(actions.DeactivateKey, firstKey, nil)
	p := w.plan()
	says(t, p.Steps[0].Current, "inactive already")
	n := w.Mutations()
	all := w.take(p.Steps)
	clean(t, all)
	w.holdsAll(all)
	if r := w.back(all)[p.Steps[0].ID]; !r.Holds || r.Changed || w.Mutations() != n {
		t.Errorf("%+v, %d calls that write", r, w.Mutations()-n)
	}
}

// The owner is exempt: the key goes all the same, and why the user does not is said.
func TestKeyOfAnAdmin(t *testing.T) {
	w := userWorld(t).exempting("DEVS").onKey(actions.DeactivateKey, firstKey, withQuarantine)
	w.Fault(awsfake.Fault{Op: "cloudtrail:LookupEvents", Err: denied})
	p := w.plan()
	if d := cmp.Diff([]string{"key " + firstKey}, stepIDs(p)); d != "" {
		t.Error(d)
	}
	says(t, strings.Join(p.Warnings, " "), "alice", "admin group devs", "since when is not known", "not quarantined")
	says(t, strings.Join(p.Residual, " "), "live on for up to 36 hours")
	clean(t, w.take(p.Steps))
	if got := w.alice(); !got.Keys[0].Inactive || len(got.Tags) != 0 || len(got.Inline) != 0 || len(got.Attached) != 1 {
		t.Errorf("%+v", got)
	}

	w = userWorld(t).exempting("admins").onKey(actions.DeactivateKey, firstKey, withQuarantine)
	w.Fault(awsfake.Fault{Op: "iam:ListGroupsForUser", Err: throttling})
	_, err := w.act.Plan(t.Context(), w.enter(actions.Responder, actions.PhasePlan), w.call())
	wantCode(t, err, "Throttling")
	// Without quarantine nobody asks.
	w.onKey(actions.DeactivateKey, firstKey, nil).plan()
}

// A key that its owner deletes meanwhile is as dead as it can be.
func TestKeyDeletedMeanwhile(t *testing.T) {
	w := userWorld(t).onKey(actions.DeactivateKey, firstKey, nil)
	p := w.plan()
	u := w.alice()
	u.Keys = u.Keys[1:]
	w.Account(member).AddUser(u)
	all := w.take(p.Steps)
	clean(t, all)
	w.holdsAll(all)
	again := w.brief()
	if again.Identity.ID != p.Identity.ID || w.org.RefuseIdentity(again.Identity) != nil {
		t.Errorf("%+v", again.Identity)
	}
	if r := w.back(all)[p.Steps[0].ID]; r.Holds || r.Changed || !strings.Contains(r.Found, "no longer exists") {
		t.Errorf("%+v", r)
	}
}

func TestDeleteOfAnActiveKey(t *testing.T) {
	w := userWorld(t).onKey(actions.DeleteKey, firstKey, nil)
	no := w.refused()
	says(t, no.Reason, firstKey, "active")
	says(t, no.Hint, "deactivate_key first")

	// Activated after the plan: nothing is deleted.
	w = userWorld(t, inactive).onKey(actions.DeleteKey, firstKey, nil)
	p := w.plan()
	u := w.alice()
	u.Keys[0].Inactive = false
	w.Account(member).AddUser(u)
	_, err := w.act.Apply(t.Context(), w.responder(), p.Steps[0], w.run())
	var refused *actions.Refusal
	if !errors.As(err, &refused) || len(w.alice().Keys) != 2 {
		t.Errorf("%v, %v", err, w.alice().Keys)
	}
}

func TestDeleteKeyTwice(t *testing.T) {
	w := userWorld(t, inactive).onKey(actions.DeleteKey, firstKey, nil)
	p := w.plan()
	says(t, p.Steps[0].Stays+p.Undo, "can't be restored")
	if p.Reversible || w.act.Spec().Quorum != 2 {
		t.Errorf("%+v", w.act.Spec())
	}
	all := w.take(p.Steps)
	clean(t, all)
	if !all[0].effect.Changed {
		t.Error("not changed")
	}
	clean(t, w.take(p.Steps))
	w.holdsAll(all)
	if got := w.alice().Keys; len(got) != 1 || got[0].ID != secondKey {
		t.Errorf("%v", got)
	}

	// A re-check, and a run that goes on, look again: the key is gone, and that is no error.
	again := w.brief()
	if again.Identity.ID != p.Identity.ID || len(again.Steps) != 0 || w.org.RefuseIdentity(again.Identity) != nil {
		t.Errorf("%+v", again)
	}
	says(t, w.refused().Reason, "does not exist") // a new request is told
	r, err := w.act.Revert(t.Context(), w.responder(), all[0].step, all[0].effect)
	if err != nil || r.Holds || r.Changed || !strings.Contains(r.Found, "can't be restored") {
		t.Errorf("%+v, %v", r, err)
	}
	w.Account(member).DeleteUser("alice")
	clean(t, w.take(p.Steps))
	w.holdsAll(all)
}

func TestKeyOfAUserCreatedAgain(t *testing.T) {
	w := userWorld(t).onKey(actions.DeactivateKey, firstKey, withQuarantine)
	all := w.contain()
	clean(t, all)
	w.anotherAlice()
	state := w.Snapshot()
	for _, d := range all {
		if _, err := w.act.Apply(t.Context(), w.responder(), d.step, w.run()); !errors.Is(err, actions.ErrRecreated) {
			t.Errorf("Apply %s: %v", d.step.ID, err)
		}
	}
	for id, r := range w.back(all) {
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
		w := userWorld(t).onKey(actions.DeactivateKey, firstKey, withQuarantine)
		before := w.users()
		died = w.killed(n)
		if d := cmp.Diff(before, w.users()); d != "" {
			t.Errorf("killed at call %d:\n%s", n, d)
		}
		if !died && n < 6 {
			t.Errorf("only %d calls change something", n)
		}
	}
}
