package bot

import (
	"context"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// maxWaiting is how many requests of one person may wait at a time: more than anybody needs in
// an incident, and few enough that others are not kept waiting.
const maxWaiting = 30

// typed asks for a call that a person typed, in a command or in a form, and answers them.
// c.payload.Channel is where they did so: the command's channel, or that in which the form was
// opened; empty is the incident channel. It must be open. The card goes to the incident
// channel, a second one to where it was typed. An error means: deliver it again.
func (c *conversation) typed(ctx context.Context, who approvals.Actor, call actions.Call, reason string) error {
	if no := c.closedHere(ctx); no != nil {
		return c.say(ctx, cards.Say(cards.ChannelClosed, no.Reason, c.b.IncidentChannel))
	}
	r := approvals.Request{Intent: approvals.Intent{Call: call}, Reason: reason, Card: approvals.Card{Channel: c.b.IncidentChannel}}
	return c.request(ctx, who, r)
}

// following puts the cards of a request that follows from another beside those of that one.
func following(r, next approvals.Request) approvals.Request {
	next.Card = approvals.Card{Channel: r.Card.Channel, Thread: r.Card.Thread}
	next.Second = approvals.Card{Channel: r.Second.Channel}
	return next
}

// second is where the second card of a new request goes: where it was asked for, or where the
// request that it follows from has one. It has none in the channel of the first.
func (c *conversation) second(r approvals.Request) approvals.Card {
	at := c.payload.Channel
	if at == "" || at == r.Card.Channel || at == c.b.IncidentChannel {
		at = r.Second.Channel
	}
	if at == r.Card.Channel {
		at = ""
	}
	return approvals.Card{Channel: at}
}

// underWay returns an earlier request for the same intent that waits or runs, if there is one,
// and how many requests of the person wait. For the same of alerts [Bot.createForAlert] looks.
func (c *conversation) underWay(ctx context.Context, who approvals.Actor, r approvals.Request) (same approvals.Request, waiting int, err error) {
	const page = 100
	id, intent, now := approvals.RequestID(c.e), approvals.IntentDigest(r.Intent), c.b.Now()
	for after := ""; ; {
		open, err := c.b.Requests.Marked(ctx, approvals.MarkOpen, after, page)
		if err != nil {
			return same, 0, err
		}
		for _, o := range open {
			after = o.ID
			waits := o.State.May(approvals.Approved) && !now.After(o.Expires)
			if o.ID == id || !waits && o.State != approvals.Approved && o.State != approvals.Running {
				continue
			}
			if r.Alert == "" && approvals.IntentDigest(o.Intent) == intent {
				return o, 0, nil
			}
			if waits && o.Requester.Person == who.Person && o.Intent.Undo == "" {
				waiting++
			}
		}
		if len(open) < page {
			return same, waiting, nil
		}
	}
}

// sayAsked tells of an earlier request for the same.
func (c *conversation) sayAsked(ctx context.Context, same approvals.Request) error {
	return c.say(ctx, cards.Asked(same, c.payload.Channel))
}
