package actions

import (
	"regexp"
	"sync"
)

// Pattern is a regular expression that is compiled on first use: compiling dozens of
// them would take half of a function's start time.
type Pattern func() *regexp.Regexp

// NewPattern takes a valid expression.
func NewPattern(expr string) Pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// MatchString is that of regexp.Regexp.
func (p Pattern) MatchString(s string) bool { return p().MatchString(s) }

// FindStringSubmatch is that of regexp.Regexp.
func (p Pattern) FindStringSubmatch(s string) []string { return p().FindStringSubmatch(s) }

// ReplaceAllString is that of regexp.Regexp.
func (p Pattern) ReplaceAllString(s, by string) string { return p().ReplaceAllString(s, by) }
