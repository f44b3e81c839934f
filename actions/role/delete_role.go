package role

import (
	"context"
	"encoding/json"
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

// stepProfile begins the ID of a step that takes the role out of an instance
// profile; the profile's name is the rest.
const stepProfile = "profile "

// DeleteRole deletes a role. Undo makes another one like it, which has another ID.
type DeleteRole struct{}

// Spec implements [actions.Action].
func (DeleteRole) Spec() actions.Spec {
	return actions.Spec{
		Name:        actions.DeleteRole,
		Title:       "Delete the role",
		Summary:     "delete a role; undo makes one like it, with another ID",
		Usage:       `delete_role arn:aws:iam::222222222222:role/app-role confirm=app-role reason="made by the intruder"`,
		Target:      actions.RoleTarget,
		Synonyms:    []string{"remove_role"},
		Options:     []string{"confirm"},
		Check:       confirmName,
		Reversible:  true,
		Quorum:      2,
		Alternative: actions.DetachPolicies,
		NotStopped: []string{
			"Sessions that were chained into other roles live on in those roles.",
			"Whoever may create roles can create it again.",
		},
		Undo:  "makes a role of the same name, path, trust, boundary, tags, policies and instance profiles, but with another ID; running instances get its credentials",
		Delay: actions.IAMDelay,
		Permits: func(p actions.Phase, s actions.Scope) []actions.Statement {
			read := []string{"iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole"}
			var write, profiles, pass []string
			var instances []actions.Statement
			switch p {
			case actions.PhasePlan:
				instances = []actions.Statement{{Actions: []string{"ec2:DescribeInstances", "ec2:DescribeIamInstanceProfileAssociations"}, Resources: []string{"*"}}}
			case actions.PhaseRun:
				// It detaches whatever is attached: a condition on the policy would leave the role undeleted.
				write = []string{"iam:TagRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:DeleteRole"}
				profiles = []string{"iam:RemoveRoleFromInstanceProfile"}
			case actions.PhaseUndo:
				// What is attached and which boundary is set is what stood there: any.
				write = []string{"iam:CreateRole", "iam:TagRole", "iam:UntagRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:AttachRolePolicy"}
				pass = changedRole(s)
				profiles = []string{"iam:AddRoleToInstanceProfile"}
				instances = reassociatePermits(s)
			case actions.PhaseReport:
				return nil
			}
			return append(append(onRole(p, s, read), actions.Statement{Actions: write, Resources: changedRole(s)}, actions.Statement{Actions: profiles, Resources: changedProfiles(s)}, s.PassRole(pass)), instances...)
		},
	}
}

// changedRole returns the role's ARN with and without its path: IAM authorises the
// deletion of a role that is gone by the ARN without path. Names are unique across paths.
func changedRole(s actions.Scope) []string {
	arns := s.Changed("iam", "role/")
	if bare := s.ARN("iam", "role/"+actions.LastPart(s.Call.Target)); len(arns) > 0 && !s.Any() && !slices.Contains(arns, bare) {
		arns = append(arns, bare)
	}
	return arns
}

// changedProfiles returns the instance profiles that the call changes, or a wildcard if
// they are too many for a session policy.
func changedProfiles(s actions.Scope) []string {
	arns := s.Changed("iam", "instance-profile/")
	if len(strings.Join(arns, "")) > actions.SessionPolicyLimit/6 { // undo names them twice
		return []string{s.ARN("iam", "instance-profile/*")}
	}
	return arns
}

// reassociatePermits are the permissions to associate the changed profiles anew with instances.
func reassociatePermits(s actions.Scope) []actions.Statement {
	profiles := changedProfiles(s)
	if len(profiles) == 0 {
		return nil
	}
	everywhere := s
	everywhere.Region = "*"
	return []actions.Statement{{Actions: []string{"ec2:DescribeIamInstanceProfileAssociations"}, Resources: []string{"*"}},
		{Actions: []string{"ec2:ReplaceIamInstanceProfileAssociation"}, Resources: []string{everywhere.ARN("ec2", "instance/*")},
			Condition: actions.Condition{"ArnLike": {"ec2:NewInstanceProfile": profiles}}}}
}

// confirmName requires the role's name a second time.
func confirmName(c *actions.Call, m *actions.ParseErrors) {
	if c.Target == "" {
		return
	}
	switch typed := c.Options["confirm"]; typed {
	case actions.LastPart(c.Target):
	case "":
		m.Add("confirm", "is missing: a deleted role does not come back as the same one", "say confirm="+actions.LastPart(c.Target))
	default:
		m.Add("confirm", fmt.Sprintf("%s is not the role's name", actions.Clip(typed)), "say confirm="+actions.LastPart(c.Target))
	}
}

// Plan implements [actions.Action].
func (DeleteRole) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	p := actions.Plan{
		Reversible: true,
		Undo:       DeleteRole{}.Spec().Undo,
		Warnings: []string{
			"Undo makes another role: its ID is new. Policies of other resources that name this role as a principal must be saved again by hand, or they don't mean the new one.",
		},
		Residual: DeleteRole{}.Spec().NotStopped,
	}
	if acct.Look != actions.LookAll {
		if _, err := deny.GetRole(ctx, acct, actions.LastPart(c.Target)); actions.IsCode(err, "NoSuchEntity") {
			p.Identity = actions.Identity{ARN: c.Target, ID: acct.Approved}
			return p, nil // deleted: there is nothing left to do
		}
	}
	role, err := findRole(ctx, acct, c)
	if err != nil {
		return actions.Plan{}, err
	}
	p.Identity = identityOf(role)
	if p.Guarded, err = vouch.Guard(acct, c, role); err != nil {
		return actions.Plan{}, err
	}
	policy := revokePolicy(acct)
	prior, err := deny.GetRolePolicy(ctx, acct, aws.ToString(role.RoleName), policy)
	if err != nil {
		return actions.Plan{}, err
	}
	denyStep := denySessionsStep(acct, role, prior)
	denyStep.Goal, denyStep.Deny = "", false // it is deleted with the role; for undo it is a normal step
	p.Steps = []actions.Step{denyStep, tagStep(acct, role)}
	if p.More = acct.Look == actions.LookFirst; p.More {
		return p, nil
	}
	r, err := readRole(ctx, acct, role)
	if err != nil {
		p.More = true
		return p, err // no snapshot, no deletion
	}
	if acct.Approved != "" && acct.Approved != r.ID {
		return p, nil // another role of that name: denied, not deleted
	}
	running, unread := runningWith(ctx, acct, r.Profiles)
	p.Steps = append(p.Steps, removalSteps(acct, r, running)...)
	if len(unread) > 0 {
		p.Warnings = append(p.Warnings, "Which instances run with this role can't be read in "+actions.Clip(strings.Join(unread, ", "))+": after an undo, those get its credentials hours later.")
	}
	if acct.Look != actions.LookAll {
		return p, nil
	}
	deny.WarnElsewhere(ctx, acct, deny.TamperValue(role.Tags), &p)
	p.Snapshot, p.Facts = r.json(), append(r.facts(role), runningFacts(running)...)
	if dead := deletedPrincipals(r.Trust); len(dead) > 0 {
		p.Warnings = append(p.Warnings, "Undo will fail: the trust policy names a principal that no longer exists ("+actions.Clip(strings.Join(dead, ", "))+"), and IAM takes no such policy again.")
	}
	if prior != nil {
		if grants := deny.Grants(*prior); grants != "" {
			p.Warnings = append(p.Warnings, "The policy "+policy+" that stands there allows this, and undo would put it back: "+grants)
		}
	}
	if len(r.Profiles) > 0 {
		p.Warnings = append(p.Warnings, "Every instance with this role loses its permissions.")
	}
	return p, nil
}

// removalSteps returns the steps that remove everything from the role, denies last,
// and then delete the role.
func removalSteps(acct *actions.Account, r roleState, running map[string][]association) []actions.Step {
	var steps, denies []actions.Step
	for _, p := range r.Profiles {
		held := profileContent{Role: r.ARN, ID: r.ID, Shape: r.shape(), Running: running[p.ARN]}
		steps = append(steps, actions.Step{ID: stepProfile + p.Name, Title: "Take the role out of the instance profile " + p.Name, Resource: p.ARN, ResourceID: p.ID,
			Hold: actions.HoldKey(acct, r.ID, "profile", p.Name), Prior: aws.String(held.json()), Removes: true, Current: "holds " + r.ARN + runningText(held.Running), After: "holds no role"})
	}
	for _, s := range policySteps(acct, r) {
		arn, attached := strings.CutPrefix(s.ID, stepDetach)
		switch {
		case s.ID == stepInline+revokePolicy(acct): // our deny takes its place
		case attached && isAWSQuarantine(arn), !attached && deny.Grants(*s.Prior) == "":
			denies = append(denies, s)
		default:
			steps = append(steps, s)
		}
	}
	return append(append(steps, denies...), actions.Step{ID: "delete", Title: "Delete the role", Resource: r.ARN, ResourceID: r.ID,
		Hold: actions.HoldKey(acct, r.ID, "role", "deleted"), Goal: "deletion", Prior: aws.String(r.json()), Removes: true, Current: "the role " + r.ARN, After: "deleted"})
}

// profileContent is the role in an instance profile, stored as a step's prior content.
type profileContent struct {
	Role  string `json:"role"`
	ID    string `json:"role_id"`
	Shape string `json:"shape"`
	// Running are the associations of the instances that ran with the profile.
	Running []association `json:"running,omitempty"`
}

func (h profileContent) json() string {
	b, err := json.Marshal(h)
	if err != nil {
		panic(err) // strings alone
	}
	return string(b)
}

// stepOnRole returns a step with the role as its resource, which may be an instance
// profile, and what the ledger has recorded of the role's shape and the profile.
func stepOnRole(s actions.Step, e actions.Effect) (actions.Step, profileContent, error) {
	h := profileContent{Shape: aws.ToString(e.Wrote)}
	if !strings.HasPrefix(s.ID, stepProfile) {
		return s, h, nil
	}
	if err := json.Unmarshal([]byte(aws.ToString(e.Prior)), &h); err != nil {
		return s, h, fmt.Errorf("step %s: what was there before: %w", s.ID, err)
	}
	s.Resource, s.ResourceID = h.Role, h.ID
	return s, h, nil
}

// Apply implements [actions.Action].
func (DeleteRole) Apply(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior}
	about, _, err := stepOnRole(s, e)
	if err != nil {
		return e, err
	}
	name, role, err := deny.GetStepRole(ctx, acct, about)
	switch {
	case actions.IsCode(err, "NoSuchEntity"):
		return e, nil // nothing left to contain
	case err != nil:
		return e, err
	}
	switch {
	case s.ID == "tag", s.ID == "deny":
		e, err = RevokeSessions{}.Apply(ctx, acct, s, run)
		if s.ID == "deny" && actions.IsCode(err, "LimitExceeded") {
			err = retryWhenQuotaFree(err)
		}
	case s.ID == "delete":
		e.Wrote = aws.String(acct.Org.Installation.Name(run.RequestID)) // undo leaves this request's own tag out
		err = deleteRole(ctx, acct, role, s)
		e.Changed = err == nil
	case strings.HasPrefix(s.ID, stepProfile):
		e.Changed, err = removeFromProfile(ctx, acct, name, strings.TrimPrefix(s.ID, stepProfile))
	default:
		var r roleState
		if r, err = newRoleState(role); err == nil {
			e.Wrote = aws.String(r.shape()) // undo recognises the role that it created by its shape
			e.Changed, err = removePolicy(ctx, acct, name, s)
		}
	}
	return e, unmodifiable(err)
}

func removeFromProfile(ctx context.Context, acct *actions.Account, role, profile string) (changed bool, err error) {
	_, err = acct.IAM().RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{RoleName: &role, InstanceProfileName: &profile})
	if actions.IsCode(err, "NoSuchEntity") {
		return false, nil
	}
	return err == nil, err
}

// deleteRole deletes the role with its remaining policies and profiles. The boundary
// stays: DeleteRole does not need it removed, and without it the role could do more.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteRole.html
func deleteRole(ctx context.Context, acct *actions.Account, role *types.Role, s actions.Step) error {
	var was roleState
	if err := json.Unmarshal([]byte(aws.ToString(s.Prior)), &was); err != nil {
		return fmt.Errorf("what the role was before: %w", err)
	}
	r, err := readRole(ctx, acct, role)
	if err != nil {
		return err
	}
	if since := addedSince(acct, was, r); len(since) > 0 { // no record, no removal
		return actions.RetryLater(actions.WithHint(fmt.Errorf("it got this since it was read: %s", strings.Join(since, ", ")), "retry: it is then recorded and removed like the rest"))
	}
	for _, p := range r.Profiles {
		if _, err := removeFromProfile(ctx, acct, r.Name, p.Name); err != nil {
			return err
		}
	}
	own := actions.Step{ID: stepInline + revokePolicy(acct)} // it may be too new to be listed
	for _, step := range append(policySteps(acct, r), own) {
		if _, err := removePolicy(ctx, acct, r.Name, step); err != nil {
			return err
		}
	}
	_, err = acct.IAM().DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &r.Name})
	switch {
	case actions.IsCode(err, "NoSuchEntity"):
		return nil
	case actions.IsCode(err, "DeleteConflict"): // something that IAM does not list yet
		return actions.RetryLater(actions.WithHint(err, "something was added to the role just now: retry, and it is recorded and removed like the rest"))
	}
	return err
}

// addedSince returns what was added to the role, in words, without our own deny.
func addedSince(acct *actions.Account, was, is roleState) []string {
	var since []string
	for _, p := range is.Profiles {
		if !slices.ContainsFunc(was.Profiles, func(w instanceProfile) bool { return w.Name == p.Name }) {
			since = append(since, "the instance profile "+p.Name)
		}
	}
	for _, arn := range is.Attached {
		if !slices.Contains(was.Attached, arn) {
			since = append(since, "the managed policy "+arn)
		}
	}
	for _, name := range is.inlineNames() {
		doc := is.Inline[name]
		if had, ok := was.Inline[name]; (!ok || had != doc) && (name != revokePolicy(acct) || !ours(acct.Org.Installation, doc)) {
			since = append(since, "the inline policy "+name)
		}
	}
	return since
}

// Verify implements [actions.Action].
func (DeleteRole) Verify(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	about, _, err := stepOnRole(s, e)
	if err != nil {
		return actions.Reading{}, err
	}
	name, role, err := deny.GetStepRole(ctx, acct, about)
	switch {
	case actions.IsCode(err, "NoSuchEntity"):
		return actions.Reading{Holds: true, Found: "the role is deleted"}, nil
	case err != nil:
		return actions.Reading{}, err
	case s.ID == "tag", s.ID == "deny":
		return RevokeSessions{}.Verify(ctx, acct, s, e)
	case s.ID == "delete":
		return actions.Reading{Found: "the role " + aws.ToString(role.Arn)}, nil
	case strings.HasPrefix(s.ID, stepProfile):
		in, err := inProfile(ctx, acct, name, strings.TrimPrefix(s.ID, stepProfile))
		if err != nil || !in {
			return actions.Reading{Holds: err == nil}, err
		}
		return actions.Reading{Found: "the role in the instance profile"}, nil
	}
	return verifyRemoved(ctx, acct, name, s)
}

func inProfile(ctx context.Context, acct *actions.Account, role, profile string) (bool, error) {
	ps, err := profilesOf(ctx, acct, role)
	return slices.ContainsFunc(ps, func(p instanceProfile) bool { return p.Name == profile }), err
}
