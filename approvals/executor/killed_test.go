package executor_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// walk takes a request from its command to its undo, killed at one point (0:
// never), and looks at the world while it is contained. An undo that is typed
// gives credentials back too.
func (w *world) walk(at int, command string, contained func()) (points int, r, u approvals.Request) {
	w.t.Helper()
	w.killer.Aim(at)
	until := func(r approvals.Request, s approvals.State) {
		w.t.Helper()
		w.live(string(s), func() bool { return w.again(r).State == s })
	}
	approved := func(r approvals.Request) {
		w.t.Helper()
		until(r, approvals.Pending)
		for _, user := range []string{bob, carol}[:w.again(r).Need] {
			w.bring(w.button(user, r, "approve"))
		}
	}
	r = w.bring(w.says(alice, command))
	approved(r)
	until(r, approvals.Contained)
	if contained == nil {
		u = w.bring(w.button(alice, r, "undo"))
	} else {
		contained()
		u = w.bring(w.says(alice, "undo "+r.ID+" keys=reactivate it is over"))
	}
	approved(u)
	until(u, approvals.Restored)
	until(r, approvals.Undone)
	return w.killer.Aim(0), r, u
}

// lifeAndDeath walks the whole path, killed at one point; it returns how many
// points there were.
func lifeAndDeath(t *testing.T, at int, alter ...func(*world)) int {
	w := newWorld(t, append(alter, mortal)...)
	before := w.aws.Snapshot()
	points, r, u := w.walk(at, revoke, nil)
	if d := cmp.Diff(before, w.aws.Snapshot()); d != "" {
		t.Errorf("killed %s: not as before: %s", w.killer.Where(), d)
	}
	w.didOnce("iam:PutRolePolicy", "iam:TagRole", "iam:DeleteRolePolicy", "iam:UntagRole")
	w.toldOnce(r, "requested", "planned", "approved", "claimed", "contained", "undo_begun", "undone")
	w.toldOnce(u, "requested", "planned", "approved", "claimed", "restored")
	return points
}

// didOnce fails unless each of these calls had its effect once.
func (w *world) didOnce(ops ...string) {
	w.t.Helper()
	did := map[string]int{}
	for _, c := range w.aws.Calls() {
		if c.Applied && c.Phase == awsfake.After {
			did[c.Op]++
		}
	}
	for _, op := range ops {
		if did[op] != 1 {
			w.t.Errorf("killed %s: %s happened %d times", w.killer.Where(), op, did[op])
		}
	}
}

// toldOnce fails unless each of these links is in a request's chain once.
func (w *world) toldOnce(r approvals.Request, names ...string) {
	w.t.Helper()
	for _, name := range names {
		if _, n := w.event(r, name); n != 1 {
			w.t.Errorf("killed %s: the chain says %s %d times", w.killer.Where(), name, n)
		}
	}
}

// TestRequestSurvivesAnyDeath: the process dies at any point of the path; the next
// start brings the same end, and nothing twice.
func TestRequestSurvivesAnyDeath(t *testing.T) {
	t.Parallel()
	points := lifeAndDeath(t, 0)
	if points < 100 {
		t.Fatalf("only %d points", points)
	}
	t.Logf("%d points", points)
	for name, alter := range stores {
		n := 12
		if name != "memory" {
			n = 60
		}
		step := thin.Every(t, n, "the deaths of an executor, "+name)
		for at := 1; at <= points; at += step {
			t.Run(fmt.Sprintf("%s/%03d", name, at), func(t *testing.T) {
				t.Parallel()
				lifeAndDeath(t, at, alter...)
			})
		}
	}
}

// releasedLifeAndDeath is lifeAndDeath for a request that needs nobody's approval, from
// its job plan until it is contained.
func releasedLifeAndDeath(t *testing.T, by approvals.ApprovalMode, at int, alter ...func(*world)) int {
	w, _ := alerted(t, true, true, append(alter, mortal)...)
	d := w.ruled(w.finding())
	if by == approvals.OneClick {
		d = w.proposal(alice, w.happened(w.finding()))
	}
	r := w.bring(d)
	w.killer.Aim(at)
	w.live("contained", func() bool { return w.again(r).State == approvals.Contained })
	points := w.killer.Aim(0)
	w.pass(10 * time.Second)
	w.didOnce("iam:PutRolePolicy", "iam:TagRole")
	w.toldOnce(r, "requested", "planned", "released", "claimed", "contained")
	if by == approvals.Automatic {
		var hour struct{ Began []any }
		row, err := w.Runs.Store.Get(t.Context(), approvals.Key{Part: "automatic", Sort: "hour"})
		w.must(err)
		w.must(json.Unmarshal(row.Body, &hour))
		if len(hour.Began) != 1 {
			t.Errorf("killed %s: %s", w.killer.Where(), row.Body)
		}
	}
	return points
}

// TestRequestWithoutApproverSurvivesAnyDeath: it begins once, and counts once for the cap.
func TestRequestWithoutApproverSurvivesAnyDeath(t *testing.T) {
	t.Parallel()
	for _, by := range []approvals.ApprovalMode{approvals.OneClick, approvals.Automatic} {
		points := releasedLifeAndDeath(t, by, 0)
		if points < 50 {
			t.Fatalf("only %d points", points)
		}
		for name, alter := range stores {
			n := 10
			if name != "memory" {
				n = 50
			}
			step := thin.Every(t, n, "the deaths of an executor, "+name)
			for at := 1; at <= points; at += step {
				t.Run(fmt.Sprintf("%s/%s/%03d", by, name, at), func(t *testing.T) {
					t.Parallel()
					releasedLifeAndDeath(t, by, at, alter...)
				})
			}
		}
	}
}
