package company

import (
	"net/http"

	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// SlackMode is how Slack's API answers. Interactions of people arrive in every mode.
type SlackMode string

// The modes. Limited is a limit far below Slack's own.
const (
	SlackOK      SlackMode = "ok"
	SlackDown    SlackMode = "down"
	SlackLimited SlackMode = "limited"
)

// Slack's own limits, with their bursts: a message per second and channel, and Tier 3
// for updates.
// https://docs.slack.dev/apis/web-api/rate-limits
const (
	postsAMinute, postsAtOnce     = 60, 20
	updatesAMinute, updatesAtOnce = 50, 20
	fewAMinute                    = 6 // while it is limited
)

// SetSlack changes how Slack's API answers. It reports whether there is such a mode.
func (c *Company) SetSlack(m SlackMode) bool {
	posts, updates, burstPosts, burstUpdates := postsAMinute, updatesAMinute, postsAtOnce, updatesAtOnce
	switch m {
	case SlackOK, SlackDown:
	case SlackLimited:
		posts, updates, burstPosts, burstUpdates = fewAMinute, fewAMinute, 1, 1
	default:
		return false
	}
	c.mode = m
	c.Slack.Heal()
	c.Slack.RateLimit("chat.postMessage", posts, burstPosts)
	c.Slack.RateLimit("chat.update", updates, burstUpdates)
	if m == SlackDown {
		c.Slack.Fail(slackfake.Fault{Status: http.StatusServiceUnavailable, Times: -1})
	}
	return true
}

// SlackMode returns how Slack's API answers now.
func (c *Company) SlackMode() SlackMode { return c.mode }
