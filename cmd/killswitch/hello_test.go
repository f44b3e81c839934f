package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

const member = "222222222222"

// newHello is a hello to which everything is as it should be; each test alters what it is about. It returns the
// AWS and the log, too.
func newHello(t *testing.T, alter func(h *hello, s *slackfake.Config, members *awsfake.MemberRoles)) (*hello, *awsfake.Cloud, *bytes.Buffer) {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC) }
	cloud := awsfake.New(now)
	var log bytes.Buffer
	h := &hello{
		c: config.Config{
			Team: "T01ACME", IncidentChannel: "C01INC",
			Org: actions.Org{Actions: all.Actions, Partition: "aws", HubAccount: awsfake.HubAccount, ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer",
				ExternalID: "4b3c2a1f", Accounts: map[string]string{"prod": member}, Regions: []string{"us-east-1"}},
			Policy:   approvals.Policy{Roster: approvals.Roster{People: []approvals.Person{{ID: "alice", Slack: "U01ALICE"}, {ID: "carol", Slack: "U03CAROL"}}}},
			Alerts:   finding.Routing{Routes: []finding.Route{{}, {Channel: "C02ALERTS"}}},
			Webhooks: []config.Webhook{{ID: "eventbridge", Events: true}, {ID: "soar", Actions: []actions.Name{actions.IsolateInstance}}, {ID: approvals.DirectWebhook, Actions: []actions.Name{actions.IsolateInstance}}},
		},
		hooks: "eventbridge=a,soar=b", aws: cloud.Config(), region: "us-east-1", log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	workspace := slackfake.Config{
		Team: "T01ACME", TeamDomain: "acme", AppID: "A01APP", BotUserID: "U0BOT", BotToken: "xoxb-test", SigningSecret: "s", Now: now,
		Users:    []slackfake.User{{ID: "U01ALICE", Name: "alice"}, {ID: "U03CAROL", Name: "carol"}},
		Channels: []slackfake.Channel{{ID: "C01INC", Name: "incident"}, {ID: "C02ALERTS", Name: "alerts"}},
	}
	roles := awsfake.MemberRoles{Responder: h.c.Org.ResponderRole, Restorer: h.c.Org.RestorerRole, ExternalID: h.c.Org.ExternalID,
		ResponderPolicy: all.MemberPolicy(actions.Responder, h.c.Org, false), RestorerPolicy: all.MemberPolicy(actions.Restorer, h.c.Org, false)}
	alter(h, &workspace, &roles)
	cloud.Member(member, roles)
	zones := local.New(local.Environment{Config: h.c, SigningSecret: "s", BotToken: "xoxb-test", SlackAPI: "http://slack.invalid/api/", SlackClient: slackfake.New(workspace).Client(),
		AWS: h.aws, Now: now, Sleep: approvals.Sleep, Log: slog.New(slog.DiscardHandler)}, local.InMemory(now))
	h.bot, h.executor = zones.Bot, zones.Executor
	return h, cloud, &log
}

// TestStartIsTold: who we are, what is missing, and how much that is. Where all is there, nothing is.
func TestStartIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		alter func(h *hello, s *slackfake.Config, m *awsfake.MemberRoles)
		want  []string // in the only warning
	}{
		"all is there":            {func(*hello, *slackfake.Config, *awsfake.MemberRoles) {}, nil},
		"a webhook without a key": {func(h *hello, _ *slackfake.Config, _ *awsfake.MemberRoles) { h.hooks = "eventbridge=a" }, []string{"no key", "webhook=soar"}},
		"a key without a webhook": {func(h *hello, _ *slackfake.Config, _ *awsfake.MemberRoles) { h.hooks += ",other=c" }, []string{"not in the configuration", "webhook=other"}},
		"no webhook for events":   {func(h *hello, _ *slackfake.Config, _ *awsfake.MemberRoles) { h.c.Webhooks[0].Events = false }, []string{"POST /events lets nobody in"}},
		"another workspace":       {func(_ *hello, s *slackfake.Config, _ *awsfake.MemberRoles) { s.Team = "T09OTHER" }, []string{"of the workspace T09OTHER"}},
		"another token":           {func(_ *hello, s *slackfake.Config, _ *awsfake.MemberRoles) { s.BotToken = "xoxb-other" }, []string{"SLACK_BOT_TOKEN"}},
		"no such channel":         {func(h *hello, _ *slackfake.Config, _ *awsfake.MemberRoles) { h.c.CommandChannels = []string{"C09NONE"} }, []string{"channel C09NONE", "channel_not_found"}},
		"the bot is not in it":    {func(_ *hello, s *slackfake.Config, _ *awsfake.MemberRoles) { s.Channels[1].Left = true }, []string{"/invite", "channel C02ALERTS"}},
		"a person is not in it": {func(h *hello, _ *slackfake.Config, _ *awsfake.MemberRoles) {
			h.c.Policy.Roster.People = append(h.c.Policy.Roster.People, approvals.Person{ID: "bob", Slack: "U02BOB"})
		}, []string{"not in the incident channel", "person=bob"}},
		"another account": {func(h *hello, _ *slackfake.Config, _ *awsfake.MemberRoles) { h.c.Org.HubAccount = "555555555555" }, []string{"not of the hub account 555555555555"}},
		"no credentials": {func(h *hello, _ *slackfake.Config, _ *awsfake.MemberRoles) {
			h.aws.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, errors.New("no EC2 IMDS role found")
			})
		}, []string{"no AWS credentials", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"}},
		"a role that is not there": {func(_ *hello, _ *slackfake.Config, m *awsfake.MemberRoles) { m.Restorer = "another" }, []string{"the role killswitch-restorer can't be entered in " + member + " prod"}},
	} {
		t.Run(name, func(t *testing.T) {
			h, _, log := newHello(t, c.alter)
			h.say(t.Context())
			var warned []string
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, "level=WARN") {
					warned = append(warned, line)
				}
			}
			n := 0
			if c.want != nil {
				n = 1
			}
			if len(warned) != n {
				t.Fatalf("%d warnings: %s", len(warned), log)
			}
			for _, want := range c.want {
				if !strings.Contains(warned[0], want) {
					t.Errorf("warned %s, want %s", warned[0], want)
				}
			}
			if strings.Contains(log.String(), "IMDS") || strings.Contains(log.String(), "xoxb") {
				t.Errorf("said %s", log)
			}
			if last := log.String()[strings.LastIndex(strings.TrimSpace(log.String()), "\n")+1:]; !strings.Contains(last, "msg=ready warnings="+string(rune('0'+n))) {
				t.Errorf("at last %s", last)
			}
		})
	}
}

// TestRolesAreEnteredToDoNothing: the sessions that look whether roles are there may do nothing.
func TestRolesAreEnteredToDoNothing(t *testing.T) {
	h, cloud, log := newHello(t, func(*hello, *slackfake.Config, *awsfake.MemberRoles) {})
	h.say(t.Context())
	entered := 0
	for _, c := range cloud.Calls() {
		if c.Op != "sts:AssumeRole" || c.Phase != awsfake.After {
			continue
		}
		if entered++; !strings.Contains(c.SessionPolicy, `"Deny"`) || strings.Contains(c.SessionPolicy, `"Allow"`) {
			t.Errorf("a session with %s", c.SessionPolicy)
		}
	}
	if entered != 2 {
		t.Errorf("%d roles are entered, want both", entered)
	}
	for _, want := range []string{"team_id=T01ACME", "account=" + awsfake.HubAccount, "region=us-east-1", "version="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not told: %s", want, log)
		}
	}
}
