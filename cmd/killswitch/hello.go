package main

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/executor"
	"github.com/killswitch-chatops/killswitch/bot"
	"github.com/killswitch-chatops/killswitch/bot/ingress"
	"github.com/killswitch-chatops/killswitch/cmd/config"
)

// hello looks whether what serve is wired to is there and lets us in, so that what is missing is seen now and not
// at night. It only tells: an outage is no reason not to start.
type hello struct {
	c        config.Config
	hooks    secret
	bot      *bot.Bot
	executor *executor.Executor
	aws      aws.Config
	region   string // where its clients are
	log      *slog.Logger

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
	h.toSlack(ctx)
	h.toAWS(ctx)
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
		if w.WantsKey() && !has {
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

// found warns of what a zone found wrong.
func (h *hello) found(ctx context.Context, all []approvals.Trouble) {
	for _, t := range all {
		h.warn(ctx, "something is wrong", slog.String("check", t.Check), slog.String("found", t.Found), slog.String("mend", t.Mend))
	}
}

// toSlack looks whether Slack knows us, and at our channels.
func (h *hello) toSlack(ctx context.Context) {
	found, knows := h.bot.SlackTroubles(ctx)
	h.found(ctx, found)
	if !knows {
		return
	}
	team, address, _ := h.bot.Slack.Team(ctx)
	h.log.InfoContext(ctx, "slack knows us", slog.String("team_id", team), slog.String("address", address))
	absent, _ := h.bot.Absent(ctx) // the channel is told of
	for _, p := range absent {
		h.warn(ctx, "somebody of people is not in the incident channel, and sees no card there", slog.String("person", p.ID), slog.String("slack", p.Slack))
	}
}

// awsVariables is what people do where there are no credentials.
const awsVariables = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN, if they are temporary), or run it where AWS gives a role: an EC2 instance, an ECS task, an EKS pod"

// toAWS looks whether AWS knows us, and lets us into the accounts.
func (h *hello) toAWS(ctx context.Context) {
	if _, err := h.aws.Credentials.Retrieve(ctx); err != nil {
		h.warn(ctx, "there are no AWS credentials: nothing can be contained", slog.String("do", awsVariables))
		return
	}
	found := h.executor.Troubles(ctx)
	h.found(ctx, found)
	if me, err := h.executor.Cloud.Caller(ctx); err == nil && me.Account == h.c.Org.HubAccount {
		h.log.InfoContext(ctx, "aws knows us", slog.String("account", me.Account), slog.String("arn", me.ARN), slog.String("region", h.region))
		h.found(ctx, h.executor.RoleTroubles(ctx))
	}
}

const slackWithin = 10 * time.Second // for one call

func slackOptions(app secret, apiURL string) []slack.Option {
	opts := []slack.Option{slack.OptionAppLevelToken(string(app)), slack.OptionHTTPClient(&http.Client{Timeout: slackWithin})}
	if apiURL != "" {
		opts = append(opts, slack.OptionAPIURL(strings.TrimSuffix(apiURL, "/")+"/"))
	}
	return opts
}
