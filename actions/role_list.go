package actions

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// ResetRoleList makes the next AllRoles list the roles again.
func (a *Account) ResetRoleList() { a.roles = &roleList{} }

// ShareRoleList makes a session use the role list of another one.
func (a *Account) ShareRoleList(b *Account) { a.roles = b.roles }

// roleList caches all roles of an account, listed with few calls on first use.
type roleList struct {
	mu     sync.Mutex
	byName map[string]types.RoleDetail
}

// AllRoles lists the account's roles with all their policies.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
func (a *Account) AllRoles(ctx context.Context) (map[string]types.RoleDetail, error) {
	l := a.roles
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byName != nil {
		return l.byName, nil
	}
	in := &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeRole}, MaxItems: aws.Int32(1000)}
	roles, err := List(ctx, iam.NewGetAccountAuthorizationDetailsPaginator(a.IAM(), in),
		func(p *iam.GetAccountAuthorizationDetailsOutput) []types.RoleDetail { return p.RoleDetailList }, Itself)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]types.RoleDetail, len(roles))
	for _, r := range roles {
		byName[aws.ToString(r.RoleName)] = r
	}
	l.byName = byName
	return byName, nil
}
