package bot

import (
	"context"
	"errors"
	"log/slog"
	"strconv"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// postDigest posts a digest, once.
func (b *Bot) postDigest(ctx context.Context, id string) error {
	now := b.Now()
	d, err := b.alerts().ChangeDigest(ctx, id, func(d *alerts.Digest) error {
		if d.Card.TS != "" || !d.Card.StartDrawing(now, drawLease) {
			return errNothingToDo
		}
		return nil
	})
	if errors.Is(err, errNothingToDo) {
		return nil
	}
	if err != nil {
		return err
	}
	card := d.Card
	err = b.postOrUpdate(ctx, &card, cards.Digest(d), "· "+d.ID)
	_, uerr := b.alerts().ChangeDigest(ctx, id, func(d *alerts.Digest) error {
		card.Lease = approvals.Lease{}
		d.Card = card
		return nil
	})
	if err != nil {
		b.Log.WarnContext(ctx, "digest not posted", slog.String("digest_id", id), slog.String("error", err.Error()))
		b.pauseAlerts(ctx, card.Channel, err)
	}
	return uerr
}

// showDigest lists a page of a digest's alerts to one person.
func (c *conversation) showDigest(ctx context.Context, id, from string) error {
	b := c.b
	who, no := c.person(ctx)
	if no == nil {
		no = c.responder(who)
	}
	if no != nil {
		return c.answer(ctx, no)
	}
	d, err := b.alerts().Digest(ctx, id)
	if errors.Is(err, approvals.ErrNotFound) {
		return c.say(ctx, cards.Say(cards.NoDigest, id))
	}
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(from)
	if err != nil || n < 0 || n >= d.N {
		n = 0
	}
	items, err := b.alerts().DigestItems(ctx, d, n, cards.DigestPageSize)
	if err != nil {
		return err
	}
	return c.say(ctx, cards.DigestPage(d, n, items))
}
