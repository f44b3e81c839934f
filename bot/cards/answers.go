package cards

import (
	"fmt"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Say is an answer to one person, in one of the formats below. Its verbs are all %s,
// and what they stand for is escaped: IDs, where no comment says what.
func Say(format string, args ...any) Message {
	for i, a := range args {
		args[i] = Untrusted(fmt.Sprint(a))
	}
	return note(format, args...)
}

// NotStored says that Killswitch has no room for what somebody typed or clicked.
const NotStored = "This could not be stored: Killswitch's disk is full. Nothing was started by it. It is tried again for about half an hour; whoever runs Killswitch must free space."

// Who may not act, and why.
const (
	OtherWorkspace = "Killswitch takes orders only from its own workspace. Nothing was done."
	IsBot          = "Killswitch takes no orders from bots."
	IsGuest        = "Killswitch takes no orders from guests or people of other organizations. Nothing was done."
	IsDeactivated  = "This Slack account is deactivated."
	// trouble
	PersonNotLookedUp = "Who you are can't be looked up (%s), so nothing was done. Try again in a minute."
	// group, trouble
	GroupNotLookedUp = "Who is in the Slack user group for %s can't be looked up (%s), so nobody may act for it. Try again in a minute."
	// group
	NotInUserGroup = "You are not in the Slack user group that goes with %s just now."
)

// Why a channel takes no commands.
const (
	InDirectMessage = "I work in channels, where others see it, and not in direct messages"
	NotListed       = "this channel is not one of slack.command_channels in the configuration"
	NotInChannel    = "I am not in this channel, or it is archived; invite me with /invite"
	SharedChannel   = "this channel is shared with another organization or workspace, or is about to be"
	HasGuests       = "there are guests in this channel"
	TooManyMembers  = "this channel has over 500 members, too many to be looked through for guests"
	// trouble
	ChannelNotLookedUp = "who is in this channel can't be looked up (%s)"
)

// Answers to commands and to clicks on a request's card.
const (
	// why, channel
	ChannelClosed  = "Nothing was done: %s. Use <#%s>."
	OneClickPlease = "One click at a time, please. Nothing was done."
	// why
	NothingDone = "Nothing was done. %s"
	// reason, hint
	CallRefused = "Nothing was done: %s. %s."
	// how many, command
	TooManyWait = "Nothing was done: %s requests of yours wait already, as many as one person may have. Let others approve them, `%[2]s cancel ID` those that nobody needs (`%[2]s list` shows them), or let somebody else ask. Approving, denying, cancelling and undoing go on."
	// ID
	EndNotRecorded = "Nothing was done: the end of %s is being recorded. Click again in some seconds."
	IDTaken        = "Nothing was done: the ID %s is taken. Send it again."
	// ID, command
	NoRequest        = "There is no request %s. `%s list` shows those that are open."
	NoRequestAnyMore = "There is no request %s any more. Nothing was done."
	NotAsShown       = "What you were shown is not what %s would do. Nothing was done; look at it again: killswitch show %s."
	NotOnCard        = "The card that you clicked does not show what %s would do. Nothing was done; use the newest card."
	TryingAgain      = "%s: trying again what is left."
	Tracing          = "%s: looking up what was made. The list comes in its thread, within two minutes."
	ReviewKept       = "%s: thank you. The card says that you have reviewed it, once that is recorded."
	WatchingOn       = "%s: it is watched on. The card says until when."
	UndoOfUndo       = "%s is itself an undo. Ask for the containment again instead."
	// ID, state
	NothingToUndo = "%s is %s: there is nothing to undo."
	// ID, channel
	CardElsewhere = "%s: its card is in <#%s>."
	CardTaken     = "%s: its card is in <#%s> alone now."
	CardMoved     = "%s: its card has moved to the end of the channel."
	// ID
	BeingPlanned = "%s: planning. Nothing has been changed; its card calls those who may approve."
	// ID, channel
	CardMissing = "%s is stored and being planned, but its card can't be posted just now; it will be tried again every minute. If it stays away: is the bot in <#%s>?"
	// ID, channel
	VoteByClick = "%s: click Approve on its card, which is now the last message in <#%s>. A vote can't be typed: it needs what only the card carries."
)

// What the incident channel is told of what webhooks ask for.
const (
	// call
	OtherSameKey = "Nothing was done. It is the name (Idempotency-Key) of another request, which goes on as it was asked for. What was asked for now: %s. A new request wants a new name."
	// state
	AskedBefore = "Nothing was done. It was asked for again, and is %s: what comes under the same name (Idempotency-Key), or on the same day with the same words, is the same request. If it is needed again, ask with /killswitch, by its card, or under a new name."
	// webhook, how many
	TooManyOfWebhook = "The webhook %s asks for more than may wait: %s of its requests do already. What it asks for now is dropped, until people have approved or denied some; others' requests go on. This is not told again for an hour."
)

// Answers to clicks on an alert's card and on a digest.
const (
	NoAlert        = "There is no alert %s any more. Nothing was done."
	NoDigest       = "There is no digest %s any more."
	CameLate       = "Your click came late: somebody has said something else since. Nothing was done."
	SaidAlready    = "Somebody was faster: the card says it already."
	NoActivity     = "There is nobody in this alert whose activity could be looked up."
	AlertNotPosted = "%s can't be posted just now; it will be tried again every minute."
	EventGone      = "Nothing was done: the event that %s tells of is no longer kept, so nothing can be proved by it. Type the command instead."
	NotOffered     = "Nothing was done: %s no longer offers this. Use its newest card, or type the command."
)

// OfWebhook is a notice about what a webhook asks for. last: of the notices that are posted in an hour.
func OfWebhook(webhook, id string, m Message, last bool) Message {
	more := ""
	if last {
		more = " More of this webhook is not told for an hour; the log has it."
	}
	return note("%s, by the webhook %s: %s%s", Untrusted(id), Untrusted(webhook), m.Text, more)
}

// WebhookMistakes says what is wrong with what a webhook asks for.
func WebhookMistakes(m *actions.ParseErrors) Message {
	var all []string
	for _, x := range m.List {
		all = append(all, strings.TrimSuffix(fmt.Sprintf("*%s* %s: %s", Untrusted(x.Field), Untrusted(x.Problem), Untrusted(x.Hint)), ": "))
	}
	return note("Nothing was done. %s", strings.Join(all, "; "))
}
