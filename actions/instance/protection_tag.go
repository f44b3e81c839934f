package instance

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// protection reads whether termination protection is on.
func protection(ctx context.Context, acct *actions.Account, id string) (bool, error) {
	out, err := ec2Of(acct).DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{InstanceId: &id, Attribute: types.InstanceAttributeNameDisableApiTermination})
	if err != nil {
		return false, err
	}
	return out.DisableApiTermination != nil && aws.ToBool(out.DisableApiTermination.Value), nil
}

func protectionValue(on bool) *string { return aws.String(strconv.FormatBool(on)) }

func protectionText(on bool) string {
	if on {
		return "termination protection on"
	}
	return "termination protection off"
}

func setProtection(ctx context.Context, acct *actions.Account, id string, on bool) error {
	_, err := ec2Of(acct).ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: &id, DisableApiTermination: &types.AttributeBooleanValue{Value: &on}})
	return err
}

func applyProtect(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior, Wrote: protectionValue(true)}
	on, err := protection(ctx, acct, s.ResourceID)
	if err != nil || on {
		return e, err
	}
	e.Changed = true
	err = setProtection(ctx, acct, s.ResourceID, true)
	if actions.IsCode(err, "UnsupportedOperation", "OperationNotPermitted", "InvalidParameterCombination") {
		err = actions.WithHint(err, "AWS does not protect this instance from termination (Spot Instances, for one): snapshot=yes keeps its volumes")
	}
	return e, err
}

func verifyProtect(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Effect) (actions.Reading, error) {
	on, err := protection(ctx, acct, s.ResourceID)
	return actions.Reading{Holds: on, Found: protectionText(on)}, err
}

func revertProtect(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	found, err := findInstance(ctx, acct, s.ResourceID)
	if err != nil {
		return actions.Reading{}, err
	}
	if found == nil {
		return readingGone("instance " + s.ResourceID), nil
	}
	on, err := protection(ctx, acct, s.ResourceID)
	switch live := protectionValue(on); {
	case err != nil:
		return actions.Reading{}, err
	case deny.EqualContent(live, e.Prior):
		return actions.Reading{Holds: true}, nil
	case !deny.EqualContent(live, e.Wrote) || e.Prior == nil:
		return actions.Reading{Found: protectionText(on) + ", which is not what Killswitch wrote"}, nil
	}
	err = setProtection(ctx, acct, s.ResourceID, *e.Prior == "true")
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
	e := actions.Effect{Prior: s.Prior, Wrote: &run.RequestID}
	found, err := findInstance(ctx, acct, s.ResourceID)
	switch {
	case err != nil:
		return e, err
	case found == nil:
		return e, instanceGone(s.ResourceID)
	case deny.EqualContent(instanceTag(found), e.Wrote):
		return e, nil
	}
	e.Changed = true
	return e, setInstanceTag(ctx, acct, s.ResourceID, run.RequestID)
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
	tag := instanceTag(found)
	return actions.Reading{Holds: tag != nil && deny.EqualContent(tag, e.Wrote), Found: deny.TagText(tag)}, nil
}

func revertInstanceTag(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	found, err := findInstance(ctx, acct, s.ResourceID)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case found == nil:
		return readingGone("instance " + s.ResourceID), nil
	}
	switch tag := instanceTag(found); {
	case deny.EqualContent(tag, e.Prior):
		return actions.Reading{Holds: true}, nil
	case !deny.EqualContent(tag, e.Wrote):
		return actions.Reading{Found: deny.TagText(tag) + ", which is not what Killswitch wrote"}, nil
	case e.Prior == nil:
		_, err = ec2Of(acct).DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{s.ResourceID}, Tags: []types.Tag{{Key: aws.String(deny.TamperTag), Value: e.Wrote}}})
	default:
		err = setInstanceTag(ctx, acct, s.ResourceID, *e.Prior)
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, err
}
