package slackfake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

const channel = "C0SEC"

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func workspace() (*slackfake.Slack, *slack.Client, *clock) {
	c := &clock{at: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)}
	s := slackfake.New(slackfake.Config{
		Now:      c.Now,
		Channels: []slackfake.Channel{{ID: channel, Name: "security"}, {ID: "C0OLD", Name: "old", Archived: true}},
		Users: []slackfake.User{
			{ID: "U1", Name: "ana", RealName: "Ana A"},
			{ID: "U2", Name: "guest", UltraRestricted: true},
			{ID: "U3", Name: "outsider", Team: "T0OTHER", Stranger: true, Enterprise: "E1"},
			{ID: "U4", Name: "gone", Deleted: true},
		},
		Usergroups: map[string][]string{"S1": {"U1", "U2"}},
	})
	return s, client(s, s.Config().BotToken), c
}

func client(s *slackfake.Slack, token string) *slack.Client {
	return slack.New(token, slack.OptionAPIURL("http://slack.invalid/api/"), slack.OptionHTTPClient(s.Client()))
}

func plain(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
}

func markup(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, s, false, false)
}

func card() slack.MsgOption {
	deny := slack.NewButtonBlockElement("deny", "KS-1.abc", plain("Deny")).WithStyle(slack.StyleDanger)
	return slack.MsgOptionBlocks(
		slack.NewHeaderBlock(plain("disable_key")),
		slack.NewSectionBlock(markup("*who* <@U1> &amp; co"), nil, nil),
		slack.NewActionBlock("votes", slack.NewButtonBlockElement("approve", "KS-1.abc", plain("Approve")), deny),
	)
}

func post(t *testing.T, api *slack.Client, options ...slack.MsgOption) string {
	t.Helper()
	_, ts, err := api.PostMessage(channel, options...)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestPostUpdateDelete(t *testing.T) {
	s, api, _ := workspace()
	var events []string
	s.Subscribe(func(e slackfake.Event) { events = append(events, e.Type+" "+e.Message.Text) })

	ts := post(t, api, slack.MsgOptionText("pending 0/1", false), card(),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "request", EventPayload: map[string]any{"id": "KS-1"}}))
	reply := post(t, api, slack.MsgOptionText("step", false), slack.MsgOptionTS(ts), slack.MsgOptionBroadcast())
	if reply <= ts {
		t.Errorf("reply ts %s, parent %s: want increasing", reply, ts)
	}
	if got := s.Thread(channel, ts); len(got) != 2 || !got[1].Broadcast || got[0].Blocks == nil || got[0].User != s.Config().BotUserID {
		t.Errorf("thread = %+v", got)
	}

	history, err := api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: channel, IncludeAllMetadata: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(history.Messages) != 2 || history.Messages[0].Timestamp != reply || history.Messages[1].Metadata.EventPayload["id"] != "KS-1" {
		t.Errorf("history = %+v", history.Messages)
	}

	if _, _, _, err := api.UpdateMessage(channel, ts, slack.MsgOptionText("approved", false), card()); err != nil {
		t.Fatal(err)
	}
	if got := s.Messages(channel)[0]; got.Text != "approved" || got.Blocks == nil || got.Edits != 1 || got.Metadata == nil {
		t.Errorf("updated = %+v", got)
	}
	if _, _, _, err := api.UpdateMessage(channel, ts, slack.MsgOptionText("bare", false)); err != nil {
		t.Fatal(err)
	}
	if got := s.Messages(channel)[0]; got.Blocks != nil || got.Edits != 2 {
		t.Errorf("text alone kept the blocks: %+v", got)
	}
	if _, _, err := api.DeleteMessage(channel, reply); err != nil {
		t.Fatal(err)
	}
	want := []string{"posted pending 0/1", "posted step", "edited approved", "edited bare", "deleted step"}
	if d := cmp.Diff(want, events); d != "" {
		t.Error(d)
	}
}

func TestErrors(t *testing.T) {
	s, api, _ := workspace()
	text := slack.MsgOptionText("x", false)
	ts := post(t, api, text)
	reply := post(t, api, text, slack.MsgOptionTS(ts))
	said := s.Say("U1", channel, "", "hello").TS
	lost := post(t, api, text)
	s.Lose(channel, lost)
	update := func(ts string) error {
		_, _, _, err := api.UpdateMessage(channel, ts, text)
		return err
	}
	send := func(channel string, options ...slack.MsgOption) error {
		_, _, err := api.PostMessage(channel, options...)
		return err
	}
	user := func(id string) error { _, err := api.GetUserInfo(id); return err }
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"channel":       {send("C0NONE", text), "channel_not_found"},
		"archived":      {send("C0OLD", text), "is_archived"},
		"direct":        {send("U1", text), ""},
		"no text":       {send(channel), "no_text"},
		"text too long": {send(channel, slack.MsgOptionText(strings.Repeat("x", 40_001), false)), "msg_too_long"},
		"no thread":     {send(channel, text, slack.MsgOptionTS("1.2")), "thread_not_found"},
		"lost thread":   {send(channel, text, slack.MsgOptionTS(lost)), "thread_not_found"},
		"nested thread": {send(channel, text, slack.MsgOptionTS(reply)), "cannot_reply_to_message"},
		"update":        {update(ts), ""},
		"update lost":   {update(lost), "message_not_found"},
		"update other":  {update(said), "cant_update_message"},
		"user":          {user("U1"), ""},
		"no user":       {user("U9"), "user_not_found"},
		"token":         {func() error { _, err := client(s, "xoxb-wrong").AuthTest(); return err }(), "invalid_auth"},
		"no token":      {func() error { _, err := client(s, "").AuthTest(); return err }(), "not_authed"},
		"method":        {func() error { _, err := api.GetTeamInfo(); return err }(), "unknown_method"},
		"group":         {func() error { _, err := api.GetUserGroupMembers("S9"); return err }(), "no_such_subteam"},
		"ephemeral":     {func() error { _, err := api.PostEphemeral(channel, "U4", text); return err }(), "user_not_in_channel"},
	} {
		if got := errorText(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestDirectory(t *testing.T) {
	s, api, _ := workspace()
	u, err := api.GetUserInfo("U3")
	if err != nil || u.TeamID != "T0OTHER" || !u.IsStranger || u.Enterprise.EnterpriseID != "E1" {
		t.Errorf("U3 = %+v, %v", u, err)
	}
	if u, err := api.GetUserInfo("U2"); err != nil || !u.IsRestricted || !u.IsUltraRestricted || u.TeamID != s.Config().Team {
		t.Errorf("U2 = %+v, %v", u, err)
	}
	if ids, err := api.GetUserGroupMembers("S1"); err != nil || !cmp.Equal(ids, []string{"U1", "U2"}) {
		t.Errorf("S1 = %v, %v", ids, err)
	}
	if c, err := api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: channel}); err != nil || c.Name != "security" {
		t.Errorf("channel = %+v, %v", c, err)
	}
	if a, err := api.AuthTest(); err != nil || a.UserID != s.Config().BotUserID || a.TeamID != s.Config().Team {
		t.Errorf("auth = %+v, %v", a, err)
	}
	ts := post(t, api, slack.MsgOptionText("x", false))
	link, err := api.GetPermalink(&slack.PermalinkParameters{Channel: channel, Ts: ts})
	if want := "https://example.slack.com/archives/" + channel + "/p" + strings.ReplaceAll(ts, ".", ""); link != want || err != nil {
		t.Errorf("permalink %q, %v, want %q", link, err, want)
	}
}

func TestPages(t *testing.T) {
	s, api, _ := workspace()
	parent := post(t, api, slack.MsgOptionText("parent", false))
	for range 7 {
		post(t, api, slack.MsgOptionText("reply", false), slack.MsgOptionTS(parent))
	}
	s.Say("U1", channel, "", "another")
	var seen []string
	p := &slack.GetConversationRepliesParameters{ChannelID: channel, Timestamp: parent, Limit: 4}
	for range 4 {
		page, more, cursor, err := api.GetConversationReplies(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page[1:] {
			seen = append(seen, m.Timestamp)
		}
		if p.Cursor = cursor; !more {
			break
		}
	}
	var want []string
	for _, m := range s.Thread(channel, parent)[1:] {
		want = append(want, m.TS)
	}
	if d := cmp.Diff(want, seen); d != "" {
		t.Error(d)
	}
	h, err := api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: channel, Limit: 1, Latest: want[0]})
	if err != nil || len(h.Messages) != 1 || h.Messages[0].Timestamp != parent || h.Messages[0].ReplyCount != 7 {
		t.Errorf("history = %+v, %v", h, err)
	}
}

func TestSignature(t *testing.T) {
	s := slackfake.New(slackfake.Config{Now: new(clock).Now, SigningSecret: "8f742231b10e8888abcd99yyyzzz85a5"})
	// The example of docs.slack.dev/authentication/verifying-requests-from-slack.
	body := "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar" +
		"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com" +
		"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	got := s.Sign([]byte(body), time.Unix(1531420618, 0)).Get("X-Slack-Signature")
	if want := "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

// bot verifies what it gets with slack-go and keeps it.
type bot struct {
	t       *testing.T
	secret  string
	form    url.Values
	click   slack.InteractionCallback
	answer  string
	json    bool
	before  func()
	visited int
}

func (b *bot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.visited++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Error(err)
	}
	if err := verify(b.secret, body, r.Header); err != nil {
		http.Error(w, "bad signature", http.StatusUnauthorized)
		return
	}
	b.form, _ = url.ParseQuery(string(body))
	if p := b.form.Get("payload"); p != "" {
		b.click = slack.InteractionCallback{}
		if err := json.Unmarshal([]byte(p), &b.click); err != nil {
			b.t.Errorf("slack-go cannot read the payload: %v\n%s", err, p)
		}
	}
	if b.before != nil {
		b.before()
	}
	if b.json {
		w.Header().Set("Content-Type", "application/json")
	}
	_, _ = io.WriteString(w, b.answer)
}

// verify uses slack-go's own check, at the request's time: the clock is ours.
func verify(secret string, body []byte, header http.Header) error {
	fresh := header.Clone()
	v, err := slack.NewSecretsVerifier(fresh, secret)
	if errors.Is(err, slack.ErrExpiredTimestamp) {
		return nil // checked in TestRoundTripNow
	}
	if err != nil {
		return err
	}
	_, _ = v.Write(body)
	return v.Ensure()
}

func TestRoundTripNow(t *testing.T) {
	now := time.Now
	s := slackfake.New(slackfake.Config{Now: now, SigningSecret: "s3", Channels: []slackfake.Channel{{ID: channel}}})
	b := &bot{t: t, secret: "s3"}
	s.Deliver(b)
	d := s.Command("U1", channel, "/killswitch", "list")
	if d.Status != http.StatusOK || d.Err != nil {
		t.Fatalf("%d %v", d.Status, d.Err)
	}
	if again := s.Send(d.Request, d.SentHeader); again.Status != http.StatusOK || b.visited != 2 {
		t.Errorf("replay: %d", again.Status)
	}
	if forged := s.Send(append(bytes.Clone(d.Request), "&x=1"...), d.SentHeader); forged.Status != http.StatusUnauthorized {
		t.Errorf("forgery: %d", forged.Status)
	}
}

func TestCommand(t *testing.T) {
	s, _, c := workspace()
	b := &bot{t: t, secret: "fake", answer: "on it"}
	if d := s.Command("U1", channel, "/k", ""); !errors.Is(d.Err, slackfake.ErrNoHandler) {
		t.Errorf("no handler: %v", d.Err)
	}
	s.Deliver(b)
	if d := s.Command("U1", "C0NONE", "/k", ""); !errors.Is(d.Err, slackfake.ErrNoChannel) {
		t.Errorf("no channel: %v", d.Err)
	}
	s.Command("U3", channel, "/killswitch", `quarantine a<b & <@U1|ana> <!channel> reason="x"`)
	for name, want := range map[string]string{
		"user_id": "U3", "team_id": "T0OTHER", "enterprise_id": "E1", "channel_name": "security", "command": "/killswitch",
		"text": `quarantine a&lt;b &amp; <@U1|ana> &lt;!channel&gt; reason="x"`, "is_enterprise_install": "false",
	} {
		if got := b.form.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if m := s.Messages(channel); len(m) != 1 || m[0].Text != "on it" || m[0].EphemeralTo != "U3" {
		t.Errorf("messages = %+v", m)
	}
	b.json, b.answer = true, `{"response_type":"in_channel","text":"hello all"}`
	s.Command("U1", channel, "/killswitch", "")
	if m := s.Messages(channel); len(m) != 2 || m[1].EphemeralTo != "" {
		t.Errorf("messages = %+v", m)
	}
	b.answer = `{"blocks":[{"type":"nonsense"}]}`
	if d := s.Command("U1", channel, "/killswitch", ""); !errors.Is(d.Err, slackfake.ErrAnswer) {
		t.Errorf("bad blocks: %v", d.Err)
	}
	b.before = func() { c.Add(4 * time.Second) }
	if d := s.Command("U1", channel, "/killswitch", ""); !errors.Is(d.Err, slackfake.ErrTimeout) || d.Status != 200 {
		t.Errorf("slow: %v", d.Err)
	}
	b.before = func() { panic(http.ErrAbortHandler) }
	if d := s.Command("U1", channel, "/killswitch", ""); !errors.Is(d.Err, slackfake.ErrBroken) || d.Status != 0 {
		t.Errorf("broken: %v", d.Err)
	}
}

func TestClick(t *testing.T) {
	s, api, _ := workspace()
	b := &bot{t: t, secret: "fake"}
	s.Deliver(b)
	parent := post(t, api, slack.MsgOptionText("alert", false))
	ts := post(t, api, slack.MsgOptionText("pending 0/1", false), card(), slack.MsgOptionTS(parent))

	if d := s.Click("U3", channel, ts, "deny"); d.Status != http.StatusOK || d.Err != nil {
		t.Fatalf("%d %v", d.Status, d.Err)
	}
	got := b.click
	if len(got.ActionCallback.BlockActions) != 1 {
		t.Fatalf("actions = %+v", got.ActionCallback)
	}
	a := got.ActionCallback.BlockActions[0]
	if a.ActionID != "deny" || a.BlockID != "votes" || a.Value != "KS-1.abc" || a.Text.Text != "Deny" {
		t.Errorf("action = %+v", a)
	}
	if got.Type != slack.InteractionTypeBlockActions || got.User.ID != "U3" || got.User.TeamID != "T0OTHER" || got.Team.ID != s.Config().Team || got.Enterprise.ID != "E1" {
		t.Errorf("who = %+v %+v %+v", got.User, got.Team, got.Enterprise)
	}
	if got.Container.MessageTs != ts || got.Container.ThreadTs != parent || got.Container.ChannelID != channel {
		t.Errorf("container = %+v", got.Container)
	}
	if got.Message.Timestamp != ts || got.Message.Team != s.Config().Team || len(got.Message.Blocks.BlockSet) != 3 || got.Message.Blocks.BlockSet[0].(*slack.HeaderBlock).BlockID == "" {
		t.Errorf("message = %+v", got.Message)
	}

	s.ClickRaw("U1", channel, ts, func(p map[string]any) { p["user"].(map[string]any)["id"] = "U666" })
	if b.click.User.ID != "U666" {
		t.Errorf("mutated user = %s", b.click.User.ID)
	}
	list := post(t, api, slack.MsgOptionBlocks(slack.NewActionBlock("list", slack.NewButtonBlockElement("show", "AL-1.-", plain("Show"))),
		slack.NewActionBlock("more", slack.NewButtonBlockElement("show", "AL-2.-", plain("Show")))))
	if d := s.Press("U1", channel, list, "show", "AL-2.-"); d.Err != nil || b.click.ActionCallback.BlockActions[0].Value != "AL-2.-" {
		t.Errorf("the second of two buttons: %+v %v", b.click.ActionCallback.BlockActions, d.Err)
	}
	if d := s.Press("U1", channel, list, "show", "AL-3.-"); !errors.Is(d.Err, slackfake.ErrNoButton) {
		t.Errorf("no button of this value: %v", d.Err)
	}
	if d := s.Click("U1", channel, ts, "nothing"); !errors.Is(d.Err, slackfake.ErrNoButton) {
		t.Errorf("no button: %v", d.Err)
	}
	s.Lose(channel, ts)
	if d := s.Click("U1", channel, ts, "deny"); !errors.Is(d.Err, slackfake.ErrNoMessage) {
		t.Errorf("no message: %v", d.Err)
	}
}

func TestResponseURL(t *testing.T) {
	s, api, c := workspace()
	b := &bot{t: t, secret: "fake"}
	s.Deliver(b)
	eph, err := api.PostEphemeral(channel, "U1", slack.MsgOptionText("only you", false), card())
	if err != nil {
		t.Fatal(err)
	}
	if d := s.Click("U2", channel, eph, "deny"); !errors.Is(d.Err, slackfake.ErrNoMessage) {
		t.Errorf("another user's ephemeral: %v", d.Err)
	}
	s.Click("U1", channel, eph, "deny")
	if !b.click.Container.IsEphemeral || b.click.Message.Timestamp != "" {
		t.Errorf("ephemeral click = %+v", b.click.Container)
	}
	send := func(body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.click.ResponseURL, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var a struct{ Error string }
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, a.Error
	}
	steps := []struct {
		body   string
		status int
		code   string
	}{
		{`{"text":"replaced","replace_original":true}`, 200, ""},
		{`{"text":"private"}`, 200, ""},
		{`{"blocks":[{"type":"header"}]}`, 400, "invalid_blocks"},
		{`{"text":"public","response_type":"in_channel"}`, 200, ""},
		{`{"delete_original":true}`, 200, ""},
		{`{"text":"fifth"}`, 200, ""},
		{`{"text":"sixth"}`, 404, "used_url"},
	}
	for _, step := range steps {
		if status, code := send(step.body); status != step.status || code != step.code {
			t.Errorf("%s: %d %q, want %d %q", step.body, status, code, step.status, step.code)
		}
	}
	var texts []string
	for _, m := range s.Messages(channel) {
		texts = append(texts, m.Text+"/"+m.EphemeralTo)
	}
	if d := cmp.Diff([]string{"private/U1", "public/", "fifth/U1"}, texts); d != "" {
		t.Error(d)
	}
	ts := post(t, api, slack.MsgOptionText("card", false), card())
	s.Click("U1", channel, ts, "deny")
	c.Add(31 * time.Minute)
	if status, code := send(`{"text":"late"}`); status != 404 || code != "expired_url" {
		t.Errorf("late: %d %q", status, code)
	}
}

func modal() slack.ModalViewRequest {
	reason := slack.NewPlainTextInputBlockElement(nil, "text")
	kind := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, nil, "kind",
		slack.NewOptionBlockObject("a", plain("A"), nil), slack.NewOptionBlockObject("b", plain("B"), nil))
	return slack.ModalViewRequest{
		Type: slack.VTModal, Title: plain("Deny"), Submit: plain("Send"), CallbackID: "deny", PrivateMetadata: "KS-1",
		Blocks: slack.Blocks{BlockSet: []slack.Block{
			slack.NewInputBlock("reason", plain("Reason"), nil, reason),
			slack.NewInputBlock("kind", plain("Kind"), nil, kind).WithOptional(true),
		}},
	}
}

func TestModal(t *testing.T) {
	s, api, c := workspace()
	b := &bot{t: t, secret: "fake"}
	s.Deliver(b)
	trigger := func() string {
		s.Command("U1", channel, "/killswitch", "")
		return b.form.Get("trigger_id")
	}
	late := trigger()
	c.Add(4 * time.Second)
	if _, err := api.OpenView(late, modal()); errorText(err) != "expired_trigger_id" {
		t.Errorf("late: %v", err)
	}
	id := trigger()
	long := modal()
	long.Title = plain(strings.Repeat("x", 25))
	long.PrivateMetadata = strings.Repeat("x", 3001)
	_, err := api.OpenView(id, long)
	var refused slack.SlackErrorResponse
	if !errors.As(err, &refused) || refused.Err != "invalid_arguments" || len(refused.ResponseMetadata.Messages) != 2 ||
		refused.ResponseMetadata.Messages[0] != "[ERROR] must be less than 25 characters [json-pointer:/view/title/text]" {
		t.Errorf("long: %+v", err)
	}
	view, err := api.OpenView(id, modal())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.OpenView(id, modal()); errorText(err) != "exchanged_trigger_id" {
		t.Errorf("second: %v", err)
	}
	if _, err := api.OpenView("1.2.x", modal()); errorText(err) != "invalid_trigger_id" {
		t.Errorf("unknown: %v", err)
	}
	if got := s.Views("U1"); len(got) != 1 || got[0].ID != view.ID {
		t.Fatalf("views = %+v", got)
	}

	values := map[string]map[string]string{"reason": {"text": "not mine"}, "kind": {"kind": "b"}}
	if d := s.Submit("U2", view.ID, values); !errors.Is(d.Err, slackfake.ErrNoView) {
		t.Errorf("another's view: %v", d.Err)
	}
	if d := s.Submit("U1", view.ID, nil); !errors.Is(d.Err, slackfake.ErrInput) {
		t.Errorf("empty: %v", d.Err)
	}
	b.json, b.answer = true, `{"response_action":"errors","errors":{"reason":"no"}}`
	if d := s.Submit("U1", view.ID, values); d.Err != nil || len(s.Views("U1")) != 1 {
		t.Errorf("errors closed the view: %v", d.Err)
	}
	got := b.click
	if got.Type != slack.InteractionTypeViewSubmission || got.View.PrivateMetadata != "KS-1" || got.View.CallbackID != "deny" ||
		got.View.State.Values["reason"]["text"].Value != "not mine" || got.View.State.Values["kind"]["kind"].SelectedOption.Value != "b" {
		t.Errorf("submission = %+v", got.View)
	}
	if _, err := api.UpdateView(modal(), "", "stale", view.ID); errorText(err) != "hash_conflict" {
		t.Errorf("stale hash: %v", err)
	}
	if _, err := api.UpdateView(modal(), "", view.Hash, view.ID); err != nil {
		t.Errorf("update: %v", err)
	}
	b.json, b.answer = false, ""
	if d := s.Submit("U1", view.ID, values); d.Err != nil || len(s.Views("U1")) != 0 {
		t.Errorf("not closed: %v", d.Err)
	}
}

func TestModalAnswers(t *testing.T) {
	s, api, _ := workspace()
	b := &bot{t: t, secret: "fake"}
	s.Deliver(b)
	view := modal()
	view.NotifyOnClose = true
	raw, err := json.Marshal(view)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]map[string]string{"reason": {"text": "x"}}
	for name, c := range map[string]struct {
		answer string
		open   int
		err    error
	}{
		"update":  {`{"response_action":"update","view":` + string(raw) + `}`, 1, nil},
		"push":    {`{"response_action":"push","view":` + string(raw) + `}`, 2, nil},
		"clear":   {`{"response_action":"clear"}`, 0, nil},
		"no view": {`{"response_action":"update"}`, 1, slackfake.ErrAnswer},
		"unknown": {`{"response_action":"explode"}`, 1, slackfake.ErrAnswer},
		"text":    {`thanks`, 1, slackfake.ErrAnswer},
	} {
		b.answer = ""
		s.Command("U1", channel, "/killswitch", "")
		v, err := api.OpenView(b.form.Get("trigger_id"), view)
		if err != nil {
			t.Fatal(err)
		}
		b.answer = c.answer
		if d := s.Submit("U1", v.ID, values); !errors.Is(d.Err, c.err) || len(s.Views("U1")) != c.open {
			t.Errorf("%s: %v, %d views open, want %d", name, d.Err, len(s.Views("U1")), c.open)
		}
		for _, v := range s.Views("U1") {
			if d := s.Dismiss("U1", v.ID); d.Err != nil || b.click.Type != slack.InteractionTypeViewClosed {
				t.Errorf("%s: dismiss: %v, %s", name, d.Err, b.click.Type)
			}
		}
		if n := len(s.Views("U1")); n != 0 {
			t.Errorf("%s: %d views left", name, n)
		}
	}
}

func TestMembersChange(t *testing.T) {
	s, api, _ := workspace()
	s.SetUser(slackfake.User{ID: "U1", Name: "ana", Deleted: true})
	if u, err := api.GetUserInfo("U1"); err != nil || !u.Deleted {
		t.Errorf("U1 = %+v, %v", u, err)
	}
	s.RemoveUser("U1")
	if _, err := api.GetUserInfo("U1"); errorText(err) != "user_not_found" {
		t.Errorf("removed: %v", err)
	}
	s.SetUsergroup("S1", []string{"U2"})
	if ids, err := api.GetUserGroupMembers("S1"); err != nil || !cmp.Equal(ids, []string{"U2"}) {
		t.Errorf("S1 = %v, %v", ids, err)
	}
}

func TestValidation(t *testing.T) {
	button := func(i int) slack.BlockElement {
		return slack.NewButtonBlockElement(strings.Repeat("b", i+1), "v", plain("x"))
	}
	var many, fields []slack.Block
	for range 51 {
		many = append(many, slack.NewDividerBlock())
	}
	for range 5 {
		fields = append(fields, slack.NewSectionBlock(markup(strings.Repeat("x", 3000)), nil, nil))
	}
	var buttons []slack.BlockElement
	for i := range 26 {
		buttons = append(buttons, button(i))
	}
	long := slack.NewButtonBlockElement("a", strings.Repeat("v", 2001), plain(strings.Repeat("é", 76)))
	long.Confirm = slack.NewConfirmationBlockObject(plain(strings.Repeat("t", 101)), plain("x"), plain(strings.Repeat("y", 31)), plain("no"))
	for name, c := range map[string]struct {
		blocks []slack.Block
		want   string   // error code
		says   []string // in this order
	}{
		"good":       {[]slack.Block{slack.NewSectionBlock(markup(strings.Repeat("é", 3000)), nil, nil)}, "", nil},
		"section":    {[]slack.Block{slack.NewSectionBlock(markup(strings.Repeat("é", 3001)), nil, nil)}, "invalid_blocks", []string{"must be less than 3001 characters [json-pointer:/blocks/0/text/text]"}},
		"header":     {[]slack.Block{slack.NewHeaderBlock(markup("x"))}, "invalid_blocks", []string{"unsupported type: mrkdwn [json-pointer:/blocks/0/text/type]"}},
		"too many":   {many, "invalid_blocks", []string{"no more than 50 items allowed [json-pointer:/blocks]"}},
		"buttons":    {[]slack.Block{slack.NewActionBlock("", buttons...)}, "invalid_blocks", []string{"no more than 25 items allowed [json-pointer:/blocks/0/elements]"}},
		"same block": {[]slack.Block{slack.NewActionBlock("b", button(0)), slack.NewActionBlock("b", button(0))}, "invalid_blocks", []string{"block_id must be unique: b [json-pointer:/blocks/1/block_id]"}},
		"same action": {[]slack.Block{slack.NewActionBlock("b", button(0), button(0))}, "invalid_blocks",
			[]string{"action_id must be unique in its block: b [json-pointer:/blocks/0/elements/1/action_id]"}},
		"button": {[]slack.Block{slack.NewActionBlock("b", long)}, "invalid_blocks", []string{
			"must be less than 101 characters [json-pointer:/blocks/0/elements/0/confirm/title/text]",
			"must be less than 31 characters [json-pointer:/blocks/0/elements/0/confirm/confirm/text]",
			"must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]",
			"must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]",
		}},
		"rich text": {[]slack.Block{slack.NewRichTextBlock("r", slack.NewRichTextSection(slack.NewRichTextSectionTextElement("", nil)))},
			"invalid_blocks", []string{"must be more than 0 characters [json-pointer:/blocks/0/elements/0/elements/0/text]"}},
		"total": {fields, "msg_blocks_too_long", nil},
	} {
		s, api, _ := workspace()
		_, _, err := api.PostMessage(channel, slack.MsgOptionText("x", false), slack.MsgOptionBlocks(c.blocks...))
		if errorText(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
			continue
		}
		var says []string
		if refused, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
			for _, m := range refused.ResponseMetadata.Messages {
				says = append(says, strings.TrimPrefix(m, "[ERROR] "))
			}
		}
		if d := cmp.Diff(c.says, says); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if stored := len(s.Messages(channel)); (stored == 1) != (c.want == "") {
			t.Errorf("%s: %d messages stored", name, stored)
		}
	}
}

func TestFaults(t *testing.T) {
	s, api, c := workspace()
	text := slack.MsgOptionText("x", false)
	send := func() error { _, _, err := api.PostMessage(channel, text); return err }

	s.Fail(slackfake.Fault{Method: "chat.*", Status: 429, RetryAfter: 7})
	var limited *slack.RateLimitedError
	if err := send(); !errors.As(err, &limited) || limited.RetryAfter != 7*time.Second {
		t.Errorf("429: %v", err)
	}
	s.Fail(slackfake.Fault{Error: "fatal_error", Times: 2})
	for range 2 {
		if err := send(); errorText(err) != "fatal_error" {
			t.Errorf("error: %v", err)
		}
	}
	s.Fail(slackfake.Fault{Method: "views.open", Status: 503, Times: -1})
	if err := send(); err != nil {
		t.Errorf("another method's fault: %v", err)
	}
	s.Heal()

	before := len(s.Messages(channel))
	s.Fail(slackfake.Fault{Method: "chat.postMessage", After: true})
	var status slack.StatusCodeError
	if err := send(); !errors.As(err, &status) || status.Code != 500 || len(s.Messages(channel)) != before+1 {
		t.Errorf("lost answer: %v, %d messages", err, len(s.Messages(channel))-before)
	}
	s.Fail(slackfake.Fault{Hang: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := api.PostMessageContext(ctx, channel, text); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hang: %v", err)
	}
	killed := errors.New("killed")
	for _, after := range []bool{false, true} {
		before := len(s.Messages(channel))
		s.OnCall(func(_ string, a bool) error {
			if a == after {
				return killed
			}
			return nil
		})
		if err := send(); !errors.Is(err, killed) || (len(s.Messages(channel)) > before) != after {
			t.Errorf("killed, after %t: %v, %d new", after, err, len(s.Messages(channel))-before)
		}
	}
	s.OnCall(nil)

	s.RateLimit("chat.postMessage", 60, 2)
	for i, want := range []bool{true, true, false} {
		if err := send(); (err == nil) != want {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if _, _, err := api.PostMessage("U1", text); err != nil {
		t.Errorf("another channel: %v", err)
	}
	c.Add(time.Second)
	if err := send(); err != nil {
		t.Errorf("after a second: %v", err)
	}
	calls := s.Calls()
	if first, last := calls[0], calls[len(calls)-1]; first.Status != 429 || first.Error != "ratelimited" || first.Channel != channel ||
		last.Status != 200 || last.Method != "chat.postMessage" || !last.At.Equal(c.Now()) {
		t.Errorf("calls: first %+v, last %+v", first, last)
	}
}

func TestOverSockets(t *testing.T) {
	s, _, _ := workspace()
	server := httptest.NewServer(s)
	defer server.Close()
	s.SetBaseURL(server.URL)
	api := slack.New(s.Config().BotToken, slack.OptionAPIURL(server.URL+"/api/"))
	if _, err := api.AuthTest(); err != nil {
		t.Error(err)
	}
	s.OnCall(func(string, bool) error { return errors.New("cut") })
	if _, err := api.AuthTest(); err == nil {
		t.Error("the connection held")
	}
}

func TestConcurrent(t *testing.T) {
	s, api, _ := workspace()
	s.Deliver(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		_, _, _ = api.PostMessage(channel, slack.MsgOptionText("from the handler", false))
	}))
	seen := 0
	s.Subscribe(func(slackfake.Event) { seen++; s.Messages(channel) }) // one at a time, and it may call back
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, ts, err := api.PostMessage(channel, slack.MsgOptionText("x", false), card())
			if err != nil {
				t.Error(err)
			}
			s.Click("U1", channel, ts, "approve")
			_, _, _, _ = api.UpdateMessage(channel, ts, slack.MsgOptionText("y", false))
		})
	}
	wg.Wait()
	last := ""
	for _, m := range s.Messages(channel) {
		if m.TS <= last {
			t.Errorf("%s after %s", m.TS, last)
		}
		last = m.TS
	}
	if got := len(s.Messages(channel)); got != 16 || seen != 24 {
		t.Errorf("%d messages, %d events", got, seen)
	}
}

func TestText(t *testing.T) {
	s, api, _ := workspace()
	bullets := slack.NewRichTextList(slack.RTEListBullet, 1,
		slack.NewRichTextSection(slack.NewRichTextSectionTextElement("deny \x1b[31m<all>", nil)),
		slack.NewRichTextSection(slack.NewRichTextSectionLinkElement("https://x.example", "docs", nil)))
	deny := slack.NewButtonBlockElement("deny", "v", plain("Deny")).WithStyle(slack.StyleDanger)
	post(t, api, slack.MsgOptionText("x", false), slack.MsgOptionBlocks(
		slack.NewHeaderBlock(plain("Disable key")),
		slack.NewSectionBlock(markup("*Who:* <@U1|ana> in <#C1|sec>, `a*b*c` delete_role_x &lt;b&gt; <https://x.example|runbook> by "+
			"<!date^1531420618^{time}|09:00 UTC> "+strings.Repeat("word ", 10)), nil, nil),
		slack.NewSectionBlock(nil, []*slack.TextBlockObject{markup("*Account*\nprod"), markup("*Region*\neu-west-1")}, nil),
		slack.NewRichTextBlock("r", bullets),
		slack.NewContextBlock("", plain("KS-1"), markup("_expires_ soon")),
		slack.NewActionBlock("", slack.NewButtonBlockElement("approve", "v", plain("Approve")), deny),
	))
	want := `Disable key
===========
Who: @ana in #sec, ` + "`a*b*c`" + ` delete_role_x <b> runbook by 09:00 UTC word word word
word word word word word word word
Account                                 Region
prod                                    eu-west-1
  • deny [31m<all>
  • docs
  KS-1  ·  expires soon
[ Approve ] [! Deny ]`
	if d := cmp.Diff(want, slackfake.Text(s.Messages(channel)[0])); d != "" {
		t.Error(d)
	}
	if got := slackfake.Text(slackfake.Message{Text: "&lt;plain&gt; <!here>\n\nend"}); got != "<plain> @here\n\nend" {
		t.Errorf("text = %q", got)
	}
}
