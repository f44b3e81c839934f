package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// target is one registration in a target group.
type target struct {
	ID   string `json:"id"` // of the instance, or an address
	Port int32  `json:"port"`
	AZ   string `json:"az,omitempty"`
}

// parallelLookups is the number of target groups that are read in parallel: AWS has no
// look-up of an instance's target groups.
const parallelLookups = 8

// targets plans to deregister the instance from its target groups.
func (i *isolation) targets(ctx context.Context) {
	const therefore = "load balancers may send it traffic, which its network does not let in; their health checks fail"
	groups, err := actions.List(ctx, elb.NewDescribeTargetGroupsPaginator(elbOf(i.acct), &elb.DescribeTargetGroupsInput{}),
		func(p *elb.DescribeTargetGroupsOutput) []elbtypes.TargetGroup { return p.TargetGroups }, actions.Itself)
	if err != nil {
		i.skipStep("Target groups", therefore, err)
		return
	}
	groups = slices.DeleteFunc(groups, func(g elbtypes.TargetGroup) bool { return !i.canTarget(g) })
	ids := append([]string{i.id}, addresses(i.instance)...)
	found, errs := make([][]target, len(groups)), make([]error, len(groups))
	_ = actions.Parallel(len(groups), parallelLookups, func(n int) error {
		found[n], errs[n] = registered(ctx, i.acct, aws.ToString(groups[n].TargetGroupArn), ids)
		return nil
	})
	failed, unread := error(nil), 0
	for n, g := range groups {
		if errs[n] != nil {
			failed, unread = errs[n], unread+1
			continue
		}
		if len(found[n]) > 0 {
			i.targetGroup(g, found[n])
		}
	}
	if unread > 0 {
		i.skipStep(fmt.Sprintf("%d of %d target groups", unread, len(groups)), therefore, failed)
	}
}

// canTarget reports whether a target group can have the instance as a target.
func (i *isolation) canTarget(g elbtypes.TargetGroup) bool {
	switch g.TargetType {
	case elbtypes.TargetTypeEnumInstance, elbtypes.TargetTypeEnumIp:
	case elbtypes.TargetTypeEnumLambda, elbtypes.TargetTypeEnumAlb:
		return false
	}
	return slices.ContainsFunc(i.instance.NetworkInterfaces, func(e ec2Interface) bool { return aws.ToString(e.VpcId) == aws.ToString(g.VpcId) })
}

func (i *isolation) targetGroup(g elbtypes.TargetGroup, found []target) {
	arn, name := aws.ToString(g.TargetGroupArn), aws.ToString(g.TargetGroupName)
	if i.before.TargetGroups == nil {
		i.before.TargetGroups = map[string][]target{}
	}
	i.before.TargetGroups[arn] = found
	i.fact("Target group", name+": "+targetsText(found))
	i.step(actions.Step{ID: "target-group " + arn, Title: "Deregister the instance from the target group " + name, Resource: arn, ResourceID: arn,
		Hold: actions.HoldKey(i.acct, arn, "targets", i.id), Prior: targetsValue(found), Current: targetsText(found), After: "not registered"})
}

// registered returns the sorted registrations of IDs in a target group, without
// draining ones.
func registered(ctx context.Context, acct *actions.Account, arn string, ids []string) ([]target, error) {
	out, err := elbOf(acct).DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &arn})
	if err != nil {
		return nil, err
	}
	var ts []target
	for _, d := range out.TargetHealthDescriptions {
		if d.Target == nil || !slices.Contains(ids, aws.ToString(d.Target.Id)) {
			continue
		}
		if h := d.TargetHealth; h != nil && (h.State == elbtypes.TargetHealthStateEnumDraining || h.Reason == elbtypes.TargetHealthReasonEnumNotRegistered || h.Reason == elbtypes.TargetHealthReasonEnumDeregistrationInProgress) {
			continue
		}
		ts = append(ts, target{aws.ToString(d.Target.Id), aws.ToInt32(d.Target.Port), aws.ToString(d.Target.AvailabilityZone)})
	}
	slices.SortFunc(ts, func(a, b target) int {
		if c := strings.Compare(a.ID, b.ID); c != 0 {
			return c
		}
		return int(a.Port) - int(b.Port)
	})
	return ts, nil
}

func targetsValue(ts []target) *string {
	b, _ := json.Marshal(ts) //nolint:errchkjson // strings and numbers
	return aws.String(string(b))
}

func targetsText(ts []target) string {
	if len(ts) == 0 {
		return "not registered"
	}
	var texts []string
	for _, t := range ts {
		texts = append(texts, fmt.Sprintf("%s on port %d", t.ID, t.Port))
	}
	return actions.Clip("registered as " + strings.Join(texts, ", "))
}

// priorTargets returns the registrations in the snapshot, and their IDs.
func priorTargets(prior *string) (ts []target, ids []string, err error) {
	if prior == nil {
		return nil, nil, nil
	}
	if err := json.Unmarshal([]byte(*prior), &ts); err != nil {
		return nil, nil, fmt.Errorf("targets in the snapshot: %w", err)
	}
	for _, t := range ts {
		ids = append(ids, t.ID)
	}
	return ts, ids, nil
}

func descriptions(ts []target) []elbtypes.TargetDescription {
	var ds []elbtypes.TargetDescription
	for _, t := range ts {
		d := elbtypes.TargetDescription{Id: aws.String(t.ID), Port: aws.Int32(t.Port)}
		if t.AZ != "" && !strings.HasPrefix(t.ID, "i-") { // not supported for instances
			d.AvailabilityZone = aws.String(t.AZ)
		}
		ds = append(ds, d)
	}
	return ds
}

// liveTargets returns the current registrations of the snapshot's IDs.
func liveTargets(ctx context.Context, acct *actions.Account, s actions.Step, prior *string) (live, before []target, err error) {
	before, ids, err := priorTargets(prior)
	if err != nil {
		return nil, nil, err
	}
	live, err = registered(ctx, acct, s.Resource, ids)
	return live, before, err
}

func applyTargets(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior}
	live, _, err := liveTargets(ctx, acct, s, s.Prior)
	if actions.IsCode(err, "TargetGroupNotFound", "TargetGroupNotFoundException") {
		return e, nil
	}
	if err != nil || len(live) == 0 {
		return e, err
	}
	e.Changed = true
	_, err = elbOf(acct).DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: &s.Resource, Targets: descriptions(live)})
	return e, err
}

func verifyTargets(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	live, _, err := liveTargets(ctx, acct, s, e.Prior)
	if actions.IsCode(err, "TargetGroupNotFound", "TargetGroupNotFoundException") {
		return actions.Reading{Holds: true, Found: "the target group is gone"}, nil
	}
	return actions.Reading{Holds: err == nil && len(live) == 0, Found: targetsText(live)}, err
}

func revertTargets(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	found, err := findInstance(ctx, acct, s.HoldName())
	switch {
	case err != nil:
		return actions.Reading{}, err
	case found == nil:
		return readingGone("instance " + s.HoldName()), nil
	}
	live, before, err := liveTargets(ctx, acct, s, e.Prior)
	switch {
	case actions.IsCode(err, "TargetGroupNotFound", "TargetGroupNotFoundException"):
		return readingGone("the target group"), nil
	case err != nil:
		return actions.Reading{}, err
	case sameTargets(live, before):
		return actions.Reading{Holds: true}, nil
	case len(live) > 0 && !includesAll(live, before): // ExitStandby registers some of them
		return actions.Reading{Found: targetsText(live) + ", which is neither what was there nor what Killswitch left"}, nil
	}
	_, err = elbOf(acct).RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: &s.Resource, Targets: descriptions(before)})
	if actions.IsCode(err, "InvalidTarget", "InvalidTargetException") {
		err = actions.RetryLater(actions.WithHint(err, "a target must be running: start the instance, then retry the undo"))
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, err
}

func sameTargets(a, b []target) bool { return len(a) == len(b) && includesAll(a, b) }

// includesAll compares without zones, which AWS may set by itself.
func includesAll(a, b []target) bool {
	return !slices.ContainsFunc(a, func(x target) bool {
		return !slices.ContainsFunc(b, func(y target) bool { return x.ID == y.ID && x.Port == y.Port })
	})
}
