package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// decide returns the approvals that count if they reach the quorum, otherwise an
// *actions.Refusal; unproved says why another one could not be proved. One-click and
// automatic requests need none.
func (x *Executor) decide(r approvals.Request, p approvals.Planned, votes []approvals.Vote, unproved string) ([]approvals.Vote, error) {
	if err := x.admits(r, p); err != nil || p.Mode != approvals.TwoPerson {
		return nil, err
	}
	t := x.provedRequest(p)
	need := max(x.Policy.Admit(p.Intent, p.Plan.Identity, p.Person, p.Mode).Need, p.Policy.Approvals)
	missing := &actions.Refusal{Reason: unproved, Hint: askAgain}
	for _, v := range votes {
		if d := x.Policy.Decide(t, approvals.Approve, v, v.At); !d.Accept {
			missing.Codes = append(missing.Codes, d.Refusal.Codes...)
		} else if slices.Contains(p.Eligible, v.Person) {
			t.Votes = approvals.Counted(t.Votes, v)
		}
	}
	enough := len(t.Votes) >= need
	switch {
	case enough && !x.Policy.Unsigned(t):
		return t.Votes, nil
	case missing.Cause() != "":
	case enough:
		missing.Reason = "none of the proved approvals was signed at the command line"
	default:
		missing.Reason = fmt.Sprintf("there are %d proved approvals of the %d needed", len(t.Votes), need)
	}
	return nil, missing
}

// provedRequest is a request as its plan proves it, before anybody has voted.
func (x *Executor) provedRequest(p approvals.Planned) approvals.Request {
	return approvals.Request{ID: p.ID, State: approvals.Pending, Intent: p.Intent, Requester: approvals.Actor{Person: p.Person},
		Asked: p.Asked, Expires: p.Asked.Add(p.Policy.ApproveWithin), Need: p.Policy.Approvals, NeedSTS: p.Policy.RequireSTS, Eligible: p.Eligible, Overrules: p.Overrules, Digest: p.Digest, Found: p.Plan.Identity}
}

// admits refuses a request whose row was altered, or that the configuration rules out by now.
func (x *Executor) admits(r approvals.Request, p approvals.Planned) error {
	if !r.Expires.Equal(p.Asked.Add(p.Policy.ApproveWithin)) || r.Digest != p.Digest || r.Evidence != p.Evidence || p.Alert != "" && (r.Alert != p.Alert || r.Event != p.Event) ||
		r.Denial != nil || r.Cancelled != nil {
		return &actions.Refusal{Reason: "the stored request was altered", Hint: askAgain}
	}
	if d := x.Policy.Admit(p.Intent, p.Plan.Identity, p.Person, p.Mode); !d.Accept {
		return &actions.Refusal{Codes: d.Refusal.Codes, Hint: askAgain}
	}
	if no := x.refuseTarget(p); no != nil {
		return &actions.Refusal{Reason: no.Reason, Hint: askAgain}
	}
	return nil
}

// refuseTarget refuses a planned request that the configuration rules out by now.
func (x *Executor) refuseTarget(p approvals.Planned) *actions.Refusal {
	if no := x.Org.RefuseCall(p.Call()); no != nil || p.Intent.Undo != "" {
		return no
	}
	return x.Org.RefuseIdentity(p.Plan.Identity, p.Plan.Guarded != "")
}

// proveVotes verifies the clicks that approve a request; unproved says why the last one
// that is left out could not be proved.
func (x *Executor) proveVotes(ctx context.Context, r approvals.Request, p approvals.Planned) (votes []approvals.Vote, unproved string, err error) {
	if p.Mode != approvals.TwoPerson {
		return nil, "", nil
	}
	for _, stored := range r.Votes {
		v, err := x.proveVote(ctx, stored.Evidence, "approve", p)
		if no, ok := errors.AsType[*actions.Refusal](err); ok {
			x.Log.WarnContext(ctx, "approval not proved", slog.String("request_id", r.ID), slog.String("error", no.Reason))
			unproved = "an approval could not be proved: " + no.Reason
			continue
		}
		if err != nil {
			return nil, "", err
		}
		votes = append(votes, v)
	}
	return votes, unproved, nil
}

// attestedVotes are the approvals that were proved when the run was claimed. The run's
// row attests them, since only the executor writes it: they count after a rotation of
// the signing secret, too.
func attestedVotes(run approvals.Run, p approvals.Planned) []approvals.Vote {
	var votes []approvals.Vote
	for _, id := range run.Approvers {
		votes = append(votes, approvals.Vote{Actor: approvals.Actor{Person: id}, At: run.Approved, Digest: p.Digest, Signed: slices.Contains(run.Signed, id)})
	}
	return votes
}

// askAgain is the hint of a refusal that only a new request can avoid.
const askAgain = "ask again with /killswitch"

// runTooLate reports whether run_within is over since the approval.
func (x *Executor) runTooLate(approved time.Time, p approvals.Planned) bool {
	return x.Now().After(approved.Add(min(p.Policy.RunWithin, x.Policy.For(p.Intent).RunWithin)))
}

// approvedAt is the time of the last approval, of the word of who acts alone, or of the plan if none
// was needed.
func approvedAt(votes []approvals.Vote, glass *approvals.BreakGlass, p approvals.Planned) time.Time {
	if glass != nil {
		return glass.At
	}
	return approvals.Request{Ready: p.At, Votes: votes}.ApprovedAt()
}

// personIDs are who approved, and those of them who signed at the command line.
func personIDs(votes []approvals.Vote) (ids, signed []string) {
	for _, v := range votes {
		ids = append(ids, v.Person)
		if v.Signed {
			signed = append(signed, v.Person)
		}
	}
	return ids, signed
}
