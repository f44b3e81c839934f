package deny

import (
	"context"
	"fmt"
	"net/url"

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

// GetRolePolicy returns the document of a role's inline policy; nil if there is none.
func GetRolePolicy(ctx context.Context, acct *actions.Account, role, policy string) (*string, error) {
	out, err := acct.IAM().GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &role, PolicyName: &policy})
	if actions.IsCode(err, "NoSuchEntity") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// "The policies are URL-encoded compliant with RFC 3986"
	// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRolePolicy.html
	doc, err := url.PathUnescape(aws.ToString(out.PolicyDocument))
	if err != nil {
		return nil, fmt.Errorf("policy %s of role %s: %w", policy, role, err)
	}
	return &doc, nil
}
