package awsfake

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

var iamProfileOperations = map[string]operation{
	"iam:CreateInstanceProfile":         bind(writes, createInstanceProfile),
	"iam:GetInstanceProfile":            bind(reads, getInstanceProfile),
	"iam:AddRoleToInstanceProfile":      {mutating: true, run: bind(writes, addRoleToInstanceProfile).run, needs: addRoleNeeds},
	"iam:RemoveRoleFromInstanceProfile": bind(writes, removeRoleFromInstanceProfile),
	"iam:ListInstanceProfilesForRole":   bind(reads, listInstanceProfilesForRole),
}

// AddRoleToInstanceProfile also takes iam:PassRole on the role.
func addRoleNeeds(k *request, in any) []need {
	role := &iam.GetRoleInput{RoleName: aws.String(field(in, "RoleName"))}
	pass := k.need("iam:PassRole", role)
	pass.passed = true
	return []need{k.need("iam:AddRoleToInstanceProfile", in), pass}
}

func (k *request) profile(name *string) (*Profile, error) {
	if p := k.account.profiles[aws.ToString(name)].current(); p != nil {
		n := *p
		return &n, nil
	}
	return nil, noSuchEntity("Instance Profile %s cannot be found.", aws.ToString(name))
}

func (k *request) storeProfile(p *Profile) {
	put(k.account.profiles, p.Name, p, k.now, k.visible())
}

func (k *request) profileOutput(p *Profile) *iamtypes.InstanceProfile {
	o := &iamtypes.InstanceProfile{Arn: aws.String(p.ARN), InstanceProfileName: aws.String(p.Name), InstanceProfileId: aws.String(p.ID),
		Path: aws.String(p.Path), CreateDate: aws.Time(p.Created), Roles: []iamtypes.Role{}}
	if r := k.account.roles[p.Role].seen(k.now); r != nil {
		o.Roles = append(o.Roles, *k.output(r, false))
	}
	return o
}

func createInstanceProfile(k *request, in *iam.CreateInstanceProfileInput) (*iam.CreateInstanceProfileOutput, error) {
	name, path := aws.ToString(in.InstanceProfileName), or(aws.ToString(in.Path), "/")
	if !entityName.MatchString(name) || len(name) > 128 {
		return nil, constraint(name, "instanceProfileName", `Member must satisfy regular expression pattern: [\w+=,.@-]+ and have length less than or equal to 128`)
	}
	if k.account.profiles[name].current() != nil {
		return nil, alreadyExists("Instance Profile %s already exists.", name)
	}
	p := &Profile{Name: name, ID: k.c.mint("AIPA", 17), Path: path, ARN: k.c.arn("iam", k.account.id, "instance-profile"+path+name), Created: k.now.UTC()}
	k.storeProfile(p)
	return &iam.CreateInstanceProfileOutput{InstanceProfile: k.profileOutput(p)}, nil
}

func getInstanceProfile(k *request, in *iam.GetInstanceProfileInput) (*iam.GetInstanceProfileOutput, error) {
	p := k.account.profiles[aws.ToString(in.InstanceProfileName)].seen(k.now)
	if p == nil {
		return nil, noSuchEntity("Instance Profile %s cannot be found.", aws.ToString(in.InstanceProfileName))
	}
	return &iam.GetInstanceProfileOutput{InstanceProfile: k.profileOutput(p)}, nil
}

// "An instance profile can contain only one role, and this quota cannot be increased."
func addRoleToInstanceProfile(k *request, in *iam.AddRoleToInstanceProfileInput) (*iam.AddRoleToInstanceProfileOutput, error) {
	p, err := k.profile(in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	r, err := k.changeable(in.RoleName)
	if err != nil {
		return nil, err
	}
	if p.Role != "" {
		return nil, limitExceeded("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
	}
	p.Role = r.Name
	k.storeProfile(p)
	return &iam.AddRoleToInstanceProfileOutput{}, nil
}

func removeRoleFromInstanceProfile(k *request, in *iam.RemoveRoleFromInstanceProfileInput) (*iam.RemoveRoleFromInstanceProfileOutput, error) {
	p, err := k.profile(in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	if p.Role != aws.ToString(in.RoleName) {
		return nil, noSuchEntity("Role %s is not in Instance Profile %s.", aws.ToString(in.RoleName), p.Name)
	}
	p.Role = ""
	k.storeProfile(p)
	return &iam.RemoveRoleFromInstanceProfileOutput{}, nil
}

func listInstanceProfilesForRole(k *request, in *iam.ListInstanceProfilesForRoleInput) (*iam.ListInstanceProfilesForRoleOutput, error) {
	r, err := k.seenRole(in.RoleName)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range visibleNames(k.account.profiles, k.now) {
		if k.account.profiles[n].seen(k.now).Role == r.Name {
			names = append(names, n)
		}
	}
	names, next, err := page(names, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListInstanceProfilesForRoleOutput{InstanceProfiles: []iamtypes.InstanceProfile{}, IsTruncated: next != nil, Marker: next}
	for _, n := range names {
		out.InstanceProfiles = append(out.InstanceProfiles, *k.profileOutput(k.account.profiles[n].seen(k.now)))
	}
	return out, nil
}
