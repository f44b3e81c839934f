package instance

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// ec2Interface is an instance's network interface.
type ec2Interface = types.InstanceNetworkInterface

// lockedDays is for how long nobody deletes the snapshots, unless somebody unlocks them first.
const lockedDays = 30

// volumes plans snapshots of all EBS volumes, if requested.
func (i *isolation) volumes() {
	for _, m := range i.instance.BlockDeviceMappings {
		if m.Ebs != nil && aws.ToString(m.Ebs.VolumeId) != "" {
			i.before.Volumes = append(i.before.Volumes, *m.Ebs.VolumeId)
			i.fact("Volume", *m.Ebs.VolumeId)
		}
	}
	switch {
	case i.call.Options["snapshot"] != "yes":
	case len(i.before.Volumes) == 0:
		i.warn("The instance has no EBS volume: there is nothing to make a snapshot of.")
	default:
		i.step(actions.Step{ID: "snapshots", Title: "Start snapshots of all volumes at one moment, and lock them", Resource: i.arn, ResourceID: i.id,
			Hold: actions.HoldKey(i.acct, i.id, "snapshots", i.id), Current: "no snapshots of this request",
			After:       "a crash-consistent set with the tag " + deny.TamperTag + " = this request, locked for 30 days in governance mode; it is started, not waited for",
			NotReverted: "the snapshots are kept"})
	}
}

// applySnapshots looks for the request's own first: CreateSnapshots has no idempotency token.
func applySnapshots(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior}
	in := &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, Filters: []types.Filter{{Name: aws.String("tag:" + deny.TamperTag), Values: []string{run.RequestID, acct.Org.Installation.Name(run.RequestID)}}}}
	ids, err := actions.List(ctx, ec2.NewDescribeSnapshotsPaginator(ec2Of(acct), in), func(p *ec2.DescribeSnapshotsOutput) []types.Snapshot {
		return slices.DeleteFunc(p.Snapshots, func(s types.Snapshot) bool { return s.State == types.SnapshotStateError })
	}, func(s types.Snapshot) string { return aws.ToString(s.SnapshotId) })
	if err != nil {
		return e, err
	}
	if len(ids) == 0 {
		made, err := ec2Of(acct).CreateSnapshots(ctx, &ec2.CreateSnapshotsInput{InstanceSpecification: &types.InstanceSpecification{InstanceId: &s.ResourceID},
			Description: aws.String("Killswitch " + run.RequestID), TagSpecifications: made(acct, types.ResourceTypeSnapshot, run.RequestID)})
		if actions.IsCode(err, "SnapshotCreationPerVolumeRateExceeded", "ConcurrentSnapshotLimitExceeded") {
			err = actions.RetryLater(err)
		}
		if err != nil {
			return e, err
		}
		for _, m := range made.Snapshots {
			ids = append(ids, aws.ToString(m.SnapshotId))
		}
		e.Changed = true
	}
	slices.Sort(ids)
	e.Wrote = aws.String(strings.Join(ids, " "))
	open, err := unlocked(ctx, acct, ids)
	for _, id := range open {
		if err == nil {
			e.Changed = true
			_, err = ec2Of(acct).LockSnapshot(ctx, &ec2.LockSnapshotInput{SnapshotId: &id, LockMode: types.LockModeGovernance, LockDuration: aws.Int32(lockedDays)})
		}
	}
	switch {
	case actions.IsCode(err, "InvalidSnapshot.NotFound"): // it is not visible yet
		err = actions.RetryLater(err)
	case err != nil:
		err = actions.WithHint(err, "the snapshots are begun, and not all are locked: retry, or lock them by hand")
	}
	return e, err
}

// unlocked returns those of the snapshots that somebody may delete.
func unlocked(ctx context.Context, acct *actions.Account, ids []string) ([]string, error) {
	out, err := ec2Of(acct).DescribeLockedSnapshots(ctx, &ec2.DescribeLockedSnapshotsInput{SnapshotIds: ids})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return slices.ContainsFunc(out.Snapshots, func(l types.LockedSnapshotsInfo) bool {
			return aws.ToString(l.SnapshotId) == id && l.LockState != types.LockStateExpired
		})
	}), nil
}

// applySnapshot is for steps of earlier versions, which made one snapshot for each volume.
func applySnapshot(_ context.Context, _ *actions.Account, s actions.Step, _ actions.Run) (actions.Effect, error) {
	return actions.Effect{Prior: s.Prior}, &actions.Refusal{Reason: "an earlier version planned this snapshot", Hint: "ask for isolate_instance with snapshot=yes again"}
}

func verifySnapshots(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	if e.Wrote == nil {
		return actions.Reading{Found: "no snapshot"}, nil
	}
	ids := strings.Fields(*e.Wrote)
	out, err := ec2Of(acct).DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: ids})
	switch {
	case actions.IsCode(err, "InvalidSnapshot.NotFound") || err == nil && len(out.Snapshots) < len(ids):
		return actions.Reading{Found: "of the snapshots " + *e.Wrote + " not all are there"}, nil
	case err != nil:
		return actions.Reading{}, err
	}
	for _, s := range out.Snapshots {
		if s.State == types.SnapshotStateError {
			return actions.Reading{Found: "the snapshot " + aws.ToString(s.SnapshotId) + " has failed"}, nil
		}
	}
	if s.ID != "snapshots" { // of an earlier version, which locked none
		return actions.Reading{Holds: true, Found: "the snapshot " + *e.Wrote}, nil
	}
	open, err := unlocked(ctx, acct, ids)
	return actions.Reading{Holds: err == nil && len(open) == 0, Found: "snapshots that are not locked: " + strings.Join(open, ", ")}, err
}

// revertSnapshots is never called: the step is not reverted.
func revertSnapshots(context.Context, *actions.Account, actions.Step, actions.Effect) (actions.Reading, error) {
	return actions.Reading{Holds: true, Found: "the snapshots are kept"}, nil
}
