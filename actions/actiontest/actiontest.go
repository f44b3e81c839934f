// Package actiontest is the contract test of actions.Action, on any AWS behind the SDK:
// the one in memory, or another implementation behind an endpoint.
//
//	Test         checks a Contract: an action and the states that its target starts in
//	Environment  a target in an AWS of its own, and how to read and change it
//	Fixture      an AWS in memory with a role, for the tests of the actions
//
// Test drives an action as the executor does: plan, apply and read back under the
// responder, revert under the restorer, with the ledger's rows (steps and effects)
// going through JSON in between.
package actiontest

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// Contract is an action and the states in which it is tested.
type Contract struct {
	Action actions.Action
	// Starts are initial states of the target. Together they make the action use all
	// permissions of its Spec, for instance by content that undo restores.
	Starts []Start
	// ErrorPathPermits are permissions that are used only when AWS refuses something, which
	// no start brings about: the action's own tests show that they are needed.
	ErrorPathPermits []string
}

// Start opens a new Environment for each check. The environments of a Start are alike.
type Start struct {
	Name string
	Open func(t *testing.T) Environment
}

// Environment is a target in an AWS of its own.
type Environment struct {
	Call actions.Call
	Org  actions.Org
	// Enter opens a session by actions.Cloud.EnterFor: with exactly what the
	// action's Spec permits in that phase, to change these resources.
	Enter func(m actions.Member, p actions.Phase, resources []string) *actions.Account
	// State is all that the action may touch, but for what stays when it is
	// taken back, for cmp.Diff.
	State func() any
	// Tamper takes the whole containment away behind our back, and Replace puts
	// there what is neither ours nor what was there before. Tamper is nil where
	// nobody can take it away: what was deleted comes back as something else.
	Tamper, Replace func()
	// TwoValued are the IDs of steps whose content is one of two values, so that
	// Replace can't put a third there.
	TwoValued []string
	Now       func() time.Time
	Wait      func(time.Duration) // nil sleeps
	// Mutations counts the calls that changed something; nil where nobody counts.
	Mutations func() int
	// Calls are the permissions that the action's calls took until now, as
	// "iam:GetRole"; nil where they can't be listed.
	Calls func() []string
}

// How long and how often a write is read back: AWS may show it late.
const (
	readWithin  = 15 * time.Second
	readEvery   = 500 * time.Millisecond
	laterWithin = 90 * time.Second // of a step that returned RetryLater
)

// Test checks the action in each of its starts; thinned, in one of them with all checks.
func Test(t *testing.T, w Contract) {
	if w.Action.Spec().Target.Forms == "" {
		t.Error("help does not say how the target is written")
	}
	if s := w.Action.Spec(); len(s.NotStopped) == 0 || s.Undo == "" || s.Delay == "" {
		t.Error("the Spec does not say what the action does not stop, how undo restores the target, or when AWS enforces it")
	}
	checks := []struct {
		name string
		run  func(*scenario)
	}{
		{"a plan writes nothing and names its steps", planning},
		{"what is applied is read back", applying},
		{"twice is once", applyingTwice},
		{"a worker that died is followed by another", resuming},
		{"a worker that died is followed at once", resumingAtOnce},
		{"what somebody undid is seen and applied again", tampering},
		{"taking back restores every byte", reverting},
		{"taking back survives its worker", revertingTwice},
		{"what others wrote is not overwritten", replacing},
	}
	used, permitted, counted, ran := map[actions.Phase]map[string]bool{}, map[actions.Phase]map[string]bool{}, true, 0
	every := thin.Every(t, 3, "the checks of every start but the first")
	for i, start := range w.Starts {
		t.Run(start.Name, func(t *testing.T) {
			for j, c := range checks {
				if i > 0 && (i+j)%every != 0 {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					p := &scenario{Environment: start.Open(t), t: t, action: w.Action, used: used, permitted: permitted, sessions: map[actions.Phase]*actions.Account{}}
					counted = counted && p.Calls != nil
					c.run(p)
					ran++
				})
			}
		})
	}
	t.Run("nothing is permitted in vain", func(t *testing.T) {
		if !counted || ran != len(checks)*len(w.Starts) {
			t.Skip("not every call of every check is known")
		}
		for phase := actions.PhasePlan; phase <= actions.PhaseUndo; phase++ {
			for permit := range permitted[phase] {
				if !used[phase][permit] && !slices.ContainsFunc(w.ErrorPathPermits, func(s string) bool { return strings.EqualFold(s, permit) }) {
					t.Errorf("phase %d is permitted %s and never used it", phase, permit)
				}
			}
		}
	})
}

// permits are the permissions of a phase, in lower case.
func (p *scenario) permits(phase actions.Phase) []string {
	var acts []string
	for _, s := range p.statements(phase) {
		for _, a := range s.Actions {
			if !s.Deny {
				acts = append(acts, strings.ToLower(a))
			}
		}
	}
	return acts
}

// statements are what a phase permits, in the target's account too if the call is carried out from another
// one: see Account.Target.
func (p *scenario) statements(phase actions.Phase) []actions.Statement {
	scope := actions.ScopeOf(p.action, p.Org, p.Call, p.resources)
	all := actions.Permits(p.action, phase, scope)
	if scope.Account != p.Call.Account {
		all = append(all, actions.Permits(p.action, phase, scope.Target())...)
	}
	return all
}

// namesResources finds changed resources that no statement names: a misspelt kind in
// Scope.Changed results in no statement at all.
func (p *scenario) namesResources() {
	p.t.Helper()
	permits := p.statements(actions.PhaseRun)
	for _, arn := range p.resources {
		about := func(pattern string) bool { return pattern != "*" && awsfake.Covers(pattern, arn) }
		if !slices.ContainsFunc(permits, func(s actions.Statement) bool { return slices.ContainsFunc(s.Resources, about) }) {
			p.t.Errorf("PhaseRun permits nothing on %s, which a step changes", arn)
		}
	}
}

// scenario is one check in one environment.
type scenario struct {
	Environment
	t               *testing.T
	action          actions.Action
	used, permitted map[actions.Phase]map[string]bool // by permission, in lower case
	resources       []string                          // that the steps change, as far as planned
	approved        string                            // the target's ID
	sessions        map[actions.Phase]*actions.Account
}

// ledgerEntry is a ledger entry.
type ledgerEntry struct {
	step   actions.Step
	effect actions.Effect
}

// inSession does something in a phase's session and looks at which permissions it took.
func (p *scenario) inSession(phase actions.Phase, do func(*actions.Account)) {
	p.t.Helper()
	acct := p.sessions[phase]
	if acct == nil {
		member := actions.Responder
		if phase == actions.PhaseUndo {
			member = actions.Restorer
		}
		acct = p.Enter(member, phase, p.resources)
		p.sessions[phase] = acct
		if phase == actions.PhaseRun {
			p.namesResources()
		}
	}
	acct.ResetRoleList() // as the executor does before it reads back
	if p.Calls == nil {
		do(acct)
		return
	}
	before := len(p.Calls())
	do(acct)
	if p.used[phase] == nil {
		p.used[phase], p.permitted[phase] = map[string]bool{}, map[string]bool{}
	}
	allowed := p.permits(phase)
	for _, permit := range allowed {
		p.permitted[phase][permit] = true
	}
	for _, call := range p.Calls()[before:] {
		p.used[phase][strings.ToLower(call)] = true
		if !slices.Contains(allowed, strings.ToLower(call)) {
			p.t.Errorf("phase %d used %s, which its Spec does not permit", phase, call)
		}
	}
}

// restart simulates another worker, which has the ledger only.
func (p *scenario) restart() { clear(p.sessions) }

func (p *scenario) wait(d time.Duration) {
	if p.Wait == nil {
		time.Sleep(d)
		return
	}
	p.Wait(d)
}

func (p *scenario) plan(look actions.Look) actions.Plan {
	p.t.Helper()
	var plan actions.Plan
	var err error
	// A run plans with the permissions of PhasePlan too, and then acts with its own.
	p.inSession(actions.PhasePlan, func(acct *actions.Account) {
		acct.Look, acct.Approved = look, p.approved
		plan, err = p.action.Plan(p.t.Context(), acct, p.Call)
		acct.Look, acct.Approved = actions.LookAll, ""
	})
	if err != nil {
		p.t.Fatalf("Plan: %v", err)
	}
	if len(plan.Steps) == 0 && look == actions.LookAll { // of what is contained nothing may be left to do
		p.t.Fatal("Plan: no steps")
	}
	if look == actions.LookAll {
		p.approved = plan.Identity.ID
		if !slices.ContainsFunc(plan.Steps, func(s actions.Step) bool { return s.Goal != "" }) {
			p.t.Error("no step names a goal, so nothing would ever be contained")
		}
	}
	plan.Steps = stored(p.t, plan.Steps)
	for _, s := range plan.Steps {
		if s.Skip == "" && s.Look == "" && !slices.Contains(p.resources, s.Resource) {
			p.resources = append(p.resources, s.Resource)
			clear(p.sessions) // they were entered for less
		}
	}
	return plan
}

func (p *scenario) run(since time.Time) actions.Run {
	return actions.Run{RequestID: "KS-0123456789AB", Since: since, Now: p.Now()}
}

func (p *scenario) apply(phase actions.Phase, s actions.Step, run actions.Run) actions.Effect {
	p.t.Helper()
	var e actions.Effect
	var err error
	for end := p.Now().Add(laterWithin); ; p.wait(readEvery) {
		p.inSession(phase, func(acct *actions.Account) { e, err = p.action.Apply(p.t.Context(), acct, s, run) })
		if !actions.IsRetryLater(err) || !p.Now().Before(end) { // the executor tries those again, too
			break
		}
	}
	if err != nil {
		p.t.Fatalf("Apply %s: %v", s.ID, err)
	}
	if d := cmp.Diff(s.Prior, e.Prior); d != "" {
		p.t.Errorf("Apply %s lost what was there before: %s", s.ID, d)
	}
	return stored(p.t, e)
}

func (p *scenario) verify(phase actions.Phase, d ledgerEntry) actions.Reading {
	p.t.Helper()
	var r actions.Reading
	var err error
	p.inSession(phase, func(acct *actions.Account) { r, err = p.action.Verify(p.t.Context(), acct, d.step, d.effect) })
	if errors.Is(err, actions.ErrRecreated) {
		return actions.Reading{Found: err.Error()} // of what was deleted, and made again when it was taken back
	}
	if err != nil {
		p.t.Fatalf("Verify %s: %v", d.step.ID, err)
	}
	return r
}

func (p *scenario) revert(d ledgerEntry) actions.Reading {
	p.t.Helper()
	var r actions.Reading
	var err error
	for end := p.Now().Add(laterWithin); ; p.wait(readEvery) {
		p.inSession(actions.PhaseUndo, func(acct *actions.Account) { r, err = p.action.Revert(p.t.Context(), acct, d.step, d.effect) })
		if !actions.IsRetryLater(err) || !p.Now().Before(end) {
			break
		}
	}
	if err != nil {
		p.t.Fatalf("Revert %s: %v", d.step.ID, err)
	}
	return r
}

// readUntil reads until ok, as long as AWS may take.
func (p *scenario) readUntil(what string, d ledgerEntry, read func() actions.Reading, ok func(actions.Reading) bool) {
	p.t.Helper()
	for end := p.Now().Add(readWithin); ; p.wait(readEvery) {
		r := read()
		if ok(r) {
			return
		}
		if !p.Now().Before(end) {
			p.t.Fatalf("%s %s: still %+v after %v", what, d.step.ID, r, readWithin)
		}
	}
}

func (p *scenario) holds(phase actions.Phase, all []ledgerEntry) {
	p.t.Helper()
	for _, d := range all {
		p.readUntil("Verify", d, func() actions.Reading { return p.verify(phase, d) }, func(r actions.Reading) bool { return r.Holds })
	}
}

// contain is plan, apply and read back.
func (p *scenario) contain() (actions.Run, []ledgerEntry) {
	p.t.Helper()
	steps := p.plan(actions.LookAll).Steps
	before := p.State()
	run := p.run(p.Now())
	var all []ledgerEntry
	for _, s := range p.applicable(steps) {
		all = append(all, ledgerEntry{s, p.apply(actions.PhaseRun, s, run)})
	}
	p.holds(actions.PhaseRun, all)
	if cmp.Equal(before, p.State()) {
		p.t.Fatal("all steps hold and nothing has changed")
	}
	return run, all
}

// applicable are the steps that are taken.
func (p *scenario) applicable(steps []actions.Step) []actions.Step {
	return slices.DeleteFunc(steps, func(s actions.Step) bool { return s.Skip != "" })
}

// revertible returns the steps that undo reverts, including credentials.
func revertible(all []ledgerEntry) []ledgerEntry {
	return slices.DeleteFunc(slices.Clone(all), func(d ledgerEntry) bool {
		return d.step.NotReverted != "" && !d.step.Credential || d.step.Look != ""
	})
}

// restore reverts all steps, last first, and reads them back.
func (p *scenario) restore(all []ledgerEntry) {
	p.t.Helper()
	all = revertible(all)
	changed := len(all) == 0
	for _, d := range slices.Backward(all) {
		r := p.revert(d)
		if !r.Holds {
			p.t.Fatalf("Revert %s: %+v", d.step.ID, r)
		}
		changed = changed || r.Changed
	}
	if !changed {
		p.t.Error("no Revert says that it changed something")
	}
	p.restored(all)
}

func (p *scenario) restored(all []ledgerEntry) {
	p.t.Helper()
	for _, d := range slices.Backward(all) {
		p.readUntil("Revert", d, func() actions.Reading { return p.revert(d) }, func(r actions.Reading) bool { return r.Holds && !r.Changed })
	}
}

// unchanged checks that the state is want.
func (p *scenario) unchanged(want any, when string) {
	p.t.Helper()
	if d := cmp.Diff(want, p.State()); d != "" {
		p.t.Errorf("%s (-want +got):\n%s", when, d)
	}
}

// checkRestored checks that what was taken back is back. Of what can't be taken back
// at all, nothing is.
func (p *scenario) checkRestored(before any, all []ledgerEntry) {
	p.t.Helper()
	if len(revertible(all)) > 0 {
		p.unchanged(before, "restored")
	}
}

// noMutations checks that do changes nothing.
func (p *scenario) noMutations(when string, do func()) {
	p.t.Helper()
	state, writes := p.State(), 0
	if p.Mutations != nil {
		writes = p.Mutations()
	}
	do()
	p.unchanged(state, when)
	if p.Mutations != nil {
		if n := p.Mutations() - writes; n != 0 {
			p.t.Errorf("%s: %d calls that write", when, n)
		}
	}
}

// stored returns v after a round trip through the ledger.
func stored[T any](t *testing.T, v T) T {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var back T
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	return back
}
