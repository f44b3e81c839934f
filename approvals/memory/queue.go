package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// Queue is an approvals.FairQueue with a receiving end.
type Queue struct {
	now      func() time.Time
	mu       sync.Mutex
	next     uint64
	msgs     map[uint64]*message
	schedule approvals.Schedule
	wake     chan struct{}
}

type message struct {
	body     []byte
	receives int
}

// NewQueue makes an empty queue.
func NewQueue(now func() time.Time) *Queue {
	return &Queue{now: now, msgs: map[uint64]*message{}, wake: make(chan struct{}, 1)}
}

// Send implements approvals.Queue.
func (q *Queue) Send(_ context.Context, body []byte, delay time.Duration) error {
	return q.send("", body, delay)
}

// SendFor implements approvals.FairQueue.
func (q *Queue) SendFor(_ context.Context, group string, body []byte, delay time.Duration) error {
	return q.send(group, body, delay)
}

func (q *Queue) send(group string, body []byte, delay time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next++
	q.msgs[q.next] = &message{body: slices.Clone(body)}
	q.schedule.Put(q.next, group, q.now().Add(delay))
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
	id, ok := q.schedule.Next(q.now(), visibility)
	if !ok {
		return approvals.Delivery{}, false, nil
	}
	m := q.msgs[id]
	m.receives++
	return approvals.Delivery{Handle: id, Body: slices.Clone(m.body), Receives: m.receives}, true, nil
}

// Delete implements approvals.Receiver.
func (q *Queue) Delete(_ context.Context, d approvals.Delivery) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.msgs, d.Handle)
	q.schedule.Remove(d.Handle)
	return nil
}

// Return implements approvals.Receiver.
func (q *Queue) Return(_ context.Context, d approvals.Delivery, delay time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.schedule.Delay(d.Handle, q.now().Add(delay))
	return nil
}

// Due implements approvals.Receiver.
func (q *Queue) Due() (time.Time, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.schedule.Due()
}
