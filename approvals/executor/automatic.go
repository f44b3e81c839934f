package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

const (
	maxFindingAge = 24 * time.Hour // older findings are not contained without a second person
	clickHint     = "a responder can click on the alert's card"
)

// autoEligible reports whether an action may run without a second person. The
// configuration is checked for it, too.
func (x *Executor) autoEligible(c actions.Call) bool {
	a, ok := x.Actions(c.Action)
	return ok && a.Spec().AutoEligible(c)
}

// trailPatience is how long an automatic request waits for an event that CloudTrail does not
// have yet, but no longer than a third of the time to approve: then people need the rest.
// CloudTrail delivers within about 5 minutes on average, without a guarantee.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html
const trailPatience = 15 * time.Minute

// peopleDecide is the error of a request that would run without a second person, if its
// source confirmed the finding.
type peopleDecide struct{ why string }

func (p *peopleDecide) Error() string { return p.why }

// checkMode checks that the present configuration still gives the request its approval
// mode, and that the source confirms the finding. It returns writes to be made with the
// claim, a *peopleDecide, or an *actions.Refusal. It is called before the plan and again
// before the run, since a finding may be archived in between.
func (x *Executor) checkMode(ctx context.Context, p approvals.Planned, proven provenRequest) ([]approvals.Put, error) {
	switch {
	case p.Mode == approvals.TwoPerson:
		return nil, nil
	case proven.mode != p.Mode:
		return nil, proven.modeRefusal()
	}
	auto := p.Mode == approvals.Automatic
	if auto {
		if _, err := x.countAutomatic(ctx, p); err != nil { // no API call if the cap is reached
			return nil, err
		}
	}
	if err := x.confirmFinding(ctx, p, proven); err != nil {
		_, refused := errors.AsType[*actions.Refusal](err)
		patience := min(trailPatience, p.Policy.ApproveWithin/3)
		switch {
		case ctx.Err() != nil:
			return nil, err
		case auto && refused:
			return nil, err
		case auto && errors.Is(err, source.ErrNotConfirmed) && p.Digest == "" && x.Now().Before(p.Asked.Add(patience)):
			return nil, notConfirmedYet{err}
		}
		why, _ := actions.Explain(err)
		return nil, &peopleDecide{why}
	}
	writes := []approvals.Put{approvals.PutRow(approvals.PlannedKey(p.ID), p.Version, p)} // it fails if askPeople was faster
	if !auto {
		return writes, nil
	}
	put, err := x.countAutomatic(ctx, p)
	return append(writes, put), err
}

// modeRefusal is the refusal of a request whose mode is not allowed.
func (proven provenRequest) modeRefusal() *actions.Refusal {
	why := proven.modeRefused
	if why == "" {
		why = "the stored request was altered"
	}
	return &actions.Refusal{Reason: why, Hint: clickHint}
}

// askPeople makes a planned request that was to run without a second person one that people
// approve. It returns errElsewhere if it runs, and an *actions.Refusal if too few may approve.
func (x *Executor) askPeople(ctx context.Context, p approvals.Planned, why string) error {
	p.Mode, p.ModeCause = approvals.TwoPerson, why
	if err := x.admit(&p); err != nil {
		return err
	}
	p.Digest = approvals.CallDigest(p.ID, p.Intent, p.Plan, p.Policy, p.Snapshot)
	err := x.record(ctx, p.ID, []approvals.Put{approvals.PutRow(approvals.PlannedKey(p.ID), p.Version, p)},
		audit.New("people_asked", "", "why", why, "digest", p.Digest))
	if errors.Is(err, approvals.ErrConflict) {
		return errElsewhere
	}
	if err != nil {
		return err
	}
	return x.showPlan(ctx, p)
}

// notConfirmedYet is the error of a source that may confirm the finding a few minutes
// later.
type notConfirmedYet struct{ error }

func (n notConfirmedYet) Unwrap() error { return n.error }

// confirmFinding asks the source whether the finding is true and whether, as the source
// tells it, it still allows the intent to run without a second person. It returns an
// *actions.Refusal if the source says no, and another error if it does not answer, or does
// not know of an event yet.
func (x *Executor) confirmFinding(ctx context.Context, p approvals.Planned, proven provenRequest) error {
	f := proven.finding
	if p.Account != f.Confirmation.Account {
		return &actions.Refusal{Reason: "its target is in another account than the finding", Hint: clickHint}
	}
	look, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	var raw []byte
	err := x.retryTransient(look, x.Now().Add(planTimeout), func() (err error) {
		raw, err = source.Confirm(look, x.Cloud, f.Confirmation, x.Now(), sessionContext(p, nil))
		return err
	})
	switch {
	case errors.Is(err, source.ErrNotConfirmed) && f.Confirmation.Kind != source.ConfirmEvent:
		return &actions.Refusal{Reason: err.Error(), Hint: clickHint}
	case err != nil:
		return err
	}
	now, err := x.Findings.Confirm(f, raw)
	o, _ := now.Offers().ByDigest(approvals.IntentDigest(proven.intent))
	switch {
	case err != nil:
		return &actions.Refusal{Reason: "its source does not confirm the finding: " + err.Error(), Hint: clickHint}
	case !o.Lets(p.Mode):
		return &actions.Refusal{Reason: "what its source says of the finding does not let it run without a second person", Hint: clickHint}
	case x.Now().Sub(now.Updated) > maxFindingAge:
		return &actions.Refusal{Reason: "its source last told of the finding more than a day ago", Hint: clickHint}
	}
	return nil
}

// countAutomatic returns the write that counts this run against the hourly caps. It
// returns an *actions.Refusal if one is reached.
func (x *Executor) countAutomatic(ctx context.Context, p approvals.Planned) (approvals.Put, error) {
	now := x.Now().UTC()
	h, err := x.runs().Hour(ctx, approvals.AutomaticKey, now)
	if err != nil {
		return approvals.Put{}, err
	}
	here := h.Count(func(b approvals.Began) bool { return b.Account == p.Account })
	reached := ""
	switch {
	case here >= x.AutoPerHour:
		reached = fmt.Sprintf("the cap of %d automatic containments an hour in account %s", x.AutoPerHour, p.Account)
	case len(h.Began) >= x.AutoPerHourTotal:
		reached = fmt.Sprintf("the cap of %d automatic containments an hour in all accounts together", x.AutoPerHourTotal)
	}
	if reached != "" {
		return approvals.Put{}, &actions.Refusal{Reason: reached + " is reached", Hint: clickHint}
	}
	return h.With(approvals.Began{ID: p.ID, Account: p.Account, At: now}), nil
}
