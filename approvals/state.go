package approvals

import "slices"

// State is where a request is in its life. The words are part of the contract.
type State string

// The states.
const (
	Planning  State = "planning"
	Pending   State = "pending"
	Approved  State = "approved"
	Running   State = "running"
	Contained State = "contained" // every step read back once
	Restored  State = "restored"  // an undo's own request, done
	Partial   State = "partial"   // some steps hold, some do not
	Failed    State = "failed"    // nothing holds
	Refused   State = "refused"   // the plan, or the evidence, says no
	Denied    State = "denied"
	Cancelled State = "cancelled"
	Expired   State = "expired"
	Undoing   State = "undoing"
	Undone    State = "undone"
)

// transitions lists every step of a request's life; all others are refused. What
// needs nobody's approval is approved by being planned.
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

// May reports whether a request in state s may go to state to.
func (s State) May(to State) bool { return slices.Contains(transitions[s], to) }

// Open reports whether something is still to come of the request by itself.
func (s State) Open() bool {
	switch s {
	case Planning, Pending, Approved, Running, Undoing:
		return true
	case Contained, Restored, Partial, Failed, Refused, Denied, Cancelled, Expired, Undone:
		return false
	}
	return false
}

// InForce reports whether the request's containment stands and can be undone.
func (s State) InForce() bool { return s.May(Undoing) }
