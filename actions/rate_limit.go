package actions

import (
	"context"
	"sync"
	"time"
)

// rateLimiter keeps rates that AWS allows per account and region, for all sessions together.
type rateLimiter struct {
	mu        sync.Mutex
	byKey     map[string]chan struct{} // tokens by call, account and region
	afterFunc func(time.Duration, func())
}

// SetAfterFunc replaces time.AfterFunc in the rate limits of all sessions.
func (c *Cloud) SetAfterFunc(after func(d time.Duration, f func())) { c.limiter.afterFunc = after }

// WaitRateLimit waits until a call is within its rate limit: n calls per period in an
// account and region, for all sessions of a [Cloud]. It returns the context's error.
func (a *Account) WaitRateLimit(ctx context.Context, call, region string, n int, period time.Duration) error {
	tokens := a.limiter.tokens(call+" "+a.ID+" "+region, n)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-tokens:
	}
	a.limiter.afterFunc(period, func() { tokens <- struct{}{} })
	return nil
}

// tokens holds one token per call that may be made now.
func (l *rateLimiter) tokens(key string, n int) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	tokens, ok := l.byKey[key]
	if !ok {
		tokens = make(chan struct{}, n)
		for range n {
			tokens <- struct{}{}
		}
		l.byKey[key] = tokens
	}
	return tokens
}
