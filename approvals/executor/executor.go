// Package executor is the privileged zone. It plans containments, runs them in the
// target account, verifies them by reading back, and reverts them.
//
// It trusts only two inputs: evidence whose signature it has checked, and the table
// runs, which nobody else writes. Rows of the table requests and queue messages may
// be forged.
//
// The types that matter:
//
//   - [Executor] handles jobs. [Executor.Handle] may be called twice for one job, and
//     at the same time: rows, leases and versions keep effects from happening twice.
//   - [approvals.Planned], [approvals.Run] and [approvals.Step] are the rows of a
//     request: what was approved, how far it is, and the ledger of its steps.
//   - hold (a row per change) says which requests need a change, and what an undo
//     restores. worker is one attempt at one run.
//
// Files:
//
//	prove.go, prove_alert.go  what a person, a click or a rule asked for
//	decide.go                 whether the proved approvals are enough
//	votes.go                  the approvals in the audit chain, those that don't count too
//	automatic.go              requests without a second person
//	break_glass.go            what one person does alone, and its review
//	plan.go, undo_plan.go     what a run would do
//	run.go, lease.go          claim of a run and its target by one worker
//	retry.go                  another attempt at a run
//	work.go, step.go          the steps of a run, one after the other
//	many.go, pace.go          thousands of steps, at the rate that AWS allows
//	watch.go, event.go        whether a containment still holds; events that make a look due
//	listing.go                the list of roles that looks at an account share
//	undo.go                   the original request while its undo runs
//	holds.go, ledger.go       rows of changes and steps
//	record.go                 rows and audit chain in one write
//	keep.go                   heads of the chains, in a bucket that nobody can alter
//	report.go, activity.go    recent activity of a target
//	trace.go                  what a principal made, changed and used
//	notify.go                 the pager, for what nobody answers
//	health.go                 the daily look at the executor's own part of the installation
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

// Executor plans, runs, verifies and reverts requests.
type Executor struct {
	Store     approvals.Store // the table runs
	Requests  approvals.Requests
	Policy    approvals.Policy
	Org       actions.Org
	Cloud     *actions.Cloud
	Actions   func(actions.Name) (actions.Action, bool)
	Verifiers map[approvals.EvidenceKind]approvals.Verifier
	// Signers finds out who signed a statement of the command line; nil takes none.
	Signers  Signers
	Team     string   // Slack workspace
	Channels []string // where commands may be typed; empty: in each that the bot takes them from
	Jobs     approvals.Sender[approvals.Job]
	Changes  approvals.Sender[approvals.Change]
	Now      func() time.Time
	Sleep    func(context.Context, time.Duration) error
	// Owner returns a new name for each worker that takes a lease.
	Owner func() string
	// Gone reports workers that died before their lease ended; nil if that can't be
	// known.
	Gone func(owner string) bool
	// Notices sends the text of reports; nil sends none.
	Notices Notifier
	// Pager takes what nobody has answered for PagerAfter; nil: there is none.
	Pager      Notifier
	PagerAfter time.Duration
	// Heads keeps heads of audit chains; nil: there is no bucket for them.
	Heads Heads
	// Liftable says why an administrator of the account can lift a planned containment, empty if nobody there
	// can; nil if that is not asked.
	Liftable func(context.Context, actions.Call, actions.Plan, actions.SessionContext) string
	// Members lists the accounts of the organization; nil: the configuration's are all that there are.
	Members func(context.Context, actions.SessionContext) ([]string, error)
	// Findings reads the events that requests follow from.
	Findings finding.Reader
	// AutoPerHour caps the automatic containments of an account in any hour,
	// AutoPerHourTotal those of all accounts together.
	AutoPerHour, AutoPerHourTotal int
	// Count, where it is set, counts the containments that end, or turn out, not to be one, and the daily checks.
	Count func(ctx context.Context, name string, n int)
	Log   *slog.Logger

	activityLookups atomic.Int32 // under way in this process
}

func (x *Executor) runs() approvals.Runs { return approvals.Runs{Reader: x.Store} }

// Handle handles one job. It may be called again for the same job, also at the same
// time; no effect happens twice. After an error the job must be delivered again.
func (x *Executor) Handle(ctx context.Context, j approvals.Job) error {
	var r approvals.Request
	var err error
	_, outage := approvals.OutageSince(j.ID)
	_, check := approvals.HealthBegun(j.ID)
	noRequest := j.Verb == approvals.JobActivity || j.Verb == approvals.JobAttest || j.Verb == approvals.JobHealth || j.Verb == approvals.JobNotify && (outage || check) || (j.Verb == approvals.JobNotify || j.Verb == approvals.JobTrace) && approvals.IsAlertID(j.ID)
	if !noRequest {
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
	case approvals.JobLook:
		err = x.look(ctx, r, false)
	case approvals.JobEvent:
		err = x.look(ctx, r, true)
	case approvals.JobClose:
		err = x.recordClosed(ctx, r)
	case approvals.JobReport:
		err = x.report(ctx, r)
	case approvals.JobActivity:
		err = x.activity(ctx, j.ID)
	case approvals.JobTrace:
		err = x.trace(ctx, j.ID)
	case approvals.JobAttest:
		err = x.attest(ctx, j.ID)
	case approvals.JobNotify:
		err = x.notify(ctx, j.ID, r)
	case approvals.JobKeep:
		err = x.keepHead(ctx, j.ID)
	case approvals.JobHealth:
		err = x.health(ctx, j.ID)
	default:
		x.Log.WarnContext(ctx, "unknown job", slog.String("request_id", j.ID), slog.String("verb", string(j.Verb)))
		return nil
	}
	if err == nil || errors.Is(err, errSettled) || errors.Is(err, errElsewhere) {
		return nil
	}
	return fmt.Errorf("%s %s: %w", j.Verb, j.ID, err)
}
