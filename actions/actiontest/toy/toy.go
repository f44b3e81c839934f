// Package toy is an action of one file, on a service that no other action uses: it
// shows what an action brings, and tests that nothing else need be touched for it.
package toy

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// CloseQueue lets nobody send to an SQS queue, by the queue's policy.
type CloseQueue struct{}

// closed is the policy of a closed queue.
const closed = `{"Version":"2012-10-17","Statement":[{"Sid":"KillswitchClosed","Effect":"Deny","Principal":"*","Action":"sqs:SendMessage"}]}`

// queueTarget is a queue by its ARN, which has colons alone.
var queueTarget = actions.TargetKind{
	Forms:   "a queue: its ARN",
	Options: []string{"account", "region"},
	Name:    func(arn string) string { return arn[strings.LastIndex(arn, ":")+1:] },
	Read:    readQueue,
}

var queueARN = actions.NewPattern(`^arn:([a-z-]+):sqs:([a-z0-9-]+):([0-9]{12}):([A-Za-z0-9_-]{1,80}(?:\.fifo)?)$`)

func readQueue(t actions.TargetText, m *actions.ParseErrors) actions.Target {
	g := queueARN.FindStringSubmatch(t.Text)
	if g == nil {
		m.Add("target", "is not a queue's ARN", "give it whole, arn:aws:sqs:…")
		return actions.Target{}
	}
	acct := t.AccountReader(m)
	acct.Set(g[3], "the target's account "+g[3])
	if region := t.Options["region"]; region != "" && region != g[2] {
		m.Add("region", actions.Clip(region)+" does not match the target's region "+g[2], "leave region= out")
	}
	if !acct.CheckPartition(g[1]) {
		return actions.Target{}
	}
	return actions.Target{Name: t.Text, Account: acct.ID, Region: g[2]}
}

// Spec implements [actions.Action].
func (CloseQueue) Spec() actions.Spec {
	return actions.Spec{
		Name:       "close_queue",
		Title:      "Close the queue",
		Summary:    "let nobody send to an SQS queue",
		Usage:      `close_queue arn:aws:sqs:us-east-1:222222222222:orders messages=kept reason="floods the workers"`,
		Target:     queueTarget,
		Options:    []string{"messages"},
		Values:     map[string][]string{"messages": {"kept"}},
		Reversible: true,
		NotStopped: []string{"Messages that are in the queue are still received."},
		Undo:       "puts the policy back",
		Delay:      "within a minute",
		Permits: func(p actions.Phase, s actions.Scope) []actions.Statement {
			queue := s.Changed("sqs", "")
			switch {
			case p == actions.PhaseReport:
				return nil
			case p == actions.PhasePlan && !s.Any():
				return []actions.Statement{{Actions: []string{"sqs:GetQueueAttributes"}, Resources: []string{s.Call.Target}}}
			case p == actions.PhasePlan:
				return []actions.Statement{{Actions: []string{"sqs:GetQueueAttributes"}, Resources: queue}}
			}
			return []actions.Statement{{Actions: []string{"sqs:GetQueueAttributes", "sqs:SetQueueAttributes"}, Resources: queue}}
		},
	}
}

// Plan implements [actions.Action].
func (CloseQueue) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	policy, err := read(ctx, acct, c.Target)
	if err != nil {
		return actions.Plan{}, err
	}
	return actions.Plan{
		Identity: actions.Identity{ARN: c.Target, ID: c.Target},
		Steps: []actions.Step{{
			ID: "policy", Title: "Deny sending", Current: fmt.Sprintf("a policy of %d characters", len(policy)), After: "nobody sends",
			Hold: actions.HoldKey(acct, c.Target, "queue", "policy"), Resource: c.Target, ResourceID: c.Target, Prior: &policy, Goal: "queue", Deny: true,
		}},
		Reversible: true,
		Undo:       CloseQueue{}.Spec().Undo,
		Residual:   CloseQueue{}.Spec().NotStopped,
	}, nil
}

// Apply implements [actions.Action].
func (CloseQueue) Apply(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Run) (actions.Effect, error) {
	prior, err := read(ctx, acct, s.Resource)
	if err != nil {
		return actions.Effect{}, err
	}
	if prior == closed {
		return actions.Effect{Prior: s.Prior, Wrote: aws.String(closed)}, nil
	}
	return actions.Effect{Prior: &prior, Wrote: aws.String(closed), Changed: true}, write(ctx, acct, s.Resource, closed)
}

// Verify implements [actions.Action].
func (CloseQueue) Verify(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Effect) (actions.Reading, error) {
	policy, err := read(ctx, acct, s.Resource)
	return actions.Reading{Holds: policy == closed, Found: "the policy " + policy}, err
}

// Revert implements [actions.Action].
func (CloseQueue) Revert(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	switch policy, err := read(ctx, acct, s.Resource); {
	case err != nil:
		return actions.Reading{}, err
	case policy == aws.ToString(e.Prior):
		return actions.Reading{Holds: true}, nil
	case policy != closed:
		return actions.Reading{Found: "the policy " + policy}, nil
	}
	return actions.Reading{Holds: true, Changed: true}, write(ctx, acct, s.Resource, aws.ToString(e.Prior))
}

func urlOf(arn string) *string {
	p := strings.Split(arn, ":")
	return aws.String("https://sqs." + p[3] + ".amazonaws.com/" + p[4] + "/" + p[5])
}

func read(ctx context.Context, acct *actions.Account, arn string) (string, error) {
	out, err := actions.Client(acct, sqs.NewFromConfig).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: urlOf(arn), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNamePolicy},
	})
	if err != nil {
		return "", err
	}
	return out.Attributes["Policy"], nil
}

func write(ctx context.Context, acct *actions.Account, arn, policy string) error {
	_, err := actions.Client(acct, sqs.NewFromConfig).SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{
		QueueUrl: urlOf(arn), Attributes: map[string]string{"Policy": policy},
	})
	return err
}
