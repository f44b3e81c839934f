package trail_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

const (
	stolen = "AKIAIOSFODNN7EXAMPLE"
	other  = "AKIAI44QH8DHBEXAMPLE" // the same user's
	home   = "eu-central-1"
	global = "us-east-1"
)

// history is a member account whose responder may look up events.
type history struct {
	*awsfake.Cloud
	t     *testing.T
	org   actions.Org
	began time.Time
}

// inTrail runs a test in a bubble, whose clock makes waiting free.
func inTrail(t *testing.T, regions []string, f func(t *testing.T, w *history)) {
	t.Helper()
	inTrailOf(t, "aws", regions, f)
}

func inTrailOf(t *testing.T, partition string, regions []string, f func(t *testing.T, w *history)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &history{Cloud: awsfake.New(time.Now, awsfake.WithPartition(partition)), t: t, org: actiontest.TestOrg(partition), began: time.Now()}
		w.org.Regions = regions
		w.Member(actiontest.Member, awsfake.MemberRoles{ExternalID: w.org.ExternalID,
			ResponderPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"cloudtrail:LookupEvents","Resource":"*"}]}`})
		f(t, w)
	})
}

// event is one call of eve's with a key, so long before the test began. The
// record's fields are JSON, without the braces.
func (w *history) event(key, name string, ago time.Duration, record string, resources ...string) types.Event {
	at, user := w.began.Add(-ago), "eve"
	full := "{" + record + "}"
	e := types.Event{AccessKeyId: &key, Username: &user, EventName: &name, EventTime: &at, CloudTrailEvent: &full}
	for _, r := range resources {
		kind, name, _ := strings.Cut(r, "=")
		e.Resources = append(e.Resources, types.Resource{ResourceType: &kind, ResourceName: &name})
	}
	return e
}

// many puts n calls of the stolen key into a region.
func (w *history) many(region string, n int) {
	var events []types.Event
	for i := range n {
		events = append(events, w.event(stolen, "GetObjectAcl", time.Duration(i)*time.Second, `"sourceIPAddress":"198.51.100.7"`))
	}
	w.Account(actiontest.Member).AddEvents(region, events...)
}

func (w *history) enter() *actions.Account {
	w.t.Helper()
	acct, err := actions.NewCloud(w.Config(), w.org).Enter(w.t.Context(), actions.Responder, actiontest.Member, "", actiontest.Actor, trail.ActivityPermits())
	actiontest.Must(w.t, err)
	return acct
}

func (w *history) look() trail.Activity {
	w.t.Helper()
	a, err := trail.ActivityOf(w.t.Context(), w.enter(), trail.Subject{By: "AccessKeyId", Value: stolen}, time.Now())
	actiontest.Must(w.t, err)
	return a
}

// lookups are the times of the calls in one region.
func (w *history) lookups(region string) []time.Time {
	var at []time.Time
	for _, c := range w.Calls() {
		if c.Op == "cloudtrail:LookupEvents" && c.Region == region {
			at = append(at, c.Time)
		}
	}
	return at
}

func counts(t trail.Top) string {
	var s []string
	for _, c := range t.Most {
		s = append(s, fmt.Sprintf("%s %d", c.Name, c.N))
	}
	return strings.Join(s, ", ")
}

func TestActivityOfAKey(t *testing.T) {
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		denied := `"sourceIPAddress":"198.51.100.7","userAgent":"Boto3/1.34","errorCode":"%s"`
		a := w.Account(actiontest.Member)
		a.AddEvents(home,
			w.event(stolen, "ListBuckets", 3*time.Hour, `"sourceIPAddress":"198.51.100.7","userAgent":"Boto3/1.34"`),
			w.event(stolen, "GetBucketAcl", 2*time.Hour, `"sourceIPAddress":"203.0.113.9","userAgent":"aws-cli/2"`, "AWS::S3::Bucket=backup", "AWS::S3::Bucket=logs"),
			w.event(stolen, "GetBucketAcl", time.Hour, fmt.Sprintf(denied, "AccessDenied"), "AWS::S3::Bucket=backup"),
			w.event(stolen, "RunInstances", 30*time.Minute, fmt.Sprintf(denied, "Client.UnauthorizedOperation")),
			w.event(stolen, "RunInstances", 29*time.Minute, fmt.Sprintf(denied, "Client.DryRunOperation")),
			w.event(stolen, "AssumeRole", 20*time.Minute, `"requestParameters":{"roleArn":"arn:aws:iam::222222222222:role/admin"}`),
			w.event(stolen, "AssumeRole", 19*time.Minute, `"errorCode":"AccessDenied","requestParameters":{"roleArn":"arn:aws:iam::222222222222:role/refused"}`),
			w.event(stolen, "ListKeys", 25*time.Hour, ``)) // before the span
		a.AddEvents(global, w.event(stolen, "CreateUser", 10*time.Minute, ``, "AWS::IAM::User=backdoor"))
		got := w.look()
		want := trail.Activity{Subject: stolen, By: "AccessKeyId", From: w.began.Add(-24 * time.Hour).UTC(), To: w.began.UTC(), Total: 8, Denied: 3,
			First: w.began.Add(-3 * time.Hour).UTC(), Last: w.began.Add(-10 * time.Minute).UTC(),
			Regions:   []trail.RegionActivity{{Name: home, Total: 7}, {Name: global, Total: 1}},
			Calls:     trail.Top{Kinds: 5, Most: []trail.Count{{Name: "AssumeRole", N: 2}, {Name: "GetBucketAcl", N: 2}, {Name: "RunInstances", N: 2}, {Name: "CreateUser", N: 1}, {Name: "ListBuckets", N: 1}}},
			Resources: trail.Top{Kinds: 3, Most: []trail.Count{{Name: "backup", N: 2}, {Name: "backdoor", N: 1}, {Name: "logs", N: 1}}},
			Types:     trail.Top{Kinds: 2, Most: []trail.Count{{Name: "AWS::S3::Bucket", N: 2}, {Name: "AWS::IAM::User", N: 1}}},
			Addresses: trail.Top{Kinds: 2, Most: []trail.Count{{Name: "198.51.100.7", N: 4}, {Name: "203.0.113.9", N: 1}}},
			Agents:    trail.Top{Kinds: 2, Most: []trail.Count{{Name: "Boto3/1.34", N: 4}, {Name: "aws-cli/2", N: 1}}},
			Roles:     trail.Top{Kinds: 1, Most: []trail.Count{{Name: "arn:aws:iam::222222222222:role/admin", N: 1}}},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("activity (-want +got):\n%s", d)
		}
		actiontest.HasWords(t, got.Text(), "access key "+stolen, "Denied", "3 (37%)", "CreateUser", "Roles assumed", "the newest calls may be missing")
		if title := got.Title(); title != "Activity of access key "+stolen+": 8 calls in 24 h, denied 3 (37%)" {
			t.Errorf("title %q", title)
		}
		stored, err := json.Marshal(got)
		actiontest.Must(t, err)
		var back trail.Activity
		actiontest.Must(t, json.Unmarshal(stored, &back))
		if d := cmp.Diff(got, back); d != "" {
			t.Errorf("stored and read (-want +got):\n%s", d)
		}
	})
}

// TestActivityReadsAllPages: one page has 50 events, and the seed looked at no other.
func TestActivityReadsAllPages(t *testing.T) {
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		w.many(home, 120)
		a := w.look()
		if a.Total != 120 || counts(a.Calls) != "GetObjectAcl 120" || a.Cut != "" {
			t.Errorf("%d calls, %s, cut %q; want 120", a.Total, counts(a.Calls), a.Cut)
		}
		at := w.lookups(home)
		if len(at) != 3 {
			t.Fatalf("%d requests, want 3", len(at))
		}
		for i := range at[1:] {
			if d := at[i+1].Sub(at[i]); d < 500*time.Millisecond {
				t.Errorf("a request %s after the one before; AWS allows two a second", d)
			}
		}
	})
}

// TestActivityIsOfTheKey: a user has two keys, and the seed mixed them up.
func TestActivityIsOfTheKey(t *testing.T) {
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		w.Account(actiontest.Member).AddEvents(home, w.event(stolen, "CreateUser", time.Hour, ``), w.event(other, "ListUsers", time.Hour, ``))
		if a := w.look(); counts(a.Calls) != "CreateUser 1" {
			t.Errorf("calls %s, want the stolen key's alone", counts(a.Calls))
		}
		a, err := trail.ActivityOf(t.Context(), w.enter(), trail.Subject{By: "Username", Value: "eve"}, time.Now())
		actiontest.Must(t, err)
		if counts(a.Calls) != "CreateUser 1, ListUsers 1" || a.Whose() != "user eve" {
			t.Errorf("%s: calls %s, want those of both keys", a.Whose(), counts(a.Calls))
		}
	})
}

// TestActivityLooksWhereIAMIs: calls to IAM are recorded in one region, which
// need not be a configured one.
func TestActivityLooksWhereIAMIs(t *testing.T) {
	for _, regions := range [][]string{nil, {home}, {home, global}, {global}} {
		inTrail(t, regions, func(t *testing.T, w *history) {
			w.Account(actiontest.Member).AddEvents(global, w.event(stolen, "CreateAccessKey", time.Hour, ``))
			if a := w.look(); counts(a.Calls) != "CreateAccessKey 1" || len(w.lookups(global)) != 1 {
				t.Errorf("regions %v: calls %s, looked %d times", regions, counts(a.Calls), len(w.lookups(global)))
			}
		})
	}
	for partition, region := range map[string]string{"aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"} {
		inTrailOf(t, partition, nil, func(t *testing.T, w *history) {
			w.Account(actiontest.Member).AddEvents(region, w.event(stolen, "CreateAccessKey", time.Hour, ``))
			if a := w.look(); counts(a.Calls) != "CreateAccessKey 1" {
				t.Errorf("%s: calls %s", partition, counts(a.Calls))
			}
		})
	}
}

// TestActivityOfDeniedRegion: what one region refuses is said, and spoils no other.
func TestActivityOfDeniedRegion(t *testing.T) {
	refused := map[string]struct{ code, says string }{
		"eu-north-1": {"AccessDeniedException", "not read: AccessDeniedException"},
		"me-south-1": {"UnrecognizedClientException", "not read: the region is not enabled in this account"},
	}
	inTrail(t, []string{home, "eu-north-1", "me-south-1"}, func(t *testing.T, w *history) {
		w.many(home, 3)
		for region, r := range refused {
			w.Fault(awsfake.Fault{Op: "cloudtrail:*", Region: region, Err: &smithy.GenericAPIError{Code: r.code, Message: "no"}})
		}
		a := w.look()
		if a.Total != 3 || a.Unread() || a.Cut != "" {
			t.Errorf("%d calls, unread %t, cut %q", a.Total, a.Unread(), a.Cut)
		}
		actiontest.HasWords(t, a.Text(), "Regions that could not be read, or not to the end: 2 of 4")
		actiontest.HasWords(t, a.Title(), "at least 3 calls")
		for _, r := range a.Regions {
			actiontest.HasWords(t, r.Words(), refused[r.Name].says)
		}
	})
}

// TestActivityNowhereRead: what will not pass is a report that says so; what may
// pass is an error.
func TestActivityNowhereRead(t *testing.T) {
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		w.many(home, 3)
		w.Fault(awsfake.Fault{Op: "cloudtrail:*", Err: &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no"}})
		a := w.look()
		if !a.Unread() {
			t.Errorf("it was read: %+v", a)
		}
		actiontest.HasWords(t, a.Text(), "could not be read in any region", "AccessDeniedException")
		actiontest.HasWords(t, a.Title(), "could not be read")
	})
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		w.many(home, 3)
		w.Fault(awsfake.Fault{Op: "cloudtrail:*", Err: &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}})
		a, err := trail.ActivityOf(t.Context(), w.enter(), trail.Subject{By: "AccessKeyId", Value: stolen}, time.Now())
		if !actions.Transient(err) || !actions.Throttled(err) || a.Subject != stolen || !a.Unread() {
			t.Errorf("error %v, want AWS's throttle; of %+v", err, a)
		}
		if d := time.Since(w.began); d > time.Minute {
			t.Errorf("it took %s", d)
		}
	})
}

// TestActivityOfThrottledRegion: somebody else uses up a region's rate; it is
// waited for, and read to its end.
func TestActivityOfThrottledRegion(t *testing.T) {
	inTrail(t, []string{home, "eu-west-1"}, func(t *testing.T, w *history) {
		w.many(home, 60)
		w.many("eu-west-1", 120)
		w.Throttle("cloudtrail:*", 2, 2)
		w.Fault(awsfake.Fault{Op: "cloudtrail:*", Region: "eu-west-1", Times: 5, Err: &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}})
		a := w.look()
		if a.Total != 180 || a.Cut != "" {
			t.Errorf("%d calls, cut %q; want 180: %+v", a.Total, a.Cut, a.Regions)
		}
		for _, c := range w.Calls() {
			if c.Err != "" && c.Region != "eu-west-1" {
				t.Errorf("%s in %s: %s", c.Op, c.Region, c.Err)
			}
		}
	})
	inTrail(t, []string{home, "eu-west-1"}, func(t *testing.T, w *history) {
		w.many(home, 60)
		w.many("eu-west-1", 60)
		w.Fault(awsfake.Fault{Op: "cloudtrail:*", Region: "eu-west-1", Err: &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}})
		a := w.look()
		if a.Total != 60 {
			t.Errorf("%d calls, want those of the other region", a.Total)
		}
		actiontest.HasWords(t, a.Text(), "not read: ThrottlingException", "Not all calls were read", "60 s")
	})
}

func TestActivityIsCutAtTenThousand(t *testing.T) {
	inTrail(t, []string{home, "eu-west-1", "eu-west-2"}, func(t *testing.T, w *history) {
		for _, region := range w.org.Regions {
			w.many(region, 5000)
		}
		a := w.look()
		sum := 0
		for _, r := range a.Regions {
			sum += r.Total
		}
		if a.Total != 10_000 || sum != 10_000 {
			t.Errorf("%d calls, %d in the regions; want 10000", a.Total, sum)
		}
		actiontest.HasWords(t, a.Text(), "Not all calls were read: it stopped after 10000 calls", "the newest only")
		actiontest.HasWords(t, a.Title(), "at least 10000 calls")
	})
	inTrail(t, []string{home, "eu-west-1"}, func(t *testing.T, w *history) {
		w.many(home, 5000)
		w.many("eu-west-1", 5000)
		if a := w.look(); a.Total != 10_000 || a.Cut != "" {
			t.Errorf("%d calls, cut %q: nothing is missing", a.Total, a.Cut)
		}
	})
}

func TestActivityIsCutByTime(t *testing.T) {
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		w.many(home, 9000) // 90 s at two pages a second
		a := w.look()
		if d := time.Since(w.began); d > time.Minute {
			t.Errorf("it took %s", d)
		}
		if a.Total < 5500 || a.Total > 6100 {
			t.Errorf("%d calls in a minute", a.Total)
		}
		actiontest.HasWords(t, a.Text(), "Not all calls were read: it stopped after 60 s", "the newest only")
	})
	inTrail(t, []string{home}, func(t *testing.T, w *history) { // the caller has less time
		w.many(home, 9000)
		acct := w.enter()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		a, err := trail.ActivityOf(ctx, acct, trail.Subject{By: "AccessKeyId", Value: stolen}, time.Now())
		actiontest.Must(t, err)
		if a.Total < 900 {
			t.Errorf("%d calls", a.Total)
		}
		actiontest.HasWords(t, a.Cut, "its time was over")
	})
	inTrail(t, []string{home}, func(t *testing.T, w *history) { // the process ends
		w.many(home, 9000)
		acct := w.enter()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, cancel)
		if _, err := trail.ActivityOf(ctx, acct, trail.Subject{By: "AccessKeyId", Value: stolen}, time.Now()); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

// TestActivityOfBrokenRecords: what can be read of a record counts.
func TestActivityOfBrokenRecords(t *testing.T) {
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		records := []string{
			`"sourceIPAddress":7,"userAgent":["x"],"errorCode":{"a":1},"requestParameters":"none"`,
			`"sourceIPAddress":null,"userAgent":null,"errorCode":null,"requestParameters":null`,
			`"errorCode":"AccessDenied","userAgent":{}`,
			`"requestParameters":{"roleArn":{"x":["y"]}}`,
			`"requestParameters":[]`,
			`"sourceIPAddress":"198.51.100.7"}{`,
			`broken`, ``, strings.Repeat(`"x":{`, 20_000), `"sourceIPAddress":"198.51.100.8"`,
		}
		for _, r := range records {
			w.Account(actiontest.Member).AddEvents(home, w.event(stolen, "AssumeRole", time.Hour, r))
		}
		w.Account(actiontest.Member).AddEvents(home, types.Event{AccessKeyId: new(stolen), EventTime: new(w.began), Resources: []types.Resource{{}}})
		a := w.look()
		if a.Total != len(records)+1 || a.Denied != 1 || a.Roles.Kinds != 0 || counts(a.Addresses) != "198.51.100.8 1" || counts(a.Calls) != "AssumeRole 10" {
			t.Errorf("activity %+v", a)
		}
		if a.Broken != 8 {
			t.Errorf("%d broken, want 8", a.Broken)
		}
		actiontest.HasWords(t, a.Text(), "details could not be read in full: 8.")
	})
}

func TestActivityOfNoEvents(t *testing.T) {
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		a := w.look()
		if a.Total != 0 || a.Unread() || !a.First.IsZero() || a.Calls.Kinds != 0 {
			t.Errorf("activity %+v", a)
		}
		actiontest.HasWords(t, a.Text(), "No calls were found", "CloudTrail lags")
		if strings.Contains(a.Text(), "First seen") || a.DeniedShare() != "0" {
			t.Errorf("text:\n%s", a.Text())
		}
	})
}

// TestActivityTies: of equally frequent ones the first by name are told, and how
// many there were.
func TestActivityTies(t *testing.T) {
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		for _, c := range "lkjihgfedcba" {
			w.Account(actiontest.Member).AddEvents(home, w.event(stolen, string(c), time.Hour, ``))
		}
		w.Account(actiontest.Member).AddEvents(home, w.event(stolen, "z", time.Hour, ``), w.event(stolen, "z", time.Hour, ``))
		a := w.look()
		if got := counts(a.Calls); got != "z 2, a 1, b 1, c 1, d 1, e 1, f 1, g 1, h 1, i 1" || a.Calls.Kinds != 13 {
			t.Errorf("calls %s of %d", got, a.Calls.Kinds)
		}
		actiontest.HasWords(t, a.Text(), "Calls (10 of 13)")
	})
}

// TestActivityOfHostileStrings: they are cut, show nothing else than they are,
// and the row stays small.
func TestActivityOfHostileStrings(t *testing.T) {
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		var events []types.Event
		for i, fill := range []string{"<", "&", "世", "\u202e", "\n", "\\", "\"", "\U0001F4A5", "a", "\x01"} {
			for _, n := range []int{150, 199, 200, 201, 5000} {
				long := fmt.Sprintf("%d-", i) + strings.Repeat(fill, n) + fmt.Sprintf("-%d", n)
				record, err := json.Marshal(map[string]any{"sourceIPAddress": long, "userAgent": long, "requestParameters": map[string]string{"roleArn": long}})
				actiontest.Must(t, err)
				e := w.event(stolen, "AssumeRole", time.Hour, strings.Trim(string(record), "{}"), long+"="+long)
				*e.CloudTrailEvent = string(record)
				if n != 200 {
					e.EventName = &long
				}
				events = append(events, e)
			}
		}
		w.Account(actiontest.Member).AddEvents(home, events...)
		a := w.look()
		a.Subject = strings.Repeat("世", 300)
		row, err := json.Marshal(a)
		actiontest.Must(t, err)
		if len(row) > 50_000 {
			t.Errorf("the row has %d bytes", len(row))
		}
		for _, l := range a.Lists() {
			for _, c := range l.Most {
				if len([]rune(c.Name)) > 200 {
					t.Errorf("%s: %d characters", l.Title, len([]rune(c.Name)))
				}
			}
		}
		if text := a.Text(); strings.ContainsAny(text, "\x01\u202e") || len(strings.Split(text, "\n")) > 120 {
			t.Errorf("text:\n%q", text)
		}
		if title := a.Title(); len(title) > 100 || slices.ContainsFunc([]byte(title), func(b byte) bool { return b < ' ' || b > '~' }) {
			t.Errorf("title of %d: %q", len(title), title)
		}
	})
}

// TestActivityOfASubject: whoever a subject is looked up by; the session may look
// up and nothing else.
func TestActivityOfASubject(t *testing.T) {
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		w.Account(actiontest.Member).AddEvents(home, w.event(stolen, "ListBuckets", time.Minute, "", "AWS::IAM::Role=app"))
		cloud := actions.NewCloud(w.Config(), w.org)
		for by, value := range map[string]string{"AccessKeyId": stolen, "Username": "eve", "ResourceName": "app"} {
			a, err := trail.LookUpActivity(t.Context(), cloud, actiontest.Member, trail.Subject{By: by, Value: value}, time.Now(), actiontest.Actor)
			if err != nil || a.Total != 1 || a.By != by || a.Subject != value {
				t.Errorf("%s: %+v, %v", by, a, err)
			}
		}
		for _, c := range w.Calls() {
			if want := `"Action":["cloudtrail:LookupEvents"],"Resource":["*"]`; !strings.Contains(c.SessionPolicy, want) || strings.Count(c.SessionPolicy, "Action") != 1 {
				t.Errorf("%s with %s", c.Op, c.SessionPolicy)
			}
		}
		before := len(w.Calls())
		for _, s := range []trail.Subject{{}, {By: "EventName", Value: "ListBuckets"}, {By: "Username"}} {
			if _, err := trail.LookUpActivity(t.Context(), cloud, actiontest.Member, s, time.Now(), actiontest.Actor); err == nil {
				t.Errorf("%+v was looked up", s)
			}
		}
		if _, err := trail.LookUpActivity(t.Context(), cloud, "", trail.Subject{By: "Username", Value: "eve"}, time.Now(), actiontest.Actor); err == nil || len(w.Calls()) != before {
			t.Errorf("asked %v, %v", w.Calls()[before:], err)
		}
	})
}
