package actions

import (
	"context"
	"sync"
	"time"
)

// turns limit the rate of calls that AWS limits for each account and region,
// whichever session makes them.
type turns struct {
	mu    sync.Mutex
	free  map[string]chan struct{}
	after func(time.Duration, func()) // nil: time.AfterFunc
}

// Clock replaces the clock by which calls take turns: after calls f after d.
func (c *Cloud) Clock(after func(d time.Duration, f func())) { c.turns.after = after }

// Turn waits until a call may be made of which AWS allows n in a while in an account
// and region, for all sessions of a [Cloud]. An error is the context's.
func (a *Account) Turn(ctx context.Context, call, region string, n int, while time.Duration) error {
	free := a.turns.of(call+" "+a.ID+" "+region, n)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-free:
	}
	back := func() { free <- struct{}{} }
	if a.turns.after != nil {
		a.turns.after(while, back)
	} else {
		time.AfterFunc(while, back)
	}
	return nil
}

// of holds a token for each call that may be made now.
func (t *turns) of(key string, n int) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	free, ok := t.free[key]
	if !ok {
		free = make(chan struct{}, n)
		for range n {
			free <- struct{}{}
		}
		if t.free == nil {
			t.free = map[string]chan struct{}{}
		}
		t.free[key] = free
	}
	return free
}
