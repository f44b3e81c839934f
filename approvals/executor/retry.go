package executor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// startRetry starts another attempt if a proved and permitted click asks for it.
// Otherwise it returns errSettled.
func (x *Executor) startRetry(ctx context.Context, r approvals.Request, run approvals.Run, p approvals.Planned) (approvals.Run, error) {
	if !run.Started || run.UndoneBy != "" {
		return run, errSettled
	}
	if no, _ := r.No(); no != nil && run.Withdrawn == nil && run.Outcome.Missed() {
		return run, errSettledOr(x.withdraw(ctx, r, run))
	}
	t := x.provedRequest(p)
	t.State, t.Cause, t.Ready = run.Outcome, run.Cause, run.Approved
	for _, stored := range r.Retries {
		if slices.Contains(run.Retries, stored.Evidence) {
			continue
		}
		v, err := x.proveVote(ctx, stored.Evidence, "retry", p)
		if no, ok := errors.AsType[*actions.Refusal](err); ok {
			x.Log.WarnContext(ctx, "retry not proved", slog.String("request_id", r.ID), slog.String("error", no.Reason))
			continue
		}
		if err != nil {
			return run, err
		}
		if v.At.Before(run.Since) || !x.Policy.Decide(t, approvals.Retry, v, x.Now()).Accept {
			continue
		}
		err = x.mayRetry(ctx, r, run, p)
		if no, ok := errors.AsType[*actions.Refusal](err); ok {
			return run, errSettledOr(x.refuseRetry(ctx, run, v, no.Reason))
		}
		if err != nil {
			return run, err
		}
		again := run
		now := x.Now().UTC()
		again.Retries = append(slices.Clone(run.Retries), v.Evidence)
		again.Lease, again.Since = x.newLease(), now
		again.Attempt++
		again.Missed = time.Time{}
		again.Before = approvals.Ending{Outcome: run.Outcome, Cause: run.Cause, Hint: run.Hint}
		again.Outcome, again.Cause, again.Hint, again.NextCheck, again.Checks = "", "", "", time.Time{}, 0
		again.UnreadSince, again.Unread = time.Time{}, ""
		err = x.writeClaim(ctx, run.ID, p, &again, nil,
			audit.New("retried", v.Person, "evidence", v.Evidence, "attempt", strconv.Itoa(again.Attempt)))
		return again, err
	}
	return run, errSettled
}

// mayRetry checks that a request is still approved under the policy of now, by what was
// proved when the run was claimed, and that a retry would do what was approved. It returns
// an *actions.Refusal if not.
func (x *Executor) mayRetry(ctx context.Context, r approvals.Request, run approvals.Run, p approvals.Planned) error {
	if run.Withdrawn != nil {
		return &actions.Refusal{Reason: "somebody said no to it after its last attempt: it is not tried again"}
	}
	var err error
	if run.BreakGlass == nil {
		_, err = x.decide(r, p, attestedVotes(run, p), "")
	} else if err = x.admits(r, p); err == nil && x.Policy.For(p.Intent).BreakGlassAfter == 0 {
		err = &actions.Refusal{Reason: "break_glass is off by now"}
	}
	if err == nil && p.Mode != approvals.TwoPerson {
		// The source is not asked again: the first attempt has changed what it says.
		var proven provenRequest
		if proven, err = x.prove(ctx, r, x.readPayload); err == nil && proven.mode != p.Mode {
			err = proven.modeRefusal()
		}
	}
	if no, ok := errors.AsType[*actions.Refusal](err); ok {
		return &actions.Refusal{Reason: "it is no longer approved: " + no.Cause()}
	}
	if err != nil || p.Intent.Undo == "" {
		return err
	}
	orig, err := x.runs().Run(ctx, p.Intent.Undo)
	if err == nil && orig.Attempt != p.UndoneAttempt {
		err = &actions.Refusal{Reason: p.Intent.Undo + " was applied again since this undo was approved: ask for a new one"}
	}
	return err
}

// refuseRetry marks the evidence of a refused retry as used and stores the cause.
func (x *Executor) refuseRetry(ctx context.Context, run approvals.Run, v approvals.Vote, why string) error {
	run.Retries = append(slices.Clone(run.Retries), v.Evidence)
	run.Cause, run.Hint, run.Revision = why, askAgain, run.Revision+1
	return x.record(ctx, run.ID, []approvals.Put{putRun(run)}, audit.New("retry_refused", v.Person, "why", why))
}
