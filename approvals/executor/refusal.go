package executor

import (
	"context"
	"errors"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// refuse ends a request for good, on the condition of the rows in fence.
func (x *Executor) refuse(ctx context.Context, r approvals.Request, no *actions.Refusal, fence ...approvals.Put) error {
	run := approvals.Run{ID: r.ID, Outcome: approvals.Refused, Cause: no.Reason, Hint: no.Hint, Ended: x.Now().UTC()}
	ev := audit.New("refused", "", "why", no.Cause(), "intent", r.Intent.String())
	err := x.record(ctx, r.ID, append(fence, approvals.PutRow(approvals.RunKey(r.ID), 0, run)), ev)
	if errors.Is(err, approvals.ErrConflict) {
		// Refused before, and the request did not hear of it; or somebody went on.
		var old approvals.Run
		old, err = x.runs().Run(ctx, r.ID)
		if err != nil || old.Outcome != approvals.Refused {
			return ignore(err, approvals.ErrNotFound)
		}
	}
	if err != nil {
		return err
	}
	_, err = x.Requests.Change(ctx, r.ID, func(r *approvals.Request) error {
		if !r.State.May(approvals.Refused) {
			return errSettled
		}
		r.Codes, r.Cause, r.Hint, r.Closed = no.Codes, no.Reason, no.Hint, true
		return r.To(approvals.Refused, x.Now().UTC())
	})
	if err := x.sendChange(ctx, r.ID, err); err != nil {
		return err
	}
	return x.expireRows(ctx, r.ID, run.Ended)
}

// errSettled stops a Change that has nothing left to do.
var errSettled = errors.New("settled already")

// sendChange tells the bot, unless the change failed.
func (x *Executor) sendChange(ctx context.Context, id string, err error) error {
	if err != nil && !errors.Is(err, errSettled) {
		return err
	}
	return x.Changes.Send(ctx, approvals.Change{ID: id}, 0)
}

// ignore passes errors on, but for those of one kind.
func ignore(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

// refusalOf makes a refusal of an AWS error, unless it may pass by itself.
func refusalOf(err error) error {
	if actions.Transient(err) {
		return err
	}
	why, hint := actions.Explain(err)
	return &actions.Refusal{Reason: why, Hint: hint}
}

// errSettledOr is errSettled, unless something went wrong.
func errSettledOr(err error) error {
	if err != nil {
		return err
	}
	return errSettled
}
