package bot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// slackTimeout bounds one call: slack-go's own client has no bound.
const slackTimeout = 5 * time.Second

// longestPause is the longest Retry-After that is waited for on the spot; the
// sweep comes back for the rest.
const longestPause = 2 * time.Second

// Slack is the part of Slack's API that the bot uses.
type Slack struct {
	tokens Tokens
	opts   []slack.Option
	http   *http.Client
	hosts  func(*url.URL) bool
	sleep  func(context.Context, time.Duration) error

	// Count, where it is set, counts calls that failed: SlackRefused if only people can mend it, SlackUnavailable if
	// it may pass by itself.
	Count func(ctx context.Context, name string, n int)

	mu      sync.Mutex
	token   string // that api was made with
	api     *slack.Client
	address string // of the workspace
}

// Tokens are the bot token's values, the current one first: it may be rotated.
type Tokens func(context.Context) ([]string, error)

// Token is a token that stays the same.
func Token(token string) Tokens {
	return func(context.Context) ([]string, error) { return []string{token}, nil }
}

// NewSlack makes a client. apiURL is empty for Slack itself; client may be nil.
func NewSlack(tokens Tokens, apiURL string, client *http.Client, sleep func(context.Context, time.Duration) error) *Slack {
	c := http.Client{Timeout: slackTimeout}
	if client != nil {
		c.Transport = client.Transport
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	opts := []slack.Option{slack.OptionHTTPClient(&c)}
	if apiURL != "" {
		opts = append(opts, slack.OptionAPIURL(strings.TrimSuffix(apiURL, "/")+"/"))
	}
	return &Slack{tokens: tokens, opts: opts, http: &c, hosts: responseHosts(apiURL), sleep: sleep}
}

// client is the API's client with the token as it is now.
func (s *Slack) client(ctx context.Context) (*slack.Client, error) {
	tokens, err := s.tokens(ctx)
	if err == nil && (len(tokens) == 0 || tokens[0] == "") {
		err = errors.New("there is none")
	}
	if err != nil {
		s.count(ctx, "SlackRefused")
		return nil, fmt.Errorf("bot token: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.api == nil || s.token != tokens[0] {
		s.token, s.api = tokens[0], slack.New(tokens[0], s.opts...)
	}
	return s.api, nil
}

// responseHosts tells which hosts a response_url may name: the URL comes over
// a queue, and the bot must not be sent to other places with it.
func responseHosts(apiURL string) func(*url.URL) bool {
	api, err := url.Parse(apiURL)
	return func(u *url.URL) bool {
		switch {
		case apiURL == "":
			return u.Scheme == "https" && (u.Host == "hooks.slack.com" || u.Host == "hooks.slack-gov.com")
		case err != nil:
			return false
		}
		return u.Scheme == api.Scheme && (u.Host == api.Host || u.Port() == api.Port() && loopback(u.Hostname()) && loopback(api.Hostname()))
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *Slack) count(ctx context.Context, name string) {
	if s.Count != nil && !errors.Is(ctx.Err(), context.Canceled) {
		s.Count(ctx, name, 1)
	}
}

// counted counts a call that ended with err. An answer about one message, person or form says nothing of us.
func (s *Slack) counted(ctx context.Context, err error) error {
	code := codeOf(err)
	switch {
	case err == nil, slices.Contains(errorsBut["message"], code), slices.Contains(errorsBut["person or form"], code):
	case code == "", slices.Contains(errorsBut["passing"], code):
		s.count(ctx, "SlackUnavailable")
	default:
		s.count(ctx, "SlackRefused")
	}
	return err
}

// withRetry is again with the token as it is now, and counts what fails.
func (s *Slack) withRetry(ctx context.Context, f func(*slack.Client) error) error {
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	return s.counted(ctx, s.again(ctx, api, f))
}

// again calls f, and once more if Slack asks for a short pause.
func (s *Slack) again(ctx context.Context, api *slack.Client, f func(*slack.Client) error) error {
	err := f(api)
	var limited *slack.RateLimitedError
	if errors.As(err, &limited) && limited.RetryAfter <= longestPause {
		if err := s.sleep(ctx, limited.RetryAfter); err != nil {
			return err
		}
		err = f(api)
	}
	return err
}

func optionsOf(m cards.Message) []slack.MsgOption {
	return []slack.MsgOption{slack.MsgOptionText(m.Text, false), slack.MsgOptionBlocks(m.Blocks...), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl()}
}

// post posts a message; thread may be empty.
func (s *Slack) post(ctx context.Context, channel, thread string, m cards.Message) (ts string, err error) {
	err = s.orAsText(ctx, m, func(api *slack.Client, m cards.Message) (err error) {
		opts := optionsOf(m)
		if thread != "" {
			opts = append(opts, slack.MsgOptionTS(thread))
			if m.Broadcast {
				opts = append(opts, slack.MsgOptionBroadcast())
			}
		}
		_, ts, err = api.PostMessageContext(ctx, channel, opts...)
		return err
	})
	return ts, err
}

func (s *Slack) update(ctx context.Context, channel, ts string, m cards.Message) error {
	return s.orAsText(ctx, m, func(api *slack.Client, m cards.Message) error {
		_, _, _, err := api.UpdateMessageContext(ctx, channel, ts, optionsOf(m)...)
		return err
	})
}

// orAsText is withRetry for a message. What Slack refuses for what is in it, it would refuse
// for ever: it gets the text of it, or at least the line of the notification.
func (s *Slack) orAsText(ctx context.Context, m cards.Message, f func(*slack.Client, cards.Message) error) error {
	send := func(m cards.Message) error {
		return s.withRetry(ctx, func(api *slack.Client) error { return f(api, m) })
	}
	err := send(m)
	for _, short := range []bool{false, true} {
		if code := contentRefused(err); code != "" {
			err = send(m.AsText(code, short))
		}
	}
	return err
}

func (s *Slack) ephemeral(ctx context.Context, channel, user string, m cards.Message) error {
	return s.withRetry(ctx, func(api *slack.Client) error {
		_, err := api.PostEphemeralContext(ctx, channel, user, optionsOf(m)...)
		return err
	})
}

func (s *Slack) openView(ctx context.Context, trigger string, v slack.ModalViewRequest) error {
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	_, err = api.OpenViewContext(ctx, trigger, v)
	return s.counted(ctx, err)
}

// updateView puts a view in place of an open one; with a hash only if it is still that one.
func (s *Slack) updateView(ctx context.Context, id, hash string, v slack.ModalViewRequest) error {
	return s.withRetry(ctx, func(api *slack.Client) error {
		_, err := api.UpdateViewContext(ctx, v, "", hash, id)
		return err
	})
}

// respond answers a command or click at its response_url, to its author alone.
func (s *Slack) respond(ctx context.Context, to string, m cards.Message) error {
	u, err := url.Parse(to)
	if err != nil || !s.hosts(u) {
		return errors.New("response_url is not Slack's")
	}
	body, err := json.Marshal(map[string]any{"response_type": "ephemeral", "replace_original": false, "text": m.Text, "blocks": m.Blocks})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("response_url: HTTP %d", resp.StatusCode)
	}
	return nil
}

// find looks for a message of ours that was posted, though the answer was lost:
// the same text, in the channel or thread, not before since. It returns "" if
// there is none or the app may not look.
func (s *Slack) find(ctx context.Context, channel, thread, text string, since time.Time) string {
	oldest := strconv.FormatInt(since.Add(-5*time.Second).Unix(), 10)
	var found []slack.Message
	api, err := s.client(ctx)
	if err != nil {
		return ""
	}
	if thread == "" {
		h, err := api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{ChannelID: channel, Oldest: oldest, Limit: 200})
		if s.counted(ctx, err) != nil {
			return ""
		}
		found = h.Messages
	} else {
		replies, _, _, err := api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{ChannelID: channel, Timestamp: thread, Oldest: oldest, Limit: 200})
		if s.counted(ctx, err) != nil {
			return ""
		}
		found = replies
	}
	for _, m := range found {
		if m.BotID != "" && strings.Contains(m.Text, text) && (thread == "" || m.Timestamp != thread) {
			return m.Timestamp
		}
	}
	return ""
}

// exists returns an error if a message is not there. It needs no scope.
// https://docs.slack.dev/reference/methods/chat.getPermalink
func (s *Slack) exists(ctx context.Context, channel, ts string) error {
	return s.withRetry(ctx, func(api *slack.Client) error {
		_, err := api.GetPermalinkContext(ctx, &slack.PermalinkParameters{Channel: channel, Ts: ts})
		return err
	})
}

// remove deletes a message of ours.
func (s *Slack) remove(ctx context.Context, channel, ts string) error {
	return s.withRetry(ctx, func(api *slack.Client) error {
		_, _, err := api.DeleteMessageContext(ctx, channel, ts)
		return err
	})
}

// messageGone reports whether err says that a message no longer exists.
func messageGone(err error) bool {
	var answer slack.SlackErrorResponse
	return errors.As(err, &answer) && (answer.Err == "message_not_found" || answer.Err == "cant_update_message")
}

// errorsBut are Slack's errors that are not about what a message contains.
// https://docs.slack.dev/reference/methods/chat.postMessage
var errorsBut = map[string][]string{
	"channel": {"is_archived", "channel_is_archived", "is_inactive", "channel_not_found", "not_in_channel", "restricted_action", "restricted_action_read_only_channel",
		"restricted_action_non_threadable_channel", "restricted_action_thread_only_channel", "restricted_action_thread_locked", "cannot_reply_to_message", "messages_tab_disabled"},
	"message":        {"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"},
	"person or form": {"user_not_in_channel", "user_not_found", "user_not_visible", "expired_trigger_id", "exchanged_trigger_id", "trigger_expired", "trigger_exchanged", "hash_conflict", "not_found"},
	"app": {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission", "missing_scope", "not_allowed_token_type",
		"org_login_required", "ekm_access_denied", "team_access_not_granted", "two_factor_setup_required", "access_denied", "enterprise_is_restricted", "team_not_found"},
	"passing": {"ratelimited", "rate_limited", "message_limit_exceeded", "fatal_error", "internal_error", "service_unavailable", "request_timeout", "accesslimited", "team_added_to_org", "external_channel_migrating"},
}

// codeOf is the code of Slack's answer; empty if it gave none.
func codeOf(err error) string {
	if answer, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		return answer.Err
	}
	return ""
}

// contentRefused is the code with which Slack refused what a message contains; empty if it did not.
func contentRefused(err error) string {
	code := codeOf(err)
	for _, codes := range errorsBut {
		if slices.Contains(codes, code) {
			return ""
		}
	}
	return code
}

// channelGone reports whether err says that a channel takes no messages of ours any more.
func channelGone(err error) bool { return slices.Contains(errorsBut["channel"], codeOf(err)) }

// definitelyFailed reports whether err says that Slack did not do what it was asked for;
// other errors leave that open.
func definitelyFailed(err error) bool {
	var answer slack.SlackErrorResponse
	var limited *slack.RateLimitedError
	return errors.As(err, &answer) || errors.As(err, &limited)
}

// threadGone reports whether err says that a thread's first message no longer exists.
func threadGone(err error) bool {
	var answer slack.SlackErrorResponse
	return errors.As(err, &answer) && answer.Err == "thread_not_found"
}

func (s *Slack) user(ctx context.Context, id string) (u *slack.User, err error) {
	err = s.withRetry(ctx, func(api *slack.Client) (err error) {
		u, err = api.GetUserInfoContext(ctx, id)
		return err
	})
	return u, err
}

func (s *Slack) members(ctx context.Context, usergroup string) (ids []string, err error) {
	err = s.withRetry(ctx, func(api *slack.Client) (err error) {
		ids, err = api.GetUserGroupMembersContext(ctx, usergroup)
		return err
	})
	return ids, err
}

// Team is the workspace that the bot token belongs to, and its address.
func (s *Slack) Team(ctx context.Context) (team, address string, err error) {
	err = s.withRetry(ctx, func(api *slack.Client) error {
		who, err := api.AuthTestContext(ctx)
		if err == nil {
			team, address = who.TeamID, who.URL
		}
		return err
	})
	return team, address, err
}

// notInternal says why a channel is not one of this workspace alone that the bot is in; empty if
// it is. https://docs.slack.dev/reference/objects/conversation-object
func (s *Slack) notInternal(ctx context.Context, channel string) (no string, err error) {
	c, err := s.channel(ctx, channel)
	switch {
	case channelGone(err):
		return cards.NotInChannel, nil
	case err != nil:
		return "", err
	case c.IsIM || c.IsMpIM:
		return cards.InDirectMessage, nil
	case !c.IsMember || c.IsArchived:
		return cards.NotInChannel, nil
	case shared(c):
		return cards.SharedChannel, nil
	}
	return "", nil
}

// shared reports whether a channel is shared with another organization or workspace, or is about to be.
func shared(c *slack.Channel) bool {
	return c.IsShared || c.IsExtShared || c.IsPendingExtShared || c.IsOrgShared || c.IsGlobalShared || len(c.PendingShared) > 0
}

// channel is what Slack says of a channel. That it is none of ours is an answer, not a call that failed.
func (s *Slack) channel(ctx context.Context, id string) (c *slack.Channel, err error) {
	api, err := s.client(ctx)
	if err != nil {
		return nil, err
	}
	err = s.again(ctx, api, func(api *slack.Client) (err error) {
		c, err = api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: id})
		return err
	})
	if !channelGone(err) {
		err = s.counted(ctx, err)
	}
	return c, err
}

// memberPage is how many members one call asks for: Slack recommends no more.
// https://docs.slack.dev/apis/web-api/pagination
const memberPage = 200

// membersOf lists who is in a channel; of more than most it leaves off the rest.
func (s *Slack) membersOf(ctx context.Context, channel string, most int) (ids []string, err error) {
	for cursor := ""; ; {
		var page []string
		err := s.withRetry(ctx, func(api *slack.Client) (err error) {
			page, cursor, err = api.GetUsersInConversationContext(ctx, &slack.GetUsersInConversationParameters{ChannelID: channel, Cursor: cursor, Limit: memberPage})
			return err
		})
		if ids = append(ids, page...); err != nil || cursor == "" || len(ids) > most {
			return ids, err
		}
	}
}

// takesMessages returns an error if a channel is known to take no messages of ours.
func (s *Slack) takesMessages(ctx context.Context, channel string) error {
	c, err := s.channel(ctx, channel)
	switch {
	case err == nil && c.IsArchived:
		return s.counted(ctx, slack.SlackErrorResponse{Err: "is_archived"})
	case channelGone(err):
		return s.counted(ctx, err)
	}
	return nil
}

// permalink is the address of a card; empty if it is not posted, or Slack does not say where
// the workspace is.
func (s *Slack) permalink(ctx context.Context, c approvals.Card) string {
	if c.TS == "" {
		return ""
	}
	s.mu.Lock()
	address := s.address
	s.mu.Unlock()
	if address == "" {
		var err error
		if _, address, err = s.Team(ctx); err != nil {
			return ""
		}
		s.mu.Lock()
		s.address = address
		s.mu.Unlock()
	}
	link := strings.TrimSuffix(address, "/") + "/archives/" + c.Channel + "/p" + strings.ReplaceAll(c.TS, ".", "")
	if c.Thread != "" {
		link += "?thread_ts=" + c.Thread + "&cid=" + c.Channel
	}
	return link
}
