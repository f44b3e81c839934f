package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Action is one containment and its undo.
//
// Each method is idempotent: called again after a crash at any point it reaches the
// same end. Plan returns a *[Refusal] if the call can never be carried out; any other
// error comes from AWS and may be temporary.
type Action interface {
	Spec() Spec
	// Plan reads the target's state and returns the steps. It writes nothing. With an error
	// that may be temporary it may return the steps that contain, as for [LookFirst].
	Plan(ctx context.Context, acct *Account, c Call) (Plan, error)
	// Apply applies one step, unless it is in effect already.
	Apply(ctx context.Context, acct *Account, s Step, run Run) (Effect, error)
	// Verify reads back whether the step is in effect.
	Verify(ctx context.Context, acct *Account, s Step, e Effect) (Reading, error)
	// Revert restores e.Prior if the content is still e.Wrote; otherwise it changes
	// nothing and reports the drift.
	Revert(ctx context.Context, acct *Account, s Step, e Effect) (Reading, error)
}

// Phase is a part of an action's life cycle with its own permissions.
type Phase int

// The phases. PhasePlan only reads; PhaseRun reads and denies, also when what is in force is looked at;
// PhaseUndo restores, under the restorer role; PhaseReport reads for a report.
const (
	PhasePlan Phase = iota
	PhaseRun
	PhaseUndo
	PhaseReport
)

// Spec describes an action.
type Spec struct {
	Name  Name
	Title string // imperative, without the target: "Revoke sessions"
	// TitleFor is Title for a call whose options make it something else; nil where none does.
	TitleFor func(Call) string
	Summary  string // one line, for help
	Usage    string // an example line, for help
	// Synonyms are other words for it. They are no names, but a correction knows them.
	Synonyms []string
	Target   TargetKind
	// Options are the option keys beside the target's own and reason. Check validates
	// their values and normalises equivalent ones; it may be nil.
	Options []string
	// Values are the values of options that take one of a few; the grammar checks them.
	Values map[string][]string
	Check  func(*Call, *ParseErrors)
	// Reversible is false if undo can't restore the prior state.
	Reversible bool
	// Irreversible reports whether a call's options add steps that undo can't take back, so that it
	// never runs without a second person; nil means never.
	Irreversible func(Call) bool
	// Quorum is the number of approvals unless the configuration sets one; 0 is
	// the default quorum.
	Quorum int
	// Alternative is a less disruptive action on the same target, or empty.
	Alternative Name
	// Stronger is an action on the same target that holds where this one can be undone by whoever
	// administers the account, or empty.
	Stronger Name
	// More is a call of the same action that does more to the same target; nil for none.
	More *More
	// NotStopped lists access that it never stops; a plan adds what it finds.
	NotStopped []string
	// Undo says how undo restores the target; a plan says it more exactly.
	Undo string
	// Delay says when AWS enforces what was written: "within seconds"; of what Organizations
	// carries out [Spec.EnforcedWithin] knows it.
	Delay string
	// InOrganizations reports whether a call is carried out by AWS Organizations, from
	// [Org.OrganizationsAccount]; nil means never.
	InOrganizations func(Call) bool
	// Permits returns exactly the IAM permissions of a phase: the session policy, and
	// for [Anything] the member roles' policies. See [Scope.InTarget] and [Account.Target].
	Permits func(Phase, Scope) []Statement
}

// More is a call that does more than the one that is in force, offered while people say in a reason, or a
// finding in its type, what it is for.
type More struct {
	Options map[string]string
	Title   string // of the button: imperative, without the target
	What    string // it does, in a sentence
	For     Pattern
}

// When AWS enforces what was written. Of IAM it says that it "might take a few minutes"; of service
// control policies it says nothing, minutes were seen.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_disable-perms.html
const (
	IAMDelay = "within seconds, sometimes a few minutes"
	SCPDelay = "within minutes"
)

// EnforcedWithin says when AWS enforces what a call has written.
func (s Spec) EnforcedWithin(c Call) string {
	if s.CallsOrganizations(c) {
		return SCPDelay
	}
	return s.Delay
}

// TitleOf is the title of a call.
func (s Spec) TitleOf(c Call) string {
	if s.TitleFor != nil {
		return s.TitleFor(c)
	}
	return s.Title
}

// optionKeys returns all option keys except reason.
func (s Spec) optionKeys() []string { return slices.Concat(s.Target.Options, s.Options) }

// CallsOrganizations calls InOrganizations; false if it is nil.
func (s Spec) CallsOrganizations(c Call) bool {
	return s.InOrganizations != nil && s.InOrganizations(c)
}

// AutoEligible reports whether a call may run without a second person: it is
// reversible and has one target.
func (s Spec) AutoEligible(c Call) bool {
	return s.Reversible && (s.Irreversible == nil || !s.Irreversible(c)) && s.Quorum == 0 && !WholeAccount(c) && !s.CallsOrganizations(c)
}

// Statement is a statement of an IAM policy. It allows, unless Deny is set.
type Statement struct {
	Deny      bool
	Actions   []string
	Resources []string
	Condition Condition
}

// Condition is the condition block of a statement: operator, key, values.
type Condition map[string]map[string][]string

// Identity identifies a target immutably. An ARN may be re-used by another
// principal; an ID never is.
type Identity struct {
	ARN     string    `json:"arn"`
	ID      string    `json:"id"` // AROA… for a role
	Created time.Time `json:"created,omitzero"`
}

// Plan lists the steps of a call in execution order, and the facts for the approver.
type Plan struct {
	Identity Identity `json:"identity"`
	Steps    []Step   `json:"-"` // stored in separate rows: there may be thousands
	// Facts describe the blast radius: other people and systems that are affected.
	Facts []Fact `json:"facts,omitempty"`
	// Warnings are for the approver, before the decision.
	Warnings []string `json:"warnings,omitempty"`
	// Residual lists access that this containment does not stop.
	Residual   []string `json:"residual,omitempty"`
	Reversible bool     `json:"reversible"`
	Undo       string   `json:"undo"` // how undo restores the target, in words
	// More says that LookFirst left steps out.
	More bool `json:"-"`
	// Guarded says why the target needs one approval more, and never runs without people: it is
	// exempt by a group, or that can't be read.
	Guarded string `json:"guarded,omitempty"`
	// Replaces is what the target has that the steps may put ours in the place of: an approval
	// is for that, too. What an attacker puts there afterwards is replaced as well.
	Replaces string `json:"replaces,omitempty"`
	// Liftable says why an administrator of the account can lift the containment; empty if nobody there can.
	Liftable string `json:"liftable,omitempty"`
	// Bound is the configuration's content that the steps write: an approval is for it, too.
	Bound Bound `json:"bound,omitzero"`
	// Snapshot is further prior state, for the record: JSON, or empty.
	Snapshot string `json:"-"` // stored in a separate row
}

// Limits of what a plan says. Cards show less.
const (
	maxPlanTexts = 100 // of each kind
	maxPlanText  = 1000
)

// Bounded returns the plan with shorter facts, warnings and residuals, and fewer: an
// attacker decides on the length of names and on their number.
func (p Plan) Bounded() Plan {
	p.Warnings, p.Residual = boundedTexts(p.Warnings), boundedTexts(p.Residual)
	facts := slices.Clone(p.Facts[:min(len(p.Facts), maxPlanTexts)])
	for i, f := range facts {
		facts[i] = Fact{clip(f.Label, maxPlanText), clip(f.Text, maxPlanText)}
	}
	if more := len(p.Facts) - len(facts); more > 0 {
		facts = append(facts, Fact{"Not listed", fmt.Sprintf("%d more", more)})
	}
	p.Facts = facts
	return p
}

func boundedTexts(all []string) []string {
	texts := slices.Clone(all[:min(len(all), maxPlanTexts)])
	for i := range texts {
		texts[i] = clip(texts[i], maxPlanText)
	}
	if more := len(all) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("… and %d more", more))
	}
	return texts
}

// Bound names content of the configuration. A run refuses to start if its hash is no longer
// the approved one.
type Bound struct {
	Name string `json:"name"` // in words: "the document freeze"
	Hash string `json:"hash"`
}

// Fact is one line of a plan's blast radius.
type Fact struct {
	Label string `json:"label"`
	Text  string `json:"text"`
}

// Step is one change. Its ID is stable within the call, so that a step that is
// planned again is recognised.
type Step struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Current string `json:"current"`
	After   string `json:"after"`
	// Hold is the key of the change, shared by all requests that make it: it is
	// reverted when the last of them is undone.
	Hold string `json:"hold"`
	// Share is this call's part of a content that several targets share, such as a principal
	// in a policy; empty if the content is the call's alone. Apply writes the content from
	// [Run.Shares], never from what it reads: AWS has no condition on the content before.
	Share string `json:"share,omitempty"`
	// Resource is the ARN of the changed resource; ResourceID its immutable ID.
	Resource   string `json:"resource"`
	ResourceID string `json:"resource_id"`
	// Prior is the content before; nil if there was none.
	Prior *string `json:"prior,omitempty"`
	// Goal names what the step brings about. Steps with the same goal are its places: the
	// target is contained when each goal holds in one of them. A goal of one word also holds
	// where a goal that begins with it does: one is about what could not be read, the other
	// names it. A step without a goal only supports the containment.
	Goal string `json:"goal,omitempty"`
	// Removes marks a step that takes Prior away, and adds nothing. It is applied only if the
	// last look at the whole target found Prior: undo could not restore anything else.
	Removes bool `json:"removes,omitempty"`
	// Deny marks a deny: undo reverts it last.
	Deny bool `json:"deny,omitempty"`
	// NotReverted is the reason why undo leaves the step as it is; empty if undo reverts
	// it. Credential marks a step that keys=reactivate reverts nevertheless.
	NotReverted string `json:"not_reverted,omitempty"`
	Credential  bool   `json:"credential,omitempty"`
	// Bound is the hash of the plan's Bound, if the step writes it. Apply writes nothing else.
	Bound string `json:"bound,omitempty"`
	// Many marks one of many independent steps: they are applied in parallel, at the
	// rate that AWS allows.
	Many bool `json:"many,omitempty"`
	// Skip is the reason why the step is never applied: the listed resource is left alone, or
	// with a goal, can't be read.
	Skip string `json:"skip,omitempty"`
	// Look marks a step that changes nothing, so that undo has nothing to revert: Verify looks at
	// what the containment rests on. It has a goal, which does not hold if somebody brought that
	// about, and says here what people can do then. An error of Verify is told, and no more.
	Look string `json:"look,omitempty"`
}

// HoldName is the name of the changed content, the last part of the step's hold: a policy, a key.
func (s Step) HoldName() string { return LastPart(s.Hold) }

// madeID is the ID of what EC2 made.
var madeID = NewPattern(`^[a-z]+-[0-9a-f]{8,17}$`)

// HoldKind is the hold's key without its name.
func (s Step) HoldKind() string { return strings.TrimSuffix(s.Hold, "/"+s.HoldName()) }

// Names are the names and IDs that an event about the step's change has: not such as others have,
// too, as that of an inline policy.
func (s Step) Names(e Effect) []string {
	if s.Many { // the policy is named in each of them; the roles are too many
		return []string{s.HoldName()}
	}
	var names []string
	if kind := s.HoldKind(); !s.Removes && !strings.HasSuffix(kind, "/inline") && !strings.HasSuffix(kind, "/tag") {
		names = append(names, s.HoldName())
	}
	names = append(names, s.Resource)
	switch {
	case e.Wrote == nil:
	case strings.HasPrefix(*e.Wrote, "arn:"):
		names = append(names, *e.Wrote)
	case strings.HasPrefix(*e.Wrote, "["):
		var ids []string
		if json.Unmarshal([]byte(*e.Wrote), &ids) == nil { // else it is another list
			names = append(names, ids...)
		}
	default:
		for id := range strings.FieldsSeq(*e.Wrote) {
			if madeID.MatchString(id) {
				names = append(names, id)
			}
		}
	}
	return names
}

// ResourceName is the name of the changed resource, the last part of its ARN.
func (s Step) ResourceName() string { return ResourceName(s.Resource) }

// Region is that of the changed resource, "" for global ones.
func (s Step) Region() string {
	if parts := strings.SplitN(s.Resource, ":", 5); len(parts) == 5 {
		return parts[3]
	}
	return ""
}

// Run identifies the run that Apply is part of.
type Run struct {
	RequestID string
	// Since is when the run was claimed: content that a step wrote later is not written again.
	Since time.Time
	Now   time.Time
	// Shares are the shares of all requests that hold the step's change, sorted.
	Shares []string
}

// Effect is the result of a step: the undo snapshot and the content that was written.
type Effect struct {
	Prior *string `json:"prior,omitempty"`
	Wrote *string `json:"wrote,omitempty"` // nil if the step removes something
	// Changed is false if the step was in effect already.
	Changed bool `json:"changed,omitempty"`
}

// Reading is the result of Verify or Revert.
type Reading struct {
	Holds   bool   // Verify: the step is in effect. Revert: the prior content is restored
	Changed bool   // Revert: this call changed the content, so it has not been read back
	Found   string // if Holds is false: the content that was found, in words
	// Elsewhere says which other installations hold the resource, too. A Revert that does not restore what
	// both set up says it with Holds false.
	Elsewhere string
}

// HoldKey returns the key of a change that requests may share: its kind, the
// immutable ID of the resource, and the name of the content.
func HoldKey(acct *Account, id, kind, name string) string {
	return strings.Join([]string{acct.ID, id, kind, name}, "/")
}
