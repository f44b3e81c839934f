// Package executor is the privileged zone: it plans, acts in the target account,
// reads back and takes back. It trusts the evidence that it proves itself and the
// table runs, which only it writes; the table requests and the queues it reads
// as what anybody may have written.
//
//	prove.go, prove_alert.go  what a person, a click or a rule asked for
//	automatic.go            whether a run needs no second person
//	decide.go               whether the proved approvals are enough
//	plan.go, undo_plan.go   what would be done
//	run.go, lease.go        one worker at a time has a run and its target
//	retry.go                another attempt
//	work.go, step.go        the steps of a run, one after the other
//	many.go, pace.go        thousands of steps, at the rate that AWS allows
//	recheck.go              whether a containment still holds
//	undo.go                 what an undo tells the request that it takes back
//	holds.go, ledger.go     rows: who wants a change to stay; what was done
//	record.go               rows and audit chain in one write
//	report.go, activity.go  what a target did lately
package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// Executor is the zone that plans, acts and verifies. It believes evidence and
// its own table, nothing else.
type Executor struct {
	Store     approvals.Store // the table runs
	Requests  approvals.Requests
	Policy    approvals.Policy
	Org       actions.Org
	Cloud     *actions.Cloud
	Actions   func(actions.Name) (actions.Action, bool)
	Verifiers map[approvals.EvidenceKind]approvals.Verifier
	Team      string   // Slack workspace
	Channels  []string // where commands may be typed
	Jobs      approvals.Sender[approvals.Job]
	Changes   approvals.Sender[approvals.Change]
	Now       func() time.Time
	Sleep     func(context.Context, time.Duration) error
	// Owner makes a name that is new every time: whoever works on a run.
	Owner func() string
	// Gone, where it is set, knows of workers that are gone before their lease is over.
	Gone func(owner string) bool
	// Notices takes the text of reports; nil for nobody.
	Notices Notifier
	// Findings reads the events that requests follow from.
	Findings finding.Reader
	// AutoPerHour is how many containments may begin by themselves in any hour.
	AutoPerHour int
	Log         *slog.Logger

	activityLookups atomic.Int32 // at the activity of alerts' subjects, in this process
}

func (x *Executor) runs() approvals.Runs { return approvals.Runs{Reader: x.Store} }

// Handle does one job. It may be called again for the same job, at the same
// time even; nothing happens twice. An error means: deliver it again later.
func (x *Executor) Handle(ctx context.Context, j approvals.Job) error {
	var r approvals.Request
	var err error
	if j.Verb != approvals.JobActivity { // which is about an alert
		r, err = x.Requests.Get(ctx, j.ID)
	}
	if errors.Is(err, approvals.ErrNotFound) {
		x.Log.WarnContext(ctx, "job for an unknown request", slog.String("request_id", j.ID), slog.String("verb", string(j.Verb)))
		return nil
	}
	if err != nil {
		return err
	}
	switch j.Verb {
	case approvals.JobPlan:
		err = x.plan(ctx, r)
	case approvals.JobRun, approvals.JobUndo:
		err = x.run(ctx, r)
	case approvals.JobVerify:
		err = x.recheck(ctx, r)
	case approvals.JobClose:
		err = x.close(ctx, r)
	case approvals.JobReport:
		err = x.report(ctx, r)
	case approvals.JobActivity:
		err = x.activity(ctx, j.ID)
	default:
		x.Log.WarnContext(ctx, "unknown job", slog.String("request_id", j.ID), slog.String("verb", string(j.Verb)))
		return nil
	}
	if err == nil || errors.Is(err, errSettled) || errors.Is(err, errElsewhere) {
		return nil
	}
	return fmt.Errorf("%s %s: %w", j.Verb, j.ID, err)
}
