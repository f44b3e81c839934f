package cards

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// Limits of Slack's selects, and of what a form may send: a submission repeats the whole view, and
// ingress takes 256 KiB. https://docs.slack.dev/reference/block-kit/block-elements/select-menu-element
const (
	maxOption  = 75
	maxGroup   = 100
	maxChoices = 600
	maxEntered = 3000
	maxHint    = 2000
)

// RequestForm is the form that asks for a containment.
type RequestForm struct {
	Draft actions.Draft
	Org   actions.Org
	// Channel is where it was asked for, Attempt counts the drawings after a mistake: Slack keeps what
	// was entered in a field of the same ID, whatever the new view says.
	Channel  string
	Attempt  int
	Mistakes []actions.Mistake
	Notes    []slack.Block // why nothing was done
}

// View draws the form.
func (f RequestForm) View() slack.ModalViewRequest {
	var spec actions.Spec
	if a, ok := f.Org.Actions.Lookup(f.Draft.Action); ok {
		spec = a.Spec()
	}
	blocks := append([]slack.Block{}, f.Notes...)
	mistakes := slices.Clone(f.Mistakes)
	add := func(field, hint string, optional bool, element slack.BlockElement) {
		input := slack.NewInputBlock(fmt.Sprintf("%s.%d", field, f.Attempt), plain(approvals.FormLabel(field)), nil, element).WithOptional(optional)
		if hint != "" {
			input.Hint = plain(Untrusted(hint).Plain(maxHint))
		}
		blocks = append(blocks, input.WithDispatchAction(field == approvals.ActionField)) // what an action takes is drawn when it is chosen
		mistakes = slices.DeleteFunc(mistakes, func(m actions.Mistake) bool {
			if m.Field == field {
				blocks = append(blocks, mistake(m))
			}
			return m.Field == field
		})
	}
	var names []string
	for _, a := range f.Org.Actions {
		names = append(names, string(a.Spec().Name))
	}
	add(approvals.ActionField, spec.Summary, false, choice(approvals.ActionField, string(f.Draft.Action), names))
	add(approvals.TargetField, spec.Target.Forms, false, text(approvals.TargetField, f.Draft.Target))
	for _, k := range slices.Concat(spec.Target.Options, spec.Options) {
		value := f.Draft.Options[k]
		switch {
		case k == approvals.AccountField:
			add(k, "where the target does not tell it", true, choice(k, value, f.accounts()))
		case k == approvals.RegionField:
			add(k, "where the target does not tell it", true, choice(k, value, f.Org.Regions))
		case slices.Contains(spec.Options, k):
			add(k, optionHints[k], true, choice(k, value, spec.Values[k]))
		case value != "": // the target tells it, too
			add(k, "", true, text(k, value))
		}
	}
	reason := text(approvals.ReasonField, f.Draft.Reason)
	reason.Multiline, reason.MaxLength = true, MaxReason
	add(approvals.ReasonField, "for the approver and the record", false, reason)
	for _, m := range mistakes { // about what this action does not take
		blocks = append(blocks, mistake(m))
	}
	return slack.ModalViewRequest{
		Type: slack.VTModal, CallbackID: approvals.FormCallback, PrivateMetadata: fmt.Sprintf("%s.%d", f.Channel, f.Attempt),
		Title: plain(approvals.FormTitle), Submit: plain(approvals.FormSubmit), Close: plain("Close"),
		Blocks: slack.Blocks{BlockSet: blocks},
	}
}

// optionHints say what an option is where its values do not.
var optionHints = map[string]string{
	"confirm": "the target's name once more, for what is dangerous or protected",
	"user":    "the user whose key it is, if you know",
	"scp":     "the policy's name in the configuration, as freeze",
}

// accounts are the choices of accounts: the ID and the alias.
func (f RequestForm) accounts() []string {
	var all []string
	for _, alias := range slices.Sorted(maps.Keys(f.Org.Accounts)) {
		all = append(all, f.Org.Accounts[alias]+" "+alias)
	}
	return all
}

// mistake is the line under a field.
func mistake(m actions.Mistake) slack.Block {
	line := fmt.Sprintf("*%s* %s", Untrusted(m.Field), Untrusted(m.Problem))
	if m.Hint != "" {
		line += ": " + Untrusted(m.Hint).String()
	}
	return section("", line)
}

func text(id, value string) *slack.PlainTextInputBlockElement {
	if _, secret := actions.WithoutSecrets(value); secret || len([]rune(value)) > maxEntered {
		value = ""
	}
	e := slack.NewPlainTextInputBlockElement(nil, id)
	e.InitialValue = value
	return e
}

// choice is a select of values, whose texts are these values, or a text field where a select can't have
// them, or not the one that is given.
func choice(id, value string, of []string) slack.BlockElement {
	chosen := slices.IndexFunc(of, func(s string) bool {
		first, second, _ := strings.Cut(s, " ")
		return value == first || value != "" && value == second
	})
	tooLong := slices.ContainsFunc(of, func(s string) bool { return len(s) > maxOption })
	if len(of) == 0 || len(of) > maxChoices || tooLong || value != "" && chosen < 0 {
		return text(id, value)
	}
	var options []*slack.OptionBlockObject
	for _, s := range of {
		options = append(options, slack.NewOptionBlockObject(s, plain(s), nil))
	}
	e := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, nil, id)
	if len(options) <= maxGroup {
		e.Options = options
	} else {
		for group := range slices.Chunk(options, maxGroup) {
			label := shorten(group[0].Value, maxOption/2-1) + "…" + shorten(group[len(group)-1].Value, maxOption/2-1)
			e.OptionGroups = append(e.OptionGroups, slack.NewOptionGroupBlockElement(plain(label), group...))
		}
	}
	if chosen >= 0 {
		e.InitialOption = options[chosen]
	}
	return e
}

// Told is what stands in place of the form in the end.
func Told(m Message) slack.ModalViewRequest {
	return slack.ModalViewRequest{Type: slack.VTModal, Title: plain(approvals.FormTitle), Close: plain("Close"), Blocks: slack.Blocks{BlockSet: m.Blocks}}
}

// FormButtonBlock is the button that opens the form; it is filled with what was typed, or with the call of
// a request.
func FormButtonBlock(value string) slack.Block {
	e := slack.NewButtonBlockElement(approvals.FormButton, "", plain("Open the form"))
	if len(value) <= 2000 { // Slack's limit
		e.Value = value
	}
	return slack.NewActionBlock("form", e)
}

// FormMissed is said where the form could not be opened.
func FormMissed(value string) Message {
	const words = "Slack wants a form opened within 3 seconds, and that was missed. Nothing was done."
	return Message{Text: words, Blocks: []slack.Block{section("missed", words), FormButtonBlock(value)}}
}
