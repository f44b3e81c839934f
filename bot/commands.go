package bot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// command deals with a typed line.
func (c *conversation) command(ctx context.Context) error {
	b := c.b
	who, no := c.person(ctx)
	if no != nil {
		return c.answer(ctx, no)
	}
	if no := c.closedHere(ctx); no != nil {
		return c.say(ctx, cards.Say(cards.ChannelClosed, no.Reason, b.IncidentChannel))
	}
	cmd, err := approvals.ParseCommand(c.payload.Text, b.Org.Directory())
	if wrong, ok := errors.AsType[*actions.ParseErrors](err); ok {
		return c.say(ctx, cards.Mistakes(c.payload.Command, c.payload.Text, wrong))
	}
	if err != nil {
		return err
	}
	switch cmd.Verb {
	case "act":
		return c.typed(ctx, who, cmd.Call, cmd.Reason)
	case "form":
		return c.openForm(ctx, actions.Draft{}, "")
	case "help":
		return c.say(ctx, cards.Help(c.b.Org.Actions, c.payload.Command, cmd.Topic))
	case "list":
		return c.list(ctx)
	}
	r, err := b.Requests.Get(ctx, cmd.ID)
	if errors.Is(err, approvals.ErrNotFound) {
		return c.say(ctx, cards.Say(cards.NoRequest, cmd.ID, c.payload.Command))
	}
	if err != nil {
		return err
	}
	switch cmd.Verb {
	case "show":
		v, err := b.view(ctx, r)
		if err != nil {
			return err
		}
		return c.say(ctx, cards.CardToRead(v))
	case "approve":
		return c.repostCard(ctx, who, r)
	case "deny":
		return c.deny(ctx, who, r.ID, cmd.Reason)
	case "cancel":
		return c.cancel(ctx, who, r.ID)
	case "undo":
		reason := cmd.Reason
		if reason == "" {
			reason = approvals.UndoReason(r.ID)
		}
		return c.undo(ctx, who, r, cmd.ReactivateKeys, reason)
	case "audit":
		return c.audit(ctx, r)
	}
	return fmt.Errorf("verb %q", cmd.Verb)
}

// request creates a request, if this person may ask for it, and answers them. r has the
// intent, the reason, the places of its cards and the alert that led to it.
func (c *conversation) request(ctx context.Context, who approvals.Actor, r approvals.Request) error {
	b := c.b
	entry := b.Policy.For(r.Intent)
	d := b.Policy.Admit(r.Intent, actions.Identity{}, who.Person, r.Mode)
	if !d.Accept {
		return c.say(ctx, cards.Say(cards.NothingDone, cards.WhyNot(d.Refusal)))
	}
	if no := c.narrowed(ctx, entry.Requesters); no != nil {
		return c.say(ctx, cards.Say(cards.NothingDone, cards.WhyNot(no)))
	}
	if no := b.Org.RefuseCall(r.Intent.Call); no != nil {
		return c.say(ctx, cards.Say(cards.CallRefused, no.Reason, no.Hint))
	}
	same, waiting, err := c.underWay(ctx, who, r)
	switch {
	case err != nil:
		return err
	case same.ID != "":
		return c.sayAsked(ctx, same)
	case waiting >= maxWaiting && c.webhook != "":
		return b.tellOnce(ctx, "too many of webhook "+c.webhook, cards.Say(cards.TooManyOfWebhook, c.webhook, strconv.Itoa(waiting)))
	case waiting >= maxWaiting && r.Intent.Undo == "":
		return c.say(ctx, cards.Say(cards.TooManyWait, strconv.Itoa(waiting), cmp.Or(c.payload.Command, "/killswitch")))
	}
	key, err := b.Requests.PutEvidence(ctx, c.e, b.Now())
	if err != nil {
		return err
	}
	r.ID, r.State, r.Requester, r.Evidence = approvals.RequestID(c.e), approvals.Planning, who, key
	r.Asked, r.Expires, r.Need, r.Second = c.at, c.at.Add(entry.ApproveWithin), d.Need, c.second(r)
	if same, err := c.create(ctx, r); err != nil && !errors.Is(err, approvals.ErrConflict) {
		return err
	} else if same.ID != "" {
		return c.sayAsked(ctx, same)
	}
	// A second delivery of the same evidence comes here too: then the job may be missing.
	if now, err := b.Requests.Get(ctx, r.ID); err != nil {
		return err
	} else if now.Evidence != key && c.webhook != "" {
		return c.repeated(ctx, now, r)
	} else if now.Evidence != key {
		return c.say(ctx, cards.Say(cards.IDTaken, r.ID))
	} else if now.State == approvals.Planning {
		if err := b.noteUndo(ctx, r); err != nil {
			return err
		}
		if err := b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobPlan, ID: r.ID}, 0); err != nil {
			return err
		}
	}
	if err := c.draw(ctx, r.ID); err != nil || c.signed || c.webhook != "" {
		return err
	}
	return c.cardTrouble(ctx, r.ID)
}

// noteUndo notes on a request that its undo was asked for: the pager need not be called for it.
func (b *Bot) noteUndo(ctx context.Context, undo approvals.Request) error {
	if undo.Intent.Undo == "" {
		return nil
	}
	_, err := b.Requests.Change(ctx, undo.Intent.Undo, func(r *approvals.Request) error {
		r.UndoAsked = undo.Asked
		return nil
	})
	return err
}

// create stores a new request. If the alert has led to one for the same intent that
// still covers it, it returns that one.
func (c *conversation) create(ctx context.Context, r approvals.Request) (same approvals.Request, err error) {
	if r.Alert == "" {
		return same, c.b.Requests.Create(ctx, r)
	}
	old, err := c.b.createForAlert(ctx, r, func(old approvals.Request, a alerts.Alert) bool {
		return c.b.stillCovers(old, a.Shown().Last)
	})
	if err != nil || old.ID == r.ID {
		return same, err
	}
	return old, nil
}

// cardTrouble answers if the request's card is not posted, or in another channel.
func (c *conversation) cardTrouble(ctx context.Context, id string) error {
	r, err := c.b.Requests.Get(ctx, id)
	switch {
	case err != nil:
		return err
	case r.Card.TS == "" && r.State == approvals.Planning:
		return c.say(ctx, cards.Say(cards.BeingPlanned, id))
	case r.Card.TS == "":
		return c.say(ctx, cards.Say(cards.CardMissing, id, r.Card.Channel))
	case r.CardIn(c.payload.Channel).Channel != c.payload.Channel:
		return c.say(ctx, cards.Say(cards.CardElsewhere, id, r.Card.Channel))
	}
	return nil
}

// repostCard posts the card again at the end of the channel where it is asked for, or else of its
// own: a vote needs the digest that only the card carries.
func (c *conversation) repostCard(ctx context.Context, who approvals.Actor, r approvals.Request) error {
	e := c.b.Policy.For(r.Intent)
	if !c.b.Policy.Roster.In(who.Person, e.Approvers) && !c.b.Policy.Roster.In(who.Person, e.Requesters) {
		return c.answer(ctx, actions.Refuse(actions.Violation{Code: approvals.NotApprover, Group: e.Approvers}))
	}
	var old approvals.Card
	second := c.second(r).Channel == c.payload.Channel
	_, err := c.b.Requests.Change(ctx, r.ID, func(r *approvals.Request) error {
		if r.State != approvals.Pending {
			return actions.Refuse(actions.Violation{Code: approvals.NotOpen, State: string(r.State)})
		}
		if second {
			old, r.Second = r.Second, approvals.Card{Channel: c.payload.Channel}
			r.Card.Lease = approvals.Lease{} // whoever draws now would put the old one back
		} else {
			old, r.Card = r.Card, approvals.Card{Channel: r.Card.Channel, Thread: r.Card.Thread}
		}
		r.Revise()
		return nil
	})
	if err != nil {
		return c.answer(ctx, err)
	}
	if old.TS != "" {
		if err := c.b.Slack.update(ctx, old.Channel, old.TS, cards.Say(cards.CardMoved, r.ID)); err != nil {
			c.b.Log.InfoContext(ctx, "old card not marked", slog.String("request_id", r.ID), slog.String("error", err.Error()))
		}
	}
	if err := c.b.draw(ctx, r.ID); err != nil {
		return err
	}
	if r, err = c.b.Requests.Get(ctx, r.ID); err != nil {
		return err
	}
	card := r.Card
	if second {
		card = r.CardIn(c.payload.Channel)
	}
	if card.TS == "" {
		return c.say(ctx, cards.Say(cards.CardMissing, r.ID, card.Channel))
	}
	return c.say(ctx, cards.Say(cards.VoteByClick, r.ID, card.Channel))
}

// listLimit bounds what list reads.
const listLimit = 500

func (c *conversation) list(ctx context.Context) error {
	b := c.b
	open, err := b.Requests.Marked(ctx, approvals.MarkOpen, "", listLimit)
	if err != nil {
		return err
	}
	held, err := b.Requests.Marked(ctx, approvals.MarkInForce, "", listLimit)
	if err != nil {
		return err
	}
	open = slices.DeleteFunc(open, func(r approvals.Request) bool { return !r.State.Open() })
	return c.say(ctx, cards.List(c.listed(ctx, open), c.listed(ctx, held)))
}

// listed are the newest of some requests for a list; their accounts are named.
func (c *conversation) listed(ctx context.Context, rs []approvals.Request) cards.Listing {
	slices.SortStableFunc(rs, func(a, b approvals.Request) int { return b.Asked.Compare(a.Asked) })
	const most = 15
	shown := rs[:min(len(rs), most)]
	var vs []cards.View
	for _, r := range shown {
		v := cards.View{Request: r, Now: c.b.Now()}
		if p, err := c.b.Runs.Planned(ctx, r.ID); err == nil { // for the account, where the call does not say it
			v.Planned = &p
		}
		if run, err := c.b.Runs.Run(ctx, r.ID); err == nil && r.State.InForce() {
			v.Run = &run
		}
		v.Alias = c.b.Org.Alias(v.AccountID())
		vs = append(vs, v)
	}
	return cards.Listing{Views: vs, More: len(rs) - len(shown)}
}

func (c *conversation) audit(ctx context.Context, r approvals.Request) error {
	events, err := c.b.Runs.Audit(ctx, r.ID)
	if err != nil && !errors.Is(err, audit.ErrBroken) {
		return err
	}
	return c.say(ctx, cards.Audit(r, events, err))
}
