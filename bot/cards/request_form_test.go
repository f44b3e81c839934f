package cards

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/cards/cardstest"
)

func accountsOf(n int) map[string]string {
	of := map[string]string{}
	for i := range n {
		of[fmt.Sprintf("team-%04d", i)] = fmt.Sprintf("%012d", i)
	}
	return of
}

// TestRequestFormIsTaken: Slack takes the form for every action, however much stands in it, and it has a
// field for each key that the action takes.
func TestRequestFormIsTaken(t *testing.T) {
	for _, accounts := range []int{0, 1, 100, 101, 600, 601} {
		for _, a := range append(actions.Catalog{nil}, all.Actions...) {
			f := RequestForm{Org: actions.Org{Actions: all.Actions, Accounts: accountsOf(accounts), Regions: []string{"us-east-1"}}, Channel: "C01INC", Attempt: 3}
			f.Draft = actions.Draft{Target: evilLong, Reason: strings.Repeat("why ", 140), Options: map[string]string{"account": evil}}
			var keys []string
			if a != nil {
				f.Draft.Action = a.Spec().Name
				keys = a.Spec().Options
				for _, k := range append([]string{"target", "account", "reason", "unknown", evil}, keys...) {
					f.Mistakes = append(f.Mistakes, actions.Mistake{Field: k, Problem: evil, Hint: evil})
				}
			}
			v := f.View()
			cardstest.Modal(t, v)
			ids := map[string]bool{}
			for _, b := range v.Blocks.BlockSet {
				ids[b.ID()] = true
			}
			for _, k := range keys {
				if !ids[k+".3"] {
					t.Errorf("%s has no field %s", f.Draft.Action, k)
				}
			}
		}
	}
}

// TestSelectsSayWhatTheySend: of a choice the text is the value, which the executor asks for.
func TestSelectsSayWhatTheySend(t *testing.T) {
	f := RequestForm{Org: actions.Org{Actions: all.Actions, Accounts: accountsOf(250), Regions: []string{"us-east-1", "eu-west-1"}}, Draft: actions.Draft{Action: actions.IsolateInstance}}
	selects := 0
	for _, b := range f.View().Blocks.BlockSet {
		in, ok := b.(*slack.InputBlock)
		if !ok {
			continue
		}
		if in.Label.Text != approvals.FormLabel(strings.TrimSuffix(in.BlockID, ".0")) {
			t.Errorf("%s has the label %q", in.BlockID, in.Label.Text)
		}
		e, ok := in.Element.(*slack.SelectBlockElement)
		if !ok {
			continue
		}
		selects++
		options := e.Options
		for _, g := range e.OptionGroups {
			options = append(options, g.Options...)
		}
		for _, o := range options {
			if o.Text.Text != o.Value {
				t.Errorf("%s: %q is shown as %q", in.BlockID, o.Value, o.Text.Text)
			}
		}
	}
	if selects != 5 {
		t.Errorf("%d selects", selects)
	}
}
