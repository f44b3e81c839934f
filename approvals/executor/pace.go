package executor

import (
	"context"
	"sync"
	"time"
)

const (
	// minRate is the lowest rate of calls per second. Some accounts are allowed little
	// more, and other callers share the limit: whoever uses it up slows a run down to this.
	minRate = 2
	// throttleFactor multiplies the rate after a throttled call; successStep is added after
	// a success.
	throttleFactor = 0.7
	successStep    = 0.05
)

// pacer limits the rate of calls: no limit until the first throttled call, then a rate
// that begins with that of all calls until then, grows with success and shrinks with
// throttling. A throttled call counts only if it was sent after the rate was last cut.
type pacer struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error

	mu        sync.Mutex
	rate      float64   // calls per second; 0: no limit
	next      time.Time // of the next call
	lastCut   time.Time // when the rate was cut
	firstCall time.Time
	sentCalls int
}

// wait blocks until a call may be sent and returns that time. If the rate is cut in
// between, the call gets a new, later time.
func (p *pacer) wait(ctx context.Context) (time.Time, error) {
	for {
		p.mu.Lock()
		p.sentCalls++
		now, cut := p.now(), p.lastCut
		if p.firstCall.IsZero() {
			p.firstCall = now
		}
		at := now
		if p.rate > 0 {
			if p.next.After(now) {
				at = p.next
			}
			p.next = at.Add(time.Duration(float64(time.Second) / p.rate))
		}
		p.mu.Unlock()
		if d := at.Sub(now); d > 0 {
			if err := p.sleep(ctx, d); err != nil {
				return at, err
			}
		}
		p.mu.Lock()
		again := !p.lastCut.Equal(cut)
		p.mu.Unlock()
		if !again {
			return at, ctx.Err()
		}
	}
}

// throttled cuts the rate after a call that was throttled.
func (p *pacer) throttled(sent time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sent.Before(p.lastCut) {
		return
	}
	now := p.now()
	if d := now.Sub(p.firstCall).Seconds(); p.rate == 0 && d > 0 {
		p.rate = float64(p.sentCalls) / d
	}
	p.rate = max(p.rate*throttleFactor, minRate)
	p.lastCut, p.next = now, now.Add(time.Duration(float64(time.Second)/p.rate))
}

// batch returns how many calls take two seconds, from 1 to most.
func (p *pacer) batch(most int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate == 0 {
		return most
	}
	return min(most, max(1, int(2*p.rate)))
}

// succeeded raises the rate after a call that was not throttled.
func (p *pacer) succeeded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate > 0 {
		p.rate += successStep
	}
}
