package executor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// maxReapplied limits how often removed changes are applied again.
const maxReapplied = 3

// recheck verifies a containment some time after its run, and applies again what
// somebody removed.
func (x *Executor) recheck(ctx context.Context, r approvals.Request) error {
	run, err := x.runs().Run(ctx, r.ID)
	if errors.Is(err, approvals.ErrNotFound) {
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
	case run.Outcome != approvals.Contained || run.UndoneBy != "":
		return nil
	case run.NextCheck.IsZero():
		return x.settle(ctx, run, p)
	case now.Before(run.NextCheck):
		return x.sendCheck(ctx, run)
	case run.Lease.Held(now):
		return x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobLook, ID: r.ID}, run.Lease.Until.Sub(now)+time.Second)
	}
	action, ok := x.Actions(p.Intent.Call.Action)
	if !ok {
		return fmt.Errorf("no action %s", p.Intent.Call.Action)
	}
	run.Lease, run.Since = x.newLease(), now // earlier changes don't count as applied again
	if err := x.save(ctx, &run); err != nil {
		if errors.Is(err, approvals.ErrConflict) {
			return x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobLook, ID: r.ID}, lockedDelay)
		}
		return err
	}
	w := x.worker(&run, p, action)
	w.rechecking = true
	if err := w.check(ctx); err != nil {
		return err
	}
	return x.settle(ctx, run, p)
}

const (
	failedCheckPause = 15 * time.Second // before a failed re-check is repeated
	maxFailedChecks  = 8                // then the containment is not confirmed
)

// check verifies the target and each step once and sets the time of the next check.
func (w *worker) check(ctx context.Context) error {
	x, run := w.x, w.run
	steps, err := x.steps(ctx, w.p.ID)
	if err != nil {
		return err
	}
	before := len(run.Tampering)
	var acct *actions.Account
	err = x.retryPages(ctx, x.Now(), w.page(ctx), func() (err error) {
		acct, steps, _, err = w.prepare(ctx, steps, actions.LookSteps)
		return err
	})
	if err != nil && !mustStop(err) && ctx.Err() == nil { // what contains is looked at whatever else can't be read
		acct, steps, _, err = w.prepare(ctx, steps, actions.LookFirst)
	}
	held, entered := map[int]bool{}, err == nil
	if entered {
		held, err = w.readManySteps(ctx, acct, steps)
	}
	goals := sumUp(steps).goals
	for i := range steps { // one unreadable step must not hide another
		state, goal := steps[i].State, steps[i].Step.Goal
		forRetry := (goal == "" || goals[goal]) && // nothing depends on it
			(state == approvals.StepFailed || state == approvals.StepPlanned && steps[i].Cause != "" ||
				state == approvals.StepRemoved && run.Reapplied >= maxReapplied)
		if !entered || held[i] || forRetry || state == approvals.StepSkipped {
			continue
		}
		serr := w.checkStep(ctx, acct, &steps[i])
		if err == nil || mustStop(serr) {
			err = serr
		}
		if mustStop(serr) || ctx.Err() != nil {
			break
		}
	}
	if mustStop(err) || ctx.Err() != nil {
		return err
	}
	result := "holds"
	switch next := x.Now().UTC(); {
	case entered && !sumUp(steps).achieved:
		result, run.Outcome, run.NextCheck = "undone by somebody, not applied again", approvals.Partial, time.Time{}
	case err != nil:
		why, hint := actions.Explain(err)
		result = "could not be read: " + why
		run.FailedChecks++
		run.NextCheck = next.Add(failedCheckPause)
		if run.FailedChecks >= maxFailedChecks {
			run.Outcome, run.NextCheck = approvals.Partial, time.Time{}
			run.Cause, run.Hint = "whether it still holds can't be confirmed: "+why, hint
		}
	default:
		run.Checks++
		run.FailedChecks, run.NextCheck = 0, time.Time{}
		if run.Checks < len(checks) {
			run.NextCheck = run.Verified.Add(checks[run.Checks])
		}
		if len(run.Tampering) > before {
			result = "undone by somebody, applied again"
			if again := next.Add(checks[1]); run.NextCheck.Before(again) {
				run.NextCheck = again
			}
		}
	}
	return x.endRun(ctx, run, audit.New("rechecked", "", "check", strconv.Itoa(run.Checks), "result", result))
}

// mustStop reports whether an error is about our own rows, not about the target.
func mustStop(err error) bool {
	var ours storeError
	return errors.As(err, &ours) || errors.Is(err, errElsewhere) || errors.Is(err, approvals.ErrConflict)
}

// readManySteps verifies the independent steps and returns which of them hold.
func (w *worker) readManySteps(ctx context.Context, acct *actions.Account, steps []step) (map[int]bool, error) {
	held := map[int]bool{}
	var many []*step
	var at []int
	for i := range steps {
		if steps[i].Step.Many && steps[i].State == approvals.StepVerified {
			many, at = append(many, &steps[i]), append(at, i)
		}
	}
	if len(many) == 0 {
		return held, nil
	}
	m := w.many(acct.WithoutRetries(), nil)
	found, unread, err := m.readBatch(ctx, many)
	if err == nil && unread {
		err = errUnread
	}
	for i, f := range found {
		held[at[i]] = f.Holds
	}
	return held, err
}

// errUnread is returned if AWS had transient errors for some steps.
var errUnread = errors.New("AWS could not tell of all of it just now")

// undoneBySomebody begins the cause of a removed step; what was found follows.
const undoneBySomebody = "undone by somebody: found "

// checkStep verifies one step and applies it again if it does not hold. The tampering
// is recorded first.
func (w *worker) checkStep(ctx context.Context, acct *actions.Account, s *step) error {
	found := s.Step.Current // of a recreated target
	if s.State == approvals.StepVerified {
		holds, text, err := w.readStep(ctx, acct, s)
		switch {
		case errors.Is(err, actions.ErrRecreated):
			text = err.Error()
		case err != nil || holds:
			return err
		}
		found = text
	} else if s.Cause != "" {
		found = strings.TrimPrefix(s.Cause, undoneBySomebody) // an earlier check died while applying it again
	}
	run := w.run
	run.Tampering = append(run.Tampering, approvals.Tampered{At: w.x.Now().UTC(), Step: s.Step.Title, Found: found})
	last := &run.Tampering[len(run.Tampering)-1]
	again := run.Reapplied < maxReapplied
	if again {
		run.Reapplied++
	}
	tampered := audit.New("tampered", "", "step", s.Step.ID, "found", found, "applied_again", strconv.FormatBool(again))
	if err := w.x.save(ctx, run, tampered); err != nil {
		return storeError{err}
	}
	if s.State != approvals.StepPlanned {
		s.State, s.Cause = approvals.StepRemoved, undoneBySomebody+found // to be applied again, now or by a retry
		if err := w.saveStep(ctx, s); err != nil {
			return storeError{err}
		}
	}
	if again {
		one := []step{*s}
		one[0].givenUpIn = 0
		if err := w.runSteps(ctx, acct, one); err != nil {
			return err
		}
		*s = one[0]
		back := w.readBack
		if s.Step.Many {
			back = func(ctx context.Context, acct *actions.Account, s *step) error {
				return w.readManyBack(ctx, acct, []*step{s})
			}
		}
		if err := back(ctx, acct, s); err != nil {
			return err
		}
		last.Reapplied = s.State == approvals.StepVerified
	}
	if !last.Reapplied {
		run.Cause = fmt.Sprintf("%s was undone by somebody: found %s", s.Step.Title, found)
		run.Hint = "somebody with rights in this account works against the containment: contain that principal too"
	}
	return nil
}
