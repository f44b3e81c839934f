package executor

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// bucket is a limit as AWS has it: so many calls a second, and a burst.
type bucket struct {
	mu            sync.Mutex
	tokens, burst float64
	perSecond     float64
	filled        time.Time
}

func (b *bucket) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.tokens = min(b.burst, b.tokens+now.Sub(b.filled).Seconds()*b.perSecond)
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// TestPacerFindsTheRateOfAWS: calls take about as long as the limit makes them, whatever the
// limit is, and none is lost; time is that of the bubble.
func TestPacerFindsTheRateOfAWS(t *testing.T) {
	tests := []struct {
		name             string
		calls            int
		perSecond, burst float64
		competitor       time.Duration // another caller's pause between its own; 0: there is none
		within           time.Duration
	}{
		{"no limit", 5000, 1e6, 1e6, 0, 3 * time.Second},
		{"20 a second", 1000, 20, 40, 0, 55 * time.Second},                       // 48 s at best
		{"100 a second", 5000, 100, 200, 0, 55 * time.Second},                    // 48 s
		{"500 a second", 5000, 500, 1000, 0, 12 * time.Second},                   // 8 s
		{"beside another", 300, 20, 40, 50 * time.Millisecond, 40 * time.Second}, // 13 s alone
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bucket{tokens: tt.burst, burst: tt.burst, perSecond: tt.perSecond, filled: time.Now()}
				p := &pacer{now: time.Now, sleep: approvals.Sleep}
				began, over := time.Now(), make(chan struct{})
				var wg sync.WaitGroup
				if tt.competitor > 0 {
					wg.Go(func() {
						for {
							select {
							case <-over:
								return
							case <-time.After(tt.competitor):
								b.take()
							}
						}
					})
				}
				const workers = 96
				var calls sync.WaitGroup
				for i := range workers {
					calls.Go(func() {
						for n := i; n < tt.calls; n += workers {
							for done := false; !done; {
								sent, err := p.wait(t.Context())
								if err != nil {
									t.Error(err)
									return
								}
								time.Sleep(20 * time.Millisecond)
								done = b.take()
								time.Sleep(20 * time.Millisecond)
								if done {
									p.succeeded()
								} else {
									p.throttled(sent)
								}
							}
						}
					})
				}
				calls.Wait()
				took := time.Since(began)
				close(over)
				wg.Wait()
				if took > tt.within {
					t.Errorf("took %v, want at most %v", took, tt.within)
				}
				t.Logf("%d calls in %v", tt.calls, took)
			})
		})
	}
}
