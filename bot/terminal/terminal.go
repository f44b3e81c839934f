// Package terminal renders Slack messages as plain text.
package terminal

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	columns = 80
	column  = 38 // of a section's two columns of fields
)

// Text renders a message, its text and the JSON of its blocks: about 80 columns, no
// colours, no control characters. Buttons are [ Label ], dangerous ones
// [! Label ]. A message without blocks is its text.
func Text(text string, blocks json.RawMessage) string {
	var parsed []map[string]any
	if json.Unmarshal(blocks, &parsed) != nil || len(parsed) == 0 {
		return wrap(mrkdwn(text), "", "")
	}
	var out []string
	for _, b := range parsed {
		if t := renderBlock(b); t != "" {
			out = append(out, t)
		}
	}
	return strings.Join(out, "\n")
}

func renderBlock(b map[string]any) string {
	switch kind := str(b, "type"); kind {
	case "header":
		t := textOf(object(b, "text"))
		return wrap(t, "", "") + "\n" + strings.Repeat("=", min(utf8.RuneCountInString(t), columns))
	case "section":
		var parts []string
		if t := object(b, "text"); t != nil {
			parts = append(parts, wrap(textOf(t), "", ""))
		}
		if fields := list(b, "fields"); len(fields) > 0 {
			parts = append(parts, renderFields(fields))
		}
		if e := object(b, "accessory"); e != nil {
			parts = append(parts, renderElement(e))
		}
		return strings.Join(parts, "\n")
	case "context":
		var parts []string
		for _, v := range list(b, "elements") {
			e, _ := v.(map[string]any)
			if str(e, "type") == "image" {
				parts = append(parts, renderElement(e))
			} else {
				parts = append(parts, textOf(e))
			}
		}
		return wrap(strings.Join(parts, "  ·  "), "  ", "  ")
	case "actions":
		var line, lines []string
		width := 0
		for _, v := range list(b, "elements") {
			e, _ := v.(map[string]any)
			t := renderElement(e)
			if n := utf8.RuneCountInString(t); width+n > columns && len(line) > 0 {
				lines, line, width = append(lines, strings.Join(line, " ")), nil, 0
			}
			line, width = append(line, t), width+utf8.RuneCountInString(t)+1
		}
		return strings.Join(append(lines, strings.Join(line, " ")), "\n")
	case "divider":
		return strings.Repeat("-", columns)
	case "rich_text":
		return renderRich(list(b, "elements"))
	case "image":
		return renderElement(b)
	case "input":
		return wrap(textOf(object(b, "label"))+": ____", "", "")
	case "markdown":
		return wrap(Clean(str(b, "text")), "", "")
	default:
		return "(" + Clean(kind) + ")"
	}
}

// renderFields sets fields in two columns.
func renderFields(fields []any) string {
	cell := func(i int) []string {
		if i >= len(fields) {
			return nil
		}
		f, _ := fields[i].(map[string]any)
		return wrapLines(textOf(f), column)
	}
	var lines []string
	for i := 0; i < len(fields); i += 2 {
		left, right := cell(i), cell(i+1)
		for j := range max(len(left), len(right)) {
			l, r := "", ""
			if j < len(left) {
				l = left[j]
			}
			if j < len(right) {
				r = right[j]
			}
			pad := strings.Repeat(" ", max(2, columns/2-utf8.RuneCountInString(l)))
			lines = append(lines, strings.TrimRight(l+pad+r, " "))
		}
	}
	return strings.Join(lines, "\n")
}

func renderElement(e map[string]any) string {
	switch str(e, "type") {
	case "button", "workflow_button":
		mark := "[ "
		if str(e, "style") == "danger" {
			mark = "[! "
		}
		return mark + textOf(object(e, "text")) + " ]"
	case "image":
		return "(image: " + Clean(str(e, "alt_text")) + ")"
	case "overflow":
		return "[ ... ]"
	default:
		return "[ " + textOf(object(e, "placeholder")) + " v ]"
	}
}

func renderRich(elements []any) string {
	var out []string
	for _, v := range elements {
		e, _ := v.(map[string]any)
		inner := list(e, "elements")
		switch str(e, "type") {
		case "rich_text_list":
			indent := 0
			_, _ = fmt.Sscan(fmt.Sprint(e["indent"]), &indent)
			pad := strings.Repeat("  ", min(max(indent, 0), 8))
			for i, item := range inner {
				s, _ := item.(map[string]any)
				mark := "• "
				if str(e, "style") == "ordered" {
					mark = fmt.Sprintf("%d. ", i+1)
				}
				out = append(out, wrap(inlineText(list(s, "elements")), pad+mark, pad+strings.Repeat(" ", utf8.RuneCountInString(mark))))
			}
		case "rich_text_quote":
			out = append(out, wrap(inlineText(inner), "> ", "> "))
		case "rich_text_preformatted":
			for line := range strings.SplitSeq(inlineText(inner), "\n") {
				out = append(out, "    "+line)
			}
		default:
			out = append(out, wrap(inlineText(inner), "", ""))
		}
	}
	return strings.Join(out, "\n")
}

// inlineText is the text of a rich text section, where nothing is escaped.
func inlineText(elements []any) string {
	var b strings.Builder
	for _, v := range elements {
		e, _ := v.(map[string]any)
		switch kind := str(e, "type"); kind {
		case "text":
			b.WriteString(str(e, "text"))
		case "link":
			if t := str(e, "text"); t != "" {
				b.WriteString(t)
			} else {
				b.WriteString(str(e, "url"))
			}
		case "user", "usergroup":
			b.WriteString("@" + str(e, kind+"_id"))
		case "channel":
			b.WriteString("#" + str(e, "channel_id"))
		case "broadcast":
			b.WriteString("@" + str(e, "range"))
		case "emoji":
			b.WriteString(":" + str(e, "name") + ":")
		case "date":
			if t := str(e, "fallback"); t != "" {
				b.WriteString(t)
			} else {
				fmt.Fprint(&b, e["timestamp"])
			}
		case "color":
			b.WriteString(str(e, "value"))
		}
	}
	return Clean(b.String())
}

func textOf(t map[string]any) string {
	if str(t, "type") == "mrkdwn" {
		return mrkdwn(str(t, "text"))
	}
	return Clean(unescape(str(t, "text")))
}

var (
	token  = regexp.MustCompile(`<([^<>\n]+)>`)
	bold   = regexp.MustCompile(`(^|[\s(>])\*([^*\s][^*\n]*)\*`)
	italic = regexp.MustCompile(`(^|[\s(>])_([^_\s][^_\n]*)_($|[\s.,;:!?)])`)
)

var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace

// mrkdwn reduces Slack's markup to text (/messaging/formatting-message-text):
// links to their label, mentions to @name, dates to their fallback. Code keeps
// its backticks and contents.
func mrkdwn(text string) string {
	parts := strings.Split(text, "`")
	for i := range parts {
		if i%2 == 0 || i == len(parts)-1 { // outside code, or after a lone backtick
			parts[i] = italic.ReplaceAllString(bold.ReplaceAllString(parts[i], "$1$2"), "$1$2$3")
		}
		parts[i] = token.ReplaceAllStringFunc(parts[i], reduce)
	}
	return Clean(unescape(strings.Join(parts, "`")))
}

func reduce(t string) string {
	target, label, _ := strings.Cut(t[1:len(t)-1], "|")
	mark, name := "", target
	switch {
	case strings.HasPrefix(target, "!date^"):
		mark, name = "", target
	case strings.HasPrefix(target, "!subteam^"):
		mark, name = "@", strings.TrimPrefix(target, "!subteam^")
	case strings.HasPrefix(target, "@"), strings.HasPrefix(target, "!"):
		mark, name = "@", target[1:]
	case strings.HasPrefix(target, "#"):
		mark, name = "#", target[1:]
	}
	if label == "" {
		return mark + name
	}
	return mark + strings.TrimPrefix(label, mark)
}

// Clean drops control characters, so that no text steers a terminal.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, text)
}

// wrap breaks lines between words; what follows the first line begins with rest.
func wrap(text, first, rest string) string {
	lines := wrapLines(text, columns-utf8.RuneCountInString(first))
	for i := range lines {
		if i == 0 {
			lines[i] = first + lines[i]
		} else {
			lines[i] = rest + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

func wrapLines(text string, width int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		runes := []rune(paragraph)
		for len(runes) > width {
			cut := width
			for cut > 0 && runes[cut] != ' ' {
				cut--
			}
			if strings.TrimSpace(string(runes[:cut])) == "" { // one long word: break after it
				cut = width
				for cut < len(runes) && runes[cut] != ' ' {
					cut++
				}
			}
			lines = append(lines, strings.TrimRight(string(runes[:cut]), " "))
			runes = []rune(strings.TrimLeft(string(runes[cut:]), " "))
			if len(runes) == 0 {
				break
			}
		}
		if len(runes) > 0 || paragraph == "" {
			lines = append(lines, strings.TrimRight(string(runes), " "))
		}
	}
	return lines
}

func get[T any](m map[string]any, key string) T {
	v, _ := m[key].(T)
	return v
}

func str(m map[string]any, key string) string { return get[string](m, key) }

func object(m map[string]any, key string) map[string]any { return get[map[string]any](m, key) }

func list(m map[string]any, key string) []any { return get[[]any](m, key) }
