package slackfake

import (
	"net/http"
	"time"
)

const (
	linkLife = 30 * time.Minute
	linkUses = 5
)

// link is a response_url.
type link struct {
	id, user, channel, thread string
	original                  string // the message to replace or delete: clicked, or last sent
	at                        time.Time
	uses                      int
}

func (s *Slack) newLink(l link) *link {
	l.id, l.at = s.nextID("R"), s.cfg.Now()
	s.links[l.id] = &l
	return &l
}

func (s *Slack) useLink(id string, p params) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := func(code string) reply { r := failed(code); r.status = http.StatusNotFound; return r }
	l, known := s.links[id]
	switch {
	case !known:
		return gone("no_such_url")
	case l.uses >= linkUses:
		return gone("used_url")
	case s.cfg.Now().Sub(l.at) > linkLife:
		return gone("expired_url")
	}
	if refusal := s.respond(l, p); refusal != nil {
		refusal.status = http.StatusBadRequest
		return *refusal
	}
	l.uses++
	return ok(nil)
}

// respond does what an answer to a command or a post to a response_url says
// (/interactivity/handling-user-interaction).
func (s *Slack) respond(l *link, p params) *reply {
	if p.flag("delete_original") {
		s.remove(l.channel, l.original)
		return nil
	}
	text, blocks, metadata, refusal := s.content(p)
	if refusal != nil {
		return refusal
	}
	if old := s.find(l.channel, l.original); old != nil && p.flag("replace_original") {
		old.Text, old.Blocks = text, blocks
		old.Edits++
		s.changed("edited", old)
		return nil
	}
	m := Message{Channel: l.channel, ThreadTS: p["thread_ts"], User: s.cfg.BotUserID, Text: text, Blocks: blocks, Metadata: metadata}
	if p["response_type"] != "in_channel" {
		m.EphemeralTo = l.user
	}
	sent := s.post(m)
	if l.original == "" {
		l.original = sent.TS
	}
	return nil
}
