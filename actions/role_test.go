package actions_test

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions/actiontest"
)

// What the tests of the actions on a whole role share.

// roleScene is the contract's view of a world about a whole role.
func roleScene(w *world) actiontest.Scene {
	s := scene(w)
	before := w.victim()
	s.Tamper = func() { // as it was, and a new policy of the name of ours
		client, ctx, name := w.admin(), w.t.Context(), aws.String("victim")
		for _, arn := range before.Attached {
			w.attach(arn)
		}
		for policy, doc := range before.Inline {
			w.putNamed(policy, doc)
		}
		if _, was := before.Inline[denyAllName]; !was {
			_, err := client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String(denyAllName)})
			must(w.t, err)
		}
		if value, was := before.Tags[tag]; was {
			_, err := client.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: []types.Tag{{Key: aws.String(tag), Value: &value}}})
			must(w.t, err)
		} else {
			w.untag()
		}
	}
	s.Replace = func() { w.recreate() }
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
