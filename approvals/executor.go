package approvals

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Executor is the zone that plans, acts and verifies. It believes evidence and
// its own table, nothing else.
type Executor struct {
	Store     Store // the table runs
	Requests  Requests
	Policy    Policy
	Org       actions.Org
	Cloud     *actions.Cloud
	Actions   func(actions.Name) (actions.Action, bool)
	Verifiers map[EvidenceKind]Verifier
	Team      string   // Slack workspace
	Channels  []string // where commands may be typed
	Jobs      Sender[Job]
	Changes   Sender[Change]
	Now       func() time.Time
	Sleep     func(context.Context, time.Duration) error
	// Owner makes a name that is new every time: whoever works on a run.
	Owner func() string
	// Gone, where it is set, knows of workers that are gone before their lease is over.
	Gone func(owner string) bool
	// Notices takes the text of reports; nil for nobody.
	Notices Notifier
	// Findings understands the events that requests are born of.
	Findings Findings
	// AutoPerHour is how many containments may begin by themselves in any hour.
	AutoPerHour int
	Log         *slog.Logger

	looking atomic.Int32 // at the activity of alerts' subjects, in this process
}

func (x *Executor) runs() Runs { return Runs{x.Store} }

// Handle does one job. It may be called again for the same job, at the same
// time even; nothing happens twice. An error means: deliver it again later.
func (x *Executor) Handle(ctx context.Context, j Job) error {
	var r Request
	var err error
	if j.Verb != JobActivity { // which is about an alert
		r, err = x.Requests.Get(ctx, j.ID)
	}
	if errors.Is(err, ErrNotFound) {
		x.Log.WarnContext(ctx, "job for an unknown request", slog.String("request_id", j.ID), slog.String("verb", string(j.Verb)))
		return nil
	}
	if err != nil {
		return err
	}
	switch j.Verb {
	case JobPlan:
		err = x.plan(ctx, r)
	case JobRun, JobUndo:
		err = x.run(ctx, r)
	case JobVerify:
		err = x.recheck(ctx, r)
	case JobClose:
		err = x.close(ctx, r)
	case JobReport:
		err = x.report(ctx, r)
	case JobActivity:
		err = x.activity(ctx, j.ID)
	default:
		x.Log.WarnContext(ctx, "unknown job", slog.String("request_id", j.ID), slog.String("verb", string(j.Verb)))
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", j.Verb, j.ID, err)
	}
	return nil
}

// Findings understands events; approvals/finding has it. The configuration is part of it.
type Findings interface {
	// Read says what the body of EventEvidence tells. It returns an error for
	// what can't be read, and nothing for what no route posts.
	Read(event string) ([]Finding, error)
	// Confirm reads a finding anew from what its source says of it: raw is what
	// [actions.Cloud.Sight] returned. It returns an error if that is another
	// finding, or one that is over.
	Confirm(f Finding, raw []byte) (Finding, error)
}
