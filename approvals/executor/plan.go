package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// planTimeout limits the reading of an account's state; it is shorter than the lease.
const planTimeout = leaseDuration - 5*time.Second

// slowPlan is the time from which a card tells how far the plan is.
const slowPlan = 5 * time.Second

// planner is the row with the lease of a request's planner. Every write of a planner
// includes it as a fence: after another worker took the lease, the write fails.
type planner struct {
	approvals.Lease
	Version int64 `json:"-"`
}

func plannerKey(id string) approvals.Key { return approvals.Key{Part: id, Sort: "planner"} }

// fence returns the write of the row that goes with other writes.
func (f *planner) fence(id string) approvals.Put {
	return approvals.PutRow(plannerKey(id), f.Version, f)
}

// wrote counts the fence's version on after a write that included it, and returns the
// write's error.
func (f *planner) wrote(err error) error {
	if err == nil {
		f.Version++
	}
	return err
}

// plan proves a request, reads its target and stores the plan.
func (x *Executor) plan(ctx context.Context, r approvals.Request) error {
	if r.State != approvals.Planning && r.State != approvals.Approved {
		return nil
	}
	p, err := x.runs().Planned(ctx, r.ID)
	if r.State == approvals.Approved {
		if err == nil && p.Mode != approvals.TwoPerson { // this job approved it, and died before its end
			err = x.Jobs.Send(ctx, approvals.RunJob(p.ID, p.Intent), 0)
		}
		return ignore(err, approvals.ErrNotFound)
	}
	switch {
	case errors.Is(err, approvals.ErrNotFound):
		p, err = x.planWithLease(ctx, r)
	case err != nil:
		err = storeError{err}
	}
	if err != nil {
		return x.tellStopped(ctx, r.ID, err)
	}
	err = x.showPlan(ctx, p)
	x.keepSnapshot(ctx, p)
	return err
}

// planWithLease plans a request as its only planner. It returns errElsewhere if
// another worker plans, and errSettled if the request was refused.
func (x *Executor) planWithLease(ctx context.Context, r approvals.Request) (p approvals.Planned, err error) {
	var f planner
	if f.Version, err = x.runs().Find(ctx, plannerKey(r.ID), &f); err != nil {
		return p, storeError{err}
	}
	if !x.takeLease(&f.Lease) {
		return p, errElsewhere // if that worker dies, the sweep sends this job again
	}
	if err = f.wrote(x.Store.Write(ctx, f.fence(r.ID))); err == nil {
		p, err = x.makePlan(ctx, r, &f)
	} else {
		err = storeError{err}
	}
	if no, refused := errors.AsType[*actions.Refusal](err); refused {
		if err = x.refuse(ctx, r, no, f.fence(r.ID)); err == nil {
			return p, errSettled
		}
		err = storeError{err}
	}
	switch {
	case errors.Is(err, approvals.ErrConflict):
		return p, errElsewhere
	case err != nil: // the next worker may begin at once, if this can be written
		f.Release(x.Now())
		if err := x.Store.Write(ctx, f.fence(r.ID)); err != nil {
			x.Log.WarnContext(ctx, "planner's lease not released", slog.String("request_id", r.ID), slog.String("error", err.Error()))
		}
	}
	return p, err
}

// tellStopped writes to the request's row what stopped its plan, and returns the error
// after which the job is sent again.
func (x *Executor) tellStopped(ctx context.Context, id string, err error) error {
	var ours storeError
	why, hint := actions.Explain(err)
	switch {
	case errors.Is(err, errElsewhere) || errors.Is(err, errSettled):
		return err
	case errors.As(err, &notConfirmedYet{}): // the sweep sends this job again
		return errSettledOr(x.showDelay(ctx, id, err.Error(),
			"CloudTrail tells of events some minutes later: it is asked again, then people decide"))
	case errors.As(err, &ours):
		why = "There is no plan yet, since Killswitch's own tables or secrets failed: " + actions.Clip(ours.Error())
		hint = "it is tried again until the request expires; the executor's log says more"
	}
	return errors.Join(err, x.showDelay(ctx, id, why, hint))
}

// showPlan copies a plan to the request's row. A request that needs no approver is
// approved and run.
func (x *Executor) showPlan(ctx context.Context, p approvals.Planned) error {
	now, run := x.Now().UTC(), false
	err := x.changeRequest(ctx, p.ID, func(r *approvals.Request) error {
		if run = false; r.State != approvals.Planning && !overtaken(*r, p) {
			return errSettled
		}
		r.Digest, r.Need, r.NeedSTS, r.Eligible, r.Expires = p.Digest, p.Policy.Approvals, p.Policy.RequireSTS, p.Eligible, p.Asked.Add(p.Policy.ApproveWithin)
		r.Overrules, r.Found = p.Overrules, p.Plan.Identity
		r.Cause, r.Hint, r.Mode = "", "", p.Mode
		if p.Mode == approvals.TwoPerson {
			r.Ready = time.Time{}
			return r.To(approvals.Pending, now)
		}
		r.Ready, run = now, true
		return r.To(approvals.Approved, now)
	})
	if err != nil || !run {
		return err
	}
	return x.Jobs.Send(ctx, approvals.RunJob(p.ID, p.Intent), 0)
}

// overtaken reports whether a request was approved without a second person by an earlier plan,
// and by now people decide.
func overtaken(r approvals.Request, p approvals.Planned) bool {
	return r.State == approvals.Approved && r.Mode != approvals.TwoPerson && p.Mode == approvals.TwoPerson && r.Digest != p.Digest
}

// showDelay writes the cause of a delay to the request's row.
func (x *Executor) showDelay(ctx context.Context, id, why, hint string) error {
	return x.changeRequest(ctx, id, func(r *approvals.Request) error {
		if r.State != approvals.Planning || r.Cause == why {
			return errSettled
		}
		r.Cause, r.Hint = why, hint
		r.Revise()
		return nil
	})
}

func (x *Executor) makePlan(ctx context.Context, r approvals.Request, f *planner) (approvals.Planned, error) {
	proven, err := x.prove(ctx, r, x.verifyPayload)
	if err != nil {
		return approvals.Planned{}, storeError{err}
	}
	entry := x.Policy.For(proven.intent)
	if x.Now().After(proven.at.Add(entry.ApproveWithin)) {
		no := actions.Refuse(actions.Violation{Code: approvals.PastExpiry})
		if r.Cause != "" { // what stopped its plan
			no.Reason, no.Hint = "There was no plan in time: "+actions.Clip(r.Cause)+".", r.Hint
		}
		return approvals.Planned{}, no
	}
	if proven.person == approvals.AutomaticRequester && proven.mode != approvals.Automatic {
		return approvals.Planned{}, proven.modeRefusal()
	}
	p := approvals.Planned{ID: r.ID, Intent: proven.intent, Reason: proven.reason, Asked: proven.at, Person: proven.person,
		App: proven.app, Evidence: r.Evidence,
		Overrules: proven.overrules, Mode: proven.mode, At: x.Now().UTC()}
	if r.Mode != p.Mode {
		p.ModeCause = proven.modeRefused
	}
	if err := x.admit(&p); err != nil {
		return approvals.Planned{}, err
	}
	if no := x.Org.RefuseCall(proven.intent.Call); no != nil {
		return approvals.Planned{}, no
	}
	action, ok := x.Actions(proven.intent.Call.Action)
	if !ok {
		return approvals.Planned{}, &actions.Refusal{Reason: fmt.Sprintf("there is no action %s", proven.intent.Call.Action)}
	}
	if len(proven.finding.Names) > 0 {
		p.Alert, p.Event, p.Finding = r.Alert, r.Event, proven.finding.Own()
	}
	if proven.intent.Undo != "" {
		err = x.planUndo(ctx, action, &p, f)
	} else {
		err = x.planCall(ctx, action, proven, &p, f)
	}
	if err == nil {
		err = x.admit(&p) // by what was found
	}
	if err != nil {
		return approvals.Planned{}, err
	}
	p.Digest = approvals.CallDigest(p.ID, p.Intent, p.Plan, p.Policy, p.Snapshot)
	return p, x.storePlan(ctx, p, f)
}

// admit sets the policy of a plan in its mode, and who may approve it. It returns an
// *actions.Refusal if the person may not ask, or too few may approve and who asks can't act alone.
func (x *Executor) admit(p *approvals.Planned) error {
	d := x.Policy.Admit(p.Intent, p.Plan.Identity, p.Person, p.Mode)
	if !d.Accept {
		return d.Refusal
	}
	known := p.Plan.Identity.ID != ""
	if alone := x.autoEligible(p.Call()) && (!known || p.Plan.Reversible && p.Plan.Guarded == ""); d.Short != nil && !alone {
		return actions.Refuse(*d.Short)
	}
	entry := x.Policy.ForRequester(p.Intent, p.Person)
	entry.Approvals = d.Need
	var enough bool
	if p.Policy, p.Eligible, enough = entry.Overrule(d.Waiting, p.Overrules); !enough {
		return actions.Refuse(actions.Violation{Code: approvals.TooFewEligible, Group: entry.Approvers, Have: len(p.Eligible), Need: entry.Approvals})
	}
	if d.Short == nil && !x.Policy.Signable(p.Policy, p.Eligible) {
		return actions.Refuse(actions.Violation{Code: approvals.NoSigner, Group: entry.Approvers})
	}
	if p.Plan.Guarded != "" {
		p.Policy = p.Policy.OneMore(p.Eligible)
	}
	return nil
}

func (x *Executor) planCall(ctx context.Context, action actions.Action, proven provenRequest, p *approvals.Planned, f *planner) error {
	until := x.Now().Add(planTimeout)
	look, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	if err := x.locate(look, until, p); err != nil {
		return err
	}
	_, err := x.checkMode(ctx, *p, proven)
	if why, ok := errors.AsType[*peopleDecide](err); ok {
		p.Mode, p.ModeCause = approvals.TwoPerson, why.why
		err = x.admit(p)
	}
	if err != nil {
		return err
	}
	call := p.Call()
	var acct *actions.Account
	err = x.readTarget(ctx, p.ID, f, func(ctx context.Context) (err error) {
		if acct == nil {
			acct, err = x.Cloud.EnterFor(ctx, actions.Responder, action, actions.PhasePlan, call, nil, sessionContext(*p, nil))
		}
		if err == nil {
			p.Plan, err = action.Plan(ctx, acct, call)
		}
		if err != nil {
			return refusalOf(x.withLine(err, p.Reason))
		}
		return nil
	})
	if actions.Transient(err) && p.Plan.More { // what contains is known, and no slowness of the target may keep it
		why, _ := actions.Explain(err)
		p.Plan.Warnings = append(p.Plan.Warnings, "Not all of the target could be read ("+why+"): there are more steps than these. It is read again when this runs.")
		err = nil
	}
	if err != nil {
		return err
	}
	if x.Liftable != nil {
		p.Plan.Liftable = x.Liftable(ctx, call, p.Plan, sessionContext(*p, nil))
	}
	if proven.unsure != "" {
		p.Plan.Warnings = slices.Insert(p.Plan.Warnings, 0, "The target is not sure. "+proven.unsure)
	}
	if no := x.Org.RefuseIdentity(p.Plan.Identity, p.Plan.Guarded != ""); no != nil {
		return no
	}
	if why := p.Plan.Guarded; why != "" {
		p.Plan.Warnings = slices.Insert(p.Plan.Warnings, 0, "One approval more than usual: "+why)
		if p.Mode != approvals.TwoPerson {
			p.Mode, p.ModeCause = approvals.TwoPerson, why
		}
	}
	return nil
}

// readTarget calls read, which reads a target, again after transient errors and for each
// page of a listing. Before each call it renews the planner's lease. From slowPlan on the
// request's row says how far it is.
func (x *Executor) readTarget(ctx context.Context, id string, f *planner, read func(context.Context) error) error {
	began, told := x.Now(), x.Now()
	return x.retryPages(ctx, began.Add(planTimeout), func(m *actions.MorePages) error {
		now := x.Now()
		if now.Sub(began) < slowPlan || now.Sub(told) < progressEvery {
			return nil
		}
		told = now
		return x.showDelay(ctx, id, m.Error(), "")
	}, func() error {
		if f.Until.Sub(x.Now()) < leaseDuration-progressEvery {
			f.Renew(x.Now(), leaseDuration)
			if err := f.wrote(x.Store.Write(ctx, f.fence(id))); err != nil {
				return storeError{err}
			}
		}
		look, cancel := context.WithTimeout(ctx, planTimeout)
		defer cancel()
		return read(look)
	})
}

// locate finds the account of an access key if the call does not name it.
func (x *Executor) locate(ctx context.Context, until time.Time, p *approvals.Planned) error {
	if p.Account = p.Intent.Call.Account; p.Account != "" {
		return nil
	}
	err := x.retryTransient(ctx, until, func() (err error) {
		p.Account, err = x.Cloud.AccountOfKey(ctx, p.Intent.Call.Target)
		return err
	})
	if err != nil {
		return refusalOf(err)
	}
	if no := x.Org.RefuseCall(p.Call()); no != nil {
		return no
	}
	return nil
}

// sessionContext names the people on whose behalf a session acts.
func sessionContext(p approvals.Planned, approvers []string) actions.SessionContext {
	return actions.SessionContext{RequestID: p.ID, Requester: p.Person, Approvers: approvers, Entered: p.Plan.Identity.ID != ""}
}
