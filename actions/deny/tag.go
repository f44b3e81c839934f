package deny

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// TamperTag marks a contained principal for the tamper SCP, which looks at the key alone. Its value is the
// request's ID with the installation; where several installations contain the same, their marks stand side by side.
const TamperTag = "killswitch"

// maxTagValue is AWS's limit on a tag's value.
const maxTagValue = 256

// Mark puts the mark of a run into Killswitch's tag on a resource: write gets the tag's value, with the marks of other
// installations. Those give way where there is no room: whoever may set the tag could have forged them.
func Mark(ctx context.Context, acct *actions.Account, live *string, s actions.Step, run actions.Run, write func(value string) error) (actions.Effect, error) {
	own := acct.Org.Installation.Name(run.RequestID)
	e := actions.Effect{Prior: s.Prior, Wrote: &own}
	if marked(live, e) {
		return e, nil
	}
	e.Changed = true
	value := strings.Join(append(acct.Elsewhere(ctx, aws.ToString(live)), own), " ")
	if len(value) > maxTagValue {
		value = own
	}
	return e, write(value)
}

// Unmark returns what the tag is to say once ours is taken away, nil for no tag: what stood there before, beside what
// others wrote since. Marks of other installations stay while they are there. drifted: ours was taken away.
func Unmark(ctx context.Context, acct *actions.Account, live *string, e actions.Effect) (left *string, drifted bool) {
	prior, words := e.Prior, strings.Fields(aws.ToString(live))
	shared := len(acct.Elsewhere(ctx, aws.ToString(live)+" "+aws.ToString(prior))) > 0
	switch {
	case !marked(live, e) && shared: // others write it, too
		return live, false
	case !marked(live, e):
		return prior, !EqualContent(live, prior)
	case len(acct.Elsewhere(ctx, aws.ToString(prior))) > 0:
		prior = nil // it may be over by now
	}
	rest := strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == *e.Wrote }), " ")
	switch {
	case rest == "":
		return prior, false
	case prior != nil && !strings.Contains(rest, *prior) && len(*prior)+1+len(rest) <= maxTagValue:
		rest = *prior + " " + rest
	}
	return &rest, false
}

// TakeMark takes what a step wrote out of the tag again: write gets what the tag is to say, nil for no tag.
func TakeMark(ctx context.Context, acct *actions.Account, live *string, e actions.Effect, write func(left *string) error) (actions.Reading, error) {
	left, drifted := Unmark(ctx, acct, live, e)
	switch {
	case EqualContent(live, left):
		return actions.Reading{Holds: true}, nil
	case drifted:
		return actions.Reading{Found: TagText(live) + ", which is not what Killswitch wrote"}, nil
	}
	err := write(left)
	return actions.Reading{Holds: err == nil, Changed: err == nil}, err
}

// marked reports whether a tag has the mark that a step wrote.
func marked(live *string, e actions.Effect) bool {
	return live != nil && e.Wrote != nil && slices.Contains(strings.Fields(*live), *e.Wrote)
}

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
func (t Taggable) Apply(ctx context.Context, acct *actions.Account, live *string, s actions.Step, run actions.Run) (actions.Effect, error) {
	e, err := Mark(ctx, acct, live, s, run, func(value string) error {
		return t.tag(ctx, []types.Tag{{Key: aws.String(TamperTag), Value: &value}})
	})
	if actions.IsCode(err, "LimitExceeded") { // whoever holds the account can bring it about
		err = actions.WithHint(err, "it has as many tags as AWS allows, so no tamper protection guards it: remove one by hand, then retry")
	}
	return e, err
}

// Revert implements [actions.Action].
func (t Taggable) Revert(ctx context.Context, acct *actions.Account, live *string, e actions.Effect) (actions.Reading, error) {
	return TakeMark(ctx, acct, live, e, func(left *string) error {
		if left == nil {
			return t.untag(ctx, []string{TamperTag})
		}
		return t.tag(ctx, []types.Tag{{Key: aws.String(TamperTag), Value: left}})
	})
}

// VerifyTag reads a tag back. Marks of other installations may have come and gone.
func VerifyTag(ctx context.Context, acct *actions.Account, live *string, e actions.Effect) actions.Reading {
	return actions.Reading{Holds: marked(live, e), Found: TagText(live), Elsewhere: Elsewhere(ctx, acct, live)}
}

// Elsewhere says which other installations hold a resource with this tag; "" for none.
func Elsewhere(ctx context.Context, acct *actions.Account, live *string) string {
	return actions.HeldElsewhere(acct.Elsewhere(ctx, aws.ToString(live)))
}

// WarnElsewhere tells the approver of it.
func WarnElsewhere(ctx context.Context, acct *actions.Account, live *string, p *actions.Plan) {
	if by := Elsewhere(ctx, acct, live); by != "" {
		p.Warnings = append(p.Warnings, "Held elsewhere, as its tag "+TamperTag+" says: by "+by+". What that one wrote stays as it is, now and when this is undone.")
	}
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
