package instance

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// association returns an instance's profile association; nil if there is none.
func association(ctx context.Context, acct *actions.Account, instance string) (*types.IamInstanceProfileAssociation, error) {
	out, err := ec2Of(acct).DescribeIamInstanceProfileAssociations(ctx, &ec2.DescribeIamInstanceProfileAssociationsInput{Filters: []types.Filter{
		{Name: aws.String("instance-id"), Values: []string{instance}}, {Name: aws.String("state"), Values: []string{"associating", "associated"}}}})
	if err != nil || len(out.IamInstanceProfileAssociations) == 0 {
		return nil, err
	}
	return &out.IamInstanceProfileAssociations[0], nil
}

func associated(a *types.IamInstanceProfileAssociation) *string {
	if a == nil || a.IamInstanceProfile == nil {
		return nil
	}
	return a.IamInstanceProfile.Arn
}

func profileText(arn *string) string {
	if arn == nil {
		return "no instance profile"
	}
	return "instance profile " + *arn
}

// replaceProfile replaces the profile without a moment without one.
func replaceProfile(ctx context.Context, acct *actions.Account, a *types.IamInstanceProfileAssociation, arn string) error {
	_, err := ec2Of(acct).ReplaceIamInstanceProfileAssociation(ctx, &ec2.ReplaceIamInstanceProfileAssociationInput{AssociationId: a.AssociationId,
		IamInstanceProfile: &types.IamInstanceProfileSpecification{Arn: &arn}})
	return err
}

// unknownProfile reports EC2's error for a profile that is gone, or too new: "Value
// (…) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN".
func unknownProfile(err error) bool {
	return actions.IsCode(err, "InvalidParameterValue") && strings.Contains(err.Error(), "Invalid IAM Instance Profile")
}

func passRoleDenied(err error) bool {
	return actions.IsCode(err, "UnauthorizedOperation", "AccessDenied") && strings.Contains(err.Error(), "iam:PassRole")
}

func applyProfile(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior}
	arn, err := isolationProfile(ctx, acct)
	if passRoleDenied(err) {
		return e, actions.WithHint(err, passRoleHint)
	}
	if err != nil {
		return e, err
	}
	e.Wrote = &arn
	live, err := association(ctx, acct, s.ResourceID)
	switch {
	case err != nil:
		return e, err
	case live == nil:
		return e, nil // removed by others: there are no credentials
	case deny.EqualContent(associated(live), e.Wrote):
		return e, nil
	}
	e.Changed = true
	err = replaceProfile(ctx, acct, live, arn)
	switch {
	case unknownProfile(err), actions.IsCode(err, "InvalidAssociationID.NotFound"): // new to EC2, or replaced meanwhile
		return e, actions.RetryLater(err)
	case passRoleDenied(err):
		return e, actions.WithHint(err, passRoleHint)
	}
	return e, err
}

const passRoleHint = "the responder role needs iam:PassRole on the role " + isolationName + "; the instance is isolated without it but for its profile"

// verifyProfile checks the profile's content too: a change of the shared role affects
// every isolated instance.
func verifyProfile(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	live, err := association(ctx, acct, s.ResourceID)
	if err != nil {
		return actions.Reading{}, err
	}
	if live == nil {
		return actions.Reading{Holds: true, Found: profileText(nil)}, nil // there are no credentials
	}
	if e.Wrote == nil || !deny.EqualContent(associated(live), e.Wrote) {
		return actions.Reading{Found: profileText(associated(live))}, nil
	}
	found, err := checkIsolationProfile(ctx, acct)
	return actions.Reading{Holds: err == nil && found == "", Found: found}, err
}

func revertProfile(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	found, err := findInstance(ctx, acct, s.ResourceID)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case found == nil:
		return readingGone("instance " + s.ResourceID), nil
	case e.Prior == nil:
		return actions.Reading{}, errors.New("the snapshot has no instance profile")
	}
	live, err := association(ctx, acct, s.ResourceID)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case live != nil && deny.EqualContent(associated(live), e.Prior):
		return actions.Reading{Holds: true}, nil
	case live == nil || !deny.EqualContent(associated(live), e.Wrote):
		return actions.Reading{Found: profileText(associated(live)) + ", which is not what Killswitch wrote"}, nil
	}
	err = replaceProfile(ctx, acct, live, *e.Prior)
	switch {
	case unknownProfile(err):
		return actions.Reading{Found: "the instance profile " + *e.Prior + " is gone: the instance keeps " + isolationName}, nil
	case actions.IsCode(err, "InvalidAssociationID.NotFound"):
		return actions.Reading{}, actions.RetryLater(err)
	case passRoleDenied(err):
		return actions.Reading{}, actions.WithHint(err, "the restorer role needs iam:PassRole on the role in that instance profile")
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, err
}
