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

// againButtons is the button that asks for the same call again, where one click may.
func (v View) againButtons() []slack.BlockElement {
	i := v.Request.Intent
	if !v.askable() || approvals.ToType(i, v.Org.Actions.Lookup) {
		return nil
	}
	text := "Ask again: " + v.title() + v.where() + ". Another person must approve it."
	e := v.button(approvals.AgainButton, "Ask again")
	e.Value = approvals.Value(v.Request.ID, approvals.IntentDigest(i))
	return []slack.BlockElement{asking(e, "Ask for this again?", text, "Ask again")}
}

// againLine is the line that asks for the same again, where one click may not.
func (v View) againLine() string {
	r := v.Request
	if !v.askable() || !approvals.ToType(r.Intent, v.Org.Actions.Lookup) {
		return ""
	}
	run := approvals.Run{Outcome: r.State}
	if v.Run != nil {
		run = *v.Run
	}
	line := r.Intent.Line(approvals.AgainReason(r.ID, run, r.Reason))
	return "To ask again, send:\n" + Untrusted("/killswitch "+line).Plain(maxText-100)
}
