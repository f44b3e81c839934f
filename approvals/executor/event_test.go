package executor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestEventSetsALook: what was removed is applied again without waiting for the schedule, also by
// ALL, and told as it is. An event about what holds writes nothing and says nothing.
func TestEventSetsALook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		line  string
		alter []func(*world)
	}{"one role": {line: revoke}, "ALL": {line: revokeAll, alter: []func(*world){withRoles(5)}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.alter...)
			r := w.contained(c.line)
			w.lookEvery(time.Minute, 25*time.Minute)
			writes, links := w.aws.Mutations(), len(w.chain(r))
			w.told()
			w.sends(approvals.JobEvent, r)
			w.drain()
			if run := w.run(r); !run.LookedAt.Equal(w.clock.Now()) || w.aws.Mutations() != writes || len(w.chain(r)) != links || len(w.told()) != 0 || run.Tampered != 0 {
				t.Errorf("an event about what holds: looked at %s, %d changes, %d links, %+v", run.LookedAt, w.aws.Mutations()-writes, len(w.chain(r))-links, run.Tampering)
			}
			w.clock.Add(time.Minute)
			w.dropDeny()
			w.clock.Add(time.Second)
			w.sends(approvals.JobEvent, r)
			w.drain()
			run := w.run(w.state(r, approvals.Contained))
			if w.policy("app-role") == "" || run.Tampered != 1 || !run.Tampering[0].Reapplied || len(run.Told()) != 1 || len(w.told()) == 0 {
				t.Errorf("1 s after the removal: deny %q, %+v", w.policy("app-role"), run.Tampering)
			}
		})
	}
}

// TestEventsSetOneLookIn30Seconds: of twenty a second for three minutes. A removal waits no longer.
func TestEventsSetOneLookIn30Seconds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.lookEvery(time.Minute, 25*time.Minute)
	var looks []time.Time
	gone := 0
	for second := range 180 {
		if second == 100 {
			w.dropDeny()
		}
		for range 20 {
			w.sends(approvals.JobEvent, r)
		}
		w.drain()
		at := w.run(r).LookedAt
		if n := len(looks); n == 0 || !at.Equal(looks[n-1]) {
			if n > 0 && w.run(r).Tampered == 0 && at.Sub(looks[n-1]) < 30*time.Second {
				t.Errorf("looks at %s and %s", looks[n-1], at)
			}
			looks = append(looks, at)
		}
		if w.policy("app-role") == "" {
			gone++
		}
		w.clock.Add(time.Second)
	}
	// After it was applied again the schedule looks, too, after 5, 15 and 60 s.
	if gone == 0 || gone > 30 || len(looks) < 6 || len(looks) > 9 {
		t.Errorf("%d looks in 3 minutes; the deny was gone for %d s", len(looks), gone)
	}
	w.lookEvery(5*time.Second, time.Hour) // nothing is left of the flood
	before := w.run(w.state(r, approvals.Contained)).Checks
	w.lookEvery(5*time.Second, time.Hour)
	if n := w.run(r).Checks - before; n != 4 {
		t.Errorf("%d looks in an hour", n)
	}
}

// TestEventDuringALookIsNotLost: the deny is removed after the look has read it.
func TestEventDuringALookIsNotLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.lookEvery(time.Minute, 25*time.Minute)
	done := false
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == "iam:GetRolePolicy" && c.Phase == awsfake.After && !done && w.run(r).Lease.Held(w.clock.Now()) {
			done = true
			w.dropDeny()
			w.must(w.worker().Handle(t.Context(), approvals.Job{Verb: approvals.JobEvent, ID: r.ID}))
		}
		return nil
	})
	w.sends(approvals.JobEvent, r)
	w.drain()
	if !done {
		t.Fatal("there was no look")
	}
	for range 40 { // seconds, without a sweep
		w.clock.Add(time.Second)
		w.drain()
	}
	if run := w.run(w.state(r, approvals.Contained)); w.policy("app-role") == "" || run.Tampered != 1 {
		t.Errorf("the deny is %q, %+v", w.policy("app-role"), run.Tampering)
	}
}

// TestEventWhileAnotherRunHasTheTargetIsNotLost: the look comes after it, without a sweep.
func TestEventWhileAnotherRunHasTheTargetIsNotLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.lookEvery(time.Minute, 25*time.Minute)
	w.dropDeny()
	w.locked(20 * time.Second)
	w.sends(approvals.JobEvent, r)
	for range 30 {
		w.drain()
		w.clock.Add(time.Second)
	}
	if run := w.run(w.state(r, approvals.Contained)); w.policy("app-role") == "" || run.Tampered != 1 {
		t.Errorf("the deny is %q, %+v", w.policy("app-role"), run.Tampering)
	}
}

// TestEventSetsNoLookAtWhatIsNotWatched: what was undone, or whose watch is over.
func TestEventSetsNoLookAtWhatIsNotWatched(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(*world, approvals.Request){
		"undone": func(w *world, r approvals.Request) { w.undo(r) },
		"over":   func(w *world, r approvals.Request) { w.lookEvery(time.Hour, 8*24*time.Hour); w.dropDeny() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.contained(revoke)
			w.lookEvery(time.Minute, 25*time.Minute)
			ends(w, r)
			w.withoutAWS(func() {
				w.clock.Add(time.Minute)
				w.must(w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobEvent, ID: r.ID}))
			})
		})
	}
}

// TestNamesInForce: the names by which events tell what is in force.
func TestNamesInForce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		line  string
		alter func(*world)
		want  approvals.InForce
	}{
		"role":  {revoke, nil, approvals.InForce{Names: []string{"app-role"}}},
		"ALL":   {revokeAll, withRoles(60), approvals.InForce{Names: []string{"root", "awsrevokeoldersessions", "killswitch-responder", "killswitch-restorer"}}},
		"user":  {"quarantine_user prod/bernd stolen", exposed, approvals.InForce{Names: []string{"bernd", "killswitchquarantine", strings.ToLower(exposedKey)}}},
		"key":   {"deactivate_key " + exposedKey + " stolen", exposed, approvals.InForce{Names: []string{"bernd", strings.ToLower(exposedKey)}}},
		"whole": {"apply_scp prod stolen", inOrganization(), approvals.InForce{Names: []string{prod, "killswitch-freeze", "break-glass", "killswitch-responder", "killswitch-restorer"}, SCP: true}},
		"instance": {"isolate_instance prod/" + suspect + " region=" + region + " stolen", func(w *world) { populate(w, 3) },
			approvals.InForce{Names: []string{suspect, "eni-0aaaaaaaaaaaaaaa0", "sg-", "eni-0aaaaaaaaaaaaaaa1", "app-role", "killswitch-isolation", "web"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var alter []func(*world)
			if c.alter != nil {
				alter = append(alter, c.alter)
			}
			w := newWorld(t, alter...)
			c.want.Account = prod
			r := w.contained(c.line)
			for _, when := range []string{"contained", "after a look"} {
				got := w.run(r).InForce
				for i, name := range got.Names {
					if strings.HasPrefix(name, "sg-") {
						got.Names[i] = "sg-"
					}
				}
				if d := cmp.Diff(c.want, got); d != "" {
					t.Errorf("%s: %s", when, d)
				}
				w.pass(10 * time.Second)
			}
		})
	}
}
