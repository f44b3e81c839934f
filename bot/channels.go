package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

const (
	channelFresh  = 10 * time.Minute // how old the answer may be that a channel is open
	closedFresh   = time.Minute      // that it is not
	unknownFresh  = 30 * time.Second // and that Slack did not say: many cards must not ask for it again and again
	channelWithin = 10 * time.Second // for asking Slack all that it takes
	maxMembers    = 500
	membersAtOnce = 8
)

type channelEntry struct {
	no    *actions.Refusal
	err   error
	until time.Time
}

// closed refuses channels where nothing is typed and no card is shown: direct messages, those
// that the configuration does not list, where the bot is not, that other workspaces share or
// are about to, with guests, or with more members than are looked up. An error means that it
// is not known. The incident channel is open, whatever Slack says: a containment must not
// depend on that.
func (b *Bot) closed(ctx context.Context, channel string) (*actions.Refusal, error) {
	switch {
	case channel == b.IncidentChannel:
		return nil, nil
	case strings.HasPrefix(channel, "D"):
		return &actions.Refusal{Reason: cards.InDirectMessage}, nil
	case len(b.CommandChannels) > 0 && !slices.Contains(b.CommandChannels, channel):
		return &actions.Refusal{Reason: cards.NotListed}, nil
	}
	return b.people.closed(ctx, b, channel)
}

// closed is [Bot.closed] by what Slack says.
func (d *directory) closed(ctx context.Context, b *Bot, channel string) (*actions.Refusal, error) {
	now := b.Now()
	d.mu.Lock()
	known, ok := d.channels[channel]
	d.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.no, known.err
	}
	ctx, cancel := context.WithTimeout(ctx, channelWithin)
	defer cancel()
	no, err := b.Slack.notInternal(ctx, channel)
	if err == nil && no == "" {
		no, err = d.outsiders(ctx, b, channel)
	}
	e := channelEntry{err: err, until: now.Add(channelFresh)}
	switch {
	case err != nil:
		e.until = b.Now().Add(unknownFresh)
	case no != "":
		e.no, e.until = &actions.Refusal{Reason: no}, now.Add(closedFresh)
	}
	if no == cards.NotInChannel { // whoever invites the bot tries again at once
		return e.no, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.channels == nil {
		d.channels = map[string]channelEntry{}
	}
	d.channels[channel] = e
	return e.no, e.err
}

// outsiders says why the members of a channel may not all see cards; empty if they may.
func (d *directory) outsiders(ctx context.Context, b *Bot, channel string) (no string, err error) {
	members, err := b.Slack.membersOf(ctx, channel, maxMembers)
	if err != nil || len(members) > maxMembers {
		return cards.TooManyMembers, err
	}
	found := make([]bool, len(members))
	err = actions.Parallel(len(members), membersAtOnce, func(i int) error {
		e, err := d.account(ctx, b, members[i], userStale)
		found[i] = e.outsider
		return err
	})
	if err == nil && slices.Contains(found, true) {
		no = cards.HasGuests
	}
	return no, err
}

// closedHere refuses what was typed in a channel that is closed, or not known to be open.
func (c *conversation) closedHere(ctx context.Context) *actions.Refusal {
	if c.payload.Channel == "" {
		return nil
	}
	no, err := c.b.closed(ctx, c.payload.Channel)
	if err != nil {
		no = &actions.Refusal{Reason: fmt.Sprintf(cards.ChannelNotLookedUp, cards.SlackTrouble(err))}
	}
	return no
}
