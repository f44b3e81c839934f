package actions

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Directory is the part of the organization that the grammar needs.
type Directory struct {
	Actions   Catalog
	Partition string            // aws, aws-us-gov or aws-cn
	Accounts  map[string]string // alias → account ID
	Regions   []string          // configured ones, for hints
}

// Mistake is one error in typed text.
type Mistake struct {
	Field   string // "action", "target", "account", "reason", or the key as typed
	Problem string
	Hint    string // may be empty
}

// ParseErrors has all errors of one typed line, and the corrected line.
type ParseErrors struct {
	List      []Mistake
	Corrected string // without the slash command
}

func (m *ParseErrors) Error() string {
	parts := make([]string, len(m.List))
	for i, x := range m.List {
		parts[i] = x.Field + ": " + x.Problem
	}
	return strings.Join(parts, "; ")
}

// Add adds a mistake; the hint may be empty.
func (m *ParseErrors) Add(field, problem, hint string) {
	m.List = append(m.List, Mistake{field, problem, hint})
}

// MaxReason is the limit on a reason, in characters: cards show it in full.
const MaxReason = 600

// word is one token of the line: key=value, or a plain word with key "".
type word struct{ key, value, raw string }

// text returns a plain word as it was typed, or the text between its quotes.
func (w word) text() string {
	if rs := []rune(w.raw); len(rs) > 0 && quoteKind(rs[0]) != "" {
		return w.value
	}
	return w.raw
}

// Parse reads "ACTION TARGET [key=value …] [reason="…"]", the one grammar for typed
// text. Without reason= the trailing words are the reason. It reports all errors at
// once as *[ParseErrors], and treats ambiguous text as an error.
func Parse(text string, d Directory) (Call, string, error) {
	m := &ParseErrors{}
	words := split(Clean(text), m)
	var call Call
	var spec Spec
	if len(words) == 0 || words[0].key != "" {
		m.Add("action", "is missing", "start with one of: "+d.Actions.nameList())
	} else {
		call.Action = Name(strings.ReplaceAll(strings.ToLower(words[0].value), "-", "_"))
		if a, ok := d.Actions.Lookup(call.Action); ok {
			spec = a.Spec()
		} else if _, secret := WithoutSecrets(words[0].value); secret {
			m.Add("action", "is not an action", "use one of: "+d.Actions.nameList()) // and not repeated
			call.Action = ""
		} else {
			problem := fmt.Sprintf("%q is not an action%s", Clip(words[0].value), didYouMean(string(call.Action), d.Actions.names()))
			m.Add("action", problem, "use one of: "+d.Actions.nameList())
			call.Action = Name(Nearest(string(call.Action), d.Actions.names()))
			if a, ok := d.Actions.Lookup(call.Action); ok {
				spec = a.Spec() // check the rest as the action that was probably meant
			}
		}
		words = words[1:]
	}

	target, opts, reason := classifyWords(words, spec, d.Actions.optionKeys(), m)
	spec.fill(&call, target, opts, d, m)
	if reason == "" && !slices.ContainsFunc(m.List, func(x Mistake) bool { return x.Field == "reason" }) {
		m.Add("reason", "is missing", `say why, for the approver and the record: reason="keys on a paste site"`)
	} else if n := len([]rune(reason)); n > MaxReason {
		m.Add("reason", fmt.Sprintf("has %d characters", n), fmt.Sprintf("the limit is %d", MaxReason))
		reason = string([]rune(reason)[:MaxReason])
	}
	if len(m.List) > 0 {
		if _, secret := WithoutSecrets(target); secret || spec.Target.Secret {
			target = ""
		}
		m.Corrected = correctedLine(spec, call, target, opts, reason)
		return Call{}, "", m
	}
	return call, reason, nil
}

// fill reads target and options into a call.
func (s Spec) fill(call *Call, target string, opts map[string]string, d Directory, m *ParseErrors) {
	if s.Target.Read == nil {
		return
	}
	account := resolveAccount(opts, d, m)
	t := s.Target.Read(TargetText{Text: target, Account: account, Options: opts, Directory: d}, m)
	call.Target, call.Account, call.Region = t.Name, t.Account, t.Region
	for k, v := range opts {
		if !slices.Contains(s.Target.Options, k) {
			if call.Options == nil {
				call.Options = map[string]string{}
			}
			call.Options[k] = v
		}
	}
	if s.Check != nil {
		s.Check(call, m)
	}
	if len(call.Options) == 0 {
		call.Options = nil
	}
}

// NewCall returns the call of the line "ACTION TARGET [key=value …]" from its parts,
// which need no quotes. Its error is *[ParseErrors].
func NewCall(action Name, target string, opts map[string]string, d Directory) (Call, error) {
	m := &ParseErrors{}
	a, ok := d.Actions.Lookup(action)
	if !ok {
		m.Add("action", fmt.Sprintf("%q is not an action", Clip(string(action))), "use one of: "+d.Actions.nameList())
		return Call{}, m
	}
	call := Call{Action: action}
	for k := range opts {
		if !slices.Contains(a.Spec().optionKeys(), k) {
			m.Add(k, fmt.Sprintf("is not an option of %s", action), optionsHint(a.Spec()))
		}
	}
	a.Spec().fill(&call, target, opts, d, m)
	if len(m.List) > 0 {
		return Call{}, m
	}
	return call, nil
}

// classifyWords separates target, options and reason.
func classifyWords(words []word, spec Spec, known []string, m *ParseErrors) (target string, opts map[string]string, reason string) {
	opts = map[string]string{}
	var trailing []string
	for i, w := range words {
		switch {
		case w.key == "" && i == 0:
			target = strings.Trim(w.value, "`<>\"'“”‘’,;")
		case w.key == "":
			trailing = append(trailing, w.text())
		case len(trailing) > 0:
			m.Add(w.key, "comes after free text", fmt.Sprintf("put %s=… before the reason, or put the reason in quotes", w.key))
		case !slices.Contains(known, w.key):
			m.Add(w.key, "is not an option"+didYouMean(w.key, known), optionsHint(spec))
		case opts[w.key] != "" || w.key == "reason" && reason != "":
			m.Add(w.key, "is given twice", "")
		case w.value == "":
			m.Add(w.key, "has no value", "")
		case w.key == "reason":
			reason = strings.TrimSpace(w.value)
		case spec.Name != "" && !slices.Contains(spec.optionKeys(), w.key):
			m.Add(w.key, fmt.Sprintf("is not an option of %s", spec.Name), optionsHint(spec))
		default:
			opts[w.key] = w.value
		}
	}
	free, inFree := WithoutSecrets(strings.TrimSpace(strings.Join(trailing, " ")))
	reason, inReason := WithoutSecrets(reason)
	if inFree || inReason {
		// Cards show the reason and the record keeps it.
		m.Add("reason", "holds what looks like a secret access key", "leave it out: it is not repeated here; whoever saw it can use it")
	}
	switch {
	case free == "":
	case reason != "":
		m.Add("reason", fmt.Sprintf("is given, and there is other text: %q", free), "put the whole reason between the quotes")
	default:
		reason = free
	}
	return target, opts, reason
}

// optionName is the form of an option key.
var optionName = NewPattern(`^[a-z_]+$`)

func didYouMean(word string, known []string) string {
	if best := Nearest(word, known); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

func optionsHint(spec Spec) string {
	if spec.Name == "" {
		return ""
	}
	return "it takes " + strings.Join(spec.optionKeys(), "=, ") + "= and reason="
}

// OneOf checks that an option has one of the values.
func OneOf(c *Call, key string, m *ParseErrors, values ...string) {
	v, given := c.Options[key]
	if given && !slices.Contains(values, v) {
		m.Add(key, fmt.Sprintf("%q is not known%s", Clip(v), didYouMean(v, values)), "it takes "+strings.Join(values, " or "))
	}
}

func resolveAccount(opts map[string]string, d Directory, m *ParseErrors) string {
	typed := opts["account"]
	if typed == "" {
		return ""
	}
	id, ok := d.Account(typed)
	if !ok {
		m.Add("account", fmt.Sprintf("%q is neither an account ID nor a known alias", typed), d.aliasHint())
	}
	return id
}

// Account resolves a 12-digit ID or an alias.
func (d Directory) Account(typed string) (string, bool) {
	if AccountID.MatchString(typed) {
		return typed, true
	}
	id, ok := d.Accounts[strings.ToLower(typed)]
	return id, ok
}

func (d Directory) aliasHint() string {
	if len(d.Accounts) == 0 {
		return "give the 12-digit account ID"
	}
	return "give the 12-digit account ID or one of: " + strings.Join(slices.Sorted(maps.Keys(d.Accounts)), ", ")
}

func correctedLine(spec Spec, c Call, target string, opts map[string]string, reason string) string {
	var b strings.Builder
	if c.Action == "" {
		b.WriteString("ACTION")
	} else {
		b.WriteString(string(c.Action))
	}
	switch {
	case c.Target != "":
		b.WriteString(" " + c.Target)
	case target != "" && plainWord(target):
		b.WriteString(" " + target)
	default:
		b.WriteString(" TARGET")
	}
	for _, k := range slices.Sorted(maps.Keys(opts)) {
		if c.Target == "" || !slices.Contains(spec.Target.Options, k) {
			fmt.Fprintf(&b, " %s=%s", k, quoted(opts[k]))
		}
	}
	if reason == "" {
		reason = "why you do this"
	}
	fmt.Fprintf(&b, ` reason="%s"`, strings.Map(dropQuotes, reason))
	return b.String()
}

func quoted(s string) string {
	if plainWord(s) {
		return s
	}
	return `"` + strings.Map(dropQuotes, s) + `"`
}

func plainWord(s string) bool {
	return len(s) <= 200 && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e })
}

// Quotes of any kind: phones type curly ones. A quoted value ends at a quote of
// the same kind, double or single.
const (
	doubleQuotes = "\"“”„‟«»＂"
	singleQuotes = "'‘’‚‛"
)

func dropQuotes(r rune) rune {
	if strings.ContainsRune(doubleQuotes, r) {
		return '\''
	}
	return r
}

// split cuts a line into words. Quotes count only at the start of a word or
// directly after the = of a key, so that an apostrophe is a letter.
func split(text string, m *ParseErrors) []word {
	rs := []rune(text)
	var words []word
	for i := 0; i < len(rs); {
		if blank(rs[i]) {
			i++
			continue
		}
		start := i
		for i < len(rs) && !blank(rs[i]) && rs[i] != '=' && quoteKind(rs[i]) == "" {
			i++
		}
		var w word
		if k := strings.ToLower(string(rs[start:i])); i < len(rs) && rs[i] == '=' && optionName.MatchString(k) {
			w.key = k
			i++
		} else {
			i = start
		}
		w.value, i = value(rs, i, w.key, m)
		w.raw = string(rs[start:i])
		words = append(words, w)
	}
	return words
}

func value(rs []rune, i int, key string, m *ParseErrors) (string, int) {
	if i < len(rs) {
		if kind := quoteKind(rs[i]); kind != "" {
			for j := i + 1; j < len(rs); j++ {
				if strings.ContainsRune(kind, rs[j]) && (j+1 == len(rs) || blank(rs[j+1])) {
					return string(rs[i+1 : j]), j + 1
				}
			}
			if key == "" {
				key = "text"
			}
			m.Add(key, "has a quote that is not closed", "end it with the same quote")
			return string(rs[i+1:]), len(rs)
		}
	}
	j := i
	for j < len(rs) && !blank(rs[j]) {
		j++
	}
	return string(rs[i:j]), j
}

func quoteKind(r rune) string {
	switch {
	case strings.ContainsRune(doubleQuotes, r):
		return doubleQuotes
	case strings.ContainsRune(singleQuotes, r):
		return singleQuotes
	}
	return ""
}

func blank(r rune) bool { return unicode.IsSpace(r) }

// Clean turns typed text into one line of visible characters.
func Clean(text string) string { return strings.Map(dropFormat, text) }

// dropFormat removes invisible characters: zero-width ones, which text copied from
// chat may contain, and those that reorder text. Line ends become spaces.
func dropFormat(r rune) rune {
	switch {
	case unicode.IsSpace(r), unicode.IsControl(r):
		return ' '
	case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r), unicode.Is(unicode.Variation_Selector, r):
		return -1
	}
	return r
}
