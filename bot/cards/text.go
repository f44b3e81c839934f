package cards

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// day is a moment with its date, in UTC.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// date is a moment some days ahead, in UTC.
func date(t time.Time) string { return t.UTC().Format("2 Jan 15:04 UTC") }

// shorten cuts the middle out: both ends of an ARN or a name tell more.
func shorten(s string, limit int) string {
	rs := []rune(s)
	if len(rs) <= limit {
		return s
	}
	tail := limit / 2
	return string(rs[:limit-tail-1]) + "…" + string(rs[len(rs)-tail:])
}

// verbatim is a block of plain text: Slack reads nothing in it as formatting, a
// mention or a link.
func verbatim(id, text string) slack.Block {
	return slack.NewSectionBlock(plain(text), nil, nil, slack.SectionBlockOptionBlockID(id), whole)
}

// asking makes a button ask before it acts.
func asking(e *slack.ButtonBlockElement, title, text, yes string) *slack.ButtonBlockElement {
	return e.WithConfirm(slack.NewConfirmationBlockObject(plain(title), plain(Untrusted(text).Plain(maxConfirm)), plain(yes), plain("Go back")))
}

// danger makes a button look dangerous, and its question too.
func danger(e *slack.ButtonBlockElement) *slack.ButtonBlockElement {
	e.Confirm.Style = slack.StyleDanger
	return e.WithStyle(slack.StyleDanger)
}

// whole makes Slack show a long block in full, also on a phone.
var whole = slack.SectionBlockOptionExpand(true)

func plain(s string) *slack.TextBlockObject {
	t := slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
	return t
}

// mrkdwn is verbatim: only what we write as a mention or link is one.
func mrkdwn(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, s, false, true)
}

// section is a block of our own words; what comes from outside is escaped in it.
func section(id, text string) slack.Block {
	return slack.NewSectionBlock(mrkdwn(cut(text, maxText)), nil, nil, slack.SectionBlockOptionBlockID(id), whole)
}

// cut shortens mrkdwn that is escaped already, not in the middle of an entity
// or a mention.
func cut(s string, limit int) string {
	rs := []rune(s)
	if len(rs) <= limit {
		return s
	}
	s = string(rs[:limit-1])
	if i := strings.LastIndexAny(s, "<>"); i >= 0 && s[i] == '<' {
		s = s[:i]
	}
	if i := strings.LastIndexAny(s, "&;"); i >= 0 && s[i] == '&' {
		s = s[:i]
	}
	return s + "…"
}

// line makes one line of a text: a list's line feeds are our own.
func line(s string) string { return Untrusted(s).Plain(maxText) }

func lines(items []string) []string {
	var out []string
	for _, s := range items {
		out = append(out, line(s))
	}
	return out
}

// listed writes a short list as mrkdwn.
func listed(items []string) string {
	var b strings.Builder
	for i, item := range items {
		var one strings.Builder
		if !strings.Contains(item, "\n") {
			one.WriteString("• ")
		}
		for j, line := range strings.Split(item, "\n") {
			if j > 0 {
				one.WriteString("\n    ")
			}
			one.WriteString(Untrusted(Untrusted(line).Plain(maxItem)).String())
		}
		if i >= maxListed && len(items) > maxListed+1 || b.Len()+one.Len() > maxList && i > 0 {
			fmt.Fprintf(&b, "\n… and %d more", len(items)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(one.String())
	}
	return b.String()
}

// clock is a moment in UTC: the same for all responders, and as CloudTrail has it.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

// local is a moment in UTC and in the reader's own time, as mrkdwn.
// https://docs.slack.dev/messaging/formatting-message-text#date-formatting
func local(t time.Time) string {
	return fmt.Sprintf("%s (<!date^%d^{time} your time|%s UTC>)", clock(t), t.Unix(), t.UTC().Format("15:04"))
}

// span is a time that is left, in whole units.
func span(d time.Duration) string {
	switch {
	case d <= 0:
		return "no time"
	case d < 90*time.Second:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 90*time.Minute:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func sentence(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	s = string(unicode.ToUpper(r)) + s[size:]
	if strings.HasSuffix(s, ".") || strings.HasSuffix(s, "…") {
		return s
	}
	return s + "."
}

func first(s []string, n int) []string {
	if len(s) > n {
		return append(s[:n:n], fmt.Sprintf("%d more", len(s)-n))
	}
	return s
}

// note is a message of one block, in words of our own.
func note(format string, args ...any) Message {
	text := fmt.Sprintf(format, args...)
	return Message{Text: text, Blocks: []slack.Block{section("note", text)}}
}

// Called are people whom a message mentions.
type Called struct {
	Usergroups []string // Slack's IDs
	People     []approvals.Person
	Here       bool // and who is active in the channel
}

// String mentions them; it is empty for nobody.
func (c Called) String() string {
	var who []string
	for _, g := range c.Usergroups {
		if usergroup.MatchString(g) {
			who = append(who, "<!subteam^"+g+">")
		}
	}
	for _, p := range c.People {
		who = append(who, mention(p.Slack))
	}
	if who = first(who, maxCalled); c.Here {
		who = append(who, "<!here>")
	}
	return strings.Join(who, ", ")
}
