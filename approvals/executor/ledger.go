package executor

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// firstState is the state of a new step.
func firstState(s actions.Step) approvals.StepState {
	if s.Skip != "" {
		return approvals.StepSkipped
	}
	return approvals.StepPlanned
}

// row is a step as stored.
type row = approvals.Step

// step is a row of the ledger with a worker's own notes.
type step struct {
	row
	givenUpIn int       // number of the attempt; 0: not given up
	firstTry  time.Time // by this worker
	left      bool      // not to be applied by this worker
	releasing bool      // an undo is reverting its change
	// Of a look: lifted is set if an undo took the step back, added if it is new since the
	// containment; skip is the reason why it would not be planned now.
	lifted, added bool
	skip          string
}

// steps reads the ledger of a request.
func (x *Executor) steps(ctx context.Context, id string) ([]step, error) {
	rows, err := x.runs().Steps(ctx, id, 0)
	steps := make([]step, len(rows))
	for i, r := range rows {
		steps[i].row = r
	}
	return steps, err
}

// storePlan writes the steps before the plan, so that a stored plan is complete. The
// plan's snapshot is not part of it, see keepSnapshot.
func (x *Executor) storePlan(ctx context.Context, p approvals.Planned, f *planner) error {
	p.Steps, p.Plan = len(p.Plan.Steps), p.Plan.Bounded()
	old, err := x.runs().Steps(ctx, p.ID, 0) // of a worker that died
	if err != nil {
		return storeError{err}
	}
	var puts []approvals.Put
	for i, s := range p.Plan.Steps {
		var version int64
		if i < len(old) {
			version = old[i].Version
		}
		puts = append(puts, approvals.PutRow(approvals.StepKey(p.ID, i+1), version, approvals.Step{N: i + 1, Step: s, State: firstState(s)}))
	}
	for _, s := range old[min(len(old), len(puts)):] {
		puts = append(puts, approvals.Put{Row: approvals.Row{Key: approvals.StepKey(p.ID, s.N), Version: s.Version}, Delete: true})
	}
	for chunk := range slices.Chunk(puts, approvals.MaxPuts-1) {
		if err := f.wrote(x.Store.Write(ctx, append(slices.Clone(chunk), f.fence(p.ID))...)); err != nil {
			return storeError{err}
		}
	}
	err = f.wrote(x.record(ctx, p.ID, []approvals.Put{approvals.PutRow(approvals.PlannedKey(p.ID), 0, p), f.fence(p.ID)},
		audit.New("requested", p.Person, "intent", p.Intent.String(), "reason", p.Reason, "evidence", p.Evidence,
			"at", p.Asked.Format(time.RFC3339), "alert", p.Alert, "finding", p.Finding, "event", p.Event),
		audit.New("planned", "", "target", p.Plan.Identity.ARN, "target_id", p.Plan.Identity.ID, "steps", strconv.Itoa(p.Steps),
			"digest", p.Digest, "bound", p.Plan.Bound.Hash, "snapshot", p.Snapshot)))
	if err != nil {
		return storeError{err}
	}
	return nil
}

// keepSnapshot writes the snapshot of a new plan, for the record: nothing depends on it.
func (x *Executor) keepSnapshot(ctx context.Context, p approvals.Planned) {
	if p.Plan.Snapshot == "" {
		return
	}
	row := approvals.Row{Key: approvals.SnapshotKey(p.ID), Body: []byte(p.Plan.Snapshot)}
	if err := x.Store.Write(ctx, approvals.Put{Row: row}); err != nil {
		x.Log.WarnContext(ctx, "snapshot not kept", slog.String("request_id", p.ID), slog.String("error", err.Error()))
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// putRun returns the write of a run.
func putRun(r approvals.Run) approvals.Put {
	return approvals.PutRow(approvals.RunKey(r.ID), r.Version, r)
}

// resources lists the ARNs that the steps change.
func resources(steps []step) []string {
	var arns []string
	for _, s := range steps {
		if s.Step.Skip == "" && s.Step.Look == "" && !slices.Contains(arns, s.Step.Resource) && !s.Step.Many {
			arns = append(arns, s.Step.Resource)
		}
	}
	return arns
}

// storeError marks errors of our own tables and secrets, which say nothing about the
// target.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }
