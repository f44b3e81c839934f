package executor

import (
	"context"
	"maps"
	"slices"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// holdsOf reads the holds of the steps' changes.
func (x *Executor) holdsOf(ctx context.Context, steps []step) ([]hold, error) {
	holds := make([]hold, len(steps))
	return holds, actions.Parallel(len(steps), maxParallel, func(i int) error {
		_, err := x.runs().Find(ctx, holdRow(steps[i].Step.Hold), &holds[i])
		return err
	})
}

func remove(ids []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(s string) bool { return s == id })
}

// hold is the row of a written object: the requests that want its change to stay, and what
// the undo of the last of them restores.
type hold struct {
	Holders []string `json:"holders"`
	// Shares are the holders' parts of a shared content. Writer is the request that writes it
	// now: AWS would take the older content of another.
	Shares map[string]string `json:"shares,omitempty"`
	Writer approvals.Lease   `json:"writer,omitzero"`
	// Releasing is the undo that is reverting the change. Until it has ended no other
	// request can join.
	Releasing string         `json:"releasing,omitempty"`
	Effect    actions.Effect `json:"effect"`
}

// shares returns the shares of all holders but one.
func (h hold) shares(but string) []string {
	left := maps.Clone(h.Shares)
	delete(left, but)
	return slices.Compact(slices.Sorted(maps.Values(left)))
}

// sharing are the other holders that have the same share as one.
func (h hold) sharing(as string) (same []string) {
	for _, id := range h.Holders {
		if share := h.Shares[as]; share != "" && id != as && h.Shares[id] == share {
			same = append(same, id)
		}
	}
	return same
}

// leaveShares takes a request's shares out of shared contents: nobody else writes them for it.
func (x *Executor) leaveShares(ctx context.Context, id string) error {
	steps, err := x.steps(ctx, id)
	if err != nil {
		return err
	}
	for _, s := range steps {
		var h hold
		version, err := x.runs().Find(ctx, holdRow(s.Step.Hold), &h)
		if err != nil {
			return err
		}
		if _, shares := h.Shares[id]; !shares {
			continue
		}
		delete(h.Shares, id)
		if err := x.Store.Write(ctx, approvals.PutRow(holdRow(s.Step.Hold), version, h)); err != nil {
			return err
		}
	}
	return nil
}

func holdRow(name string) approvals.Key { return approvals.Key{Part: "hold#" + name, Sort: "hold"} }

// lockRow is the row of a target's lock: a lease whose owner is the request.
func lockRow(account, target string) approvals.Key {
	return approvals.Key{Part: "lock#" + account + "/" + target, Sort: "lock"}
}
