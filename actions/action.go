package actions

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Action is one way to contain something, and to take it back.
//
// Each method may be called again after a crash at any point and must then
// reach the same end. An error of Plan that says no for good is a *[Refusal];
// any other error is AWS's and may pass.
type Action interface {
	Spec() Spec
	// Plan reads the target's state and says what would be done. It writes nothing.
	Plan(ctx context.Context, acct *Account, c Call) (Plan, error)
	// Apply brings one step about, unless it holds already.
	Apply(ctx context.Context, acct *Account, s Step, run Run) (Effect, error)
	// Verify reads back whether the step holds.
	Verify(ctx context.Context, acct *Account, s Step, e Effect) (Reading, error)
	// Revert puts back e.Prior where the content is still e.Wrote; otherwise it
	// changes nothing and reports the drift.
	Revert(ctx context.Context, acct *Account, s Step, e Effect) (Reading, error)
}

// Phase is a part of an action's life with its own permissions.
type Phase int

// The phases. PhasePlan only reads; PhaseRun reads and denies, again at
// re-checks; PhaseUndo is the restorer's; PhaseReport reads what is reported.
const (
	PhasePlan Phase = iota
	PhaseRun
	PhaseUndo
	PhaseReport
)

// Spec says what an action is.
type Spec struct {
	Name    Name
	Title   string // imperative, without the target: "Revoke sessions"
	Summary string // one line, for help
	Usage   string // a line to send, for help
	Target  TargetKind
	// Options are the keys that it takes beside the target's own and reason. Check
	// looks at their values, and brings those that mean the same to one form; it may be nil.
	Options []string
	Check   func(*Call, *ParseErrors)
	// Reversible is false for what undo can't bring back.
	Reversible bool
	// Quorum is how many must approve unless the configuration says otherwise;
	// 0 leaves it to the default.
	Quorum int
	// Alternative names a gentler action on the same target, or is empty.
	Alternative Name
	// InManagementAccount reports whether a call is carried out in the organization's
	// management account; nil for never.
	InManagementAccount func(Call) bool
	// Permits lists exactly the IAM permissions that a phase needs. They become
	// the session policy, and for [Anything] the member roles' policies.
	Permits func(Phase, Scope) []Statement
}

// keys are all options that it takes, but reason.
func (s Spec) keys() []string { return slices.Concat(s.Target.Options, s.Options) }

// managed is InManagementAccount for a call.
func (s Spec) managed(c Call) bool { return s.InManagementAccount != nil && s.InManagementAccount(c) }

// AutoEligible reports whether a call may run without a second person at all: it can
// be taken back, and it is about one target.
func (s Spec) AutoEligible(c Call) bool {
	return s.Reversible && s.Quorum == 0 && !WholeAccount(c) && !s.managed(c)
}

// Statement is the Allow part of an IAM statement.
type Statement struct {
	Actions   []string
	Resources []string
}

// Identity is what a target immutably is. An ARN may be re-used by another
// principal; an ID never is.
type Identity struct {
	ARN     string    `json:"arn"`
	ID      string    `json:"id"` // AROA… for a role
	Created time.Time `json:"created,omitzero"`
}

// Plan is what a call would do, in the order in which it is done.
type Plan struct {
	Identity Identity `json:"identity"`
	Steps    []Step   `json:"-"` // stored as rows of their own: there may be thousands
	// Facts describe the blast radius: who and what else is hit.
	Facts []Fact `json:"facts,omitempty"`
	// Warnings are what the approver must know before saying yes.
	Warnings []string `json:"warnings,omitempty"`
	// Residual is what this containment does not stop.
	Residual   []string `json:"residual,omitempty"`
	Reversible bool     `json:"reversible"`
	Undo       string   `json:"undo"` // how it comes back, in words
	// Snapshot is what else was there before, for the record: JSON, or empty.
	Snapshot string `json:"snapshot,omitempty"`
}

// Fact is one line of a plan's blast radius.
type Fact struct {
	Label string `json:"label"`
	Text  string `json:"text"`
}

// Step is one change. ID is stable within the call, so that a step planned
// again is the same step.
type Step struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Current string `json:"current"`
	After   string `json:"after"`
	// Hold names the change for all requests that share it: it is reverted only
	// when its last holder leaves.
	Hold string `json:"hold"`
	// Resource is the ARN that is changed; ResourceID its immutable ID.
	Resource   string `json:"resource"`
	ResourceID string `json:"resource_id"`
	// Prior is the content before; nil where there was none.
	Prior *string `json:"prior,omitempty"`
	// Deny marks what keeps the target powerless: undo takes it back last.
	Deny bool `json:"deny,omitempty"`
	// NotReverted says why undo leaves the step as it is; empty where it is taken
	// back. Credential marks one that keys=reactivate takes back all the same.
	NotReverted string `json:"not_reverted,omitempty"`
	Credential  bool   `json:"credential,omitempty"`
	// Many marks one of many steps that do not depend on each other: they are
	// taken at the same time, at the rate that AWS allows.
	Many bool `json:"many,omitempty"`
	// Skip says why what is listed here is left alone: the step is never taken.
	Skip string `json:"skip,omitempty"`
}

// Run is what Apply may know of the run that it is part of.
type Run struct {
	RequestID string
	// Since is when the run was claimed: what a step wrote after it need not be written again.
	Since time.Time
	Now   time.Time
}

// Effect is what a step did: the undo snapshot and what stands there now.
type Effect struct {
	Prior *string `json:"prior,omitempty"`
	Wrote *string `json:"wrote,omitempty"` // nil where the step takes something away
	// Changed is false where the step held already.
	Changed bool `json:"changed,omitempty"`
}

// Reading is what reading back, or reverting, found.
type Reading struct {
	Holds   bool   // Verify: the step holds. Revert: the prior content stands again
	Changed bool   // Revert: this very call changed it, so it has not been read back
	Found   string // where it does not hold: what was found instead, in words
}

// HoldKey names a change for all requests that share it: of what kind, on which
// immutable ID, under which name.
func HoldKey(acct *Account, id, kind, name string) string {
	return strings.Join([]string{acct.ID, id, kind, name}, "/")
}
