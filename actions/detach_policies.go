package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

const (
	// denyAllPolicy is our inline policy that denies everything.
	denyAllPolicy = "KillswitchDenyAll"
	// ownPolicies begins the names of all our inline policies.
	ownPolicies = "Killswitch"
	// denyAllDocument has no condition: it holds for sessions of any age.
	denyAllDocument = `{"Version":"2012-10-17","Statement":[{"Sid":"KillswitchDenyAll","Effect":"Deny","Action":["*"],"Resource":["*"]}]}`
)

// detachPolicies takes all that a role may do away from it, with a deny of
// everything first: half finished it contains already, and it stays against
// what other resources' policies grant to the role.
type detachPolicies struct{}

func (detachPolicies) Spec() Spec {
	return Spec{
		Name:       DetachPolicies,
		Title:      "Strip the role",
		Summary:    "deny everything to a role and take all its policies away",
		Usage:      `detach_policies arn:aws:iam::222222222222:role/app-role reason="role used from an unknown network"`,
		Target:     roleTarget,
		Options:    []string{"account", "role"},
		Reversible: true,
		Permits: func(p Phase, s Scope) []Statement {
			read, write := []string{"iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies"}, []string(nil)
			switch p {
			case PhasePlan:
				read = append(read, "iam:ListRolePolicies", "iam:ListInstanceProfilesForRole")
			case PhaseRun:
				write = []string{"iam:TagRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:DetachRolePolicy"}
			case PhaseUndo:
				write = []string{"iam:TagRole", "iam:UntagRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:AttachRolePolicy"}
			case PhaseReport:
				return nil
			}
			return []Statement{{read, []string{s.Named("role")}}, {write, s.Changed("iam", "role")}}
		},
	}
}

func (detachPolicies) Plan(ctx context.Context, acct *Account, c Call) (Plan, error) {
	role, err := findRole(ctx, acct, c)
	if err != nil {
		return Plan{}, err
	}
	r, err := roleOf(role)
	if err != nil {
		return Plan{}, err
	}
	if err := readPolicies(ctx, acct, &r); err != nil {
		return Plan{}, err
	}
	p := Plan{
		Identity:   planRole(role),
		Reversible: true,
		Undo:       "puts the inline policies back byte for byte, attaches the managed ones again, then removes the tag and the deny",
		Residual: []string{
			"Sessions live on, powerless through this role, and anyone who may assume it still can.",
			"Policies of buckets, keys, queues and other resources may name the role: against these the deny stays.",
			"Sessions that were chained from this role into other roles live on.",
		},
	}
	var prior *string
	if doc, ok := r.Inline[denyAllPolicy]; ok {
		prior = &doc
	}
	p.Steps = append(p.Steps, tagStep(acct, role),
		Step{ID: "deny", Title: "Deny everything to the role", Resource: r.ARN, ResourceID: r.ID, Hold: holdKey(acct, r.ID, "inline", denyAllPolicy), Prior: prior, Deny: true,
			Current: denyAllText(prior), After: "inline policy " + denyAllPolicy + ": Deny *"})
	p.Steps = append(p.Steps, slices.DeleteFunc(stripSteps(acct, r), leaves)...)
	if acct.Brief {
		return p, nil
	}
	if r.Profiles, err = profilesOf(ctx, acct, r.Name); err != nil {
		return Plan{}, err // no snapshot, no change
	}
	p.Snapshot, p.Facts = r.json(), r.facts(role)
	if kept := keptText(r); kept != "" {
		p.Facts = append(p.Facts, Fact{"Left as they are, since they only deny", kept})
	}
	if prior != nil && *prior != denyAllDocument {
		p.Warnings = append(p.Warnings, "There is a policy named "+denyAllPolicy+" that says something else. It is replaced, and undo puts it back: "+compact(*prior))
	}
	if len(r.Profiles) > 0 {
		p.Warnings = append(p.Warnings, "Every instance with this role loses its permissions until this is undone.")
	}
	if total := r.inlineTotal(denyAllPolicy, denyAllDocument); total > inlineQuota {
		p.Warnings = append(p.Warnings, fmt.Sprintf("The role's inline policies fill their quota (%d of %d characters with our deny): they are deleted first, and the deny is put after them.", total, inlineQuota))
	}
	return p, nil
}

// leaves reports whether a policy stays where it is: it only denies, or is what
// our own deny takes the place of.
func leaves(s Step) bool {
	if arn, ok := strings.CutPrefix(s.ID, stepDetach); ok {
		return quarantines(arn)
	}
	name := strings.TrimPrefix(s.ID, stepInline)
	return name == denyAllPolicy || denies(name, *s.Prior)
}

// denies reports whether an inline policy is a deny that stays: one that
// revoked sessions, or another one of ours. A name alone protects nothing.
func denies(name, document string) bool {
	return (name == revokePolicy || strings.HasPrefix(name, ownPolicies)) && Grants(document) == ""
}

func keptText(r roleState) string {
	var kept []string
	for _, arn := range r.Attached {
		if quarantines(arn) {
			kept = append(kept, lastPart(arn))
		}
	}
	for _, name := range r.inlineNames() {
		if name != denyAllPolicy && denies(name, r.Inline[name]) {
			kept = append(kept, name)
		}
	}
	return strings.Join(kept, ", ")
}

func denyAllText(doc *string) string {
	switch {
	case doc == nil:
		return "no inline policy " + denyAllPolicy
	case *doc == denyAllDocument:
		return "inline policy " + denyAllPolicy + ": Deny *"
	}
	return "another inline policy named " + denyAllPolicy + ": " + compact(*doc)
}

func (detachPolicies) Apply(ctx context.Context, acct *Account, s Step, run Run) (Effect, error) {
	name, role, err := sameRole(ctx, acct, s)
	if err != nil {
		return Effect{}, err
	}
	switch s.ID {
	case "tag":
		return taggedRole(acct, name).apply(ctx, tamperValue(role.Tags), s, run)
	case "deny":
		return applyDenyAll(ctx, acct, name, s)
	}
	changed, err := strip(ctx, acct, name, s)
	return Effect{Prior: s.Prior, Changed: changed}, unmodifiable(err)
}

func applyDenyAll(ctx context.Context, acct *Account, role string, s Step) (Effect, error) {
	e := Effect{Prior: s.Prior, Wrote: aws.String(denyAllDocument)}
	live, err := getRolePolicy(ctx, acct, role, denyAllPolicy)
	if err != nil || same(live, e.Wrote) {
		return e, err
	}
	r, err := putInline(ctx, acct, role, denyAllPolicy, denyAllDocument)
	e.Changed = r.Changed
	return e, unmodifiable(err)
}

func (detachPolicies) Verify(ctx context.Context, acct *Account, s Step, e Effect) (Reading, error) {
	name, role, err := sameRole(ctx, acct, s)
	if err != nil {
		return Reading{}, err
	}
	switch s.ID {
	case "tag":
		return verifyTag(tamperValue(role.Tags), e), nil
	case "deny":
		live, err := getRolePolicy(ctx, acct, name, denyAllPolicy)
		return Reading{Holds: live != nil && *live == denyAllDocument, Found: denyAllText(live)}, err
	}
	return stripped(ctx, acct, name, s)
}

func (detachPolicies) Revert(ctx context.Context, acct *Account, s Step, e Effect) (Reading, error) {
	name, role, err := sameRole(ctx, acct, s)
	switch {
	case isCode(err, "NoSuchEntity"):
		return Reading{Holds: e.Prior == nil, Found: "the role no longer exists"}, nil // what was there can't be put back
	case errors.Is(err, ErrRecreated): // what was taken from the old role is not for the new one
		return Reading{Found: "another role of that name: it was deleted and created again"}, nil
	case err != nil:
		return Reading{}, err
	case s.ID == "tag":
		return taggedRole(acct, name).revert(ctx, tamperValue(role.Tags), e)
	case s.ID != "deny":
		r, err := unstrip(ctx, acct, name, s, e)
		return r, unmodifiable(err)
	}
	live, err := getRolePolicy(ctx, acct, name, denyAllPolicy)
	switch {
	case err != nil:
		return Reading{}, err
	case same(live, e.Prior):
		return Reading{Holds: true}, nil
	case live == nil || *live != denyAllDocument:
		return Reading{Found: denyAllText(live) + ", which is not what Killswitch wrote"}, nil
	case e.Prior != nil:
		return putInline(ctx, acct, name, denyAllPolicy, *e.Prior)
	}
	_, err = acct.IAM.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: aws.String(denyAllPolicy)})
	if isCode(err, "NoSuchEntity") {
		err = nil
	}
	return Reading{Holds: err == nil, Changed: err == nil}, err
}

// unmodifiable explains roles that AWS keeps to itself and whose path did not
// tell.
func unmodifiable(err error) error {
	if isCode(err, "UnmodifiableEntity") {
		return Hinted(err, "only the AWS service that made the role can change it: stop that service's use of it, or freeze the account with apply_scp")
	}
	return err
}
