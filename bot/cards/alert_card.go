package cards

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// AlertView is everything that an alert's card shows.
type AlertView struct {
	Actions        actions.Catalog
	Alert          alerts.Alert
	Finding        finding.Finding     // the report that is shown
	AlsoReportedBy []string            // products that told of it, too
	Offers         approvals.Offers    // none once it is over or a false positive
	Requests       []approvals.Request // that it led to, oldest first
	Alias          string              // of the account; may be empty
	Called         Called              // whom it calls while nobody does anything
	Now            time.Time
	SocketMode     bool // as of a View
}

// Limits of the parts of an alert's card in characters. What they leave of
// maxAlert is for the offers; together it stays under 8,000.
const (
	maxAlert    = 7700
	maxFinding  = 1200
	maxField    = 220 // of one field, such as the type or the principal
	maxRequests = 600
	maxWords    = 300 // of the source's own description
	maxFacts    = 1200
	maxKinds    = 900
	maxByHand   = 800
)

// AlertCard draws an alert.
func AlertCard(v AlertView) Message {
	a := v.Finding
	b := []slack.Block{slack.NewHeaderBlock(plain(Untrusted(v.title()).Plain(maxHeader)))}
	if text := markWords[a.Mark]; text != "" {
		b = append(b, section("mark", text))
	}
	b = append(b, section("finding", cut(v.finding(), maxFinding)), section("state", v.state()))
	b = append(b, v.requests()...)
	if words := strings.Join(strings.Fields(a.Text), " "); words != "" && words != a.Title {
		words = fmt.Sprintf("%s says: “%s”", Untrusted(a.Product).Plain(maxName), Untrusted(words).Plain(maxWords))
		b = append(b, verbatim("words", words))
	}
	if len(a.Facts) > 0 {
		var lines []string
		for _, f := range a.Facts {
			lines = append(lines, factLine(f))
		}
		b = append(b, verbatim("facts", bounded(lines, maxFacts)))
	}
	contain := len(b)
	if kinds := v.kinds(); len(kinds) > 0 {
		b = append(b, plainList("joined", "All findings of this actor:", kinds, maxKinds))
	}
	b = append(b, v.byHand()...)
	if buttons := v.buttons(); len(buttons) > 0 {
		b = append(b, slack.NewActionBlock("alert-actions", buttons...))
	}
	id := fmt.Sprintf("%s · severity %.3g · updated %s · event %s", v.Alert.ID, a.Severity, clock(v.Now), cmp.Or(a.EventID, "unknown"))
	b = append(b, foot(plain(Untrusted(id).Plain(maxField)), v.SocketMode))
	b = slices.Insert(b, contain, v.offers(maxAlert-characters(b))...)
	m := Message{Text: v.fallback(), Blocks: b, Rank: CardRank}
	if v.Calls() != "" {
		m.Rank = CallRank
	}
	return m
}

// characters counts the characters in an alert's blocks.
func characters(blocks []slack.Block) int {
	n := 0
	text := func(t *slack.TextBlockObject) { n += utf8.RuneCountInString(t.Text) }
	button := func(e *slack.ButtonBlockElement) {
		text(e.Text)
		if c := e.Confirm; c != nil {
			text(c.Title)
			text(c.Text)
			text(c.Confirm)
			text(c.Deny)
		}
	}
	for _, b := range blocks {
		switch b := b.(type) {
		case *slack.HeaderBlock:
			text(b.Text)
		case *slack.SectionBlock:
			text(b.Text)
			if a := b.Accessory; a != nil && a.ButtonElement != nil {
				button(a.ButtonElement)
			}
		case *slack.ContextBlock:
			for _, e := range b.ContextElements.Elements {
				if t, ok := e.(*slack.TextBlockObject); ok {
					text(t)
				}
			}
		case *slack.ActionBlock:
			for _, e := range b.Elements.ElementSet {
				if e, ok := e.(*slack.ButtonBlockElement); ok {
					button(e)
				}
			}
		}
	}
	return n
}

// markPrefix is the mark of samples, mocks and drills in brackets.
func (v AlertView) markPrefix() string {
	if v.Finding.Mark == "" {
		return ""
	}
	return "[" + Untrusted(v.Finding.Mark).Plain(maxName) + "] "
}

// markWords explain the marks.
var markWords = map[finding.Mark]string{
	finding.Sample: "*A sample*: GuardDuty makes these to show what a finding looks like. Nothing happened.",
	finding.Mock:   "*A mock*: it comes from a source for tests, not from AWS. What its buttons start is real.",
	finding.Drill:  "*A drill*: our own people sent this. What its buttons start is real.",
}

// title is the severity and the finding's title.
func (v AlertView) title() string {
	level := finding.Level(v.Finding.Severity)
	what := strings.TrimRight(v.Finding.Title, ". \n")
	return fmt.Sprintf("%s%s: %s", v.markPrefix(), strings.ToUpper(level[:1])+level[1:], cmp.Or(what, v.Finding.Type, "no title"))
}

// Calls mentions whom the alert calls; it is empty if there is nothing to call them for.
func (v AlertView) Calls() string {
	if v.Alert.Answered(v.Finding, v.Requests) {
		return ""
	}
	return v.Called.String()
}

// summary is the mark and the severity, then finding type, account, principal or resource.
func (v AlertView) summary() string {
	a := v.Finding
	text := fmt.Sprintf("%s%s: %s in account %s", v.markPrefix(), finding.Level(a.Severity), Untrusted(a.Type).Plain(maxField), v.account())
	if what := cmp.Or(a.Principal, a.Resource); what != "" {
		text += " · " + Untrusted(what).Plain(maxField)
	}
	return text
}

// kinds are the findings that joined the alert, by source and type.
func (v AlertView) kinds() []string {
	var lines []string
	for _, k := range v.Alert.Kinds {
		what := Untrusted(cmp.Or(strings.TrimRight(k.Title, ". "), k.Type, "others")).Plain(maxName + maxName)
		lines = append(lines, fmt.Sprintf("%d × %s (%s, %s)", k.N, what, finding.Level(k.Severity), k.Last.UTC().Format("15:04")))
	}
	return lines
}

// fallback is the summary, how many joined it, whom it calls, and the alert's ID.
func (v AlertView) fallback() string {
	text := entities(v.summary())
	if n := v.Alert.Joined(); n > 1 {
		text += fmt.Sprintf(" · and %d more of this actor", n-1)
	}
	if who := v.Calls(); who != "" {
		text += " · for " + who
	}
	return text + " · " + v.Alert.ID
}

func (v AlertView) account() string {
	return View{Request: approvals.Request{Intent: approvals.Intent{Call: actions.Call{Account: v.Finding.Account}}}, Alias: v.Alias}.account()
}

// finding is the block of type, place, principal, resource and time.
func (v AlertView) finding() string {
	a := v.Finding
	show := func(s string) string { return cut(unmarked(Untrusted(field(s)).String()), maxField*3/2) }
	lines := []string{"*Finding* " + show(a.Product) + " · " + show(a.Type), "*Account* " + show(v.account())}
	if a.Region != "" {
		lines[1] += " · " + show(a.Region)
	}
	if a.Principal != "" {
		lines = append(lines, "*Who* "+show(a.Principal))
	}
	if a.Resource != "" {
		lines = append(lines, "*What* "+show(a.Resource))
	}
	if n := v.Alert.Joined(); n > 0 {
		lines = append(lines, fmt.Sprintf("*One actor* %d findings: the strongest is shown here, all are listed below.", n))
	}
	lines = append(lines, "*Seen* "+seen(a))
	if len(v.AlsoReportedBy) > 0 {
		var names []string
		for _, p := range v.AlsoReportedBy {
			names = append(names, productName(p))
		}
		lines = append(lines, "*Also told by* "+strings.Join(first(names, maxListed), ", "))
	}
	if link := consoleLink(a); link != "" {
		lines = append(lines, link)
	}
	return strings.Join(lines, "\n")
}

// productName is a product's name as mrkdwn.
func productName(s string) string { return Untrusted(Untrusted(s).Plain(maxName)).String() }

// unmarked writes lookalikes for the marks of formatting at the edges of words:
// tags may hold them, and what a name is called exactly stands in the calls.
var unmarked = strings.NewReplacer("*"+string(wordJoiner), "∗", "_"+string(wordJoiner), "＿", "~"+string(wordJoiner), "∼").Replace

// field is one field of an event, in one line.
func field(s string) string { return Untrusted(strings.TrimSpace(s)).Plain(maxField) }

// factLine is a fact in one line. The label comes first, so that no text from
// outside begins a line.
func factLine(f finding.Fact) string {
	return "• " + cmp.Or(strings.TrimSpace(Untrusted(f.Label).Plain(maxName)), "Fact") + ": " + field(f.Text)
}

// seen is how often and when it happened, in UTC.
func seen(a finding.Finding) string {
	first, last := a.First, cmp.Or(a.Last, a.First, a.Updated)
	if first.IsZero() || !first.Before(last) {
		return times(max(a.Count, 1)) + ", " + day(last)
	}
	from := first.UTC().Format("2006-01-02 15:04:05")
	if y, m, d := last.UTC().Date(); time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Before(first) {
		return fmt.Sprintf("%s, %s to %s", times(max(a.Count, 1)), from, clock(last))
	}
	return fmt.Sprintf("%s, %s to %s", times(max(a.Count, 1)), from, day(last))
}

// state is the state that people, and AWS, gave the alert.
func (v AlertView) state() string {
	r := v.Alert
	who, at := mention(r.By.Slack), v.moment(r.At)
	text := "*Open*: nobody has acknowledged it yet."
	if who := v.Calls(); who != "" && !r.Called.IsZero() {
		text += " Called: " + who + "."
	}
	if v.contained() {
		text = "*Contained*: nothing was seen since."
	}
	switch r.State {
	case alerts.Open:
	case alerts.Acknowledged:
		text = fmt.Sprintf("*Acknowledged* by %s at %s.", who, at)
	case alerts.Snoozed:
		text = fmt.Sprintf("*Snoozed* until %s by %s.", v.moment(r.Until), who)
	case alerts.FalsePositive:
		text = fmt.Sprintf("*False positive*, said %s at %s.", who, at)
		if !v.over() {
			text += " Acknowledge brings its containments back."
		}
	}
	if v.over() {
		text = "*Settled*: AWS says it is over.\n" + text
	}
	if r.Activity {
		text += " The recent activity comes in the thread."
	}
	return text
}

func (v AlertView) over() bool { return v.Alert.Over || v.Finding.Over }

// moment is a time without its date if it is today's.
func (v AlertView) moment(t time.Time) string {
	if t.UTC().Format(time.DateOnly) == v.Now.UTC().Format(time.DateOnly) {
		return local(t)
	}
	return day(t)
}

// bounded joins as many lines as fit, and counts the others.
func bounded(lines []string, room int) string {
	var b strings.Builder
	for i, line := range lines {
		if i > 0 && (i >= maxListed && len(lines) > maxListed+1 || utf8.RuneCountInString(b.String()+line) > room) {
			fmt.Fprintf(&b, "\n… and %d more", len(lines)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(line)
	}
	return b.String()
}

// requests lists the requests of an alert, the latest first. An automatic one can be
// undone here: its call and its reason are shown as on its own card, since the executor
// demands them of a click on Undo.
func (v AlertView) requests() []slack.Block {
	if len(v.Requests) == 0 {
		return nil
	}
	var items []string
	var undo *approvals.Request
	for _, r := range slices.Backward(v.Requests) {
		call := r.Intent.Call
		what := string(call.Action)
		if r.Intent.Undo != "" {
			what = "undo " + what
		}
		item := fmt.Sprintf("• *%s*: %s · %s, asked for by %s", View{Request: r}.word(), Untrusted(Untrusted(what+" "+v.Actions.TargetName(call)).Plain(maxName+maxName)), r.ID, asker(r))
		if r.Mode == approvals.Automatic && r.Intent.Undo == "" && (r.State == approvals.Contained || r.State == approvals.Partial) {
			if undo == nil && showable(r.Intent.String()+approvals.ReasonLine(r.Requester.Person, r.Reason)) {
				undo = &r
			} else {
				item += " (undo is on its card)"
			}
		}
		items = append(items, item)
	}
	b := []slack.Block{section("born", "*Containments*\n"+bounded(items, maxRequests))}
	if undo == nil {
		return b
	}
	return append(b,
		section("auto", "*Killswitch did this by itself*, as the route says. It can be taken back:"),
		verbatim(approvals.CallBlock, undo.Intent.String()),
		verbatim(approvals.ReasonBlock, approvals.ReasonLine(undo.Requester.Person, undo.Reason)),
		slack.NewActionBlock("auto-undo", View{Org: actions.Org{Actions: v.Actions}, Request: *undo, Alias: v.Alias}.undoButton()))
}

// showable reports whether a text is shown unchanged: a click proves only the exact
// text of its card.
func showable(s string) bool { return s != "" && Untrusted(s).Plain(maxCall) == s }
