package actions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

const (
	// revokePolicy is the name that the IAM console uses.
	revokePolicy = "AWSRevokeOlderSessions"
	// inlineQuota is the aggregate size of a role's inline policies, not counting white space.
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
	inlineQuota = 10240
)

// revokeSessions denies everything to the sessions of a role that were issued
// before a moment shortly after now. New sessions work again.
type revokeSessions struct{}

func (revokeSessions) Spec() Spec {
	return Spec{
		Name:       RevokeSessions,
		Title:      "Revoke sessions",
		Summary:    "deny everything to all sessions that a role, or every role of an account, has handed out until now",
		Usage:      `revoke_sessions arn:aws:iam::222222222222:role/app-role reason="keys on a paste site"`,
		Target:     rolesTarget,
		Options:    []string{"account", "role", "via"},
		Check:      checkVia,
		Reversible: true,
		Managed:    viaSCP,
		Permits:    revokePermits,
	}
}

// checkVia: only a whole account can be revoked by another way than role by role.
func checkVia(c *Call, m *Mistakes) {
	oneOf(c, "via", m, "scp")
	if c.Options["via"] != "" && c.Target != "" && !WholeAccount(*c) {
		m.add("via", "is only for a whole account", "leave it out, or name ACCOUNT/"+all)
	}
}

func revokePermits(p Phase, s Scope) []Statement {
	if viaSCP(s.Call) {
		return scpPermits(p, s)
	}
	var ss []Statement
	if s.Any() || !WholeAccount(s.Call) {
		read, write := []string{"iam:GetRole", "iam:GetRolePolicy"}, []string(nil)
		switch p {
		case PhasePlan:
			read = append(read, "iam:ListRolePolicies", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole")
		case PhaseRun:
			write = []string{"iam:TagRole", "iam:PutRolePolicy"}
		case PhaseUndo:
			write = []string{"iam:TagRole", "iam:UntagRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy"}
		case PhaseReport:
			return nil
		}
		ss = append(ss, Statement{read, []string{s.Named("role")}}, Statement{write, s.Changed("iam", "role")})
	}
	if s.Any() || WholeAccount(s.Call) {
		list := Statement{[]string{"iam:GetAccountAuthorizationDetails"}, []string{"*"}} // it takes no resource
		every := []string{s.ARN("iam", "role/*")}
		switch p {
		case PhasePlan:
			ss = append(ss, list)
		case PhaseRun:
			ss = append(ss, list, Statement{[]string{"iam:PutRolePolicy"}, every})
		case PhaseUndo:
			ss = append(ss, Statement{[]string{"iam:GetRole", "iam:GetRolePolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy"}, every})
		case PhaseReport:
			return nil
		}
	}
	return ss
}

func (revokeSessions) Plan(ctx context.Context, acct *Account, c Call) (Plan, error) {
	switch {
	case viaSCP(c):
		return planSCP(ctx, acct, c)
	case WholeAccount(c):
		return planAll(ctx, acct, c)
	}
	role, err := findRole(ctx, acct, c)
	if err != nil {
		return Plan{}, err
	}
	arn, id := aws.ToString(role.Arn), aws.ToString(role.RoleId)
	p := Plan{
		Identity:   Identity{ARN: arn, ID: id, Created: aws.ToTime(role.CreateDate)},
		Reversible: true,
		Undo:       "removes the deny and the tag; sessions issued before the cutoff then work again until they expire",
		Residual: []string{
			"Long-term keys of IAM users have no issue time and are not touched.",
			"Sessions that were chained from this role into other roles live on.",
			"An EC2 instance gets new credentials only near expiry: its workload is broken until then.",
			"Whoever can assume the role may do so again: new sessions are not denied.",
		},
	}
	prior, err := getInline(ctx, acct, c.TargetName())
	if err != nil {
		return Plan{}, err
	}
	if prior != nil {
		if grants := Grants(*prior); grants != "" {
			p.Warnings = append(p.Warnings, "The policy "+revokePolicy+" that stands there allows this, and undo would put it back: "+grants)
		}
		p.Undo = "puts back the " + revokePolicy + " policy that stands there now; sessions that it allows then work again until they expire"
	}
	p.Steps = []Step{
		tagStep(acct, role),
		revokeDeny(acct, role, prior),
	}
	if acct.Brief {
		return p, nil
	}
	if err := surveyRole(ctx, acct, c.TargetName(), role, prior, &p); err != nil {
		cause, _ := Explain(err) // a containment does not wait for what only informs
		p.Warnings = append(p.Warnings, "The blast radius could not be read in full ("+cause+"): there may be more that this hits.")
	}
	return p, nil
}

// revokeDeny is the step that denies everything to a role's sessions until now.
func revokeDeny(acct *Account, role *types.Role, prior *string) Step {
	arn, id := aws.ToString(role.Arn), aws.ToString(role.RoleId)
	return Step{ID: "deny", Title: "Deny all sessions issued until now", Resource: arn, ResourceID: id, Hold: holdKey(acct, id, "inline", revokePolicy), Prior: prior, Deny: true,
		Current: inlineText(prior), After: "inline policy " + revokePolicy + ": Deny * for sessions issued before now + 30 s"}
}

// surveyRole fills in the blast radius.
func surveyRole(ctx context.Context, acct *Account, name string, role *types.Role, prior *string, p *Plan) error {
	p.Facts = append(p.Facts, Fact{"Last used", roleUse(role)})

	var attached []string
	for pages := iam.NewListAttachedRolePoliciesPaginator(acct.IAM, &iam.ListAttachedRolePoliciesInput{RoleName: &name}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, a := range page.AttachedPolicies {
			attached = append(attached, aws.ToString(a.PolicyName))
		}
	}
	if len(attached) > 0 {
		p.Facts = append(p.Facts, Fact{"Managed policies", strings.Join(attached, ", ")})
	}

	var profiles []string
	for pages := iam.NewListInstanceProfilesForRolePaginator(acct.IAM, &iam.ListInstanceProfilesForRoleInput{RoleName: &name}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, ip := range page.InstanceProfiles {
			profiles = append(profiles, aws.ToString(ip.InstanceProfileName))
		}
	}
	if len(profiles) > 0 {
		p.Facts = append(p.Facts, Fact{"Instance profiles", strings.Join(profiles, ", ")})
		p.Warnings = append(p.Warnings, "Every instance with this role loses its permissions until its credentials renew.")
	}

	size := inlineSize(revokeDocument(time.Unix(0, 0)))
	for pages := iam.NewListRolePoliciesPaginator(acct.IAM, &iam.ListRolePoliciesInput{RoleName: &name}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, policy := range page.PolicyNames {
			if policy == revokePolicy {
				continue
			}
			doc, err := getRolePolicy(ctx, acct, name, policy)
			if err != nil {
				return err
			}
			if doc != nil {
				size += inlineSize(*doc)
			}
		}
	}
	if size > inlineQuota {
		p.Warnings = append(p.Warnings, fmt.Sprintf("The role's inline policies fill their quota (%d of %d characters with ours): the deny will probably be refused. detach_policies frees room: it deletes the role's other inline policies, and undo puts them back.", size, inlineQuota))
	}
	if prior != nil {
		if cutoff, _, ok := readRevocation(*prior); ok {
			p.Facts = append(p.Facts, Fact{"Revoked before", "sessions issued before " + cutoff.Format("2006-01-02 15:04:05 UTC")})
		} else {
			p.Warnings = append(p.Warnings, "There is a policy named "+revokePolicy+" that does something else. It is replaced, and undo puts it back: "+compact(*prior))
		}
	}
	return nil
}

func (revokeSessions) Apply(ctx context.Context, acct *Account, s Step, run Run) (Effect, error) {
	switch {
	case bySCP(s):
		return revocation(acct.Org, s.ResourceID, run).apply(ctx, acct, s, run)
	case s.Many:
		return applyOne(ctx, acct, s, run)
	}
	name, role, err := sameRole(ctx, acct, s)
	if err != nil {
		return Effect{}, err
	}
	if s.ID == "tag" {
		return taggedRole(acct, name).apply(ctx, tamperValue(role.Tags), s, run)
	}
	live, err := getInline(ctx, acct, name)
	if err != nil {
		return Effect{}, err
	}
	cutoff, done := nextCutoff(cutoffOf(live), run)
	if done {
		return Effect{Prior: s.Prior, Wrote: live}, nil
	}
	doc := revokeDocument(cutoff)
	_, err = acct.IAM.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String(revokePolicy), PolicyDocument: &doc})
	if isCode(err, "LimitExceeded") {
		err = Hinted(err, "the role's inline policies fill their quota: ask for detach_policies, which deletes them and denies everything; undo puts them back")
	}
	return Effect{Prior: s.Prior, Wrote: &doc, Changed: true}, err
}

// cutoffOf is the cutoff of our deny; zero where there is none of ours.
func cutoffOf(live *string) time.Time {
	if live == nil {
		return time.Time{}
	}
	at, ok := revokeCutoff(*live)
	if !ok {
		return time.Time{}
	}
	return at
}

func (revokeSessions) Verify(ctx context.Context, acct *Account, s Step, e Effect) (Reading, error) {
	switch {
	case bySCP(s):
		return revocation(acct.Org, s.ResourceID, Run{}).verify(ctx, acct, s, e)
	case s.Many:
		return verifyOne(ctx, acct, s, e)
	}
	name, role, err := sameRole(ctx, acct, s)
	if err != nil {
		return Reading{}, err
	}
	if s.ID == "tag" {
		return verifyTag(tamperValue(role.Tags), e), nil
	}
	live, err := getInline(ctx, acct, name)
	if err != nil {
		return Reading{}, err
	}
	return Reading{Holds: live != nil && e.Wrote != nil && revokesAtLeast(*live, *e.Wrote), Found: inlineText(live)}, nil
}

// ours reports whether a document is one that we wrote, whatever its cutoff.
func ours(document string) bool {
	_, ok := revokeCutoff(document)
	return ok
}

// revokesAtLeast reports whether document revokes what wrote revokes, or more.
func revokesAtLeast(document, wrote string) bool {
	live, ok := revokeCutoff(document)
	want, _ := revokeCutoff(wrote)
	return ok && !live.Before(want)
}

func (revokeSessions) Revert(ctx context.Context, acct *Account, s Step, e Effect) (Reading, error) {
	if bySCP(s) {
		return revocation(acct.Org, s.ResourceID, Run{}).revert(ctx, acct, s, e)
	}
	name, role, err := sameRole(ctx, acct, s)
	switch {
	case isCode(err, "NoSuchEntity"):
		return Reading{Holds: true, Found: "the role no longer exists"}, nil
	case errors.Is(err, ErrRecreated):
		return Reading{Found: "another role of that name: it was deleted and created again"}, nil
	case err != nil:
		return Reading{}, err
	case s.ID == "tag":
		return taggedRole(acct, name).revert(ctx, tamperValue(role.Tags), e)
	}
	live, err := getInline(ctx, acct, name)
	switch {
	case err != nil:
		return Reading{}, err
	case same(live, e.Prior):
		return Reading{Holds: true}, nil
	case live == nil || !ours(*live):
		return Reading{Found: inlineText(live) + ", which is not what Killswitch wrote"}, nil
	case e.Prior == nil:
		_, err = acct.IAM.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: aws.String(revokePolicy)})
		if isCode(err, "NoSuchEntity") {
			err = nil
		}
	default:
		_, err = acct.IAM.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String(revokePolicy), PolicyDocument: e.Prior})
	}
	return Reading{Holds: err == nil, Changed: err == nil}, err
}

// getInline is the document of our inline deny; nil where there is none.
func getInline(ctx context.Context, acct *Account, role string) (*string, error) {
	return getRolePolicy(ctx, acct, role, revokePolicy)
}

func inlineText(doc *string) string {
	if doc == nil {
		return "no inline policy " + revokePolicy
	}
	if cutoff, _, ok := readRevocation(*doc); ok {
		return "inline policy " + revokePolicy + ": Deny * for sessions issued before " + cutoff.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return "another inline policy named " + revokePolicy + ": " + compact(*doc)
}
