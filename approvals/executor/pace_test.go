package executor

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
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

// TestPacerFindsTheRateOfAWS: calls take at most 1.3 times as long as the limit makes
// them, whatever it is, also beside another caller; few are sent in vain, and none is
// lost. Time is that of the bubble.
func TestPacerFindsTheRateOfAWS(t *testing.T) {
	tests := []struct {
		name             string
		calls            int
		perSecond, burst float64
		others           float64 // calls per second of another caller
	}{
		{"no limit", 5000, 1e6, 1e6, 0},
		{"2.5 a second", 1000, 2.5, 5, 0},
		{"20 a second", 1000, 20, 40, 0},
		{"20 a second, no burst", 1000, 20, 2, 0},
		{"100 a second", 5000, 100, 200, 0},
		{"500 a second", 5000, 500, 1000, 0},
		{"another uses half of 2.5", 500, 2.5, 5, 1.25},
		{"another uses half of 20", 1000, 20, 40, 10},
		{"another uses half of 100", 5000, 100, 200, 50},
		{"another uses all of 20", 300, 20, 40, 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bucket{tokens: tt.burst, burst: tt.burst, perSecond: tt.perSecond, filled: time.Now()}
				p := &pacer{now: time.Now, sleep: approvals.Sleep}
				began, over := time.Now(), make(chan struct{})
				var wg sync.WaitGroup
				var throttled atomic.Int64
				others, denied := 0, 0 // calls
				if tt.others > 0 {
					wg.Go(func() {
						rng := rand.New(rand.NewPCG(1, 2))
						for {
							select {
							case <-over:
								return
							case <-time.After(time.Duration(rng.ExpFloat64() / tt.others * float64(time.Second))):
								if others++; !b.take() {
									denied++
								}
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
									throttled.Add(1)
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
				least := max(float64(tt.calls)/max(tt.perSecond-tt.others, minRate), 2.3)
				if took.Seconds() > 1.3*least {
					t.Errorf("took %v, want at most 1.3 × %.1f s", took, least)
				}
				if n := int(throttled.Load()); n > 300+tt.calls/3 {
					t.Errorf("%d calls were throttled", n)
				}
				if left := tt.perSecond - tt.others; left > minRate && denied > others/20 {
					t.Errorf("another caller was throttled %d times of %d", denied, others)
				}
				t.Logf("%.2f × %.1f s, %d throttled; of the others %d of %d", took.Seconds()/least, least, throttled.Load(), denied, others)
			})
		})
	}
}
