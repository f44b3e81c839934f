package approvals

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// CallBlock is the block_id of the card's block with the call, ReasonBlock of the one
// with requester and reason.
const (
	CallBlock   = "call"
	ReasonBlock = "why"
)

// OfferBlock is the block_id of the n-th call that an alert's card offers, from 1.
func OfferBlock(n int) string { return fmt.Sprintf("%s:%d", CallBlock, n) }

var offerBlock = regexp.MustCompile("^" + CallBlock + ":[1-9][0-9]?$")

// OneClickBlock is the block_id of the block with OneClickText. Every card with
// one-click buttons must have it.
const (
	OneClickBlock = "one-click"
	OneClickText  = "One click runs it once its source confirms it. A second person is asked only if not, or if the target is not sure."
)

// SlackPayload holds the fields of a command or interaction that decisions depend on.
type SlackPayload struct {
	Type       string // slash_command, block_actions, view_submission, or another
	Team       string
	Enterprise string
	App        string
	User       string
	UserTeam   string
	Channel    string
	Command    string // /killswitch
	Text       string // of a command: as it was typed

	Actions     []SlackAction // of a click
	Container   string        // of a click: message, view, or another
	CallText    string        // text of the card's block "call"
	CallBlocks  int           // number of blocks with that ID
	ReasonText  string        // text of the card's block "why"
	Offers      []string      // texts of the blocks with the calls of an alert's card, or of a reply
	OneClick    bool          // the card had the block with OneClickText
	MessageTS   string
	ThreadTS    string
	CallbackID  string // of a view
	Metadata    string // of a view: private_metadata
	ViewID      string
	ViewHash    string
	ViewTitle   string
	ViewSubmit  string       // on its button
	Inputs      []SlackInput // of a view
	ResponseURL string
	TriggerID   string
}

// Showed reports whether the message offered a call, once.
func (p SlackPayload) Showed(i Intent) bool {
	return len(slices.DeleteFunc(slices.Clone(p.Offers), func(s string) bool { return s != i.String() })) == 1
}

// Input is what was entered in a field of a view.
func (p SlackPayload) Input(field string) string {
	for _, in := range p.Inputs {
		if in.Field == field {
			return in.Value
		}
	}
	return ""
}

// SlackAction is a clicked element.
type SlackAction struct {
	ID    string `json:"action_id"`
	Value string `json:"value"`
}

type slackID struct {
	ID     string `json:"id"`
	TeamID string `json:"team_id"`
}

type interaction struct {
	Type       string   `json:"type"`
	Team       *slackID `json:"team"`
	Enterprise *slackID `json:"enterprise"`
	App        string   `json:"api_app_id"`
	User       slackID  `json:"user"`
	Channel    slackID  `json:"channel"`
	Container  struct {
		Type      string `json:"type"`
		ChannelID string `json:"channel_id"`
		MessageTS string `json:"message_ts"`
	} `json:"container"`
	Message struct {
		TS       string            `json:"ts"`
		ThreadTS string            `json:"thread_ts"`
		Blocks   []json.RawMessage `json:"blocks"`
	} `json:"message"`
	Actions     []SlackAction `json:"actions"`
	ResponseURL string        `json:"response_url"`
	TriggerID   string        `json:"trigger_id"`
	View        struct {
		ID         string `json:"id"`
		Hash       string `json:"hash"`
		CallbackID string `json:"callback_id"`
		Metadata   string `json:"private_metadata"`
		viewState
	} `json:"view"`
}

// ParseSlack parses the body of a command or an interaction. It returns an
// *[actions.Refusal] for anything else.
func ParseSlack(body string) (SlackPayload, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return SlackPayload{}, Unproven("not a form")
	}
	if p := form["payload"]; len(p) == 1 {
		return parseInteraction(p[0])
	}
	for _, field := range []string{"command", "text", "team_id", "user_id", "channel_id", "api_app_id"} {
		if len(form[field]) > 1 {
			return SlackPayload{}, Unproven("%s is there twice", field)
		}
	}
	if form.Get("command") == "" {
		return SlackPayload{}, Unproven("neither a command nor an interaction")
	}
	return SlackPayload{
		Type: "slash_command", Team: form.Get("team_id"), Enterprise: form.Get("enterprise_id"), App: form.Get("api_app_id"),
		User: form.Get("user_id"), UserTeam: form.Get("team_id"), Channel: form.Get("channel_id"),
		Command: form.Get("command"), Text: unescape(resolveEntities(form.Get("text"))),
		ResponseURL: form.Get("response_url"), TriggerID: form.Get("trigger_id"),
	}, nil
}

func parseInteraction(payload string) (SlackPayload, error) {
	var p interaction
	if err := json.Unmarshal([]byte(payload), &p); err != nil {
		return SlackPayload{}, Unproven("payload: %s", clipError(err))
	}
	if p.Type == "" {
		return SlackPayload{}, Unproven("neither a command nor an interaction")
	}
	w := SlackPayload{
		Type: p.Type, App: p.App, User: p.User.ID, UserTeam: p.User.TeamID, Channel: p.Channel.ID,
		Actions: p.Actions, Container: p.Container.Type, MessageTS: p.Message.TS, ThreadTS: p.Message.ThreadTS,
		CallbackID: p.View.CallbackID, Metadata: p.View.Metadata, ViewID: p.View.ID, ViewHash: p.View.Hash,
		ViewTitle: unescape(p.View.Title.Text), ViewSubmit: unescape(p.View.Submit.Text),
		Inputs: p.View.inputs(), ResponseURL: p.ResponseURL, TriggerID: p.TriggerID,
	}
	if p.Team != nil {
		w.Team = p.Team.ID
	}
	if p.Enterprise != nil {
		w.Enterprise = p.Enterprise.ID
	}
	if w.Channel == "" {
		w.Channel = p.Container.ChannelID
	}
	for _, b := range p.Message.Blocks {
		var block struct {
			ID   string `json:"block_id"`
			Type string `json:"type"`
			Text struct {
				Type string `json:"type"`
				Text string `json:"text"`
			} `json:"text"`
		}
		if json.Unmarshal(b, &block) != nil || block.Type != "section" || block.Text.Type != "plain_text" {
			if block.ID == CallBlock {
				w.CallBlocks++
			}
			continue
		}
		text := unescape(block.Text.Text)
		switch {
		case block.ID == CallBlock:
			w.CallBlocks++
			w.CallText = text
		case block.ID == ReasonBlock:
			w.ReasonText = text
		case block.ID == OneClickBlock:
			w.OneClick = text == OneClickText
		case offerBlock.MatchString(block.ID):
			w.Offers = append(w.Offers, text)
		}
	}
	return w, nil
}

// entity is what Slack makes of an address, a number, a person or a channel in typed text.
// https://docs.slack.dev/messaging/formatting-message-text#advanced
var entity = actions.NewPattern(`<(mailto:|tel:|https?://|@|#|!subteam\^|!)([^<>|]*)(?:\|([^<>]*))?>`)

// resolveEntities puts the typed text in place of entities. It reads raw text: a < that
// somebody typed is escaped there. The label is what was typed, unless it hides the address.
func resolveEntities(raw string) string {
	return entity().ReplaceAllStringFunc(raw, func(s string) string {
		g := entity.FindStringSubmatch(s)
		kind, address, label := g[1], g[2], g[3]
		switch kind {
		case "mailto:", "tel:":
		case "@", "#", "!", "!subteam^":
			sign := "@"
			if kind == "#" {
				sign = kind
			}
			return sign + strings.TrimLeft(cmp.Or(label, address), "@#")
		default:
			address = kind + address
		}
		if label != "" && (kind == "tel:" || strings.Contains(address, label)) {
			return label
		}
		return address
	})
}

// unescape replaces the three entities that Slack writes in text.
// https://docs.slack.dev/messaging/formatting-message-text#escaping
var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace

// clipError keeps the body's content out of errors.
func clipError(err error) string {
	if s := err.Error(); len(s) < 80 {
		return s
	}
	return "malformed JSON"
}

// Value is a button's value: a request's ID and its call digest.
func Value(id, digest string) string { return id + "." + digest }

// SplitValue splits a button's value.
func SplitValue(v string) (id, digest string, ok bool) {
	id, digest, ok = strings.Cut(v, ".")
	return id, digest, ok && IsRequestID(id)
}

// SplitAlertValue splits the value of a button on an alert's card: the alert's ID and
// an intent digest.
func SplitAlertValue(v string) (id, digest string, ok bool) {
	id, digest, ok = strings.Cut(v, ".")
	return id, digest, ok && IsAlertID(id)
}
