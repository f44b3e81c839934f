package bot

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// explained reports whether the ledger has what was done under the name of one of our own roles: the
// session is called after a request that had begun by then, whose action makes such calls, under that
// role, about what its steps change. Whoever else enters a role of ours can call a session so too, and
// do no more than that request did.
func (b *Bot) explained(ctx context.Context, f finding.Finding) (bool, error) {
	if !approvals.IsRequestID(f.OwnRole) || f.Mark != "" {
		return false, nil
	}
	run, err := b.Runs.Run(ctx, f.OwnRole)
	if errors.Is(err, approvals.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p, err := b.Runs.Planned(ctx, f.OwnRole)
	if errors.Is(err, approvals.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	a, ok := b.Org.Actions.Lookup(p.Intent.Call.Action)
	every := actions.Anything(b.Org)
	its := every // what it calls elsewhere, by its options
	its.Call = p.Intent.Call
	phase, role := actions.PhaseRun, b.Org.ResponderRole
	if p.Intent.Undo != "" {
		phase, role = actions.PhaseUndo, b.Org.RestorerRole
	}
	if !ok || !run.Started || !f.By(role) || !b.atWork(p, run, f.Last) || !makes(slices.Concat(a.Spec().Permits(phase, every), a.Spec().Permits(phase, its)), f.Call) {
		return false, nil
	}
	organizations := strings.HasPrefix(f.Call, "organizations:")
	switch {
	case organizations && (f.Account != b.Org.OrganizationsAccount() || !a.Spec().CallsOrganizations(p.Intent.Call)),
		!organizations && f.Account != p.Account,
		!organizations && phase == actions.PhaseRun && f.Allows: // we only deny
		return false, nil
	case f.Call == "organizations:DeletePolicy": // it names an ID alone, and what is attached nowhere
		return true, nil
	}
	limit := 0
	if actions.WholeAccount(p.Intent.Call) { // there may be thousands of roles, each with the same policy
		limit = wholeSteps
	}
	steps, err := b.Runs.Steps(ctx, f.OwnRole, limit)
	return slices.ContainsFunc(steps, func(s approvals.Step) bool { return about(s, p.Plan.Identity, f) }), err
}

// wholeSteps are the steps of a whole account that are looked at.
const wholeSteps = 50

// inlineCall matches the calls that write an inline policy, or delete one.
var inlineCall = actions.NewPattern(`^iam:(Put|Delete)(Role|User)Policy$`)

// about reports whether a call is about what a step changes: the resource, and where
// there are several of a kind on it, that one.
func about(s approvals.Step, target actions.Identity, f finding.Finding) bool {
	has := func(names ...string) bool {
		return slices.ContainsFunc(f.Touches, func(t string) bool {
			return slices.ContainsFunc(names, func(name string) bool { return name != "" && approvals.InForceName(name) == approvals.InForceName(t) })
		})
	}
	prior, wrote := "", ""
	if s.Step.Prior != nil {
		prior = *s.Step.Prior
	}
	if s.Effect.Wrote != nil {
		wrote = *s.Effect.Wrote
	}
	for _, t := range f.Touches { // a policy that is attached or detached
		if strings.HasPrefix(t, "arn:") && strings.Contains(t, ":policy/") && !strings.Contains(s.Step.Hold+" "+prior+" "+wrote, actions.LastPart(t)) {
			return false
		}
	}
	resource := has(s.Step.Resource, s.Step.ResourceID)
	inline := strings.HasSuffix(s.Step.HoldKind(), "/inline")
	switch {
	case s.Step.Many:
		return has(s.Step.HoldName())
	case inline, strings.HasSuffix(s.Step.HoldKind(), "/tag"):
		return resource && has(s.Step.HoldName())
	case inlineCall.MatchString(f.Call):
		return false
	}
	return resource || has(target.ARN, target.ID) || has(s.Step.Names(s.Effect)...)
}

// atWork reports whether a run may have made a call at a time: from its approval to its end, or while
// what it did is watched. CloudTrail has whole seconds.
func (b *Bot) atWork(p approvals.Planned, run approvals.Run, at time.Time) bool {
	if at.Before(p.At.Truncate(time.Second)) {
		return false
	}
	end := run.Ended
	if run.WatchUntil.After(end) {
		end = run.WatchUntil
	}
	return run.Outcome == "" || !at.After(end.Add(approvals.ClockSkew))
}

// makes reports whether statements permit a call.
func makes(permits []actions.Statement, call string) bool {
	return slices.ContainsFunc(permits, func(s actions.Statement) bool {
		return !s.Deny && slices.ContainsFunc(s.Actions, func(a string) bool {
			before, wild := strings.CutSuffix(a, "*")
			return a == call || wild && strings.HasPrefix(call, before)
		})
	})
}
