// Package company is the imaginary company of the demo: a Slack workspace with
// an incident channel and an AWS organization, both in memory, with the real
// Killswitch between them. It reaches no network.
package company

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// Who and what there is.
const (
	Alice   = "U01ALICE"
	Bob     = "U02BOB"
	Carol   = "U03CAROL"
	Mallory = "U04MALLORY" // an employee, no responder
	Channel = "C01INC"
	Prod    = "222222222222"
	AppRole = "arn:aws:iam::222222222222:role/app-role"
	Command = "/killswitch"
	signing = "the demo's own signing secret"
	token   = "xoxb-demo" //nolint:gosec // G101: of no real workspace
	slackAt = "http://slack.invalid"
)

// Company is the company and its Killswitch.
type Company struct {
	Slack *slackfake.Slack
	AWS   *awsfake.Cloud
	zones *local.Zones
	clock *clock
}

// clock is the company's time: it passes only when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

// New founds the company at a moment.
func New(ctx context.Context, start time.Time, log *slog.Logger) (*Company, error) {
	c := &Company{clock: &clock{now: start}}
	cfg := configuration()
	c.AWS = awsfake.New(c.clock.Now)
	c.AWS.Organize(awsfake.Organization{Management: cfg.Org.ManagementAccount, Accounts: []awsfake.OrgAccount{{ID: Prod, Name: "Production"}, {ID: "333333333333", Name: "Sandbox"}}})
	for _, account := range []string{Prod, "333333333333", cfg.Org.ManagementAccount} {
		management := account == cfg.Org.ManagementAccount
		c.AWS.Member(account, awsfake.MemberRoles{
			Responder: cfg.Org.ResponderRole, Restorer: cfg.Org.RestorerRole, ExternalID: cfg.Org.ExternalID,
			ResponderPolicy: actions.MemberPolicy(actions.Responder, cfg.Org, management),
			RestorerPolicy:  actions.MemberPolicy(actions.Restorer, cfg.Org, management),
		})
	}
	c.AWS.Account(Prod).AddRole(awsfake.Role{Name: "app-role", Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}})
	c.AWS.Account(Prod).AddRole(awsfake.Role{Name: "reporting"})
	c.Slack = slackfake.New(slackfake.Config{
		Team: cfg.Team, TeamDomain: "acme", AppID: "A01KILLSWITCH", BotUserID: "U0BOT", BotToken: token, SigningSecret: signing, Now: c.clock.Now,
		Users:    []slackfake.User{{ID: Alice, Name: "alice"}, {ID: Bob, Name: "bob"}, {ID: Carol, Name: "carol"}, {ID: Mallory, Name: "mallory"}},
		Channels: []slackfake.Channel{{ID: Channel, Name: "incident"}},
	})
	c.Slack.SetBaseURL(slackAt)
	c.zones = local.New(local.Environment{
		Config: cfg, SigningSecret: signing, BotToken: token, SlackAPI: slackAt + "/api/", SlackClient: c.Slack.Client(),
		AWS: c.AWS.Config(), Now: c.clock.Now, Sleep: c.clock.sleep, Log: log,
	}, local.InMemory(c.clock.Now))
	c.Slack.Deliver(c.zones.Ingress)
	return c, c.zones.Bot.Sweep(ctx)
}

func configuration() config.Config {
	entry := approvals.Entry{Requesters: "responders", Approvers: "responders", Approvals: 1, ApproveWithin: 30 * time.Minute, RunWithin: 5 * time.Minute}
	return config.Config{
		Team: "T01ACME", IncidentChannel: Channel, CommandChannels: []string{Channel},
		Org: actions.Org{
			Partition: "aws", HubAccount: awsfake.HubAccount, ManagementAccount: "999999999999", ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer",
			ExternalID: "4b3c2a1f", Accounts: map[string]string{"prod": Prod, "sandbox": "333333333333"}, ProtectedAccounts: []string{awsfake.HubAccount},
		},
		Policy: approvals.Policy{
			Roster: approvals.Roster{
				People: []approvals.Person{
					{ID: "alice", Name: "Alice Anderson", Slack: Alice}, {ID: "bob", Name: "Bob Brown", Slack: Bob}, {ID: "carol", Name: "Carol Clark", Slack: Carol},
				},
				Groups: map[string][]string{"responders": {"alice", "bob", "carol"}},
			},
			Default: entry, Undo: entry,
		},
		Retention: 24 * time.Hour,
	}
}

// Now is the company's time.
func (c *Company) Now() time.Time { return c.clock.Now() }

// Settle lets Killswitch work until nothing is due.
func (c *Company) Settle(ctx context.Context) error {
	for did := true; did; {
		did = false
		for _, p := range c.zones.Pumps {
			ok, err := p.Once(ctx)
			if err != nil {
				return err
			}
			did = did || ok
		}
	}
	return ctx.Err()
}

// Pass lets time go by, with Killswitch at work.
func (c *Company) Pass(ctx context.Context, d time.Duration) error {
	const tick = 5 * time.Second
	for end := c.Now().Add(d); c.Now().Before(end); {
		if err := c.clock.sleep(ctx, min(tick, end.Sub(c.Now()))); err != nil {
			return err
		}
		if err := c.zones.Bot.Sweep(ctx); err != nil {
			return err
		}
		if err := c.Settle(ctx); err != nil {
			return err
		}
	}
	return nil
}
