package cards

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// TestArgumentsOfAnswersAreEscaped: what an answer is given does nothing in it.
func TestArgumentsOfAnswersAreEscaped(t *testing.T) {
	for _, text := range []string{"words", evil, evilLong} {
		checkMessage(t, Say("%s", text))
		checkMessage(t, Say(CardMissing, text, "C0SEC"))
		checkMessage(t, Say(NothingToUndo, baseID, approvals.State(text)))
	}
	if got, want := Say(NoRequest, baseID, "/killswitch").Text, "There is no request "+baseID+". `/killswitch list` shows those that are open."; got != want {
		t.Errorf("Say = %q, want %q", got, want)
	}
}

func TestList(t *testing.T) {
	if m := List(nil, nil); m.Text != "Nothing is open and nothing is contained." {
		t.Errorf("an empty list: %q", m.Text)
	}
	var views []View
	for _, c := range cards {
		views = append(views, c.view())
	}
	checkMessage(t, List(views[:3], nil))
	checkMessage(t, List(views, views))
	text := string(document(t, List(views[1:2], views[7:8])))
	if !strings.Contains(text, `*Open*\n• pending 0/1: `) || !strings.Contains(text, `*In force, can be undone*\n• contained: `) {
		t.Errorf("the list is %s", text)
	}
}

func TestAudit(t *testing.T) {
	events := make([]audit.Event, 30)
	for i := range events {
		events[i] = audit.Event{At: asked, Event: fmt.Sprintf("event-%d", i), Actor: evil, Facts: map[string]string{"cause": evilLong, "document": "left out"}}
	}
	m := Audit(baseID, events, nil)
	checkMessage(t, m)
	text := string(document(t, m))
	for want, there := range map[string]bool{"The chain of 30 events is intact.": true, "event-4 ": false, "event-5 ": true, "left out": false, "altered": false} {
		if strings.Contains(text, want) != there {
			t.Errorf("%q is there: %v", want, !there)
		}
	}
	m = Audit(baseID, nil, fmt.Errorf("%w: event 3", errors.New("the chain is broken")))
	checkMessage(t, m)
	if text := string(document(t, m)); !strings.Contains(text, "*The chain is broken: event 3.* Somebody altered the record.") {
		t.Errorf("a broken chain: %s", text)
	}
}
