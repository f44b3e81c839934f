//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// Workspace is what a Slack starts with. Its JSON is local-slack's config.
type Workspace struct {
	Team struct {
		Name   string `json:"name"`
		Domain string `json:"domain"`
		ID     string `json:"teamId"`
	} `json:"workspace"`
	App      App       `json:"app"`
	Users    []User    `json:"users"`
	Channels []Channel `json:"channels"`
}

// App is the bot as Slack knows it.
type App struct {
	ID            string `json:"appId"`
	BotUserID     string `json:"botUserId"`
	BotName       string `json:"botName"`
	BotToken      string `json:"botToken"`
	SigningSecret string `json:"signingSecret"`
	Mode          string `json:"mode"` // events: Slack calls RequestURL
	RequestURL    string `json:"requestUrl"`
}

// User is a person, or the bot.
type User struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	RealName string `json:"real_name"`
	IsBot    bool   `json:"is_bot"`
}

// Channel is a channel with the users in it.
type Channel struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Members []string `json:"members"`
}

// Acme is the workspace that tests share: Ana and Ben in #security, and the
// bot, which Slack calls at requestURL.
func Acme(requestURL string) Workspace {
	var w Workspace
	w.Team.Name, w.Team.Domain, w.Team.ID = "Acme", "acme", "T01ACME"
	w.App = App{
		ID:            "A01KILL",
		BotUserID:     "U01BOT",
		BotName:       "killswitch",
		BotToken:      "xoxb-e2e",
		SigningSecret: "8f742231b10e8888abcd99yyyzzz85a5",
		Mode:          "events",
		RequestURL:    requestURL,
	}
	w.Users = []User{
		{ID: "U01ANA", Name: "ana", RealName: "Ana"},
		{ID: "U01BEN", Name: "ben", RealName: "Ben"},
		{ID: "U01BOT", Name: "killswitch", RealName: "Killswitch", IsBot: true},
	}
	w.Channels = []Channel{{ID: "C01SEC", Name: "security", Members: []string{"U01ANA", "U01BEN", "U01BOT"}}}
	return w
}

// Slack is a running local-slack. Its methods do what people do there.
type Slack struct {
	*Process
	Workspace
	URL string // API methods are below /api/
}

// StartSlack starts a Slack for one test.
func StartSlack(t testing.TB, w Workspace) *Slack {
	t.Helper()
	config, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "workspace.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	s := &Slack{Workspace: w, URL: "http://localhost:" + port}
	s.Process = Start(t, "local-slack", Setting(t, "LOCAL_SLACK"), nil,
		"--config", file, "--port", port, "--files-dir", t.TempDir())
	s.Answers(t, s.URL+"/_control/log")
	return s
}

// API is the base address of the Web API, with its closing slash: what
// SLACK_API_URL wants.
func (s *Slack) API() string { return s.URL + "/api/" }

// Command types a slash command.
func (s *Slack) Command(t testing.TB, channel, user, command, text string) {
	t.Helper()
	s.control(t, http.MethodPost, "command", map[string]any{
		"channel": channel, "user": user, "command": command, "text": text,
	}, nil)
}

// Click clicks the button with this action_id on a message that is in the
// channel now, the whole button arriving at the bot as Slack sends it.
func (s *Slack) Click(t testing.TB, channel, user string, m Message, actionID string) {
	t.Helper()
	for _, block := range m.Blocks {
		elements := block.Elements
		if block.Accessory != nil {
			elements = append(elements, *block.Accessory)
		}
		for _, e := range elements {
			if e.ActionID == actionID {
				s.Interact(t, channel, user, m.TS, Action{
					Type: e.Type, ActionID: e.ActionID, BlockID: block.BlockID, Value: e.Value, Text: e.Text,
				})
				return
			}
		}
	}
	t.Fatalf("message %s has no %q to click: %s", m.TS, actionID, m.Text)
}

// Interact sends an action as it is, also one that no button has.
func (s *Slack) Interact(t testing.TB, channel, user, ts string, a Action) {
	t.Helper()
	s.control(t, http.MethodPost, "interact", map[string]any{
		"channel": channel, "messageTs": ts, "user": user, "action": a,
	}, nil)
}

// Messages are the channel's, oldest first, as they are now.
func (s *Slack) Messages(t testing.TB, channel string) []Message {
	t.Helper()
	var got struct{ Messages []Message }
	s.control(t, http.MethodGet, "messages/"+channel, nil, &got)
	return got.Messages
}

// Await waits for a message that matches; what names it in the failure.
func (s *Slack) Await(t testing.TB, channel, what string, matches func(Message) bool) Message {
	t.Helper()
	var found Message
	Eventually(t, what+" in "+channel, func(context.Context) error {
		messages := s.Messages(t, channel)
		for _, m := range messages {
			if matches(m) {
				found = m
				return nil
			}
		}
		texts := make([]string, len(messages))
		for i, m := range messages {
			texts[i] = m.Text
		}
		return fmt.Errorf("there are %d messages: %q", len(messages), texts)
	})
	return found
}

// Log is what went between Slack and the bot, oldest first.
func (s *Slack) Log(t testing.TB) []LogEntry {
	t.Helper()
	var got struct{ Log []LogEntry }
	s.control(t, http.MethodGet, "log", nil, &got)
	return got.Log
}

// Reset forgets all messages and the log.
func (s *Slack) Reset(t testing.TB) {
	t.Helper()
	s.control(t, http.MethodPost, "reset", struct{}{}, nil)
}

// control calls local-slack's control API, which people's hands stand for.
func (s *Slack) control(t testing.TB, method, path string, in, out any) {
	t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/_control/"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(answer, out); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, answer)
	}
}

// Message is a message as Slack stores it.
type Message struct {
	TS       string  `json:"ts"`
	ThreadTS string  `json:"thread_ts"`
	User     string  `json:"user"`
	Text     string  `json:"text"`
	Blocks   []Block `json:"blocks"`
}

// String is the message with its blocks, for failures.
func (m Message) String() string {
	text := m.Text
	for _, b := range m.Blocks {
		text += "\n" + string(b.Raw)
	}
	return text
}

// Block is a block, read as far as clicking needs; Raw is all of it.
type Block struct {
	Type      string    `json:"type"`
	BlockID   string    `json:"block_id"`
	Elements  []Element `json:"elements"`
	Accessory *Element  `json:"accessory"`

	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON reads a block and keeps its JSON.
func (b *Block) UnmarshalJSON(data []byte) error {
	type block Block
	if err := json.Unmarshal(data, (*block)(b)); err != nil {
		return err
	}
	b.Raw = bytes.Clone(data)
	return nil
}

// Element is something to click. Text is an object or, in a context, a string.
type Element struct {
	Type     string          `json:"type"`
	ActionID string          `json:"action_id"`
	Value    string          `json:"value"`
	Text     json.RawMessage `json:"text"`
}

// Action is a click as Slack reports it.
type Action struct {
	Type     string          `json:"type"`
	ActionID string          `json:"action_id"`
	BlockID  string          `json:"block_id"`
	Value    string          `json:"value"`
	Text     json.RawMessage `json:"text,omitempty"`
}

// LogEntry is one thing that went between Slack and the bot.
type LogEntry struct {
	Direction string          `json:"direction"` // to_bot or from_bot
	Kind      string          `json:"kind"`      // slash_commands, interactive, web_api, …
	Summary   string          `json:"summary"`
	Detail    json.RawMessage `json:"detail"`
}
