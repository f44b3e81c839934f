package toy_test

import (
	"slices"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/toy"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const (
	orders = "arn:aws:sqs:us-east-1:" + actiontest.Member + ":orders"
	before = `{"Version":"2012-10-17","Statement":[]}`
	other  = `{"Version":"2012-10-17"}`
)

// TestToyContract: an action of one file passes the contract.
func TestToyContract(t *testing.T) {
	actiontest.Test(t, actiontest.Contract{Action: toy.CloseQueue{}, Starts: []actiontest.Start{{Name: "a queue", Open: environment}}})
}

// org is an organization that has the toy.
func org() actions.Org {
	o := actiontest.TestOrg("aws")
	o.Actions = append(slices.Clone(o.Actions), toy.CloseQueue{})
	return o
}

func environment(t *testing.T) actiontest.Environment {
	clock, o := &actiontest.Clock{T: actiontest.Began}, org()
	cloud := awsfake.New(clock.Now)
	cloud.Member(actiontest.Member, awsfake.MemberRoles{ExternalID: o.ExternalID,
		ResponderPolicy: all.MemberPolicy(actions.Responder, o, false), RestorerPolicy: all.MemberPolicy(actions.Restorer, o, false)})
	queue := toy.NewQueue(cloud, orders, before)
	hub := actions.NewCloud(cloud.Config(), o)
	call, _, err := actions.Parse("close_queue "+orders+" messages=kept reason=flood", o.Directory())
	actiontest.Must(t, err)
	return actiontest.Environment{
		Call: call, Org: o, Now: clock.Now, Wait: clock.Add,
		Enter: func(m actions.Member, p actions.Phase, resources []string) *actions.Account {
			acct, err := hub.EnterFor(t.Context(), m, toy.CloseQueue{}, p, call, resources, actiontest.Actor)
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

// TestToyNeedsNothingElse: grammar, short name and permissions follow from the
// action alone.
func TestToyNeedsNothingElse(t *testing.T) {
	o := org()
	call, _, err := actions.Parse("close-queue "+orders+" messages=kept reason=flood", o.Directory())
	actiontest.Must(t, err)
	if got := call.String(); got != "close_queue "+orders+" messages=kept" {
		t.Errorf("the call is %q", got)
	}
	if got := o.Actions.TargetName(call); got != "orders" {
		t.Errorf("the target's name is %q", got)
	}
	for _, line := range []string{"close_queue " + orders + " account=sandbox reason=flood", "close_queue " + orders + " region=eu-west-1 reason=flood",
		"close_queue arn:aws-cn:sqs:cn-north-1:222222222222:orders reason=flood", "close_queue orders reason=flood"} {
		if call, _, err := actions.Parse(line, o.Directory()); err == nil {
			t.Errorf("%q is %s", line, call)
		}
	}
	_, _, err = actions.Parse("close_queue "+orders+" mesages=all reason=flood", o.Directory())
	if err == nil {
		t.Fatal("an option that nobody has")
	}
	actiontest.HasWords(t, err.Error(), "mesages", "did you mean messages?")
	actiontest.HasWords(t, all.MemberPolicy(actions.Restorer, o, false), "sqs:SetQueueAttributes", "arn:aws:sqs:*:*:*")

	hub := actions.NewCloud(awsfake.New((&actiontest.Clock{T: actiontest.Began}).Now).Config(), o)
	_, err = hub.EnterFor(t.Context(), actions.Responder, toy.CloseQueue{}, actions.PhaseRun, call, []string{"orders"}, actiontest.Actor)
	if err == nil {
		t.Fatal("a step may change what is no ARN")
	}
	actiontest.HasWords(t, err.Error(), `"orders"`, "not an ARN")
}
