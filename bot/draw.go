package bot

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

const (
	drawLease    = 20 * time.Second // one worker draws a card at a time
	drawEvery    = 5 * time.Second  // a running request's card, at most
	pendingEvery = time.Minute      // a pending request's card, for the time left
	drawRounds   = 5                // how often one call follows changes made meanwhile
)

// view gathers what a card shows.
func (b *Bot) view(ctx context.Context, r approvals.Request) (cards.View, error) {
	v := cards.View{Actions: b.Org.Actions, Request: r, Now: b.Now()}
	if p, err := b.Runs.Planned(ctx, r.ID); err == nil {
		v.Planned = &p
	} else if !errors.Is(err, approvals.ErrNotFound) {
		return v, err
	}
	v.Alias = b.Org.Alias(v.AccountID())
	if run, err := b.Runs.Run(ctx, r.ID); err == nil {
		v.Run = &run
	} else if !errors.Is(err, approvals.ErrNotFound) {
		return v, err
	}
	steps, err := b.Runs.Steps(ctx, r.ID, cards.MaxSteps)
	if err != nil {
		return v, err
	}
	v.Steps = steps
	if v.Run != nil && v.Run.Progress.Total > 0 && v.Run.Outcome != "" {
		if v.Left, err = b.unfinishedSteps(ctx, r); err != nil {
			return v, err
		}
	}
	if v.Stay, err = b.causesOfKept(ctx, r); err != nil {
		return v, err
	}
	if rep, err := b.Runs.Report(ctx, r.ID); err == nil {
		v.Report = &rep
	} else if !errors.Is(err, approvals.ErrNotFound) {
		return v, err
	}
	if r.State == approvals.Pending {
		for _, id := range b.Policy.Decide(r, approvals.Approve, approvals.Vote{}, v.Now).Waiting {
			if p, ok := b.Policy.Roster.ByID(id); ok {
				v.Waiting = append(v.Waiting, p)
			}
		}
	}
	return v, nil
}

// unfinishedSteps are the steps of many that were not done: for the card and the thread.
func (b *Bot) unfinishedSteps(ctx context.Context, r approvals.Request) ([]approvals.Step, error) {
	all, err := b.Runs.Steps(ctx, r.ID, 0)
	return slices.DeleteFunc(all, func(s approvals.Step) bool {
		return s.State != approvals.StepSkipped && s.State != approvals.StepFailed
	}), err
}

// causesOfKept is why steps stay: the ledger of the undo has it, which is another request
// than the one that it takes back.
func (b *Bot) causesOfKept(ctx context.Context, r approvals.Request) ([]string, error) {
	undo := r.ID
	switch {
	case r.State == approvals.Undone && approvals.IsRequestID(r.UndoneBy):
		undo = r.UndoneBy
	case r.State != approvals.Restored:
		return nil, nil
	}
	steps, err := b.Runs.Steps(ctx, undo, 0)
	var causes []string
	for _, s := range steps {
		if s.State == approvals.StepKept {
			causes = append(causes, s.Cause)
		}
	}
	return causes, err
}

// draw brings a request's card and thread up to date. What Slack refuses is
// left to the sweep: it is no error of the caller's, whose work is stored.
func (b *Bot) draw(ctx context.Context, id string) error {
	for range drawRounds {
		r, err := b.lease(ctx, id)
		if errors.Is(err, errBusy) {
			return nil
		}
		if err != nil {
			return err
		}
		card := r.Card
		v, err := b.view(ctx, r)
		if err == nil {
			err = b.postRequest(ctx, v, &card)
		}
		after, uerr := b.Requests.Change(ctx, id, func(r *approvals.Request) error {
			card.Lease = approvals.Lease{}
			r.Card = card
			return nil
		})
		if uerr != nil {
			return uerr
		}
		if err != nil {
			b.Log.WarnContext(ctx, "card not drawn", slog.String("request_id", id), slog.String("state", string(r.State)), slog.String("error", err.Error()))
			return nil
		}
		if !after.Stale() {
			return nil
		}
	}
	return nil
}

// errBusy stops a drawing that another worker does, or that can wait.
var errBusy = errors.New("drawn by another")

// lease makes this worker the one that draws.
func (b *Bot) lease(ctx context.Context, id string) (approvals.Request, error) {
	now := b.Now()
	return b.Requests.Change(ctx, id, func(r *approvals.Request) error {
		running := r.State == approvals.Running && r.Card.State == approvals.Running
		if running && now.Sub(r.Card.DrawnAt) < drawEvery || !r.Card.StartDrawing(now, drawLease) {
			return errBusy
		}
		return nil
	})
}

// postRequest sends the card, then the replies that are due. The card of the alert that
// the request was born of shows its state, too.
func (b *Bot) postRequest(ctx context.Context, v cards.View, card *approvals.Card) error {
	r := v.Request
	if err := b.setThread(ctx, r, card); err != nil {
		return err
	}
	if err := b.postOrUpdate(ctx, card, cards.Card(v), "· "+r.ID); err != nil {
		return err
	}
	if r.Alert != "" && card.State != r.State {
		if err := b.redrawAlert(ctx, r.Alert); err != nil {
			b.Log.WarnContext(ctx, "alert not drawn anew", slog.String("request_id", r.ID), slog.String("alert_id", r.Alert), slog.String("error", err.Error()))
		}
	}
	card.DrawnAt, card.State = v.Now, r.State
	for _, reply := range cards.Replies(v) {
		if err := b.reply(ctx, v, card, reply); err != nil {
			return err
		}
	}
	card.Revision = r.Revision
	return nil
}

// postOrUpdate posts a message, or updates it where it stands. By mark, a part of its text,
// it is found again. In a thread it is shown in the channel, too.
func (b *Bot) postOrUpdate(ctx context.Context, card *approvals.Card, m cards.Message, mark string) error {
	m.Broadcast = true
	if card.TS == "" && !card.Fresh {
		// Somebody began to post and was not heard of again: it may be there.
		card.TS = b.Slack.find(ctx, card.Channel, "", mark, card.Posting)
	}
	if card.TS != "" {
		err := b.Slack.update(ctx, card.Channel, card.TS, m)
		if !messageGone(err) {
			return err
		}
		*card = approvals.Card{Channel: card.Channel, Thread: card.Thread, Posting: b.Now()}
	}
	ts, err := b.Slack.post(ctx, card.Channel, card.Thread, m)
	if card.Thread != "" && threadGone(err) {
		card.Thread = ""
		ts, err = b.Slack.post(ctx, card.Channel, "", m)
	}
	if definitelyFailed(err) {
		card.Posting = time.Time{}
	}
	card.TS = ts
	return err
}

// thread is where replies to a card go. Slack has no threads in threads.
func thread(c approvals.Card) string {
	if c.Thread != "" {
		return c.Thread
	}
	return c.TS
}

// reply posts one thread reply, once.
func (b *Bot) reply(ctx context.Context, v cards.View, card *approvals.Card, say cards.Reply) error {
	ts, tried := card.Replies[say.Key]
	if ts != "" {
		return nil
	}
	if tried {
		ts = b.Slack.find(ctx, card.Channel, thread(*card), say.Text, v.Request.Asked)
	} else if err := b.storeReply(ctx, v.Request.ID, card, say.Key, ""); err != nil {
		return err
	}
	if ts == "" {
		var err error
		if ts, err = b.Slack.post(ctx, card.Channel, thread(*card), say.Message); err != nil {
			return err
		}
	}
	return b.storeReply(ctx, v.Request.ID, card, say.Key, ts)
}

// storeReply notes that a reply is being posted, or was.
func (b *Bot) storeReply(ctx context.Context, id string, card *approvals.Card, key, ts string) error {
	if card.Replies == nil {
		card.Replies = map[string]string{}
	}
	card.Replies[key] = ts
	_, err := b.Requests.Change(ctx, id, func(r *approvals.Request) error {
		r.Card = *card
		return nil
	})
	return err
}
