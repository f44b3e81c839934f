package slackfake

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

func (s *Slack) history(p params) reply {
	return s.list(p, true, func(m *Message) bool { return m.ThreadTS == "" || m.Broadcast })
}

func (s *Slack) replies(p params) reply {
	root := s.find(p["channel"], p["ts"])
	c, yes := s.channels[p["channel"]]
	if code := shut(c, yes); code != "" {
		return failed(code)
	}
	if root == nil || root.EphemeralTo != "" {
		return failed("thread_not_found")
	}
	ts := root.TS
	if root.ThreadTS != "" {
		ts = root.ThreadTS
	}
	return s.list(p, false, func(m *Message) bool { return m.TS == ts || m.ThreadTS == ts })
}

// list answers one page of messages: newest first for a channel; for a thread
// oldest first, the parent on every page.
func (s *Slack) list(p params, newestFirst bool, keep func(*Message) bool) reply {
	c, yes := s.channels[p["channel"]]
	if code := shut(c, yes); code != "" {
		return failed(code)
	}
	oldest, latest, inclusive := p["oldest"], p["latest"], p.flag("inclusive")
	if cursor := p["cursor"]; cursor != "" {
		raw, err := base64.StdEncoding.DecodeString(cursor)
		ts, yes := strings.CutPrefix(string(raw), "next_ts:")
		if err != nil || !yes {
			return failed("invalid_cursor")
		}
		if newestFirst {
			latest = ts
		} else {
			oldest = ts
		}
		inclusive = false
	}
	var parent *Message
	var found []*Message
	for _, m := range s.messages[p["channel"]] {
		if m.EphemeralTo != "" || !keep(m) {
			continue
		}
		if !newestFirst && m.ThreadTS == "" {
			parent = m
			continue
		}
		before := latest == "" || compareTS(m.TS, latest) < 0 || inclusive && m.TS == latest
		after := oldest == "" || compareTS(m.TS, oldest) > 0 || inclusive && m.TS == oldest
		if before && after {
			found = append(found, m)
		}
	}
	if newestFirst {
		slices.Reverse(found)
	}
	size := p.number("limit", 100, 999)
	if parent != nil {
		size = max(size-1, 1)
	}
	more := len(found) > size
	if more {
		found = found[:size]
	}
	fields := map[string]any{"has_more": more}
	if more {
		next := base64.StdEncoding.EncodeToString([]byte("next_ts:" + found[size-1].TS))
		fields["response_metadata"] = map[string]any{"next_cursor": next}
	}
	if parent != nil {
		found = slices.Insert(found, 0, parent)
	}
	list := []any{}
	for _, m := range found {
		list = append(list, s.messageJSON(m, p.flag("include_all_metadata")))
	}
	fields["messages"] = list
	return ok(fields)
}

// compareTS compares "seconds.microseconds" by value; "now" or "0" work too.
func compareTS(a, b string) int {
	split := func(ts string) (string, string) {
		sec, micro, _ := strings.Cut(ts, ".")
		return fmt.Sprintf("%20s", sec), fmt.Sprintf("%-6s", micro)
	}
	as, am := split(a)
	bs, bm := split(b)
	if c := strings.Compare(as, bs); c != 0 {
		return c
	}
	return strings.Compare(strings.ReplaceAll(am, " ", "0"), strings.ReplaceAll(bm, " ", "0"))
}

// messageJSON is a message as Slack returns and echoes it.
func (s *Slack) messageJSON(m *Message, withMetadata bool) map[string]any {
	j := map[string]any{"type": "message", "user": m.User, "ts": m.TS, "text": m.Text, "team": s.user(m.User).Team}
	if m.User == s.cfg.BotUserID {
		j["bot_id"], j["app_id"] = s.botID(), s.cfg.AppID
	}
	if m.Blocks != nil {
		j["blocks"] = m.Blocks
	}
	if m.editedTS != "" {
		j["edited"] = map[string]any{"user": m.User, "ts": m.editedTS}
	}
	if m.Metadata != nil && withMetadata {
		j["metadata"] = m.Metadata
	}
	if m.ThreadTS != "" {
		j["thread_ts"] = m.ThreadTS
		if m.Broadcast {
			j["subtype"] = "thread_broadcast"
		}
		if parent := s.find(m.Channel, m.ThreadTS); parent != nil {
			j["parent_user_id"] = parent.User
		}
		return j
	}
	replies, latest := 0, ""
	for _, r := range s.messages[m.Channel] {
		if r.ThreadTS == m.TS && r.EphemeralTo == "" {
			replies, latest = replies+1, r.TS
		}
	}
	if replies > 0 {
		j["thread_ts"], j["reply_count"], j["latest_reply"] = m.TS, replies, latest
	}
	return j
}
