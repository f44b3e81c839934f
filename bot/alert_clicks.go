package bot

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// snoozeFor is how long a snooze lasts.
const snoozeFor = time.Hour

// clickAlert handles a button on an alert's card or in a digest's list.
func (c *conversation) clickAlert(ctx context.Context, button, id, digest string) error {
	b := c.b
	a, err := b.alerts().Get(ctx, id)
	if errors.Is(err, approvals.ErrNotFound) {
		return c.say(ctx, cards.Say(cards.NoAlert, id))
	}
	if err != nil {
		return err
	}
	who, no := c.person(ctx)
	if no != nil {
		return c.answer(ctx, no)
	}
	if strings.HasPrefix(button, approvals.Propose("")) {
		return c.propose(ctx, who, a, button, digest)
	}
	if no := c.responder(who); no != nil {
		return c.say(ctx, cards.Say(cards.NothingDone, cards.WhyNot(no)))
	}
	switch button {
	case "ack":
		return c.setState(ctx, who, id, alerts.Acknowledged)
	case "snooze":
		return c.setState(ctx, who, id, alerts.Snoozed)
	case "false_positive":
		return c.setState(ctx, who, id, alerts.FalsePositive)
	case "activity":
		return c.activity(ctx, a)
	case "trace":
		return c.traceAlert(ctx, who, a)
	case "alert":
		return c.postAlertCard(ctx, a)
	}
	b.Log.WarnContext(ctx, "click on an unknown button", slog.String("action_id", button))
	return nil
}

// responder refuses people who may not judge alerts: only those who may ask for
// containments or approve them may.
func (c *conversation) responder(who approvals.Actor) *actions.Refusal {
	e, roster := c.b.Policy.Default, c.b.Policy.Roster
	if roster.In(who.Person, e.Requesters) || roster.In(who.Person, e.Approvers) {
		return nil
	}
	return actions.Refuse(actions.Violation{Code: approvals.NotRequester, Group: e.Requesters})
}

// setState stores the state that a person gives an alert. The latest click counts.
func (c *conversation) setState(ctx context.Context, who approvals.Actor, id string, s alerts.State) error {
	b := c.b
	_, err := b.alerts().Change(ctx, id, func(a *alerts.Alert) error {
		until := c.at.Add(snoozeFor)
		switch {
		case a.State == s && a.By == who && a.At.Equal(c.at):
			return errNothingNew // this very click, delivered again
		case c.at.Before(a.At), s == alerts.Snoozed && b.Now().After(until):
			return &actions.Refusal{Reason: cards.CameLate}
		case a.State == s && s != alerts.Snoozed:
			return &actions.Refusal{Reason: cards.SaidAlready}
		}
		a.State, a.By, a.At, a.Until = s, who, c.at, time.Time{}
		if s == alerts.Snoozed {
			a.Until = until
		}
		a.Revise()
		return nil
	})
	if err != nil && !errors.Is(err, errNothingNew) {
		return c.answer(ctx, err)
	}
	return b.drawAlert(ctx, id)
}

// activity has the recent activity of the alert's subject looked up. The result is
// posted in the thread.
func (c *conversation) activity(ctx context.Context, a alerts.Alert) error {
	b := c.b
	if a.Shown().Subject == (trail.Subject{}) {
		return c.say(ctx, cards.Say(cards.NoActivity))
	}
	_, err := b.alerts().Change(ctx, a.ID, func(a *alerts.Alert) error {
		if a.Activity {
			return errNothingNew
		}
		a.Activity = true
		a.Revise()
		return nil
	})
	if err != nil && !errors.Is(err, errNothingNew) {
		return err
	}
	if err := b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobActivity, ID: a.ID}, 0); err != nil {
		return err
	}
	return b.drawAlert(ctx, a.ID)
}

// traceAlert has it looked up what the alert's principal made. The list is posted in the thread.
func (c *conversation) traceAlert(ctx context.Context, who approvals.Actor, a alerts.Alert) error {
	if a.Shown().Subject == (trail.Subject{}) {
		return c.say(ctx, cards.Say(cards.NoActivity))
	}
	_, err := c.b.alerts().Change(ctx, a.ID, func(a *alerts.Alert) error {
		if a.Trace {
			return errNothingNew
		}
		a.Trace = true
		a.Revise()
		return nil
	})
	if err != nil && !errors.Is(err, errNothingNew) {
		return err
	}
	return c.trace(ctx, who, a.ID)
}

// postAlertCard posts the card of an alert that is only in a digest.
func (c *conversation) postAlertCard(ctx context.Context, a alerts.Alert) error {
	b := c.b
	_, err := b.alerts().Change(ctx, a.ID, func(a *alerts.Alert) error {
		if a.Card.TS != "" {
			return errNothingNew
		}
		a.DigestID, a.Urgent = "", true
		a.Revise()
		return nil
	})
	if err != nil && !errors.Is(err, errNothingNew) {
		return err
	}
	if err := b.drawAlert(ctx, a.ID); err != nil {
		return err
	}
	if a, err = b.alerts().Get(ctx, a.ID); err != nil {
		return err
	}
	if a.Card.TS == "" {
		return c.say(ctx, cards.Say(cards.AlertNotPosted, a.ID))
	}
	return c.say(ctx, cards.Say(cards.CardElsewhere, a.ID, a.Card.Channel))
}

// propose creates a request for a containment that an alert's card offers.
func (c *conversation) propose(ctx context.Context, who approvals.Actor, a alerts.Alert, button, digest string) error {
	o, event, err := c.proposed(ctx, a, digest)
	switch {
	case errors.Is(err, approvals.ErrNotFound):
		return c.say(ctx, cards.Say(cards.EventGone, a.ID))
	case err != nil:
		return err
	case !o.AskedBy(button):
		return c.say(ctx, cards.Say(cards.NotOffered, a.ID))
	}
	r := approvals.Request{
		Intent: o.Intent, Reason: o.Why, Alert: a.ID, Event: event,
		Card: approvals.Card{Channel: a.Card.Channel, Thread: a.Card.TS},
	}
	if o.OneClick {
		r.Mode = approvals.OneClick
	}
	return c.request(ctx, who, r)
}

// proposed finds an offer of an alert: of its card while it is open, with the event that makes it, or of its
// trace, which stays. It returns the zero one if there is none.
func (c *conversation) proposed(ctx context.Context, a alerts.Alert, digest string) (o approvals.Offer, event string, err error) {
	if !a.Over && a.State != alerts.FalsePositive {
		var report alerts.Report
		o, report, err = c.b.offered(ctx, a, digest)
		if err == nil && o.Intent.Call.Action != "" || err != nil && !errors.Is(err, approvals.ErrNotFound) {
			return o, report.Event, err
		}
	}
	found, ferr := c.b.Runs.Found(ctx, a.ID)
	if ferr != nil {
		return o, "", ferr
	}
	if traced, ok := found.ByDigest(digest); ok && c.payload.Showed(traced.Intent) {
		return traced, "", nil
	}
	return o, "", err
}

// offered reads an offer of an alert anew, from the event of the first report that has it. It
// returns the zero one if none has, and ErrNotFound if that event is no longer kept.
func (b *Bot) offered(ctx context.Context, a alerts.Alert, digest string) (approvals.Offer, alerts.Report, error) {
	var gone error
	for _, r := range a.Reports {
		if r.Finding.Over {
			continue
		}
		f, err := b.reread(ctx, r, r.Event)
		if errors.Is(err, approvals.ErrNotFound) {
			gone = err
			continue
		}
		if err != nil {
			return approvals.Offer{}, r, err
		}
		if o, ok := f.Offers().ByDigest(digest); ok {
			return o, r, nil
		}
	}
	return approvals.Offer{}, alerts.Report{}, gone
}

// createForAlert creates a request for an alert. If an earlier one for the same intent
// covers it, it returns that one.
func (b *Bot) createForAlert(ctx context.Context, r approvals.Request, covers func(approvals.Request, alerts.Alert) bool) (same approvals.Request, err error) {
	intent := approvals.IntentDigest(r.Intent)
	for range storeTries {
		a, err := b.alerts().Get(ctx, r.Alert)
		if err != nil {
			return same, err
		}
		for _, linked := range a.Requests {
			if linked.Intent != intent {
				continue
			}
			old, err := b.Requests.Get(ctx, linked.Request)
			if errors.Is(err, approvals.ErrNotFound) {
				continue
			}
			if err != nil || old.ID == r.ID || covers(old, a) {
				return old, err
			}
		}
		known := len(a.Requests)
		_, err = b.alerts().CreateRequest(ctx, r, func(a *alerts.Alert) error {
			if len(a.Requests) != known {
				return errNothingToDo // look at it first
			}
			rule := r.Mode == approvals.Automatic
			a.Requests = append(a.Requests, alerts.LinkedRequest{Intent: intent, Request: r.ID, Rule: rule, At: b.Now().UTC()})
			a.Revise()
			if rule {
				a.DigestID, a.Urgent = "", true // the request's card belongs below this one
			}
			return nil
		})
		if errors.Is(err, errNothingToDo) {
			continue
		}
		if err == nil && r.Mode == approvals.Automatic {
			b.count(ctx, "AutomaticRequests", 1)
		}
		return r, err
	}
	return same, approvals.ErrConflict
}

// stillCovers reports whether a request makes another for the same intent useless: it
// is under way, can be retried, or is in force and nothing was seen since. New sessions
// of a role, for example, outlive the deny on the old ones.
func (b *Bot) stillCovers(r approvals.Request, seen time.Time) bool {
	if r.State == approvals.Partial || r.State == approvals.Failed {
		return r.MayRetry(b.Now())
	}
	return r.State.Open() || r.State.InForce() && !seen.After(r.Ended)
}
