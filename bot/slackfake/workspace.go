package slackfake

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config describes the workspace. Now is required; every other field has a
// default or may stay empty.
type Config struct {
	Team          string // "T0000000001"
	TeamDomain    string // "example"
	AppID         string // "A0000000001"
	BotUserID     string // "U000000BOT"
	BotToken      string // "xoxb-fake"
	SigningSecret string // "fake"
	Now           func() time.Time
	Users         []User
	Channels      []Channel
	Usergroups    map[string][]string // usergroup ID to user IDs
}

// User is a person or a bot. Someone the workspace doesn't know can still click
// and type commands: users.info answers user_not_found for them.
type User struct {
	ID, Name, RealName string
	Bot                bool
	Restricted         bool // guest
	UltraRestricted    bool // single-channel guest
	Stranger           bool // of another workspace, shares no channel with us
	Deleted            bool
	Team               string // the user's own workspace when it isn't Config.Team (shared channel)
	Enterprise         string // Enterprise Grid organization ID
}

// Channel is a conversation.
type Channel struct {
	ID, Name         string
	Private          bool
	Archived         bool
	ExtShared        bool     // Slack Connect
	PendingExtShared bool     // an invitation to another organization is out
	OrgShared        bool     // with other workspaces of the Enterprise Grid organization
	GroupDM          bool     // a direct message of several people
	Members          []string // nil: everyone but guests and strangers
	Left             bool     // the bot is not in it
}

// Message is one message as the workspace keeps it.
type Message struct {
	Channel, TS, ThreadTS, User, Text string
	Blocks                            json.RawMessage // nil without blocks
	EphemeralTo                       string          // the only user who sees it, or ""
	Broadcast                         bool            // a reply also shown in the channel
	Edits                             int
	Metadata                          json.RawMessage

	editedTS string // shown as "(edited)"; text-only updates
}

// View is an open modal; JSON is what Slack would return for it.
type View struct {
	ID   string
	User string
	JSON json.RawMessage

	entered map[string]map[string]string // by the user, by block_id and action_id
}

// Event tells a subscriber what changed.
type Event struct {
	// Type is posted, edited, deleted, ephemeral, view_opened, view_updated or
	// view_closed.
	Type    string
	Message Message // for the first four
	View    View    // for the others
}

// Slack is the workspace. It implements [http.Handler]: mount it at "/".
type Slack struct {
	cfg Config

	mu        sync.Mutex
	base      string
	handler   http.Handler
	users     map[string]User
	channels  map[string]Channel
	groups    map[string][]string
	messages  map[string][]*Message // by channel, oldest first
	views     []View                // oldest first
	triggers  map[string]*trigger
	links     map[string]*link
	lastMicro int64
	lastID    int

	calls   []APICall
	faults  []Fault
	buckets map[string]*bucket
	limits  map[string]limit
	onCall  func(method string, after bool) error

	beforeAnswer func()

	subscribers []func(Event)
	events      []Event
	emitting    bool
}

type trigger struct {
	user string
	at   time.Time
	used bool
}

// New returns a workspace. It panics without cfg.Now.
func New(cfg Config) *Slack {
	if cfg.Now == nil {
		panic("slackfake: Config.Now is nil")
	}
	cfg.Team = cmp.Or(cfg.Team, "T0000000001")
	cfg.TeamDomain = cmp.Or(cfg.TeamDomain, "example")
	cfg.AppID = cmp.Or(cfg.AppID, "A0000000001")
	cfg.BotUserID = cmp.Or(cfg.BotUserID, "U000000BOT")
	cfg.BotToken = cmp.Or(cfg.BotToken, "xoxb-fake")
	cfg.SigningSecret = cmp.Or(cfg.SigningSecret, "fake")
	s := &Slack{
		cfg:      cfg,
		base:     "http://slack.invalid",
		users:    map[string]User{cfg.BotUserID: {ID: cfg.BotUserID, Name: "bot", Bot: true}},
		channels: map[string]Channel{},
		groups:   map[string][]string{},
		messages: map[string][]*Message{},
		triggers: map[string]*trigger{},
		links:    map[string]*link{},
		buckets:  map[string]*bucket{},
		limits:   map[string]limit{},
	}
	for _, u := range cfg.Users {
		s.users[u.ID] = u
	}
	for _, c := range cfg.Channels {
		s.channels[c.ID] = c
	}
	maps.Copy(s.groups, cfg.Usergroups)
	return s
}

// Config returns the workspace's settings, defaults filled in.
func (s *Slack) Config() Config { return s.cfg }

// SetBaseURL sets what response URLs start with; "http://slack.invalid" until
// then, which only [Slack.Client] reaches.
func (s *Slack) SetBaseURL(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base = strings.TrimSuffix(url, "/")
}

// SetUser adds or replaces a user.
func (s *Slack) SetUser(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[u.ID] = u
}

// SetChannel adds or replaces a channel.
func (s *Slack) SetChannel(c Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels[c.ID] = c
}

// RemoveUser makes the workspace forget a user.
func (s *Slack) RemoveUser(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.users, id)
}

// SetUsergroup sets a user group's members.
func (s *Slack) SetUsergroup(id string, members []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[id] = slices.Clone(members)
}

// Say posts a message as a person does, in a thread unless thread is "". The
// bot cannot update it.
func (s *Slack) Say(user, channel, thread, text string) Message {
	s.mu.Lock()
	m := *s.post(Message{Channel: channel, ThreadTS: thread, User: user, Text: text})
	s.mu.Unlock()
	s.emit()
	return m.clone()
}

// Restore puts a channel's messages back, as Messages has returned them.
func (s *Slack) Restore(messages []Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range messages {
		m := m.clone()
		s.messages[m.Channel] = append(s.messages[m.Channel], &m)
	}
}

// Messages returns all of a channel's messages, oldest first, with thread
// replies and ephemeral ones.
func (s *Slack) Messages(channel string) []Message {
	return s.pick(channel, func(*Message) bool { return true })
}

// Thread returns a thread, its parent first.
func (s *Slack) Thread(channel, ts string) []Message {
	return s.pick(channel, func(m *Message) bool { return m.TS == ts || m.ThreadTS == ts })
}

func (s *Slack) pick(channel string, keep func(*Message) bool) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	for _, m := range s.messages[channel] {
		if keep(m) {
			out = append(out, m.clone())
		}
	}
	return out
}

// Views returns a user's open modals, newest last.
func (s *Slack) Views(user string) []View {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []View
	for _, v := range s.views {
		if v.User == user {
			out = append(out, v.clone())
		}
	}
	return out
}

// Lose makes a message disappear, as if somebody had deleted it.
func (s *Slack) Lose(channel, ts string) {
	s.mu.Lock()
	s.remove(channel, ts)
	s.mu.Unlock()
	s.emit()
}

// Subscribe calls f for every change from now on, one at a time and in order.
func (s *Slack) Subscribe(f func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers = append(s.subscribers, f)
}

// emit delivers queued events outside the lock. A nested or concurrent call
// leaves its events to the one already at work, which keeps their order.
func (s *Slack) emit() {
	s.mu.Lock()
	if s.emitting {
		s.mu.Unlock()
		return
	}
	s.emitting = true
	locked := true
	defer func() { // also when a subscriber panics or stops its goroutine
		if !locked {
			s.mu.Lock()
		}
		s.emitting = false
		s.mu.Unlock()
	}()
	for len(s.events) > 0 {
		e := s.events[0]
		s.events = s.events[1:]
		subscribers := slices.Clone(s.subscribers)
		s.mu.Unlock()
		locked = false
		for _, f := range subscribers {
			f(e)
		}
		s.mu.Lock()
		locked = true
	}
}

// The functions below want s.mu held.

func (s *Slack) changed(kind string, m *Message) {
	if len(s.subscribers) > 0 {
		s.events = append(s.events, Event{Type: kind, Message: m.clone()})
	}
}

func (s *Slack) viewChanged(kind string, v View) {
	if len(s.subscribers) > 0 {
		s.events = append(s.events, Event{Type: kind, View: v.clone()})
	}
}

// post stores a message under the next timestamp.
func (s *Slack) post(m Message) *Message {
	m.TS = s.nextTS()
	stored := &m
	s.messages[m.Channel] = append(s.messages[m.Channel], stored)
	kind := "posted"
	if m.EphemeralTo != "" {
		kind = "ephemeral"
	}
	s.changed(kind, stored)
	return stored
}

func (s *Slack) find(channel, ts string) *Message {
	for _, m := range s.messages[channel] {
		if m.TS == ts {
			return m
		}
	}
	return nil
}

func (s *Slack) remove(channel, ts string) {
	list := s.messages[channel]
	if i := slices.IndexFunc(list, func(m *Message) bool { return m.TS == ts }); i >= 0 {
		m := list[i]
		s.messages[channel] = slices.Delete(list, i, i+1)
		s.changed("deleted", m)
	}
}

// nextTS returns "seconds.microseconds", strictly increasing.
func (s *Slack) nextTS() string {
	micro := max(s.cfg.Now().UnixMicro(), s.lastMicro+1)
	s.lastMicro = micro
	return fmt.Sprintf("%d.%06d", micro/1e6, micro%1e6)
}

func (s *Slack) nextID(prefix string) string {
	s.lastID++
	return fmt.Sprintf("%s%08X", prefix, s.lastID)
}

func (s *Slack) newTrigger(user string) string {
	s.lastID++
	id := fmt.Sprintf("%d.%d.%08x", s.lastID, s.cfg.Now().Unix(), s.lastID)
	s.triggers[id] = &trigger{user: user, at: s.cfg.Now()}
	return id
}

func (s *Slack) botID() string { return "B" + strings.TrimLeft(s.cfg.BotUserID, "UW") }

// user returns what is known of a user, or a bare member of our workspace.
func (s *Slack) user(id string) User {
	u, ok := s.users[id]
	if !ok {
		u = User{ID: id}
	}
	u.Name = cmp.Or(u.Name, strings.ToLower(id))
	u.Team = cmp.Or(u.Team, s.cfg.Team)
	return u
}

// domain is the subdomain of the user's own workspace.
func (s *Slack) domain(u User) string {
	if u.Team == s.cfg.Team {
		return s.cfg.TeamDomain
	}
	return strings.ToLower(u.Team)
}

func (m *Message) clone() Message {
	c := *m
	c.Blocks, c.Metadata = bytes.Clone(m.Blocks), bytes.Clone(m.Metadata)
	return c
}

func (v View) clone() View {
	v.JSON = bytes.Clone(v.JSON)
	return v
}

// marshal encodes without HTML escaping, so that lengths are those sent.
func marshal(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // only maps, strings and numbers that came from JSON get here
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// unmarshal decodes into maps and slices and keeps numbers as written.
func unmarshal(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, fmt.Errorf("data after the JSON value")
	}
	return v, nil
}
