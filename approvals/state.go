package approvals

import "slices"

// State is the state of a request. The words are part of the contract with users.
type State string

// The states.
const (
	Planning  State = "planning"
	Pending   State = "pending"
	Approved  State = "approved"
	Running   State = "running"
	Contained State = "contained" // each goal was verified; a cause names a supporting step that failed
	Restored  State = "restored"  // an undo's own request, done
	Partial   State = "partial"   // some steps hold, but not each goal
	Failed    State = "failed"    // nothing holds
	Refused   State = "refused"   // by the plan or for its evidence
	Denied    State = "denied"
	Cancelled State = "cancelled"
	Expired   State = "expired"
	Undoing   State = "undoing"
	Undone    State = "undone"
)

// transitions lists the allowed state changes. Requests without an approver go from
// planning to approved, and on to pending if their source does not confirm them again. Only an undo's own request is denied or cancelled when it is
// partial; one that is denied or cancelled is undone only if it ran.
var transitions = map[State][]State{
	Planning:  {Pending, Approved, Refused, Denied, Cancelled, Expired},
	Pending:   {Approved, Refused, Denied, Cancelled, Expired},
	Approved:  {Pending, Running, Refused, Denied, Cancelled, Expired},
	Running:   {Contained, Restored, Partial, Failed},
	Contained: {Running, Partial, Undoing},
	Partial:   {Running, Contained, Undoing, Denied, Cancelled},
	Failed:    {Running, Undoing, Denied, Cancelled},
	Undoing:   {Undone, Contained, Partial, Failed},
	Restored:  nil,
	Refused:   nil,
	Denied:    {Undoing},
	Cancelled: {Undoing},
	Expired:   nil,
	Undone:    nil,
}

// May reports whether a request may change from s to another state.
func (s State) May(to State) bool { return slices.Contains(transitions[s], to) }

// Open reports whether the request will change its state without another command.
func (s State) Open() bool {
	switch s {
	case Planning, Pending, Approved, Running, Undoing:
		return true
	case Contained, Restored, Partial, Failed, Refused, Denied, Cancelled, Expired, Undone:
		return false
	}
	return false
}

// InForce reports whether the request made changes that can be undone.
func (s State) InForce() bool { return s == Contained || s == Partial || s == Failed }

// Missed reports whether a run ended in s without its goals.
func (s State) Missed() bool { return s == Partial || s == Failed }

// EndedByNo reports whether a no to what ran and ended in s changes its state. It does not
// change that of a containment in force: it only ends its retries.
func (s State) EndedByNo(i Intent) bool { return s == Failed || s == Partial && i.Undo != "" }
