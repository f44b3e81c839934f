package cards

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// maxAsText bounds a card as text, well below Slack's own limit.
// https://docs.slack.dev/reference/methods/chat.postMessage
const maxAsText = 3500

// AsText is a message as text alone, for one whose blocks Slack refuses. It has no buttons: what
// they ask for is in it, to be typed. short leaves only what the notification says.
func (m Message) AsText(cause string, short bool) Message {
	lines := []string{m.Text, fmt.Sprintf("_Slack refused this as a card (%s), so it has no buttons: type after /killswitch what fits._", Untrusted(Untrusted(cause).Plain(maxName)))}
	for _, b := range m.Blocks {
		var t *slack.TextBlockObject
		if s, ok := b.(*slack.SectionBlock); ok && s.BlockID != "contain" { // which speaks of buttons
			t = s.Text
		}
		switch {
		case short || t == nil:
		case t.Type == slack.PlainTextType:
			lines = append(lines, Untrusted(t.Text).String())
		default:
			lines = append(lines, t.Text)
		}
	}
	var text strings.Builder
	for i, line := range lines {
		if i > 1 && utf8.RuneCountInString(text.String()+line) > maxAsText {
			break
		}
		text.WriteString(line + "\n")
	}
	return Message{Text: strings.TrimSuffix(text.String(), "\n"), Broadcast: m.Broadcast, Marker: m.Marker, Rank: m.Rank}
}
