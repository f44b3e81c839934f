// Package role has the actions that contain an IAM role: revoke_sessions, of one
// role or of all roles of an account, detach_policies and delete_role.
package role

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/scp"
	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

// inlineQuota is the aggregate size of a role's inline policies, not counting white space.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const inlineQuota = 10240

// revokePolicy is the name of this installation's inline policy that revokes sessions. What was written
// under another one has it in its hold.
func revokePolicy(acct *actions.Account) string {
	return acct.Org.Installation.Name(actions.RevokePolicy)
}

// RevokeSessions denies everything to the sessions of a role that were issued before a
// cutoff shortly after now. Newer sessions are not denied.
type RevokeSessions struct{}

// Spec implements [actions.Action].
func (RevokeSessions) Spec() actions.Spec {
	return actions.Spec{
		Name:       actions.RevokeSessions,
		Title:      "Revoke sessions",
		Summary:    "deny everything to all sessions that a role, or every role of an account, has handed out until now",
		Usage:      `revoke_sessions arn:aws:iam::222222222222:role/app-role reason="keys on a paste site"`,
		Target:     actions.RolesTarget,
		Options:    []string{"via", "confirm"},
		Values:     map[string][]string{"via": {"scp"}},
		Synonyms:   []string{"revoke", "revoke_role", "kill_sessions", "kick"},
		Check:      checkVia,
		Reversible: true,
		Stronger:   actions.DenyPrincipal,
		NotStopped: []string{
			"Long-term keys of IAM users have no issue time and are not touched.",
			"Sessions that were chained into other roles, also of other accounts, live on in those roles.",
			"Whoever can assume a role may do so again: new sessions are not denied.",
		},
		Undo:            "removes the deny and the tag; sessions issued before the cutoff then work again until they expire",
		Delay:           actions.IAMDelay,
		InOrganizations: scp.ViaSCP,
		Permits:         revokePermits,
	}
}

// checkVia allows via= only for all roles of an account, and confirm= only for one.
func checkVia(c *actions.Call, m *actions.ParseErrors) {
	confirmed(c, m)
	if c.Options["via"] != "" && c.Target != "" && !actions.WholeAccount(*c) {
		m.Suggest("via", "is only for a whole account", "leave it out, or name ACCOUNT/"+actions.AllRoles, "")
	}
}

func revokePermits(p actions.Phase, s actions.Scope) []actions.Statement {
	if scp.ViaSCP(s.Call) {
		return scp.RevocationPermits(p, s)
	}
	var ss []actions.Statement
	if s.Any() || !actions.WholeAccount(s.Call) {
		read, write := []string{"iam:GetRole", "iam:GetRolePolicy"}, []string(nil)
		switch p {
		case actions.PhasePlan:
			read = append(read, "iam:ListRolePolicies", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole")
		case actions.PhaseRun:
			write = []string{"iam:TagRole", "iam:PutRolePolicy"}
		case actions.PhaseUndo:
			write = []string{"iam:TagRole", "iam:UntagRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy"}
		case actions.PhaseReport:
			return nil
		}
		ss = append(onRole(p, s, read), actions.Statement{Actions: write, Resources: s.Changed("iam", "role/")})
	}
	if p != actions.PhaseUndo && (s.Any() || actions.WholeAccount(s.Call)) {
		ss = append(ss, vouch.Permits(s, exemptRoles(s))...)
	}
	if s.Any() || actions.WholeAccount(s.Call) {
		list := actions.Statement{Actions: []string{"iam:GetAccountAuthorizationDetails"}, Resources: []string{"*"}} // it takes no resource
		every := []string{s.ARN("iam", "role/*")}
		switch p {
		case actions.PhasePlan:
			ss = append(ss, list)
		case actions.PhaseRun:
			ss = append(ss, list, actions.Statement{Actions: []string{"iam:PutRolePolicy"}, Resources: every})
		case actions.PhaseUndo:
			ss = append(ss, list, actions.Statement{Actions: []string{"iam:PutRolePolicy", "iam:DeleteRolePolicy"}, Resources: every})
		case actions.PhaseReport:
			return nil
		}
	}
	return ss
}

// Plan implements [actions.Action].
func (RevokeSessions) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	switch {
	case scp.ViaSCP(c):
		return scp.PlanRevocation(ctx, acct, c, RevokeSessions{}.Spec().NotStopped)
	case actions.WholeAccount(c):
		return planAll(ctx, acct, c)
	}
	role, err := findRole(ctx, acct, c)
	if err != nil {
		return actions.Plan{}, err
	}
	arn, id := aws.ToString(role.Arn), aws.ToString(role.RoleId)
	p := actions.Plan{
		Identity:   actions.Identity{ARN: arn, ID: id, Created: aws.ToTime(role.CreateDate)},
		Reversible: true,
		Undo:       RevokeSessions{}.Spec().Undo,
		Residual:   RevokeSessions{}.Spec().NotStopped,
	}
	if p.Guarded, err = vouch.Guard(acct, c, role); err != nil {
		return actions.Plan{}, err
	}
	policy := revokePolicy(acct)
	prior, err := deny.GetRolePolicy(ctx, acct, actions.LastPart(c.Target), policy)
	if err != nil {
		return actions.Plan{}, err
	}
	if prior != nil {
		if grants := deny.Grants(*prior); grants != "" {
			p.Warnings = append(p.Warnings, "The policy "+policy+" that stands there allows this, and undo would put it back: "+grants)
		}
		p.Undo = "puts back the " + policy + " policy that stands there now; sessions that it allows then work again until they expire"
	}
	p.Steps = []actions.Step{denySessionsStep(acct, role, prior), tagStep(acct, role)}
	if acct.Look != actions.LookAll {
		return p, nil
	}
	deny.WarnElsewhere(ctx, acct, deny.TamperValue(role.Tags), &p)
	p.Warnings = append(p.Warnings, guardrailWarning(role)...)
	if err := surveyRole(ctx, acct, actions.LastPart(c.Target), role, prior, &p); err != nil {
		cause, _ := actions.Explain(err) // the survey only informs: the plan goes on
		p.Warnings = append(p.Warnings, "The blast radius could not be read in full ("+cause+"): there may be more that this hits.")
	}
	for _, broken := range brokenWorkloads(role) {
		p.Facts = append(p.Facts, actions.Fact{Label: "Breaks", Text: broken})
	}
	return p, nil
}

// denySessionsStep returns the step that denies everything to a role's sessions until now.
func denySessionsStep(acct *actions.Account, role *types.Role, prior *string) actions.Step {
	arn, id, policy := aws.ToString(role.Arn), aws.ToString(role.RoleId), revokePolicy(acct)
	return actions.Step{ID: "deny", Title: "Deny all sessions issued until now", Resource: arn, ResourceID: id, Hold: actions.HoldKey(acct, id, "inline", policy), Prior: prior, Goal: "sessions", Deny: true,
		Current: inlineText(policy, prior), After: "inline policy " + policy + ": Deny * for sessions issued before now + 30 s, and aws login"}
}

// surveyRole adds the blast radius to the plan.
func surveyRole(ctx context.Context, acct *actions.Account, name string, role *types.Role, prior *string, p *actions.Plan) error {
	p.Facts = append(p.Facts, actions.Fact{Label: "Last used", Text: roleUse(role)})

	r := roleState{Name: name}
	err := readPolicies(ctx, acct, &r)
	if len(r.Attached) > 0 {
		p.Facts = append(p.Facts, actions.Fact{Label: "Managed policies", Text: strings.Join(actions.LastParts(r.Attached), ", ")})
	}
	if err != nil {
		return err
	}

	profiles, err := profilesOf(ctx, acct, name)
	if err != nil {
		return err
	}
	if len(profiles) > 0 {
		var names []string
		for _, profile := range profiles {
			names = append(names, profile.Name)
		}
		p.Facts = append(p.Facts, actions.Fact{Label: "Instance profiles", Text: strings.Join(names, ", ")})
	}

	size := inlineSize(deny.RevokeDocument(acct.Org.Installation, time.Unix(0, 0)))
	for policy, doc := range r.Inline {
		if policy != revokePolicy(acct) {
			size += inlineSize(doc)
		}
	}
	if size > inlineQuota {
		p.Warnings = append(p.Warnings, fmt.Sprintf("The role's inline policies fill their quota (%d of %d characters with ours): the deny will probably be refused. detach_policies denies to the whole role, where no quota is in the way, and undo puts its policies back.", size, inlineQuota))
	}
	if prior != nil {
		if r, ok := deny.ReadRevocation(*prior); ok {
			p.Facts = append(p.Facts, actions.Fact{Label: "Revoked before", Text: "sessions issued before " + r.Cutoff.Format("2006-01-02 15:04:05 UTC")})
		} else {
			p.Warnings = append(p.Warnings, "There is a policy named "+revokePolicy(acct)+" that does something else. It is replaced, and undo puts it back: "+deny.Compact(*prior))
		}
	}
	return nil
}

// Apply implements [actions.Action].
func (RevokeSessions) Apply(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	switch {
	case vouch.Is(s):
		return actions.Effect{}, nil
	case scp.BySCP(s):
		return scp.Revocation(acct.Org, s.HoldName(), run).Apply(ctx, acct, s, run)
	case s.Many:
		return applyOneOfAll(ctx, acct, s, run)
	}
	name, role, err := deny.GetStepRole(ctx, acct, s)
	if err != nil {
		return actions.Effect{}, err
	}
	if s.ID == "tag" {
		return deny.TaggedRole(acct, name).Apply(ctx, acct, deny.TamperValue(role.Tags), s, run)
	}
	live, err := deny.GetRolePolicy(ctx, acct, name, s.HoldName())
	if err != nil {
		return actions.Effect{}, err
	}
	cutoff, done := deny.NextCutoff(revocationOf(s.Installation(), live), run)
	if done {
		return actions.Effect{Prior: s.Prior, Wrote: live}, nil
	}
	doc := deny.RevokeDocument(s.Installation(), cutoff)
	_, err = acct.IAM().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String(s.HoldName()), PolicyDocument: &doc})
	if actions.IsCode(err, "LimitExceeded") {
		err = actions.WithHint(err, "the role's inline policies fill their quota, and a deny with a date has no other place: ask for detach_policies, which denies to the whole role; undo puts its policies back")
	}
	return actions.Effect{Prior: s.Prior, Wrote: &doc, Changed: true}, err
}

// revocationOf returns what an installation's deny says; zero if there is none.
func revocationOf(by actions.Installation, live *string) deny.Revocation {
	if live == nil {
		return deny.Revocation{}
	}
	if r, _ := deny.ReadRevocation(*live); r.Ours && r.By == by {
		return r
	}
	return deny.Revocation{}
}

// Verify implements [actions.Action].
func (RevokeSessions) Verify(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	switch {
	case vouch.Is(s):
		return vouch.Verify(ctx, acct, s)
	case scp.BySCP(s):
		return scp.Revocation(acct.Org, s.HoldName(), actions.Run{}).Verify(ctx, acct, s, e)
	case s.Many:
		return verifyOneOfAll(ctx, acct, s, e)
	}
	name, role, err := deny.GetStepRole(ctx, acct, s)
	if err != nil {
		return actions.Reading{}, err
	}
	if s.ID == "tag" {
		return deny.VerifyTag(ctx, acct, deny.TamperValue(role.Tags), e), nil
	}
	live, err := deny.GetRolePolicy(ctx, acct, name, s.HoldName())
	if err != nil {
		return actions.Reading{}, err
	}
	return actions.Reading{Holds: revokes(s.Installation(), live, e), Found: inlineText(s.HoldName(), live)}, nil
}

// ours reports whether a document is an installation's deny with any cutoff.
func ours(by actions.Installation, document string) bool { return revocationOf(by, &document).Ours }

// revokes reports whether an installation's deny is there, and denies all that a step wrote.
func revokes(by actions.Installation, live *string, e actions.Effect) bool {
	r := revocationOf(by, live)
	return r.Ours && e.Wrote != nil && r.Covers(revocationOf(by, e.Wrote))
}

// Revert implements [actions.Action].
func (RevokeSessions) Revert(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	switch {
	case vouch.Is(s):
		return actions.Reading{Holds: true}, nil
	case scp.BySCP(s):
		return scp.Revocation(acct.Org, s.HoldName(), actions.Run{}).Revert(ctx, acct, s, e)
	case s.Many:
		return revertOneOfAll(ctx, acct, s, e)
	}
	name, role, err := deny.GetStepRole(ctx, acct, s)
	switch {
	case actions.IsCode(err, "NoSuchEntity"):
		return roleGone, nil
	case errors.Is(err, actions.ErrRecreated):
		return roleRecreated, nil
	case err != nil:
		return actions.Reading{}, err
	case s.ID == "tag":
		return deny.TaggedRole(acct, name).Revert(ctx, acct, deny.TamperValue(role.Tags), e)
	}
	live, err := deny.GetRolePolicy(ctx, acct, name, s.HoldName())
	if err != nil {
		return actions.Reading{}, err
	}
	return restoreInline(ctx, acct, name, live, s, e)
}

// What Revert finds where the role of a step is gone.
var (
	roleGone      = actions.Reading{Holds: true, Found: "the role no longer exists"}
	roleRecreated = actions.Reading{Found: "another role of that name: it was deleted and created again"}
)

// restoreInline puts back the prior content of a role's deny, unless live is not ours.
func restoreInline(ctx context.Context, acct *actions.Account, name string, live *string, s actions.Step, e actions.Effect) (actions.Reading, error) {
	var err error
	policy := s.HoldName()
	switch {
	case deny.EqualContent(live, e.Prior):
		return actions.Reading{Holds: true}, nil
	case live == nil || !ours(s.Installation(), *live):
		return actions.Reading{Found: inlineText(policy, live) + ", which is not what Killswitch wrote"}, nil
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

func inlineText(policy string, doc *string) string {
	if doc == nil {
		return "no inline policy " + policy
	}
	if r, ok := deny.ReadRevocation(*doc); ok {
		text := "inline policy " + policy + ": Deny * for sessions issued before " + r.Cutoff.UTC().Format("2006-01-02 15:04:05 UTC")
		if r.Login {
			text += ", and aws login"
		}
		return text
	}
	return "another inline policy named " + policy + ": " + deny.Compact(*doc)
}
