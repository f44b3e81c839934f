package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
)

const (
	activitySpan   = 24 * time.Hour
	activityWithin = time.Minute
	activityMost   = 10_000 // calls
	activityPage   = 50     // the most that LookupEvents gives at once
	// "The rate of lookup requests is limited to two per second, per account, per
	// Region." https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
	activityEvery   = 500 * time.Millisecond
	activityBackoff = 5 * time.Second // at most, where AWS asks for patience
	activityTries   = 5               // failures in a row that are no throttles: a region that is down must not hold up the notice
)

// activityPermits are those of a PhaseReport that looks up activity.
func activityPermits() []Statement {
	return []Statement{{[]string{"cloudtrail:LookupEvents"}, []string{"*"}}}
}

// globalRegions are where CloudTrail records the calls to IAM and other services
// that have no region.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-concepts.html#cloudtrail-concepts-global-service-events
// https://docs.aws.amazon.com/general/latest/gr/iam-service.html (the other partitions)
var globalRegions = map[string]string{"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}

// activityRegions are the configured regions, and the one of IAM's own calls:
// without it a report would say that a stolen key had left IAM alone.
func activityRegions(acct *Account) []string {
	var regions []string
	for _, r := range append(slices.Clone(acct.Org.Regions), globalRegions[acct.Partition]) {
		if r != "" && !slices.Contains(regions, r) {
			regions = append(regions, r)
		}
	}
	return regions
}

// lookUpActivity reads what was done with a key (AccessKeyId), by a user
// (Username) or to a resource (ResourceName) in the 24 hours before now. A region
// that can't be read is said in the Activity. An error means that nothing was
// read and another try may read it; the Activity then says of whom.
func lookUpActivity(ctx context.Context, acct *Account, attribute types.LookupAttributeKey, value string, now time.Time) (Activity, error) {
	look, cancel := context.WithTimeout(ctx, activityWithin)
	defer cancel()
	l := &activityLookup{acct: acct.Once(), attribute: attribute, value: value, from: now.Add(-activitySpan), to: now, tally: newTally(activityMost), full: cancel}
	regions := activityRegions(acct)
	found, errs := make([]RegionActivity, len(regions)), make([]error, len(regions))
	var wg sync.WaitGroup
	for i, region := range regions {
		wg.Go(func() { found[i], errs[i] = l.region(look, region) })
	}
	wg.Wait()
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return Activity{}, err
	}
	a := l.tally.activity()
	a.Subject, a.By, a.From, a.To, a.Regions = brief(value), string(attribute), l.from.UTC(), l.to.UTC(), found
	if i := slices.IndexFunc(errs, Transient); i >= 0 && a.Unread() {
		return a, fmt.Errorf("look up events in %s: %w", regions[i], errs[i])
	}
	switch {
	case !slices.ContainsFunc(found, func(r RegionActivity) bool { return r.Cut }):
	case l.tally.isFull():
		a.Cut = fmt.Sprintf("it stopped after %d calls; older ones are missing", activityMost)
	case ctx.Err() != nil:
		a.Cut = "it stopped when its time was over; older calls are missing"
	default:
		a.Cut = fmt.Sprintf("it stopped after %d s (AWS allows two requests a second); older calls are missing", int(activityWithin.Seconds()))
	}
	return a, nil
}

// activityLookup is one look-up in several regions at the same time.
type activityLookup struct {
	acct      *Account // without the SDK's retries, which would not keep the pace
	attribute types.LookupAttributeKey
	value     string
	from, to  time.Time
	tally     *tally
	full      context.CancelFunc // stops all regions
}

// region reads one region's pages, until ctx ends. The error is that which is
// told in what was found.
func (l *activityLookup) region(ctx context.Context, region string) (RegionActivity, error) {
	found := RegionActivity{Name: region}
	client := l.acct.CloudTrail(region)
	in := &cloudtrail.LookupEventsInput{
		LookupAttributes: []types.LookupAttribute{{AttributeKey: l.attribute, AttributeValue: &l.value}},
		StartTime:        &l.from, EndTime: &l.to, MaxResults: aws.Int32(activityPage),
	}
	var asked error // for patience, by AWS
	failures := 0
	for pause := activityEvery; ; {
		paced := time.NewTimer(pause) // from one request's start to the next's
		out, err := client.LookupEvents(ctx, in)
		switch {
		case ctx.Err() != nil:
			paced.Stop()
			return l.cut(ctx, found, asked)
		case Transient(err) && (Throttled(err) || failures < activityTries-1):
			if !Throttled(err) {
				failures++
			}
			asked, pause = err, min(2*pause, activityBackoff)
			paced.Reset(pause)
		case err != nil:
			paced.Stop()
			found.Error = regionTrouble(err)
			return found, err
		default:
			taken := l.tally.add(out.Events)
			found.Total += taken
			if taken < len(out.Events) {
				found.Cut = true
			}
			if in.NextToken = out.NextToken; in.NextToken == nil || found.Cut {
				paced.Stop()
				if found.Cut {
					l.full()
				}
				return found, nil
			}
			asked, pause, failures = nil, activityEvery, 0
		}
		select {
		case <-ctx.Done():
			paced.Stop()
			return l.cut(ctx, found, asked)
		case <-paced.C:
		}
	}
}

// cut is what a region has when the look-up ends before it does.
func (l *activityLookup) cut(ctx context.Context, found RegionActivity, asked error) (RegionActivity, error) {
	found.Cut = true
	if asked == nil && found.Total == 0 {
		asked = ctx.Err() // there was no answer yet
	}
	if asked != nil {
		found.Error = regionTrouble(asked)
	}
	return found, asked
}

// regionTrouble says why a region can't be read.
func regionTrouble(err error) string {
	cause, _ := Explain(err)
	switch {
	case errors.Is(err, context.Canceled):
		return "the look-up ended before it was read"
	case isCode(err, "UnrecognizedClientException", "InvalidClientTokenId", "OptInRequired"): // the token is good elsewhere
		return brief("the region is not enabled in this account: " + cause)
	}
	return brief(cause)
}
