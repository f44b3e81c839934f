package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// errElsewhere stops a worker: another one has the run, or its target.
var errElsewhere = errors.New("another worker has it")

// writeClaim writes a run that this worker claims, its target's lock and other rows. If
// another run has the target, or another worker was faster, it sends the job again for
// later and returns errElsewhere.
func (x *Executor) writeClaim(ctx context.Context, id string, p approvals.Planned, run *approvals.Run, with []approvals.Put,
	ev ...audit.Event) error {
	err := x.writeRun(ctx, run, with, ev...)
	if errors.Is(err, approvals.ErrConflict) {
		x.Log.InfoContext(ctx, "run not taken", slog.String("request_id", id), slog.String("error", err.Error()))
		return x.requeueRun(ctx, p, lockedDelay)
	}
	return err
}

// writeRun writes a run, other rows and the target's lock, which ends with the run's
// lease. It returns ErrConflict if another run has the target.
func (x *Executor) writeRun(ctx context.Context, run *approvals.Run, with []approvals.Put, ev ...audit.Event) error {
	if run.Unlocked {
		err := x.record(ctx, run.ID, append(with, putRun(*run)), ev...)
		if err == nil {
			run.Version++
		}
		return err
	}
	var lock approvals.Lease
	version, err := x.runs().Find(ctx, run.Lock, &lock)
	if err != nil {
		return err
	}
	if !lock.Take(run.ID, x.Now(), leaseDuration) {
		return fmt.Errorf("%w: %s has the target", approvals.ErrConflict, lock.Owner)
	}
	lock.Until = run.Lease.Until
	err = x.record(ctx, run.ID, append(with, putRun(*run), approvals.PutRow(run.Lock, version, lock)), ev...)
	if err == nil {
		run.Version++
	}
	return err
}

// requeueRun sends the run's job again and returns errElsewhere.
func (x *Executor) requeueRun(ctx context.Context, p approvals.Planned, delay time.Duration) error {
	if err := x.Jobs.Send(ctx, approvals.RunJob(p.ID, p.Intent), delay); err != nil {
		return err
	}
	return errElsewhere
}

// newLease is the lease of a worker that begins now.
func (x *Executor) newLease() approvals.Lease {
	l := approvals.Lease{Owner: x.Owner()}
	l.Renew(x.Now(), leaseDuration)
	return l
}

// takeLease takes a lease for a new worker. It returns false if another worker has it
// and may be alive.
func (x *Executor) takeLease(l *approvals.Lease) bool {
	if l.Held(x.Now()) && (x.Gone == nil || !x.Gone(l.Owner)) {
		return false
	}
	*l = x.newLease()
	return true
}

// takeOver continues a run whose worker died.
func (x *Executor) takeOver(ctx context.Context, run approvals.Run, p approvals.Planned) (approvals.Run, error) {
	if !x.takeLease(&run.Lease) {
		return run, x.requeueRun(ctx, p, run.Lease.Until.Sub(x.Now())+time.Second)
	}
	err := x.writeClaim(ctx, run.ID, p, &run, nil, audit.New("resumed", "", "attempt", strconv.Itoa(run.Attempt)))
	return run, err
}

// save writes the run and renews the lease and the target's lock.
func (x *Executor) save(ctx context.Context, run *approvals.Run, ev ...audit.Event) error {
	run.Lease.Renew(x.Now(), leaseDuration)
	return x.writeRun(ctx, run, nil, ev...)
}

// renew saves the run if its lease is older than 5 s.
func (x *Executor) renew(ctx context.Context, run *approvals.Run) error {
	if run.Lease.Until.Sub(x.Now()) > leaseDuration-5*time.Second {
		return nil
	}
	return x.save(ctx, run)
}

// endRun writes a run that has ended, so that people are shown it anew, and removes the
// target's lock.
func (x *Executor) endRun(ctx context.Context, run *approvals.Run, ev ...audit.Event) error {
	run.Revision++
	return x.releaseRun(ctx, run, ev...)
}

// releaseRun writes a run that has ended and removes the target's lock, if it took it.
func (x *Executor) releaseRun(ctx context.Context, run *approvals.Run, ev ...audit.Event) error {
	run.Lease.Release(x.Now())
	noteMissed(run, x.Now())
	puts := []approvals.Put{putRun(*run)}
	if !run.Unlocked {
		var lock approvals.Lease
		version, err := x.runs().Find(ctx, run.Lock, &lock)
		if err != nil {
			return err
		}
		if version > 0 && lock.Owner == run.ID {
			puts = append(puts, approvals.Put{Row: approvals.Row{Key: run.Lock, Version: version}, Delete: true})
		}
	}
	err := x.record(ctx, run.ID, puts, ev...)
	if err == nil {
		run.Version++
	}
	return err
}

// noteMissed notes since when a run's outcome is one without its goals.
func noteMissed(run *approvals.Run, now time.Time) {
	if !run.Outcome.Missed() {
		run.Missed = time.Time{}
	} else if run.Missed.IsZero() {
		run.Missed = now.UTC()
	}
}
