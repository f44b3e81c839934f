package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// userSteps takes, reads back and takes back the steps of all actions on an IAM
// user, so that two requests that make the same change share it.
type userSteps struct{}

func (userSteps) Apply(ctx context.Context, acct *Account, s Step, run Run) (Effect, error) {
	name, user, err := sameUser(ctx, acct, s)
	if isCode(err, "NoSuchEntity") {
		return Effect{Prior: s.Prior}, nameless(ctx, acct, s)
	}
	if err != nil {
		return Effect{}, err
	}
	switch {
	case s.ID == "tag":
		return taggedUser(acct, name).apply(ctx, tamperValue(user.Tags), s, run)
	case s.ID == "deny":
		return quarantineFor(acct, s).apply(ctx, acct, name, s)
	case s.ID == stepPassword:
		return deletePassword(ctx, acct, name, s)
	case strings.HasPrefix(s.ID, stepDelete):
		return deleteKeyOf(ctx, acct, name, s)
	}
	return deactivate(ctx, acct, name, s)
}

// nameless is what a step comes to when no user has the name. That is no proof
// that the user is gone: IAM users can be renamed, and keep their ID, keys and
// policies. Of an access key AWS tells whose it is: one that nobody has is done with.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateUser.html
func nameless(ctx context.Context, acct *Account, s Step) error {
	hint := "look for the user ID " + s.ResourceID + " under another name (aws iam list-users) and contain it by that name"
	if onKey(s) {
		_, id := kindOf(s)
		used, err := keyUser(ctx, acct, id)
		if err != nil || used == nil {
			return err
		}
		hint = "AWS says that the access key " + id + " is of the user " + clip(aws.ToString(used.UserName)) + ": ask for that user or key again"
	}
	return Hinted(errors.New(namelessText(s)), hint)
}

func namelessText(s Step) string {
	_, _, _, name, _ := SplitUserARN(s.Resource)
	return "there is no user " + name + " any more: it was deleted, or renamed and keeps all it had under another name; its ID is " + s.ResourceID
}

// onKey reports whether a step is about an access key.
func onKey(s Step) bool {
	return strings.HasPrefix(s.ID, stepKey) || strings.HasPrefix(s.ID, stepDelete)
}

func (userSteps) Verify(ctx context.Context, acct *Account, s Step, e Effect) (Reading, error) {
	name, user, err := sameUser(ctx, acct, s)
	if isCode(err, "NoSuchEntity") {
		err = nameless(ctx, acct, s)
		return Reading{Holds: err == nil}, err
	}
	if err != nil {
		return Reading{}, err
	}
	switch {
	case s.ID == "tag":
		return verifyTag(tamperValue(user.Tags), e), nil
	case s.ID == "deny":
		return quarantineFor(acct, s).verify(ctx, acct, name)
	case s.ID == stepPassword:
		has, err := hasPassword(ctx, acct, name)
		return Reading{Holds: err == nil && !has, Found: passwordText(has)}, err
	case strings.HasPrefix(s.ID, stepDelete):
		return keyDeleted(ctx, acct, name, s)
	}
	return deactivated(ctx, acct, name, s)
}

func (userSteps) Revert(ctx context.Context, acct *Account, s Step, e Effect) (Reading, error) {
	if s.Stays != "" && !s.Credential {
		return Reading{Found: "that " + s.Stays}, nil
	}
	name, user, err := sameUser(ctx, acct, s)
	switch {
	case isCode(err, "NoSuchEntity"):
		return Reading{Found: "that " + namelessText(s)}, nil
	case errors.Is(err, ErrRecreated): // what was taken from the old user is not for the new one
		return Reading{Found: "another user of that name: it was deleted and created again, or renamed"}, nil
	case err != nil:
		return Reading{}, err
	case s.ID == "tag":
		return taggedUser(acct, name).revert(ctx, tamperValue(user.Tags), e)
	case s.ID == "deny":
		return quarantineFor(acct, s).revert(ctx, acct, name, e)
	}
	return reactivate(ctx, acct, name, s, e)
}

// findUser reads the user and checks that it is the one that was typed.
func findUser(ctx context.Context, acct *Account, c Call) (*types.User, error) {
	name := c.TargetName()
	out, err := acct.IAM.GetUser(ctx, &iam.GetUserInput{UserName: &name})
	if isCode(err, "NoSuchEntity") {
		return nil, &Refusal{fmt.Sprintf("there is no IAM user %s in account %s", name, acct.ID), "check the name (it is case-sensitive) and the account"}
	}
	if err != nil {
		return nil, err
	}
	if _, _, path, _, _ := SplitUserARN(c.Target); path != "/" && aws.ToString(out.User.Arn) != c.Target {
		return nil, &Refusal{fmt.Sprintf("there is no IAM user %s; the user %s in account %s is %s", c.Target, name, acct.ID, aws.ToString(out.User.Arn)), "ask again with that ARN"}
	}
	return out.User, nil
}

// sameUser reads the user that a step is about.
func sameUser(ctx context.Context, acct *Account, s Step) (name string, user *types.User, err error) {
	_, _, _, name, _ = SplitUserARN(s.Resource)
	out, err := acct.IAM.GetUser(ctx, &iam.GetUserInput{UserName: &name})
	switch {
	case err != nil:
		return name, nil, err
	case aws.ToString(out.User.UserId) != s.ResourceID:
		return name, nil, ErrRecreated
	}
	return name, out.User, nil
}

// userTagStep marks the user as contained.
func userTagStep(acct *Account, user *types.User) Step {
	s := userStep(acct, user, "tag", "tag", tamperTag)
	s.Title, s.Prior, s.Current, s.After = "Tag the user as contained", tamperValue(user.Tags), tagText(tamperValue(user.Tags)), "tag "+tamperTag+" = this request"
	return s
}

// groupsOf are the names of a user's groups, every page.
func groupsOf(ctx context.Context, acct *Account, user string) ([]string, error) {
	var names []string
	for pages := iam.NewListGroupsForUserPaginator(acct.IAM, &iam.ListGroupsForUserInput{UserName: &user}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range page.Groups {
			names = append(names, aws.ToString(g.GroupName))
		}
	}
	slices.Sort(names)
	return names, nil
}

// adminGroup is the group that exempts its members, as it is spelled in the
// account, if the user is in it; else "". IAM names are unique regardless of case.
func adminGroup(o Org, groups []string) string {
	i := slices.IndexFunc(groups, func(g string) bool { return o.AdminGroup != "" && strings.EqualFold(g, o.AdminGroup) })
	if i < 0 {
		return ""
	}
	return groups[i]
}
