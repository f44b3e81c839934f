package slackfake

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Why something could not be delivered or was not accepted.
var (
	ErrNoHandler = errors.New("no handler to deliver to")
	ErrNoChannel = errors.New("no such channel")
	ErrNoMessage = errors.New("no such message for this user")
	ErrNoButton  = errors.New("no such button in the message")
	ErrNoView    = errors.New("no such open view for this user")
	ErrInput     = errors.New("the form does not accept this input")
	ErrTimeout   = errors.New("the answer came after 3 seconds")
	ErrBroken    = errors.New("the bot broke the connection")
	ErrAnswer    = errors.New("the bot's answer is not acceptable to Slack")
)

const answerTime = 3 * time.Second

// Delivered is one request to the bot and its answer. Status is 0 if there was
// none; Err then says why. Err is set beside a Status when Slack would not
// accept the answer.
type Delivered struct {
	Status     int
	Body       []byte
	Header     http.Header
	Request    []byte // raw body sent
	SentHeader http.Header
	Err        error
}

// Deliver sets where commands, clicks and submissions go: POST /slack/commands
// and POST /slack/interactions, in the caller's goroutine.
func (s *Slack) Deliver(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

// Sign returns the headers of a request to the bot
// (/authentication/verifying-requests-from-slack).
func (s *Slack) Sign(body []byte, at time.Time) http.Header {
	ts := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(s.cfg.SigningSecret))
	mac.Write([]byte("v0:" + ts + ":"))
	mac.Write(body)
	return http.Header{
		"Content-Type":              {"application/x-www-form-urlencoded"},
		"User-Agent":                {"Slackbot 1.0 (+https://api.slack.com/robots)"},
		"X-Slack-Request-Timestamp": {ts},
		"X-Slack-Signature":         {"v0=" + hex.EncodeToString(mac.Sum(nil))},
	}
}

// Send delivers exactly these bytes and headers: a replay, or a forgery. The
// workspace does not act on the answer.
func (s *Slack) Send(body []byte, header http.Header) Delivered {
	d := Delivered{Request: bytes.Clone(body), SentHeader: header.Clone()}
	s.mu.Lock()
	h := s.handler
	s.mu.Unlock()
	if h == nil {
		d.Err = fmt.Errorf("slackfake: %w", ErrNoHandler)
		return d
	}
	path := "/slack/commands"
	if bytes.HasPrefix(body, []byte("payload=")) {
		path = "/slack/interactions"
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://bot.invalid"+path, bytes.NewReader(body))
	if err != nil {
		d.Err = fmt.Errorf("slackfake: %w", err)
		return d
	}
	r.Header, r.RequestURI, r.RemoteAddr = header.Clone(), path, "192.0.2.1:1234"
	began := s.cfg.Now()
	w := &recorder{header: http.Header{}}
	if d.Err = w.run(h, r); d.Err != nil {
		return d
	}
	d.Status, d.Body, d.Header = w.status, w.body.Bytes(), w.sent
	if s.cfg.Now().Sub(began) > answerTime {
		d.Err = fmt.Errorf("slackfake: %w", ErrTimeout)
	}
	return d
}

func (s *Slack) send(form url.Values) Delivered {
	body := []byte(form.Encode())
	return s.Send(body, s.Sign(body, s.cfg.Now()))
}

// recorder is the http.ResponseWriter of a delivery.
type recorder struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

func (w *recorder) run(h http.Handler, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = fmt.Errorf("slackfake: %w", ErrBroken)
		default:
			panic(p)
		}
	}()
	h.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	return nil
}

// keptToken is what Slack itself puts into a command's text when the command
// has should_escape: mentions, channels and links.
var keptToken = regexp.MustCompile(`<(?:@[UW]\w+|#C\w+|!subteam\^S\w+|https?://[^<>|\s]+|mailto:[^<>|\s]+)(?:\|[^<>]*)?>`)

func escapeTyped(text string) string {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	var b strings.Builder
	end := 0
	for _, at := range keptToken.FindAllStringIndex(text, -1) {
		b.WriteString(escape(text[end:at[0]]))
		b.WriteString(text[at[0]:at[1]])
		end = at[1]
	}
	b.WriteString(escape(text[end:]))
	return b.String()
}

// Command types a slash command. & < > in the text are escaped, except in
// mentions and links, which the caller writes as Slack would with
// should_escape: <@U1|name>. What the bot answers is shown to the user, or to
// the channel if it is JSON with "response_type": "in_channel".
func (s *Slack) Command(user, channel, command, text string) Delivered {
	s.mu.Lock()
	c, known := s.channels[channel]
	if !known {
		s.mu.Unlock()
		return Delivered{Err: fmt.Errorf("slackfake: %w: %s", ErrNoChannel, channel)}
	}
	u := s.user(user)
	l := s.newLink(link{user: user, channel: channel})
	form := url.Values{
		"token": {"deprecated"}, "team_id": {u.Team}, "team_domain": {s.domain(u)},
		"channel_id": {c.ID}, "channel_name": {c.Name}, "user_id": {u.ID}, "user_name": {u.Name},
		"command": {command}, "text": {escapeTyped(text)}, "api_app_id": {s.cfg.AppID},
		"is_enterprise_install": {"false"}, "response_url": {s.base + "/response/" + l.id}, "trigger_id": {s.newTrigger(user)},
	}
	if u.Enterprise != "" {
		form["enterprise_id"], form["enterprise_name"] = []string{u.Enterprise}, []string{u.Enterprise}
	}
	s.mu.Unlock()

	d := s.send(form)
	if d.Err != nil || d.Status != http.StatusOK || len(bytes.TrimSpace(d.Body)) == 0 {
		return d
	}
	p := params{"text": string(d.Body)}
	if kind, _, _ := mime.ParseMediaType(d.Header.Get("Content-Type")); kind == "application/json" {
		var err error
		if p, err = jsonParams(d.Body); err != nil {
			d.Err = fmt.Errorf("slackfake: %w: %w", ErrAnswer, err)
			return d
		}
		if p["text"] == "" && p["blocks"] == "" && p["attachments"] == "" {
			return d // "{}" says nothing
		}
	}
	s.mu.Lock()
	refusal := s.respond(l, p)
	s.mu.Unlock()
	s.emit()
	d.Err = refusal.asError()
	return d
}

func (r *reply) asError() error {
	if r == nil {
		return nil
	}
	return fmt.Errorf("slackfake: %w: %s %v", ErrAnswer, r.code, r.body["errors"])
}

// Click clicks a button of a message.
func (s *Slack) Click(user, channel, ts, actionID string) Delivered {
	return s.click(user, channel, ts, actionID, "", nil)
}

// Press is Click for a message in which several buttons have the action_id: it
// clicks the one with the value.
func (s *Slack) Press(user, channel, ts, actionID, value string) Delivered {
	return s.click(user, channel, ts, actionID, value, nil)
}

// ClickRaw clicks a message's first button, and lets mutate change the payload
// (of type block_actions) before it is signed.
func (s *Slack) ClickRaw(user, channel, ts string, mutate func(payload map[string]any)) Delivered {
	return s.click(user, channel, ts, "", "", mutate)
}

func (s *Slack) click(user, channel, ts, actionID, value string, mutate func(map[string]any)) Delivered {
	payload, err := s.clickPayload(user, channel, ts, actionID, value)
	if err != nil {
		return Delivered{Err: fmt.Errorf("slackfake: %w: %s %s %s", err, channel, ts, actionID)}
	}
	if mutate != nil {
		mutate(payload)
	}
	return s.send(url.Values{"payload": {string(marshal(payload))}})
}

// clickPayload builds /reference/interaction-payloads/block_actions-payload.
func (s *Slack) clickPayload(user, channel, ts, actionID, value string) (map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.find(channel, ts)
	if m == nil || m.EphemeralTo != "" && m.EphemeralTo != user {
		return nil, ErrNoMessage
	}
	button, blockID := findButton(m, actionID, value)
	if button == nil {
		return nil, ErrNoButton
	}
	action := map[string]any{"block_id": blockID, "action_ts": s.nextTS()}
	for _, name := range []string{"type", "action_id", "text", "value", "style", "url", "confirm"} {
		if v, given := button[name]; given {
			action[name] = v
		}
	}
	container := map[string]any{
		"type": "message", "message_ts": m.TS, "channel_id": m.Channel, "is_ephemeral": m.EphemeralTo != "",
	}
	if m.ThreadTS != "" {
		container["thread_ts"] = m.ThreadTS
	}
	l := s.newLink(link{user: user, channel: channel, thread: m.ThreadTS, original: m.TS})
	payload := s.interaction("block_actions", user)
	payload["team"] = map[string]any{"id": s.cfg.Team, "domain": s.cfg.TeamDomain}
	payload["container"] = container
	payload["channel"] = map[string]any{"id": m.Channel, "name": s.channels[m.Channel].Name}
	payload["state"] = map[string]any{"values": map[string]any{}}
	payload["response_url"] = s.base + "/response/" + l.id
	payload["actions"] = []any{action}
	if m.EphemeralTo == "" {
		message, err := unmarshal([]byte(emojiNames.Replace(string(marshal(s.messageJSON(m, true))))))
		if err != nil {
			return nil, err
		}
		payload["message"] = message
	}
	return payload, nil
}

// emojiNames writes emoji by their names, as Slack may in what it sends back.
var emojiNames = strings.NewReplacer("🚨", ":rotating_light:", "🔥", ":fire:", "ℹ", ":information_source:", "1\u20e3", ":one:")

// interaction is what all interaction payloads share. team is the user's own
// workspace, as in a view's submission; a click overrides it.
func (s *Slack) interaction(kind, user string) map[string]any {
	u := s.user(user)
	p := map[string]any{
		"type": kind, "token": "deprecated", "api_app_id": s.cfg.AppID, "trigger_id": s.newTrigger(user),
		"user":       map[string]any{"id": u.ID, "username": u.Name, "name": u.Name, "team_id": u.Team},
		"team":       map[string]any{"id": u.Team, "domain": s.domain(u)},
		"enterprise": nil, "is_enterprise_install": false,
	}
	if u.Enterprise != "" {
		p["enterprise"] = map[string]any{"id": u.Enterprise, "name": u.Enterprise}
	}
	return p
}

// findButton finds the first button with an action_id and a value; empty is any.
func findButton(m *Message, actionID, value string) (button map[string]any, blockID string) {
	parsed, _ := unmarshal(m.Blocks)
	blocks, _ := parsed.([]any)
	for _, v := range blocks {
		b, _ := v.(map[string]any)
		for _, e := range interactive(b) {
			if str(e, "type") == "button" && (actionID == "" || str(e, "action_id") == actionID) && (value == "" || str(e, "value") == value) {
				return e, str(b, "block_id")
			}
		}
	}
	return nil, ""
}
