package user

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

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

// memberSince returns since when a user is in a group, as the words after "a member of
// the group". It is for the requester only, and no decision depends on it.
func memberSince(ctx context.Context, acct *actions.Account, user, group string) string {
	since, cut := "", (*trail.CutError)(nil)
	err := trail.Lookup(ctx, acct, trail.GlobalRegion(acct.Partition), trail.Subject{By: "ResourceName", Value: user}, time.Time{}, time.Time{},
		trail.Budget{Pages: historyPages, Within: historyWithin}, func(events []types.Event) bool {
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
func isJoin(e types.Event, user, group string) bool {
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
