package demo

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

var deactivating = wanted{action: actions.DeactivateKey, target: company.DeployBotKey}

var exposedKey = &story{
	ID: "exposed-key", Title: "An access key on a public page",
	Summary: "Trusted Advisor finds a key in a public repository. By this company's rules one click is enough for that: the key is made inactive at once, its user denied, and what it did lately is summed up.",
	Steps: []step{
		deed("Somebody finds deploy-bot's access key in a public repository and looks what it is good for.", func(_ context.Context, p *play) error {
			p.bad = p.Key(company.DeployBot, company.DeployBotKey, "attacker at "+from, "s3:GetObject", customers)
			p.lookAround()
			p.tries(p.bad, true)
			return nil
		}),
		event("Trusted Advisor has seen the key, too. Its alert says what the key did in the last 24 hours.", func(ctx context.Context, p *play) error {
			return p.EmitEvent(ctx, "exposed-key", 0, map[string]string{"USER": "deploy-bot", "KEY": company.DeployBotKey})
		}),
		clicks(company.Alice, "Alice clicks: for leaked keys the route says that no second person is needed, since the key and its user can be had back.",
			"Deactivate: "+company.DeployBotKey, approvals.Propose(actions.DeactivateKey), alertAbout(company.DeployBotKey), is(deactivating, contained...)),
		deed("The key does not work any more. Nor would sessions that were made with it: the user is denied everything.", func(_ context.Context, p *play) error {
			p.tries(p.bad, false)
			return nil
		}),
		passes("A minute later the re-checks have found it in place, and the summary is in the thread.", time.Minute),
		clicks(company.Bob, "deploy-bot has a new key elsewhere: Bob asks to lift what denies the user.", "Undo", "undo", card(deactivating, contained...), asked(deactivating.back())),
		clicks(company.Carol, "Carol approves. The leaked key stays inactive: undo gives no credentials back unless somebody says so.", "Approve", "approve",
			card(deactivating.back(), approvals.Pending), is(deactivating, approvals.Undone)),
	},
	Verdict: "The leaked key is refused since Alice's click, and stays inactive; its user is as it was before otherwise. The thread says what the key did.",
	Check: func(p *play) {
		p.tries(p.bad, false)
		now := p.AWS.Snapshot().Accounts[company.Prod].Users["deploy-bot"]
		p.expect(now.Keys[0].Inactive, "the key is active")
		now.Keys[0].Inactive = false
		p.expect(same(now, p.before.Accounts[company.Prod].Users["deploy-bot"]), "the user is not as it was before")
		summed := false
		for _, m := range p.Slack.Messages(company.Channel) {
			summed = summed || m.ThreadTS != "" && strings.Contains(string(m.Blocks), "GetCallerIdentity")
		}
		p.expect(summed, "the thread does not say what the key did")
	},
}

// lookAround is what CloudTrail has of an attacker who tries what a key may do.
func (p *play) lookAround() {
	record := func(failed string) *string {
		b, err := json.Marshal(map[string]any{"sourceIPAddress": from, "userAgent": "aws-cli/2.31.8", "errorCode": failed})
		if err != nil {
			panic(err) // strings always marshal
		}
		return aws.String(string(b))
	}
	for i, x := range []struct{ source, name, failed string }{
		{"sts.amazonaws.com", "GetCallerIdentity", ""}, {"iam.amazonaws.com", "ListAttachedUserPolicies", "AccessDenied"}, {"s3.amazonaws.com", "ListBuckets", ""},
		{"s3.amazonaws.com", "GetBucketLocation", ""}, {"ec2.amazonaws.com", "DescribeInstances", ""}, {"ec2.amazonaws.com", "RunInstances", "Client.UnauthorizedOperation"},
		{"s3.amazonaws.com", "GetBucketLocation", ""}, {"iam.amazonaws.com", "CreateUser", "AccessDenied"},
	} {
		p.AWS.Account(company.Prod).AddEvents(company.Region, trailtypes.Event{
			EventName: &x.name, EventSource: &x.source, EventTime: aws.Time(p.Now().Add(time.Duration(i-20) * time.Minute)), AccessKeyId: aws.String(company.DeployBotKey),
			Username: aws.String("deploy-bot"), CloudTrailEvent: record(x.failed),
		})
	}
}
