// Package company is the imaginary company of the demo: a Slack workspace with
// an incident channel and an AWS organization, both in memory, with the real
// Killswitch between them. It reaches no network. A Company is for one goroutine
// at a time.
package company

import (
	"cmp"
	"context"
	_ "embed" // the configuration
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// The channel, and what people type there.
const (
	Channel     = "C01INC"
	ChannelName = "incident"
	Command     = "/killswitch"
)

const (
	signing = "the demo's own signing secret"
	token   = "xoxb-demo" //nolint:gosec // G101: of no real workspace
	slackAt = "http://slack.invalid"
)

//go:embed killswitch.yaml
var configuration []byte

// Company is the company with its Killswitch.
type Company struct {
	Slack *slackfake.Slack
	AWS   *awsfake.Cloud
	Org   actions.Org // as it is configured
	// Used are the credentials in use, oldest first.
	Used []*Credentials

	clock    *clock
	workers  []*worker
	alerts   approvals.Queue
	requests approvals.Requests
	seen     map[string]bool   // requests
	sleeping map[*job]*running // what Killswitch has begun and sleeps in
	mode     SlackMode
	news     atomic.Bool
	log      callLog
}

// New creates the company at a time.
func New(ctx context.Context, start time.Time, log *slog.Logger) (*Company, error) {
	cfg, err := config.Parse("killswitch.yaml", configuration, nil)
	if err != nil {
		return nil, err
	}
	c := &Company{Org: cfg.Org, clock: newClock(start), seen: map[string]bool{}, sleeping: map[*job]*running{}}
	c.AWS = cloud(c.clock.Now, cfg.Org)
	c.AWS.OnCall(c.logCall)
	c.Slack = slackfake.New(slackfake.Config{
		Team: cfg.Team, TeamDomain: "acme", AppID: "A01KILLSWITCH", BotUserID: Bot, BotToken: token, SigningSecret: signing, Now: c.clock.Now,
		Users: users(cfg.Team), Channels: []slackfake.Channel{{ID: Channel, Name: ChannelName}},
	})
	c.Slack.SetBaseURL(slackAt)
	c.Slack.Subscribe(func(slackfake.Event) { c.news.Store(true) })
	backends := local.InMemory(c.clock.Now)
	c.requests, c.alerts = approvals.Requests{Store: backends.Requests}, backends.Alerts
	zones := local.New(local.Environment{
		Config: cfg, SigningSecret: signing, BotToken: token, SlackAPI: slackAt + "/api/", SlackClient: c.Slack.Client(),
		AWS: c.AWS.Config(), Now: c.clock.Now, Sleep: c.clock.sleep, Log: log,
	}, backends)
	zones.Executor.Cloud.SetAfterFunc(func(_ time.Duration, f func()) { f() }) // its own AWS has no rate limit, and nobody waits for one
	c.Slack.Deliver(zones.Ingress)
	for _, p := range zones.Pumps {
		c.workers = append(c.workers, pump(p))
	}
	c.workers = append(c.workers, c.sweep(sweepEvery, zones.Bot.SweepRequests), c.sweep(sweepEvery, zones.Bot.SweepAlerts), c.sweep(expireEvery, func(ctx context.Context) error {
		zones.Expire(ctx, c.Now())
		return nil
	}))
	c.SetSlack(SlackOK)
	if err := c.Advance(ctx, 0); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Now is the company's time.
func (c *Company) Now() time.Time { return c.clock.Now() }

// Changed reports whether Slack or AWS has changed since its last call.
func (c *Company) Changed() bool { return c.news.Swap(false) }

// ErrNotDelivered is wrapped if Slack could not deliver an interaction.
var ErrNotDelivered = errors.New("Slack could not deliver it") //nolint:staticcheck // ST1005: a name

// Type types a line in the channel as a person, with or without the command.
func (c *Company) Type(ctx context.Context, user, text string) error {
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text+" ", Command+" "); ok {
		text = strings.TrimSpace(rest)
	}
	return c.delivered(ctx, c.Slack.Command(user, Channel, Command, text)) //nolint:contextcheck // people have none
}

// Click clicks a button of a message as a person: the one with the value, unless it is
// empty.
func (c *Company) Click(ctx context.Context, user, ts, action, value string) error {
	return c.delivered(ctx, c.Slack.Press(user, Channel, ts, action, value)) //nolint:contextcheck // people have none
}

// Submit sends a form as a person.
func (c *Company) Submit(ctx context.Context, user, view string, values map[string]map[string]string) error {
	return c.delivered(ctx, c.Slack.Submit(user, view, values)) //nolint:contextcheck // people have none
}

// Choose changes a field of a form as a person, beside what is entered in others.
func (c *Company) Choose(ctx context.Context, user, view string, entered map[string]map[string]string, block, action, value string) error {
	return c.delivered(ctx, c.Slack.Enter(user, view, entered, block, action, value)) //nolint:contextcheck // people have none
}

// Dismiss closes a form as a person.
func (c *Company) Dismiss(ctx context.Context, user, view string) error {
	return c.delivered(ctx, c.Slack.Dismiss(user, view)) //nolint:contextcheck // people have none
}

// delivered lets Killswitch handle an interaction. Failures of Killswitch are no error:
// they are shown in the channel, and retried.
func (c *Company) delivered(ctx context.Context, d slackfake.Delivered) error {
	_ = c.Settle(ctx)
	switch {
	case d.Err != nil:
		return fmt.Errorf("%w: %w", ErrNotDelivered, d.Err)
	case d.Status != 0 && d.Status != 200:
		return fmt.Errorf("%w: Killswitch answered %d", ErrNotDelivered, d.Status)
	}
	return ctx.Err()
}

// Requests returns all requests, oldest first.
func (c *Company) Requests(ctx context.Context) ([]approvals.Request, error) {
	for _, mark := range []string{approvals.MarkOpen, approvals.MarkInForce, approvals.MarkStale} {
		rs, err := c.requests.Marked(ctx, mark, "", 100)
		if err != nil {
			return nil, err
		}
		for _, r := range rs {
			c.seen[r.ID] = true
		}
	}
	var all []approvals.Request
	for id := range c.seen {
		r, err := c.requests.Get(ctx, id)
		if errors.Is(err, approvals.ErrNotFound) { // it has been kept long enough
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b approvals.Request) int {
		return cmp.Or(a.Asked.Compare(b.Asked), strings.Compare(a.ID, b.ID))
	})
	return all, nil
}
