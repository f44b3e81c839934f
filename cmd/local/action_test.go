package local_test

import (
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/toy"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestANewActionIsOneFile: an action that is in the list goes the whole way from the
// typed command to the undo, under member roles that its Spec makes.
func TestANewActionIsOneFile(t *testing.T) {
	t.Parallel()
	const orders, policy = "arn:aws:sqs:us-east-1:" + prod + ":orders", `{"Version":"2012-10-17","Statement":[]}`
	var queue *toy.Queue
	w := newWorld(t, func(w *world) {
		w.cfg.Org.Actions = toy.Org().Actions
		w.deployMember()
		queue = toy.NewQueue(w.aws, orders, policy)
	})
	w.types("U01ALICE", "help")
	w.told("U01ALICE", "close_queue")

	r := w.asks("U01ALICE", "close_queue "+orders+" messages=kept floods the workers")
	w.state(r, approvals.Pending)
	w.shows(r, "Close the queue: orders")
	w.clicks("U02BOB", w.again(r), "approve")
	r = w.state(r, approvals.Contained)
	if !strings.Contains(queue.Policy(), "Deny") {
		t.Errorf("the queue is open: %s", queue.Policy())
	}
	w.undo(r)
	w.state(r, approvals.Undone)
	if queue.Policy() != policy {
		t.Errorf("not as before: %s", queue.Policy())
	}
}
