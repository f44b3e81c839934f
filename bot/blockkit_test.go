package bot

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/slack-go/slack"
)

const (
	cardTotal    = 8000 // ours: Slack's own limit is undocumented and lies near 12,000
	cardBlocks   = 50
	modalBlocks  = 100
	schemaFile   = "testdata/blockkit.schema.json"
	hiddenOK     = '\u2060' // the word joiner that takes a mark its effect
	ownDate      = `<!date\^\d+\^\{time_secs\}\|\d\d:\d\d:\d\d UTC>`
	ownMentions  = `<@U0(?:ANA|BEN|CHO)>`
	ownChannel   = `<#C0SEC>`
	ownBroadcast = `<!here>`
	ownLink      = `<https://(?:[a-z0-9-]+\.)*(?:aws\.amazon\.com|amazonaws-us-gov\.com|amazonaws\.cn)/(?:[^<>|&\s]|&amp;)*\|Open it in the console>`
)

// schemas compiles the two halves of Slack's types once.
var schemas = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	b, err := os.ReadFile(schemaFile)
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("blockkit.json", doc); err != nil {
		return nil, err
	}
	out := map[string]*jsonschema.Schema{}
	for _, name := range []string{"message", "modal"} {
		if out[name], err = c.Compile("blockkit.json#/$defs/" + name); err != nil {
			return nil, err
		}
	}
	return out, nil
})

func checkSchema(t *testing.T, name string, body []byte) {
	t.Helper()
	all, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	if err := all[name].Validate(v); err != nil {
		t.Errorf("Slack's types refuse the %s: %v", name, err)
	}
}

// checkMessage wants a message that Slack takes and that does nothing but what
// we mean.
func checkMessage(t *testing.T, m Message) {
	t.Helper()
	for _, p := range problems(t, m.Text, m.Blocks) {
		t.Error(p)
	}
	body, err := json.Marshal(map[string]any{"text": m.Text, "blocks": m.Blocks})
	if err != nil {
		t.Fatal(err)
	}
	checkSchema(t, "message", body)
}

// problems is what is wrong with a message, apart from its types.
func problems(t *testing.T, text string, blocks []slack.Block) []string {
	t.Helper()
	var out []string
	if strings.TrimSpace(text) == "" {
		out = append(out, "the fallback text is empty")
	}
	if p := badControl(text); p != "" { // text is mrkdwn wherever blocks are not shown; scripts read it, so marks may stay
		out = append(out, "fallback text: "+p)
	}
	if len(blocks) == 0 || len(blocks) > cardBlocks {
		out = append(out, fmt.Sprintf("%d blocks", len(blocks)))
	}
	w := walk(t, blocks)
	if w.characters >= cardTotal {
		out = append(out, fmt.Sprintf("%d characters in its blocks, want fewer than %d", w.characters, cardTotal))
	}
	return append(out, w.problems...)
}

func checkModal(t *testing.T, v slack.ModalViewRequest) {
	t.Helper()
	if n := len(v.Blocks.BlockSet); n == 0 || n > modalBlocks {
		t.Errorf("%d blocks", n)
	}
	for _, p := range walk(t, v.Blocks.BlockSet).problems {
		t.Error(p)
	}
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	checkSchema(t, "modal", body)
}

// walker looks at what is sent, as JSON: not at the types that made it.
type walker struct {
	characters int
	problems   []string
	blockIDs   map[string]bool
}

func walk(t *testing.T, blocks []slack.Block) *walker {
	t.Helper()
	body, err := json.Marshal(blocks)
	if err != nil {
		t.Fatal(err)
	}
	var list []any
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	w := &walker{blockIDs: map[string]bool{}}
	for i, b := range list {
		at := fmt.Sprintf("/%d", i)
		m, _ := b.(map[string]any)
		if id, _ := m["block_id"].(string); id != "" {
			if w.blockIDs[id] {
				w.add(at, "block_id %s is there twice", id)
			}
			w.blockIDs[id] = true
		}
		if elements, ok := m["elements"].([]any); ok {
			ids := map[any]bool{}
			for _, e := range elements {
				m, _ := e.(map[string]any)
				if id := m["action_id"]; id != nil {
					if ids[id] {
						w.add(at, "action_id %v is there twice", id)
					}
					ids[id] = true
				}
			}
		}
		w.value(at, b)
	}
	return w
}

func (w *walker) add(at, format string, args ...any) {
	w.problems = append(w.problems, at+": "+fmt.Sprintf(format, args...))
}

func (w *walker) value(at string, v any) {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			w.value(fmt.Sprintf("%s/%d", at, i), e)
		}
	case map[string]any:
		switch v["type"] { // of rich text, only what is text: the others are not escaped, they act
		case "broadcast", "user", "usergroup", "channel", "team", "link", "date", "emoji", "color":
			w.add(at, "rich text holds a %s", v["type"])
		}
		if text, ok := v["text"].(string); ok {
			w.characters += utf8.RuneCountInString(text)
			p := ""
			switch v["type"] {
			case "mrkdwn":
				p = badMrkdwn(text)
			case "plain_text", "text":
				p = badPlain(text)
			}
			if p != "" {
				w.add(at, "%s", p)
			}
		}
		for k, e := range v {
			w.value(at+"/"+k, e)
		}
	}
}

// hidden reports whether r is not to be seen or moves what is.
func hidden(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point))
}

// badPlain says what is wrong with plain text.
func badPlain(s string) string {
	if !utf8.ValidString(s) {
		return "not UTF-8: " + clipped(s)
	}
	for _, r := range s {
		if hidden(r) {
			return fmt.Sprintf("holds %U: %s", r, clipped(s))
		}
	}
	return ""
}

var (
	ownTokens = regexp.MustCompile(ownDate + "|" + ownMentions + "|" + ownChannel + "|" + ownBroadcast + "|" + ownLink)
	entity    = regexp.MustCompile(`&(?:amp|lt|gt);`)
	marked    = regexp.MustCompile("[*_~]EVIL|`")
	unescape  = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace
)

// badMrkdwn says what is wrong with mrkdwn: badControl, and no text from
// outside formats.
func badMrkdwn(s string) string {
	if p := badControl(s); p != "" {
		return p
	}
	if at := marked.FindString(s); at != "" {
		return "formats text from outside: " + at
	}
	return ""
}

// badControl says what text does in mrkdwn that it should not: every < and > is
// of a token of our own, every & of an entity, and all can be seen.
func badControl(s string) string {
	for i, r := range s {
		if r == hiddenOK && i > 0 && strings.IndexByte("*_~", s[i-1]) >= 0 {
			continue
		}
		if hidden(r) {
			return fmt.Sprintf("holds %U: %s", r, clipped(s))
		}
	}
	rest := ownTokens.ReplaceAllString(s, "")
	if i := strings.IndexAny(rest, "<>"); i >= 0 {
		return "holds a control sequence that is not ours: " + clipped(rest[i:])
	}
	if i := strings.IndexByte(entity.ReplaceAllString(rest, ""), '&'); i >= 0 {
		return "holds an & that is no entity: " + clipped(rest)
	}
	if !utf8.ValidString(s) {
		return "not UTF-8: " + clipped(s)
	}
	return ""
}

func clipped(s string) string {
	if len(s) > 120 {
		return fmt.Sprintf("%q…", s[:120])
	}
	return fmt.Sprintf("%q", s)
}

// TestChecksCanFail feeds the checks with what they are there to find.
func TestChecksCanFail(t *testing.T) {
	fill := func(n int) []slack.Block {
		var b []slack.Block
		for range n {
			b = append(b, slack.NewSectionBlock(plain(strings.Repeat("x", 2900)), nil, nil))
		}
		return b
	}
	mark := func(s string) []slack.Block { return []slack.Block{slack.NewSectionBlock(mrkdwn(s), nil, nil)} }
	rich := func(e slack.RichTextSectionElement) []slack.Block {
		return []slack.Block{slack.NewRichTextBlock("r", slack.NewRichTextSection(e))}
	}
	same := slack.SectionBlockOptionBlockID("same")
	tests := map[string]struct {
		text   string
		blocks []slack.Block
		want   string
	}{
		"fine":             {"text", mark("*Asked* by <@U0ANA> at <!date^1^{time_secs}|00:00:01 UTC> &lt;&amp;&gt; *\u2060"), ""},
		"no text":          {" ", mark("x"), "the fallback text is empty"},
		"no blocks":        {"text", nil, "0 blocks"},
		"too many blocks":  {"text", fill(51), "51 blocks"},
		"too long":         {"text", fill(3), "8700 characters"},
		"channel":          {"text", mark("a <!channel>"), "not ours"},
		"stranger":         {"text", mark("a <@UEVIL>"), "not ours"},
		"link":             {"text", mark("a <https://evil.example|Approve>"), "not ours"},
		"our link":         {"text", mark("<https://us-east-1.console.aws.amazon.com/a?b&amp;c|Open it in the console>"), ""},
		"our words":        {"text", mark("<https://evil.example|Open it in the console>"), "not ours"},
		"date with a link": {"text", mark("<!date^1^{time_secs}^https://evil.example|00:00:00 UTC>"), "not ours"},
		"lone bracket":     {"text", mark("a > b"), "not ours"},
		"half an entity":   {"text", mark("a &l…"), "no entity"},
		"half a token":     {"text", mark("a <!date^1^{time…"), "not ours"},
		"channel in text":  {"a <!channel>", mark("x"), "fallback text: holds a control sequence"},
		"formatted":        {"text", mark("*EVIL*"), "formats"},
		"code":             {"text", mark("`x`"), "formats"},
		"bidi":             {"text", mark("\u202ex"), "U+202E"},
		"joiner alone":     {"text", mark("x\u2060"), "U+2060"},
		"bidi in plain":    {"text", []slack.Block{slack.NewSectionBlock(plain("\u202ex"), nil, nil)}, "U+202E"},
		"zero width":       {"text", []slack.Block{slack.NewHeaderBlock(plain("a\u200bb"))}, "U+200B"},
		"bidi in rich":     {"text", rich(slack.NewRichTextSectionTextElement("\u202ex", nil)), "U+202E"},
		"rich broadcast":   {"text", rich(slack.NewRichTextSectionBroadcastElement("channel")), "holds a broadcast"},
		"same block_id":    {"text", []slack.Block{slack.NewSectionBlock(plain("x"), nil, nil, same), slack.NewSectionBlock(plain("x"), nil, nil, same)}, "twice"},
		"same action_id": {"text", []slack.Block{slack.NewActionBlock("a", slack.NewButtonBlockElement("b", "v", plain("x")),
			slack.NewButtonBlockElement("b", "v", plain("x")))}, "twice"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(problems(t, c.text, c.blocks), "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("problems %q, want %q", got, c.want)
			}
		})
	}
	all, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"message": `{"text":"x","blocks":[{"type":"header","text":{"type":"mrkdwn","text":"x"}}]}`,
		"modal":   `{"type":"modal","title":{"type":"plain_text","text":"longer than twenty-four chars"},"blocks":[{"type":"divider"}]}`,
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if all[name].Validate(v) == nil {
			t.Errorf("the schema takes %s", body)
		}
	}
}
