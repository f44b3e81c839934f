package cards

import (
	"fmt"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/approvals"
)

const (
	maxLists    = 10   // replies that list what was not done
	maxListText = 1800 // characters of one
)

// List tells which requests are open, and which containments are in force.
func List(open, held []View) Message {
	var text strings.Builder
	show := func(head string, vs []View) {
		if len(vs) == 0 {
			return
		}
		fmt.Fprintf(&text, "*%s*\n", head)
		for _, v := range vs {
			fmt.Fprintf(&text, "• %s\n", Untrusted(v.fallback()))
		}
	}
	show("Open", open)
	show("In force, can be undone", held)
	if text.Len() == 0 {
		return note("Nothing is open and nothing is contained.")
	}
	m := note("%s", cut(text.String(), maxText))
	m.Text = "Open requests and containments in force"
	return m
}

// leftLists tell of many steps those that were left alone or failed, by reason,
// in as many messages as it takes.
func leftLists(steps []approvals.Step) []string {
	type group struct {
		head  string
		names []string
	}
	var groups []*group
	at := map[string]*group{}
	failed := func(s approvals.Step) bool { return s.State == approvals.StepFailed }
	steps = slices.Clone(steps)
	slices.SortStableFunc(steps, func(a, b approvals.Step) int { // what failed first
		switch {
		case failed(a) == failed(b):
			return 0
		case failed(a):
			return -1
		}
		return 1
	})
	for _, s := range steps {
		head := "left alone: " + s.Step.Skip
		if failed(s) {
			head = "failed: " + s.Cause
		}
		head = Untrusted(Untrusted(head).Plain(maxItem)).String()
		if at[head] == nil {
			at[head] = &group{head: head}
			groups = append(groups, at[head])
		}
		at[head].names = append(at[head].names, Untrusted(Untrusted(stepName(s)).Plain(maxItem)).String())
	}
	var texts []string
	for _, g := range groups {
		for rest := g.names; len(rest) > 0; {
			var b strings.Builder
			n := 0
			for n < len(rest) && (n == 0 || b.Len()+len(rest[n]) < maxListText) {
				if n > 0 {
					b.WriteString(", ")
				}
				b.WriteString(rest[n])
				n++
			}
			texts = append(texts, fmt.Sprintf("%d %s\n%s", len(g.names), g.head, b.String()))
			rest = rest[n:]
		}
	}
	if more := len(texts) - maxLists; more > 0 {
		texts = append(texts[:maxLists], fmt.Sprintf("and %d more lists like these: `audit` and the record have all.", more))
	}
	return texts
}

// stepName is what a step changes, in short.
func stepName(s approvals.Step) string {
	return s.Step.Resource[strings.LastIndex(s.Step.Resource, "/")+1:]
}
