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

const (
	drawLease     = time.Minute     // one worker draws a card at a time; longer than two messages take
	drawEvery     = 5 * time.Second // a running request's card, at most
	pendingEvery  = time.Minute     // a pending request's card, for the time left
	planningAlone = 5 * time.Second // of planning, without a card
	drawRounds    = 5               // how often one call follows changes made meanwhile
)

// view reads everything that a request's card shows.
func (b *Bot) view(ctx context.Context, r approvals.Request) (cards.View, error) {
	s, err := b.Runs.Show(ctx, r, cards.MaxSteps)
	v := cards.View{Org: b.Org, Request: r, Planned: s.Planned, Run: s.Run, Steps: s.Steps, Now: b.Now(), SocketMode: b.SocketMode}
	if err != nil {
		return v, err
	}
	v.Alias = b.Org.Alias(v.AccountID())
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
	if v.Trace, err = b.traceView(ctx, r.ID); err != nil {
		return v, err
	}
	if r.State == approvals.Pending {
		d := b.Policy.Decide(r, approvals.Approve, approvals.Vote{}, v.Now)
		v.Unsigned, v.Waiting, v.Own = d.Unsigned, b.Policy.Roster.Persons(d.Waiting), b.Policy.Roster.Persons(d.Own)
		v.Owners, v.Group = b.Policy.Roster.Persons(d.Owners), b.Usergroups[b.Policy.For(r.Intent).Approvers]
	} else if v.Run != nil && v.Run.BreakGlass != nil { // they are called
		group := b.Policy.For(r.Intent).Approvers
		own := b.Policy.Roster.Owners(r.Intent.Call, r.Found)
		for _, p := range b.Policy.Roster.People {
			if b.Policy.Roster.In(p.ID, group) && p.ID != v.Run.BreakGlass.Person && !slices.Contains(own, p.ID) {
				v.Waiting = append(v.Waiting, p)
			}
		}
		v.Own, v.Group = b.Policy.Roster.Persons(own), b.Usergroups[group]
	}
	return v, nil
}

// unfinishedSteps are the steps that failed or were skipped.
func (b *Bot) unfinishedSteps(ctx context.Context, r approvals.Request) ([]approvals.Step, error) {
	all, err := b.Runs.Steps(ctx, r.ID, 0)
	return slices.DeleteFunc(all, func(s approvals.Step) bool {
		return s.State != approvals.StepSkipped && s.State != approvals.StepFailed
	}), err
}

// causesOfKept are the reasons for which an undo kept steps. They are in the ledger of
// the undo, which is another request than the one that it takes back.
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

// draw brings a request's card and thread up to date. Errors of Slack are logged and
// left to the sweep: the work of the caller is stored.
func (b *Bot) draw(ctx context.Context, id string) error {
	for range drawRounds {
		r, err := b.lease(ctx, id)
		if errors.Is(err, errNothingToDo) {
			return nil
		}
		if err != nil {
			return err
		}
		card, second := r.Card, r.Second
		v, err := b.view(ctx, r)
		if err == nil {
			err = b.postRequest(ctx, v, &card, &second)
		}
		held := card.Lease.Until
		card.Lease = approvals.Lease{}
		after, uerr := b.Requests.Change(ctx, id, func(r *approvals.Request) error {
			if !r.Card.Keep(card, held) {
				return errNothingToDo
			}
			r.Second = second
			return nil
		})
		if errors.Is(uerr, errNothingToDo) {
			return nil // another worker has taken over
		}
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

// errNothingToDo stops a change because another worker does the work, or because there is
// nothing to do.
var errNothingToDo = errors.New("another worker does it, or there is nothing to do")

// lease takes the lease on drawing a request. It returns errNothingToDo if another worker has
// it, or if the card of a running request was drawn just now.
func (b *Bot) lease(ctx context.Context, id string) (approvals.Request, error) {
	now := b.Now()
	return b.Requests.Change(ctx, id, func(r *approvals.Request) error {
		if alone := now.Sub(r.Asked) < planningAlone && r.Mode == approvals.TwoPerson; alone && r.State == approvals.Planning && r.Card.TS == "" {
			return errNothingToDo // the first post is the call to approve
		}
		running := r.State == approvals.Running && r.Card.State == approvals.Running
		if running && now.Sub(r.Card.DrawnAt) < drawEvery || !r.StartDrawing(now, drawLease) {
			return errNothingToDo
		}
		return nil
	})
}

// postRequest posts or updates the card and the second one, then posts the replies that are
// due. If the state has changed, the card of its alert is drawn again, too.
func (b *Bot) postRequest(ctx context.Context, v cards.View, card, second *approvals.Card) error {
	r := v.Request
	err := b.setThread(ctx, r, card)
	if err == nil {
		err = b.postCard(ctx, v, card)
	}
	if err != nil {
		second.NotBegun() // nobody may act on it where the incident channel sees nothing
		return err
	}
	later := b.postSecond(ctx, v, *card, second)
	if r.Alert != "" && card.State != r.State {
		if err := b.redrawAlert(ctx, r.Alert); err != nil {
			b.Log.WarnContext(ctx, "alert not drawn anew", slog.String("request_id", r.ID), slog.String("alert_id", r.Alert), slog.String("error", err.Error()))
		}
	}
	if card.State != r.State {
		b.redrawTraces(ctx, r)
	}
	card.DrawnAt, card.State = v.Now, r.State
	for _, reply := range cards.Replies(v) {
		if err := b.reply(ctx, v, card, reply); err != nil {
			return errors.Join(err, later)
		}
	}
	if later == nil {
		card.Revision = r.Revision
	}
	return later
}

// postCard posts the request's card, or updates it. What becomes pending is posted anew, so
// that those who may approve are called: an edit notifies nobody. If there was a card while
// it was planned, the new one is in its thread.
func (b *Bot) postCard(ctx context.Context, v cards.View, card *approvals.Card) error {
	r, m := v.Request, cards.Card(v)
	if r.State == approvals.Pending && (card.State == approvals.Planning || card.State == approvals.Approved) && card.TS != "" {
		*card = approvals.Card{Channel: card.Channel, Thread: thread(*card), Planning: card.TS, State: approvals.Planning, Posting: b.Now(), Fresh: true, Lease: card.Lease, Replies: card.Replies}
	}
	if r.State == approvals.Pending && card.TS == "" {
		m = cards.Call(v)
	}
	m.By = asker(r)
	if err := b.postOrUpdate(ctx, card, m, "· "+r.ID); err != nil || card.Planning == "" {
		return err
	}
	if err := b.Slack.update(ctx, card.Channel, card.Planning, cards.Say(cards.CardMoved, r.ID)); err != nil {
		b.Log.InfoContext(ctx, "planning card not marked", slog.String("request_id", r.ID), slog.String("error", err.Error()))
	}
	card.Planning = ""
	return nil
}

// errAlertPosting says that another worker is posting the alert's card, in whose thread
// the request belongs.
var errAlertPosting = errors.New("the alert's card is being posted")

// setThread puts a request's card into the thread of its alert. If the alert has no
// card, the request is posted in the channel.
func (b *Bot) setThread(ctx context.Context, r approvals.Request, card *approvals.Card) error {
	if r.Alert == "" || card.TS != "" || card.Thread != "" {
		return nil
	}
	err := b.drawAlert(ctx, r.Alert)
	var a alerts.Alert
	if err == nil {
		a, err = b.alerts().Get(ctx, r.Alert)
	}
	if err != nil { // a card in the wrong place is better than none
		b.Log.WarnContext(ctx, "alert not found", slog.String("request_id", r.ID), slog.String("alert_id", r.Alert), slog.String("error", err.Error()))
		return nil
	}
	if a.Card.TS == "" && a.Card.Lease.Held(b.Now()) {
		return errAlertPosting
	}
	if a.Card.Channel == card.Channel {
		card.Thread = a.Card.TS
	}
	return nil
}

// postOrUpdate posts the card or updates it in place; in a thread it is broadcast to
// the channel. If an earlier post's answer was lost, the message is found by marker, a
// substring of its text. A card whose channel takes no messages any more moves to the
// incident channel.
func (b *Bot) postOrUpdate(ctx context.Context, card *approvals.Card, m cards.Message, marker string) error {
	err := b.postOrUpdateThere(ctx, card, m, marker)
	if channelGone(err) && card.Channel != b.IncidentChannel {
		b.Log.WarnContext(ctx, "card moves to the incident channel", slog.String("channel", card.Channel), slog.String("error", err.Error()))
		b.tellOfChannel(ctx, card.Channel, cards.ChannelGone(card.Channel, codeOf(err)))
		*card = approvals.Card{Channel: b.IncidentChannel, Posting: b.Now(), Fresh: true, Lease: card.Lease}
		err = b.postOrUpdateThere(ctx, card, m, marker)
	}
	return err
}

// postOrUpdateThere does so in the card's channel.
func (b *Bot) postOrUpdateThere(ctx context.Context, card *approvals.Card, m cards.Message, marker string) error {
	m.Broadcast = true
	if card.TS == "" && !card.Fresh {
		// Somebody began to post and was not heard of again: it may be there.
		card.TS = b.Slack.find(ctx, card.Channel, "", marker, card.Posting)
	}
	if card.TS != "" {
		err := b.Slack.update(ctx, card.Channel, card.TS, m)
		if !messageGone(err) {
			return err
		}
		*card = approvals.Card{Channel: card.Channel, Thread: card.Thread, Posting: b.Now(), Lease: card.Lease}
	}
	if err := b.turn(ctx, card.Channel, m); err != nil {
		card.NotBegun()
		return err
	}
	ts, err := b.Slack.post(ctx, card.Channel, card.Thread, m)
	if card.Thread != "" && threadGone(err) {
		card.Thread = ""
		ts, err = b.Slack.post(ctx, card.Channel, "", m)
	}
	if definitelyFailed(err) {
		card.Posting = time.Time{}
	}
	if card.TS = ts; err == nil {
		card.Link = b.Slack.permalink(ctx, *card)
	}
	return err
}

// thread is the message in whose thread the replies to a card go: Slack has no nested
// threads.
func thread(c approvals.Card) string {
	if c.Thread != "" {
		return c.Thread
	}
	return c.TS
}

// reply posts a reply in a request's thread, once. If the answer to an earlier post was
// lost, the message is found by its text.
func (b *Bot) reply(ctx context.Context, v cards.View, card *approvals.Card, say cards.Reply) error {
	ts, tried := card.Replies[say.Key]
	if ts != "" {
		shown, err := b.keepLive(ctx, card, say)
		if err != nil || !shown {
			return err
		}
		return b.storeReply(ctx, v.Request.ID, card, say.Key, ts)
	}
	if first := card.Replies[say.Completes]; first != "" {
		if err := b.Slack.update(ctx, card.Channel, first, say.Message); err != nil && !messageGone(err) {
			return err
		}
		return b.storeReply(ctx, v.Request.ID, card, say.Key, first)
	}
	say.By = asker(v.Request)
	if err := b.turn(ctx, card.Channel, say.Message); err != nil {
		return err
	}
	if tried {
		ts = b.Slack.find(ctx, card.Channel, thread(*card), say.Found(), v.Request.Asked)
	} else if err := b.storeReply(ctx, v.Request.ID, card, say.Key, ""); err != nil {
		return err
	}
	if ts == "" {
		var err error
		if ts, err = b.Slack.post(ctx, card.Channel, thread(*card), say.Message); err != nil {
			return err
		}
	}
	if say.Live {
		card.Replies[shows(say.Key)] = say.Shows()
	}
	return b.storeReply(ctx, v.Request.ID, card, say.Key, ts)
}

// shows is where a card keeps what a live reply shows.
func shows(key string) string { return key + " shows" }

// keepLive edits a reply that was posted if it is live and shows something else by now. It reports whether
// that was so.
func (b *Bot) keepLive(ctx context.Context, card *approvals.Card, say cards.Reply) (edited bool, err error) {
	if !say.Live || card.Replies[shows(say.Key)] == say.Shows() {
		return false, nil
	}
	if err := b.Slack.update(ctx, card.Channel, card.Replies[say.Key], say.Message); err != nil && !messageGone(err) {
		return false, err
	}
	card.Replies[shows(say.Key)] = say.Shows()
	return true, nil
}

// storeReply stores that a reply is being posted (ts empty) or was posted, and renews the
// lease: a card may have many replies, and each waits for its turn.
func (b *Bot) storeReply(ctx context.Context, id string, card *approvals.Card, key, ts string) error {
	if card.Replies == nil {
		card.Replies = map[string]string{}
	}
	card.Replies[key] = ts
	held := card.Lease.Until
	card.Lease.Renew(b.Now(), drawLease)
	_, err := b.Requests.Change(ctx, id, func(r *approvals.Request) error {
		if !r.Card.Keep(*card, held) {
			return errNothingToDo
		}
		return nil
	})
	return err
}
