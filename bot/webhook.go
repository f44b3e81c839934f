package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// Webhook is a message on the queue webhooks: what came with a webhook's key. It is ingress.Webhook,
// read here.
type Webhook struct {
	ID        string `json:"webhook"`
	Path      string `json:"path"`                      // of the URL
	Drill     string `json:"drill,omitempty"`           // of events: a drill's name, new for each; empty for what is not one
	Key       string `json:"idempotency_key,omitempty"` // of a request; may be empty
	Timestamp string `json:"timestamp,omitempty"`       // of a request: when it came, in Unix seconds
	Signature string `json:"signature,omitempty"`       // of a request: ingress'
	Body      string `json:"body"`                      // of events raw, of a request in the one form that ingress writes
}

// HandleWebhook handles a message of the queue webhooks.
func (b *Bot) HandleWebhook(ctx context.Context, w Webhook) error {
	switch {
	case w.Path == "/events" && w.ID != "" && slices.Contains(b.EventWebhooks, w.ID):
		return b.handleEvents(ctx, []byte(w.Body), finding.Event{Drill: w.Drill, Webhook: w.ID})
	case w.Path == "/requests" && len(b.Policy.Webhooks[w.ID].Actions) > 0:
		return b.webhookRequest(ctx, w)
	}
	b.Log.WarnContext(ctx, "webhook may not do this", slog.String("webhook", w.ID), slog.String("path", w.Path))
	b.count(ctx, "WebhooksRefused", 1)
	return nil
}

// webhookRequest asks for what a webhook sent. What becomes of it the incident channel is told: whoever
// sent it has the ID, and no answer to wait for.
func (b *Bot) webhookRequest(ctx context.Context, w Webhook) error {
	e, err := approvals.WebhookRequest{Webhook: w.ID, Key: w.Key, Asked: w.Body}.Evidence(w.Timestamp, w.Signature)
	if err != nil {
		return err
	}
	at, err := e.At()
	_, d, unreadable := approvals.ReadWebhook(e)
	if err := errors.Join(err, unreadable); err != nil {
		return fmt.Errorf("%w: %w", approvals.ErrUnreadable, err)
	}
	c := &conversation{b: b, e: e, at: at, webhook: w.ID}
	call, reason, err := d.Parse(b.Org.Directory())
	if wrong, ok := errors.AsType[*actions.ParseErrors](err); ok {
		return c.say(ctx, cards.WebhookMistakes(wrong))
	}
	if err != nil {
		return err
	}
	r := approvals.Request{Intent: approvals.Intent{Call: call}, Reason: reason, Card: approvals.Card{Channel: b.IncidentChannel}}
	return c.request(ctx, approvals.Actor{Person: approvals.WebhookRequester(w.ID)}, r)
}

// repeated deals with what comes again under the ID of a request. While that is open or in force, the same
// is a retry and nothing is done; otherwise people hear of it, since somebody may wait for what nobody does.
func (c *conversation) repeated(ctx context.Context, old, r approvals.Request) error {
	switch {
	case approvals.IntentDigest(old.Intent) != approvals.IntentDigest(r.Intent) || old.Reason != r.Reason:
		return c.say(ctx, cards.Say(cards.OtherSameKey, r.Intent.String()))
	case old.State.Open() || old.State.InForce():
		return nil
	}
	return c.say(ctx, cards.Say(cards.AskedBefore, old.State))
}

// webhookNotices is how many notices of what one webhook asks for in vain are posted in an hour.
const webhookNotices = 10

// tellOfWebhook posts what became of something that a webhook asks for, where no card shows it.
func (b *Bot) tellOfWebhook(ctx context.Context, webhook, id string, m cards.Message) error {
	b.count(ctx, "WebhooksRefused", 1)
	var busy error
	for n := range webhookNotices {
		said := cards.OfWebhook(webhook, id, m, n+1 == webhookNotices)
		told, err := b.tellDue(ctx, fmt.Sprintf("notice %d of webhook %s", n, webhook), said)
		if !errors.Is(err, approvals.ErrConflict) && (told || err != nil) {
			return err
		}
		busy = errors.Join(busy, err)
	}
	if busy == nil {
		b.Log.WarnContext(ctx, "webhook asks in vain, and is not told of", slog.String("webhook", webhook), slog.String("request_id", id))
	}
	return busy
}
