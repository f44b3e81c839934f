package approvals

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// AuditEvent is one link of a request's hash chain.
type AuditEvent struct {
	Seq   int       `json:"seq"` // from 1
	At    time.Time `json:"at"`
	Event string    `json:"event"`           // requested, planned, approved, step, verified, …
	Actor string    `json:"actor,omitempty"` // people[].id; empty: Killswitch itself
	// Facts are what happened, in the terms of the event.
	Facts map[string]string `json:"facts,omitempty"`
	Prev  string            `json:"prev"` // hash of the link before
	Hash  string            `json:"hash"` // of this link without Hash
}

// auditHead is where the chain ends.
type auditHead struct {
	Version int64  `json:"-"`
	Seq     int    `json:"seq"`
	Hash    string `json:"hash"`
}

func auditKey(id string, seq int) Key { return Key{id, fmt.Sprintf("audit#%06d", seq)} }
func headKey(id string) Key           { return Key{id, "audit"} }

func (e AuditEvent) hash() string {
	e.Hash = ""
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // only our own types come here
	}
	sum := sha256.Sum256(append([]byte("killswitch audit v1\n"), b...))
	return hex.EncodeToString(sum[:])
}

// ErrAudit says that an audit chain is broken.
var ErrAudit = errors.New("the audit chain is broken")

// Audit reads a request's chain and checks it. It returns what could be read
// along with ErrAudit if a link does not fit or is missing at the end.
func (t Runs) Audit(ctx context.Context, id string) ([]AuditEvent, error) {
	var events []AuditEvent
	prev, after := "", ""
	for {
		const page = 500
		rows, err := t.Reader.Rows(ctx, id, "audit#", after, page)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			after = row.Sort
			var e AuditEvent
			if err := json.Unmarshal(row.Body, &e); err != nil {
				return events, fmt.Errorf("%w: %s can't be read", ErrAudit, row.Sort)
			}
			events = append(events, e)
			if e.Seq != len(events) || e.Prev != prev || e.Hash != e.hash() {
				return events, fmt.Errorf("%w at link %d", ErrAudit, len(events))
			}
			prev = e.Hash
		}
		if len(rows) < page {
			break
		}
	}
	var head auditHead
	if _, err := t.find(ctx, headKey(id), &head); err != nil {
		return events, err
	}
	if head.Seq != len(events) || head.Hash != prev {
		return events, fmt.Errorf("%w: it ends at link %d of %d", ErrAudit, len(events), head.Seq)
	}
	return events, nil
}

// event makes a link's content; facts come in pairs.
func event(name, actor string, facts ...string) AuditEvent {
	e := AuditEvent{Event: name, Actor: actor}
	for i := 0; i+1 < len(facts); i += 2 {
		if facts[i+1] == "" {
			continue
		}
		if e.Facts == nil {
			e.Facts = map[string]string{}
		}
		e.Facts[facts[i]] = facts[i+1]
	}
	return e
}

// retire lets all rows of a request that is over for good expire with it.
func (x *Executor) retire(ctx context.Context, id string, ended time.Time) error {
	if x.Requests.Retention <= 0 || ended.IsZero() {
		return nil
	}
	expires := ended.Add(x.Requests.Retention)
	for after := ""; ; {
		rows, err := x.Store.Rows(ctx, id, "", after, MaxPuts)
		if err != nil {
			return err
		}
		var puts []Put
		for _, row := range rows {
			after = row.Sort
			if !row.Expires.Equal(expires) {
				row.Expires = expires
				puts = append(puts, Put{Row: row})
			}
		}
		if len(puts) > 0 {
			if err := x.Store.Write(ctx, puts...); err != nil {
				return unless(err, ErrConflict) // somebody still writes, and will come here again
			}
		}
		if len(rows) < MaxPuts {
			return nil
		}
	}
}

// record writes rows and the events that tell of them in one go: what is done
// is in the chain, and what is in the chain is done. It returns ErrConflict if
// one of the rows was written by somebody else.
func (x *Executor) record(ctx context.Context, id string, puts []Put, events ...AuditEvent) error {
	if len(puts)+len(events)+1 > MaxPuts {
		return fmt.Errorf("%d rows at once", len(puts)+len(events)+1)
	}
	for {
		var head auditHead
		version, err := x.runs().find(ctx, headKey(id), &head)
		if err != nil {
			return err
		}
		all := append([]Put(nil), puts...)
		for _, e := range events {
			head.Seq++
			e.Seq, e.At, e.Prev = head.Seq, x.Now().UTC(), head.Hash
			e.Hash = e.hash()
			head.Hash = e.Hash
			all = append(all, putRow(auditKey(id, e.Seq), 0, e))
		}
		if len(events) > 0 {
			all = append(all, putRow(headKey(id), version, head))
		}
		err = x.Store.Write(ctx, all...)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		// Was it the chain or one of the rows? Only the chain is worth another try.
		now, err := x.runs().find(ctx, headKey(id), &auditHead{})
		if err != nil {
			return err
		}
		if now == version {
			return ErrConflict
		}
	}
}
