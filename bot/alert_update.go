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

// addReport adds the report of a finding to an alert, and the reply that is due. It
// returns false if the report says nothing new.
func (b *Bot) addReport(row *alerts.Alert, f finding.Finding, event string) bool {
	before := slices.Clone(row.Reports)
	if !row.AddReport(alerts.NewReport(f, event, b.Now().UTC())) {
		return false
	}
	row.Activity = row.Activity || wantsActivity(f)
	row.Revise()
	addUpdate(row, before)
	return true
}

// addUpdate adds the reply that is due after a change of an alert's reports. It joins
// an earlier one that is not posted yet. If the severity rose, the reply is broadcast;
// otherwise snoozed alerts and false positives get none.
func addUpdate(row *alerts.Alert, before []alerts.Report) {
	now := alerts.Shown(row.Reports)
	rose := now.Severity > row.Announced && finding.Level(now.Severity) != finding.Level(row.Announced)
	if rose {
		row.Announced = now.Severity
	}
	if row.Card.TS == "" { // the card will show all of it
		if rose && now.Severity >= finding.High {
			row.DigestID = ""
		}
		return
	}
	if !rose && (row.State == alerts.Snoozed || row.State == alerts.FalsePositive) {
		return
	}
	if row.State == alerts.Snoozed {
		row.State, row.By, row.At, row.Until = alerts.Open, approvals.Actor{}, time.Time{}, time.Time{}
	}
	news := alerts.PendingReply{Key: fmt.Sprintf("update-%d", row.Revision), Broadcast: rose, Call: rose, Before: before}
	if last := len(row.Pending) - 1; last >= 0 && len(row.Pending[last].Before) > 0 {
		if _, begun := row.Card.Replies[row.Pending[last].Key]; !begun {
			news.Before, news.Broadcast = row.Pending[last].Before, rose || row.Pending[last].Broadcast
			news.Call = news.Broadcast
			row.Pending = row.Pending[:last]
		}
	}
	if news.Text = cards.Changes(news.Before, row.Reports); news.Text != "" {
		row.Pending = append(row.Pending, news)
	}
}
