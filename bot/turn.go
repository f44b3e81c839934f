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
// those that call people go first. Of one person's many cards only the first take a turn ahead;
// the next wait until nobody else does.
// https://docs.slack.dev/apis/web-api/rate-limits
func (b *Bot) turn(ctx context.Context, channel string, m cards.Message) error {
	deadline := b.Now().UTC().Add(patience[m.Rank])
	for {
		var at time.Time
		ok, crowds := false, false
		err := b.alerts().ChangeRateLimit(ctx, channel, func(r *alerts.RateLimit) error {
			now, until := b.Now().UTC(), deadline
			if crowds = r.Crowds(now, m.By); crowds || now.After(until) { // a free place needs no wait
				until = now
			}
			call := m.Rank == cards.CallRank
			if at, ok = r.Turn(now, until, call); !ok {
				at = r.Room(now, call)
				return errNoTurn
			}
			if call || m.Rank == cards.CardRank {
				r.Posted(at, m.By)
			}
			return nil
		})
		switch {
		case errors.Is(err, errNoTurn) && (!crowds || at.After(deadline)):
			return err
		case err != nil && !errors.Is(err, errNoTurn): // too early is better than never
			b.Log.WarnContext(ctx, "no turn in a channel", slog.String("channel", channel), slog.String("error", err.Error()))
			return nil
		}
		if wait := at.Sub(b.Now()); wait > 0 {
			if err := b.Sleep(ctx, wait); err != nil {
				return err
			}
		}
		if ok {
			return nil
		}
	}
}
