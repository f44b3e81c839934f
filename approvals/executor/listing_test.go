package executor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/crashtest"
)

const anotherRevokeAll = "revoke_sessions prod/ALL reason=\"and another leak\""

// passes lets time pass with the sweep at work; each job is done in a process of its own, as it
// may be in Lambda.
func (w *world) passes(step, d time.Duration) {
	w.t.Helper()
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		w.clock.Add(step)
		w.sweep()
		for again := true; again; again = w.round() {
			w.executor = w.worker()
		}
	}
}

// TestContainmentsOfAnAccountShareAListing: two of ALL list the roles once an hour. What was
// removed is seen in it, and listed anew before it is told and applied again.
func TestContainmentsOfAnAccountShareAListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRoles(110))
	const pages = 2
	first, second := w.contained(revokeAll), w.contained(anotherRevokeAll)
	w.passes(time.Minute, 3*time.Hour)
	listed, looks := w.called(listing), w.run(first).Checks+w.run(second).Checks
	w.passes(time.Minute, 6*time.Hour)
	looks = w.run(first).Checks + w.run(second).Checks - looks
	if n := w.called(listing) - listed; looks < 10 || n > 7*pages {
		t.Errorf("%d pages in six hours, %d looks", n, looks)
	}
	n := w.called("iam:PutRolePolicy")
	w.dropDeny()
	w.passes(time.Minute, 65*time.Minute)
	if w.policy("app-role") == "" || w.called("iam:PutRolePolicy") != n+1 {
		t.Errorf("applied again %d times", w.called("iam:PutRolePolicy")-n)
	}
	removals := w.run(first).Tampering
	removals = append(removals, w.run(second).Tampering...)
	if len(removals) != 1 || !removals[0].Reapplied {
		t.Errorf("told %+v", removals)
	}
	w.undo(first)
	w.undo(second)
}

// TestListingIsNotOlderThanWhatWasApplied: the listing of another request, from before a role
// was denied again, says nothing of that.
func TestListingIsNotOlderThanWhatWasApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRoles(3))
	first, second := w.contained(revokeAll), w.contained(anotherRevokeAll)
	w.passes(time.Minute, 3*time.Hour)
	for range 3 {
		w.dropDeny()
		for range 62 {
			if w.passes(time.Minute, time.Minute); w.policy("app-role") != "" {
				break
			}
		}
		w.dropDeny() // as soon as it is applied again
		w.passes(time.Second, 30*time.Second)
		if w.policy("app-role") == "" {
			t.Fatal("not seen in the seconds after it was applied again")
		}
	}
	if n := w.run(first).Tampered + w.run(second).Tampered; n != 6 {
		t.Errorf("%d removals are told", n)
	}
}

// TestListingIsAsOldAsItIs: whoever removed a deny is looked for from the time of the listing on
// that last showed it, not of the look that used it.
func TestListingIsAsOldAsItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRoles(3))
	first, second := w.contained(revokeAll), w.contained(anotherRevokeAll)
	w.passes(time.Minute, 3*time.Hour)
	for n := w.called(listing); w.called(listing) == n; {
		w.passes(10*time.Second, 10*time.Second)
	}
	var kept struct{ By string }
	_, err := approvals.Runs{Reader: w.Runs.Store}.Find(t.Context(), approvals.Key{Part: "listing#" + prod, Sort: "listing"}, &kept)
	w.must(err)
	lister, other := first, second
	if kept.By == second.ID {
		lister, other = second, first
	}
	w.dropDeny()
	dropped, looked := w.clock.Now(), w.run(other).Checks
	rewrite(w, runKey(lister), func(run *approvals.Run) { run.NextCheck = dropped.Add(10 * time.Hour) })
	rewrite(w, runKey(other), func(run *approvals.Run) {
		run.LookedAt, run.NextCheck = dropped.Add(-time.Hour), dropped.Add(10*time.Minute)
	})
	w.passes(time.Minute, 40*time.Minute)
	if n := w.run(other).Tampered; n != 0 {
		t.Fatalf("%d removals are seen in a listing from before", n)
	}
	w.passes(time.Minute, 40*time.Minute)
	run := w.run(other)
	if run.Tampered != 1 || run.Checks < looked+2 || run.Tampering[0].Since.After(dropped) {
		t.Errorf("removed at %v, %d looks: %+v", dropped, run.Checks-looked, run.Tampering)
	}
}

// TestLookAtAllGoesOnWhereItWas when the time of a Lambda function is over, in another process
// too. Meanwhile nobody waits for the target.
func TestLookAtAllGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(crashtest.NewClock().T))
		w := newWorld(t, withRoles(650), func(w *world) { w.clock.Real = true })
		const pages = 7 // with the member roles
		r := w.contained(revokeAll)
		for range 20 {
			time.Sleep(10 * time.Minute)
			w.drain()
		}
		w.timeout = 35 * time.Second
		run, n, from, checks := w.run(r), 0, w.called(listing), w.run(r).Checks
		w.slowPages(0, func(int) error {
			time.Sleep(5 * time.Second)
			n++
			var lock approvals.Lease
			if _, err := (approvals.Runs{Reader: w.Runs.Store}).Find(t.Context(), run.Lock, &lock); err != nil || lock.Held(w.clock.Now()) {
				t.Errorf("%s has the target, %v", lock.Owner, err)
			}
			w.executor = w.worker() // for the next job
			return nil
		})
		time.Sleep(time.Until(run.NextCheck.Add(time.Minute)))
		for range 8 {
			w.sweep()
			w.drain()
		}
		if got := w.called(listing) - from; got != pages || w.run(r).Checks != checks+1 || w.run(r).Unread != "" {
			t.Errorf("%d pages, want %d; %d looks: %+v", got, pages, w.run(r).Checks-checks, w.run(r).Unread)
		}
	})
}

// TestUndoDoesNotWaitForALookAtAll: it comes in the middle of the listing, which is void then.
func TestUndoDoesNotWaitForALookAtAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRoles(30))
	r := w.contained(revokeAll)
	w.lookEvery(time.Minute, 3*time.Hour)
	u := w.asksUndo(r)
	u = w.bring(w.button(alice, u, "approve"))
	w.clears()
	rewrite(w, runKey(r), func(run *approvals.Run) { run.NextCheck = w.clock.Now() })
	undone := false
	w.slowPages(0, func(int) error {
		if !undone {
			undone = true
			w.must(w.worker().Handle(t.Context(), approvals.Job{Verb: approvals.JobUndo, ID: u.ID}))
		}
		return nil
	})
	w.must(w.worker().Handle(t.Context(), approvals.Job{Verb: approvals.JobLook, ID: r.ID}))
	w.state(u, approvals.Restored)
	w.state(r, approvals.Undone)
	if n := w.denied(); n != 0 || w.run(r).Tampered != 0 {
		t.Errorf("%d are denied, %+v", n, w.run(r).Tampering)
	}
	w.pass(time.Hour)
	w.state(r, approvals.Undone)
}
