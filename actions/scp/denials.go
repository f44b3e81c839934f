package scp

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// Limits of what is told of a document. A card shows 220 characters of a line.
const (
	maxDenials  = 6  // lines; a line for each statement
	maxActions  = 80 // characters of actions in a line
	maxExempt   = 40 // of principals
	maxResource = 30 // of resources, of conditions
)

// denials says what a valid document denies, a line for each statement, the widest first.
func denials(o actions.Org, document string) []string {
	statements, err := statementsOf(document)
	if err != nil {
		return nil
	}
	type line struct {
		width int
		text  string
	}
	var lines []line
	for _, s := range statements {
		lines = append(lines, line{statementWidth(s), statementText(o, s)})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.width, b.width) })
	var texts []string
	for _, l := range lines[:min(len(lines), maxDenials)] {
		texts = append(texts, l.text)
	}
	if more := len(lines) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("And %d statements more: read the document before you approve.", more))
	}
	return texts
}

// statementText is what one statement denies, where, to whom.
func statementText(o actions.Org, s map[string]any) string {
	acts, ok := deny.Strings(s["Action"])
	text := "It denies "
	if !ok {
		acts, _ = deny.Strings(s["NotAction"])
		text = "It denies everything but "
	}
	slices.SortStableFunc(acts, func(a, b string) int { return cmp.Or(cmp.Compare(width(a), width(b)), cmp.Compare(a, b)) })
	text += someOf(acts, maxActions)
	if on, ok := deny.Strings(s["Resource"]); ok && !slices.Contains(on, "*") {
		text += " on " + someOf(on, maxResource)
	} else if not, ok := deny.Strings(s["NotResource"]); ok {
		text += " on all but " + someOf(not, maxResource)
	}
	if tests, no := principalTests(s["Condition"]); no == nil {
		exempt := []string{"Killswitch"}
		for _, t := range tests {
			for _, name := range shortARNs(t.patterns) {
				if t.negated && name != "role/"+o.ResponderRole && name != "role/"+o.RestorerRole {
					exempt = append(exempt, name)
				}
			}
		}
		text += ", not to " + someOf(exempt, maxExempt)
	}
	if keys := otherKeys(s["Condition"]); len(keys) > 0 {
		text += ", only under conditions on " + someOf(keys, maxResource)
	}
	return text + "."
}

// otherKeys are the keys of a condition beside aws:PrincipalArn.
func otherKeys(condition any) (keys []string) {
	byOperator, _ := condition.(map[string]any)
	for _, op := range slices.Sorted(maps.Keys(byOperator)) {
		byKey, _ := byOperator[op].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(byKey)) {
			if !strings.EqualFold(key, "aws:PrincipalArn") && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// width orders actions: all, all of a service, some of them, one.
func width(action string) int {
	_, name, _ := strings.Cut(action, ":")
	switch {
	case action == "*":
		return 0
	case name == "*":
		return 1
	case strings.ContainsAny(name, "*?"):
		return 2
	}
	return 3
}

// statementWidth is that of its widest action.
func statementWidth(s map[string]any) int {
	acts, ok := deny.Strings(s["Action"])
	if !ok {
		return 0 // NotAction
	}
	return width(slices.MinFunc(acts, func(a, b string) int { return cmp.Compare(width(a), width(b)) }))
}

// someOf lists as many items as have room, and counts the rest.
func someOf(items []string, most int) string {
	var b strings.Builder
	for i, item := range items {
		if i > 0 && b.Len()+len(item) > most {
			return fmt.Sprintf("%s and %d more", b.String(), len(items)-i)
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(shorten(item, most))
	}
	return b.String()
}

func shorten(s string, most int) string {
	if rs := []rune(s); len(rs) > most {
		return string(rs[:most-1]) + "…"
	}
	return s
}

// shortARNs returns principals in short: role/NAME if it is any account's.
func shortARNs(arns []string) []string {
	var names []string
	for _, arn := range arns {
		if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 && parts[4] == "*" {
			arn = parts[5]
		}
		names = append(names, actions.Clip(arn))
	}
	return names
}
