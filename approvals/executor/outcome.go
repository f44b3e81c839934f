package executor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// tally is the sum of a run's steps.
type tally struct {
	good, bad int             // steps that hold, and steps that don't
	begun     int             // steps that may have changed something
	applied   bool            // AWS took a step that could not be read back
	achieved  bool            // each goal holds in one of its places
	goals     map[string]bool // which of them hold
	why, hint string          // cause of a step that does not hold: of a missed goal, else of a supporting step
}

func sumUp(steps []step) tally {
	t := tally{goals: map[string]bool{}}
	holds := func(s step) bool { return s.State == approvals.StepVerified || s.State == approvals.StepKept }
	for _, s := range steps {
		switch {
		case s.Step.Look != "": // it changes nothing
		case holds(s):
			t.good++
		case s.State != approvals.StepSkipped:
			t.bad++
		}
		if s.State != approvals.StepSkipped && s.State != approvals.StepPlanned && s.Step.Look == "" {
			t.begun++
		}
		t.applied = t.applied || s.State == approvals.StepDone
		if g := s.Step.Goal; g != "" {
			t.goals[g] = t.goals[g] || holds(s)
		}
	}
	for g, held := range t.goals {
		kind, _, _ := strings.Cut(g, " ")
		if _, is := t.goals[kind]; is && held {
			t.goals[kind] = true
		}
	}
	t.achieved = len(t.goals) > 0
	for _, held := range t.goals {
		t.achieved = t.achieved && held
	}
	for _, s := range steps {
		missed := s.Step.Goal != "" && !t.goals[s.Step.Goal]
		cause := cmp.Or(s.Cause, s.Step.Skip)
		if holds(s) && s.Step.Look == "" || cause == "" || t.why != "" || missed == t.achieved || s.State == approvals.StepSkipped && !missed {
			continue
		}
		t.why, t.hint = s.Step.Title+": "+cause, s.Hint
	}
	if i := slices.IndexFunc(steps, func(s step) bool { return s.State == approvals.StepFailed && s.Hint != "" }); t.why != "" && t.hint == "" && i >= 0 {
		t.hint = steps[i].Hint // of what was left alone there is none
	}
	return t
}

// sum sums up the steps. Of a run with many, the cause says how many don't hold.
func (w *worker) sum(steps []step) tally {
	t := sumUp(steps)
	if t.bad > 1 && w.run.Progress.Total > 0 {
		t.why = fmt.Sprintf("%d of %d failed. The first: %s", t.bad, t.good+t.bad, t.why)
	}
	return t
}

// endWithOutcome ends the run with the outcome of its steps. why is set if the account
// could not be entered: then nothing is known to hold.
func (w *worker) endWithOutcome(ctx context.Context, steps []step, why, hint string) error {
	w.count(steps)
	t := w.sum(steps)
	if why != "" {
		t = tally{bad: t.good + t.bad, begun: t.begun, why: why, hint: hint}
	}
	now := w.x.Now().UTC()
	run := w.run
	run.Applied, run.Ended, run.Cause, run.Hint = now, now, t.why, t.hint
	switch {
	case t.achieved && w.p.Intent.Undo != "":
		run.Outcome, run.Verified = approvals.Restored, now
	case t.achieved:
		run.Outcome, run.Verified = approvals.Contained, now
	case t.good > 0 || (t.applied || w.recreated) && w.p.Intent.Undo == "" || why != "" && t.begun > 0:
		run.Outcome = approvals.Partial
	default:
		run.Outcome = approvals.Failed
	}
	if w.x.beginWatch(run, w.p); !run.NextCheck.IsZero() {
		run.InForce = inForce(w.p, steps)
	}
	return w.x.endRun(ctx, run, audit.New(string(run.Outcome), "", "why", t.why,
		"verified", strconv.Itoa(t.good), "not_verified", strconv.Itoa(t.bad), "flags", strings.Join(run.Flags, " ")))
}
