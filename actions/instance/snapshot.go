package instance

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// ec2Interface is an instance's network interface.
type ec2Interface = types.InstanceNetworkInterface

// volumes plans a snapshot of each EBS volume, if requested.
func (i *isolation) volumes() {
	for _, m := range i.instance.BlockDeviceMappings {
		if m.Ebs == nil || aws.ToString(m.Ebs.VolumeId) == "" {
			continue
		}
		volume := aws.ToString(m.Ebs.VolumeId)
		i.before.Volumes = append(i.before.Volumes, volume)
		i.fact("Volume", volume)
		if i.call.Options["snapshot"] != "yes" {
			continue
		}
		i.step(actions.Step{ID: "snapshot " + volume, Title: "Start a snapshot of the volume " + volume, Resource: regionalARN(i.acct, "ec2", "volume/"+volume), ResourceID: volume,
			Hold: actions.HoldKey(i.acct, volume, "snapshot", volume), Current: "no snapshot of this request", After: "a snapshot with the tag " + deny.TamperTag + " = this request; it is started, not waited for",
			NotReverted: "the snapshot is kept"})
	}
	if len(i.before.Volumes) == 0 && i.call.Options["snapshot"] == "yes" {
		i.warn("The instance has no EBS volume: there is nothing to make a snapshot of.")
	}
}

// applySnapshot looks for the request's own snapshot first: CreateSnapshot has no
// idempotency token.
func applySnapshot(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior}
	out, err := ec2Of(acct).DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, Filters: []types.Filter{
		{Name: aws.String("volume-id"), Values: []string{s.ResourceID}}, {Name: aws.String("tag:" + deny.TamperTag), Values: []string{run.RequestID}}}})
	if err != nil {
		return e, err
	}
	for _, found := range out.Snapshots {
		if found.State != types.SnapshotStateError {
			e.Wrote = found.SnapshotId
			return e, nil
		}
	}
	made, err := ec2Of(acct).CreateSnapshot(ctx, &ec2.CreateSnapshotInput{VolumeId: &s.ResourceID, Description: aws.String("Killswitch " + run.RequestID),
		TagSpecifications: made(types.ResourceTypeSnapshot, run.RequestID)})
	if actions.IsCode(err, "SnapshotCreationPerVolumeRateExceeded", "ConcurrentSnapshotLimitExceeded") {
		return e, actions.RetryLater(err)
	}
	if err != nil {
		return e, err
	}
	e.Wrote, e.Changed = made.SnapshotId, true
	return e, nil
}

func verifySnapshot(ctx context.Context, acct *actions.Account, _ actions.Step, e actions.Effect) (actions.Reading, error) {
	if e.Wrote == nil {
		return actions.Reading{Found: "no snapshot"}, nil
	}
	out, err := ec2Of(acct).DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*e.Wrote}})
	switch {
	case actions.IsCode(err, "InvalidSnapshot.NotFound") || err == nil && len(out.Snapshots) == 0:
		return actions.Reading{Found: "the snapshot " + *e.Wrote + " is not there"}, nil
	case err != nil:
		return actions.Reading{}, err
	}
	state := out.Snapshots[0].State
	return actions.Reading{Holds: state != types.SnapshotStateError, Found: "the snapshot " + *e.Wrote + " is in state " + string(state)}, nil
}

// revertSnapshot is never called: the step is not reverted.
func revertSnapshot(context.Context, *actions.Account, actions.Step, actions.Effect) (actions.Reading, error) {
	return actions.Reading{Holds: true, Found: "the snapshot is kept"}, nil
}
