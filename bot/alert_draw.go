package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// refusedFor is how long an alert waits that Slack takes neither as a card nor as text.
const refusedFor = time.Hour

// shownRequests is how many requests an alert's card lists.
const shownRequests = 10

// alertView reads everything that an alert's card shows.
func (b *Bot) alertView(ctx context.Context, row alerts.Alert) (cards.AlertView, error) {
	v := cards.AlertView{Actions: b.Org.Actions, Alert: row, Finding: row.Shown(), Now: b.Now(), SocketMode: b.SocketMode}
	for _, r := range row.Reports {
		if p := r.Finding.Product; p != v.Finding.Product && !slices.Contains(v.AlsoReportedBy, p) {
			v.AlsoReportedBy = append(v.AlsoReportedBy, p)
		}
	}
	v.Alias = b.Org.Alias(v.Finding.Account)
	v.Called = b.called(row)
	v.Finding.ByHand, v.Finding.Containments = nil, nil
	for _, r := range row.Reports {
		f := r.Finding
		if f.Over && !row.Over {
			continue
		}
		v.Finding.ByHand = with(v.Finding.ByHand, f.ByHand, func(s string) string { return s })
		v.Finding.Containments = with(v.Finding.Containments, f.Containments, func(c finding.Containment) string { return c.Call.String() })
		if !row.Over && row.State != alerts.FalsePositive {
			f.Route = b.Findings.RouteOf(f) // by its own severity, as the executor reads it from the event
			v.Offers = with(v.Offers, f.Offers(), func(o approvals.Offer) string { return approvals.IntentDigest(o.Intent) })
		}
	}
	var err error
	v.Requests, err = b.alerts().Linked(ctx, row.Requests[max(0, len(row.Requests)-shownRequests):])
	return v, err
}

// with appends what is not there yet, by its name.
func with[T any](all, more []T, name func(T) string) []T {
	for _, x := range more {
		if !slices.ContainsFunc(all, func(y T) bool { return name(x) == name(y) }) {
			all = append(all, x)
		}
	}
	return all
}

// called are those whom an alert's card mentions, as the routes of its reports say.
func (b *Bot) called(row alerts.Alert) (c cards.Called) {
	roster := b.Policy.Roster
	person := func(id string) {
		if p, ok := roster.ByID(id); ok && !slices.ContainsFunc(c.People, func(o approvals.Person) bool { return o.ID == id }) {
			c.People = append(c.People, p)
		}
	}
	for _, r := range row.Reports {
		route := b.Findings.RouteOf(r.Finding)
		if route == nil || !route.Calls(r.Finding) {
			continue
		}
		for _, name := range route.Call {
			usergroup := b.Usergroups[name]
			switch {
			case name == finding.Here:
				c.Here = true
			case usergroup == "":
				for _, id := range roster.Groups[name] {
					person(id)
				}
				person(name)
			case !slices.Contains(c.Usergroups, usergroup):
				c.Usergroups = append(c.Usergroups, usergroup)
			}
		}
	}
	return c
}

// drawAlert brings an alert's card and thread up to date, if the card was posted or may
// be. Errors of Slack are logged and left to the sweep.
func (b *Bot) drawAlert(ctx context.Context, id string) error {
	for range drawRounds {
		a, err := b.leaseAlert(ctx, id)
		if errors.Is(err, errNothingToDo) {
			return nil
		}
		if err != nil {
			return err
		}
		card := a.Card
		err = b.postAlert(ctx, a, &card)
		held := card.Lease.Until
		card.Lease = approvals.Lease{}
		refused := b.tellRefused(ctx, a, contentRefused(err))
		after, uerr := b.alerts().Change(ctx, id, func(a *alerts.Alert) error {
			if !a.Card.Keep(card, held) {
				return errNothingToDo
			}
			if refused { // even as text: it must not keep the others waiting
				a.PostAt = b.Now().UTC().Add(refusedFor)
			}
			return nil
		})
		if errors.Is(uerr, errNothingToDo) {
			return nil // another worker has taken over
		}
		if uerr != nil {
			return uerr
		}
		if err != nil {
			b.Log.WarnContext(ctx, "alert not drawn", slog.String("alert_id", id), slog.String("error", err.Error()))
			if !refused {
				b.pauseAlerts(ctx, card.Channel, err)
			}
			return nil
		}
		if !after.Stale() {
			return nil
		}
	}
	return nil
}

// tellRefused tells that Slack refuses an alert for what is in it. If that is refused too, with none of
// the alert's words, the trouble is another, and passes.
func (b *Bot) tellRefused(ctx context.Context, a alerts.Alert, code string) bool {
	if code == "" {
		return false
	}
	v, err := b.alertView(ctx, a)
	if err == nil {
		err = b.tellOnce(ctx, "refused card of "+a.ID, cards.CantPost(v, code))
	}
	return err == nil || errors.Is(err, approvals.ErrConflict)
}

// leaseAlert takes the lease on drawing an alert. It returns errNothingToDo if another worker
// has it, or if there is nothing to draw yet.
func (b *Bot) leaseAlert(ctx context.Context, id string) (alerts.Alert, error) {
	now := b.Now()
	return b.alerts().Change(ctx, id, func(a *alerts.Alert) error {
		waiting := a.Card.TS == "" && a.Card.Posting.IsZero() && a.PostAt.IsZero() && !a.Urgent
		if !a.Stale() || waiting || !a.Card.StartDrawing(now, drawLease) {
			return errNothingToDo
		}
		return nil
	})
}

// postAlert posts or updates the card, then posts the replies that are due.
func (b *Bot) postAlert(ctx context.Context, a alerts.Alert, card *approvals.Card) error {
	v, err := b.alertView(ctx, a)
	if err != nil {
		return err
	}
	revision := a.Revision
	if a, err = b.noteCall(ctx, a, v); err != nil {
		return err
	}
	v.Alert = a
	since := card.DrawnAt // replies that were begun are not older
	if err := b.postOrUpdate(ctx, card, cards.AlertCard(v), "· "+a.ID); err != nil {
		return err
	}
	card.DrawnAt = v.Now
	for _, news := range a.Pending {
		if err := b.postOnce(ctx, a.ID, card, news.Key, cards.PendingReply(news, v), since); err != nil {
			return err
		}
		delete(card.Replies, news.Key)
		if err := b.storeAlertCard(ctx, a.ID, card, news.Key); err != nil {
			return err
		}
	}
	if a.Activity {
		if err := b.postActivity(ctx, a, card, since); err != nil {
			return err
		}
	}
	if a.Trace {
		if err := b.postTrace(ctx, a, card, since); err != nil {
			return err
		}
	}
	card.Revision = revision
	return nil
}

// noteCall notes since when an alert that calls people is unanswered, before they are called:
// by its first post, or a reply that is due anyway, or else by a reply of its own.
func (b *Bot) noteCall(ctx context.Context, a alerts.Alert, v cards.AlertView) (alerts.Alert, error) {
	calls := v.Calls() != ""
	if calls == !a.Called.IsZero() {
		return a, nil
	}
	now := b.Now().UTC()
	return b.alerts().Change(ctx, a.ID, func(a *alerts.Alert) error {
		a.Called, a.Calls = time.Time{}, 0
		if !calls {
			return nil
		}
		a.Called = now
		if a.Card.TS != "" && !slices.ContainsFunc(a.Pending, func(n alerts.PendingReply) bool { return n.Call }) {
			a.Pending = append(a.Pending, alerts.PendingReply{Key: fmt.Sprintf("open-%d", a.Revision), Text: cards.OpenAgain(v), Broadcast: true, Call: true})
		}
		return nil
	})
}

// postActivity posts the recent activity of an alert's subject, each report once.
func (b *Bot) postActivity(ctx context.Context, a alerts.Alert, card *approvals.Card, since time.Time) error {
	rep, err := b.Runs.Report(ctx, a.ID)
	if errors.Is(err, approvals.ErrNotFound) {
		// Sent from here, no more look-ups are made than cards are posted: each may take
		// a minute, and they share the queue with containments.
		return b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobActivity, ID: a.ID}, 0)
	}
	key := fmt.Sprintf("activity-%d", rep.At.Unix())
	if err != nil || card.Replies[key] != "" {
		return err
	}
	return b.postOnce(ctx, a.ID, card, key, cards.Activity(a.ID, rep), since)
}

// postOnce posts a reply in an alert's thread, once. If the answer to an earlier post
// was lost, the message is found by its text.
func (b *Bot) postOnce(ctx context.Context, id string, card *approvals.Card, key string, m cards.Message, since time.Time) error {
	if err := b.turn(ctx, card.Channel, m); err != nil {
		return err
	}
	ts, begun := card.Replies[key]
	if begun {
		ts = b.Slack.find(ctx, card.Channel, card.TS, m.Found(), since)
	} else {
		card.Replies = withReply(card.Replies, key, "")
		if err := b.storeAlertCard(ctx, id, card, ""); err != nil {
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

// storeAlertCard stores the state of an alert's card, removes the reply with the key
// posted, and renews the lease.
func (b *Bot) storeAlertCard(ctx context.Context, id string, card *approvals.Card, posted string) error {
	held := card.Lease.Until
	card.Lease.Renew(b.Now(), drawLease)
	_, err := b.alerts().Change(ctx, id, func(a *alerts.Alert) error {
		if !a.Card.Keep(*card, held) {
			return errNothingToDo
		}
		a.Pending = slices.DeleteFunc(a.Pending, func(n alerts.PendingReply) bool { return n.Key == posted })
		return nil
	})
	return err
}

// redrawAlert draws an alert again after a change outside its row: of a request, or of
// the recent activity. It does not wait for the rate limit.
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
