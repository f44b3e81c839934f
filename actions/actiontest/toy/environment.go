package toy

import (
	"slices"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// ARN is the queue's.
const ARN = "arn:aws:sqs:us-east-1:" + actiontest.Member + ":orders"

const (
	before = `{"Version":"2012-10-17","Statement":[]}`
	other  = `{"Version":"2012-10-17"}`
)

// Org is an organization that has the toy among its actions.
func Org() actions.Org {
	o := actiontest.TestOrg("aws")
	o.Actions = append(slices.Clone(o.Actions), CloseQueue{})
	return o
}

// Open makes an AWS with one queue, and what the contract has to know of it.
func Open(t *testing.T) actiontest.Environment {
	clock, o := &actiontest.Clock{T: actiontest.Began}, Org()
	cloud := awsfake.New(clock.Now)
	cloud.Member(actiontest.Member, awsfake.MemberRoles{ExternalID: o.ExternalID,
		ResponderPolicy: all.MemberPolicy(actions.Responder, o, false), RestorerPolicy: all.MemberPolicy(actions.Restorer, o, false)})
	queue := NewQueue(cloud, ARN, before)
	hub := actions.NewCloud(cloud.Config(), o)
	call, _, err := actions.Parse("close_queue "+ARN+" messages=kept reason=flood", o.Directory())
	actiontest.Must(t, err)
	return actiontest.Environment{
		Call: call, Org: o, Now: clock.Now, Wait: clock.Add,
		Enter: func(m actions.Member, p actions.Phase, resources []string) *actions.Account {
			acct, err := hub.EnterFor(t.Context(), m, CloseQueue{}, p, call, resources, actiontest.Actor)
			actiontest.Must(t, err)
			return acct
		},
		State:     func() any { return queue.Policy() },
		Tamper:    func() { queue.Set(before) },
		Replace:   func() { queue.Set(other) },
		Mutations: queue.Writes,
		Calls: func() (ops []string) {
			for _, call := range cloud.Calls() {
				if call.Op != "sts:AssumeRole" {
					ops = append(ops, call.Op)
				}
			}
			return ops
		},
	}
}
