package role

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

// listedInline returns the document of an inline policy from the role list.
func listedInline(r types.RoleDetail, policy string) (*string, error) {
	for _, p := range r.RolePolicyList {
		if aws.ToString(p.PolicyName) == policy {
			doc, err := url.PathUnescape(aws.ToString(p.PolicyDocument))
			if err != nil {
				return nil, fmt.Errorf("policy %s of role %s: %w", policy, aws.ToString(r.RoleName), err)
			}
			return &doc, nil
		}
	}
	return nil, nil
}

// planAll plans to revoke the sessions of every role that may be changed, the most
// recently used first. The others are listed with the reason.
func planAll(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	roles, err := acct.AllRoles(ctx)
	if err != nil {
		return actions.Plan{}, err
	}
	p := actions.Plan{
		Identity:   actions.Identity{ARN: actions.RootARN(acct.Partition, acct.ID), ID: acct.ID},
		Reversible: true,
		Undo:       "removes the deny from each role, or puts back the " + revokePolicy(acct) + " policy that stood there; sessions issued before the cutoff then work again until they expire",
		Residual: append(RevokeSessions{}.Spec().NotStopped,
			"Roles that are made after it has run are not covered, nor watched: they have no sessions from before.",
			"The roles are not tagged: the tamper SCP, where it is deployed, does not guard these denies."),
	}
	listed := make([]types.RoleDetail, 0, len(roles))
	for _, r := range roles {
		listed = append(listed, r)
	}
	slices.SortFunc(listed, func(a, b types.RoleDetail) int {
		return cmp.Or(lastUsed(b).Compare(lastUsed(a)), strings.Compare(aws.ToString(a.RoleName), aws.ToString(b.RoleName)))
	})
	var steps, skipped []actions.Step
	var foreign []string
	exempt := ourRoles(acct)
	full, guarded, skips := 0, 0, map[string]int{}
	for _, r := range listed {
		s, err := revokeStep(acct, r)
		if err != nil {
			return actions.Plan{}, err
		}
		if s.Skip != "" {
			skips[s.Skip]++
			skipped = append(skipped, s)
			if s.Skip == actions.ProtectedByName || s.Skip == forwards {
				exempt = append(exempt, s.Resource)
			}
			continue
		}
		steps = append(steps, s)
		if acct.Org.Protection(s.Resource) != "" {
			foreign = append(foreign, s.ResourceName())
		}
		if inlineSum(acct, r) > inlineQuota {
			full++
		}
		if actions.Guardrail(aws.ToString(r.RoleName)) != "" {
			guarded++
		}
	}
	if len(steps) == 0 {
		return actions.Plan{}, &actions.Refusal{Reason: "account " + acct.ID + " has no role whose sessions could be revoked", Hint: "see apply_scp to freeze the account"}
	}
	p.Steps = slices.Concat(steps, skipped, vouch.Steps(acct, acct.ID, exempt, "Killswitch changes no trust policy: correct it by hand, or deploy the role again"))
	if acct.Look != actions.LookAll {
		return p, nil
	}
	for _, arn := range ourRoles(acct) {
		if r, ok := roles[actions.LastPart(arn)]; ok {
			p.Warnings = append(p.Warnings, vouch.Warning(acct.Org, arn, r.AssumeRolePolicyDocument)...)
		}
	}
	if len(foreign) > 0 {
		p.Warnings = append(p.Warnings, "Revoked like the others, since their trust policies let in others than expected, whatever their names: "+strings.Join(foreign, ", ")+".")
	}
	p.Facts = append(p.Facts, actions.Fact{Label: "Roles", Text: fmt.Sprintf("%d in the account, %d are revoked, %d are left alone", len(listed), len(steps), len(skipped))})
	for _, why := range slices.Sorted(maps.Keys(skips)) {
		p.Facts = append(p.Facts, actions.Fact{Label: "Left alone", Text: fmt.Sprintf("%d × %s", skips[why], why)})
	}
	p.Warnings = append(p.Warnings, "Everything in the account that runs on a role loses its permissions until it gets new credentials; aws login with a role does not work until undo.",
		fmt.Sprintf("Role by role takes a while: about %d s at 20 writes a second. One policy does it at once for the whole account: revoke_sessions %s via=scp", len(steps)/20+1, c.Target))
	if guarded > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d have names of roles that Control Tower's guardrail %s protects. They are tried; those that it protects stay as they are, and are listed.", guarded, actions.Guardrail("stacksets-exec-")))
	}
	if full > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d of them have inline policies that fill their quota: the deny will probably be refused there. via=scp reaches them too.", full))
	}
	return p, nil
}

// forwards is why a role is left alone that passes on the account's events, which tell of tampering.
const forwards = "forwards the account's events: EventBridge alone may assume it"

// powerless is why the role of isolated instances is left alone.
const powerless = "isolated instances have it: its permissions boundary AWSDenyAll denies everything"

// ourRoles are the member roles of the account.
func ourRoles(acct *actions.Account) (arns []string) {
	for _, name := range []string{acct.Org.ResponderRole, acct.Org.RestorerRole} {
		arns = append(arns, actions.RoleARN(acct.Partition, acct.ID, "/", name))
	}
	return arns
}

// exemptRoles are the roles of a scope's account that ALL may leave alone by their names.
func exemptRoles(s actions.Scope) (arns []string) {
	o := s.Org
	names := o.ProtectedPrincipals
	for _, name := range []string{o.ResponderRole, o.RestorerRole, o.ForwarderRole} {
		if name != "" {
			names = append(slices.Clip(names), actions.RoleARN(o.Partition, "*", "/", name))
		}
	}
	return slices.DeleteFunc(vouch.Exempt(s.Account, names), func(arn string) bool {
		_, _, _, _, role := actions.SplitRoleARN(arn)
		return !role
	})
}

// revokeStep returns the step of one of many roles. A name proves nothing: the forwarder and what is
// protected are left alone only if nobody unexpected may enter them.
func revokeStep(acct *actions.Account, r types.RoleDetail) (actions.Step, error) {
	name, arn, id := aws.ToString(r.RoleName), aws.ToString(r.Arn), aws.ToString(r.RoleId)
	s := actions.Step{ID: "revoke " + name, Title: "Revoke the sessions of " + name, Resource: arn, ResourceID: id, Hold: actions.HoldKey(acct, id, "inline", revokePolicy(acct)), Many: true,
		Skip: acct.Org.ProtectedBecause(arn, aws.ToString(r.Path), name)}
	if s.Skip == "" && acct.Org.ForwarderRole != "" && strings.EqualFold(name, acct.Org.ForwarderRole) {
		s.Skip = forwards
	}
	if s.Skip == "" && arn == actions.RoleARN(acct.Partition, acct.ID, "/", deny.IsolationName) && r.PermissionsBoundary != nil &&
		aws.ToString(r.PermissionsBoundary.PermissionsBoundaryArn) == deny.BoundaryARN(acct.Partition) {
		s.Skip = powerless
	}
	if (s.Skip == actions.ProtectedByName || s.Skip == forwards) && len(vouch.OfRole(acct.Org, arn, r.AssumeRolePolicyDocument)) > 0 {
		s.Skip = ""
	}
	if s.Skip != "" {
		s.Current = "left alone, " + s.Skip
		return s, nil
	}
	prior, err := listedInline(r, s.HoldName())
	s.Prior, s.Goal, s.Deny = prior, s.ID, true
	s.Current, s.After = inlineText(s.HoldName(), prior), "inline policy "+s.HoldName()+": Deny * for sessions issued before now + 30 s, and aws login"
	return s, err
}

func lastUsed(r types.RoleDetail) time.Time {
	if r.RoleLastUsed == nil {
		return time.Time{}
	}
	return aws.ToTime(r.RoleLastUsed.LastUsedDate)
}

// inlineSum is the size of a role's inline policies including our deny.
func inlineSum(acct *actions.Account, r types.RoleDetail) int {
	size := inlineSize(deny.RevokeDocument(acct.Org.Installation, time.Unix(0, 0)))
	for _, p := range r.RolePolicyList {
		if doc, err := url.PathUnescape(aws.ToString(p.PolicyDocument)); err == nil && aws.ToString(p.PolicyName) != revokePolicy(acct) {
			size += inlineSize(doc)
		}
	}
	return size
}

// errGone is returned by listedDeny if the role no longer exists.
var errGone = errors.New("the role no longer exists")

// listedDeny returns the name of one of many roles and the content of the step's
// policy, from the role list. It returns errGone or [actions.ErrRecreated] if the
// role of the step is not there.
func listedDeny(ctx context.Context, acct *actions.Account, s actions.Step) (name string, live *string, err error) {
	_, _, _, name, _ = actions.SplitRoleARN(s.Resource)
	roles, err := acct.AllRoles(ctx)
	if err != nil {
		return name, nil, err
	}
	r, ok := roles[name]
	switch {
	case !ok:
		return name, nil, errGone
	case aws.ToString(r.RoleId) != s.ResourceID:
		return name, nil, actions.ErrRecreated
	}
	live, err = listedInline(r, s.HoldName())
	return name, live, err
}

// applyOneOfAll writes the deny of one of many roles with one call: the prior content
// is in the role list, read at the start of the run.
func applyOneOfAll(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior}
	name, live, err := listedDeny(ctx, acct, s)
	switch {
	case errors.Is(err, errGone): // nothing is left to contain
		return e, nil
	case err != nil:
		return e, err
	}
	cutoff, done := deny.NextCutoff(revocationOf(s.Installation(), live), run)
	if done {
		e.Wrote = live
		return e, nil
	}
	doc := deny.RevokeDocument(s.Installation(), cutoff)
	_, err = acct.IAM().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String(s.HoldName()), PolicyDocument: &doc})
	if actions.IsCode(err, "NoSuchEntity") {
		return e, nil
	}
	e.Wrote, e.Changed = &doc, true
	return e, err
}

// verifyOneOfAll verifies one of many roles in the role list.
func verifyOneOfAll(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	_, live, err := listedDeny(ctx, acct, s)
	switch {
	case errors.Is(err, errGone):
		return roleGone, nil
	case errors.Is(err, actions.ErrRecreated):
		return actions.Reading{Holds: true, Found: "another role of that name, created since: it has no sessions from before"}, nil
	case err != nil:
		return actions.Reading{}, err
	}
	return actions.Reading{Holds: revokes(s.Installation(), live, e), Found: inlineText(s.HoldName(), live)}, nil
}

// revertOneOfAll puts back the prior content of one of many roles with one write: the
// present content is in the role list.
func revertOneOfAll(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	name, live, err := listedDeny(ctx, acct, s)
	var read actions.Reading
	if err == nil {
		read, err = restoreInline(ctx, acct, name, live, s, e)
	}
	switch {
	case errors.Is(err, errGone), actions.IsCode(err, "NoSuchEntity"):
		return roleGone, nil
	case errors.Is(err, actions.ErrRecreated):
		return roleRecreated, nil
	}
	return read, err
}
