package actions

import (
	"cmp"
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
	// Organization is the account from which Organizations is called, which is that of a target
	// in no account of its own; may be empty.
	Organization string
}

// Mistake is one error in typed text.
type Mistake struct {
	Field   string // "action", "target", "account", "reason", or the key as typed
	Problem string
	Hint    string // may be empty

	fix    *string // the value that is probably meant, "" for none; nil if it can't be told
	action Name    // the action that takes this target, if it is another one
}

// ParseErrors has all errors of one typed line. Either Corrected or Example is set, both
// without the slash command.
type ParseErrors struct {
	List      []Mistake
	Corrected string // the line to send instead: it has no errors, and all that was typed
	Example   string // the line with [Missing] where only its author knows what belongs there
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
	m.List = append(m.List, Mistake{Field: field, Problem: problem, Hint: hint})
}

// Suggest adds a mistake and the value that is probably meant; "" leaves the field out.
func (m *ParseErrors) Suggest(field, problem, hint, value string) {
	m.List = append(m.List, Mistake{Field: field, Problem: problem, Hint: hint, fix: &value})
}

// has reports whether a field has a mistake.
func (m *ParseErrors) has(field string) bool {
	return slices.ContainsFunc(m.List, func(x Mistake) bool { return x.Field == field })
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
	call, l, m := parse(text, d)
	if len(m.List) > 0 {
		m.correct(l, d)
		return Call{}, "", m
	}
	return call, l.reason, nil
}

func parse(text string, d Directory) (Call, line, *ParseErrors) {
	m := &ParseErrors{}
	words := split(Clean(text), d.Actions.optionKeys(), m)
	name, spec, words := d.Actions.readAction(words, m)
	l := classifyWords(words, spec, d.Actions.optionKeys(), m)
	l.action = string(name)
	call := Call{Action: name}
	spec.fill(&call, l.target, l.opts, d, m)
	if _, secret := WithoutSecrets(l.target); secret || spec.Target.Secret && m.has("target") && !KeyID.MatchString(strings.ToUpper(LastPart(l.target))) {
		l.target = Missing
	}
	l.borrow(m, d)
	if !hasWords(l.reason) {
		l.reason = ""
	}
	checkReason(l.reason, m)
	return call, l, m
}

// checkReason adds what is wrong with a reason.
func checkReason(reason string, m *ParseErrors) {
	if reason == "" {
		if !m.has("reason") {
			m.Add("reason", "is missing", `say why, for the approver and the record: reason="keys on a paste site"`)
		}
	} else if n := len([]rune(reason)); n > MaxReason {
		m.Add("reason", fmt.Sprintf("has %d characters", n), fmt.Sprintf("the limit is %d", MaxReason))
	}
}

// hasWords reports whether a text says something: cards compare letters and digits only.
func hasWords(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// readAction reads the action and returns the words after it. For a mistyped one it
// returns the action that is probably meant, so that the rest of the line is checked.
func (c Catalog) readAction(words []word, m *ParseErrors) (Name, Spec, []word) {
	use := "use one of: " + c.nameList()
	if len(words) == 0 || words[0].key != "" {
		m.Add("action", "is missing", "start with one of: "+c.nameList())
		return "", Spec{}, words
	}
	typed, rest := words[0].value, words[1:]
	name := Name(strings.ReplaceAll(strings.ToLower(typed), "-", "_"))
	if a, ok := c.Lookup(name); ok {
		return name, a.Spec(), rest
	}
	if _, secret := WithoutSecrets(typed); secret {
		m.Add("action", "is not an action", use) // and not repeated
		return "", Spec{}, rest
	}
	problem := fmt.Sprintf("%q is not an action", Clip(typed))
	if name = actionOn(typed); name != "" {
		rest = words // the line begins with its target
	} else {
		name = c.Suggest(typed)
	}
	a, ok := c.Lookup(name)
	if !ok {
		m.Add("action", problem, use)
		return "", Spec{}, rest
	}
	m.Suggest("action", fmt.Sprintf("%s; did you mean %s?", problem, name), use, string(name))
	return name, a.Spec(), rest
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
	s.CheckOptions(call, m)
	if len(call.Options) == 0 {
		call.Options = nil
	}
}

// CheckOptions checks the values of the options and normalises equivalent ones.
func (s Spec) CheckOptions(call *Call, m *ParseErrors) {
	for _, k := range slices.Sorted(maps.Keys(s.Values)) {
		v, given := call.Options[k]
		if given && !slices.Contains(s.Values[k], v) {
			m.addNearest(k, fmt.Sprintf("%q is not known", Clip(v)), "it takes "+strings.Join(s.Values[k], " or "), Nearest(v, s.Values[k]))
		}
	}
	if s.Check != nil {
		s.Check(call, m)
	}
}

// NewCall returns the call of the line "ACTION TARGET [key=value …]" from its parts,
// which need no quotes. Its error is *[ParseErrors].
func NewCall(action Name, target string, opts map[string]string, d Directory) (Call, error) {
	m := &ParseErrors{}
	call := newCall(action, target, opts, d, m)
	if len(m.List) > 0 {
		return Call{}, m
	}
	return call, nil
}

func newCall(action Name, target string, opts map[string]string, d Directory, m *ParseErrors) Call {
	a, ok := d.Actions.Lookup(action)
	switch {
	case action == "":
		m.Add("action", "is missing", "use one of: "+d.Actions.nameList())
		return Call{}
	case !ok:
		m.Add("action", fmt.Sprintf("%q is not an action", Clip(string(action))), "use one of: "+d.Actions.nameList())
		return Call{}
	}
	call := Call{Action: action}
	for _, k := range slices.Sorted(maps.Keys(opts)) {
		if !slices.Contains(a.Spec().optionKeys(), k) {
			m.Add(k, fmt.Sprintf("is not an option of %s", action), optionsHint(a.Spec()))
		}
	}
	a.Spec().fill(&call, target, opts, d, m)
	return call
}

// Draft is a line in its parts, which nobody has checked: what a form is filled with, and what is
// entered in it.
type Draft struct {
	Action  Name
	Target  string
	Options map[string]string // account and region too
	Reason  string
}

// DraftOf reads as much of a typed line as can be told, without what may be a secret.
func DraftOf(text string, d Directory) Draft {
	_, l, _ := parse(text, d)
	if l.target == Missing {
		l.target = ""
	}
	return Draft{Name(l.action), l.target, l.opts, l.reason}
}

// Parse returns the call and the reason, as [Parse] does for a typed line.
func (f Draft) Parse(d Directory) (Call, string, error) {
	m := &ParseErrors{}
	call := newCall(f.Action, strings.TrimSpace(Clean(f.Target)), f.Options, d, m)
	reason, secret := WithoutSecrets(WithoutEmoji(strings.TrimSpace(Clean(f.Reason))))
	if secret { // cards show the reason and the record keeps it
		m.Add("reason", secretInReason, secretHint)
	}
	if !hasWords(reason) {
		reason = ""
	}
	checkReason(reason, m)
	if len(m.List) > 0 {
		return Call{}, "", m
	}
	return call, reason, nil
}

const (
	secretInReason = "holds what looks like a secret access key"
	secretHint     = "leave it out: it is not repeated here; whoever saw it can use it"
)

// classifyWords separates target, options and reason. What is no option of the action is
// kept for the reason.
func classifyWords(words []word, spec Spec, known []string, m *ParseErrors) line {
	l := line{opts: map[string]string{}}
	var trailing, extra []string
	for i, w := range words {
		if w.key == "" {
			if i == 0 {
				l.target = strings.Trim(w.value, "`<>\"'“”‘’,;")
			} else {
				trailing = append(trailing, w.text())
			}
			continue
		}
		typed := w.key
		if !slices.Contains(known, w.key) {
			w.key = cmp.Or(Nearest(typed, append(spec.optionKeys(), "reason")), Nearest(typed, known))
			m.Suggest(typed, "is not an option"+didYouMean(w.key), optionsHint(spec), "")
		}
		had := l.opts[w.key]
		if w.key == "reason" {
			had = l.given
		}
		switch {
		case w.value == "":
			m.Suggest(typed, "has no value", "", "")
		case w.key == "":
			extra = append(extra, w.raw)
		case spec.Name != "" && w.key != "reason" && !slices.Contains(spec.optionKeys(), w.key):
			m.Suggest(w.key, fmt.Sprintf("is not an option of %s", spec.Name), optionsHint(spec), "")
			extra = append(extra, w.raw)
		case w.key == "reason":
			if had != "" {
				m.Suggest(w.key, "is given twice", "", "")
			}
			l.given = strings.TrimSpace(had + " " + strings.TrimSpace(w.value))
		case had != "" && had != w.value:
			m.Add(w.key, "is given twice", "")
		case had != "":
			m.Suggest(w.key, "is given twice", "", had)
		default:
			l.opts[w.key] = w.value
		}
		if _, taken := l.opts[w.key]; len(trailing) > 0 && (taken || w.key == "reason") {
			m.Suggest(w.key, "comes after free text", fmt.Sprintf("put %s=… before the reason, or put the reason in quotes", w.key), w.value)
		}
	}
	free, inFree := WithoutSecrets(strings.TrimSpace(strings.Join(trailing, " ")))
	more, inExtra := WithoutSecrets(strings.Join(extra, " "))
	given, inReason := WithoutSecrets(l.given)
	if inFree || inExtra || inReason {
		// Cards show the reason and the record keeps it.
		m.Suggest("reason", secretInReason, secretHint, "")
	}
	if free != "" && given != "" {
		m.Suggest("reason", fmt.Sprintf("is given, and there is other text: %q", free), "put the whole reason between the quotes", "")
	}
	l.given, l.free, l.more = given, free, more
	l.join()
	return l
}

// optionName is the form of an option key.
var optionName = NewPattern(`^[a-z_]+$`)

// addNearest adds a mistake and names the value that is probably meant, if there is one.
func (m *ParseErrors) addNearest(field, problem, hint, value string) {
	if value == "" {
		m.Add(field, problem, hint)
		return
	}
	m.Suggest(field, problem+didYouMean(value), hint, value)
}

func didYouMean(best string) string {
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

func optionsHint(spec Spec) string {
	if spec.Name == "" {
		return ""
	}
	return "it takes " + strings.Join(spec.optionKeys(), "=, ") + "= and reason="
}

func resolveAccount(opts map[string]string, d Directory, m *ParseErrors) string {
	typed := opts["account"]
	if typed == "" {
		return ""
	}
	id, ok := d.Account(typed)
	if !ok {
		m.addNearest("account", fmt.Sprintf("%q is neither an account ID nor a known alias", Clip(typed)), d.aliasHint(), d.nearestAlias(typed))
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

// nearestAlias returns the alias that is probably meant, or "".
func (d Directory) nearestAlias(typed string) string {
	return nearestOrPrefix(strings.ToLower(typed), slices.Sorted(maps.Keys(d.Accounts)))
}

func quoted(s string) string {
	if plainWord(s) || s == Missing {
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
// directly after the = of a key, so that an apostrophe is a letter. A known key may
// also be written "key = value" and "--key value".
func split(text string, known []string, m *ParseErrors) []word {
	rs := []rune(text)
	var words []word
	for i := skipBlanks(rs, 0); i < len(rs); i = skipBlanks(rs, i) {
		start := i
		for i < len(rs) && !blank(rs[i]) && rs[i] != '=' && quoteKind(rs[i]) == "" {
			i++
		}
		var w word
		typed := strings.ToLower(string(rs[start:i]))
		k := strings.TrimLeft(typed, "-–—") // phones make one dash of two
		isKnown, next := slices.Contains(known, k), skipBlanks(rs, i)
		switch {
		case i < len(rs) && rs[i] == '=' && (isKnown || k == typed && optionName.MatchString(k)):
			w.key = k
			i++
			if next := skipBlanks(rs, i); isKnown && !startsOption(rs, next) {
				i = next
			}
		case isKnown && next < len(rs) && rs[next] == '=':
			w.key, i = k, skipBlanks(rs, next+1)
		case isKnown && k != typed && next < len(rs):
			w.key, i = k, next
		default:
			i = start
		}
		w.value, i = value(rs, i, w.key, m)
		w.raw = string(rs[start:i])
		words = append(words, w)
	}
	return words
}

func skipBlanks(rs []rune, i int) int {
	for i < len(rs) && blank(rs[i]) {
		i++
	}
	return i
}

// startsOption reports whether key=value begins at i.
func startsOption(rs []rune, i int) bool {
	for ; i < len(rs) && !blank(rs[i]) && quoteKind(rs[i]) == ""; i++ {
		if rs[i] == '=' {
			return true
		}
	}
	return false
}

func value(rs []rune, i int, key string, m *ParseErrors) (string, int) {
	if i < len(rs) {
		if kind := quoteKind(rs[i]); kind != "" {
			for j := i + 1; j < len(rs); j++ {
				if strings.ContainsRune(kind, rs[j]) && (j+1 == len(rs) || blank(rs[j+1])) {
					return string(rs[i+1 : j]), j + 1
				}
			}
			rest, fix := string(rs[i+1:]), ""
			if key == "" {
				key = "text"
			} else {
				fix = strings.TrimSpace(rest)
			}
			m.Suggest(key, "has a quote that is not closed", "end it with the same quote", fix)
			return rest, len(rs)
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

// emojiName is an emoji as Slack writes it, not what stands between digits, as in a time, or
// letters, as in an ARN.
var emojiName = NewPattern(`(^|[^\pL\pN:])((?::[a-z0-9_+'-]*[a-z_+][a-z0-9_+'-]*:)+)($|[^\pL\pN:])`)

var keycap = NewPattern(`[0-9#*]\x{20e3}`)

// WithoutEmoji drops emoji from a reason. Slack may echo a sign as its :name:, and a vote
// must show the reason as it was given.
func WithoutEmoji(reason string) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) && r != 'ℹ', unicode.IsDigit(r):
		case unicode.Is(unicode.So, r), r == 'ℹ', strings.ContainsRune("‼⁉〰〽↔◽◾", r), r >= '\U0001f3fb' && r <= '\U0001f3ff':
			return ' '
		}
		return r
	}, reason)
	plain = keycap.ReplaceAllString(plain, " ")
	for emojiName.MatchString(plain) {
		plain = emojiName.ReplaceAllString(plain, "$1 $3")
	}
	if plain == reason {
		return reason
	}
	return strings.Join(strings.Fields(plain), " ")
}
