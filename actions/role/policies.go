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

// Prefixes of the IDs of steps that remove a role's policies. The rest of the ID is
// the policy's ARN or name.
const (
	stepDetach = "detach "
	stepInline = "inline "
)

// attachedMarker is the prior content of a step that detaches a policy.
const attachedMarker = "attached"

// policySteps returns the steps that remove all policies.
func policySteps(acct *actions.Account, r roleState) []actions.Step {
	var steps []actions.Step
	for _, arn := range r.Attached {
		steps = append(steps, actions.Step{ID: stepDetach + arn, Title: "Detach the managed policy " + actions.LastPart(arn), Resource: r.ARN, ResourceID: r.ID,
			Hold: actions.HoldKey(acct, r.ID, "detached", arn), Prior: aws.String(attachedMarker), Removes: true, Current: arn + " is attached", After: "detached"})
	}
	for _, name := range r.inlineNames() {
		doc := r.Inline[name]
		steps = append(steps, actions.Step{ID: stepInline + name, Title: "Delete the inline policy " + name, Resource: r.ARN, ResourceID: r.ID,
			Hold: actions.HoldKey(acct, r.ID, "inline deleted", name), Prior: &doc, Removes: true, Current: deny.Compact(doc), After: "no inline policy " + name})
	}
	return steps
}

// isAWSQuarantine reports whether a managed policy is an AWS-managed deny: the quarantine
// that AWS itself attaches to compromised principals must stay.
// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSCompromisedKeyQuarantineV3.html
func isAWSQuarantine(arn string) bool {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[2] != "iam" || parts[4] != "aws" { // a customer's own policy may have such a name, or such a path
		return false
	}
	return parts[5] == "policy/AWSDenyAll" || strings.HasPrefix(parts[5], "policy/AWSCompromisedKeyQuarantine")
}

// removePolicy removes one policy. A policy that is gone already is no error.
func removePolicy(ctx context.Context, acct *actions.Account, role string, s actions.Step) (changed bool, err error) {
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

// verifyRemoved reads back whether the policy is gone.
func verifyRemoved(ctx context.Context, acct *actions.Account, role string, s actions.Step) (actions.Reading, error) {
	live, err := livePolicy(ctx, acct, role, s)
	if err != nil || live == nil {
		return actions.Reading{Holds: err == nil}, err
	}
	return actions.Reading{Found: livePolicyText(s, live)}, nil
}

// livePolicy returns the current content of a step's policy: a marker for an attached
// policy, the document of an inline one, nil for none.
func livePolicy(ctx context.Context, acct *actions.Account, role string, s actions.Step) (*string, error) {
	arn, ok := strings.CutPrefix(s.ID, stepDetach)
	if !ok {
		return deny.GetRolePolicy(ctx, acct, role, strings.TrimPrefix(s.ID, stepInline))
	}
	arns, err := deny.AttachedToRole(ctx, acct, role)
	if err == nil && slices.Contains(arns, arn) {
		return aws.String(attachedMarker), nil
	}
	return nil, err
}

func livePolicyText(s actions.Step, live *string) string {
	if arn, ok := strings.CutPrefix(s.ID, stepDetach); ok {
		return "the managed policy " + arn + " attached"
	}
	return "an inline policy " + strings.TrimPrefix(s.ID, stepInline) + ": " + deny.Compact(*live)
}

// restorePolicy restores a policy unless there is another one.
func restorePolicy(ctx context.Context, acct *actions.Account, role string, s actions.Step, e actions.Effect) (actions.Reading, error) {
	live, err := livePolicy(ctx, acct, role, s)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case deny.EqualContent(live, e.Prior):
		return actions.Reading{Holds: true}, nil
	case live != nil:
		return actions.Reading{Found: livePolicyText(s, live) + ", which others wrote"}, nil
	case e.Prior == nil:
		return actions.Reading{Found: "no record of what stood there"}, nil
	}
	if arn, ok := strings.CutPrefix(s.ID, stepDetach); ok {
		return attach(ctx, acct, role, arn)
	}
	return putInline(ctx, acct, role, strings.TrimPrefix(s.ID, stepInline), *e.Prior)
}

// attach attaches a policy again. A deleted policy can't be attached: the reading
// reports that, and the other steps go on.
func attach(ctx context.Context, acct *actions.Account, role, arn string) (actions.Reading, error) {
	_, err := acct.IAM().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: &arn})
	if isMissing(err, arn) {
		return actions.Reading{Found: "that the managed policy " + arn + " no longer exists: it can't be attached again"}, nil
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, retryIfNotPropagated(err)
}

// isMissing reports whether err is NoSuchEntity for name: a call has two resources, and
// either may be missing.
func isMissing(err error, name string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && actions.IsCode(err, "NoSuchEntity") && strings.Contains(strings.ToLower(api.ErrorMessage()), strings.ToLower(name))
}

// retryIfNotPropagated marks NoSuchEntity as retryable for writes to an existing role:
// IAM does not see it yet, since it was just created.
func retryIfNotPropagated(err error) error {
	if actions.IsCode(err, "NoSuchEntity") {
		return actions.RetryLater(err)
	}
	return err
}

// putInline restores an inline policy. If our own deny fills the quota it is retried
// after the deny is removed.
func putInline(ctx context.Context, acct *actions.Account, role, policy, document string) (actions.Reading, error) {
	_, err := acct.IAM().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &role, PolicyName: &policy, PolicyDocument: &document})
	return actions.Reading{Holds: err == nil, Changed: err == nil}, retryIfNotPropagated(retryWhenQuotaFree(err))
}

// retryWhenQuotaFree marks a full quota of inline policies as retryable: other steps may free it.
func retryWhenQuotaFree(err error) error {
	if actions.IsCode(err, "LimitExceeded") {
		return actions.RetryLater(actions.WithHint(err, "the role's inline policies fill their quota, also after what Killswitch deletes: delete one by hand, then retry"))
	}
	return err
}

func identityOf(role *types.Role) actions.Identity {
	return actions.Identity{ARN: aws.ToString(role.Arn), ID: aws.ToString(role.RoleId), Created: aws.ToTime(role.CreateDate)}
}
