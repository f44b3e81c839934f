package bot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

const (
	sweepWithin = 45 * time.Second // so far ahead alerts are scheduled
	alertPage   = 500              // rows of the index at a time: all alerts of a storm need not fit into memory
	postOverdue = 5 * time.Second  // after which another worker may post a scheduled alert
	assignEvery = 5 * time.Second  // one sweep at a time handles the waiting alerts of a channel
	digestTries = 5                // tries of a write while alerts change
)

// SweepAlerts posts the alerts that wait: the most severe as cards, as many as the rate
// limit takes, the rest as a digest. It updates stale cards and ends snoozes. It takes
// up to 45 seconds.
func (b *Bot) SweepAlerts(ctx context.Context) error {
	s := alertSweep{b: b, until: b.Now().Add(sweepWithin), channels: map[string]*channelSweep{}}
	err := errors.Join(s.readDigests(ctx), s.readAlerts(ctx))
	for _, c := range s.channels {
		err = errors.Join(err, s.callAgain(ctx, c), s.assign(ctx, c), s.scheduleWaiting(ctx, c), s.post(ctx, c))
	}
	s.scheduled = append(s.scheduled, b.schedule(ctx, s.behind, s.until)...)
	b.drawScheduled(ctx, s.scheduled)
	if err != nil {
		b.Log.ErrorContext(ctx, "sweep of alerts", slog.String("error", err.Error()))
	}
	return err
}

// alertSweep is one pass over all alerts that have something to do.
type alertSweep struct {
	b         *Bot
	until     time.Time // so far ahead alerts are scheduled
	channels  map[string]*channelSweep
	behind    []alerts.Alert // posted, and changed since
	scheduled []scheduled
}

// channelSweep is the part of a sweep that is about one channel.
type channelSweep struct {
	name         string
	paused       bool           // after an error of Slack
	waiting      []alerts.Alert // not posted, not scheduled: the most severe
	digest       alerts.Digest  // not posted yet; none without an ID
	unanswered   []alerts.Alert // people are called for them again
	slots        []time.Time    // times that this sweep reserved
	decided      bool           // whether this sweep handles the waiting alerts is decided
	otherHandles bool           // another sweep handles them
}

// begun reports whether the posting of the digest has begun: then it takes no more
// alerts.
func (c *channelSweep) begun() bool { return !c.digest.Card.Posting.IsZero() }

func (s *alertSweep) channel(ctx context.Context, name string) (*channelSweep, error) {
	if c := s.channels[name]; c != nil {
		return c, nil
	}
	limit, err := s.b.alerts().RateLimit(ctx, name)
	c := &channelSweep{name: name, paused: limit.PausedUntil.After(s.b.Now())}
	s.channels[name] = c
	return c, err
}

// readDigests finds the digests that are not posted yet. One whose posting has not
// begun takes more alerts.
func (s *alertSweep) readDigests(ctx context.Context) error {
	ds, err := s.b.alerts().UnpostedDigests(ctx, alertPage)
	for _, d := range ds {
		if d.Card.Channel == "" {
			err = errors.Join(err, fmt.Errorf("%s: the row can't be read", d.ID))
			continue
		}
		c, cerr := s.channel(ctx, d.Card.Channel)
		err = errors.Join(err, cerr)
		if c.digest.ID == "" {
			c.digest = d
		}
	}
	return err
}

// readAlerts reads the index page by page.
func (s *alertSweep) readAlerts(ctx context.Context) error {
	var errs error
	for after := ""; ; {
		as, err := s.b.alerts().Marked(ctx, after, alertPage)
		if err != nil {
			return errors.Join(errs, err)
		}
		for _, a := range as {
			after = a.ID
			if err := s.classify(ctx, a); err != nil {
				errs = errors.Join(errs, fmt.Errorf("%s: %w", a.ID, err)) // an error of one alert must not stop the others
			}
		}
		if len(as) < alertPage {
			return errs
		}
		for _, c := range s.channels {
			if len(c.waiting) > alerts.RatePosts { // no sweep posts more
				errs = errors.Join(errs, s.assign(ctx, c))
			}
		}
	}
}

// classify puts an alert into the list of what there is to do for it.
func (s *alertSweep) classify(ctx context.Context, a alerts.Alert) (err error) {
	now := s.b.Now()
	if a.State == "" {
		return errors.New("the row can't be read")
	}
	if a.State == alerts.Snoozed && !now.Before(a.Until) {
		if a, err = s.b.endSnooze(ctx, a.ID); err != nil {
			return err
		}
	}
	var paged error
	if a.Unanswered() {
		paged = s.b.pageAlert(ctx, a) // an error of it must not keep the card away
	}
	c, err := s.channel(ctx, a.Card.Channel)
	if err != nil {
		return errors.Join(paged, err)
	}
	if next := a; next.CallAgain(now) {
		c.unanswered = append(c.unanswered, a)
	}
	if !a.Stale() || a.Card.Lease.Held(now) || now.Before(a.PostAt.Add(postOverdue)) {
		return paged // nothing to draw, or somebody does
	}
	switch {
	case c.paused:
	case urgent(a):
		s.scheduled = append(s.scheduled, scheduled{now, a})
	case isWaiting(a):
		c.waiting = append(c.waiting, a)
	default:
		s.behind = append(s.behind, a)
	}
	return paged
}

// isWaiting reports whether an alert has no card, and its posting has not begun.
func isWaiting(a alerts.Alert) bool {
	return a.Stale() && a.Card.TS == "" && a.Card.Posting.IsZero() && !urgent(a)
}

// claim makes this sweep the one that handles a channel's waiting alerts, and reserves
// times for them.
func (s *alertSweep) claim(ctx context.Context, c *channelSweep) error {
	if c.decided {
		return nil
	}
	c.decided = true
	due, err := s.b.Requests.Once(ctx, "waiting alerts of "+c.name, assignEvery, s.b.Now())
	if c.otherHandles = !due; errors.Is(err, approvals.ErrConflict) {
		return nil
	}
	if err == nil {
		var of []string
		for _, a := range c.waiting[:min(len(c.waiting), alerts.RatePosts)] {
			of = append(of, a.Of())
		}
		c.slots, err = s.b.reserve(ctx, c.name, alerts.RatePosts, s.until, of...)
	}
	return err
}

// assign keeps the most severe of a channel's waiting alerts, one for each reserved
// time, and puts the others into its digest.
func (s *alertSweep) assign(ctx context.Context, c *channelSweep) error {
	if len(c.waiting) == 0 {
		return nil
	}
	if err := s.claim(ctx, c); err != nil {
		return err
	}
	alerts.Fairly(c.waiting)
	n := min(len(c.slots), len(c.waiting))
	rest := c.waiting[n:]
	c.waiting = slices.Clip(c.waiting[:n])
	if len(rest) == 0 || c.otherHandles || c.begun() {
		return nil
	}
	if c.digest.ID == "" {
		c.digest = alerts.NewDigest(c.name, rest[0].ID, s.b.Now().UTC())
	}
	for part := range slices.Chunk(rest, alerts.DigestPart) {
		if c.begun() {
			break
		}
		if err := s.addToDigest(ctx, c, part); err != nil {
			return err
		}
	}
	return nil
}

// scheduleWaiting gives the waiting alerts their times.
func (s *alertSweep) scheduleWaiting(ctx context.Context, c *channelSweep) (err error) {
	for i := range min(len(c.waiting), len(c.slots)) {
		if s.scheduled, err = s.b.scheduleAt(ctx, s.scheduled, c.waiting[i], c.slots[i]); err != nil {
			return err
		}
	}
	return nil
}

// post posts a channel's digest, unless another sweep still adds to it.
func (s *alertSweep) post(ctx context.Context, c *channelSweep) error {
	if c.digest.N == 0 || c.paused {
		return nil
	}
	if !c.begun() {
		if err := s.claim(ctx, c); err != nil || c.otherHandles {
			return err
		}
	}
	return s.b.postDigest(ctx, c.digest.ID)
}

const (
	maxCalls  = 3                // alerts of a channel for which people are called again at a time
	callEvery = 5 * time.Minute  // and at most
	callLease = 30 * time.Second // for one sweep to do so

	maxCounted = 200 // alerts that one sweep counts as called for; the others are due next time
)

// callAgain calls people again for critical alerts that nobody has answered: first for those
// for which it was done the least, then for the most severe. It counts the others: one for
// which it was not done yet stays due. One that is in a digest gets a card of its own.
func (s *alertSweep) callAgain(ctx context.Context, c *channelSweep) error {
	if len(c.unanswered) == 0 || c.paused {
		return nil
	}
	task := "calls again in " + c.name
	if due, err := s.b.Requests.Once(ctx, task, callLease, s.b.Now()); errors.Is(err, approvals.ErrConflict) {
		return nil
	} else if !due {
		return err
	}
	alerts.Fairly(c.unanswered)
	slices.SortStableFunc(c.unanswered, func(x, y alerts.Alert) int { return cmp.Compare(x.Calls, y.Calls) })
	var errs error
	for i, a := range c.unanswered[:min(len(c.unanswered), maxCounted)] {
		more := 0
		if i == maxCalls-1 {
			more = len(c.unanswered) - maxCalls
		}
		if i >= maxCalls && a.Calls == 0 {
			continue
		}
		called, err := s.b.callAgain(ctx, a, i < maxCalls, more)
		switch {
		case err != nil:
			errs = errors.Join(errs, fmt.Errorf("%s: %w", a.ID, err))
		case a.Stale() || !called.Stale(): // it is drawn in any case, or needs not be
		case isWaiting(called):
			c.waiting = append(c.waiting, called)
		default:
			s.behind = append(s.behind, called)
		}
	}
	made := min(len(c.unanswered), maxCalls) // fewer calls leave room for more, sooner
	return errors.Join(errs, s.b.Requests.Done(ctx, task, s.b.Now().Add(callEvery*time.Duration(made)/maxCalls)))
}

// callAgain counts a call for an alert, and makes it if say is set.
func (b *Bot) callAgain(ctx context.Context, a alerts.Alert, say bool, more int) (alerts.Alert, error) {
	v, err := b.alertView(ctx, a)
	if err != nil {
		return a, err
	}
	return b.alerts().Change(ctx, a.ID, func(a *alerts.Alert) error {
		if !a.CallAgain(b.Now()) || !say || v.Calls() == "" {
			return nil
		}
		if a.Card.TS != "" {
			a.Pending = append(a.Pending, alerts.PendingReply{Key: fmt.Sprintf("call-%d", a.Calls), Text: cards.StillOpen(v, more), Broadcast: true, Call: true})
		}
		a.DigestID = ""
		a.Revise()
		return nil
	})
}

// pageAlert sends the job that calls the pager for an alert, if that is due.
func (b *Bot) pageAlert(ctx context.Context, a alerts.Alert) error {
	if b.PagerAfter == 0 {
		return nil
	}
	due, err := b.alerts().PageDue(ctx, a, b.PagerAfter, b.Now())
	if err != nil || due == "" {
		return err
	}
	p, err := b.Runs.Page(ctx, a.ID)
	if err != nil || p.Quiet(due, b.Now()) {
		return err
	}
	return b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobNotify, ID: a.ID}, 0)
}

// endSnooze opens a snoozed alert again and adds a reply about it, which is broadcast
// and mentions the person who snoozed it.
func (b *Bot) endSnooze(ctx context.Context, id string) (alerts.Alert, error) {
	a, err := b.alerts().Change(ctx, id, func(a *alerts.Alert) error {
		if a.State != alerts.Snoozed || b.Now().Before(a.Until) {
			return errNothingToDo
		}
		by := a.By
		a.State, a.By, a.At, a.Until = alerts.Open, approvals.Actor{}, time.Time{}, time.Time{}
		a.Revise()
		if a.Card.TS != "" && !a.Over {
			a.Pending = append(a.Pending, alerts.PendingReply{
				Key: fmt.Sprintf("awake-%d", a.Revision), Broadcast: true, Call: true,
				Text: cards.SnoozeOver(by, b.Now()),
			})
		}
		return nil
	})
	if errors.Is(err, errNothingToDo) {
		err = nil
	}
	return a, err
}

// addToDigest adds alerts to a digest. Alerts that changed meanwhile are read again,
// and left out if they no longer wait.
func (s *alertSweep) addToDigest(ctx context.Context, c *channelSweep, as []alerts.Alert) error {
	for range digestTries {
		items := make([]alerts.DigestItem, len(as))
		for i, a := range as {
			items[i] = s.b.digestItem(a)
			if a.Called.IsZero() && !a.Answered(a.Shown(), nil) && s.b.called(a).String() != "" {
				as[i].Called = s.b.Now().UTC() // a critical one gets a card of its own, if nobody looks at the list
			}
		}
		next, err := s.b.alerts().AddToDigest(ctx, c.digest, as, items)
		if err == nil {
			c.digest = next
			s.b.count(ctx, "AlertsInDigests", len(as))
			return nil
		}
		if !errors.Is(err, approvals.ErrConflict) {
			return err
		}
		d, err := s.b.alerts().Digest(ctx, c.digest.ID)
		switch {
		case errors.Is(err, approvals.ErrNotFound): // it is new
		case err != nil:
			return err
		default:
			if c.digest = d; c.begun() {
				return nil // they wait for the next
			}
		}
		var still []alerts.Alert
		for _, a := range as {
			a, err := s.b.alerts().Get(ctx, a.ID)
			if err != nil {
				return err
			}
			if isWaiting(a) {
				still = append(still, a)
			}
		}
		if as = still; len(as) == 0 {
			return nil
		}
	}
	return nil // they wait for the next sweep
}

func (b *Bot) digestItem(row alerts.Alert) alerts.DigestItem {
	a := row.Shown()
	return cards.DigestItem(cards.AlertView{Actions: b.Org.Actions, Alert: row, Finding: a, Alias: b.Org.Alias(a.Account)})
}
