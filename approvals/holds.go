package approvals

import (
	"context"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// holdsOf reads who holds the steps' changes.
func (x *Executor) holdsOf(ctx context.Context, steps []step) ([]hold, error) {
	holds := make([]hold, len(steps))
	return holds, parallel(len(steps), func(i int) error {
		_, err := x.runs().find(ctx, holdRow(steps[i].Step.Hold), &holds[i])
		return err
	})
}

func without(ids []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(s string) bool { return s == id })
}

// hold records which requests want a change to stay, and what undo restores.
type hold struct {
	Version int64    `json:"-"`
	Holders []string `json:"holders"`
	// Lifting is the undo that takes the change back just now: nobody may join it
	// until that undo has ended.
	Lifting string         `json:"lifting,omitempty"`
	Effect  actions.Effect `json:"effect"`
}

// lock keeps a second run off a target.
type lock struct {
	Version int64     `json:"-"`
	ID      string    `json:"id"`
	Until   time.Time `json:"until"`
}

func holdRow(name string) Key { return Key{"hold#" + name, "hold"} }

func lockRow(account, target string) Key {
	return Key{"lock#" + account + "/" + target, "lock"}
}
