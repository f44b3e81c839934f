package role

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

// denyAllPolicy is the name of this installation's inline policy that denies everything. What was written
// under another one has it in its hold.
func denyAllPolicy(acct *actions.Account) string {
	return acct.Org.Installation.Name(deny.AllPolicy)
}

// DetachPolicies removes all policies of a role, after a deny of everything: the deny
// contains the role from the first step, and stays against grants in the policies of
// other resources.
type DetachPolicies struct{}

// Spec implements [actions.Action].
func (DetachPolicies) Spec() actions.Spec {
	return actions.Spec{
		Name:       actions.DetachPolicies,
		Title:      "Strip the role",
		Summary:    "deny everything to a role and take all its policies away",
		Synonyms:   []string{"strip", "strip_role", "detach", "detach_policy"},
		Usage:      `detach_policies arn:aws:iam::222222222222:role/app-role reason="role used from an unknown network"`,
		Target:     actions.RoleTarget,
		Options:    []string{"confirm"},
		Check:      confirmed,
		Reversible: true,
		Stronger:   actions.DenyPrincipal,
		NotStopped: []string{
			"Sessions live on, powerless through this role, and anyone who may assume it still can.",
			"Policies of buckets, keys, queues and other resources may name the role: against these the deny stays.",
			"Sessions that were chained into other roles live on in those roles.",
		},
		Undo:  "puts the inline policies back byte for byte, attaches the managed ones again, then removes the tag and the deny",
		Delay: actions.IAMDelay,
		Permits: func(p actions.Phase, s actions.Scope) []actions.Statement {
			read, write := []string{"iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies"}, []string(nil)
			switch p {
			case actions.PhasePlan:
				read = append(read, "iam:ListRolePolicies", "iam:ListInstanceProfilesForRole")
			case actions.PhaseRun:
				// It detaches whatever is attached, so the policy can't be a condition.
				write = []string{"iam:TagRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:DetachRolePolicy"}
			case actions.PhaseUndo:
				// It attaches what was detached: any.
				write = []string{"iam:TagRole", "iam:UntagRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:AttachRolePolicy"}
			case actions.PhaseReport:
				return nil
			}
			on := s.Changed("iam", "role/")
			return append(onRole(p, s, read), append(deny.BoundaryPermits(p, s, "Role", on), actions.Statement{Actions: write, Resources: on})...)
		},
	}
}

// Plan implements [actions.Action].
func (DetachPolicies) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	role, err := findRole(ctx, acct, c)
	if err != nil {
		return actions.Plan{}, err
	}
	guarded, err := vouch.Guard(acct, c, role)
	if err != nil {
		return actions.Plan{}, err
	}
	policy, document := denyAllPolicy(acct), deny.AllDocument(acct.Org.Installation)
	prior, err := deny.GetRolePolicy(ctx, acct, aws.ToString(role.RoleName), policy)
	if err != nil {
		return actions.Plan{}, err
	}
	stands := deny.State{Inline: prior, Boundary: deny.BoundaryOf(role.PermissionsBoundary)}
	p := actions.Plan{
		Identity:   identityOf(role),
		Guarded:    guarded,
		Steps:      []actions.Step{denyAllStep(acct, role, stands), tagStep(acct, role)},
		Replaces:   stands.Replaces(acct),
		Reversible: true,
		Undo:       DetachPolicies{}.Spec().Undo,
		Residual:   DetachPolicies{}.Spec().NotStopped,
		More:       acct.Look == actions.LookFirst,
	}
	if p.More {
		return p, nil
	}
	r, err := newRoleState(role)
	if err != nil {
		return actions.Plan{}, err
	}
	if err := readPolicies(ctx, acct, &r); err != nil {
		p.More = true
		return p, err
	}
	p.Steps = append(p.Steps, slices.DeleteFunc(policySteps(acct, r), func(s actions.Step) bool { return isKept(policy, s) })...)
	if acct.Look != actions.LookAll {
		return p, nil
	}
	if r.Profiles, err = profilesOf(ctx, acct, r.Name); err != nil {
		return actions.Plan{}, err // no snapshot, no change
	}
	p.Snapshot, p.Facts = r.json(), r.facts(role)
	if kept := keptText(policy, r); kept != "" {
		p.Facts = append(p.Facts, actions.Fact{Label: "Left as they are, since they only deny", Text: kept})
	}
	if prior != nil && *prior != document {
		p.Warnings = append(p.Warnings, "There is a policy named "+policy+" that says something else. It is replaced, and undo puts it back: "+deny.Compact(*prior))
	}
	if len(r.Profiles) > 0 {
		p.Warnings = append(p.Warnings, "Every instance with this role loses its permissions until this is undone.")
	}
	if total := r.inlineTotal(policy, document); total > inlineQuota {
		p.Warnings = append(p.Warnings, fmt.Sprintf("The role's inline policies fill their quota (%d of %d characters with our deny): the deny is its permissions boundary, AWSDenyAll.", total, inlineQuota))
	}
	deny.WarnElsewhere(ctx, acct, deny.TamperValue(role.Tags), &p)
	p.Warnings = append(append(p.Warnings, stands.Warnings(acct)...), guardrailWarning(role)...)
	return p, nil
}

// denyAllStep returns the step that denies everything to the role.
func denyAllStep(acct *actions.Account, role *types.Role, stands deny.State) actions.Step {
	id, policy := aws.ToString(role.RoleId), denyAllPolicy(acct)
	return actions.Step{ID: "deny", Title: "Deny everything to the role", Resource: aws.ToString(role.Arn), ResourceID: id, Hold: actions.HoldKey(acct, id, "inline", policy), Prior: stands.Stored(), Goal: "permissions", Deny: true,
		Current: denyAllText(acct, policy, stands), After: "inline policy " + policy + ": Deny *; where it does not fit, permissions boundary AWSDenyAll"}
}

// isKept reports whether a policy stays: it is a deny of ours or of another installation, or our own
// deny of this name replaces it.
func isKept(denyAll string, s actions.Step) bool {
	if arn, ok := strings.CutPrefix(s.ID, stepDetach); ok {
		return isAWSQuarantine(arn)
	}
	name := strings.TrimPrefix(s.ID, stepInline)
	return name == denyAll || deny.Kept(name, *s.Prior)
}

func keptText(denyAll string, r roleState) string {
	var kept []string
	for _, arn := range r.Attached {
		if isAWSQuarantine(arn) {
			kept = append(kept, actions.LastPart(arn))
		}
	}
	for _, name := range r.inlineNames() {
		if name != denyAll && deny.Kept(name, r.Inline[name]) {
			kept = append(kept, name)
		}
	}
	return strings.Join(kept, ", ")
}

// denyAllOf is the document of a policy of ours that denies everything.
func denyAllOf(policy string) string {
	_, by := actions.InstallationOf(policy)
	return deny.AllDocument(by)
}

func denyAllText(acct *actions.Account, policy string, live deny.State) string {
	text := "no inline policy " + policy
	if doc := live.Inline; doc != nil && *doc == denyAllOf(policy) {
		text = "inline policy " + policy + ": Deny *"
	} else if doc != nil {
		text = "another inline policy named " + policy + ": " + deny.Compact(*doc)
	}
	if live.Boundary == deny.BoundaryARN(acct.Partition) {
		text += ", permissions boundary AWSDenyAll"
	}
	return text
}

// Apply implements [actions.Action].
func (DetachPolicies) Apply(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	name, role, err := deny.GetStepRole(ctx, acct, s)
	if err != nil {
		return actions.Effect{}, err
	}
	switch s.ID {
	case "tag":
		return deny.TaggedRole(acct, name).Apply(ctx, acct, deny.TamperValue(role.Tags), s, run)
	case "deny":
		return applyDenyAll(ctx, acct, role, s)
	}
	changed, err := removePolicy(ctx, acct, name, s)
	return actions.Effect{Prior: s.Prior, Changed: changed}, unmodifiable(err)
}

// applyDenyAll puts the inline policy. If AWS refuses that permanently, it sets the permissions
// boundary: what the attacker made can't keep the deny from being written.
func applyDenyAll(ctx context.Context, acct *actions.Account, role *types.Role, s actions.Step) (actions.Effect, error) {
	name, ours := aws.ToString(role.RoleName), deny.BoundaryARN(acct.Partition)
	document := denyAllOf(s.HoldName())
	e := actions.Effect{Prior: s.Prior, Wrote: &document}
	live, err := deny.GetRolePolicy(ctx, acct, name, s.HoldName())
	if err != nil || deny.EqualContent(live, e.Wrote) {
		return e, err
	}
	if deny.BoundaryOf(role.PermissionsBoundary) == ours {
		return actions.Effect{Prior: s.Prior, Wrote: &ours}, nil
	}
	r, err := putInline(ctx, acct, name, s.HoldName(), document)
	if instead, bound, err := deny.OfRole(acct, name).BindInstead(ctx, s, err); bound {
		return instead, err
	}
	e.Changed = r.Changed
	return e, unmodifiable(err)
}

// standing reads what stands in the places of the deny of everything.
func standing(ctx context.Context, acct *actions.Account, role *types.Role, policy string) (deny.State, error) {
	inline, err := deny.GetRolePolicy(ctx, acct, aws.ToString(role.RoleName), policy)
	return deny.State{Inline: inline, Boundary: deny.BoundaryOf(role.PermissionsBoundary)}, err
}

// deniesAll reports whether one of the places has our deny.
func deniesAll(acct *actions.Account, policy string, live deny.State) bool {
	return live.Inline != nil && *live.Inline == denyAllOf(policy) || live.Boundary == deny.BoundaryARN(acct.Partition)
}

// Verify implements [actions.Action].
func (DetachPolicies) Verify(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	name, role, err := deny.GetStepRole(ctx, acct, s)
	if err != nil {
		return actions.Reading{}, err
	}
	switch s.ID {
	case "tag":
		return deny.VerifyTag(ctx, acct, deny.TamperValue(role.Tags), e), nil
	case "deny":
		live, err := standing(ctx, acct, role, s.HoldName())
		return actions.Reading{Holds: err == nil && deniesAll(acct, s.HoldName(), live), Found: denyAllText(acct, s.HoldName(), live)}, err
	}
	return verifyRemoved(ctx, acct, name, s)
}

// Revert implements [actions.Action].
func (DetachPolicies) Revert(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	name, role, err := deny.GetStepRole(ctx, acct, s)
	switch {
	case actions.IsCode(err, "NoSuchEntity"):
		return actions.Reading{Holds: e.Prior == nil, Found: "the role no longer exists"}, nil // the prior policies can't be restored
	case errors.Is(err, actions.ErrRecreated): // the old role's policies are not for the new one
		return actions.Reading{Found: "another role of that name: it was deleted and created again"}, nil
	case err != nil:
		return actions.Reading{}, err
	case s.ID == "tag":
		return deny.TaggedRole(acct, name).Revert(ctx, acct, deny.TamperValue(role.Tags), e)
	case s.ID != "deny":
		r, err := restorePolicy(ctx, acct, name, s, e)
		return r, unmodifiable(err)
	}
	return revertDenyAll(ctx, acct, role, s, e)
}

// revertDenyAll takes our deny out of both places: a worker may have died between them.
func revertDenyAll(ctx context.Context, acct *actions.Account, role *types.Role, s actions.Step, e actions.Effect) (actions.Reading, error) {
	name, policy := aws.ToString(role.RoleName), s.HoldName()
	document := denyAllOf(policy)
	prior, err := deny.ReadState(e.Prior)
	if err != nil {
		return actions.Reading{}, err
	}
	live, err := standing(ctx, acct, role, policy)
	if err != nil {
		return actions.Reading{}, err
	}
	r, err := deny.OfRole(acct, name).Release(ctx, live.Boundary, deny.TamperValue(role.Tags), prior, e)
	if err != nil || !r.Holds {
		return r, err
	}
	wroteInline := e.Wrote != nil && *e.Wrote == document
	switch ours := live.Inline != nil && *live.Inline == document; {
	case deny.EqualContent(live.Inline, prior.Inline), !ours && !wroteInline:
		return r, nil
	case !ours:
		return actions.Reading{Found: denyAllText(acct, policy, live) + ", which is not what Killswitch wrote", Changed: r.Changed}, nil
	case prior.Inline != nil:
		return putInline(ctx, acct, name, policy, *prior.Inline)
	}
	_, err = acct.IAM().DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &policy})
	if actions.IsCode(err, "NoSuchEntity") {
		err = nil
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil || r.Changed}, err
}

// unmodifiable explains the error of roles that AWS reserves and whose path does not
// show it.
func unmodifiable(err error) error {
	if actions.IsCode(err, "UnmodifiableEntity") {
		return actions.WithHint(err, "only the AWS service that made the role can change it: stop that service's use of it, or freeze the account with apply_scp")
	}
	return err
}
