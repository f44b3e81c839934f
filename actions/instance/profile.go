package instance

import (
	"context"
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
	if arn == nil || *arn == noProfile {
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

// noProfile is what a step wrote that took the profile off.
var noProfile = ""

// applyProfile puts the isolation profile in the place of the instance's. Where it must not be used,
// or can't be passed, or the instance is stopped (EC2 replaces those of running ones alone), the
// instance is left without a profile: nobody who made it first, or took our right to pass it, keeps
// the instance its credentials.
func applyProfile(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior}
	arn, unfit, err := isolationProfile(ctx, acct)
	if err != nil {
		return e, err
	}
	live, err := association(ctx, acct, s.ResourceID)
	if err != nil {
		return e, err
	}
	if e.Wrote = &noProfile; live == nil { // there are no credentials
		return e, nil
	}
	if unfit == "" {
		e.Wrote, e.Changed = &arn, !deny.EqualContent(associated(live), &arn)
		if !e.Changed {
			return e, nil
		}
		if err = replaceProfile(ctx, acct, live, arn); !passRoleDenied(err) && !actions.IsCode(err, "IncorrectState") {
			return e, retryIfReplaced(err)
		}
	}
	e.Wrote, e.Changed = &noProfile, true
	_, err = ec2Of(acct).DisassociateIamInstanceProfile(ctx, &ec2.DisassociateIamInstanceProfileInput{AssociationId: live.AssociationId})
	return e, retryIfReplaced(err)
}

// retryIfReplaced marks the errors of a profile that is new to EC2, and of an association that was
// replaced or is not over yet, as retryable.
func retryIfReplaced(err error) error {
	if unknownProfile(err) || actions.IsCode(err, "InvalidAssociationID.NotFound", "IncorrectState") {
		return actions.RetryLater(err)
	}
	return err
}

// verifyProfile checks the profile's content too: a change of the shared role affects
// every isolated instance.
func verifyProfile(ctx context.Context, acct *actions.Account, s actions.Step, _ actions.Effect) (actions.Reading, error) {
	live, err := association(ctx, acct, s.ResourceID)
	if err != nil {
		return actions.Reading{}, err
	}
	if live == nil {
		return actions.Reading{Holds: true, Found: profileText(nil)}, nil // there are no credentials
	}
	arn, unfit, err := isolationProfile(ctx, acct)
	if err == nil && !deny.EqualContent(associated(live), &arn) {
		unfit = profileText(associated(live))
	}
	return actions.Reading{Holds: err == nil && unfit == "", Found: unfit}, err
}

func revertProfile(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	found, err := findInstance(ctx, acct, s.ResourceID)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case found == nil:
		return readingGone("instance " + s.ResourceID), nil
	}
	live, err := association(ctx, acct, s.ResourceID)
	took := e.Wrote != nil && *e.Wrote == noProfile
	switch {
	case err != nil:
		return actions.Reading{}, err
	case deny.EqualContent(associated(live), e.Prior):
		return actions.Reading{Holds: true}, nil
	case e.Prior == nil, (live == nil) != took, live != nil && !deny.EqualContent(associated(live), e.Wrote):
		return actions.Reading{Found: profileText(associated(live)) + ", which is not what Killswitch wrote"}, nil
	}
	if took {
		_, err = ec2Of(acct).AssociateIamInstanceProfile(ctx, &ec2.AssociateIamInstanceProfileInput{InstanceId: &s.ResourceID, IamInstanceProfile: &types.IamInstanceProfileSpecification{Arn: e.Prior}})
	} else {
		err = replaceProfile(ctx, acct, live, *e.Prior)
	}
	switch {
	case unknownProfile(err):
		return actions.Reading{Found: "the instance profile " + *e.Prior + " is gone: the instance keeps " + profileText(e.Wrote)}, nil
	case passRoleDenied(err):
		return actions.Reading{}, actions.WithHint(err, "the restorer role needs iam:PassRole on the role in that instance profile")
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, retryIfReplaced(err)
}
