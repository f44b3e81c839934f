package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

const (
	// eventPatience is how long an event's handler waits for room: two alerts are ahead
	// at most. In a storm handlers must not wait, so the rest is the sweep's.
	eventPatience = 2 * alerts.RatePause
	pauseFor      = 10 * time.Second // a channel takes no alerts after trouble with Slack
	pauseLongest  = time.Minute
	shownRequests = 10 // requests on an alert's card
)

// scheduled is an alert and when it is to be drawn.
type scheduled struct {
	at time.Time
	a  alerts.Alert
}

// schedule finds room in their channels, until a time, for alerts that are to be
// drawn. Those for which there is none are left to the sweep.
func (b *Bot) schedule(ctx context.Context, as []alerts.Alert, until time.Time) []scheduled {
	var turns []scheduled
	seen, full := map[string]bool{}, map[string]bool{} // alerts, channels
	for _, a := range as {
		now := b.Now()
		switch {
		case seen[a.ID]:
			continue
		case urgent(a):
			turns = append(turns, scheduled{now, a})
			continue
		case full[a.Card.Channel], !a.Stale(), a.PostAt.After(now): // no room, in a digest, or somebody draws it soon
			continue
		}
		seen[a.ID] = true
		slots, err := b.reserve(ctx, a.Card.Channel, 1, until)
		if err == nil && len(slots) == 1 {
			turns, err = b.scheduleAt(ctx, turns, a, slots[0])
		} else {
			full[a.Card.Channel] = true
		}
		if err != nil {
			b.Log.ErrorContext(ctx, "no turn for an alert", slog.String("alert_id", a.ID), slog.String("error", err.Error()))
		}
	}
	return turns
}

// urgent reports whether an alert's card is to be posted without waiting for room.
func urgent(a alerts.Alert) bool { return a.Urgent && a.Card.TS == "" }

// reserve takes room for up to n alerts in a channel, until a time.
func (b *Bot) reserve(ctx context.Context, channel string, n int, until time.Time) (slots []time.Time, err error) {
	err = b.alerts().ChangeRateLimit(ctx, channel, func(r *alerts.RateLimit) error {
		slots = nil
		for len(slots) < n {
			at, ok := r.Reserve(b.Now().UTC(), until)
			if !ok {
				break
			}
			slots = append(slots, at)
		}
		if len(slots) == 0 {
			return errBusy
		}
		return nil
	})
	if errors.Is(err, errBusy) {
		return nil, nil
	}
	return slots, err
}

// scheduleAt notes on an alert when it is drawn, unless somebody else has seen to it.
func (b *Bot) scheduleAt(ctx context.Context, turns []scheduled, a alerts.Alert, at time.Time) ([]scheduled, error) {
	a, err := b.alerts().Change(ctx, a.ID, func(a *alerts.Alert) error {
		if !a.Stale() || a.PostAt.After(b.Now()) {
			return errBusy
		}
		a.PostAt = at
		return nil
	})
	if errors.Is(err, errBusy) {
		return turns, nil
	}
	if err != nil {
		return turns, err
	}
	return append(turns, scheduled{at, a}), nil
}

// drawScheduled draws alerts, each when its time has come. Turns that have passed are
// not all taken at once.
func (b *Bot) drawScheduled(ctx context.Context, turns []scheduled) {
	slices.SortStableFunc(turns, func(x, y scheduled) int { return x.at.Compare(y.at) })
	next := map[string]time.Time{} // by channel
	for _, t := range turns {
		if at := next[t.a.Card.Channel]; at.After(t.at) && !urgent(t.a) {
			t.at = at
		}
		next[t.a.Card.Channel] = b.Now().Add(max(t.at.Sub(b.Now()), 0) + alerts.RatePause)
		if err := b.drawAt(ctx, t); err != nil {
			b.Log.ErrorContext(ctx, "alert not drawn", slog.String("alert_id", t.a.ID), slog.String("error", err.Error()))
		}
		if ctx.Err() != nil {
			return // the sweep finds the rest
		}
	}
}

func (b *Bot) drawAt(ctx context.Context, t scheduled) error {
	if wait := t.at.Sub(b.Now()); wait > 0 {
		if err := b.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	if !urgent(t.a) {
		room, err := b.alerts().RateLimit(ctx, t.a.Card.Channel)
		if err != nil {
			return err
		}
		if room.PausedUntil.After(b.Now()) {
			return b.unschedule(ctx, t.a.ID)
		}
	}
	if err := b.drawAlert(ctx, t.a.ID); err != nil {
		return err
	}
	for _, born := range t.a.Requests {
		if born.Rule {
			if err := b.draw(ctx, born.Request); err != nil {
				return err
			}
		}
	}
	return nil
}

// unschedule makes an alert wait again.
func (b *Bot) unschedule(ctx context.Context, id string) error {
	_, err := b.alerts().Change(ctx, id, func(a *alerts.Alert) error {
		a.PostAt = time.Time{}
		return nil
	})
	return err
}

// pauseAlerts closes a channel for alerts for a while: more posts would fail, too.
func (b *Bot) pauseAlerts(ctx context.Context, channel string, cause error) {
	pause := pauseFor
	if limited, ok := errors.AsType[*slack.RateLimitedError](cause); ok {
		pause = min(max(limited.RetryAfter, time.Second), pauseLongest)
	}
	err := b.alerts().ChangeRateLimit(ctx, channel, func(r *alerts.RateLimit) error {
		until := b.Now().UTC().Add(pause)
		if !until.After(r.PausedUntil) {
			return errBusy
		}
		r.PausedUntil = until
		return nil
	})
	if err != nil && !errors.Is(err, errBusy) {
		b.Log.ErrorContext(ctx, "room not closed", slog.String("channel", channel), slog.String("error", err.Error()))
	}
}

// alertView gathers what an alert's card shows.
func (b *Bot) alertView(ctx context.Context, row alerts.Alert) (cards.AlertView, error) {
	v := cards.AlertView{Actions: b.Org.Actions, Alert: row, Finding: alerts.Shown(row.Reports), Now: b.Now()}
	for _, r := range row.Reports {
		if p := r.Finding.Product; p != v.Finding.Product && !slices.Contains(v.AlsoReportedBy, p) {
			v.AlsoReportedBy = append(v.AlsoReportedBy, p)
		}
	}
	v.Alias = b.Org.Alias(v.Finding.Account)
	if f := row.Reports[0].Finding; !row.Over && row.State != alerts.FalsePositive {
		f.Route = b.Findings.RouteOf(f) // by its own severity, as the executor reads it from the event
		v.Offers, v.OneClick = f.Offers(), f.OneClick()
	}
	for _, born := range row.Requests[max(0, len(row.Requests)-shownRequests):] {
		r, err := b.Requests.Get(ctx, born.Request)
		if errors.Is(err, approvals.ErrNotFound) {
			continue // its record has expired
		}
		if err != nil {
			return v, err
		}
		v.Requests = append(v.Requests, r)
	}
	return v, nil
}

// drawAlert brings an alert's card and thread up to date, if it has a card or a
// time to be posted. What Slack refuses is left to the sweep.
func (b *Bot) drawAlert(ctx context.Context, id string) error {
	for range drawRounds {
		a, err := b.leaseAlert(ctx, id)
		if errors.Is(err, errBusy) {
			return nil
		}
		if err != nil {
			return err
		}
		card := a.Card
		err = b.postAlert(ctx, a, &card)
		after, uerr := b.alerts().Change(ctx, id, func(a *alerts.Alert) error {
			card.Lease = approvals.Lease{}
			a.Card = card
			return nil
		})
		if uerr != nil {
			return uerr
		}
		if err != nil {
			b.Log.WarnContext(ctx, "alert not drawn", slog.String("alert_id", id), slog.String("error", err.Error()))
			b.pauseAlerts(ctx, card.Channel, err)
			return nil
		}
		if !after.Stale() {
			return nil
		}
	}
	return nil
}

// leaseAlert makes this worker the one that draws.
func (b *Bot) leaseAlert(ctx context.Context, id string) (alerts.Alert, error) {
	now := b.Now()
	return b.alerts().Change(ctx, id, func(a *alerts.Alert) error {
		waiting := a.Card.TS == "" && a.Card.Posting.IsZero() && a.PostAt.IsZero() && !a.Urgent
		if !a.Stale() || waiting || !a.Card.StartDrawing(now, drawLease) {
			return errBusy
		}
		return nil
	})
}

// postAlert sends the card, then the replies that are due.
func (b *Bot) postAlert(ctx context.Context, a alerts.Alert, card *approvals.Card) error {
	v, err := b.alertView(ctx, a)
	if err != nil {
		return err
	}
	since := card.DrawnAt // replies that were begun are not older
	if err := b.postOrUpdate(ctx, card, cards.AlertCard(v), "· "+a.ID); err != nil {
		return err
	}
	card.DrawnAt = v.Now
	for _, news := range a.Pending {
		if err := b.postOnce(ctx, a.ID, card, news.Key, cards.PendingReply(news), since); err != nil {
			return err
		}
		delete(card.Replies, news.Key)
		if err := b.storeAlertCard(ctx, a.ID, *card, news.Key); err != nil {
			return err
		}
	}
	if a.Activity {
		if err := b.postActivity(ctx, a, card, since); err != nil {
			return err
		}
	}
	card.Revision = a.Revision
	return nil
}

// postActivity posts what an alert's subject did lately: each report once.
func (b *Bot) postActivity(ctx context.Context, a alerts.Alert, card *approvals.Card, since time.Time) error {
	rep, err := b.Runs.Report(ctx, a.ID)
	if errors.Is(err, approvals.ErrNotFound) {
		// Asked for here, it is looked up of no more alerts than there is room for:
		// each look-up may take a minute, and they share the jobs with containments.
		return b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobActivity, ID: a.ID}, 0)
	}
	key := fmt.Sprintf("activity-%d", rep.At.Unix())
	if err != nil || card.Replies[key] != "" {
		return err
	}
	return b.postOnce(ctx, a.ID, card, key, cards.Activity(a.ID, rep), since)
}

// postOnce posts a reply in an alert's thread, once.
func (b *Bot) postOnce(ctx context.Context, id string, card *approvals.Card, key string, m cards.Message, since time.Time) error {
	ts, begun := card.Replies[key]
	if begun {
		ts = b.Slack.find(ctx, card.Channel, card.TS, m.Text, since)
	} else {
		card.Replies = withReply(card.Replies, key, "")
		if err := b.storeAlertCard(ctx, id, *card, ""); err != nil {
			return err
		}
	}
	if ts == "" {
		var err error
		if ts, err = b.Slack.post(ctx, card.Channel, card.TS, m); err != nil {
			return err
		}
	}
	card.Replies = withReply(card.Replies, key, ts)
	return nil
}

func withReply(replies map[string]string, key, ts string) map[string]string {
	if replies == nil {
		replies = map[string]string{}
	}
	replies[key] = ts
	return replies
}

// storeAlertCard stores how far an alert's drawing is, and that a reply is out.
func (b *Bot) storeAlertCard(ctx context.Context, id string, card approvals.Card, told string) error {
	_, err := b.alerts().Change(ctx, id, func(a *alerts.Alert) error {
		a.Card = card
		a.Pending = slices.DeleteFunc(a.Pending, func(n alerts.PendingReply) bool { return n.Key == told })
		return nil
	})
	return err
}

// redrawAlert draws an alert anew: something that its card or thread shows has
// changed, and it is no part of the alert's own row. It does not wait for room.
func (b *Bot) redrawAlert(ctx context.Context, id string) error {
	_, err := b.alerts().Change(ctx, id, func(a *alerts.Alert) error {
		a.Revise()
		return nil
	})
	if errors.Is(err, approvals.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.drawAlert(ctx, id)
}

// errAlertPosting says that an alert's card, in whose thread a request belongs, is being
// posted by another worker.
var errAlertPosting = errors.New("the alert's card is being posted")

// setThread finds out where the card of a request goes that was born of an alert: into
// the alert's thread. If the alert has no card the request does not wait for it.
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
