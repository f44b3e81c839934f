package bot

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// reread reads the finding of a report anew, from an event. It returns the zero one if
// the event can't be read any more or no route posts it, and ErrNotFound if the event is
// no longer kept.
func (b *Bot) reread(ctx context.Context, r alerts.Report, event string) (finding.Finding, error) {
	e, err := b.Requests.Evidence(ctx, event)
	if err != nil {
		return finding.Finding{}, err
	}
	fs, err := b.Findings.ReadStored(e.Body)
	if err != nil {
		b.Log.WarnContext(ctx, "event can't be read any more", slog.String("source", string(r.Finding.Source)), slog.String("error", err.Error()))
		return finding.Finding{}, nil
	}
	for _, f := range fs {
		if r.Finding.Same(f) {
			return f, nil
		}
	}
	return finding.Finding{}, nil
}

// automatic creates a request for each containment that runs by itself: once for an alert
// and an intent, and again for what was seen after its end. The executor decides whether it
// may run.
func (b *Bot) automatic(ctx context.Context, row alerts.Alert, a finding.Finding, event string) (alerts.Alert, error) {
	if row.Over || row.State == alerts.FalsePositive {
		return row, nil
	}
	report := alerts.NewReport(a, event, b.Now()) // of many that joined, only the strongest are kept
	if i := slices.IndexFunc(row.Reports, func(r alerts.Report) bool { return r.Finding.Same(a) }); i >= 0 {
		report = row.Reports[i]
	}
	if a.Updated.Before(report.Finding.Updated) {
		return row, nil // it is late: what it asks for may be settled
	}
	f, err := b.reread(ctx, report, event)
	if err != nil {
		return row, err
	}
	for _, o := range f.Offers() {
		if !o.Auto {
			continue
		}
		r, err := b.ruleRequest(ctx, row, o, event, report.Received)
		if err == nil {
			err = b.createAutomatic(ctx, r, alerts.Seen(f))
		}
		if err != nil {
			return row, err
		}
	}
	return b.alerts().Get(ctx, row.ID)
}

// ruleRequest stores the evidence of a rule and returns its request. It is the same
// each time.
func (b *Bot) ruleRequest(ctx context.Context, row alerts.Alert, o approvals.Offer, event string, at time.Time) (approvals.Request, error) {
	at = at.UTC().Truncate(time.Second)
	body, err := json.Marshal(approvals.RuleRequest{Alert: row.ID, Event: event, Intent: o.Intent})
	if err != nil {
		return approvals.Request{}, err
	}
	e := approvals.Evidence{Kind: approvals.RuleEvidence, Timestamp: strconv.FormatInt(at.Unix(), 10), Body: string(body)}
	key, err := b.Requests.PutEvidence(ctx, e, b.Now())
	return approvals.Request{
		ID: approvals.RequestID(e), State: approvals.Planning, Intent: o.Intent, Reason: o.Why,
		Requester: approvals.Actor{Person: approvals.AutomaticRequester}, Evidence: key,
		Asked: at, Expires: at.Add(b.Policy.For(o.Intent).ApproveWithin),
		Alert: row.ID, Event: event, Mode: approvals.Automatic, Card: approvals.Card{Channel: row.Card.Channel},
	}, err
}

// createAutomatic creates a rule's request and sends its job, unless the alert has a
// request for the same intent, of a rule or of a person, that covers what was seen.
func (b *Bot) createAutomatic(ctx context.Context, r approvals.Request, seen time.Time) error {
	if b.Now().After(r.Expires) { // the same was said long ago
		return nil
	}
	created, err := b.createForAlert(ctx, r, func(old approvals.Request, _ alerts.Alert) bool {
		return peopleDecided(old.State) && old.Reason == r.Reason || !seen.After(old.Ended) || b.stillCovers(old, seen)
	})
	if err != nil && !errors.Is(err, approvals.ErrConflict) || err == nil && created.ID != r.ID {
		return err
	}
	now, err := b.Requests.Get(ctx, r.ID) // which may be there for long, and its job missing
	if errors.Is(err, approvals.ErrNotFound) || err == nil && now.State != approvals.Planning {
		return nil
	}
	if err != nil {
		return err
	}
	return b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobPlan, ID: r.ID}, 0)
}

// peopleDecided reports whether people said no to a request or took it back: no rule overrules
// them.
func peopleDecided(s approvals.State) bool {
	return slices.Contains([]approvals.State{approvals.Denied, approvals.Cancelled, approvals.Undoing, approvals.Undone}, s)
}
