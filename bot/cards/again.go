package cards

import (
	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// askable reports whether the call of a request that ended can be asked for again: its
// end is not recorded yet, or it is proved who asked for it.
func (v View) askable() bool {
	return v.Request.State.MayAskAgain() && (v.Planned != nil || v.Run == nil || v.Run.Unplanned != nil)
}

// againButtons is the button that asks for the same call again, or opens the form with it where one
// click may not.
func (v View) againButtons() []slack.BlockElement {
	i := v.Request.Intent
	toType := approvals.ToType(i, v.Org.Actions.Lookup)
	if !v.askable() || toType && i.Undo != "" {
		return nil
	}
	e := v.button(approvals.AgainButton, "Ask again")
	e.Value = approvals.Value(v.Request.ID, approvals.IntentDigest(i))
	if toType { // it opens the form
		return []slack.BlockElement{e}
	}
	text := "Ask again: " + v.title() + v.where() + ". Another person must approve it."
	return []slack.BlockElement{asking(e, "Ask for this again?", text, "Ask again")}
}

// againLine is the line that asks for the same again, where neither one click may nor the form can.
func (v View) againLine() string {
	r := v.Request
	if !v.askable() || r.Intent.Undo == "" || !approvals.ToType(r.Intent, v.Org.Actions.Lookup) {
		return ""
	}
	run := approvals.Run{Outcome: r.State}
	if v.Run != nil {
		run = *v.Run
	}
	line := r.Intent.Line(approvals.AgainReason(r.ID, run, r.Reason))
	return "To ask again, send:\n" + Untrusted("/killswitch "+line).Plain(maxText-100)
}
