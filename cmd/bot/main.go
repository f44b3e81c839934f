// Command bot is the function that talks: it reads what people say from its
// queues and draws cards. It can't assume a role.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/dynamodb"
	"github.com/killswitch-chatops/killswitch/bot"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/function"
)

func main() {
	function.Start("bot", handler)
}

// invocation is what this function is called with: messages, or the schedule.
type invocation struct {
	Records    []events.SQSMessage `json:"Records"`
	DetailType string              `json:"detail-type"`
}

type handle = func(context.Context, invocation) (events.SQSEventResponse, error)

func handler(env func(string) string, now func() time.Time, log *slog.Logger) (handle, error) {
	c, err := config.Load(env("CONFIG_FILE"))
	if err != nil {
		return nil, err
	}
	aws := function.AWS(env)
	tables := ddb.NewFromConfig(aws, dynamodb.ClientOptions)
	token := function.NewSecret(aws, env("BOT_TOKEN_SECRET_ID"), now)
	count := func(ctx context.Context, name string, n int) { function.Count(ctx, log, now(), name, n) }
	slack := bot.NewSlack(token.Values, env("SLACK_API_URL"), nil, approvals.Sleep)
	slack.Count = count
	b := &bot.Bot{
		Slack:           slack,
		Requests:        approvals.Requests{Store: dynamodb.New(tables, env("REQUESTS_TABLE"), approvals.Marks...), Retention: c.Retention},
		Runs:            approvals.Runs{Reader: dynamodb.New(tables, env("RUNS_TABLE"))},
		Jobs:            approvals.JobQueues{Jobs: function.NewQueue(aws, env("JOBS_QUEUE_URL")), Checks: function.NewQueue(aws, env("CHECKS_QUEUE_URL"))},
		Policy:          c.Policy,
		Org:             c.Org,
		Team:            c.Team,
		IncidentChannel: c.IncidentChannel,
		CommandChannels: c.CommandChannels,
		CanaryChannel:   c.CanaryChannel,
		IngressURL:      env("INGRESS_URL"),
		Usergroups:      c.Usergroups,
		Findings:        c.Reader(),
		EventWebhooks:   c.EventWebhooks(),
		PagerAfter:      c.PagerAfter,
		Now:             now,
		Sleep:           approvals.Sleep,
		Count:           count,
		Log:             log,
	}
	// What kind a message is follows from the queue that it came on.
	kinds := map[string]func(context.Context, []byte) error{
		env("SLACK_QUEUE_ARN"):    approvals.Decoded(b.HandleSlack),
		env("CHANGES_QUEUE_ARN"):  approvals.Decoded(b.HandleChange),
		env("ALERTS_QUEUE_ARN"):   b.HandleEvent,
		env("IMPORTED_QUEUE_ARN"): b.HandleEvent,
		env("WEBHOOKS_QUEUE_ARN"): approvals.Decoded(b.HandleWebhook),
		env("TRAIL_QUEUE_ARN"):    b.HandleTrail,
		env("CLI_QUEUE_ARN"):      b.HandleStatement,
	}
	return func(ctx context.Context, in invocation) (events.SQSEventResponse, error) {
		if len(in.Records) == 0 {
			if in.DetailType != "Scheduled Event" {
				return events.SQSEventResponse{}, errors.New("neither messages nor the schedule")
			}
			checked := make(chan error, 1)
			go func() { checked <- b.SweepHealth(ctx) }()
			err := errors.Join(b.Sweep(ctx), <-checked)
			count(ctx, "Sweeps", 1) // trouble with one request is the others' no end; what never comes here is the alarm's
			return events.SQSEventResponse{}, err
		}
		return function.Batch(ctx, log, now, in.Records, func(ctx context.Context, m events.SQSMessage) error {
			do, ok := kinds[m.EventSourceARN]
			if !ok {
				return fmt.Errorf("unknown queue %s", m.EventSourceARN)
			}
			return do(ctx, []byte(m.Body))
		}), nil
	}, nil
}
