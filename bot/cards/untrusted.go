package cards

import (
	"strings"
	"unicode"
)

// Untrusted is text from outside: reasons, names, what AWS says. Formatted with
// %s or %v it comes out escaped for Slack's mrkdwn, so that it can't mention,
// link or format; Plain is for plain_text objects.
type Untrusted string

// String is the text as mrkdwn that shows it and does nothing else.
func (u Untrusted) String() string { return inert(entities(clean(string(u), MaxReason))) }

// Plain is the text for a plain_text object, at most limit characters long.
func (u Untrusted) Plain(limit int) string { return clean(string(u), limit) }

// entities writes the three characters that Slack reads as control characters.
// https://docs.slack.dev/messaging/formatting-message-text#escaping
var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'").Replace

// wordJoiner is not shown, and keeps a mark of formatting from working.
const wordJoiner = '\u2060'

// inert disarms *, _ and ~ where they could begin or end formatting: beside the
// edge of a word. Inside words, as in app_role, they do nothing, and what is
// copied from a card must be the name itself.
func inert(s string) string {
	rs := []rune(s)
	word := func(i int) bool {
		return i >= 0 && i < len(rs) && (unicode.IsLetter(rs[i]) || unicode.IsDigit(rs[i]))
	}
	var b strings.Builder
	for i, r := range rs {
		b.WriteRune(r)
		if strings.ContainsRune("*_~", r) && (!word(i-1) || !word(i+1)) {
			b.WriteRune(wordJoiner)
		}
	}
	return b.String()
}

// clean makes one line of a text and drops what can hide or reorder it: control
// characters, bidi controls, zero-width and other characters that are not seen.
// It shortens by character.
func clean(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	var rs []rune
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r), unicode.Is(unicode.Variation_Selector, r), unicode.Is(unicode.Co, r):
			continue
		}
		if len(rs) == limit {
			return string(rs[:limit-1]) + "…"
		}
		rs = append(rs, r)
	}
	return string(rs)
}
