package actions

import (
	"context"
	"errors"
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

// The phases. PhaseRun reads and denies, again at re-checks; PhaseUndo is the restorer's.
const (
	PhasePlan Phase = iota
	PhaseRun
	PhaseUndo
)

// Spec says what an action is.
type Spec struct {
	Name    Name
	Title   string // imperative, without the target: "Revoke sessions"
	Summary string // one line, for help
	Usage   string // a line to send, for help
	// Target reads a typed target into its canonical form and account.
	Target func(TargetText, *Mistakes) (target, account string)
	// Options are the keys that it takes beside reason.
	Options []string
	// Reversible is false for what undo can't bring back.
	Reversible bool
	// Permits lists exactly the IAM permissions that a phase needs: to change
	// the target, which exact names, and to read what is like it.
	Permits func(p Phase, exact []string, like string) []Statement
}

// Statement is the Allow part of an IAM statement.
type Statement struct {
	Actions   []string
	Resources []string
}

// Permits lists what a phase of a call needs. What is changed is named exactly;
// what is read is any path of the name: the path is not known before the first
// look, and a target that was created again may have another.
func Permits(a Action, p Phase, c Call, id Identity) []Statement {
	arn := id.ARN
	if arn == "" {
		arn = c.Target
	}
	partition, account, _, name, ok := SplitRoleARN(arn)
	if !ok {
		return a.Spec().Permits(p, []string{literal(arn)}, arn)
	}
	return a.Spec().Permits(p, []string{literal(arn)}, RoleARN(partition, account, "/", "*"+name))
}

// literal writes the characters of a path that a policy would read as wildcards
// or variables.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
var literal = strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace

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
	Wrote *string `json:"wrote,omitempty"`
	// Changed is false where the step held already.
	Changed bool `json:"changed,omitempty"`
}

// ErrRecreated is what Apply and Verify return for a target that was deleted and
// created again: it is another one of the same name.
var ErrRecreated = errors.New("it was deleted and created again: it is another principal of the same name")

// Reading is what reading back, or reverting, found.
type Reading struct {
	Holds   bool   // Verify: the step holds. Revert: the prior content stands again
	Changed bool   // Revert: this very call changed it, so it has not been read back
	Found   string // where it does not hold: what was found instead, in words
}

// Refusal is a plan's final no, in words for people.
type Refusal struct {
	Reason string
	Hint   string // what to do instead
}

func (r *Refusal) Error() string { return strings.TrimSpace(r.Reason + ". " + r.Hint) }

// All are the actions. A new one is one file and one line here.
var All = []Action{
	revokeSessions{},
}

// Lookup finds an action by its name.
func Lookup(n Name) (Action, bool) {
	i := slices.IndexFunc(All, func(a Action) bool { return a.Spec().Name == n })
	if i < 0 {
		return nil, false
	}
	return All[i], true
}

func actionNames() []string {
	var s []string
	for _, a := range All {
		s = append(s, string(a.Spec().Name))
	}
	return s
}

func names() string { return strings.Join(actionNames(), ", ") }
