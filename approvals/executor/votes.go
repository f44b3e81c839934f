package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// maxVoteEvents bounds how many of a row's votes are looked at for the record: who can write the table
// requests can put any number of them there.
const maxVoteEvents = 20

// votes are the audit events of the approvals of a request that does not run: whoever is proved to have
// approved it, although it was not enough, and what is not proved or does not count, with why.
func (x *Executor) votes(ctx context.Context, r approvals.Request) ([]audit.Event, error) {
	if len(r.Votes) == 0 {
		return nil, nil
	}
	p, err := x.runs().Planned(ctx, r.ID)
	if err := ignore(err, approvals.ErrNotFound); err != nil {
		return nil, err
	}
	p.ID = r.ID // without a plan there is no digest that a vote could be for
	return x.voteEvents(ctx, r, p, nil)
}

// voteEvents are the audit events of approvals: of those that were counted, and of the others in the row.
func (x *Executor) voteEvents(ctx context.Context, r approvals.Request, p approvals.Planned, counted []approvals.Vote) (events []audit.Event, err error) {
	t := x.provedRequest(p)
	seen := map[string]bool{}
	for _, v := range counted {
		seen[v.Evidence] = true
		t.Votes = append(t.Votes, v)
		events = append(events, approvedEvent(v))
	}
	for _, stored := range r.Votes {
		switch {
		case seen[stored.Evidence]:
			continue
		case len(events) >= maxVoteEvents:
			return append(events, audit.New("vote_rejected", "", "why", fmt.Sprintf("there are %d votes in the row: the rest was not looked at", len(r.Votes)))), nil
		}
		seen[stored.Evidence] = true
		v, err := x.proveVote(ctx, stored.Evidence, "approve", p)
		if no, ok := errors.AsType[*actions.Refusal](err); ok {
			events = append(events, audit.New("vote_rejected", "", "why", no.Cause(), "unproved", "the row names "+actions.Clip(stored.Person), "evidence", actions.Clip(stored.Evidence)))
			continue
		}
		if err != nil {
			return nil, err
		}
		why := ""
		if d := x.Policy.Decide(t, approvals.Approve, v, v.At); !d.Accept {
			why = d.Refusal.Cause()
		} else if !slices.Contains(p.Eligible, v.Person) {
			why = "they were not among those who could approve it"
		}
		if why != "" {
			events = append(events, audit.New("vote_rejected", v.Person, "why", why, "evidence", v.Evidence, "digest", v.Digest, "at", v.At.Format(time.RFC3339)))
			continue
		}
		t.Votes = approvals.Counted(t.Votes, v)
		events = append(events, approvedEvent(v))
	}
	return events, nil
}

func approvedEvent(v approvals.Vote) audit.Event {
	signed := ""
	if v.Signed {
		signed = "at the command line"
	}
	return audit.New("approved", v.Person, "evidence", v.Evidence, "digest", v.Digest, "at", v.At.Format(time.RFC3339), "signed", signed)
}
