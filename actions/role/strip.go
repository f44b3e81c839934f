package role

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// The steps that take a role's policies away, by the beginning of their IDs.
// The rest of the ID is the policy's ARN or name.
const (
	stepDetach = "detach "
	stepInline = "inline "
)

// isAttached is the prior content of a step that detaches a policy.
const isAttached = "attached"

// stripSteps are the steps that take all policies away.
func stripSteps(acct *actions.Account, r roleState) []actions.Step {
	var steps []actions.Step
	for _, arn := range r.Attached {
		steps = append(steps, actions.Step{ID: stepDetach + arn, Title: "Detach the managed policy " + actions.LastPart(arn), Resource: r.ARN, ResourceID: r.ID,
			Hold: actions.HoldKey(acct, r.ID, "detached", arn), Prior: aws.String(isAttached), Current: arn + " is attached", After: "detached"})
	}
	for _, name := range r.inlineNames() {
		doc := r.Inline[name]
		steps = append(steps, actions.Step{ID: stepInline + name, Title: "Delete the inline policy " + name, Resource: r.ARN, ResourceID: r.ID,
			Hold: actions.HoldKey(acct, r.ID, "inline deleted", name), Prior: &doc, Current: deny.Compact(doc), After: "no inline policy " + name})
	}
	return steps
}

// quarantines reports whether a managed policy is one of AWS's own that only deny:
// the quarantine that AWS itself attaches to what is compromised must stay.
// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSCompromisedKeyQuarantineV3.html
func quarantines(arn string) bool {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[2] != "iam" || parts[4] != "aws" { // a customer's own policy may have such a name, or such a path
		return false
	}
	return parts[5] == "policy/AWSDenyAll" || strings.HasPrefix(parts[5], "policy/AWSCompromisedKeyQuarantine")
}

// strip takes one policy away. That it is gone already is success.
func strip(ctx context.Context, acct *actions.Account, role string, s actions.Step) (changed bool, err error) {
	if arn, ok := strings.CutPrefix(s.ID, stepDetach); ok {
		_, err = acct.IAM().DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: &role, PolicyArn: &arn})
	} else {
		_, err = acct.IAM().DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: aws.String(strings.TrimPrefix(s.ID, stepInline))})
	}
	if actions.IsCode(err, "NoSuchEntity") {
		return false, nil
	}
	return err == nil, err
}

// stripped reads back whether the policy is gone.
func stripped(ctx context.Context, acct *actions.Account, role string, s actions.Step) (actions.Reading, error) {
	live, err := standing(ctx, acct, role, s)
	if err != nil || live == nil {
		return actions.Reading{Holds: err == nil}, err
	}
	return actions.Reading{Found: standingText(s, live)}, nil
}

// standing is what stands in a step's place: a marker for an attached policy,
// the document of an inline one, nil for nothing.
func standing(ctx context.Context, acct *actions.Account, role string, s actions.Step) (*string, error) {
	arn, ok := strings.CutPrefix(s.ID, stepDetach)
	if !ok {
		return deny.GetRolePolicy(ctx, acct, role, strings.TrimPrefix(s.ID, stepInline))
	}
	arns, err := attachedTo(ctx, acct, role)
	if err == nil && slices.Contains(arns, arn) {
		return aws.String(isAttached), nil
	}
	return nil, err
}

func standingText(s actions.Step, live *string) string {
	if arn, ok := strings.CutPrefix(s.ID, stepDetach); ok {
		return "the managed policy " + arn + " attached"
	}
	return "an inline policy " + strings.TrimPrefix(s.ID, stepInline) + ": " + deny.Compact(*live)
}

// unstrip puts a policy back where there is none.
func unstrip(ctx context.Context, acct *actions.Account, role string, s actions.Step, e actions.Effect) (actions.Reading, error) {
	live, err := standing(ctx, acct, role, s)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case deny.EqualContent(live, e.Prior):
		return actions.Reading{Holds: true}, nil
	case live != nil:
		return actions.Reading{Found: standingText(s, live) + ", which others wrote"}, nil
	case e.Prior == nil:
		return actions.Reading{Found: "no record of what stood there"}, nil
	}
	if arn, ok := strings.CutPrefix(s.ID, stepDetach); ok {
		return attach(ctx, acct, role, arn)
	}
	return putInline(ctx, acct, role, strings.TrimPrefix(s.ID, stepInline), *e.Prior)
}

// attach attaches a policy again. One that is gone can't be: the role then has
// less than before, which is said and holds nothing else up.
func attach(ctx context.Context, acct *actions.Account, role, arn string) (actions.Reading, error) {
	_, err := acct.IAM().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: &arn})
	if missing(err, arn) {
		return actions.Reading{Found: "that the managed policy " + arn + " no longer exists: it can't be attached again"}, nil
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, unspread(err)
}

// missing reports whether IAM says that there is no such thing, naming it: a call
// about two things may miss either.
func missing(err error, name string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && actions.IsCode(err, "NoSuchEntity") && strings.Contains(strings.ToLower(api.ErrorMessage()), strings.ToLower(name))
}

// unspread is for writing to a role that is there: that IAM can't find it means
// that it was just created.
func unspread(err error) error {
	if actions.IsCode(err, "NoSuchEntity") {
		return actions.RetryLater(err)
	}
	return err
}

// putInline puts an inline policy back. Our own deny may fill the quota that it
// needs: then it is for later.
func putInline(ctx context.Context, acct *actions.Account, role, policy, document string) (actions.Reading, error) {
	_, err := acct.IAM().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &role, PolicyName: &policy, PolicyDocument: &document})
	return actions.Reading{Holds: err == nil, Changed: err == nil}, unspread(whenRoom(err))
}

// whenRoom makes a full quota of inline policies one that other steps may free.
func whenRoom(err error) error {
	if actions.IsCode(err, "LimitExceeded") {
		return actions.RetryLater(actions.WithHint(err, "the role's inline policies fill their quota, also after what Killswitch deletes: delete one by hand, then retry"))
	}
	return err
}

func planRole(role *types.Role) actions.Identity {
	return actions.Identity{ARN: aws.ToString(role.Arn), ID: aws.ToString(role.RoleId), Created: aws.ToTime(role.CreateDate)}
}
