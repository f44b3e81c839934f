package bot

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// How old what Slack said of people may be: fresh needs no question, and what
// is not stale still counts when Slack doesn't answer, so that an outage of
// Slack does not hold up a containment. What was never known is a no.
const (
	userFresh  = 5 * time.Minute
	userStale  = time.Hour
	groupFresh = 30 * time.Second
	groupStale = 5 * time.Minute
)

// directory remembers what Slack says of people.
type directory struct {
	mu       sync.Mutex
	users    map[string]userEntry
	groups   map[string]groupEntry
	channels map[string]channelEntry
}

type userEntry struct {
	no       *actions.Refusal // of this account
	outsider bool             // a guest, or of another workspace
	at       time.Time
}

type groupEntry struct {
	members []string
	at      time.Time
}

// refuse refuses Slack accounts that may not act: guests, bots and strangers, and
// accounts that Slack can't be asked about.
func (d *directory) refuse(ctx context.Context, b *Bot, user string) *actions.Refusal {
	e, err := d.account(ctx, b, user, userFresh)
	if err != nil {
		return &actions.Refusal{Reason: fmt.Sprintf(cards.PersonNotLookedUp, cards.SlackTrouble(err))}
	}
	return e.no
}

// account is what Slack says of an account, asked anew if the last answer is older than fresh.
func (d *directory) account(ctx context.Context, b *Bot, user string, fresh time.Duration) (userEntry, error) {
	now := b.Now()
	d.mu.Lock()
	known, ok := d.users[user]
	d.mu.Unlock()
	if ok && now.Sub(known.at) < fresh {
		return known, nil
	}
	u, err := b.Slack.user(ctx, user)
	switch {
	case err != nil && ok && now.Sub(known.at) < userStale:
		return known, nil
	case err != nil:
		return userEntry{}, err
	}
	e := userEntry{no: refuseUser(u, b.Team), outsider: guest(u) || u.TeamID != b.Team && !u.IsBot, at: now}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users == nil {
		d.users = map[string]userEntry{}
	}
	d.users[user] = e
	return e, nil
}

func guest(u *slack.User) bool {
	return u.IsRestricted || u.IsUltraRestricted || u.IsStranger || u.IsInvitedUser
}

func refuseUser(u *slack.User, team string) *actions.Refusal {
	switch {
	case u.TeamID != team:
		return &actions.Refusal{Reason: cards.OtherWorkspace}
	case u.IsBot || u.IsAppUser:
		return &actions.Refusal{Reason: cards.IsBot}
	case guest(u):
		return &actions.Refusal{Reason: cards.IsGuest}
	case u.Deleted:
		return &actions.Refusal{Reason: cards.IsDeactivated}
	}
	return nil
}

// members lists who is in a Slack user group.
func (d *directory) members(ctx context.Context, b *Bot, group string) ([]string, error) {
	now := b.Now()
	d.mu.Lock()
	known, ok := d.groups[group]
	d.mu.Unlock()
	if ok && now.Sub(known.at) < groupFresh {
		return known.members, nil
	}
	members, err := b.Slack.members(ctx, group)
	switch {
	case err != nil && ok && now.Sub(known.at) < groupStale:
		return known.members, nil
	case err != nil:
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.groups == nil {
		d.groups = map[string]groupEntry{}
	}
	d.groups[group] = groupEntry{members, now}
	return members, nil
}

// warm asks about everyone ahead, so that the answer is there when it is needed.
func (d *directory) warm(ctx context.Context, b *Bot) {
	for _, p := range b.Policy.Roster.People {
		if p.Slack != "" {
			_ = d.refuse(ctx, b, p.Slack)
		}
	}
	for _, g := range b.Usergroups {
		if g != "" {
			_, _ = d.members(ctx, b, g)
		}
	}
}
