package bot

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals/alerts"
)

const (
	// eventPatience is how long an event's handler waits: two alerts may be ahead of its
	// own. In a storm of events handlers must not wait, the sweep posts the rest.
	eventPatience = 2 * alerts.RatePause
	quietEvery    = 15 * time.Second // a card that others join is drawn again without a reply
	pauseFor      = 10 * time.Second // of a channel's alerts after an error of Slack
	pauseLongest  = time.Minute
)

// scheduled is an alert and the time at which it is drawn.
type scheduled struct {
	at time.Time
	a  alerts.Alert
}

// schedule reserves times for alerts in their channels, the latest at until. Alerts for
// which there is no time are left to the sweep.
func (b *Bot) schedule(ctx context.Context, as []alerts.Alert, until time.Time) []scheduled {
	type room struct {
		channel string
		most    int
	}
	var due []scheduled
	seen, full := map[string]bool{}, map[room]bool{} // alerts, and where no time is left
	for _, a := range as {
		now := b.Now()
		quiet := a.Joined() > 0 && a.Card.TS != "" && len(a.Pending) == 0 && now.Sub(a.Card.DrawnAt) < quietEvery
		switch {
		case seen[a.ID]:
			continue
		case urgent(a):
			due = append(due, scheduled{now, a})
			continue
		case !a.Stale(), a.PostAt.After(now), quiet: // in a digest, scheduled already, or it can wait
			continue
		}
		seen[a.ID] = true
		in := room{a.Card.Channel, alerts.RatePosts}
		if alerts.Behind(a.Shown()) > 0 {
			in.most = alerts.RatePosts / 3 // the sweep knows what else there is
		}
		var slots []time.Time
		var err error
		if !full[in] {
			slots, err = b.reserve(ctx, in.channel, in.most, until, a.Of())
			full[in] = len(slots) == 0
		}
		if err == nil && len(slots) == 0 && a.Card.TS == "" && alerts.Severe(a.Shown()) {
			slots, err = b.reserveAhead(ctx, a)
		}
		if err == nil && len(slots) == 1 {
			due, err = b.scheduleAt(ctx, due, a, slots[0])
		}
		if err != nil {
			b.Log.ErrorContext(ctx, "alert not scheduled", slog.String("alert_id", a.ID), slog.String("error", err.Error()))
		}
	}
	return due
}

// urgent reports whether an alert's card is posted at once, whatever the rate limit.
func urgent(a alerts.Alert) bool { return a.Urgent && a.Card.TS == "" }

// reserve reserves times of posting in a channel that takes so many in a span, the latest at until: one
// for each account and source, as long as there is room.
func (b *Bot) reserve(ctx context.Context, channel string, most int, until time.Time, of ...string) ([]time.Time, error) {
	return b.reserveSlots(ctx, channel, len(of), func(r *alerts.RateLimit, now time.Time, n int) (time.Time, bool) {
		return r.Reserve(now, until, most, of[n])
	})
}

// reserveAhead reserves a time ahead of what waits.
func (b *Bot) reserveAhead(ctx context.Context, a alerts.Alert) ([]time.Time, error) {
	return b.reserveSlots(ctx, a.Card.Channel, 1, func(r *alerts.RateLimit, now time.Time, _ int) (time.Time, bool) { return r.ReserveAhead(now, a.Of()) })
}

func (b *Bot) reserveSlots(ctx context.Context, channel string, n int, next func(*alerts.RateLimit, time.Time, int) (time.Time, bool)) (slots []time.Time, err error) {
	err = b.alerts().ChangeRateLimit(ctx, channel, func(r *alerts.RateLimit) error {
		slots = nil
		for len(slots) < n {
			at, ok := next(r, b.Now().UTC(), len(slots))
			if !ok {
				break
			}
			slots = append(slots, at)
		}
		if len(slots) == 0 {
			return errNothingToDo
		}
		return nil
	})
	if errors.Is(err, errNothingToDo) {
		return nil, nil
	}
	return slots, err
}

// scheduleAt stores the time at which an alert is posted. An alert that another worker
// has drawn or scheduled is left out.
func (b *Bot) scheduleAt(ctx context.Context, due []scheduled, a alerts.Alert, at time.Time) ([]scheduled, error) {
	a, err := b.alerts().Change(ctx, a.ID, func(a *alerts.Alert) error {
		if !a.Stale() || a.PostAt.After(b.Now()) {
			return errNothingToDo
		}
		a.PostAt = at
		return nil
	})
	if errors.Is(err, errNothingToDo) {
		return due, nil
	}
	if err != nil {
		return due, err
	}
	return append(due, scheduled{at, a}), nil
}

// drawScheduled draws each alert at its time. Times that have passed are spread, so
// that they do not all come at once.
func (b *Bot) drawScheduled(ctx context.Context, due []scheduled) {
	slices.SortStableFunc(due, func(x, y scheduled) int { return x.at.Compare(y.at) })
	next := map[string]time.Time{} // by channel
	for _, t := range due {
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

// drawAt waits for the time of an alert and draws it, with the requests that a rule
// made for it. If its channel is paused by then, the alert waits for the sweep.
func (b *Bot) drawAt(ctx context.Context, t scheduled) error {
	if wait := t.at.Sub(b.Now()); wait > 0 {
		if err := b.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	if !urgent(t.a) {
		limit, err := b.alerts().RateLimit(ctx, t.a.Card.Channel)
		if err != nil {
			return err
		}
		if limit.PausedUntil.After(b.Now()) {
			return b.unschedule(ctx, t.a.ID)
		}
	}
	if err := b.drawAlert(ctx, t.a.ID); err != nil {
		return err
	}
	for _, linked := range t.a.Requests {
		if linked.Rule {
			if err := b.draw(ctx, linked.Request); err != nil {
				return err
			}
		}
	}
	return nil
}

// unschedule removes an alert's time of posting.
func (b *Bot) unschedule(ctx context.Context, id string) error {
	_, err := b.alerts().Change(ctx, id, func(a *alerts.Alert) error {
		a.PostAt = time.Time{}
		return nil
	})
	return err
}

// pauseAlerts pauses the alerts of a channel after an error of Slack: further posts
// would fail, too.
func (b *Bot) pauseAlerts(ctx context.Context, channel string, cause error) {
	if errors.Is(cause, errNoTurn) || errors.Is(cause, errNothingToDo) { // no word of Slack's
		return
	}
	pause := pauseFor
	if limited, ok := errors.AsType[*slack.RateLimitedError](cause); ok {
		pause = min(max(limited.RetryAfter, time.Second), pauseLongest)
	}
	err := b.alerts().ChangeRateLimit(ctx, channel, func(r *alerts.RateLimit) error {
		until := b.Now().UTC().Add(pause)
		if !until.After(r.PausedUntil) {
			return errNothingToDo
		}
		r.PausedUntil = until
		return nil
	})
	if err != nil && !errors.Is(err, errNothingToDo) {
		b.Log.ErrorContext(ctx, "alerts not paused", slog.String("channel", channel), slog.String("error", err.Error()))
	}
}
