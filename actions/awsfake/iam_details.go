package awsfake

import (
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

var iamDetailOperations = map[string]operation{
	"iam:GetAccountAuthorizationDetails": {run: bind(reads, getAccountAuthorizationDetails).run, needs: onAll},
}

// detailPage is the most roles of a page here, however many are asked for: "IAM might
// return fewer than the MaxItems number of results, even when there are more results
// available" (the reference below). How many, AWS does not say.
const detailPage = 100

// Roles alone are modelled: a call that wants more must say so by failing.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
func getAccountAuthorizationDetails(k *request, in *iam.GetAccountAuthorizationDetailsInput) (*iam.GetAccountAuthorizationDetailsOutput, error) {
	for _, f := range in.Filter {
		if !slices.Contains(f.Values(), f) {
			return nil, constraint(string(f), "filter", "Member must satisfy enum value set: [User, Role, Group, LocalManagedPolicy, AWSManagedPolicy]")
		}
	}
	if !slices.Equal(in.Filter, []iamtypes.EntityType{iamtypes.EntityTypeRole}) {
		return nil, apiError("NotImplemented", "awsfake: %s is modelled with Filter=Role alone, not %q", k.op, in.Filter)
	}
	most := in.MaxItems
	if aws.ToInt32(most) > detailPage && *most <= 1000 {
		most = aws.Int32(detailPage)
	}
	names, next, err := page(visibleNames(k.account.roles, k.now), in.Marker, most)
	if err != nil {
		return nil, err
	}
	out := &iam.GetAccountAuthorizationDetailsOutput{RoleDetailList: []iamtypes.RoleDetail{}, IsTruncated: next != nil, Marker: next}
	profiles := k.profilesByRole()
	for _, n := range names {
		out.RoleDetailList = append(out.RoleDetailList, k.detail(k.account.roles[n].seen(k.now), profiles[n]))
	}
	return out, nil
}

// detail is a RoleDetail: no description and no session duration, but all policies.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_RoleDetail.html
func (k *request) detail(r *Role, profiles []*Profile) iamtypes.RoleDetail {
	o := k.output(r, true)
	d := iamtypes.RoleDetail{
		Arn: o.Arn, RoleName: o.RoleName, RoleId: o.RoleId, Path: o.Path, CreateDate: o.CreateDate, AssumeRolePolicyDocument: o.AssumeRolePolicyDocument,
		PermissionsBoundary: o.PermissionsBoundary, RoleLastUsed: o.RoleLastUsed, Tags: o.Tags,
		RolePolicyList: []iamtypes.PolicyDetail{}, AttachedManagedPolicies: []iamtypes.AttachedPolicy{}, InstanceProfileList: []iamtypes.InstanceProfile{},
	}
	for _, name := range slices.Sorted(maps.Keys(r.Inline)) {
		d.RolePolicyList = append(d.RolePolicyList, iamtypes.PolicyDetail{PolicyName: aws.String(name), PolicyDocument: aws.String(encode(r.Inline[name]))})
	}
	for _, arn := range r.Attached {
		d.AttachedManagedPolicies = append(d.AttachedManagedPolicies, attachedPolicy(arn))
	}
	for _, p := range profiles {
		d.InstanceProfileList = append(d.InstanceProfileList, *k.profileOutput(p))
	}
	return d
}

// profilesByRole are the instance profiles as they have propagated, by the name
// of the role that they hold.
func (k *request) profilesByRole() map[string][]*Profile {
	by := map[string][]*Profile{}
	for _, n := range visibleNames(k.account.profiles, k.now) {
		p := k.account.profiles[n].seen(k.now)
		by[p.Role] = append(by[p.Role], p)
	}
	return by
}
