package role

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// roleState is the restorable state of a role. Documents are kept byte for byte.
type roleState struct {
	ARN         string            `json:"arn"`
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Path        string            `json:"path"`
	Description string            `json:"description,omitempty"`
	MaxSession  int32             `json:"max_session"` // seconds
	Trust       string            `json:"trust"`
	Boundary    string            `json:"boundary,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Inline      map[string]string `json:"inline,omitempty"` // documents by name
	Attached    []string          `json:"attached,omitempty"`
	Profiles    []instanceProfile `json:"instance_profiles,omitempty"`
}

type instanceProfile struct {
	Name string `json:"name"`
	ARN  string `json:"arn"`
	ID   string `json:"id"`
}

func (r roleState) json() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and numbers alone
	}
	return string(b)
}

// newRoleState returns the part of the state that GetRole returns.
func newRoleState(role *types.Role) (roleState, error) {
	// "The policy … is URL-encoded compliant with RFC 3986"
	// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html
	trust, err := url.PathUnescape(aws.ToString(role.AssumeRolePolicyDocument))
	if err != nil {
		return roleState{}, fmt.Errorf("trust policy of role %s: %w", aws.ToString(role.RoleName), err)
	}
	r := roleState{ARN: aws.ToString(role.Arn), ID: aws.ToString(role.RoleId), Name: aws.ToString(role.RoleName), Path: aws.ToString(role.Path),
		Description: aws.ToString(role.Description), MaxSession: aws.ToInt32(role.MaxSessionDuration), Trust: trust, Tags: map[string]string{}, Inline: map[string]string{}}
	if b := role.PermissionsBoundary; b != nil {
		r.Boundary = aws.ToString(b.PermissionsBoundaryArn)
	}
	for _, t := range role.Tags {
		r.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return r, nil
}

// readRole reads the rest of a role: policies and instance profiles, every page.
func readRole(ctx context.Context, acct *actions.Account, role *types.Role) (roleState, error) {
	r, err := newRoleState(role)
	if err == nil {
		err = readPolicies(ctx, acct, &r)
	}
	if err == nil {
		r.Profiles, err = profilesOf(ctx, acct, r.Name)
	}
	return r, err
}

// readPolicies reads all policies of a role.
func readPolicies(ctx context.Context, acct *actions.Account, r *roleState) (err error) {
	if r.Attached, err = deny.AttachedToRole(ctx, acct, r.Name); err != nil {
		return err
	}
	r.Inline, err = deny.InlineOfRole(ctx, acct, r.Name)
	return err
}

// profilesOf returns the instance profiles that hold a role.
func profilesOf(ctx context.Context, acct *actions.Account, role string) ([]instanceProfile, error) {
	ps, err := actions.List(ctx, iam.NewListInstanceProfilesForRolePaginator(acct.IAM(), &iam.ListInstanceProfilesForRoleInput{RoleName: &role}),
		func(p *iam.ListInstanceProfilesForRoleOutput) []types.InstanceProfile { return p.InstanceProfiles },
		func(p types.InstanceProfile) instanceProfile {
			return instanceProfile{aws.ToString(p.InstanceProfileName), aws.ToString(p.Arn), aws.ToString(p.InstanceProfileId)}
		})
	slices.SortFunc(ps, func(a, b instanceProfile) int { return strings.Compare(a.Name, b.Name) })
	return ps, err
}

// shape identifies a recreated role that may get the policies: its trust policy, path
// and boundary.
func (r roleState) shape() string {
	b, err := json.Marshal([]string{r.Path, r.Trust, r.Boundary})
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// inlineNames are the names of the inline policies, sorted.
func (r roleState) inlineNames() []string { return slices.Sorted(maps.Keys(r.Inline)) }

// facts returns the blast radius of removing the role's policies.
func (r roleState) facts(role *types.Role) []actions.Fact {
	facts := []actions.Fact{{Label: "Last used", Text: roleUse(role)}}
	add := func(label string, values []string) {
		if len(values) > 0 {
			facts = append(facts, actions.Fact{Label: label, Text: strings.Join(values, ", ")})
		}
	}
	var managed, profiles []string
	for _, arn := range r.Attached {
		managed = append(managed, actions.LastPart(arn))
	}
	for _, p := range r.Profiles {
		profiles = append(profiles, p.Name)
	}
	add("Managed policies", managed)
	add("Inline policies", r.inlineNames())
	add("Instance profiles", profiles)
	return facts
}

// inlineTotal is the size that counts against the quota of inline policies if name has
// document.
func (r roleState) inlineTotal(name, document string) int {
	total := inlineSize(document)
	for n, doc := range r.Inline {
		if n != name {
			total += inlineSize(doc)
		}
	}
	return total
}
