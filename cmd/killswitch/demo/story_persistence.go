package demo

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

var (
	deactivatingOps = wanted{action: actions.DeactivateKey, target: company.OpsBotKey}
	quarantining    = wanted{action: actions.QuarantineUser, target: "/" + madeUser}
	strippingRole   = wanted{action: actions.DetachPolicies, target: "/reporting"}
)

// madeUser is the attacker's user, madeTrust what they set for the role reporting.
const (
	madeUser  = "svc-backup"
	madeTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::222222222222:root","arn:aws:iam::666666666666:root"]},"Action":"sts:AssumeRole"}]}`
)

var persistence = &story{
	ID: "persistence", Title: "An attacker who has settled in",
	Summary: "A leaked key is deactivated, and the attacker is still there: with a user of their own, and a role that now trusts their account. Killswitch lists what the key has made and changed, with a button for each. Three clicks end it.",
	Steps: []step{
		deed("Somebody finds ops-bot's access key in a public repository. It may change IAM. They make a user of their own, open the role reporting to their account and give it all rights, and go on by a session of it.", func(ctx context.Context, p *play) error {
			return p.settleIn(ctx)
		}),
		event("Half an hour later Trusted Advisor has seen the key. In the thread of its alert stands what the key has made and changed since, and what that did.", func(ctx context.Context, p *play) error {
			_ = p.Advance(ctx, 20*time.Minute)
			return p.EmitEvent(ctx, "exposed-key", 0, map[string]string{"USER": "ops-bot", "KEY": company.OpsBotKey})
		}),
		clicks(company.Alice, "Alice clicks: the key is inactive at once, by this company's rules for leaked keys.",
			"Deactivate: "+company.OpsBotKey, approvals.Propose(actions.DeactivateKey), alertAbout(company.OpsBotKey), is(deactivatingOps, contained...)),
		deed("Seconds later the key is refused. The attacker does not need it any more.", func(ctx context.Context, p *play) error {
			_ = p.Advance(ctx, 5*time.Second)
			p.tries(p.bad, false)
			p.tries(p.other, true)
			p.tries(p.chained, true)
			return nil
		}),
		clicks(company.Bob, "Bob asks to quarantine the user whom nobody knows, from the list.", "Quarantine", approvals.Propose(actions.QuarantineUser), traceList, asked(quarantining)),
		clicks(company.Carol, "Carol approves. The list says that it is contained.", "Approve", "approve", card(quarantining, approvals.Pending), is(quarantining, contained...)),
		passes("Half a minute passes: nothing of that user's works any more, and what it has opened still does.", 30*time.Second),
		clicks(company.Bob, "The role was there before, and reports will fail. It has all rights and an outsider's trust: Bob asks to strip it.", "Strip", approvals.Propose(actions.DetachPolicies), traceList, asked(strippingRole)),
		clicks(company.Carol, "Carol approves.", "Approve", "approve", card(strippingRole, approvals.Pending), is(strippingRole, contained...)),
		deed("Nothing of what they have works any more.", func(_ context.Context, p *play) error {
			p.tries(p.bad, false)
			p.tries(p.other, false)
			p.tries(p.chained, false)
			return nil
		}),
		passes("A quarter of an hour later it is looked up once more, since CloudTrail is late. There is nothing new.", 16*time.Minute),
	},
	Verdict: "The key, the user that was made with it and the session of the opened role are refused. The list in the thread says that all of it is contained, and what is left to do by hand: the role's trust.",
	Check: func(p *play) {
		p.tries(p.bad, false)
		p.tries(p.other, false)
		p.tries(p.chained, false)
		p.expect(is(deactivatingOps, contained...)(p) && is(quarantining, contained...)(p) && is(strippingRole, contained...)(p), "a containment is not in force")
		list := ""
		for _, m := range p.Slack.Messages(company.Channel) {
			if m.TS == traceList(p) {
				list = slackfake.Text(m)
			}
		}
		p.expect(strings.Contains(list, "1 of 1 made contained or gone") && strings.Contains(list, "Contained*: Strip") || strings.Contains(list, "Contained: Strip"), "the list does not say that it is contained")
	},
}

// traceList is the newest list of what was made.
func traceList(p *play) (ts string) {
	return p.message(func(m slackfake.Message) bool { return strings.Contains(m.Text, " made: ") })
}

// settleIn is what the attacker does with the key, as CloudTrail records it.
func (p *play) settleIn(ctx context.Context) error {
	p.AWS.RecordTrail()
	p.bad = p.Key(company.OpsBot, company.OpsBotKey, "attacker at "+from, "iam:CreateUser", "arn:aws:iam::222222222222:user/*")
	p.tries(p.bad, true)
	user, role, trust, admin := madeUser, "reporting", madeTrust, "arn:aws:iam::aws:policy/AdministratorAccess"
	api := iam.NewFromConfig(p.bad.Config())
	_, err := api.CreateUser(ctx, &iam.CreateUserInput{UserName: &user})
	_, err2 := api.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &user, PolicyArn: &admin})
	key, err3 := api.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &user})
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	_ = p.Advance(ctx, 5*time.Minute)
	p.other = p.Key("arn:aws:iam::222222222222:user/"+madeUser, *key.AccessKey.AccessKeyId, "attacker at "+from, "ec2:RunInstances", "*")
	api = iam.NewFromConfig(p.other.Config())
	_, err = api.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &role, PolicyDocument: &trust})
	_, err2 = api.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: &admin})
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	_ = p.Advance(ctx, 5*time.Minute)
	out, err := sts.NewFromConfig(p.other.Config()).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(company.Reporting), RoleSessionName: aws.String("backup-job")})
	if err != nil {
		return err
	}
	p.chained = p.Assumed(company.Reporting, "backup-job", *out.Credentials.AccessKeyId, "attacker at "+from, "s3:GetObject", customers)
	p.tries(p.chained, true)
	return nil
}
