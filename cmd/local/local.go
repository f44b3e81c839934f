package local

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/scp"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/executor"
	"github.com/killswitch-chatops/killswitch/approvals/s3"
	"github.com/killswitch-chatops/killswitch/approvals/sts"
	"github.com/killswitch-chatops/killswitch/bot"
	"github.com/killswitch-chatops/killswitch/bot/ingress"
	"github.com/killswitch-chatops/killswitch/cmd/config"
)

// Queue is a queue with both ends in this process.
type Queue interface {
	approvals.FairQueue
	approvals.Receiver
}

// Backends are the tables and queues.
type Backends struct {
	Requests approvals.Store
	Runs     approvals.Store
	Slack    Queue // ingress → bot
	Alerts   Queue // EventBridge → bot
	Webhooks Queue // ingress → bot
	Jobs     Queue // bot, executor → executor
	Checks   Queue // the same, what only looks
	Changes  Queue // executor → bot
	Cli      Queue // command line → bot
	Dead     Queue // what could not be dealt with, however often it was tried
	Room     *Room // whether more can be stored; nil: always
}

// Environment is all that the zones get from outside.
type Environment struct {
	Config        config.Config
	SigningSecret string
	BotToken      string
	WebhookKeys   string       // as ingress.ParseKeys reads them; may be empty
	SlackAPI      string       // empty: Slack itself
	SlackClient   *http.Client // nil: the default
	AWS           aws.Config
	STS           *http.Client // asks AWS who signed a statement; nil: the default
	Now           func() time.Time
	Sleep         func(context.Context, time.Duration) error
	Log           *slog.Logger
}

// Zones are the three zones, wired.
type Zones struct {
	Ingress     *ingress.Ingress
	Bot         *bot.Bot
	Executor    *executor.Executor
	CommandLine *CommandLine
	Pumps       []*Pump
	tables      []approvals.Store
	now         func() time.Time
	log         *slog.Logger
}

// New wires the zones.
func New(env Environment, b Backends) *Zones {
	c := env.Config
	instance := rand.Text() + "/" // a file of tables belongs to one process: other instances are gone
	secrets := func(context.Context) ([]string, error) { return []string{env.SigningSecret}, nil }
	count := func(ctx context.Context, name string, n int) {
		env.Log.InfoContext(ctx, "counted", slog.String("name", name), slog.Int("n", n))
	}
	cloud := actions.NewCloud(env.AWS, c.Org)
	cloud.SetNow(env.Now)
	cloud.SetCount(count)
	cloud.SetLog(env.Log)
	cloud.SetMembers(executor.Members{Store: b.Runs})
	requests := approvals.Requests{Store: b.Requests, Retention: c.Retention}
	signers := sts.For(c.Org, c.Team, aws.ToString(env.AWS.BaseEndpoint), env.Now)
	signers.Client = env.STS
	bodies := ingress.NewBodies()
	z := &Zones{log: env.Log, now: env.Now, tables: []approvals.Store{b.Requests, b.Runs}}
	z.Ingress = &ingress.Ingress{
		Secrets: secrets, SlackQueue: b.Slack,
		Keys: func(context.Context) ([]string, error) { return []string{env.WebhookKeys}, nil }, Webhooks: Grants(c), WebhookQueue: b.Webhooks,
		Bodies: bodies, Now: env.Now, Log: env.Log.With(slog.String("zone", "ingress")),
	}
	if b.Room != nil {
		z.Ingress.Healthy = func(ctx context.Context) error {
			err := b.Room.Healthy(ctx)
			if err != nil {
				env.Log.ErrorContext(ctx, "not healthy", slog.String("error", err.Error()))
			}
			return err
		}
	}
	slack := bot.NewSlack(bot.Token(env.BotToken), env.SlackAPI, env.SlackClient, env.Sleep)
	slack.Count = count
	z.Bot = &bot.Bot{
		Slack:           slack,
		Requests:        requests,
		Runs:            approvals.Runs{Reader: b.Runs},
		Jobs:            approvals.JobQueues{Jobs: b.Jobs, Checks: b.Checks},
		Policy:          c.Policy,
		Org:             c.Org,
		Team:            c.Team,
		IncidentChannel: c.IncidentChannel,
		CommandChannels: c.CommandChannels,
		CanaryChannel:   c.CanaryChannel,
		SocketMode:      c.SocketMode,
		Usergroups:      c.Usergroups,
		Findings:        c.Reader(),
		EventWebhooks:   c.EventWebhooks(),
		PagerAfter:      c.PagerAfter,
		Now:             env.Now,
		Sleep:           env.Sleep,
		Count:           count,
		Log:             env.Log.With(slog.String("zone", "bot")),
	}
	z.Executor = &executor.Executor{
		Store:       b.Runs,
		Requests:    requests,
		Policy:      c.Policy,
		Org:         c.Org,
		Cloud:       cloud,
		Actions:     c.Org.Actions.Lookup,
		Verifiers:   approvals.SlackVerifier{Secrets: secrets}.Kinds(),
		Signers:     signers,
		Team:        c.Team,
		Channels:    c.CommandChannels,
		Findings:    c.Reader(),
		AutoPerHour: c.Alerts.AutoPerHour, AutoPerHourTotal: c.Alerts.AutoPerHourTotal,
		PagerAfter: c.PagerAfter,
		Liftable:   (&scp.Tamper{Cloud: cloud, Document: all.TamperSCP(c.Org), Now: env.Now}).Liftable,
		Members: func(ctx context.Context, who actions.SessionContext) ([]string, error) {
			return scp.Accounts(ctx, cloud, who)
		},
		Jobs:    approvals.JobQueues{Jobs: b.Jobs, Checks: b.Checks},
		Changes: approvals.ChangeQueue{Queue: b.Changes},
		Now:     env.Now,
		Sleep:   env.Sleep,
		Owner:   func() string { return instance + rand.Text() },
		Gone:    func(owner string) bool { return !strings.HasPrefix(owner, instance) },
		Count:   count,
		Log:     env.Log.With(slog.String("zone", "executor")),
	}
	if topic, err := trail.NewTopic(env.AWS, c.SNSTopic); err == nil { // the configuration has checked that it is an ARN, if there is one
		z.Executor.Notices = topic
	}
	if topic, err := trail.NewTopic(env.AWS, c.PagerTopic); err == nil {
		z.Executor.Pager = topic
	}
	if b := c.AuditBucket; b.Name != "" {
		z.Executor.Heads = s3.New(env.AWS, b.Name, b.Region, b.Account)
	}
	z.CommandLine = &CommandLine{Requests: requests, Runs: approvals.Runs{Reader: b.Runs}, Roster: c.Policy.Roster, Queue: b.Cli, Bodies: bodies, Signers: signers, Log: env.Log, Now: env.Now, Sleep: env.Sleep}
	z.Pumps = []*Pump{
		{Name: "slack", Queue: b.Slack, Dead: b.Dead, Handle: approvals.Decoded(z.Bot.HandleSlack), Workers: 4, Log: env.Log},
		{Name: "jobs", Queue: b.Jobs, Dead: b.Dead, Handle: approvals.Decoded(z.Executor.Handle), Workers: 8, Log: env.Log},
		{Name: "checks", Queue: b.Checks, Dead: b.Dead, Handle: approvals.Decoded(z.Executor.Handle), Workers: 4, Log: env.Log},
		{Name: "cli", Queue: b.Cli, Dead: b.Dead, Handle: z.Bot.HandleStatement, Workers: 2, Log: env.Log},
		{Name: "changes", Queue: b.Changes, Dead: b.Dead, Handle: approvals.Decoded(z.Bot.HandleChange), Workers: 2, Log: env.Log},
		// However many alerts there are, what people ask for has its own way.
		{Name: "alerts", Queue: b.Alerts, Dead: b.Dead, Handle: z.Bot.HandleEvent, Workers: 8, Log: env.Log},
		{Name: "webhooks", Queue: b.Webhooks, Dead: b.Dead, Handle: approvals.Decoded(z.Bot.HandleWebhook), Workers: 8, Log: env.Log},
	}
	return z
}

// Grants are what webhooks may do, as ingress knows it.
func Grants(c config.Config) map[string]ingress.Grant {
	m := map[string]ingress.Grant{}
	for _, w := range c.Webhooks {
		g := ingress.Grant{Events: w.Events}
		for _, a := range w.Actions {
			g.Actions = append(g.Actions, string(a))
			g.RoleToAssume, g.ManagementAccount = c.Org.ResponderRole, c.Org.ManagementAccount
		}
		m[w.ID] = g
	}
	return m
}

// sweepEvery is the bot's schedule. It is a minute in Lambda, where a shorter
// one can't be had.
const sweepEvery = 10 * time.Second

// Run works until the context ends, and then lets what has begun end.
func (z *Zones) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, p := range z.Pumps {
		for range p.Workers {
			wg.Go(func() { p.run(ctx) })
		}
	}
	var swept time.Time
	wg.Go(func() {
		every(ctx, sweepEvery, func() {
			_ = z.Bot.SweepRequests(ctx) // it logs its errors
			if now := z.now(); now.Sub(swept) > expireEvery {
				swept = now
				z.Expire(ctx, now)
			}
		})
	})
	wg.Go(func() { every(ctx, sweepEvery, func() { _ = z.Bot.SweepAlerts(ctx) }) }) // which waits for room in their channels
	wg.Go(func() { every(ctx, sweepEvery, func() { _ = z.Bot.SweepHealth(ctx) }) })
	wg.Wait()
}

// every does something again and again until the context ends.
func every(ctx context.Context, pause time.Duration, do func()) {
	for {
		do()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// expireEvery is how often rows that are over are removed, evidence above all.
const expireEvery = time.Hour

// expirer is a table that does not expire rows by itself.
type expirer interface {
	Sweep(ctx context.Context, now time.Time) error
}

// Expire removes the rows that are over.
func (z *Zones) Expire(ctx context.Context, now time.Time) {
	for _, s := range z.tables {
		if t, ok := s.(expirer); ok {
			if err := t.Sweep(ctx, now); err != nil {
				z.log.ErrorContext(ctx, "rows not expired", slog.String("error", err.Error()))
			}
		}
	}
}

const (
	visibility = 2 * time.Minute // a message comes again if its handler takes longer
	maxTries   = 30              // after which a message is set aside
	pollEvery  = 100 * time.Millisecond
)

// Pump takes messages from a queue to a zone.
type Pump struct {
	Name    string
	Queue   Queue
	Dead    approvals.Queue
	Handle  func(context.Context, []byte) error
	Workers int
	Log     *slog.Logger
}

func (p *Pump) run(ctx context.Context) {
	for ctx.Err() == nil {
		did, err := p.Once(ctx)
		if err != nil {
			p.Log.ErrorContext(ctx, "message not handled", slog.String("queue", p.Name), slog.String("error", err.Error()))
		}
		if did {
			continue
		}
		select {
		case <-ctx.Done():
		case <-p.Queue.Wake():
		case <-time.After(pollEvery):
		}
	}
}

// Once deals with one message, if one is due. A message that fails comes again
// after a growing pause; in the end, or if it will never be understood, it is set
// aside, not lost.
func (p *Pump) Once(ctx context.Context) (did bool, err error) {
	d, ok, err := p.Queue.Receive(ctx, visibility)
	if err != nil || !ok {
		return false, err
	}
	// What has begun is brought to its end, also when the process is to stop.
	work := context.WithoutCancel(ctx)
	err = approvals.Guard(work, p.Log, slog.String("queue", p.Name), func() error { return p.Handle(work, d.Body) })
	if err == nil {
		return true, p.Queue.Delete(work, d)
	}
	if d.Receives >= maxTries || errors.Is(err, approvals.ErrUnreadable) {
		dead, jerr := json.Marshal(map[string]string{"queue": p.Name, "body": p.remains(d.Body), "error": err.Error()})
		if jerr != nil {
			return true, errors.Join(err, jerr)
		}
		if derr := p.Dead.Send(work, dead, 0); derr != nil {
			return true, errors.Join(err, derr)
		}
		return true, errors.Join(err, p.Queue.Delete(work, d))
	}
	pause := min(time.Second<<min(d.Receives, 6), time.Minute)
	return true, errors.Join(err, p.Queue.Return(work, d, pause))
}

// remains is what is kept of a message that was set aside: of what people
// signed only its hash, since the body may hold what must not stay.
func (p *Pump) remains(body []byte) string {
	if p.Name != "slack" && p.Name != "cli" {
		return string(body)
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
