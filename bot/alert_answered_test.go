package bot

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// mentions counts posts (not edits) in the channel that mention somebody.
func (d *desk) mentions() (n int) {
	for _, s := range d.posted() {
		if strings.Contains(s, "<@"+ben.Slack+">") {
			n++
		}
	}
	return n
}

// TestRefusedRuleCallsPeople: an alert whose own request came to nothing calls people by a new post.
func TestRefusedRuleCallsPeople(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1, severe(8)))
		row := d.row(gdFinding(1))
		if len(row.Requests) != 1 {
			t.Fatal("no request")
		}
		d.becomes(row.Requests[0].Request, approvals.Refused) // auto_per_hour is used up, or not confirmed
		d.pass(25 * time.Hour)
		blocks := string(d.cards(sec)[0].Blocks)
		if d.mentions() == 0 {
			t.Errorf("nobody was called in 25 h; the card says Called: %v\n%q", strings.Contains(blocks, "Called: "), d.posted())
		}
	}, calling(7, "ben"), func(d *desk) {
		d.Findings.Routes[0].Delivery = finding.Auto
		d.Findings.Routes[0].Suggest = []finding.Suggestion{{Action: "revoke_sessions"}}
	})
}

// TestEndOfSnoozeCallsOnce: and the pager has its full time again.
func TestEndOfSnoozeCallsOnce(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1, severe(9)))
		d.pass(time.Minute)
		d.clicks(ben.Slack, d.row(gdFinding(1)), "snooze")
		d.pass(58 * time.Minute)
		if n := len(d.jobs.of(approvals.JobNotify)); n != 0 {
			t.Fatal("paged while snoozed")
		}
		before := d.mentions()
		d.pass(3 * time.Minute)
		if n := len(d.jobs.of(approvals.JobNotify)); n != 0 {
			t.Errorf("paged within 2 min of the end of the snooze; pager_after is 10 min")
		}
		if n := d.mentions() - before; n != 1 {
			t.Errorf("called %d times within 2 min: %q", n, d.posted())
		}
	}, calling(7, "ben"), func(d *desk) { d.PagerAfter = 10 * time.Minute })
}

// TestFloodWithholdsNoCall: more severe alerts take their turn first, not all turns.
func TestFloodWithholdsNoCall(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears([]any{gdFinding(0, severe(9)), gdFinding(1, severe(9.1)), gdFinding(2, severe(9.1)), gdFinding(3, severe(9.1))})
		d.pass(26 * time.Hour)
		a := d.row(gdFinding(0))
		n := 0
		for _, r := range d.replies(a) {
			if strings.Contains(r.Text, "*Still open*") {
				n++
			}
		}
		if n == 0 {
			t.Errorf("real alert: %d of 5 calls made, Calls = %d, unanswered %v", n, a.Calls, a.Unanswered())
		}
	}, calling(7, "ben"))
}

// TestPlanningCardIsMarkedInABusyChannel: also if the call had to wait.
func TestPlanningCardIsMarkedInABusyChannel(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		id := d.planned(1)[0]
		time.Sleep(6 * time.Second)
		d.must(d.draw(t.Context(), id))
		planning := d.request(id).Card.TS
		d.must(d.alerts().ChangeRateLimit(t.Context(), sec, func(r *alerts.RateLimit) error { // ten calls are ahead
			r.Calls = time.Now().Add(11 * time.Second)
			r.Posts = r.Calls
			return nil
		}))
		d.becomes(id, approvals.Pending)
		d.pass(2 * time.Minute)
		if d.request(id).Card.TS == "" || d.request(id).Card.TS == planning {
			t.Fatal("not called")
		}
		for _, m := range d.slack.Messages(sec) {
			if m.TS == planning && strings.Contains(string(m.Blocks), "lanning") {
				t.Errorf("two minutes later the first card still says: %s", m.Text)
			}
		}
	})
}

// TestSlowSlackGetsOneCall: however long a message waits for its turn, no other worker posts it too.
func TestSlowSlackGetsOneCall(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		busy := func() {
			d.must(d.alerts().ChangeRateLimit(t.Context(), sec, func(r *alerts.RateLimit) error {
				r.Calls = time.Now().Add(9 * time.Second) // other calls wait
				r.Posts = r.Calls
				return nil
			}))
		}
		id := d.planned(1)[0]
		// A request of an alert: the alert's card waits for a turn and Slack, then the call.
		d.slack.OnCall(func(method string, after bool) error {
			if method == "chat.postMessage" && !after {
				time.Sleep(4 * time.Second) // Slack is slow, below its timeout
				busy()
			}
			return nil
		})
		d.hears(gdFinding(1, severe(9)))
		a := d.row(gdFinding(1))
		_, err := d.alerts().Change(t.Context(), a.ID, func(a *alerts.Alert) error {
			a.Card = approvals.Card{Channel: sec}
			a.Urgent = true
			a.Revise()
			return nil
		})
		d.must(err)
		_, err = d.Requests.Change(t.Context(), id, func(r *approvals.Request) error {
			r.Alert = a.ID
			return r.To(approvals.Pending, time.Now())
		})
		d.must(err)
		busy()
		go func() { _ = d.draw(context.Background(), id) }()
		time.Sleep(21 * time.Second) // the sweep comes
		_ = d.draw(context.Background(), id)
		time.Sleep(2 * time.Minute)
		n := 0
		for _, text := range d.posted() {
			if strings.HasPrefix(text, "Approve? ") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d calls were posted", n)
		}
	}, calling(7, "ben"))
}

// seenNow makes a finding one of this moment.
func seenNow(f *finding.Finding) { f.First, f.Last, f.Updated = time.Now(), time.Now(), time.Now() }

// contained is the request that contains what a critical alert has told of.
func (d *desk) contained() (id string) {
	d.Helper()
	d.hears(gdFinding(1, severe(9), seenNow))
	d.pass(time.Minute)
	d.clicks(ben.Slack, d.row(gdFinding(1)), "propose:revoke_sessions")
	id = d.row(gdFinding(1)).Requests[0].Request
	d.becomes(id, approvals.Pending, approvals.Approved, approvals.Running, approvals.Contained)
	return id
}

// TestActiveAgainCallsAnew: what is seen again after its containment calls people, and the pager.
func TestActiveAgainCallsAnew(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.contained()
		d.pass(25 * time.Hour)
		before := d.mentions()
		d.hears(gdFinding(1, severe(9), seenNow, func(f *finding.Finding) { f.Count += 500; f.EventID = "later" }))
		d.pass(25 * time.Hour)
		a := d.row(gdFinding(1))
		if d.mentions() == before {
			blocks := string(d.cards(sec)[0].Blocks)
			t.Errorf("active again: nobody called, paged %v, Calls %d; card: Open %v, Called %v", d.jobs.of(approvals.JobNotify), a.Calls, strings.Contains(blocks, "nobody has acknowledged"), strings.Contains(blocks, "Called: "))
		}
	}, calling(7, "ben"), func(d *desk) { d.PagerAfter = 10 * time.Minute })
}

// TestCallFormatsNothing: a name from outside is not bold in a call.
func TestCallFormatsNothing(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1, severe(9), func(f *finding.Finding) { f.Principal = "session *CONTAINED: no action needed* ~x~" }))
		d.pass(6 * time.Minute)
		for _, s := range stillOpen(d) {
			if strings.Contains(s, "*CONTAINED: no action needed* ") {
				t.Errorf("formats: %q", s)
			}
		}
	}, calling(7, "ben"))
}

// TestManyRequestsKeepNoAlertWaiting: the sweep looks after alerts however many requests there are.
func TestManyRequestsKeepNoAlertWaiting(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		for _, id := range d.planned(70) {
			_, err := d.Requests.Change(t.Context(), id, func(r *approvals.Request) error { r.Digest = "d"; return r.To(approvals.Pending, time.Now()) })
			d.must(err)
		}
		d.hears(gdFinding(1, severe(9)))
		time.Sleep(11 * time.Minute)
		d.Findings.Routing.Routes[0].Call = []string{"ben"}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second) // Lambda's
		defer cancel()
		_ = d.Sweep(ctx)
		time.Sleep(30 * time.Second)
		if len(stillOpen(d)) == 0 {
			t.Errorf("critical alert not called again")
		}
		if len(d.jobs.of(approvals.JobNotify)) == 0 {
			t.Errorf("critical alert not paged")
		}
	}, calling(7, "ben"), asSlackDoes, func(d *desk) { d.PagerAfter = 10 * time.Minute })
}

// TestLostPagerJobStopsNothing: an alert is drawn and called for again without the pager.
func TestLostPagerJobStopsNothing(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1, severe(9)))
		d.pass(7 * time.Minute)
		d.jobs.err = errBroken
		d.pass(6 * time.Minute)
		d.must(func() error {
			_, err := d.alerts().Change(t.Context(), d.row(gdFinding(1)).ID, func(a *alerts.Alert) error { a.Revise(); return nil })
			return err
		}())
		d.pass(25 * time.Hour)
		if n := len(stillOpen(d)); n != 5 || d.row(gdFinding(1)).Stale() {
			t.Errorf("%d of 5 calls, card stale %v", n, d.row(gdFinding(1)).Stale())
		}
	}, calling(7, "ben"), func(d *desk) { d.PagerAfter = 10 * time.Minute })
}

// TestAlertThatOpensAgainIsPagedAgain: each time that it is unanswered.
func TestAlertThatOpensAgainIsPagedAgain(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1, severe(9)))
		id := d.row(gdFinding(1)).ID
		d.pass(11 * time.Minute)
		d.must(d.runs.Write(t.Context(), approvals.PutRow(approvals.PageKey(id), 0, approvals.Page{Sent: map[string]time.Time{fmt.Sprintf("critical-%d", d.row(gdFinding(1)).Called.Unix()): time.Now()}})))
		d.hears(gdFinding(1, severe(9), later(20), func(f *finding.Finding) { f.Over = true }))
		d.pass(10 * time.Hour)
		d.jobs.mu.Lock()
		d.jobs.jobs = nil
		d.jobs.mu.Unlock()
		d.hears(gdFinding(1, severe(9), later(700)))
		d.pass(2 * time.Hour)
		if len(d.jobs.of(approvals.JobNotify)) == 0 {
			t.Errorf("critical, open and unanswered for 2 h: not paged; Called %s ago", time.Since(d.row(gdFinding(1)).Called))
		}
	}, calling(7, "ben"), func(d *desk) { d.PagerAfter = 10 * time.Minute })
}

// TestAlertThatOpensAgainCallsAtOnce: by a new post, also one that is not critical.
func TestAlertThatOpensAgainCallsAtOnce(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1, severe(8)))
		d.hears(gdFinding(1, severe(8), later(20), func(f *finding.Finding) { f.Over = true }))
		d.pass(10 * time.Hour)
		before := d.mentions()
		d.hears(gdFinding(1, severe(8), later(700)))
		d.pass(2 * time.Hour)
		if d.mentions() == before {
			t.Errorf("open again: nobody called in 2 h; card says Called: %v; %q", strings.Contains(string(d.cards(sec)[0].Blocks), "Called: "), d.posted())
		}
	}, calling(7, "ben"))
}

// TestUndoneContainmentCallsNobody: two people have decided; what is seen since calls anew.
func TestUndoneContainmentCallsNobody(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		id := d.contained()
		d.pass(time.Minute)
		before := d.mentions()
		d.becomes(id, approvals.Undoing, approvals.Undone)
		d.pass(time.Hour)
		if n := d.mentions() - before; n != 0 {
			t.Errorf("called %d times after the undo", n)
		}
		d.hears(gdFinding(1, severe(9), seenNow, func(f *finding.Finding) { f.Count += 500; f.EventID = "later" }))
		d.pass(time.Minute)
		if n := d.mentions() - before; n != 1 {
			t.Errorf("called %d times for what was seen since", n)
		}
	}, calling(7, "ben"))
}
