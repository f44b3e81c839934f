package company

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// The schedules of serve.
const (
	sweepEvery  = 10 * time.Second
	expireEvery = time.Hour
)

// worker is a repeated task of Killswitch.
type worker struct {
	parallel int // the most jobs at a time
	// runOnce does it once if it is due, and reports whether it was.
	runOnce func(context.Context) (did bool, err error)
	// due returns when there is something to do; false if there is nothing.
	due func() (time.Time, bool)
}

// pump returns a worker that handles the messages of a queue.
func pump(p *local.Pump) *worker {
	return &worker{parallel: p.Workers, due: p.Queue.Due, runOnce: func(ctx context.Context) (bool, error) {
		did, err := p.Once(ctx)
		if err != nil {
			err = fmt.Errorf("queue %s: %w", p.Name, err)
		}
		return did, err
	}}
}

// sweep returns a worker that calls do with a pause between calls.
func (c *Company) sweep(pause time.Duration, do func(context.Context) error) *worker {
	var at time.Time
	return &worker{parallel: 1, due: func() (time.Time, bool) { return at, true }, runOnce: func(ctx context.Context) (bool, error) {
		if c.Now().Before(at) {
			return false, nil
		}
		err := do(ctx)
		at = c.Now().Add(pause)
		return true, err
	}}
}

// running is a job of a worker.
type running struct {
	job    *job
	worker *worker
	did    bool
	err    error
}

// Settle lets Killswitch work until nothing is due; it does not wait for sleeping jobs.
// An error names failed work, which is retried.
func (c *Company) Settle(ctx context.Context) error {
	var errs []error
	for _, w := range c.sleeping {
		if w.job.isDone() { // its goroutines ended one by one
			_, err := c.waitIdle(w)
			errs = append(errs, err)
		}
	}
	for did := true; did; {
		did = false
		for _, h := range c.workers {
			if c.sleepingJobs(h) >= h.parallel {
				continue
			}
			ok, err := c.start(ctx, h.runOnce, h)
			did = did || ok
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// sleepingJobs counts the sleeping jobs of a worker.
func (c *Company) sleepingJobs(h *worker) (n int) {
	for _, w := range c.sleeping {
		if w.worker == h {
			n++
		}
	}
	return n
}

// start begins a job and waits until it is done or sleeps.
func (c *Company) start(ctx context.Context, once func(context.Context) (bool, error), h *worker) (did bool, err error) {
	w := &running{worker: h}
	w.job = c.clock.begin(context.WithoutCancel(ctx), func(ctx context.Context) { w.did, w.err = once(ctx) })
	c.sleeping[w.job] = w
	return c.waitIdle(w)
}

// waitIdle waits for a job, and removes it when it is done.
func (c *Company) waitIdle(w *running) (did bool, err error) {
	if !c.clock.waitIdle(w.job) {
		return true, nil
	}
	delete(c.sleeping, w.job)
	return w.did, w.err
}

// Advance lets time go by, with Killswitch at work.
func (c *Company) Advance(ctx context.Context, d time.Duration) error {
	end := c.Now().Add(d)
	errs := []error{c.Settle(ctx)}
	for ctx.Err() == nil && c.Now().Before(end) {
		c.clock.set(c.nextDue(end))
		for s := c.clock.due(); s != nil; s = c.clock.due() {
			close(s.wake)
			if w := c.sleeping[s.job]; w != nil {
				_, err := c.waitIdle(w)
				errs = append(errs, err)
			}
		}
		errs = append(errs, c.Settle(ctx))
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// nextDue returns when there is something to do next, end at the latest.
func (c *Company) nextDue(end time.Time) time.Time {
	now := c.Now()
	soonest := func(t time.Time, due bool) {
		if due && t.Before(end) {
			end = t
		}
	}
	soonest(c.clock.next())
	for _, h := range c.workers {
		if c.sleepingJobs(h) < h.parallel {
			soonest(h.due())
		}
	}
	if end.Before(now) {
		return now
	}
	return end
}

// Close ends the company: it wakes all sleepers and waits for all jobs.
func (c *Company) Close() {
	close(c.clock.closed)
	for t := range c.sleeping {
		<-t.done
	}
	clear(c.sleeping)
}
