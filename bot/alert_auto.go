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

// automatic creates a request for each containment that runs by itself, once for an
// alert and an intent. The executor decides whether it may run.
func (b *Bot) automatic(ctx context.Context, row alerts.Alert, a finding.Finding, event string) (alerts.Alert, error) {
	i := slices.IndexFunc(row.Reports, func(r alerts.Report) bool { return r.Finding.Same(a) })
	if i < 0 || row.Over || row.State == alerts.FalsePositive {
		return row, nil
	}
	report := row.Reports[i]
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
		if err != nil {
			return row, err
		}
		if row, err = b.createAutomatic(ctx, row, r); err != nil {
			return row, err
		}
	}
	return row, nil
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
// request for the same intent, of a rule or of a person.
func (b *Bot) createAutomatic(ctx context.Context, row alerts.Alert, r approvals.Request) (alerts.Alert, error) {
	now := b.Now().UTC()
	if now.After(r.Expires) { // the same was said long ago
		return row, nil
	}
	intent := approvals.IntentDigest(r.Intent)
	row, err := b.alerts().CreateRequest(ctx, r, func(a *alerts.Alert) error {
		if slices.ContainsFunc(a.Requests, func(o alerts.LinkedRequest) bool { return o.Intent == intent }) {
			return errNothingNew
		}
		a.Requests = append(a.Requests, alerts.LinkedRequest{Intent: intent, Request: r.ID, Rule: true, At: now})
		a.Revise()
		a.DigestID, a.Urgent = "", true // the request's card belongs below this one
		return nil
	})
	switch {
	case err == nil:
		b.count(ctx, "AutomaticRequests", 1)
	case errors.Is(err, errNothingNew), errors.Is(err, approvals.ErrConflict):
		old, err := b.Requests.Get(ctx, r.ID)
		if errors.Is(err, approvals.ErrNotFound) || err == nil && old.State != approvals.Planning {
			return row, nil
		}
		if err != nil {
			return row, err
		}
	default:
		return row, err
	}
	return row, b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobPlan, ID: r.ID}, 0)
}
