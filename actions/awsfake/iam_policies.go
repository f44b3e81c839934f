package awsfake

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

var iamPolicyOperations = map[string]operation{
	"iam:PutRolePolicy":            bind(writes, putRolePolicy),
	"iam:GetRolePolicy":            bind(reads, getRolePolicy),
	"iam:DeleteRolePolicy":         bind(writes, deleteRolePolicy),
	"iam:ListRolePolicies":         bind(reads, listRolePolicies),
	"iam:AttachRolePolicy":         bind(writes, attachRolePolicy),
	"iam:DetachRolePolicy":         bind(writes, detachRolePolicy),
	"iam:ListAttachedRolePolicies": bind(reads, listAttachedRolePolicies),
}

// printable is PolicyDocument's pattern, [\u0009\u000A\u000D\u0020-\u00FF]+ up to 131,072 characters.
func printable(doc *string) error {
	for _, r := range aws.ToString(doc) {
		if r > 0xff || r < 0x20 && !strings.ContainsRune("\t\n\r", r) {
			return validation("The specified value for policyDocument is invalid. It must contain only printable ASCII characters.")
		}
	}
	if len(aws.ToString(doc)) > 131072 {
		return validation("1 validation error detected: Value at 'policyDocument' failed to satisfy constraint: Member must have length less than or equal to 131072")
	}
	return nil
}

func putRolePolicy(k *request, in *iam.PutRolePolicyInput) (*iam.PutRolePolicyOutput, error) {
	name, doc := aws.ToString(in.PolicyName), aws.ToString(in.PolicyDocument)
	if !entityName.MatchString(name) || len(name) > 128 {
		return nil, constraint(name, "policyName", `Member must satisfy regular expression pattern: [\w+=,.@-]+ and have length less than or equal to 128`)
	}
	r, err := k.changeable(in.RoleName)
	if err != nil {
		return nil, err
	}
	if err := printable(in.PolicyDocument); err != nil {
		return nil, err
	}
	if _, err := parsePolicy(doc, identityPolicy); err != nil {
		return nil, malformed(err)
	}
	r.Inline[name] = doc
	total := 0
	for _, d := range r.Inline {
		total += size(d)
	}
	if total > maxInlineTotal { // "the total aggregate policy size of all inline policies"
		return nil, limitExceeded("Maximum policy size of %d bytes exceeded for role %s", maxInlineTotal, r.Name)
	}
	k.store(r)
	return &iam.PutRolePolicyOutput{}, nil
}

func getRolePolicy(k *request, in *iam.GetRolePolicyInput) (*iam.GetRolePolicyOutput, error) {
	r, err := k.seenRole(in.RoleName)
	if err != nil {
		return nil, err
	}
	doc, ok := r.Inline[aws.ToString(in.PolicyName)]
	if !ok {
		return nil, noSuchEntity("The role policy with name %s cannot be found.", aws.ToString(in.PolicyName))
	}
	return &iam.GetRolePolicyOutput{RoleName: in.RoleName, PolicyName: in.PolicyName, PolicyDocument: aws.String(encode(doc))}, nil
}

func deleteRolePolicy(k *request, in *iam.DeleteRolePolicyInput) (*iam.DeleteRolePolicyOutput, error) {
	r, err := k.changeable(in.RoleName)
	if err != nil {
		return nil, err
	}
	if _, ok := r.Inline[aws.ToString(in.PolicyName)]; !ok {
		return nil, noSuchEntity("The role policy with name %s cannot be found.", aws.ToString(in.PolicyName))
	}
	delete(r.Inline, aws.ToString(in.PolicyName))
	k.store(r)
	return &iam.DeleteRolePolicyOutput{}, nil
}

func listRolePolicies(k *request, in *iam.ListRolePoliciesInput) (*iam.ListRolePoliciesOutput, error) {
	r, err := k.seenRole(in.RoleName)
	if err != nil {
		return nil, err
	}
	names, next, err := page(slices.Sorted(maps.Keys(r.Inline)), in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListRolePoliciesOutput{PolicyNames: append([]string{}, names...), IsTruncated: next != nil, Marker: next}, nil
}

// attachRolePolicy of what is attached already succeeds and changes nothing.
func attachRolePolicy(k *request, in *iam.AttachRolePolicyInput) (*iam.AttachRolePolicyOutput, error) {
	r, err := k.changeable(in.RoleName)
	if err != nil {
		return nil, err
	}
	arn := aws.ToString(in.PolicyArn)
	if k.c.policies[arn] == "" {
		return nil, noSuchEntity("Policy %s does not exist or is not attachable.", arn)
	}
	if slices.Contains(r.Attached, arn) {
		return &iam.AttachRolePolicyOutput{}, nil
	}
	if len(r.Attached) >= maxAttached {
		return nil, limitExceeded("Cannot exceed quota for PoliciesPerRole: %d", maxAttached)
	}
	r.Attached = append(r.Attached, arn)
	k.store(r)
	return &iam.AttachRolePolicyOutput{}, nil
}

func detachRolePolicy(k *request, in *iam.DetachRolePolicyInput) (*iam.DetachRolePolicyOutput, error) {
	r, err := k.changeable(in.RoleName)
	if err != nil {
		return nil, err
	}
	i := slices.Index(r.Attached, aws.ToString(in.PolicyArn))
	if i < 0 {
		return nil, noSuchEntity("Policy %s was not found.", aws.ToString(in.PolicyArn))
	}
	r.Attached = slices.Delete(r.Attached, i, i+1)
	k.store(r)
	return &iam.DetachRolePolicyOutput{}, nil
}

func listAttachedRolePolicies(k *request, in *iam.ListAttachedRolePoliciesInput) (*iam.ListAttachedRolePoliciesOutput, error) {
	r, err := k.seenRole(in.RoleName)
	if err != nil {
		return nil, err
	}
	var arns []string
	for _, arn := range r.Attached {
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
	out := &iam.ListAttachedRolePoliciesOutput{AttachedPolicies: []iamtypes.AttachedPolicy{}, IsTruncated: next != nil, Marker: next}
	for _, arn := range arns {
		out.AttachedPolicies = append(out.AttachedPolicies, attachedPolicy(arn))
	}
	return out, nil
}

func attachedPolicy(arn string) iamtypes.AttachedPolicy {
	return iamtypes.AttachedPolicy{PolicyArn: aws.String(arn), PolicyName: aws.String(arn[strings.LastIndex(arn, "/")+1:])}
}
