package bot

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

const (
	askSlackEvery  = time.Minute
	askSlackWithin = 10 * time.Second
)

// outage is the row of Slack's state: since when it takes no cards, zero while it does.
type outage struct {
	Since time.Time `json:"since"`
}

var outageKey = approvals.Key{Part: "slack", Sort: "outage"}

// watchSlack asks Slack whether it answers, and whether the incident channel is still there, where there is
// a pager to be told that not: nobody learns it from a card.
func (b *Bot) watchSlack(ctx context.Context) error {
	now := b.Now().UTC()
	if last := time.Unix(b.askedSlack.Load(), 0); b.PagerAfter <= 0 || now.Sub(last) < askSlackEvery {
		return nil
	}
	b.askedSlack.Store(now.Unix())
	within, cancel := context.WithTimeout(ctx, askSlackWithin)
	_, _, failure := b.Slack.Team(within)
	if failure == nil {
		failure = b.Slack.takesMessages(within, b.IncidentChannel)
	}
	cancel()
	var o outage
	version, err := approvals.Find(ctx, b.Requests.Store, outageKey, &o)
	if err != nil {
		return err
	}
	switch {
	case failure != nil && o.Since.IsZero():
		o.Since = now
	case failure != nil && now.Sub(o.Since) >= b.PagerAfter:
		b.Log.ErrorContext(ctx, "slack takes no cards", slog.Time("since", o.Since), slog.String("error", failure.Error()))
		return b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobNotify, ID: approvals.OutageID(o.Since)}, 0)
	case failure == nil && !o.Since.IsZero():
		o.Since = time.Time{}
	default:
		return nil
	}
	err = b.Requests.Store.Write(ctx, approvals.PutRow(outageKey, version, o))
	if errors.Is(err, approvals.ErrConflict) {
		return nil // another worker has asked, too
	}
	return err
}
