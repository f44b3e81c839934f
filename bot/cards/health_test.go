package cards_test

import (
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/cards"
	"github.com/killswitch-chatops/killswitch/bot/cards/cardstest"
)

// TestHealthIsOneMessage that Slack takes, however much was found, and in which no word of it calls anybody.
func TestHealthIsOneMessage(t *testing.T) {
	found := []approvals.Trouble{{Check: "roles", Found: "<!channel> *x* can't be entered", Mend: "ask <@U01ALICE>"}}
	for range 30 {
		found = append(found, approvals.Trouble{Check: "roles", Found: strings.Repeat("very long ", 100), Mend: strings.Repeat("mend & ", 100)})
	}
	m := cards.Health(found)
	cardstest.Message(t, m.Text, m.Blocks)
	if strings.Contains(m.Text, "<!") || strings.Contains(m.Text, "<@") || !strings.Contains(m.Text, "found 31 things") || strings.Count(m.Text, "\n• ") < 3 {
		t.Error(m.Text)
	}
	if one := cards.Health(found[:1]).Text; !strings.Contains(one, "found 1 thing that needs somebody") || !strings.Contains(one, "can't be entered") || strings.Contains(one, "more") {
		t.Error(one)
	}
	over := cards.Health(nil)
	cardstest.Message(t, over.Text, over.Blocks)
}
