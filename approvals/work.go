package approvals

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// work takes the steps that are left, one after the other, and reads them back.
func (x *Executor) work(ctx context.Context, run *Run, p Planned) error {
	action, ok := x.Actions(p.Intent.Call.Action)
	if !ok {
		return fmt.Errorf("no action %s", p.Intent.Call.Action)
	}
	w := &worker{x: x, run: run, p: p, action: action}
	steps, err := x.runs().Steps(ctx, p.ID, 0)
	if err != nil {
		return err
	}
	if err := w.review(ctx, steps); err != nil {
		return err
	}
	var acct *actions.Account
	err = x.patiently(ctx, run.Since.Add(patience), func() (err error) {
		if err = w.mayGoOn(ctx); err == nil {
			acct, steps, err = w.prepare(ctx, steps)
		}
		return err
	})
	if err != nil {
		var ours storeError
		if errors.As(err, &ours) || errors.Is(err, errElsewhere) || errors.Is(err, ErrConflict) || ctx.Err() != nil {
			return err
		}
		why, hint := actions.Explain(err)
		return w.finish(ctx, steps, why, hint)
	}
	for again := true; again; {
		if err := w.takeAll(ctx, acct, steps); err != nil {
			return err
		}
		if again, err = w.readAll(ctx, acct, steps); err != nil {
			return err
		}
	}
	return w.finish(ctx, steps, "", "")
}

// worker is one attempt at one run.
type worker struct {
	x      *Executor
	run    *Run
	p      Planned
	action actions.Action
	told   time.Time // when the bot last heard
	retook bool      // what did not hold when it was read back was taken once more
	// rechecking is set where a containment is looked at again.
	rechecking bool
}

// prepare enters the account, looks at the target again and brings the ledger
// up to date with what is there now.
func (w *worker) prepare(ctx context.Context, steps []Step) (*actions.Account, []Step, error) {
	look, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	if w.p.Intent.Undo != "" {
		acct, err := w.enter(look, actions.Restorer, actions.PhaseUndo, resources(steps))
		return acct, steps, err
	}
	acct, err := w.enter(look, actions.Responder, actions.PhasePlan, nil)
	if err != nil {
		return nil, steps, err
	}
	acct.Brief, acct.Approved = true, w.p.Plan.Identity.ID
	plan, err := w.action.Plan(look, acct, w.p.Call())
	if err != nil {
		return nil, steps, err
	}
	if no := w.x.Org.RefuseIdentity(plan.Identity); no != nil {
		return nil, steps, no
	}
	if plan.Identity.ID != w.p.Plan.Identity.ID {
		w.flag("The target was deleted and created again since the plan: it is another principal (" + plan.Identity.ID + ") of the same name.")
	}
	if steps, err = w.merge(ctx, steps, plan.Steps); err != nil {
		return nil, steps, err
	}
	planned := acct
	if acct, err = w.enter(look, actions.Responder, actions.PhaseRun, resources(steps)); err == nil {
		acct.Share(planned)
	}
	return acct, steps, err
}

// review decides, once for each retry, which steps still count: what was
// verified is read back again, what an undo took back, or a retried undo finds
// held again, is taken anew.
func (w *worker) review(ctx context.Context, steps []Step) error {
	if w.run.Reviewed == w.run.Attempt {
		return nil
	}
	holder := w.p.ID
	if w.p.Intent.Undo != "" {
		holder = w.p.Intent.Undo
	}
	var puts []Put
	holds, err := w.x.holdsOf(ctx, steps)
	if err != nil {
		return err
	}
	for i := range steps {
		s := &steps[i]
		held := slices.Contains(holds[i].Holders, holder)
		was := s.State
		switch {
		case s.State == StepPlanned, s.State == StepSkipped:
		case w.p.Intent.Undo != "" && held, w.p.Intent.Undo == "" && !held:
			s.State = StepPlanned
		case s.State == StepVerified:
			s.State = StepDone
		case s.State == StepDone && w.p.Intent.Undo == "":
			s.State = StepFailed
		}
		if s.State != was {
			s.Cause, s.Hint = "", ""
			puts = append(puts, putRow(stepKey(w.p.ID, s.N), s.Version, s))
			s.Version++
		}
	}
	for chunk := range slices.Chunk(puts, MaxPuts) {
		if err := w.x.Store.Write(ctx, chunk...); err != nil {
			return err
		}
	}
	w.run.Reviewed = w.run.Attempt
	return w.x.save(ctx, w.run)
}

func (w *worker) enter(ctx context.Context, m actions.Member, phase actions.Phase, resources []string) (*actions.Account, error) {
	return w.x.Cloud.EnterFor(ctx, m, w.action, phase, w.p.Call(), resources, w.p.actor(w.run.Approvers))
}

// resources are the ARNs that the steps change.
func resources(steps []Step) []string {
	var arns []string
	for _, s := range steps {
		if s.Step.Skip == "" && !slices.Contains(arns, s.Step.Resource) && !s.Step.Many {
			arns = append(arns, s.Step.Resource)
		}
	}
	return arns
}

// storeError marks an error of our own store: it says nothing of the target.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

func (w *worker) flag(text string) {
	if !slices.Contains(w.run.Flags, text) {
		w.run.Flags = append(w.run.Flags, text)
	}
}

// merge takes over what the target is like now for the steps that have not
// begun, and adds steps for what came since the plan.
func (w *worker) merge(ctx context.Context, ledger []Step, now []actions.Step) ([]Step, error) {
	var puts []Put
	at := make(map[string]int, len(ledger))
	for i, l := range ledger {
		at[l.Step.ID] = i
	}
	for _, s := range now {
		i, known := at[s.ID]
		if !known && w.rechecking && s.Many {
			continue // of what is newer than the containment nothing old is left to contain
		} else if !known {
			w.flag("Since the plan: " + s.Title + " (" + s.Current + ").")
			ledger = append(ledger, Step{N: len(ledger) + 1, State: StepPlanned})
			i = len(ledger) - 1
		} else if ledger[i].State != StepPlanned && ledger[i].Step.ResourceID == s.ResourceID && (s.Skip == "") == (ledger[i].State != StepSkipped) {
			continue // its snapshot was taken before our own change
		} else if ledger[i].Step.Current == s.Current && ledger[i].Step.Hold == s.Hold && ledger[i].Version > 0 {
			ledger[i].Step = s
			continue
		} else {
			w.flag("Since the plan: " + s.Title + ": found " + s.Current + ", not " + ledger[i].Step.Current + ".")
		}
		ledger[i].Step, ledger[i].State, ledger[i].Effect, ledger[i].Cause, ledger[i].Hint = s, firstState(s), actions.Effect{}, "", ""
		puts = append(puts, putRow(stepKey(w.p.ID, ledger[i].N), ledger[i].Version, ledger[i]))
		ledger[i].Version++
	}
	for chunk := range slices.Chunk(puts, MaxPuts) {
		if err := w.x.Store.Write(ctx, chunk...); err != nil {
			return ledger, storeError{err}
		}
	}
	return ledger, nil
}

// takeAll brings the steps about. What AWS can't do just now is left for the
// next round, so that one step does not hold up another; what it says no to is
// written down and does not stop the others. An error is our own, or the end of
// this worker's time.
func (w *worker) takeAll(ctx context.Context, acct *actions.Account, steps []Step) error {
	var many []*Step
	for pause := time.Second; ; pause = min(2*pause, maxPause) {
		left := 0
		many = many[:0]
		for i := range steps {
			s := &steps[i]
			if s.Finished() || s.State == StepFailed && s.tried > 0 && s.tried == w.run.Attempt {
				continue
			}
			if s.Step.Many {
				many = append(many, s)
				continue
			}
			again, err := w.take(ctx, acct, s)
			if err != nil {
				return err
			}
			if again {
				left++
			}
		}
		if left == 0 {
			break
		}
		if err := w.x.Sleep(ctx, pause); err != nil {
			return err
		}
	}
	w.count(steps)
	return w.takeMany(ctx, acct, many)
}

// taking is a step that is being taken, with the hold that it shares with other
// requests.
type taking struct {
	s       *Step
	h       hold
	version int64 // of the hold's row
	altered bool  // the hold is to be written
	err     error
	again   bool // it is worth another try
}

// take takes one step; true means that it is worth another try.
func (w *worker) take(ctx context.Context, acct *actions.Account, s *Step) (again bool, err error) {
	if err := w.mayGoOn(ctx); err != nil {
		return false, err
	}
	t := &taking{s: s}
	if err := w.open(ctx, t); err != nil {
		return false, err
	}
	w.do(ctx, acct, t)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if !t.again {
		if err := w.tell(ctx); err != nil {
			return false, err
		}
	}
	return t.again, w.close(ctx, t)
}

// worth reports whether a step that failed is worth another try.
func (w *worker) worth(t *taking) bool {
	now := w.x.Now()
	if t.s.first.IsZero() {
		t.s.first = now
	}
	return actions.Transient(t.err) && now.Before(w.run.Since.Add(patience)) || actions.Later(t.err) && now.Before(t.s.first.Add(laterWithin))
}

// open reads who holds the changes and, before any of them is made, writes down
// that they may be made from now on and what was there. The first holder's
// snapshot stays; a later one would find our own deny.
func (w *worker) open(ctx context.Context, batch ...*taking) error {
	err := parallel(len(batch), func(i int) (err error) {
		t := batch[i]
		t.version, err = w.x.runs().find(ctx, holdRow(t.s.Step.Hold), &t.h)
		return err
	})
	if err != nil {
		return storeError{err}
	}
	if w.p.Intent.Undo != "" {
		return nil
	}
	var puts []Put
	var events []AuditEvent
	for _, t := range batch {
		s, h := t.s, &t.h
		if s.State == StepDoing && slices.Contains(h.Holders, w.p.ID) {
			continue
		}
		if len(h.Holders) == 0 {
			h.Effect = actions.Effect{Prior: s.Step.Prior}
		}
		if !slices.Contains(h.Holders, w.p.ID) {
			h.Holders = append(h.Holders, w.p.ID)
		}
		s.State, s.At, s.Cause, s.Hint, s.Effect = StepDoing, w.x.Now().UTC(), "", "", actions.Effect{Prior: h.Effect.Prior}
		puts = append(puts, putRow(holdRow(s.Step.Hold), t.version, h), putRow(stepKey(w.p.ID, s.N), s.Version, s))
		events = append(events, event("step_begun", "", "step", s.Step.ID, "resource", s.Step.Resource, "current", s.Step.Current, "after", s.Step.After))
		s.Version++
		t.version++
	}
	if len(puts) == 0 {
		return nil
	}
	if err := w.x.record(ctx, w.p.ID, puts, events...); err != nil {
		return storeError{err}
	}
	return nil
}

// do makes the change, or takes it back.
func (w *worker) do(ctx context.Context, acct *actions.Account, t *taking) {
	defer func() { t.again = w.worth(t) }()
	actx, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	if w.p.Intent.Undo != "" {
		t.err = w.revert(actx, acct, t)
		return
	}
	s, step := t.s, t.s.Step
	step.Prior = t.h.Effect.Prior
	var effect actions.Effect
	effect, t.err = w.action.Apply(actx, acct, step, actions.Run{RequestID: w.p.ID, Since: w.run.Since, Now: w.x.Now()})
	if t.err == nil || t.h.Effect.Wrote == nil {
		t.h.Effect.Wrote = effect.Wrote
		t.altered = t.altered || effect.Wrote != nil
		s.Effect = actions.Effect{Prior: t.h.Effect.Prior, Wrote: effect.Wrote, Changed: effect.Changed}
	}
	if t.err == nil {
		s.State = StepDone
	}
}

// revert takes one step back, if nobody else holds it.
func (w *worker) revert(ctx context.Context, acct *actions.Account, t *taking) error {
	s := t.s
	switch others := without(t.h.Holders, w.p.Intent.Undo); {
	case len(others) > 0 || s.Step.Stays != "" && t.version > 0:
		t.altered = len(others) < len(t.h.Holders)
		t.h.Holders = others
		s.State, s.Cause = StepKept, s.Step.Stays
		if len(others) > 0 {
			s.Cause = strings.Join(others, ", ") + " holds it too"
		}
		return nil
	case t.version == 0: // lifted already, and the ledger did not hear of it
		s.State = StepDone
		return nil
	}
	read, err := w.action.Revert(ctx, acct, s.Step, t.h.Effect)
	if err != nil {
		return err
	}
	s.Effect = actions.Effect{Prior: t.h.Effect.Wrote, Wrote: t.h.Effect.Prior, Changed: read.Changed}
	s.State = StepDone
	if !read.Holds {
		s.State, s.Cause, s.Hint = StepDrifted, "found "+read.Found, "look at it by hand: undo does not overwrite what others wrote"
	} else if read.Found != "" {
		s.Cause = read.Found
	}
	return nil
}

// close writes down what became of the steps, and who holds their changes now.
// Those that are tried again stay open.
func (w *worker) close(ctx context.Context, batch ...*taking) error {
	var puts []Put
	var events []AuditEvent
	for _, t := range batch {
		key := holdRow(t.s.Step.Hold)
		switch {
		case t.altered && len(t.h.Holders) == 0: // what stays is held by nobody any more
			puts = append(puts, Put{Row: Row{Key: key, Version: t.version}, Delete: true})
			t.version, t.altered = 0, false
		case t.altered:
			puts = append(puts, putRow(key, t.version, t.h))
			t.version, t.altered = t.version+1, false
		}
		if t.again {
			continue
		}
		t.s.tried = w.run.Attempt
		if t.s.Step.Many && t.err == nil {
			w.run.Progress.Done++
		} else if t.s.Step.Many {
			w.run.Progress.Failed++
		}
		if t.s.State == StepKept {
			w.flag(t.s.Step.Title + ": stays, " + t.s.Cause + ".")
		}
		puts = append(puts, w.result(ctx, t.s, t.err))
		events = append(events, ended(t.s))
	}
	if len(puts) == 0 {
		return nil
	}
	if err := w.x.record(ctx, w.p.ID, puts, events...); err != nil {
		return storeError{err}
	}
	for _, t := range batch {
		if !t.again {
			t.s.Version++
		}
	}
	return nil
}

// ending reports whether the invocation's deadline is near.
func (x *Executor) ending(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && deadline.Sub(x.Now()) < stopBefore
}

// mayGoOn renews the lease; close to the invocation's deadline it passes the
// rest on to a new job.
func (w *worker) mayGoOn(ctx context.Context) error {
	if w.x.ending(ctx) {
		w.run.Lease = w.x.Now().UTC()
		if err := w.x.Store.Write(ctx, putRow(runKey(w.run.ID), w.run.Version, w.run)); err != nil {
			return err
		}
		return w.x.later(ctx, w.p, 0)
	}
	return w.x.renew(ctx, w.run)
}

// put writes a step's result into the ledger and the chain.
func (w *worker) put(ctx context.Context, s *Step) error {
	err := w.x.record(ctx, w.p.ID, []Put{w.result(ctx, s, nil)}, ended(s))
	if err == nil {
		s.Version++
	}
	return err
}

// result is the row of a step that was dealt with.
func (w *worker) result(ctx context.Context, s *Step, failure error) Put {
	s.At = w.x.Now().UTC()
	if failure != nil {
		s.State = StepFailed
		s.Cause, s.Hint = actions.Explain(failure)
		w.x.Log.ErrorContext(ctx, "step failed", slog.String("request_id", w.p.ID), slog.String("step", s.Step.ID), slog.String("error", failure.Error()))
	}
	return putRow(stepKey(w.p.ID, s.N), s.Version, s)
}

// ended is the chain's word on such a step.
func ended(s *Step) AuditEvent {
	return event("step_"+string(s.State), "", "step", s.Step.ID, "resource", s.Step.Resource, "cause", s.Cause,
		"prior", deref(s.Effect.Prior), "wrote", deref(s.Effect.Wrote), "changed", strconv.FormatBool(s.Effect.Changed))
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// readAll reads what was done back. True means that some of it does not hold
// and is to be taken once more.
func (w *worker) readAll(ctx context.Context, acct *actions.Account, steps []Step) (again bool, err error) {
	var many []*Step
	for i := range steps {
		if steps[i].Step.Many {
			many = append(many, &steps[i])
		} else if err := w.readBack(ctx, acct, &steps[i]); err != nil {
			return false, err
		}
	}
	if err := w.readMany(ctx, acct, many); err != nil {
		return false, err
	}
	if w.retook {
		return false, nil
	}
	w.retook = true
	for i := range steps {
		if steps[i].State == StepDone {
			steps[i].State, again = StepFailed, true
			steps[i].tried = 0
		}
	}
	return again, nil
}

// readBack reads a done step back until it holds, for a while.
func (w *worker) readBack(ctx context.Context, acct *actions.Account, s *Step) error {
	if s.State != StepDone {
		return nil
	}
	var found string
	for until := w.x.Now().Add(readWithin); ; {
		if err := w.mayGoOn(ctx); err != nil {
			return err
		}
		holds, text, err := w.holds(ctx, acct, s)
		var ours storeError
		switch {
		case errors.As(err, &ours):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			text, _ = actions.Explain(err)
		case holds:
			s.State = StepVerified
			return w.lift(ctx, s)
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
	return w.put(ctx, s)
}

// holds reads one step back.
func (w *worker) holds(ctx context.Context, acct *actions.Account, s *Step) (bool, string, error) {
	var h hold
	version, err := w.x.runs().find(ctx, holdRow(s.Step.Hold), &h)
	if err != nil {
		return false, "", storeError{err}
	}
	actx, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	if w.p.Intent.Undo == "" {
		read, err := w.action.Verify(actx, acct, s.Step, h.Effect)
		return read.Holds, read.Found, err
	}
	if version == 0 {
		return true, "", nil
	}
	read, err := w.action.Revert(actx, acct, s.Step, h.Effect)
	return read.Holds && !read.Changed, read.Found, err
}

// lift writes a verified step; an undo's takes the hold away with it.
func (w *worker) lift(ctx context.Context, s *Step) error {
	if w.p.Intent.Undo == "" {
		return w.put(ctx, s)
	}
	version, err := w.x.runs().find(ctx, holdRow(s.Step.Hold), &hold{})
	if err != nil {
		return err
	}
	if version > 0 {
		if err := w.x.Store.Write(ctx, Put{Row: Row{Key: holdRow(s.Step.Hold), Version: version}, Delete: true}); err != nil {
			return err
		}
	}
	return w.put(ctx, s)
}

// count adds up a run that has many steps.
func (w *worker) count(steps []Step) {
	p := Progress{At: w.x.Now().UTC()}
	many := false
	for _, s := range steps {
		many = many || s.Step.Many
		p.Total++
		switch {
		case s.State == StepSkipped:
			p.Skipped++
		case s.Finished():
			p.Done++
		case s.State == StepFailed && s.tried == w.run.Attempt:
			p.Failed++
		}
	}
	if many {
		w.run.Progress = p
	}
}

// tell lets the bot redraw the card, now and then.
func (w *worker) tell(ctx context.Context) error {
	if now := w.x.Now(); now.Sub(w.told) >= progressEach {
		w.told = now
		return w.x.Changes.Send(ctx, Change{w.p.ID}, 0)
	}
	return nil
}

// finish adds the steps up. Where the account could not be entered, why says
// so, and nothing is claimed of steps that were begun before.
func (w *worker) finish(ctx context.Context, steps []Step, why, hint string) error {
	blind := why != ""
	good, bad, begun := 0, 0, 0
	for _, s := range steps {
		if s.State == StepSkipped {
			continue
		}
		if s.State != StepPlanned {
			begun++
		}
		if !blind && (s.State == StepVerified || s.State == StepKept) {
			good++
			continue
		}
		bad++
		if why == "" && s.Cause != "" {
			why, hint = s.Step.Title+": "+s.Cause, s.Hint
		}
	}
	w.count(steps)
	if bad > 1 && w.run.Progress.Total > 0 && !blind {
		why = fmt.Sprintf("%d of %d failed. The first: %s", bad, good+bad, why)
	}
	now := w.x.Now().UTC()
	run := w.run
	run.Applied, run.Ended, run.Why, run.Hint = now, now, why, hint
	undo := w.p.Intent.Undo != ""
	switch {
	case bad == 0 && good > 0 && undo:
		run.Outcome, run.Verified = Restored, now
	case bad == 0 && good > 0:
		run.Outcome, run.Verified, run.NextCheck = Contained, now, now.Add(checks[0])
	case good > 0 || blind && begun > 0:
		run.Outcome = Partial
	default:
		run.Outcome = Failed
	}
	return w.x.end(ctx, run, event(string(run.Outcome), "", "why", why, "verified", strconv.Itoa(good), "not_verified", strconv.Itoa(bad), "flags", strings.Join(run.Flags, " ")))
}
