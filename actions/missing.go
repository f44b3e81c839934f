package actions

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// Limits of the look for a target that is probably meant. It is for people alone, and a
// refusal waits no longer for it.
const (
	NearestWithin = 3 * time.Second
	NearestPages  = 2 // of 1,000 names, the most that IAM and EC2 give
	mostNearest   = 3 // names in a refusal
)

// MissingRole returns the refusal of a call on a role that does not exist, with the nearest
// that do.
func (a *Account) MissingRole(ctx context.Context, c Call) *Refusal {
	return a.missing(ctx, c, "role", func(ctx context.Context) ([]string, error) {
		p := iam.NewListRolesPaginator(a.IAM(), &iam.ListRolesInput{MaxItems: aws.Int32(fullPage)})
		return List(ctx, AtMost(NearestPages, p), func(p *iam.ListRolesOutput) []types.Role { return p.Roles },
			func(r types.Role) string { return aws.ToString(r.Arn) })
	})
}

// MissingUser is MissingRole for an IAM user.
func (a *Account) MissingUser(ctx context.Context, c Call) *Refusal {
	return a.missing(ctx, c, "IAM user", func(ctx context.Context) ([]string, error) {
		p := iam.NewListUsersPaginator(a.IAM(), &iam.ListUsersInput{MaxItems: aws.Int32(fullPage)})
		return List(ctx, AtMost(NearestPages, p), func(p *iam.ListUsersOutput) []types.User { return p.Users },
			func(u types.User) string { return aws.ToString(u.Arn) })
	})
}

// Renamed is returned by Plan for a user that has another name than when it was approved, in a
// run or look. ARN is what it has now.
type Renamed struct{ ARN string }

func (e *Renamed) Error() string { return "the user was renamed: it is " + e.ARN + " now" }

// RenamedUser returns a [*Renamed] if the user that was approved has another name now, nil if it
// is gone. UpdateUser changes name and path, never the ID.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateUser.html
func (a *Account) RenamedUser(ctx context.Context) error {
	if a.Look == LookAll || a.Approved == "" {
		return nil
	}
	p := iam.NewListUsersPaginator(a.IAM(), &iam.ListUsersInput{MaxItems: aws.Int32(fullPage)})
	for p.HasMorePages() {
		out, err := p.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, u := range out.Users {
			if aws.ToString(u.UserId) == a.Approved {
				return &Renamed{aws.ToString(u.Arn)}
			}
		}
	}
	return nil
}

// ListPermit allows the listing of MissingRole or MissingUser. It takes no resource.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
func ListPermit(action string) Statement {
	return Statement{Actions: []string{action}, Resources: []string{"*"}}
}

func (a *Account) missing(ctx context.Context, c Call, kind string, list func(context.Context) ([]string, error)) *Refusal {
	no := &Refusal{Reason: fmt.Sprintf("there is no %s %s in account %s", kind, LastPart(c.Target), a.ID),
		Hint: "check the name (it is case-sensitive) and the account"}
	if a.Look != LookAll {
		return no
	}
	ctx, cancel := context.WithTimeout(ctx, NearestWithin)
	defer cancel()
	if arns, err := list(ctx); err == nil {
		a.NameNearest(no, c, arns)
	}
	return no
}

// NameNearest adds the nearest of the targets that exist to the refusal of a call on one
// that does not. Whoever can make targets decides on their names: those that the grammar
// does not take, and those that may not be contained, are left out.
func (a *Account) NameNearest(no *Refusal, c Call, arns []string) {
	action, ok := a.Org.Actions.Lookup(c.Action)
	if !ok {
		return
	}
	byName := map[string]string{}
	for _, arn := range arns {
		byName[LastPart(arn)] = arn
	}
	var names []string
	for _, name := range nearestNames(LastPart(c.Target), byName) {
		t := action.Spec().Target.Read(TargetText{Text: byName[name], Directory: a.Org.Directory()}, &ParseErrors{}) // zero if it has mistakes
		meant := c
		meant.Target, meant.Account, meant.Region = t.Name, t.Account, t.Region
		if t.Account != c.Account || a.Org.RefuseCall(meant) != nil {
			continue
		}
		if names = append(names, name); len(names) == 1 {
			no.Instead = &meant
		}
		if len(names) == mostNearest {
			break
		}
	}
	switch last := len(names) - 1; {
	case last == 0:
		no.Reason += "; the nearest is " + names[0]
	case last > 0:
		no.Reason += "; the nearest is " + strings.Join(names[:last], ", ") + " or " + names[last]
	}
}

// OtherPath returns a refusal if a role or user was found by its name on another path than the call's
// target has; without a path the target means any.
func OtherPath(c Call, found string) *Refusal {
	g := principalARN.FindStringSubmatch(c.Target)
	if g == nil || g[4] == "" || found == c.Target {
		return nil
	}
	kind := g[3]
	if kind == "user" {
		kind = "IAM user"
	}
	meant := c
	meant.Target = found
	return &Refusal{Reason: fmt.Sprintf("there is no %s %s; the %s %s in account %s is %s", kind, c.Target, g[3], g[5], c.Account, found), Hint: "ask again with that ARN", Instead: &meant}
}
