package approvals

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// maxReapplied is how often a step that somebody undid is applied again.
const maxReapplied = 3

// recheck reads a containment back again some time after, and applies again
// what somebody undid.
func (x *Executor) recheck(ctx context.Context, r Request) error {
	run, err := x.runs().Run(ctx, r.ID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := x.runs().Planned(ctx, r.ID)
	if err != nil {
		return err
	}
	now := x.Now().UTC()
	switch {
	case run.Outcome != Contained || run.UndoneBy != "":
		return nil
	case run.NextCheck.IsZero():
		return x.settle(ctx, run, p)
	case now.Before(run.NextCheck):
		return x.Jobs.Send(ctx, Job{JobVerify, r.ID}, run.NextCheck.Sub(now))
	case now.Before(run.Lease):
		return x.Jobs.Send(ctx, Job{JobVerify, r.ID}, run.Lease.Sub(now)+time.Second)
	}
	action, ok := x.Actions(p.Intent.Call.Action)
	if !ok {
		return fmt.Errorf("no action %s", p.Intent.Call.Action)
	}
	run.Owner = x.Owner()
	if err := x.save(ctx, &run); err != nil {
		if errors.Is(err, ErrConflict) {
			return x.Jobs.Send(ctx, Job{JobVerify, r.ID}, lockedPause)
		}
		return err
	}
	w := &worker{x: x, run: &run, p: p, action: action}
	if err := w.check(ctx); err != nil {
		return err
	}
	return x.settle(ctx, run, p)
}

// check looks at each step once; the next check is set when it ends.
func (w *worker) check(ctx context.Context) error {
	x, run := w.x, w.run
	steps, err := x.runs().Steps(ctx, w.p.ID, 0)
	if err != nil {
		return err
	}
	acct, err := w.enter(ctx, actions.Responder, actions.PhaseVerify, w.p.Plan.Identity)
	before := len(run.Tampering)
	for i := range steps {
		if err == nil {
			err = w.checkStep(ctx, acct, &steps[i])
		}
		var ours storeError
		if errors.As(err, &ours) || ctx.Err() != nil {
			return err
		}
	}
	run.Checks++
	run.NextCheck = time.Time{}
	if run.Checks < len(checks) {
		run.NextCheck = run.Verified.Add(checks[run.Checks])
	}
	result := "holds"
	switch {
	case err != nil:
		why, hint := actions.Explain(err)
		result = "could not be read: " + why
		w.flag(fmt.Sprintf("Re-check %d could not be made: %s. %s", run.Checks, why, hint))
	case run.Outcome == Partial:
		result, run.NextCheck = "undone by somebody, not applied again", time.Time{}
	case len(run.Tampering) > before:
		result = "undone by somebody, applied again"
		if again := x.Now().UTC().Add(checks[1]); run.NextCheck.Before(again) {
			run.NextCheck = again
		}
	}
	return x.end(ctx, run, event("rechecked", "", "check", strconv.Itoa(run.Checks), "result", result))
}

func (w *worker) checkStep(ctx context.Context, acct *actions.Account, s *Step) error {
	if s.State != StepVerified {
		return nil
	}
	holds, found, err := w.holds(ctx, acct, s)
	if err != nil || holds {
		return err
	}
	run := w.run
	t := Tampered{At: w.x.Now().UTC(), Step: s.Step.Title, Found: found}
	defer func() { run.Tampering = append(run.Tampering, t) }()
	if run.Reapplied < maxReapplied {
		run.Reapplied++
		run.Since = w.x.Now().UTC() // whatever was written before does not count
		s.State = StepDoing
		if err := w.take(ctx, acct, s); err != nil {
			return err
		}
		if err := w.readBack(ctx, acct, s); err != nil {
			return err
		}
		t.Reapplied = s.State == StepVerified
	}
	if !t.Reapplied {
		run.Outcome = Partial
		run.Why = fmt.Sprintf("%s was undone by somebody: found %s", s.Step.Title, found)
		run.Hint = "somebody with rights in this account works against the containment: contain that principal, or freeze the account"
		if s.State == StepVerified { // so that a retry takes it again
			s.State, s.Cause = StepFailed, "undone by somebody: found "+found
			return w.put(ctx, s, nil)
		}
	}
	return nil
}
