package local

import (
	"context"
	"sync"
	"time"
)

// Room tells whether there is room to store more.
type Room struct {
	Try func(context.Context) error // really stores something
	Low func() error                // what is left is for what people do
	Now func() time.Time

	mu    sync.Mutex
	tried time.Time
	err   error
}

// tryEvery is how often it is tried, however often somebody asks.
const tryEvery = 5 * time.Second

// Healthy returns why nothing more can be stored.
func (r *Room) Healthy(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.Now(); r.tried.IsZero() || now.Sub(r.tried) >= tryEvery {
		r.tried = now
		if r.err = r.Try(ctx); r.err == nil {
			r.err = r.Low()
		}
	}
	return r.err
}

// forPeople is a queue of what machines send: it takes nothing more while what room there is, is kept for people.
type forPeople struct {
	Queue
	room *Room
}

// SendFor implements approvals.FairQueue.
func (q forPeople) SendFor(ctx context.Context, of string, body []byte, delay time.Duration) error {
	if err := q.room.Low(); err != nil {
		return err
	}
	return q.Queue.SendFor(ctx, of, body, delay)
}
