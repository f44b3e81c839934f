package user

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// ownedKey is an access key and its IAM user.
type ownedKey struct {
	credential
	Owner string `json:"user"` // ARN
	user  *types.User
	used  string // when, in words
}

// findKey looks up the owner of the call's access key. It returns nil if no user of the
// account has it: it does not exist, or is the root user's.
func findKey(ctx context.Context, acct *actions.Account, c actions.Call) (*ownedKey, error) {
	id := c.Target
	out, err := lookUpKey(ctx, acct, id)
	if err != nil || out == nil {
		return nil, err
	}
	name := aws.ToString(out.UserName)
	keys, err := accessKeys(ctx, acct, name)
	if err != nil && !actions.IsCode(err, "NoSuchEntity") { // the root user is no user that has keys to list
		return nil, err
	}
	i := slices.IndexFunc(keys, func(k credential) bool { return k.ID == id })
	if i < 0 {
		return nil, nil
	}
	if asked := c.Options["user"]; asked != "" && !strings.EqualFold(asked, name) { // IAM names are unique regardless of case
		return nil, &actions.Refusal{Reason: fmt.Sprintf("the access key %s is of the user %s, not of %s", id, name, asked), Hint: "leave user= out, or correct it"}
	}
	user, err := acct.IAM().GetUser(ctx, &iam.GetUserInput{UserName: &name})
	if err != nil {
		return nil, err
	}
	return &ownedKey{credential: keys[i], Owner: aws.ToString(user.User.Arn), user: user.User, used: useText(out.AccessKeyLastUsed)}, nil
}

// lookUpKey asks IAM for a key's owner; nil if it has none.
func lookUpKey(ctx context.Context, acct *actions.Account, id string) (*iam.GetAccessKeyLastUsedOutput, error) {
	out, err := acct.IAM().GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id})
	switch {
	case actions.IsCode(err, "NoSuchEntity"), actions.IsCode(err, "AccessDenied") && strings.Contains(err.Error(), "on resource: access key "+id):
		// The page of GetAccessKeyLastUsed names no error for a key without owner. In practice
		// AWS denies it and names the key; for a missing permission it names a user.
		return nil, nil
	case actions.IsCode(err, "AccessDenied"):
		return nil, actions.WithHint(err, "AWS may say this also of a key that is not in account "+acct.ID+": check the key and the account; if they are right, check that the member roles are deployed as the installed version wants them")
	case err != nil:
		return nil, err
	case aws.ToString(out.UserName) == "":
		return nil, nil
	}
	return out, nil
}

// keyActivity returns the activity of a call's key.
func keyActivity(ctx context.Context, acct *actions.Account, c actions.Call, now time.Time) (trail.Activity, error) {
	return trail.ActivityOf(ctx, acct, trail.Subject{By: "AccessKeyId", Value: c.Target}, now)
}

func (k *ownedKey) identity() actions.Identity {
	return actions.Identity{ARN: k.Owner, ID: k.ID, Created: k.Created}
}

func (k *ownedKey) json() string {
	b, err := json.Marshal(k)
	if err != nil {
		panic(err) // strings and a time
	}
	return string(b)
}

func (k *ownedKey) facts() []actions.Fact {
	return []actions.Fact{{Label: "User", Text: k.Owner}, {Label: "Access key", Text: strings.ToLower(k.Status) + ", created " + k.Created.UTC().Format("2006-01-02 15:04 UTC")}, {Label: "Last use", Text: k.used}}
}

// planMissingKey returns the plan for a key without owner: a refusal before the run. In
// a run it is an empty plan: a deleted key is contained, and the steps in the ledger
// are read back.
func planMissingKey(acct *actions.Account, c actions.Call, then actions.Plan) (actions.Plan, error) {
	if acct.Look == actions.LookAll {
		return actions.Plan{}, &actions.Refusal{Reason: fmt.Sprintf("no IAM user in account %s has the access key %s: it does not exist, or it is the root user's", acct.ID, c.Target),
			Hint: "check the key; " + actions.RootByHand}
	}
	then.Identity = actions.Identity{ARN: fmt.Sprintf("arn:%s:iam::%s:root", acct.Partition, acct.ID), ID: c.Target}
	return then, nil
}

// checkKeyOwner checks user=, which is not part of a key's target.
func checkKeyOwner(c *actions.Call, m *actions.ParseErrors) {
	if user, given := c.Options["user"]; given && !actions.PrincipalName.MatchString(user) {
		m.Add("user", fmt.Sprintf("%q is not a user name", actions.Clip(user)), "leave it out: AWS knows whose the key is")
	}
}

// keyOwnerPermit allows to look up a key's owner, on "*", since the owner is unknown.
// Steps need it for a key whose user name is gone.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
func keyOwnerPermit() actions.Statement {
	return actions.Statement{Actions: []string{"iam:GetAccessKeyLastUsed"}, Resources: []string{"*"}}
}

// keyPlanPermits returns the permissions to look up a key's owner.
func keyPlanPermits(s actions.Scope) []actions.Statement {
	return []actions.Statement{
		keyOwnerPermit(),
		{Actions: []string{"iam:GetUser", "iam:ListAccessKeys"}, Resources: []string{s.ARN("iam", "user/*")}},
	}
}

// ownerARNs returns the users that a key's call changes, with any path, for reads.
func ownerARNs(s actions.Scope) []string {
	if s.Any() {
		return s.Changed("iam", "user/")
	}
	var arns []string
	for _, arn := range s.Changed("iam", "user/") {
		arns = append(arns, s.ARN("iam", "user/*"+strings.TrimPrefix(arn[strings.LastIndex(arn, "/")+1:], "*")))
	}
	return arns
}

// KeyIsActive reports whether a user of the account has an access key, and whether
// it can be used.
func KeyIsActive(ctx context.Context, acct *actions.Account, id string) (exists, active bool, err error) {
	used, err := lookUpKey(ctx, acct, id)
	if err != nil || used == nil {
		return false, false, err
	}
	keys, err := accessKeys(ctx, acct, aws.ToString(used.UserName))
	if err != nil && !actions.IsCode(err, "NoSuchEntity") { // the root user is no user that has keys to list
		return false, false, err
	}
	i := slices.IndexFunc(keys, func(k credential) bool { return k.ID == id })
	return i >= 0, i >= 0 && keys[i].active(), nil
}

// KeyIsActivePermits returns the permissions of [KeyIsActive].
func KeyIsActivePermits(s actions.Scope) []actions.Statement {
	return []actions.Statement{keyOwnerPermit(), {Actions: []string{"iam:ListAccessKeys"}, Resources: []string{s.ARN("iam", "user/*")}}}
}
