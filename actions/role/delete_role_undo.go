package role

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// anotherRole is the reading of undo if somebody else created a role of that name.
const anotherRole = "another role of that name: it was deleted and created again"

// Revert creates the role again, first of all steps. The other steps restore content
// that the ledger has and the last step's snapshot has not: an interrupted run reads a
// role that it has emptied already.
func (DeleteRole) Revert(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	if s.ID == "delete" {
		return recreateRole(ctx, acct, s, e)
	}
	about, held, err := stepOnRole(s, e)
	if err != nil {
		return actions.Reading{}, err
	}
	_, _, _, name, _ := actions.SplitRoleARN(about.Resource)
	role, err := deny.GetRole(ctx, acct, name)
	marks := s.ID == "tag" || s.ID == "deny"
	switch {
	case actions.IsCode(err, "NoSuchEntity") && marks:
		return actions.Reading{Holds: true, Found: "the role no longer exists"}, nil
	case actions.IsCode(err, "NoSuchEntity"):
		return actions.Reading{Holds: true, Changed: true, Found: "no role of that name"}, nil // not until it can be read back
	case err != nil:
		return actions.Reading{}, err
	case aws.ToString(role.RoleId) == about.ResourceID && marks:
		return RevokeSessions{}.Revert(ctx, acct, s, e)
	case marks:
		return revertMark(ctx, acct, role, s, e)
	}
	r, err := newRoleState(role)
	if err != nil {
		return actions.Reading{}, err
	}
	profile, inProfiles := strings.CutPrefix(s.ID, stepProfile)
	mine := r.ID == about.ResourceID || r.shape() == held.Shape
	switch {
	case inProfiles && mine:
		return restoreProfile(ctx, acct, name, s.Resource, held.Running)
	case mine:
		return restorePolicy(ctx, acct, name, s, e)
	}
	stands := false
	if inProfiles {
		stands, err = inProfile(ctx, acct, name, profile)
	} else {
		var live *string
		live, err = livePolicy(ctx, acct, name, s)
		stands = live != nil && deny.EqualContent(live, e.Prior)
	}
	if err != nil || stands {
		return actions.Reading{Holds: stands}, err
	}
	return actions.Reading{Found: anotherRole}, nil
}

// revertMark reverts the tag or the deny on a recreated role, if they are ours.
func revertMark(ctx context.Context, acct *actions.Account, role *types.Role, s actions.Step, e actions.Effect) (actions.Reading, error) {
	name := aws.ToString(role.RoleName)
	if s.ID == "tag" {
		live := deny.TamperValue(role.Tags)
		if live == nil { // the tag marked the old role, whose containment is over
			return actions.Reading{Holds: true}, nil
		}
		if _, drifted := deny.Unmark(ctx, acct, live, e); drifted {
			return actions.Reading{Found: anotherRole}, nil
		}
		return deny.TaggedRole(acct, name).Revert(ctx, acct, live, e)
	}
	policy, by := s.HoldName(), s.Installation()
	live, err := deny.GetRolePolicy(ctx, acct, name, policy)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case deny.EqualContent(live, e.Prior):
		return actions.Reading{Holds: true}, nil
	case live != nil && ours(by, *live) && e.Prior != nil && deny.Grants(*e.Prior) == "":
		return putInline(ctx, acct, name, policy, *e.Prior)
	case live != nil && ours(by, *live) && e.Prior == nil:
		_, err = acct.IAM().DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &policy})
		if actions.IsCode(err, "NoSuchEntity") {
			err = nil
		}
		return actions.Reading{Holds: err == nil, Changed: err == nil}, err
	}
	if live == nil {
		if _, spent := deny.ReadRevocation(*e.Prior); spent { // the denied sessions ended with the old role
			return actions.Reading{Holds: true, Found: "the role made again, without the deny for sessions of the old one"}, nil
		}
	}
	return actions.Reading{Found: anotherRole + "; before, there was: " + deny.Compact(aws.ToString(e.Prior))}, nil
}

// recreateRole creates the role, or continues an interrupted try. An existing role of
// that name gets the policies only if it has the same trust policy and boundary.
func recreateRole(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	var was roleState
	if err := json.Unmarshal([]byte(aws.ToString(e.Prior)), &was); err != nil {
		return actions.Reading{}, fmt.Errorf("what the role was before: %w", err)
	}
	maps.DeleteFunc(was.Tags, func(key, _ string) bool { return strings.HasPrefix(strings.ToLower(key), "aws:") }) // only AWS may set these
	// The role is created with this containment's own tag and deny, which their own steps
	// revert; they are not written a second time.
	marked := was
	was.Tags, was.Inline = maps.Clone(was.Tags), maps.Clone(was.Inline)
	mark := aws.ToString(e.Wrote)
	_, by := actions.InstallationOf(mark)
	for key, value := range was.Tags {
		if marks := strings.Fields(value); !strings.EqualFold(key, deny.TamperTag) || !slices.Contains(marks, mark) {
			continue
		} else if marks = slices.DeleteFunc(marks, func(m string) bool { return m == mark }); len(marks) > 0 { // of other installations
			was.Tags[key] = strings.Join(marks, " ")
		} else {
			delete(was.Tags, key)
		}
	}
	maps.DeleteFunc(was.Inline, func(name, doc string) bool { return name == by.Name(actions.RevokePolicy) && ours(by, doc) })
	role, err := deny.GetRole(ctx, acct, was.Name)
	switch {
	case actions.IsCode(err, "NoSuchEntity"):
		return createRole(ctx, acct, marked)
	case err != nil:
		return actions.Reading{}, err
	case aws.ToString(role.RoleId) == s.ResourceID:
		return actions.Reading{Holds: true}, nil // never deleted: the other steps restore the rest
	}
	is, err := newRoleState(role)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case is.shape() != was.shape():
		return actions.Reading{Found: anotherRole + ", with another path, trust policy or boundary"}, nil
	}
	if is, err = readRole(ctx, acct, role); err != nil {
		return actions.Reading{}, err
	}
	return restoreMissing(ctx, acct, was, is)
}

func createRole(ctx context.Context, acct *actions.Account, was roleState) (actions.Reading, error) {
	in := &iam.CreateRoleInput{RoleName: &was.Name, Path: &was.Path, AssumeRolePolicyDocument: &was.Trust, Tags: tagsOf(was.Tags)}
	if was.Description != "" {
		in.Description = &was.Description
	}
	if was.MaxSession != 0 {
		in.MaxSessionDuration = &was.MaxSession
	}
	if was.Boundary != "" {
		in.PermissionsBoundary = &was.Boundary
	}
	_, err := acct.IAM().CreateRole(ctx, in)
	switch {
	case actions.IsCode(err, "EntityAlreadyExists"):
		return actions.Reading{Holds: true, Changed: true, Found: "a role of that name that IAM does not show yet"}, nil // Verify finds out whose it is
	case actions.IsCode(err, "MalformedPolicyDocument"):
		return actions.Reading{}, actions.WithHint(err, "the trust policy names a principal that was deleted (IAM shows it by an ID: AROA… or AIDA…), and IAM takes no such policy: create the role by hand from the plan's snapshot without it")
	case was.Boundary != "" && isMissing(err, was.Boundary):
		return actions.Reading{}, actions.WithHint(err, "the role's permissions boundary was deleted, and the role is not made without it: create that policy again, then retry")
	case err != nil:
		return actions.Reading{}, err
	}
	r, err := restoreMissing(ctx, acct, was, roleState{Name: was.Name, Description: was.Description, MaxSession: was.MaxSession, Tags: was.Tags})
	r.Changed = err == nil
	return r, err
}

// restoreMissing restores missing policies, tags and profiles, denies first. Failures
// are reported in the reading and don't stop the rest.
func restoreMissing(ctx context.Context, acct *actions.Account, was, is roleState) (actions.Reading, error) {
	all := actions.Reading{Holds: true}
	var notes []string
	took := func(r actions.Reading, err error) error {
		all.Holds, all.Changed = all.Holds && r.Holds, all.Changed || r.Changed
		if r.Found != "" {
			notes = append(notes, r.Found)
		}
		return err
	}
	for key, value := range was.Tags {
		if had, ok := is.Tags[key]; ok && had != value {
			notes = append(notes, "another value of the tag "+key)
			all.Holds = false
		}
	}
	lacking := maps.Clone(was.Tags)
	maps.DeleteFunc(lacking, func(key, _ string) bool { _, ok := is.Tags[key]; return ok })
	if len(lacking) > 0 {
		_, err := acct.IAM().TagRole(ctx, &iam.TagRoleInput{RoleName: &was.Name, Tags: tagsOf(lacking)})
		if err := took(actions.Reading{Holds: true, Changed: true}, retryIfNotPropagated(err)); err != nil {
			return actions.Reading{}, err
		}
	}
	names := was.inlineNames()
	slices.SortStableFunc(names, func(a, b string) int { return restoreOrder(was.Inline[a]) - restoreOrder(was.Inline[b]) })
	for _, name := range names {
		doc, ok := is.Inline[name]
		switch {
		case !ok:
			if err := took(putInline(ctx, acct, was.Name, name, was.Inline[name])); err != nil {
				return actions.Reading{}, err
			}
		case doc != was.Inline[name]:
			notes = append(notes, "another inline policy "+name)
			all.Holds = false
		}
	}
	for _, arn := range was.Attached {
		if !slices.Contains(is.Attached, arn) {
			if err := took(attach(ctx, acct, was.Name, arn)); err != nil {
				return actions.Reading{}, err
			}
		}
	}
	for _, p := range was.Profiles {
		if !slices.ContainsFunc(is.Profiles, func(i instanceProfile) bool { return i.Name == p.Name }) {
			if err := took(addToProfile(ctx, acct, was.Name, p.Name)); err != nil {
				return actions.Reading{}, err
			}
		}
	}
	if was.Description != is.Description || was.MaxSession != is.MaxSession {
		notes = append(notes, "another description or session duration")
	}
	all.Found = strings.Join(notes, "; ")
	return all, nil
}

// restoreOrder sorts documents that only deny first.
func restoreOrder(document string) int {
	if deny.Grants(document) == "" {
		return 0
	}
	return 1
}

// restoreProfile puts the role back into an instance profile, and once it is there, gives its
// credentials to the instances that ran with it.
func restoreProfile(ctx context.Context, acct *actions.Account, role, profileARN string, running []association) (actions.Reading, error) {
	profile := actions.LastPart(profileARN)
	in, err := inProfile(ctx, acct, role, profile)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case !in:
		return addToProfile(ctx, acct, role, profile)
	}
	return reassociate(ctx, acct, profileARN, running)
}

func addToProfile(ctx context.Context, acct *actions.Account, role, profile string) (actions.Reading, error) {
	_, err := acct.IAM().AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{RoleName: &role, InstanceProfileName: &profile})
	switch {
	case actions.IsCode(err, "LimitExceeded"): // it has a role: ours, not visible yet, or another one; Verify finds out
		return actions.Reading{Holds: true, Changed: true, Found: "the instance profile " + profile + " holding a role already"}, nil
	case isMissing(err, "instance profile"):
		return actions.Reading{Found: "that the instance profile " + profile + " no longer exists"}, nil
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, retryIfNotPropagated(err)
}

func tagsOf(tags map[string]string) []types.Tag {
	var list []types.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}

// deletedPrincipalID is the form of a deleted principal in a trust policy.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
var deletedPrincipalID = actions.NewPattern(`^A(?:ROA|IDA)[A-Z0-9]{12,}$`)

// deletedPrincipals returns the deleted principals in a trust policy.
func deletedPrincipals(trust string) []string {
	var doc struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(trust), &doc) != nil {
		return nil
	}
	type statement struct{ Principal json.RawMessage }
	var statements []statement
	if json.Unmarshal(doc.Statement, &statements) != nil {
		var one statement
		if json.Unmarshal(doc.Statement, &one) != nil {
			return nil
		}
		statements = []statement{one}
	}
	var dead []string
	for _, s := range statements {
		var principal struct{ AWS json.RawMessage }
		if json.Unmarshal(s.Principal, &principal) != nil {
			continue
		}
		var names []string
		if json.Unmarshal(principal.AWS, &names) != nil {
			names = []string{strings.Trim(string(principal.AWS), `"`)}
		}
		for _, n := range names {
			if deletedPrincipalID.MatchString(n) {
				dead = append(dead, n)
			}
		}
	}
	return dead
}
