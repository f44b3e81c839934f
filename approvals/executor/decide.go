package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// decide counts the approvals that can be proved. There are reasons against, or
// a text, unless they are enough. What a click or a rule released needs none.
func (x *Executor) decide(ctx context.Context, r approvals.Request, p approvals.Planned) (proved []approvals.Vote, why []approvals.Why, text string, err error) {
	expires := p.Asked.Add(p.Entry.ApproveWithin)
	if !r.Expires.Equal(expires) || r.Digest != p.Digest || p.Alert != "" && (r.Alert != p.Alert || r.Event != p.Event) || r.Denial != nil || r.Cancelled != nil {
		return nil, nil, "the stored request was altered", nil
	}
	t := approvals.Request{ID: r.ID, State: approvals.Pending, Intent: p.Intent, Requester: approvals.Party{Person: p.Person}, Asked: p.Asked, Expires: expires, Need: p.Entry.Approvals, Eligible: p.Eligible, Digest: p.Digest}
	d := x.Policy.AdmitReleased(p.Intent, p.Person, p.Release)
	if !d.Accept {
		return nil, d.Why, "", nil
	}
	if no := x.Org.RefuseCall(p.Call()); no != nil {
		return nil, nil, no.Reason, nil //nolint:nilerr // it is the answer
	}
	if p.Release != approvals.ByPeople {
		return nil, nil, "", nil
	}
	need := max(d.Need, p.Entry.Approvals)
	for _, stored := range r.Votes {
		v, err := x.proveClick(ctx, stored.Evidence, "approve", p)
		if errors.Is(err, approvals.ErrEvidence) {
			x.Log.WarnContext(ctx, "approval not proved", slog.String("request_id", r.ID), slog.String("error", err.Error()))
			text = "an approval could not be proved: " + err.Error()
			continue
		}
		if err != nil {
			return nil, nil, "", err
		}
		d := x.Policy.Decide(t, approvals.Approve, v, v.At)
		if !d.Accept || !slices.Contains(p.Eligible, v.Person) {
			why = append(why, d.Why...)
			continue
		}
		t.Votes = append(t.Votes, v)
	}
	if len(t.Votes) < need {
		if text == "" && len(why) == 0 {
			text = fmt.Sprintf("there are %d proved approvals of the %d needed", len(t.Votes), need)
		}
		return nil, why, text, nil
	}
	return t.Votes, nil, "", nil
}

// late reports whether too much time has passed since the last approval, or since
// the plan of what needs none.
func (x *Executor) late(votes []approvals.Vote, p approvals.Planned) bool {
	last := p.At
	for _, v := range votes {
		if v.At.After(last) {
			last = v.At
		}
	}
	return x.Now().After(last.Add(min(p.Entry.RunWithin, x.Policy.Entry(p.Intent).RunWithin)))
}

func people(votes []approvals.Vote) []string {
	var ids []string
	for _, v := range votes {
		ids = append(ids, v.Person)
	}
	return ids
}
