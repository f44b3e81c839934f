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
)

const (
	leaseFor     = 30 * time.Second       // a run belongs to one worker for so long
	stepWithin   = 20 * time.Second       // one step's AWS calls end before the lease does
	stopBefore   = 20 * time.Second       // no new step so close to the invocation's deadline
	patience     = 10 * time.Minute       // a throttled step is retried for so long
	laterWithin  = 90 * time.Second       // a step that waits for others, or for AWS to see something new
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
	a, err := x.prove(ctx, r)
	if errors.Is(err, ErrEvidence) {
		return Run{}, orSettled(x.refuse(ctx, r, nil, err.Error(), "nothing was changed; ask again with /killswitch"))
	}
	if err != nil {
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
	counted, err := x.release(ctx, x.Now().Add(planWithin), p, a)
	if no := (*refusal)(nil); errors.As(err, &no) {
		return Run{}, orSettled(x.refuse(ctx, r, no.whys, no.why, "nothing was changed; "+no.hint))
	}
	if err != nil {
		return Run{}, err
	}
	now := x.Now().UTC()
	run := Run{ID: r.ID, Owner: x.Owner(), Lease: now.Add(leaseFor), Since: now, Attempt: 1, Approvers: people(votes),
		Lock: lockRow(p.Account, p.Intent.Call.TargetName())}
	var ev []AuditEvent
	for _, v := range votes {
		ev = append(ev, event("approved", v.Person, "evidence", v.Evidence, "digest", p.Digest, "at", v.At.Format(time.RFC3339)))
	}
	if p.Release != ByPeople {
		ev = append(ev, event("released", p.Person, "by", string(p.Release), "finding", p.Finding, "alert", p.Alert, "event", p.Event, "evidence", p.Evidence, "digest", p.Digest))
	}
	ev = append(ev, event("claimed", "", "attempt", "1"))
	err = x.take(ctx, r.ID, p, &run, counted, ev...)
	return run, err
}

// orSettled is errSettled, unless something went wrong.
func orSettled(err error) error {
	if err != nil {
		return err
	}
	return errSettled
}

// take writes a run together with its target's lock, and with what else begins
// with it. Where another run has the
// target, or another worker was faster, it asks for a later try: errElsewhere.
func (x *Executor) take(ctx context.Context, id string, p Planned, run *Run, with []Put, ev ...AuditEvent) error {
	var l lock
	version, err := x.runs().find(ctx, run.Lock, &l)
	if err != nil {
		return err
	}
	if version > 0 && l.ID != id && x.Now().Before(l.Until) {
		x.Log.InfoContext(ctx, "target is locked", slog.String("request_id", id), slog.String("holder", l.ID))
		return x.later(ctx, p, lockedPause)
	}
	err = x.record(ctx, id, append(with, putRow(runKey(id), run.Version, run), putRow(run.Lock, version, lock{ID: id, Until: run.Lease})), ev...)
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
	err := x.take(ctx, run.ID, p, &run, nil, event("resumed", "", "attempt", strconv.Itoa(run.Attempt)))
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
		err = x.take(ctx, run.ID, p, &again, nil, event("retried", v.Person, "evidence", v.Evidence, "attempt", strconv.Itoa(again.Attempt)))
		return again, err
	}
	return run, errSettled
}

// mayRetry checks that what was approved is still what a retry would do, and
// still allowed.
func (x *Executor) mayRetry(ctx context.Context, r Request, p Planned) (why string, err error) {
	_, whys, text, err := x.decide(ctx, r, p)
	if err == nil && p.Release != ByPeople {
		// The source is not asked again: what was done already has changed what it says.
		a, perr := x.prove(ctx, r)
		switch {
		case errors.Is(perr, ErrEvidence):
			text = perr.Error()
		case perr == nil && a.release != p.Release:
			text = a.unreleased()
		}
		err = unless(perr, ErrEvidence)
	}
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
	if _, tells := x.reporter(p); tells && run.Started && run.Checks == 0 && run.Unread == 0 { // once is enough; the re-checks settle too
		if err := x.Jobs.Send(ctx, Job{JobReport, run.ID}, 0); err != nil {
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
