package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
)

// How long CloudTrail's event history looks back, and what we read of it for one
// sentence: it allows two look-ups a second.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events.html
const (
	historyDays    = 90
	historyWithin  = 6 * time.Second
	historyEntries = 50
	historyPages   = 4
)

// memberSince says since when a user is in a group, as the words after "a
// member of the group". It is told to the person who asked, and never decides.
func memberSince(ctx context.Context, acct *Account, user, group string) string {
	ctx, cancel := context.WithTimeout(ctx, historyWithin)
	defer cancel()
	in := &cloudtrail.LookupEventsInput{MaxResults: aws.Int32(historyEntries), // newest first
		LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyResourceName, AttributeValue: &user}}}
	pages := cloudtrail.NewLookupEventsPaginator(acct.CloudTrail(iamEvents(acct.Partition)), in)
	for n := 0; pages.HasMorePages(); n++ {
		if n == historyPages {
			return "since when is not known (the user has too many events)"
		}
		page, err := pages.NextPage(ctx)
		if err != nil {
			cause, _ := Explain(err)
			return "since when is not known (" + cause + ")"
		}
		for _, e := range page.Events {
			if joined(e, user, group) {
				return fmt.Sprintf("since %s, by %s", aws.ToTime(e.EventTime).UTC().Format("2006-01-02 15:04 UTC"), clip(aws.ToString(e.Username)))
			}
		}
	}
	return fmt.Sprintf("for longer than CloudTrail shows (%d days)", historyDays)
}

// joined reports whether an event put the user into the group.
func joined(e types.Event, user, group string) bool {
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

// iamEvents is the region in which CloudTrail records IAM's events.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-integration.html
func iamEvents(partition string) string {
	switch partition {
	case "aws-us-gov":
		return "us-gov-west-1"
	case "aws-cn":
		return "cn-north-1"
	}
	return "us-east-1"
}
