package company

import (
	"context"
	"slices"
	"sync"
	"time"
)

// clock is the company's time: it passes only when it is told to. Who sleeps by
// it sleeps until then.
type clock struct {
	mu       sync.Mutex
	now      time.Time
	sleepers []*sleeper
	closed   chan struct{}
}

type sleeper struct {
	until time.Time
	job   *job // nil for somebody whom nobody waits for
	wake  chan struct{}
}

// job is one piece of Killswitch's work, in a goroutine of its own. Whoever runs
// it waits until it is done or sleeps: so one thing happens at a time, and no
// sleep holds up the others.
type job struct {
	done   chan struct{}
	sleeps int // how often it went to sleep; the clock's to lock
}

type jobKey struct{}

func newClock(now time.Time) *clock { return &clock{now: now, closed: make(chan struct{})} }

// Now is the company's time.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// sleep returns when the company's time has gone on for d, or never will.
func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	s := &sleeper{wake: make(chan struct{})}
	s.job, _ = ctx.Value(jobKey{}).(*job)
	c.mu.Lock()
	s.until = c.now.Add(d)
	c.sleepers = append(c.sleepers, s)
	if s.job != nil {
		s.job.sleeps++
	}
	c.mu.Unlock()
	select {
	case <-s.wake:
		return ctx.Err()
	case <-ctx.Done():
		c.drop(s)
		return ctx.Err()
	case <-c.closed:
		return context.Canceled
	}
}

func (c *clock) drop(s *sleeper) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sleepers = slices.DeleteFunc(c.sleepers, func(x *sleeper) bool { return x == s })
}

// next is when the first sleeper wakes; false if nobody sleeps.
func (c *clock) next() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sleepers) == 0 {
		return time.Time{}, false
	}
	return slices.MinFunc(c.sleepers, byTime).until, true
}

func byTime(a, b *sleeper) int { return a.until.Compare(b.until) }

// due takes the first sleeper whose time has come; nil if there is none.
func (c *clock) due() *sleeper {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sleepers) == 0 {
		return nil
	}
	s := slices.MinFunc(c.sleepers, byTime)
	if s.until.After(c.now) {
		return nil
	}
	c.sleepers = slices.DeleteFunc(c.sleepers, func(x *sleeper) bool { return x == s })
	return s
}

// sleepCount is how often a turn went to sleep, 0 if none of it sleeps now.
func (c *clock) sleepCount(t *job) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.sleepers, func(s *sleeper) bool { return s.job == t }) {
		return 0
	}
	return t.sleeps
}

// begin runs work in a turn of its own.
func (c *clock) begin(ctx context.Context, work func(context.Context)) *job {
	t := &job{done: make(chan struct{})}
	go func() {
		defer close(t.done)
		work(context.WithValue(ctx, jobKey{}, t))
	}()
	return t
}

// pollInterval is how often it is looked whether a turn sleeps: it does when it did
// so at the last look, too, and no other of its goroutines has gone to sleep since.
const pollInterval = 2 * time.Millisecond

// waitIdle waits until a turn is done, and then is true, or sleeps.
func (c *clock) waitIdle(t *job) (done bool) {
	look := time.NewTicker(pollInterval)
	defer look.Stop()
	for last := 0; ; {
		select {
		case <-t.done:
			return true
		case <-look.C:
		}
		now := c.sleepCount(t)
		if now > 0 && now == last {
			return t.isDone()
		}
		last = now
	}
}

func (t *job) isDone() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}
