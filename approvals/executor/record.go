package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// expireRows lets all rows of a request that is over for good expire with it.
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
				return ignore(err, approvals.ErrConflict) // somebody still writes, and will come here again
			}
		}
		if len(rows) < approvals.MaxPuts {
			return nil
		}
	}
}

// record writes rows and the events that tell of them in one go: what is done
// is in the chain, and what is in the chain is done. It returns ErrConflict if
// one of the rows was written by somebody else.
func (x *Executor) record(ctx context.Context, id string, puts []approvals.Put, events ...audit.Event) error {
	if len(puts)+len(events)+1 > approvals.MaxPuts {
		return fmt.Errorf("%d rows at once", len(puts)+len(events)+1)
	}
	for {
		var head audit.Head
		version, err := x.runs().Find(ctx, approvals.HeadKey(id), &head)
		if err != nil {
			return err
		}
		all := append([]approvals.Put(nil), puts...)
		for _, e := range events {
			e = head.Append(e, x.Now())
			all = append(all, approvals.PutRow(approvals.AuditKey(id, e.Seq), 0, e))
		}
		if len(events) > 0 {
			all = append(all, approvals.PutRow(approvals.HeadKey(id), version, head))
		}
		err = x.Store.Write(ctx, all...)
		if !errors.Is(err, approvals.ErrConflict) {
			return err
		}
		// Was it the chain or one of the rows? Only the chain is worth another try.
		now, err := x.runs().Find(ctx, approvals.HeadKey(id), &audit.Head{})
		if err != nil {
			return err
		}
		if now == version {
			return approvals.ErrConflict
		}
	}
}
