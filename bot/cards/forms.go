package cards

import (
	"fmt"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// DenialCallback names the form that asks for the reason of a denial.
const DenialCallback = "deny_reason"

// DenialForm asks for the reason of a denial that counts already.
func DenialForm(id string) slack.ModalViewRequest {
	input := slack.NewPlainTextInputBlockElement(plain("What speaks against it?"), "reason")
	input.Multiline = true
	input.MaxLength = MaxReason
	return slack.ModalViewRequest{
		Type: slack.VTModal, CallbackID: DenialCallback, PrivateMetadata: id,
		Title: plain("Denied"), Submit: plain("Add reason"), Close: plain("No reason"),
		Blocks: slack.Blocks{BlockSet: []slack.Block{
			section("note", fmt.Sprintf("You denied %s: it will not run, or not again. Tell the others why.", id)),
			slack.NewInputBlock("reason", plain("Reason"), nil, input),
		}},
	}
}

// Details are the whole plan and what happened, as far as a modal holds them. The
// message says the same, for when the modal can't be opened.
func Details(v View) (slack.ModalViewRequest, Message) {
	blocks := v.details()
	modal := slack.ModalViewRequest{Type: slack.VTModal, Title: plain(v.Request.ID), Close: plain("Close"), Blocks: slack.Blocks{BlockSet: blocks}}
	return modal, Message{Text: entities(v.fallback()), Blocks: blocks}
}

func (v View) details() []slack.Block {
	blocks := []slack.Block{section("state", v.headline()), slack.NewSectionBlock(plain(Untrusted(v.Request.Intent.String()).Plain(maxText)), nil, nil)}
	blocks = append(blocks, v.plan()...)
	blocks = append(blocks, v.outcome(true)...)
	if v.Run != nil && v.Run.Started {
		text := fmt.Sprintf("Attempt %d, claimed %s.", v.Run.Attempt, clock(v.Run.Since))
		if !v.Run.Verified.IsZero() {
			text += fmt.Sprintf(" Verified %s. Checked again %s.", clock(v.Run.Verified), times(v.Run.Checks))
		}
		blocks = append(blocks, section("run", text))
	}
	for i, t := range v.tampering() {
		blocks = append(blocks, slack.NewSectionBlock(plain(Untrusted(tamperText(t)).Plain(maxText)), nil, nil, slack.SectionBlockOptionBlockID(fmt.Sprintf("tamper-%d", i))))
	}
	return blocks
}

func (v View) tampering() []approvals.Tampered {
	if v.Run == nil {
		return nil
	}
	return v.Run.Tampering
}
