package cards

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// lastReminder is how long before a request expires its approvers are called once more.
const lastReminder = 5 * time.Minute

// Reply is one message in a request's thread, posted once. It is found again by its
// text.
type Reply struct {
	Key string
	// Completes is the key of an earlier reply that this one is edited into.
	Completes string
	// Live is set for a message that is edited when what it shows changes.
	Live bool
	Message
}

// reminders are those that are due for a pending request by now: at half time, and shortly
// before the end; once, where they meet.
func reminders(r approvals.Request, now time.Time) (due []string) {
	half, last := r.Asked.Add(r.Expires.Sub(r.Asked)/2), r.Expires.Add(-lastReminder)
	if last.Before(half) {
		last = half
	}
	if !now.Before(half) && last.Sub(half) > lastReminder {
		due = append(due, "first")
	}
	if !now.Before(last) {
		due = append(due, "last")
	}
	return due
}

func reminderKey(reminder string) string { return "waiting-" + reminder }

// ReminderDue reports whether people are to be reminded of a pending request.
func ReminderDue(r approvals.Request, now time.Time) bool {
	return slices.ContainsFunc(reminders(r, now), func(n string) bool { return r.Card.Replies[reminderKey(n)] == "" })
}

// Replies are what a request's thread should hold by now.
func Replies(v View) []Reply {
	r := v.Request
	var rs []Reply
	say := func(key, format string, args ...any) {
		rs = append(rs, Reply{Key: key, Message: note("%s", r.ID+": "+fmt.Sprintf(format, args...))})
	}
	asker := asker(r)
	if nobody(r) {
		asker = "Asked for by " + asker + ":"
	}
	if v.Run != nil {
		for _, t := range v.Run.Told() {
			rs = append(rs, v.removals(t)...)
		}
	}
	if v.glass() != nil {
		rs = append(rs, v.brokeGlass())
	}
	switch r.State {
	case approvals.Pending:
		for _, n := range reminders(r, v.Now) {
			marker := fmt.Sprintf("(%s, %s reminder)", r.ID, n) // what is before it changes
			m := note("Still waiting: %s. %s left. %s", v.whoAsks(asker), span(r.Expires.Sub(v.Now)), marker)
			m.Broadcast, m.Marker, m.Rank = true, marker, CallRank
			rs = append(rs, Reply{Key: reminderKey(n), Message: m})
		}
	case approvals.Denied:
		say("denied", "denied%s. %s %s", v.denier(), asker, v.afterNo())
	case approvals.Expired:
		say("expired", "expired. %s nothing was changed; ask again if it is still needed.", asker)
	case approvals.Refused:
		say("refused", "refused. %s %s", asker, v.because())
	case approvals.Contained:
		say(v.outcomeKey("done-%d"), "%s%s. %s %s%s", r.State, v.but(), asker, v.readBack(), v.flags())
	case approvals.Restored:
		say(fmt.Sprintf("done-%d", v.attempt()), "%s. %s %s%s", r.State, asker, v.restored(), v.flags())
	case approvals.Partial, approvals.Failed:
		say(v.outcomeKey(fmt.Sprintf("%s-%%d-%d", r.State, r.Ended.Unix())), "%s%s. %s%s%s%s", v.alarm(), r.State, v.mention(), strings.Join(append([]string{asker}, v.voters()...), " "), " "+v.because(), v.flags())
		rs[len(rs)-1].Broadcast, rs[len(rs)-1].Rank = true, CallRank
	case approvals.Undone:
		say("undone", "undone by %s. %s %s", v.undoneBy(), asker, v.undone())
	case approvals.Planning, approvals.Approved, approvals.Running, approvals.Cancelled, approvals.Undoing:
	}
	if no, said := r.No(); no != nil && r.State == approvals.Partial {
		say("not-again", "%s by %s: it is not tried again. What holds stays. %s", said, mention(no.Slack), asker)
	}
	if r.Denial != nil && r.Denial.Reason != "" {
		say("denied-because", "denied because %s", Untrusted(r.Denial.Reason))
	}
	if v.Run != nil && v.Run.Outcome != "" {
		for i, text := range leftLists(v.Left) {
			say(fmt.Sprintf("left-%d-%d", v.attempt(), i), "%s", text)
		}
	}
	if v.Run != nil && (r.State == approvals.Contained || r.State == approvals.Partial) && !v.Run.WatchUntil.IsZero() {
		if v.Run.Unread != "" { // one an hour, however often it changes
			say(fmt.Sprintf("unread-%d", v.Run.UnreadSince.Unix()/3600), "it can't be read since %s: %s. It is looked at again. %s", clock(v.Run.UnreadSince), Untrusted(v.Run.Unread), asker)
		}
		if r.State == approvals.Contained && v.Run.Checks >= checkedTimes {
			say(fmt.Sprintf("checked-%d", v.attempt()), "checked again %s: it holds. %s", times(checkedTimes), v.watched())
		}
		if v.Run.NextCheck.IsZero() {
			rs = append(rs, Reply{Key: fmt.Sprintf("watch-%d", v.Run.WatchUntil.Unix()), Message: v.watchOver(asker)})
		}
	}
	if v.Report != nil {
		rs = append(rs, Reply{Key: "activity", Message: Activity(r.ID, *v.Report)})
	}
	if v.Trace != nil {
		rs = append(rs, TraceReplies(*v.Trace, r.Card.Replies)...)
	}
	if v.Planned != nil && r.State != approvals.Planning && r.State != approvals.Refused { // last: what happened goes first
		rs = append(rs, Reply{Key: "plan", Message: Message{Text: r.ID + ": the plan", Blocks: append([]slack.Block{section("plan", "*"+r.ID+": the plan*")}, v.plan()...), Rank: PlanRank}})
	}
	return rs
}

// checkedTimes is how many good looks it takes until the thread says that it holds.
const checkedTimes = 3

// watchOver says that nobody looks any more. Its button is evidence, so that it shows the call
// as the card does.
func (v View) watchOver(asker string) Message {
	r := v.Request
	text := fmt.Sprintf("%s: %s %s What holds stays, but what somebody removes is not seen.", r.ID, asker, v.watched())
	return Message{Text: text, Blocks: []slack.Block{
		section("state", text),
		verbatim(approvals.CallBlock, Untrusted(r.Intent.String()).Plain(maxText)),
		verbatim(approvals.ReasonBlock, Untrusted(approvals.ReasonLine(r.Requester.Person, r.Reason)).Plain(maxText)),
		slack.NewActionBlock("actions", v.button("watch", "Watch on")),
	}}
}

// brokeGlass calls all who may approve to look at what one person did alone. Its buttons are evidence, so
// that it shows the call as the card does. Once somebody has looked, the first is gone.
func (v View) brokeGlass() Reply {
	r, key, by := v.Request, "broke-glass", v.glass().Reviewed
	text := fmt.Sprintf("%s: %s: %s Look at it, and undo it if it was wrong.", r.ID, v.approvers(), v.alone())
	buttons := []slack.BlockElement{v.button(approvals.ReviewedButton, "Reviewed"), v.undoButton()}
	reply := Reply{Key: key}
	if by != nil {
		text = fmt.Sprintf("%s: %s Reviewed by %s.", r.ID, v.alone(), mention(by.Slack))
		buttons, reply.Key, reply.Completes = buttons[1:], key+"-reviewed", key
	}
	reply.Message = Message{Text: text + " (" + r.ID + ", break-glass)", Marker: "(" + r.ID + ", break-glass)", Broadcast: true, Rank: CallRank, Blocks: []slack.Block{
		section("state", text),
		verbatim(approvals.CallBlock, Untrusted(r.Intent.String()).Plain(maxText)),
		verbatim(approvals.ReasonBlock, Untrusted(approvals.ReasonLine(r.Requester.Person, r.Reason)).Plain(maxText)),
		slack.NewActionBlock("actions", buttons...),
	}}
	return reply
}

// outcomeKey is the key of a reply about an attempt's outcome. It is another one each time that
// people are to be told that a containment no longer held.
func (v View) outcomeKey(format string) string {
	key := fmt.Sprintf(format, v.attempt())
	if v.Run != nil && !v.Run.LostTold.IsZero() {
		key += fmt.Sprintf("-lost-%d", v.Run.LostTold.Unix())
	}
	return key
}

// mention is @here where a containment stood that no longer does, and where nobody asked for
// what went wrong.
func (v View) mention() string {
	if v.Run != nil && !v.Run.LostTold.IsZero() || nobody(v.Request) {
		return "<!here> "
	}
	return ""
}

// voters mentions who approved.
func (v View) voters() []string {
	var who []string
	for _, vote := range v.Request.Votes {
		who = append(who, mention(vote.Slack))
	}
	return who
}

func (v View) attempt() int {
	if v.Run == nil {
		return 0
	}
	return v.Run.Attempt
}

// flags are what differed from the plan, in short.
func (v View) flags() string {
	const most = 3
	if v.Run == nil || len(v.Run.Flags) == 0 {
		return ""
	}
	var s strings.Builder
	for _, f := range v.Run.Flags[:min(most, len(v.Run.Flags))] {
		s.WriteString(" " + Untrusted(Untrusted(f).Plain(maxItem)).String())
	}
	if more := len(v.Run.Flags) - most; more > 0 {
		fmt.Fprintf(&s, " And %d more.", more)
	}
	return s.String()
}
