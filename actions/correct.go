package actions

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Missing stands in an example for what only the line's author knows. It is no part of a
// valid line.
const Missing = "…"

// line is a typed line in its parts.
type line struct {
	action, target string
	opts           map[string]string
	reason         string // made of the next three

	given, free, more string // the text of reason=, trailing text, and what is no option here
}

// join makes the reason. What is no option is not one by itself.
func (l *line) join() {
	l.reason = WithoutEmoji(strings.TrimSpace(l.given + " " + l.free))
	if l.more != "" && hasWords(l.reason) {
		l.reason += " " + WithoutEmoji(l.more)
	}
}

func (l *line) String() string {
	words := []string{l.action}
	if l.target != "" {
		words = append(words, l.target)
	}
	for _, k := range slices.Sorted(maps.Keys(l.opts)) {
		words = append(words, k+"="+quoted(l.opts[k]))
	}
	return fmt.Sprintf(`%s reason="%s"`, strings.Join(words, " "), strings.Map(dropQuotes, l.reason))
}

// borrow looks for missing parts among the trailing words.
func (l *line) borrow(m *ParseErrors, d Directory) {
	words := strings.Fields(l.free)
	take := func(x *Mistake, begin string, is func(string) bool) {
		if i := slices.IndexFunc(words, is); i >= 0 {
			value := begin + words[i]
			words, x.fix = slices.Delete(words, i, i+1), &value
			l.free = strings.Join(words, " ")
			l.join()
		}
	}
	for i := range m.List {
		x := &m.List[i]
		switch open := x.fix == nil; {
		case x.Field == "account" && open && l.opts["account"] == "":
			take(x, "", func(w string) bool { _, ok := d.Account(w); return ok })
		case x.Field == "region" && open && l.opts["region"] == "":
			take(x, "", func(w string) bool { return RegionName.MatchString(strings.ToLower(w)) })
		case x.Field != "target" || l.given == "" || len(words) != 1:
		case open && l.target == "":
			take(x, "", plainWord)
		case !open && strings.HasSuffix(*x.fix, "/"+Missing):
			take(x, strings.TrimSuffix(*x.fix, Missing), PrincipalName.MatchString)
		}
	}
}

// correct sets Corrected if the mistakes can be mended without a guess at what was left
// out, and Example otherwise. Whether a line can be sent is found by parsing it.
func (m *ParseErrors) correct(l line, d Directory) {
	mistakes := m.List
	for range 5 { // a mended part may show another mistake
		before := l.String()
		l.mend(mistakes, d)
		text := l.String()
		_, next, found := parse(text, d)
		if len(found.List) == 0 {
			m.Corrected = text
			return
		}
		if text == before || l.action == Missing || strings.HasSuffix(l.target, Missing) {
			break
		}
		l.target, mistakes = next.target, found.List
	}
	m.Example = l.String()
}

// mend puts what is probably meant in place of what is wrong, or Missing.
func (l *line) mend(mistakes []Mistake, d Directory) {
	put := func(field, value string) {
		switch field {
		case "action":
			l.action = value
		case "target":
			if value == Missing && KeyID.MatchString(strings.ToUpper(l.target)) {
				l.reason += " (" + l.target + ")" // the only fact of the line
			}
			if account, _, _ := strings.Cut(l.target, "/"); value == Missing && account != l.target {
				if _, ok := d.Account(account); ok {
					value = account + "/" + Missing
				}
			}
			l.target = value
		default:
			l.opts[field] = value
		}
	}
	if l.action == "" {
		l.action = Missing
		l.target = cmp.Or(l.target, Missing)
	}
	if l.target != "" && !strings.HasSuffix(l.target, Missing) && !plainWord(l.target) {
		l.target = Missing
	}
	for _, x := range mistakes {
		switch {
		case x.Field == "reason":
			if x.fix == nil {
				l.reason = Missing
			}
		case x.action != "":
			l.action = string(x.action)
		case x.fix == nil:
		case *x.fix == "":
			delete(l.opts, x.Field)
		default:
			put(x.Field, *x.fix)
		}
	}
	for _, x := range mistakes {
		if x.fix == nil && x.action == "" && x.Field != "reason" {
			put(x.Field, Missing)
		}
	}
	if l.reason == "" {
		l.reason = Missing
	}
}
