package company

import (
	"context"
	"slices"
	"sync"
	"time"
)

// clock is the company's clock, which only set advances. Sleepers wake when it reaches
// their time.
type clock struct {
	mu       sync.Mutex
	now      time.Time
	sleepers []*sleeper
	closed   chan struct{}
}

type sleeper struct {
	until time.Time
	job   *job // nil outside of jobs
	wake  chan struct{}
}

// job is one piece of Killswitch's work in its own goroutine. Its caller waits until it
// is done or sleeps: so one job works at a time, and no sleep blocks the others.
type job struct {
	done   chan struct{}
	sleeps int // how often it went to sleep; guarded by the clock's mutex
}

type jobKey struct{}

func newClock(now time.Time) *clock { return &clock{now: now, closed: make(chan struct{})} }

// Now returns the company's time.
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

// sleep returns when the company's time has advanced by d, or the clock is closed.
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

// next returns when the first sleeper wakes; false if there is none.
func (c *clock) next() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sleepers) == 0 {
		return time.Time{}, false
	}
	return slices.MinFunc(c.sleepers, byTime).until, true
}

func byTime(a, b *sleeper) int { return a.until.Compare(b.until) }

// due removes and returns the first sleeper whose time has come; nil if there is none.
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

// sleepCount returns how often a job went to sleep, 0 if it does not sleep now.
func (c *clock) sleepCount(t *job) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.sleepers, func(s *sleeper) bool { return s.job == t }) {
		return 0
	}
	return t.sleeps
}

// begin runs work in a job of its own.
func (c *clock) begin(ctx context.Context, work func(context.Context)) *job {
	t := &job{done: make(chan struct{})}
	go func() {
		defer close(t.done)
		work(context.WithValue(ctx, jobKey{}, t))
	}()
	return t
}

// pollInterval is the interval of the checks whether a job sleeps: it does if two
// checks in a row find it asleep with the same sleepCount.
const pollInterval = 2 * time.Millisecond

// waitIdle waits until a job is done (true) or sleeps (false).
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
