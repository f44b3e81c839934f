package bot

import (
	"strings"
	"unicode"
)

// Untrusted is text from outside: reasons, names, what AWS says. Formatted with
// %s or %v it comes out escaped for Slack's mrkdwn, so that it can't mention,
// link or format; Plain is for plain_text objects.
type Untrusted string

// String is the text as mrkdwn that shows it and does nothing else.
func (u Untrusted) String() string { return mrkdwnEscape(clean(string(u), 500)) }

// Plain is the text for a plain_text object, at most limit characters long.
func (u Untrusted) Plain(limit int) string { return clean(string(u), limit) }

// mrkdwnEscape writes Slack's three entities, and takes the marks of formatting
// their effect with a word joiner that is not shown.
// https://docs.slack.dev/messaging/formatting-message-text#escaping
var mrkdwnEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;",
	"*", "*\u2060", "_", "_\u2060", "~", "~\u2060", "`", "'").Replace

// clean drops what can hide or reorder text: control characters, bidi controls,
// zero-width and other format characters; it shortens by character.
func clean(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	var b strings.Builder
	n := 0
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029', unicode.Is(unicode.Variation_Selector, r), unicode.Is(unicode.Co, r):
			continue
		}
		if n == limit-1 {
			return b.String() + "…"
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}
