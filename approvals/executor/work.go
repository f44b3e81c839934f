package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// work runs the steps that are left and verifies them.
func (x *Executor) work(ctx context.Context, run *approvals.Run, p approvals.Planned) error {
	action, ok := x.Actions(p.Intent.Call.Action)
	if !ok {
		return fmt.Errorf("no action %s", p.Intent.Call.Action)
	}
	w := x.worker(run, p, action)
	steps, err := x.steps(ctx, p.ID)
	if err != nil {
		return err
	}
	if err := w.reviewSteps(ctx, steps); err != nil {
		return err
	}
	err = w.work(ctx, steps)
	if errors.Is(err, errReleasing) {
		return w.handOver(ctx, lockedDelay)
	}
	return err
}

// work runs steps and verifies them. Those that contain come first, before the target is
// read for the others.
func (w *worker) work(ctx context.Context, steps []step) error {
	var acct *actions.Account
	until := w.patience()
	for look, more := actions.LookFirst, true; more; look = actions.LookSteps {
		var plan actions.Plan
		entered := acct
		err := w.x.retryPages(ctx, until, w.page(ctx), func() (err error) {
			if err = w.renewOrHandOver(ctx); err == nil {
				acct, steps, plan, err = w.prepare(ctx, steps, look)
			}
			return err
		})
		more = plan.More
		switch {
		case mustStop(err) || ctx.Err() != nil:
			return errors.Join(err, ctx.Err())
		case err != nil && entered != nil: // what contains is done; the other steps are tried as planned
			why, _ := actions.Explain(err)
			w.flag("The target could not be read in full: " + why + ".")
			acct, more = entered, false
			if err := w.leaveRemovals(ctx, steps, "the target could not be read: "+why); err != nil {
				return err
			}
		case err != nil:
			why, hint := actions.Explain(err)
			return w.endWithOutcome(ctx, steps, why, hint)
		case more:
			if err := w.runFirst(ctx, acct, steps, plan); err != nil {
				return err
			}
			until = w.x.Now().Add(retryLaterWithin)
		}
	}
	for again := true; again; {
		if err := w.runSteps(ctx, acct, steps); err != nil {
			return err
		}
		var err error
		if again, err = w.readAllBack(ctx, acct, steps); err != nil {
			return err
		}
	}
	if w.recreated && !w.lookedAgain { // after it was looked at: once more, for what is there now
		w.lookedAgain, w.secondPass = true, false
		return w.work(ctx, steps)
	}
	return w.endWithOutcome(ctx, steps, "", "")
}

// worker is one attempt at one run, or one look at it.
type worker struct {
	x          *Executor
	run        *approvals.Run
	p          approvals.Planned
	action     actions.Action
	notified   time.Time        // when the bot was last asked to redraw
	reader     *actions.Account // in which the target is read
	pace       *pacer           // of the writes of independent steps
	relist     bool             // steps were applied since the roles were listed
	othersHeld map[string]bool  // changes that other requests have held since this worker began to read the target
	secondPass bool             // steps that did not hold were run once more
	stands     bool             // a step that brings a goal about was applied
	recreated  bool             // a step found another principal of the target's name
	// lookedAgain is true after the target was looked at for that reason.
	lookedAgain bool
	renamed     string           // the target's ARN, if it is another one than was approved
	since       time.Time        // what a step wrote later is not written again
	watching    bool             // in a look
	hourly      bool             // the look is one of every hour
	listing     listing          // of a look at many steps
	refused     *actions.Refusal // why a look applies nothing again
}

func (x *Executor) worker(run *approvals.Run, p approvals.Planned, action actions.Action) *worker {
	return &worker{x: x, run: run, p: p, action: action, since: run.Since, othersHeld: map[string]bool{},
		pace: &pacer{now: x.Now, sleep: x.Sleep, rate: run.Rate}}
}

// patience returns the time until which transient errors are tried again.
func (w *worker) patience() time.Time {
	last, within := w.since, retryWithin
	if w.watching {
		within = watchPatience
	}
	if w.run.LastSuccess.After(last) {
		last = w.run.LastSuccess
	}
	return last.Add(within)
}

// succeeded notes that the run gets on.
func (w *worker) succeeded() { w.run.LastSuccess = w.x.Now().UTC() }

// page returns the function to be called after each page of a listing. If no invocation is
// long enough for it, that ends when patience does.
func (w *worker) page(ctx context.Context) func(*actions.MorePages) error {
	return func(m *actions.MorePages) error {
		w.run.Progress.Listed = m.Read
		goesOn := w.watching && w.x.Now().Sub(w.listing.Began) < listingWithin
		if w.x.nearDeadline(ctx) && w.x.Now().After(w.patience()) && !goesOn {
			return actions.WithHint(m, "the listing takes longer than an invocation may; one policy for the whole account needs none: via=scp")
		}
		if err := w.renewOrHandOver(ctx); err != nil {
			return err
		}
		return w.notifyProgress(ctx)
	}
}

// prepare opens a session in the account, reads the target again and updates the ledger
// with what it is like now. Called again after an error, it goes on in the same session.
func (w *worker) prepare(ctx context.Context, steps []step, look actions.Look) (
	acct *actions.Account, now []step, plan actions.Plan, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	undo := w.p.Intent.Undo != ""
	for _, s := range steps {
		if _, _, _, _, user := actions.SplitUserARN(s.Step.Resource); undo && user && s.Step.ResourceID == w.p.Plan.Identity.ID && s.Step.Resource != w.p.Plan.Identity.ARN {
			w.renamed = s.Step.Resource // while it was contained
		}
	}
	if w.reader == nil {
		member, phase, changed := actions.Responder, actions.PhasePlan, []string(nil)
		if undo {
			member, phase, changed = actions.Restorer, actions.PhaseUndo, resources(steps)
		}
		if acct, err = w.enter(ctx, member, phase, changed); err != nil {
			return nil, steps, plan, err
		}
		w.reader = acct
		if w.watching {
			w.useListing(ctx, steps)
		} else if !undo {
			if _, err = w.noteHolders(ctx, steps); err != nil {
				return nil, steps, plan, err
			}
		}
	}
	w.reader.Approved = w.p.Plan.Identity.ID
	if undo {
		return w.reader, steps, plan, readListing(ctx, w.reader, w.action, steps)
	}
	w.reader.Look = look
	bound := w.p.Plan.Bound
	if w.watching && bound.Hash != "" { // the approved content is looked at, whatever the configuration says now
		plan.Identity = w.p.Plan.Identity
	} else if plan, err = w.action.Plan(ctx, w.reader, w.call()); err != nil {
		if now, ok := errors.AsType[*actions.Renamed](err); ok && w.renamed == "" { // its session is limited to the old name
			w.renamed, w.reader = now.ARN, nil
			w.flag("Since the plan: " + now.Error() + ".")
			return w.prepare(ctx, steps, look)
		}
		return nil, steps, plan, err
	}
	if no := w.x.Org.RefuseIdentity(plan.Identity, w.p.Plan.Guarded != ""); no != nil && w.watching {
		w.refused = no
	} else if no != nil {
		return nil, steps, plan, no
	}
	if plan.Bound.Hash != bound.Hash && !w.watching {
		return nil, steps, plan, &actions.Refusal{Reason: bound.Name + " was changed since it was approved", Hint: askAgain}
	}
	if plan.Identity.ID != w.p.Plan.Identity.ID {
		w.flag("The target was deleted and created again since the plan: it is another principal (" + plan.Identity.ID + ") of the same name.")
	}
	if err = w.followRename(ctx, steps, plan.Steps); err != nil {
		return nil, steps, plan, err
	}
	if w.watching {
		steps = w.mergeLook(steps, plan)
	} else if steps, err = w.mergePlan(ctx, steps, plan.Steps, !plan.More); err != nil {
		return nil, steps, plan, err
	}
	if w.watching { // most looks write nothing: one session is enough
		return w.reader, steps, plan, nil
	}
	if _, err = w.noteHolders(ctx, steps); err != nil {
		return nil, steps, plan, err
	}
	if w.run.LastSuccess.Before(w.since) { // once: hand-overs must not make it endless
		w.succeeded()
	}
	if acct, err = w.enter(ctx, actions.Responder, actions.PhaseRun, resources(steps)); err == nil {
		acct.ShareRoleList(w.reader)
	}
	return acct, steps, plan, err
}

// call is the planned call, on the target as it is named now.
func (w *worker) call() actions.Call {
	c := w.p.Call()
	if w.renamed != "" {
		c.Target = w.renamed
	}
	return c
}

// followRename stores the new ARN of steps on a user that was renamed, so that an undo finds it.
func (w *worker) followRename(ctx context.Context, ledger []step, now []actions.Step) error {
	var puts []approvals.Put
	arn := map[string]string{}
	for _, s := range now {
		if _, _, _, _, user := actions.SplitUserARN(s.Resource); user { // nothing else can be renamed
			arn[s.ResourceID] = s.Resource
		}
	}
	for i := range ledger {
		l := &ledger[i]
		is := arn[l.Step.ResourceID]
		if is == "" || is == l.Step.Resource || l.Version == 0 {
			continue
		}
		l.Step.Resource = is
		puts = append(puts, approvals.PutRow(approvals.StepKey(w.p.ID, l.N), l.Version, l))
		l.Version++
	}
	return w.writeAll(ctx, puts)
}

// noteHolders reads holds, and notes the changes that other requests hold. It is called before the target is
// read, too: an undo may revert a change while a long listing still has it.
func (w *worker) noteHolders(ctx context.Context, steps []step) ([]hold, error) {
	holds, err := w.x.holdsOf(ctx, steps)
	if err != nil {
		return nil, storeError{err}
	}
	for i, h := range holds {
		if len(remove(h.Holders, w.p.ID)) > 0 {
			w.othersHeld[steps[i].Step.Hold] = true
		}
	}
	return holds, nil
}

// runFirst runs the steps of a first look, once each.
func (w *worker) runFirst(ctx context.Context, acct *actions.Account, steps []step, first actions.Plan) error {
	for i := range steps {
		s := &steps[i]
		if s.Finished() || s.Step.Look != "" || !slices.ContainsFunc(first.Steps, func(f actions.Step) bool { return f.ID == s.Step.ID }) {
			continue
		}
		if _, err := w.runStep(ctx, acct, s); err != nil {
			return err
		}
	}
	return nil
}

// reviewSteps prepares the ledger for a retry, once per attempt: verified steps are
// verified again, and steps that were reverted, or whose change is held again when an
// undo is retried, are run again.
func (w *worker) reviewSteps(ctx context.Context, steps []step) error {
	if w.run.Reviewed == w.run.Attempt {
		return nil
	}
	holder := w.p.ID
	if w.p.Intent.Undo != "" {
		holder = w.p.Intent.Undo
	}
	var puts []approvals.Put
	holds, err := w.x.holdsOf(ctx, steps)
	if err != nil {
		return err
	}
	for i := range steps {
		s := &steps[i]
		held := slices.Contains(holds[i].Holders, holder)
		was := s.State
		switch {
		case s.State == approvals.StepPlanned, s.State == approvals.StepSkipped, s.Step.Look != "":
		case w.p.Intent.Undo != "" && held, w.p.Intent.Undo == "" && !held:
			s.State = approvals.StepPlanned
		case s.State == approvals.StepVerified:
			s.State = approvals.StepDone
		case s.State == approvals.StepDone && w.p.Intent.Undo == "":
			s.State = approvals.StepFailed
		}
		if s.State != was {
			s.Cause, s.Hint = "", ""
			puts = append(puts, approvals.PutRow(approvals.StepKey(w.p.ID, s.N), s.Version, s))
			s.Version++
		}
	}
	if err := w.writeAll(ctx, puts); err != nil {
		return err
	}
	w.run.Reviewed = w.run.Attempt
	return w.x.save(ctx, w.run)
}

// enter opens a session for a phase. A look reads in the session that all looks share.
func (w *worker) enter(ctx context.Context, m actions.Member, phase actions.Phase, resources []string) (*actions.Account, error) {
	if w.watching && phase == actions.PhasePlan {
		return w.x.Cloud.Watch(ctx, w.action, w.call())
	}
	who := sessionContext(w.p, w.run.Approvers)
	who.Entered = who.Entered && !w.watching // days later it may be somebody else's
	return w.x.Cloud.EnterFor(ctx, m, w.action, phase, w.call(), resources, who)
}

func (w *worker) flag(text string) {
	const most = 50 // a run may have thousands of steps
	text = actions.Clip(text)
	if !slices.Contains(w.run.Flags, text) && len(w.run.Flags) < most {
		w.run.Flags = append(w.run.Flags, text)
	}
}

// mergePlan updates the steps that have not begun with what the target is like now, and
// adds steps for what is new since the plan. A look at the whole target also shows which
// removals are superfluous: undo must not bring back what others took away.
func (w *worker) mergePlan(ctx context.Context, ledger []step, now []actions.Step, whole bool) ([]step, error) {
	var puts []approvals.Put
	at := make(map[string]int, len(ledger))
	for i, l := range ledger {
		at[l.Step.ID] = i
	}
	for _, s := range now {
		i, known := at[s.ID]
		if !known {
			w.flag("Since the plan: " + s.Title + " (" + s.Current + ").")
			ledger = append(ledger, step{row: row{N: len(ledger) + 1, State: approvals.StepPlanned}})
			i = len(ledger) - 1
		} else if ledger[i].State != approvals.StepPlanned && ledger[i].Step.ResourceID == s.ResourceID &&
			(s.Skip == "") == (ledger[i].State != approvals.StepSkipped) {
			continue // keep the snapshot from before our change
		} else if ledger[i].Step.Current == s.Current && ledger[i].Step.Hold == s.Hold && ledger[i].Version > 0 &&
			deref(ledger[i].Step.Prior) == deref(s.Prior) {
			ledger[i].Step = s
			continue
		} else if ledger[i].Step.Current == s.Current {
			w.flag("Since the plan: " + s.Title + ": what is there was changed, and that is what undo would bring back.")
		} else {
			w.flag("Since the plan: " + s.Title + ": found " + s.Current + ", not " + ledger[i].Step.Current + ".")
		}
		ledger[i].Step, ledger[i].State, ledger[i].Effect, ledger[i].Cause, ledger[i].Hint = s, firstState(s), actions.Effect{}, "", ""
		puts = append(puts, approvals.PutRow(approvals.StepKey(w.p.ID, ledger[i].N), ledger[i].Version, ledger[i]))
		ledger[i].Version++
	}
	if !whole {
		return ledger, w.writeAll(ctx, puts)
	}
	for i := range ledger {
		l := &ledger[i]
		planned := func(s actions.Step) bool { return s.ID == l.Step.ID }
		if looks := l.Step.Look != ""; l.State == approvals.StepPlanned && (l.Step.Removes && l.Step.Goal == "" || looks) && !slices.ContainsFunc(now, planned) {
			if l.State, l.Step.Skip = approvals.StepSkipped, "it was gone already"; looks {
				l.Step.Goal, l.Step.Skip = "", "it is no longer left alone"
			} else {
				w.flag("Since the plan: " + l.Step.Title + ": it is gone already.")
			}
			puts = append(puts, approvals.PutRow(approvals.StepKey(w.p.ID, l.N), l.Version, l))
			l.Version++
		}
	}
	return ledger, w.writeAll(ctx, puts)
}

// leaveRemovals leaves out the removals that have not begun, for a retry, once what contains is
// done: undo would restore what the plan found, which may not be what is there now.
func (w *worker) leaveRemovals(ctx context.Context, steps []step, why string) error {
	deny := func(s step) bool { return s.Step.Goal != "" && !s.Step.Removes && !s.Finished() }
	if slices.ContainsFunc(steps, deny) { // it may need the room
		return nil
	}
	var puts []approvals.Put
	for i := range steps {
		s := &steps[i]
		if s.State != approvals.StepPlanned || !s.Step.Removes {
			continue
		}
		s.left, s.Cause = true, why
		puts = append(puts, approvals.PutRow(approvals.StepKey(w.p.ID, s.N), s.Version, s))
		s.Version++
	}
	return w.writeAll(ctx, puts)
}

// writeAll writes any number of rows, as many at once as a store allows.
func (w *worker) writeAll(ctx context.Context, puts []approvals.Put) error {
	for chunk := range slices.Chunk(puts, approvals.MaxPuts) {
		if err := w.x.Store.Write(ctx, chunk...); err != nil {
			return storeError{err}
		}
	}
	return nil
}

// runSteps runs steps, in rounds: a step with a transient error is tried again in the
// next round, so that it does not delay the others. A step that fails for good is
// recorded and does not stop the others. It returns only errors of our store and of the
// context.
func (w *worker) runSteps(ctx context.Context, acct *actions.Account, steps []step) error {
	var many []*step
	for pause := time.Second; ; pause = min(2*pause, maxPause) {
		left := 0
		many = many[:0]
		for i := range steps {
			s := &steps[i]
			if s.Finished() || s.left || s.Step.Look != "" || s.State == approvals.StepFailed && s.givenUpIn > 0 && s.givenUpIn == w.run.Attempt {
				continue
			}
			if s.Step.Many {
				many = append(many, s)
				continue
			}
			again, err := w.runStep(ctx, acct, s)
			if err != nil {
				return err
			}
			if again && !s.releasing {
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
	if err := w.runManySteps(ctx, acct, many); err != nil {
		return err
	}
	if slices.ContainsFunc(steps, func(s step) bool { return s.releasing }) {
		return errReleasing
	}
	return nil
}

// nearDeadline reports whether the Lambda deadline is near.
func (x *Executor) nearDeadline(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && deadline.Sub(x.Now()) < stopBefore
}

// renewOrHandOver renews the lease, or near the deadline hands the run over to a new
// job.
func (w *worker) renewOrHandOver(ctx context.Context) error {
	if w.x.nearDeadline(ctx) {
		return w.handOver(ctx, 0)
	}
	return w.x.renew(ctx, w.run)
}

// handOver releases the lease and sends a new job for the rest. It returns
// errElsewhere.
func (w *worker) handOver(ctx context.Context, delay time.Duration) error {
	if w.watching && w.reader != nil {
		w.keepListing(ctx)
	}
	w.run.Rate = w.pace.rate
	w.run.Lease.Release(w.x.Now())
	if err := w.x.Store.Write(ctx, putRun(*w.run)); err != nil {
		return err
	}
	if w.watching {
		return errors.Join(errElsewhere, w.x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobLook, ID: w.p.ID}, delay))
	}
	return w.x.requeueRun(ctx, w.p, delay)
}

// readAllBack verifies all done steps. again: some don't hold and are to be run once
// more.
func (w *worker) readAllBack(ctx context.Context, acct *actions.Account, steps []step) (again bool, err error) {
	var many []*step
	until := w.x.Now().Add(readWithin) // for all of them: they are all written
	for i := range steps {
		if steps[i].Step.Many {
			many = append(many, &steps[i])
		} else if err := w.readBack(ctx, acct, &steps[i], until); err != nil {
			return false, err
		}
	}
	if err := w.readManyBack(ctx, acct, many); err != nil {
		return false, err
	}
	if w.secondPass {
		return false, nil
	}
	w.secondPass = true
	for i := range steps {
		if steps[i].State == approvals.StepDone {
			steps[i].State, again = approvals.StepFailed, true
			steps[i].givenUpIn = 0
		}
	}
	return again, nil
}

// count updates the progress of a run with independent steps.
func (w *worker) count(steps []step) {
	p := approvals.Progress{At: w.x.Now().UTC()}
	many := false
	for _, s := range steps {
		if s.Step.Look != "" {
			continue
		}
		many = many || s.Step.Many
		p.Total++
		switch {
		case s.State == approvals.StepSkipped:
			p.Skipped++
		case s.Finished():
			p.Done++
		case s.State == approvals.StepFailed && s.givenUpIn == w.run.Attempt:
			p.Failed++
		}
	}
	if many {
		w.run.Progress = p
	}
}

// notifyProgress asks the bot to redraw the card, every 5 s at most.
func (w *worker) notifyProgress(ctx context.Context) error {
	if now := w.x.Now(); now.Sub(w.notified) >= progressEvery && !w.watching {
		w.notified = now
		return w.x.Changes.Send(ctx, approvals.Change{ID: w.p.ID}, 0)
	}
	return nil
}
