package actions

import (
	"context"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func lookRole(ctx context.Context, acct *Account, name string) (*types.Role, error) {
	out, err := acct.IAM.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
	if err != nil {
		return nil, err
	}
	return out.Role, nil
}

// sameRole reads the role that a step is about.
func sameRole(ctx context.Context, acct *Account, s Step) (name string, role *types.Role, err error) {
	_, _, _, name, _ = SplitRoleARN(s.Resource)
	role, err = lookRole(ctx, acct, name)
	switch {
	case err != nil:
		return name, nil, err
	case aws.ToString(role.RoleId) != s.ResourceID:
		return name, nil, ErrRecreated
	}
	return name, role, nil
}

func getRolePolicy(ctx context.Context, acct *Account, role, policy string) (*string, error) {
	out, err := acct.IAM.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &role, PolicyName: &policy})
	if isCode(err, "NoSuchEntity") {
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
