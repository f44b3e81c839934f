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

// hand is something that Killswitch does again and again.
type hand struct {
	workers int // how many may do it at a time
	// once does it if it is due, and reports whether it did.
	once func(context.Context) (did bool, err error)
	// due is when there is something to do; false if there is nothing.
	due func() (time.Time, bool)
}

// pump takes messages from a queue.
func pump(p *local.Pump) *hand {
	return &hand{workers: p.Workers, due: p.Queue.Due, once: func(ctx context.Context) (bool, error) {
		did, err := p.Once(ctx)
		if err != nil {
			err = fmt.Errorf("queue %s: %w", p.Name, err)
		}
		return did, err
	}}
}

// sweep does something again and again, with a pause between.
func (c *Company) sweep(pause time.Duration, do func(context.Context) error) *hand {
	var at time.Time
	return &hand{workers: 1, due: func() (time.Time, bool) { return at, true }, once: func(ctx context.Context) (bool, error) {
		if c.Now().Before(at) {
			return false, nil
		}
		err := do(ctx)
		at = c.Now().Add(pause)
		return true, err
	}}
}

// work is a turn of a hand.
type work struct {
	turn *turn
	hand *hand
	did  bool
	err  error
}

// Settle lets Killswitch work until nothing is due. What it sleeps for is not
// waited for. An error says what could not be done; it is tried again by itself.
func (c *Company) Settle(ctx context.Context) error {
	var errs []error
	for _, w := range c.asleep {
		if w.turn.over() { // its goroutines ended one by one
			_, err := c.rest(w)
			errs = append(errs, err)
		}
	}
	for did := true; did; {
		did = false
		for _, h := range c.hands {
			if c.busy(h) >= h.workers {
				continue
			}
			ok, err := c.start(ctx, h.once, h)
			did = did || ok
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// busy counts the turns of a hand that sleep.
func (c *Company) busy(h *hand) (n int) {
	for _, w := range c.asleep {
		if w.hand == h {
			n++
		}
	}
	return n
}

// start begins a turn and waits until it is done or sleeps.
func (c *Company) start(ctx context.Context, once func(context.Context) (bool, error), h *hand) (did bool, err error) {
	w := &work{hand: h}
	w.turn = c.clock.begin(context.WithoutCancel(ctx), func(ctx context.Context) { w.did, w.err = once(ctx) })
	c.asleep[w.turn] = w
	return c.rest(w)
}

// rest waits for a turn, and forgets it when it is done.
func (c *Company) rest(w *work) (did bool, err error) {
	if !c.clock.rest(w.turn) {
		return true, nil
	}
	delete(c.asleep, w.turn)
	return w.did, w.err
}

// Pass lets time go by, with Killswitch at work.
func (c *Company) Pass(ctx context.Context, d time.Duration) error {
	end := c.Now().Add(d)
	errs := []error{c.Settle(ctx)}
	for ctx.Err() == nil && c.Now().Before(end) {
		c.clock.set(c.soonest(end))
		for s := c.clock.due(); s != nil; s = c.clock.due() {
			close(s.wake)
			if w := c.asleep[s.turn]; w != nil {
				_, err := c.rest(w)
				errs = append(errs, err)
			}
		}
		errs = append(errs, c.Settle(ctx))
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// soonest is when there is something to do next, end at the latest.
func (c *Company) soonest(end time.Time) time.Time {
	now := c.Now()
	soonest := func(t time.Time, due bool) {
		if due && t.Before(end) {
			end = t
		}
	}
	soonest(c.clock.next())
	for _, h := range c.hands {
		if c.busy(h) < h.workers {
			soonest(h.due())
		}
	}
	if end.Before(now) {
		return now
	}
	return end
}

// Close ends the company: who sleeps is woken, and what has begun comes to an end.
func (c *Company) Close() {
	close(c.clock.closed)
	for t := range c.asleep {
		<-t.done
	}
	clear(c.asleep)
}
