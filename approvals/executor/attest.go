package executor

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
	"github.com/killswitch-chatops/killswitch/approvals/sts"
)

// Signers finds out who signed a statement. Identify returns an *[actions.Refusal] if nobody did who
// counts.
type Signers interface {
	Identify(ctx context.Context, s approvals.SignedStatement, st approvals.Statement) (sts.Identity, error)
}

// attest asks AWS who signed a statement, once, and tells the bot that the answer is stored.
func (x *Executor) attest(ctx context.Context, key string) error {
	_, err := x.runs().Attestation(ctx, key)
	if errors.Is(err, approvals.ErrNotFound) {
		err = x.storeAttestation(ctx, key)
	}
	if no, ok := errors.AsType[*actions.Refusal](err); ok {
		x.Log.WarnContext(ctx, "no statement to attest", slog.String("evidence", actions.Clip(key)), slog.String("error", no.Reason))
		return nil
	}
	if err != nil {
		return err
	}
	return x.Changes.Send(ctx, approvals.Change{ID: key}, 0)
}

// storeAttestation asks who signed a statement and stores the answer with a chain of its own: what is
// refused is on record, too. It returns an *[actions.Refusal] for what is no statement, of which there
// is no record.
func (x *Executor) storeAttestation(ctx context.Context, key string) error {
	e, err := x.loadEvidence(ctx, key)
	if err != nil {
		return err
	}
	s, st, err := e.Statement()
	if err != nil {
		return err
	}
	a, err := x.signer(ctx, s, st)
	if err != nil {
		return err
	}
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	said := "attested"
	if a.Refused != "" {
		said = "refused"
		x.Log.WarnContext(ctx, "statement refused", slog.String("evidence", key), slog.String("principal", a.Principal), slog.String("error", a.Refused))
	}
	row := approvals.AttestationKey(key)
	err = x.record(ctx, row.Part, []approvals.Put{{Row: approvals.Row{Key: row, Body: body}}},
		audit.New(said, a.Person, "principal", a.Principal, "why", a.Refused, "evidence", key, "verb", st.Verb, "request", st.Request, "call", st.Call))
	if err := ignore(err, approvals.ErrConflict); err != nil {
		return err
	}
	return x.expireRows(ctx, row.Part, a.Received)
}

// signer returns who signed a statement.
func (x *Executor) signer(ctx context.Context, s approvals.SignedStatement, st approvals.Statement) (a approvals.Attestation, err error) {
	a.Received = x.Now().UTC()
	var id sts.Identity
	if err = approvals.Unproven("nothing is taken from the command line here"); x.Signers != nil {
		id, err = x.Signers.Identify(ctx, s, st)
	}
	a.Principal, a.UserID = id.ARN, id.UserID
	if err == nil {
		p, known := x.Policy.Roster.ByPrincipal(id.ARN)
		if a.Person = p.ID; !known {
			err = approvals.Unproven("%s is nobody of people[].iam", actions.Clip(id.ARN))
		}
	}
	if no, ok := errors.AsType[*actions.Refusal](err); ok {
		a.Refused, err = no.Reason, nil
	}
	return a, err
}

// attested reads a statement and who signed it, which must be known. The principal must be the same person's
// still: two votes by it are never two people's.
func (x *Executor) attested(ctx context.Context, e approvals.Evidence) (a approvals.Attested, err error) {
	if _, a.Statement, err = e.Statement(); err != nil {
		return a, err
	}
	if a.At, err = e.At(); err != nil {
		return a, err
	}
	a.Signer, err = x.runs().Attestation(ctx, e.Key())
	switch {
	case errors.Is(err, approvals.ErrNotFound):
		return a, approvals.Unproven("nobody has asked who signed it")
	case err != nil:
		return a, err
	case a.Signer.Refused != "" || a.Signer.Person == "":
		return a, approvals.Unproven("%s", a.Signer.Refused)
	}
	if p, _ := x.Policy.Roster.ByPrincipal(a.Signer.Principal); p.ID != a.Signer.Person {
		return a, approvals.Unproven("%s is %s no more", actions.Clip(a.Signer.Principal), a.Signer.Person)
	}
	return a, nil
}

// proveStatement reads a request that somebody signed at the command line.
func (x *Executor) proveStatement(ctx context.Context, e approvals.Evidence) (proven provenRequest, err error) {
	a, err := x.attested(ctx, e)
	if err != nil {
		return proven, err
	}
	st := a.Statement
	proven.person, proven.at = a.Signer.Person, a.At
	switch st.Verb {
	case "request":
		proven.intent, err = approvals.ParseIntent(st.Call, x.Org.Directory())
		if err != nil || proven.intent.Undo != "" {
			return proven, approvals.Unproven("the call does not parse")
		}
		proven.reason = st.Why
	case "undo":
		i, err := approvals.ParseIntent(st.Call, x.Org.Directory())
		if err != nil || i.Undo != st.Request {
			return proven, approvals.Unproven("the call does not parse")
		}
		if err := x.proveUndo(ctx, st.Request, i.ReactivateKeys, st.Why, &proven); err != nil {
			return proven, err
		}
	default:
		return proven, approvals.Unproven("%s asks for nothing", st.Verb)
	}
	if proven.intent.String() != st.Call {
		return proven, approvals.Unproven("another call was shown to who signed it")
	}
	return proven, nil
}

// proveStatementVote returns a vote that somebody signed at the command line. What was signed has the
// call and why, in clear, as [checkCard] wants it of a card.
func (x *Executor) proveStatementVote(ctx context.Context, e approvals.Evidence, verb string, p approvals.Planned) (approvals.Vote, error) {
	a, err := x.attested(ctx, e)
	st := a.Statement
	switch {
	case err != nil:
		return approvals.Vote{}, err
	case st.Verb != verb || st.Request != p.ID:
		return approvals.Vote{}, approvals.Unproven("it is another request's")
	case st.Digest != p.Digest || st.Call != p.Intent.String():
		return approvals.Vote{}, approvals.Unproven("it is another call's")
	case st.Why != approvals.ReasonLine(p.Person, p.Reason):
		return approvals.Vote{}, approvals.Unproven("it does not say who asked and why")
	}
	who, _ := x.Policy.Roster.ByID(a.Signer.Person)
	return approvals.Vote{Actor: approvals.Actor{Person: who.ID, Slack: who.Slack}, Evidence: e.Key(), At: a.At, Digest: st.Digest, Signed: true}, nil
}
