// Package bot is the conversation in Slack: it reads what people type and click, stores
// requests, and posts cards. It has no credentials of AWS; work that needs an account's
// state is a job for the executor.
//
// A [Bot] handles the messages of its queues, one method for each: HandleSlack,
// HandleEvent, HandleWebhook, HandleTrail, HandleChange. Sweep runs every minute: it expires requests,
// sends lost jobs again and draws cards that are stale. [Slack] is the client for Slack's
// API. A conversation (bot.go) is one command or click, with its answer.
//
// A card is a view of a request or an alert; package cards draws it and has all words that
// people read. Files named alert_* are about alerts.
package bot
