package slackfake

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const maxText = 40_000 // /changelog/2018-truncating-really-long-messages

// call runs one method's effect.
func (s *Slack) call(method string, p params) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	var run func(params) reply
	switch method {
	case "auth.test":
		run = s.authTest
	case "chat.postMessage":
		run = s.postMessage
	case "chat.postEphemeral":
		run = s.postEphemeral
	case "chat.update":
		run = s.updateMessage
	case "chat.delete":
		run = s.deleteMessage
	case "chat.getPermalink":
		run = s.permalink
	case "conversations.history":
		run = s.history
	case "conversations.replies":
		run = s.replies
	case "conversations.info":
		run = s.channelInfo
	case "conversations.members":
		run = s.channelMembers
	case "users.info":
		run = s.userInfo
	case "usergroups.users.list":
		run = s.groupUsers
	case "views.open":
		run = s.openView
	case "views.update":
		run = s.updateView
	default:
		return failed("unknown_method")
	}
	switch p["token"] {
	case "":
		return failed("not_authed")
	case s.cfg.BotToken:
		return run(p)
	default:
		return failed("invalid_auth")
	}
}

func (s *Slack) authTest(params) reply {
	return ok(map[string]any{
		"url": "https://" + s.cfg.TeamDomain + ".slack.com/", "team": s.cfg.TeamDomain, "team_id": s.cfg.Team,
		"user": s.user(s.cfg.BotUserID).Name, "user_id": s.cfg.BotUserID, "bot_id": s.botID(),
		"app_id": s.cfg.AppID, "is_enterprise_install": false,
	})
}

// content checks and prepares what a message says. A nil refusal is a pass.
func (s *Slack) content(p params) (text string, blocks json.RawMessage, metadata json.RawMessage, refusal *reply) {
	refuse := func(code string, problems ...string) (string, json.RawMessage, json.RawMessage, *reply) {
		r := failed(code, problems...)
		return "", nil, nil, &r
	}
	if a := p["attachments"]; a != "" && a != "[]" {
		return refuse("invalid_attachments", "this fake has no attachments [json-pointer:/attachments]")
	}
	if b := p["blocks"]; b != "" {
		v, err := unmarshal([]byte(b))
		list, isList := v.([]any)
		if err != nil || !isList {
			return refuse("invalid_blocks_format")
		}
		if problems := checkMessage(list); len(problems) > 0 {
			return refuse("invalid_blocks", problems...)
		}
		if textLength(list) > maxBlockText {
			return refuse("msg_blocks_too_long")
		}
		if len(list) > 0 {
			s.nameBlocks(list)
			blocks = marshal(list)
		}
	}
	text = p["text"]
	if utf8.RuneCountInString(text) > maxText {
		return refuse("msg_too_long")
	}
	if text == "" && blocks == nil {
		return refuse("no_text")
	}
	if m := p["metadata"]; m != "" && m != "{}" {
		var meta struct {
			Type    string          `json:"event_type"`
			Payload json.RawMessage `json:"event_payload"`
		}
		if err := json.Unmarshal([]byte(m), &meta); err != nil {
			return refuse("invalid_metadata_format")
		}
		if meta.Type == "" || !bytes.HasPrefix(meta.Payload, []byte("{")) {
			return refuse("invalid_metadata_schema")
		}
		metadata = json.RawMessage(m)
	}
	return text, blocks, metadata, nil
}

// channel finds where to post; a user's ID is the direct message with them.
func (s *Slack) channel(id string) (Channel, bool) {
	if c, yes := s.channels[id]; yes {
		return c, true
	}
	if u, yes := s.users[id]; yes && !u.Bot && !u.Deleted {
		c := Channel{ID: "D" + strings.TrimLeft(id, "UW"), Name: "directmessage", Private: true}
		s.channels[c.ID] = c
		return c, true
	}
	return Channel{}, false
}

// shut is the error of a conversation where the bot may not do something; empty if it may. One that is
// private does not exist for those who are not in it.
func shut(c Channel, known bool) string {
	switch {
	case !known, c.Left && (c.Private || c.GroupDM):
		return "channel_not_found"
	case c.Left:
		return "not_in_channel"
	}
	return ""
}

func (s *Slack) postMessage(p params) reply {
	c, yes := s.channel(p["channel"])
	if code := shut(c, yes); code != "" {
		return failed(code)
	}
	if c.Archived {
		return failed("is_archived")
	}
	text, blocks, metadata, refusal := s.content(p)
	if refusal != nil {
		return *refusal
	}
	thread := p["thread_ts"]
	if thread != "" {
		parent := s.find(c.ID, thread)
		if parent == nil || parent.EphemeralTo != "" {
			return failed("thread_not_found")
		}
		if parent.ThreadTS != "" {
			return failed("cannot_reply_to_message")
		}
	}
	m := s.post(Message{
		Channel: c.ID, ThreadTS: thread, User: s.cfg.BotUserID, Text: text, Blocks: blocks, Metadata: metadata,
		Broadcast: thread != "" && p.flag("reply_broadcast"),
	})
	return ok(map[string]any{"channel": c.ID, "ts": m.TS, "message": s.messageJSON(m, true)})
}

func (s *Slack) postEphemeral(p params) reply {
	c, yes := s.channels[p["channel"]]
	if code := shut(c, yes); code != "" {
		return failed(code)
	}
	if u, known := s.users[p["user"]]; !known || u.Deleted {
		return failed("user_not_in_channel")
	}
	text, blocks, _, refusal := s.content(p)
	if refusal != nil {
		return *refusal
	}
	m := s.post(Message{Channel: c.ID, ThreadTS: p["thread_ts"], User: s.cfg.BotUserID, Text: text, Blocks: blocks, EphemeralTo: p["user"]})
	return ok(map[string]any{"message_ts": m.TS})
}

// mine finds a message that the bot may change.
func (s *Slack) mine(p params, denied string) (*Message, *reply) {
	refuse := func(code string) (*Message, *reply) { r := failed(code); return nil, &r }
	c, yes := s.channels[p["channel"]]
	if code := shut(c, yes); code != "" {
		return refuse(code)
	}
	m := s.find(p["channel"], p["ts"])
	switch {
	case m == nil, m.EphemeralTo != "":
		return refuse("message_not_found")
	case m.User != s.cfg.BotUserID:
		return refuse(denied)
	}
	return m, nil
}

func (s *Slack) updateMessage(p params) reply {
	m, refusal := s.mine(p, "cant_update_message")
	if refusal != nil {
		return *refusal
	}
	if s.channels[m.Channel].Archived { // "within a frozen, archived or deleted channel": /reference/methods/chat.update
		return failed("is_inactive")
	}
	text, blocks, metadata, refusal := s.content(p)
	if refusal != nil {
		return *refusal
	}
	m.Text, m.Blocks = text, blocks
	if p.has("metadata") {
		m.Metadata = metadata
	}
	if p.flag("reply_broadcast") && m.ThreadTS != "" {
		m.Broadcast = true
	}
	m.Edits++
	if blocks == nil {
		m.editedTS = s.nextTS()
	}
	s.changed("edited", m)
	return ok(map[string]any{"channel": m.Channel, "ts": m.TS, "text": m.Text, "message": s.messageJSON(m, true)})
}

func (s *Slack) deleteMessage(p params) reply {
	m, refusal := s.mine(p, "cant_delete_message")
	if refusal != nil {
		return *refusal
	}
	s.remove(m.Channel, m.TS)
	return ok(map[string]any{"channel": m.Channel, "ts": m.TS})
}

func (s *Slack) permalink(p params) reply {
	if _, yes := s.channels[p["channel"]]; !yes {
		return failed("channel_not_found")
	}
	m := s.find(p["channel"], p["message_ts"])
	if m == nil || m.EphemeralTo != "" {
		return failed("message_not_found")
	}
	link := fmt.Sprintf("https://%s.slack.com/archives/%s/p%s", s.cfg.TeamDomain, m.Channel, strings.ReplaceAll(m.TS, ".", ""))
	if m.ThreadTS != "" {
		link += "?thread_ts=" + m.ThreadTS + "&cid=" + m.Channel
	}
	return ok(map[string]any{"channel": m.Channel, "permalink": link})
}

func (s *Slack) channelInfo(p params) reply {
	c, yes := s.channels[p["channel"]]
	if shut(c, yes) == "channel_not_found" {
		return failed("channel_not_found")
	}
	im := strings.HasPrefix(c.ID, "D")
	return ok(map[string]any{"channel": map[string]any{
		"id": c.ID, "name": c.Name, "is_channel": !im && !c.GroupDM, "is_im": im, "is_mpim": c.GroupDM, "is_private": c.Private, "is_archived": c.Archived,
		"is_member": !im && !c.Left, "is_shared": c.ExtShared || c.OrgShared, "is_ext_shared": c.ExtShared, "is_pending_ext_shared": c.PendingExtShared,
		"is_org_shared": c.OrgShared, "context_team_id": s.cfg.Team,
	}})
}

func (s *Slack) channelMembers(p params) reply {
	c, yes := s.channels[p["channel"]]
	if shut(c, yes) == "channel_not_found" {
		return failed("channel_not_found")
	}
	members := c.Members
	if members == nil {
		for _, id := range slices.Sorted(maps.Keys(s.users)) {
			if u := s.user(id); !u.Restricted && !u.UltraRestricted && !u.Stranger && !u.Deleted && u.Team == s.cfg.Team {
				members = append(members, id)
			}
		}
	}
	from := 0
	if cursor := p["cursor"]; cursor != "" {
		raw, err := base64.StdEncoding.DecodeString(cursor)
		n, nerr := strconv.Atoi(strings.TrimPrefix(string(raw), "from:"))
		if err != nil || nerr != nil || n < 0 || n > len(members) {
			return failed("invalid_cursor")
		}
		from = n
	}
	to, next := min(from+p.number("limit", 100, 999), len(members)), ""
	if to < len(members) {
		next = base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "from:%d", to))
	}
	return ok(map[string]any{"members": append([]string{}, members[from:to]...), "response_metadata": map[string]any{"next_cursor": next}})
}

func (s *Slack) userInfo(p params) reply {
	if _, yes := s.users[p["user"]]; !yes {
		return failed("user_not_found")
	}
	u := s.user(p["user"])
	j := map[string]any{
		"id": u.ID, "team_id": u.Team, "name": u.Name, "real_name": u.RealName, "deleted": u.Deleted, "is_bot": u.Bot,
		"is_restricted": u.Restricted || u.UltraRestricted, "is_ultra_restricted": u.UltraRestricted,
		"profile": map[string]any{"real_name": u.RealName, "display_name": u.Name, "team": u.Team},
	}
	if u.Stranger {
		j["is_stranger"] = true
	}
	if u.Enterprise != "" {
		j["enterprise_user"] = map[string]any{"id": u.ID, "enterprise_id": u.Enterprise, "enterprise_name": u.Enterprise, "teams": []string{u.Team}}
	}
	return ok(map[string]any{"user": j})
}

func (s *Slack) groupUsers(p params) reply {
	members, yes := s.groups[p["usergroup"]]
	if !yes {
		return failed("no_such_subteam")
	}
	return ok(map[string]any{"users": append([]string{}, members...)})
}
