package executor

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// heldPause is the pause of an event's job while another worker has the run.
const heldPause = 5 * time.Second

// bringForward makes the next look due for an event: now, or a LookGap after the last one began.
// It is the look of the schedule that comes sooner: however many events there are, they set
// one. later: it is not due now.
func (x *Executor) bringForward(ctx context.Context, run *approvals.Run) (later bool, err error) {
	now := x.Now().UTC()
	at := run.LookedAt.Add(approvals.LookGap)
	if now.After(at) {
		at = now
	}
	if !at.Before(run.NextCheck) { // also if the watch is over
		return run.NextCheck.After(now), nil
	}
	if run.NextCheck = at; at.Equal(now) {
		return false, nil
	}
	err = x.record(ctx, run.ID, []approvals.Put{putRun(*run)})
	switch {
	case errors.Is(err, approvals.ErrConflict):
		err = x.sendEvent(ctx, run.ID)
	case err == nil:
		err = x.sendLook(ctx, *run)
	}
	return true, err
}

// sendEvent sends the job of an event again, while another worker has the run or its target: it
// may have read before the change.
func (x *Executor) sendEvent(ctx context.Context, id string) error {
	return x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobEvent, ID: id}, heldPause)
}

// inForce returns the names of what the steps change, as events have them.
func inForce(p approvals.Planned, steps []step) approvals.InForce {
	f := approvals.InForce{Account: p.Account}
	f.Add(p.Plan.Identity.ARN)
	for _, s := range steps {
		f.SCP = f.SCP || strings.HasSuffix(s.Step.HoldKind(), "/scp")
		if s.Step.Skip != "" || s.Step.Goal == "" && s.Effect.Wrote == nil {
			continue
		}
		for _, name := range s.Step.Names(s.Effect) {
			f.Add(name)
		}
	}
	return f
}
