package approvals

import (
	"context"
	"errors"
	"slices"
)

// Shown is what people at the command line see of a request: all that its digest covers is in it.
type Shown struct {
	Request Request  `json:"request"`
	Planned *Planned `json:"planned,omitempty"`
	Steps   []Step   `json:"steps,omitempty"` // the first of them
	Run     *Run     `json:"run,omitempty"`
}

// Digest computes the digest of the call that is shown; empty if there is no plan.
func (s Shown) Digest() string {
	if s.Planned == nil {
		return ""
	}
	p := s.Planned
	return CallDigest(p.ID, p.Intent, p.Plan, p.Policy, p.Snapshot)
}

// Show reads what people see of a request, with as many steps. It returns ErrNotFound if there is none.
func Show(ctx context.Context, requests Requests, runs Runs, id string, steps int) (Shown, error) {
	r, err := requests.Get(ctx, id)
	if err != nil {
		return Shown{Request: r}, err
	}
	return runs.Show(ctx, r, steps)
}

// Show reads the rest of what people see of a request, with as many steps.
func (t Runs) Show(ctx context.Context, r Request, steps int) (Shown, error) {
	s := Shown{Request: r}
	p, err := t.Planned(ctx, r.ID)
	switch {
	case err == nil:
		s.Planned = &p
	case !errors.Is(err, ErrNotFound):
		return s, err
	}
	run, err := t.Run(ctx, r.ID)
	switch {
	case err == nil:
		s.Run = &run
	case !errors.Is(err, ErrNotFound):
		return s, err
	}
	if steps > 0 {
		s.Steps, err = t.Steps(ctx, r.ID, steps)
		return s, err
	}
	return s, nil
}

// maxListed is how many requests a list has.
const maxListed = 100

// ShowOpen reads the requests that are open, and those in force, the newest first.
func ShowOpen(ctx context.Context, requests Requests, runs Runs) (all []Shown, err error) {
	known := map[string]bool{}
	for _, mark := range []string{MarkOpen, MarkInForce} {
		rs, err := requests.Marked(ctx, mark, "", maxListed)
		if err != nil {
			return nil, err
		}
		for _, r := range rs {
			if known[r.ID] || !r.State.Open() && !r.State.InForce() {
				continue
			}
			known[r.ID] = true
			s, err := Show(ctx, requests, runs, r.ID, 0)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return nil, err
			}
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b Shown) int { return b.Request.Asked.Compare(a.Request.Asked) })
	return all, nil
}
