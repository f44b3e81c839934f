package executor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

const leakedKey = "deactivate_key " + exposedKey + " found in a public repository"

// reported waits for a request's report.
func (w *world) reported(r approvals.Request) approvals.Report {
	w.t.Helper()
	for range 50 {
		w.drain()
		if rep, err := (approvals.Runs{Reader: w.Runs.Store}).Report(w.t.Context(), r.ID); err == nil {
			return rep
		}
		w.clock.Add(time.Second)
		w.sweep()
	}
	w.t.Fatalf("%s: nothing was reported", r.ID)
	return approvals.Report{}
}

// TestReportTellsWhatTheKeyDid: AWS tells whose a key is; what it did lately is in the
// report and in the notice, once.
func TestReportTellsWhatTheKeyDid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	r := w.contained(leakedKey)
	if a := w.planned(r).Account; a != prod {
		t.Errorf("it is a key of %s", a)
	}
	if text := w.reported(r).Activity.Text(); !strings.Contains(text, "ListBuckets") || !strings.Contains(text, "203.0.113.66") || w.reported(r).Activity.Total != 60 {
		t.Errorf("reported: %s", text)
	}
	w.pass(2 * time.Minute) // the re-checks don't report again
	if _, n := w.event(r, "reported"); n != 1 {
		t.Errorf("reported %d times", n)
	}
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

// TestFailureIsReportedToo: the notice goes out also when the key could not be
// deactivated.
func TestFailureIsReportedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	w.aws.Fault(awsfake.Fault{Op: "iam:UpdateAccessKey", Err: &smithy.GenericAPIError{Code: "AccessDenied", Message: "explicit deny"}})
	r := w.state(w.clicks(bob, w.types(alice, leakedKey), "approve"), approvals.Failed)
	if text := w.reported(r).Activity.Text(); !strings.Contains(text, "203.0.113.66") {
		t.Errorf("reported: %s", text)
	}
	if n := w.aws.Notices(); len(n) != 1 || !strings.Contains(n[0].Message, "failed") || !strings.Contains(n[0].Message, "explicit deny") {
		t.Errorf("notices: %+v", n)
	}
}

func TestNoticeThatCanNotBeSentNowIsSentOnceLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	w.answers("sns:Publish", apiError("ServiceUnavailable"), times(8))
	r := w.types(alice, leakedKey)
	w.clicks(bob, w.state(r, approvals.Pending), "approve")
	w.pass(10 * time.Minute)
	if n := len(w.aws.Notices()); n != 1 || w.reported(r).Notified.IsZero() {
		t.Errorf("%d notices, %+v", n, w.reported(r))
	}
	if _, n := w.event(r, "notified"); n != 1 {
		t.Errorf("the chain says notified %d times", n)
	}
}

// TestNoticeThatTheTopicDoesNotTakeIsNoted, and the report is there all the same.
func TestNoticeThatTheTopicDoesNotTakeIsNoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed, func(w *world) { w.cfg.Topic += "-that-is-gone" })
	r := w.contained(leakedKey)
	if rep := w.reported(r); !strings.Contains(rep.Unsent, "does not exist") || rep.Activity.Total != 60 {
		t.Errorf("the report is %+v", rep)
	}
	if e, n := w.event(r, "notified"); n != 1 || !strings.Contains(e.Facts["why"], "does not exist") {
		t.Errorf("in the chain %d times: %+v", n, e)
	}
}

// TestNoticeHasTheEnd: whoever can write the queue may have the notice sent before the
// end is known.
func TestNoticeHasTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	r := w.types(alice, leakedKey)
	w.state(r, approvals.Pending)
	w.aws.SetPropagation(2 * time.Second)
	done := false
	w.clock.Slept = func() {
		if !done {
			done = true
			_ = w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobReport, ID: r.ID})
		}
	}
	w.clicks(bob, r, "approve")
	w.clock.Slept = nil
	w.pass(2 * time.Minute)
	w.state(r, approvals.Contained)
	if n := len(w.aws.Notices()); n != 1 || !done {
		t.Errorf("%d notices", n)
	}
	for _, n := range w.aws.Notices() {
		if strings.Contains(n.Subject, "running") {
			t.Errorf("all that subscribers hear: %s", n.Subject)
		}
	}
}
