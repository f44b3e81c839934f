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
	Contained State = "contained" // every step was verified
	Restored  State = "restored"  // an undo's own request, done
	Partial   State = "partial"   // some steps hold
	Failed    State = "failed"    // nothing holds
	Refused   State = "refused"   // by the plan or for its evidence
	Denied    State = "denied"
	Cancelled State = "cancelled"
	Expired   State = "expired"
	Undoing   State = "undoing"
	Undone    State = "undone"
)

// transitions lists the allowed state changes. Requests without an approver go from
// planning to approved.
var transitions = map[State][]State{
	Planning:  {Pending, Approved, Refused, Denied, Cancelled, Expired},
	Pending:   {Approved, Refused, Denied, Cancelled, Expired},
	Approved:  {Running, Refused, Denied, Cancelled, Expired},
	Running:   {Contained, Restored, Partial, Failed},
	Contained: {Partial, Undoing},
	Partial:   {Running, Contained, Undoing},
	Failed:    {Running, Undoing},
	Undoing:   {Undone, Partial},
	Restored:  nil,
	Refused:   nil,
	Denied:    nil,
	Cancelled: nil,
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
func (s State) InForce() bool { return s.May(Undoing) }
