package actions

import (
	"context"
	"sync"
	"time"
)

// turns limit the rate of calls that AWS limits for each account and region,
// whichever session makes them.
type turns struct {
	mu   sync.Mutex
	free map[string]chan struct{}
}

// Turn waits until a call may be made of which AWS allows n in a while in an account
// and region, for all sessions of a [Cloud]. An error is the context's.
func (a *Account) Turn(ctx context.Context, call, region string, n int, while time.Duration) error {
	free := a.turns.of(call+" "+a.ID+" "+region, n)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-free:
	}
	time.AfterFunc(while, func() { free <- struct{}{} })
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
