package bot

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// patience is how long a message waits for its turn. A plan waits for nothing: it is posted when
// the channel is quiet. A card's lease must be longer than the longest.
var patience = map[cards.Rank]time.Duration{
	cards.CallRank:   8 * time.Second,
	cards.CardRank:   6 * time.Second,
	cards.ResultRank: 4 * time.Second,
	cards.PlanRank:   0,
}

// errNoTurn says that a channel has no room for a message now: the sweep posts it.
var errNoTurn = errors.New("other messages of the channel go first")

// turn waits until a message may be posted in a channel: Slack takes about one a second, and
// those that call people go first.
// https://docs.slack.dev/apis/web-api/rate-limits
func (b *Bot) turn(ctx context.Context, channel string, rank cards.Rank) error {
	var at time.Time
	err := b.alerts().ChangeRateLimit(ctx, channel, func(r *alerts.RateLimit) error {
		now, ok := b.Now().UTC(), false
		if at, ok = r.Turn(now, now.Add(patience[rank]), rank == cards.CallRank); !ok {
			return errNoTurn
		}
		return nil
	})
	if errors.Is(err, errNoTurn) {
		return err
	}
	if err != nil { // too early is better than never
		b.Log.WarnContext(ctx, "no turn in a channel", slog.String("channel", channel), slog.String("error", err.Error()))
		return nil
	}
	if wait := at.Sub(b.Now()); wait > 0 {
		return b.Sleep(ctx, wait)
	}
	return nil
}
