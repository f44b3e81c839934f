package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

const (
	sweepPage  = 100
	sweepReads = 32               // rows that are read at the same time
	jobOverdue = 15 * time.Second // after which a job that shows no effect is sent again
)

// Sweep looks after requests and alerts, at the same time: neither must keep the other
// waiting, or from being done. It runs every minute, and once at the start.
func (b *Bot) Sweep(ctx context.Context) error {
	var wg sync.WaitGroup
	var ofRequests error
	wg.Go(func() { ofRequests = b.SweepRequests(ctx) })
	ofAlerts := b.SweepAlerts(ctx)
	wg.Wait()
	return errors.Join(ofRequests, ofAlerts)
}

// SweepRequests expires what is over, sends again the jobs that got lost, draws the cards
// that Slack missed, those that call people first, and last of all the time that is left.
func (b *Bot) SweepRequests(ctx context.Context) error {
	b.people.warm(ctx, b)
	err := errors.Join(
		b.each(ctx, approvals.MarkOpen, 1, b.advance),
		b.each(ctx, approvals.MarkInForce, sweepReads, b.watch),
		b.watchSlack(ctx), // what is drawn may take all the time that there is
		b.each(ctx, approvals.MarkStale, 1, b.drawCall),
		b.each(ctx, approvals.MarkStale, 1, func(ctx context.Context, r approvals.Request) error { return b.draw(ctx, r.ID) }),
		b.each(ctx, approvals.MarkOpen, 1, b.drawTimeLeft),
	)
	if err != nil {
		b.Log.ErrorContext(ctx, "sweep", slog.String("error", err.Error()))
	}
	return err
}

// each looks after the requests with a mark, so many at the same time.
func (b *Bot) each(ctx context.Context, mark string, atOnce int, do func(context.Context, approvals.Request) error) error {
	var mu sync.Mutex
	var errs []error
	for after := ""; ; {
		rs, err := b.Requests.Marked(ctx, mark, after, sweepPage)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		_ = actions.Parallel(len(rs), atOnce, func(i int) error {
			r := rs[i]
			err := approvals.Guard(ctx, b.Log, slog.String("request_id", r.ID), func() error {
				if r.State == "" {
					return errors.New("the row can't be read")
				}
				return do(ctx, r)
			})
			if err != nil && !errors.Is(err, approvals.ErrNotFound) {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", r.ID, err))
			}
			return nil // one request's trouble is not the others'
		})
		if len(rs) < sweepPage {
			return errors.Join(errs...)
		}
		after = rs[len(rs)-1].ID
	}
}

// drawTimeLeft draws a pending card anew, for the time that is left.
func (b *Bot) drawTimeLeft(ctx context.Context, r approvals.Request) error {
	if r.State != approvals.Pending || b.Now().Sub(r.Card.DrawnAt) < pendingEvery {
		return nil
	}
	return b.draw(ctx, r.ID)
}

// drawCall draws a stale card if that calls people: they go before all others.
func (b *Bot) drawCall(ctx context.Context, r approvals.Request) error {
	if calls := r.State == approvals.Pending || r.State.Missed(); !calls || r.Card.State == r.State {
		return nil
	}
	return b.draw(ctx, r.ID)
}

// advance looks after one open request.
func (b *Bot) advance(ctx context.Context, r approvals.Request) error {
	now := b.Now()
	switch r.State {
	case approvals.Planning:
		if now.After(r.Expires) {
			return b.expire(ctx, r.ID)
		}
		if now.Sub(r.Asked) > jobOverdue {
			return b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobPlan, ID: r.ID}, 0)
		}
	case approvals.Pending:
		if now.After(r.Expires) {
			return b.expire(ctx, r.ID)
		}
		err := b.pageRequest(ctx, r)
		if cards.ReminderDue(r, now) {
			err = errors.Join(err, b.draw(ctx, r.ID))
		}
		return err
	case approvals.Approved:
		last := r.ApprovedAt()
		if now.After(last.Add(b.Policy.For(r.Intent).RunWithin)) {
			return b.expire(ctx, r.ID)
		}
		if now.Sub(last) > jobOverdue {
			return b.Jobs.Send(ctx, approvals.RunJob(r.ID, r.Intent), 0)
		}
	case approvals.Running:
		run, err := b.Runs.Run(ctx, r.ID)
		if err != nil {
			return err
		}
		if now.After(run.Lease.Until.Add(jobOverdue)) {
			return b.Jobs.Send(ctx, approvals.RunJob(r.ID, r.Intent), 0)
		}
	case approvals.Denied, approvals.Cancelled, approvals.Expired, approvals.Partial, approvals.Failed:
		if now.Sub(r.Ended) > jobOverdue {
			return b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobClose, ID: r.ID}, 0)
		}
	case approvals.Undoing:
		err := b.sendLook(ctx, r)
		if r.UndoneBy != "" && now.Sub(r.Card.DrawnAt) > jobOverdue {
			err = errors.Join(err, b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobUndo, ID: r.UndoneBy}, 0))
		}
		return err
	case approvals.Contained, approvals.Restored, approvals.Refused, approvals.Undone:
	}
	return nil
}

// watch sends the look at a containment that is due. It sees to it that people hear of one that
// is none.
func (b *Bot) watch(ctx context.Context, r approvals.Request) error {
	var err error
	if r.State.Missed() || r.BreakGlass != nil {
		err = b.pageRequest(ctx, r)
	}
	if r.Intent.Undo != "" || r.State != approvals.Contained && r.State != approvals.Partial {
		return err
	}
	return errors.Join(err, b.sendLook(ctx, r))
}

// sendLook sends the look at a containment that is due and is not about to happen by itself, and
// the page if somebody works against it.
func (b *Bot) sendLook(ctx context.Context, r approvals.Request) error {
	run, err := b.Runs.Run(ctx, r.ID)
	if err != nil {
		return err
	}
	due := !run.NextCheck.IsZero() && b.Now().Sub(run.NextCheck) > jobOverdue
	if due && !run.Lease.Held(b.Now()) || run.NextCheck.IsZero() && run.Revision != r.RunRevision {
		err = b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobLook, ID: r.ID}, 0)
	}
	if run.Tampered >= approvals.PagedTampering && r.State == approvals.Contained {
		err = errors.Join(err, b.pageRequest(ctx, r))
	}
	return err
}

// pageRequest sends the job that calls the pager for a request, if that is due.
func (b *Bot) pageRequest(ctx context.Context, r approvals.Request) error {
	if b.PagerAfter == 0 || b.Now().Sub(r.Asked) < b.PagerAfter && r.BreakGlass == nil {
		return nil
	}
	due, _, err := b.Runs.PageDue(ctx, r, b.PagerAfter, b.Now())
	if err != nil || due == "" {
		return err
	}
	return b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobNotify, ID: r.ID}, 0)
}

func (b *Bot) expire(ctx context.Context, id string) error {
	errLate := errors.New("no longer waiting")
	_, err := b.Requests.Change(ctx, id, func(r *approvals.Request) error {
		waiting := (r.State == approvals.Planning || r.State == approvals.Pending) && b.Now().After(r.Expires)
		idle := r.State == approvals.Approved && b.Now().After(r.ApprovedAt().Add(b.Policy.For(r.Intent).RunWithin))
		if !waiting && !idle {
			return errLate
		}
		return r.To(approvals.Expired, b.Now())
	})
	if errors.Is(err, errLate) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobClose, ID: id}, 0); err != nil {
		return err
	}
	return b.draw(ctx, id)
}
