package deny

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// AttachedToRole returns the ARNs of the managed policies of a role.
func AttachedToRole(ctx context.Context, acct *actions.Account, role string) ([]string, error) {
	arns, err := actions.List(ctx, iam.NewListAttachedRolePoliciesPaginator(acct.IAM(), &iam.ListAttachedRolePoliciesInput{RoleName: &role}),
		func(p *iam.ListAttachedRolePoliciesOutput) []types.AttachedPolicy { return p.AttachedPolicies }, attachedARN)
	slices.Sort(arns)
	return arns, err
}

// AttachedToUser returns the ARNs of the managed policies of a user.
func AttachedToUser(ctx context.Context, acct *actions.Account, user string) ([]string, error) {
	arns, err := actions.List(ctx, iam.NewListAttachedUserPoliciesPaginator(acct.IAM(), &iam.ListAttachedUserPoliciesInput{UserName: &user}),
		func(p *iam.ListAttachedUserPoliciesOutput) []types.AttachedPolicy { return p.AttachedPolicies }, attachedARN)
	slices.Sort(arns)
	return arns, err
}

func attachedARN(p types.AttachedPolicy) string { return aws.ToString(p.PolicyArn) }

// InlineOfRole returns the documents of a role's inline policies by name.
func InlineOfRole(ctx context.Context, acct *actions.Account, role string) (map[string]string, error) {
	names, err := actions.List(ctx, iam.NewListRolePoliciesPaginator(acct.IAM(), &iam.ListRolePoliciesInput{RoleName: &role}),
		func(p *iam.ListRolePoliciesOutput) []string { return p.PolicyNames }, actions.Itself)
	if err != nil {
		return nil, err
	}
	return documents(names, func(policy string) (*string, error) { return GetRolePolicy(ctx, acct, role, policy) })
}

// InlineOfUser returns the documents of a user's inline policies by name.
func InlineOfUser(ctx context.Context, acct *actions.Account, user string) (map[string]string, error) {
	names, err := actions.List(ctx, iam.NewListUserPoliciesPaginator(acct.IAM(), &iam.ListUserPoliciesInput{UserName: &user}),
		func(p *iam.ListUserPoliciesOutput) []string { return p.PolicyNames }, actions.Itself)
	if err != nil {
		return nil, err
	}
	return documents(names, func(policy string) (*string, error) { return GetUserPolicy(ctx, acct, user, policy) })
}

// readAtOnce is the number of inline policies that are read in parallel.
const readAtOnce = 8

// documents reads inline policies; one that was deleted in between is left out.
func documents(names []string, get func(policy string) (*string, error)) (map[string]string, error) {
	found := make([]*string, len(names))
	err := actions.Parallel(len(names), readAtOnce, func(i int) (err error) {
		found[i], err = get(names[i])
		return err
	})
	docs := map[string]string{}
	for i, doc := range found {
		if doc != nil {
			docs[names[i]] = *doc
		}
	}
	return docs, err
}

// GetRolePolicy returns the document of a role's inline policy; nil if there is none.
func GetRolePolicy(ctx context.Context, acct *actions.Account, role, policy string) (*string, error) {
	out, err := acct.IAM().GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &role, PolicyName: &policy})
	if err != nil {
		return noneIfGone(err)
	}
	return decode(out.PolicyDocument, policy)
}

// GetUserPolicy returns the document of a user's inline policy; nil if there is none.
func GetUserPolicy(ctx context.Context, acct *actions.Account, user, policy string) (*string, error) {
	out, err := acct.IAM().GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: &user, PolicyName: &policy})
	if err != nil {
		return noneIfGone(err)
	}
	return decode(out.PolicyDocument, policy)
}

func noneIfGone(err error) (*string, error) {
	if actions.IsCode(err, "NoSuchEntity") {
		return nil, nil
	}
	return nil, err
}

// decode reads a document as IAM returns it: "URL-encoded compliant with RFC 3986".
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRolePolicy.html
func decode(document *string, policy string) (*string, error) {
	doc, err := url.PathUnescape(aws.ToString(document))
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", policy, err)
	}
	return &doc, nil
}
