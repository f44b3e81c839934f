package executor

import (
	"context"
	"sync"
	"time"
)

const (
	// slowest is the least rate of calls, per second. Waiting longer out of
	// politeness would starve the containment where another caller competes for
	// the same limit: about 1 ÷ the latency of a call.
	slowest = 25
	// cutBy is what a throttle leaves of the rate, sped what a success adds.
	cutBy = 0.7
	sped  = 0.05
)

// pacer sends calls as fast as AWS allows: all at once until the first throttle,
// and then at a rate that it finds out. A throttle counts only if its call was
// sent after the rate was last cut: the others tell nothing new.
type pacer struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error

	mu    sync.Mutex
	rate  float64   // calls a second; 0: no limit is known
	next  time.Time // when the next call may be sent
	cut   time.Time // when the rate was last cut
	began time.Time
	done  int
}

// wait returns when a call may be sent, and when that is. Who waits while the
// rate is cut gets a new time: the old ones were too close to each other.
func (p *pacer) wait(ctx context.Context) (time.Time, error) {
	for {
		p.mu.Lock()
		now, cut := p.now(), p.cut
		if p.began.IsZero() {
			p.began = now
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
		again := !p.cut.Equal(cut)
		p.mu.Unlock()
		if !again {
			return at, ctx.Err()
		}
	}
}

// throttled says that a call, sent then, was one too many.
func (p *pacer) throttled(sent time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sent.Before(p.cut) {
		return
	}
	now := p.now()
	if p.rate == 0 { // what went well until now is all that is known of the limit
		if d := now.Sub(p.began).Seconds(); d > 0 {
			p.rate = float64(p.done) / d
		}
	}
	p.rate = max(p.rate*cutBy, slowest)
	p.cut, p.next = now, now.Add(time.Duration(float64(time.Second)/p.rate))
}

// succeeded says that a call was not too many.
func (p *pacer) succeeded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if p.rate > 0 {
		p.rate += sped
	}
}
