package deny

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// GetRole reads a role.
func GetRole(ctx context.Context, acct *actions.Account, name string) (*types.Role, error) {
	out, err := acct.IAM().GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
	if err != nil {
		return nil, err
	}
	return out.Role, nil
}

// GetStepRole reads the role of a step. It returns ErrRecreated if the role has another ID.
func GetStepRole(ctx context.Context, acct *actions.Account, s actions.Step) (name string, role *types.Role, err error) {
	_, _, _, name, _ = actions.SplitRoleARN(s.Resource)
	role, err = GetRole(ctx, acct, name)
	switch {
	case err != nil:
		return name, nil, err
	case aws.ToString(role.RoleId) != s.ResourceID:
		return name, nil, actions.ErrRecreated
	}
	return name, role, nil
}
