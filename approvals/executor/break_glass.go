package executor

import (
	"context"
	"errors"
	"log/slog"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// breakGlass proves that who asked may act alone. It returns the write that counts it, to be made with
// the claim, or an *actions.Refusal.
func (x *Executor) breakGlass(ctx context.Context, r approvals.Request, p approvals.Planned) (*approvals.BreakGlass, approvals.Put, error) {
	var none approvals.Put
	if err := x.admits(r, p); err != nil {
		return nil, none, err
	}
	e, err := x.loadEvidence(ctx, r.BreakGlass.Evidence)
	if err != nil {
		return nil, none, err
	}
	a, err := x.attested(ctx, e)
	if err != nil {
		return nil, none, err
	}
	v := approvals.Vote{Actor: approvals.Actor{Person: a.Signer.Person}, At: a.At, Digest: a.Statement.Digest}
	if d := x.Policy.Decide(x.provedRequest(p), approvals.Alone, v, v.At); !d.Accept {
		return nil, none, &actions.Refusal{Codes: d.Refusal.Codes, Hint: askAgain}
	}
	now := x.Now().UTC()
	h, err := x.runs().MayBreakGlass(ctx, x.Policy, x.Actions, p, a, now)
	if err != nil {
		return nil, none, err
	}
	who, _ := x.Policy.Roster.ByID(a.Signer.Person)
	return &approvals.BreakGlass{Person: who.ID, Name: who.Name, Reason: a.Statement.Why, Evidence: e.Key(), At: a.At},
		h.With(approvals.Began{ID: p.ID, Account: p.Account, Person: who.ID, At: now}), nil
}

// noteDenial keeps that a call was denied, so that nobody acts alone on it for a day. A denial counts
// without proof; one that is proved is kept as that person's, who may turn out to have no vote on it.
func (x *Executor) noteDenial(ctx context.Context, r approvals.Request, person string) error {
	if r.Denial == nil || r.Intent.Undo != "" {
		return nil
	}
	call := r.Intent.Call
	p, err := x.runs().Planned(ctx, r.ID)
	switch {
	case err == nil && p.Intent.Undo != "":
		return nil
	case err == nil:
		call = p.Call()
	case !errors.Is(err, approvals.ErrNotFound):
		return err
	}
	read := func() (approvals.DeniedCall, error) { return x.runs().DeniedCall(ctx, call, person) }
	_, err = approvals.Update(ctx, x.Store, "denial of "+r.ID, read, func(d *approvals.DeniedCall) ([]approvals.Put, error) {
		d.Request, d.At = r.ID, x.Now().UTC()
		return []approvals.Put{d.Put()}, nil
	})
	return err
}

// recordReview records who has looked at what one person did alone, if that is proved: another responder.
func (x *Executor) recordReview(ctx context.Context, r approvals.Request, run *approvals.Run) error {
	if r.Review == nil || run.BreakGlass == nil || run.BreakGlass.Reviewed != nil || run.Outcome == "" {
		return nil
	}
	p, err := x.runs().Planned(ctx, r.ID)
	if err != nil {
		return err
	}
	v, err := x.proveVote(ctx, r.Review.Evidence, approvals.ReviewedButton, p)
	if no, ok := errors.AsType[*actions.Refusal](err); ok {
		x.Log.WarnContext(ctx, "review not proved", slog.String("request_id", r.ID), slog.String("error", no.Reason))
		return nil
	}
	if err != nil {
		return err
	}
	t := x.provedRequest(p)
	t.State, t.BreakGlass = run.Outcome, &approvals.Vote{}
	if !x.Policy.Decide(t, approvals.Review, v, x.Now()).Accept {
		return nil
	}
	glass := *run.BreakGlass
	glass.Reviewed = &v
	run.BreakGlass, run.Revision = &glass, run.Revision+1
	err = x.record(ctx, run.ID, []approvals.Put{putRun(*run)}, audit.New("reviewed", v.Person, "evidence", v.Evidence))
	if err == nil {
		run.Version++
	}
	return err
}
