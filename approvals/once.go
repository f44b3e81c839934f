package approvals

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

func onceKey(what string) Key {
	sum := sha256.Sum256([]byte(what))
	return Key{"once#" + hex.EncodeToString(sum[:]), "once"}
}

// once is the row of a task: Until is the end of the lease, or of the period.
type once struct {
	Lease
	Done bool `json:"done"`
}

// Once takes a lease on a task that runs at most once in a period. true: the
// caller has it and must call Done. false: the task ran in this period.
// ErrConflict: another worker has it.
func (t Requests) Once(ctx context.Context, what string, lease time.Duration, now time.Time) (bool, error) {
	row, err := t.Store.Get(ctx, onceKey(what))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	var o once
	if err == nil && json.Unmarshal(row.Body, &o) != nil {
		o = once{} // an unreadable row counts as no row
	}
	if !o.Take("", now, lease) {
		if o.Done {
			return false, nil
		}
		return false, ErrConflict
	}
	o.Done = false
	err = t.Store.Write(ctx, putOnce(what, row.Version, o))
	return err == nil, err
}

// Done ends a task's lease: it is not due again before until.
func (t Requests) Done(ctx context.Context, what string, until time.Time) error {
	row, err := t.Store.Get(ctx, onceKey(what))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return t.Store.Write(ctx, putOnce(what, row.Version, once{Lease{Until: until}, true}))
}

func putOnce(what string, version int64, o once) Put {
	put := PutRow(onceKey(what), version, o)
	put.Expires = o.Until
	return put
}
