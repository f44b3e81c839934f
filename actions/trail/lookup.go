// Package trail reads CloudTrail's Event history: [Lookup] is the only caller of
// LookupEvents, which AWS limits to two calls a second for each account and region.
// [ActivityOf] adds up what a subject did lately; a [Topic] sends it to people.
package trail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Subject is whose events CloudTrail is asked for: By is a lookup attribute
// (AccessKeyId, Username, ResourceName, EventId), Value what it is.
type Subject struct {
	By    string `json:"by"`
	Value string `json:"value"`
}

// Budget bounds a look-up.
type Budget struct {
	Pages  int           // of 50 events; 0 for all
	Within time.Duration // 0 for as long as the context lasts
	// Patient look-ups ask again where AWS throttles, as long as there is time, and a
	// few times where it fails. Others return the error.
	Patient bool
}

// CutError says that a look-up ended before the history did. Err is why, and where
// AWS had asked for patience, that.
type CutError struct{ Err error }

func (e *CutError) Error() string { return "the look-up ended early: " + e.Err.Error() }

func (e *CutError) Unwrap() error { return e.Err }

// ErrPages is why a look-up ended whose pages were used up.
var ErrPages = errors.New("there are more events than are looked at")

const (
	lookupPage = 50 // the most events that LookupEvents gives at once
	// "The rate of lookup requests is limited to two per second, per account, per
	// Region." https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
	lookupRate    = 2
	lookupBackoff = 5 * time.Second // at most, where AWS asks for patience
	lookupTries   = 5               // failures in a row that are no throttles: a region that is down must not hold up others
)

// Lookup reads what CloudTrail's Event history of one region has about a subject
// between two times, the newest first, and passes it on page by page until that
// returns false. Zero times stand for the 90 days that the history goes back. All
// look-ups in an account and region share what AWS allows there.
//
// The error is a [CutError] where budget or context ended it; any other one is AWS's.
func Lookup(ctx context.Context, acct *actions.Account, region string, s Subject, from, to time.Time, b Budget, page func([]types.Event) bool) error {
	if b.Within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.Within)
		defer cancel()
	}
	if b.Patient {
		acct = acct.WithoutRetries() // the SDK's retries would not keep the pace
	}
	client := cloudtrail.NewFromConfig(acct.Config(), func(o *cloudtrail.Options) { o.Region = region })
	in := &cloudtrail.LookupEventsInput{MaxResults: aws.Int32(lookupPage),
		LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKey(s.By), AttributeValue: &s.Value}}}
	if !from.IsZero() {
		in.StartTime = &from
	}
	if !to.IsZero() {
		in.EndTime = &to
	}
	var asked error // for patience, by AWS
	cut := func() error {
		if asked != nil {
			return &CutError{asked}
		}
		return &CutError{ctx.Err()}
	}
	failures, pause := 0, time.Duration(0)
	for n := 0; ; {
		if b.Pages > 0 && n == b.Pages {
			return &CutError{ErrPages}
		}
		if acct.WaitRateLimit(ctx, "cloudtrail:LookupEvents", region, lookupRate, time.Second) != nil {
			return cut()
		}
		next := time.NewTimer(time.Second / lookupRate) // one look-up does not take all turns
		out, err := client.LookupEvents(ctx, in)
		switch {
		case err == nil:
			n, asked, failures, pause = n+1, nil, 0, 0
			if in.NextToken = out.NextToken; !page(out.Events) || in.NextToken == nil {
				return nil
			}
		case ctx.Err() != nil:
			return cut()
		case !b.Patient, !actions.Transient(err), !actions.Throttled(err) && failures == lookupTries-1:
			return err
		default:
			if !actions.Throttled(err) {
				failures++
			}
			asked, pause = err, min(max(2*pause, time.Second), lookupBackoff)
			next.Reset(pause)
		}
		if !wait(ctx, next) {
			return cut()
		}
	}
}

// wait reports whether a timer ends before the context does.
func wait(ctx context.Context, t *time.Timer) bool {
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// LookupPermits are the permissions of a look-up. LookupEvents has no resources.
func LookupPermits() []actions.Statement {
	return []actions.Statement{{Actions: []string{"cloudtrail:LookupEvents"}, Resources: []string{"*"}}}
}

// globalRegions are where CloudTrail records the calls to IAM and other services
// that have no region.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-concepts.html#cloudtrail-concepts-global-service-events
// https://docs.aws.amazon.com/general/latest/gr/iam-service.html (the other partitions)
var globalRegions = map[string]string{"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}

// GlobalRegion is where CloudTrail records the calls to IAM.
func GlobalRegion(partition string) string { return globalRegions[partition] }

// EventOf is a record of CloudTrail's Event history as CloudTrail wrote it, "" where
// the history has none of this ID.
func EventOf(ctx context.Context, acct *actions.Account, region, id string) (record string, err error) {
	err = Lookup(ctx, acct, region, Subject{By: string(types.LookupAttributeKeyEventId), Value: id}, time.Time{}, time.Time{}, Budget{}, func(es []types.Event) bool {
		if len(es) == 1 {
			record = aws.ToString(es[0].CloudTrailEvent)
		}
		return false
	})
	if cut := (*CutError)(nil); errors.As(err, &cut) {
		err = fmt.Errorf("look up event: %w", cut.Err)
	}
	return record, err
}
