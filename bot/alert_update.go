package bot

import (
	"fmt"
	"slices"
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
	if !row.AddReport(alerts.NewReport(f, event, b.Now().UTC())) {
		return false
	}
	b.tell(row, f, before, false)
	return true
}

// join is addReport for a new finding of the same actor.
func (b *Bot) join(row *alerts.Alert, f finding.Finding, event string) {
	before := slices.Clone(row.Reports)
	row.Join(alerts.NewReport(f, event, b.Now().UTC()))
	b.tell(row, f, before, true)
}

// tell adds the reply that is due after a change of an alert's reports. It joins an earlier
// one that is not posted yet. It is broadcast if the severity rose, if another source tells of
// what somebody has acknowledged, or a day after the channel was last told; then an
// acknowledged alert is open again. Snoozed alerts and false positives get a reply only if the
// severity rose. What joins by its actor is on the card: it gets one only if it is loud.
func (b *Bot) tell(row *alerts.Alert, f finding.Finding, before []alerts.Report, joined bool) {
	row.Activity = row.Activity || wantsActivity(f)
	row.Revise()
	now := row.Shown()
	rose := now.Severity > row.Announced && finding.Level(now.Severity) != finding.Level(row.Announced)
	if rose {
		row.Announced = now.Severity
	}
	loud := rose
	if row.State == alerts.Open || row.State == alerts.Acknowledged {
		last := row.Loud
		if row.At.After(last) {
			last = row.At
		}
		old := !last.IsZero() && b.Now().Sub(last) >= loudAgain
		another := !slices.ContainsFunc(before, func(r alerts.Report) bool { return r.Finding.Source == f.Source })
		loud = rose || !f.Over && (old || another && (joined || row.State == alerts.Acknowledged))
	}
	reopened := loud && row.State == alerts.Acknowledged
	if loud {
		row.Loud = b.Now().UTC()
	}
	if reopened || row.State == alerts.Snoozed && rose {
		row.State, row.By, row.At, row.Until = alerts.Open, approvals.Actor{}, time.Time{}, time.Time{}
	}
	if row.Card.TS == "" { // the card will show all of it
		if loud && now.Severity >= finding.High {
			row.DigestID = ""
		}
		return
	}
	if !loud && (joined || row.State == alerts.Snoozed || row.State == alerts.FalsePositive) {
		return
	}
	news := alerts.PendingReply{Key: fmt.Sprintf("update-%d", row.Revision), Broadcast: loud, Call: loud, Reopened: reopened, Before: before}
	if last := len(row.Pending) - 1; last >= 0 && len(row.Pending[last].Before) > 0 {
		if _, begun := row.Card.Replies[row.Pending[last].Key]; !begun {
			old := row.Pending[last]
			news.Before, news.Broadcast, news.Reopened = old.Before, loud || old.Broadcast, reopened || old.Reopened
			news.Call = news.Broadcast
			row.Pending = row.Pending[:last]
		}
	}
	if news.Text = cards.Changes(news.Before, row.Reports, news.Reopened); news.Text != "" {
		row.Pending = append(row.Pending, news)
	}
}
