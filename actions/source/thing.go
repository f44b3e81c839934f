package source

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Thing is something that a call made or set, in an account. All its texts are from outside.
type Thing struct {
	Kind   Kind      `json:"kind,omitempty"`
	Name   string    `json:"name,omitempty"`
	Of     string    `json:"of,omitempty"` // whose it is: user/NAME, role/NAME, group/NAME, or another thing's name
	ID     string    `json:"id,omitempty"` // that it got from AWS, and never another; may be empty
	Region string    `json:"region,omitempty"`
	Until  time.Time `json:"until,omitzero"` // the end of a session
}

// Kind is the kind of a Thing.
type Kind string

// The kinds of things that can be read. Of others the state is not known.
const (
	User          Kind = "user"
	Key           Kind = "access key"
	Password      Kind = "console password"
	MFA           Kind = "MFA device"
	Role          Kind = "role"
	Trust         Kind = "trust" // its name is whom it lets in: an account, an ARN, *
	Attachment    Kind = "attached policy"
	Inline        Kind = "inline policy"
	Membership    Kind = "membership" // its name is the group's
	Policy        Kind = "policy"
	PolicyVersion Kind = "version of a policy"
	Instance      Kind = "instance"
	Snapshot      Kind = "snapshot" // shared with Of
	Image         Kind = "image"    // likewise
	Function      Kind = "function"
	TrustAnchor   Kind = "trust anchor"
	Profile       Kind = "profile" // of Roles Anywhere
	Session       Kind = "session"
)

// Presence is whether a thing is still there.
type Presence string

// The presences. A thing whose presence is empty is not known to be there or gone.
const (
	There    Presence = "there"
	Off      Presence = "off"      // there, and of no use: inactive, stopped, disabled
	Gone     Presence = "gone"     // or no longer as it was set
	Replaced Presence = "replaced" // another one has its name
)

// readable are the kinds that [reads] has. The bot asks for them, and has no need of the clients.
var readable = []Kind{User, Key, Password, MFA, Role, Trust, Attachment, Inline, Membership, Policy, PolicyVersion, Instance, Snapshot, Image, Function, TrustAnchor, Profile}

// reads tell of a thing whether it is there. It is no variable, which the linker would keep in the bot with
// all clients.
func reads() map[Kind]func(context.Context, looker, Thing) (Presence, error) {
	return map[Kind]func(context.Context, looker, Thing) (Presence, error){
		User: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			out, err := a.IAM().GetUser(ctx, &iam.GetUserInput{UserName: &t.Name})
			if err != nil {
				return "", err
			}
			return same(t, out.User.UserId), nil
		},
		Role: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			out, err := a.IAM().GetRole(ctx, &iam.GetRoleInput{RoleName: &t.Name})
			if err != nil {
				return "", err
			}
			return same(t, out.Role.RoleId), nil
		},
		Trust: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			out, err := a.IAM().GetRole(ctx, &iam.GetRoleInput{RoleName: owner(t)})
			if err != nil {
				return "", err
			}
			document, err := url.QueryUnescape(aws.ToString(out.Role.AssumeRolePolicyDocument))
			if err != nil {
				return "", err
			}
			return admits(document, t.Name), nil
		},
		Key: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			p := iam.NewListAccessKeysPaginator(a.IAM(), &iam.ListAccessKeysInput{UserName: owner(t)})
			return find(ctx, p, func(out *iam.ListAccessKeysOutput) Presence {
				i := slices.IndexFunc(out.AccessKeyMetadata, func(k types.AccessKeyMetadata) bool { return aws.ToString(k.AccessKeyId) == t.Name })
				switch {
				case i < 0:
					return Gone
				case out.AccessKeyMetadata[i].Status != types.StatusTypeActive:
					return Off
				}
				return There
			})
		},
		Password: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			_, err := a.IAM().GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: owner(t)})
			return There, err
		},
		MFA: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			p := iam.NewListMFADevicesPaginator(a.IAM(), &iam.ListMFADevicesInput{UserName: owner(t)})
			return find(ctx, p, func(out *iam.ListMFADevicesOutput) Presence {
				return when(slices.ContainsFunc(out.MFADevices, func(d types.MFADevice) bool { return aws.ToString(d.SerialNumber) == t.Name }))
			})
		},
		Membership: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			p := iam.NewListGroupsForUserPaginator(a.IAM(), &iam.ListGroupsForUserInput{UserName: owner(t)})
			return find(ctx, p, func(out *iam.ListGroupsForUserOutput) Presence {
				return when(slices.ContainsFunc(out.Groups, func(g types.Group) bool { return strings.EqualFold(aws.ToString(g.GroupName), t.Name) }))
			})
		},
		Attachment: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			has := func(ps []types.AttachedPolicy) Presence {
				return when(slices.ContainsFunc(ps, func(p types.AttachedPolicy) bool { return aws.ToString(p.PolicyArn) == t.Name }))
			}
			switch kind, _, _ := strings.Cut(t.Of, "/"); kind {
			case "user":
				p := iam.NewListAttachedUserPoliciesPaginator(a.IAM(), &iam.ListAttachedUserPoliciesInput{UserName: owner(t)})
				return find(ctx, p, func(out *iam.ListAttachedUserPoliciesOutput) Presence { return has(out.AttachedPolicies) })
			case "role":
				p := iam.NewListAttachedRolePoliciesPaginator(a.IAM(), &iam.ListAttachedRolePoliciesInput{RoleName: owner(t)})
				return find(ctx, p, func(out *iam.ListAttachedRolePoliciesOutput) Presence { return has(out.AttachedPolicies) })
			}
			p := iam.NewListAttachedGroupPoliciesPaginator(a.IAM(), &iam.ListAttachedGroupPoliciesInput{GroupName: owner(t)})
			return find(ctx, p, func(out *iam.ListAttachedGroupPoliciesOutput) Presence { return has(out.AttachedPolicies) })
		},
		Inline: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			var err error
			switch kind, _, _ := strings.Cut(t.Of, "/"); kind {
			case "user":
				_, err = a.IAM().GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: owner(t), PolicyName: &t.Name})
			case "role":
				_, err = a.IAM().GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: owner(t), PolicyName: &t.Name})
			default:
				_, err = a.IAM().GetGroupPolicy(ctx, &iam.GetGroupPolicyInput{GroupName: owner(t), PolicyName: &t.Name})
			}
			return There, err
		},
		Policy: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			_, err := a.IAM().GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &t.Name})
			return There, err
		},
		PolicyVersion: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			out, err := a.IAM().GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &t.Of})
			if err != nil {
				return "", err
			}
			return when(aws.ToString(out.Policy.DefaultVersionId) == t.Name), nil
		},
		Instance: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			out, err := a.ec2(t).DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{t.Name}})
			if err != nil || len(out.Reservations) == 0 || len(out.Reservations[0].Instances) == 0 {
				return Gone, err
			}
			switch s := out.Reservations[0].Instances[0].State; {
			case s == nil:
			case s.Name == ec2types.InstanceStateNameTerminated:
				return Gone, nil
			case s.Name == ec2types.InstanceStateNameStopped:
				return Off, nil
			}
			return There, nil
		},
		Snapshot: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			out, err := a.ec2(t).DescribeSnapshotAttribute(ctx, &ec2.DescribeSnapshotAttributeInput{SnapshotId: &t.Name, Attribute: ec2types.SnapshotAttributeNameCreateVolumePermission})
			if err != nil {
				return "", err
			}
			return when(slices.ContainsFunc(out.CreateVolumePermissions, func(p ec2types.CreateVolumePermission) bool {
				return aws.ToString(p.UserId) == t.Of || string(p.Group) == t.Of
			})), nil
		},
		Image: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			out, err := a.ec2(t).DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{ImageId: &t.Name, Attribute: ec2types.ImageAttributeNameLaunchPermission})
			if err != nil {
				return "", err
			}
			return when(slices.ContainsFunc(out.LaunchPermissions, func(p ec2types.LaunchPermission) bool {
				return aws.ToString(p.UserId) == t.Of || string(p.Group) == t.Of
			})), nil
		},
		// https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html
		Function: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			err := a.get(ctx, "Lambda", "lambda", t.Region, "/2015-03-31/functions/"+url.PathEscape(t.Name)+"/configuration", &struct{}{})
			return There, err
		},
		// https://docs.aws.amazon.com/rolesanywhere/latest/APIReference/API_GetTrustAnchor.html
		TrustAnchor: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			var out struct {
				TrustAnchor struct{ Enabled bool }
			}
			err := a.get(ctx, "RolesAnywhere", "rolesanywhere", t.Region, "/trustanchor/"+url.PathEscape(t.ID), &out)
			return enabled(out.TrustAnchor.Enabled), err
		},
		// https://docs.aws.amazon.com/rolesanywhere/latest/APIReference/API_GetProfile.html
		Profile: func(ctx context.Context, a looker, t Thing) (Presence, error) {
			var out struct{ Profile struct{ Enabled bool } }
			err := a.get(ctx, "RolesAnywhere", "rolesanywhere", t.Region, "/profile/"+url.PathEscape(t.ID), &out)
			return enabled(out.Profile.Enabled), err
		},
	}
}

// absent are the codes by which AWS says that something does not exist.
var absent = []string{"NoSuchEntity", "InvalidInstanceID.NotFound", "InvalidSnapshot.NotFound", "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "ResourceNotFoundException"}

// Readable reports whether it can be read whether things of a kind are there.
func (k Kind) Readable() bool { return slices.Contains(readable, k) }

// Look reads whether a thing is there. Of a kind that can't be read it tells nothing. The session
// needs [LookPermits].
func Look(ctx context.Context, a *actions.Account, t Thing, now time.Time) (Presence, error) {
	read := reads()[t.Kind]
	if read == nil {
		return "", nil
	}
	p, err := read(ctx, looker{a, now}, t)
	if actions.IsCode(err, absent...) {
		return goneFrom(ctx, a, t)
	}
	if err != nil {
		return "", err
	}
	return p, nil
}

// goneFrom tells of what AWS does not find: of a part whose whole is not there either nothing is known, since
// a user who has another name now has it still.
func goneFrom(ctx context.Context, a *actions.Account, t Thing) (Presence, error) {
	kind, name, _ := strings.Cut(t.Of, "/")
	var err error
	switch kind {
	case "user":
		_, err = a.IAM().GetUser(ctx, &iam.GetUserInput{UserName: &name})
	case "role":
		_, err = a.IAM().GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
	}
	if actions.IsCode(err, absent...) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return Gone, nil
}

// admits reports whether a trust policy lets in an account, or everybody: *.
func admits(document, who string) Presence {
	var policy struct {
		Statement any
	}
	if json.Unmarshal([]byte(document), &policy) != nil {
		return "" // it can't be compared
	}
	found := false
	var look func(v any)
	look = func(v any) {
		switch v := v.(type) {
		case string:
			found = found || v == who || who != "*" && strings.Contains(v, ":"+who+":")
		case []any:
			for _, e := range v {
				look(e)
			}
		case map[string]any:
			for key, e := range v {
				if v["Effect"] == nil || key == "Principal" && v["Effect"] == "Allow" {
					look(e)
				}
			}
		}
	}
	look(policy.Statement)
	return when(found)
}

// LookPermits are the permissions of [Look] in an account. They only read.
func LookPermits(s actions.Scope) []actions.Statement {
	users, roles, groups := s.ARN("iam", "user/*"), s.ARN("iam", "role/*"), s.ARN("iam", "group/*")
	return []actions.Statement{
		{Actions: []string{"iam:GetLoginProfile", "iam:GetUser", "iam:GetUserPolicy", "iam:ListAccessKeys", "iam:ListAttachedUserPolicies", "iam:ListGroupsForUser", "iam:ListMFADevices"}, Resources: []string{users}},
		{Actions: []string{"iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies"}, Resources: []string{roles}},
		{Actions: []string{"iam:GetGroupPolicy", "iam:ListAttachedGroupPolicies"}, Resources: []string{groups}},
		{Actions: []string{"iam:GetPolicy"}, Resources: []string{s.ARN("iam", "policy/*")}},
		{Actions: []string{"ec2:DescribeInstances"}, Resources: []string{"*"}},
		{Actions: []string{"ec2:DescribeImageAttribute", "ec2:DescribeSnapshotAttribute"}, Resources: []string{"arn:" + s.Org.Partition + ":ec2:*::image/*", "arn:" + s.Org.Partition + ":ec2:*::snapshot/*"}},
		{Actions: []string{"lambda:GetFunctionConfiguration"}, Resources: []string{s.ARN("lambda", "function:*")}},
		{Actions: []string{"rolesanywhere:GetProfile", "rolesanywhere:GetTrustAnchor"}, Resources: []string{s.ARN("rolesanywhere", "profile/*"), s.ARN("rolesanywhere", "trust-anchor/*")}},
	}
}

// owner is the name of whose a thing is.
func owner(t Thing) *string {
	_, name, _ := strings.Cut(t.Of, "/")
	return &name
}

func same(t Thing, id *string) Presence {
	if t.ID != "" && t.ID != aws.ToString(id) {
		return Replaced
	}
	return There
}

func when(there bool) Presence {
	if there {
		return There
	}
	return Gone
}

func enabled(is bool) Presence {
	if is {
		return There
	}
	return Off
}

// looker looks by a session, at a time.
type looker struct {
	*actions.Account
	now time.Time
}

// get asks a service that has no client here.
func (a looker) get(ctx context.Context, id, name, region, path string, out any) error {
	return exchange(ctx, a.Account, http.MethodGet, id, name, region, path, a.now, nil, out)
}

func (a looker) ec2(t Thing) *ec2.Client {
	return ec2.NewFromConfig(a.Config(), func(o *ec2.Options) { o.Region = t.Region })
}

// find looks through pages until one has the thing.
func find[Page, Opt any](ctx context.Context, p actions.Pager[Page, Opt], in func(*Page) Presence) (Presence, error) {
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return "", err
		}
		if found := in(page); found != Gone {
			return found, nil
		}
	}
	return Gone, nil
}
