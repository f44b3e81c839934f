package executor_test

import (
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestNotContainedIsCounted: each time that a card begins to say so, whatever the reason, and no other time.
func TestNotContainedIsCounted(t *testing.T) {
	t.Parallel()
	run := func(w *world) approvals.Request { return w.clicks(bob, w.types(alice, revoke), "approve") }
	lost := func(w *world) approvals.Request { // the deny, and it can't be put again
		r := w.contained(revoke)
		w.dropDeny()
		w.breaks("iam:PutRolePolicy")
		w.pass(2 * time.Minute)
		return w.state(r, approvals.Partial)
	}
	for name, c := range map[string]struct {
		do     func(*world)
		missed int
		shut   bool // the account
	}{
		"contained":            {do: func(w *world) { w.contained(revoke) }},
		"undone":               {do: func(w *world) { w.undo(w.contained(revoke)) }},
		"denied before it ran": {do: func(w *world) { w.clicks(bob, w.types(alice, revoke), "deny") }},
		"some steps hold":      {do: func(w *world) { w.breaks("iam:PutRolePolicy"); w.state(run(w), approvals.Partial) }, missed: 1},
		"nothing holds": {do: func(w *world) {
			r := w.state(w.types(alice, revoke), approvals.Pending)
			w.breaks("iam:*")
			w.state(w.clicks(bob, r, "approve"), approvals.Failed)
		}, missed: 1},
		"a retry fails, too": {do: func(w *world) {
			r := w.failed()
			w.breaks("iam:PutRolePolicy")
			w.state(w.clicks(carol, r, "retry"), approvals.Partial)
		}, missed: 2},
		"a retry brings it about":      {do: func(w *world) { w.state(w.clicks(carol, w.failed(), "retry"), approvals.Contained) }, missed: 1},
		"a look finds that it is lost": {do: func(w *world) { lost(w) }, missed: 1},
		"the next looks find the same": {do: func(w *world) { lost(w); w.pass(time.Hour) }, missed: 1},
		"its undo ends in between":     {do: func(w *world) { w.halfUndone(w.contained(revoke), "iam:DeleteRolePolicy") }, missed: 1},
		"the account is not entered": {do: func(w *world) {
			r := w.state(w.types(alice, revoke), approvals.Pending)
			w.breaks("sts:AssumeRole")
			w.state(w.clicks(bob, r, "approve"), approvals.Failed)
		}, missed: 1, shut: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.do(w)
			if got := w.counted["NotContained"]; got != c.missed {
				t.Errorf("NotContained is %d, want %d", got, c.missed)
			}
			if got := w.counted["RolesNotAssumed"]; (got > 0) != c.shut {
				t.Errorf("RolesNotAssumed is %d", got)
			}
		})
	}
}
