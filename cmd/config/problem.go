package config

import (
	"cmp"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Problem is one thing wrong with a configuration file. It never repeats what
// looks like a secret.
type Problem struct {
	File  string
	Line  int    // from 1
	Field string // policy.actions.delete_role.approvals, people[0].iam[1]; empty for the whole file
	Text  string // what is wrong, without the field
	Hint  string // what to do; may be empty
}

func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: ", p.File, p.Line)
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Text)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems is everything wrong with a configuration file, by line.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// checker collects problems.
type checker struct {
	file     string
	files    fs.FS // what the configuration may name; nil: nothing
	problems Problems
	// settled are the fields that have a problem: no further ones are reported.
	settled map[string]bool
}

// add adds a problem of a value.
func (c *checker) add(v *value, text, hint string) { c.addAt(v.line, v.field, text, hint) }

func (c *checker) addAt(line int, field, text, hint string) {
	if field != "" && c.settled[field] {
		return
	}
	c.problems = append(c.problems, Problem{c.file, max(line, 1), redact(field), redact(text), redact(hint)})
}

func (c *checker) sorted() Problems {
	slices.SortFunc(c.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(c.problems)
}

// secret is what Slack tokens, AWS access keys and PEM files look like.
var secret = regexp.MustCompile(`(?s)(xox[a-z]-|xapp-)\S*|A[KS]IA[A-Z0-9]{16,}|-----BEGIN.*`)

func redact(s string) string { return secret.ReplaceAllString(s, "[redacted]") }

// quoted returns text from the file for a message.
func quoted(s string) string {
	return fmt.Sprintf("%q", clip(redact(s)))
}

// clip shortens hostile input for a message.
func clip(s string) string {
	if rs := []rune(s); len(rs) > 60 {
		return string(rs[:60]) + "…"
	}
	return s
}

// didYouMean is the hint for a word that is close to a known one, or "".
func didYouMean(word string, known []string) string {
	if best := actions.Nearest(word, known); best != "" {
		return "did you mean " + best + "?"
	}
	return ""
}

// oneOf is the hint for a word that should be one of a few.
func oneOf(word string, known []string) string {
	if hint := didYouMean(word, known); hint != "" {
		return hint
	}
	if len(known) == 0 {
		return ""
	}
	known = slices.Sorted(slices.Values(known))
	if len(known) > 12 {
		known = append(known[:12:12], "…")
	}
	return "known here: " + strings.Join(known, ", ")
}
