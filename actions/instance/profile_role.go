package instance

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// isolationProfile finds or creates the instance profile whose role is denied everything, by its
// permissions boundary: whatever is attached to the role, and whoever it trusts, it may do
// nothing. It returns the profile's ARN. One that holds another role is refused.
func isolationProfile(ctx context.Context, acct *actions.Account) (string, error) {
	out, err := acct.IAM().GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String(isolationName)})
	there := err == nil
	if err != nil && !actions.IsCode(err, "NoSuchEntity") {
		return "", err
	}
	if there && len(out.InstanceProfile.Roles) > 0 {
		if arn := aws.ToString(out.InstanceProfile.Roles[0].Arn); arn != isolationRoleARN(acct) {
			return "", actions.WithHint(errors.New(holdsAnother(arn)),
				"it is not used; delete the instance profile by hand (somebody may have made it to keep a way in), then retry")
		}
		return aws.ToString(out.InstanceProfile.Arn), boundIsolationRole(ctx, acct)
	}
	if err := createIsolationRole(ctx, acct); err != nil {
		return "", err
	}
	if err := boundIsolationRole(ctx, acct); err != nil {
		return "", err
	}
	var arn string
	if there {
		arn = aws.ToString(out.InstanceProfile.Arn)
	} else {
		made, err := acct.IAM().CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String(isolationName)})
		if actions.IsCode(err, "EntityAlreadyExists") { // it exists, and is not visible yet: read again
			return "", actions.RetryLater(err)
		}
		if err != nil {
			return "", err
		}
		arn = aws.ToString(made.InstanceProfile.Arn)
	}
	_, err = acct.IAM().AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String(isolationName), RoleName: aws.String(isolationName)})
	if actions.IsCode(err, "LimitExceeded", "EntityAlreadyExists", "NoSuchEntity") { // it has a role that is not visible yet, or IAM lags behind
		return "", actions.RetryLater(err)
	}
	return arn, err
}

func isolationRoleARN(acct *actions.Account) string {
	return actions.RoleARN(acct.Partition, acct.ID, "/", isolationName)
}

func holdsAnother(role string) string {
	return "the instance profile " + isolationName + " in this account holds the role " + role
}

// createIsolationRole creates the role if there is none of its name.
func createIsolationRole(ctx context.Context, acct *actions.Account) error {
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, actions.EC2Service(acct.Partition))
	_, err := acct.IAM().CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(isolationName), AssumeRolePolicyDocument: &trust,
		PermissionsBoundary: aws.String(deny.BoundaryARN(acct.Partition)), Description: aws.String("Killswitch: the role of isolated instances, which may do nothing")})
	if actions.IsCode(err, "EntityAlreadyExists") {
		return nil
	}
	return err
}

// boundIsolationRole sets the role's boundary, whoever made the role.
func boundIsolationRole(ctx context.Context, acct *actions.Account) error {
	bound, err := isolationRoleIsBound(ctx, acct)
	if actions.IsCode(err, "NoSuchEntity") { // new, and not visible yet
		return actions.RetryLater(err)
	}
	if err == nil && !bound {
		_, err = acct.IAM().PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: aws.String(isolationName), PermissionsBoundary: aws.String(deny.BoundaryARN(acct.Partition))})
	}
	return err
}

// isolationRoleIsBound reads the role itself: a profile lists its roles without their boundaries.
func isolationRoleIsBound(ctx context.Context, acct *actions.Account) (bool, error) {
	role, err := deny.GetRole(ctx, acct, isolationName)
	return err == nil && deny.BoundaryOf(role.PermissionsBoundary) == deny.BoundaryARN(acct.Partition), err
}

// checkIsolationProfile returns what is wrong with the isolation profile, in words.
func checkIsolationProfile(ctx context.Context, acct *actions.Account) (string, error) {
	role, err := profileRole(ctx, acct, isolationName)
	switch {
	case err != nil:
		return "", err
	case role == nil:
		return "", nil // it has no credentials
	case aws.ToString(role.Arn) != isolationRoleARN(acct):
		return holdsAnother(aws.ToString(role.Arn)), nil
	}
	if bound, err := isolationRoleIsBound(ctx, acct); err != nil || bound {
		return "", err
	}
	return "the role " + isolationName + " lacks its permissions boundary AWSDenyAll", nil
}
