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

const (
	// denyAllPolicy is our inline policy that denies everything.
	denyAllPolicy = "KillswitchDenyAll"
	// denyAllDocument has no condition: it holds for sessions of any age.
	denyAllDocument = `{"Version":"2012-10-17","Statement":[{"Sid":"KillswitchDenyAll","Effect":"Deny","Action":["*"],"Resource":["*"]}]}`
)

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
	prior, err := deny.GetRolePolicy(ctx, acct, aws.ToString(role.RoleName), denyAllPolicy)
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
	p.Steps = append(p.Steps, slices.DeleteFunc(policySteps(acct, r), isKept)...)
	if acct.Look != actions.LookAll {
		return p, nil
	}
	if r.Profiles, err = profilesOf(ctx, acct, r.Name); err != nil {
		return actions.Plan{}, err // no snapshot, no change
	}
	p.Snapshot, p.Facts = r.json(), r.facts(role)
	if kept := keptText(r); kept != "" {
		p.Facts = append(p.Facts, actions.Fact{Label: "Left as they are, since they only deny", Text: kept})
	}
	if prior != nil && *prior != denyAllDocument {
		p.Warnings = append(p.Warnings, "There is a policy named "+denyAllPolicy+" that says something else. It is replaced, and undo puts it back: "+deny.Compact(*prior))
	}
	if len(r.Profiles) > 0 {
		p.Warnings = append(p.Warnings, "Every instance with this role loses its permissions until this is undone.")
	}
	if total := r.inlineTotal(denyAllPolicy, denyAllDocument); total > inlineQuota {
		p.Warnings = append(p.Warnings, fmt.Sprintf("The role's inline policies fill their quota (%d of %d characters with our deny): the deny is its permissions boundary, AWSDenyAll.", total, inlineQuota))
	}
	p.Warnings = append(append(p.Warnings, stands.Warnings(acct)...), guardrailWarning(role)...)
	return p, nil
}

// denyAllStep returns the step that denies everything to the role.
func denyAllStep(acct *actions.Account, role *types.Role, stands deny.State) actions.Step {
	id := aws.ToString(role.RoleId)
	return actions.Step{ID: "deny", Title: "Deny everything to the role", Resource: aws.ToString(role.Arn), ResourceID: id, Hold: actions.HoldKey(acct, id, "inline", denyAllPolicy), Prior: stands.Stored(), Goal: "permissions", Deny: true,
		Current: denyAllText(acct, stands), After: "inline policy " + denyAllPolicy + ": Deny *; where it does not fit, permissions boundary AWSDenyAll"}
}

// isKept reports whether a policy stays: it is a deny of ours, or our own deny replaces it.
func isKept(s actions.Step) bool {
	if arn, ok := strings.CutPrefix(s.ID, stepDetach); ok {
		return isAWSQuarantine(arn)
	}
	name := strings.TrimPrefix(s.ID, stepInline)
	return name == denyAllPolicy || deny.Kept(name, *s.Prior)
}

func keptText(r roleState) string {
	var kept []string
	for _, arn := range r.Attached {
		if isAWSQuarantine(arn) {
			kept = append(kept, actions.LastPart(arn))
		}
	}
	for _, name := range r.inlineNames() {
		if name != denyAllPolicy && deny.Kept(name, r.Inline[name]) {
			kept = append(kept, name)
		}
	}
	return strings.Join(kept, ", ")
}

func denyAllText(acct *actions.Account, live deny.State) string {
	text := "no inline policy " + denyAllPolicy
	if doc := live.Inline; doc != nil && *doc == denyAllDocument {
		text = "inline policy " + denyAllPolicy + ": Deny *"
	} else if doc != nil {
		text = "another inline policy named " + denyAllPolicy + ": " + deny.Compact(*doc)
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
		return deny.TaggedRole(acct, name).Apply(ctx, deny.TamperValue(role.Tags), s, run)
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
	e := actions.Effect{Prior: s.Prior, Wrote: aws.String(denyAllDocument)}
	live, err := deny.GetRolePolicy(ctx, acct, name, denyAllPolicy)
	if err != nil || deny.EqualContent(live, e.Wrote) {
		return e, err
	}
	if deny.BoundaryOf(role.PermissionsBoundary) == ours {
		return actions.Effect{Prior: s.Prior, Wrote: &ours}, nil
	}
	r, err := putInline(ctx, acct, name, denyAllPolicy, denyAllDocument)
	if instead, bound, err := deny.OfRole(acct, name).BindInstead(ctx, s, err); bound {
		return instead, err
	}
	e.Changed = r.Changed
	return e, unmodifiable(err)
}

// standing reads what stands in the places of the deny of everything.
func standing(ctx context.Context, acct *actions.Account, role *types.Role) (deny.State, error) {
	inline, err := deny.GetRolePolicy(ctx, acct, aws.ToString(role.RoleName), denyAllPolicy)
	return deny.State{Inline: inline, Boundary: deny.BoundaryOf(role.PermissionsBoundary)}, err
}

// deniesAll reports whether one of the places has our deny.
func deniesAll(acct *actions.Account, live deny.State) bool {
	return live.Inline != nil && *live.Inline == denyAllDocument || live.Boundary == deny.BoundaryARN(acct.Partition)
}

// Verify implements [actions.Action].
func (DetachPolicies) Verify(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	name, role, err := deny.GetStepRole(ctx, acct, s)
	if err != nil {
		return actions.Reading{}, err
	}
	switch s.ID {
	case "tag":
		return deny.VerifyTag(deny.TamperValue(role.Tags), e), nil
	case "deny":
		live, err := standing(ctx, acct, role)
		return actions.Reading{Holds: err == nil && deniesAll(acct, live), Found: denyAllText(acct, live)}, err
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
		return deny.TaggedRole(acct, name).Revert(ctx, deny.TamperValue(role.Tags), e)
	case s.ID != "deny":
		r, err := restorePolicy(ctx, acct, name, s, e)
		return r, unmodifiable(err)
	}
	return revertDenyAll(ctx, acct, role, e)
}

// revertDenyAll takes our deny out of both places: a worker may have died between them.
func revertDenyAll(ctx context.Context, acct *actions.Account, role *types.Role, e actions.Effect) (actions.Reading, error) {
	name := aws.ToString(role.RoleName)
	prior, err := deny.ReadState(e.Prior)
	if err != nil {
		return actions.Reading{}, err
	}
	live, err := standing(ctx, acct, role)
	if err != nil {
		return actions.Reading{}, err
	}
	r, err := deny.OfRole(acct, name).Release(ctx, live.Boundary, prior, e)
	if err != nil || !r.Holds {
		return r, err
	}
	wroteInline := e.Wrote != nil && *e.Wrote == denyAllDocument
	switch ours := live.Inline != nil && *live.Inline == denyAllDocument; {
	case deny.EqualContent(live.Inline, prior.Inline), !ours && !wroteInline:
		return r, nil
	case !ours:
		return actions.Reading{Found: denyAllText(acct, live) + ", which is not what Killswitch wrote", Changed: r.Changed}, nil
	case prior.Inline != nil:
		return putInline(ctx, acct, name, denyAllPolicy, *prior.Inline)
	}
	_, err = acct.IAM().DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: aws.String(denyAllPolicy)})
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
