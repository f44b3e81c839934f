package approvals

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// BucketKey is the row that notes which head of a request's audit chain the bucket has.
func BucketKey(id string) Key { return Key{id, "bucket"} }

// Audit reads and verifies the record of a request, or of a statement. It returns
// [audit.ErrBroken], with what can be read of it, if something was altered or is missing.
func (t Runs) Audit(ctx context.Context, id string) (audit.Record, error) {
	head, err := t.head(ctx, id)
	for range readAgain {
		if err != nil {
			break
		}
		var rec audit.Record
		var unread error
		if rec, unread, err = t.record(ctx, id); err != nil {
			break
		}
		rec.Head = head
		if head, err = t.head(ctx, id); err == nil && head == rec.Head {
			return rec, cmp.Or(unread, rec.Verify())
		}
	}
	return audit.Record{ID: id}, cmp.Or(err, errors.New("its record grows while it is read: try again"))
}

// readAgain is how often a record is read that grows meanwhile.
const readAgain = 5

// head reads the head of a chain; that of an empty one if there is none.
func (t Runs) head(ctx context.Context, id string) (h audit.Head, err error) {
	version, err := t.Find(ctx, HeadKey(id), &h)
	if version == 0 {
		h = audit.Start(id)
	}
	return h, err
}

// record reads a record without its head. unread is the error of an event that can't be read.
func (t Runs) record(ctx context.Context, id string) (rec audit.Record, unread, err error) {
	rec = audit.Record{ID: id, Events: []audit.Event{}}
	if unread, err = t.chain(ctx, id, &rec); err != nil {
		return rec, nil, err
	}
	key, is := strings.CutPrefix(id, audit.StatementPrefix)
	if !is {
		return rec, unread, t.beside(ctx, id, &rec)
	}
	_, err = t.Attestation(ctx, key)
	rec.Signed = err == nil
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return rec, unread, err
}

// chain reads the events of a chain. unread is the error of one that can't be read: the rest
// does not follow from it.
func (t Runs) chain(ctx context.Context, id string, rec *audit.Record) (unread, err error) {
	for after := ""; ; {
		const page = 500
		rows, err := t.Reader.Rows(ctx, id, auditSort, after, page)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			after = row.Sort
			var e audit.Event
			if err := json.Unmarshal(row.Body, &e); err != nil {
				return fmt.Errorf("%w: %s can't be read", audit.ErrBroken, row.Sort), nil
			}
			rec.Events = append(rec.Events, e)
		}
		if len(rows) < page {
			return nil, nil
		}
	}
}

// beside reads the rows beside a request's chain.
func (t Runs) beside(ctx context.Context, id string, rec *audit.Record) error {
	switch p, err := t.Planned(ctx, id); {
	case err == nil:
		rec.Plan = &audit.Plan{Person: p.Person, Intent: p.Intent.String(), Reason: p.Reason, Evidence: p.Evidence, Digest: p.Digest}
	case !errors.Is(err, ErrNotFound):
		return err
	}
	switch r, err := t.Run(ctx, id); {
	case err == nil:
		rec.Run = &audit.Run{Outcome: string(r.Outcome), Attempt: r.Attempt, Approvers: r.Approvers, Ended: r.Ended}
	case !errors.Is(err, ErrNotFound):
		return err
	}
	var b audit.Bucket
	version, err := t.Find(ctx, BucketKey(id), &b)
	if version > 0 {
		rec.Bucket = &b
	}
	return err
}
