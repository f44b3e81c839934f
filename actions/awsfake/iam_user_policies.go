package awsfake

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

var iamUserPolicyOperations = map[string]operation{
	"iam:PutUserPolicy":            bind(writes, putUserPolicy),
	"iam:GetUserPolicy":            bind(reads, getUserPolicy),
	"iam:DeleteUserPolicy":         bind(writes, deleteUserPolicy),
	"iam:ListUserPolicies":         bind(reads, listUserPolicies),
	"iam:AttachUserPolicy":         bind(writes, attachUserPolicy),
	"iam:DetachUserPolicy":         bind(writes, detachUserPolicy),
	"iam:ListAttachedUserPolicies": bind(reads, listAttachedUserPolicies),
}

// "Users: The total aggregate policy size of all inline policies: 2,048
// characters"; managed policies attached to a user: 10 by default. "IAM and AWS
// STS quotas" (IAM User Guide).
const (
	maxUserInlineTotal = 2048
	maxUserAttached    = 10
)

func putUserPolicy(k *request, in *iam.PutUserPolicyInput) (*iam.PutUserPolicyOutput, error) {
	name, doc := aws.ToString(in.PolicyName), aws.ToString(in.PolicyDocument)
	if !entityName.MatchString(name) || len(name) > 128 {
		return nil, constraint(name, "policyName", `Member must satisfy regular expression pattern: [\w+=,.@-]+ and have length less than or equal to 128`)
	}
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	if err := printable(in.PolicyDocument); err != nil {
		return nil, err
	}
	if _, err := parsePolicy(doc, identityPolicy); err != nil {
		return nil, malformed(err)
	}
	u.Inline[name] = doc
	total := 0
	for _, d := range u.Inline {
		total += size(d)
	}
	if total > maxUserInlineTotal {
		return nil, limitExceeded("Maximum policy size of %d bytes exceeded for user %s", maxUserInlineTotal, u.Name)
	}
	k.storeUser(u)
	return &iam.PutUserPolicyOutput{}, nil
}

func getUserPolicy(k *request, in *iam.GetUserPolicyInput) (*iam.GetUserPolicyOutput, error) {
	u, err := k.seenUser(in.UserName)
	if err != nil {
		return nil, err
	}
	doc, ok := u.Inline[aws.ToString(in.PolicyName)]
	if !ok {
		return nil, noSuchEntity("The user policy with name %s cannot be found.", aws.ToString(in.PolicyName))
	}
	return &iam.GetUserPolicyOutput{UserName: in.UserName, PolicyName: in.PolicyName, PolicyDocument: aws.String(encode(doc))}, nil
}

func deleteUserPolicy(k *request, in *iam.DeleteUserPolicyInput) (*iam.DeleteUserPolicyOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	if _, ok := u.Inline[aws.ToString(in.PolicyName)]; !ok {
		return nil, noSuchEntity("The user policy with name %s cannot be found.", aws.ToString(in.PolicyName))
	}
	delete(u.Inline, aws.ToString(in.PolicyName))
	k.storeUser(u)
	return &iam.DeleteUserPolicyOutput{}, nil
}

func listUserPolicies(k *request, in *iam.ListUserPoliciesInput) (*iam.ListUserPoliciesOutput, error) {
	u, err := k.seenUser(in.UserName)
	if err != nil {
		return nil, err
	}
	names, next, err := page(slices.Sorted(maps.Keys(u.Inline)), in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListUserPoliciesOutput{PolicyNames: append([]string{}, names...), IsTruncated: next != nil, Marker: next}, nil
}

// attachUserPolicy of what is attached already succeeds and changes nothing.
func attachUserPolicy(k *request, in *iam.AttachUserPolicyInput) (*iam.AttachUserPolicyOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	arn := aws.ToString(in.PolicyArn)
	if k.c.policies[arn] == "" {
		return nil, noSuchEntity("Policy %s does not exist or is not attachable.", arn)
	}
	if slices.Contains(u.Attached, arn) {
		return &iam.AttachUserPolicyOutput{}, nil
	}
	if len(u.Attached) >= maxUserAttached {
		return nil, limitExceeded("Cannot exceed quota for PoliciesPerUser: %d", maxUserAttached)
	}
	u.Attached = append(u.Attached, arn)
	k.storeUser(u)
	return &iam.AttachUserPolicyOutput{}, nil
}

func detachUserPolicy(k *request, in *iam.DetachUserPolicyInput) (*iam.DetachUserPolicyOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	i := slices.Index(u.Attached, aws.ToString(in.PolicyArn))
	if i < 0 {
		return nil, noSuchEntity("Policy %s was not found.", aws.ToString(in.PolicyArn))
	}
	u.Attached = slices.Delete(u.Attached, i, i+1)
	k.storeUser(u)
	return &iam.DetachUserPolicyOutput{}, nil
}

func listAttachedUserPolicies(k *request, in *iam.ListAttachedUserPoliciesInput) (*iam.ListAttachedUserPoliciesOutput, error) {
	u, err := k.seenUser(in.UserName)
	if err != nil {
		return nil, err
	}
	var arns []string
	for _, arn := range u.Attached {
		_, path, _ := strings.Cut(arn, ":policy")
		if strings.HasPrefix(path, or(aws.ToString(in.PathPrefix), "/")) {
			arns = append(arns, arn)
		}
	}
	slices.Sort(arns)
	arns, next, err := page(arns, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListAttachedUserPoliciesOutput{AttachedPolicies: []iamtypes.AttachedPolicy{}, IsTruncated: next != nil, Marker: next}
	for _, arn := range arns {
		out.AttachedPolicies = append(out.AttachedPolicies, attachedPolicy(arn))
	}
	return out, nil
}
