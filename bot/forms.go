package bot

import (
	"fmt"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
)

const denialCallback = "deny_reason"

// denialForm asks for the reason of a denial that counts already.
func denialForm(id string) slack.ModalViewRequest {
	input := slack.NewPlainTextInputBlockElement(plain("What speaks against it?"), "reason")
	input.Multiline = true
	input.MaxLength = maxReason
	return slack.ModalViewRequest{
		Type: slack.VTModal, CallbackID: denialCallback, PrivateMetadata: id,
		Title: plain("Denied"), Submit: plain("Add reason"), Close: plain("No reason"),
		Blocks: slack.Blocks{BlockSet: []slack.Block{
			section("note", fmt.Sprintf("You denied %s: it will not run. Tell the others why.", id)),
			slack.NewInputBlock("reason", plain("Reason"), nil, input),
		}},
	}
}

// detailBlocks are the whole plan and the ledger, as far as a modal holds them.
func detailBlocks(v View) []slack.Block {
	blocks := []slack.Block{section("state", v.headline()), slack.NewSectionBlock(plain(Untrusted(v.Request.Intent.String()).Plain(maxText)), nil, nil)}
	blocks = append(blocks, v.plan()...)
	blocks = append(blocks, v.outcome()...)
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

func tamperText(t approvals.Tampered) string {
	done := "It was applied again."
	if !t.Reapplied {
		done = "It was not applied again."
	}
	return fmt.Sprintf("%s: somebody undid \"%s\" (found %s). %s", t.At.UTC().Format("15:04:05 UTC"), t.Step, t.Found, done)
}
