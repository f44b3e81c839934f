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

const (
	leaseFor     = 30 * time.Second       // a run belongs to one worker for so long
	stepWithin   = 20 * time.Second       // one step's AWS calls end before the lease does
	stopBefore   = 20 * time.Second       // no new step so close to the invocation's deadline
	patience     = 10 * time.Minute       // a throttled step is retried for so long
	maxPause     = 20 * time.Second       // between two tries; shorter than the lease
	readWithin   = 15 * time.Second       // IAM is eventually consistent: reading back may take a while
	seenAfter    = 10 * time.Second       // what was written may not be read before
	readEvery    = 500 * time.Millisecond // between two tries to read back
	lockedPause  = 3 * time.Second        // before asking again for a target that is locked
	progressEach = 5 * time.Second        // between two updates of the card
)

// checks are when a containment is read back again, counted from the first time.
var checks = []time.Duration{5 * time.Second, 15 * time.Second, 60 * time.Second}

// run brings an approved request, or what is left of it, to its end.
func (x *Executor) run(ctx context.Context, r Request) error {
	p, err := x.runs().Planned(ctx, r.ID)
	if errors.Is(err, ErrNotFound) {
		return nil // not planned: there is nothing that could have been approved
	}
	if err != nil {
		return err
	}
	run, err := x.runs().Run(ctx, r.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		run, err = x.claim(ctx, r, p)
	case err != nil:
		return err
	case run.Outcome == "":
		run, err = x.takeOver(ctx, run, p)
	default:
		if run, err = x.reopen(ctx, r, run, p); errors.Is(err, errSettled) {
			if run, err = x.runs().Run(ctx, r.ID); err != nil {
				return err
			}
			return x.settle(ctx, run, p)
		}
	}
	if errors.Is(err, errElsewhere) || errors.Is(err, errSettled) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := x.begin(ctx, &run, p); err != nil {
		if errors.Is(err, errSettled) {
			return nil
		}
		return err
	}
	if err := x.work(ctx, &run, p); err != nil {
		if errors.Is(err, errElsewhere) {
			return nil
		}
		return err
	}
	return x.settle(ctx, run, p)
}

// errElsewhere stops a worker: the run, or its target, is another's just now.
var errElsewhere = errors.New("another worker has it")

// claim is the one write that lets a request start: it creates the run and
// takes the target's lock, or neither.
func (x *Executor) claim(ctx context.Context, r Request, p Planned) (Run, error) {
	if r.State != Approved {
		return Run{}, errSettled
	}
	if _, err := x.prove(ctx, r); err != nil {
		if errors.Is(err, ErrEvidence) {
			return Run{}, orSettled(x.refuse(ctx, r, nil, err.Error(), "nothing was changed; ask again with /killswitch"))
		}
		return Run{}, err
	}
	votes, whys, text, err := x.decide(ctx, r, p)
	if err != nil {
		return Run{}, err
	}
	if text == "" && len(whys) == 0 && x.late(votes, p) {
		whys = []Why{{Code: PastExpiry}}
	}
	if text != "" || len(whys) > 0 {
		return Run{}, orSettled(x.refuse(ctx, r, whys, text, "nothing was changed; ask again with /killswitch"))
	}
	now := x.Now().UTC()
	run := Run{ID: r.ID, Owner: x.Owner(), Lease: now.Add(leaseFor), Since: now, Attempt: 1, Approvers: people(votes),
		Lock: lockRow(p.Account, p.Intent.Call.TargetName())}
	var ev []AuditEvent
	for _, v := range votes {
		ev = append(ev, event("approved", v.Person, "evidence", v.Evidence, "digest", p.Digest, "at", v.At.Format(time.RFC3339)))
	}
	ev = append(ev, event("claimed", "", "attempt", "1"))
	err = x.take(ctx, r.ID, p, &run, ev...)
	return run, err
}

// orSettled is errSettled, unless something went wrong.
func orSettled(err error) error {
	if err != nil {
		return err
	}
	return errSettled
}

// take writes a run together with its target's lock. Where another run has the
// target, or another worker was faster, it asks for a later try: errElsewhere.
func (x *Executor) take(ctx context.Context, id string, p Planned, run *Run, ev ...AuditEvent) error {
	var l lock
	version, err := x.runs().find(ctx, run.Lock, &l)
	if err != nil {
		return err
	}
	if version > 0 && l.ID != id && x.Now().Before(l.Until) {
		x.Log.InfoContext(ctx, "target is locked", slog.String("request_id", id), slog.String("holder", l.ID))
		return x.later(ctx, p, lockedPause)
	}
	err = x.record(ctx, id, []Put{putRow(runKey(id), run.Version, run), putRow(run.Lock, version, lock{ID: id, Until: run.Lease})}, ev...)
	if errors.Is(err, ErrConflict) {
		return x.later(ctx, p, lockedPause)
	}
	run.Version++
	return err
}

// later puts the job back and stops this worker.
func (x *Executor) later(ctx context.Context, p Planned, delay time.Duration) error {
	if err := x.Jobs.Send(ctx, p.job(), delay); err != nil {
		return err
	}
	return errElsewhere
}

func (p Planned) job() Job {
	if p.Intent.Undo != "" {
		return Job{JobUndo, p.ID}
	}
	return Job{JobRun, p.ID}
}

func (x *Executor) gone(owner string) bool { return x.Gone != nil && x.Gone(owner) }

// takeOver continues a run whose worker is gone.
func (x *Executor) takeOver(ctx context.Context, run Run, p Planned) (Run, error) {
	now := x.Now().UTC()
	if now.Before(run.Lease) && !x.gone(run.Owner) {
		return run, x.later(ctx, p, run.Lease.Sub(now)+time.Second)
	}
	run.Owner, run.Lease = x.Owner(), now.Add(leaseFor)
	err := x.take(ctx, run.ID, p, &run, event("resumed", "", "attempt", strconv.Itoa(run.Attempt)))
	return run, err
}

// reopen starts another attempt if somebody may and did ask for it; otherwise
// errSettled.
func (x *Executor) reopen(ctx context.Context, r Request, run Run, p Planned) (Run, error) {
	if !run.Started || run.Outcome != Partial && run.Outcome != Failed || run.UndoneBy != "" {
		return run, errSettled
	}
	t := Request{ID: r.ID, State: run.Outcome, Intent: p.Intent, Requester: Party{Person: p.Person}, Digest: p.Digest, Ended: run.Ended}
	for _, stored := range r.Retries {
		if slices.Contains(run.Retries, stored.Evidence) {
			continue
		}
		v, err := x.proveClick(ctx, stored.Evidence, "retry", p)
		if errors.Is(err, ErrEvidence) {
			x.Log.WarnContext(ctx, "retry not proved", slog.String("request_id", r.ID), slog.String("error", err.Error()))
			continue
		}
		if err != nil {
			return run, err
		}
		if v.At.Before(run.Since) || !x.Policy.Decide(t, Retry, v, x.Now()).Accept {
			continue
		}
		if why, err := x.mayRetry(ctx, r, p); err != nil || why != "" {
			if err == nil {
				err = x.noRetry(ctx, run, v, why)
			}
			return run, orSettled(err)
		}
		again := run
		now := x.Now().UTC()
		again.Retries = append(slices.Clone(run.Retries), v.Evidence)
		again.Owner, again.Lease, again.Since = x.Owner(), now.Add(leaseFor), now
		again.Attempt++
		again.Outcome, again.Why, again.Hint, again.NextCheck, again.Checks, again.Unread = "", "", "", time.Time{}, 0, 0
		err = x.take(ctx, run.ID, p, &again, event("retried", v.Person, "evidence", v.Evidence, "attempt", strconv.Itoa(again.Attempt)))
		return again, err
	}
	return run, errSettled
}

// mayRetry checks that what was approved is still what a retry would do, and
// still allowed.
func (x *Executor) mayRetry(ctx context.Context, r Request, p Planned) (why string, err error) {
	_, whys, text, err := x.decide(ctx, r, p)
	switch {
	case err != nil:
		return "", err
	case text != "" || len(whys) > 0:
		return strings.TrimSpace("it is no longer approved: " + text + " " + codes(whys)), nil
	case p.Intent.Undo == "":
		return "", nil
	}
	orig, err := x.runs().Run(ctx, p.Intent.Undo)
	if err == nil && orig.Attempt != p.Of {
		why = p.Intent.Undo + " was applied again since this undo was approved: ask for a new one"
	}
	return why, err
}

// noRetry uses up the evidence of a retry that may not be, and says why.
func (x *Executor) noRetry(ctx context.Context, run Run, v Vote, why string) error {
	run.Retries = append(slices.Clone(run.Retries), v.Evidence)
	run.Why, run.Hint = why, "ask again with /killswitch"
	return x.record(ctx, run.ID, []Put{putRow(runKey(run.ID), run.Version, run)}, event("retry_refused", v.Person, "why", why))
}

// begin moves the request to running. A denial or cancellation that came first
// ends the run with nothing done.
func (x *Executor) begin(ctx context.Context, run *Run, p Planned) error {
	var ended Request
	_, err := x.Requests.Change(ctx, run.ID, func(r *Request) error {
		if run.Started && (r.State == Running || !r.State.May(Running)) {
			return errSettled // what has begun goes on, whatever the row says
		}
		ended = *r
		r.Why, r.Hint, r.Whys = "", "", nil
		return r.To(Running, x.Now().UTC())
	})
	var no *TransitionError
	switch {
	case errors.As(err, &no) && ended.State != Running:
		run.Outcome, run.Ended = ended.State, x.Now().UTC()
		run.Why = "it was " + string(ended.State) + " before anything was done"
		if err := x.end(ctx, run, event("not_started", "", "state", string(ended.State))); err != nil {
			return err
		}
		if err := x.close(ctx, ended); err != nil {
			return err
		}
		return orSettled(x.Changes.Send(ctx, Change{run.ID}, 0))
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
	return x.Changes.Send(ctx, Change{run.ID}, 0)
}

// save writes the run and prolongs the lease of run and lock.
func (x *Executor) save(ctx context.Context, run *Run, ev ...AuditEvent) error {
	run.Lease = x.Now().UTC().Add(leaseFor)
	var l lock
	version, err := x.runs().find(ctx, run.Lock, &l)
	if err != nil {
		return err
	}
	if version > 0 && l.ID != run.ID && x.Now().Before(l.Until) {
		return fmt.Errorf("%w: the target's lock went to %s", ErrConflict, l.ID)
	}
	err = x.record(ctx, run.ID, []Put{putRow(runKey(run.ID), run.Version, run), putRow(run.Lock, version, lock{ID: run.ID, Until: run.Lease})}, ev...)
	if err == nil {
		run.Version++
	}
	return err
}

// renew prolongs the lease when a good part of it is over.
func (x *Executor) renew(ctx context.Context, run *Run) error {
	if run.Lease.Sub(x.Now()) > leaseFor-5*time.Second {
		return nil
	}
	return x.save(ctx, run)
}

// end writes the run's last word and frees the target.
func (x *Executor) end(ctx context.Context, run *Run, ev ...AuditEvent) error {
	run.Lease = x.Now().UTC()
	puts := []Put{putRow(runKey(run.ID), run.Version, run)}
	var l lock
	version, err := x.runs().find(ctx, run.Lock, &l)
	if err != nil {
		return err
	}
	if version > 0 && l.ID == run.ID {
		puts = append(puts, Put{Row: Row{Key: run.Lock, Version: version}, Delete: true})
	}
	err = x.record(ctx, run.ID, puts, ev...)
	if err == nil {
		run.Version++
	}
	return err
}

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
	if err := w.takeAll(ctx, acct, steps); err != nil {
		return err
	}
	again := false
	for i := range steps {
		if err := w.readBack(ctx, acct, &steps[i]); err != nil {
			return err
		}
		if steps[i].State == StepDone { // it does not hold: take it once more
			steps[i].State, again = StepFailed, true
			steps[i].tried = 0
		}
	}
	if again {
		if err := w.takeAll(ctx, acct, steps); err != nil {
			return err
		}
		for i := range steps {
			if err := w.readBack(ctx, acct, &steps[i]); err != nil {
				return err
			}
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
	acct.Brief = true
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
	acct, err = w.enter(look, actions.Responder, actions.PhaseRun, resources(steps))
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
	for i := range steps {
		s := &steps[i]
		var h hold
		if _, err := w.x.runs().find(ctx, holdRow(s.Step.Hold), &h); err != nil {
			return err
		}
		held := slices.Contains(h.Holders, holder)
		was := s.State
		switch {
		case s.State == StepPlanned:
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
	for _, s := range now {
		i := slices.IndexFunc(ledger, func(l Step) bool { return l.Step.ID == s.ID })
		if i < 0 {
			w.flag("Since the plan: " + s.Title + " (" + s.Current + ").")
			ledger = append(ledger, Step{N: len(ledger) + 1, State: StepPlanned})
			i = len(ledger) - 1
		} else if ledger[i].State != StepPlanned && ledger[i].Step.ResourceID == s.ResourceID {
			continue // its snapshot was taken before our own change
		} else if ledger[i].Step.Current == s.Current && ledger[i].Step.Hold == s.Hold && ledger[i].Version > 0 {
			ledger[i].Step = s
			continue
		} else {
			w.flag("Since the plan: " + s.Title + ": found " + s.Current + ", not " + ledger[i].Step.Current + ".")
		}
		ledger[i].Step, ledger[i].State, ledger[i].Effect, ledger[i].Cause, ledger[i].Hint = s, StepPlanned, actions.Effect{}, "", ""
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
	for pause := time.Second; ; pause = min(2*pause, maxPause) {
		left := 0
		for i := range steps {
			if steps[i].Finished() || steps[i].State == StepFailed && steps[i].tried > 0 && steps[i].tried == w.run.Attempt {
				continue
			}
			again, err := w.take(ctx, acct, &steps[i])
			if err != nil {
				return err
			}
			if again {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		if err := w.x.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// take tries one step; true means that it is worth another try.
func (w *worker) take(ctx context.Context, acct *actions.Account, s *Step) (again bool, err error) {
	if err := w.mayGoOn(ctx); err != nil {
		return false, err
	}
	err = w.try(ctx, acct, s)
	var ours storeError
	switch {
	case errors.As(err, &ours):
		return false, err
	case ctx.Err() != nil:
		return false, ctx.Err()
	case actions.Transient(err) && w.x.Now().Before(w.run.Since.Add(patience)):
		return true, nil
	}
	if err := w.tell(ctx); err != nil {
		return false, err
	}
	s.tried = w.run.Attempt
	return false, w.put(ctx, s, err)
}

// mayGoOn renews the lease; close to the invocation's deadline it passes the
// rest on to a new job.
func (w *worker) mayGoOn(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok && deadline.Sub(w.x.Now()) < stopBefore {
		w.run.Lease = w.x.Now().UTC()
		if err := w.x.Store.Write(ctx, putRow(runKey(w.run.ID), w.run.Version, w.run)); err != nil {
			return err
		}
		return w.x.later(ctx, w.p, 0)
	}
	return w.x.renew(ctx, w.run)
}

func (w *worker) try(ctx context.Context, acct *actions.Account, s *Step) error {
	if w.p.Intent.Undo != "" {
		return w.revert(ctx, acct, s)
	}
	// Before the change: who holds it, and what was there. The first holder's
	// snapshot stays; a later one would find our own deny.
	var h hold
	version, err := w.x.runs().find(ctx, holdRow(s.Step.Hold), &h)
	if err != nil {
		return storeError{err}
	}
	if s.State != StepDoing || !slices.Contains(h.Holders, w.p.ID) {
		if len(h.Holders) == 0 {
			h.Effect = actions.Effect{Prior: s.Step.Prior}
		}
		if !slices.Contains(h.Holders, w.p.ID) {
			h.Holders = append(h.Holders, w.p.ID)
		}
		s.State, s.At, s.Cause, s.Hint, s.Effect = StepDoing, w.x.Now().UTC(), "", "", actions.Effect{Prior: h.Effect.Prior}
		err := w.x.record(ctx, w.p.ID, []Put{putRow(holdRow(s.Step.Hold), version, h), putRow(stepKey(w.p.ID, s.N), s.Version, s)},
			event("step_begun", "", "step", s.Step.ID, "resource", s.Step.Resource, "current", s.Step.Current, "after", s.Step.After))
		if err != nil {
			return storeError{err}
		}
		s.Version++
		version++
	}
	actx, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	step := s.Step
	step.Prior = h.Effect.Prior
	effect, err := w.action.Apply(actx, acct, step, actions.Run{RequestID: w.p.ID, Since: w.run.Since, Now: w.x.Now()})
	if err == nil || h.Effect.Wrote == nil {
		h.Effect.Wrote = effect.Wrote
		s.Effect = actions.Effect{Prior: h.Effect.Prior, Wrote: effect.Wrote, Changed: effect.Changed}
		if effect.Wrote != nil {
			if err := w.x.Store.Write(ctx, putRow(holdRow(s.Step.Hold), version, h)); err != nil {
				return storeError{err}
			}
		}
	}
	if err == nil {
		s.State = StepDone
	}
	return err
}

// revert takes one step back, if nobody else holds it.
func (w *worker) revert(ctx context.Context, acct *actions.Account, s *Step) error {
	var h hold
	version, err := w.x.runs().find(ctx, holdRow(s.Step.Hold), &h)
	if err != nil {
		return storeError{err}
	}
	if others := without(h.Holders, w.p.Intent.Undo); len(others) > 0 {
		if len(others) < len(h.Holders) {
			h.Holders = others
			if err := w.x.Store.Write(ctx, putRow(holdRow(s.Step.Hold), version, h)); err != nil {
				return storeError{err}
			}
		}
		s.State, s.Cause = StepKept, strings.Join(others, ", ")+" holds it too"
		w.flag(s.Step.Title + ": stays, " + s.Cause + ".")
		return nil
	}
	if version == 0 { // lifted already, and the ledger did not hear of it
		s.State = StepDone
		return nil
	}
	actx, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	read, err := w.action.Revert(actx, acct, s.Step, h.Effect)
	if err != nil {
		return err
	}
	s.Effect = actions.Effect{Prior: h.Effect.Wrote, Wrote: h.Effect.Prior, Changed: read.Changed}
	s.State = StepDone
	if !read.Holds {
		s.State, s.Cause, s.Hint = StepDrifted, "found "+read.Found, "look at it by hand: undo does not overwrite what others wrote"
	} else if read.Found != "" {
		s.Cause = read.Found
	}
	return nil
}

// put writes a step's result into the ledger and the chain.
func (w *worker) put(ctx context.Context, s *Step, failure error) error {
	s.At = w.x.Now().UTC()
	if failure != nil {
		s.State = StepFailed
		s.Cause, s.Hint = actions.Explain(failure)
		w.x.Log.ErrorContext(ctx, "step failed", slog.String("request_id", w.p.ID), slog.String("step", s.Step.ID), slog.String("error", failure.Error()))
	}
	err := w.x.record(ctx, w.p.ID, []Put{putRow(stepKey(w.p.ID, s.N), s.Version, s)},
		event("step_"+string(s.State), "", "step", s.Step.ID, "resource", s.Step.Resource, "cause", s.Cause,
			"prior", deref(s.Effect.Prior), "wrote", deref(s.Effect.Wrote), "changed", strconv.FormatBool(s.Effect.Changed)))
	if err == nil {
		s.Version++
	}
	return err
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
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
	return w.put(ctx, s, nil)
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
		return w.put(ctx, s, nil)
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
	return w.put(ctx, s, nil)
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

// settle shows a run's end in the table requests and sends what follows from
// it. It may be done again.
func (x *Executor) settle(ctx context.Context, run Run, p Planned) error {
	_, err := x.Requests.Change(ctx, run.ID, func(r *Request) error {
		// The run's word stands, whatever the request's row says; only an undo of
		// it has one of its own.
		right := r.State == run.Outcome || run.UndoneBy != ""
		if r.Closed && r.RunVersion == run.Version && right {
			return errSettled
		}
		r.Closed, r.RunVersion = true, run.Version
		if !right {
			r.State, r.Ended = run.Outcome, run.Ended
		}
		if run.UndoneBy == "" {
			r.Why, r.Hint = run.Why, run.Hint
		}
		r.Revise()
		return nil
	})
	if err != nil && !errors.Is(err, errSettled) {
		return err
	}
	if p.Intent.Undo != "" && run.Started {
		if err := x.endUndo(ctx, run, p); err != nil {
			return err
		}
	}
	if !run.NextCheck.IsZero() && run.UndoneBy == "" {
		if err := x.Jobs.Send(ctx, Job{JobVerify, run.ID}, max(run.NextCheck.Sub(x.Now()), 0)); err != nil {
			return err
		}
	}
	if err := x.Changes.Send(ctx, Change{run.ID}, 0); err != nil {
		return err
	}
	if run.Outcome.InForce() {
		return nil
	}
	return x.retire(ctx, run.ID, run.Ended)
}
