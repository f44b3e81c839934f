package executor

import (
	"context"
	"errors"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// recordClosed writes the end of a request that never ran to its audit chain, with a
// run row that prevents it from running later; or a no to what ran.
func (x *Executor) recordClosed(ctx context.Context, r approvals.Request) error {
	run, err := x.runs().Run(ctx, r.ID)
	if err == nil && run.Started {
		if err := x.recordReview(ctx, r, &run); err != nil {
			return err
		}
		return x.withdraw(ctx, r, run)
	}
	if err != nil && !errors.Is(err, approvals.ErrNotFound) {
		return err
	}
	var vote *approvals.Vote
	switch {
	case r.State == approvals.Denied && r.Denial != nil:
		vote = r.Denial
	case r.State == approvals.Cancelled && r.Cancelled != nil:
		vote = r.Cancelled
	case r.State == approvals.Expired:
		vote = &approvals.Vote{}
	default:
		return nil
	}
	known := err == nil
	spoke, actor, unproved, err := x.proveRefuser(ctx, r, *vote)
	if err == nil && !known {
		err = x.noteDenial(ctx, r, spoke)
	}
	switch {
	case err != nil:
		return err
	case !known:
		run = approvals.Run{ID: r.ID, Outcome: r.State, Cause: vote.Reason, Ended: r.Ended}
		if vote.Evidence != "" {
			run.Withdrawn = &approvals.Vote{Actor: approvals.Actor{Person: actor}, Evidence: vote.Evidence, At: vote.At}
		}
		if run.Unplanned, err = x.unplanned(ctx, r); err != nil {
			return err
		}
		events, verr := x.votes(ctx, r)
		if verr != nil {
			return verr
		}
		err = x.record(ctx, r.ID, []approvals.Put{putRun(run)}, append(events,
			audit.New(string(r.State), actor, "reason", vote.Reason, "unproved", unproved, "evidence", vote.Evidence, "intent", r.Intent.String(), "at", r.Ended.Format(time.RFC3339)))...)
	case run.Outcome == r.State && vote.Reason != "" && run.Cause == "":
		run.Cause = vote.Reason // typed into the form after the denial
		err = x.record(ctx, r.ID, []approvals.Put{putRun(run)},
			audit.New("reason", actor, "reason", vote.Reason, "unproved", "the form is not kept as evidence"))
	}
	if err != nil && !errors.Is(err, approvals.ErrConflict) {
		return err
	}
	_, err = x.Requests.Change(ctx, r.ID, func(r *approvals.Request) error {
		if r.Closed {
			return errSettled
		}
		r.Closed = true
		return nil
	})
	if err := ignore(err, errSettled); err != nil {
		return err
	}
	if err := x.sendKeep(ctx, r.ID); err != nil {
		return err
	}
	return x.expireRows(ctx, r.ID, r.Ended)
}

// withdraw records a no to a request that ran: it is never retried. A run that is under way
// goes on.
func (x *Executor) withdraw(ctx context.Context, r approvals.Request, run approvals.Run) error {
	p, err := x.runs().Planned(ctx, r.ID)
	if err != nil {
		return err
	}
	vote, said := r.No()
	switch {
	case vote == nil || run.Outcome == "":
	case run.Withdrawn == nil && run.Outcome.Missed():
		spoke, actor, unproved, err := x.proveRefuser(ctx, r, *vote)
		if err == nil {
			err = x.noteDenial(ctx, r, spoke)
		}
		if err != nil {
			return err
		}
		ended := run.Outcome
		run.Withdrawn = &approvals.Vote{Actor: approvals.Actor{Person: actor}, Evidence: vote.Evidence, At: vote.At, Reason: vote.Reason}
		if run.Outcome.EndedByNo(p.Intent) {
			run.Outcome, run.Ended = said, x.Now().UTC()
			if err := x.leaveShares(ctx, r.ID); err != nil {
				return err
			}
		}
		err = x.endRun(ctx, &run, audit.New(string(said), actor, "reason", vote.Reason, "unproved", unproved, "evidence", vote.Evidence,
			"intent", p.Intent.String(), "ended", string(ended)))
		if err != nil {
			return err
		}
	case run.Withdrawn != nil && run.Withdrawn.Reason == "" && vote.Reason != "":
		run.Withdrawn.Reason = vote.Reason // typed into the form after the denial
		err := x.endRun(ctx, &run, audit.New("reason", run.Withdrawn.Person, "reason", vote.Reason, "unproved", "the form is not kept as evidence"))
		if err != nil {
			return err
		}
	}
	if run.Outcome == "" {
		return nil
	}
	return x.settle(ctx, run, p)
}

// proveRefuser proves who denied or cancelled a request: who spoke, and person if they have a vote on
// it, too. Denials count without proof, but the audit chain names only such people: what asks again
// overrules nobody else.
func (x *Executor) proveRefuser(ctx context.Context, r approvals.Request, v approvals.Vote) (spoke, person, unproved string, err error) {
	if v.Evidence == "" {
		return "", "", "", nil
	}
	unproved = "the row names " + v.Person
	spoke, verb, err := x.proveSpeaker(ctx, r, v)
	if err != nil || spoke == "" {
		return "", "", unproved, err
	}
	if verb == "deny" {
		may, err := x.mayDeny(ctx, r, spoke)
		if err != nil || !may {
			return spoke, "", unproved + ", who has no vote on it", err
		}
	}
	return spoke, spoke, "", nil
}

// proveSpeaker proves who denied or cancelled a request; it returns no person if that is not proved.
func (x *Executor) proveSpeaker(ctx context.Context, r approvals.Request, v approvals.Vote) (person, verb string, err error) {
	person, verb, id, err := x.proveWord(ctx, v.Evidence)
	if err != nil {
		if _, no := errors.AsType[*actions.Refusal](err); no {
			err = nil
		}
		return "", "", err
	}
	if _, known := x.Policy.Roster.ByID(person); !known || id != r.ID || verb != "deny" && verb != "cancel" {
		return "", "", nil
	}
	return person, verb, nil
}

// mayDeny reports whether a person has a vote against a request, by what is proved of it.
func (x *Executor) mayDeny(ctx context.Context, r approvals.Request, person string) (bool, error) {
	t := approvals.Request{Intent: r.Intent, State: approvals.Planning}
	p, err := x.runs().Planned(ctx, r.ID)
	if err == nil {
		t = x.provedRequest(p)
	}
	v := approvals.Vote{Actor: approvals.Actor{Person: person}}
	return x.Policy.Decide(t, approvals.Deny, v, x.Now()).Accept, ignore(err, approvals.ErrNotFound)
}

// proveWord returns who said what about which request.
func (x *Executor) proveWord(ctx context.Context, key string) (person, verb, id string, err error) {
	e, err := x.loadEvidence(ctx, key)
	if err != nil {
		return "", "", "", err
	}
	if e.Kind == approvals.STSEvidence {
		a, err := x.attested(ctx, e)
		return a.Signer.Person, a.Statement.Verb, a.Statement.Request, err
	}
	payload, _, err := x.verifyPayload(ctx, e)
	if err != nil {
		return "", "", "", err
	}
	if payload.Type == "slash_command" {
		if c, err := approvals.ParseCommand(payload.Text, x.Org.Directory()); err == nil {
			verb, id = c.Verb, c.ID
		}
	} else if len(payload.Actions) == 1 {
		verb = payload.Actions[0].ID
		id, _, _ = approvals.SplitValue(payload.Actions[0].Value)
	}
	p, _ := x.Policy.Roster.BySlack(payload.User)
	return p.ID, verb, id, nil
}
