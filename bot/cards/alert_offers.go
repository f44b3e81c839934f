package cards

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

const (
	maxOffered = 20  // calls with a button
	maxCall    = 800 // characters of what a click proves, word for word
	maxLeft    = 400 // of those that have none
	maxLabel   = 75  // of a button's text, and of its accessibility_label
)

// closed reports whether there is nothing to contain: the alert is over, a false
// positive or a sample.
func (v AlertView) closed() bool {
	return v.over() || v.Alert.State == alerts.FalsePositive || v.Finding.Mark == finding.Sample
}

// offers shows the exact text of each call that can be asked for, then the buttons.
// Calls that do not fit are listed to be typed.
func (v AlertView) offers(room int) []slack.Block {
	if v.closed() {
		return nil
	}
	done := map[string]bool{} // or under way
	for _, r := range v.Requests {
		if r.State.Open() || alerts.Contains(r, v.Finding) {
			done[approvals.IntentDigest(r.Intent)] = true
		}
	}
	head, oneClick := "*Contain*: a button makes a card that a second responder must approve.", false
	var b []slack.Block
	var buttons []slack.BlockElement
	var left []string
	room -= maxLeft
	for i, id := range v.Offers.Buttons() {
		o := v.Offers[i]
		intent := o.Intent
		text := intent.String()
		if done[approvals.IntentDigest(intent)] || !showable(text) {
			continue // it is told of above; or no click could prove it
		}
		button := v.offer(id, o)
		shown := []slack.Block{verbatim(approvals.OfferBlock(i+1), text)}
		if o.Unsure != "" {
			shown = append(shown, verbatim(fmt.Sprintf("unsure:%d", i+1), notSure(o)))
		}
		if room -= characters(append(slices.Clone(shown), slack.NewActionBlock("", button))); len(buttons) > 0 && (room < 0 || len(buttons) == maxOffered) {
			left = append(left, text)
			continue
		}
		b, buttons, oneClick = append(b, shown...), append(buttons, button), oneClick || o.OneClick
	}
	if len(buttons) == 0 {
		return nil
	}
	if oneClick {
		head, b = "*Contain*", append(b, verbatim(approvals.OneClickBlock, approvals.OneClickText))
	}
	b = append([]slack.Block{section("contain", head)}, b...)
	b = append(b, slack.NewActionBlock("offers", buttons...))
	if len(left) > 0 {
		b = append(b, typed("more-offers", "More that fits", left, maxLeft-100))
	}
	return b
}

// contained reports whether a request of the alert contains what was seen.
func (v AlertView) contained() bool {
	return slices.ContainsFunc(v.Requests, func(r approvals.Request) bool { return alerts.Contains(r, v.Finding) })
}

// typed lists calls to be typed.
func typed(id, head string, calls []string, room int) slack.Block {
	return plainList(id, head+"; type after /killswitch, with a reason:", calls, room)
}

// plainList is a list with a heading, as many lines as fit.
func plainList(id, head string, items []string, room int) slack.Block {
	lines := make([]string, len(items))
	for i, s := range items {
		lines[i] = "• " + Untrusted(s).Plain(room)
	}
	return verbatim(id, head+"\n"+bounded(lines, room))
}

// buttonLabel is a call's title for a button: phones show about 30 characters of it.
// https://docs.slack.dev/reference/block-kit/block-elements/button-element
func buttonLabel(title string) string {
	verb, name, _ := strings.Cut(title, ": ")
	verb, _, _ = strings.Cut(verb, " the ")
	return verb + ": " + name
}

// secondPerson is what a button that proposes a call does.
const secondPerson = "This makes a card for a second responder, who must approve it. Nothing changes before. "

// proposal is a button with a call's title.
func proposal(catalog actions.Catalog, id, value string, c actions.Call) *slack.ButtonBlockElement {
	label := shorten(buttonLabel(Untrusted(callTitle(catalog, c)).Plain(maxField)), maxLabel)
	e := slack.NewButtonBlockElement(id, value, plain(label))
	e.AccessibilityLabel = label
	return e
}

// notSure says why an offer's target is not sure.
func notSure(o approvals.Offer) string {
	return "The target is not sure. " + Untrusted(o.Unsure).Plain(maxField) + " Check it first."
}

// offer is the button for a containment.
func (v AlertView) offer(id string, o approvals.Offer) *slack.ButtonBlockElement {
	i := o.Intent
	title := Untrusted(callTitle(v.Actions, i.Call)).Plain(maxField)
	next := secondPerson
	ask, yes := "Ask for this?", "Ask for it"
	switch {
	case o.OneClick:
		next, ask, yes = "This runs at once if its source confirms it. ", "Do this now?", "Do it now"
	case o.Unsure != "":
		next = "The target is not sure: a second responder must approve. Nothing changes before. "
	}
	e := proposal(v.Actions, id, approvals.Value(v.Alert.ID, approvals.IntentDigest(i)), i.Call)
	asking(e, ask, next+title+where(i.Call, v.account())+options(i.Call), yes)
	if v.contained() {
		return e // what is left to do is not urgent
	}
	return danger(e)
}

// options are the options of a call, for the end of a sentence.
func options(c actions.Call) string {
	var s strings.Builder
	for _, k := range slices.Sorted(maps.Keys(c.Options)) {
		s.WriteString(", " + k + "=" + c.Options[k])
	}
	return s.String()
}

// byHand lists the work that no button does, and says so if nothing fits.
func (v AlertView) byHand() []slack.Block {
	if v.closed() {
		return nil
	}
	var b []slack.Block
	if len(v.Finding.ByHand) > 0 {
		var items []string
		for _, s := range v.Finding.ByHand {
			items = append(items, sentence(Untrusted(s).Plain(maxByHand)))
		}
		b = append(b, plainList("by-hand", "To do by hand:", items, maxByHand))
	}
	var fits []string
	for _, o := range v.Finding.Containments {
		if !o.Extra {
			fits = append(fits, o.Call.String())
		}
	}
	switch {
	case len(v.Offers) > 0:
	case len(fits) > 0:
		b = append(b, typed("fits", "No buttons here, as the route says. What fits", fits, maxByHand))
	case len(b) == 0:
		b = append(b, section("fits", "*No containment fits it.*"))
	}
	return b
}

// buttons are the buttons for an alert's state. The click decides who may use them.
func (v AlertView) buttons() []slack.BlockElement {
	state := v.Alert.State
	var buttons []slack.BlockElement
	add := func(id, label string, fits bool) {
		if !fits {
			return
		}
		e := slack.NewButtonBlockElement(id, approvals.Value(v.Alert.ID, "-"), plain(label))
		if id == "false_positive" {
			asking(e, "A false positive?", "Then nobody is called for it, and its containments are hidden until somebody acknowledges it.", "False positive")
		}
		e.AccessibilityLabel = Untrusted(label + ": " + v.Alert.ID).Plain(maxLabel)
		buttons = append(buttons, e)
	}
	add("ack", "Acknowledge", state != alerts.Acknowledged)
	add("snooze", "Snooze 1 h", !v.over() && state != alerts.Snoozed && state != alerts.FalsePositive)
	add("false_positive", "False positive", state != alerts.FalsePositive)
	add("activity", "Recent activity", v.Finding.Subject != trail.Subject{} && !v.Alert.Activity)
	add("trace", "What it made", v.Finding.Subject != trail.Subject{} && !v.Alert.Trace)
	return buttons
}
