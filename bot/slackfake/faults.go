package slackfake

import (
	"context"
	"math"
	"net/http"
	"path"
	"slices"
	"strconv"
	"time"
)

// Fault is something that goes wrong with the next calls of a method. Of Status
// and Error at most one is needed; with neither, a Hang only delays and After
// answers 500.
type Fault struct {
	Method     string        // glob as in [path.Match]: "chat.*", "views.open", "response_url"; "" is every method
	Status     int           // HTTP status: 429, 500, 503
	RetryAfter int           // seconds, for 429
	Error      string        // an "ok": false answer with this code
	Times      int           // how many calls; 0 is one, negative until [Slack.Heal]
	Hang       time.Duration // real time, cut short when the caller's context ends
	After      bool          // the effect happens, its answer is lost
	// Of chooses calls by what a message says; nil is every call.
	Of func(text, blocks string) bool
}

// APICall is one call that arrived. Status is 0 while it runs and when the
// connection broke.
type APICall struct {
	Method  string // or "response_url"
	Channel string
	TS      string
	Status  int
	Error   string // Slack's error code, or why the connection broke
	At      time.Time
}

// Calls returns the API calls so far, in order of arrival.
func (s *Slack) Calls() []APICall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Fail arranges a fault. Faults are used in the order in which they were
// arranged.
func (s *Slack) Fail(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// Heal drops all arranged faults.
func (s *Slack) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Archive archives a channel: nothing is posted or edited in it any more.
func (s *Slack) Archive(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	c.Archived = true
	s.channels[channel] = c
}

// OnCall sets a hook that runs before and after each API call's effect. Its
// error breaks the connection: before, nothing has happened; after, all has.
// It does not run for calls that a rate limit or fault refuses.
func (s *Slack) OnCall(hook func(method string, after bool) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onCall = hook
}

// RateLimit gives a method a token bucket: burst calls at once, refilled at
// perMinute. chat.postMessage has one bucket per channel, as in
// /apis/web-api/rate-limits. perMinute 0 removes the limit.
func (s *Slack) RateLimit(method string, perMinute, burst int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.limits, method)
	clear(s.buckets)
	if perMinute > 0 {
		s.limits[method] = limit{perMinute: float64(perMinute), burst: float64(max(burst, 1))}
	}
}

type limit struct{ perMinute, burst float64 }

type bucket struct {
	tokens float64
	at     time.Time
}

// limited takes a token, or returns the seconds until there is one.
func (s *Slack) limited(method, channel string) (retryAfter int, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.limits[method]
	if !ok {
		return 0, false
	}
	key := method
	if method == "chat.postMessage" {
		key += " " + channel
	}
	now := s.cfg.Now()
	b := s.buckets[key]
	if b == nil {
		b = &bucket{tokens: l.burst, at: now}
		s.buckets[key] = b
	}
	b.tokens = min(l.burst, b.tokens+now.Sub(b.at).Minutes()*l.perMinute)
	b.at = now
	if b.tokens >= 1-1e-9 {
		b.tokens--
		return 0, false
	}
	return max(1, int(math.Ceil((1-b.tokens)/l.perMinute*60-1e-9))), true
}

// attempt runs an effect with whatever limit, fault and hook stand in its way.
// An error means that the connection breaks.
func (s *Slack) attempt(ctx context.Context, method string, p params, effect func() reply) (reply, error) {
	if wait, yes := s.limited(method, p["channel"]); yes {
		return tooMany(wait), nil
	}
	s.mu.Lock()
	f, faulty := s.takeFault(method, p)
	hook := s.onCall
	s.mu.Unlock()
	if hook == nil {
		hook = func(string, bool) error { return nil }
	}

	if faulty && !f.After {
		if err := wait(ctx, f.Hang); err != nil {
			return reply{}, err
		}
		if f.Status != 0 || f.Error != "" {
			return f.reply(), nil
		}
	}
	if err := hook(method, false); err != nil {
		return reply{}, err
	}
	rep := effect()
	s.emit()
	if err := hook(method, true); err != nil {
		return reply{}, err
	}
	if faulty && f.After {
		if err := wait(ctx, f.Hang); err != nil {
			return reply{}, err
		}
		return f.reply(), nil
	}
	return rep, nil
}

func (s *Slack) takeFault(method string, p params) (Fault, bool) {
	for i, f := range s.faults {
		if ok, err := path.Match(f.Method, method); f.Method != "" && (err != nil || !ok) || f.Of != nil && !f.Of(p["text"], p["blocks"]) {
			continue
		}
		if s.faults[i].Times--; s.faults[i].Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return f, true
	}
	return Fault{}, false
}

func (f Fault) reply() reply {
	switch {
	case f.Status == http.StatusTooManyRequests:
		return tooMany(f.RetryAfter)
	case f.Status != 0:
		return reply{status: f.Status, code: f.Error}
	case f.Error != "":
		return failed(f.Error)
	default:
		return reply{status: http.StatusInternalServerError}
	}
}

func tooMany(retryAfter int) reply {
	r := failed("ratelimited")
	r.status = http.StatusTooManyRequests
	r.header = http.Header{"Retry-After": {strconv.Itoa(retryAfter)}}
	return r
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
