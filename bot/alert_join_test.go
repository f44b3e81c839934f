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
		if len(replies) != 1 || !replies[0].Broadcast || !strings.Contains(replies[0].Text, "the severity rose") || !strings.Contains(replies[0].Text, "CloudTrail, high: User dev called StopLogging") {
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
				if named, err := d.alerts().Named(t.Context(), tt.second.Own()); err != nil || tt.joins != (named.ID == d.row(called(0, "A", 5, 0)).ID) {
					t.Errorf("its name leads to %s, %v", named.ID, err)
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

func byDev(f *finding.Finding) { f.Actors = []string{dev} }

// tells are the posts, replies in the channel too, that came since there were so many.
func (d *desk) tells(t *testing.T, before int, want ...string) {
	t.Helper()
	got := strings.Join(d.posted()[before:], "\n")
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("nothing says %q: %q", w, got)
		}
	}
}

// TestJoinedIsHeardOf: what joins an alert is told aloud if it is of another source or another severe
// type, whatever state people gave the alert, and however many reports it has; its buttons are there.
func TestJoinedIsHeardOf(t *testing.T) {
	other := gdFinding(50, byDev, severe(7))
	for name, tt := range map[string]struct {
		calls  int // before it, each of another type
		button string
		news   finding.Finding
		want   []string
		open   bool
	}{
		"another source, open":         {calls: 1, news: other, want: []string{"GuardDuty, high: "}, open: true},
		"another source, eight before": {calls: 9, news: other, want: []string{"GuardDuty, high: "}, open: true},
		"another source, acknowledged": {calls: 9, button: "ack", news: other, want: []string{"GuardDuty, high: ", "Open again", "<@" + ben.Slack + ">"}, open: true},
		"another source, snoozed":      {calls: 1, button: "snooze", news: other, want: []string{"GuardDuty, high: "}, open: true},
		"another type, acknowledged":   {calls: 1, button: "ack", news: called(50, "StopLogging", 8, 5), want: []string{"called StopLogging", "Open again"}, open: true},
		"another type, open":           {calls: 9, news: called(50, "StopLogging", 8, 5), want: []string{"called StopLogging"}, open: true},
		"an exposed key":               {calls: 9, button: "ack", news: called(50, "Call1", 5, 5, func(f *finding.Finding) { f.Exposed = true }), want: []string{"called Call1", "Open again"}, open: true},
		"our own role":                 {calls: 9, button: "ack", news: called(50, "Call1", 5, 5, func(f *finding.Finding) { f.OwnRole = "mallory" }), want: []string{"called Call1"}, open: true},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				for i := range tt.calls {
					d.hears(called(i, fmt.Sprintf("Call%d", i), 8, 0))
				}
				d.pass(time.Minute)
				if tt.button != "" {
					d.clicks(ana.Slack, d.row(called(0, "", 8, 0)), tt.button)
				}
				d.pass(30 * time.Second)
				before := len(d.posted())
				d.hears(tt.news)
				d.pass(time.Minute)
				d.tells(t, before, tt.want...)
				row := d.row(called(0, "", 8, 0))
				if (row.State == alerts.Open) != tt.open || row.Joined() != tt.calls+1 {
					t.Errorf("it is %s, with %d", row.State, row.Joined())
				}
				if tt.news.Source == finding.GuardDuty && !strings.Contains(slackfake.Text(d.cards(sec)[0]), "role/role-50") {
					t.Error("GuardDuty's containment is not on the card")
				}
			}, hearsCloudTrail, func(d *desk) {
				for i := range d.Findings.Routes {
					d.Findings.Routes[i].Call, d.Findings.Routes[i].CallFrom = []string{"ben"}, 4
				}
			})
		})
	}
}

// TestJoinedAfterTheContainment: what is seen after the actor was contained is told, with its name, once.
func TestJoinedAfterTheContainment(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(called(0, "CreateUser", 8, 0))
		d.pass(time.Minute)
		d.clicks(ana.Slack, d.row(called(0, "", 8, 0)), propose)
		d.pass(time.Minute)
		id := d.row(called(0, "", 8, 0)).Requests[0].Request
		d.becomes(id, approvals.Pending, approvals.Approved, approvals.Running, approvals.Contained)
		_, err := d.Requests.Change(t.Context(), id, func(r *approvals.Request) error { r.Ended = gdFinding(0).First.Add(2 * time.Minute); return nil })
		d.must(err)
		d.must(d.redrawAlert(t.Context(), d.row(called(0, "", 8, 0)).ID))
		d.pass(time.Minute)
		before := len(d.posted())
		d.hears(called(1, "CreateUser", 8, 10), called(2, "CreateUser", 8, 11))
		d.pass(2 * time.Minute)
		d.tells(t, before, "User dev called CreateUser, the 1th time")
		if got := d.posted()[before:]; len(got) != 1 {
			t.Errorf("%d posts: %q", len(got), got)
		}
	}, hearsCloudTrail)
}

// TestJoinsOutOfADigest: an alert that a storm put into a digest has a card when its actor goes on.
func TestJoinsOutOfADigest(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		asSlackDoes(d)
		for i := range 60 {
			d.hears(called(100+i, "CreateUser", 8.9, 0, func(f *finding.Finding) { f.Actors = []string{fmt.Sprintf("%s/user/u%d", account, i)} }))
		}
		d.hears(called(0, "CreateUser", 8, 0))
		d.pass(5 * time.Minute)
		if row := d.row(called(0, "", 8, 0)); row.DigestID == "" || row.Card.TS != "" {
			t.Fatal("it is in no digest")
		}
		d.hears(called(1, "StopLogging", 8, 20))
		d.pass(2 * time.Minute)
		if row := d.row(called(0, "", 8, 0)); row.Card.TS == "" {
			t.Error("StopLogging, long after the storm: no card")
		}
	}, hearsCloudTrail)
}

// TestActorsOfTwoChannels: findings of one actor whose routes have two channels are a card in each,
// whatever becomes of the first's severity.
func TestActorsOfTwoChannels(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		for i := range 20 {
			d.hears(called(i, "X", []float64{5, 8}[i%2], i))
			d.pass(10 * time.Second)
		}
		d.hears(called(0, "X", 8, 0, later(1))) // an update of one that is low
		d.hears(called(30, "StopLogging", 8.5, 25))
		d.pass(2 * time.Minute)
		if low, high := d.cards(sec), d.cards("C0OTHER"); len(low) != 1 || len(high) != 1 || !strings.Contains(high[0].Text, "StopLogging") {
			t.Errorf("%d cards, and %d in the channel of what is high", len(low), len(high))
		}
	}, func(d *desk) {
		d.Findings.Routes = []finding.Route{
			{Match: finding.Match{Source: finding.CloudTrail, MinSeverity: 7}, Delivery: finding.Propose, Channel: "C0OTHER"},
			{Match: finding.Match{Source: finding.CloudTrail}, Delivery: finding.Propose},
		}
	})
}

// TestWhatIsOnlyCounted: a finding that is not kept whole is told of if there is more of it a day later,
// and keeps an alert open that is over in all that is kept.
func TestWhatIsOnlyCounted(t *testing.T) {
	for name, tt := range map[string]func(t *testing.T, d *desk){
		"a month later": func(t *testing.T, d *desk) {
			d.clicks(ana.Slack, d.row(gdFinding(0)), "ack")
			time.Sleep(30 * 24 * time.Hour)
			before := len(d.posted())
			news := gdFinding(9, byDev, severe(5), func(f *finding.Finding) { f.Updated, f.Last = time.Now(), time.Now() })
			d.hears(news, news)
			d.pass(time.Minute)
			d.tells(t, before, "Open again")
			if got := d.posted()[before:]; len(got) != 1 {
				t.Errorf("%d posts", len(got))
			}
		},
		"the others are over": func(t *testing.T, d *desk) {
			for i := range 9 {
				d.hears(gdFinding(i, byDev, severe(6), later(1), func(f *finding.Finding) { f.Over = true }))
			}
			d.pass(time.Minute)
			if row := d.row(gdFinding(0)); row.Over || row.Shown().Over {
				t.Errorf("it is over, with %d of %d kept", len(row.Reports), row.Joined())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				for i := range 9 {
					d.hears(gdFinding(i, byDev, severe(6)))
				}
				d.hears(gdFinding(9, byDev, severe(5)))
				d.pass(time.Minute)
				tt(t, d)
			})
		})
	}
}

// TestExposedKeyIsHeardBesideEight: Health's word on a key is told beside eight findings about it, counted
// once however often it comes, and again in November.
func TestExposedKeyIsHeardBesideEight(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		for i := range 41 {
			d.hears(gdFinding(i, byDev, severe(8), func(f *finding.Finding) { f.Names = append(f.Names, fmt.Sprintf("key/AKIA%d", i)) }))
		}
		d.pass(time.Minute)
		health := gdFinding(99, exposed(finding.Health), severe(8), func(f *finding.Finding) { f.Names = []string{account + "/key/AKIA3", "key/AKIA3"} })
		d.hears(health, health)
		d.pass(2 * time.Minute)
		row := d.row(gdFinding(0))
		if got := d.replies(row); len(got) == 0 || !row.Activity || row.Joined() != 41 || !strings.Contains(got[len(got)-1].Text, "tells of it too") {
			t.Errorf("%d joined, activity %v, replies %v", row.Joined(), row.Activity, got)
		}
		d.clicks(ana.Slack, row, "ack")
		time.Sleep(60 * 24 * time.Hour)
		before := len(d.posted())
		d.hears(gdFinding(99, exposed(finding.Health), severe(8), later(60*24*60), func(f *finding.Finding) { f.Names = []string{account + "/key/AKIA3", "key/AKIA3"} }))
		d.pass(2 * time.Minute)
		d.tells(t, before, "Open again")
	})
}

// TestRuleOfAnotherFinding: people who said no to what a rule asked for about one finding have not said it
// about another of its actor.
func TestRuleOfAnotherFinding(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		same := func(f *finding.Finding) { byDev(f); f.Containments = gdFinding(1).Containments }
		d.hears(gdFinding(1, same, severe(5)))
		d.pass(time.Minute)
		r := d.request(d.row(gdFinding(1)).Requests[0].Request)
		_, err := d.Requests.Change(t.Context(), r.ID, func(r *approvals.Request) error { r.State, r.Ended = approvals.Cancelled, time.Now(); return nil })
		d.must(err)
		time.Sleep(10 * time.Minute)
		d.hears(gdFinding(2, same, severe(9), func(f *finding.Finding) {
			f.Type, f.First = "Backdoor:Other", f.First.Add(20*time.Minute)
			f.Last, f.Updated = f.First, f.First
		}))
		d.pass(time.Minute)
		if row := d.row(gdFinding(1)); len(row.Requests) != 2 {
			t.Errorf("the critical finding's rule asked for nothing: %d requests", len(row.Requests))
		}
	}, autoRoute)
}
