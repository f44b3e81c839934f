// Package user has the actions that contain an IAM user and its keys:
// quarantine_user, deactivate_key and delete_key.
package user

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// userSteps applies, verifies and reverts the steps of all actions on an IAM user, so
// that requests with the same change share it.
type userSteps struct{}

// Apply implements [actions.Action].
func (userSteps) Apply(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	user, err := deny.StepUser(ctx, acct, s)
	name := s.ResourceName()
	if actions.IsCode(err, "NoSuchEntity") {
		return actions.Effect{Prior: s.Prior}, missingUser(ctx, acct, s)
	}
	if err != nil {
		return actions.Effect{}, err
	}
	switch {
	case s.ID == "tag":
		return deny.TaggedUser(acct, name).Apply(ctx, acct, deny.TamperValue(user.Tags), s, run)
	case s.ID == "deny":
		return deny.QuarantineOf(acct, s).Apply(ctx, acct, user, s)
	case s.ID == stepPassword:
		return deletePassword(ctx, acct, name, s)
	case strings.HasPrefix(s.ID, stepDelete):
		return deleteKeyOf(ctx, acct, name, s)
	case strings.HasPrefix(s.ID, stepMFA):
		return deactivateMFA(ctx, acct, name, s)
	}
	return deactivate(ctx, acct, name, s)
}

// missingUser returns the result of a step whose user name doesn't exist. The user may
// be renamed: it keeps its ID, keys and policies. So it is an error, with the ID or the
// key's owner as hint; nil for an access key that has no owner any more.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateUser.html
func missingUser(ctx context.Context, acct *actions.Account, s actions.Step) error {
	hint := "look for the user ID " + s.ResourceID + " under another name (aws iam list-users) and contain it by that name"
	if onKey(s) {
		_, id := kindOf(s)
		used, err := lookUpKey(ctx, acct, id)
		if err != nil || used == nil {
			return err
		}
		hint = "AWS says that the access key " + id + " is of the user " + actions.Clip(aws.ToString(used.UserName)) + ": ask for that user or key again"
	}
	return actions.WithHint(errors.New(deny.MissingUser(s)), hint)
}

// onKey reports whether a step changes an access key.
func onKey(s actions.Step) bool {
	return strings.HasPrefix(s.ID, stepKey) || strings.HasPrefix(s.ID, stepDelete)
}

// Verify implements [actions.Action].
func (userSteps) Verify(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	user, err := deny.StepUser(ctx, acct, s)
	name := s.ResourceName()
	if actions.IsCode(err, "NoSuchEntity") {
		err = missingUser(ctx, acct, s)
		return actions.Reading{Holds: err == nil}, err
	}
	if err != nil {
		return actions.Reading{}, err
	}
	switch {
	case s.ID == "tag":
		return deny.VerifyTag(ctx, acct, deny.TamperValue(user.Tags), e), nil
	case s.ID == "deny":
		return deny.QuarantineOf(acct, s).Verify(ctx, acct, user)
	case s.ID == stepPassword:
		has, err := hasPassword(ctx, acct, name)
		return actions.Reading{Holds: err == nil && !has, Found: passwordText(has)}, err
	case strings.HasPrefix(s.ID, stepDelete):
		return keyDeleted(ctx, acct, name, s)
	case strings.HasPrefix(s.ID, stepMFA):
		return mfaDeactivated(ctx, acct, name, s)
	}
	return deactivated(ctx, acct, name, s)
}

// Revert implements [actions.Action].
func (userSteps) Revert(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	if s.NotReverted != "" && !s.Credential {
		return actions.Reading{Found: "that " + s.NotReverted}, nil
	}
	user, err := deny.StepUser(ctx, acct, s)
	name := s.ResourceName()
	if gone, is := deny.UserGone(s, err); is {
		return gone, nil
	}
	switch {
	case err != nil:
		return actions.Reading{}, err
	case s.ID == "tag":
		return deny.TaggedUser(acct, name).Revert(ctx, acct, deny.TamperValue(user.Tags), e)
	case s.ID == "deny":
		return deny.QuarantineOf(acct, s).Revert(ctx, acct, user, e)
	}
	return reactivate(ctx, acct, user, s, e)
}

// userTagStep returns the step that tags the user as contained.
func userTagStep(acct *actions.Account, user *types.User) actions.Step {
	s := deny.UserStep(acct, user, "tag", "tag", deny.TamperTag)
	s.Title, s.Prior, s.Current, s.After = "Tag the user as contained", deny.TamperValue(user.Tags), deny.TagText(deny.TamperValue(user.Tags)), "tag "+deny.TamperTag+" = this request"
	return s
}
