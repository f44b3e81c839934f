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

type once struct {
	Until time.Time `json:"until"`
	Done  bool      `json:"done"`
}

// Once reports whether something is due that is done at most once in a while. Who
// is told yes has it for a lease, and then says Done; until then others get
// ErrConflict.
func (t Requests) Once(ctx context.Context, what string, lease time.Duration, now time.Time) (bool, error) {
	var o once
	row, err := t.Store.Get(ctx, onceKey(what))
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return false, err
	case json.Unmarshal(row.Body, &o) != nil || !now.Before(o.Until):
	case o.Done:
		return false, nil
	default:
		return false, ErrConflict
	}
	err = t.Store.Write(ctx, putOnce(what, row.Version, once{Until: now.Add(lease)}))
	return err == nil, err
}

// Done notes that something was done and is not due again until then.
func (t Requests) Done(ctx context.Context, what string, until time.Time) error {
	row, err := t.Store.Get(ctx, onceKey(what))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return t.Store.Write(ctx, putOnce(what, row.Version, once{until, true}))
}

func putOnce(what string, version int64, o once) Put {
	put := PutRow(onceKey(what), version, o)
	put.Expires = o.Until
	return put
}
