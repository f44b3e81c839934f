package bot

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// traceView reads the trace of a request or an alert, and what contains what is in it; nil if there is none.
func (b *Bot) traceView(ctx context.Context, id string) (*cards.TraceView, error) {
	t, err := b.Runs.Trace(ctx, id)
	if errors.Is(err, approvals.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v := &cards.TraceView{ID: id, Trace: t, Actions: b.Org.Actions, Aliases: b.Org.Alias, Now: b.Now()}
	v.Acting, err = b.Requests.Acting(ctx)
	return v, err
}

// postTrace posts the list of what an alert's principal made, and keeps it up to date.
func (b *Bot) postTrace(ctx context.Context, a alerts.Alert, card *approvals.Card, since time.Time) error {
	v, err := b.traceView(ctx, a.ID)
	if err != nil {
		return err
	}
	if v == nil { // sent from here for the reason of postActivity
		return b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobTrace, ID: a.ID}, 0)
	}
	for _, say := range cards.TraceReplies(*v, card.Replies) {
		edited := false
		if card.Replies[say.Key] == "" {
			err = b.postOnce(ctx, a.ID, card, say.Key, say.Message, since)
			card.Replies = withReply(card.Replies, shows(say.Key), say.Shows())
			edited = true
		} else {
			edited, err = b.keepLive(ctx, card, say)
		}
		if err != nil {
			return err
		}
		if edited {
			if err := b.storeAlertCard(ctx, a.ID, card, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// redrawTraces draws the traces again that offer to contain what a request is about: its state is another
// one. What fails is left to their next drawing.
func (b *Bot) redrawTraces(ctx context.Context, r approvals.Request) {
	ids, err := b.Runs.TracedBy(ctx, r.Intent.Call.Target)
	for _, id := range slices.DeleteFunc(ids, func(id string) bool { return id == r.ID || id == r.Alert }) {
		err = errors.Join(err, b.redraw(ctx, id))
	}
	if err != nil {
		b.Log.WarnContext(ctx, "trace not drawn anew", slog.String("request_id", r.ID), slog.String("error", err.Error()))
	}
}

// redraw draws a request or an alert again after a change outside its row.
func (b *Bot) redraw(ctx context.Context, id string) error {
	if approvals.IsAlertID(id) {
		return b.redrawAlert(ctx, id)
	}
	_, err := b.Requests.Change(ctx, id, func(r *approvals.Request) error {
		r.Revise()
		return nil
	})
	if errors.Is(err, approvals.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.draw(ctx, id)
}
