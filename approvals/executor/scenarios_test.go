package executor_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// scenario is one way to contain something in an account.
type scenario struct {
	command string
	// powerless fails unless the attacker can do nothing any more.
	powerless func(*testing.T, *world, attackers)
	// alter hides what undo can't bring back.
	alter func(*awsfake.State)
}

// attackers hold what they stole before anything was contained.
type attackers struct {
	role, instance, other, key, derived *awsfake.Session
}

func stopped(who func(attackers) *awsfake.Session) func(*testing.T, *world, attackers) {
	return stoppedAt("s3:GetObject", who)
}

func stoppedAt(action string, who func(attackers) *awsfake.Session) func(*testing.T, *world, attackers) {
	return func(t *testing.T, _ *world, a attackers) {
		t.Helper()
		if ok, _ := who(a).Can(action, "arn:aws:s3:::secrets/key"); ok {
			t.Error("the attacker can still " + action)
		}
	}
}

// gone fails if the role is there.
func gone(t *testing.T, w *world, _ attackers) {
	t.Helper()
	if _, there := w.aws.Snapshot().Accounts[prod].Roles["app-role"]; there {
		t.Error("the role is there")
	}
}

// anotherID: a role that is made again is another one.
func anotherID(st *awsfake.State) { withoutIDs(*st) }

func roleSession(a attackers) *awsfake.Session { return a.role }
func keySession(a attackers) *awsfake.Session  { return a.key }

// passwords hides them: they can't be brought back.
func passwords(st *awsfake.State) {
	for _, a := range st.Accounts {
		for name, u := range a.Users {
			u.Password = time.Time{}
			a.Users[name] = u
		}
	}
}

// scenarios are all actions, on accounts that populate made.
var scenarios = map[string]scenario{
	"revoke one role":          {command: "revoke_sessions prod/app-role stolen", powerless: stopped(roleSession)},
	"revoke all roles":         {command: "revoke_sessions prod/ALL stolen", powerless: stopped(roleSession)},
	"revoke all roles via SCP": {command: "revoke_sessions prod/ALL via=scp stolen", powerless: stopped(roleSession)},
	"freeze the account":       {command: "apply_scp prod stolen", powerless: stopped(func(a attackers) *awsfake.Session { return a.other })},
	"deny a role from outside": {command: "deny_principal prod/role/app-role stolen", powerless: stopped(roleSession)},
	"deny a user from outside": {command: "deny_principal prod/user/bernd stolen", powerless: func(t *testing.T, w *world, a attackers) {
		if !w.deniedInside() {
			t.Errorf("it is not denied in its account, too: %+v", w.bernd())
		}
		stopped(keySession)(t, w, a)
		stopped(func(a attackers) *awsfake.Session { return a.derived })(t, w, a)
	}},
	"strip a role":       {command: "detach_policies prod/app-role stolen", powerless: stopped(roleSession)},
	"delete a role":      {command: "delete_role prod/app-role confirm=app-role stolen", powerless: gone, alter: anotherID},
	"quarantine a user":  {command: "quarantine_user prod/bernd stolen", powerless: stopped(keySession), alter: passwords},
	"deny IAM to a user": {command: "quarantine_user prod/bernd mode=iam-only stolen", powerless: stoppedAt("iam:CreateUser", keySession)},
	"deactivate a key":   {command: "deactivate_key " + exposedKey + " on a paste site", powerless: stopped(keySession)},
	"deactivate a key and quarantine": {command: "deactivate_key " + exposedKey + " account=prod quarantine=yes on a paste site", powerless: func(t *testing.T, w *world, a attackers) {
		stopped(keySession)(t, w, a)
		stopped(func(a attackers) *awsfake.Session { return a.derived })(t, w, a)
	}},
	"isolate an instance": {command: "isolate_instance prod/" + suspect + " region=" + region + " stolen", powerless: func(t *testing.T, w *world, a attackers) {
		stopped(func(a attackers) *awsfake.Session { return a.instance })(t, w, a)
		if w.aws.Account(prod).Region(region).CanTalk(suspect) {
			t.Error("the instance can still talk")
		}
	}},
}

// TestEveryActionIsTakenBackWhereverItDies: on generated accounts every action is
// contained and taken back, the process being killed at any point; afterwards
// everything is as it was before.
func TestEveryActionIsTakenBackWhereverItDies(t *testing.T) {
	t.Parallel()
	for _, a := range catalog {
		if name := a.Spec().Name; a.Spec().Reversible && !slices.ContainsFunc(slices.Collect(maps.Values(scenarios)), func(s scenario) bool { return strings.HasPrefix(s.command, string(name)+" ") }) {
			t.Errorf("%s has no scenario, and it can be taken back", name)
		}
	}
	deaths := max(36/thin.Every(t, 18, "the deaths on an action's way"), 1)
	for nth, name := range slices.Sorted(maps.Keys(scenarios)) {
		s := scenarios[name]
		points := s.live(t, 7, 0)
		if points < 60 {
			t.Errorf("%s: only %d points", name, points)
		}
		for i := range deaths {
			seed := uint64(i % 12)
			at := 1 + (i*points)/deaths + (nth*points)/(len(scenarios)*deaths) // the actions die at other points each
			t.Run(fmt.Sprintf("%s/seed %d killed at %d", name, seed, at), func(t *testing.T) {
				t.Parallel()
				s.live(t, seed, at)
			})
		}
	}
}

func (s scenario) live(t *testing.T, seed uint64, at int) (points int) {
	t.Helper()
	var stolen attackers
	w := newWorld(t, func(w *world) {
		stolen = populate(w, seed)
		mortal(w)
	})
	before := s.state(w)
	points, _, _ = w.walk(at, s.command, func() { s.powerless(t, w, stolen) })
	if d := cmp.Diff(before, s.state(w)); d != "" {
		t.Errorf("killed %s: not as before: %s", w.killer.Where(), d)
	}
	return points
}

func (s scenario) state(w *world) awsfake.State {
	st := w.aws.Snapshot()
	shared(&st)
	if s.alter != nil {
		s.alter(&st)
	}
	return st
}

// shared hides what all containments share and none takes away.
func shared(st *awsfake.State) {
	for id, a := range st.Accounts {
		delete(a.Roles, "killswitch-isolation")
		for arn := range a.Policies {
			if strings.Contains(arn, "policy/KillSwitchQuarantine") {
				delete(a.Policies, arn)
			}
		}
		delete(a.Profiles, "killswitch-isolation")
		for _, r := range a.Regions {
			for sg, g := range r.Groups {
				if g.Name == "killswitch-isolation" {
					delete(r.Groups, sg)
				}
			}
		}
		st.Accounts[id] = a
	}
}
