package awsfake

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// iamBoundaryOperations: https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePermissionsBoundary.html
// and its likes. A boundary has no quota, and replaces the one that stands there.
var iamBoundaryOperations = map[string]operation{
	"iam:PutRolePermissionsBoundary":    bind(writes, putRoleBoundary),
	"iam:DeleteRolePermissionsBoundary": bind(writes, deleteRoleBoundary),
	"iam:PutUserPermissionsBoundary":    bind(writes, putUserBoundary),
	"iam:DeleteUserPermissionsBoundary": bind(writes, deleteUserBoundary),
}

func (k *request) boundary(arn *string) (string, error) {
	if b := aws.ToString(arn); k.c.policies[b] != "" {
		return b, nil
	}
	return "", noSuchEntity("Scope ARN: %s does not exist or is not attachable.", aws.ToString(arn))
}

func putRoleBoundary(k *request, in *iam.PutRolePermissionsBoundaryInput) (*iam.PutRolePermissionsBoundaryOutput, error) {
	r, err := k.changeable(in.RoleName)
	if err != nil {
		return nil, err
	}
	if r.Boundary, err = k.boundary(in.PermissionsBoundary); err != nil {
		return nil, err
	}
	k.store(r)
	return &iam.PutRolePermissionsBoundaryOutput{}, nil
}

func deleteRoleBoundary(k *request, in *iam.DeleteRolePermissionsBoundaryInput) (*iam.DeleteRolePermissionsBoundaryOutput, error) {
	r, err := k.changeable(in.RoleName)
	if err != nil {
		return nil, err
	}
	r.Boundary = ""
	k.store(r)
	return &iam.DeleteRolePermissionsBoundaryOutput{}, nil
}

func putUserBoundary(k *request, in *iam.PutUserPermissionsBoundaryInput) (*iam.PutUserPermissionsBoundaryOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	if u.Boundary, err = k.boundary(in.PermissionsBoundary); err != nil {
		return nil, err
	}
	k.storeUser(u)
	return &iam.PutUserPermissionsBoundaryOutput{}, nil
}

func deleteUserBoundary(k *request, in *iam.DeleteUserPermissionsBoundaryInput) (*iam.DeleteUserPermissionsBoundaryOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	u.Boundary = ""
	k.storeUser(u)
	return &iam.DeleteUserPermissionsBoundaryOutput{}, nil
}

// boundaryKey is iam:PermissionsBoundary of the calls that take one away: that of the role or
// user. ("Actions, resources, and condition keys for AWS IAM", Service Authorization Reference)
func (k *request) boundaryKey(in any) string {
	switch in := in.(type) {
	case *iam.DeleteRolePermissionsBoundaryInput:
		if r := k.account.roles[aws.ToString(in.RoleName)].current(); r != nil {
			return r.Boundary
		}
	case *iam.DeleteUserPermissionsBoundaryInput:
		if u := k.account.users[aws.ToString(in.UserName)].current(); u != nil {
			return u.Boundary
		}
	}
	return ""
}
