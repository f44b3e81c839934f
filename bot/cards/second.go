package cards

import (
	"cmp"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// mentions are all that notify somebody: of people, of groups and of a channel.
var mentions = actions.NewPattern(`<@([A-Z0-9]+)(?:\|[^>]*)?>|<!(?:here|channel|everyone|subteam\^[^>]*)>`)

// Second is the card of a request where it was asked for, beside the first. It has the same
// buttons, and mentions nobody: those who may approve are called in the first's channel, where
// its thread is, too.
func Second(v View, roster approvals.Roster) Message {
	m := Card(v)
	quiet := func(text string) string {
		return mentions().ReplaceAllStringFunc(text, func(s string) string {
			user := mentions().FindStringSubmatch(s)[1]
			p, _ := roster.BySlack(user)
			return Untrusted(cmp.Or(p.Name, p.ID, user)).String()
		})
	}
	m.Text = quiet(m.Text)
	for _, b := range m.Blocks {
		switch b := b.(type) {
		case *slack.SectionBlock:
			if b.Text != nil && b.Text.Type == slack.MarkdownType { // plain text is what a vote is for
				b.Text.Text = quiet(b.Text.Text)
			}
		case *slack.ContextBlock:
			for _, e := range b.ContextElements.Elements {
				if t, ok := e.(*slack.TextBlockObject); ok && t.Type == slack.MarkdownType {
					t.Text = quiet(t.Text)
				}
			}
		}
	}
	first := v.Request.Card
	m.Blocks = append(m.Blocks, slack.NewContextBlock("first", mrkdwn("Who may approve is called in <#"+first.Channel+">, and what happens is told in the thread there."+linkTo(" ", first))))
	return m
}
