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

// high is the severity from which an alert leaves a digest for a card of its own.
const high = 7

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

// tell notes the reply that is due for a change of an alert's reports: one, however
// many changes it tells of. It is loud if the severity rose; otherwise nobody is
// told of what is snoozed or a false positive.
func addUpdate(row *alerts.Alert, before []alerts.Report) {
	now := alerts.Shown(row.Reports)
	rose := now.Severity > row.Told && finding.Level(now.Severity) != finding.Level(row.Told)
	if rose {
		row.Told = now.Severity
	}
	if row.Card.TS == "" { // the card will show all of it
		if rose && now.Severity >= high {
			row.Digest = ""
		}
		return
	}
	if !rose && (row.State == alerts.Snoozed || row.State == alerts.FalsePositive) {
		return
	}
	if row.State == alerts.Snoozed {
		row.State, row.By, row.At, row.Until = alerts.Open, approvals.Actor{}, time.Time{}, time.Time{}
	}
	news := alerts.News{Key: fmt.Sprintf("update-%d", row.Revision), Loud: rose, Since: before}
	if last := len(row.News) - 1; last >= 0 && len(row.News[last].Since) > 0 {
		if _, begun := row.Card.Replies[row.News[last].Key]; !begun {
			news.Since, news.Loud = row.News[last].Since, rose || row.News[last].Loud
			row.News = row.News[:last]
		}
	}
	if news.Text = cards.Changes(news.Since, row.Reports, alerts.Shown(news.Since), alerts.Shown(row.Reports)); news.Text != "" {
		row.News = append(row.News, news)
	}
}
