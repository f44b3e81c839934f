package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// beginUndo sets UndoneBy on the original's run: no other undo can start, and its
// looks write nothing.
func (x *Executor) beginUndo(ctx context.Context, run *approvals.Run, p approvals.Planned) error {
	id := p.Intent.Undo
	orig, origRun, steps, err := x.undoable(ctx, id, p.ID)
	if no, ok := errors.AsType[*actions.Refusal](err); ok {
		return x.refuseUndo(ctx, run, p, no.Reason)
	}
	switch {
	case err != nil:
		return err
	case origRun.Attempt != p.UndoneAttempt:
		return x.refuseUndo(ctx, run, p, id+" was applied again since this undo was approved")
	case !run.Started && (snapshotHash(steps) != p.Snapshot || orig.Plan.Identity.ID != p.Plan.Identity.ID):
		return x.refuseUndo(ctx, run, p, "what there is to take back is no longer what was approved")
	}
	// A change of some seconds ago may be invisible yet, and would look reverted.
	last := origRun.Ended
	if origRun.AppliedAt.After(last) {
		last = origRun.AppliedAt
	}
	if early := last.Add(visibleAfter).Sub(x.Now()); early > 0 && !run.Started {
		if err := x.Sleep(ctx, early); err != nil {
			return err
		}
		return x.beginUndo(ctx, run, p) // a look may have written meanwhile
	}
	if origRun.UndoneBy == "" {
		origRun.UndoneBy = p.ID
		err := x.record(ctx, id, []approvals.Put{putRun(origRun)}, audit.New("undo_begun", p.Person, "by", p.ID))
		switch {
		case errors.Is(err, approvals.ErrConflict) && ctx.Err() == nil:
			return x.beginUndo(ctx, run, p)
		case err != nil:
			return fmt.Errorf("undo %s: %w", id, err)
		}
	}
	return x.changeRequest(ctx, id, func(r *approvals.Request) error {
		if r.State == approvals.Undoing || !r.State.May(approvals.Undoing) {
			return errSettled
		}
		r.UndoneBy = p.ID
		return r.To(approvals.Undoing, x.Now().UTC())
	})
}

// refuseUndo ends an undo that must not continue: refused if it had not started,
// otherwise partial.
func (x *Executor) refuseUndo(ctx context.Context, run *approvals.Run, p approvals.Planned, why string) error {
	run.Outcome, run.Cause, run.Hint, run.Ended = approvals.Refused, why, "ask for a new undo", x.Now().UTC()
	if run.Started {
		run.Outcome = approvals.Partial
	}
	if err := x.endRun(ctx, run, audit.New("refused", "", "why", why)); err != nil {
		return err
	}
	return errSettledOr(x.settle(ctx, *run, p))
}

// endUndo writes the undo's outcome to the original request.
func (x *Executor) endUndo(ctx context.Context, run approvals.Run, p approvals.Planned) error {
	id := p.Intent.Undo
	orig, err := x.runs().Run(ctx, id)
	if err != nil {
		return err
	}
	undo, err := x.steps(ctx, run.ID)
	if err != nil {
		return err
	}
	done := run.Outcome == approvals.Restored
	if orig.UndoneBy != run.ID {
		// The run was written before; the request may not have been.
		if r, err := x.Requests.Get(ctx, id); err != nil || r.State != approvals.Undoing || r.UndoneBy != run.ID {
			return err
		}
	} else if !done {
		orig.UndoneBy = "" // another undo may start
		reverted, err := x.mayHaveReverted(ctx, run.ID, undo)
		if err != nil {
			return err
		}
		if reverted { // otherwise what held holds
			orig.Outcome = approvals.Partial
			noteMissed(&orig, x.Now())
		}
		x.beginWatch(&orig, approvals.Planned{})
		orig.Cause, orig.Hint = fmt.Sprintf("its undo %s ended %s", run.ID, run.Outcome), "see that request; undo again when its cause is gone"
		failed := audit.New("undo_"+string(run.Outcome), "", "by", run.ID, "why", run.Cause)
		if err := x.record(ctx, id, []approvals.Put{putRun(orig)}, failed); err != nil {
			return err
		}
	} else if orig.Outcome != approvals.Undone {
		orig.Outcome, orig.Ended = approvals.Undone, run.Ended
		if err := x.record(ctx, id, []approvals.Put{putRun(orig)}, audit.New("undone", "", "by", run.ID, "at", run.Ended.Format(time.RFC3339))); err != nil {
			return err
		}
	}
	err = x.changeRequest(ctx, id, func(r *approvals.Request) error {
		if r.State != approvals.Undoing {
			return errSettled
		}
		if done {
			r.Cause, r.Hint = "", ""
			return r.To(approvals.Undone, x.Now().UTC())
		}
		r.UndoneBy, r.Cause, r.Hint = "", orig.Cause, orig.Hint
		r.State, r.Ended = orig.Outcome, x.Now().UTC() // what was denied after it ran is denied again
		r.Revise()
		return nil
	})
	x.countMissed(ctx, err == nil && !done && orig.Outcome.Missed())
	switch {
	case err != nil:
		return err
	case !done:
		return errors.Join(x.sendKeep(ctx, id), x.sendLook(ctx, orig))
	}
	if err := x.sendKeep(ctx, id); err != nil {
		return err
	}
	return x.expireRows(ctx, id, orig.Ended)
}

// mayHaveReverted reports whether an undo that has ended changed anything: a worker that
// died after its write recorded no step, only that it was about to.
func (x *Executor) mayHaveReverted(ctx context.Context, id string, undo []step) (bool, error) {
	if sumUp(undo).begun > 0 {
		return true, nil
	}
	holds, err := x.holdsOf(ctx, undo)
	return slices.ContainsFunc(holds, func(h hold) bool { return h.Releasing == id || h.Writer.Owner == id }), err
}
