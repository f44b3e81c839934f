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

// errElsewhere stops a worker: the run, or its target, is another's just now.
var errElsewhere = errors.New("another worker has it")

// take writes a run together with its target's lock, and with what else begins
// with it. Where another run has the
// target, or another worker was faster, it asks for a later try: errElsewhere.
func (x *Executor) take(ctx context.Context, id string, p approvals.Planned, run *approvals.Run, with []approvals.Put, ev ...audit.Event) error {
	var l lock
	version, err := x.runs().Find(ctx, run.Lock, &l)
	if err != nil {
		return err
	}
	if version > 0 && l.ID != id && x.Now().Before(l.Until) {
		x.Log.InfoContext(ctx, "target is locked", slog.String("request_id", id), slog.String("holder", l.ID))
		return x.later(ctx, p, lockedPause)
	}
	err = x.record(ctx, id, append(with, approvals.PutRow(approvals.RunKey(id), run.Version, run), approvals.PutRow(run.Lock, version, lock{ID: id, Until: run.Lease})), ev...)
	if errors.Is(err, approvals.ErrConflict) {
		return x.later(ctx, p, lockedPause)
	}
	run.Version++
	return err
}

// later puts the job back and stops this worker.
func (x *Executor) later(ctx context.Context, p approvals.Planned, delay time.Duration) error {
	if err := x.Jobs.Send(ctx, approvals.RunJob(p.ID, p.Intent), delay); err != nil {
		return err
	}
	return errElsewhere
}

func (x *Executor) gone(owner string) bool { return x.Gone != nil && x.Gone(owner) }

// takeOver continues a run whose worker is gone.
func (x *Executor) takeOver(ctx context.Context, run approvals.Run, p approvals.Planned) (approvals.Run, error) {
	now := x.Now().UTC()
	if now.Before(run.Lease) && !x.gone(run.Owner) {
		return run, x.later(ctx, p, run.Lease.Sub(now)+time.Second)
	}
	run.Owner, run.Lease = x.Owner(), now.Add(leaseFor)
	err := x.take(ctx, run.ID, p, &run, nil, audit.New("resumed", "", "attempt", strconv.Itoa(run.Attempt)))
	return run, err
}

// save writes the run and prolongs the lease of run and lock.
func (x *Executor) save(ctx context.Context, run *approvals.Run, ev ...audit.Event) error {
	run.Lease = x.Now().UTC().Add(leaseFor)
	var l lock
	version, err := x.runs().Find(ctx, run.Lock, &l)
	if err != nil {
		return err
	}
	if version > 0 && l.ID != run.ID && x.Now().Before(l.Until) {
		return fmt.Errorf("%w: the target's lock went to %s", approvals.ErrConflict, l.ID)
	}
	err = x.record(ctx, run.ID, []approvals.Put{approvals.PutRow(approvals.RunKey(run.ID), run.Version, run), approvals.PutRow(run.Lock, version, lock{ID: run.ID, Until: run.Lease})}, ev...)
	if err == nil {
		run.Version++
	}
	return err
}

// renew prolongs the lease when a good part of it is over.
func (x *Executor) renew(ctx context.Context, run *approvals.Run) error {
	if run.Lease.Sub(x.Now()) > leaseFor-5*time.Second {
		return nil
	}
	return x.save(ctx, run)
}

// end writes the run's last word and frees the target.
func (x *Executor) end(ctx context.Context, run *approvals.Run, ev ...audit.Event) error {
	run.Lease = x.Now().UTC()
	puts := []approvals.Put{approvals.PutRow(approvals.RunKey(run.ID), run.Version, run)}
	var l lock
	version, err := x.runs().Find(ctx, run.Lock, &l)
	if err != nil {
		return err
	}
	if version > 0 && l.ID == run.ID {
		puts = append(puts, approvals.Put{Row: approvals.Row{Key: run.Lock, Version: version}, Delete: true})
	}
	err = x.record(ctx, run.ID, puts, ev...)
	if err == nil {
		run.Version++
	}
	return err
}
