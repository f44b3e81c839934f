package cards

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// DigestPageSize is how many alerts a page of a digest's list has.
const DigestPageSize = 20

// digestShown is how many types and accounts a digest names.
const digestShown = 5

// levels are the severities in words, the worst first.
var levels = []string{finding.Level(9), finding.Level(7), finding.Level(4), finding.Level(1), finding.Level(0)}

// Digest draws a digest.
func Digest(d alerts.Digest) Message {
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

// mostOf are the names with the highest counts.
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

// itemText is an alert in one line of plain text.
func itemText(it alerts.DigestItem) string {
	return fmt.Sprintf("%s: %s in account %s · %s · %s", it.Level, line(it.Type), line(it.Account), line(it.Line), it.Alert)
}

// DigestPage is a page of a digest's list, beginning with its n-th alert, counted from
// 0.
func DigestPage(d alerts.Digest, n int, items []alerts.DigestItem) Message {
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
		page("Previous", max(0, n-DigestPageSize))
	}
	if next := n + len(items); next < d.N {
		page("Next", next)
	}
	if len(turn) > 0 {
		blocks = append(blocks, slack.NewActionBlock("digest-actions", turn...))
	}
	return Message{Text: head + " · " + d.ID, Blocks: blocks}
}

// DigestItem is what a digest stores of an alert.
func DigestItem(v AlertView) alerts.DigestItem {
	a := v.Finding
	account := a.Account
	if v.Alias != "" {
		account = v.Alias + " (" + account + ")"
	}
	return alerts.DigestItem{
		Alert: v.Alert.ID, Severity: a.Severity, Level: finding.Level(a.Severity),
		Type: Untrusted(a.Type).Plain(maxField), Account: Untrusted(account).Plain(maxName),
		Behind: alerts.Behind(a),
		Line:   Untrusted(v.markPrefix() + cmp.Or(a.Principal, a.Resource, a.Title)).Plain(maxField),
	}
}
