package bot

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// high is the severity from which an alert leaves a digest for a card of its own.
const high = 7

// reported makes the report of a finding.
func reported(f finding.Finding, event string, now time.Time) alerts.Report {
	return alerts.Report{Finding: f, Event: event, Received: now, Severity: f.Severity, Count: f.Count, First: f.First.UTC(), Last: f.Last.UTC()}
}

// take puts a report into an alert's row. It reports whether that changed anything.
func (b *Bot) take(row *alerts.Alert, a finding.Finding, event string) bool {
	in := reported(a, event, b.Now().UTC())
	before := slices.Clone(row.Reports)
	i := slices.IndexFunc(row.Reports, func(r alerts.Report) bool { return r.Finding.Same(a) })
	if i < 0 {
		row.Reports = append(row.Reports, in)
	} else {
		merged, changed := merge(row.Reports[i], in)
		if !changed {
			return false
		}
		row.Reports[i] = merged
	}
	slices.SortStableFunc(row.Reports, better)
	for _, name := range a.Names {
		if !slices.Contains(row.Names, name) {
			row.Names = append(row.Names, name)
		}
	}
	row.Over = row.Reports[0].Finding.Over // what is over comes last
	row.Activity = row.Activity || wantsActivity(a)
	row.Revise()
	b.tell(row, before)
	return true
}

// merge is what a source said last. The latest report counts, in whatever order
// they come, and the most that any of them said.
func merge(old, in alerts.Report) (out alerts.Report, changed bool) {
	out = old
	if newer(old, in) {
		out, changed = in, true
	}
	out.Severity, out.Count = max(old.Severity, in.Severity), max(old.Count, in.Count)
	out.First, out.Last = earliest(old.First, in.First), latest(old.Last, in.Last)
	changed = changed || out.Severity != old.Severity || out.Count != old.Count || !out.First.Equal(old.First) || !out.Last.Equal(old.Last)
	return out, changed
}

// newer reports whether a report takes another's place. One that says the same in
// another envelope does not; of two of the same time the one that says more does.
func newer(old, in alerts.Report) bool {
	if f := future(old); f != future(in) {
		return f // else an event of the year 9999 would make all that follows it late
	}
	if c := in.Finding.Updated.Compare(old.Finding.Updated); c < 0 {
		return false
	} else if c > 0 {
		return true
	}
	was, is := textOf(old.Finding), textOf(in.Finding)
	return cmp.Or(cmp.Compare(len(is), len(was)), bytes.Compare(is, was)) > 0
}

// textOf is everything that a finding says, without the ID of its envelope.
func textOf(f finding.Finding) []byte {
	f.EventID = ""
	text, err := json.Marshal(f)
	if err != nil {
		panic(err) // it is of our own types
	}
	return text
}

// clocksApart is how far the sources' clocks may be ahead of ours.
const clocksApart = 5 * time.Minute

// future reports whether a report says that it was made after it came.
func future(r alerts.Report) bool { return r.Finding.Updated.After(r.Received.Add(clocksApart)) }

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// better orders reports: the first is shown. What is over comes last, Security
// Hub's copy of a finding after the finding, then the most severe first.
func better(a, b alerts.Report) int {
	last := func(yes bool) int {
		if yes {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(last(a.Finding.Over), last(b.Finding.Over)),
		cmp.Compare(last(a.Finding.Source == finding.SecurityHub), last(b.Finding.Source == finding.SecurityHub)),
		cmp.Compare(b.Severity, a.Severity),
		strings.Compare(string(a.Finding.Source)+a.Finding.Own(), string(b.Finding.Source)+b.Finding.Own()),
	)
}

// shown is the alert that the card shows: the first report, with the most that
// any of those says that are not over.
func shown(reports []alerts.Report) finding.Finding {
	a := reports[0].Finding
	for _, r := range reports {
		if r.Finding.Over == reports[0].Finding.Over {
			a.Severity, a.Count = max(a.Severity, r.Severity), max(a.Count, r.Count)
			a.First, a.Last = earliest(a.First, r.First), latest(a.Last, r.Last)
		}
	}
	return a
}

// tell notes the reply that is due for a change of an alert's reports: one, however
// many changes it tells of. It is loud if the severity rose; otherwise nobody is
// told of what is snoozed or a false positive.
func (b *Bot) tell(row *alerts.Alert, before []alerts.Report) {
	now := shown(row.Reports)
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
	if news.Text = cards.Changes(news.Since, row.Reports, shown(news.Since), shown(row.Reports)); news.Text != "" {
		row.News = append(row.News, news)
	}
}
