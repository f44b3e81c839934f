package slackfake

import "github.com/killswitch-chatops/killswitch/bot/terminal"

// Text renders a message for a terminal.
func Text(m Message) string { return terminal.Text(m.Text, m.Blocks) }
