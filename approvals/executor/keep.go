package executor

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// Heads takes heads of audit chains to where nobody can alter them. Keep may be called again
// for the same head.
type Heads interface {
	Keep(ctx context.Context, k audit.Kept) error
}

const (
	keepEvery = 24 * time.Hour   // a head of what is in force
	keepAgain = 15 * time.Minute // after one that was not taken: the longest delay of a job
	keepSoon  = time.Minute      // after one that failed for a passing cause
	oneDay    = 24 * time.Hour
)

// keepHead brings the head of a request's chain to the bucket, if that is due: at the claim,
// with each outcome, and once a day while the chain grows. A head that is not taken is noted
// beside the chain and tried again until it is; nothing waits for it.
func (x *Executor) keepHead(ctx context.Context, id string) error {
	if x.Heads == nil {
		return nil
	}
	row, err := x.Store.Get(ctx, approvals.BucketKey(id))
	if err := ignore(err, approvals.ErrNotFound); err != nil {
		return err
	}
	run, err := x.runs().Run(ctx, id)
	if err != nil {
		return ignore(err, approvals.ErrNotFound)
	}
	var head audit.Head
	if _, err := x.runs().Find(ctx, approvals.HeadKey(id), &head); err != nil {
		return err
	}
	now := x.Now().UTC()
	b := noted(row.Body, head, now)
	if !keepDue(b, head, run, now) {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	kept := audit.Kept{ID: id, Head: head, Until: x.lockedUntil(now)}
	if err := x.Heads.Keep(within, kept); err == nil {
		b = audit.Bucket{Head: head, At: now, Outcome: string(run.Outcome), Attempt: run.Attempt}
	} else {
		x.Log.ErrorContext(ctx, "audit head not kept", slog.String("request_id", id), slog.Int("seq", head.Seq), slog.String("error", err.Error()))
		pause := keepAgain
		if actions.Transient(err) {
			pause = keepSoon
		}
		if err := x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobKeep, ID: id}, pause); err != nil {
			return err
		}
		if b.Since.IsZero() {
			b.Since = now
		}
		b.Failed, _ = actions.Explain(err)
		b.Next = now.Add(pause)
	}
	put := approvals.PutRow(approvals.BucketKey(id), row.Version, b)
	if x.Requests.Retention > 0 && !run.Ended.IsZero() && !run.Outcome.InForce() {
		put.Expires = run.Ended.Add(x.Requests.Retention) // as the rows beside it
	}
	return ignore(x.Store.Write(ctx, put), approvals.ErrConflict)
}

// lockedUntil is the day to which a head is locked that is brought at a time.
func (x *Executor) lockedUntil(at time.Time) time.Time {
	return at.Add(max(x.Requests.Retention, oneDay)).Truncate(oneDay).Add(oneDay)
}

// noted reads what the row beside the chain says. It is nothing if the executor can't have written
// it, whose clocks may differ: then the head is brought again, whoever would not have it.
func noted(body []byte, head audit.Head, now time.Time) (b audit.Bucket) {
	err := json.Unmarshal(body, &b)
	latest := now.Add(approvals.ClockSkew)
	if err != nil || b.Seq < 0 || b.Seq > head.Seq || b.At.After(latest) || b.Next.After(latest.Add(keepAgain)) {
		return audit.Bucket{}
	}
	return b
}

// keepDue reports whether a head is to be brought to the bucket now.
func keepDue(b audit.Bucket, head audit.Head, run approvals.Run, now time.Time) bool {
	switch {
	case head.Seq <= b.Seq || now.Before(b.Next.Add(-early)): // a job for the next try is under way
		return false
	case b.Seq == 0 || b.Outcome != string(run.Outcome) || b.Attempt != run.Attempt:
		return true
	}
	return now.Sub(b.At) >= keepEvery
}

// sendKeep sends the job that brings a head to the bucket.
func (x *Executor) sendKeep(ctx context.Context, id string) error {
	if x.Heads == nil {
		return nil
	}
	return x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobKeep, ID: id}, 0)
}

// keepMeanwhile sends that job beside a run, which does not wait for it. The caller must call
// wait before it returns.
func (x *Executor) keepMeanwhile(ctx context.Context, id string) (wait func()) {
	var sending sync.WaitGroup
	if x.Heads != nil {
		sending.Go(func() {
			if err := x.sendKeep(ctx, id); err != nil { // the next look or the end sends another one
				x.Log.WarnContext(ctx, "job for an audit head not sent", slog.String("request_id", id), slog.String("error", err.Error()))
			}
		})
	}
	return sending.Wait
}
