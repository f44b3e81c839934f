package actiontest_test

import (
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/toy"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// The contract test of an action: how to open a new AWS with a target, and how the
// target's state is read, tampered with and replaced. toy_test.go is the whole test.
func ExampleTest() {
	var t *testing.T // of TestCloseQueueContract
	const arn, before = "arn:aws:sqs:us-east-1:222222222222:orders", `{"Version":"2012-10-17","Statement":[]}`
	open := func(t *testing.T) actiontest.Environment {
		clock, org := &actiontest.Clock{T: actiontest.Began}, actiontest.TestOrg("aws")
		org.Actions = actions.Catalog{toy.CloseQueue{}}
		cloud := awsfake.New(clock.Now)
		cloud.Member(actiontest.Member, awsfake.MemberRoles{ExternalID: org.ExternalID})
		queue, hub := toy.NewQueue(cloud, arn, before), actions.NewCloud(cloud.Config(), org)
		call, _, err := actions.Parse("close_queue "+arn+" reason=flood", org.Directory())
		actiontest.Must(t, err)
		return actiontest.Environment{
			Call: call, Org: org, Now: clock.Now, Wait: clock.Add,
			Enter: func(m actions.Member, p actions.Phase, resources []string) *actions.Account {
				acct, err := hub.EnterFor(t.Context(), m, toy.CloseQueue{}, p, call, resources, actiontest.Actor)
				actiontest.Must(t, err)
				return acct
			},
			State:     func() any { return queue.Policy() },
			Tamper:    func() { queue.Set(before) },
			Replace:   func() { queue.Set(`{"Version":"2012-10-17"}`) },
			Mutations: queue.Writes,
		}
	}
	actiontest.Test(t, actiontest.Contract{
		Action: toy.CloseQueue{},
		Starts: []actiontest.Start{{Name: "a queue", Open: open}},
	})
}
