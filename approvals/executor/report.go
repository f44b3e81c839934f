package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// Notifier sends a text to its subscribers.
type Notifier interface {
	Notify(ctx context.Context, subject, text string) error
	// Subscribers is how many there are; an error: the topic is not there, or may not be asked.
	Subscribers(ctx context.Context) (int, error)
}

// reporter returns the action if it reports activity. Undos don't.
func (x *Executor) reporter(p approvals.Planned) (trail.Reporter, bool) {
	action, ok := x.Actions(p.Intent.Call.Action)
	tells, is := action.(trail.Reporter)
	return tells, ok && is && p.Intent.Undo == ""
}

const (
	reportTimeout     = 90 * time.Second // timeout of the reading for a report
	reportRetryWithin = 20 * time.Second // people wait for the notice
)

// report reads the target's recent activity and sends it to Slack and the subscribers,
// once.
func (x *Executor) report(ctx context.Context, r approvals.Request) error {
	p, err := x.runs().Planned(ctx, r.ID)
	if err != nil {
		return ignore(err, approvals.ErrNotFound)
	}
	run, err := x.runs().Run(ctx, r.ID)
	if err != nil {
		return ignore(err, approvals.ErrNotFound)
	}
	action, ok := x.reporter(p)
	if !ok || !run.Started || run.Outcome == "" { // it is sent once, with the outcome
		return nil
	}
	var rep approvals.Report
	version, err := x.runs().Find(ctx, approvals.ReportKey(r.ID), &rep)
	if err != nil {
		return err
	}
	if version == 0 {
		rep = x.readReport(ctx, slog.String("request_id", p.ID), func(ctx context.Context, now time.Time) (a trail.Activity, err error) {
			acct, err := x.Cloud.EnterFor(ctx, actions.Responder, action, actions.PhaseReport, p.Call(), nil, sessionContext(p, run.Approvers))
			if err == nil {
				a, err = action.Report(ctx, acct, p.Call(), p.Plan.Identity, now)
			}
			return a, err
		})
		err := x.record(ctx, r.ID, []approvals.Put{approvals.PutRow(approvals.ReportKey(r.ID), 0, rep)},
			audit.New("reported", "", "events", strconv.Itoa(rep.Activity.Total), "why", rep.Unread))
		if err != nil {
			return ignore(err, approvals.ErrConflict)
		}
		version = 1
	}
	if rep.Notified.IsZero() && rep.Unsent == "" && x.Notices != nil {
		if err := x.sendNotice(ctx, p, run, &rep); err != nil {
			return err
		}
		err := x.record(ctx, r.ID, []approvals.Put{approvals.PutRow(approvals.ReportKey(r.ID), version, rep)},
			audit.New("notified", "", "why", rep.Unsent))
		if err != nil {
			return ignore(err, approvals.ErrConflict)
		}
	}
	return x.changeRequest(ctx, r.ID, func(r *approvals.Request) error {
		r.Revise()
		return nil
	})
}

// sendNotice sends the notice. A refused notice is recorded; after a transient error the
// job is delivered again.
func (x *Executor) sendNotice(ctx context.Context, p approvals.Planned, run approvals.Run, rep *approvals.Report) error {
	text := fmt.Sprintf("%s: %s\n%s in account %s\nAsked for by %s: %s\n", p.ID, outcome(run), p.Intent.Call, p.Account, p.Person, p.Reason)
	if run.Cause != "" {
		text += run.Cause + "\n"
	}
	if rep.Unread != "" {
		text += "\nThe recent activity could not be read: " + rep.Unread + "\n"
	} else {
		text += "\n" + rep.Activity.Text()
	}
	subject := fmt.Sprintf("Killswitch %s: %s %s", outcome(run), p.Intent.Call.Action, x.Org.Actions.TargetName(p.Intent.Call))
	err := x.Notices.Notify(ctx, subject, text)
	if actions.Transient(err) || errors.Is(err, context.Canceled) {
		return err
	}
	if err != nil {
		rep.Unsent, _ = actions.Explain(err)
		x.Log.ErrorContext(ctx, "notice not sent", slog.String("request_id", p.ID), slog.String("error", err.Error()))
		return nil
	}
	rep.Notified = x.Now().UTC()
	return nil
}

func outcome(run approvals.Run) string {
	if run.Outcome == "" {
		return string(approvals.Running)
	}
	return string(run.Outcome)
}
