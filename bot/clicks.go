package bot

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// click handles a button.
func (c *conversation) click(ctx context.Context) error {
	b := c.b
	if len(c.payload.Actions) != 1 {
		return c.say(ctx, cards.Say(cards.OneClickPlease))
	}
	action := c.payload.Actions[0]
	if inForm := c.payload.CallbackID == approvals.FormCallback; inForm || action.ID == approvals.FormButton {
		if _, no := c.person(ctx); no != nil { // it has the accounts in it
			return c.answer(ctx, no)
		}
		if inForm {
			return c.formChanged(ctx)
		}
		return c.formButton(ctx, action.Value)
	}
	if id, digest, ok := approvals.SplitAlertValue(action.Value); ok {
		return c.clickAlert(ctx, action.ID, id, digest)
	}
	if id, page, ok := strings.Cut(action.Value, "."); ok && alerts.IsDigestID(id) {
		return c.showDigest(ctx, id, page)
	}
	id, digest, ok := approvals.SplitValue(action.Value)
	if !ok {
		b.Log.WarnContext(ctx, "click on an unknown button", slog.String("action_id", action.ID))
		return nil
	}
	r, err := b.Requests.Get(ctx, id)
	if errors.Is(err, approvals.ErrNotFound) {
		return c.say(ctx, cards.Say(cards.NoRequestAnyMore, id))
	}
	if err != nil {
		return err
	}
	if action.ID == "deny" || action.ID == "cancel" {
		return c.sayNo(ctx, action.ID, id) // a no counts at once, whatever Slack can tell of the person
	}
	who, no := c.person(ctx)
	if no != nil {
		return c.answer(ctx, no)
	}
	switch action.ID {
	case "approve":
		return c.approve(ctx, who, r, digest)
	case "retry":
		return c.retry(ctx, who, r, digest)
	case "watch":
		return c.watch(ctx, who, r, digest)
	case approvals.ReviewedButton:
		return c.reviewed(ctx, who, r, digest)
	case "undo":
		return c.undo(ctx, who, r, false, approvals.UndoReason(r.ID))
	case "details":
		return c.details(ctx, r)
	case approvals.AgainButton:
		return c.again(ctx, who, r)
	case "trace":
		return c.trace(ctx, who, r.ID)
	}
	if strings.HasPrefix(action.ID, approvals.Propose("")) && c.payload.CallBlocks == 0 {
		return c.containFound(ctx, who, r, digest)
	}
	if o, ok := approvals.RequestOffers(r.ID, r.Intent, b.Org).ByButton(action.ID); ok {
		return c.request(ctx, who, following(r, approvals.Request{Intent: o.Intent, Reason: o.Why}))
	}
	b.Log.WarnContext(ctx, "click on an unknown button", slog.String("action_id", action.ID))
	return nil
}

func (c *conversation) sayNo(ctx context.Context, action, id string) error {
	who, no := c.rosterPerson()
	if no != nil {
		return c.answer(ctx, no)
	}
	if action == "cancel" {
		return c.cancel(ctx, who, id)
	}
	return c.deny(ctx, who, id, "")
}

// vote records a word on a request, on the condition that the policy takes it.
func (c *conversation) vote(ctx context.Context, kind approvals.Kind, id string, v approvals.Vote, then func(*approvals.Request, approvals.Decision) error) (approvals.Request, error) {
	key, err := c.b.Requests.PutEvidence(ctx, c.e, c.b.Now())
	if err != nil {
		return approvals.Request{}, err
	}
	v.Evidence, v.At = key, c.at
	return c.b.Requests.Change(ctx, id, func(r *approvals.Request) error {
		d := c.b.Policy.Decide(*r, kind, v, c.b.Now())
		if !d.Accept {
			return d.Refusal
		}
		return then(r, d)
	})
}

// answer shows a refusal to the person, and returns other errors.
func (c *conversation) answer(ctx context.Context, err error) error {
	if no, ok := errors.AsType[*actions.Refusal](err); ok {
		return c.say(ctx, cards.Say("%s", cards.WhyNot(no)))
	}
	return err
}

func (c *conversation) approve(ctx context.Context, who approvals.Actor, r approvals.Request, digest string) error {
	b := c.b
	if no := c.narrowed(ctx, b.Policy.For(r.Intent).Approvers); no != nil {
		return c.answer(ctx, no)
	}
	if c.payload.CallBlocks != 1 || c.payload.CallText != r.Intent.String() {
		return c.say(ctx, cards.Say(cards.NotOnCard, r.ID))
	}
	v := approvals.Vote{Actor: who, Digest: digest, Signed: c.signed}
	r, err := c.vote(ctx, approvals.Approve, r.ID, v, func(r *approvals.Request, d approvals.Decision) error {
		v.Evidence, v.At = c.e.Key(), c.at
		r.Votes = approvals.Counted(r.Votes, v)
		if d.Quorum {
			return r.To(approvals.Approved, b.Now())
		}
		r.Revise()
		return nil
	})
	if err != nil {
		if approvedBefore(r, c.e.Key()) { // this very click, delivered again
			return c.start(ctx, r)
		}
		return c.answer(ctx, err)
	}
	return c.start(ctx, r)
}

func approvedBefore(r approvals.Request, evidence string) bool {
	for _, v := range r.Votes {
		if v.Evidence == evidence {
			return true
		}
	}
	return false
}

// start lets an approved request run, and then tells Slack.
func (c *conversation) start(ctx context.Context, r approvals.Request) error {
	if r.State == approvals.Approved {
		if err := c.b.Jobs.Send(ctx, approvals.RunJob(r.ID, r.Intent), 0); err != nil {
			return err
		}
	}
	return c.draw(ctx, r.ID)
}

// draw brings the card up to date. Whoever signed at the command line does not wait for Slack.
func (c *conversation) draw(ctx context.Context, id string) error {
	if c.signed {
		return nil
	}
	return c.b.draw(ctx, id)
}

func (c *conversation) deny(ctx context.Context, who approvals.Actor, id, reason string) error {
	b := c.b
	v := approvals.Vote{Actor: who, Reason: reason}
	r, err := c.vote(ctx, approvals.Deny, id, v, func(r *approvals.Request, _ approvals.Decision) error {
		v.Evidence, v.At = c.e.Key(), c.at
		return r.SayNo(approvals.Denied, v, b.Now())
	})
	again := r.Denial != nil && r.Denial.Evidence == c.e.Key()
	if err != nil && !again {
		return c.answer(ctx, err)
	}
	if err := b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobClose, ID: id}, 0); err != nil {
		return err
	}
	if reason == "" && c.payload.TriggerID != "" {
		if err := b.Slack.openView(ctx, c.payload.TriggerID, cards.DenialForm(id)); err != nil {
			b.Log.InfoContext(ctx, "no form for the reason", slog.String("request_id", id), slog.String("error", err.Error()))
		}
	}
	return c.draw(ctx, id)
}

func (c *conversation) cancel(ctx context.Context, who approvals.Actor, id string) error {
	b := c.b
	v := approvals.Vote{Actor: who}
	r, err := c.vote(ctx, approvals.Cancel, id, v, func(r *approvals.Request, _ approvals.Decision) error {
		v.Evidence, v.At = c.e.Key(), c.at
		return r.SayNo(approvals.Cancelled, v, b.Now())
	})
	if again := r.Cancelled != nil && r.Cancelled.Evidence == c.e.Key(); err != nil && !again {
		return c.answer(ctx, err)
	}
	if err := b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobClose, ID: id}, 0); err != nil {
		return err
	}
	return c.draw(ctx, id)
}

// retry stores the wish that a run is tried again; the executor decides whether it may.
func (c *conversation) retry(ctx context.Context, who approvals.Actor, r approvals.Request, digest string) error {
	return c.wish(ctx, approvals.Retry, who, r, digest, func(r *approvals.Request, v approvals.Vote) {
		if !slices.ContainsFunc(r.Retries, func(old approvals.Vote) bool { return old.Evidence == v.Evidence }) {
			r.Retries = append(r.Retries, v)
		}
	}, approvals.RunJob(r.ID, r.Intent), cards.TryingAgain)
}

// watch stores the wish that a containment is watched longer; the executor proves it.
func (c *conversation) watch(ctx context.Context, who approvals.Actor, r approvals.Request, digest string) error {
	return c.wish(ctx, approvals.Watch, who, r, digest, func(r *approvals.Request, v approvals.Vote) { r.Watch = &v },
		approvals.Job{Verb: approvals.JobLook, ID: r.ID}, cards.WatchingOn)
}

// reviewed stores that another responder has looked at what one did alone; the executor proves it.
func (c *conversation) reviewed(ctx context.Context, who approvals.Actor, r approvals.Request, digest string) error {
	return c.wish(ctx, approvals.Review, who, r, digest, func(r *approvals.Request, v approvals.Vote) { r.Review = &v },
		approvals.Job{Verb: approvals.JobClose, ID: r.ID}, cards.ReviewKept)
}

// wish stores a responder's wish about what has run, sends the job that may fulfil it, and
// answers.
func (c *conversation) wish(ctx context.Context, kind approvals.Kind, who approvals.Actor, r approvals.Request, digest string,
	store func(*approvals.Request, approvals.Vote), job approvals.Job, answer string) error {
	b := c.b
	if no := c.narrowed(ctx, b.Policy.For(r.Intent).Requesters); no != nil {
		return c.answer(ctx, no)
	}
	v := approvals.Vote{Actor: who, Digest: digest}
	_, err := c.vote(ctx, kind, r.ID, v, func(r *approvals.Request, _ approvals.Decision) error {
		v.Evidence, v.At = c.e.Key(), c.at
		store(r, v)
		return nil
	})
	if err != nil {
		return c.answer(ctx, err)
	}
	if err := b.Jobs.Send(ctx, job, 0); err != nil {
		return err
	}
	return c.say(ctx, cards.Say(answer, r.ID))
}

// undo asks to take a containment back: a request of its own.
func (c *conversation) undo(ctx context.Context, who approvals.Actor, r approvals.Request, keys bool, reason string) error {
	inForce := r.State.InForce()
	if !inForce && r.State.May(approvals.Undoing) { // denied or cancelled, perhaps after it ran
		run, err := c.b.Runs.Run(ctx, r.ID)
		if err != nil && !errors.Is(err, approvals.ErrNotFound) {
			return err
		}
		inForce = run.Started
	}
	switch {
	case r.Intent.Undo != "":
		return c.say(ctx, cards.Say(cards.UndoOfUndo, r.ID))
	case !inForce:
		return c.say(ctx, cards.Say(cards.NothingToUndo, r.ID, r.State))
	}
	i := approvals.Intent{Call: r.Intent.Call, Undo: r.ID, ReactivateKeys: keys}
	return c.request(ctx, who, following(r, approvals.Request{Intent: i, Reason: reason}))
}

// again asks for the call of a request that ended: a request of its own, by whoever clicks.
func (c *conversation) again(ctx context.Context, who approvals.Actor, r approvals.Request) error {
	if approvals.ToType(r.Intent, c.b.Org.Actions.Lookup) && r.Intent.Undo == "" {
		return c.formAgain(ctx, r)
	}
	if c.payload.CallBlocks != 1 || c.payload.CallText != r.Intent.String() {
		return c.say(ctx, cards.Say(cards.NotOnCard, r.ID))
	}
	p, why, err := c.b.Runs.Again(ctx, r.ID, who.Person, c.b.Policy.Roster, c.b.Org.Actions.Lookup)
	if r.State == approvals.Denied && r.Requester.Person == who.Person { // perhaps not recorded yet
		err = approvals.DeniedBefore(r.ID)
	}
	if errors.Is(err, approvals.ErrNotFound) {
		return c.say(ctx, cards.Say(cards.EndNotRecorded, r.ID))
	}
	if no, ok := errors.AsType[*actions.Refusal](err); ok {
		return c.say(ctx, cards.Say(cards.CallRefused, no.Reason, no.Hint))
	}
	if err != nil {
		return err
	}
	return c.request(ctx, who, following(r, approvals.Request{Intent: p.Intent, Reason: why, Overrules: p.Overrules}))
}

// containFound asks for a containment of who removed what a request contains, or of what its trace has.
func (c *conversation) containFound(ctx context.Context, who approvals.Actor, r approvals.Request, digest string) error {
	offers, err := c.b.Runs.Found(ctx, r.ID)
	if err != nil {
		return err
	}
	o, ok := offers.ByDigest(digest)
	if !ok || !c.payload.Showed(o.Intent) {
		return c.say(ctx, cards.Say(cards.NotOnCard, r.ID))
	}
	return c.request(ctx, who, following(r, approvals.Request{Intent: o.Intent, Reason: o.Why}))
}

// trace has it looked up what the principal of a request made. The list comes in the thread.
func (c *conversation) trace(ctx context.Context, who approvals.Actor, id string) error {
	if no := c.responder(who); no != nil {
		return c.say(ctx, cards.Say(cards.NothingDone, cards.WhyNot(no)))
	}
	if err := c.b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobTrace, ID: id}, 0); err != nil {
		return err
	}
	return c.say(ctx, cards.Say(cards.Tracing, id))
}

// submitted deals with a form.
func (c *conversation) submitted(ctx context.Context) error {
	switch c.payload.CallbackID {
	case approvals.FormCallback:
		return c.formSubmitted(ctx)
	case cards.DenialCallback:
		return c.denialReason(ctx)
	}
	return nil
}

// denialReason adds the reason of a denial that counts already.
func (c *conversation) denialReason(ctx context.Context) error {
	b := c.b
	p, ok := b.Policy.Roster.BySlack(c.payload.User)
	reason := cards.Untrusted(c.payload.Input(approvals.ReasonField)).Plain(cards.MaxReason)
	if !ok || reason == "" || !approvals.IsRequestID(c.payload.Metadata) {
		return nil
	}
	errNotTheirs := errors.New("not their denial")
	_, err := b.Requests.Change(ctx, c.payload.Metadata, func(r *approvals.Request) error {
		if r.Denial == nil || r.Denial.Person != p.ID || r.Denial.Reason != "" {
			return errNotTheirs
		}
		r.Denial.Reason = reason
		r.Revise()
		return nil
	})
	if errors.Is(err, errNotTheirs) || errors.Is(err, approvals.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobClose, ID: c.payload.Metadata}, 0); err != nil {
		return err
	}
	return b.draw(ctx, c.payload.Metadata)
}

// details shows the whole plan and what happened, to one person.
func (c *conversation) details(ctx context.Context, r approvals.Request) error {
	v, err := c.b.view(ctx, r)
	if err != nil {
		return err
	}
	modal, m := cards.Details(v)
	if c.payload.TriggerID != "" {
		if err := c.b.Slack.openView(ctx, c.payload.TriggerID, modal); err == nil {
			return nil
		}
	}
	return c.say(ctx, m) // a trigger lives 3 s; this is as good
}
