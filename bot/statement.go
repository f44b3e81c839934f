package bot

import (
	"context"
	"errors"
	"log/slog"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// HandleStatement takes what somebody signed at the command line, as it came over the queue cli. Who it
// was the executor asks.
func (b *Bot) HandleStatement(ctx context.Context, body []byte) error {
	s, _, err := approvals.ReadSigned(body)
	if err != nil {
		b.Log.WarnContext(ctx, "unreadable statement", slog.String("error", err.Error()))
		return nil
	}
	key, err := b.Requests.PutEvidence(ctx, s.Evidence(), b.Now())
	if err != nil {
		return err
	}
	return b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobAttest, ID: key}, 0)
}

// statement does what a statement says, once it is known who signed it.
func (b *Bot) statement(ctx context.Context, key string) error {
	a, err := b.Runs.Attestation(ctx, key)
	if err != nil {
		return err
	}
	e, err := b.Requests.Evidence(ctx, key)
	var st approvals.Statement
	if err == nil {
		_, st, err = e.Statement()
	}
	if no, ok := errors.AsType[*actions.Refusal](err); ok { // it was altered: that never gets better
		b.Log.WarnContext(ctx, "no statement under its key", slog.String("evidence", key), slog.String("error", no.Reason))
		return nil
	}
	if err != nil {
		return err
	}
	at, err := e.At()
	if err != nil {
		return err
	}
	c := &conversation{b: b, e: e, at: at, signed: true,
		payload: approvals.SlackPayload{Channel: b.IncidentChannel, CallText: st.Call, CallBlocks: 1}} // as a card
	p, known := b.Policy.Roster.ByID(a.Person)
	switch {
	case a.Refused != "":
		err = c.say(ctx, cards.Say(cards.NothingDone, a.Refused))
	case !known:
		err = c.answer(ctx, actions.Refuse(actions.Violation{Code: approvals.UnknownPerson}))
	default:
		err = c.signedBy(ctx, approvals.Actor{Person: p.ID, Slack: p.Slack}, approvals.Attested{Statement: st, Signer: a, At: at})
	}
	if err != nil {
		return err
	}
	id, counts, err := c.effect(ctx, st)
	if err != nil {
		return err
	}
	if err := b.Requests.PutAnswer(ctx, key, approvals.Answer{ID: id, Counts: counts, Text: c.told, At: b.Now()}); err != nil || !counts {
		return err
	}
	return b.draw(ctx, id)
}

// effect is the request that a statement makes, or is about, and whether it counts there.
func (c *conversation) effect(ctx context.Context, st approvals.Statement) (id string, counts bool, err error) {
	id = st.Request
	if st.Asks() {
		id = approvals.RequestID(c.e)
	}
	r, err := c.b.Requests.Get(ctx, id)
	if errors.Is(err, approvals.ErrNotFound) {
		return "", false, nil
	}
	key := c.e.Key()
	no, _ := r.No()
	return id, st.Asks() || approvedBefore(r, key) || no != nil && no.Evidence == key || r.BreakGlass != nil && r.BreakGlass.Evidence == key, err
}

// signedBy does what a person said.
func (c *conversation) signedBy(ctx context.Context, who approvals.Actor, a approvals.Attested) error {
	b, st := c.b, a.Statement
	if st.Verb == "request" {
		i, err := approvals.ParseIntent(st.Call, b.Org.Directory())
		if err != nil || i.Undo != "" || st.Why == "" {
			return c.say(ctx, cards.Say(cards.NothingDone, "the call does not parse: "+st.Call))
		}
		return c.request(ctx, who, approvals.Request{Intent: i, Reason: st.Why, Card: approvals.Card{Channel: b.IncidentChannel}})
	}
	r, err := b.Requests.Get(ctx, st.Request)
	if errors.Is(err, approvals.ErrNotFound) {
		return c.say(ctx, cards.Say(cards.NoRequestAnyMore, st.Request))
	}
	if err != nil {
		return err
	}
	switch st.Verb {
	case "approve":
		if st.Call != r.Intent.String() || st.Digest != r.Digest || st.Why != approvals.ReasonLine(r.Requester.Person, r.Reason) {
			return c.say(ctx, cards.Say(cards.NotAsShown, r.ID, r.ID))
		}
		return c.approve(ctx, who, r, st.Digest)
	case approvals.BreakGlassVerb:
		return c.breakGlass(ctx, who, r, a)
	case "deny":
		return c.deny(ctx, who, r.ID, st.Why)
	case "cancel":
		return c.cancel(ctx, who, r.ID)
	case "undo":
		i, err := approvals.ParseIntent(st.Call, b.Org.Directory())
		if err != nil || i.Undo != r.ID || st.Why == "" {
			return c.say(ctx, cards.Say(cards.NothingDone, "the call does not parse: "+st.Call))
		}
		return c.undo(ctx, who, r, i.ReactivateKeys, st.Why)
	}
	return c.say(ctx, cards.Say(cards.NothingDone, st.Verb+" is not a verb of this version"))
}

// breakGlass lets a request run by the word of who asked for it, alone.
func (c *conversation) breakGlass(ctx context.Context, who approvals.Actor, r approvals.Request, a approvals.Attested) error {
	b, key := c.b, c.e.Key()
	again := func(r approvals.Request) bool { return r.BreakGlass != nil && r.BreakGlass.Evidence == key } // delivered again
	if again(r) {
		return c.start(ctx, r)
	}
	p, err := b.Runs.Planned(ctx, r.ID)
	if errors.Is(err, approvals.ErrNotFound) {
		return c.say(ctx, cards.Say(cards.BeingPlanned, r.ID))
	}
	if d := b.Policy.Admit(r.Intent, r.Found, who.Person, r.Mode); err == nil && !d.Accept {
		return c.answer(ctx, d.Refusal)
	}
	if err == nil {
		_, err = b.Runs.MayBreakGlass(ctx, b.Policy, b.Org.Actions.Lookup, p, a, b.Now())
	}
	if err != nil {
		return c.answer(ctx, err)
	}
	v := approvals.Vote{Actor: who, Digest: a.Statement.Digest, Reason: a.Statement.Why, Signed: true}
	r, err = c.vote(ctx, approvals.Alone, r.ID, v, func(r *approvals.Request, _ approvals.Decision) error {
		v.Evidence, v.At = key, c.at
		r.BreakGlass = &v
		return r.To(approvals.Approved, b.Now())
	})
	if err != nil && !again(r) {
		return c.answer(ctx, err)
	}
	return c.start(ctx, r)
}
