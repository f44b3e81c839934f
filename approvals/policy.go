package approvals

import (
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// ActionPolicy is the policy for one action.
type ActionPolicy struct {
	Requesters    string        `json:"requesters"` // group
	Approvers     string        `json:"approvers"`  // group
	Approvals     int           `json:"approvals"`
	ApproveWithin time.Duration `json:"approve_within"`
	RunWithin     time.Duration `json:"run_within"`
	// RequireSTS wants one of the approvals signed at the command line: no signature of Slack's stands
	// behind it.
	RequireSTS bool `json:"require_sts,omitempty"`
	// BreakGlassAfter is how long after the request who asked may act alone; 0: never.
	BreakGlassAfter time.Duration `json:"break_glass_after,omitempty"`
}

// Policy decides who may request, approve, deny, cancel and retry. It does no I/O and
// reads no clock.
type Policy struct {
	Roster  Roster
	Default ActionPolicy
	Undo    ActionPolicy
	Units   ActionPolicy // for calls on many accounts: an organizational unit, or the root
	Actions map[actions.Name]ActionPolicy
	Watch   time.Duration // how long what is in force is watched
	// Webhooks are those that may ask for something, by ID.
	Webhooks map[string]WebhookGrant
}

// RetryWithin is how long after its approval a request may be retried, however often.
const RetryWithin = 60 * time.Minute

// For returns the policy for an intent.
func (p Policy) For(i Intent) ActionPolicy {
	if i.Undo != "" {
		return p.Undo
	}
	if i.Call.OfUnit() {
		return p.Units
	}
	if e, ok := p.Actions[i.Call.Action]; ok {
		return e
	}
	return p.Default
}

// The codes of refusals.
const (
	UnknownPerson  actions.Code = "unknown_person"   // no person has this account
	NotRequester   actions.Code = "not_requester"    // not in the group that may ask
	NotApprover    actions.Code = "not_approver"     // not in the group that may approve
	JoinedLate     actions.Code = "joined_late"      // in that group only since the request was planned
	SelfApproval   actions.Code = "self_approval"    // the requester's own approval
	DoubleVote     actions.Code = "double_vote"      // this person has approved already
	NotOpen        actions.Code = "not_open"         // the request is no longer waiting for this
	PastExpiry     actions.Code = "past_expiry"      // the time to approve is over
	OtherCall      actions.Code = "other_call"       // the vote names another request or call
	NotTheirs      actions.Code = "not_theirs"       // only the requester may cancel
	TooFewEligible actions.Code = "too_few_eligible" // there are fewer approvers than the policy wants
	RetryOver      actions.Code = "retry_over"       // the time to retry is over
	Withdrawn      actions.Code = "withdrawn"        // somebody denied or cancelled what had run
	Overruled      actions.Code = "overruled"        // the request overrules this person's denial
	NotSigned      actions.Code = "not_signed"       // what is missing is an approval from the command line
	SelfReview     actions.Code = "self_review"      // another responder reviews what was done alone
	NoSigner       actions.Code = "no_signer"        // nobody who may approve has an AWS identity to sign with
	OwnPrincipal   actions.Code = "own_principal"    // the target is this person's own principal
	NotGranted     actions.Code = "not_granted"      // the webhook may not ask for this
	KeyOwner       actions.Code = "key_owner"        // this person holds the key of the webhook that asked
)

// Kind is the kind of a vote.
type Kind string

// The kinds.
const (
	Approve Kind = "approve"
	Deny    Kind = "deny"
	Cancel  Kind = "cancel"
	Retry   Kind = "retry"
	Watch   Kind = "watch"  // extends the watch
	Alone   Kind = "alone"  // by who asked: see [Runs.MayBreakGlass]
	Review  Kind = "review" // of what somebody did alone, by another responder
)

// Decision is the answer to a vote or a new request.
type Decision struct {
	Accept   bool
	Refusal  *actions.Refusal // where it is not accepted
	Quorum   bool             // with this vote the request is approved
	Unsigned bool             // an approval from the command line is missing
	Have     int              // approvals, with this vote if it is accepted
	Need     int              // approvals
	Waiting  []string         // people who may still approve
	Own      []string         // people of both groups whose own principal the target is: they have no vote
	Owners   []string         // people who hold the key of the webhook that asked: they may not approve
	// Short is that too few may approve, where who asks may act alone instead: not a refusal.
	Short *actions.Violation
}

func (d *Decision) refuse(v actions.Violation) {
	if d.Refusal == nil {
		d.Refusal = &actions.Refusal{}
	}
	d.Refusal.Codes = append(d.Refusal.Codes, v)
}

// Admit decides whether a person may make a request. found is the target as its plan found it; zero
// before. For one-click and automatic requests the quorum is not checked. Where a rule asked and
// people decide, one approval more is needed, since no person vouches for it; for a webhook see
// [Policy.ForRequester]. Where those whose own principal the target is are missing for the quorum,
// who asks must be able to act alone: nobody is untouchable because they approve.
func (p Policy) Admit(i Intent, found actions.Identity, person string, mode ApprovalMode) Decision {
	e := p.ForRequester(i, person)
	d := Decision{Own: p.owners(e, i, found), Owners: p.keyOwners(person)}
	d.Waiting = p.eligible(e, person, append(slices.Clone(d.Own), d.Owners...), nil)
	rule := person == AutomaticRequester && mode != OneClick
	_, webhook := RequestingWebhook(person)
	if rule {
		e = e.OneMore(d.Waiting)
	}
	d.Need = e.Approvals
	_, known := p.Roster.ByID(person)
	switch {
	case rule:
	case webhook:
		if !p.granted(i, person) {
			d.refuse(actions.Violation{Code: NotGranted, Person: person})
		}
	case !known:
		d.refuse(actions.Violation{Code: UnknownPerson, Person: person})
	case !p.Roster.In(person, e.Requesters):
		d.refuse(actions.Violation{Code: NotRequester, Person: person, Group: e.Requesters})
	}
	if !webhook && mode == OneClick || rule && mode == Automatic {
		d.Need = 0
	} else if e.Approvals < 1 || len(d.Waiting) < e.Approvals {
		few := actions.Violation{Code: TooFewEligible, Group: e.Approvers, Have: len(d.Waiting), Need: max(e.Approvals, 1)}
		if without := p.eligible(e, person, d.Owners, nil); e.Approvals >= 1 && len(without) >= e.Approvals {
			few.Person = strings.Join(slices.DeleteFunc(without, func(id string) bool { return !slices.Contains(d.Own, id) }), ", ")
		}
		if few.Person != "" && e.BreakGlassAfter > 0 && i.Undo == "" && p.Roster.CanSign(person) && !slices.Contains(d.Own, person) {
			d.Short = &few
		} else {
			d.refuse(few)
		}
	}
	switch {
	case e.RequireSTS && d.Need == 0:
		d.refuse(actions.Violation{Code: NotSigned})
	case d.Short == nil && !p.Signable(e, d.Waiting):
		d.refuse(actions.Violation{Code: NoSigner, Group: e.Approvers})
	}
	d.Accept = d.Refusal == nil
	return d
}

// Decide decides whether a vote counts. If the request's and the policy's numbers
// differ, the stricter one counts.
func (p Policy) Decide(r Request, kind Kind, v Vote, now time.Time) Decision {
	e := p.ForRequester(r.Intent, r.Requester.Person)
	d := Decision{Need: max(e.Approvals, r.Need, 1), Own: p.owners(e, r.Intent, r.Found), Owners: p.keyOwners(r.Requester.Person)}
	if _, ok := p.Roster.ByID(v.Person); !ok {
		d.refuse(actions.Violation{Code: UnknownPerson, Person: v.Person})
	}
	if kind != Cancel && kind != Alone && slices.Contains(d.Own, v.Person) {
		d.refuse(actions.Violation{Code: OwnPrincipal, Person: v.Person})
	}
	if (kind == Approve || kind == Deny) && slices.Contains(r.Overrules, v.Person) {
		d.refuse(actions.Violation{Code: Overruled, Person: v.Person})
	}
	switch kind {
	case Approve:
		d.decideApproval(p, e, r, v, now)
	case Deny:
		requester := !r.State.Missed() && p.Roster.In(v.Person, e.Requesters) // after a run only an approver
		if !requester && !p.Roster.In(v.Person, e.Approvers) {
			d.refuse(actions.Violation{Code: NotApprover, Person: v.Person, Group: e.Approvers})
		}
		d.decideNo(r)
	case Cancel:
		if v.Person != r.Requester.Person {
			d.refuse(actions.Violation{Code: NotTheirs, Person: v.Person})
		}
		d.decideNo(r)
	case Retry:
		if !p.Roster.In(v.Person, e.Requesters) && !p.Roster.In(v.Person, e.Approvers) {
			d.refuse(actions.Violation{Code: NotRequester, Person: v.Person, Group: e.Requesters})
		}
		switch no, _ := r.No(); {
		case !r.retryable():
			d.refuse(actions.Violation{Code: NotOpen, State: string(r.State)})
		case r.Digest == "" || v.Digest != r.Digest:
			d.refuse(actions.Violation{Code: OtherCall})
		case no != nil:
			d.refuse(actions.Violation{Code: Withdrawn})
		case now.After(r.RetryUntil()) || v.At.After(r.RetryUntil()):
			d.refuse(actions.Violation{Code: RetryOver})
		}
	case Watch:
		if !p.Roster.In(v.Person, e.Requesters) && !p.Roster.In(v.Person, e.Approvers) {
			d.refuse(actions.Violation{Code: NotRequester, Person: v.Person, Group: e.Requesters})
		}
		switch {
		case r.Intent.Undo != "" || r.State != Contained && r.State != Partial:
			d.refuse(actions.Violation{Code: NotOpen, State: string(r.State)})
		case r.Digest == "" || v.Digest != r.Digest:
			d.refuse(actions.Violation{Code: OtherCall})
		}
	case Alone:
		d.decideOpen(e, r, v, now)
	case Review:
		switch {
		case !p.Roster.In(v.Person, e.Requesters) && !p.Roster.In(v.Person, e.Approvers):
			d.refuse(actions.Violation{Code: NotRequester, Person: v.Person, Group: e.Requesters})
		case v.Person == r.Requester.Person:
			d.refuse(actions.Violation{Code: SelfReview, Person: v.Person})
		}
		switch {
		case r.BreakGlass == nil || r.State == Approved || r.State == Running:
			d.refuse(actions.Violation{Code: NotOpen, State: string(r.State)})
		case r.Digest == "" || v.Digest != r.Digest:
			d.refuse(actions.Violation{Code: OtherCall})
		}
	default:
		d.refuse(actions.Violation{Code: OtherCall})
	}
	d.Accept = d.Refusal == nil
	counts := kind == Approve && d.Accept
	if counts {
		r.Votes = Counted(r.Votes, v)
	}
	d.Have, d.Unsigned = len(r.Votes), p.Unsigned(r)
	d.Quorum = counts && d.Have >= d.Need && !d.Unsigned
	if r.State == Pending {
		voted := r.Votes
		signs := d.Unsigned && d.Have >= d.Need // then nothing else helps, and who clicked may sign
		if signs {
			voted = nil
		}
		d.Waiting = slices.DeleteFunc(p.eligible(e, r.Requester.Person, append(slices.Clone(d.Own), d.Owners...), voted), func(id string) bool {
			return r.joinedLate(id) || signs && !p.Roster.CanSign(id)
		})
	}
	return d
}

// Counted returns the votes with one more. What a person signs replaces their click: nobody counts twice.
func Counted(votes []Vote, v Vote) []Vote {
	others := slices.DeleteFunc(slices.Clone(votes), func(o Vote) bool { return o.Person == v.Person })
	return append(others, v)
}

// Unsigned reports whether a request lacks an approval that was signed at the command line, by its plan or
// by the policy of now.
func (p Policy) Unsigned(r Request) bool {
	return (r.NeedSTS || p.For(r.Intent).RequireSTS) && !slices.ContainsFunc(r.Votes, func(v Vote) bool { return v.Signed })
}

// Signable reports whether one of those who may approve can do what an entry wants at the command line.
func (p Policy) Signable(e ActionPolicy, eligible []string) bool {
	return !e.RequireSTS || slices.ContainsFunc(eligible, p.Roster.CanSign)
}

// decideNo refuses a denial or a cancellation that has no effect.
func (d *Decision) decideNo(r Request) {
	switch no, _ := r.No(); {
	case !r.State.May(Denied): // a run that is under way is not interrupted
		d.refuse(actions.Violation{Code: NotOpen, State: string(r.State)})
	case no != nil && r.State.Missed():
		d.refuse(actions.Violation{Code: Withdrawn})
	}
}

func (d *Decision) decideApproval(p Policy, e ActionPolicy, r Request, v Vote, now time.Time) {
	if v.Person == r.Requester.Person {
		d.refuse(actions.Violation{Code: SelfApproval, Person: v.Person})
	}
	if slices.Contains(d.Owners, v.Person) {
		d.refuse(actions.Violation{Code: KeyOwner, Person: v.Person})
	}
	switch {
	case !p.Roster.In(v.Person, e.Approvers):
		d.refuse(actions.Violation{Code: NotApprover, Person: v.Person, Group: e.Approvers})
	case slices.Contains(r.Overrules, v.Person) || slices.Contains(d.Own, v.Person) || slices.Contains(d.Owners, v.Person):
	case r.joinedLate(v.Person) && v.Person != r.Requester.Person:
		d.refuse(actions.Violation{Code: JoinedLate, Person: v.Person, Group: e.Approvers})
	}
	before := slices.IndexFunc(r.Votes, func(o Vote) bool { return o.Person == v.Person })
	switch {
	case !v.Signed && len(r.Votes) >= d.Need && p.Unsigned(r):
		d.refuse(actions.Violation{Code: NotSigned})
	case before >= 0 && (!v.Signed || r.Votes[before].Signed):
		d.refuse(actions.Violation{Code: DoubleVote, Person: v.Person})
	}
	d.decideOpen(e, r, v, now)
}

// decideOpen refuses what comes too late, or is about another call.
func (d *Decision) decideOpen(e ActionPolicy, r Request, v Vote, now time.Time) {
	switch {
	case r.State != Pending:
		d.refuse(actions.Violation{Code: NotOpen, State: string(r.State)})
	case now.After(r.Expires) || v.At.After(r.Expires) || v.At.After(r.Asked.Add(e.ApproveWithin)):
		d.refuse(actions.Violation{Code: PastExpiry})
	case r.Digest == "" || v.Digest != r.Digest:
		d.refuse(actions.Violation{Code: OtherCall})
	}
}

// Overrule makes a policy's entry stricter for a request that overrules a denial: it needs one
// approval more, but no more than there are others. It returns them, and false if they are
// too few.
func (e ActionPolicy) Overrule(eligible, overruled []string) (ActionPolicy, []string, bool) {
	if len(overruled) == 0 {
		return e, eligible, true
	}
	others := slices.DeleteFunc(slices.Clone(eligible), func(id string) bool { return slices.Contains(overruled, id) })
	return e.OneMore(others), others, len(others) >= e.Approvals
}

// OneMore needs one approval more, but no more than there are people who may approve.
func (e ActionPolicy) OneMore(eligible []string) ActionPolicy {
	e.Approvals = min(e.Approvals+1, max(len(eligible), e.Approvals))
	return e
}

// owners lists the people of an entry's groups whose own principal the target of an intent is.
func (p Policy) owners(e ActionPolicy, i Intent, found actions.Identity) []string {
	return slices.DeleteFunc(p.Roster.Owners(i.Call, found), func(id string) bool { return !p.Roster.In(id, e.Approvers) && !p.Roster.In(id, e.Requesters) })
}

// eligible lists the people who may still approve, without some who have no vote.
func (p Policy) eligible(e ActionPolicy, requester string, without []string, votes []Vote) []string {
	ids := []string{} // of a plan, nobody is not what nobody has said
	for _, id := range p.Roster.Groups[e.Approvers] {
		voted := slices.ContainsFunc(votes, func(v Vote) bool { return v.Person == id })
		if _, known := p.Roster.ByID(id); known && id != requester && !voted && !slices.Contains(without, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
