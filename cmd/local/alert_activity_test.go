package local_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
)

// heard is a queue of changes that nobody works off.
type heard struct {
	mu  *sync.Mutex
	ids *[]string
}

func (h heard) Send(_ context.Context, c approvals.Change, _ time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	*h.ids = append(*h.ids, c.ID)
	return nil
}

// active is a world with an alert about app-role, which did something.
func active(t *testing.T) (*world, *[]string) {
	t.Helper()
	w, _ := alerted(t, false, false, func(w *world) { w.cfg.Org.Regions = []string{region} })
	var changes []string
	w.zones.Executor.Changes = heard{new(sync.Mutex), &changes}
	w.aws.Account(prod).AddEvents(region, trailtypes.Event{EventName: aws.String("ListBuckets"), EventTime: aws.Time(w.clock.Now().Add(-time.Hour)),
		Resources: []trailtypes.Resource{{ResourceName: aws.String("app-role"), ResourceType: aws.String("AWS::IAM::Role")}}, CloudTrailEvent: aws.String(`{}`)})
	return w, &changes
}

// reportOf is what was read for the alert.
func (w *world) reportOf() approvals.Report {
	w.t.Helper()
	rep, err := approvals.Runs{Reader: w.Runs}.Report(w.t.Context(), alertID)
	w.must(err)
	return rep
}

// TestAlertActivity: what an alert's subject did lately is looked up once in ten
// minutes, whoever asks, in a session that may do nothing else.
func TestAlertActivity(t *testing.T) {
	t.Parallel()
	w, changes := active(t)
	for range 3 {
		w.job(approvals.JobActivity, alertID)
	}
	if rep := w.reportOf(); rep.Activity.Total != 1 || rep.Activity.Subject != "app-role" || rep.Unread != "" || !rep.At.Equal(w.clock.Now()) {
		t.Errorf("%+v", rep)
	}
	if n := w.lookedAt("cloudtrail:LookupEvents"); n != 1 || len(*changes) != 3 || (*changes)[0] != alertID {
		t.Errorf("looked up %d times, told %v", n, *changes)
	}
	for _, c := range w.aws.Calls() {
		if c.Op == "sts:AssumeRole" && (c.SourceIdentity != "automatic" || c.RoleSessionName != alertID || !strings.Contains(c.SessionPolicy, `"Action":["cloudtrail:LookupEvents"]`) || strings.Count(c.SessionPolicy, "Action") != 1) {
			t.Errorf("entered as %+v", c)
		}
	}
	row, err := w.Runs.Get(t.Context(), approvals.Key{Part: alertID, Sort: "report"})
	w.must(err)
	if !row.Expires.Equal(w.clock.Now().Add(400 * 24 * time.Hour)) {
		t.Errorf("kept until %s", row.Expires)
	}
	w.clock.Add(9 * time.Minute)
	w.job(approvals.JobActivity, alertID)
	if n := w.lookedAt("cloudtrail:LookupEvents"); n != 1 {
		t.Errorf("looked up %d times", n)
	}
	w.clock.Add(time.Minute)
	w.job(approvals.JobActivity, alertID)
	if n := w.lookedAt("cloudtrail:LookupEvents"); n != 2 || !w.reportOf().At.Equal(w.clock.Now()) {
		t.Errorf("looked up %d times, at %s", n, w.reportOf().At)
	}
	w.untouched()
}

// TestAlertActivityUnread: what can't be looked up is said, and looked up later.
func TestAlertActivityUnread(t *testing.T) {
	t.Parallel()
	w, changes := active(t)
	w.aws.Fault(awsfake.Fault{Op: "sts:AssumeRole", Err: apiError("AccessDenied"), Times: 1})
	w.job(approvals.JobActivity, alertID)
	w.job(approvals.JobActivity, alertID)
	if rep := w.reportOf(); !strings.Contains(rep.Unread, "AccessDenied") || rep.Activity.Subject != "app-role" || rep.Activity.By != "ResourceName" || !rep.Activity.Unread() || w.lookedAt("cloudtrail:LookupEvents") != 0 || len(*changes) != 2 {
		t.Errorf("%+v, told %v", rep, *changes)
	}
	w.clock.Add(time.Minute)
	w.job(approvals.JobActivity, alertID)
	if rep := w.reportOf(); rep.Unread != "" || rep.Activity.Total != 1 {
		t.Errorf("%+v", rep)
	}

	w, _ = active(t) // what AWS can't tell just now is asked again at once
	down := w.clock.Now().Add(5 * time.Second)
	w.answers("sts:AssumeRole", apiError("ServiceUnavailable"), func() bool { return w.clock.Now().Before(down) })
	w.job(approvals.JobActivity, alertID)
	if rep := w.reportOf(); rep.Unread != "" || rep.Activity.Total != 1 {
		t.Errorf("%+v", rep)
	}
}

// TestAlertActivityOf: whose activity is looked up is what the events tell, and
// where none does, that is said.
func TestAlertActivityOf(t *testing.T) {
	t.Parallel()
	missing := strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		reports func(*world) []alerts.Report
		unread  string
	}{
		"the second report's": {func(w *world) []alerts.Report {
			none := w.story()
			none.Subject = trail.Subject{}
			return []alerts.Report{{Name: findingName, Event: w.happened(none)}, {Name: findingName, Event: w.happened(w.story())}}
		}, ""},
		"the other is kept no more": {func(w *world) []alerts.Report {
			return []alerts.Report{{Name: findingName, Event: missing}, {Name: findingName, Event: w.happened(w.story())}}
		}, ""},
		"kept no more": {func(*world) []alerts.Report {
			return []alerts.Report{{Name: findingName, Event: missing}}
		}, "too old"},
		"another's": {func(w *world) []alerts.Report {
			return []alerts.Report{{Name: "another", Event: w.happened(w.story())}}
		}, "does not say whose"},
		"not to be read": {func(w *world) []alerts.Report {
			return []alerts.Report{{Name: findingName, Event: w.kept("{")}}
		}, "can't be read"},
		"nobody's": {func(w *world) []alerts.Report {
			s := w.story()
			s.Subject.Value = ""
			return []alerts.Report{{Name: findingName, Event: w.happened(s)}}
		}, "does not say whose"},
		"by something else": {func(w *world) []alerts.Report {
			s := w.story()
			s.Subject.By = "EventName"
			return []alerts.Report{{Name: findingName, Event: w.happened(s)}}
		}, "whose activity to look up is not clear"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, changes := active(t)
			reports := c.reports(w)
			_, err := alerts.Table{Requests: approvals.Requests{Store: w.Requests}}.Change(t.Context(), alertID, func(a *alerts.Alert) error { a.Reports = reports; return nil })
			w.must(err)
			w.job(approvals.JobActivity, alertID)
			if rep := w.reportOf(); !strings.Contains(rep.Unread, c.unread) || (c.unread == "") != (rep.Activity.Total == 1) || len(*changes) != 1 {
				t.Errorf("%+v, told %v", rep, *changes)
			}
		})
	}
	t.Run("the hub's", func(t *testing.T) {
		t.Parallel()
		w, _ := active(t)
		w.zones.Executor.Org.HubAccount = prod
		w.job(approvals.JobActivity, alertID)
		if rep := w.reportOf(); !strings.Contains(rep.Unread, "itself runs in") || w.lookedAt("sts:AssumeRole") != 0 {
			t.Errorf("%+v", rep)
		}
	})
	t.Run("no alert's", func(t *testing.T) {
		t.Parallel()
		w, changes := active(t)
		for _, id := range []string{approvals.AlertID("x"), "KS-4G7QX2M9ZT0B", ""} {
			w.job(approvals.JobActivity, id)
		}
		if len(*changes) != 0 || len(w.aws.Calls()) != 0 {
			t.Errorf("told %v", *changes)
		}
	})
}

// kept keeps an event that is what it is.
func (w *world) kept(body string) string {
	w.t.Helper()
	key, err := approvals.Requests{Store: w.Requests}.PutEvidence(w.t.Context(), approvals.Evidence{Kind: approvals.EventEvidence, Body: body}, w.clock.Now())
	w.must(err)
	return key
}

// later is a queue of jobs that are done another time.
type later struct{ delays chan time.Duration }

func (l later) Send(_ context.Context, j approvals.Job, delay time.Duration) error {
	if j.Verb == approvals.JobActivity {
		l.delays <- delay
	}
	return nil
}

// TestAlertActivityLeavesWorkers: look-ups take long, and serve has eight workers:
// those of a flood of alerts must not keep them all from containments.
func TestAlertActivityLeavesWorkers(t *testing.T) {
	t.Parallel()
	w, _ := active(t)
	put := later{make(chan time.Duration, 8)}
	w.zones.Executor.Jobs = put
	looking, release := make(chan struct{}, 8), make(chan struct{})
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == "cloudtrail:LookupEvents" && c.Phase == awsfake.Before {
			looking <- struct{}{}
			<-release
		}
		return nil
	})
	done := make(chan error, 8)
	for range 8 {
		go func() {
			done <- w.zones.Executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobActivity, ID: alertID})
		}()
	}
	for range 6 {
		select {
		case err := <-done:
			w.must(err)
			if d := <-put.delays; d < 10*time.Second {
				t.Errorf("again in %v", d)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%d workers look", len(looking))
		}
	}
	close(release)
	w.must(<-done)
	w.must(<-done)
	w.job(approvals.JobActivity, alertID) // there is room again
	if w.reportOf().Unread != "" {
		t.Errorf("%+v", w.reportOf())
	}
}
