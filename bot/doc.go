// Package bot is the conversation: it reads what people type and click, keeps
// the requests, and posts cards. It holds no AWS credentials; whatever needs
// an account's state is a job for the executor.
//
// A card is a view of a request; package cards draws it, and has all words that
// people read. Whatever Slack loses, the sweep draws again.
package bot
