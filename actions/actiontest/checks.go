package actiontest

import (
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
)

// key identifies a step that is planned again.
type key struct{ ID, Hold, Resource, ResourceID string }

func keys(p actions.Plan) []key {
	var ks []key
	for _, s := range p.Steps {
		ks = append(ks, key{s.ID, s.Hold, s.Resource, s.ResourceID})
	}
	return ks
}

func planning(p *scenario) {
	var first, second actions.Plan
	p.noMutations("planning", func() {
		first = p.plan(actions.LookAll)
		second = p.plan(actions.LookAll)
	})
	if d := cmp.Diff(first, second); d != "" {
		p.t.Errorf("planned twice, there are two plans:\n%s", d)
	}
	if first.Identity.ARN == "" || first.Identity.ID == "" {
		p.t.Errorf("the target's identity is %+v", first.Identity)
	}
	if first.Undo == "" || first.Reversible != p.action.Spec().Reversible {
		p.t.Errorf("reversible is %t, in words %q", first.Reversible, first.Undo)
	}
	for _, text := range p.action.Spec().NotStopped {
		if !slices.Contains(first.Residual, text) {
			p.t.Errorf("the plan does not say what the Spec does: %q", text)
		}
	}
	ids, holds := map[string]bool{}, map[string]bool{}
	for _, s := range first.Steps {
		if s.Skip != "" {
			continue
		}
		for field, text := range map[string]string{"ID": s.ID, "Title": s.Title, "Current": s.Current, "After": s.After, "Hold": s.Hold, "Resource": s.Resource, "ResourceID": s.ResourceID} {
			if strings.TrimSpace(text) == "" {
				p.t.Errorf("step %q has no %s", s.ID, field)
			}
		}
		if ids[s.ID] || holds[s.Hold] {
			p.t.Errorf("step %q, hold %q: not the only one", s.ID, s.Hold)
		}
		ids[s.ID], holds[s.Hold] = true, true
	}
	early := p.plan(actions.LookFirst)
	if len(early.Steps) == 0 || !early.More && len(early.Steps) != len(first.Steps) {
		p.t.Errorf("the first look has %d of %d steps, and says that there are more: %t", len(early.Steps), len(first.Steps), early.More)
	}
	for _, s := range early.Steps {
		if !slices.ContainsFunc(first.Steps, func(o actions.Step) bool { return cmp.Equal(s, o) }) {
			p.t.Errorf("the first look has another step %+v", s)
		}
	}
	// The executor plans again when a run starts or goes on, and finds its steps by their IDs.
	p.contain()
	p.noMutations("planning what is contained", func() {
		for _, k := range keys(p.plan(actions.LookSteps)) { // what is taken away need not be planned again
			if !slices.Contains(keys(first), k) {
				p.t.Errorf("the containment has a step that its plan did not have: %+v", k)
			}
		}
	})
}

func applying(p *scenario) {
	_, all := p.contain()
	p.restart()
	p.noMutations("reading back", func() { p.holds(actions.PhaseRun, all) })
	p.restart()
	p.noMutations("reading back for the plan of an undo", func() { p.holds(actions.PhasePlan, all) })
}

func applyingTwice(p *scenario) {
	run, all := p.contain()
	state := p.State()
	for i, d := range all {
		all[i].effect = p.apply(actions.PhaseRun, d.step, run)
	}
	p.unchanged(state, "applied again by the same run")
	p.holds(actions.PhaseRun, all)
}

// resuming: the effect is there and the ledger does not know, so the step is
// applied again for the same run, later and in another session.
func resuming(p *scenario) {
	before := p.State()
	run, all := p.contain()
	state := p.State()
	p.wait(3 * time.Second)
	p.restart()
	for i, d := range all {
		all[i].effect = p.apply(actions.PhaseRun, d.step, p.run(run.Since))
	}
	p.unchanged(state, "gone on with what is there already")
	p.holds(actions.PhaseRun, all)
	p.restore(all)
	p.checkRestored(before, all)
}

// resumingAtOnce: AWS may not even show the effect yet.
func resumingAtOnce(p *scenario) {
	before := p.State()
	since := p.Now()
	var all []ledgerEntry
	for _, s := range p.applicable(p.plan(actions.LookAll).Steps) {
		p.apply(actions.PhaseRun, s, p.run(since))
		p.wait(time.Second)
		p.restart()
		all = append(all, ledgerEntry{s, p.apply(actions.PhaseRun, s, p.run(since))})
	}
	p.holds(actions.PhaseRun, all)
	p.restore(all)
	p.checkRestored(before, all)
}

func tampering(p *scenario) {
	if p.Tamper == nil {
		return
	}
	before := p.State()
	_, all := p.contain()
	p.restart()
	p.Tamper()
	for _, d := range all {
		if r := p.verify(actions.PhaseRun, d); (r.Holds || r.Found == "") && d.step.Look == "" {
			p.t.Errorf("%s: somebody undid it, and Verify says %+v", d.step.ID, r)
		}
	}
	since := p.Now() // as a re-check does: what was written before does not count
	for i, d := range all {
		all[i].effect = p.apply(actions.PhaseRun, d.step, p.run(since))
	}
	p.holds(actions.PhaseRun, all)
	p.restore(all)
	p.checkRestored(before, all)
}

func reverting(p *scenario) {
	before := p.State()
	_, all := p.contain()
	p.restore(all)
	p.checkRestored(before, all)
	p.noMutations("taking back what is back", func() {
		for _, d := range slices.Backward(revertible(all)) {
			if r := p.revert(d); !r.Holds || r.Changed {
				p.t.Errorf("Revert %s again: %+v", d.step.ID, r)
			}
		}
	})
	for _, d := range revertible(all) {
		if r := p.verify(actions.PhaseRun, d); r.Holds {
			p.t.Errorf("%s: taken back, and Verify says that it holds", d.step.ID)
		}
	}
}

// revertingTwice: the first worker's effects may be there, unseen and unknown.
func revertingTwice(p *scenario) {
	before := p.State()
	_, all := p.contain()
	all = revertible(all)
	for _, d := range slices.Backward(all) {
		p.revert(d)
		p.restart()
		if r := p.revert(d); !r.Holds {
			p.t.Errorf("Revert %s, the first one's result being lost: %+v", d.step.ID, r)
		}
	}
	p.restored(all)
	p.checkRestored(before, all)
}

func replacing(p *scenario) {
	_, all := p.contain()
	all = slices.DeleteFunc(revertible(all), func(d ledgerEntry) bool { return slices.Contains(p.TwoValued, d.step.ID) })
	p.Replace()
	p.noMutations("taking back what others have changed since", func() {
		for _, d := range slices.Backward(all) {
			if r := p.revert(d); r.Holds || r.Changed || r.Found == "" {
				p.t.Errorf("Revert %s of what others wrote: %+v", d.step.ID, r)
			}
		}
	})
}
