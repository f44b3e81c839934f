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
