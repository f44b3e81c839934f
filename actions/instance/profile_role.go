package instance

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// IsolationName is the name of the objects that isolated instances share: a security group in
// each VPC, and a role and an instance profile, which are deployed ahead (killswitch template members).
const IsolationName = deny.IsolationName

// isolationProfile returns the ARN of the instance profile whose role is denied everything, by its
// permissions boundary: whatever is attached to the role, and whoever it trusts, it may do nothing.
// unfit says why it must not be used, "" if it may.
func isolationProfile(ctx context.Context, acct *actions.Account) (arn, unfit string, err error) {
	arn, name := isolationProfileARN(acct), "the instance profile "+IsolationName
	out, err := acct.IAM().GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String(IsolationName)})
	switch {
	case actions.IsCode(err, "NoSuchEntity"):
		return arn, name + " is not deployed in this account", nil
	case err != nil:
		return arn, "", err
	}
	switch p := out.InstanceProfile; {
	case aws.ToString(p.Arn) != arn:
		return arn, name + " has another path", nil
	case len(p.Roles) == 0:
		return arn, name + " holds no role", nil
	case aws.ToString(p.Roles[0].Arn) != actions.RoleARN(acct.Partition, acct.ID, "/", IsolationName):
		return arn, name + " holds the role " + aws.ToString(p.Roles[0].Arn), nil
	}
	role, err := deny.GetRole(ctx, acct, IsolationName) // a profile lists its roles without their boundaries
	if err == nil && deny.BoundaryOf(role.PermissionsBoundary) != deny.BoundaryARN(acct.Partition) {
		unfit = "the role " + IsolationName + " lacks its permissions boundary AWSDenyAll"
	}
	return arn, unfit, err
}

func isolationProfileARN(acct *actions.Account) string {
	return "arn:" + acct.Partition + ":iam::" + acct.ID + ":instance-profile/" + IsolationName
}

// IsolationTrust is the trust policy of the isolation role.
func IsolationTrust(partition string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, actions.EC2Service(partition))
}
