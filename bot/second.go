package bot

import (
	"context"
	"errors"
	"log/slog"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// postSecond posts a request's second card, where it was asked for, or updates it. It is posted
// after the first, and not before the request waits for people. A channel that is closed by
// now, or gone, loses it, and the incident channel is told.
func (b *Bot) postSecond(ctx context.Context, v cards.View, first approvals.Card, second *approvals.Card) error {
	if second.Channel == "" {
		return nil
	}
	if second.Channel == first.Channel { // which has moved there
		*second = approvals.Card{}
		return nil
	}
	if second.TS == "" && v.Request.State == approvals.Planning {
		second.NotBegun()
		return nil
	}
	no, err := b.closed(ctx, second.Channel)
	switch {
	case no != nil:
		err = b.dropSecond(ctx, v.Request.ID, second, cards.ChannelShut(second.Channel, no.Reason))
	case err != nil:
		second.NotBegun()
	default:
		v.Request.Card = first
		m := cards.Second(v, b.Policy.Roster)
		m.By = asker(v.Request)
		if err = b.postOrUpdateThere(ctx, second, m, "· "+v.Request.ID); channelGone(err) {
			err = b.dropSecond(ctx, v.Request.ID, second, cards.ChannelGone(second.Channel, codeOf(err)))
		}
	}
	return err
}

// dropSecond takes the second card away: what it shows is in the incident channel. An error means that
// it still stands there, and can be clicked.
func (b *Bot) dropSecond(ctx context.Context, id string, second *approvals.Card, told cards.Message) error {
	if second.TS != "" {
		err := b.Slack.update(ctx, second.Channel, second.TS, cards.Say(cards.CardTaken, id, b.IncidentChannel))
		if err != nil && !channelGone(err) && !messageGone(err) {
			return err
		}
	}
	b.Log.WarnContext(ctx, "second card dropped", slog.String("request_id", id), slog.String("channel", second.Channel))
	b.tellOfChannel(ctx, second.Channel, told)
	*second = approvals.Card{}
	return nil
}

// tellOfChannel tells the incident channel that another takes no cards any more, once an hour.
func (b *Bot) tellOfChannel(ctx context.Context, channel string, m cards.Message) {
	if err := b.tellOnce(ctx, "gone channel "+channel, m); err != nil && !errors.Is(err, approvals.ErrConflict) {
		b.Log.WarnContext(ctx, "a channel that takes no messages is not told of", slog.String("error", err.Error()))
	}
}

// asker is the person whose turns the messages about a request take; empty for Killswitch itself,
// which has limits of its own.
func asker(r approvals.Request) string {
	if r.Requester.Person == approvals.AutomaticRequester {
		return ""
	}
	return r.Requester.Person
}
