package executor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

const (
	batchSize      = 24                     // steps in one write of the ledger: three rows each
	batchRunners   = 4                      // goroutines, each with a batch
	triesPerTurn   = 5                      // of a step, before it goes to the end of the queue
	transientPause = 500 * time.Millisecond // after a transient error other than throttling
	readManyEvery  = 2 * time.Second        // between two listings of the targets
)

// many runs independent steps in parallel, at the rate that AWS allows. Ledger and
// audit chain are written a batch at a time, by one goroutine at a time.
type many struct {
	*worker
	acct *actions.Account
	pace *pacer

	mu           sync.Mutex // protects ledger, run and the fields below
	queue        []*step
	err          error // stops all goroutines
	notified     time.Time
	notifiedDone int // Progress.Done at that time
}

func (w *worker) many(acct *actions.Account, steps []*step) *many {
	return &many{worker: w, acct: acct, pace: &pacer{now: w.x.Now, sleep: w.x.Sleep}, queue: steps, notified: w.x.Now(),
		notifiedDone: w.run.Progress.Done}
}

// runManySteps runs independent steps until each is done or given up.
func (w *worker) runManySteps(ctx context.Context, acct *actions.Account, steps []*step) error {
	if len(steps) == 0 {
		return nil
	}
	w.relist = true
	m := w.many(acct.WithoutRetries(), steps)
	m.pace = w.pace
	var wg sync.WaitGroup
	for range batchRunners {
		wg.Go(func() {
			for {
				batch := m.next(ctx)
				if len(batch) == 0 {
					return
				}
				m.requeue(m.batch(ctx, batch))
			}
		})
	}
	wg.Wait()
	if m.err != nil {
		return m.err
	}
	if len(m.queue) > 0 { // near the deadline
		return w.renewOrHandOver(ctx)
	}
	return nil
}

// next takes a batch from the queue. It returns nil if there is nothing left to do, or
// no time.
func (m *many) next(ctx context.Context) []*stepAttempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil || m.x.nearDeadline(ctx) {
		return nil
	}
	n := min(m.pace.batch(batchSize), len(m.queue)) // few at a low rate: a batch ends before the deadline
	var batch []*stepAttempt
	for _, s := range m.queue[:n] {
		batch = append(batch, &stepAttempt{s: s})
	}
	m.queue = m.queue[n:]
	return batch
}

// requeue appends steps that need another try to the queue.
func (m *many) requeue(again []*step, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(m.queue, again...)
	if m.err == nil {
		m.err = err
	}
}

// batch runs steps in parallel and returns those that need another try.
func (m *many) batch(ctx context.Context, batch []*stepAttempt) (again []*step, err error) {
	if err := m.locked(func() error { return m.beginSteps(ctx, batch...) }); err != nil {
		return nil, err
	}
	err = actions.Parallel(len(batch), maxParallel, func(i int) error {
		t := batch[i]
		return m.paced(ctx, func() error {
			m.applyOrRevert(ctx, m.acct, t)
			return t.err
		})
	})
	if err != nil {
		return nil, err
	}
	if err := m.locked(func() error { return m.recordSteps(ctx, batch...) }); err != nil {
		return nil, err
	}
	for _, t := range batch {
		if t.again && !t.s.releasing {
			again = append(again, t.s)
		}
	}
	return again, nil
}

func (m *many) locked(do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return do()
}

// paced calls AWS at the allowed rate, and again after transient errors. It returns
// only errors of our store and of the context.
func (m *many) paced(ctx context.Context, call func() error) error {
	for range triesPerTurn {
		sent, err := m.pace.wait(ctx)
		if err != nil {
			return err
		}
		err = call()
		throttled := actions.Throttled(err)
		switch {
		case throttled:
			m.pace.throttled(sent)
		case actions.Transient(err):
			if err := m.x.Sleep(ctx, transientPause); err != nil {
				return err
			}
		default:
			m.pace.succeeded()
		}
		if err := m.heartbeat(ctx); err != nil {
			return err
		}
		if !actions.Transient(err) || m.x.nearDeadline(ctx) {
			return ctx.Err()
		}
	}
	return nil
}

// heartbeat, every 5 s at most, renews the lease, stores the progress and asks the bot
// to redraw the card.
func (m *many) heartbeat(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.x.Now()
	since := now.Sub(m.notified)
	if since < progressEvery {
		return nil
	}
	done := m.run.Progress.Done
	m.run.Progress.Rate, m.run.Progress.At = float64(done-m.notifiedDone)/since.Seconds(), now.UTC()
	m.notified, m.notifiedDone = now, done
	if err := m.x.save(ctx, m.run); err != nil {
		return storeError{err}
	}
	return m.x.Changes.Send(ctx, approvals.Change{ID: m.run.ID}, 0)
}

// readManyBack reads independent steps back, many with one call, until they hold or
// readWithin is over.
func (w *worker) readManyBack(ctx context.Context, acct *actions.Account, steps []*step) error {
	steps = slices.DeleteFunc(steps, func(s *step) bool { return s.State != approvals.StepDone })
	if len(steps) == 0 {
		return nil
	}
	m := w.many(acct.WithoutRetries(), nil)
	for until := w.x.Now().Add(readWithin); ; {
		if err := w.renewOrHandOver(ctx); err != nil {
			return err
		}
		if w.relist {
			m.acct.ResetRoleList()
		}
		w.relist = true
		found, unread, err := m.readBatch(ctx, steps)
		if err != nil {
			return err
		}
		var held, rest []*step
		for i, s := range steps {
			if found[i].Holds {
				w.succeeded()
				s.State = approvals.StepVerified
				held = append(held, s)
			} else {
				s.Cause, s.Hint = "could not be read back: "+found[i].Found, "look at it by hand, or retry"
				rest = append(rest, s)
			}
		}
		if err := w.saveVerified(ctx, held); err != nil {
			return err
		}
		if steps = rest; len(rest) == 0 {
			return nil
		}
		now := w.x.Now()
		if !now.Before(until) && (!unread || !now.Before(w.patience())) {
			break
		}
		if err := w.x.Sleep(ctx, readManyEvery); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(steps, batchSize) {
		var batch []*stepAttempt
		for _, s := range chunk {
			batch = append(batch, &stepAttempt{s: s})
		}
		if err := w.recordSteps(ctx, batch...); err != nil {
			return err
		}
	}
	return nil
}

// readListing reads the next page of the listing that independent steps are verified in,
// if there are such steps. It returns transient errors only, *actions.MorePages above all.
func readListing(ctx context.Context, acct *actions.Account, action actions.Action, steps []step) error {
	i := slices.IndexFunc(steps, func(s step) bool { return s.Step.Many })
	if i < 0 {
		return nil
	}
	if _, err := action.Verify(ctx, acct, steps[i].Step, actions.Effect{}); actions.Transient(err) {
		return err
	}
	return nil
}

// readBatch reads steps back. unread: AWS had transient errors for some of them.
func (m *many) readBatch(ctx context.Context, steps []*step) (found []actions.Reading, unread bool, err error) {
	found = make([]actions.Reading, len(steps))
	probe := []step{*steps[0]}
	err = m.x.retryPages(ctx, m.x.Now(), m.page(ctx), func() error { return readListing(ctx, m.acct, m.action, probe) })
	if actions.Transient(err) {
		why, _ := actions.Explain(err)
		for i := range found {
			found[i].Found = why
		}
		return found, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	var later atomic.Bool
	err = actions.Parallel(len(steps), maxParallel, func(i int) error {
		var ours storeError
		var read error
		err := m.paced(ctx, func() error {
			found[i], read = m.readStep(ctx, m.acct, steps[i])
			return read
		})
		switch {
		case err != nil:
			return err
		case errors.As(read, &ours):
			return read
		case read != nil:
			found[i].Found, _ = actions.Explain(read)
			if actions.Transient(read) {
				later.Store(true)
			}
		}
		return nil
	})
	return found, later.Load(), err
}

// saveVerified writes verified steps. For an undo it removes their holds.
func (w *worker) saveVerified(ctx context.Context, steps []*step) error {
	for chunk := range slices.Chunk(steps, batchSize) {
		var puts []approvals.Put
		var events []audit.Event
		versions := make([]int64, len(chunk))
		if w.p.Intent.Undo != "" {
			err := actions.Parallel(len(chunk), maxParallel, func(i int) (err error) {
				var h hold
				versions[i], err = w.x.runs().Find(ctx, holdRow(chunk[i].Step.Hold), &h)
				if len(remove(h.Holders, w.p.Intent.Undo)) > 0 { // of a shared content
					versions[i] = 0
				}
				return err
			})
			if err != nil {
				return storeError{err}
			}
		}
		for i, s := range chunk {
			if versions[i] > 0 {
				puts = append(puts, approvals.Put{Row: approvals.Row{Key: holdRow(s.Step.Hold), Version: versions[i]}, Delete: true})
			}
			puts = append(puts, w.result(ctx, s, nil))
			events = append(events, stepEvent(s))
		}
		if err := w.record(ctx, puts, events...); err != nil {
			return storeError{err}
		}
		for _, s := range chunk {
			s.Version++
		}
		if err := w.x.renew(ctx, w.run); err != nil {
			return storeError{err}
		}
	}
	return nil
}
