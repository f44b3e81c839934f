package executor_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestSharedDenyStaysUntilTheLastUndo: two containments of one role; undoing one keeps
// the other's deny, undoing both brings back what was there before the first.
func TestSharedDenyStaysUntilTheLastUndo(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][2]int{"first in, first out": {0, 1}, "first in, last out": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			before := w.aws.Snapshot()
			stolen := w.aws.Session(appRole, "attacker")
			w.clock.Add(time.Minute)
			rs := [2]approvals.Request{w.contained(revoke)}
			w.pass(2 * time.Minute)
			later := w.aws.Session(appRole, "attacker again")
			w.pass(time.Minute)
			rs[1] = w.contained(anotherRevoke)
			for _, s := range []*awsfake.Session{stolen, later} {
				if ok, _ := s.Can("s3:GetObject", "*"); ok {
					t.Error("a session from before the containment works")
				}
			}
			u := w.undo(rs[order[0]])
			for _, s := range []*awsfake.Session{stolen, later} {
				if ok, _ := s.Can("s3:GetObject", "*"); ok {
					t.Error("the undo of one lifted the deny of the other")
				}
			}
			other := w.state(rs[order[1]], approvals.Contained)
			for _, s := range w.steps(u) {
				if s.State != approvals.StepKept || s.Cause != other.ID+" holds it too" {
					t.Errorf("the undo does not say who holds it: %+v", s)
				}
			}
			if flags := w.run(u).Flags; len(flags) != 2 {
				t.Errorf("two steps stay: %q", flags)
			}
			w.pass(2 * time.Minute)
			w.undo(rs[order[1]])
			w.asBefore(before)
		})
	}
}

// TestUndoLeavesWhatAnotherRequestJoins: while one containment of a user is taken
// back, another one that shares its deny runs: the deny stays, and so does its hold.
func TestUndoLeavesWhatAnotherRequestJoins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	first := w.contained("quarantine_user prod/bernd stolen")
	w.pass(3 * time.Minute)
	u := w.asksUndo(first)
	second := w.types(alice, "deactivate_key "+exposedKey+" account=prod quarantine=yes on a paste site")
	w.state(second, approvals.Pending)
	w.aws.SetPropagation(2 * time.Second)
	done := false
	w.clock.Slept = func() {
		if b := w.bernd(); !done && len(b.Attached) == 0 {
			done = true
			w.clicks(bob, second, "approve")
		}
	}
	w.clicks(alice, u, "approve")
	w.clock.Slept = nil
	if !done {
		t.Fatal("nothing happened in between")
	}
	if b := w.bernd(); w.again(second).State == approvals.Contained && len(b.Attached) == 0 {
		t.Errorf("%s is contained, and its deny is gone", second.ID)
	}
	w.pass(3 * time.Minute)
	w.state(second, approvals.Contained)
	if b := w.bernd(); len(b.Attached) == 0 || len(w.run(second).Tampering) > 0 {
		t.Errorf("after 3 minutes: attached %v, tampering %v", b.Attached, w.run(second).Tampering)
	}
	w.undo(second)
	if b := w.bernd(); len(b.Attached)+len(b.Tags) != 0 {
		t.Errorf("all is undone, and there is left: %v %v", b.Attached, b.Tags)
	}
}

// TestUndoOfAllLeavesTheRoleThatAnotherRequestJoins: all roles' denies are lifted
// while one of the roles is contained by another request.
func TestUndoOfAllLeavesTheRoleThatAnotherRequestJoins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(awsfake.Role{Name: "other"}) })
	first := w.contained("revoke_sessions prod/ALL stolen")
	w.pass(3 * time.Minute)
	u := w.asksUndo(first)
	second := w.types(alice, revoke)
	w.state(second, approvals.Pending)
	w.aws.SetPropagation(2 * time.Second)
	done := false
	w.clock.Slept = func() {
		if !done && w.policy("app-role") == "" {
			done = true
			w.clicks(bob, second, "approve")
		}
	}
	w.clicks(alice, u, "approve")
	w.clock.Slept = nil
	if !done {
		t.Fatal("nothing happened in between")
	}
	if w.again(second).State == approvals.Contained && w.policy("app-role") == "" {
		t.Errorf("%s is contained, and its deny is gone", second.ID)
	}
	w.pass(3 * time.Minute)
	w.state(second, approvals.Contained)
	if w.policy("app-role") == "" || len(w.run(second).Tampering) > 0 {
		t.Errorf("after 3 minutes: deny %q, tampering %v", w.policy("app-role"), w.run(second).Tampering)
	}
}

// TestOurOwnDenyIsNoPriorContent: while a long listing is read, the undo of another request
// lifts a deny that is on a page of it.
func TestOurOwnDenyIsNoPriorContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.aws.Snapshot()
	one := w.contained(revoke)
	w.pass(2 * time.Minute)
	all := w.state(w.types(alice, revokeAll), approvals.Pending)
	u := w.state(w.clicks(carol, one, "undo"), approvals.Pending)
	w.bring(w.button(bob, all, "approve"))
	w.bring(w.button(alice, u, "approve"))
	w.clears()
	done := false
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == listing && c.Phase == awsfake.After && !done {
			done = true
			w.must(w.worker().Handle(t.Context(), approvals.Job{Verb: approvals.JobUndo, ID: u.ID}))
		}
		return nil
	})
	_ = w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: all.ID})
	w.aws.OnCall(func(awsfake.Call) error { return nil })
	w.pass(3 * time.Minute)
	w.state(one, approvals.Undone)
	w.state(all, approvals.Contained)
	w.undo(all)
	w.asBefore(before)
}

// TestStuckUndoOfOneRoleDoesNotHoldUpAll: AWS throttles the undo of one role. The other roles
// are contained meanwhile, and that one when the undo has ended.
func TestStuckUndoOfOneRoleDoesNotHoldUpAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRoles(30))
	r := w.contained(revoke)
	w.pass(2 * time.Minute)
	u := w.asksUndo(r)
	throttled := true
	w.answers("iam:DeleteRolePolicy", apiError("Throttling"), func() bool { return throttled })
	w.bring(w.button(alice, u, "approve"))
	var all approvals.Request
	sleep, asked := w.executor.Sleep, false
	w.executor.Sleep = func(ctx context.Context, d time.Duration) error {
		if asked {
			return sleep(ctx, d)
		}
		asked = true
		other := w.worker()
		all = w.bring(w.says(carol, revokeAll))
		w.must(other.Handle(t.Context(), approvals.Job{Verb: approvals.JobPlan, ID: all.ID}))
		all = w.bring(w.button(bob, all, "approve"))
		w.must(other.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: all.ID}))
		w.state(all, approvals.Running)
		if n := w.denied(); n < 30 { // the one still has its old deny
			t.Errorf("%d of 30 roles are denied", n)
		}
		return sleep(ctx, d)
	}
	w.drain()
	throttled = false
	w.pass(2 * time.Minute)
	if !asked {
		t.Fatal("the undo did not wait")
	}
	w.state(all, approvals.Contained)
}

// orders are those in which two containments can be taken back.
var orders = map[string][2]int{"the first is undone first": {0, 1}, "the second is undone first": {1, 0}}

// TestTwoFreezesOfOneAccount: afterwards all is as it was, in either order.
func TestTwoFreezesOfOneAccount(t *testing.T) {
	t.Parallel()
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world) { populate(w, 5) })
			before := w.aws.Snapshot()
			rs := []approvals.Request{w.contained("apply_scp prod one"), {}}
			w.pass(2 * time.Minute)
			rs[1] = w.contained("apply_scp prod again, another team")
			w.pass(2 * time.Minute)
			for _, i := range order {
				w.undo(rs[i])
				w.pass(2 * time.Minute)
			}
			w.asBefore(before)
		})
	}
}

// TestContainmentsOfAUserOverlap: the deny stays as long as one of them wants it.
func TestContainmentsOfAUserOverlap(t *testing.T) {
	t.Parallel()
	for name, order := range orders {
		for _, second := range []string{"deactivate_key " + exposedKey + " account=prod quarantine=yes two", "quarantine_user prod/bernd mode=iam-only two", "quarantine_user prod/bernd two"} {
			t.Run(name+": "+second, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, exposed)
				rs := []approvals.Request{w.contained("quarantine_user prod/bernd one"), {}}
				w.pass(2 * time.Minute)
				rs[1] = w.contained(second)
				w.pass(2 * time.Minute)
				for _, i := range order {
					u := w.state(w.clicks(alice, w.asksUndo(rs[i]), "approve"), approvals.Restored)
					w.pass(2 * time.Minute)
					w.state(u, approvals.Restored)
					if b := w.bernd(); w.again(rs[1-i]).State == approvals.Contained && len(b.Attached) == 0 {
						t.Errorf("the deny is gone: %v", b)
					}
				}
				if b := w.bernd(); !b.Keys[0].Inactive || len(b.Attached)+len(b.Tags) > 0 {
					t.Errorf("left %v", b)
				}
			})
		}
	}
}

// TestTwoIsolationsOfOneInstance: while either is contained, the credentials that were
// taken from it stay denied; when both are undone, nothing is left.
func TestTwoIsolationsOfOneInstance(t *testing.T) {
	t.Parallel()
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a attackers
			w := newWorld(t, func(w *world) { a = populate(w, 3) })
			tags := func() map[string]string {
				return w.aws.Snapshot().Accounts[prod].Regions[region].Instances[suspect].Tags
			}
			before := tags()
			works := func() bool {
				ok, _ := a.instance.Can("s3:GetObject", "arn:aws:s3:::secrets/key")
				return ok
			}
			rs := []approvals.Request{w.contained("isolate_instance prod/" + suspect + " region=" + region + " stolen"), {}}
			w.pass(3 * time.Minute)
			rs[1] = w.contained("isolate_instance prod/" + suspect + " region=" + region + " snapshot=yes another team")
			w.pass(3 * time.Minute)
			for n, i := range order {
				w.clicks(alice, w.asksUndo(rs[i]), "approve")
				w.pass(3 * time.Minute)
				if n == 0 {
					other := w.state(rs[1-i], approvals.Contained)
					if works() {
						t.Errorf("%s is contained, and the instance's stolen credentials work again", other.ID)
					}
				}
			}
			if !works() {
				t.Error("both are undone, and the credentials are denied")
			}
			if after := tags(); !maps.Equal(before, after) {
				t.Errorf("both are undone, and the tags are %v, not %v", after, before)
			}
		})
	}
}

// TestTwoInstancesOfOneRole: one policy denies the role to both; the undo of one leaves the other denied, and
// nothing is left after both.
func TestTwoInstancesOfOneRole(t *testing.T) {
	t.Parallel()
	const neighbour = "i-0fedcba9876543210"
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world) { populate(w, 3) })
			in := w.aws.Account(prod).Region(region)
			arn := in.AddInstance(awsfake.Instance{ID: neighbour, Profile: "app-profile", Interfaces: []awsfake.Interface{{ID: "eni-0cccccccccccccccc", VPC: "vpc-0aaaaaaaaaaaaaaaa", Subnet: "subnet-1", IPv4: "10.0.0.9"}}})
			before := w.aws.Snapshot().Accounts[prod].Roles["app-role"].Inline
			works := func(instance string) bool {
				ok, _ := w.aws.Session(appRole, instance).With("ec2:SourceInstanceARN", strings.Replace(arn, neighbour, instance, 1)).Can("s3:GetObject", "arn:aws:s3:::secrets/key")
				return ok
			}
			ids := []string{suspect, neighbour}
			var rs []approvals.Request
			for _, id := range ids {
				rs = append(rs, w.contained("isolate_instance prod/"+id+" region="+region+" stolen"))
				w.pass(3 * time.Minute)
			}
			if inline := w.aws.Snapshot().Accounts[prod].Roles["app-role"].Inline; len(inline) != len(before)+1 || works(suspect) || works(neighbour) {
				t.Errorf("policies %v", inline)
			}
			for n, i := range order {
				w.clicks(alice, w.asksUndo(rs[i]), "approve")
				w.pass(3 * time.Minute)
				if last := n == 1; !works(ids[i]) || works(ids[1-i]) != last {
					t.Errorf("after undo %d: %s works: %t, %s works: %t", n+1, ids[i], works(ids[i]), ids[1-i], works(ids[1-i]))
				}
				if n == 0 {
					w.state(rs[1-i], approvals.Contained)
				}
			}
			if after := w.aws.Snapshot().Accounts[prod].Roles["app-role"].Inline; !maps.Equal(before, after) {
				t.Errorf("left %v", after)
			}
		})
	}
}

func (w *world) canRead() bool {
	ok, _ := w.aws.Session(appRole, "attacker").Can("s3:GetObject", "arn:aws:s3:::secrets/key")
	return ok
}

// TestAccountThawsWithTheLastFreeze: two requests freeze it.
func TestAccountThawsWithTheLastFreeze(t *testing.T) {
	t.Parallel()
	w := newWorld(t, inOrganization())
	w.aws.SetPropagation(4 * time.Second)
	before := w.aws.Snapshot()
	var requests []approvals.Request
	for _, reason := range []string{"somebody makes users", "and instances"} {
		requests = append(requests, w.contained(`apply_scp prod reason="`+reason+`"`))
		w.pass(2 * time.Minute)
	}
	if w.canRead() {
		t.Error("the account is frozen, and the attacker reads on")
	}
	for i, r := range requests {
		w.undo(r)
		w.pass(time.Minute)
		if last := i == len(requests)-1; w.canRead() != last {
			t.Errorf("after undo %d: the account is frozen: %t", i+1, last)
		}
	}
	w.asBefore(before)
}
