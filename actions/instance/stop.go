package instance

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// stop plans to stop the instance, if requested: nothing else cuts what is open for sure. It is the last
// step, so that the volumes' snapshots are begun before whoever is on it learns of the shutdown.
func (i *isolation) stop() {
	if i.call.Options["stop"] != "yes" {
		return
	}
	i.warn("Stopping loses what is in memory and on instance store volumes, and the public address unless it is an Elastic IP: evidence from memory has to be taken before.")
	if i.instance.RootDeviceType == types.DeviceTypeInstanceStore {
		i.warn("Its root volume is an instance store: AWS can't stop it.")
	}
	state := stateOf(&i.instance)
	i.step(actions.Step{ID: "stop", Title: "Stop the instance", Goal: "power", Resource: i.arn, ResourceID: i.id, Hold: actions.HoldKey(i.acct, i.id, "power", i.id),
		Prior: &state, Current: state, After: "stopped, within minutes: that ends every connection"})
}

func stateOf(i *types.Instance) string {
	if i.State == nil {
		return ""
	}
	return string(i.State.Name)
}

var stopped = string(types.InstanceStateNameStopped)

func isStopped(state string) bool {
	return state == stopped || state == string(types.InstanceStateNameStopping)
}

func applyStop(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior, Wrote: &stopped}
	found, err := findInstance(ctx, acct, s.ResourceID)
	if err != nil || found == nil || isStopped(stateOf(found)) {
		return e, err
	}
	// Stop protection is a step of its own, or somebody's: it is off for this call alone.
	protection := attributes["protect-stop"]
	on, err := protection.read(ctx, acct, s.ResourceID)
	if err == nil && on == "true" {
		err = protection.set(ctx, acct, s.ResourceID, "false")
	}
	if err != nil {
		return e, err
	}
	e.Changed = true
	_, err = ec2Of(acct).StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{s.ResourceID}})
	if on == "true" {
		err = errors.Join(err, protection.set(ctx, acct, s.ResourceID, "true"))
	}
	switch {
	case actions.IsCode(err, "IncorrectInstanceState"): // it is being started
		err = actions.RetryLater(err)
	case actions.IsCode(err, "UnsupportedOperation", "OperationNotPermitted"):
		err = actions.WithHint(err, "AWS does not stop this instance (Spot Instances of a one-time request, instance store): what is open can be cut by a network ACL by hand")
	}
	return e, err
}

// verifyStop takes a stopping instance for a stopped one: nobody on it can prevent the end any more, and
// AWS takes minutes, longer than a run waits.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/how-ec2-instance-stop-start-works.html
func verifyStop(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Effect) (actions.Reading, error) {
	found, err := findInstance(ctx, acct, s.ResourceID)
	if err != nil {
		return actions.Reading{}, err
	}
	if found == nil {
		return actions.Reading{Holds: true, Found: "instance " + s.ResourceID + " is terminated"}, nil
	}
	return actions.Reading{Holds: isStopped(stateOf(found)), Found: "the instance is " + stateOf(found)}, nil
}

// revertStop starts the instance again. It is the first step of an undo: EC2 replaces the profile of a
// running instance alone.
func revertStop(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	found, err := findInstance(ctx, acct, s.ResourceID)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case found == nil:
		return readingGone("instance " + s.ResourceID), nil
	}
	state := stateOf(found)
	switch {
	case !isStopped(state), e.Prior != nil && isStopped(*e.Prior):
		return actions.Reading{Holds: true}, nil
	case state != stopped:
		return actions.Reading{}, actions.RetryLater(errors.New("the instance is still " + state))
	}
	_, err = ec2Of(acct).StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{s.ResourceID}})
	if actions.IsCode(err, "InsufficientInstanceCapacity") {
		err = actions.WithHint(err, "AWS has no room for this type just now: retry the undo later, or change the type by hand")
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, err
}
