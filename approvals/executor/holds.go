package executor

import (
	"context"
	"slices"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// holdsOf reads who holds the steps' changes.
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

// hold records which requests want a change to stay, and what undo restores.
type hold struct {
	Version int64    `json:"-"`
	Holders []string `json:"holders"`
	// Releasing is the undo that takes the change back just now: nobody may join it
	// until that undo has ended.
	Releasing string         `json:"releasing,omitempty"`
	Effect    actions.Effect `json:"effect"`
}

func holdRow(name string) approvals.Key { return approvals.Key{Part: "hold#" + name, Sort: "hold"} }

// lockRow is the row of a target's lock: a lease whose owner is the request.
func lockRow(account, target string) approvals.Key {
	return approvals.Key{Part: "lock#" + account + "/" + target, Sort: "lock"}
}
