package cards

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
)

const (
	maxLists    = 10   // replies that list what was not done
	maxListText = 1800 // characters of one
)

// left says how long a request may still be approved, or is watched, for a list.
func (v View) left() string {
	switch run := v.Run; {
	case v.Request.State == approvals.Pending:
		return ", " + span(v.Request.Expires.Sub(v.Now)) + " left"
	case run == nil || run.WatchUntil.IsZero():
		return ""
	case run.NextCheck.IsZero():
		return ", no longer watched"
	}
	return ", watched until " + date(v.Run.WatchUntil)
}

// Listing is the newest of some requests, and how many more there are.
type Listing struct {
	Views []View
	More  int
}

// List tells which requests are open, and which containments are in force; each with a link
// to its card and a button for its plan.
func List(open, held Listing) Message {
	m := Message{Text: "Open requests and containments in force"}
	show := func(head string, l Listing) {
		if len(l.Views) == 0 {
			return
		}
		m.Blocks = append(m.Blocks, section("", "*"+head+"*"))
		room := maxListed * maxItem
		for i, v := range l.Views {
			text := fmt.Sprintf("%s · asked by %s %s ago%s%s", Untrusted(v.fallback()), asker(v.Request), span(v.Now.Sub(v.Request.Asked)), v.left(), v.link())
			if room -= utf8.RuneCountInString(text); room < 0 {
				l.More += len(l.Views) - i
				break
			}
			m.Blocks = append(m.Blocks, slack.NewSectionBlock(mrkdwn(text), nil, slack.NewAccessory(v.button("details", "Details"))))
		}
		if l.More > 0 {
			m.Blocks = append(m.Blocks, section("", fmt.Sprintf("and %d more, asked before; show ID shows one.", l.More)))
		}
	}
	show("Open", open)
	show("In force, can be undone", held)
	if len(m.Blocks) == 0 {
		return note("Nothing is open and nothing is contained.")
	}
	return m
}

// link leads to the card, for the end of a line.
func (v View) link() string { return linkTo(" · ", v.Request.Card) }

// linkTo leads to a card; it is empty if it is not known where that stands.
func linkTo(before string, c approvals.Card) string {
	link := c.Permalink()
	if link == "" {
		return ""
	}
	return fmt.Sprintf("%s<%s|Open its card>", before, entities(link))
}

// Asked tells somebody in a channel of an earlier request for what they ask for.
func Asked(same approvals.Request, channel string) Message {
	return note("Nothing was done: %s asks for the same and is %s.%s", Untrusted(same.ID), Untrusted(same.State), linkTo(" ", same.CardIn(channel)))
}

// leftLists tell of many steps those that were left alone or failed, by reason,
// in as many messages as it takes.
func leftLists(steps []approvals.Step) []string {
	type group struct {
		head  string
		names []string
	}
	var groups []*group
	at := map[string]*group{}
	failed := func(s approvals.Step) bool { return s.State == approvals.StepFailed }
	steps = slices.Clone(steps)
	slices.SortStableFunc(steps, func(a, b approvals.Step) int { // what failed first
		switch {
		case failed(a) == failed(b):
			return 0
		case failed(a):
			return -1
		}
		return 1
	})
	for _, s := range steps {
		head := "left alone: " + s.Step.Skip
		if failed(s) {
			head = "failed: " + s.Cause
		}
		head = Untrusted(Untrusted(head).Plain(maxItem)).String()
		if at[head] == nil {
			at[head] = &group{head: head}
			groups = append(groups, at[head])
		}
		at[head].names = append(at[head].names, Untrusted(Untrusted(stepName(s)).Plain(maxItem)).String())
	}
	var texts []string
	for _, g := range groups {
		for rest := g.names; len(rest) > 0; {
			var b strings.Builder
			n := 0
			for n < len(rest) && (n == 0 || b.Len()+len(rest[n]) < maxListText) {
				if n > 0 {
					b.WriteString(", ")
				}
				b.WriteString(rest[n])
				n++
			}
			texts = append(texts, fmt.Sprintf("%d %s\n%s", len(g.names), g.head, b.String()))
			rest = rest[n:]
		}
	}
	if more := len(texts) - maxLists; more > 0 {
		texts = append(texts[:maxLists], fmt.Sprintf("and %d more lists like these: `audit` and the record have all.", more))
	}
	return texts
}

// stepName is what a step changes, in short.
func stepName(s approvals.Step) string {
	return s.Step.Resource[strings.LastIndex(s.Step.Resource, "/")+1:]
}
