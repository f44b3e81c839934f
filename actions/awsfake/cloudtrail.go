package awsfake

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
)

// cloudTrailOperations: LookupEvents has no resource type, so it takes "*"
// ("Actions, resources, and condition keys for AWS CloudTrail", Service
// Authorization Reference).
var cloudTrailOperations = map[string]operation{
	"cloudtrail:LookupEvents": {run: bind(reads, lookupEvents).run, needs: onAll},
}

// trailKept is how long the Event history reaches back.
const trailKept = 90 * 24 * time.Hour

// AddEvents puts events into the account's Event history of a region, empty for
// the cloud's own. They are as given, whatever the calls to this cloud are: it
// writes no events of its own. Events are no configuration, so they are not in
// the Snapshot.
func (a *Account) AddEvents(region string, events ...trailtypes.Event) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if a.events == nil {
		a.events = map[string][]trailtypes.Event{}
	}
	region = or(region, a.c.Region())
	a.events[region] = append(a.events[region], events...)
	slices.SortStableFunc(a.events[region], func(x, y trailtypes.Event) int { return at(y).Compare(at(x)) }) // "The most recent event is listed first"
}

func at(e trailtypes.Event) time.Time { return aws.ToTime(e.EventTime) }

// lookupEvents: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
func lookupEvents(k *request, in *cloudtrail.LookupEventsInput) (*cloudtrail.LookupEventsOutput, error) {
	from, to := k.now.Add(-trailKept), k.now
	if in.StartTime != nil && in.StartTime.After(from) {
		from = *in.StartTime
	}
	if in.EndTime != nil {
		to = *in.EndTime
	}
	if in.StartTime != nil && in.StartTime.After(to) {
		return nil, &trailtypes.InvalidTimeRangeException{Message: aws.String("Start time cannot be after end time.")}
	}
	most := int(aws.ToInt32(in.MaxResults))
	if in.MaxResults == nil {
		most = 50
	}
	if most < 1 || most > 50 {
		return nil, &trailtypes.InvalidMaxResultsException{Message: aws.String("Max results must be between 1 and 50.")}
	}
	matches, err := lookupAttribute(in.LookupAttributes)
	if err != nil {
		return nil, err
	}
	skip, ok := readLookupToken(in)
	if !ok {
		return nil, &trailtypes.InvalidNextTokenException{Message: aws.String("Invalid NextToken.")}
	}
	out := &cloudtrail.LookupEventsOutput{}
	for _, e := range k.account.events[k.region] {
		switch {
		case at(e).Before(from) || at(e).After(to) || !matches(e):
		case skip > 0:
			skip--
		case len(out.Events) == most:
			seen, _ := readLookupToken(in)
			out.NextToken = aws.String(lookupToken(in, seen+most))
			return out, nil
		default:
			out.Events = append(out.Events, e)
		}
	}
	return out, nil
}

// lookupAttribute is the filter: "Currently the list can contain only one item".
func lookupAttribute(attributes []trailtypes.LookupAttribute) (func(trailtypes.Event) bool, error) {
	invalid := &trailtypes.InvalidLookupAttributesException{Message: aws.String("Lookup attribute is not valid.")}
	if len(attributes) == 0 {
		return func(trailtypes.Event) bool { return true }, nil
	}
	if len(attributes) > 1 || aws.ToString(attributes[0].AttributeValue) == "" {
		return nil, invalid
	}
	want := *attributes[0].AttributeValue
	field, ok := map[trailtypes.LookupAttributeKey]func(trailtypes.Event) *string{
		trailtypes.LookupAttributeKeyAccessKeyId: func(e trailtypes.Event) *string { return e.AccessKeyId },
		trailtypes.LookupAttributeKeyUsername:    func(e trailtypes.Event) *string { return e.Username },
		trailtypes.LookupAttributeKeyEventId:     func(e trailtypes.Event) *string { return e.EventId },
		trailtypes.LookupAttributeKeyEventName:   func(e trailtypes.Event) *string { return e.EventName },
		trailtypes.LookupAttributeKeyEventSource: func(e trailtypes.Event) *string { return e.EventSource },
		trailtypes.LookupAttributeKeyReadOnly:    func(e trailtypes.Event) *string { return e.ReadOnly },
	}[attributes[0].AttributeKey]
	if ok {
		return func(e trailtypes.Event) bool { return aws.ToString(field(e)) == want }, nil
	}
	resource := map[trailtypes.LookupAttributeKey]func(trailtypes.Resource) *string{
		trailtypes.LookupAttributeKeyResourceName: func(r trailtypes.Resource) *string { return r.ResourceName },
		trailtypes.LookupAttributeKeyResourceType: func(r trailtypes.Resource) *string { return r.ResourceType },
	}[attributes[0].AttributeKey]
	if resource == nil {
		return nil, invalid
	}
	return func(e trailtypes.Event) bool {
		return slices.ContainsFunc(e.Resources, func(r trailtypes.Resource) bool { return aws.ToString(resource(r)) == want })
	}, nil
}

// lookupToken is where the next page begins: "This token must be passed in with
// the same parameters that were specified in the original call."
func lookupToken(in *cloudtrail.LookupEventsInput, seen int) string {
	h := fnv.New64a()
	_, _ = fmt.Fprintln(h, aws.ToTime(in.StartTime), aws.ToTime(in.EndTime), in.EventCategory)
	for _, a := range in.LookupAttributes {
		_, _ = fmt.Fprintln(h, a.AttributeKey, aws.ToString(a.AttributeValue))
	}
	return fmt.Sprintf("%d-%x", seen, h.Sum64())
}

func readLookupToken(in *cloudtrail.LookupEventsInput) (seen int, ok bool) {
	token := aws.ToString(in.NextToken)
	if token == "" {
		return 0, true
	}
	number, _, _ := strings.Cut(token, "-")
	seen, err := strconv.Atoi(number)
	return seen, err == nil && seen >= 0 && lookupToken(in, seen) == token
}
