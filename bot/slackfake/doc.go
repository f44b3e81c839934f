// Package slackfake is a Slack workspace inside our own process. It speaks
// Slack's Web API over HTTP, keeps channels, messages, threads, modals and
// users, and sends signed slash commands, clicks and form submissions to a
// bot's request URL. Tests use it for speed and for faults; the demo shows it
// in a browser or a terminal.
//
//	s := slackfake.New(slackfake.Config{Now: clock.Now, Channels: …, Users: …})
//	s.Deliver(botHandler)
//	api := slack.New(token, slack.OptionAPIURL("http://slack.invalid/api/"), slack.OptionHTTPClient(s.Client()))
//	got := s.Command("U1", "C1", "/killswitch", "help")
//
// # What it imitates
//
// Each rule below names its page under https://docs.slack.dev, or the public
// issue in which it was observed where Slack documents nothing.
//
//   - Web API: auth.test, chat.postMessage, chat.update, chat.postEphemeral,
//     chat.delete, chat.getPermalink, conversations.history,
//     conversations.replies, conversations.info, conversations.members,
//     users.info, usergroups.users.list, views.open, views.update; form or JSON bodies,
//     the token as a bearer or in the form (/apis/web-api). Anything else is
//     unknown_method.
//   - Signatures: v0, HMAC-SHA256 over "v0:timestamp:body"
//     (/authentication/verifying-requests-from-slack).
//   - A slash command or click wants its answer within 3 seconds
//     (/interactivity/implementing-slash-commands); later answers are dropped
//     and [Delivered.Err] is [ErrTimeout]. Text answered to a command is an
//     ephemeral message; what is answered to a click is ignored; what is
//     answered to a submission closes, updates, pushes or annotates the modal
//     (/surfaces/modals).
//   - trigger_id lives 3 seconds and opens one view (/reference/methods/views.open).
//   - response_url works 5 times within 30 minutes
//     (/interactivity/handling-user-interaction), then answers 404.
//   - Block limits (/reference/block-kit/blocks and /composition-objects), with
//     Slack's wording: "must be less than 76 characters
//     [json-pointer:/blocks/1/elements/0/text/text]". A message answers
//     invalid_blocks, a view invalid_arguments. The total over all text,
//     msg_blocks_too_long above 12,000 characters, is undocumented
//     (slackapi/bolt-js#2509, #2867).
//   - chat.update with text and without blocks removes the blocks; with blocks
//     it shows no "edited" (/reference/methods/chat.update).
//   - thread_not_found when the parent has gone (slackapi/bolt-js#2307).
//   - A click from a shared channel carries the app's workspace in team.id and
//     the person's own in user.team_id (slackapi/java-slack-sdk#1041).
//   - An ephemeral message cannot be updated, deleted or listed through the Web
//     API, only through its response_url, and a click on it carries no message
//     (/reference/interaction-payloads/block_actions-payload).
//
// # Where it is stricter or simpler than Slack
//
// A thread_ts that names a reply is refused (cannot_reply_to_message; Slack
// advises against it). Attachments are refused rather than dropped. Texts
// longer than 40,000 characters are refused rather than cut. Blocks come back
// as sent, plus a block_id and action_id where they lacked one; Slack also adds
// "emoji" and "verbatim". The bot is a member of every channel that it has not
// [Channel].Left: a public one then answers not_in_channel, and a private one does
// not exist for it (/reference/methods/chat.postMessage). Rate limits
// are off until [Slack.RateLimit].
//
// Time comes from Config.Now alone, except that [Fault].Hang waits on a real
// timer. All methods are safe for concurrent use and leave no goroutine behind.
// No callback (handler, hook, subscriber) runs under the fake's lock, so each
// may call back, and may panic or stop its goroutine.
package slackfake
