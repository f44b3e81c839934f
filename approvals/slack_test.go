package approvals_test

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/approvals"
)

func form(pairs ...string) string {
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		parts = append(parts, pairs[i]+"="+url.QueryEscape(pairs[i+1]))
	}
	return strings.Join(parts, "&")
}

const command = "command=%2Fkillswitch&text=list&team_id=T1&user_id=U1&channel_id=C1&api_app_id=A1&enterprise_id=E1&response_url=https%3A%2F%2Fhooks.example%2F1&trigger_id=1.2"

func TestParseSlackCommand(t *testing.T) {
	want := approvals.SlackPayload{
		Type: "slash_command", Team: "T1", Enterprise: "E1", App: "A1", User: "U1", UserTeam: "T1", Channel: "C1",
		Command: "/killswitch", Text: "list", ResponseURL: "https://hooks.example/1", TriggerID: "1.2",
	}
	if got, err := approvals.ParseSlack(command); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, field := range []string{"command", "text", "team_id", "user_id", "channel_id", "api_app_id"} {
		if got, err := approvals.ParseSlack(command + "&" + field + "=x"); !isRefusal(err) {
			t.Errorf("%s twice: %+v, %v", field, got, err)
		}
	}
	for text, want := range map[string]string{
		"<@U1> & co": "@U1 & co",
		"<@U1|bob> in <#C1|incident>, <!subteam^S1|@sec> <!here>":           "@bob in #incident, @sec @here",
		"role/<mailto:a@b.example|a@b.example>":                             "role/a@b.example",
		"prod/<http://my.role|my.role> see <https://a.example/x?y=1&amp;z>": "prod/my.role see https://a.example/x?y=1&z",
		"<tel:222222222222|222222222222>/x <tel:+49301|+49 301>":            "222222222222/x +49 301",
		"<https://evil.example|https://good.example>":                       "https://evil.example",
		"&lt;mailto:a@b|c&gt; < mailto:a@b >":                               "<mailto:a@b|c> < mailto:a@b >",
		"&lt;@U1&gt; &amp; co":                                              "<@U1> & co",
		"&amp;lt;script&amp;gt;":                                            "&lt;script&gt;", // once, not twice
		"&quot; &#60; &nbsp; %3C +":                                         "&quot; &#60; &nbsp; %3C +",
	} {
		if got, err := approvals.ParseSlack(form("command", "/killswitch", "text", text)); err != nil || got.Text != want {
			t.Errorf("%q: %q, %v", text, got.Text, err)
		}
	}
	for _, body := range []string{"", "text=list", "command=", "%zz", "command=%2Fkillswitch&text=%zz", "command=%2Fkillswitch;text=x", `{"type":"event_callback"}`, "payload=", "payload=%7B", "payload=%5B%5D", "payload=1", "payload=%7B%7D", "payload=%7B%7D&payload=%7B%7D", form("payload", `{"type":7}`), form("payload", `{"actions":{}}`), form("payload", `{"type":"block_actions","user":7}`), form("payload", `{}{}`)} {
		if got, err := approvals.ParseSlack(body); !isRefusal(err) {
			t.Errorf("%q: %+v, %v", body, got, err)
		}
	}
}

// click is a button's body on a card with these blocks.
func click(blocks ...string) string {
	return form("payload", `{"type":"block_actions","team":{"id":"T1"},"enterprise":{"id":"E1"},"api_app_id":"A1",
		"user":{"id":"U1","team_id":"T2","name":"x"},"channel":{"id":"C1"},"container":{"type":"message","channel_id":"C2","message_ts":"9.9"},
		"message":{"ts":"1.1","thread_ts":"1.0","blocks":[`+strings.Join(blocks, ",")+`]},
		"actions":[{"action_id":"approve","value":"KS-4G7QX2M9ZT0B.d1","block_id":"b","type":"button"}],
		"response_url":"https://hooks.example/1","trigger_id":"1.2"}`)
}

const (
	callBlock = `{"block_id":"call","type":"section","text":{"type":"plain_text","text":"a &lt;b&gt; &amp;amp;"}}`
	whyBlock  = `{"block_id":"why","type":"section","text":{"type":"plain_text","text":"Why (ana): x &amp; y"}}`
)

func TestParseSlackClick(t *testing.T) {
	want := approvals.SlackPayload{
		Type: "block_actions", Team: "T1", Enterprise: "E1", App: "A1", User: "U1", UserTeam: "T2", Channel: "C1",
		Actions:   []approvals.SlackAction{{ID: "approve", Value: "KS-4G7QX2M9ZT0B.d1"}},
		Container: "message", CallText: "a <b> &amp;", CallBlocks: 1, ReasonText: "Why (ana): x & y",
		MessageTS: "1.1", ThreadTS: "1.0", ResponseURL: "https://hooks.example/1", TriggerID: "1.2",
	}
	for _, other := range []string{`{"block_id":"x","type":"divider"}`, `{"type":"rich_text","elements":[{"x":[1]}]}`, `{"block_id":"x","type":"section","text":{"type":"plain_text","text":"call"}}`, `7`, `null`, `"call"`} {
		if got, err := approvals.ParseSlack(click(other, callBlock, other, whyBlock, other)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("beside %s: %+v, %v", other, got, err)
		}
	}

	for _, c := range []struct {
		name   string
		blocks []string
		count  int
		text   string
	}{
		{"none", nil, 0, ""},
		{"two", []string{callBlock, callBlock}, 2, "a <b> &amp;"},
		{"Markdown", []string{strings.Replace(callBlock, "plain_text", "mrkdwn", 1)}, 1, ""},
		{"no text type", []string{strings.Replace(callBlock, "plain_text", "", 1)}, 1, ""},
		{"header", []string{strings.Replace(callBlock, "section", "header", 1)}, 1, ""},
		{"fields", []string{`{"block_id":"call","type":"section","fields":[{"type":"plain_text","text":"x"}]}`}, 1, ""},
		{"text is a string", []string{`{"text":"x","type":"section","block_id":"call"}`}, 1, ""},
		{"text is a number", []string{`{"text":{"type":"plain_text","text":7},"type":"section","block_id":"call"}`}, 1, ""},
		{"plain and Markdown", []string{callBlock, strings.Replace(callBlock, "plain_text", "mrkdwn", 1)}, 2, "a <b> &amp;"},
		{"Markdown and plain", []string{strings.Replace(callBlock, "plain_text", "mrkdwn", 1), callBlock}, 2, "a <b> &amp;"},
		{"other case", []string{strings.Replace(callBlock, `"call"`, `"Call"`, 1)}, 0, ""},
	} {
		got, err := approvals.ParseSlack(click(c.blocks...))
		if err != nil || got.CallBlocks != c.count || got.CallText != c.text {
			t.Errorf("%s: %d call blocks, %q, %v", c.name, got.CallBlocks, got.CallText, err)
		}
	}
	if got, err := approvals.ParseSlack(click(strings.Replace(whyBlock, "plain_text", "mrkdwn", 1))); err != nil || got.ReasonText != "" {
		t.Errorf("why in Markdown: %q, %v", got.ReasonText, err)
	}
	// What a form says beside the payload is not heard.
	if got, err := approvals.ParseSlack(click(callBlock) + "&" + command); err != nil || got.Type != "block_actions" || got.Text != "" || got.Command != "" {
		t.Errorf("with a command beside it: %+v, %v", got, err)
	}
}

// TestParseSlackAlert: of an alert's card the calls that it named are read, and
// whether it said that one click runs them.
func TestParseSlackAlert(t *testing.T) {
	block := func(id, kind, text string) string {
		return fmt.Sprintf(`{"block_id":%q,"type":"section","text":{"type":%q,"text":%q}}`, id, kind, text)
	}
	offer := func(n int, text string) string { return block(approvals.OfferBlock(n), "plain_text", text) }
	said := block(approvals.OneClickBlock, "plain_text", approvals.OneClickText)
	for _, c := range []struct {
		name   string
		blocks []string
		offers []string
		once   bool
	}{
		{"none", []string{callBlock}, nil, false},
		{"some", []string{offer(1, "a &lt;b&gt;"), whyBlock, offer(25, "c"), said}, []string{"a <b>", "c"}, true},
		{"the same twice", []string{offer(1, "a"), offer(1, "a")}, []string{"a", "a"}, false},
		{"Markdown", []string{block("call:1", "mrkdwn", "a"), block(approvals.OneClickBlock, "mrkdwn", approvals.OneClickText)}, nil, false},
		{"other numbers", []string{offer(0, "a"), offer(100, "b"), block("call:01", "plain_text", "c"), block("call:1x", "plain_text", "d"), block("xcall:1", "plain_text", "e")}, nil, false},
		{"other words", []string{block(approvals.OneClickBlock, "plain_text", approvals.OneClickText+" ")}, nil, false},
		{"another block", []string{block("one-click-2", "plain_text", approvals.OneClickText)}, nil, false},
	} {
		got, err := approvals.ParseSlack(click(c.blocks...))
		if err != nil || !slices.Equal(got.Offers, c.offers) || got.OneClick != c.once {
			t.Errorf("%s: %q, %t, %v", c.name, got.Offers, got.OneClick, err)
		}
	}
	for value, ok := range map[string]bool{"AL-4G7QX2M9ZT0B.d1": true, "AL-4G7QX2M9ZT0B.": true, "KS-4G7QX2M9ZT0B.d1": false, "AL-4G7QX2M9ZT0B": false, ".d1": false, "": false} {
		if id, digest, got := approvals.SplitAlertValue(value); got != ok || ok && approvals.Value(id, digest) != value {
			t.Errorf("%q is %s and %s, %t", value, id, digest, got)
		}
	}
}

func TestParseSlackView(t *testing.T) {
	body := form("payload", `{"type":"view_submission","team":null,"user":{"id":"U1"},"container":{"channel_id":"C2"},"view":{"id":"V1","hash":"1.h",
		"callback_id":"deny","private_metadata":"KS-4G7QX2M9ZT0B.d1","blocks":[{"type":"section","block_id":"note","text":{"type":"mrkdwn","text":"x"}},
		{"type":"input","block_id":"reason.2","label":{"type":"plain_text","text":"Reason &amp; so"},"element":{"type":"plain_text_input","action_id":"r"}},
		{"type":"input","block_id":"empty","label":{"text":"E"},"element":{"action_id":"e"}},
		{"type":"input","block_id":"choice.10","label":{"text":"C"},"element":{"action_id":"c"}},
		{"type":"input","block_id":"none","label":{"text":"N"},"element":{"action_id":"c"}}],
		"state":{"values":{"reason.2":{"r":{"type":"plain_text_input","value":"not &amp; ours"}},"empty":{"e":{"type":"plain_text_input","value":null}},
		"choice.10":{"c":{"type":"static_select","selected_option":{"text":{"type":"plain_text","text":"a&amp;b"},"value":"a&b"}}},"none":{"c":{"type":"static_select","selected_option":null}}}}}}`)
	want := approvals.SlackPayload{
		Type: "view_submission", User: "U1", Channel: "C2", CallbackID: "deny", Metadata: "KS-4G7QX2M9ZT0B.d1", ViewID: "V1", ViewHash: "1.h",
		Inputs: []approvals.SlackInput{{Field: "reason", Label: "Reason & so", Value: "not &amp; ours"}, {Field: "empty", Label: "E"}, {Field: "choice", Label: "C", Value: "a&b"}, {Field: "none", Label: "N"}},
	}
	if got, err := approvals.ParseSlack(body); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseSlackErrorIsShort(t *testing.T) {
	for _, payload := range []string{`{"type":` + strings.Repeat("1", 500) + `}`, `{"` + strings.Repeat("hush", 50), `{"type":"x"} hush`, "hush"} {
		_, err := approvals.ParseSlack(form("payload", payload))
		if err == nil || len(err.Error()) > 140 || strings.Contains(err.Error(), "hush") {
			t.Errorf("%.20s…: %v", payload, err)
		}
	}
}

func FuzzParseSlack(f *testing.F) {
	for _, seed := range []string{"", command, click(callBlock, whyBlock), click(`null`, `7`), documented.Body, "payload=null", "payload=%7B%7D", "%zz", "a;b", form("payload", `{"view":{"state":{"values":{"b":null}}}}`)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w, err := approvals.ParseSlack(body)
		switch {
		case err != nil && !isRefusal(err):
			t.Errorf("another error: %v", err)
		case err != nil && !reflect.DeepEqual(w, approvals.SlackPayload{}):
			t.Errorf("a word with an error: %+v", w)
		case err == nil && w.CallText != "" && w.CallBlocks == 0:
			t.Errorf("a call from no block: %+v", w)
		case err == nil && w.Type == "slash_command" && w.Command == "":
			t.Errorf("a command without one: %+v", w)
		}
	})
}
