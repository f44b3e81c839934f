package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/approvals"
)

const (
	maxFindingAge = 24 * time.Hour // older findings are not contained automatically
	clickHint     = "a responder can click on the alert's card"
)

// autoEligible reports whether an action may run without a second person. The
// configuration is checked for it, too.
func (x *Executor) autoEligible(c actions.Call) bool {
	a, ok := x.Actions(c.Action)
	return ok && a.Spec().AutoEligible(c)
}

// checkMode checks that the present configuration still gives the request its approval
// mode, and for an automatic one that the source confirms the finding. It returns
// writes to be made with the claim, or an *actions.Refusal. It is called before the
// plan and again before the run, since a finding may be archived in between.
func (x *Executor) checkMode(ctx context.Context, until time.Time, p approvals.Planned, proven provenRequest) ([]approvals.Put, error) {
	switch {
	case p.Mode == approvals.TwoPerson:
		return nil, nil
	case proven.mode != p.Mode:
		return nil, proven.modeRefusal()
	case p.Mode == approvals.OneClick:
		return nil, nil
	}
	if _, err := x.countAutomatic(ctx, p); err != nil { // no API call if the cap is reached
		return nil, err
	}
	if err := x.confirmFinding(ctx, until, p, proven); err != nil {
		return nil, err
	}
	put, err := x.countAutomatic(ctx, p)
	return []approvals.Put{put}, err
}

// modeRefusal is the refusal of a request whose mode is not allowed.
func (proven provenRequest) modeRefusal() *actions.Refusal {
	why := proven.modeRefused
	if why == "" {
		why = "the stored request was altered"
	}
	return &actions.Refusal{Reason: why, Hint: clickHint}
}

// notConfirmedYet is the error of a source that may confirm the finding a few minutes
// later.
type notConfirmedYet struct{ error }

func (n notConfirmedYet) Unwrap() error { return n.error }

// confirmFinding asks the source whether the finding is true and whether, as the source
// tells it, it still allows the intent to run automatically.
func (x *Executor) confirmFinding(ctx context.Context, until time.Time, p approvals.Planned, proven provenRequest) error {
	f := proven.finding
	if p.Account != f.Confirmation.Account {
		return &actions.Refusal{Reason: "its target is in another account than the finding", Hint: clickHint}
	}
	var raw []byte
	err := x.retryTransient(ctx, until, func() (err error) {
		raw, err = source.Confirm(ctx, x.Cloud, f.Confirmation, x.Now(), sessionContext(p, nil))
		return err
	})
	switch {
	case errors.Is(err, source.ErrNotConfirmed) && f.Confirmation.Kind == source.ConfirmEvent:
		return notConfirmedYet{err}
	case errors.Is(err, source.ErrNotConfirmed):
		return &actions.Refusal{Reason: err.Error(), Hint: clickHint}
	case err != nil:
		err = refusalOf(err)
		if no, ok := errors.AsType[*actions.Refusal](err); ok && no.Hint == "" {
			no.Hint = clickHint
		}
		return err
	}
	now, err := x.Findings.Confirm(f, raw)
	_, offers := now.Offers().ByDigest(approvals.IntentDigest(proven.intent))
	switch {
	case err != nil:
		return &actions.Refusal{Reason: "its source does not confirm the finding: " + err.Error(), Hint: clickHint}
	case !now.Runs(proven.intent), !offers:
		return &actions.Refusal{Reason: "what its source says of the finding does not let it contain by itself", Hint: clickHint}
	case x.Now().Sub(now.Updated) > maxFindingAge:
		return &actions.Refusal{Reason: "its source last told of the finding more than a day ago", Hint: clickHint}
	}
	return nil
}

// automaticRuns is the row of the automatic containments of the last hour, of all accounts:
// one conditional write decides about both caps.
type automaticRuns struct {
	Began []automaticRun `json:"began"`
}

type automaticRun struct {
	ID      string    `json:"id"`
	Account string    `json:"account"`
	At      time.Time `json:"at"`
}

var automaticKey = approvals.Key{Part: "automatic", Sort: "hour"}

// countAutomatic returns the write that counts this run against the hourly caps. It
// returns an *actions.Refusal if one is reached.
func (x *Executor) countAutomatic(ctx context.Context, p approvals.Planned) (approvals.Put, error) {
	var h automaticRuns
	version, err := x.runs().Find(ctx, automaticKey, &h)
	if err != nil {
		return approvals.Put{}, err
	}
	now, here := x.Now().UTC(), 0
	h.Began = slices.DeleteFunc(h.Began, func(b automaticRun) bool { return now.Sub(b.At) >= time.Hour })
	for _, b := range h.Began {
		if b.Account == p.Account {
			here++
		}
	}
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
	h.Began = append(h.Began, automaticRun{p.ID, p.Account, now})
	return approvals.PutRow(automaticKey, version, h), nil
}
