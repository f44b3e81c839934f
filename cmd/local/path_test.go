package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

func TestContainmentAndUndo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.aws.Snapshot()
	stolen := w.aws.Session(appRole, "attacker")
	w.clock.Add(time.Minute)

	r := w.asks("U01ALICE", command)
	w.state(r, approvals.Pending)
	if n := w.aws.Mutations(); n != 0 {
		t.Errorf("the plan made %d changes", n)
	}
	w.clicks("U02BOB", w.again(r), "approve")
	r = w.state(r, approvals.Contained)
	if ok, _ := stolen.Can("s3:GetObject", "arn:aws:s3:::secrets/key"); ok {
		t.Error("the attacker's session still works")
	}
	w.pass(2 * time.Minute)
	t.Log(w.said())

	w.clicks("U03CAROL", r, "undo")
	u := w.undoOf(r)
	w.state(u, approvals.Pending)
	w.clicks("U01ALICE", w.again(u), "approve")
	w.state(u, approvals.Restored)
	w.state(r, approvals.Undone)
	if d := diffState(before, w.aws.Snapshot()); d != "" {
		t.Errorf("not as before: %s", d)
	}
	if !strings.Contains(w.said(), "restored") {
		t.Error("the thread does not say restored")
	}
	t.Log(w.said())
}
