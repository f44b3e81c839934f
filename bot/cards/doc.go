// Package cards makes what people read in Slack: messages, modals, and all our own
// words in them. It is pure: it reads no rows and no clock, and calls nobody.
//
// [Card] draws a request, [AlertCard] an alert. Each is a function of a view, [View]
// or [AlertView], which package bot fills with all that the card shows. [Replies] are
// what belongs in a request's thread. [Say] answers one person with one of the
// sentences of answers.go. Every [Message] has blocks, and a text for where those
// are not shown.
//
// Text from outside is [Untrusted] until it is in a block.
package cards
