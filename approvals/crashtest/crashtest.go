// Package crashtest runs a process in tests: on a [Clock] that passes only when a
// test says so, and with a [Killer] that stops it before or after any effect.
package crashtest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// Clock is the time of a test: of the process, its queues, Slack and AWS.
type Clock struct {
	Real  bool   // for benchmarks: the time of the machine
	Slept func() // what others do during each Sleep; nil for nothing
	actiontest.Clock
}

// NewClock starts a clock at a night in November 2026.
func NewClock() *Clock {
	return &Clock{Clock: actiontest.Clock{T: time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)}}
}

// Now is the present time.
func (c *Clock) Now() time.Time {
	if c.Real {
		return time.Now() //nolint:forbidigo // that is what it is for
	}
	return c.Clock.Now()
}

// Sleep lets time pass without waiting. It returns the error of a context that is over.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	if c.Real {
		return approvals.Sleep(ctx, d)
	}
	c.Add(d)
	if c.Slept != nil {
		c.Slept()
	}
	return ctx.Err()
}

// ErrDead is the error of everything that a killed process tries to do.
var ErrDead = errors.New("the process is dead")

// Killer kills a process at the nth of its points: before or after each effect on a
// table, a queue, AWS or Slack. After that nothing has an effect until Revive.
type Killer struct {
	mu   sync.Mutex
	at   int // 0: never
	n    int
	dead bool
	what string
}

// Point is a point at which the process may die. It returns ErrDead if it is dead.
func (k *Killer) Point(what string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return ErrDead
	}
	if k.n++; k.n == k.at {
		k.dead, k.what = true, what
		return ErrDead
	}
	return nil
}

// Around runs an effect between two points.
func (k *Killer) Around(what string, effect func() error) error {
	if err := k.Point("before " + what); err != nil {
		return err
	}
	if err := effect(); err != nil {
		return err
	}
	return k.Point("after " + what)
}

// Kill kills the process now. It returns ErrDead.
func (k *Killer) Kill(what string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dead, k.what = true, what
	return ErrDead
}

// Aim counts points from here and kills at the nth (0: never). It returns how many
// were counted before.
func (k *Killer) Aim(nth int) (counted int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	counted, k.at, k.n = k.n, nth, 0
	return counted
}

// Dead reports whether the process is dead.
func (k *Killer) Dead() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dead
}

// Revive lets a dead process live again, and die no more. It reports whether it was
// dead.
func (k *Killer) Revive() (dead bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	dead = k.dead
	k.dead, k.at = false, 0
	return dead
}

// Where is the point at which the process died last, or "".
func (k *Killer) Where() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.what
}
