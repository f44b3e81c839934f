package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// Scopes are what the bot token must be granted, as deploy/slack-manifest.yaml asks for them.
var Scopes = []string{"commands", "chat:write", "users:read", "usergroups:read", "channels:history", "groups:history", "channels:read", "groups:read"}

const reinstall = "put deploy/slack-manifest.yaml into the app (api.slack.com/apps, App Manifest), then Install App, Reinstall to Workspace"

// slack looks at the app, its channels and the people.
func (d *Doctor) slack(ctx context.Context, r *report) {
	if d.BotToken == "" {
		r.bad("slack.token", "put it into the secret of the stack's output BotTokenCommand, or export SLACK_BOT_TOKEN", "there is no bot token")
		return
	}
	opts := []slack.Option{slack.OptionHTTPClient(d.HTTP)}
	if d.SlackAPI != "" {
		opts = append(opts, slack.OptionAPIURL(strings.TrimSuffix(d.SlackAPI, "/")+"/"))
	}
	api := slack.New(d.BotToken, opts...)
	who, err := api.AuthTestContext(ctx)
	switch {
	case err != nil:
		r.bad("slack.token", "copy the token from the app's OAuth & Permissions page again (Reinstall to Workspace makes a new one); is the network open to slack.com?", "Slack does not take the bot token: %s", said(err))
		return
	case who.TeamID != d.Config.Team:
		r.bad("slack.token", "use the token of the app that is installed in "+d.Config.Team+", or correct slack.team", "the bot token is of the workspace %s (%s), slack.team is %s", who.TeamID, who.Team, d.Config.Team)
		return
	case who.BotID == "":
		r.bad("slack.token", "use the Bot User OAuth Token (xoxb-…)", "the token is a person's, not the bot's")
	default:
		r.ok("slack.token", "bot %s of %s (%s)", who.User, who.Team, who.TeamID)
	}
	d.clock(r, "slack.clock", "Slack", who.Header)
	d.scopes(r, who.Header)
	members := d.channels(ctx, r, api)
	d.people(ctx, r, api, members)
}

// clock compares this machine's clock with a service's: signatures are refused five minutes off.
func (d *Doctor) clock(r *report, check, whose string, h http.Header) {
	at, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return // an emulator sends none
	}
	const most = 2 * time.Minute
	if off := d.Now().Sub(at).Round(time.Second); off.Abs() > most {
		r.bad(check, "set this machine's clock (timedatectl set-ntp true): signatures that are five minutes off are refused", "this machine's clock is %s off %s's", off, whose)
		return
	}
	r.ok(check, "this machine's clock is %s's", whose)
}

func (d *Doctor) scopes(r *report, h http.Header) {
	granted := strings.Split(strings.ReplaceAll(h.Get("X-Oauth-Scopes"), " ", ""), ",")
	if len(granted) == 1 && granted[0] == "" {
		r.bad("slack.scopes", reinstall, "Slack does not say which scopes the token has")
		return
	}
	var missing, besides []string
	for _, s := range Scopes {
		if !slices.Contains(granted, s) {
			missing = append(missing, s)
		}
	}
	for _, s := range granted {
		if !slices.Contains(Scopes, s) {
			besides = append(besides, s)
		}
	}
	switch {
	case len(missing) > 0:
		r.bad("slack.scopes", reinstall, "the token lacks %s", strings.Join(missing, ", "))
	case len(besides) > 0:
		r.bad("slack.scopes", "take them out of the app's scopes, and reinstall it: "+reinstall, "the token may do more than Killswitch needs: %s", strings.Join(besides, ", "))
	default:
		r.ok("slack.scopes", "%d, exactly those of the manifest", len(Scopes))
	}
}

// channels looks at each channel of the configuration and returns who is in the incident channel; nil if that can't be told.
func (d *Doctor) channels(ctx context.Context, r *report, api *slack.Client) map[string]bool {
	named := append([]string{d.Config.IncidentChannel}, d.Config.CommandChannels...)
	if d.Config.CanaryChannel != "" {
		named = append(named, d.Config.CanaryChannel)
	}
	for _, id := range d.Config.Alerts.Channels(named...) {
		c, err := patient(ctx, func() (*slack.Channel, error) {
			return api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: id})
		})
		switch {
		case err != nil:
			r.bad("slack.channel", "correct the channel's ID (View channel details, at the end), and type /invite @killswitch there if it is private", "%s can't be looked up: %s", id, said(err))
		case c.IsArchived:
			r.bad("slack.channel", "unarchive it, or name another channel", "#%s (%s) is archived", c.Name, id)
		case !c.IsMember:
			r.bad("slack.channel", "type /invite @killswitch in #"+c.Name, "the bot is not in #%s (%s)", c.Name, id)
		case c.IsExtShared || c.IsPendingExtShared || c.IsOrgShared:
			r.bad("slack.channel", "make an internal channel and name that", "#%s (%s) is shared beyond this workspace: outsiders read the cards", c.Name, id)
		default:
			r.ok("slack.channel", "#%s (%s)", c.Name, id)
		}
	}
	in, cursor := map[string]bool{}, ""
	for {
		type page struct {
			ids  []string
			next string
		}
		p, err := patient(ctx, func() (page, error) {
			ids, next, err := api.GetUsersInConversationContext(ctx, &slack.GetUsersInConversationParameters{ChannelID: d.Config.IncidentChannel, Cursor: cursor, Limit: 1000})
			return page{ids, next}, err
		})
		if err != nil {
			return nil // the channel is told of
		}
		for _, id := range p.ids {
			in[id] = true
		}
		if cursor = p.next; cursor == "" {
			return in
		}
	}
}

// people looks at each person of the roster, and whether enough of those who may approve can.
func (d *Doctor) people(ctx context.Context, r *report, api *slack.Client, in map[string]bool) {
	able := map[string]bool{}
	var wrong, outside []string
	for _, p := range d.Config.Policy.Roster.People {
		if p.Slack == "" {
			continue
		}
		u, err := patient(ctx, func() (*slack.User, error) { return api.GetUserInfoContext(ctx, p.Slack) })
		switch why := unfit(u, err, d.Config.Team); {
		case why != "":
			wrong = append(wrong, fmt.Sprintf("%s (%s) %s", p.ID, p.Slack, why))
		case in != nil && !in[p.Slack]:
			outside = append(outside, fmt.Sprintf("%s (%s)", p.ID, p.Slack))
		default:
			able[p.ID] = true
		}
	}
	r.either("slack.people", "correct people[].slack (Profile, ⋮, Copy member ID), or remove who has left", wrong, "all of people are members of the workspace")
	r.either("slack.present", "invite them to the incident channel: mentions reach nobody else", outside, "all of people are in the incident channel")
	d.narrowed(ctx, r, api, able)
	d.enough(r, able)
}

// unfit says why a person can't vote in Slack, or "".
func unfit(u *slack.User, err error, team string) string {
	switch {
	case err != nil:
		return "can't be looked up: " + said(err)
	case u.Deleted:
		return "is deactivated"
	case u.IsBot:
		return "is a bot"
	case u.IsRestricted || u.IsUltraRestricted:
		return "is a guest"
	case u.IsStranger || u.TeamID != "" && u.TeamID != team && u.Enterprise.ID == "":
		return "is of another workspace"
	}
	return ""
}

// narrowed looks at the user groups that narrow the groups.
func (d *Doctor) narrowed(ctx context.Context, r *report, api *slack.Client, able map[string]bool) {
	for group, id := range d.Config.Usergroups {
		ids, err := patient(ctx, func() ([]string, error) { return api.GetUserGroupMembersContext(ctx, id) })
		if err != nil {
			r.bad("slack.usergroup", "correct groups."+group+".slack_usergroup, or leave it out: as long as it can't be read nobody of the group may vote in Slack", "the user group %s of %s can't be read: %s", id, group, said(err))
			continue
		}
		var out []string
		for _, p := range d.Config.Policy.Roster.People {
			if slices.Contains(d.Config.Policy.Roster.Groups[group], p.ID) && p.Slack != "" && !slices.Contains(ids, p.Slack) {
				out = append(out, p.ID)
				delete(able, p.ID)
			}
		}
		r.either("slack.usergroup", "add them to the user group in Slack, or take them out of groups."+group, prefixed("not in the user group "+id+": ", out), "the user group of %s has all its people", group)
	}
}

func prefixed(with string, list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return []string{with + some(list)}
}

// enough looks whether each action can be approved by people who are there, whoever of them asks.
func (d *Doctor) enough(r *report, able map[string]bool) {
	policy := d.Config.Policy
	var wrong []string
	check := func(what string, p approvals.ActionPolicy) {
		can, asker := 0, 0
		for _, id := range policy.Roster.Groups[p.Approvers] {
			if able[id] {
				can++
			}
			if slices.Contains(policy.Roster.Groups[p.Requesters], id) {
				asker = 1 // who asks can't approve
			}
		}
		if can-asker < p.Approvals {
			wrong = append(wrong, fmt.Sprintf("%s needs %d of %s beside who asks, and of all %d can vote now", what, p.Approvals, p.Approvers, can))
		}
	}
	check("an action", policy.Default)
	for action, p := range policy.Actions {
		check(string(action), p)
	}
	slices.Sort(wrong)
	r.either("slack.quorum", "see slack.people, slack.present and slack.usergroup, or add people", wrong, "each action can be approved, whoever asks")
}

// patient waits as Slack asks for.
func patient[T any](ctx context.Context, do func() (T, error)) (T, error) {
	for {
		v, err := do()
		limited, ok := errors.AsType[*slack.RateLimitedError](err)
		if !ok {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, err
		case <-time.After(limited.RetryAfter):
		}
	}
}
