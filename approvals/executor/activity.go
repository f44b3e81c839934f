package executor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

const (
	activityEvery      = 10 * time.Minute // an alert's activity is read again after
	unreadRetryEvery   = time.Minute      // and after a failed reading
	maxActivityLookups = 2                // in a process: the other workers look at containments
	activityRetry      = 20 * time.Second // if that many are under way
)

// activity looks up the recent activity of an alert's subject and stores it under the
// alert's ID. It only reads, because anybody who can write an alert's row can cause it.
func (x *Executor) activity(ctx context.Context, id string) error {
	a, err := alerts.Table{Requests: x.Requests}.Get(ctx, id)
	if errors.Is(err, approvals.ErrNotFound) {
		x.Log.WarnContext(ctx, "job for an unknown alert", slog.String("alert_id", id))
		return nil
	}
	if err != nil {
		return err
	}
	var rep approvals.Report
	version, err := x.runs().Find(ctx, approvals.ReportKey(id), &rep)
	if err != nil {
		return err
	}
	good := activityEvery
	if rep.Unread != "" {
		good = unreadRetryEvery
	}
	if version == 0 || x.Now().Sub(rep.At) >= good {
		if x.activityLookups.Add(1) > maxActivityLookups {
			x.activityLookups.Add(-1)
			return x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobActivity, ID: id}, activityRetry)
		}
		defer x.activityLookups.Add(-1)
		rep = x.lookUp(ctx, a)
		put := approvals.PutRow(approvals.ReportKey(id), version, rep)
		if x.Requests.Retention > 0 {
			put.Expires = rep.At.Add(x.Requests.Retention)
		}
		if err := ignore(x.Store.Write(ctx, put), approvals.ErrConflict); err != nil {
			return err
		}
	}
	return x.Changes.Send(ctx, approvals.Change{ID: id}, 0)
}

// lookUp reads the activity. If that fails, the report says why.
func (x *Executor) lookUp(ctx context.Context, a alerts.Alert) approvals.Report {
	f, no := x.findSubject(ctx, a)
	if no != nil {
		return approvals.Report{At: x.Now().UTC(), Unread: no.Reason}
	}
	rep := x.readReport(ctx, slog.String("alert_id", a.ID), func(ctx context.Context, now time.Time) (trail.Activity, error) {
		who := actions.SessionContext{RequestID: a.ID, Requester: approvals.AutomaticRequester}
		return trail.LookUpActivity(ctx, x.Cloud, f.Account, f.Subject, now, who)
	})
	if rep.Unread != "" {
		rep.Activity = trail.Activity{Subject: f.Subject.Value, By: f.Subject.By} // for a look-up by hand
	}
	return rep
}

// readReport reads activity, again after transient errors. If that fails, the report
// says why.
func (x *Executor) readReport(ctx context.Context, id slog.Attr,
	read func(context.Context, time.Time) (trail.Activity, error)) approvals.Report {
	rep := approvals.Report{At: x.Now().UTC()}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	err := x.retryTransient(ctx, x.Now().Add(reportRetryWithin), func() (err error) {
		rep.Activity, err = read(ctx, rep.At)
		return err
	})
	if err != nil {
		rep.Unread, _ = actions.Explain(err)
		x.Log.WarnContext(ctx, "activity not read", id, slog.String("error", err.Error()))
	}
	return rep
}

// findSubject returns the first finding of an alert that names a subject. It returns a
// refusal if none does.
func (x *Executor) findSubject(ctx context.Context, a alerts.Alert) (finding.Finding, *actions.Refusal) {
	why := "the alert does not say whose activity to look up"
	for _, r := range a.Reports {
		e, err := x.Requests.Evidence(ctx, r.Event)
		if errors.Is(err, approvals.ErrNotFound) {
			why = "the alert is too old: its event is no longer kept"
			continue
		}
		var found []finding.Finding
		if err == nil {
			found, err = x.Findings.ReadStored(e.Body)
		}
		if err != nil {
			x.Log.WarnContext(ctx, "event not read", slog.String("alert_id", a.ID), slog.String("error", err.Error()))
			why = "the alert's event can't be read"
			continue
		}
		i := slices.IndexFunc(found, func(f finding.Finding) bool { return f.Same(r.Finding) && f.Subject.Value != "" })
		switch {
		case i < 0:
		case found[i].Account == x.Org.HubAccount:
			why = "the account that Killswitch itself runs in is not looked into"
		default:
			return found[i], nil
		}
	}
	return finding.Finding{}, &actions.Refusal{Reason: why}
}
