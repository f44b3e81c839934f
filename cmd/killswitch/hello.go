package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/bot/ingress"
	"github.com/killswitch-chatops/killswitch/cmd/config"
)

// hello looks whether what serve is wired to is there and lets us in, so that what is missing is seen now and not
// at night. It only tells: an outage is no reason not to start.
type hello struct {
	c      config.Config
	hooks  secret
	slack  *slack.Client
	aws    aws.Config
	region string // where its clients are
	cloud  *actions.Cloud
	log    *slog.Logger

	warnings atomic.Int64
}

// say tells of all, and at last how many warnings there were.
func (h *hello) say(ctx context.Context) {
	b := thisBuild()
	h.log.InfoContext(ctx, "killswitch", slog.String("version", b.Version), slog.String("commit", b.Commit), slog.String("go", b.Go))
	h.log.InfoContext(ctx, "wired", slog.Bool("socket_mode", h.c.SocketMode), slog.Int("people", len(h.c.Policy.Roster.People)), slog.Int("accounts", len(h.c.Org.Accounts)),
		slog.Int("alert_routes", len(h.c.Alerts.Routes)), slog.Int("webhooks", len(h.c.Webhooks)), slog.String("sns_topic", h.c.SNSTopic), slog.String("pager_topic", h.c.PagerTopic),
		slog.String("audit_bucket", h.c.AuditBucket.Name), slog.String("retention", h.c.Retention.String()))
	h.webhooks(ctx)
	if h.toSlack(ctx) {
		h.channels(ctx)
	}
	if h.toAWS(ctx) {
		h.roles(ctx)
	}
	if ctx.Err() == nil {
		h.log.InfoContext(ctx, "ready", slog.Int64("warnings", h.warnings.Load()))
	}
}

func (h *hello) warn(ctx context.Context, msg string, attrs ...slog.Attr) {
	if ctx.Err() == nil { // else it is the end that is told
		h.warnings.Add(1)
		h.log.LogAttrs(ctx, slog.LevelWarn, msg, attrs...) //nolint:sloglint // all who call it have a constant
	}
}

// webhooks tells of webhooks without a key, and of keys without a webhook.
func (h *hello) webhooks(ctx context.Context) {
	keys, _ := ingress.ParseKeys(string(h.hooks)) // serve has looked
	events := false
	for _, w := range h.c.Webhooks {
		has := slices.Contains(keys.Webhooks(), w.ID)
		events = events || w.Events && has
		if may := w.Events || len(w.Actions) > 0; may && w.ID != ingress.DirectWebhook && !has {
			h.warn(ctx, "a webhook of the configuration has no key in KILLSWITCH_WEBHOOK_KEYS: it is not let in", slog.String("webhook", w.ID))
		}
	}
	for _, id := range keys.Webhooks() {
		if !slices.ContainsFunc(h.c.Webhooks, func(w config.Webhook) bool { return w.ID == id }) {
			h.warn(ctx, "KILLSWITCH_WEBHOOK_KEYS has a key of a webhook that is not in the configuration", slog.String("webhook", id))
		}
	}
	if !events && len(h.c.Alerts.Routes) > 0 {
		h.warn(ctx, "POST /events lets nobody in, so there are no alerts, and changes of what is contained are seen by the next look only: add a webhook with events: true and its key")
	}
}

// toSlack asks Slack who we are.
func (h *hello) toSlack(ctx context.Context) bool {
	who, err := h.slack.AuthTestContext(ctx)
	switch {
	case err != nil:
		h.warn(ctx, "slack does not answer to the bot token: is SLACK_BOT_TOKEN this app's, and the network open to slack.com?", slog.String("error", err.Error()))
	case who.TeamID != h.c.Team:
		h.warn(ctx, "the bot token is another workspace's", slog.String("configured", h.c.Team), slog.String("found", who.TeamID))
	default:
		h.log.InfoContext(ctx, "slack knows us", slog.String("team", who.Team), slog.String("team_id", who.TeamID), slog.String("bot_user", who.User), slog.String("bot_user_id", who.UserID))
		return true
	}
	return false
}

// channels looks whether the bot is in its channels, and the people of the roster in the incident channel.
func (h *hello) channels(ctx context.Context) {
	all := append([]string{h.c.IncidentChannel}, h.c.CommandChannels...)
	for _, r := range h.c.Alerts.Routes {
		if r.Channel != "" {
			all = append(all, r.Channel)
		}
	}
	slices.Sort(all)
	for _, id := range slices.Compact(all) {
		switch c, err := h.slack.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: id}); {
		case err != nil:
			h.warn(ctx, "a channel of the configuration can't be looked up: is its ID right, and the bot in it?", slog.String("channel", id), slog.String("error", err.Error()))
		case c.IsArchived:
			h.warn(ctx, "a channel of the configuration is archived", slog.String("channel", id), slog.String("name", c.Name))
		case !c.IsMember:
			h.warn(ctx, "the bot is not in a channel of the configuration: /invite it there", slog.String("channel", id), slog.String("name", c.Name))
		}
	}
	in, cursor := map[string]bool{}, ""
	for {
		ids, next, err := h.slack.GetUsersInConversationContext(ctx, &slack.GetUsersInConversationParameters{ChannelID: h.c.IncidentChannel, Cursor: cursor, Limit: 1000})
		if err != nil {
			return // the channel is told of
		}
		for _, id := range ids {
			in[id] = true
		}
		if cursor = next; next == "" {
			break
		}
	}
	for _, p := range h.c.Policy.Roster.People {
		if p.Slack != "" && !in[p.Slack] {
			h.warn(ctx, "somebody of people is not in the incident channel, and sees no card there", slog.String("person", p.ID), slog.String("slack", p.Slack))
		}
	}
}

// awsVariables is what people do where there are no credentials.
const awsVariables = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN, if they are temporary), or run it where AWS gives a role: an EC2 instance, an ECS task, an EKS pod"

// toAWS asks AWS who we are.
func (h *hello) toAWS(ctx context.Context) bool {
	if _, err := h.aws.Credentials.Retrieve(ctx); err != nil {
		h.warn(ctx, "there are no AWS credentials: nothing can be contained", slog.String("do", awsVariables))
		return false
	}
	me, err := sts.NewFromConfig(h.aws).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	switch {
	case err != nil:
		h.warn(ctx, "aws does not know us: nothing can be contained", slog.String("error", err.Error()), slog.String("region", h.region))
	case aws.ToString(me.Account) != h.c.Org.HubAccount:
		h.warn(ctx, "the credentials are not the hub account's", slog.String("configured", h.c.Org.HubAccount), slog.String("found", aws.ToString(me.Account)))
	default:
		h.log.InfoContext(ctx, "aws knows us", slog.String("account", aws.ToString(me.Account)), slog.String("arn", aws.ToString(me.Arn)), slog.String("region", h.region))
		return true
	}
	return false
}

// rolesAtOnce is how many member roles are entered at the same time.
const rolesAtOnce = 4

// roles enters each member role of the configured accounts, in sessions that may do nothing.
func (h *hello) roles(ctx context.Context) {
	o := h.c.Org
	accounts := slices.Collect(maps.Values(o.Accounts))
	if a := o.OrganizationsAccount(); a != "" {
		accounts = append(accounts, a)
	}
	slices.Sort(accounts)
	accounts = slices.DeleteFunc(slices.Compact(accounts), func(a string) bool { return a == o.HubAccount || slices.Contains(o.ProtectedAccounts, a) })
	members := []actions.Member{actions.Responder, actions.Restorer}
	nothing := []actions.Statement{{Deny: true, Actions: []string{"*"}, Resources: []string{"*"}}}
	_ = actions.Parallel(len(accounts)*len(members), rolesAtOnce, func(i int) error {
		account, member, role := accounts[i/len(members)], members[i%len(members)], o.ResponderRole
		if member == actions.Restorer {
			role = o.RestorerRole
		}
		_, err := h.cloud.Enter(ctx, member, account, h.region, actions.SessionContext{RequestID: "killswitch-start", Requester: "killswitch"}, nothing)
		if err != nil {
			said := err.Error()
			if api, ok := errors.AsType[smithy.APIError](err); ok {
				said = api.ErrorCode()
			}
			h.warn(ctx, "a member role can't be entered: is it deployed there (killswitch template members), and does its trust name us and aws.external_id?",
				slog.String("account", account), slog.String("alias", o.Alias(account)), slog.String("role", role), slog.String("error", said))
		}
		return nil
	})
}

const slackWithin = 10 * time.Second // for one call

func slackOptions(app secret, apiURL string) []slack.Option {
	opts := []slack.Option{slack.OptionAppLevelToken(string(app)), slack.OptionHTTPClient(&http.Client{Timeout: slackWithin})}
	if apiURL != "" {
		opts = append(opts, slack.OptionAPIURL(strings.TrimSuffix(apiURL, "/")+"/"))
	}
	return opts
}
