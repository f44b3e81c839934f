package local_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

const war = "C03WAR"

// everywhere lets commands be typed in each internal channel, of which C03WAR is one.
func everywhere(w *world) {
	w.cfg.CommandChannels = nil
	w.slack.SetChannel(slackfake.Channel{ID: war, Name: "war-room", Private: true})
}

// asksIn types the command in a channel and returns the request that came of it.
func (w *world) asksIn(in, user, text string) approvals.Request {
	w.t.Helper()
	d := w.slack.Command(user, in, "/killswitch", text)
	w.drain()
	return w.get(approvals.RequestID(approvals.Evidence{Kind: approvals.SlackEvidence, Timestamp: d.SentHeader.Get("X-Slack-Request-Timestamp"), Body: string(d.Request)}))
}

// in are the messages of a channel that everybody sees.
func (w *world) in(channel string) []slackfake.Message {
	return slices.DeleteFunc(w.slack.Messages(channel), func(m slackfake.Message) bool { return m.EphemeralTo != "" })
}

// at is a message as it is now.
func (w *world) at(c approvals.Card) slackfake.Message {
	w.t.Helper()
	for _, m := range w.slack.Messages(c.Channel) {
		if m.TS == c.TS && c.TS != "" {
			return m
		}
	}
	w.t.Fatalf("no message %s in %s", c.TS, c.Channel)
	return slackfake.Message{}
}

// TestWhereCommandsAreTaken: in each channel of the workspace that the bot is in, that nobody
// else shares and that has no guests. In others the answer names the incident channel, where
// none of it is asked.
func TestWhereCommandsAreTaken(t *testing.T) {
	t.Parallel()
	many := []string{"U01ALICE", "U0BOT"}
	for i := range 499 {
		many = append(many, fmt.Sprintf("U9%05d", i))
	}
	fails := func(method string) func(*world) {
		return func(w *world) { w.slack.Fail(slackfake.Fault{Method: method, Error: "internal_error", Times: -1}) }
	}
	guest := func(u slackfake.User) func(*world) { return func(w *world) { w.slack.SetUser(u) } }
	for name, tt := range map[string]struct {
		channel slackfake.Channel
		alter   func(*world)
		refused string // empty: it is taken
	}{
		"internal":             {slackfake.Channel{}, nil, ""},
		"private":              {slackfake.Channel{Private: true}, nil, ""},
		"another app in it":    {slackfake.Channel{Members: []string{"U01ALICE", "U0BOT", "U0APP"}}, guest(slackfake.User{ID: "U0APP", Bot: true}), ""},
		"shared":               {slackfake.Channel{ExtShared: true}, nil, "shared with another organization"},
		"about to be shared":   {slackfake.Channel{PendingExtShared: true}, nil, "shared with another organization"},
		"of two workspaces":    {slackfake.Channel{OrgShared: true}, nil, "shared with another organization"},
		"with a guest":         {slackfake.Channel{Members: []string{"U01ALICE", "U0BOT", "U0GUEST"}}, guest(slackfake.User{ID: "U0GUEST", Restricted: true}), "there are guests"},
		"single-channel guest": {slackfake.Channel{Members: []string{"U0GUEST", "U01ALICE"}}, guest(slackfake.User{ID: "U0GUEST", UltraRestricted: true}), "there are guests"},
		"with a stranger":      {slackfake.Channel{Members: []string{"U0GUEST", "U01ALICE"}}, guest(slackfake.User{ID: "U0GUEST", Stranger: true}), "there are guests"},
		"of another workspace": {slackfake.Channel{Members: []string{"U0GUEST", "U01ALICE"}}, guest(slackfake.User{ID: "U0GUEST", Team: "T0OTHER"}), "there are guests"},
		"501 members":          {slackfake.Channel{Members: many}, nil, "over 500 members"},
		"a member unknown":     {slackfake.Channel{Members: []string{"U01ALICE", "U0NOBODY"}}, nil, "can't be looked up"},
		"not in it":            {slackfake.Channel{Left: true}, nil, "I am not in this channel"},
		"not in a private one": {slackfake.Channel{Left: true, Private: true}, nil, "I am not in this channel"},
		"archived":             {slackfake.Channel{Archived: true}, nil, "it is archived"},
		"a group's messages":   {slackfake.Channel{GroupDM: true}, nil, "not in direct messages"},
		"a direct message":     {slackfake.Channel{ID: "D01ALICE"}, nil, "not in direct messages"},
		"Slack does not say":   {slackfake.Channel{}, fails("conversations.info"), "can't be looked up"},
		"nor who is in it":     {slackfake.Channel{}, fails("conversations.members"), "can't be looked up"},
		"not listed":           {slackfake.Channel{}, func(w *world) { w.zones.Bot.CommandChannels = []string{channel} }, "not one of slack.command_channels"},
		"incident channel":     {slackfake.Channel{ID: channel, ExtShared: true}, fails("conversations.*"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, everywhere)
			if tt.channel.ID == "" {
				tt.channel.ID = war
			}
			w.slack.SetChannel(tt.channel)
			if tt.alter != nil {
				tt.alter(w)
			}
			w.slack.Command("U01ALICE", tt.channel.ID, "/killswitch", command)
			w.drain()
			told := ""
			for _, m := range w.slack.Messages(tt.channel.ID) {
				if m.EphemeralTo == "U01ALICE" {
					told = m.Text
				}
			}
			asked := w.all()
			if tt.refused == "" {
				if len(asked) != 1 {
					t.Errorf("%d requests; told %q", len(asked), told)
				}
				return
			}
			if len(asked) > 0 || !strings.Contains(told, tt.refused) || !strings.Contains(told, "Use <#"+channel+">") {
				t.Errorf("%d requests; told %q", len(asked), told)
			}
		})
	}
}

// TestMembersAreCached for ten minutes, and a no for one.
func TestMembersAreCached(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everywhere)
	asked := func(method string) (n int) {
		for _, c := range w.slack.Calls() {
			if c.Method == method {
				n++
			}
		}
		return n
	}
	types := func() { w.slack.Command("U01ALICE", war, "/killswitch", "list"); w.drain() }
	types()
	users := asked("users.info")
	w.clock.Add(9 * time.Minute)
	types()
	if n := asked("conversations.members"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	w.clock.Add(2 * time.Minute)
	w.slack.SetUser(slackfake.User{ID: "U0GUEST", Restricted: true})
	w.slack.SetChannel(slackfake.Channel{ID: war, Private: true, Members: []string{"U01ALICE", "U0BOT", "U0GUEST"}})
	types()
	if n := asked("conversations.members"); n != 2 || asked("users.info") > users+4 {
		t.Errorf("asked %d times, and of %d more", n, asked("users.info")-users)
	}
	w.slack.SetChannel(slackfake.Channel{ID: war, Private: true})
	w.clock.Add(61 * time.Second)
	w.asksIn(war, "U01ALICE", command)
}

// TestFailedLookUpIsRemembered: what Slack does not say of a channel is not asked for with each card.
func TestFailedLookUpIsRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everywhere)
	w.slack.Fail(slackfake.Fault{Method: "conversations.info", Error: "internal_error", Times: -1})
	asked := func() (n int) {
		for _, c := range w.slack.Calls() {
			if c.Method == "conversations.info" {
				n++
			}
		}
		return n
	}
	for range 10 {
		w.slack.Command("U01ALICE", war, "/killswitch", "list")
		w.drain()
	}
	if n := asked(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	w.slack.Heal()
	w.clock.Add(31 * time.Second)
	w.asksIn(war, "U01ALICE", command)
}

// TestSecondCard: what is typed elsewhere has its call in the incident channel first, and a card
// that mentions nobody where it was typed. Either card takes the approval, the undo and the
// question for more; both show the end.
func TestSecondCard(t *testing.T) {
	t.Parallel()
	for name, approvedOn := range map[string]func(approvals.Request) approvals.Card{
		"approved on the first":  func(r approvals.Request) approvals.Card { return r.Card },
		"approved on the second": func(r approvals.Request) approvals.Card { return r.Second },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, everywhere)
			press := func(user string, c approvals.Card, button string) {
				t.Helper()
				if d := w.slack.Click(user, c.Channel, c.TS, button); d.Err != nil || d.Status != 200 {
					t.Fatalf("%s: %d %v", button, d.Status, d.Err)
				}
				w.drain()
			}
			both := func(r approvals.Request, state string) {
				t.Helper()
				for _, c := range []approvals.Card{r.Card, r.Second} {
					if m := w.at(c); !strings.HasPrefix(m.Text, state) {
						t.Errorf("in %s: %q, want %s", c.Channel, m.Text, state)
					}
				}
				if m := w.at(r.Second); strings.Contains(m.Text+string(m.Blocks), "<@") || strings.Contains(m.Text+string(m.Blocks), "<!subteam") {
					t.Errorf("the second card mentions somebody: %s", m.Blocks)
				}
			}
			r := w.asksIn(war, "U01ALICE", command)
			w.state(r, approvals.Pending)
			if r.Card.Channel != channel || r.Second.Channel != war || len(w.in(war)) != 1 {
				t.Fatalf("cards in %q and %q, %d messages", r.Card.Channel, r.Second.Channel, len(w.in(war)))
			}
			if m := w.at(r.Card); !strings.HasPrefix(m.Text, "Approve? ") || !strings.Contains(m.Text, "<@U02BOB>") || m.TS >= r.Second.TS {
				t.Errorf("the call: %+v", m)
			}
			if m := w.at(r.Second); !strings.HasPrefix(m.Text, "pending 0/1: ") {
				t.Errorf("the second card: %q", m.Text)
			}
			press("U02BOB", approvedOn(r), "approve")
			w.pass(30 * time.Second)
			r = w.state(r, approvals.Contained)
			both(r, "contained")

			press("U03CAROL", r.Second, "undo")
			u := w.undoOf(r)
			if u.Card.Channel != channel || u.Second.Channel != war {
				t.Errorf("the undo's cards are in %q and %q", u.Card.Channel, u.Second.Channel)
			}
			press("U01ALICE", u.Second, "deny")
			u = w.state(u, approvals.Denied)
			both(u, "denied")
			press("U02BOB", u.Second, "again")
			again := w.undoOf(r)
			if m := w.at(again.Card); again.Second.Channel != war || !strings.HasPrefix(m.Text, "Approve? ") || !strings.Contains(m.Text, "<@") {
				t.Errorf("asked again in %q: %q", again.Second.Channel, m.Text)
			}
			press("U03CAROL", approvedOn(again), "approve")
			w.pass(30 * time.Second)
			both(w.state(again, approvals.Restored), "restored")
			both(w.state(r, approvals.Undone), "undone")
			w.quiet()
		})
	}
}

// TestNothingToClickBeforeTheIncidentChannelSeesIt: while Slack takes no call there, there is no
// second card either.
func TestNothingToClickBeforeTheIncidentChannelSeesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everywhere)
	w.slack.Fail(slackfake.Fault{Method: "chat.postMessage", Error: "internal_error", Times: -1, Of: func(text, _ string) bool { return strings.HasPrefix(text, "Approve? ") }})
	r := w.asksIn(war, "U01ALICE", command)
	w.pass(time.Minute)
	if r = w.state(r, approvals.Pending); r.Second.TS != "" || len(w.in(war)) > 0 {
		t.Errorf("%d messages where it was typed", len(w.in(war)))
	}
	w.slack.Heal()
	w.pass(30 * time.Second)
	if r = w.again(r); r.Card.TS == "" || r.Second.TS <= r.Card.TS || len(w.in(war)) != 1 {
		t.Errorf("cards %+v and %+v", r.Card, r.Second)
	}
}

// TestSecondCardLeavesAClosedChannel: it is asked anew for each post. What the channel showed is
// taken away where that can be, the incident channel is told, and the request goes on there.
func TestSecondCardLeavesAClosedChannel(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		then slackfake.Channel
		told string
	}{
		"guests":       {slackfake.Channel{ID: war, Private: true, Members: []string{"U01ALICE", "U0BOT", "U0GUEST"}}, "there are guests"},
		"shared":       {slackfake.Channel{ID: war, Private: true, ExtShared: true}, "shared with another organization"},
		"archived":     {slackfake.Channel{ID: war, Private: true, Archived: true}, "archived"},
		"removed":      {slackfake.Channel{ID: war, Private: true, Left: true}, "channel_not_found"},
		"left, public": {slackfake.Channel{ID: war, Left: true}, "not_in_channel"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, everywhere)
			w.slack.SetUser(slackfake.User{ID: "U0GUEST", Restricted: true})
			r := w.asksIn(war, "U01ALICE", command)
			w.slack.SetChannel(tt.then)
			if tt.then.ExtShared || tt.then.Members != nil {
				w.clock.Add(11 * time.Minute)
			}
			if tt.then.Members != nil { // Slack does not take it away at the first try
				w.slack.Fail(slackfake.Fault{Method: "chat.update", Status: 500, Times: 2, Of: func(text, _ string) bool { return strings.Contains(text, "alone now") }})
			}
			w.clicks("U02BOB", r, "approve")
			w.pass(2 * time.Minute)
			if r = w.state(r, approvals.Contained); r.Second.Channel != "" || r.Stale() {
				t.Errorf("the second card is %+v", r.Second)
			}
			if open := !tt.then.Archived && !tt.then.Left; open && !strings.Contains(w.in(war)[0].Text, "its card is in <#"+channel+"> alone now") {
				t.Errorf("it still shows %q", w.in(war)[0].Text)
			}
			n := 0
			for _, m := range w.in(channel) {
				if strings.Contains(m.Text, "<#"+war+">") && (strings.Contains(m.Text, tt.told) || strings.Contains(m.Text, "is_inactive")) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("told %d times:\n%s", n, w.said())
			}
		})
	}
}

// TestApproveBringsTheCardToWhereItIsTyped, also to a channel that has none of it yet.
func TestApproveBringsTheCardToWhereItIsTyped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everywhere)
	r := w.asks("U01ALICE", command)
	for range 2 {
		w.slack.Command("U02BOB", war, "/killswitch", "approve "+r.ID)
		w.drain()
	}
	r = w.again(r)
	ms := w.in(war)
	if len(ms) != 2 || r.Second.TS != ms[1].TS || !strings.Contains(ms[0].Text, "moved") {
		t.Fatalf("%d messages, the card is %+v", len(ms), r.Second)
	}
	if d := w.slack.Click("U02BOB", war, r.Second.TS, "approve"); d.Err != nil {
		t.Fatal(d.Err)
	}
	w.pass(30 * time.Second)
	w.state(r, approvals.Contained)
}

// TestSecondToAskIsLedToTheCard of the first, in their channel if it has one.
func TestSecondToAskIsLedToTheCard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everywhere)
	r := w.asksIn(war, "U01ALICE", command)
	for in, card := range map[string]approvals.Card{war: r.Second, channel: r.Card} {
		w.slack.Command("U03CAROL", in, "/killswitch", command)
		w.drain()
		want := "https://acme.slack.com/archives/" + in + "/p" + strings.ReplaceAll(card.TS, ".", "")
		told := ""
		for _, m := range w.slack.Messages(in) {
			if m.EphemeralTo == "U03CAROL" {
				told = m.Text
			}
		}
		if !strings.Contains(told, r.ID+" asks for the same and is pending. <"+want+"|") {
			t.Errorf("told %q", told)
		}
	}
}

// TestUndoWhereTheChannelIsGone: the incident channel was archived and another is configured since. What was
// contained before is undone there; the second card and what its buttons ask for never go where nobody sees them.
func TestUndoWhereTheChannelIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everywhere, inFile)
	r := w.asksIn(war, "U01ALICE", command)
	w.clicks("U02BOB", r, "approve")
	w.pass(30 * time.Second)
	r = w.state(r, approvals.Contained)
	w.must(w.file.Close())
	const home = "C04HOME"
	w.slack.Archive(channel)
	w.slack.SetChannel(slackfake.Channel{ID: home, Name: "incident-2"})
	w.cfg.IncidentChannel = home
	w.start()
	u := w.asksIn(home, "U03CAROL", "undo "+r.ID)
	if u = w.state(u, approvals.Pending); u.Card.Channel != home || u.Second.Channel != war || u.Second.TS == "" {
		t.Fatalf("the undo's cards are in %q and %q", u.Card.Channel, u.Second.Channel)
	}
	w.slack.Archive(war)
	w.slack.Command("U02BOB", home, "/killswitch", "approve "+u.ID)
	w.drain()
	u = w.again(u)
	if d := w.slack.Click("U02BOB", home, u.Card.TS, "approve"); d.Err != nil {
		t.Fatal(d.Err)
	}
	w.pass(30 * time.Second)
	w.state(u, approvals.Restored)
	r = w.state(r, approvals.Undone)
	if r.Card.Channel != home || r.Stale() || !strings.HasPrefix(w.at(r.Card).Text, "undone") {
		t.Errorf("the card of what was undone: %+v", r.Card)
	}
}
