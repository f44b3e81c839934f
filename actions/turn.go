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

// Turn waits until a call may be made again that AWS allows once every so long in an
// account and region, for all sessions of a [Cloud]. An error is the context's.
func (a *Account) Turn(ctx context.Context, call, region string, every time.Duration) error {
	free := a.turns.of(call + " " + a.ID + " " + region)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-free:
	}
	time.AfterFunc(every, func() { free <- struct{}{} })
	return nil
}

// of holds one token while a call may be made.
func (t *turns) of(key string) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	free, ok := t.free[key]
	if !ok {
		free = make(chan struct{}, 1)
		free <- struct{}{}
		if t.free == nil {
			t.free = map[string]chan struct{}{}
		}
		t.free[key] = free
	}
	return free
}
