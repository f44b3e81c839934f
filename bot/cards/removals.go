package cards

import (
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// removals are the replies about one removal: that it was, at once, and who did it. If that is
// known only later, the first one is completed, which calls nobody again.
func (v View) removals(t approvals.Tampered) []Reply {
	key := fmt.Sprintf("tamper-%d", t.N)
	named := Reply{Key: key + "-by", Message: v.removal(t)}
	ts, begun := v.Request.Card.Replies[key]
	switch {
	case t.By == nil || begun && ts == "":
		return []Reply{{Key: key, Message: named.Message}}
	case begun:
		named.Completes = key
	}
	return []Reply{named}
}

// removal tells of one, with a button for each call that contains who did it.
func (v View) removal(t approvals.Tampered) Message {
	id := v.Request.ID
	m := note("%s: <!here> *somebody works against this containment.* %s", id, Untrusted(tamperText(t)))
	m.Marker = fmt.Sprintf("(%s, removal %d)", id, t.N)
	m.Text += " " + m.Marker
	if t.By == nil {
		return m
	}
	if len(t.By.ByHand) > 0 {
		m.Blocks = append(m.Blocks, plainList("by-hand", "To do by hand:", t.By.ByHand, maxByHand))
	}
	offers := t.By.Offers(id)
	var buttons []slack.BlockElement
	for i, button := range offers.Buttons() {
		intent := offers[i].Intent
		if text := intent.String(); showable(text) {
			m.Blocks = append(m.Blocks, verbatim(approvals.OfferBlock(i+1), text))
			e := proposal(v.Org.Actions, button, approvals.Value(id, approvals.IntentDigest(intent)), intent.Call)
			buttons = append(buttons, danger(asking(e, "Ask for this?", secondPerson+callTitle(v.Org.Actions, intent.Call)+where(intent.Call, intent.Call.Account), "Ask for it")))
		}
	}
	if len(buttons) > 0 {
		m.Blocks = append(m.Blocks, slack.NewActionBlock("offers", buttons...))
	}
	return m
}

// tamperText tells of a removal in a line.
func tamperText(t approvals.Tampered) string {
	done := "It was applied again."
	switch {
	case !t.Known():
		done = "It is being applied again."
	case !t.Reapplied:
		done = "It was not applied again: " + t.Cause + "."
	}
	return strings.TrimSpace(fmt.Sprintf("%s: somebody undid \"%s\" (found %s), removal %d. %s %s", clock(t.At), t.Step, t.Found, t.N, done, whoText(t)))
}

// whoText tells who made a removal, in a sentence or two.
func whoText(t approvals.Tampered) string {
	by := t.By
	switch {
	case by == nil && !t.Told:
		return ""
	case by == nil:
		return "Who did it is added here when CloudTrail tells, mostly within 15 minutes."
	case by.Unknown != "":
		return "Who did it is not known: " + by.Unknown + "."
	}
	text := fmt.Sprintf("By %s: %s at %s", by.Who, by.Call, clock(by.At))
	if by.Address != "" {
		text += " from " + by.Address
	}
	if by.Tool != "" {
		text += ", by what calls itself " + by.Tool
	}
	if text += "."; by.Repeats {
		text += " If that is your own, undo the containment before it runs again."
	}
	return text
}
