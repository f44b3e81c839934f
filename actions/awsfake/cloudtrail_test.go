package awsfake_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// trail is a CloudTrail client of the victim's session, without retries.
func (w *world) trail(region string) *cloudtrail.Client {
	return cloudtrail.NewFromConfig(w.Session(w.victim, "s").Config(), func(o *cloudtrail.Options) { o.Region, o.Retryer = region, aws.NopRetryer{} })
}

func looked(id, key, user string, t time.Time, resources ...string) types.Event {
	e := types.Event{EventId: &id, AccessKeyId: &key, Username: &user, EventName: aws.String("Get" + id), EventTime: &t}
	for _, r := range resources {
		e.Resources = append(e.Resources, types.Resource{ResourceName: &r, ResourceType: aws.String("AWS::S3::Bucket")})
	}
	return e
}

func ids(out *cloudtrail.LookupEventsOutput) []string {
	var s []string
	for _, e := range out.Events {
		s = append(s, *e.EventId)
	}
	return s
}

func by(key types.LookupAttributeKey, v string) []types.LookupAttribute {
	return []types.LookupAttribute{{AttributeKey: key, AttributeValue: &v}}
}

func TestLookupEvents(t *testing.T) {
	w := newWorld(t)
	a := w.Account(member)
	a.AddEvents("eu-central-1",
		looked("1", "AKIAONE", "eve", start.Add(-time.Hour), "bucket"),
		looked("2", "AKIATWO", "eve", start.Add(-time.Minute)),
		looked("3", "AKIAONE", "eve", start.Add(-25*time.Hour)),
		looked("4", "AKIAONE", "eve", start.Add(-91*24*time.Hour)))
	a.AddEvents("", looked("5", "AKIAONE", "eve", start))
	for name, c := range map[string]struct {
		region string
		in     cloudtrail.LookupEventsInput
		want   []string
	}{
		"all of 90 days, newest first": {"eu-central-1", cloudtrail.LookupEventsInput{}, []string{"2", "1", "3"}},
		"key":                          {"eu-central-1", cloudtrail.LookupEventsInput{LookupAttributes: by(types.LookupAttributeKeyAccessKeyId, "AKIAONE")}, []string{"1", "3"}},
		"user":                         {"eu-central-1", cloudtrail.LookupEventsInput{LookupAttributes: by(types.LookupAttributeKeyUsername, "eve")}, []string{"2", "1", "3"}},
		"event name":                   {"eu-central-1", cloudtrail.LookupEventsInput{LookupAttributes: by(types.LookupAttributeKeyEventName, "Get3")}, []string{"3"}},
		"resource":                     {"eu-central-1", cloudtrail.LookupEventsInput{LookupAttributes: by(types.LookupAttributeKeyResourceName, "bucket")}, []string{"1"}},
		"a time range":                 {"eu-central-1", cloudtrail.LookupEventsInput{StartTime: aws.Time(start.Add(-2 * time.Hour)), EndTime: aws.Time(start.Add(-time.Hour))}, []string{"1"}},
		"another region":               {w.Region(), cloudtrail.LookupEventsInput{}, []string{"5"}},
		"a region without events":      {"eu-west-1", cloudtrail.LookupEventsInput{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := w.trail(c.region).LookupEvents(t.Context(), &c.in)
			check(t, err)
			if d := cmp.Diff(c.want, ids(out)); d != "" || out.NextToken != nil {
				t.Errorf("events (-want +got), next %v:\n%s", out.NextToken, d)
			}
		})
	}
}

func TestLookupEventsPages(t *testing.T) {
	w := newWorld(t)
	for i := range 120 {
		w.Account(member).AddEvents("", looked(fmt.Sprint(i), "AKIAONE", "eve", start.Add(-time.Duration(i)*time.Second)), looked("other", "AKIATWO", "eve", start))
	}
	in := &cloudtrail.LookupEventsInput{LookupAttributes: by(types.LookupAttributeKeyAccessKeyId, "AKIAONE")}
	var sizes []int
	seen := map[string]bool{}
	for {
		out, err := w.trail(w.Region()).LookupEvents(t.Context(), in)
		check(t, err)
		sizes = append(sizes, len(out.Events))
		for _, id := range ids(out) {
			seen[id] = true
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	if d := cmp.Diff([]int{50, 50, 20}, sizes); d != "" || len(seen) != 120 || seen["other"] {
		t.Errorf("pages (-want +got), %d events seen:\n%s", len(seen), d)
	}
}

func TestLookupEventsErrors(t *testing.T) {
	w := newWorld(t)
	for i := range 60 {
		w.Account(member).AddEvents("", looked(fmt.Sprint(i), "AKIAONE", "eve", start))
	}
	first, err := w.trail(w.Region()).LookupEvents(t.Context(), &cloudtrail.LookupEventsInput{LookupAttributes: by(types.LookupAttributeKeyAccessKeyId, "AKIAONE")})
	check(t, err)
	for name, c := range map[string]struct {
		in   cloudtrail.LookupEventsInput
		want error
	}{
		"start after end": {cloudtrail.LookupEventsInput{StartTime: aws.Time(start), EndTime: aws.Time(start.Add(-1))}, new(types.InvalidTimeRangeException)},
		"51 a page":       {cloudtrail.LookupEventsInput{MaxResults: aws.Int32(51)}, new(types.InvalidMaxResultsException)},
		"none a page":     {cloudtrail.LookupEventsInput{MaxResults: aws.Int32(0)}, new(types.InvalidMaxResultsException)},
		"two attributes": {cloudtrail.LookupEventsInput{LookupAttributes: append(by(types.LookupAttributeKeyEventId, "1"), by(types.LookupAttributeKeyUsername, "eve")...)},
			new(types.InvalidLookupAttributesException)},
		"a token of another look-up": {cloudtrail.LookupEventsInput{NextToken: first.NextToken, LookupAttributes: by(types.LookupAttributeKeyUsername, "eve")}, new(types.InvalidNextTokenException)},
		"no token at all":            {cloudtrail.LookupEventsInput{NextToken: aws.String("x")}, new(types.InvalidNextTokenException)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.trail(w.Region()).LookupEvents(t.Context(), &c.in)
			var want, got interface{ ErrorCode() string }
			if !errors.As(c.want, &want) || !errors.As(err, &got) || got.ErrorCode() != want.ErrorCode() {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

// TestCloudTrailLimits: the limit is per account and region, and a fault may hit one region.
func TestCloudTrailLimits(t *testing.T) {
	w := newWorld(t)
	w.Throttle("cloudtrail:*", 2, 2)
	w.Fault(awsfake.Fault{Op: "cloudtrail:*", Region: "eu-west-1", Err: errors.New("down")})
	look := func(region string) error {
		_, err := w.trail(region).LookupEvents(t.Context(), &cloudtrail.LookupEventsInput{})
		return err
	}
	check(t, look("eu-central-1"))
	check(t, look("eu-central-1"))
	wantCode(t, look("eu-central-1"), "ThrottlingException")
	check(t, look("eu-central-2"))
	if err := look("eu-west-1"); err == nil {
		t.Error("the fault of eu-west-1 did not hit it")
	}
	w.clock.add(time.Second)
	check(t, look("eu-central-1"))
	narrow := w.Account(member).AddRole(awsfake.Role{Name: "narrow"})
	_, err := cloudtrail.NewFromConfig(w.Session(narrow, "s").Config()).LookupEvents(t.Context(), &cloudtrail.LookupEventsInput{})
	wantCode(t, err, "AccessDeniedException")
}
