package cards

import (
	"fmt"
	"strings"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// CanaryMessage is what the daily check posts in the canary's channel.
const CanaryMessage = "Killswitch looks whether it can post here, as it does every day. It deletes this at once; there is nothing to do."

// What the daily check may find in Slack.
const (
	// trouble
	SlackSilent = "Slack does not answer to the bot token: %s"
	// its workspace, ours
	OtherTeam = "the bot token is of the workspace %s, not of %s"
	MendBot   = "put this app's bot token (OAuth & Permissions) into the secret of the output BotTokenArn, for serve into SLACK_BOT_TOKEN; if Slack can't be reached, look at status.slack.com and the network; until then use the command line (killswitch list)"
	// channel, what is wrong
	OfChannel       = "channel %s: %s"
	ChannelArchived = "it is archived"
	BotNotInIt      = "the bot is not in it"
	MendChannel     = "correct its ID in the configuration, or /invite the bot there"
	MendArchived    = "take it out of the archive, or name another one in the configuration"
	MendShared      = "name a channel of this workspace alone in the configuration: others read the cards"
	// approvals, group, people; of an entry of the policy
	TooFewHere    = " wants %d approvals by %s, of whom %d are in the incident channel with an account that may act"
	MendApprovers = "invite them to the incident channel, or change the group"
)

// What may become of the canary.
const (
	// trouble
	CanaryNotPosted  = "the canary's message can't be posted: %s"
	CanaryGone       = "the canary's message was gone before it was read back (%s): what the bot posts is deleted"
	CanaryUnread     = "the canary's message can't be read back: %s"
	CanaryNotDeleted = "the canary's message can't be deleted: %s"
	MendGone         = "find out who deletes messages there (a retention rule, another app, an administrator): cards may go the same way"
	MendSlack        = "look at status.slack.com; install the app anew, if a scope is missing"
)

// How ingress may answer the canary's forged click.
const (
	// address, what is wrong
	OfIngress     = "ingress at %s: %s"
	IngressSilent = "it can't be reached: %v" // cause
	MendSilent    = "look whether this is the address that Slack's app has, what stands in front of it (proxy, firewall, certificate), and at ingress' log; serve is told the address by --url"
	ForgedTaken   = "a click that nobody signed was let in"
	MendTaken     = "something in front answers in its place, so that no click arrives, or signatures are not checked: take it away, and deploy this version anew"
	// scheme
	WantsPassword   = "what stands in front of it wants a password (%s), which Slack has not"
	MendProxy       = "let /slack and what is below it through: ingress checks Slack's signature itself"
	NoSigningSecret = "it can't read its signing secret, so that no click and no command is taken"
	MendSigning     = "put the app's signing secret into the secret of the output SigningSecretArn, and look at ingress' log"
	// status
	ForgedAnswered = "a click that nobody signed was answered by %d, not by 401"
	IngressUnwell  = "its /healthz answers %d, so that nothing may be stored"
	MendUnwell     = "look at ingress' log: is the disk full?"
)

// That the executor has no word for the daily check.
const (
	ExecutorSilent = "the executor has not answered for an hour, so that nothing is planned or contained"
	MendExecutor   = "look at its log, at its alarms (ExecutorErrors, ExecutorThrottles, ChecksAge), and whether its event sources are enabled"
)

// Health tells what the daily check found, or that what it found is over.
func Health(found []approvals.Trouble) Message {
	if len(found) == 0 {
		return note("The daily check finds nothing wrong any more.")
	}
	const most = 8
	var b strings.Builder
	fmt.Fprintf(&b, "The daily check of Killswitch found %s. It looks again every hour, and says when it is over; killswitch doctor --config FILE looks at the same from the command line.",
		plural(len(found), "thing that needs somebody", "things that need somebody"))
	for i, t := range found {
		if i == most {
			fmt.Fprintf(&b, "\n… and %d more: the log has them", len(found)-i)
			break
		}
		fmt.Fprintf(&b, "\n• *%s*\n    %s", Untrusted(t.Found), Untrusted(t.Mend))
	}
	return note("%s", cut(b.String(), maxText))
}
