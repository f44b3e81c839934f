package approvals

import (
	"fmt"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Command is a parsed line that somebody typed.
type Command struct {
	Verb           string // "act" for an action, else list, show, approve, deny, cancel, undo, audit or help
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
	verb := "help"
	if len(words) > 0 {
		verb = strings.ToLower(words[0])
	}
	free, about := verbs[verb]
	switch {
	case verb == "help":
		c := Command{Verb: verb}
		if len(words) > 1 {
			c.Topic = strings.ReplaceAll(strings.ToLower(words[1]), "-", "_")
		}
		return c, nil
	case verb == "list":
		return Command{Verb: verb}, nil
	case about:
		return aboutRequest(verb, words[1:], free)
	}
	call, reason, err := actions.Parse(text, d)
	return Command{Verb: "act", Call: call, Reason: reason}, err
}

func aboutRequest(verb string, rest []string, free bool) (Command, error) {
	m := &actions.ParseErrors{Corrected: verb + " KS-…"}
	c := Command{Verb: verb}
	if len(rest) > 0 {
		c.ID = normalID(rest[0])
	}
	if !IsRequestID(c.ID) {
		m.List = append(m.List, actions.Mistake{Field: "request", Problem: "is missing or not a request ID",
			Hint: "it looks like KS-4G7QX2M9ZT0B; `list` shows those that are open"})
		return c, m
	}
	m.Corrected = verb + " " + c.ID
	if len(rest) > 1 && verb == "undo" {
		if keys, ok := strings.CutPrefix(strings.ToLower(rest[1]), "keys="); ok {
			if c.ReactivateKeys = keys == Reactivate; !c.ReactivateKeys {
				m.Corrected += " keys=" + Reactivate
				m.List = append(m.List, actions.Mistake{Field: "keys", Problem: "can only be " + Reactivate,
					Hint: "leave it out, and what may be in an attacker's hands stays inactive"})
				return c, m
			}
			rest = rest[1:]
		}
	}
	if len(rest) > 1 {
		c.Reason = strings.TrimSpace(strings.TrimPrefix(strings.Join(rest[1:], " "), "reason="))
		c.Reason = strings.Trim(c.Reason, "\"“”„«»'‘’")
		if n := len([]rune(c.Reason)); n > actions.MaxReason {
			m.List = append(m.List, actions.Mistake{Field: "reason", Problem: fmt.Sprintf("has %d characters", n),
				Hint: fmt.Sprintf("the limit is %d", actions.MaxReason)})
			return c, m
		}
		if !free {
			m.List = append(m.List, actions.Mistake{Field: "text", Problem: fmt.Sprintf("%s takes only a request ID", verb)})
			return c, m
		}
	}
	return c, nil
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
