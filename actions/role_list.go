package actions

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// MorePages is the error of a call that read one page of a long listing. The page is
// kept: the same call, made again, reads the next one.
type MorePages struct {
	Of   string
	Read int // items so far
}

func (m *MorePages) Error() string { return fmt.Sprintf("reading %s: %d so far", m.Of, m.Read) }

// ResetRoleList makes the next AllRoles list the roles again.
func (a *Account) ResetRoleList() { a.roles = &roleList{size: a.roles.size} }

// ShareRoleList makes a session use the role list of another one.
func (a *Account) ShareRoleList(b *Account) { a.roles = b.roles }

// Sizes of a page of the role list. AWS gives fewer than were asked for; after a failed
// call half as many are asked for, at most slowPage.
const (
	fullPage = 1000
	slowPage = 100
	minPage  = 25
)

// RevokePolicy is the inline policy that revokes sessions; the name, without an installation, is the IAM
// console's.
const RevokePolicy = "AWSRevokeOlderSessions"

// Roles are an account's roles, as far as they were listed, with no inline policy but
// RevokePolicy, of any installation.
type Roles struct {
	ByName map[string]types.RoleDetail `json:"by_name"`
	Next   *string                     `json:"next,omitempty"` // marker of the next page
	Whole  bool                        `json:"whole"`
	Size   int32                       `json:"size"` // of the next page
}

// Listed returns what AllRoles has read, for a later session to go on with.
func (a *Account) Listed() Roles {
	l := a.roles
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := Roles{ByName: make(map[string]types.RoleDetail, len(l.byName)), Next: l.next, Whole: l.whole, Size: l.size}
	for name, r := range l.byName {
		other := func(p types.PolicyDetail) bool {
			base, _ := InstallationOf(aws.ToString(p.PolicyName))
			return base != RevokePolicy
		}
		r.RolePolicyList = slices.DeleteFunc(slices.Clone(r.RolePolicyList), other)
		kept.ByName[name] = r
	}
	return kept
}

// GoOn makes AllRoles go on with what was listed before.
func (a *Account) GoOn(l Roles) {
	a.roles = &roleList{byName: l.ByName, next: l.Next, whole: l.Whole, size: cmp.Or(l.Size, fullPage)}
}

// roleList caches all roles of an account with the pages read so far.
type roleList struct {
	mu     sync.Mutex
	byName map[string]types.RoleDetail
	next   *string // marker of the next page
	whole  bool
	size   int32 // of the next page
}

// AllRoles returns the account's roles with their inline policies; trust (but of what a name
// exempts), tags and attachments, which can be large and are not needed, are left out. Each call reads one
// page, within callTimeout, and returns [*MorePages] until the last one is read; then
// the list is cached. A call that failed has lost no page.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
func (a *Account) AllRoles(ctx context.Context) (map[string]types.RoleDetail, error) {
	l := a.roles
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.whole {
		return l.byName, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	page, err := a.IAM().GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{
		Filter: []types.EntityType{types.EntityTypeRole}, MaxItems: aws.Int32(l.size), Marker: l.next,
	}, func(o *iam.Options) { o.Retryer = aws.NopRetryer{} }) // the next try is for a smaller page
	if err != nil {
		switch {
		case !Transient(err): // maybe the marker is too old
			l.byName, l.next = nil, nil
		case !Throttled(err):
			l.size = max(min(l.size/2, slowPage), minPage)
		}
		return nil, err
	}
	if l.byName == nil {
		l.byName = map[string]types.RoleDetail{}
	}
	for _, r := range page.RoleDetailList {
		if name := aws.ToString(r.RoleName); !strings.EqualFold(name, a.Org.ForwarderRole) && !a.Org.Ours(name) && a.Org.Protection(aws.ToString(r.Arn)) == "" {
			r.AssumeRolePolicyDocument = nil
		}
		r.Tags, r.InstanceProfileList, r.AttachedManagedPolicies = nil, nil, nil
		l.byName[aws.ToString(r.RoleName)] = r
	}
	if l.next, l.whole = page.Marker, !page.IsTruncated; !l.whole {
		return nil, &MorePages{Of: "the account's roles", Read: len(l.byName)}
	}
	return l.byName, nil
}
