package vouch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// The length of CloudTrail's event history, and the pages of it that we read for one
// sentence: it allows two look-ups a second.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events.html
const (
	historyDays   = 90
	historyWithin = 6 * time.Second
	historyPages  = 4
)

// GuardUser returns why it takes one approval more to contain a user: its name is protected in any
// account, it is an administrator, or its groups can't be read, as whoever holds the account may
// bring about.
func GuardUser(ctx context.Context, acct *actions.Account, u *types.User, groups []string, unread error) string {
	user, arn := aws.ToString(u.UserName), aws.ToString(u.Arn)
	if acct.Org.ProtectedByNameAlone(arn) {
		return user + " has a name that is protected in any account; nothing shows that this is the one that is meant."
	}
	if acct.Org.AdminGroup == "" {
		return ""
	}
	if unread != nil {
		cause, _ := actions.Explain(unread)
		return fmt.Sprintf("whether %s is a member of the admin group %s can't be read (%s).", user, acct.Org.AdminGroup, cause)
	}
	if group := adminGroup(acct.Org, groups); group != "" {
		since := ""
		if acct.Look == actions.LookAll {
			since = ", " + memberSince(ctx, acct, user, group)
		}
		return fmt.Sprintf("%s is a member of the admin group %s%s.", user, group, since)
	}
	return ""
}

// GroupPermits are the permissions to read since when an administrator is in the group. LookupEvents takes
// no resource.
func GroupPermits(s actions.Scope) []actions.Statement {
	if s.Any() || s.Org.AdminGroup != "" {
		return []actions.Statement{{Actions: []string{"cloudtrail:LookupEvents"}, Resources: []string{"*"}}}
	}
	return nil
}

// Groups returns the names of a user's groups, of every page.
func Groups(ctx context.Context, acct *actions.Account, user string) ([]string, error) {
	names, err := actions.List(ctx, iam.NewListGroupsForUserPaginator(acct.IAM(), &iam.ListGroupsForUserInput{UserName: &user}),
		func(p *iam.ListGroupsForUserOutput) []types.Group { return p.Groups },
		func(g types.Group) string { return aws.ToString(g.GroupName) })
	slices.Sort(names)
	return names, err
}

// adminGroup returns the admin group in the account's spelling if the user is in it;
// else "". IAM names are unique regardless of case.
func adminGroup(o actions.Org, groups []string) string {
	i := slices.IndexFunc(groups, func(g string) bool { return o.AdminGroup != "" && strings.EqualFold(g, o.AdminGroup) })
	if i < 0 {
		return ""
	}
	return groups[i]
}

// memberSince returns since when a user is in a group, as the words after "a member of
// the group". It is for the requester only, and no decision depends on it.
func memberSince(ctx context.Context, acct *actions.Account, user, group string) string {
	since, cut := "", (*trail.CutError)(nil)
	err := trail.Lookup(ctx, acct, trail.GlobalRegion(acct.Partition), trail.Subject{By: "ResourceName", Value: user}, time.Time{}, time.Time{},
		trail.Budget{Pages: historyPages, Within: historyWithin}, func(events []trailtypes.Event) bool {
			for _, e := range events {
				if since == "" && isJoin(e, user, group) {
					since = fmt.Sprintf("since %s, by %s", aws.ToTime(e.EventTime).UTC().Format("2006-01-02 15:04 UTC"), actions.Clip(aws.ToString(e.Username)))
				}
			}
			return since == ""
		})
	switch {
	case since != "":
		return since
	case errors.As(err, &cut) && errors.Is(err, trail.ErrPages):
		return "since when is not known (the user has too many events)"
	case err != nil:
		cause, _ := actions.Explain(err)
		return "since when is not known (" + cause + ")"
	}
	return fmt.Sprintf("for longer than CloudTrail shows (%d days)", historyDays)
}

// isJoin reports whether an event added the user to the group.
func isJoin(e trailtypes.Event, user, group string) bool {
	if aws.ToString(e.EventName) != "AddUserToGroup" {
		return false
	}
	var d struct {
		ErrorCode         string
		RequestParameters struct{ UserName, GroupName string }
	}
	return json.Unmarshal([]byte(aws.ToString(e.CloudTrailEvent)), &d) == nil && d.ErrorCode == "" &&
		strings.EqualFold(d.RequestParameters.UserName, user) && strings.EqualFold(d.RequestParameters.GroupName, group)
}
