package cards

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// whyNot says a reason for a no to the person whom it concerns.
func whyNot(w actions.Violation) string {
	switch w.Code {
	case approvals.UnknownPerson:
		return "You are not in Killswitch's list of people. Ask whoever keeps its configuration to add your Slack account."
	case approvals.NotRequester:
		return fmt.Sprintf("You are not in the group %s, which may ask for this.", w.Group)
	case approvals.NotApprover:
		return fmt.Sprintf("You are not in the group %s, which may decide on this.", w.Group)
	case approvals.JoinedLate:
		return fmt.Sprintf("You joined the group %s after this was planned, so you can't decide on it. Ask anew, or let another person approve.", w.Group)
	case approvals.SelfApproval:
		return "You asked for this yourself: a second person must approve it."
	case approvals.DoubleVote:
		return "You have approved this already: another person must approve it too."
	case approvals.NotOpen:
		return fmt.Sprintf("This request is %s by now.", w.State)
	case approvals.PastExpiry:
		return "The time for this request is over. Ask again with /killswitch."
	case approvals.OtherCall:
		return "This button belongs to another version of the request. Look at the newest card and click there."
	case approvals.NotTheirs:
		return "Only the person who asked can cancel. You can deny it instead."
	case approvals.TooFewEligible:
		if w.Person != "" {
			return fmt.Sprintf("It needs %s, and the group %s has %d beside the requester and %s, whose own principal it is. Add a person to that group; or where %s can be trusted, let them ask for it and approve it yourself; or set break_glass: true for this action (policy.actions), where it can be: then who asks may act alone.",
				plural(w.Need, "approval", "approvals"), w.Group, w.Have, w.Person, w.Person)
		}
		return fmt.Sprintf("It needs %s, and the group %s has %d beside the requester.", plural(w.Need, "approval", "approvals"), w.Group, w.Have)
	case approvals.Withdrawn:
		return "Somebody denied or cancelled this after it ran: it is not tried again. Ask again with /killswitch."
	case approvals.NotGranted:
		return fmt.Sprintf("The webhook may not ask for this: webhooks[].actions in the configuration lists what %s may.", w.Person)
	case approvals.KeyOwner:
		return "You hold the key of the webhook that asked for this: others approve it."
	case approvals.OwnPrincipal:
		return "This is about your own principal: others decide on it."
	case approvals.Overruled:
		return "You denied this before, and it is asked for again: others decide on it now."
	case approvals.NotSigned:
		return "One approval must come from the command line: killswitch approve, with this request's ID. A click is not enough."
	case approvals.SelfReview:
		return "You asked for this yourself: another responder looks at it."
	case approvals.NoSigner:
		return fmt.Sprintf("One approval must come from the command line, and nobody of the group %s who may approve has an AWS identity (people[].iam).", w.Group)
	case approvals.RetryOver:
		return "The time to retry is over. Ask again with /killswitch."
	}
	return "It is not allowed (" + string(w.Code) + ")."
}

// whyNotThem says it in the channel, where "you" would be anybody.
func whyNotThem(w actions.Violation) string {
	return strings.NewReplacer("You are", "The requester is", "You asked for this yourself", "It was asked for by the same person", "approve it yourself", "approve it", "You hold the key of the webhook that asked for this", "An approval came from somebody who holds the key of the webhook that asked", "This is about your own principal", "An approval came from the person whose own principal it is").Replace(whyNot(w))
}

// WhyNot explains a refusal to the person it concerns.
func WhyNot(no *actions.Refusal) string {
	var s []string
	for _, w := range no.Codes {
		s = append(s, whyNot(w))
	}
	return strings.TrimSpace(strings.Join(append(s, no.Reason), " "))
}

// Mistakes tells everything wrong with a typed line, and the line to send, or with Missing
// in it, an example.
func Mistakes(command, typed string, m *actions.ParseErrors) Message {
	rest, secret := actions.WithoutSecrets(typed)
	var b strings.Builder
	fmt.Fprintf(&b, "Nothing was done. %s wrong with:\n", plural(len(m.List), "thing is", "things are"))
	for _, x := range m.List {
		fmt.Fprintf(&b, "• *%s* %s", Untrusted(x.Field), Untrusted(x.Problem))
		if x.Hint != "" {
			fmt.Fprintf(&b, "\n    %s", Untrusted(x.Hint))
		}
		b.WriteByte('\n')
	}
	head, id, line := "*Send this instead:*", "corrected", m.Corrected
	if line == "" {
		head, id, line = fmt.Sprintf("*For example*, with what is missing in place of each %s:", actions.Missing), "example", m.Example
	}
	return Message{
		Text: "Nothing was done: " + entities(Untrusted(m.Error()).Plain(400)),
		Blocks: []slack.Block{
			section("mistakes", b.String()),
			slack.NewSectionBlock(plain(youSent(command, rest, secret)), nil, nil),
			section("send", head),
			verbatim(id, Untrusted(command+" "+line).Plain(1500)),
			FormButtonBlock(rest),
		},
	}
}

// youSent repeats the rest of a line, and says if what may be a secret access key was in it.
func youSent(command, rest string, secret bool) string {
	text := "You sent: " + Untrusted(command+" "+rest).Plain(1500)
	if secret {
		text += " (what may be a secret key is not repeated; rotate it: Slack has it now)"
	}
	return text
}

// SlackTrouble says what a failure of Slack means for people.
func SlackTrouble(err error) string {
	var limited *slack.RateLimitedError
	var answer slack.SlackErrorResponse
	switch {
	case errors.As(err, &limited):
		return "Slack asks us to wait " + limited.RetryAfter.String()
	case errors.As(err, &answer):
		switch answer.Err {
		case "not_in_channel", "channel_not_found", "is_archived":
			return "the bot is not in the incident channel: invite it with /invite"
		case "missing_scope":
			return "the Slack app lacks the scope " + answer.Needed
		case "invalid_auth", "account_inactive", "token_revoked", "not_authed":
			return "the bot's Slack token is not valid"
		}
		return "Slack says " + answer.Err
	case errors.Is(err, context.DeadlineExceeded):
		return "Slack did not answer in time"
	}
	return "Slack can't be reached"
}

// verbHelp explains the verbs about requests, and the words of targets.
var verbHelp = map[string]string{
	"list":    "*list*: what is open, and what is in force and can be undone.",
	"show":    "*show ID*: a request's card with its plan, to read.",
	"audit":   "*audit ID*: what happened to a request, from its record, and whether the record agrees with itself.",
	"approve": "*approve ID*: brings the card to the end of the channel. The vote is a click on it: only the card carries what is approved.",
	"deny":    "*deny ID reason*: the request never runs. It counts at once. Of what has failed it ends the retries.",
	"cancel":  "*cancel ID*: as deny, by who asked for it.",
	"undo":    "*undo ID reason*: asks to take a containment back; another person approves. Credentials that an attacker may have stay inactive; undo ID keys=reactivate gives them back, too.",
}

// forms says how targets are written.
const forms = "*TARGET*: an ARN, which has the account; ACCOUNT/NAME, as prod/app-role; ACCOUNT/ALL, every role of an account; an account's ID or alias; i-… with account= and region=; AKIA…\n"

// Help explains the command, one action or one verb. Of what is neither it explains the
// nearest action.
func Help(catalog actions.Catalog, command, topic string) Message {
	if text, ok := verbHelp[topic]; ok {
		return note("%s", text)
	}
	a, ok := catalog.Lookup(actions.Name(topic))
	if !ok && topic != "" {
		a, ok = catalog.Lookup(catalog.Suggest(topic))
	}
	if ok {
		s := a.Spec()
		var keys []string
		for _, k := range slices.Concat(s.Target.Options, s.Options) {
			value := "…"
			if of := s.Values[k]; len(of) > 0 {
				value = strings.Join(of, "|")
			}
			keys = append(keys, k+"="+value)
		}
		text := fmt.Sprintf("*%s*: %s.\n*TARGET* %s\n*Keys* %s, and reason=\"…\", which is needed\n*Example*", s.Name, s.Summary, s.Target.Forms, strings.Join(keys, ", "))
		return Message{Text: string(s.Name) + ": " + s.Summary, Blocks: []slack.Block{
			section("help", text), slack.NewSectionBlock(plain(command+" "+s.Usage), nil, nil)}}
	}
	var b strings.Builder
	b.WriteString("*Contain:* ACTION TARGET reason=\"…\" — a card asks a second responder; nothing happens before. " + command + " alone opens a form for it.\n" + forms)
	for _, a := range catalog {
		fmt.Fprintf(&b, "• *%s* %s\n", a.Spec().Name, a.Spec().Summary)
	}
	b.WriteString("*From an alert:* the red buttons on its card ask for what fits, with everything filled in; a second responder approves, unless the card says that one click runs it.\n")
	b.WriteString("*Look:* list · show ID · audit ID · help ACTION, with each of its keys\n*Decide:* approve ID (brings the card) · deny ID reason · cancel ID\n*Take back:* undo ID reason")
	return Message{Text: "How to use " + command, Blocks: []slack.Block{section("help", b.String())}}
}
