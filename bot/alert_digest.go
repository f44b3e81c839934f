package bot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

const (
	digestShown = 5  // types and accounts on a digest
	listPage    = 20 // alerts on a page of its list
)

// levels are the severities in words, the worst first.
var levels = []string{finding.Level(9), finding.Level(7), finding.Level(4), finding.Level(1), finding.Level(0)}

// digestMessage draws a digest.
func digestMessage(d alerts.Digest) Message {
	var counts []string
	for _, l := range levels {
		if n := d.Levels[l]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, l))
		}
	}
	text := fmt.Sprintf("%s: %s", plural(d.N, "more alert", "more alerts"), strings.Join(counts, ", "))
	blocks := []slack.Block{
		slack.NewHeaderBlock(plain(plural(d.N, "more alert", "more alerts"))),
		section("digest", fmt.Sprintf("*%s*\nThere were more than this channel takes one by one. Each can be had with Show.", strings.Join(counts, " · "))),
	}
	add := func(id, head string, items []string) {
		if len(items) > 0 {
			blocks = append(blocks, section(id, "*"+head+"*\n"+listed(items)))
		}
	}
	add("digest-types", "Most frequent types", mostOf(d.Types))
	add("digest-accounts", "Most frequent accounts", mostOf(d.Accounts))
	var worst []string
	for _, it := range d.Worst {
		worst = append(worst, itemText(it))
	}
	add("digest-worst", "Most severe", worst)
	show := slack.NewButtonBlockElement("alerts", approvals.Value(d.ID, "0"), plain("Show"))
	show.AccessibilityLabel = "Show: the alerts of " + d.ID
	blocks = append(blocks, slack.NewActionBlock("digest-actions", show), slack.NewContextBlock("id", mrkdwn(fmt.Sprintf("%s · %s", d.ID, clock(d.At)))))
	return Message{Text: text + " · " + d.ID, Blocks: blocks}
}

// mostOf are the names that were counted most often.
func mostOf(counts map[string]int) []string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	var items []string
	for _, name := range names[:min(len(names), digestShown)] {
		items = append(items, fmt.Sprintf("%d × %s", counts[name], line(name)))
	}
	return items
}

// itemText is an alert in a line of plain text.
func itemText(it alerts.DigestItem) string {
	return fmt.Sprintf("%s: %s in account %s · %s · %s", it.Level, line(it.Type), line(it.Account), line(it.Line), it.Alert)
}

// postDigest posts a digest, once.
func (b *Bot) postDigest(ctx context.Context, id string) error {
	now := b.Now()
	d, err := b.alerts().ChangeDigest(ctx, id, func(d *alerts.Digest) error {
		if d.Card.TS != "" || now.Before(d.Card.Lease) {
			return errBusy
		}
		d.Card.Lease, d.Card.Fresh = now.Add(drawLease), d.Card.Posting.IsZero()
		if d.Card.Fresh {
			d.Card.Posting = now
		}
		return nil
	})
	if errors.Is(err, errBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	card := d.Card
	err = b.lay(ctx, &card, digestMessage(d), "· "+d.ID)
	_, uerr := b.alerts().ChangeDigest(ctx, id, func(d *alerts.Digest) error {
		card.Lease = time.Time{}
		d.Card = card
		return nil
	})
	if err != nil {
		b.Log.WarnContext(ctx, "digest not posted", slog.String("digest_id", id), slog.String("error", err.Error()))
		b.shut(ctx, card.Channel, err)
	}
	return uerr
}

// showDigest lists a page of a digest's alerts to one person.
func (c *conversation) showDigest(ctx context.Context, id, from string) error {
	b := c.b
	who, no := c.person(ctx)
	if no == "" {
		no = c.responder(who)
	}
	if no != "" {
		return c.say(ctx, note("%s", Untrusted(no)))
	}
	d, err := b.alerts().Digest(ctx, id)
	if errors.Is(err, approvals.ErrNotFound) {
		return c.say(ctx, note("There is no digest %s any more.", id))
	}
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(from)
	if err != nil || n < 0 || n >= d.N {
		n = 0
	}
	items, err := b.alerts().DigestItems(ctx, d, n, listPage)
	if err != nil {
		return err
	}
	return c.say(ctx, listMessage(d, n, items))
}

// listMessage is a page of a digest's list, from its n-th alert on, counted from 0.
func listMessage(d alerts.Digest, n int, items []alerts.DigestItem) Message {
	head := fmt.Sprintf("Alerts %d to %d of %d", n+1, n+len(items), d.N)
	blocks := []slack.Block{slack.NewHeaderBlock(plain(head))}
	for i, it := range items {
		bring := slack.NewButtonBlockElement("alert", approvals.Value(it.Alert, "-"), plain("Show card"))
		bring.AccessibilityLabel = "Show card: " + it.Alert
		blocks = append(blocks, slack.NewSectionBlock(plain(Untrusted(itemText(it)).Plain(maxItem)), nil, slack.NewAccessory(bring), slack.SectionBlockOptionBlockID(fmt.Sprintf("%s-%d", it.Alert, i))))
	}
	var turn []slack.BlockElement
	page := func(label string, to int) {
		e := slack.NewButtonBlockElement("alerts", approvals.Value(d.ID, strconv.Itoa(to)), plain(label))
		e.ActionID += ":" + strings.ToLower(label)
		e.AccessibilityLabel = label + ": page of " + d.ID
		turn = append(turn, e)
	}
	if n > 0 {
		page("Previous", max(0, n-listPage))
	}
	if next := n + len(items); next < d.N {
		page("Next", next)
	}
	if len(turn) > 0 {
		blocks = append(blocks, slack.NewActionBlock("digest-actions", turn...))
	}
	return Message{Text: head + " · " + d.ID, Blocks: blocks}
}
