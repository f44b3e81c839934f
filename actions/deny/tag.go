package deny

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// TamperTag marks a contained principal for the tamper SCP.
const TamperTag = "killswitch"

// Taggable is a role or user whose tamper tag can be written.
type Taggable struct {
	tag   func(ctx context.Context, tags []types.Tag) error
	untag func(ctx context.Context, keys []string) error
}

// TaggedRole returns a role as a Taggable.
func TaggedRole(acct *actions.Account, name string) Taggable {
	return Taggable{
		func(ctx context.Context, tags []types.Tag) error {
			_, err := acct.IAM().TagRole(ctx, &iam.TagRoleInput{RoleName: &name, Tags: tags})
			return err
		},
		func(ctx context.Context, keys []string) error {
			_, err := acct.IAM().UntagRole(ctx, &iam.UntagRoleInput{RoleName: &name, TagKeys: keys})
			return err
		},
	}
}

// TaggedUser returns a user as a Taggable.
func TaggedUser(acct *actions.Account, name string) Taggable {
	return Taggable{
		func(ctx context.Context, tags []types.Tag) error {
			_, err := acct.IAM().TagUser(ctx, &iam.TagUserInput{UserName: &name, Tags: tags})
			return err
		},
		func(ctx context.Context, keys []string) error {
			_, err := acct.IAM().UntagUser(ctx, &iam.UntagUserInput{UserName: &name, TagKeys: keys})
			return err
		},
	}
}

// Apply implements [actions.Action].
func (t Taggable) Apply(ctx context.Context, live *string, s actions.Step, run actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior, Wrote: &run.RequestID}
	if EqualContent(live, e.Wrote) {
		return e, nil
	}
	e.Changed = true
	err := t.tag(ctx, []types.Tag{{Key: aws.String(TamperTag), Value: e.Wrote}})
	if actions.IsCode(err, "LimitExceeded") { // whoever holds the account can bring it about
		err = actions.WithHint(err, "it has as many tags as AWS allows, so no tamper protection guards it: remove one by hand, then retry")
	}
	return e, err
}

// Revert implements [actions.Action].
func (t Taggable) Revert(ctx context.Context, live *string, e actions.Effect) (actions.Reading, error) {
	var err error
	switch {
	case EqualContent(live, e.Prior):
		return actions.Reading{Holds: true}, nil
	case !EqualContent(live, e.Wrote):
		return actions.Reading{Found: TagText(live) + ", which is not what Killswitch wrote"}, nil
	case e.Prior == nil:
		err = t.untag(ctx, []string{TamperTag})
	default:
		err = t.tag(ctx, []types.Tag{{Key: aws.String(TamperTag), Value: e.Prior}})
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, err
}

// VerifyTag reads a tag back.
func VerifyTag(live *string, e actions.Effect) actions.Reading {
	return actions.Reading{Holds: live != nil && EqualContent(live, e.Wrote), Found: TagText(live)}
}

// TamperValue is the tamper tag's value; nil where there is none.
func TamperValue(tags []types.Tag) *string {
	for _, t := range tags {
		if strings.EqualFold(aws.ToString(t.Key), TamperTag) { // IAM tag keys are not case-sensitive
			return t.Value
		}
	}
	return nil
}

// TagText is the tag in words.
func TagText(v *string) string {
	if v == nil {
		return "no tag " + TamperTag
	}
	return "tag " + TamperTag + " = " + *v
}
