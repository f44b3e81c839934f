package toy_test

import (
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/toy"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const orders = toy.ARN

// TestToyContract: an action of one file passes the contract.
func TestToyContract(t *testing.T) {
	actiontest.Test(t, actiontest.Contract{Action: toy.CloseQueue{}, Starts: []actiontest.Start{{Name: "a queue", Open: toy.Open}}})
}

// TestToyNeedsNothingElse: grammar, short name and permissions follow from the
// action alone.
func TestToyNeedsNothingElse(t *testing.T) {
	o := toy.Org()
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
