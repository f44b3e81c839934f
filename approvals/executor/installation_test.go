package executor_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// named gives a world's installation an ID.
func named(id actions.Installation) func(*world) {
	return func(w *world) { w.cfg.Org.Installation = id }
}

// beside is another installation, with tables and queues of its own, in the same AWS.
func (w *world) beside(id actions.Installation) *world {
	w.t.Helper()
	return newWorld(w.t, func(b *world) { b.aws, b.clock, b.cfg = w.aws, w.clock, w.cfg }, named(id))
}

// passBoth lets time go by for both.
func passBoth(a, b *world, d time.Duration) {
	a.t.Helper()
	for end := a.clock.Now().Add(d); a.clock.Now().Before(end); {
		a.pass(min(5*time.Second, end.Sub(a.clock.Now())))
		b.sweep()
		b.drain()
	}
}

// unmarked takes marks away that the accounts have from before: they are of other installations.
func unmarked(w *world) {
	for _, r := range w.aws.Snapshot().Accounts[prod].Roles {
		delete(r.Tags, deny.TamperTag)
		w.aws.Account(prod).AddRole(r)
	}
	for _, u := range w.aws.Snapshot().Accounts[prod].Users {
		delete(u.Tags, deny.TamperTag)
		w.aws.Account(prod).AddUser(u)
	}
}

// ended asks for the undo of a containment, and says how it ends.
func (w *world) ended(r approvals.Request) approvals.Request {
	w.t.Helper()
	u := w.state(w.types(alice, "undo "+r.ID+" keys=reactivate it is over"), approvals.Pending)
	for _, user := range []string{bob, carol}[:u.Need] {
		u = w.clicks(user, u, "approve")
	}
	return u
}

// asked is a containment with as many approvals as it needs.
func (w *world) asked(text string) approvals.Request {
	w.t.Helper()
	r := w.state(w.types(alice, text), approvals.Pending)
	for _, user := range []string{bob, carol}[:r.Need] {
		r = w.clicks(user, r, "approve")
	}
	return w.state(r, approvals.Contained)
}

// stands fails unless a containment is in force and nobody worked against it.
func (w *world) stands(r approvals.Request) {
	w.t.Helper()
	w.state(r, approvals.Contained)
	if run := w.run(r); run.Tampered > 0 || run.Unread != "" {
		w.t.Errorf("%s: tampering %+v, unread %q", r.ID, run.Tampering, run.Unread)
	}
}

// installations are pairs that work in the same accounts.
var installations = map[string][2]actions.Installation{
	"the one without an ID first": {"", "pilot"},
	"a pilot first":               {"pilot", ""},
	"two with IDs":                {"a", "b"},
}

// TestTwoInstallationsContainTheSame: neither changes what the other one wrote, nor takes it for
// tampering; when both have undone theirs, in whatever order, all is as it was.
func TestTwoInstallationsContainTheSame(t *testing.T) {
	t.Parallel()
	every, n := thin.Every(t, 12, "the generated accounts, pairs and orders"), 0
	for _, name := range slices.Sorted(maps.Keys(scenarios)) {
		s := scenarios[name]
		if strings.HasPrefix(s.command, "delete_role") { // whose it is, it is gone
			continue
		}
		for _, pair := range slices.Sorted(maps.Keys(installations)) {
			for first := range 2 {
				ids, other := installations[pair], 1-first
				if name == "deactivate a key" && ids[other] == "" { // without an ID it leaves no mark of it
					continue
				}
				for seed := range uint64(4) {
					if n++; n%every != 0 {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/undone first: %d/seed %d", name, pair, first, seed), func(t *testing.T) {
						t.Parallel()
						s.both(t, ids, first, seed)
					})
				}
			}
		}
	}
}

// both lets two installations contain the same, and undo it, one of them first.
func (s scenario) both(t *testing.T, ids [2]actions.Installation, first int, seed uint64) {
	t.Helper()
	var stolen attackers
	a := newWorld(t, func(w *world) { stolen = populate(w, seed); unmarked(w) }, named(ids[0]))
	b := a.beside(ids[1])
	before := s.state(a)
	ws, rs, other := []*world{a, b}, make([]approvals.Request, 2), 1-first
	for i, w := range ws {
		rs[i] = w.asked(fmt.Sprintf("%s, says %d", s.command, i))
		s.powerless(t, w, stolen)
		passBoth(a, b, 2*time.Minute)
	}
	a.stands(rs[0])
	b.stands(rs[1])
	// A role of many has no tag, and without an ID a key's user has none.
	if all := strings.Contains(s.command, "/ALL stolen"); !all && (ids[0] != "" || !strings.HasPrefix(s.command, "deactivate_key")) {
		b.tells(rs[1], "Held elsewhere")
		b.tells(rs[1], ids[0].String()+" ("+rs[0].ID+")")
	}
	u := ws[first].ended(rs[first])
	passBoth(a, b, 2*time.Minute)
	ws[other].stands(rs[other])
	s.powerless(t, ws[other], stolen)
	if last := ws[other].ended(rs[other]); last.State != approvals.Restored {
		t.Fatalf("the last undo ended %s: %s", last.State, last.Cause)
	}
	if u.State != approvals.Restored { // what has one place waited for the other one
		ws[first].tells(u, "held elsewhere by "+ids[other].String())
		passBoth(a, b, 2*time.Minute)
		if u = ws[first].ended(rs[first]); u.State != approvals.Restored {
			t.Fatalf("its second undo ended %s: %s", u.State, u.Cause)
		}
	}
	if d := cmp.Diff(before, s.state(a)); d != "" {
		t.Errorf("not as before: %s", d)
	}
}

// TestBoundaryStaysForTheOtherInstallation: it has one place, and the deny of both stands there.
func TestBoundaryStaysForTheOtherInstallation(t *testing.T) {
	t.Parallel()
	a := newWorld(t, withFullRole, named("a"))
	b := a.beside("b")
	before := a.aws.Snapshot()
	boundary := func() string { return a.aws.Snapshot().Accounts[prod].Roles["full"].Boundary }
	one, two := a.asked("detach_policies prod/full stolen"), b.asked("detach_policies prod/full stolen, says the other")
	passBoth(a, b, 2*time.Minute)
	if u := a.ended(one); u.State != approvals.Partial || boundary() == "" {
		t.Fatalf("%s, boundary %q", u.State, boundary())
	} else {
		a.tells(u, "Held elsewhere by the installation b ("+two.ID+"). What both have set is not taken back")
		a.tells(u, "held elsewhere by the installation b ("+two.ID+")")
		a.tells(u, "undo it there first")
	}
	passBoth(a, b, 2*time.Minute)
	b.stands(two)
	if u := b.ended(two); u.State != approvals.Restored {
		t.Fatalf("%s: %s", u.State, u.Cause)
	}
	passBoth(a, b, 2*time.Minute)
	if u := a.ended(one); u.State != approvals.Restored {
		t.Fatalf("%s: %s", u.State, u.Cause)
	}
	a.asBefore(before)
}

// forged makes what looks like another installation's, with content of the attacker's own.
func forged(w *world) {
	const mark = "KS-AAAAAAAAAAAA@b"
	in := w.aws.Account(prod)
	role, user := w.aws.Snapshot().Accounts[prod].Roles["app-role"], w.bernd()
	for _, name := range []string{actions.RevokePolicy, deny.AllPolicy, deny.InstancePolicy} {
		role.Inline[actions.Installation("b").Name(name)] = allPolicy
	}
	user.Inline[actions.Installation("b").Name(deny.FullQuarantine)] = allPolicy
	role.Tags, user.Tags = map[string]string{deny.TamperTag: mark}, map[string]string{deny.TamperTag: mark}
	in.AddRole(role)
	in.AddUser(user)
	_, err := ec2.NewFromConfig(w.aws.Admin(prod)).CreateTags(w.t.Context(), &ec2.CreateTagsInput{Resources: []string{suspect}, Tags: []ec2types.Tag{
		{Key: aws.String(deny.TamperTag), Value: aws.String(mark)}, {Key: aws.String(deny.TamperTag + "-role@b:app-role"), Value: aws.String("KillswitchIsolate@b")}}})
	w.must(err)
}

// TestForgedMarksBlockNoDeny: what looks like another installation's keeps nothing from being contained; the undo
// leaves what has one place, and says what to do.
func TestForgedMarksBlockNoDeny(t *testing.T) {
	t.Parallel()
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stolen attackers
			w := newWorld(t, func(w *world) { stolen = populate(w, 3); unmarked(w); forged(w) }, named("a"))
			r := w.asked(s.command)
			s.powerless(t, w, stolen)
			w.pass(2 * time.Minute)
			w.stands(r)
			if u := w.ended(r); u.State != approvals.Restored {
				w.tells(u, "held elsewhere by the installation b (KS-AAAAAAAAAAAA)")
				w.tells(u, "delete its mark")
			}
		})
	}
}

// TestWhatWasContainedBeforeTheSetting: an ID that is set later changes nothing of what is in force: it is watched and
// undone by the names that are recorded, also where the same is contained again, in whatever order both are undone.
func TestWhatWasContainedBeforeTheSetting(t *testing.T) {
	t.Parallel()
	for name, s := range scenarios {
		if strings.HasPrefix(s.command, "delete_role") {
			continue
		}
		for _, order := range [][]int{{0}, {0, 1}, {1, 0}} {
			t.Run(fmt.Sprintf("%s/%v", name, order), func(t *testing.T) {
				t.Parallel()
				var stolen attackers
				w := newWorld(t, func(w *world) { stolen = populate(w, 3); unmarked(w) })
				before := s.state(w)
				rs := []approvals.Request{w.asked(s.command)}
				named("pilot")(w)
				w.start()
				w.pass(2 * time.Minute)
				if len(order) > 1 {
					rs = append(rs, w.asked(s.command+", again"))
					w.pass(2 * time.Minute)
				}
				for i, n := range order {
					for _, left := range order[i:] {
						w.stands(rs[left])
					}
					s.powerless(t, w, stolen)
					if u := w.ended(rs[n]); u.State != approvals.Restored {
						t.Fatalf("the undo ended %s: %s", u.State, u.Cause)
					}
					w.pass(2 * time.Minute)
				}
				if d := cmp.Diff(before, s.state(w)); d != "" {
					t.Errorf("not as before: %s", d)
				}
			})
		}
	}
}

// TestRemovedBeforeTheSetting: what somebody takes away is put back under its recorded name.
func TestRemovedBeforeTheSetting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	named("pilot")(w)
	w.start()
	w.dropDeny()
	w.pass(2 * time.Minute)
	w.state(r, approvals.Contained)
	if in := w.aws.Snapshot().Accounts[prod].Roles["app-role"].Inline; len(in) != 1 || !strings.Contains(in[denyName], deny.RevokeSid+`"`) {
		t.Errorf("inline policies %v", in)
	}
}
