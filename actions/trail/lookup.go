// Package trail reads CloudTrail's Event history.
//
//	Lookup    the only caller of LookupEvents, two calls a second per account and region
//	Activity  a summary of a subject's last 24 hours, see ActivityOf
//	Topic     an SNS topic that gets the summary
//	Reporter  an action that has such a report
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

// Subject selects events: By is a lookup attribute (AccessKeyId, Username, ResourceName,
// EventId), Value its value.
type Subject struct {
	By    string `json:"by"`
	Value string `json:"value"`
}

// Budget limits a look-up.
type Budget struct {
	Pages  int           // of 50 events; 0 for all
	Within time.Duration // 0: until the context ends
	// Patient look-ups are retried while AWS throttles, within the time limit, and a few
	// times after failures. Others return the error.
	Patient bool
}

// CutError is returned if a look-up ended before the end of the history. Err is the
// cause, or the throttling error if there was one.
type CutError struct{ Err error }

func (e *CutError) Error() string { return "the look-up ended early: " + e.Err.Error() }

func (e *CutError) Unwrap() error { return e.Err }

// ErrPages is the cause if the page limit was reached.
var ErrPages = errors.New("there are more events than are looked at")

const (
	lookupPage = 50 // the largest page of LookupEvents
	// "The rate of lookup requests is limited to two per second, per account, per
	// Region." https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
	lookupRate    = 2
	lookupBackoff = 5 * time.Second // the longest pause after throttling
	lookupTries   = 5               // consecutive failures other than throttling: an outage of one region must not delay others
)

// Lookup reads the events of a subject between two times in CloudTrail's Event history
// of one region, newest first, and calls page until it returns false. Zero times are the
// history's limit of 90 days. All look-ups in an account and region share AWS's rate
// limit.
//
// It returns a [CutError] if budget or context ended it, or an error of AWS.
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
	var asked error // the last throttling error
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
		next := time.NewTimer(time.Second / lookupRate) // one look-up does not use the whole rate limit
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

// LookupPermits returns the permissions of a look-up. LookupEvents has no resources.
func LookupPermits() []actions.Statement {
	return []actions.Statement{{Actions: []string{"cloudtrail:LookupEvents"}, Resources: []string{"*"}}}
}

// globalRegions are the regions in which CloudTrail records calls to IAM and other
// global services.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-concepts.html#cloudtrail-concepts-global-service-events
// https://docs.aws.amazon.com/general/latest/gr/iam-service.html (the other partitions)
var globalRegions = map[string]string{"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}

// GlobalRegion returns the region in which CloudTrail records calls to IAM.
func GlobalRegion(partition string) string { return globalRegions[partition] }

// EventOf returns a record of CloudTrail's Event history unchanged, "" if the history
// has none with this ID.
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
