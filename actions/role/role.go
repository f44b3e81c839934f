package role

import (
	"context"
	"fmt"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// findRole reads the role and checks that its ARN is the typed one.
func findRole(ctx context.Context, acct *actions.Account, c actions.Call) (*types.Role, error) {
	name := actions.LastPart(c.Target)
	role, err := deny.GetRole(ctx, acct, name)
	if actions.IsCode(err, "NoSuchEntity") {
		return nil, acct.MissingRole(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	if no := actions.OtherPath(c, aws.ToString(role.Arn)); no != nil {
		return nil, no
	}
	return role, nil
}

// confirmed checks confirm=, which a role with a protected name may need.
func confirmed(c *actions.Call, m *actions.ParseErrors) {
	if typed := c.Options["confirm"]; typed != "" && c.Target != "" && (actions.WholeAccount(*c) || typed != actions.LastPart(c.Target)) {
		m.Add("confirm", fmt.Sprintf("%s is not the role's name", actions.Clip(typed)), "leave it out, or say the name of the one role")
	}
}

// onRole returns the permissions to read the role and, when it is planned, to look for
// another name if there is none.
func onRole(p actions.Phase, s actions.Scope, read []string) []actions.Statement {
	ss := []actions.Statement{{Actions: read, Resources: []string{s.TargetOnAnyPath("role")}}}
	if p == actions.PhasePlan {
		ss = append(ss, actions.ListPermit("iam:ListRoles"))
	}
	return ss
}

// tagStep returns the step that tags the role as contained. All actions on a role share it.
func tagStep(acct *actions.Account, role *types.Role) actions.Step {
	arn, id, tag := aws.ToString(role.Arn), aws.ToString(role.RoleId), deny.TamperValue(role.Tags)
	return actions.Step{ID: "tag", Title: "Tag the role as contained", Resource: arn, ResourceID: id, Hold: actions.HoldKey(acct, id, "tag", deny.TamperTag), Prior: tag,
		Current: deny.TagText(tag), After: "tag " + deny.TamperTag + " = this request"}
}

// guardrailWarning warns of a guardrail that probably protects the role, also from us.
func guardrailWarning(role *types.Role) []string {
	g := actions.Guardrail(aws.ToString(role.RoleName))
	if g == "" {
		return nil
	}
	return []string{"Control Tower's guardrail " + g + " protects roles of this name: where it is on, AWS refuses this to everybody in the account. Then freeze the account with apply_scp."}
}

// inlineSize counts as IAM does: characters other than white space.
func inlineSize(document string) int {
	n := 0
	for _, r := range document {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

// roleUse returns the time of a role's last use, in words.
func roleUse(role *types.Role) string {
	u := role.RoleLastUsed
	if u == nil || u.LastUsedDate == nil {
		return "never, as far as IAM tells (it looks back 400 days)"
	}
	used := u.LastUsedDate.UTC().Format("2006-01-02 15:04 UTC")
	if u.Region != nil {
		used += " in " + *u.Region
	}
	return used
}
