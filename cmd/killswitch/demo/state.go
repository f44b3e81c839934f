package demo

import (
	"encoding/json"
	"time"

	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

// state is the data of the page. Its lists are never null.
type state struct {
	Now      time.Time         `json:"now"`
	Speed    int               `json:"speed"` // of the company's time
	Slack    company.SlackMode `json:"slack"`
	People   []company.Person  `json:"people"`
	Channel  channel           `json:"channel"`
	Messages []message         `json:"messages"`
	Views    map[string][]view `json:"views"` // open forms, by person
	Stories  []summary         `json:"stories"`
	Story    storyState        `json:"story"` // with no ID in free play
	AWS      awsState          `json:"aws"`
	Log      []company.APICall `json:"log"`
}

type channel struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type message struct {
	TS          string          `json:"ts"`
	ThreadTS    string          `json:"thread_ts"`
	User        string          `json:"user"` // empty for the bot
	Bot         bool            `json:"bot"`
	Text        string          `json:"text"`
	Blocks      json.RawMessage `json:"blocks"`
	Edited      int             `json:"edited"` // times
	EphemeralTo string          `json:"ephemeral_to"`
	Broadcast   bool            `json:"broadcast"`
}

type view struct {
	ID   string          `json:"id"`
	View json.RawMessage `json:"view"`
}

type summary struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Summary string `json:"summary"`
}

func (st *stage) state() state {
	s := state{
		Now: st.Now().UTC().Truncate(time.Millisecond), Speed: st.speed, Slack: st.SlackMode(), People: company.People, Channel: channel{company.Channel, company.ChannelName},
		Messages: []message{}, Views: map[string][]view{}, Stories: []summary{}, Story: st.play.state(), AWS: st.aws(), Log: st.APICalls(),
	}
	for _, m := range st.Slack.Messages(company.Channel) {
		s.Messages = append(s.Messages, shown(m))
	}
	for _, p := range company.People {
		s.Views[p.ID] = []view{}
		for _, v := range st.Slack.Views(p.ID) {
			s.Views[p.ID] = append(s.Views[p.ID], view{v.ID, v.JSON})
		}
	}
	for _, x := range stories {
		s.Stories = append(s.Stories, summary{x.ID, x.Title, x.Summary})
	}
	return s
}

func shown(m slackfake.Message) message {
	out := message{TS: m.TS, ThreadTS: m.ThreadTS, User: m.User, Bot: m.User == company.Bot, Text: m.Text, Blocks: m.Blocks, Edited: m.Edits, EphemeralTo: m.EphemeralTo, Broadcast: m.Broadcast}
	if out.Bot {
		out.User = ""
	}
	if len(out.Blocks) == 0 {
		out.Blocks = json.RawMessage("[]")
	}
	return out
}
