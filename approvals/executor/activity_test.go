package executor_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// theFinding is what the alert's row holds of the finding.
var theFinding = finding.Finding{Source: finding.GuardDuty, Names: []string{findingID}}

// active is a world with an alert about app-role, which did something.
func active(t *testing.T) *world {
	t.Helper()
	w, _ := alerted(t, false, false, func(w *world) { w.cfg.Org.Regions = []string{region} })
	w.alert(alerts.Report{Finding: theFinding, Event: w.happened(w.finding())})
	w.aws.Account(prod).AddEvents(region, trailtypes.Event{EventName: aws.String("ListBuckets"), EventTime: aws.Time(w.clock.Now().Add(-time.Hour)),
		Resources: []trailtypes.Resource{{ResourceName: aws.String("app-role"), ResourceType: aws.String("AWS::IAM::Role")}}, CloudTrailEvent: aws.String(`{}`)})
	return w
}

// alert writes the alert's row anew.
func (w *world) alert(reports ...alerts.Report) {
	w.t.Helper()
	table := alerts.Table{Requests: w.table()}
	_, err := table.Change(w.t.Context(), alertID, func(a *alerts.Alert) error { a.Reports = reports; return nil })
	if errors.Is(err, approvals.ErrNotFound) {
		err = table.Create(w.t.Context(), alerts.Alert{ID: alertID, Names: []string{findingID}, State: alerts.Open, Reports: reports})
	}
	w.must(err)
}

// looks does the job that looks up an alert's activity.
func (w *world) looks(id string) {
	w.t.Helper()
	w.must(w.executor.Handle(w.t.Context(), approvals.Job{Verb: approvals.JobActivity, ID: id}))
}

// reportOf is what was read for the alert.
func (w *world) reportOf() approvals.Report {
	w.t.Helper()
	rep, err := approvals.Runs{Reader: w.Runs.Store}.Report(w.t.Context(), alertID)
	w.must(err)
	return rep
}

// TestActivityOfAnAlertIsLookedUpOnceInTenMinutes, whoever asks, in a session that may
// do nothing else.
func TestActivityOfAnAlertIsLookedUpOnceInTenMinutes(t *testing.T) {
	t.Parallel()
	w := active(t)
	for range 3 {
		w.looks(alertID)
	}
	if rep := w.reportOf(); rep.Activity.Total != 1 || rep.Activity.Subject != "app-role" || rep.Unread != "" || !rep.At.Equal(w.clock.Now()) {
		t.Errorf("%+v", rep)
	}
	if n := w.called("cloudtrail:LookupEvents"); n != 1 {
		t.Errorf("looked up %d times", n)
	}
	if d := cmp.Diff([]string{alertID, alertID, alertID}, w.told()); d != "" {
		t.Errorf("told: %s", d)
	}
	for _, c := range w.aws.Calls() {
		if c.Op == "sts:AssumeRole" && (c.SourceIdentity != "automatic" || c.RoleSessionName != alertID || !strings.Contains(c.SessionPolicy, `"Action":["cloudtrail:LookupEvents"]`) || strings.Count(c.SessionPolicy, "Action") != 1) {
			t.Errorf("entered as %+v", c)
		}
	}
	row, err := w.Runs.Store.Get(t.Context(), approvals.Key{Part: alertID, Sort: "report"})
	w.must(err)
	if !row.Expires.Equal(w.clock.Now().Add(400 * 24 * time.Hour)) {
		t.Errorf("kept until %s", row.Expires)
	}
	w.clock.Add(9 * time.Minute)
	w.looks(alertID)
	if n := w.called("cloudtrail:LookupEvents"); n != 1 {
		t.Errorf("looked up %d times", n)
	}
	w.clock.Add(time.Minute)
	w.looks(alertID)
	if n := w.called("cloudtrail:LookupEvents"); n != 2 || !w.reportOf().At.Equal(w.clock.Now()) {
		t.Errorf("looked up %d times, at %s", n, w.reportOf().At)
	}
	w.untouched()
}

// TestActivityThatCanNotBeReadIsLookedUpLater, and that is said.
func TestActivityThatCanNotBeReadIsLookedUpLater(t *testing.T) {
	t.Parallel()
	w := active(t)
	w.aws.Fault(awsfake.Fault{Op: "sts:AssumeRole", Err: apiError("AccessDenied"), Times: 1})
	w.looks(alertID)
	w.looks(alertID)
	if rep := w.reportOf(); !strings.Contains(rep.Unread, "AccessDenied") || rep.Activity.Subject != "app-role" || rep.Activity.By != "ResourceName" || !rep.Activity.Unread() || w.called("cloudtrail:LookupEvents") != 0 {
		t.Errorf("%+v", rep)
	}
	if n := len(w.told()); n != 2 {
		t.Errorf("told %d times", n)
	}
	w.clock.Add(time.Minute)
	w.looks(alertID)
	if rep := w.reportOf(); rep.Unread != "" || rep.Activity.Total != 1 {
		t.Errorf("%+v", rep)
	}

	w = active(t) // what AWS can't tell just now is asked again at once
	down := w.clock.Now().Add(5 * time.Second)
	w.answers("sts:AssumeRole", apiError("ServiceUnavailable"), func() bool { return w.clock.Now().Before(down) })
	w.looks(alertID)
	if rep := w.reportOf(); rep.Unread != "" || rep.Activity.Total != 1 {
		t.Errorf("%+v", rep)
	}
}

// TestWhoseActivityIsLookedUp: what the events tell; where none does, that is said.
func TestWhoseActivityIsLookedUp(t *testing.T) {
	t.Parallel()
	missing := strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		reports func(*world) []alerts.Report
		unread  string
	}{
		"the second report's": {func(w *world) []alerts.Report {
			none := w.finding()
			none.Subject = trail.Subject{}
			return []alerts.Report{{Finding: theFinding, Event: w.happened(none)}, {Finding: theFinding, Event: w.happened(w.finding())}}
		}, ""},
		"the other is kept no more": {func(w *world) []alerts.Report {
			return []alerts.Report{{Finding: theFinding, Event: missing}, {Finding: theFinding, Event: w.happened(w.finding())}}
		}, ""},
		"kept no more": {func(*world) []alerts.Report {
			return []alerts.Report{{Finding: theFinding, Event: missing}}
		}, "too old"},
		"another's": {func(w *world) []alerts.Report {
			return []alerts.Report{{Finding: finding.Finding{Source: finding.GuardDuty, Names: []string{"another"}}, Event: w.happened(w.finding())}}
		}, "does not say whose"},
		"not to be read": {func(w *world) []alerts.Report {
			return []alerts.Report{{Finding: theFinding, Event: w.keeps(approvals.EventEvidence, "{")}}
		}, "can't be read"},
		"nobody's": {func(w *world) []alerts.Report {
			s := w.finding()
			s.Subject.Value = ""
			return []alerts.Report{{Finding: theFinding, Event: w.happened(s)}}
		}, "does not say whose"},
		"by something else": {func(w *world) []alerts.Report {
			s := w.finding()
			s.Subject.By = "EventName"
			return []alerts.Report{{Finding: theFinding, Event: w.happened(s)}}
		}, "whose activity to look up is not clear"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := active(t)
			w.alert(c.reports(w)...)
			w.looks(alertID)
			if rep := w.reportOf(); !strings.Contains(rep.Unread, c.unread) || (c.unread == "") != (rep.Activity.Total == 1) || len(w.told()) != 1 {
				t.Errorf("%+v", rep)
			}
		})
	}
	t.Run("the hub's", func(t *testing.T) {
		t.Parallel()
		w := active(t)
		w.executor.Org.HubAccount = prod
		w.looks(alertID)
		if rep := w.reportOf(); !strings.Contains(rep.Unread, "itself runs in") || w.called("sts:AssumeRole") != 0 {
			t.Errorf("%+v", rep)
		}
	})
	t.Run("no alert's", func(t *testing.T) {
		t.Parallel()
		w := active(t)
		for _, id := range []string{approvals.AlertID("x"), "KS-4G7QX2M9ZT0B", ""} {
			w.looks(id)
		}
		if told := w.told(); len(told) != 0 || len(w.aws.Calls()) != 0 {
			t.Errorf("told %v", told)
		}
	})
}

// TestLookUpsOfActivityLeaveWorkersToContainments: look-ups take long, and serve has
// eight workers: a flood of alerts does not keep them all from containments.
func TestLookUpsOfActivityLeaveWorkersToContainments(t *testing.T) {
	t.Parallel()
	w := active(t)
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
			done <- w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobActivity, ID: alertID})
		}()
	}
	for range 6 {
		select {
		case err := <-done:
			w.must(err)
		case <-time.After(5 * time.Second):
			t.Fatalf("%d workers look", len(looking))
		}
	}
	if len(w.sent) != 6 {
		t.Errorf("put back: %v", w.sent)
	}
	for _, s := range w.sent {
		if s.Delay != 20*time.Second || s.Job != (approvals.Job{Verb: approvals.JobActivity, ID: alertID}) {
			t.Errorf("put back: %+v", s)
		}
	}
	close(release)
	w.must(<-done)
	w.must(<-done)
	w.looks(alertID) // there is room again
	if w.reportOf().Unread != "" {
		t.Errorf("%+v", w.reportOf())
	}
}
