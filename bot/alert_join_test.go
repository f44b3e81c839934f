package bot

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

const dev = account + "/user/dev"

// called is a call that CloudTrail tells of, by an actor, some minutes after the first.
func called(n int, name string, severity float64, minute int, alter ...func(*finding.Finding)) finding.Finding {
	return gdFinding(n, append([]func(*finding.Finding){func(f *finding.Finding) {
		f.Source, f.Product, f.Type, f.Severity, f.Actors = finding.CloudTrail, "CloudTrail", name, severity, []string{dev}
		f.Title = fmt.Sprintf("User dev called %s, the %dth time", name, n)
		f.Last = f.First.Add(time.Duration(minute) * time.Minute)
		f.First, f.Updated = f.Last, f.Last
	}}, alter...)...)
}

func hearsCloudTrail(d *desk) {
	d.Findings.Routes = append(d.Findings.Routes, finding.Route{Match: finding.Match{Source: finding.CloudTrail}, Delivery: finding.Propose})
}

// TestOneActorIsOneCard: 85 calls of one actor within minutes are one card with their number, a list,
// the strongest one in front and the buttons of all that are kept; only what is worse is told aloud.
func TestOneActorIsOneCard(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		for i := range 85 {
			name, severity := fmt.Sprintf("Call%d", i%5), 5.0
			if i == 60 {
				name, severity = "StopLogging", 8
			}
			d.hears(called(i, name, severity, i/6))
			d.hears(called(i, name, severity, i/6)) // delivered again
		}
		d.pass(2 * time.Minute)
		cards := d.cards(sec)
		if len(cards) != 1 {
			t.Fatalf("%d cards", len(cards))
		}
		text := slackfake.Text(cards[0])
		for _, want := range []string{"High: User dev called StopLogging", "One actor 85 findings", "1 × User dev called StopLogging", "(high, 09:10)", "17 × User dev called Call4, the 84th time (medium, 09:14)", "Seen 85 times, 2026-11-21 09:00:00 to 09:14:00 UTC"} {
			if !strings.Contains(text, want) {
				t.Errorf("the card lacks %q:\n%s", want, text)
			}
		}
		if !strings.HasPrefix(cards[0].Text, "high: StopLogging") || !strings.Contains(cards[0].Text, "and 84 more of this actor") {
			t.Errorf("text %q", cards[0].Text)
		}
		row := d.row(called(0, "Call0", 5, 0))
		if n := len(encoded(row)); row.Joined() != 85 || n > 60_000 {
			t.Errorf("%d joined, in a row of %d bytes", row.Joined(), n)
		}
		replies := d.replies(row)
		if len(replies) != 1 || !replies[0].Broadcast || !strings.Contains(replies[0].Text, "severity rose from medium to high") || !strings.Contains(replies[0].Text, "now User dev called StopLogging") {
			t.Errorf("replies %+v", replies)
		}
		if n := strings.Count(text, "revoke_sessions arn:"); n != 8 {
			t.Errorf("%d calls are offered", n)
		}
		d.clicks(ana.Slack, row, "propose:revoke_sessions:5") // of a weaker one
		d.pass(10 * time.Second)
		if row = d.row(called(0, "Call0", 5, 0)); len(row.Requests) != 1 {
			t.Fatalf("%d requests; ana was told %q", len(row.Requests), d.told(ana.Slack))
		}
		if r := d.request(row.Requests[0].Request); r.Event == row.Reports[0].Event || r.Intent.Call.Action != actions.RevokeSessions {
			t.Errorf("the request is about the strongest one: %+v", r)
		}
	}, hearsCloudTrail)
}

// TestWhatDoesNotJoin: another actor, later, elsewhere, or what somebody called a false positive.
func TestWhatDoesNotJoin(t *testing.T) {
	for name, tt := range map[string]struct {
		second finding.Finding
		first  func(*desk)
		joins  bool
	}{
		"the same actor":       {second: called(1, "B", 5, 10), joins: true},
		"an hour later":        {second: called(1, "B", 5, 60), joins: true},
		"seen later":           {second: called(1, "B", 5, 61)},
		"seen long before":     {second: called(1, "B", 5, -61)},
		"came later":           {second: called(1, "B", 5, 10), first: func(d *desk) { d.pass(61 * time.Minute) }},
		"another actor":        {second: called(1, "B", 5, 10, func(f *finding.Finding) { f.Actors = []string{account + "/user/ops"} })},
		"no actor":             {second: called(1, "B", 5, 10, func(f *finding.Finding) { f.Actors = nil })},
		"a drill":              {second: called(1, "B", 5, 10, func(f *finding.Finding) { f.Actors = []string{"drill/x/" + dev} })},
		"by its key":           {second: called(1, "B", 5, 10, func(f *finding.Finding) { f.Actors = []string{account + "/key/AKIA", dev} }), joins: true},
		"of another source":    {second: gdFinding(1, func(f *finding.Finding) { f.Actors = []string{dev} }), joins: true},
		"in another channel":   {second: called(1, "Elsewhere", 5, 10)},
		"after a false alarm":  {second: called(1, "B", 5, 10), first: func(d *desk) { d.clicks(ana.Slack, d.row(called(0, "A", 5, 0)), "false_positive") }},
		"after it was settled": {second: called(1, "B", 5, 10), first: func(d *desk) { d.hears(called(0, "A", 5, 1, func(f *finding.Finding) { f.Over = true })) }},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.hears(called(0, "A", 5, 0))
				if tt.first != nil {
					tt.first(d)
				}
				d.hears(tt.second)
				d.pass(time.Minute)
				_, err := d.alerts().Get(t.Context(), approvals.AlertID(tt.second.Own()))
				if joined := errors.Is(err, approvals.ErrNotFound); joined != tt.joins {
					t.Errorf("joined: %v", joined)
				}
				if id, err := d.alerts().Named(t.Context(), tt.second.Own()); err != nil || tt.joins != (id == d.row(called(0, "A", 5, 0)).ID) {
					t.Errorf("its name leads to %s, %v", id, err)
				}
			}, func(d *desk) {
				d.Findings.Routes = append([]finding.Route{{Match: finding.Match{Source: finding.CloudTrail, Type: "Elsewhere"}, Delivery: finding.Propose, Channel: "C0OTHER"}}, d.Findings.Routes...)
			}, hearsCloudTrail)
		})
	}
}

// TestActorsAtOnce: of many workers that hear of one actor, one makes the alert; none is lost or counted twice.
func TestActorsAtOnce(t *testing.T) {
	const n = 40
	atDesk(t, func(t *testing.T, d *desk) {
		done := make(chan error, 2*n)
		for i := range 2 * n {
			go func() { done <- d.HandleEvent(t.Context(), body(called(i%n, "A", 5, 0))) }()
		}
		for range 2 * n {
			d.must(<-done)
		}
		d.pass(time.Minute)
		cards := d.cards(sec)
		if len(cards) != 1 || !strings.Contains(slackfake.Text(cards[0]), fmt.Sprintf("One actor %d findings", n)) {
			t.Errorf("%d cards: %v", len(cards), cards)
		}
	}, hearsCloudTrail)
}

// TestAcknowledgedOpensAgain: loudly for another source, for what is worse, and after a day; quietly
// for more of the same.
func TestAcknowledgedOpensAgain(t *testing.T) {
	health := func(n int) finding.Finding { return gdFinding(n, severe(5), exposed(finding.Health)) }
	for name, tt := range map[string]struct {
		after time.Duration
		news  finding.Finding
		loud  bool
	}{
		"more of the same":            {time.Hour, gdFinding(0, key, later(5)), false},
		"another source":              {time.Hour, health(0), true},
		"another source, in November": {60 * 24 * time.Hour, health(0), true},
		"worse":                       {time.Hour, gdFinding(0, key, later(5), severe(8)), true},
		"more, after a day":           {25 * time.Hour, gdFinding(0, key, later(5)), true},
		"over, after a day":           {25 * time.Hour, gdFinding(0, key, later(5), func(f *finding.Finding) { f.Over = true }), false},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.hears(gdFinding(0, key))
				row := d.row(gdFinding(0))
				d.clicks(ana.Slack, row, "ack")
				time.Sleep(tt.after)
				d.hears(tt.news)
				d.pass(time.Minute)
				now := d.row(gdFinding(0))
				replies := d.replies(now)
				last := replies[len(replies)-1]
				if last.Broadcast != tt.loud || (now.State == alerts.Open) != tt.loud {
					t.Errorf("%s, broadcast %v: %q", now.State, last.Broadcast, last.Text)
				}
				if tt.loud && !strings.Contains(last.Text, "Open again") {
					t.Errorf("told %q", last.Text)
				}
				if tt.loud && !strings.Contains(last.Text, "<@"+ben.Slack+">") {
					t.Errorf("nobody is called by %q", last.Text)
				}
			}, calling(4, "ben"))
		})
	}
}
