package actions

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// tamperTag marks a contained principal for the tamper SCP.
const tamperTag = "killswitch"

// tagged is a principal whose tamper tag is written.
type tagged struct {
	put  func(ctx context.Context, tags []types.Tag) error
	drop func(ctx context.Context, keys []string) error
}

func taggedRole(acct *Account, name string) tagged {
	return tagged{
		func(ctx context.Context, tags []types.Tag) error {
			_, err := acct.IAM.TagRole(ctx, &iam.TagRoleInput{RoleName: &name, Tags: tags})
			return err
		},
		func(ctx context.Context, keys []string) error {
			_, err := acct.IAM.UntagRole(ctx, &iam.UntagRoleInput{RoleName: &name, TagKeys: keys})
			return err
		},
	}
}

func taggedUser(acct *Account, name string) tagged {
	return tagged{
		func(ctx context.Context, tags []types.Tag) error {
			_, err := acct.IAM.TagUser(ctx, &iam.TagUserInput{UserName: &name, Tags: tags})
			return err
		},
		func(ctx context.Context, keys []string) error {
			_, err := acct.IAM.UntagUser(ctx, &iam.UntagUserInput{UserName: &name, TagKeys: keys})
			return err
		},
	}
}

func (t tagged) apply(ctx context.Context, live *string, s Step, run Run) (Effect, error) {
	e := Effect{Prior: s.Prior, Wrote: &run.RequestID}
	if same(live, e.Wrote) {
		return e, nil
	}
	e.Changed = true
	return e, t.put(ctx, []types.Tag{{Key: aws.String(tamperTag), Value: e.Wrote}})
}

func (t tagged) revert(ctx context.Context, live *string, e Effect) (Reading, error) {
	var err error
	switch {
	case same(live, e.Prior):
		return Reading{Holds: true}, nil
	case !same(live, e.Wrote):
		return Reading{Found: tagText(live) + ", which is not what Killswitch wrote"}, nil
	case e.Prior == nil:
		err = t.drop(ctx, []string{tamperTag})
	default:
		err = t.put(ctx, []types.Tag{{Key: aws.String(tamperTag), Value: e.Prior}})
	}
	return Reading{Holds: err == nil, Changed: err == nil}, err
}

func verifyTag(live *string, e Effect) Reading {
	return Reading{Holds: live != nil && same(live, e.Wrote), Found: tagText(live)}
}

// tamperValue is the tamper tag's value; nil where there is none.
func tamperValue(tags []types.Tag) *string {
	for _, t := range tags {
		if strings.EqualFold(aws.ToString(t.Key), tamperTag) { // IAM tag keys are not case-sensitive
			return t.Value
		}
	}
	return nil
}

func tagText(v *string) string {
	if v == nil {
		return "no tag " + tamperTag
	}
	return "tag " + tamperTag + " = " + *v
}
