package approvals

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// FormCallback is the callback_id of the form that asks for a containment, FormButton the action_id of
// a button that opens it.
const (
	FormCallback = "request"
	FormButton   = "form"
)

// FormTitle and FormSubmit are what a person reads at the top of the form and on its button.
const (
	FormTitle  = "Contain"
	FormSubmit = "Ask for approval"
)

// The fields that the form has for every action; its others are options of the action.
const (
	ActionField  = "action"
	TargetField  = "target"
	AccountField = "account"
	RegionField  = "region"
	ReasonField  = "reason"
)

// FormLabel is the label of a field. A submission counts only if the person saw these.
func FormLabel(field string) string {
	switch field {
	case ActionField, TargetField, AccountField, RegionField, ReasonField:
		return strings.ToUpper(field[:1]) + field[1:]
	}
	return field + "="
}

// ReadForm returns what is entered in the form, of a submission or of a click in it. It returns an
// *[actions.Refusal] if what the person saw is not what is sent: it must be our form, each field there
// once, under its own label, and an account's alias the configuration's.
func ReadForm(p SlackPayload, accounts actions.Directory) (actions.Draft, error) {
	if p.CallbackID != FormCallback || p.ViewTitle != FormTitle || p.ViewSubmit != FormSubmit {
		return actions.Draft{}, Unproven("it is not the form")
	}
	d := actions.Draft{Options: map[string]string{}}
	var seen []string
	for _, in := range p.Inputs {
		if in.Wrong != "" {
			return d, Unproven("the field %s %s", actions.Clip(in.Field), in.Wrong)
		}
		if in.Label != FormLabel(in.Field) {
			return d, Unproven("the field %s has another label", actions.Clip(in.Field))
		}
		if slices.Contains(seen, in.Field) {
			return d, Unproven("the field %s is there twice", actions.Clip(in.Field))
		}
		seen = append(seen, in.Field)
		switch in.Field {
		case ActionField:
			d.Action = actions.Name(in.Value)
		case TargetField:
			d.Target = in.Value
		case ReasonField:
			d.Reason = in.Value
		default:
			value := strings.TrimSpace(in.Value)
			if id, name, chosen := strings.Cut(value, " "); chosen && in.Field == AccountField {
				if accounts.Accounts[name] != id {
					return d, Unproven("the account %s was shown under another name", actions.Clip(id))
				}
				value = id
			}
			if value != "" {
				d.Options[in.Field] = value
			}
		}
	}
	return d, nil
}

// FormRoute returns what the form's private metadata says: where it was asked for, and how often it was
// drawn.
func FormRoute(metadata string) (channel string, attempt int) {
	channel, n, _ := strings.Cut(metadata, ".")
	attempt, _ = strconv.Atoi(n)
	return channel, attempt
}

// SlackInput is a field of a view, with what is entered in it.
type SlackInput struct {
	Field string // the block's block_id without ".ATTEMPT": Slack keeps what was entered under the same ID
	Label string
	Value string
	Wrong string // why it is no evidence of what the person entered; empty: it is
}

// viewState is the part of a view that says what was entered.
type viewState struct {
	Title  slackLabel `json:"title"`
	Submit slackLabel `json:"submit"`
	Blocks []struct {
		ID      string     `json:"block_id"`
		Type    string     `json:"type"`
		Label   slackLabel `json:"label"`
		Element struct {
			ActionID string `json:"action_id"`
		} `json:"element"`
	} `json:"blocks"`
	State struct {
		Values map[string]map[string]struct {
			Type     string `json:"type"`
			Value    string `json:"value"`
			Selected *struct {
				Text  slackLabel `json:"text"`
				Value string     `json:"value"`
			} `json:"selected_option"`
		} `json:"values"`
	} `json:"state"`
}

type slackLabel struct {
	Text string `json:"text"`
}

// inputs joins a view's fields with what was entered, also in what is no field. The value of an option
// must be what the person read there.
func (v viewState) inputs() (all []SlackInput) {
	shown := map[string]bool{}
	for _, b := range v.Blocks {
		if b.Type != "input" {
			continue
		}
		shown[b.ID] = true
		in := v.entered(b.ID, b.Element.ActionID)
		in.Label = unescape(b.Label.Text)
		all = append(all, in)
	}
	for _, id := range slices.Sorted(maps.Keys(v.State.Values)) {
		if !shown[id] {
			in := v.entered(id, id)
			in.Wrong = "was not shown"
			all = append(all, in)
		}
	}
	return all
}

// entered is what was entered in an element of a block.
func (v viewState) entered(block, action string) (in SlackInput) {
	in.Field, _, _ = strings.Cut(block, ".")
	of, there := v.State.Values[block]
	if !there {
		return in
	}
	e, ok := of[action]
	in.Value = e.Value
	switch {
	case !ok || len(of) != 1:
		in.Wrong = "is not as it was shown"
	case e.Type == "static_select" && e.Selected == nil:
	case e.Type == "static_select" && unescape(e.Selected.Text.Text) == e.Selected.Value:
		in.Value = e.Selected.Value
	case e.Type != "plain_text_input":
		in.Wrong = "was shown as something else"
	}
	return in
}
