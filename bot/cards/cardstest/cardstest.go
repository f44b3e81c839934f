// Package cardstest checks what the bot sends: that Slack takes it, and that no text
// from outside does anything in it.
package cardstest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

//go:embed blockkit.schema.json
var blockkit string

// WordJoiner may stand behind a mark of formatting, which then has no effect.
const WordJoiner = '\u2060'

const (
	cardTotal    = 8000 // ours: Slack's own limit is undocumented and lies near 12,000
	cardBlocks   = 50
	modalBlocks  = 100
	ownDate      = `<!date\^\d+\^\{time\} your time\|\d\d:\d\d UTC>`
	ownMentions  = `<@U0(?:ANA|BEN|CHO)>`
	ownChannel   = `<#C0SEC>`
	ownBroadcast = `<!here>|<!subteam\^S0RESPONDERS>`
	ownLink      = `<https://(?:[a-z0-9-]+\.)*(?:aws\.amazon\.com|amazonaws-us-gov\.com|amazonaws\.cn)/(?:[^<>|&\s]|&amp;)*\|Open it in the console>|<https://acme\.slack\.com/archives/C0SEC/p\d+(?:\?thread_ts=[0-9.]+&amp;cid=C0SEC)?\|Open its card>`
)

// schemas compiles the two halves of Slack's types once.
var schemas = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(blockkit))
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

// schemaProblem is what is wrong with the types of a message or a modal.
func schemaProblem(name string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	all, err := schemas()
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	if err := all[name].Validate(doc); err != nil {
		return fmt.Errorf("the %s is none of Slack's types: %w", name, err)
	}
	return nil
}

// Message wants a message that Slack takes and that does nothing but what we mean.
func Message(t testing.TB, text string, blocks []slack.Block) {
	t.Helper()
	for _, p := range Problems(text, blocks) {
		t.Error(p)
	}
	posted(t, text, blocks)
}

// posted wants a message that can be posted and updated in a workspace that refuses
// what Slack refuses.
func posted(t testing.TB, text string, blocks []slack.Block) {
	t.Helper()
	const channel = "C0SEC"
	w := slackfake.New(slackfake.Config{
		Now:      func() time.Time { return time.Date(2026, 11, 2, 2, 14, 5, 0, time.UTC) },
		Channels: []slackfake.Channel{{ID: channel, Name: "security"}},
	})
	api := slack.New(w.Config().BotToken, slack.OptionHTTPClient(w.Client()), slack.OptionAPIURL("http://slack.invalid/api/"))
	opts := []slack.MsgOption{slack.MsgOptionText(text, false), slack.MsgOptionBlocks(blocks...)}
	_, ts, err := api.PostMessageContext(t.Context(), channel, opts...)
	if err == nil {
		_, _, _, err = api.UpdateMessageContext(t.Context(), channel, ts, opts...)
	}
	if err != nil {
		t.Errorf("Slack refuses it: %v", err)
	}
}

// Problems is what is wrong with a message.
func Problems(text string, blocks []slack.Block) []string {
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
	w := walk(blocks)
	if w.characters >= cardTotal {
		out = append(out, fmt.Sprintf("%d characters in its blocks, want fewer than %d", w.characters, cardTotal))
	}
	out = append(out, w.problems...)
	if err := schemaProblem("message", map[string]any{"text": text, "blocks": blocks}); err != nil {
		out = append(out, err.Error())
	}
	return out
}

// Modal wants a modal that Slack takes and that does nothing but what we mean.
func Modal(t testing.TB, v slack.ModalViewRequest) {
	t.Helper()
	if n := len(v.Blocks.BlockSet); n == 0 || n > modalBlocks {
		t.Errorf("%d blocks", n)
	}
	for _, p := range walk(v.Blocks.BlockSet).problems {
		t.Error(p)
	}
	if err := schemaProblem("modal", v); err != nil {
		t.Error(err)
	}
}

// walker looks at what is sent, as JSON: not at the types that made it.
type walker struct {
	characters int
	problems   []string
	blockIDs   map[string]bool
}

func walk(blocks []slack.Block) *walker {
	w := &walker{blockIDs: map[string]bool{}}
	body, err := json.Marshal(blocks)
	var list []any
	if err == nil {
		err = json.Unmarshal(body, &list)
	}
	if err != nil {
		w.add("", "%v", err)
	}
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
				p = BadMrkdwn(text)
			case "plain_text", "text":
				p = BadPlain(text)
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

// Hidden reports whether r is not to be seen or moves what is.
func Hidden(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point))
}

// BadPlain says what is wrong with plain text.
func BadPlain(s string) string {
	if !utf8.ValidString(s) {
		return "not UTF-8: " + clipped(s)
	}
	for _, r := range s {
		if Hidden(r) {
			return fmt.Sprintf("holds %U: %s", r, clipped(s))
		}
	}
	return ""
}

var (
	ownTokens = regexp.MustCompile(ownDate + "|" + ownMentions + "|" + ownChannel + "|" + ownBroadcast + "|" + ownLink)
	entity    = regexp.MustCompile(`&(?:amp|lt|gt);`)
	marked    = regexp.MustCompile("[*_~]EVIL|`")
)

// Unescape is mrkdwn as Slack shows it.
func Unescape(s string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(s)
}

// BadMrkdwn says what is wrong with mrkdwn: badControl, and no text from
// outside formats.
func BadMrkdwn(s string) string {
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
		if r == WordJoiner && i > 0 && strings.IndexByte("*_~", s[i-1]) >= 0 {
			continue
		}
		if Hidden(r) {
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
