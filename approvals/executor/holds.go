package executor

import (
	"context"
	"slices"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// holdsOf reads the holds of the steps' changes.
func (x *Executor) holdsOf(ctx context.Context, steps []step) ([]hold, error) {
	holds := make([]hold, len(steps))
	return holds, parallel(len(steps), func(i int) error {
		_, err := x.runs().Find(ctx, holdRow(steps[i].Step.Hold), &holds[i])
		return err
	})
}

func remove(ids []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(s string) bool { return s == id })
}

// hold is the row of a change: the requests that want it to stay, and what an undo restores.
type hold struct {
	Holders []string `json:"holders"`
	// Releasing is the undo that is reverting the change. Until it has ended no other
	// request can join.
	Releasing string         `json:"releasing,omitempty"`
	Effect    actions.Effect `json:"effect"`
}

func holdRow(name string) approvals.Key { return approvals.Key{Part: "hold#" + name, Sort: "hold"} }

// lockRow is the row of a target's lock: a lease whose owner is the request.
func lockRow(account, target string) approvals.Key {
	return approvals.Key{Part: "lock#" + account + "/" + target, Sort: "lock"}
}
