package approvals

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Command is a parsed line that somebody typed.
type Command struct {
	Verb           string // "act" for an action, "form" for nothing at all, else list, show, approve, deny, cancel, undo, audit or help
	ID             string // for the verbs about a request
	Call           actions.Call
	Reason         string
	ReactivateKeys bool   // of an undo: give credentials back too
	Topic          string // for help
}

// verbs lists the verbs about a request. true: free text may follow the ID.
var verbs = map[string]bool{"show": false, "approve": false, "deny": true, "cancel": false, "undo": true, "audit": false}

// ParseCommand parses the text after /killswitch, for bot and executor alike. Its error
// is an *[actions.ParseErrors].
func ParseCommand(text string, d actions.Directory) (Command, error) {
	text = actions.Clean(text)
	words := strings.Fields(text)
	verb := "form"
	if len(words) > 0 {
		verb = strings.ToLower(words[0])
	}
	free, about := verbs[verb]
	switch {
	case verb == "help", verb == "?", verb == "-h", verb == "--help":
		c := Command{Verb: "help"}
		if len(words) > 1 {
			c.Topic = strings.ReplaceAll(strings.ToLower(words[1]), "-", "_")
		}
		return c, nil
	case verb == "list", len(words) == 0:
		return Command{Verb: verb}, nil
	case about:
		return aboutRequest(verb, words[1:], free)
	}
	call, reason, err := actions.Parse(text, d)
	if err != nil && d.Actions.Suggest(verb) == "" {
		correctVerb(err, words, d)
	}
	return Command{Verb: "act", Call: call, Reason: reason}, err
}

// otherVerbs are words that people use for a verb.
var otherVerbs = map[string]string{"status": "list", "ls": "list", "open": "list", "log": "audit", "history": "audit", "reject": "deny", "revert": "undo", "restore": "undo"}

// correctVerb corrects a mistyped verb, if the line is one about a request.
func correctVerb(err error, words []string, d actions.Directory) {
	m, ok := errors.AsType[*actions.ParseErrors](err)
	if !ok || len(words) == 0 {
		return
	}
	verb := strings.ToLower(words[0])
	near := cmp.Or(otherVerbs[verb], actions.Nearest(verb, append(slices.Collect(maps.Keys(verbs)), "list", "help")))
	if near == "" {
		return
	}
	rest, secret := actions.WithoutSecrets(strings.Join(words[1:], " "))
	line := strings.TrimSpace(near + " " + rest)
	if _, err := ParseCommand(line, d); err == nil && !secret {
		*m = actions.ParseErrors{Corrected: line}
		m.Suggest("action", fmt.Sprintf("%q is not an action; did you mean %s?", actions.Clip(words[0]), near), "", near)
	}
}

func aboutRequest(verb string, rest []string, free bool) (Command, error) {
	m := &actions.ParseErrors{Example: verb + " KS-" + actions.Missing}
	c := Command{Verb: verb}
	if len(rest) > 0 {
		c.ID = normalID(rest[0])
	}
	if !IsRequestID(c.ID) {
		m.List = append(m.List, actions.Mistake{Field: "request", Problem: "is missing or not a request ID",
			Hint: "it looks like KS-4G7QX2M9ZT0B; `list` shows those that are open"})
		if id := normalID("KS-" + c.ID); IsRequestID(id) { // its prefix is missing
			again := append([]string{id}, rest[1:]...)
			if _, err := aboutRequest(verb, again, free); err != nil {
				return c, err
			}
			line, _ := actions.WithoutSecrets(strings.Join(again, " "))
			m.Corrected, m.Example = verb+" "+line, ""
		}
		return c, m
	}
	about := verb + " " + c.ID
	if len(rest) > 1 && verb == "undo" {
		if keys, ok := strings.CutPrefix(strings.ToLower(rest[1]), "keys="); ok {
			if c.ReactivateKeys = keys == Reactivate; !c.ReactivateKeys {
				m.Add("keys", fmt.Sprintf("%q is not known", actions.Clip(keys)),
					"leave it out, and what may be in an attacker's hands stays inactive; `help undo` tells the other way")
			}
			rest = rest[1:]
		}
	}
	if len(rest) > 1 {
		c.Reason = TypedReason(strings.Join(rest[1:], " "))
	}
	without, secret := actions.WithoutSecrets(c.Reason)
	switch {
	case secret && verb == "deny": // a no counts at once
		c.Reason = without
	case secret:
		m.Add("reason", "holds what looks like a secret access key", "leave it out: it is not repeated here; whoever saw it can use it")
	}
	switch n := len([]rune(c.Reason)); {
	case secret && without == "":
		m.Corrected = about
	case n > actions.MaxReason:
		m.Add("reason", fmt.Sprintf("has %d characters", n), fmt.Sprintf("the limit is %d", actions.MaxReason))
		m.Example = about + ` reason="` + actions.Missing + `"`
		return c, m
	case len(m.List) > 0 && c.Reason != "":
		m.Corrected = about + ` reason="` + without + `"`
	case len(rest) > 1 && !free:
		m.Add("text", fmt.Sprintf("%s takes only a request ID", verb), "")
		m.Corrected = about
	case len(m.List) > 0:
		m.Corrected = about
	}
	if len(m.List) > 0 {
		m.Example = ""
		return c, m
	}
	return c, nil
}

// reasonKey is reason= in the ways that people write it.
var reasonKey = actions.NewPattern(`^(?i)(?:[-–—]*reason\s*=\s*|(?:--|–|—)reason\s+)`)

// TypedReason returns the reason of a line about a request.
func TypedReason(text string) string {
	text = strings.TrimSpace(reasonKey.ReplaceAllString(text, ""))
	return actions.WithoutEmoji(strings.Trim(text, "\"“”„«»'‘’"))
}

// normalID corrects an ID as people type it: lower case, and the letters O, I and L for
// digits.
func normalID(s string) string {
	s = strings.ToUpper(strings.Trim(s, "`*_.,"))
	head, tail, ok := strings.Cut(s, "-")
	if !ok {
		return s
	}
	return head + "-" + strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(tail)
}
