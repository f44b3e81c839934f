package executor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// stepAttempt is one try of a step, with the hold that it shares with other requests.
type stepAttempt struct {
	s       *step
	h       hold
	version int64 // of the hold's row
	altered bool  // the hold has to be written
	busy    error // another request writes the shared content, or its undo reverts the change
	err     error
	again   bool // to be tried again
}

// runStep runs one step. again: it should be tried again.
func (w *worker) runStep(ctx context.Context, acct *actions.Account, s *step) (again bool, err error) {
	if err := w.renewOrHandOver(ctx); err != nil {
		return false, err
	}
	t := &stepAttempt{s: s}
	if err := w.beginSteps(ctx, t); err != nil {
		return false, err
	}
	w.applyOrRevert(ctx, acct, t)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err := w.recordSteps(ctx, t); err != nil || t.again {
		return t.again, err
	}
	return false, w.notifyProgress(ctx)
}

// retryable reports whether a failed step should be tried again.
func (w *worker) retryable(t *stepAttempt) bool {
	now := w.x.Now()
	if t.s.firstTry.IsZero() {
		t.s.firstTry = now
	}
	until := w.patience()
	if w.stands && !t.s.Step.Many && !actions.Throttled(t.err) {
		until = t.s.firstTry.Add(settleWithin)
	}
	return errors.Is(t.err, errReleasing) || actions.Transient(t.err) && now.Before(until) ||
		actions.IsRetryLater(t.err) && now.Before(t.s.firstTry.Add(actions.Patience(t.err, retryLaterWithin)))
}

// beginSteps reads the holds and, before the first AWS call, writes the state doing and
// the holds with the content to restore. The snapshot of the first holder is kept: a
// later one would contain our own deny.
func (w *worker) beginSteps(ctx context.Context, batch ...*stepAttempt) error {
	err := actions.Parallel(len(batch), maxParallel, func(i int) (err error) {
		t := batch[i]
		t.version, err = w.x.runs().Find(ctx, holdRow(t.s.Step.Hold), &t.h)
		return err
	})
	if err != nil {
		return storeError{err}
	}
	if w.p.Intent.Undo != "" {
		return w.markReleasing(ctx, batch)
	}
	var puts []approvals.Put
	var events []audit.Event
	for _, t := range batch {
		s, h := t.s, &t.h
		if s.State == approvals.StepDoing && slices.Contains(h.Holders, w.p.ID) && s.Step.Share == "" {
			continue
		}
		if err := w.mayJoin(ctx, t); errors.Is(err, errReleasing) {
			t.busy = err
			continue
		} else if err != nil {
			return err
		}
		if len(h.Holders) == 0 {
			h.Effect = actions.Effect{Prior: s.Step.Prior}
		}
		if !w.lockShared(t) {
			continue
		}
		if s.Step.Share != "" {
			if h.Shares == nil {
				h.Shares = map[string]string{}
			}
			h.Shares[w.p.ID] = s.Step.Share
		}
		if !slices.Contains(h.Holders, w.p.ID) {
			h.Holders = append(h.Holders, w.p.ID)
		}
		s.State, s.At, s.Cause, s.Hint, s.Effect = approvals.StepDoing, w.x.Now().UTC(), "", "", actions.Effect{Prior: h.Effect.Prior}
		puts = append(puts, approvals.PutRow(holdRow(s.Step.Hold), t.version, h), approvals.PutRow(approvals.StepKey(w.p.ID, s.N), s.Version, s))
		events = append(events, audit.New("step_begun", "", "step", s.Step.ID, "resource", s.Step.Resource, "current", s.Step.Current,
			"after", s.Step.After))
		s.Version++
		t.version++
	}
	if len(puts) == 0 {
		return nil
	}
	if err := w.record(ctx, puts, events...); err != nil {
		return storeError{err}
	}
	return nil
}

// lockShared takes the lock of a content that requests share, until the step is recorded.
// Without it two requests would each write the content without the other's share. A step
// that finds it taken is tried again.
func (w *worker) lockShared(t *stepAttempt) bool {
	if t.s.Step.Share != "" && !t.h.Writer.Take(w.p.ID, w.x.Now(), leaseDuration) {
		t.busy = errBusy
	}
	return t.busy == nil
}

// errBusy is the error of a step whose shared content another request writes.
var errBusy = actions.RetryLater(errors.New("another request writes it just now"))

// errReleasing is the error of a step whose change an undo is reverting, or did since this
// worker read the target. When the other steps are done the job is sent again for later.
var errReleasing = errors.New("another request's change is being taken back")

// mayJoin returns errReleasing if an undo reverts the step's change. It did so in
// between if the hold had holders when this worker read the target and has none now:
// then the planned snapshot contains our own deny.
func (w *worker) mayJoin(ctx context.Context, t *stepAttempt) error {
	if len(t.h.Holders) == 0 && w.othersHeld[t.s.Step.Hold] {
		return errReleasing
	}
	if t.h.Releasing == "" {
		return nil
	}
	undo, err := w.x.runs().Run(ctx, t.h.Releasing)
	switch {
	case errors.Is(err, approvals.ErrNotFound) || err == nil && undo.Outcome != "":
		t.h.Releasing = "" // that undo ended before it reverted the change
		return nil
	case err != nil:
		return storeError{err}
	}
	return errReleasing
}

// markReleasing sets hold.Releasing, so that no other request joins a change while this
// undo reverts it.
func (w *worker) markReleasing(ctx context.Context, batch []*stepAttempt) error {
	var puts []approvals.Put
	for _, t := range batch {
		if t.version == 0 || t.s.Step.NotReverted != "" || !w.lockShared(t) {
			continue
		}
		last := len(remove(t.h.Holders, w.p.Intent.Undo)) == 0 && t.h.Releasing != w.p.ID
		if last {
			t.h.Releasing = w.p.ID
		}
		if last || t.s.Step.Share != "" {
			puts = append(puts, approvals.PutRow(holdRow(t.s.Step.Hold), t.version, t.h))
			t.version++
		}
	}
	if len(puts) == 0 {
		return nil
	}
	if err := w.x.Store.Write(ctx, puts...); err != nil {
		return storeError{err}
	}
	return nil
}

// applyOrRevert makes the change, or for an undo reverts it.
func (w *worker) applyOrRevert(ctx context.Context, acct *actions.Account, t *stepAttempt) {
	if t.busy != nil {
		t.err = t.busy
		return
	}
	actx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if w.p.Intent.Undo != "" {
		t.err = w.revert(actx, acct, t)
		return
	}
	s := t.s
	var effect actions.Effect
	effect, t.err = w.apply(actx, acct, t, t.h.shares(""))
	if t.err == nil || t.h.Effect.Wrote == nil {
		t.h.Effect.Wrote = effect.Wrote
		t.altered = t.altered || effect.Wrote != nil
		s.Effect = actions.Effect{Prior: t.h.Effect.Prior, Wrote: effect.Wrote, Changed: effect.Changed}
	}
	if t.err == nil {
		s.State = approvals.StepDone
	}
}

// apply applies a step with the content that its first holder found, for the holders with
// these shares.
func (w *worker) apply(ctx context.Context, acct *actions.Account, t *stepAttempt, shares []string) (actions.Effect, error) {
	step := t.s.Step
	step.Prior = t.h.Effect.Prior
	return w.action.Apply(ctx, acct, step, actions.Run{RequestID: w.p.ID, Since: w.since, Now: w.x.Now(), Shares: shares})
}

// revert reverts one step, unless other requests need its change. Of a shared content it
// leaves the others' shares.
func (w *worker) revert(ctx context.Context, acct *actions.Account, t *stepAttempt) error {
	s := t.s
	others, left := remove(t.h.Holders, w.p.Intent.Undo), t.h.shares(w.p.Intent.Undo)
	switch same := t.h.sharing(w.p.Intent.Undo); {
	case len(same) > 0 && s.Step.NotReverted == "":
		delete(t.h.Shares, w.p.Intent.Undo)
		t.h.Holders, t.altered = others, true
		s.State, s.Cause = approvals.StepKept, strings.Join(same, ", ")+" holds it too"
		return nil
	case len(left) > 0 && s.Step.NotReverted == "":
		effect, err := w.apply(ctx, acct, t, left)
		if err != nil {
			return err
		}
		s.Effect = actions.Effect{Prior: t.h.Effect.Wrote, Wrote: effect.Wrote, Changed: effect.Changed}
		t.h.Holders, t.h.Effect.Wrote, t.altered = others, effect.Wrote, true
		delete(t.h.Shares, w.p.Intent.Undo)
		s.State = approvals.StepDone
		return nil
	case len(others) > 0 && s.Step.Share == "" || s.Step.NotReverted != "" && t.version > 0:
		t.altered = len(others) < len(t.h.Holders)
		t.h.Holders = others
		s.State, s.Cause = approvals.StepKept, s.Step.NotReverted
		if len(others) > 0 {
			s.Cause = strings.Join(others, ", ") + " holds it too"
		}
		return nil
	case t.version == 0: // reverted, and the worker died before it wrote the ledger
		s.State = approvals.StepDone
		return nil
	}
	read, err := w.action.Revert(ctx, acct, s.Step, t.h.Effect)
	if err != nil {
		return err
	}
	if len(others) > 0 { // they failed and were denied, so they have no share
		t.h.Holders, t.altered = others, true
	}
	s.Effect = actions.Effect{Prior: t.h.Effect.Wrote, Wrote: t.h.Effect.Prior, Changed: read.Changed}
	s.State = approvals.StepDone
	if !read.Holds {
		s.State, s.Cause, s.Hint = approvals.StepDrifted, "found "+read.Found, "look at it by hand: undo does not overwrite what others wrote"
		if read.Elsewhere != "" {
			s.Cause, s.Hint = s.Step.Current+" stays, held elsewhere by "+read.Elsewhere, undoThereFirst
		}
	} else if read.Found != "" {
		s.Cause = read.Found
	}
	return nil
}

const undoThereFirst = "undo it there first, then undo this again; or, if there is no such installation, delete its mark from the tag killswitch by hand"

// recordSteps writes the results of steps and their holds, and decides which are tried
// again: those stay begun.
func (w *worker) recordSteps(ctx context.Context, batch ...*stepAttempt) error {
	if slices.ContainsFunc(batch, func(t *stepAttempt) bool { return t.err == nil }) {
		w.succeeded()
	}
	var puts []approvals.Put
	var events []audit.Event
	for _, t := range batch {
		t.again = w.retryable(t)
		w.recreated = w.recreated || errors.Is(t.err, actions.ErrRecreated)
		w.stands = w.stands || t.err == nil && t.s.Step.Goal != "" && w.p.Intent.Undo == ""
		t.s.releasing = errors.Is(t.err, errReleasing)
		key := holdRow(t.s.Step.Hold)
		if t.s.Step.Share != "" && t.busy == nil && t.version > 0 {
			t.h.Writer, t.altered = approvals.Lease{}, true
		}
		switch {
		case t.altered && len(t.h.Holders) == 0: // a change that stays and that no request needs
			puts = append(puts, approvals.Put{Row: approvals.Row{Key: key, Version: t.version}, Delete: true})
			t.version, t.altered = 0, false
		case t.altered:
			puts = append(puts, approvals.PutRow(key, t.version, t.h))
			t.version, t.altered = t.version+1, false
		}
		if t.again {
			continue
		}
		t.s.givenUpIn = w.run.Attempt
		if t.s.Step.Many && t.err == nil {
			w.run.Progress.Done++
		} else if t.s.Step.Many {
			w.run.Progress.Failed++
		}
		if t.s.State == approvals.StepKept {
			w.flag(t.s.Step.Title + ": stays, " + t.s.Cause + ".")
		}
		puts = append(puts, w.result(ctx, t.s, t.err))
		events = append(events, stepEvent(t.s))
	}
	if len(puts) == 0 {
		return nil
	}
	if err := w.record(ctx, puts, events...); err != nil {
		return storeError{err}
	}
	for _, t := range batch {
		if !t.again {
			t.s.Version++
		}
	}
	return nil
}

// saveStep writes a step's result to the ledger and the chain.
func (w *worker) saveStep(ctx context.Context, s *step) error {
	err := w.record(ctx, []approvals.Put{w.result(ctx, s, nil)}, stepEvent(s))
	if err == nil {
		s.Version++
	}
	return err
}

// record writes rows of the run with their audit events. A look has links of its own: their
// number must not depend on how often somebody removes what it applies.
func (w *worker) record(ctx context.Context, puts []approvals.Put, events ...audit.Event) error {
	if w.watching {
		events = nil
	}
	return w.x.record(ctx, w.p.ID, puts, events...)
}

// result returns the write of a step's result. failure, if any, makes it failed.
func (w *worker) result(ctx context.Context, s *step, failure error) approvals.Put {
	s.At = w.x.Now().UTC()
	if failure != nil {
		s.State = approvals.StepFailed
		s.Cause, s.Hint = actions.Explain(failure)
		if s.Step.Many && w.p.Intent.Undo == "" && actions.DeniedBySCP(failure) { // as what only AWS can change
			s.Step.Goal = ""
			s.Cause = "protected by a service control policy" + guardrailText(s.Step) + ": " + s.Cause
		}
		if w.watching { // to be applied again by the next look
			s.State, s.Cause = approvals.StepRemoved, notAgain+s.Cause
		}
		w.x.Log.ErrorContext(ctx, "step failed", slog.String("request_id", w.p.ID), slog.String("step", s.Step.ID),
			slog.String("error", failure.Error()))
	}
	return approvals.PutRow(approvals.StepKey(w.p.ID, s.N), s.Version, s)
}

// guardrailText names the guardrail that a protected role's name tells of.
func guardrailText(s actions.Step) string {
	if g := actions.Guardrail(s.ResourceName()); g != "" {
		return " (Control Tower's " + g + ")"
	}
	return ""
}

// stepEvent is the audit event of a step's result.
func stepEvent(s *step) audit.Event {
	return audit.New("step_"+string(s.State), "", "step", s.Step.ID, "resource", s.Step.Resource, "cause", s.Cause,
		"prior", deref(s.Effect.Prior), "wrote", deref(s.Effect.Wrote), "changed", strconv.FormatBool(s.Effect.Changed))
}

// readBack verifies a done step, again until it holds or it is time.
func (w *worker) readBack(ctx context.Context, acct *actions.Account, s *step, until time.Time) error {
	if s.Step.Look != "" && s.State != approvals.StepSkipped {
		return w.readLook(ctx, acct, s)
	}
	if s.State != approvals.StepDone {
		return nil
	}
	var found string
	for {
		if err := w.renewOrHandOver(ctx); err != nil {
			return err
		}
		read, err := w.readStep(ctx, acct, s)
		text := read.Found
		var ours storeError
		switch {
		case errors.As(err, &ours):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			text, _ = actions.Explain(err)
		case read.Holds:
			s.State = approvals.StepVerified
			return w.saveVerified(ctx, []*step{s})
		}
		found = text
		if !w.x.Now().Before(until) {
			break
		}
		if err := w.x.Sleep(ctx, readEvery); err != nil {
			return err
		}
	}
	s.Cause, s.Hint = "could not be read back: "+found, "look at it by hand, or retry"
	return w.saveStep(ctx, s)
}

// readLook looks once: nothing was written that AWS might show late.
func (w *worker) readLook(ctx context.Context, acct *actions.Account, s *step) error {
	if err := w.renewOrHandOver(ctx); err != nil {
		return err
	}
	read, err := w.readStep(ctx, acct, s)
	if mustStop(err) || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	return w.saveLook(ctx, s, read, err)
}

// saveLook stores what a step that only looks has seen. What could not be read is told, and
// changes nothing else: of what was seen before that counts.
func (w *worker) saveLook(ctx context.Context, s *step, read actions.Reading, unread error) error {
	was := *s
	switch {
	case unread != nil && s.State != approvals.StepPlanned && s.State != approvals.StepVerified:
		return nil
	case unread != nil:
		cause, hint := actions.Explain(unread)
		s.State, s.Cause, s.Hint = approvals.StepVerified, "could not be read: "+cause, hint
	case read.Holds:
		s.State, s.Cause, s.Hint = approvals.StepVerified, "", ""
	default:
		s.State, s.Cause, s.Hint = approvals.StepFailed, read.Found, s.Step.Look
	}
	if s.State == was.State && s.Cause == was.Cause {
		return nil
	}
	return w.saveStep(ctx, s)
}

// readStep verifies one step once.
func (w *worker) readStep(ctx context.Context, acct *actions.Account, s *step) (actions.Reading, error) {
	var h hold
	version, err := w.x.runs().Find(ctx, holdRow(s.Step.Hold), &h)
	if err != nil {
		return actions.Reading{}, storeError{err}
	}
	actx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	switch {
	case w.p.Intent.Undo == "":
		return w.action.Verify(actx, acct, s.Step, h.Effect)
	case version == 0:
		return actions.Reading{Holds: true}, nil
	case len(h.shares(w.p.Intent.Undo)) > 0:
		return w.action.Verify(actx, acct, s.Step, h.Effect)
	}
	read, err := w.action.Revert(actx, acct, s.Step, h.Effect)
	read.Holds = read.Holds && !read.Changed
	return read, err
}
