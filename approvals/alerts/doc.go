// Package alerts stores alerts in the table requests. It posts nothing: the bot does.
//
// An [Alert] is a row: the [Report]s of its findings, the [State] that people gave it, the
// requests that it led to, its card. A [Digest] is one message about many alerts, and a
// [RateLimit] says when a channel takes the next. A [Table] reads and writes all of them,
// each change in one transaction.
package alerts
