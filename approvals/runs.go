package approvals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// Planned is the row of a plan in the table runs: what an approval is for.
type Planned struct {
	ID            string       `json:"id"`
	Version       int64        `json:"-"`
	Intent        Intent       `json:"intent"`
	Account       string       `json:"account"` // of the target, also if the call does not name it
	Reason        string       `json:"reason"`
	Asked         time.Time    `json:"asked"`
	Person        string       `json:"person"` // the requester
	App           string       `json:"app"`    // the Slack app of the requester's evidence
	Evidence      string       `json:"evidence"`
	Alert         string       `json:"alert,omitempty"`
	Event         string       `json:"event,omitempty"`      // key of the event's evidence
	Finding       string       `json:"finding,omitempty"`    // its name
	Mode          ApprovalMode `json:"mode,omitempty"`       // one-click and automatic: Policy has no approvals
	ModeCause     string       `json:"mode_cause,omitempty"` // why people decide where a click or a rule was to be enough
	Policy        ActionPolicy `json:"policy"`               // the policy as of the plan
	Eligible      []string     `json:"eligible"`             // who could approve as of the plan
	Overrules     []string     `json:"overrules,omitempty"`
	Plan          actions.Plan `json:"plan"`
	Steps         int          `json:"steps"`
	Snapshot      string       `json:"snapshot,omitempty"`       // hash of what an undo restores
	UndoneAttempt int          `json:"undone_attempt,omitempty"` // the attempt of the run that an undo takes back
	Digest        string       `json:"digest"`
	At            time.Time    `json:"at"`
}

// Call returns the planned call with the account.
func (p Planned) Call() actions.Call {
	c := p.Intent.Call
	c.Account = p.Account
	return c
}

// Run is the row of a request's run, or of its end if it never ran.
type Run struct {
	ID      string `json:"id"`
	Version int64  `json:"-"`
	// Unlocked is set while a worker only reads: what it writes of the run leaves the target to
	// others.
	Unlocked bool `json:"-"`
	// Started is set before the first change in the account.
	Started bool      `json:"started"`
	Lease   Lease     `json:"lease,omitzero"` // of the worker
	Since   time.Time `json:"since"`          // when this attempt was claimed
	// LastSuccess is when the last step or page of a listing succeeded: patience with AWS
	// counts from there.
	LastSuccess time.Time `json:"last_success,omitzero"`
	Rate        float64   `json:"rate,omitempty"` // calls per second that AWS allowed the last worker; 0: no limit
	Attempt     int       `json:"attempt"`        // 1, or more after retries
	// Reviewed is the last attempt whose steps were prepared.
	Reviewed int `json:"reviewed,omitempty"`
	Lock     Key `json:"lock"`

	Approvers []string  `json:"approvers"`         // people with a proved approval
	Signed    []string  `json:"signed,omitempty"`  // those of them who signed theirs at the command line
	Approved  time.Time `json:"approved"`          // when the last of them did, or it was planned
	Retries   []string  `json:"retries,omitempty"` // keys of used evidence
	Outcome   State     `json:"outcome,omitempty"` // empty while it runs
	// Before is the end of the attempt before this one. It is this one's too, if somebody
	// says no before it has begun.
	Before Ending `json:"before,omitzero"`
	// Withdrawn is who said no, as far as it is proved: there is no attempt after it.
	Withdrawn *Vote     `json:"withdrawn,omitempty"`
	Cause     string    `json:"cause,omitempty"`
	Hint      string    `json:"hint,omitempty"`
	Applied   time.Time `json:"applied,omitzero"`
	Verified  time.Time `json:"verified,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`
	Missed    time.Time `json:"missed,omitzero"` // since when the outcome is one without its goals

	// Revision counts what people are shown of a run that has ended.
	Revision int64    `json:"revision,omitempty"`
	Flags    []string `json:"flags,omitempty"` // differences from the plan

	// What is in force is watched until WatchUntil, which configuration never shortens.
	WatchUntil time.Time `json:"watch_until,omitzero"`
	NextCheck  time.Time `json:"next_check,omitzero"` // the next look; zero: there is none
	LookedAt   time.Time `json:"looked_at,omitzero"`  // when the last look began
	AppliedAt  time.Time `json:"applied_at,omitzero"` // when something was last applied: looks are frequent after it
	Seen       time.Time `json:"seen,omitzero"`       // when all of it was last read
	InForce    InForce   `json:"in_force,omitzero"`   // which events make it due
	Checks     int       `json:"checks,omitempty"`    // looks that found the goals to hold
	// UnreadSince is the first of the looks since then that could not; Unread says why, once
	// that has lasted a minute.
	UnreadSince time.Time `json:"unread_since,omitzero"`
	Unread      string    `json:"unread,omitempty"`
	// Tampered counts the removed steps; Tampering has the first and the last of them.
	Tampered  int        `json:"tampered,omitempty"`
	Tampering []Tampered `json:"tampering,omitempty"`
	LostTold  time.Time  `json:"lost_told,omitzero"`  // when people were last told that it no longer holds
	Linked    time.Time  `json:"linked,omitzero"`     // when a look was last linked to the audit chain
	LinkedAs  string     `json:"linked_as,omitempty"` // its result
	UndoneBy  string     `json:"undone_by,omitempty"` // an undo that started
	Progress  Progress   `json:"progress,omitzero"`
	// BreakGlass is who let it run alone, proved; nil: nobody did.
	BreakGlass *BreakGlass `json:"break_glass,omitempty"`
	// Unplanned is what is proved of a request that ended without a plan.
	Unplanned *Planned `json:"unplanned,omitempty"`
}

// Ending is how an attempt ended.
type Ending struct {
	Outcome State  `json:"outcome"`
	Cause   string `json:"cause,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// Progress counts the steps of a run with many. Done, Failed and Skipped add up to
// Total at the end.
type Progress struct {
	Total   int `json:"total"`
	Done    int `json:"done"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
	// Listed is the number of targets read so far, before anything is counted.
	Listed int `json:"listed,omitempty"`
	// Rate is the number of steps per second at the time At.
	Rate float64   `json:"rate,omitempty"`
	At   time.Time `json:"at"`
}

// Left estimates how long the rest will take; 0 if unknown.
func (p Progress) Left() time.Duration {
	rest := p.Total - p.Done - p.Failed - p.Skipped
	if p.Rate <= 0 || rest <= 0 {
		return 0
	}
	return time.Duration(float64(rest) / p.Rate * float64(time.Second))
}

// Tampered records that somebody removed the change of a step.
type Tampered struct {
	N         int       `json:"n"` // 1 for the first
	At        time.Time `json:"at"`
	StepN     int       `json:"step_n"`
	Step      string    `json:"step"` // its title
	Found     string    `json:"found"`
	Reapplied bool      `json:"reapplied"`
	Cause     string    `json:"cause,omitempty"` // why it was not applied again
	Told      bool      `json:"told,omitempty"`  // there is a message about it
	Since     time.Time `json:"since,omitzero"`  // when it was last seen to hold
	By        *Remover  `json:"by,omitempty"`    // who it was; nil: it is not known yet
}

// Remover is who removed a change, as the executor found it in CloudTrail's Event history. Its
// texts are from outside and untrusted.
type Remover struct {
	Unknown string         `json:"unknown,omitempty"` // why it is not known; then nothing else is set
	Who     string         `json:"who,omitempty"`     // "user mallory, key AKIA…"
	Call    string         `json:"call,omitempty"`    // DeleteRolePolicy
	Tool    string         `json:"tool,omitempty"`    // as which the caller's client names itself; may be empty
	Repeats bool           `json:"repeats,omitempty"` // it is one that undoes again and again what it does not know of
	Address string         `json:"address,omitempty"` // source IP address
	At      time.Time      `json:"at,omitzero"`
	Event   string         `json:"event,omitempty"`   // ID of CloudTrail's record
	Own     bool           `json:"own,omitempty"`     // one of our own member roles
	Contain []actions.Call `json:"contain,omitempty"` // what contains them, by two people
	ByHand  []string       `json:"by_hand,omitempty"`
}

// Offers are the containments of who removed what a request contains.
func (r *Remover) Offers(request string) (os Offers) {
	if r == nil {
		return nil
	}
	for _, c := range r.Contain {
		os = append(os, Offer{Intent: Intent{Call: c}, Why: "who removed what " + request + " contains"})
	}
	return os
}

// Known reports whether it is known what became of it.
func (t Tampered) Known() bool { return t.Reapplied || t.Cause != "" }

const (
	keptTampering = 20        // the last of the removals are kept, and the first one
	toldAlone     = 3         // the first of them have a message each
	toldEvery     = time.Hour // later ones share one
)

// NoteTampering records a removal, unless the last one of this step is not settled yet.
// Messages get rarer with the number of removals.
func (r *Run) NoteTampering(t Tampered) {
	var told time.Time
	for _, o := range r.Tampering {
		if o.StepN == t.StepN && !o.Known() {
			return
		}
		if o.Told {
			told = o.At
		}
	}
	r.Tampered++
	t.N = r.Tampered
	t.Told = t.N <= toldAlone || t.At.Sub(told) >= toldEvery
	r.Tampering = append(r.Tampering, t)
	if len(r.Tampering) > keptTampering+1 {
		// The oldest after the first one, if possible of those that are not told.
		drop := 1 + max(0, slices.IndexFunc(r.Tampering[1:keptTampering], func(o Tampered) bool { return !o.Told }))
		r.Tampering = slices.Delete(r.Tampering, drop, drop+1)
	}
}

// Told returns the removals with a message, as far as it is known what became of them.
func (r Run) Told() []Tampered {
	return slices.DeleteFunc(slices.Clone(r.Tampering), func(t Tampered) bool { return !t.Told || !t.Known() })
}

// RemoverOffers are the containments of who removed something. A click on one makes a request
// that two people must want.
func (r Run) RemoverOffers() (os Offers) {
	for _, t := range r.Tampering {
		for _, o := range t.By.Offers(r.ID) {
			if _, known := os.ByDigest(IntentDigest(o.Intent)); !known {
				os = append(os, o)
			}
		}
	}
	return os
}

// IsAnother reports whether a remover is one of whom nobody is told yet, whatever they call themselves:
// one of our own roles, or contained by what RemoverOffers does not have.
func (r Run) IsAnother(by Remover) bool {
	known := r.RemoverOffers()
	return by.Own && !slices.ContainsFunc(r.Tampering, func(t Tampered) bool { return t.By != nil && t.By.Own }) ||
		slices.ContainsFunc(by.Offers(r.ID), func(o Offer) bool {
			_, is := known.ByDigest(IntentDigest(o.Intent))
			return !is
		})
}

// StepState is the state of a step of the ledger.
type StepState string

// The states of a step. In StepDoing its change may have happened.
const (
	StepPlanned  StepState = "planned"
	StepDoing    StepState = "doing"
	StepDone     StepState = "done"
	StepFailed   StepState = "failed"
	StepKept     StepState = "kept"    // undo: another request needs it too
	StepDrifted  StepState = "drifted" // undo: somebody changed the content
	StepVerified StepState = "verified"
	StepRemoved  StepState = "removed" // it held, and somebody undid it
	StepSkipped  StepState = "skipped" // listed, not changed
)

// Step is a row of a run's ledger.
type Step struct {
	N       int            `json:"n"`
	Version int64          `json:"-"`
	Step    actions.Step   `json:"step"`
	State   StepState      `json:"state"`
	Effect  actions.Effect `json:"effect,omitzero"`
	Cause   string         `json:"cause,omitempty"`
	Hint    string         `json:"hint,omitempty"`
	At      time.Time      `json:"at,omitzero"`
}

// Finished reports whether nothing is left to do for the step.
func (s Step) Finished() bool {
	switch s.State {
	case StepDone, StepVerified, StepKept, StepDrifted, StepSkipped:
		return true
	case StepPlanned, StepDoing, StepFailed, StepRemoved:
		return false
	}
	return false
}

// Prefixes of the sort keys of steps and audit events.
const (
	stepSort  = "step#"
	auditSort = "audit#"
)

// PlannedKey is the row of a request's plan.
func PlannedKey(id string) Key { return Key{id, "plan"} }

// SnapshotKey is the row of the snapshot that was taken with a request's plan.
func SnapshotKey(id string) Key { return Key{id, "snapshot"} }

// RunKey is the row of a request's run.
func RunKey(id string) Key { return Key{id, "run"} }

// StepKey is the row of the n-th step of a request's ledger, from 1.
func StepKey(id string, n int) Key { return Key{id, fmt.Sprintf("%s%06d", stepSort, n)} }

// AuditKey is the row of the n-th event of a request's audit chain, from 1.
func AuditKey(id string, seq int) Key { return Key{id, fmt.Sprintf("%s%06d", auditSort, seq)} }

// HeadKey is the row with the head of a request's audit chain.
func HeadKey(id string) Key { return Key{id, "audit"} }

// Runs reads the table runs. Only the package executor writes it.
type Runs struct{ Reader Reader }

// Planned reads a request's plan. It returns ErrNotFound if there is none.
func (t Runs) Planned(ctx context.Context, id string) (p Planned, err error) {
	p.Version, err = get(ctx, t.Reader, PlannedKey(id), &p)
	return p, err
}

// Run reads a request's run. It returns ErrNotFound if it never started.
func (t Runs) Run(ctx context.Context, id string) (r Run, err error) {
	r.Version, err = get(ctx, t.Reader, RunKey(id), &r)
	return r, err
}

// Steps reads a request's ledger, limit rows at most (0: all).
func (t Runs) Steps(ctx context.Context, id string, limit int) ([]Step, error) {
	var steps []Step
	const page = 500
	for after := ""; ; {
		n := page
		if limit > 0 {
			n = min(page, limit-len(steps))
		}
		rows, err := t.Reader.Rows(ctx, id, stepSort, after, n)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			var s Step
			if err := json.Unmarshal(row.Body, &s); err != nil {
				return nil, fmt.Errorf("row %s %s: %w", row.Part, row.Sort, err)
			}
			s.Version, after = row.Version, row.Sort
			steps = append(steps, s)
		}
		if len(rows) < n || len(steps) == limit {
			return steps, nil
		}
	}
}

func get(ctx context.Context, r Reader, k Key, v any) (version int64, err error) {
	row, err := r.Get(ctx, k)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(row.Body, v); err != nil {
		return 0, fmt.Errorf("row %s %s: %w", k.Part, k.Sort, err)
	}
	return row.Version, nil
}

// Find reads a row into v. It returns version 0 if there is none.
func (t Runs) Find(ctx context.Context, k Key, v any) (version int64, err error) {
	return Find(ctx, t.Reader, k, v)
}

// Find reads a row of JSON into v. It returns version 0 if there is none.
func Find(ctx context.Context, r Reader, k Key, v any) (version int64, err error) {
	version, err = get(ctx, r, k, v)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	return version, err
}

// PutRow returns the write of v as JSON, on the condition that the row has this
// version.
func PutRow(k Key, version int64, v any) Put {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only our own types come here
	}
	return Put{Row: Row{Key: k, Version: version, Body: b}}
}

// Report is the row of the recent activity of a target. It is sent whatever the
// outcome.
type Report struct {
	Activity trail.Activity `json:"activity"`
	At       time.Time      `json:"at"`
	Unread   string         `json:"unread,omitempty"`  // why it could not be read
	Notified time.Time      `json:"notified,omitzero"` // when the notice was sent
	Unsent   string         `json:"unsent,omitempty"`  // why it was not sent
}

// ReportKey is the row of the report on a request's target, or on an alert's subject.
func ReportKey(id string) Key { return Key{id, "report"} }

// Report reads a request's report. It returns ErrNotFound if there is none.
func (t Runs) Report(ctx context.Context, id string) (r Report, err error) {
	_, err = get(ctx, t.Reader, ReportKey(id), &r)
	return r, err
}
