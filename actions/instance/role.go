package instance

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// deniedInstance returns the ARN of the instance that a step denies the role to: its share of the policy, or
// in a run of an earlier version, the instance that the policy is named after.
func deniedInstance(acct *actions.Account, s actions.Step) string {
	if s.Share != "" {
		return s.Share
	}
	return actions.InstanceARN(acct.Partition, acct.Region, acct.ID, strings.TrimPrefix(s.HoldName(), deny.EarlierPolicy("")))
}

func isolateText(instanceARN, policy string, doc *string) string {
	switch {
	case doc == nil:
		return "no inline policy " + policy
	case slices.Contains(deny.DeniedInstances(*doc), instanceARN):
		return "inline policy " + policy + ": Deny * to this instance"
	case deny.DeniedInstances(*doc) != nil:
		return "inline policy " + policy + ": Deny * to other instances"
	}
	return "another inline policy named " + policy + ": " + deny.Compact(*doc)
}

// profileRole returns the role in an instance profile, which may have another name;
// nil if there is none.
func profileRole(ctx context.Context, acct *actions.Account, profile string) (*iamtypes.Role, error) {
	out, err := acct.IAM().GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: &profile})
	if err != nil {
		return nil, err
	}
	if len(out.InstanceProfile.Roles) == 0 {
		return nil, nil
	}
	return &out.InstanceProfile.Roles[0], nil
}

// applyInstanceRole writes the policy with the instances of all requests that hold it. An undo calls it for
// those of the others.
func applyInstanceRole(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	own := deniedInstance(acct, s)
	arns := run.Shares
	if len(arns) == 0 {
		arns = []string{own}
	}
	doc := deny.InstanceDocument(s.Installation(), arns...)
	tag := addRoleTag
	if !slices.Contains(arns, own) {
		tag = removeRoleTag
	}
	e := actions.Effect{Prior: s.Prior, Wrote: &doc}
	name, _, err := deny.GetStepRole(ctx, acct, s)
	if err != nil {
		return e, err
	}
	live, err := deny.GetRolePolicy(ctx, acct, name, s.HoldName())
	if err != nil {
		return e, err
	}
	if live != nil && *live == doc {
		e.Changed, err = tag(ctx, acct, s)
		return e, err
	}
	e.Changed = true
	_, err = acct.IAM().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String(s.HoldName()), PolicyDocument: &doc})
	if actions.IsCode(err, "LimitExceeded") {
		err = actions.WithHint(err, "the role's inline policies fill their quota: delete one of the others by hand, then retry")
	}
	if err == nil {
		_, err = tag(ctx, acct, s)
	}
	return e, err
}

// deniedRole is the key of the tag with a role that an instance had, for the next request:
// AWS does not show it once the profile is replaced. Each installation has its own.
func deniedRole(by actions.Installation, role string) string {
	return by.Name(deny.TamperTag+"-role") + ":" + role
}

// deniedRoleOf reads such a key, of any installation.
func deniedRoleOf(key string) (by actions.Installation, role string, ok bool) {
	of, role, ok := strings.Cut(key, ":")
	of, by = actions.InstallationOf(of)
	return by, role, ok && of == deny.TamperTag+"-role" && roleName.MatchString(role)
}

// roleName is the form of a role's name.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
var roleName = actions.NewPattern(`^[\w+=,.@-]{1,64}$`)

// addRoleTag tags the instance with the role, and reports whether it did. The deny works
// without the tag: permanent failures (fifty tags, no such instance) are ignored, only
// temporary ones are returned.
func addRoleTag(ctx context.Context, acct *actions.Account, s actions.Step) (bool, error) {
	_, _, _, role, _ := actions.SplitRoleARN(s.Resource)
	id := actions.LastPart(deniedInstance(acct, s))
	found, err := findInstance(ctx, acct, id)
	if err == nil && (found == nil || hasRoleTag(found, s, role)) {
		return false, nil
	}
	if err == nil {
		_, err = ec2Of(acct).CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String(deniedRole(s.Installation(), role)), Value: aws.String(s.HoldName())}}})
	}
	if err != nil && !actions.Transient(err) {
		return false, nil
	}
	return err == nil, err
}

func hasRoleTag(i *types.Instance, s actions.Step, role string) bool {
	return slices.ContainsFunc(i.Tags, func(t types.Tag) bool { return aws.ToString(t.Key) == deniedRole(s.Installation(), role) })
}

// removeRoleTag removes the tag, and reports whether there was one.
func removeRoleTag(ctx context.Context, acct *actions.Account, s actions.Step) (bool, error) {
	_, _, _, role, _ := actions.SplitRoleARN(s.Resource)
	id := actions.LastPart(deniedInstance(acct, s))
	found, err := findInstance(ctx, acct, id)
	if err != nil || found == nil || !hasRoleTag(found, s, role) {
		return false, err
	}
	_, err = ec2Of(acct).DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String(deniedRole(s.Installation(), role)), Value: aws.String(s.HoldName())}}})
	return err == nil, err
}

// verifyInstanceRole takes a policy that denies the instance for ours, whatever other instances stand in it.
// Where an undo wrote it for the others, it must have those and not the instance.
func verifyInstanceRole(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	name, _, err := deny.GetStepRole(ctx, acct, s)
	if err != nil {
		return actions.Reading{}, err
	}
	own := deniedInstance(acct, s)
	live, err := deny.GetRolePolicy(ctx, acct, name, s.HoldName())
	r := actions.Reading{Found: isolateText(own, s.HoldName(), live)}
	if err != nil || live == nil || e.Wrote == nil {
		return r, err
	}
	denied, wrote := deny.DeniedInstances(*live), deny.DeniedInstances(*e.Wrote)
	if r.Holds = slices.Contains(denied, own); !slices.Contains(wrote, own) {
		r.Holds = !r.Holds && !slices.ContainsFunc(wrote, func(arn string) bool { return !slices.Contains(denied, arn) })
	}
	return r, nil
}

func revertInstanceRole(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	r, err := revertRoleDeny(ctx, acct, s, e)
	if err != nil || !r.Holds {
		return r, err
	}
	forgot, err := removeRoleTag(ctx, acct, s)
	r.Changed = r.Changed || forgot
	return r, err
}

func revertRoleDeny(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	name, _, err := deny.GetStepRole(ctx, acct, s)
	switch {
	case actions.IsCode(err, "NoSuchEntity"):
		return readingGone("the role " + name), nil
	case errors.Is(err, actions.ErrRecreated):
		return actions.Reading{Found: "another role of that name: it was deleted and created again"}, nil
	case err != nil:
		return actions.Reading{}, err
	}
	policy := s.HoldName()
	live, err := deny.GetRolePolicy(ctx, acct, name, policy)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case deny.EqualContent(live, e.Prior):
		return actions.Reading{Holds: true}, nil
	case !deny.EqualContent(live, e.Wrote):
		return actions.Reading{Found: isolateText(deniedInstance(acct, s), policy, live) + ", which is not what Killswitch wrote"}, nil
	case e.Prior == nil:
		_, err = acct.IAM().DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &policy})
		if actions.IsCode(err, "NoSuchEntity") {
			err = nil
		}
	default:
		_, err = acct.IAM().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: &policy, PolicyDocument: e.Prior})
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, err
}
