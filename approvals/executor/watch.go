package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// soon are the first looks after a containment was applied, or applied again. Later ones
// follow every lookEvery for a day, of many steps for an hour, and then every hour.
var soon = []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute}

const (
	lookEvery     = 15 * time.Minute
	longestDelay  = 15 * time.Minute // of a job; the sweep sends later ones
	early         = 2 * time.Second  // clocks differ: a job may be early by so much
	unreadPause   = 15 * time.Second // after the first look that can't read; later ones double it
	unreadAfter   = time.Minute      // it can't be read for so long before it is told
	linkEvery     = time.Minute      // between two links of the audit chain
	linkDaily     = 24 * time.Hour   // between two links that say the same
	watchPatience = time.Minute      // with AWS, in one look; the next one tries again
	checkedAfter  = 3                // good looks after which it is told that it holds
	// undoneBySomebody begins the cause of a removed step.
	undoneBySomebody = "undone by somebody: "
	notAgain         = undoneBySomebody + "not applied again: "
)

// nextLook returns the time of the next look.
func nextLook(applied, now time.Time, many bool) time.Time {
	age := now.Sub(applied)
	for _, d := range soon {
		if age < d {
			return applied.Add(d)
		}
	}
	if age >= 24*time.Hour || many && age >= time.Hour {
		return now.Add(time.Hour)
	}
	return now.Add(lookEvery)
}

// watches reports whether a run that ended so is watched. An undo never is.
func watches(run approvals.Run, p approvals.Planned) bool {
	return p.Intent.Undo == "" && (run.Outcome == approvals.Contained || run.Outcome == approvals.Partial)
}

// beginWatch sets the next look at what an attempt or an undo left. A stored end of the watch
// is never shortened.
func (x *Executor) beginWatch(run *approvals.Run, p approvals.Planned) {
	now := x.Now().UTC()
	run.NextCheck = time.Time{}
	if !watches(*run, p) {
		return
	}
	if run.WatchUntil.IsZero() {
		run.WatchUntil = now.Add(x.Policy.Watch)
	}
	if now.Before(run.WatchUntil) {
		run.AppliedAt, run.NextCheck = now, now.Add(soon[0])
	}
}

// look verifies a containment some time after its run, and applies again what somebody
// removed. It does nothing before that is due; an event makes it due.
func (x *Executor) look(ctx context.Context, r approvals.Request, event bool) error {
	run, err := x.runs().Run(ctx, r.ID)
	if errors.Is(err, approvals.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := x.runs().Planned(ctx, r.ID)
	if errors.Is(err, approvals.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	now := x.Now().UTC()
	switch {
	case !watches(run, p):
		return nil
	case run.Lease.Held(now) && event:
		return x.sendEvent(ctx, r.ID)
	case run.Lease.Held(now): // the sweep sends another one
		return nil
	}
	if err := x.extendWatch(ctx, r, &run, p); err != nil {
		return err
	}
	if r.RunRevision != run.Revision { // just extended, or a worker died before it told
		if err := x.tell(ctx, run); err != nil {
			return err
		}
	}
	if event {
		if later, err := x.bringForward(ctx, &run); later || err != nil {
			return err
		}
	}
	if run.NextCheck.IsZero() || run.NextCheck.Sub(now) > early {
		return nil
	}
	action, ok := x.Actions(p.Intent.Call.Action)
	if !ok {
		return fmt.Errorf("no action %s", p.Intent.Call.Action)
	}
	hourly := !event && run.NextCheck.Sub(run.LookedAt) >= time.Hour // not for an event, nor soon after something was applied
	run.Lease, run.LookedAt = x.newLease(), now
	run.Unlocked = run.UndoneBy == "" // who only reads leaves the target to others, but its undo writes
	if err = x.save(ctx, &run); err == nil {
		w := x.worker(&run, p, action)
		w.watching, w.hourly, w.since = true, hourly, now // earlier changes don't count as applied again
		err = w.look(ctx)
	}
	if errors.Is(err, approvals.ErrConflict) && event {
		return x.sendEvent(ctx, r.ID)
	}
	return ignore(err, approvals.ErrConflict) // somebody else has the run or the target: the sweep sends another look
}

// extendWatch prolongs the watch if a responder's click, proved, asks for it.
func (x *Executor) extendWatch(ctx context.Context, r approvals.Request, run *approvals.Run, p approvals.Planned) error {
	if r.Watch == nil || !r.Watch.At.Add(x.Policy.Watch).After(run.WatchUntil) {
		return nil
	}
	v, err := x.proveVote(ctx, r.Watch.Evidence, "watch", p)
	if no, ok := errors.AsType[*actions.Refusal](err); ok {
		x.Log.WarnContext(ctx, "extension of the watch not proved", slog.String("request_id", r.ID), slog.String("error", no.Reason))
		return nil
	}
	if err != nil {
		return err
	}
	t := x.provedRequest(p)
	t.State = run.Outcome
	until := v.At.Add(x.Policy.Watch)
	if !x.Policy.Decide(t, approvals.Watch, v, x.Now()).Accept || !until.After(run.WatchUntil) {
		return nil
	}
	run.WatchUntil = until
	if run.NextCheck.IsZero() {
		run.NextCheck = x.Now().UTC()
	}
	return x.endRun(ctx, run, audit.New("watch_extended", v.Person, "evidence", v.Evidence, "until", until.Format(time.RFC3339)))
}

// look verifies each step once, applies again what was removed, and sets the time of the next
// look.
func (w *worker) look(ctx context.Context) error {
	x, run := w.x, w.run
	before, progress := shownOf(*run), run.Progress
	if w.refused = x.refuseTarget(w.p); run.UndoneBy != "" {
		w.refused = &actions.Refusal{Reason: "its undo " + run.UndoneBy + " is under way"}
	}
	steps, removed, err := w.lookAtSteps(ctx)
	if mustStop(err) || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if len(removed) > 0 {
		if err := w.noteRemoved(ctx, steps, removed); err != nil {
			return err
		}
		if err := w.applyAgain(ctx, steps, removed); mustStop(err) || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	w.settleTampering(steps)
	links, nerr := w.nameRemovers(ctx, steps)
	if nerr != nil {
		return nerr
	}
	result := w.conclude(steps, removed, err)
	w.setNextLook(steps, err)
	run.InForce = inForce(w.p, steps)
	run.Progress = progress
	if now := x.Now().UTC(); now.Sub(run.Linked) >= linkEvery && (result != run.LinkedAs || now.Sub(run.Linked) >= linkDaily) {
		run.Linked, run.LinkedAs = now, result
		links = append(links, audit.New("rechecked", "", "check", strconv.Itoa(run.Checks), "result", result, "outcome", string(run.Outcome)))
	}
	if shownOf(*run) != before {
		if err := x.endRun(ctx, run, links...); err != nil {
			return err
		}
		if run.Tampered >= approvals.PagedTampering {
			if err := x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobNotify, ID: run.ID}, 0); err != nil {
				return err
			}
		}
		return x.settle(ctx, *run, w.p)
	}
	if err := x.releaseRun(ctx, run, links...); err != nil {
		return err
	}
	return errors.Join(x.keepHead(ctx, run.ID), x.sendLook(ctx, *run))
}

// lookAtSteps reads the target. What does not hold counts only if it is read again by the run
// that has the target, and not from another request's listing.
func (w *worker) lookAtSteps(ctx context.Context) (steps []step, removed []removal, err error) {
	for {
		var acct *actions.Account
		removed = nil
		acct, steps, err = w.prepareLook(ctx)
		if err == nil {
			removed, err = w.readSteps(ctx, acct, steps)
		}
		if err != nil && w.reader != nil && !actions.Transient(err) && !errors.Is(err, errUnread) {
			w.reader.Leave()
		}
		switch {
		case mustStop(err) || ctx.Err() != nil || len(removed) == 0:
			return steps, removed, err
		case w.othersListing():
			w.listing = listing{By: w.p.ID, Began: w.x.Now().UTC(), version: w.listing.version}
			w.reader.ResetRoleList()
		case w.run.Unlocked:
			w.run.Unlocked = false
			if err := w.x.save(ctx, w.run); err != nil {
				w.run.Unlocked = true
				return nil, nil, storeError{errors.Join(err, w.x.releaseRun(ctx, w.run))}
			}
		default:
			return steps, removed, err
		}
		w.reader.AskAgain()
	}
}

// prepareLook reads the ledger and enters the account. What contains is looked at whatever
// else can't be read. Steps that an undo took back are marked.
func (w *worker) prepareLook(ctx context.Context) (*actions.Account, []step, error) {
	x := w.x
	steps, err := x.steps(ctx, w.p.ID)
	if err != nil {
		return nil, nil, storeError{err}
	}
	holds, err := w.noteHolders(ctx, steps)
	if err != nil {
		return nil, steps, err
	}
	for i, h := range holds {
		undo := w.run.UndoneBy
		steps[i].lifted = steps[i].Step.Look == "" && !slices.Contains(h.Holders, w.p.ID) || undo != "" && (h.Releasing == undo || h.Writer.Owner == undo)
	}
	var acct *actions.Account
	err = x.retryPages(ctx, x.Now(), w.page(ctx), func() (err error) {
		acct, steps, _, err = w.prepare(ctx, steps, actions.LookSteps)
		return err
	})
	w.keepListing(ctx)
	if err != nil && !mustStop(err) && ctx.Err() == nil {
		acct, steps, _, err = w.prepare(ctx, steps, actions.LookFirst)
	}
	if err != nil && !mustStop(err) && ctx.Err() == nil && !actions.Transient(err) && w.reader != nil {
		acct, err = w.reader, nil // the ledger says where to look
	}
	if err == nil {
		_, err = w.noteHolders(ctx, steps[len(holds):])
	}
	return acct, steps, err
}

// mustStop reports whether an error is about our own rows, not about the target.
func mustStop(err error) bool {
	var ours storeError
	return errors.As(err, &ours) || errors.Is(err, errElsewhere) || errors.Is(err, approvals.ErrConflict)
}

// removal is a step that does not hold.
type removal struct {
	i     int    // its index
	found string // what was found
	fresh bool   // it held at the last look, or was applied since
	left  string // why it is not applied again; empty: it is
}

// errUnread is returned if AWS had transient errors for some steps.
var errUnread = errors.New("AWS could not tell of all of it just now")

// readSteps verifies each step that held once, or that may bring a goal. One that can't be
// read does not hide another. It returns those that were removed.
func (w *worker) readSteps(ctx context.Context, acct *actions.Account, steps []step) (removed []removal, err error) {
	var many []*step
	for i := range steps {
		if s := &steps[i]; s.Step.Many && s.watched() {
			many = append(many, s)
		}
	}
	held, unread := map[int]bool{}, false
	if len(many) > 0 {
		var found []actions.Reading
		if found, unread, err = w.many(acct.WithoutRetries(), nil).readBatch(ctx, many); err != nil {
			return nil, err
		}
		for i, s := range many {
			held[s.N] = found[i].Holds
		}
		if unread {
			err = errUnread
		}
	}
	var back []*step
	for i := range steps {
		s := &steps[i]
		if s.added {
			removed = append(removed, removal{i: i, found: s.Step.Current, fresh: true, left: w.whyLeft(*s)})
		}
		if !s.watched() || s.Step.Many && unread {
			continue
		}
		if rerr := w.renewOrHandOver(ctx); rerr != nil {
			return nil, storeError{rerr}
		}
		holds, text := held[s.N], ""
		var serr error
		if !holds {
			var read actions.Reading
			read, serr = w.readStep(ctx, acct, s)
			holds, text = read.Holds, read.Found
		}
		recreated := errors.Is(serr, actions.ErrRecreated)
		switch {
		case mustStop(serr) || ctx.Err() != nil:
			return nil, errors.Join(serr, ctx.Err())
		case s.Step.Look != "" && (holds || serr != nil):
			if serr := w.saveLook(ctx, s, actions.Reading{Holds: holds}, serr); serr != nil {
				return nil, serr
			}
		case holds && s.State != approvals.StepVerified:
			back = append(back, s)
		case holds:
		case recreated:
			if s.State == approvals.StepVerified || s.State == approvals.StepFailed && s.Step.Goal != "" { // it may have been made again in the run
				removed = append(removed, removal{i: i, found: "that " + serr.Error(), fresh: true, left: "the new one is not what was approved: ask for it, if it has to be contained too"})
			}
		case serr != nil:
			if err == nil {
				err = serr
			}
		case s.State == approvals.StepFailed: // it never held: a retry may apply it
		default:
			r := removal{i: i, found: text, fresh: s.State == approvals.StepVerified || s.State == approvals.StepDone, left: w.whyLeft(*s)}
			if r.fresh || r.left == "" {
				removed = append(removed, r)
			}
		}
	}
	for _, s := range back {
		s.State, s.Cause, s.Hint = approvals.StepVerified, "", ""
	}
	if serr := w.saveVerified(ctx, back); serr != nil {
		return nil, serr
	}
	return removed, err
}

// watched reports whether the watch reads a step: it holds, held, or may hold.
func (s step) watched() bool {
	switch s.State {
	case approvals.StepVerified, approvals.StepRemoved, approvals.StepDone, approvals.StepDoing:
		return !s.lifted
	case approvals.StepFailed:
		return !s.lifted && s.Step.Goal != ""
	case approvals.StepPlanned, approvals.StepSkipped, approvals.StepKept, approvals.StepDrifted:
	}
	return false
}

// whyLeft says why the watch does not apply a step again; empty if it does.
func (w *worker) whyLeft(s step) string {
	switch {
	case s.Step.Look != "":
		return s.Step.Look
	case s.Step.Goal == "":
		return "it only supports the containment"
	case !renewable(s.Step):
		return "it can't be undone, so that people decide: ask again"
	case w.refused != nil:
		return w.refused.Cause()
	case s.skip != "":
		return s.skip
	}
	return ""
}

// renewable reports whether the watch may apply a step: it brings a goal, and undo takes it
// back. What deletes, and what stays after an undo, is for people.
func renewable(s actions.Step) bool {
	return s.Goal != "" && s.Look == "" && !s.Removes && (s.NotReverted == "" || s.Credential)
}

// noteRemoved records what was removed before anything is applied again.
func (w *worker) noteRemoved(ctx context.Context, steps []step, removed []removal) error {
	run, now := w.run, w.x.Now().UTC()
	var puts []approvals.Put
	var fresh []removal
	for _, r := range removed {
		s := &steps[r.i]
		if !r.fresh {
			continue
		}
		fresh = append(fresh, r)
		undone := s.Step.Title
		if s.Step.Look != "" {
			undone = s.Step.After
		}
		run.NoteTampering(approvals.Tampered{At: now, StepN: s.N, Step: undone, Found: actions.Clip(r.found), Cause: r.left, Since: w.lastSeen(*s)})
		if s.added { // its row is written with its hold
			continue
		}
		s.State, s.Cause, s.Hint = approvals.StepRemoved, undoneBySomebody+"found "+actions.Clip(r.found), cmp.Or(s.Step.Look, worksAgainst)
		puts = append(puts, approvals.PutRow(approvals.StepKey(w.p.ID, s.N), s.Version, s))
		s.Version++
	}
	if len(fresh) == 0 {
		return nil
	}
	var links []audit.Event
	if now.Sub(run.Linked) >= linkEvery {
		run.Linked, run.LinkedAs = now, "removed"
		links = append(links, audit.New("tampered", "", "step", steps[fresh[0].i].Step.ID, "found", fresh[0].found, "steps", strconv.Itoa(len(fresh)),
			"times", strconv.Itoa(run.Tampered)))
	}
	if err := w.x.save(ctx, run, links...); err != nil {
		return storeError{err}
	}
	return w.writeAll(ctx, puts)
}

// lastSeen returns when a step was last seen to hold; for one that never was, when the run began.
func (w *worker) lastSeen(s step) time.Time {
	switch {
	case !w.run.Seen.IsZero():
		return w.run.Seen
	case s.State == approvals.StepVerified:
		return s.At
	}
	return w.run.Since
}

const worksAgainst = "somebody with rights in this account works against the containment: contain that principal too"

// applyAgain applies removed steps again, and reads them back. If the account can't be entered
// for that, the steps' causes say so.
func (w *worker) applyAgain(ctx context.Context, steps []step, removed []removal) error {
	var again []step
	for _, r := range removed {
		if r.left == "" {
			s := steps[r.i]
			s.givenUpIn = 0
			again = append(again, s)
		}
	}
	if len(again) == 0 {
		return nil
	}
	acct, err := w.enter(ctx, actions.Responder, actions.PhaseRun, resources(steps))
	if err != nil {
		why, _ := actions.Explain(err)
		for _, s := range again {
			steps[s.N-1].Cause = notAgain + why
		}
		return nil
	}
	acct.ShareRoleList(w.reader)
	w.secondPass = true // the next look comes soon
	err = w.runSteps(ctx, acct, again)
	if errors.Is(err, errReleasing) {
		err = nil
	}
	if err == nil {
		_, err = w.readAllBack(ctx, acct, again)
	}
	for _, s := range again {
		steps[s.N-1] = s
	}
	return err
}

// settleTampering notes what became of what was removed, once it is known.
func (w *worker) settleTampering(steps []step) {
	for i := range w.run.Tampering {
		t := &w.run.Tampering[i]
		if t.Known() || t.StepN > len(steps) {
			continue
		}
		switch s := steps[t.StepN-1]; s.State {
		case approvals.StepVerified, approvals.StepDone: // it may be gone already: the next look tells that
			t.Reapplied = true
			w.run.AppliedAt = w.x.Now().UTC()
		case approvals.StepRemoved:
			if why, tried := strings.CutPrefix(s.Cause, notAgain); tried {
				t.Cause = why
			}
		case approvals.StepPlanned, approvals.StepDoing, approvals.StepFailed, approvals.StepKept, approvals.StepDrifted, approvals.StepSkipped:
		}
	}
}

// conclude sets the outcome by what was read, and returns the result in words. What can't be
// read changes no outcome.
func (w *worker) conclude(steps []step, removed []removal, unread error) string {
	run, now := w.run, w.x.Now().UTC()
	view, undone := slices.Clone(steps), false
	for i := range view {
		if begun := view[i].State != approvals.StepSkipped && view[i].State != approvals.StepPlanned; begun && view[i].lifted {
			view[i].State, undone = approvals.StepPlanned, true
		}
	}
	t := w.sum(view)
	fresh := slices.ContainsFunc(removed, func(r removal) bool { return r.fresh })
	result := "holds"
	if fresh {
		result = "undone by somebody, applied again"
	}
	switch {
	case run.UndoneBy != "": // the end of the undo sets the outcome
		result = "its undo is under way"
	case !t.achieved && (unread == nil || run.Outcome == approvals.Contained && fresh):
		result = "does not hold"
		if run.Outcome == approvals.Contained && now.Sub(run.LostTold) >= time.Hour {
			run.LostTold = now
		}
		if run.Outcome == approvals.Contained || fresh && t.why != "" {
			run.Cause, run.Hint = t.why, t.hint
		}
		run.Outcome = approvals.Partial
	case unread == nil:
		if run.Outcome == approvals.Partial && undone { // what an undo took back in part, people bring to its end
			break
		}
		if run.Outcome == approvals.Partial {
			run.Outcome, run.Verified = approvals.Contained, now
		}
		run.Cause, run.Hint = t.why, t.hint
	}
	if unread == nil {
		if t.achieved {
			run.Checks++
		}
		run.UnreadSince, run.Unread, run.Seen = time.Time{}, "", w.readSince()
		return result
	}
	if run.UnreadSince.IsZero() {
		run.UnreadSince = now
	}
	why, _ := actions.Explain(unread)
	if now.Sub(run.UnreadSince) >= unreadAfter && run.Unread == "" {
		run.Unread = why
	}
	return "could not be read: " + why
}

// setNextLook sets the time of the next look, if the watch is not over.
func (w *worker) setNextLook(steps []step, unread error) {
	run, now := w.run, w.x.Now().UTC()
	switch {
	case !now.Before(run.WatchUntil):
		run.NextCheck = time.Time{}
		return
	case unread != nil:
		run.NextCheck = now.Add(min(max(now.Sub(run.UnreadSince), unreadPause), lookEvery))
	default:
		many := slices.ContainsFunc(steps, func(s step) bool { return s.Step.Many })
		run.NextCheck = nextLook(run.AppliedAt, now, many)
	}
	if ask := now.Add(nameEvery); run.NextCheck.After(ask) && slices.ContainsFunc(run.Tampering, unnamed) {
		run.NextCheck = ask
	}
	if run.NextCheck.After(run.WatchUntil) {
		run.NextCheck = run.WatchUntil
	}
}

// shown is what people are shown of a watched run.
type shown struct {
	outcome             approvals.State
	cause, hint, unread string
	flags, told, named  int
	checked, over       bool
	until               time.Time
}

func shownOf(run approvals.Run) shown {
	s := shown{outcome: run.Outcome, cause: run.Cause, hint: run.Hint, unread: run.Unread, flags: len(run.Flags),
		checked: run.Checks >= checkedAfter, over: run.NextCheck.IsZero(), until: run.WatchUntil}
	for _, t := range run.Told() {
		s.told = t.N
		if t.By != nil {
			s.named++
		}
	}
	return s
}

// sendLook sends the job for the next look at a run, if it is near; the sweep sends others.
func (x *Executor) sendLook(ctx context.Context, run approvals.Run) error {
	delay := run.NextCheck.Sub(x.Now())
	if run.NextCheck.IsZero() || delay > longestDelay {
		return nil
	}
	return x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobLook, ID: run.ID}, max(delay, 0))
}

// mergeLook compares the ledger with what would be planned now. What is in the ledger is
// looked at as it is. New steps that bring a goal are added: the target got another way to do
// what was contained.
func (w *worker) mergeLook(ledger []step, now actions.Plan) []step {
	ours := now.Identity.ID == w.p.Plan.Identity.ID
	at := make(map[string]int, len(ledger))
	for i, l := range ledger {
		at[l.Step.ID] = i
		ours = ours || l.Step.ResourceID == now.Identity.ID && !l.added
	}
	for _, s := range now.Steps {
		i, known := at[s.ID]
		switch {
		case known:
			ledger[i].skip = s.Skip
		case !ours || w.refused != nil || s.Skip != "" || !renewable(s):
		case s.Many: // newer than the containment, so nothing to contain
		default:
			w.flag("Since the plan: " + s.Title + " (" + s.Current + ").")
			ledger = append(ledger, step{row: row{N: len(ledger) + 1, Step: s, State: approvals.StepPlanned}, added: true})
		}
	}
	return ledger
}
