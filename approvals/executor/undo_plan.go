package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// planUndo plans an undo from the ledger of the original request.
func (x *Executor) planUndo(ctx context.Context, action actions.Action, p *approvals.Planned, f *planner) error {
	orig, run, steps, err := x.undoable(ctx, p.Intent.Undo, p.ID)
	if err != nil {
		return storeError{err}
	}
	p.Plan = actions.Plan{Identity: orig.Plan.Identity, Undo: "ask for the containment again", Warnings: []string{"It " + orig.Plan.Undo + "."}}
	p.Snapshot, p.UndoneAttempt = snapshotHash(steps), run.Attempt
	p.Account = orig.Account
	ordered := undoOrder(steps)
	holds, err := x.holdsOf(ctx, ordered)
	if err != nil {
		return storeError{err}
	}
	type reading struct {
		actions.Reading
		err error
	}
	found := make([]reading, len(ordered))
	var acct *actions.Account
	err = x.readTarget(ctx, p.ID, f, func(ctx context.Context) (err error) {
		if acct == nil {
			acct, err = x.Cloud.EnterFor(ctx, actions.Responder, action, actions.PhasePlan, p.Call(), resources(steps), sessionContext(*p, nil))
		}
		if err != nil {
			return refusalOf(err)
		}
		if err := readListing(ctx, acct, action, ordered); err != nil {
			return err
		}
		return actions.Parallel(len(ordered), maxParallel, func(i int) error {
			if slices.Contains(holds[i].Holders, orig.ID) {
				found[i].Reading, found[i].err = action.Verify(ctx, acct, ordered[i].Step, holds[i].Effect)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for i, s := range ordered {
		if slices.Contains(holds[i].Holders, orig.ID) { // otherwise an earlier undo reverted it
			others := remove(holds[i].Holders, orig.ID)
			if s.Step.Share != "" { // who holds another part does not keep this one
				others = holds[i].sharing(orig.ID)
			}
			addUndoStep(p, s, others, found[i].Reading, found[i].err)
		}
	}
	if run.Outcome == approvals.Partial && run.Cause != "" {
		p.Plan.Facts = append(p.Plan.Facts, actions.Fact{Label: "The containment was partial", Text: run.Cause})
	}
	return nothingToRevert(p.Intent, p.Plan.Steps, steps)
}

// addUndoStep adds the step that reverts s, with what its target is like now: found,
// or the error of the reading. Others are the requests that need the change too.
func addUndoStep(p *approvals.Planned, s step, others []string, found actions.Reading, err error) {
	plan := &p.Plan
	back := actions.Step{ID: s.Step.ID, Title: "Take back: " + s.Step.Title, Current: s.Step.After, After: s.Step.Current,
		Hold: s.Step.Hold, Resource: s.Step.Resource, ResourceID: s.Step.ResourceID, Prior: s.Effect.Prior, Goal: s.Step.ID, Share: s.Step.Share, Deny: s.Step.Deny, Many: s.Step.Many}
	if !s.Step.Credential || !p.Intent.ReactivateKeys {
		back.NotReverted = s.Step.NotReverted
	}
	warn := func(format string, args ...any) { plan.Warnings = append(plan.Warnings, fmt.Sprintf(format, args...)) }
	switch {
	case back.NotReverted != "":
		back.Title, back.After = "Leave: "+s.Step.Title, "stays: "+back.NotReverted
		plan.Residual = append(plan.Residual, s.Step.Title+": "+back.NotReverted+".")
	case errors.Is(err, actions.ErrRecreated):
		warn("%s: %s. Undo leaves that one alone.", s.Step.Title, err)
	case err != nil:
		why, _ := actions.Explain(err)
		warn("%s: its present state can't be read (%s).", s.Step.Title, why)
	case !found.Holds:
		back.Current = found.Found
		warn("%s: found %s. Undo does not overwrite what others wrote.", s.Step.Title, found.Found)
	case found.Found != "":
		back.Current = found.Found
	}
	if found.Elsewhere != "" {
		warn("Held elsewhere by %s. What both have set is not taken back until it is undone there.", found.Elsewhere)
	}
	if back.NotReverted == "" && len(others) > 0 {
		back.After = "stays: " + strings.Join(others, ", ") + " holds it too"
	} else if document := strings.HasPrefix(strings.TrimSpace(deref(back.Prior)), "{"); document && back.NotReverted == "" && back.Deny {
		if grants := deny.Grants(*back.Prior); grants != "" {
			warn("What would be put back allows this: %s", grants)
		}
	}
	plan.Steps = append(plan.Steps, back)
}

// nothingToRevert refuses an undo that would leave everything as it is.
func nothingToRevert(i approvals.Intent, undo []actions.Step, done []step) error {
	switch {
	case len(undo) == 0:
		return &actions.Refusal{Reason: i.Undo + " holds nothing any more, so there is nothing to undo"}
	case slices.ContainsFunc(undo, func(s actions.Step) bool { return s.NotReverted == "" }):
		return nil
	case slices.ContainsFunc(done, func(s step) bool { return s.Step.Credential }):
		return &actions.Refusal{Reason: "undo leaves all of it as it is: " + undo[0].NotReverted,
			Hint: "undo " + i.Undo + " keys=" + approvals.Reactivate + " gives the credentials back"}
	}
	return &actions.Refusal{Reason: "undo can take nothing of it back: " + undo[0].NotReverted}
}

// undoOrder is the reversed ledger, with the denies last.
func undoOrder(steps []step) []step {
	back := slices.Clone(steps)
	slices.Reverse(back)
	slices.SortStableFunc(back, func(a, b step) int {
		switch {
		case a.Step.Deny == b.Step.Deny:
			return 0
		case b.Step.Deny:
			return -1
		}
		return 1
	})
	return back
}

// undoable reads the rows that an undo needs. It returns an *actions.Refusal if there
// is nothing to undo.
func (x *Executor) undoable(ctx context.Context, id, by string) (approvals.Planned, approvals.Run, []step, error) {
	p, err := x.runs().Planned(ctx, id)
	if err != nil && !errors.Is(err, approvals.ErrNotFound) {
		return p, approvals.Run{}, nil, err
	}
	run, rerr := x.runs().Run(ctx, id)
	switch {
	case errors.Is(rerr, approvals.ErrNotFound) || err != nil || rerr == nil && !run.Started:
		return p, run, nil, &actions.Refusal{Reason: id + " never ran, so there is nothing to undo"}
	case rerr != nil:
		return p, run, nil, rerr
	case p.Intent.Undo != "":
		return p, run, nil, &actions.Refusal{Reason: id + " is itself an undo", Hint: "ask for the containment again"}
	case run.UndoneBy != "" && run.UndoneBy != by:
		return p, run, nil, &actions.Refusal{Reason: id + " is taken back by " + run.UndoneBy + " already"}
	case run.Outcome == "":
		return p, run, nil, &actions.Refusal{Reason: id + " is still running", Hint: "wait until it has ended, then undo it"}
	}
	all, err := x.steps(ctx, id)
	if err != nil {
		return p, run, nil, err
	}
	steps := slices.DeleteFunc(all, func(s step) bool {
		return s.State == approvals.StepPlanned || s.State == approvals.StepSkipped || s.Step.Look != ""
	})
	if len(steps) == 0 {
		return p, run, nil, &actions.Refusal{Reason: id + " changed nothing, so there is nothing to undo"}
	}
	return p, run, steps, nil
}

// snapshotHash is the hash of everything that an undo restores.
func snapshotHash(steps []step) string {
	type item struct {
		Hold, Resource string
		Prior          *string
	}
	var items []item
	for _, s := range steps {
		items = append(items, item{s.Step.Hold, s.Step.Resource, s.Effect.Prior})
	}
	return approvals.HashOf("snapshot", items)
}
