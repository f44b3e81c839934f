package cardstest

import (
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/slack-go/slack"
)

func plain(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
}

func mrkdwn(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, s, false, true)
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
		"fine":             {"text", mark("*Asked* by <@U0ANA> at <!date^1^{time} your time|00:00 UTC> &lt;&amp;&gt; *\u2060"), ""},
		"no text":          {" ", mark("x"), "the fallback text is empty"},
		"no blocks":        {"text", nil, "0 blocks"},
		"too many blocks":  {"text", fill(51), "51 blocks"},
		"too long":         {"text", fill(3), "8700 characters"},
		"channel":          {"text", mark("a <!channel>"), "not ours"},
		"stranger":         {"text", mark("a <@UEVIL>"), "not ours"},
		"link":             {"text", mark("a <https://evil.example|Approve>"), "not ours"},
		"our link":         {"text", mark("<https://us-east-1.console.aws.amazon.com/a?b&amp;c|Open it in the console>"), ""},
		"our words":        {"text", mark("<https://evil.example|Open it in the console>"), "not ours"},
		"date with a link": {"text", mark("<!date^1^{time} your time^https://evil.example|00:00 UTC>"), "not ours"},
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
			got := strings.Join(Problems(c.text, c.blocks), "\n")
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
