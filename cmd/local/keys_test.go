package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// exposed is a world with a key in a public repository, and somebody who has
// used it.
func exposed(w *world) {
	populateUser(w, func() bool { return false })
	w.cfg.SNSTopic = w.aws.AddTopic("security-alerts")
	w.cfg.Org.Regions = []string{region, "eu-west-1"}
	for i := range 60 {
		w.aws.Account(prod).AddEvents("eu-west-1", trailtypes.Event{
			EventName: aws.String("ListBuckets"), EventTime: aws.Time(w.clock.Now().Add(-time.Duration(i+1) * time.Minute)), AccessKeyId: aws.String(exposedKey), Username: aws.String("bernd"),
			CloudTrailEvent: aws.String(`{"sourceIPAddress":"203.0.113.66","userAgent":"aws-cli/2 <!channel>","errorCode":"AccessDenied"}`),
		})
	}
}

// reported waits for the report and returns what the thread says.
func (w *world) reported(r approvals.Request) string {
	w.t.Helper()
	for range 50 {
		w.drain()
		if strings.Contains(w.said(), "203.0.113.66") {
			return w.said()
		}
		w.clock.Add(time.Second)
		w.must(w.zones.Bot.Sweep(w.t.Context()))
	}
	w.t.Fatalf("%s: nothing was reported\n%s", r.ID, w.said())
	return ""
}

// TestKeyWithoutAccount: AWS tells whose a key is; what it did lately is in the
// thread and in the notice.
func TestKeyWithoutAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	r := w.asks("U01ALICE", "deactivate_key "+exposedKey+" found in a public repository")
	w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
	w.state(r, approvals.Contained)
	said := w.reported(r)
	for _, words := range []string{"prod (" + prod + ")", "ListBuckets", "60"} {
		if !strings.Contains(said, words) {
			t.Errorf("nobody says %q in\n%s", words, said)
		}
	}
	if n := strings.Count(said, "203.0.113.66"); n != 1 {
		t.Errorf("the report is there %d times", n)
	}
	w.pass(2 * time.Minute) // the re-checks don't report again
	notices := w.aws.Notices()
	if len(notices) != 1 {
		t.Fatalf("%d notices", len(notices))
	}
	for _, words := range []string{r.ID + ": contained", exposedKey, "found in a public repository", "ListBuckets", "203.0.113.66"} {
		if !strings.Contains(notices[0].Message, words) {
			t.Errorf("the notice does not say %q: %s", words, notices[0].Message)
		}
	}
	if s := notices[0].Subject; len(s) > 100 || !strings.Contains(s, exposedKey) {
		t.Errorf("the subject is %q", s)
	}
}

// TestReportOfFailure: the notice goes out also when the key could not be
// deactivated (the old tool told nobody).
func TestReportOfFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	w.aws.Fault(awsfake.Fault{Op: "iam:UpdateAccessKey", Err: &smithy.GenericAPIError{Code: "AccessDenied", Message: "explicit deny"}})
	r := w.asks("U01ALICE", "deactivate_key "+exposedKey+" found in a public repository")
	w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
	w.state(r, approvals.Failed)
	w.reported(r)
	if n := w.aws.Notices(); len(n) != 1 || !strings.Contains(n[0].Message, "failed") || !strings.Contains(n[0].Message, "explicit deny") {
		t.Errorf("notices: %+v", n)
	}
}

// TestReportSurvives: a notice that can't be sent now is sent later, once; one
// that the topic will not take is noted, and the thread has the report.
func TestReportSurvives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	w.aws.Fault(awsfake.Fault{Op: "sns:Publish", Err: &smithy.GenericAPIError{Code: "ServiceUnavailable", Message: "later"}, Times: 8})
	r := w.asks("U01ALICE", "deactivate_key "+exposedKey+" found in a public repository")
	w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
	w.pass(5 * time.Minute)
	if n := len(w.aws.Notices()); n != 1 {
		t.Errorf("%d notices", n)
	}
	w = newWorld(t, exposed, func(w *world) { w.cfg.SNSTopic += "-that-is-gone" })
	r = w.asks("U01ALICE", "deactivate_key "+exposedKey+" found in a public repository")
	w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
	w.state(r, approvals.Contained)
	w.reported(r)
	rep, err := w.zones.Bot.Runs.Report(t.Context(), r.ID)
	w.must(err)
	if !strings.Contains(rep.Unsent, "does not exist") {
		t.Errorf("the report is %+v", rep)
	}
}

// TestKeyStaysInactive: a click on Undo gives no credential back; a typed undo
// that says so does, and only with another person's approval.
func TestKeyStaysInactive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	active := func() bool { return !w.aws.Snapshot().Accounts[prod].Users["bernd"].Keys[0].Inactive }
	r := w.asks("U01ALICE", "deactivate_key "+exposedKey+" found in a public repository")
	w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
	r = w.state(r, approvals.Contained)
	w.clicks("U01ALICE", r, "undo")
	if said := w.said(); !strings.Contains(said, "keys=reactivate") || active() {
		t.Errorf("active: %t\n%s", active(), said)
	}
	w.state(r, approvals.Contained)
	u := w.asks("U01ALICE", "undo "+r.ID+" keys=reactivate it was our own test")
	if s := w.state(u, approvals.Pending).Intent.String(); !strings.Contains(s, "keys=reactivate") || active() {
		t.Errorf("%s, active: %t", s, active())
	}
	w.clicks("U02BOB", w.again(u), "approve")
	w.state(u, approvals.Restored)
	w.state(r, approvals.Undone)
	if !active() {
		t.Error("the key is still inactive")
	}
}

// TestQuarantineUndoneKeepsKeys: the user is let go, the keys stay inactive.
func TestQuarantineUndoneKeepsKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	r := w.asks("U01ALICE", "quarantine_user prod/bernd found in a public repository")
	w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
	r = w.state(r, approvals.Contained)
	w.clicks("U01ALICE", r, "undo")
	u := w.undoOf(r)
	if said := w.said(); !strings.Contains(said, "stays: a compromised key stays inactive") {
		t.Errorf("the undo's card does not say what stays\n%s", said)
	}
	w.clicks("U02BOB", w.state(u, approvals.Pending), "approve")
	w.state(u, approvals.Restored)
	w.state(r, approvals.Undone)
	bernd := w.aws.Snapshot().Accounts[prod].Users["bernd"]
	if !bernd.Keys[0].Inactive || len(bernd.Attached) != 0 || len(bernd.Tags) != 0 {
		t.Errorf("%+v", bernd)
	}
	// Another containment starts anew: what stayed is held by nobody.
	w.clock.Add(time.Minute)
	again := w.asks("U01ALICE", "deactivate_key "+exposedKey+" once more")
	w.clicks("U02BOB", w.state(again, approvals.Pending), "approve")
	w.state(again, approvals.Contained)
}

// TestDeleteKey: two people must agree, the key must be inactive, and there is
// no way back.
func TestDeleteKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	w.state(w.asks("U01ALICE", "delete_key "+exposedKey+" not needed"), approvals.Refused)
	r := w.asks("U01ALICE", "deactivate_key "+exposedKey+" not needed")
	w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
	w.state(r, approvals.Contained)
	w.clock.Add(time.Minute)
	d := w.asks("U01ALICE", "delete_key "+exposedKey+" nothing broke")
	w.clicks("U02BOB", w.state(d, approvals.Pending), "approve")
	d = w.state(d, approvals.Contained)
	if n := len(w.aws.Snapshot().Accounts[prod].Users["bernd"].Keys); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	w.pass(2 * time.Minute)
	w.state(d, approvals.Contained)
	u := w.asks("U01ALICE", "undo "+d.ID)
	if u = w.state(u, approvals.Refused); !strings.Contains(u.Why, "deleted key can't be restored") {
		t.Errorf("refused because %s", u.Why)
	}
}

// TestStripInstead: the card of a deletion offers the reversible way; whoever
// clicks asks for it, and a second person approves that.
func TestStripInstead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.asks("U01ALICE", "delete_role prod/app-role confirm=app-role made by the attacker")
	r = w.state(r, approvals.Pending)
	w.clicks("U04MALLORY", r, "propose:detach_policies") // no responder
	w.clicks("U01ALICE", r, "propose:detach_policies")
	var strip approvals.Request
	for _, other := range w.all() {
		if other.Intent.Call.Action == "detach_policies" {
			strip = other
		}
	}
	if len(w.all()) != 2 || strip.Requester.Person != "alice" || strip.Reason != "instead of "+r.ID {
		t.Fatalf("asked for: %+v", w.all())
	}
	w.clicks("U01ALICE", w.state(strip, approvals.Pending), "approve")
	w.state(strip, approvals.Pending)
	w.clicks("U02BOB", strip, "approve")
	w.state(strip, approvals.Contained)
	w.state(r, approvals.Pending)
}
