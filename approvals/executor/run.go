package executor

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

const (
	leaseDuration    = 30 * time.Second       // of a worker on a run; heartbeats renew it
	stepTimeout      = 20 * time.Second       // of one step's AWS calls; shorter than the lease
	stopBefore       = 20 * time.Second       // no new step this close to the Lambda deadline
	retryWithin      = 10 * time.Minute       // of a throttled step
	settleWithin     = time.Minute            // of a step that AWS fails, once a goal stands: people wait for the outcome, and the watch goes on
	retryLaterWithin = 90 * time.Second       // of a step that waits for other steps or for eventual consistency
	pageWithin       = time.Minute            // of the next page of a listing
	maxPause         = 20 * time.Second       // between two tries; shorter than the lease
	readWithin       = 15 * time.Second       // IAM is eventually consistent
	visibleAfter     = 10 * time.Second       // changes may be invisible before
	readEvery        = 500 * time.Millisecond // between two tries to read back
	lockedDelay      = 3 * time.Second        // before the next try to lock the target
	progressEvery    = 5 * time.Second        // between two updates of the card
)

// run runs an approved request, or continues its run. It returns errSettled if
// nothing is left to do, and errElsewhere if another worker has the run.
func (x *Executor) run(ctx context.Context, r approvals.Request) error {
	p, err := x.runs().Planned(ctx, r.ID)
	if errors.Is(err, approvals.ErrNotFound) {
		return nil // not planned, so it can't have been approved
	}
	if err != nil {
		return err
	}
	run, err := x.runs().Run(ctx, r.ID)
	switch {
	case errors.Is(err, approvals.ErrNotFound):
		run, err = x.claim(ctx, r, p)
	case err != nil:
		return err
	case run.Outcome == "":
		run, err = x.takeOver(ctx, run, p)
	default:
		if run, err = x.startRetry(ctx, r, run, p); errors.Is(err, errSettled) {
			if run, err = x.runs().Run(ctx, r.ID); err != nil {
				return err
			}
			return x.settle(ctx, run, p)
		}
	}
	if err != nil {
		return err
	}
	defer x.keepMeanwhile(ctx, run.ID)()
	if err := x.begin(ctx, &run, p); err != nil {
		return err
	}
	if err := x.work(ctx, &run, p); err != nil {
		return err
	}
	return x.settle(ctx, run, p)
}

// claim starts a run if the request is approved and proved. One transaction creates the
// run and takes the target's lock.
func (x *Executor) claim(ctx context.Context, r approvals.Request, p approvals.Planned) (approvals.Run, error) {
	if r.State != approvals.Approved {
		return approvals.Run{}, errSettled
	}
	if overtaken(r, p) {
		return approvals.Run{}, errSettledOr(x.showPlan(ctx, p))
	}
	votes, glass, counted, err := x.mayRun(ctx, r, p)
	if why, ok := errors.AsType[*peopleDecide](err); ok {
		if err = x.askPeople(ctx, p, why.why); err == nil {
			return approvals.Run{}, errSettled
		}
	}
	if no, ok := errors.AsType[*actions.Refusal](err); ok {
		return approvals.Run{}, errSettledOr(x.refuse(ctx, r, &actions.Refusal{Codes: no.Codes, Reason: no.Reason,
			Hint: "nothing was changed; " + no.Hint}))
	}
	if err != nil {
		return approvals.Run{}, err
	}
	now := x.Now().UTC()
	run := approvals.Run{ID: r.ID, Lease: x.newLease(), Since: now, Attempt: 1, Approved: approvedAt(votes, glass, p), BreakGlass: glass,
		Lock: lockRow(p.Account, x.Org.Actions.TargetName(p.Intent.Call))}
	run.Approvers, run.Signed = personIDs(votes)
	var ev []audit.Event
	if p.Mode == approvals.TwoPerson {
		if ev, err = x.voteEvents(ctx, r, p, votes); err != nil {
			return approvals.Run{}, err
		}
	}
	if p.Mode != approvals.TwoPerson {
		ev = append(ev, audit.New("released", p.Person, "by", string(p.Mode), "finding", p.Finding, "alert", p.Alert,
			"event", p.Event, "evidence", p.Evidence, "digest", p.Digest))
	}
	if glass != nil {
		ev = append(ev, audit.New("broke_glass", glass.Person, "why", glass.Reason, "account", p.Account, "evidence", glass.Evidence,
			"digest", p.Digest, "at", glass.At.Format(time.RFC3339)))
	}
	ev = append(ev, audit.New("claimed", "", "attempt", "1"))
	err = x.writeClaim(ctx, r.ID, p, &run, counted, ev...)
	return run, err
}

// mayRun checks that a request may run now. It returns the proved approvals, or who acts alone where
// they are not enough, and the writes to be made with the claim; a *peopleDecide or an *actions.Refusal.
func (x *Executor) mayRun(ctx context.Context, r approvals.Request, p approvals.Planned) (
	votes []approvals.Vote, glass *approvals.BreakGlass, writes []approvals.Put, err error) {
	proven, err := x.prove(ctx, r, x.verifyPayload)
	if err != nil {
		return nil, nil, nil, err
	}
	votes, unproved, err := x.proveVotes(ctx, r, p)
	if err != nil {
		return nil, nil, nil, err
	}
	votes, err = x.decide(r, p, votes, unproved)
	if _, short := errors.AsType[*actions.Refusal](err); short && r.BreakGlass != nil {
		var put approvals.Put
		glass, put, err = x.breakGlass(ctx, r, p)
		writes = []approvals.Put{put}
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if x.runTooLate(approvedAt(votes, glass, p), p) {
		return nil, nil, nil, &actions.Refusal{Codes: []actions.Violation{{Code: approvals.PastExpiry}}, Hint: askAgain}
	}
	more, err := x.checkMode(ctx, p, proven)
	return votes, glass, append(writes, more...), err
}

// begin moves the request to running. If it was denied, cancelled or expired first, the
// run ends with no change made, and a retry as if it had not been claimed.
func (x *Executor) begin(ctx context.Context, run *approvals.Run, p approvals.Planned) error {
	var ended approvals.Request
	errWithdrawn := errors.New("somebody said no first")
	_, err := x.Requests.Change(ctx, run.ID, func(r *approvals.Request) error {
		no, _ := r.No()
		if no != nil && run.Before.Outcome != "" && run.Reviewed < run.Attempt && r.State != approvals.Running {
			ended = *r
			return errWithdrawn
		}
		if run.Started && (r.State == approvals.Running || !r.State.May(approvals.Running)) {
			return errSettled // a started run continues, whatever the row says
		}
		ended = *r
		r.Cause, r.Hint, r.Codes = "", "", nil
		return r.To(approvals.Running, x.Now().UTC())
	})
	var no *approvals.TransitionError
	switch {
	case errors.As(err, &no) && ended.State != approvals.Running:
		run.Outcome, run.Ended = ended.State, x.Now().UTC()
		run.Cause = "it was " + string(ended.State) + " before anything was done"
		if err := x.endRun(ctx, run, audit.New("not_started", "", "state", string(ended.State))); err != nil {
			return err
		}
		if err := x.recordClosed(ctx, ended); err != nil {
			return err
		}
		return errSettledOr(x.Changes.Send(ctx, approvals.Change{ID: run.ID}, 0))
	case errors.Is(err, errWithdrawn):
		run.Outcome, run.Cause, run.Hint = run.Before.Outcome, run.Before.Cause, run.Before.Hint
		x.beginWatch(run, p)
		if err := x.endRun(ctx, run, audit.New("not_started", "", "attempt", strconv.Itoa(run.Attempt))); err != nil {
			return err
		}
		return errSettledOr(x.withdraw(ctx, ended, *run))
	case errors.As(err, &no), errors.Is(err, errSettled):
	case err != nil:
		return err
	}
	if p.Intent.Undo != "" {
		if err := x.beginUndo(ctx, run, p); err != nil {
			return err
		}
	}
	if !run.Started {
		run.Started = true
		if err := x.save(ctx, run); err != nil {
			return err
		}
	}
	if run.BreakGlass != nil {
		if err := x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobNotify, ID: run.ID}, 0); err != nil {
			return err
		}
	}
	return x.Changes.Send(ctx, approvals.Change{ID: run.ID}, 0)
}

// settle copies a run's end to the request's row and starts what follows: the end
// of an undo, report, looks, expiry. It may be called again.
func (x *Executor) settle(ctx context.Context, run approvals.Run, p approvals.Planned) error {
	if err := x.copyOutcome(ctx, run); err != nil {
		return err
	}
	if p.Intent.Undo != "" && run.Started {
		if err := x.endUndo(ctx, run, p); err != nil {
			return err
		}
	}
	if err := x.sendFollowUps(ctx, run, p); err != nil {
		return err
	}
	if err := x.sendKeep(ctx, run.ID); err != nil {
		return err
	}
	if err := x.Changes.Send(ctx, approvals.Change{ID: run.ID}, 0); err != nil || run.Outcome.InForce() {
		return err
	}
	return x.expireRows(ctx, run.ID, run.Ended)
}

// tell copies a run's end to the request's row, and has its card drawn.
func (x *Executor) tell(ctx context.Context, run approvals.Run) error {
	if err := x.copyOutcome(ctx, run); err != nil {
		return err
	}
	return x.Changes.Send(ctx, approvals.Change{ID: run.ID}, 0)
}

// copyOutcome writes the run's outcome to the request's row, whatever the row says. The
// state of a run that an undo has taken over is left to the undo.
func (x *Executor) copyOutcome(ctx context.Context, run approvals.Run) error {
	missed := false
	_, err := x.Requests.Change(ctx, run.ID, func(r *approvals.Request) error {
		agrees := r.State == run.Outcome || run.UndoneBy != ""
		missed = !agrees && run.Outcome.Missed() && r.Intent.Undo == ""
		if r.Closed && r.RunRevision == run.Revision && agrees {
			return errSettled
		}
		r.Closed, r.RunRevision = true, run.Revision
		if !agrees {
			r.State, r.Ended = run.Outcome, run.Ended
		}
		if run.UndoneBy == "" {
			r.Cause, r.Hint = run.Cause, run.Hint
		}
		r.Revise()
		return nil
	})
	x.countMissed(ctx, missed && err == nil)
	return ignore(err, errSettled)
}

// countMissed counts a request whose card now begins with NOT CONTAINED.
func (x *Executor) countMissed(ctx context.Context, missed bool) {
	if missed && x.Count != nil {
		x.Count(ctx, "NotContained", 1)
	}
}

// sendFollowUps sends the jobs for the report, the trace and the next look.
func (x *Executor) sendFollowUps(ctx context.Context, run approvals.Run, p approvals.Planned) error {
	if run.Started && run.Checks == 0 && run.UnreadSince.IsZero() { // not after looks
		traced, err := x.tracedAs(ctx, p)
		if err != nil {
			return err
		}
		jobs := []approvals.Job{{Verb: approvals.JobTrace, ID: traced}}
		if _, reports := x.reporter(p); reports {
			jobs = append(jobs, approvals.Job{Verb: approvals.JobReport, ID: run.ID})
		}
		for _, j := range jobs {
			if j.ID == "" {
				continue
			}
			if err := x.Jobs.Send(ctx, j, 0); err != nil {
				return err
			}
		}
	}
	return x.sendLook(ctx, run)
}
