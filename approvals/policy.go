package approvals

import (
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Entry is the policy for one action.
type Entry struct {
	Requesters    string        `json:"requesters"` // group
	Approvers     string        `json:"approvers"`  // group
	Approvals     int           `json:"approvals"`
	ApproveWithin time.Duration `json:"approve_within"`
	RunWithin     time.Duration `json:"run_within"`
}

// Policy decides who may do what. It does no I/O and reads no clock.
type Policy struct {
	Roster  Roster
	Default Entry
	Undo    Entry
	Actions map[actions.Name]Entry
}

// RetryWithin is how long after a run ended one responder may retry it.
const RetryWithin = 60 * time.Minute

// Entry is the policy that an intent falls under.
func (p Policy) Entry(i Intent) Entry {
	if i.Undo != "" {
		return p.Undo
	}
	if e, ok := p.Actions[i.Call.Action]; ok {
		return e
	}
	return p.Default
}

// Code says why not, for code; the words are the bot's.
type Code string

// The codes.
const (
	UnknownPerson  Code = "unknown_person"   // no person has this account
	NotRequester   Code = "not_requester"    // not in the group that may ask
	NotApprover    Code = "not_approver"     // not in the group that may approve
	JoinedLate     Code = "joined_late"      // in that group only since the request was planned
	SelfApproval   Code = "self_approval"    // the requester's own approval
	DoubleVote     Code = "double_vote"      // this person has approved already
	NotOpen        Code = "not_open"         // the request is no longer waiting for this
	PastExpiry     Code = "past_expiry"      // the time to approve is over
	OtherCall      Code = "other_call"       // the vote names another request or call
	NotTheirs      Code = "not_theirs"       // only the requester may cancel
	TooFewEligible Code = "too_few_eligible" // the approvers that there are can't satisfy the policy
	RetryOver      Code = "retry_over"       // the time to retry is over
)

// Why is one reason for a no.
type Why struct {
	Code   Code   `json:"code"`
	Person string `json:"person,omitempty"` // whom it is about
	State  State  `json:"state,omitempty"`  // for NotOpen
	Group  string `json:"group,omitempty"`  // for NotRequester, NotApprover and TooFewEligible
	Have   int    `json:"have,omitempty"`   // for TooFewEligible
	Need   int    `json:"need,omitempty"`
}

// Kind is what a vote says.
type Kind string

// The kinds.
const (
	Approve Kind = "approve"
	Deny    Kind = "deny"
	Cancel  Kind = "cancel"
	Retry   Kind = "retry"
)

// Decision is the answer to a vote. Accept is true only if Why is empty.
type Decision struct {
	Accept  bool
	Quorum  bool     // with this vote the request is approved
	Have    int      // approvals, with this vote if it is accepted
	Need    int      // approvals
	Why     []Why    // why not
	Waiting []string // people who may still approve
}

// Admit decides whether a person may make a request.
func (p Policy) Admit(i Intent, person string) Decision {
	return p.AdmitReleased(i, person, ByPeople)
}

// AdmitReleased is Admit for what something else than people lets run: whether
// there are enough who could approve is not asked, and of what runs by itself not
// who asks either.
func (p Policy) AdmitReleased(i Intent, person string, by Release) Decision {
	e := p.Entry(i)
	d := Decision{Need: e.Approvals, Waiting: p.eligible(e, person, nil)}
	if by == ByRule && person == Automatic {
		d.Need, d.Accept = 0, true
		return d
	}
	if _, ok := p.Roster.ByID(person); !ok {
		d.Why = append(d.Why, Why{Code: UnknownPerson, Person: person})
	} else if !p.Roster.In(person, e.Requesters) {
		d.Why = append(d.Why, Why{Code: NotRequester, Person: person, Group: e.Requesters})
	}
	if by == ByClick {
		d.Need = 0
	} else if e.Approvals < 1 || len(d.Waiting) < e.Approvals {
		d.Why = append(d.Why, Why{Code: TooFewEligible, Group: e.Approvers, Have: len(d.Waiting), Need: max(e.Approvals, 1)})
	}
	d.Accept = len(d.Why) == 0
	return d
}

// Decide decides whether a vote counts. The request's own numbers and the
// policy's are both binding: the stricter wins.
func (p Policy) Decide(r Request, kind Kind, v Vote, now time.Time) Decision {
	e := p.Entry(r.Intent)
	d := Decision{Have: len(r.Votes), Need: max(e.Approvals, r.Need, 1)}
	no := func(w Why) { d.Why = append(d.Why, w) }
	if _, ok := p.Roster.ByID(v.Person); !ok {
		no(Why{Code: UnknownPerson, Person: v.Person})
	}
	switch kind {
	case Approve:
		d.decideApproval(p, e, r, v, now)
	case Deny:
		if !p.Roster.In(v.Person, e.Approvers) && !p.Roster.In(v.Person, e.Requesters) {
			no(Why{Code: NotApprover, Person: v.Person, Group: e.Approvers})
		}
		if !r.State.May(Denied) {
			no(Why{Code: NotOpen, State: r.State})
		}
	case Cancel:
		if v.Person != r.Requester.Person {
			no(Why{Code: NotTheirs, Person: v.Person})
		}
		if !r.State.May(Cancelled) {
			no(Why{Code: NotOpen, State: r.State})
		}
	case Retry:
		if !p.Roster.In(v.Person, e.Requesters) && !p.Roster.In(v.Person, e.Approvers) {
			no(Why{Code: NotRequester, Person: v.Person, Group: e.Requesters})
		}
		switch {
		case !r.State.May(Running) || r.State == Approved:
			no(Why{Code: NotOpen, State: r.State})
		case r.Digest == "" || v.Digest != r.Digest:
			no(Why{Code: OtherCall})
		case now.After(r.Ended.Add(RetryWithin)) || v.At.After(r.Ended.Add(RetryWithin)):
			no(Why{Code: RetryOver})
		}
	default:
		no(Why{Code: OtherCall})
	}
	d.Accept = len(d.Why) == 0
	if kind == Approve && d.Accept {
		d.Have++
		d.Quorum = d.Have >= d.Need
	}
	if r.State == Pending {
		voted := r.Votes
		if kind == Approve && d.Accept {
			voted = append(slices.Clone(voted), v)
		}
		d.Waiting = slices.DeleteFunc(p.eligible(e, r.Requester.Person, voted), func(id string) bool {
			return len(r.Eligible) > 0 && !slices.Contains(r.Eligible, id)
		})
	}
	return d
}

func (d *Decision) decideApproval(p Policy, e Entry, r Request, v Vote, now time.Time) {
	no := func(w Why) { d.Why = append(d.Why, w) }
	if v.Person == r.Requester.Person {
		no(Why{Code: SelfApproval, Person: v.Person})
	}
	switch {
	case !p.Roster.In(v.Person, e.Approvers):
		no(Why{Code: NotApprover, Person: v.Person, Group: e.Approvers})
	case len(r.Eligible) > 0 && !slices.Contains(r.Eligible, v.Person) && v.Person != r.Requester.Person:
		no(Why{Code: JoinedLate, Person: v.Person, Group: e.Approvers})
	}
	if slices.ContainsFunc(r.Votes, func(o Vote) bool { return o.Person == v.Person }) {
		no(Why{Code: DoubleVote, Person: v.Person})
	}
	switch {
	case r.State != Pending:
		no(Why{Code: NotOpen, State: r.State})
	case now.After(r.Expires) || v.At.After(r.Expires) || v.At.After(r.Asked.Add(e.ApproveWithin)):
		no(Why{Code: PastExpiry})
	case r.Digest == "" || v.Digest != r.Digest:
		no(Why{Code: OtherCall})
	}
}

// eligible are the people who may still approve.
func (p Policy) eligible(e Entry, requester string, votes []Vote) []string {
	var ids []string
	for _, id := range p.Roster.Groups[e.Approvers] {
		voted := slices.ContainsFunc(votes, func(v Vote) bool { return v.Person == id })
		if _, known := p.Roster.ByID(id); known && id != requester && !voted {
			ids = append(ids, id)
		}
	}
	return ids
}
