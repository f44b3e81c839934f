package demo

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/organizations"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

var (
	stripping = wanted{action: actions.DetachPolicies, target: "/app-role"}
	denying   = wanted{action: actions.DenyPrincipal, target: "/ci-deployer"}
)

// ourDeny is the policy by which a stripped role is denied.
const ourDeny = "KillswitchDenyAll"

var race = &story{
	ID: "race", Title: "An attacker who fights back",
	Summary: "The attacker administers the account, and takes our deny away as often as it is put back. Killswitch puts it back, tells who it was, and denies them from outside, where they can't lift it.",
	Steps: []step{
		deed("An attacker reads customers' data as app-role. What we don't know yet: they have the pipeline's role ci-deployer, too, which may change IAM.", func(_ context.Context, p *play) error {
			p.bad = p.Session(company.AppRole, "attacker", "attacker at "+from, "s3:GetObject", customers)
			p.other = p.Session(company.Deployer, "pipeline-4711", "attacker at "+from, "iam:DeleteRolePolicy", company.AppRole)
			p.tries(p.bad, true)
			return nil
		}),
		types(company.Alice, "Alice asks to strip the role of all that it may do. The card lists the policies that it has now.",
			`detach_policies prod/app-role reason="reads customer data from abroad"`, asked(stripping)),
		deed("While the card waits, the attacker attaches another policy to the role.", func(ctx context.Context, p *play) error {
			return p.attach(ctx, "app-role", "PowerUserAccess")
		}),
		clicks(company.Bob, "Bob approves. What has been attached since is contained, too, and the card says so.", "Approve", "approve",
			card(stripping, approvals.Pending), is(stripping, contained...)),
		deed("The attacker takes our deny off the role and gives it back what it had.", func(ctx context.Context, p *play) error {
			err := errors.Join(p.lift(ctx), p.attach(ctx, "app-role", "AdministratorAccess"))
			p.tries(p.bad, true)
			return err
		}),
		passes("Killswitch looks again after 5, 15 and 60 seconds: the deny is put back, and everybody is told, also of the policy that is back under it.", 20*time.Second),
		deed("The attacker takes it off once more. They may do that all night.", func(ctx context.Context, p *play) error {
			err := p.lift(ctx)
			p.tries(p.bad, true)
			return err
		}),
		passes("It is put back once more, and told.", time.Minute),
		event("CloudTrail has the calls some minutes later.", func(_ context.Context, p *play) error {
			for _, at := range p.lifted {
				p.recordRemoval("app-role", ourDeny, at)
			}
			return nil
		}),
		passes("Killswitch asks it, and completes what it told: it was ci-deployer. A button denies that role from outside the account.", 6*time.Minute),
		clicks(company.Carol, "Carol asks for it.", "Deny: ci-deployer", approvals.Propose(actions.DenyPrincipal),
			func(p *play) string {
				return p.message(func(m slackfake.Message) bool { return strings.Contains(m.Text, "By role ci-deployer") })
			}, asked(denying)),
		clicks(company.Bob, "Bob approves.", "Approve", "approve", card(denying, approvals.Pending), is(denying, contained...)),
		deed("The attacker tries to take our deny off again, and then what denies them. AWS refuses both: a service control policy is out of reach for all who are in the account.", func(ctx context.Context, p *play) error {
			p.expect(p.lift(ctx) != nil && p.detachSCPs(ctx) != nil, "the attacker lifted what denies them")
			p.tries(p.bad, false)
			p.tries(p.other, false)
			return nil
		}),
		passes("A quarter of an hour later all looks have found it in place. The race is over.", 15*time.Minute),
	},
	Verdict: "Both of the attacker's sessions get AccessDenied. Our deny stands on app-role, over whatever it was given back, and nobody in the account can lift the one on ci-deployer.",
	Check: func(p *play) {
		p.tries(p.bad, false)
		p.tries(p.other, false)
		r := p.AWS.Snapshot().Accounts[company.Prod].Roles["app-role"]
		p.expect(r.Inline[ourDeny] != "", "our deny is not on app-role")
		p.expect(is(stripping, contained...)(p) && is(denying, contained...)(p), "a containment is not in force")
	},
}

// lift lets the attacker take our deny off app-role, by the other way.
func (p *play) lift(ctx context.Context) error {
	role, policy := "app-role", ourDeny
	_, err := iam.NewFromConfig(p.other.Config()).DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy})
	if err == nil {
		p.lifted = append(p.lifted, p.Now())
	}
	return err
}

// detachSCPs lets the attacker try to take Killswitch's service control policies off the account.
func (p *play) detachSCPs(ctx context.Context) error {
	account := company.Prod
	for id, scp := range p.AWS.Snapshot().Organization.SCPs {
		if scp.AWSManaged || !slices.Contains(scp.Targets, account) {
			continue
		}
		if _, err := organizations.NewFromConfig(p.other.Config()).DetachPolicy(ctx, &organizations.DetachPolicyInput{PolicyId: &id, TargetId: &account}); err != nil {
			return err
		}
	}
	return nil
}

// recordRemoval puts the attacker's removal of a role's inline policy into CloudTrail's history.
func (p *play) recordRemoval(role, policy string, at time.Time) {
	issuer := "arn:aws:iam::" + company.Prod + ":role/ci-deployer"
	b, err := json.Marshal(map[string]any{
		"eventName": "DeleteRolePolicy", "eventTime": at.UTC().Format(time.RFC3339), "eventID": "0d6a2f3c-6c53-4c55-9d5e-2f9a4d3b7f10", "awsRegion": company.Region,
		"recipientAccountId": company.Prod, "sourceIPAddress": from, "userAgent": "aws-cli/2.31.8", "requestParameters": map[string]string{"roleName": role, "policyName": policy},
		"userIdentity": map[string]any{"type": "AssumedRole", "principalId": "AROACIDEPLOYER:pipeline-4711",
			"sessionContext": map[string]any{"sessionIssuer": map[string]string{"type": "Role", "arn": issuer, "userName": "ci-deployer"}}},
	})
	if err != nil {
		panic(err) // strings always marshal
	}
	p.AWS.Account(company.Prod).AddEvents("us-east-1", trailtypes.Event{EventName: aws.String("DeleteRolePolicy"), EventTime: aws.Time(at.Truncate(time.Second)), CloudTrailEvent: aws.String(string(b)),
		ReadOnly: aws.String("false"), Resources: []trailtypes.Resource{{ResourceName: &role}, {ResourceName: &policy}}})
}

// attach lets the attacker attach an AWS-managed policy to a role, by the other way.
func (p *play) attach(ctx context.Context, role, policy string) error {
	arn := "arn:aws:iam::aws:policy/" + policy
	_, err := iam.NewFromConfig(p.other.Config()).AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: &arn})
	return err
}
