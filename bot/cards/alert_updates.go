package cards

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// consoles are the hosts of AWS's consoles in each partition.
var consoles = map[string]actions.Pattern{
	"aws":        console("aws.amazon.com"),
	"aws-us-gov": console("amazonaws-us-gov.com"),
	"aws-cn":     console("amazonaws.cn"),
}

// console matches links to a console. What follows the host is only characters
// that can't end a link in mrkdwn.
func console(domain string) actions.Pattern {
	return actions.NewPattern(`^https://(?:[a-z0-9-]+\.)*(?:console|health)\.` + regexp.QuoteMeta(domain) + "/[A-Za-z0-9/?#=&%.:;,_~+$!*@-]{0,400}$")
}

// consoleLink is the link to the finding: only https, only the console of the finding's
// partition.
func consoleLink(a finding.Finding) string {
	if re := consoles[a.Partition]; re == nil || !re.MatchString(a.Link) {
		return ""
	}
	return fmt.Sprintf("<%s|Open it in the console>", entities(a.Link))
}

// PendingReply is a reply in an alert's thread. It is found again by its words: whom it
// calls may change meanwhile.
func PendingReply(n alerts.PendingReply, v AlertView) Message {
	m := note("%s", n.Text)
	if who := v.Calls(); n.Call && who != "" {
		m = note("%s", who+" "+n.Text)
		m.Rank = CallRank
	}
	m.Marker = n.Text
	m.Broadcast = n.Broadcast
	return m
}

// SnoozeOver is the reply at the end of a snooze. It mentions the person who snoozed
// the alert.
func SnoozeOver(by approvals.Actor, at time.Time) string {
	return fmt.Sprintf("*The snooze is over* (by %s at %s), and nobody has settled it.", mention(by.Slack), clock(at))
}

// StillOpen is the reply to a critical alert that nobody has answered; there may be more of
// them.
func StillOpen(v AlertView, more int) string {
	text := fmt.Sprintf("*Still open*: nobody has acknowledged it in %s: %s", span(v.Now.Sub(v.Alert.Called)), Untrusted(v.summary()))
	if more > 0 {
		text += fmt.Sprintf(" And %s waiting.", plural(more, "more critical alert is", "more critical alerts are"))
	}
	return text
}

// OpenAgain is the reply to an alert that was answered, and is not any more: its containment
// did not come about, or something was seen since.
func OpenAgain(v AlertView) string {
	text := fmt.Sprintf("*Open again*, and nobody sees to it: %s", Untrusted(v.summary()))
	if len(v.Alert.Kinds) > 0 {
		last := slices.MaxFunc(v.Alert.Kinds, func(a, b alerts.Kind) int { return a.Last.Compare(b.Last) })
		text += ". Last seen: " + Untrusted(Untrusted(cmp.Or(last.Title, last.Type)).Plain(maxField)).String()
	}
	return text
}

// Changes is the reply about new reports, as mrkdwn. It is empty if people need to know
// nothing of it. reopened says that the alert had been acknowledged.
func Changes(before, now []alerts.Report, reopened bool) string {
	old, a := alerts.Shown(before), alerts.Shown(now)
	var also []string
	for _, r := range now {
		f := r.Finding
		known := slices.ContainsFunc(before, func(o alerts.Report) bool { return o.Finding.Source == f.Source })
		if !known && f.Source != a.Source {
			also = append(also, productName(f.Product)+" tells of it too.")
		}
		wasOver := slices.ContainsFunc(before, func(o alerts.Report) bool { return o.Finding.Same(f) && o.Finding.Over })
		if f.Over && !wasOver && !a.Over {
			also = append(also, productName(f.Product)+" says it is over; another source does not.")
		}
	}
	if old.Over && !a.Over {
		also = append(also, "*It was settled, and is open again.*")
	}
	if text := updateText(old, a); text != "" {
		also = append([]string{text}, also...)
	}
	if reopened {
		also = append([]string{openAgain}, also...)
	}
	return strings.Join(also, "\n")
}

const openAgain = "*Open again*: it was acknowledged, and there is more."

// Joined is the reply about another finding of an alert's actor, as mrkdwn.
func Joined(f finding.Finding, rose, reopened bool) string {
	text := fmt.Sprintf("*The same actor*, %s, %s: %s", productName(f.Product), finding.Level(f.Severity), Untrusted(strings.TrimRight(Untrusted(cmp.Or(f.Title, f.Type)).Plain(maxField), ". ")))
	if rose {
		text += " · *the severity rose*"
	}
	if reopened {
		text = openAgain + "\n" + text
	}
	return text
}

// updateText lists the differences between two findings, as mrkdwn. It is empty if
// there are none that people need to know.
func updateText(old, now finding.Finding) string {
	var news []string
	say := func(format string, args ...any) { news = append(news, fmt.Sprintf(format, args...)) }
	if old.Source != now.Source {
		say("%s tells of it too", productName(now.Product))
	}
	if !old.Same(now) && old.Title != now.Title {
		say("now %s", Untrusted(strings.TrimRight(Untrusted(now.Title).Plain(maxField), ". ")))
	}
	was, is := finding.Level(old.Severity), finding.Level(now.Severity)
	switch {
	case now.Severity > old.Severity && was != is:
		say("*severity rose from %s to %s*", was, is)
	case now.Severity != old.Severity:
		say("severity %.3g, was %.3g", now.Severity, old.Severity)
	}
	if now.Count != old.Count {
		say("seen %s, was %d", times(now.Count), old.Count)
	}
	if now.Last.After(old.Last) {
		say("last seen %s", day(now.Last))
	}
	if now.Over && !old.Over {
		say("*AWS says it is over*")
	}
	var facts []string
	for _, f := range now.Facts {
		if !slices.Contains(old.Facts, f) {
			facts = append(facts, Untrusted(factLine(f)).String())
		}
	}
	if len(news) == 0 && len(facts) == 0 {
		return ""
	}
	text := "*Update*"
	if len(news) > 0 {
		text += ": " + strings.Join(news, " · ")
	}
	if len(facts) > 0 {
		text += "\n" + bounded(facts, maxFacts)
	}
	return text
}

// Unreadable is the message about an event that can't be read. where names the queue in
// which it is kept; empty means the dead-letter queue.
func Unreadable(m *finding.Malformed, webhook, where string) Message {
	source, id := "an unknown source", "unknown"
	if m.Product != "" {
		source = productName(m.Product)
	}
	if webhook != "" {
		source += " by the webhook " + Untrusted(webhook).String()
	}
	if s := strings.TrimSpace(Untrusted(m.EventID).Plain(maxName)); s != "" {
		id = s
	}
	return note("*An event of %s could not be read*: %s Event ID: %s. It may be an alert that nobody sees: it is set aside in %s. More of this source are not told for an hour.",
		source, Untrusted(sentence(Untrusted(m.Cause).Plain(maxCause))), Untrusted(id), Untrusted(Untrusted(cmp.Or(where, "the dead-letter queue")).Plain(maxField)))
}

// CantPost is the message about an alert that Slack takes neither as a card nor as text, in words of
// our own alone: what it refuses is among the others.
func CantPost(v AlertView, code string) Message {
	return note("*An alert can't be shown, %s*: Slack refuses its card and its text (%s). It is %s, of %s, in account %s. Look at it there; it is tried again in an hour.",
		v.Alert.ID, Untrusted(code), finding.Level(v.Finding.Severity), productName(v.Finding.Product), Untrusted(v.account()))
}

// ChannelShut is the message about a channel in which cards are not shown any more.
func ChannelShut(channel, why string) Message {
	return note("*The channel <#%s> gets no cards of mine any more* (%s): they are here alone.", channel, Untrusted(why))
}

// ChannelGone is the message about a channel that takes no cards.
func ChannelGone(channel, code string) Message {
	return note("*The channel <#%s> takes no messages of mine* (%s): its cards come here. Invite the bot, or change the channel in the configuration. It is told again in an hour, if it is still so.", channel, Untrusted(code))
}
