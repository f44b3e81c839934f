package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// The lifecycle states that matter here.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html
const (
	inService       = "InService"
	standby         = "Standby"
	enteringStandby = "EnteringStandby"
)

// scalingInstance returns Auto Scaling's details of an instance; nil if it is in no group.
func scalingInstance(ctx context.Context, acct *actions.Account, id string) (*astypes.AutoScalingInstanceDetails, error) {
	out, err := autoScalingOf(acct).DescribeAutoScalingInstances(ctx, &autoscaling.DescribeAutoScalingInstancesInput{InstanceIds: []string{id}})
	if err != nil || len(out.AutoScalingInstances) == 0 {
		return nil, err
	}
	return &out.AutoScalingInstances[0], nil
}

// standby plans to put the instance in Standby: its group would otherwise replace and
// terminate it, since it fails its health checks.
func (i *isolation) standby(ctx context.Context) {
	const therefore = "if it is in a group, the group may terminate it; take it out by hand (Standby, or detach)"
	member, err := scalingInstance(ctx, i.acct, i.id)
	if err != nil {
		i.skipStep("Auto Scaling", therefore, err)
		return
	}
	if member == nil {
		return
	}
	name, state := aws.ToString(member.AutoScalingGroupName), aws.ToString(member.LifecycleState)
	i.before.Group, i.before.Lifecycle = name, state
	out, err := autoScalingOf(i.acct).DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err == nil && len(out.AutoScalingGroups) == 0 {
		err = errors.New("it is not shown")
	}
	if err != nil {
		i.skipStep("The Auto Scaling group "+name, therefore, err)
		return
	}
	g := out.AutoScalingGroups[0]
	least, desired := aws.ToInt32(g.MinSize), aws.ToInt32(g.DesiredCapacity)
	i.fact("Auto Scaling group", fmt.Sprintf("%s (%s; minimum %d, desired %d, maximum %d)", name, state, least, desired, aws.ToInt32(g.MaxSize)))
	switch {
	case strings.HasPrefix(state, "Terminating"):
		i.warn("The Auto Scaling group %s is about to end the instance (%s), evidence with it, whatever its termination protection: ask for snapshot=yes, and keep a lifecycle hook waiting by hand (record-lifecycle-action-heartbeat).", name, state)
		return
	case strings.HasPrefix(state, "Terminat"), strings.HasPrefix(state, "Detach"), strings.HasPrefix(state, "Warmed"):
		i.warn("The Auto Scaling group %s has the instance in state %s: it can't be put in Standby. The group may terminate it.", name, state)
		return
	case state != standby && desired-1 < least:
		i.warn("The Auto Scaling group %s is at its minimum: it launches a replacement. Undo puts this instance back as one more; where the maximum is reached, AWS refuses that, and a group with too many terminates one.", name)
	}
	arn := aws.ToString(g.AutoScalingGroupARN)
	i.step(actions.Step{ID: "standby", Title: "Put the instance in Standby in its Auto Scaling group", Resource: arn, ResourceID: arn, Hold: actions.HoldKey(i.acct, arn, "standby", i.id),
		Prior: &state, Current: standbyText(name, state), After: standbyText(name, standby)})
}

func standbyText(group, state string) string { return state + " in the Auto Scaling group " + group }

// drains is how long load balancers let connections drain by default, with something beside.
const drains = 6 * time.Minute

// inGroup returns the instance's state in the step's group; "" if it is not in it.
func inGroup(ctx context.Context, acct *actions.Account, s actions.Step) (group, state string, err error) {
	_, group, _ = strings.Cut(s.Resource, "autoScalingGroupName/")
	member, err := scalingInstance(ctx, acct, s.HoldName())
	if err != nil || member == nil || aws.ToString(member.AutoScalingGroupName) != group {
		return group, "", err
	}
	return group, aws.ToString(member.LifecycleState), nil
}

func applyStandby(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior, Wrote: aws.String(standby)}
	group, state, err := inGroup(ctx, acct, s)
	switch {
	case err != nil:
		return e, err
	case state == "", state == standby, state == enteringStandby: // outside the group it is safe
		return e, nil
	case strings.HasPrefix(state, "Pending"):
		return e, actions.RetryLater(fmt.Errorf("the instance is %s: only one in service can be put in Standby", standbyText(group, state)))
	}
	e.Changed = true
	in := &autoscaling.EnterStandbyInput{AutoScalingGroupName: &group, InstanceIds: []string{s.HoldName()}, ShouldDecrementDesiredCapacity: aws.Bool(true)}
	_, err = autoScalingOf(acct).EnterStandby(ctx, in)
	if actions.IsCode(err, "ValidationError") { // at its minimum: let the group replace it
		in.ShouldDecrementDesiredCapacity = aws.Bool(false)
		_, err = autoScalingOf(acct).EnterStandby(ctx, in)
	}
	if actions.IsCode(err, "ValidationError") {
		err = actions.WithHint(err, "suspend the group's Terminate and ReplaceUnhealthy processes, or detach the instance by hand")
	}
	return e, err
}

// verifyStandby takes an instance that enters Standby for one that is there: its group does not end it any
// more, and load balancers let its connections drain first, for 300 s by default.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-enter-exit-standby.html
func verifyStandby(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Effect) (actions.Reading, error) {
	group, state, err := inGroup(ctx, acct, s)
	if err != nil {
		return actions.Reading{}, err
	}
	if state == "" {
		return actions.Reading{Holds: true, Found: "no longer in the Auto Scaling group " + group}, nil
	}
	return actions.Reading{Holds: state == standby || state == enteringStandby, Found: standbyText(group, state)}, nil
}

func revertStandby(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	found, err := findInstance(ctx, acct, s.HoldName())
	switch {
	case err != nil:
		return actions.Reading{}, err
	case found == nil:
		return readingGone("instance " + s.HoldName()), nil
	}
	group, state, err := inGroup(ctx, acct, s)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case state == "":
		return actions.Reading{Found: "the instance is no longer in the Auto Scaling group " + group}, nil
	case e.Prior != nil && state == *e.Prior, state == inService, strings.HasPrefix(state, "Pending"):
		return actions.Reading{Holds: true}, nil
	case state == enteringStandby:
		return actions.Reading{}, actions.RetryWithin(drains, actions.WithHint(fmt.Errorf("the instance is still %s", standbyText(group, state)), "its load balancers let connections drain, for 300 s by default: retry the undo then"))
	case state != standby:
		return actions.Reading{Found: standbyText(group, state)}, nil
	case stateOf(found) != string(types.InstanceStateNameRunning): // the group would replace it at once
		return actions.Reading{}, actions.RetryLater(actions.WithHint(errors.New("the instance is "+stateOf(found)), "start the instance, then retry the undo"))
	}
	_, err = autoScalingOf(acct).ExitStandby(ctx, &autoscaling.ExitStandbyInput{AutoScalingGroupName: &group, InstanceIds: []string{s.HoldName()}})
	if actions.IsCode(err, "ValidationError") {
		err = actions.WithHint(err, "raise the group's maximum by one, then retry the undo; or detach the instance by hand")
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, err
}
