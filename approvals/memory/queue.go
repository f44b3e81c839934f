package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// Queue is an approvals.Queue with a receiving end.
type Queue struct {
	now  func() time.Time
	mu   sync.Mutex
	next uint64
	msgs []message
	wake chan struct{}
}

type message struct {
	id       uint64
	due      time.Time
	body     []byte
	receives int
}

// NewQueue makes an empty queue.
func NewQueue(now func() time.Time) *Queue { return &Queue{now: now, wake: make(chan struct{}, 1)} }

// Send implements approvals.Queue.
func (q *Queue) Send(_ context.Context, body []byte, delay time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next++
	q.msgs = append(q.msgs, message{id: q.next, due: q.now().Add(delay), body: slices.Clone(body)})
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// Wake implements approvals.Receiver.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

// Receive implements approvals.Receiver.
func (q *Queue) Receive(_ context.Context, visibility time.Duration) (approvals.Delivery, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	best := -1
	for i, m := range q.msgs {
		if !m.due.After(q.now()) && (best < 0 || m.due.Before(q.msgs[best].due)) {
			best = i
		}
	}
	if best < 0 {
		return approvals.Delivery{}, false, nil
	}
	m := &q.msgs[best]
	m.due = q.now().Add(visibility)
	m.receives++
	return approvals.Delivery{Handle: m.id, Body: slices.Clone(m.body), Receives: m.receives}, true, nil
}

// Delete implements approvals.Receiver.
func (q *Queue) Delete(_ context.Context, d approvals.Delivery) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.msgs = slices.DeleteFunc(q.msgs, func(m message) bool { return m.id == d.Handle })
	return nil
}

// Return implements approvals.Receiver.
func (q *Queue) Return(_ context.Context, d approvals.Delivery, delay time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.msgs {
		if q.msgs[i].id == d.Handle {
			q.msgs[i].due = q.now().Add(delay)
		}
	}
	return nil
}

// Due tells when the next message can be received; false if there is none.
func (q *Queue) Due() (time.Time, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.msgs) == 0 {
		return time.Time{}, false
	}
	return slices.MinFunc(q.msgs, func(a, b message) int { return a.due.Compare(b.due) }).due, true
}
