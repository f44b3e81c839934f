package awsfake

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// Tagging does not refuse service-linked roles: TagRole and UntagRole list no
// UnmodifiableEntity among their errors.
func tagRole(k *request, in *iam.TagRoleInput) (*iam.TagRoleOutput, error) {
	r, err := k.role(in.RoleName)
	if err != nil {
		return nil, err
	}
	if err := setTags(r.Tags, in.Tags); err != nil {
		return nil, err
	}
	k.store(r)
	return &iam.TagRoleOutput{}, nil
}

// setTags follows "Tags for IAM resources: rules for tagging" (IAM User Guide):
// keys of 1 to 128 and values of at most 256 characters, no key that starts with
// aws:, at most 50 tags; keys differ by more than case, and a key given in another
// case replaces the old one.
func setTags(tags map[string]string, set []iamtypes.Tag) error {
	seen := map[string]bool{}
	for _, t := range set {
		key, value := aws.ToString(t.Key), aws.ToString(t.Value)
		folded := strings.ToLower(key)
		switch {
		case key == "" || utf8.RuneCountInString(key) > 128:
			return constraint(key, "tags.member.key", "Member must have length between 1 and 128")
		case utf8.RuneCountInString(value) > 256:
			return constraint(value, "tags.member.value", "Member must have length less than or equal to 256")
		case strings.HasPrefix(folded, "aws:"):
			return invalidInput("aws: prefixed tag key names are not allowed for external use.")
		case seen[folded]:
			return invalidInput("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[folded] = true
		maps.DeleteFunc(tags, func(old, _ string) bool { return strings.EqualFold(old, key) })
		tags[key] = value
	}
	if len(tags) > maxTags {
		return limitExceeded("The number of tags has reached the maximum limit of %d.", maxTags)
	}
	return nil
}

func tagList(tags map[string]string) []iamtypes.Tag {
	var list []iamtypes.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, iamtypes.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}

func untagRole(k *request, in *iam.UntagRoleInput) (*iam.UntagRoleOutput, error) {
	r, err := k.role(in.RoleName)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(r.Tags, func(key, _ string) bool {
		return slices.ContainsFunc(in.TagKeys, func(gone string) bool { return strings.EqualFold(gone, key) })
	})
	k.store(r)
	return &iam.UntagRoleOutput{}, nil
}

func listRoleTags(k *request, in *iam.ListRoleTagsInput) (*iam.ListRoleTagsOutput, error) {
	r, err := k.seenRole(in.RoleName)
	if err != nil {
		return nil, err
	}
	keys, next, err := page(slices.Sorted(maps.Keys(r.Tags)), in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListRoleTagsOutput{Tags: []iamtypes.Tag{}, IsTruncated: next != nil, Marker: next}
	for _, key := range keys {
		out.Tags = append(out.Tags, iamtypes.Tag{Key: aws.String(key), Value: aws.String(r.Tags[key])})
	}
	return out, nil
}
