// Command executor is the function that plans, acts and verifies. It alone may
// assume the member roles, and nobody can call it but through its queue.
package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"
	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/scp"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/dynamodb"
	"github.com/killswitch-chatops/killswitch/approvals/executor"
	"github.com/killswitch-chatops/killswitch/approvals/s3"
	"github.com/killswitch-chatops/killswitch/approvals/sts"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/function"
)

func main() {
	function.Start("executor", handler)
}

type handle = func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)

func handler(env func(string) string, now func() time.Time, log *slog.Logger) (handle, error) {
	c, err := config.Load(env("CONFIG_FILE"))
	if err != nil {
		return nil, err
	}
	aws := function.AWS(env)
	tables := ddb.NewFromConfig(aws, dynamodb.ClientOptions)
	secret := function.NewSecret(aws, env("SIGNING_SECRET_ID"), now)
	runs, cloud := dynamodb.New(tables, env("RUNS_TABLE")), actions.NewCloud(aws, c.Org)
	cloud.SetMembers(executor.Members{Store: runs})
	cloud.SetLog(log)
	count := func(ctx context.Context, name string, n int) { function.Count(ctx, log, now(), name, n) }
	cloud.SetCount(count)
	x := &executor.Executor{
		Store:       runs,
		Requests:    approvals.Requests{Store: dynamodb.New(tables, env("REQUESTS_TABLE"), approvals.Marks...), Retention: c.Retention},
		Policy:      c.Policy,
		Org:         c.Org,
		Cloud:       cloud,
		Actions:     c.Org.Actions.Lookup,
		Verifiers:   approvals.SlackVerifier{Secrets: secret.Values, Refresh: secret.Refresh}.Kinds(),
		Signers:     sts.For(c.Org, c.Team, awssdk.ToString(aws.BaseEndpoint), now),
		Team:        c.Team,
		Channels:    c.CommandChannels,
		Findings:    c.Reader(),
		AutoPerHour: c.Alerts.AutoPerHour, AutoPerHourTotal: c.Alerts.AutoPerHourTotal,
		PagerAfter: c.PagerAfter,
		Liftable:   (&scp.Tamper{Cloud: cloud, Document: all.TamperSCP(c.Org), Now: now}).Liftable,
		Members: func(ctx context.Context, who actions.SessionContext) ([]string, error) {
			return scp.Accounts(ctx, cloud, who)
		},
		Jobs:    approvals.JobQueues{Jobs: function.NewQueue(aws, env("JOBS_QUEUE_URL")), Checks: function.NewQueue(aws, env("CHECKS_QUEUE_URL"))},
		Changes: approvals.ChangeQueue{Queue: function.NewQueue(aws, env("CHANGES_QUEUE_URL"))},
		Now:     now,
		Sleep:   approvals.Sleep,
		Owner:   rand.Text,
		Count:   count,
		Log:     log,
	}
	if c.SNSTopic != "" {
		if x.Notices, err = trail.NewTopic(aws, c.SNSTopic); err != nil {
			return nil, err
		}
	}
	if c.PagerTopic != "" {
		if x.Pager, err = trail.NewTopic(aws, c.PagerTopic); err != nil {
			return nil, err
		}
	}
	if b := c.AuditBucket; b.Name != "" {
		x.Heads = s3.New(aws, b.Name, b.Region, b.Account)
	}
	job := approvals.Decoded(x.Handle)
	return func(ctx context.Context, in events.SQSEvent) (events.SQSEventResponse, error) {
		return function.Batch(ctx, log, now, in.Records, func(ctx context.Context, m events.SQSMessage) error { return job(ctx, []byte(m.Body)) }), nil
	}, nil
}
