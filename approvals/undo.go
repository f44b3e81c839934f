package approvals

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// beginUndo binds the original's run to the undo: from here on nobody else
// takes it back, and its re-checks stop.
func (x *Executor) beginUndo(ctx context.Context, run *Run, p Planned) error {
	id := p.Intent.Undo
	orig, origRun, steps, err := x.undoable(ctx, id, p.ID)
	var no *refusal
	if errors.As(err, &no) && !run.Started {
		return x.abandon(ctx, run, no.why)
	}
	if err != nil {
		return err
	}
	if !run.Started && (snapshotHash(steps) != p.Snapshot || orig.Plan.Identity.ID != p.Plan.Identity.ID) {
		return x.abandon(ctx, run, "what there is to take back is no longer what was approved")
	}
	// What was written seconds ago may not be seen yet, and would be taken for
	// already gone.
	if early := origRun.Ended.Add(readWithin).Sub(x.Now()); early > 0 && !run.Started {
		if err := x.Sleep(ctx, early); err != nil {
			return err
		}
	}
	if origRun.UndoneBy == "" {
		origRun.UndoneBy = p.ID
		err := x.record(ctx, id, []Put{putRow(runKey(id), origRun.Version, origRun)}, event("undo_begun", p.Person, "by", p.ID))
		if err != nil {
			return fmt.Errorf("undo %s: %w", id, err)
		}
	}
	_, err = x.Requests.Change(ctx, id, func(r *Request) error {
		if r.State == Undoing || !r.State.May(Undoing) {
			return errSettled
		}
		r.UndoneBy = p.ID
		return r.To(Undoing, x.Now().UTC())
	})
	return x.changed(ctx, id, err)
}

// abandon ends a claimed run with nothing done.
func (x *Executor) abandon(ctx context.Context, run *Run, why string) error {
	run.Outcome, run.Why, run.Ended = Refused, why, x.Now().UTC()
	if err := x.end(ctx, run, event("refused", "", "why", why)); err != nil {
		return err
	}
	_, err := x.Requests.Change(ctx, run.ID, func(r *Request) error {
		if !r.State.May(Refused) {
			return errSettled
		}
		r.Why, r.Closed = why, true
		return r.To(Refused, run.Ended)
	})
	if err := x.changed(ctx, run.ID, err); err != nil {
		return err
	}
	return errSettled
}

// endUndo tells the original how its undo ended.
func (x *Executor) endUndo(ctx context.Context, run Run, p Planned) error {
	id := p.Intent.Undo
	orig, err := x.runs().Run(ctx, id)
	if err != nil {
		return err
	}
	if orig.UndoneBy != run.ID {
		return nil
	}
	done := run.Outcome == Restored
	if !done {
		orig.UndoneBy = "" // it may be tried again
		orig.Outcome, orig.NextCheck = Partial, time.Time{}
		orig.Why, orig.Hint = fmt.Sprintf("its undo %s ended %s", run.ID, run.Outcome), "see that request; undo again when its cause is gone"
		if err := x.record(ctx, id, []Put{putRow(runKey(id), orig.Version, orig)}, event("undo_"+string(run.Outcome), "", "by", run.ID, "why", run.Why)); err != nil {
			return err
		}
	} else if orig.Outcome != Undone {
		orig.Outcome, orig.Ended = Undone, run.Ended
		if err := x.record(ctx, id, []Put{putRow(runKey(id), orig.Version, orig)}, event("undone", "", "by", run.ID)); err != nil {
			return err
		}
	}
	_, err = x.Requests.Change(ctx, id, func(r *Request) error {
		if r.State != Undoing {
			return errSettled
		}
		if done {
			r.Why, r.Hint = "", ""
			return r.To(Undone, x.Now().UTC())
		}
		r.UndoneBy, r.Why, r.Hint = "", orig.Why, orig.Hint
		return r.To(Partial, x.Now().UTC())
	})
	return x.changed(ctx, id, err)
}
