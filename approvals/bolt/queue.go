package bolt

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// Queue is a queue in the file: an approvals.Queue and an approvals.Receiver.
// Its bucket is ordered by the time at which messages are due; a second one
// finds a message by its handle.
type Queue struct {
	db   *bbolt.DB
	name string
	now  func() time.Time
	wake chan struct{}
}

// Queue opens a queue. Since only this process has the file open, messages that an
// earlier one received and did not delete are due again at once.
func (f *File) Queue(name string, now func() time.Time) (*Queue, error) {
	q := &Queue{f.db, name, now, make(chan struct{}, 1)}
	err := f.db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(q.bucket()); err != nil {
			return err
		}
		if _, err := tx.CreateBucketIfNotExists(q.handles()); err != nil {
			return err
		}
		return q.recover(tx)
	})
	return q, err
}

func (q *Queue) recover(tx *bbolt.Tx) error {
	var received [][]byte
	err := tx.Bucket(q.bucket()).ForEach(func(k, v []byte) error {
		var m queued
		if err := json.Unmarshal(v, &m); err != nil {
			return err
		}
		if m.Receives > 0 {
			received = append(received, slices.Clone(k))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range received {
		var m queued
		if err := json.Unmarshal(tx.Bucket(q.bucket()).Get(k), &m); err != nil {
			return err
		}
		if err := tx.Bucket(q.bucket()).Delete(k); err != nil {
			return err
		}
		if err := q.put(tx, binary.BigEndian.Uint64(k[8:]), q.now(), m); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) bucket() []byte  { return []byte("queue:" + q.name) }
func (q *Queue) handles() []byte { return []byte("handles:" + q.name) }

// queued is the encoding of a message.
type queued struct {
	Body     []byte `json:"b"`
	Receives int    `json:"r"`
}

func place(due time.Time, id uint64) []byte {
	k := binary.BigEndian.AppendUint64(nil, uint64(max(due.UnixNano(), 0)))
	return binary.BigEndian.AppendUint64(k, id)
}

func (q *Queue) put(tx *bbolt.Tx, id uint64, due time.Time, m queued) error {
	v, err := json.Marshal(m)
	if err != nil {
		return err
	}
	k := place(due, id)
	if err := tx.Bucket(q.handles()).Put(binary.BigEndian.AppendUint64(nil, id), k); err != nil {
		return err
	}
	return tx.Bucket(q.bucket()).Put(k, v)
}

// Send implements approvals.Queue.
func (q *Queue) Send(_ context.Context, body []byte, delay time.Duration) error {
	err := q.db.Update(func(tx *bbolt.Tx) error {
		id, err := tx.Bucket(q.bucket()).NextSequence()
		if err != nil {
			return err
		}
		return q.put(tx, id, q.now().Add(delay), queued{Body: body})
	})
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return err
}

// Wake implements approvals.Receiver.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

// Receive implements approvals.Receiver.
func (q *Queue) Receive(_ context.Context, visibility time.Duration) (d approvals.Delivery, ok bool, err error) {
	if due, some := q.Due(); !some || due.After(q.now()) {
		return d, false, nil // no write transaction: this is called often
	}
	err = q.db.Update(func(tx *bbolt.Tx) error {
		k, v := tx.Bucket(q.bucket()).Cursor().First()
		if k == nil || dueAt(k).After(q.now()) {
			return nil
		}
		var m queued
		if err := json.Unmarshal(v, &m); err != nil {
			return err
		}
		m.Receives++
		id := binary.BigEndian.Uint64(k[8:])
		if err := tx.Bucket(q.bucket()).Delete(slices.Clone(k)); err != nil {
			return err
		}
		d, ok = approvals.Delivery{Handle: id, Body: m.Body, Receives: m.Receives}, true
		return q.put(tx, id, q.now().Add(visibility), m)
	})
	return d, ok, err
}

// Delete implements approvals.Receiver.
func (q *Queue) Delete(_ context.Context, d approvals.Delivery) error {
	return q.db.Update(func(tx *bbolt.Tx) error {
		handle := binary.BigEndian.AppendUint64(nil, d.Handle)
		k := tx.Bucket(q.handles()).Get(handle)
		if k == nil {
			return nil
		}
		if err := tx.Bucket(q.bucket()).Delete(slices.Clone(k)); err != nil {
			return err
		}
		return tx.Bucket(q.handles()).Delete(handle)
	})
}

// Return implements approvals.Receiver.
func (q *Queue) Return(_ context.Context, d approvals.Delivery, delay time.Duration) error {
	return q.db.Update(func(tx *bbolt.Tx) error {
		k := slices.Clone(tx.Bucket(q.handles()).Get(binary.BigEndian.AppendUint64(nil, d.Handle)))
		if k == nil {
			return nil
		}
		var m queued
		if err := json.Unmarshal(tx.Bucket(q.bucket()).Get(k), &m); err != nil {
			return err
		}
		if err := tx.Bucket(q.bucket()).Delete(k); err != nil {
			return err
		}
		return q.put(tx, d.Handle, q.now().Add(delay), m)
	})
}

// Due implements approvals.Receiver.
func (q *Queue) Due() (due time.Time, ok bool) {
	_ = q.db.View(func(tx *bbolt.Tx) error {
		if k, _ := tx.Bucket(q.bucket()).Cursor().First(); k != nil {
			due, ok = dueAt(k), true
		}
		return nil
	})
	return due, ok
}

func dueAt(k []byte) time.Time {
	return time.Unix(0, int64(binary.BigEndian.Uint64(k[:8]))) //nolint:gosec // written by place
}
