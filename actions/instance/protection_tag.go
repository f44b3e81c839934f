package instance

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// attribute is a setting of an instance that keeps it as evidence.
type attribute struct {
	name  types.InstanceAttributeName
	title string
	want  string
	texts map[string]string // of its values
}

// attributes are the settings by the IDs of their steps. Stop protection keeps memory: it does not bind who is
// on the instance, nor Auto Scaling; nor does termination protection.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_ChangingDisableAPITermination.html
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-stop-protection.html
var attributes = map[string]attribute{
	"protect":      {types.InstanceAttributeNameDisableApiTermination, "Turn termination protection on", "true", map[string]string{"true": "termination protection on", "false": "termination protection off"}},
	"protect-stop": {types.InstanceAttributeNameDisableApiStop, "Turn stop protection on", "true", map[string]string{"true": "stop protection on", "false": "stop protection off"}},
	"shutdown": {types.InstanceAttributeNameInstanceInitiatedShutdownBehavior, "Let a shutdown from within stop the instance, not terminate it", "stop",
		map[string]string{"stop": "a shutdown from within stops it", "terminate": "a shutdown from within terminates it"}},
}

func (a attribute) text(value string) string { return a.texts[value] }

func (a attribute) read(ctx context.Context, acct *actions.Account, id string) (string, error) {
	out, err := ec2Of(acct).DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{InstanceId: &id, Attribute: a.name})
	switch {
	case err != nil:
		return "", err
	case a.name == types.InstanceAttributeNameInstanceInitiatedShutdownBehavior:
		return aws.ToString(cmp.Or(out.InstanceInitiatedShutdownBehavior, &types.AttributeValue{}).Value), nil
	}
	on := cmp.Or(out.DisableApiTermination, out.DisableApiStop, &types.AttributeBooleanValue{})
	return strconv.FormatBool(aws.ToBool(on.Value)), nil
}

func (a attribute) set(ctx context.Context, acct *actions.Account, id, value string) error {
	in, on := &ec2.ModifyInstanceAttributeInput{InstanceId: &id}, &types.AttributeBooleanValue{Value: aws.Bool(value == "true")}
	switch a.name {
	case types.InstanceAttributeNameDisableApiTermination:
		in.DisableApiTermination = on
	case types.InstanceAttributeNameDisableApiStop:
		in.DisableApiStop = on
	default:
		in.InstanceInitiatedShutdownBehavior = &types.AttributeValue{Value: &value}
	}
	_, err := ec2Of(acct).ModifyInstanceAttribute(ctx, in)
	return err
}

// protect plans to keep the instance from being ended, or stopped, which loses what is in memory.
func (i *isolation) protect(ctx context.Context) {
	if i.instance.InstanceLifecycle == types.InstanceLifecycleTypeSpot {
		i.warn("It is a Spot Instance: AWS refuses termination and stop protection for it, and may reclaim it at any time. snapshot=yes keeps its volumes.")
		return
	}
	for _, id := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[id]
		value, err := a.read(ctx, i.acct, i.id)
		if err != nil {
			i.skipStep(string(a.name), "it is left as it is", err)
			continue
		}
		i.before.Attributes[string(a.name)] = value
		if id == "shutdown" && value == a.want {
			continue
		}
		i.step(actions.Step{ID: id, Title: a.title, Resource: i.arn, ResourceID: i.id, Hold: actions.HoldKey(i.acct, i.id, id, i.id),
			Prior: &value, Current: a.text(value), After: a.text(a.want)})
	}
}

func applyAttribute(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Run) (actions.Effect, error) {
	a := attributes[s.ID]
	e := actions.Effect{Prior: s.Prior, Wrote: &a.want}
	value, err := a.read(ctx, acct, s.ResourceID)
	if err != nil || value == a.want {
		return e, err
	}
	e.Changed = true
	err = a.set(ctx, acct, s.ResourceID, a.want)
	if actions.IsCode(err, "UnsupportedOperation", "OperationNotPermitted", "InvalidParameterCombination") {
		err = actions.WithHint(err, "AWS does not protect this instance (Spot Instances, for one; from being stopped, those with a root volume in an instance store): snapshot=yes keeps its volumes")
	}
	return e, err
}

func verifyAttribute(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Effect) (actions.Reading, error) {
	a := attributes[s.ID]
	value, err := a.read(ctx, acct, s.ResourceID)
	return actions.Reading{Holds: value == a.want, Found: a.text(value)}, err
}

func revertAttribute(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	found, err := findInstance(ctx, acct, s.ResourceID)
	if err != nil {
		return actions.Reading{}, err
	}
	if found == nil {
		return readingGone("instance " + s.ResourceID), nil
	}
	a := attributes[s.ID]
	value, err := a.read(ctx, acct, s.ResourceID)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case deny.EqualContent(&value, e.Prior):
		return actions.Reading{Holds: true}, nil
	case !deny.EqualContent(&value, e.Wrote) || e.Prior == nil:
		return actions.Reading{Found: a.text(value) + ", which is not what Killswitch wrote"}, nil
	}
	err = a.set(ctx, acct, s.ResourceID, *e.Prior)
	return actions.Reading{Holds: err == nil, Changed: err == nil}, err
}

func instanceTag(i *types.Instance) *string {
	for _, t := range i.Tags {
		if aws.ToString(t.Key) == deny.TamperTag { // EC2's tag keys are case-sensitive
			return t.Value
		}
	}
	return nil
}

func applyInstanceTag(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	found, err := findInstance(ctx, acct, s.ResourceID)
	switch {
	case err != nil:
		return actions.Effect{Prior: s.Prior}, err
	case found == nil:
		return actions.Effect{Prior: s.Prior}, instanceGone(s.ResourceID)
	}
	return deny.Mark(ctx, acct, instanceTag(found), s, run, func(value string) error { return setInstanceTag(ctx, acct, s.ResourceID, value) })
}

func setInstanceTag(ctx context.Context, acct *actions.Account, id, value string) error {
	_, err := ec2Of(acct).CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String(deny.TamperTag), Value: &value}}})
	if actions.IsCode(err, "TagLimitExceeded") {
		err = actions.WithHint(err, "the instance has 50 tags: remove one by hand, then retry")
	}
	return err
}

func verifyInstanceTag(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	found, err := findInstance(ctx, acct, s.ResourceID)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case found == nil:
		return actions.Reading{}, instanceGone(s.ResourceID)
	}
	return deny.VerifyTag(ctx, acct, instanceTag(found), e), nil
}

func revertInstanceTag(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	found, err := findInstance(ctx, acct, s.ResourceID)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case found == nil:
		return readingGone("instance " + s.ResourceID), nil
	}
	tag := instanceTag(found)
	return deny.TakeMark(ctx, acct, tag, e, func(left *string) error {
		if left != nil {
			return setInstanceTag(ctx, acct, s.ResourceID, *left)
		}
		_, err := ec2Of(acct).DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{s.ResourceID}, Tags: []types.Tag{{Key: aws.String(deny.TamperTag), Value: tag}}})
		return err
	})
}
