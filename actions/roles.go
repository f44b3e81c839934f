package actions

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// Forget lets what was listed of the account be listed again.
func (a *Account) Forget() { a.roles = &roleList{} }

// Share lets a session see what another one has listed.
func (a *Account) Share(b *Account) { a.roles = b.roles }

// roleList is all roles of an account, listed with few calls when it is first asked.
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
	byName := map[string]types.RoleDetail{}
	in := &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeRole}, MaxItems: aws.Int32(1000)}
	for pages := iam.NewGetAccountAuthorizationDetailsPaginator(a.IAM(), in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range page.RoleDetailList {
			byName[aws.ToString(r.RoleName)] = r
		}
	}
	l.byName = byName
	return byName, nil
}
