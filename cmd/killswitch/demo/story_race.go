package demo

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

var (
	stripping = wanted{action: actions.DetachPolicies, target: "/app-role"}
	revoking  = wanted{action: actions.RevokeSessions, target: "/ci-deployer"}
)

var race = &story{
	ID: "race", Title: "An attacker who fights back",
	Summary: "While the role is being stripped, the attacker attaches more policies, and then takes our deny away. Killswitch contains what is there by then, looks again, and tells.",
	Steps: []step{
		deed("An attacker reads customers' data as app-role. What we don't know yet: they have the pipeline's role ci-deployer, too, which may change IAM.", func(_ context.Context, p *play) error {
			p.bad = p.Session(company.AppRole, "attacker", "attacker at "+from, "s3:GetObject", customers)
			p.other = p.Session(company.Deployer, "pipeline-4711", "attacker at "+from, "iam:AttachRolePolicy", company.AppRole)
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
			role, policy := "app-role", "KillswitchDenyAll"
			if _, err := iam.NewFromConfig(p.other.Config()).DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy}); err != nil {
				return err
			}
			p.removed = p.Now()
			err := p.attach(ctx, "app-role", "AdministratorAccess")
			p.tries(p.bad, true)
			return err
		}),
		passes("Killswitch looks again after 5, 15 and 60 seconds: the deny is put back, and everybody is told, also of the policy that is back under it.", 20*time.Second),
		event("CloudTrail has the call some minutes later.", func(_ context.Context, p *play) error {
			p.recordRemoval("app-role", "KillswitchDenyAll")
			return nil
		}),
		passes("Killswitch asks it, and completes what it told: it was ci-deployer. A button contains that role.", 6*time.Minute),
		clicks(company.Carol, "Carol asks to revoke its sessions.", "Revoke sessions: ci-deployer", approvals.Propose(actions.RevokeSessions),
			func(p *play) string {
				return p.message(func(m slackfake.Message) bool { return strings.Contains(m.Text, "By role ci-deployer") })
			}, asked(revoking)),
		clicks(company.Bob, "Bob approves.", "Approve", "approve", card(revoking, approvals.Pending), is(revoking, contained...)),
		deed("The attacker tries both ways in.", func(_ context.Context, p *play) error {
			p.tries(p.bad, false)
			p.tries(p.other, false)
			return nil
		}),
		passes("Two minutes later all looks have found it in place.", 2*time.Minute),
	},
	Verdict: "Both of the attacker's sessions get AccessDenied: our deny stands on app-role again, over whatever it was given back.",
	Check: func(p *play) {
		p.tries(p.bad, false)
		p.tries(p.other, false)
		r := p.AWS.Snapshot().Accounts[company.Prod].Roles["app-role"]
		p.expect(r.Inline["KillswitchDenyAll"] != "", "our deny is not on app-role")
		p.expect(is(stripping, contained...)(p) && is(revoking, contained...)(p), "a containment is not in force")
	},
}

// recordRemoval puts the attacker's removal of a role's inline policy into CloudTrail's history.
func (p *play) recordRemoval(role, policy string) {
	issuer := "arn:aws:iam::" + company.Prod + ":role/ci-deployer"
	b, err := json.Marshal(map[string]any{
		"eventName": "DeleteRolePolicy", "eventTime": p.removed.UTC().Format(time.RFC3339), "eventID": "0d6a2f3c-6c53-4c55-9d5e-2f9a4d3b7f10", "awsRegion": company.Region,
		"recipientAccountId": company.Prod, "sourceIPAddress": from, "userAgent": "aws-cli/2.31.8", "requestParameters": map[string]string{"roleName": role, "policyName": policy},
		"userIdentity": map[string]any{"type": "AssumedRole", "principalId": "AROACIDEPLOYER:pipeline-4711",
			"sessionContext": map[string]any{"sessionIssuer": map[string]string{"type": "Role", "arn": issuer, "userName": "ci-deployer"}}},
	})
	if err != nil {
		panic(err) // strings always marshal
	}
	p.AWS.Account(company.Prod).AddEvents("us-east-1", trailtypes.Event{EventName: aws.String("DeleteRolePolicy"), EventTime: aws.Time(p.removed.Truncate(time.Second)), CloudTrailEvent: aws.String(string(b)),
		ReadOnly: aws.String("false"), Resources: []trailtypes.Resource{{ResourceName: &role}, {ResourceName: &policy}}})
}

// attach lets the attacker attach an AWS-managed policy to a role, by the other way.
func (p *play) attach(ctx context.Context, role, policy string) error {
	arn := "arn:aws:iam::aws:policy/" + policy
	_, err := iam.NewFromConfig(p.other.Config()).AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: &arn})
	return err
}
