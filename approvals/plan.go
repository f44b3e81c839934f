package approvals

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// planWithin bounds the reading of an account's state. It is shorter than the
// planner's lease.
const planWithin = leaseFor - 5*time.Second

// planner is the row by which one worker plans a request at a time. Each of its
// writes renews the row: a worker that was overtaken can't write any more.
type planner struct {
	Version int64     `json:"-"`
	Owner   string    `json:"owner"`
	Until   time.Time `json:"until"`
}

func plannerKey(id string) Key { return Key{id, "planner"} }

// fence is the planner's row as a condition of other writes.
func (f *planner) fence(id string) Put {
	put := putRow(plannerKey(id), f.Version, f)
	f.Version++
	return put
}

// plan checks who asks, reads the target and stores what would be done.
func (x *Executor) plan(ctx context.Context, r Request) error {
	if r.State != Planning && r.State != Approved {
		return nil
	}
	p, err := x.runs().Planned(ctx, r.ID)
	if r.State == Approved {
		if err == nil && p.Release != ByPeople { // by this very job, whose end may have been lost
			err = x.Jobs.Send(ctx, p.job(), 0)
		}
		return unless(err, ErrNotFound)
	}
	if errors.Is(err, ErrNotFound) {
		var f planner
		if f.Version, err = x.runs().find(ctx, plannerKey(r.ID), &f); err != nil {
			return err
		}
		if x.Now().Before(f.Until) && !x.gone(f.Owner) {
			return nil // another worker plans; if it dies, the sweep sends this job again
		}
		f.Owner, f.Until = x.Owner(), x.Now().UTC().Add(leaseFor)
		if err := x.Store.Write(ctx, f.fence(r.ID)); err != nil {
			return unless(err, ErrConflict)
		}
		p, err = x.makePlan(ctx, r, &f)
		var refused *refusal
		switch {
		case errors.As(err, &refused):
			return x.refuse(ctx, r, refused.whys, refused.why, refused.hint, f.fence(r.ID))
		case errors.Is(err, ErrEvidence):
			return x.refuse(ctx, r, nil, err.Error(), "ask again with /killswitch", f.fence(r.ID))
		case errors.Is(err, ErrConflict):
			return nil // overtaken
		case errors.As(err, &notYet{}):
			// Only time helps: the sweep sends this job again.
			return x.trouble(ctx, r.ID, &f, err.Error(), "CloudTrail tells of events some minutes later: it is asked again until the request expires")
		case err != nil:
			why, hint := actions.Explain(err)
			return errors.Join(err, x.trouble(ctx, r.ID, &f, why, hint))
		}
	} else if err != nil {
		return err
	}
	now := x.Now().UTC()
	r, err = x.Requests.Change(ctx, r.ID, func(r *Request) error {
		if r.State != Planning {
			return errSettled
		}
		r.Digest, r.Need, r.Eligible, r.Expires = p.Digest, p.Entry.Approvals, p.Eligible, p.Asked.Add(p.Entry.ApproveWithin)
		r.Why, r.Hint, r.Release = "", "", p.Release
		if p.Release == ByPeople {
			return r.To(Pending, now)
		}
		r.Ready = now
		return r.To(Approved, now)
	})
	if err == nil && r.State == Approved {
		if err := x.Jobs.Send(ctx, p.job(), 0); err != nil {
			return err
		}
	}
	return x.changed(ctx, r.ID, err)
}

// trouble tells people why planning takes its time, and lets the next try begin
// at once.
func (x *Executor) trouble(ctx context.Context, id string, f *planner, why, hint string) error {
	f.Until = x.Now().UTC()
	if err := x.Store.Write(ctx, f.fence(id)); err != nil {
		return unless(err, ErrConflict)
	}
	_, err := x.Requests.Change(ctx, id, func(r *Request) error {
		if r.State != Planning || r.Why == why {
			return errSettled
		}
		r.Why, r.Hint = why, hint
		r.Revise()
		return nil
	})
	return x.changed(ctx, id, err)
}

// refusal is a plan's no.
type refusal struct {
	whys      []Why
	why, hint string
}

func (r *refusal) Error() string { return r.why }

func (x *Executor) makePlan(ctx context.Context, r Request, f *planner) (Planned, error) {
	a, err := x.prove(ctx, r)
	if err != nil {
		return Planned{}, err
	}
	entry := x.Policy.Entry(a.intent)
	if x.Now().After(a.at.Add(entry.ApproveWithin)) {
		return Planned{}, &refusal{whys: []Why{{Code: PastExpiry}}}
	}
	if a.person == Automatic && a.release != ByRule {
		return Planned{}, &refusal{why: a.unreleased(), hint: byHandHint}
	}
	d := x.Policy.AdmitReleased(a.intent, a.person, a.release)
	if !d.Accept {
		return Planned{}, &refusal{whys: d.Why}
	}
	if no := x.Org.RefuseCall(a.intent.Call); no != nil {
		return Planned{}, &refusal{why: no.Reason, hint: no.Hint}
	}
	action, ok := x.Actions(a.intent.Call.Action)
	if !ok {
		return Planned{}, &refusal{why: fmt.Sprintf("there is no action %s", a.intent.Call.Action)}
	}
	p := Planned{ID: r.ID, Intent: a.intent, Reason: a.reason, Asked: a.at, Person: a.person, App: a.app, Evidence: r.Evidence,
		Entry: entry, Eligible: d.Waiting, Release: a.release, At: x.Now().UTC()}
	if a.finding.Name != "" {
		p.Alert, p.Event, p.Finding = r.Alert, r.Event, a.finding.Name
	}
	if p.Release != ByPeople {
		p.Entry.Approvals = 0
	}
	look, cancel := context.WithTimeout(ctx, planWithin)
	defer cancel()
	if a.intent.Undo != "" {
		err = x.planUndo(look, action, &p)
	} else {
		err = x.planCall(look, action, a, &p)
	}
	if err != nil {
		return Planned{}, err
	}
	p.Digest = CallDigest(p.ID, p.Intent, p.Plan.Identity, p.Entry, p.Snapshot)
	return p, x.storePlan(ctx, p, f)
}

func (x *Executor) planCall(ctx context.Context, action actions.Action, a asked, p *Planned) error {
	until := x.Now().Add(planWithin)
	if err := x.locate(ctx, until, p); err != nil {
		return err
	}
	if _, err := x.release(ctx, until, *p, a); err != nil {
		return err
	}
	call := p.Call()
	err := x.patiently(ctx, until, func() error {
		acct, err := x.Cloud.EnterFor(ctx, actions.Responder, action, actions.PhasePlan, call, nil, p.actor(nil))
		if err == nil {
			p.Plan, err = action.Plan(ctx, acct, call)
		}
		return err
	})
	if err != nil {
		return finally(err)
	}
	if no := x.Org.RefuseIdentity(p.Plan.Identity); no != nil {
		return &refusal{why: no.Reason, hint: no.Hint}
	}
	return nil
}

// locate finds the account of a call that does not say it: that of a key.
func (x *Executor) locate(ctx context.Context, until time.Time, p *Planned) error {
	if p.Account = p.Intent.Call.Account; p.Account != "" {
		return nil
	}
	err := x.patiently(ctx, until, func() (err error) {
		p.Account, err = x.Cloud.AccountOfKey(ctx, p.Intent.Call.Target)
		return err
	})
	if err != nil {
		return finally(err)
	}
	if no := x.Org.RefuseCall(p.Call()); no != nil {
		return &refusal{why: no.Reason, hint: no.Hint}
	}
	return nil
}

// finally makes a refusal of an AWS error, unless it may pass by itself.
func finally(err error) error {
	if actions.Transient(err) {
		return err
	}
	why, hint := actions.Explain(err)
	return &refusal{why: why, hint: hint}
}

// patiently does again what AWS can't do just now, for a while.
func (x *Executor) patiently(ctx context.Context, until time.Time, do func() error) error {
	for pause := time.Second; ; pause = min(2*pause, maxPause) {
		err := do()
		if !actions.Transient(err) || !x.Now().Add(pause).Before(until) {
			return err
		}
		if err := x.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func (p Planned) actor(approvers []string) actions.Actor {
	return actions.Actor{RequestID: p.ID, Requester: p.Person, Approvers: approvers}
}

// storePlan writes the steps, then the plan: a plan that is there is complete.
func (x *Executor) storePlan(ctx context.Context, p Planned, f *planner) error {
	p.Steps = len(p.Plan.Steps)
	old, err := x.runs().Steps(ctx, p.ID, 0) // of a worker that died
	if err != nil {
		return err
	}
	var puts []Put
	for i, s := range p.Plan.Steps {
		var version int64
		if i < len(old) {
			version = old[i].Version
		}
		puts = append(puts, putRow(stepKey(p.ID, i+1), version, Step{N: i + 1, Step: s, State: firstState(s)}))
	}
	for _, s := range old[min(len(old), len(puts)):] {
		puts = append(puts, Put{Row: Row{Key: stepKey(p.ID, s.N), Version: s.Version}, Delete: true})
	}
	for chunk := range slices.Chunk(puts, MaxPuts-1) {
		if err := x.Store.Write(ctx, append(slices.Clone(chunk), f.fence(p.ID))...); err != nil {
			return err
		}
	}
	return x.record(ctx, p.ID, []Put{putRow(plannedKey(p.ID), 0, p), f.fence(p.ID)},
		event("requested", p.Person, "intent", p.Intent.String(), "reason", p.Reason, "evidence", p.Evidence, "at", p.Asked.Format(time.RFC3339), "alert", p.Alert, "finding", p.Finding, "event", p.Event),
		event("planned", "", "target", p.Plan.Identity.ARN, "target_id", p.Plan.Identity.ID, "steps", strconv.Itoa(p.Steps), "digest", p.Digest, "snapshot", p.Snapshot))
}

// planUndo plans the way back from an earlier request's ledger.
func (x *Executor) planUndo(ctx context.Context, action actions.Action, p *Planned) error {
	orig, run, steps, err := x.undoable(ctx, p.Intent.Undo, p.ID)
	if err != nil {
		return err
	}
	p.Plan = actions.Plan{Identity: orig.Plan.Identity, Undo: "ask for the containment again"}
	p.Snapshot, p.Of = snapshotHash(steps), run.Attempt
	p.Account = orig.Account
	acct, err := x.Cloud.EnterFor(ctx, actions.Responder, action, actions.PhasePlan, p.Call(), resources(steps), p.actor(nil))
	if err != nil {
		return finally(err)
	}
	ordered := undoOrder(steps)
	holds, err := x.holdsOf(ctx, ordered)
	if err != nil {
		return err
	}
	type reading struct {
		actions.Reading
		err error
	}
	found := make([]reading, len(ordered))
	_ = parallel(len(ordered), func(i int) error {
		if slices.Contains(holds[i].Holders, orig.ID) {
			found[i].Reading, found[i].err = action.Verify(ctx, acct, ordered[i].Step, holds[i].Effect)
		}
		return nil
	})
	stay := 0
	for i, s := range ordered {
		back := actions.Step{ID: s.Step.ID, Title: "Take back: " + s.Step.Title, Current: s.Step.After, After: s.Step.Current,
			Hold: s.Step.Hold, Resource: s.Step.Resource, ResourceID: s.Step.ResourceID, Prior: s.Effect.Prior, Deny: s.Step.Deny, Many: s.Step.Many}
		if !s.Step.Credential || p.Intent.Keys != Reactivate {
			back.Stays = s.Step.Stays
		}
		if !slices.Contains(holds[i].Holders, orig.ID) {
			continue // an earlier undo took it back
		}
		others := without(holds[i].Holders, orig.ID)
		read, err := found[i].Reading, found[i].err
		switch {
		case back.Stays != "":
			stay++
			back.Title, back.After = "Leave: "+s.Step.Title, "stays: "+back.Stays
			p.Plan.Residual = append(p.Plan.Residual, s.Step.Title+": "+back.Stays+".")
		case errors.Is(err, actions.ErrRecreated):
			p.Plan.Warnings = append(p.Plan.Warnings, fmt.Sprintf("%s: %s. Undo leaves that one alone.", s.Step.Title, err))
		case err != nil:
			why, _ := actions.Explain(err)
			p.Plan.Warnings = append(p.Plan.Warnings, fmt.Sprintf("%s: its present state can't be read (%s).", s.Step.Title, why))
		case !read.Holds:
			back.Current = read.Found
			p.Plan.Warnings = append(p.Plan.Warnings, fmt.Sprintf("%s: found %s. Undo does not overwrite what others wrote.", s.Step.Title, read.Found))
		case read.Found != "":
			back.Current = read.Found
		}
		if back.Prior != nil && len(others) == 0 && s.Step.Deny && back.Stays == "" && strings.HasPrefix(strings.TrimSpace(*back.Prior), "{") { // a document, or a state with one
			if grants := actions.Grants(*back.Prior); grants != "" {
				p.Plan.Warnings = append(p.Plan.Warnings, "What would be put back allows this: "+grants)
			}
		}
		if len(others) > 0 && back.Stays == "" {
			back.After = "stays: " + strings.Join(others, ", ") + " holds it too"
		}
		p.Plan.Steps = append(p.Plan.Steps, back)
	}
	switch {
	case len(p.Plan.Steps) == 0:
		return &refusal{why: p.Intent.Undo + " holds nothing any more, so there is nothing to undo"}
	case len(p.Plan.Steps) == stay && slices.ContainsFunc(steps, func(s Step) bool { return s.Step.Credential }):
		return &refusal{why: "undo leaves all of it as it is: " + p.Plan.Steps[0].Stays, hint: "undo " + p.Intent.Undo + " keys=" + Reactivate + " gives the credentials back"}
	case len(p.Plan.Steps) == stay:
		return &refusal{why: "undo can take nothing of it back: " + p.Plan.Steps[0].Stays}
	}
	if run.Outcome == Partial && run.Why != "" {
		p.Plan.Facts = append(p.Plan.Facts, actions.Fact{Label: "The containment was partial", Text: run.Why})
	}
	return nil
}

// holdsOf reads who holds the steps' changes.
func (x *Executor) holdsOf(ctx context.Context, steps []Step) ([]hold, error) {
	holds := make([]hold, len(steps))
	return holds, parallel(len(steps), func(i int) error {
		_, err := x.runs().find(ctx, holdRow(steps[i].Step.Hold), &holds[i])
		return err
	})
}

// undoOrder is the ledger backwards, what keeps the target powerless last.
func undoOrder(steps []Step) []Step {
	back := slices.Clone(steps)
	slices.Reverse(back)
	slices.SortStableFunc(back, func(a, b Step) int {
		switch {
		case a.Step.Deny == b.Step.Deny:
			return 0
		case b.Step.Deny:
			return -1
		}
		return 1
	})
	return back
}

// undoable reads what an undo needs, or says why there is nothing to undo.
func (x *Executor) undoable(ctx context.Context, id, by string) (Planned, Run, []Step, error) {
	p, err := x.runs().Planned(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return p, Run{}, nil, err
	}
	run, rerr := x.runs().Run(ctx, id)
	switch {
	case errors.Is(rerr, ErrNotFound) || err != nil || rerr == nil && !run.Started:
		return p, run, nil, &refusal{why: id + " never ran, so there is nothing to undo"}
	case rerr != nil:
		return p, run, nil, rerr
	case p.Intent.Undo != "":
		return p, run, nil, &refusal{why: id + " is itself an undo", hint: "ask for the containment again"}
	case run.UndoneBy != "" && run.UndoneBy != by:
		return p, run, nil, &refusal{why: id + " is taken back by " + run.UndoneBy + " already"}
	case run.Outcome == "":
		return p, run, nil, &refusal{why: id + " is still running", hint: "wait until it has ended, then undo it"}
	}
	all, err := x.runs().Steps(ctx, id, 0)
	if err != nil {
		return p, run, nil, err
	}
	steps := slices.DeleteFunc(all, func(s Step) bool { return s.State == StepPlanned || s.State == StepSkipped })
	if len(steps) == 0 {
		return p, run, nil, &refusal{why: id + " changed nothing, so there is nothing to undo"}
	}
	return p, run, steps, nil
}

// snapshotHash covers what an undo puts back.
func snapshotHash(steps []Step) string {
	type item struct {
		Hold, Resource string
		Prior          *string
	}
	var items []item
	for _, s := range steps {
		items = append(items, item{s.Step.Hold, s.Step.Resource, s.Effect.Prior})
	}
	return digest("snapshot", items)
}

func without(ids []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(s string) bool { return s == id })
}
