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
	freshFor    = 24 * time.Hour  // what its source last told of before contains nothing by itself
	clocksApart = 5 * time.Minute // between the bot and us
	byHandHint  = "a responder can click on the alert's card"
)

// autoEligible reports whether a call may run without a second person at all. The
// configuration has checked it, too.
func (x *Executor) autoEligible(c actions.Call) bool {
	a, ok := x.Actions(c.Action)
	return ok && a.Spec().AutoEligible(c)
}

// mayStart checks that what lets a request run does so under the configuration of
// now, and returns the writes that begin it. It returns an *actions.Refusal where it does not. A source is asked before the plan and again before the run: a finding may
// be archived meanwhile.
func (x *Executor) mayStart(ctx context.Context, until time.Time, p approvals.Planned, a provenRequest) ([]approvals.Put, error) {
	switch {
	case p.Mode == approvals.TwoPerson:
		return nil, nil
	case a.mode != p.Mode:
		return nil, a.modeRefusal()
	case p.Mode == approvals.OneClick:
		return nil, nil
	}
	if _, err := x.reserveAutomatic(ctx, p.ID); err != nil { // before anybody is asked
		return nil, err
	}
	if err := x.confirmFinding(ctx, until, p, a); err != nil {
		return nil, err
	}
	put, err := x.reserveAutomatic(ctx, p.ID)
	return []approvals.Put{put}, err
}

// modeRefusal is the refusal of a request that no click and no rule lets run.
func (a provenRequest) modeRefusal() *actions.Refusal {
	why := a.modeRefused
	if why == "" {
		why = "the stored request was altered"
	}
	return &actions.Refusal{Reason: why, Hint: byHandHint}
}

// notConfirmedYet is an answer of a source that may be another one a little later.
type notConfirmedYet struct{ error }

func (n notConfirmedYet) Unwrap() error { return n.error }

// confirmFinding asks the source whether the finding is true, and reads from its answer
// whether it still lets the intent run by itself.
func (x *Executor) confirmFinding(ctx context.Context, until time.Time, p approvals.Planned, a provenRequest) error {
	f := a.finding
	if p.Account != f.Sighting.Account {
		return &actions.Refusal{Reason: "its target is in another account than the finding", Hint: byHandHint}
	}
	var raw []byte
	err := x.retryTransient(ctx, until, func() (err error) {
		raw, err = source.Sight(ctx, x.Cloud, f.Sighting, x.Now(), sessionContext(p, nil))
		return err
	})
	switch {
	case errors.Is(err, source.ErrNotSeen) && f.Sighting.Kind == source.OfEvent:
		return notConfirmedYet{err}
	case errors.Is(err, source.ErrNotSeen):
		return &actions.Refusal{Reason: err.Error(), Hint: byHandHint}
	case err != nil:
		err = refusalOf(err)
		if no, ok := errors.AsType[*actions.Refusal](err); ok && no.Hint == "" {
			no.Hint = byHandHint
		}
		return err
	}
	now, err := x.Findings.Confirm(f, raw)
	_, offers := now.Offers().ByDigest(approvals.IntentDigest(a.intent))
	switch {
	case err != nil:
		return &actions.Refusal{Reason: "its source does not confirm the finding: " + err.Error(), Hint: byHandHint}
	case !now.Runs(a.intent), !offers:
		return &actions.Refusal{Reason: "what its source says of the finding does not let it contain by itself", Hint: byHandHint}
	case x.Now().Sub(now.Updated) > freshFor:
		return &actions.Refusal{Reason: "its source last told of the finding more than a day ago", Hint: byHandHint}
	}
	return nil
}

// automaticRuns is the row of the containments that began by themselves lately.
type automaticRuns struct {
	Began []automaticRun `json:"began"`
}

type automaticRun struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

var automaticKey = approvals.Key{Part: "automatic", Sort: "hour"}

// reserveAutomatic is the write by which one more containment begins by itself. It returns an
// *actions.Refusal where there were enough of them in the last hour.
func (x *Executor) reserveAutomatic(ctx context.Context, id string) (approvals.Put, error) {
	var h automaticRuns
	version, err := x.runs().Find(ctx, automaticKey, &h)
	if err != nil {
		return approvals.Put{}, err
	}
	now := x.Now().UTC()
	h.Began = slices.DeleteFunc(h.Began, func(b automaticRun) bool { return now.Sub(b.At) >= time.Hour })
	if len(h.Began) >= x.AutoPerHour {
		return approvals.Put{}, &actions.Refusal{Reason: fmt.Sprintf("the cap of %d automatic containments an hour is reached", x.AutoPerHour), Hint: byHandHint}
	}
	h.Began = append(h.Began, automaticRun{id, now})
	return approvals.PutRow(automaticKey, version, h), nil
}
