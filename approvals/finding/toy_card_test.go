package finding_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// withToy reads events with all sources and the toy.
func withToy() finding.Reader {
	return finding.Reader{
		Sources: append(finding.Sources(), finding.Toy),
		Org:     actions.Org{Actions: all.Actions, Partition: "aws", HubAccount: "111111111111", Regions: []string{"us-east-1"}},
		Routing: finding.Routing{Routes: []finding.Route{{Match: finding.Match{Source: finding.LeakScanner}, Delivery: finding.Propose}}},
	}
}

func toyEvent(t *testing.T) []byte {
	t.Helper()
	body, err := os.ReadFile("testdata/toy/leakscanner_found.json")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestNewSourceIsReadOfferedAndDrawn: a source that is in the list is read, its card
// names the product and offers what fits, and the executor reads the same offers from the
// stored event.
func TestNewSourceIsReadOfferedAndDrawn(t *testing.T) {
	r, e := withToy(), finding.Event{Body: toyEvent(t)}
	fs, err := r.Read(e)
	if err != nil || len(fs) != 1 {
		t.Fatalf("%d findings, %v", len(fs), err)
	}
	f := fs[0]
	var calls []string
	for _, o := range f.Offers() {
		calls = append(calls, o.Intent.String())
		if want := "Leak Scanner Leak in 222222222222 us-east-1"; o.Why != want {
			t.Errorf("%s for %q, want %q", o.Intent, o.Why, want)
		}
	}
	if d := cmp.Diff([]string{"deactivate_key AKIADEPLOYBT2EXAMPLE account=222222222222 quarantine=yes", "quarantine_user arn:aws:iam::222222222222:user/deploy-bot"}, calls); d != "" {
		t.Error(d)
	}

	m := cards.AlertCard(cards.AlertView{Actions: all.Actions, Alert: alerts.Alert{ID: approvals.AlertID(f.Own()), State: alerts.Open}, Finding: f, Offers: f.Offers(), Now: f.Updated})
	if head := m.Blocks[0].(*slack.HeaderBlock).Text.Text; head != "High: Access key AKIADEPLOYBT2EXAMPLE of user deploy-bot was found in a paste" {
		t.Errorf("title %q", head)
	}
	drawn, err := json.Marshal(m.Blocks)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range append(f.Offers().Buttons(), append(calls, "*Finding* Leak Scanner · Leak", "Found at: https://paste.example/1")...) {
		if !strings.Contains(string(drawn), want) {
			t.Errorf("the card lacks %q: %s", want, drawn)
		}
	}

	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := r.ReadStored(string(body))
	if d := cmp.Diff(fs, stored); err != nil || d != "" {
		t.Errorf("the executor reads something else: %v\n%s", err, d)
	}
}

// TestUnreadableEventOfANewSource: people are told the product's name.
func TestUnreadableEventOfANewSource(t *testing.T) {
	_, err := withToy().Read(finding.Event{Body: []byte(strings.Replace(string(toyEvent(t)), "accessKey", "access_key", 1))})
	bad, ok := errors.AsType[*finding.Malformed](err)
	if !ok {
		t.Fatal(err)
	}
	if m := cards.Unreadable(bad, "", ""); !strings.HasPrefix(m.Text, "*An event of Leak Scanner could not be read*: Detail.accessKey is missing.") {
		t.Error(m.Text)
	}
}

// TestListWithoutASourceIgnoresItsEvents: a test that adds a source changes no other.
func TestListWithoutASourceIgnoresItsEvents(t *testing.T) {
	r := withToy()
	r.Sources = nil
	if fs, err := r.Read(finding.Event{Body: toyEvent(t)}); len(fs) != 0 || err == nil {
		t.Errorf("%+v, %v", fs, err)
	}
}
