package bot

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// loudAgain is how long after the last loud word an update is told loudly again.
const loudAgain = 24 * time.Hour

// addReport adds the report of a finding to an alert, and the reply that is due. It
// returns false if the report says nothing new.
func (b *Bot) addReport(row *alerts.Alert, f finding.Finding, event string) bool {
	before := slices.Clone(row.Reports)
	if row.AddReport(alerts.NewReport(f, event, b.Now().UTC())) {
		b.announce(row, f, before)
		return true
	}
	counted := !slices.ContainsFunc(row.Reports, func(r alerts.Report) bool { return r.Finding.Same(f) })
	if !counted || f.Over || !b.longAgo(row) || !f.Updated.After(row.Loud) {
		return false
	}
	b.announceJoined(row, f, true)
	return true
}

// join is addReport for a new finding of the same actor. It is told aloud if it is of another source or
// a severe one of another type, if a key is out or one of our own roles was used, or if it was seen
// after the containment; the rest is on the card.
func (b *Bot) join(row *alerts.Alert, f finding.Finding, event string, after bool) {
	source := hasReportOf(row.Reports, f.Source)
	another := row.Join(alerts.NewReport(f, event, b.Now().UTC()))
	b.announceJoined(row, f, after || !source || another && f.Severity >= finding.High || f.Exposed || f.OwnRole != "")
}

// longAgo reports whether the channel was last told of an alert so long ago that news are told aloud.
func (b *Bot) longAgo(row *alerts.Alert) bool {
	last := row.Loud
	if row.At.After(last) {
		last = row.At
	}
	return !last.IsZero() && b.Now().Sub(last) >= loudAgain
}

// revise marks a change of an alert by a finding, which is told aloud if the severity rose, or if loud is
// set: then an acknowledged or snoozed alert is open again, and has a card. It returns false if there is
// no card yet, which will show all of it.
func (b *Bot) revise(row *alerts.Alert, f finding.Finding, loud bool) (rose, reopened, posted bool) {
	row.Activity, row.Trace = row.Activity || wantsActivity(f), row.Trace || wantsActivity(f)
	row.Revise()
	now := row.Shown()
	if rose = now.Severity > row.Announced && finding.Level(now.Severity) != finding.Level(row.Announced); rose {
		row.Announced = now.Severity
	}
	if rose || loud {
		row.Loud, row.PostAt = b.Now().UTC(), time.Time{}
		if reopened = row.State == alerts.Acknowledged; reopened || row.State == alerts.Snoozed {
			row.State, row.By, row.At, row.Until = alerts.Open, approvals.Actor{}, time.Time{}, time.Time{}
		}
		if row.Card.TS == "" && now.Severity >= finding.High {
			row.DigestID = ""
		}
	}
	return rose, reopened, row.Card.TS != ""
}

// announce adds the reply that is due after a change of an alert's reports. It joins an earlier one that
// is not posted yet. It is broadcast if the severity rose, if another source tells of what somebody has
// acknowledged, or long after the channel was last told. Snoozed alerts and false positives get a reply
// only if the severity rose.
func (b *Bot) announce(row *alerts.Alert, f finding.Finding, before []alerts.Report) {
	quiet := row.State == alerts.Snoozed || row.State == alerts.FalsePositive
	another := !hasReportOf(before, f.Source)
	loud := !quiet && !f.Over && (b.longAgo(row) || another && row.State == alerts.Acknowledged)
	rose, reopened, posted := b.revise(row, f, loud)
	if loud = loud || rose; !posted || quiet && !loud {
		return
	}
	news := alerts.PendingReply{Key: fmt.Sprintf("update-%d", row.Revision), Broadcast: loud, Call: loud, Reopened: reopened, Before: before}
	if old, ok := lastPending(row); ok && len(old.Before) > 0 {
		news.Before, news.Broadcast, news.Reopened = old.Before, loud || old.Broadcast, reopened || old.Reopened
		news.Call = news.Broadcast
		row.Pending = row.Pending[:len(row.Pending)-1]
	}
	if news.Text = cards.Changes(news.Before, row.Reports, news.Reopened); news.Text != "" {
		row.Pending = append(row.Pending, news)
	}
}

// maxJoinedText bounds one reply about what joined; more of it are replies of their own.
const maxJoinedText = 1500

// announceJoined adds the reply about a finding that joined. It mentions people unless they are called
// already.
func (b *Bot) announceJoined(row *alerts.Alert, f finding.Finding, loud bool) {
	called := !row.Called.IsZero() && row.State == alerts.Open
	rose, reopened, posted := b.revise(row, f, loud)
	if !posted || !loud && !rose {
		return
	}
	news := alerts.PendingReply{Key: fmt.Sprintf("joined-%d", row.Revision), Broadcast: true, Call: rose || reopened || !called, Reopened: reopened, Text: cards.Joined(f, rose, reopened)}
	if old, ok := lastPending(row); ok && len(old.Before) == 0 && strings.HasPrefix(old.Key, "joined-") && len(old.Text)+len(news.Text) < maxJoinedText {
		news.Text, news.Call = old.Text+"\n"+news.Text, news.Call || old.Call
		row.Pending = row.Pending[:len(row.Pending)-1]
	}
	row.Pending = append(row.Pending, news)
}

// lastPending is an alert's last reply, if nobody has begun to post it.
func lastPending(row *alerts.Alert) (alerts.PendingReply, bool) {
	if len(row.Pending) == 0 {
		return alerts.PendingReply{}, false
	}
	last := row.Pending[len(row.Pending)-1]
	_, begun := row.Card.Replies[last.Key]
	return last, !begun
}
