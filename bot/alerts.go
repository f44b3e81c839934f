package bot

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// HandleEvent handles a message of the queue alerts: one event of EventBridge or an
// array of them. It may wait for some seconds. After an error the message must be
// delivered again, unless it wraps approvals.ErrUnreadable.
func (b *Bot) HandleEvent(ctx context.Context, body []byte) error {
	return b.handleEvents(ctx, body, finding.Event{})
}

func (b *Bot) count(ctx context.Context, name string, n int) {
	if b.Count != nil && n > 0 {
		b.Count(ctx, name, n)
	}
}

// handleEvents stores the findings of each event on its own, then draws the alerts.
// After an error in one event the whole message is delivered again, which changes
// nothing for the others.
func (b *Bot) handleEvents(ctx context.Context, body []byte, like finding.Event) error {
	bodies, err := split(body)
	if err != nil {
		return b.reportUnreadable(ctx, err, like.Webhook)
	}
	var fresh []alerts.Alert
	var trouble, unread []error
	for _, one := range bodies {
		e := like
		e.Body = one
		var as []alerts.Alert
		err := approvals.Guard(ctx, b.Log, slog.String("webhook", e.Webhook), func() (err error) {
			if e.Webhook != "" && e.Drill == "" { // what EventBridge has of changes is in the queue trail
				if err := b.HandleTrail(ctx, e.Body); err != nil {
					return err
				}
			}
			as, err = b.handleEvent(ctx, e)
			return err
		})
		fresh = append(fresh, as...)
		if errors.Is(err, approvals.ErrUnreadable) {
			unread = append(unread, err)
		} else {
			trouble = append(trouble, err)
		}
	}
	b.drawScheduled(ctx, b.schedule(ctx, fresh, b.Now().Add(eventPatience)))
	if err := errors.Join(trouble...); err != nil {
		return err
	}
	return errors.Join(unread...)
}

// MaxEvents is how many events a message may hold. Each is at least some hundred bytes
// long; of elements that are no events there could be tens of thousands. It is
// ingress.MaxEvents.
const MaxEvents = 1000

// maxMessage is the largest message that is read. Queues take no larger ones.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const maxMessage = 1 << 20

// split returns the events of an array, or the one event.
func split(body []byte) ([]json.RawMessage, error) {
	if len(body) > maxMessage {
		return nil, &finding.Malformed{Cause: fmt.Sprintf("larger than %d bytes", maxMessage)}
	}
	if !json.Valid(body) {
		return nil, &finding.Malformed{Cause: fmt.Sprintf("not JSON, %d bytes", len(body))}
	}
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		return []json.RawMessage{body}, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	if len(list) > MaxEvents {
		return nil, &finding.Malformed{Cause: fmt.Sprintf("more than %d events", MaxEvents)}
	}
	return list, nil
}

// handleEvent stores the findings of one event. It returns the alerts to be drawn.
func (b *Bot) handleEvent(ctx context.Context, e finding.Event) (fresh []alerts.Alert, err error) {
	fs, readErr := b.Findings.Read(e)
	if errors.Is(readErr, finding.ErrIgnored) {
		b.count(ctx, "EventsIgnored", 1)
		readErr = nil
	}
	var key string
	for _, f := range fs {
		if f.Route == nil {
			b.count(ctx, "AlertsUnrouted", 1)
			continue
		}
		if f.OwnRole != "" {
			ours, err := b.explained(ctx, f)
			if err != nil {
				return fresh, err
			}
			if ours {
				b.count(ctx, "EventsIgnored", 1)
				continue
			}
		}
		if key == "" {
			if key, err = b.storeEvent(ctx, e); err != nil {
				return fresh, err
			}
		}
		row, changed, err := b.storeFinding(ctx, f, key)
		if err == nil && row.ID != "" && f.Route.Delivery == finding.Auto {
			row, err = b.automatic(ctx, row, f, key)
		}
		if err != nil {
			return fresh, err
		}
		if changed {
			fresh = append(fresh, row)
		}
	}
	if readErr != nil {
		return fresh, b.reportUnreadable(ctx, readErr, e.Webhook)
	}
	return fresh, nil
}

// storeEvent stores an event as evidence for the requests that follow from it.
func (b *Bot) storeEvent(ctx context.Context, e finding.Event) (key string, err error) {
	body, err := e.Stored()
	if err != nil {
		return "", err
	}
	return b.Requests.PutEvidence(ctx, approvals.Evidence{Kind: approvals.EventEvidence, Body: body}, b.Now())
}

// Limits of notices about something that goes on.
const (
	noticeEvery  = time.Hour
	noticeLease  = 30 * time.Second // for one worker to do so
	noticeRecent = 10 * time.Minute // a notice may be one that nobody knows to be out
)

// tellOnce posts a notice in the incident channel, at most once an hour for each what.
func (b *Bot) tellOnce(ctx context.Context, what string, m cards.Message) error {
	_, err := b.tellDue(ctx, what, m)
	return err
}

// tellDue is [Bot.tellOnce]. told: this call did it.
func (b *Bot) tellDue(ctx context.Context, what string, m cards.Message) (told bool, err error) {
	due, err := b.Requests.Once(ctx, what, noticeLease, b.Now())
	if err != nil || !due {
		return false, err
	}
	head, _, _ := strings.Cut(m.Text, ":")
	if b.Slack.find(ctx, b.IncidentChannel, "", head, b.Now().Add(-noticeRecent)) == "" { // who told it may have died
		if _, err := b.Slack.post(ctx, b.IncidentChannel, "", m); err != nil {
			return false, fmt.Errorf("not told: %w", err)
		}
	}
	return true, b.Requests.Done(ctx, what, b.Now().Add(noticeEvery))
}

// reportUnreadable posts a message about an event that can't be read, at most one an
// hour for each source and webhook. It returns ErrUnreadable; any other error means
// that the message could not be posted.
func (b *Bot) reportUnreadable(ctx context.Context, err error, webhook string) error {
	bad, ok := errors.AsType[*finding.Malformed](err)
	if !ok {
		return err
	}
	b.count(ctx, "EventsUnreadable", 1)
	b.Log.WarnContext(ctx, "event can't be read", slog.String("source", string(bad.Source)), slog.String("event_id", bad.EventID), slog.String("cause", bad.Cause))
	if err := b.tellOnce(ctx, "unreadable events of "+string(bad.Source)+" by "+webhook, cards.Unreadable(bad, webhook, b.DeadLetters)); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", approvals.ErrUnreadable, bad)
}

// storeTries is how often a change is tried when other workers were faster.
const storeTries = 20

// errNothingNew stops a change that would change nothing.
var errNothingNew = errors.New("nothing new")

// storeFinding adds a finding to the alert that it belongs to, or creates one. It
// returns false if the card does not change. A finding that is over creates no alert.
func (b *Bot) storeFinding(ctx context.Context, a finding.Finding, event string) (alerts.Alert, bool, error) {
	for range storeTries {
		to, err := b.findAlert(ctx, a)
		if err != nil {
			return alerts.Alert{}, false, err
		}
		var row alerts.Alert
		switch {
		case to.id == "" && a.Over:
			return alerts.Alert{}, false, nil
		case to.id == "":
			row = b.newAlert(a, event, to.free)
			err = b.alerts().Create(ctx, row, to.actors...)
			row.Version, row.Revision = 1, 1
			b.count(ctx, "AlertsNew", 1)
		case to.joins:
			row, err = b.alerts().ChangeByJoin(ctx, to.id, a, b.actors(a), b.Now(), func(row *alerts.Alert) error {
				if !joinable(*row) {
					return approvals.ErrConflict
				}
				b.join(row, a, event, to.after)
				return nil
			})
			b.count(ctx, "AlertsJoined", 1)
		default:
			row, err = b.alerts().Change(ctx, to.id, func(row *alerts.Alert) error {
				if to.shared && !slices.Contains(row.Names, a.Own()) && !takes(*row, a) {
					return approvals.ErrConflict // another finding of this source took the place meanwhile, or a word of somebody
				}
				if !b.addReport(row, a, event) {
					return errNothingNew
				}
				return nil
			})
			b.count(ctx, "AlertsUpdated", 1)
		}
		switch {
		case errors.Is(err, errNothingNew):
			b.count(ctx, "AlertsRepeated", 1)
			return row, false, nil
		case errors.Is(err, approvals.ErrConflict):
			continue
		}
		return row, err == nil, err
	}
	return alerts.Alert{}, false, fmt.Errorf("alert %s: %w", approvals.AlertID(a.Own()), approvals.ErrConflict)
}

// place is where a finding belongs.
type place struct {
	id     string // of the alert; empty: a new one
	shared bool   // found by a name that findings of other sources share
	joins  bool   // as another finding of the same actor
	after  bool   // and it was seen after what contained the others
	free   []string
	actors []alerts.Actor // which lead to no alert that it could join
}

// findAlert finds the alert that a finding belongs to: by its own name; by a shared one if the
// alert has no report of this source; or by its actor, for a while. None of both is one that
// somebody called a false positive. A finding that is over is found by its own name only.
func (b *Bot) findAlert(ctx context.Context, a finding.Finding) (to place, err error) {
	names, actors := a.Names, b.actors(a)
	if a.Over {
		names, actors = names[:1], nil
	}
	for i, name := range names {
		row, err := b.alerts().Named(ctx, name)
		switch {
		case errors.Is(err, approvals.ErrNotFound):
			to.free = append(to.free, name)
		case err != nil || i == 0:
			return place{id: row.ID}, err
		case takes(row, a):
			return place{id: row.ID, shared: true}, nil
		}
	}
	for _, name := range actors {
		id, as, err := b.alerts().ByActor(ctx, name, a, b.Now())
		if err != nil {
			return place{}, err
		}
		if id != "" {
			row, err := b.alerts().Get(ctx, id)
			if err != nil {
				return place{}, err
			}
			if joinable(row) {
				after, err := b.afterContained(ctx, row, a)
				return place{id: id, joins: true, after: after}, err
			}
		}
		to.actors = append(to.actors, as)
	}
	return to, nil
}

// takes reports whether an alert takes a finding that shares a name with it.
func takes(row alerts.Alert, a finding.Finding) bool {
	return !hasReportOf(row.Reports, a.Source) && row.State != alerts.FalsePositive // which was said of something else
}

// joinable reports whether another finding of its actor may join an alert.
func joinable(row alerts.Alert) bool { return row.State != alerts.FalsePositive && !row.Over }

// afterContained reports whether a request of an alert contains all that was seen so far, and not a
// finding that joins it.
func (b *Bot) afterContained(ctx context.Context, row alerts.Alert, a finding.Finding) (bool, error) {
	requests, err := b.alerts().Linked(ctx, row.Requests)
	return slices.ContainsFunc(requests, func(r approvals.Request) bool {
		return alerts.Contains(r, row.Shown()) && !alerts.Contains(r, a)
	}), err
}

// actors are a finding's actors in the channel of its route, where it must be seen.
func (b *Bot) actors(a finding.Finding) []string {
	var all []string
	for _, name := range a.Actors {
		all = append(all, b.channelOf(*a.Route)+" "+name)
	}
	return all
}

func (b *Bot) channelOf(r finding.Route) string { return cmp.Or(r.Channel, b.IncidentChannel) }

// hasReportOf reports whether one of the reports is of a source.
func hasReportOf(reports []alerts.Report, s finding.Source) bool {
	return slices.ContainsFunc(reports, func(r alerts.Report) bool { return r.Finding.Source == s })
}

func (b *Bot) newAlert(a finding.Finding, event string, names []string) alerts.Alert {
	now := b.Now().UTC()
	return alerts.Alert{
		ID: approvals.AlertID(a.Own()), Names: names, State: alerts.Open,
		Reports: []alerts.Report{alerts.NewReport(a, event, now)}, Announced: a.Severity, Received: now, Loud: now,
		Activity: wantsActivity(a), Trace: wantsActivity(a),
		Card: approvals.Card{Channel: b.channelOf(*a.Route)},
	}
}

// wantsActivity reports whether the recent activity of a finding's subject, and what it made, are looked up
// without a click.
func wantsActivity(a finding.Finding) bool {
	return a.Exposed && !a.Over && a.Subject != (trail.Subject{}) && a.Mark != finding.Sample
}

// alerts is the table of alerts.
func (b *Bot) alerts() alerts.Table { return alerts.Table{Requests: b.Requests} }
