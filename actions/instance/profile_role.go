package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// denyAll is an AWS-managed policy, which nobody in the account can change.
// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSDenyAll.html
const denyAll = "AWSDenyAll"

func denyAllARN(acct *actions.Account) string {
	return "arn:" + acct.Partition + ":iam::aws:policy/" + denyAll
}

// ec2Service is EC2 as a principal.
// https://docs.amazonaws.cn/en_us/aws/latest/userguide/iam.html
func ec2Service(partition string) string {
	if partition == "aws-cn" {
		return "ec2.amazonaws.com.cn"
	}
	return "ec2.amazonaws.com"
}

// isolationProfile finds or creates the instance profile whose role is denied
// everything, and returns its ARN. An existing one is used only if its content is
// right: others may have created it first.
func isolationProfile(ctx context.Context, acct *actions.Account) (string, error) {
	out, err := acct.IAM().GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String(isolationName)})
	there := err == nil
	if err != nil && !actions.IsCode(err, "NoSuchEntity") {
		return "", err
	}
	if there && len(out.InstanceProfile.Roles) > 0 {
		role := &out.InstanceProfile.Roles[0]
		if aws.ToString(role.RoleName) != isolationName {
			return "", notOurs("the instance profile holds the role " + aws.ToString(role.RoleName))
		}
		return aws.ToString(out.InstanceProfile.Arn), fillIsolationRole(ctx, acct, role)
	}
	role, err := isolationRole(ctx, acct)
	if err != nil {
		return "", err
	}
	if err := fillIsolationRole(ctx, acct, role); err != nil {
		return "", err
	}
	var arn string
	if there {
		arn = aws.ToString(out.InstanceProfile.Arn)
	} else {
		made, err := acct.IAM().CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String(isolationName)})
		if actions.IsCode(err, "EntityAlreadyExists") { // it exists, and is not visible yet: read again
			return "", actions.RetryLater(err)
		}
		if err != nil {
			return "", err
		}
		arn = aws.ToString(made.InstanceProfile.Arn)
	}
	_, err = acct.IAM().AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String(isolationName), RoleName: aws.String(isolationName)})
	if actions.IsCode(err, "LimitExceeded", "EntityAlreadyExists", "NoSuchEntity") { // it has a role that is not visible yet, or IAM lags behind
		return "", actions.RetryLater(err)
	}
	return arn, err
}

// isolationRole finds or creates the role, which may have no policy yet.
func isolationRole(ctx context.Context, acct *actions.Account) (*iamtypes.Role, error) {
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, ec2Service(acct.Partition))
	made, err := acct.IAM().CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(isolationName), AssumeRolePolicyDocument: &trust,
		Description: aws.String("Killswitch: the role of isolated instances, which may do nothing")})
	if err == nil {
		_, err = acct.IAM().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String(isolationName), PolicyArn: aws.String(denyAllARN(acct))})
		return made.Role, err
	}
	if !actions.IsCode(err, "EntityAlreadyExists") {
		return nil, err
	}
	out, err := acct.IAM().GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(isolationName)})
	if actions.IsCode(err, "NoSuchEntity") {
		return nil, actions.RetryLater(err)
	}
	if err != nil {
		return nil, err
	}
	return out.Role, nil
}

// fillIsolationRole attaches the deny to an unfinished role and refuses a role with
// other content.
func fillIsolationRole(ctx context.Context, acct *actions.Account, role *iamtypes.Role) error {
	denied, wrong, err := readIsolationRole(ctx, acct, role)
	switch {
	case actions.IsCode(err, "NoSuchEntity"): // new, and not visible yet
		return actions.RetryLater(err)
	case err != nil:
		return err
	case wrong != "":
		return notOurs(wrong)
	case denied:
		return nil
	}
	_, err = acct.IAM().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String(isolationName), PolicyArn: aws.String(denyAllARN(acct))})
	return err
}

func notOurs(wrong string) error {
	return actions.WithHint(errors.New(isolationName+" in this account is not what it should be: "+wrong),
		"it is not used; delete the instance profile and the role of that name by hand (somebody may have made them to keep a way in), then retry")
}

// checkIsolationProfile returns what is wrong with the isolation profile, in words.
func checkIsolationProfile(ctx context.Context, acct *actions.Account) (string, error) {
	role, err := profileRole(ctx, acct, isolationName)
	switch {
	case err != nil:
		return "", err
	case role == nil:
		return "", nil // it has no credentials
	case aws.ToString(role.RoleName) != isolationName:
		return "the instance profile " + isolationName + " holds the role " + aws.ToString(role.RoleName), nil
	}
	denied, wrong, err := readIsolationRole(ctx, acct, role)
	if err == nil && wrong == "" && !denied {
		wrong = "the role has no " + denyAll
	}
	return wrong, err
}

// readIsolationRole returns whether the role has the deny, and its wrong policies or
// trust in words.
func readIsolationRole(ctx context.Context, acct *actions.Account, role *iamtypes.Role) (denied bool, wrong string, err error) {
	trust, err := url.PathUnescape(aws.ToString(role.AssumeRolePolicyDocument))
	if err != nil {
		return false, "", fmt.Errorf("trust policy of the role %s: %w", isolationName, err)
	}
	if !trustsOnly(trust, ec2Service(acct.Partition)) {
		return false, "the role trusts others than EC2: " + deny.Compact(trust), nil
	}
	attached, err := deny.AttachedToRole(ctx, acct, isolationName)
	if err != nil {
		return false, "", err
	}
	for _, arn := range attached {
		if arn == denyAllARN(acct) {
			denied = true
		} else {
			wrong = "the role has the policy " + arn
		}
	}
	inline, err := acct.IAM().ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: aws.String(isolationName)})
	if err != nil {
		return false, "", err
	}
	if len(inline.PolicyNames) > 0 {
		wrong = "the role has the inline policy " + strings.Join(inline.PolicyNames, ", ")
	}
	return denied, actions.Clip(wrong), nil
}

// trustsOnly reports whether a trust policy trusts one AWS service and nobody else.
func trustsOnly(document, service string) bool {
	var d struct {
		Statement json.RawMessage
	}
	type statement struct {
		Effect    string
		Principal json.RawMessage
		Action    json.RawMessage
	}
	if json.Unmarshal([]byte(document), &d) != nil {
		return false
	}
	var ss []statement
	if json.Unmarshal(d.Statement, &ss) != nil {
		var one statement
		if json.Unmarshal(d.Statement, &one) != nil {
			return false
		}
		ss = []statement{one}
	}
	return len(ss) > 0 && !slices.ContainsFunc(ss, func(s statement) bool {
		p := string(s.Principal)
		only := deny.EqualJSON(p, fmt.Sprintf(`{"Service":%q}`, service)) || deny.EqualJSON(p, fmt.Sprintf(`{"Service":[%q]}`, service))
		return s.Effect == "Allow" && (!only || strings.Count(p, `"`) != 4)
	})
}
