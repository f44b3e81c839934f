package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// expireRows sets the expiry of all rows of a request that has ended.
func (x *Executor) expireRows(ctx context.Context, id string, ended time.Time) error {
	if x.Requests.Retention <= 0 || ended.IsZero() {
		return nil
	}
	expires := ended.Add(x.Requests.Retention)
	for after := ""; ; {
		rows, err := x.Store.Rows(ctx, id, "", after, approvals.MaxPuts)
		if err != nil {
			return err
		}
		var puts []approvals.Put
		for _, row := range rows {
			after = row.Sort
			if !row.Expires.Equal(expires) {
				row.Expires = expires
				puts = append(puts, approvals.Put{Row: row})
			}
		}
		if len(puts) > 0 {
			if err := x.Store.Write(ctx, puts...); err != nil {
				return ignore(err, approvals.ErrConflict) // another worker writes, and calls this afterwards
			}
		}
		if len(rows) < approvals.MaxPuts {
			return nil
		}
	}
}

// record writes rows and their audit events in one transaction: neither exists without
// the other. It returns ErrConflict if somebody else wrote one of the rows.
func (x *Executor) record(ctx context.Context, id string, puts []approvals.Put, events ...audit.Event) error {
	if len(puts)+len(events)+1 > approvals.MaxPuts {
		return fmt.Errorf("%d rows at once", len(puts)+len(events)+1)
	}
	if len(events) == 0 {
		return x.Store.Write(ctx, puts...)
	}
	for {
		head := audit.Start(id)
		version, err := x.runs().Find(ctx, approvals.HeadKey(id), &head)
		if err != nil {
			return err
		}
		all := append([]approvals.Put(nil), puts...)
		for _, e := range events {
			e = head.Append(e, x.Now())
			all = append(all, approvals.PutRow(approvals.AuditKey(id, e.Seq), 0, e))
		}
		all = append(all, approvals.PutRow(approvals.HeadKey(id), version, head))
		err = x.Store.Write(ctx, all...)
		if !errors.Is(err, approvals.ErrConflict) {
			return err
		}
		// Only a conflict on the chain is worth another try.
		now, err := x.runs().Find(ctx, approvals.HeadKey(id), &audit.Head{})
		if err != nil {
			return err
		}
		if now == version {
			return approvals.ErrConflict
		}
	}
}
