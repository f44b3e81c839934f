package role_test

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions/actiontest"
)

// What the tests of the actions on a whole role share.

// roleEnvironment is the contract's view of a fixture about a whole role.
func roleEnvironment(w *fixture) actiontest.Environment {
	s := actiontest.EnvironmentOf(w.Fixture)
	before := w.Victim()
	s.Tamper = func() { // as it was, and a new policy of the name of ours
		client, ctx, name := w.IAM(), w.T.Context(), aws.String("victim")
		for _, arn := range before.Attached {
			w.Attach(arn)
		}
		for policy, doc := range before.Inline {
			w.PutNamed(policy, doc)
		}
		if _, was := before.Inline[actiontest.DenyAllName]; !was {
			_, err := client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String(actiontest.DenyAllName)})
			actiontest.Must(w.T, err)
		}
		if value, was := before.Tags[actiontest.Tag]; was {
			_, err := client.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: []types.Tag{{Key: aws.String(actiontest.Tag), Value: &value}}})
			actiontest.Must(w.T, err)
		} else {
			w.Untag()
		}
	}
	s.Replace = func() { w.Recreate() }
	calls := s.Calls
	s.Calls = func() []string {
		var took []string
		for _, op := range calls() {
			if took = append(took, op); op == "iam:AddRoleToInstanceProfile" {
				took = append(took, "iam:PassRole") // a permission that no call is named after
			}
		}
		return took
	}
	return s
}
