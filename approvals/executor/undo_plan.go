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

// planUndo plans the way back from an earlier request's ledger.
func (x *Executor) planUndo(ctx context.Context, action actions.Action, p *approvals.Planned) error {
	orig, run, steps, err := x.undoable(ctx, p.Intent.Undo, p.ID)
	if err != nil {
		return err
	}
	p.Plan = actions.Plan{Identity: orig.Plan.Identity, Undo: "ask for the containment again"}
	p.Snapshot, p.UndoneAttempt = snapshotHash(steps), run.Attempt
	p.Account = orig.Account
	acct, err := x.Cloud.EnterFor(ctx, actions.Responder, action, actions.PhasePlan, p.Call(), resources(steps), sessionContext(*p, nil))
	if err != nil {
		return refusalOf(err)
	}
	ordered := undoOrder(steps)
	holds, err := x.holdsOf(ctx, ordered)
	if err != nil {
		return err
	}
	type reading struct {
		actions.Reading
		err error
	}
	found := make([]reading, len(ordered))
	_ = parallel(len(ordered), func(i int) error {
		if slices.Contains(holds[i].Holders, orig.ID) {
			found[i].Reading, found[i].err = action.Verify(ctx, acct, ordered[i].Step, holds[i].Effect)
		}
		return nil
	})
	stay := 0
	for i, s := range ordered {
		back := actions.Step{ID: s.Step.ID, Title: "Take back: " + s.Step.Title, Current: s.Step.After, After: s.Step.Current,
			Hold: s.Step.Hold, Resource: s.Step.Resource, ResourceID: s.Step.ResourceID, Prior: s.Effect.Prior, Deny: s.Step.Deny, Many: s.Step.Many}
		if !s.Step.Credential || !p.Intent.ReactivateKeys {
			back.NotReverted = s.Step.NotReverted
		}
		if !slices.Contains(holds[i].Holders, orig.ID) {
			continue // an earlier undo took it back
		}
		others := remove(holds[i].Holders, orig.ID)
		read, err := found[i].Reading, found[i].err
		switch {
		case back.NotReverted != "":
			stay++
			back.Title, back.After = "Leave: "+s.Step.Title, "stays: "+back.NotReverted
			p.Plan.Residual = append(p.Plan.Residual, s.Step.Title+": "+back.NotReverted+".")
		case errors.Is(err, actions.ErrRecreated):
			p.Plan.Warnings = append(p.Plan.Warnings, fmt.Sprintf("%s: %s. Undo leaves that one alone.", s.Step.Title, err))
		case err != nil:
			why, _ := actions.Explain(err)
			p.Plan.Warnings = append(p.Plan.Warnings, fmt.Sprintf("%s: its present state can't be read (%s).", s.Step.Title, why))
		case !read.Holds:
			back.Current = read.Found
			p.Plan.Warnings = append(p.Plan.Warnings, fmt.Sprintf("%s: found %s. Undo does not overwrite what others wrote.", s.Step.Title, read.Found))
		case read.Found != "":
			back.Current = read.Found
		}
		if back.Prior != nil && len(others) == 0 && s.Step.Deny && back.NotReverted == "" && strings.HasPrefix(strings.TrimSpace(*back.Prior), "{") { // a document, or a state with one
			if grants := deny.Grants(*back.Prior); grants != "" {
				p.Plan.Warnings = append(p.Plan.Warnings, "What would be put back allows this: "+grants)
			}
		}
		if len(others) > 0 && back.NotReverted == "" {
			back.After = "stays: " + strings.Join(others, ", ") + " holds it too"
		}
		p.Plan.Steps = append(p.Plan.Steps, back)
	}
	switch {
	case len(p.Plan.Steps) == 0:
		return &actions.Refusal{Reason: p.Intent.Undo + " holds nothing any more, so there is nothing to undo"}
	case len(p.Plan.Steps) == stay && slices.ContainsFunc(steps, func(s step) bool { return s.Step.Credential }):
		return &actions.Refusal{Reason: "undo leaves all of it as it is: " + p.Plan.Steps[0].NotReverted, Hint: "undo " + p.Intent.Undo + " keys=" + approvals.Reactivate + " gives the credentials back"}
	case len(p.Plan.Steps) == stay:
		return &actions.Refusal{Reason: "undo can take nothing of it back: " + p.Plan.Steps[0].NotReverted}
	}
	if run.Outcome == approvals.Partial && run.Cause != "" {
		p.Plan.Facts = append(p.Plan.Facts, actions.Fact{Label: "The containment was partial", Text: run.Cause})
	}
	return nil
}

// undoOrder is the ledger backwards, what keeps the target powerless last.
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

// undoable reads what an undo needs, or says why there is nothing to undo.
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
	steps := slices.DeleteFunc(all, func(s step) bool { return s.State == approvals.StepPlanned || s.State == approvals.StepSkipped })
	if len(steps) == 0 {
		return p, run, nil, &actions.Refusal{Reason: id + " changed nothing, so there is nothing to undo"}
	}
	return p, run, steps, nil
}

// snapshotHash covers what an undo puts back.
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
