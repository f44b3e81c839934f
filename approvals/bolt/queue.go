package bolt

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// Queue is a queue in the file: an approvals.FairQueue and an approvals.Receiver. Its
// bucket keeps the messages under the time for which they were sent and their ID. When
// each is due next is in memory: only this process has the file open.
type Queue struct {
	*File
	name string
	now  func() time.Time
	wake chan struct{}

	mu       sync.Mutex
	schedule approvals.Schedule
	places   map[uint64][]byte // by ID
}

// Queue opens a queue. Messages that an earlier process received and did not delete are
// due again at once.
func (f *File) Queue(name string, now func() time.Time) (*Queue, error) {
	q := &Queue{File: f, name: name, now: now, wake: make(chan struct{}, 1), places: map[uint64][]byte{}}
	err := f.update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(q.bucket())
		if err != nil {
			return err
		}
		return b.ForEach(q.load)
	})
	return q, err
}

// load puts a stored message on the schedule.
func (q *Queue) load(k, v []byte) error {
	var m queued
	if err := json.Unmarshal(v, &m); err != nil {
		return err
	}
	due := time.Unix(0, int64(binary.BigEndian.Uint64(k[:8]))) //nolint:gosec // written by place
	if m.Receives > 0 {
		due = q.now()
	}
	q.put(slices.Clone(k), m.Group, due)
	return nil
}

func (q *Queue) put(place []byte, group string, due time.Time) {
	id := binary.BigEndian.Uint64(place[8:])
	q.places[id] = place
	q.schedule.Put(id, group, due)
}

func (q *Queue) bucket() []byte { return []byte("queue:" + q.name) }

// queued is the encoding of a message.
type queued struct {
	Body     []byte `json:"b"`
	Receives int    `json:"r"`
	Group    string `json:"g,omitempty"`
}

func place(due time.Time, id uint64) []byte {
	k := binary.BigEndian.AppendUint64(nil, uint64(max(due.UnixNano(), 0)))
	return binary.BigEndian.AppendUint64(k, id)
}

// Send implements approvals.Queue.
func (q *Queue) Send(_ context.Context, body []byte, delay time.Duration) error {
	return q.send(queued{Body: body}, delay)
}

// SendFor implements approvals.FairQueue.
func (q *Queue) SendFor(_ context.Context, group string, body []byte, delay time.Duration) error {
	return q.send(queued{Body: body, Group: group}, delay)
}

func (q *Queue) send(m queued, delay time.Duration) error {
	v, err := json.Marshal(m)
	if err != nil {
		return err
	}
	due := q.now().Add(delay)
	var at []byte
	err = q.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(q.bucket())
		id, err := b.NextSequence()
		if err != nil {
			return err
		}
		at = place(due, id)
		return b.Put(at, v)
	})
	if err != nil {
		return err
	}
	q.mu.Lock()
	q.put(at, m.Group, due)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// Wake implements approvals.Receiver.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

// Receive implements approvals.Receiver.
func (q *Queue) Receive(_ context.Context, visibility time.Duration) (d approvals.Delivery, ok bool, err error) {
	q.mu.Lock()
	id, ok := q.schedule.Next(q.now(), visibility)
	at := q.places[id]
	q.mu.Unlock()
	if !ok {
		return d, false, nil
	}
	var m queued
	err = q.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(q.bucket())
		v := b.Get(at)
		if ok = v != nil; !ok {
			return nil // deleted just now
		}
		if err := json.Unmarshal(v, &m); err != nil {
			return err
		}
		m.Receives++
		counted, err := json.Marshal(m)
		if err != nil {
			return err
		}
		return b.Put(at, counted)
	})
	if errors.Is(err, approvals.ErrFull) { // who handles it can still tell of that
		return approvals.Delivery{Handle: id, Body: m.Body, Receives: m.Receives}, ok, nil
	}
	if err != nil {
		q.mu.Lock()
		q.schedule.Delay(id, q.now())
		q.mu.Unlock()
		return d, false, err
	}
	return approvals.Delivery{Handle: id, Body: m.Body, Receives: m.Receives}, ok, nil
}

// Delete implements approvals.Receiver.
func (q *Queue) Delete(_ context.Context, d approvals.Delivery) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	at, ok := q.places[d.Handle]
	if !ok {
		return nil
	}
	if err := q.update(func(tx *bbolt.Tx) error { return tx.Bucket(q.bucket()).Delete(at) }); err != nil {
		return err
	}
	delete(q.places, d.Handle)
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
