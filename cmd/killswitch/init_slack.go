package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

const (
	askSlackWithin = 2 * time.Minute // of a listing, which Slack may slow down
	slackPage      = 200
)

// workspace is what init asks of Slack.
type workspace struct {
	api   *slack.Client
	team  string
	users []slack.User // listed once
}

// openSlack asks Slack whose the token is.
func (n *initial) openSlack(ctx context.Context) *workspace {
	token := n.env("SLACK_BOT_TOKEN")
	if token == "" {
		n.tell("Slack: nothing is looked up without SLACK_BOT_TOKEN in the environment, so give IDs in place of names.")
		return nil
	}
	w := &workspace{api: slack.New(token, slackOptions("", n.env("SLACK_API_URL"))...)}
	who, err := w.api.AuthTestContext(ctx)
	if err != nil {
		n.tell("Slack: the bot token is not taken (%v), so nothing is looked up: give IDs in place of names.", err)
		return nil
	}
	w.team = who.TeamID
	n.tell("Slack: workspace %s (%s), as %s", who.Team, who.TeamID, who.User)
	return w
}

var (
	channelID = regexp.MustCompile(`^[CG][A-Z0-9]{2,30}$`)
	userID    = regexp.MustCompile(`^[UW][A-Z0-9]{2,30}$`)
)

func (n *initial) takeChannel(ctx context.Context, s string) error {
	name := strings.ToLower(strings.TrimPrefix(s, "#"))
	switch isID := channelID.MatchString(s); {
	case n.slack == nil && isID:
		n.c.channel = s
		return nil
	case n.slack == nil:
		return fmt.Errorf("%q is a name: without Slack the ID is needed, as C0123ABCD", actions.Clip(s))
	case isID:
		c, err := n.slack.api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: s})
		if err != nil {
			return fmt.Errorf("slack does not show %s to the bot (%w): is the ID right? Of a private channel the bot must be a member", s, err)
		}
		return n.takeFound(c)
	}
	ctx, cancel := context.WithTimeout(ctx, askSlackWithin)
	defer cancel()
	for cursor := ""; ; {
		page, next, err := n.slack.api.GetConversationsContext(ctx, &slack.GetConversationsParameters{Cursor: cursor, Limit: slackPage, ExcludeArchived: true, Types: []string{"public_channel", "private_channel"}})
		if limited, ok := errors.AsType[*slack.RateLimitedError](err); ok && approvals.Sleep(ctx, limited.RetryAfter) == nil {
			continue
		}
		if err != nil {
			return fmt.Errorf("slack does not list channels (%w): give the ID, as C0123ABCD", err)
		}
		for i, c := range page {
			if strings.ToLower(c.Name) == name {
				return n.takeFound(&page[i])
			}
		}
		if cursor = next; next == "" {
			return fmt.Errorf("there is no channel %q that the bot can see: if it is private, /invite the bot first", actions.Clip(name))
		}
	}
}

func (n *initial) takeFound(c *slack.Channel) error {
	switch {
	case c.IsArchived:
		return fmt.Errorf("#%s is archived", c.Name)
	case c.IsExtShared:
		return fmt.Errorf("#%s is shared with another organization, who would read along: choose one of this workspace alone", c.Name)
	case !channelID.MatchString(c.ID):
		return fmt.Errorf("slack gives #%s the ID %q", c.Name, c.ID)
	}
	n.tell("Slack: channel #%s (%s)", c.Name, c.ID)
	n.c.channel, n.c.channelNeedsTheBot = c.ID, !c.IsMember
	return nil
}

func (n *initial) takePeople(ctx context.Context, s string) error {
	var people []human
	var errs []error
	for _, entry := range words(s) {
		own, who, renamed := strings.Cut(entry, "=")
		if !renamed {
			own, who = "", entry
		}
		h, err := n.person(ctx, strings.TrimSpace(who))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if renamed {
			h.id = strings.TrimSpace(own)
			if h.name == h.slack { // without Slack nothing else is known of them
				h.name = displayName(h.id)
			}
		}
		same := func(o human) bool { return strings.EqualFold(o.id, h.id) }
		if slices.ContainsFunc(people, same) && !renamed {
			h.id = strings.ToLower(h.slack)
		}
		people = append(people, h)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, h := range people {
		n.tell("People: %s is %s (%s)", h.id, h.name, h.slack)
	}
	n.c.people = people
	return nil
}

// person finds somebody by ID, name or, where the app may see them, e-mail address.
func (n *initial) person(ctx context.Context, who string) (human, error) {
	byID := userID.MatchString(who)
	if n.slack == nil {
		if !byID {
			return human{}, fmt.Errorf("%q is a name: without Slack the ID is needed, as U0123ABCD, or ana=U0123ABCD", actions.Clip(who))
		}
		return human{id: strings.ToLower(who), name: who, slack: who}, nil
	}
	if byID {
		u, err := n.slack.api.GetUserInfoContext(ctx, who)
		if err != nil {
			return human{}, fmt.Errorf("slack does not know %s: %w", who, err)
		}
		return humanOf(*u)
	}
	if n.slack.users == nil {
		within, cancel := context.WithTimeout(ctx, askSlackWithin)
		defer cancel()
		users, err := n.slack.api.GetUsersContext(within, slack.GetUsersOptionLimit(slackPage))
		if err != nil {
			return human{}, fmt.Errorf("slack does not list people (%w): give IDs, as U0123ABCD", err)
		}
		n.slack.users = users
	}
	name := strings.TrimPrefix(who, "@")
	var found []slack.User
	for _, u := range n.slack.users {
		names := []string{u.Name, u.RealName, u.Profile.DisplayName, u.Profile.RealName, u.Profile.Email}
		if !u.Deleted && slices.ContainsFunc(names, func(s string) bool { return s != "" && strings.EqualFold(s, name) }) {
			found = append(found, u)
		}
	}
	switch {
	case len(found) == 1:
		return humanOf(found[0])
	case len(found) > 1:
		var ids []string
		for _, u := range found {
			ids = append(ids, u.ID)
		}
		return human{}, fmt.Errorf("%q is the name of several people: say which ID (%s)", actions.Clip(who), strings.Join(ids, ", "))
	case strings.Contains(name, "@"):
		return human{}, fmt.Errorf("nobody is found by %q: the app has no scope to read e-mail addresses (users:read.email), so give a name or an ID", actions.Clip(who))
	}
	return human{}, fmt.Errorf("nobody in the workspace has the name %q", actions.Clip(who))
}

// notPersonID is what a person's ID may not have.
var notPersonID = regexp.MustCompile(`[^A-Za-z0-9_=+.@-]+`)

// humanOf takes what Slack says of somebody, who has chosen these names.
func humanOf(u slack.User) (human, error) {
	switch {
	case !userID.MatchString(u.ID):
		return human{}, fmt.Errorf("slack gives a user the ID %q", actions.Clip(u.ID))
	case u.IsBot:
		return human{}, fmt.Errorf("%s is a bot: people decide", u.ID)
	case u.IsRestricted, u.IsUltraRestricted, u.IsStranger:
		return human{}, fmt.Errorf("%s is a guest, who may do nothing here", u.ID)
	}
	h := human{id: notPersonID.ReplaceAllString(strings.ToLower(u.Name), ""), slack: u.ID}
	if meaning := []string{"automatic", "here", "nobody"}; len(h.id) < 2 || len(h.id) > 64 || slices.Contains(meaning, h.id) {
		h.id = strings.ToLower(u.ID)
	}
	for _, name := range []string{u.RealName, u.Profile.RealName, u.Name, u.ID} {
		if h.name = displayName(name); h.name != "" {
			break
		}
	}
	return h, nil
}

// displayName is a name on one line without what controls it.
func displayName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfffd:
			return -1
		}
		return r
	}, s)
	rs := []rune(strings.TrimSpace(s))
	return strings.TrimSpace(string(rs[:min(len(rs), 80)]))
}
