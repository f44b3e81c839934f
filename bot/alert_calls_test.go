package bot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// calling makes the first route call somebody.
func calling(from float64, names ...string) func(*desk) {
	return func(d *desk) {
		d.Findings.Routing.Routes[0].Call, d.Findings.Routing.Routes[0].CallFrom = names, from
	}
}

// posted are the messages that notify whoever they mention: what was posted, as it was posted.
func (d *desk) posted() (texts []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.posts {
		if m.Channel == sec && (m.ThreadTS == "" || m.Broadcast) {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// TestAlertCallsWhomItsRouteNames: the first post mentions them, on the card too.
func TestAlertCallsWhomItsRouteNames(t *testing.T) {
	mark := func(m finding.Mark) func(*finding.Finding) { return func(f *finding.Finding) { f.Mark = m } }
	usergroup := func(d *desk) { d.Usergroups = map[string]string{"responders": "S0RESPONDERS"} }
	for name, c := range map[string]struct {
		call  []string
		alter func(*desk)
		f     finding.Finding
		want  string
	}{
		"group":                 {[]string{"responders"}, nil, gdFinding(1, severe(7)), "<@" + ana.Slack + ">, <@" + ben.Slack + ">"},
		"user group":            {[]string{"responders"}, usergroup, gdFinding(1, severe(7)), "<!subteam^S0RESPONDERS>"},
		"person and here":       {[]string{"ben", "here"}, nil, gdFinding(1, severe(8)), "<@" + ben.Slack + ">, <!here>"},
		"person of the group":   {[]string{"ben", "responders"}, nil, gdFinding(1, severe(8)), "<@" + ben.Slack + ">, <@" + ana.Slack + ">"},
		"drill":                 {[]string{"ben"}, nil, gdFinding(1, severe(8), mark(finding.Drill)), "<@" + ben.Slack + ">"},
		"not severe enough":     {[]string{"responders"}, nil, gdFinding(1, severe(6.9)), ""},
		"nobody":                {nil, nil, gdFinding(1, severe(9)), ""},
		"sample":                {[]string{"responders"}, nil, gdFinding(1, severe(9), mark(finding.Sample)), ""},
		"person who is no more": {[]string{"zoe"}, nil, gdFinding(1, severe(9)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.hears(c.f)
				texts := d.posted()
				if len(texts) != 1 {
					t.Fatalf("posted: %q", texts)
				}
				text, _ := strings.CutSuffix(texts[0], " · "+d.row(c.f).ID)
				_, who, _ := strings.Cut(text, " · for ")
				card := d.cards(sec)[0]
				if who != c.want || strings.Contains(string(card.Blocks), "Called: ") != (c.want != "") || text == texts[0] {
					t.Errorf("posted %q, want for %q", texts[0], c.want)
				}
			}, calling(7, c.call...), func(d *desk) {
				if c.alter != nil {
					c.alter(d)
				}
			})
		})
	}
}

// TestAlertThatRisesCalls: what becomes severe calls by a new post.
func TestAlertThatRisesCalls(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1, severe(5)))
		d.pass(time.Minute)
		d.hears(gdFinding(1, severe(8), later(3)))
		texts := d.posted()
		if len(texts) != 2 || strings.Contains(texts[0], "<@") || !strings.HasPrefix(texts[1], "<@"+ben.Slack+"> *Update*: *severity rose") {
			t.Errorf("posted: %q", texts)
		}
	}, calling(7, "ben"))
}

// stillOpen are the posts that call again.
func stillOpen(d *desk) []string {
	return slices.DeleteFunc(d.posted(), func(s string) bool { return !strings.Contains(s, "*Still open*") })
}

// TestCriticalAlertCallsAgain: until somebody says something, and not for what is less than critical.
func TestCriticalAlertCallsAgain(t *testing.T) {
	says := func(button string) func(t *testing.T, d *desk) {
		return func(_ *testing.T, d *desk) { d.clicks(ben.Slack, d.row(gdFinding(1)), button) }
	}
	for name, c := range map[string]struct {
		severity float64
		by       func(t *testing.T, d *desk)
		want     int // in a day
	}{
		"nobody":            {9, nil, 5},
		"high":              {8.9, nil, 0},
		"acknowledged":      {9, says("ack"), 1},
		"false positive":    {9, says("false_positive"), 1},
		"containment begun": {9, says("propose:revoke_sessions"), 6}, // which expires: then all begins anew
		"over": {9, func(_ *testing.T, d *desk) {
			d.hears(gdFinding(1, severe(9), later(9), func(f *finding.Finding) { f.Over = true }))
		}, 1},
		"snoozed for an hour": {9, says("snooze"), 6}, // at its end all begins anew
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.hears(gdFinding(1, severe(c.severity)))
				if d.pass(4 * time.Minute); len(stillOpen(d)) != 0 {
					t.Errorf("too early: %q", stillOpen(d))
				}
				d.pass(3 * time.Minute)
				if c.by != nil {
					c.by(t, d)
				}
				d.pass(25 * time.Hour)
				got := stillOpen(d)
				if len(got) != c.want {
					t.Errorf("%d calls: %q", len(got), got)
				}
				for _, s := range got {
					if !strings.HasPrefix(s, "<@"+ben.Slack+"> *Still open*: nobody has acknowledged it in ") {
						t.Errorf("called by %q", s)
					}
				}
				if row := d.row(gdFinding(1)); row.Unanswered() {
					t.Error("the sweep still reads it")
				}
			}, calling(7, "ben"))
		})
	}
}

// TestManyCriticalAlertsCallTogether: in a flood a few call again, and count the others; none
// of a digest is forgotten.
func TestManyCriticalAlertsCallTogether(t *testing.T) {
	const n = 80
	atDesk(t, func(t *testing.T, d *desk) {
		var all []any
		for i := range n {
			all = append(all, gdFinding(i, severe(9)))
		}
		d.hears(all...)
		d.pass(8 * time.Minute)
		if got := stillOpen(d); len(got) < maxCalls || len(got) > maxCalls+1 || !strings.Contains(got[len(got)-1], " more critical alerts are waiting.") {
			t.Errorf("%d calls: %q", len(got), got)
		}
		d.pass(6 * time.Minute)
		if got := stillOpen(d); len(got) < 2*maxCalls || len(got) > 2*maxCalls+1 {
			t.Errorf("%d calls: %q", len(got), got)
		}
		d.pass(150 * time.Minute)
		said := strings.Join(d.posted(), "\n") // one of a digest is called for by its own card
		for i := range n {
			if f := gdFinding(i); !strings.Contains(said, f.Principal) {
				t.Errorf("%s is forgotten", f.Principal)
			}
		}
	}, calling(7, "ben"))
}

// TestCallIsFoundAgain: a bot that died after it had called doesn't call again, though
// whom it calls has changed.
func TestCallIsFoundAgain(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1, severe(9)))
		d.pass(7 * time.Minute)
		_, err := d.alerts().Change(t.Context(), d.row(gdFinding(1)).ID, func(a *alerts.Alert) error {
			a.Card.Replies = map[string]string{"call-1": ""} // posted, and not recorded
			a.Pending = append(a.Pending, alerts.PendingReply{Key: "call-1", Text: strings.TrimPrefix(stillOpen(d)[0], "<@"+ben.Slack+"> "), Broadcast: true, Call: true})
			a.Revise()
			return nil
		})
		d.must(err)
		d.Findings.Routing.Routes[0].Call = []string{"ana"}
		d.pass(2 * time.Minute)
		if got := stillOpen(d); len(got) != 1 {
			t.Errorf("called again: %q", got)
		}
	}, calling(7, "ben"))
}

// TestUnansweredCriticalAlertIsPaged: the executor is asked to call the pager until it has, and
// not for what somebody has answered, or where there is no pager.
func TestUnansweredCriticalAlertIsPaged(t *testing.T) {
	for name, c := range map[string]struct {
		severity float64
		pager    time.Duration
		by       string
		want     bool
	}{
		"critical":     {9, 10 * time.Minute, "", true},
		"high":         {8.9, 10 * time.Minute, "", false},
		"no pager":     {9, 0, "", false},
		"acknowledged": {9, 10 * time.Minute, "ack", false},
		"later":        {9, time.Hour, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.hears(gdFinding(1, severe(c.severity)))
				if d.pass(9 * time.Minute); len(d.jobs.of(approvals.JobNotify)) != 0 {
					t.Error("too early")
				}
				id := d.row(gdFinding(1)).ID
				if c.by != "" {
					d.clicks(ben.Slack, d.row(gdFinding(1)), c.by)
				}
				d.pass(3 * time.Minute)
				if got := d.jobs.of(approvals.JobNotify); slices.Contains(got, id) != c.want {
					t.Errorf("paged: %q", got)
				}
				d.must(d.runs.Write(t.Context(), approvals.PutRow(approvals.PageKey(id), 0, approvals.Page{Sent: map[string]time.Time{fmt.Sprintf("critical-%d", d.row(gdFinding(1)).Called.Unix()): time.Now()}})))
				d.jobs.mu.Lock()
				d.jobs.jobs = nil
				d.jobs.mu.Unlock()
				if d.pass(2 * time.Hour); len(d.jobs.of(approvals.JobNotify)) != 0 {
					t.Error("paged again")
				}
			}, calling(7, "ben"), func(d *desk) { d.PagerAfter = c.pager })
		})
	}
}

// TestAlertThatOpensAgainCallsAgain: what was over and is seen again is called for anew.
func TestAlertThatOpensAgainCallsAgain(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1, severe(9)))
		d.pass(20 * time.Minute)
		d.hears(gdFinding(1, severe(9), later(20), func(f *finding.Finding) { f.Over = true }))
		if d.pass(2 * time.Hour); len(stillOpen(d)) != 2 {
			t.Errorf("while it is over: %q", stillOpen(d))
		}
		d.hears(gdFinding(1, severe(9), later(140)))
		d.pass(6 * time.Minute)
		if got := stillOpen(d); len(got) != 3 {
			t.Errorf("%d calls: %q", len(got), got)
		}
	}, calling(7, "ben"))
}
