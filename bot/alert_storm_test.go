package bot

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// digests are the messages that stand for many alerts.
func (d *desk) digests() []slackfake.Message {
	return slices.DeleteFunc(d.slack.Messages(sec), func(m slackfake.Message) bool { return m.EphemeralTo != "" || !strings.Contains(m.Text, "· DG-") })
}

var alertIDs = regexp.MustCompile(`AL-[0-9A-HJKMNP-TV-Z]{12}`)

// lists pages through a digest as a person does, and returns the alerts that it
// lists with the pages.
func (d *desk) lists(digest slackfake.Message) (ids []string, pages []slackfake.Message) {
	d.Helper()
	d.slack.Click(ana.Slack, sec, digest.TS, "alerts")
	for range 1000 {
		all := slices.DeleteFunc(d.slack.Messages(sec), func(m slackfake.Message) bool { return m.EphemeralTo != ana.Slack })
		page := all[len(all)-1]
		if !strings.HasPrefix(page.Text, "Alerts ") || len(pages) > 0 && page.TS == pages[len(pages)-1].TS {
			d.Fatalf("no page: %s", page.Text)
		}
		pages = append(pages, page)
		var on []string
		for _, id := range alertIDs.FindAllString(string(page.Blocks), -1) {
			if !slices.Contains(on, id) {
				on = append(on, id)
			}
		}
		ids = append(ids, on...)
		if !strings.Contains(string(page.Blocks), `"alerts:next"`) {
			return ids, pages
		}
		d.slack.Click(ana.Slack, sec, page.TS, "alerts:next")
	}
	d.Fatal("the list never ends")
	return nil, nil
}

// storm sends findings over a while to so many workers, with the sweeps at work.
func (d *desk) storm(n, workers int, over time.Duration) {
	d.stormOf(n, workers, over, func(i int) finding.Finding { return gdFinding(i, severe(float64(i%10))) })
}

func (d *desk) stormOf(n, workers int, over time.Duration, of func(int) finding.Finding) {
	ctx, stop := context.WithCancel(d.Context())
	queue := make(chan []byte, n)
	var wg, sweeps sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for e := range queue {
				if err := d.HandleEvent(ctx, e); err != nil {
					d.Error(err)
				}
			}
		})
	}
	for _, sweep := range []func(context.Context) error{d.SweepRequests, d.SweepAlerts} {
		sweeps.Go(func() {
			for ctx.Err() == nil {
				_ = sweep(ctx)
				_ = d.Sleep(ctx, 10*time.Second)
			}
		})
	}
	for i := range n {
		queue <- body(of(i))
		if i%50 == 49 {
			time.Sleep(over * 50 / time.Duration(n))
		}
	}
	close(queue)
	wg.Wait()
	time.Sleep(2 * time.Minute)
	stop()
	sweeps.Wait()
}

// asSlackDoes limits calls as Slack does: a message a second and channel, and 50
// updates a minute, with short bursts.
func asSlackDoes(d *desk) {
	d.slack.RateLimit("chat.postMessage", 60, 3)
	d.slack.RateLimit("chat.update", 50, 5)
}

// TestStormStaysWithinSlacksLimits: thousands of findings in a minute stay within Slack's limits, none is
// lost, each can be reached, and a containment is not held up.
func TestStormStaysWithinSlacksLimits(t *testing.T) {
	n := 3000 / min(thin.Every(t, 2, "the findings of a storm"), 5)
	atDesk(t, func(t *testing.T, d *desk) {
		d.store.fail = func(puts []approvals.Put, after bool) error {
			if !after && puts[0].Sort == "digest" {
				time.Sleep(100 * time.Millisecond) // a write of 80 rows takes its time: turns pass meanwhile
			}
			return nil
		}
		var asked, shown time.Time
		go func() {
			time.Sleep(25 * time.Second)
			asked = time.Now()
			d.slack.Command(ben.Slack, sec, "/killswitch", "revoke_sessions arn:aws:iam::"+account+`:role/app reason="in the middle of it"`)
			shown = time.Now()
		}()
		d.storm(n, 40, time.Minute)
		if shown.IsZero() || shown.Sub(asked) > time.Second || !slices.ContainsFunc(d.slack.Messages(sec), func(m slackfake.Message) bool { return strings.HasPrefix(m.Text, "planning: revoke_sessions") }) {
			t.Errorf("the containment asked for at %s was shown at %s", asked, shown)
		}
		if n := d.limited(); n != 0 {
			t.Errorf("Slack refused %d calls", n)
		}
		d.pace(t)

		where := map[string]string{}
		cards := d.cards(sec)
		for _, m := range cards {
			where[alertIDs.FindString(m.Text)] = "card"
		}
		if len(cards) < 2*alerts.RatePosts || len(cards) > 90 {
			t.Errorf("%d cards in a storm of a minute", len(cards))
		}
		for _, m := range d.digests() {
			ids, _ := d.lists(m)
			for _, id := range ids {
				if in := where[id]; in != "" {
					t.Errorf("%s is in %s and in %s", id, in, m.Text)
				}
				where[id] = m.Text
			}
			if !strings.HasPrefix(m.Text, fmt.Sprintf("%d more alerts: ", len(ids))) {
				t.Errorf("%d alerts in %s", len(ids), m.Text)
			}
		}
		for i := range n {
			row := d.row(gdFinding(i))
			if where[row.ID] == "" || row.Stale() {
				t.Errorf("%s is nowhere: %+v", row.ID, row)
			}
		}
		if len(where) != n {
			t.Errorf("%d alerts, want %d", len(where), n)
		}
	}, asSlackDoes)
}

// pace checks that at most 30 cards come in any minute, and a digest in ten seconds.
func (d *desk) pace(t *testing.T) {
	t.Helper()
	check := func(what string, ms []slackfake.Message, n int, within time.Duration) {
		for i := n; i < len(ms); i++ {
			if between := seconds(ms[i].TS) - seconds(ms[i-n].TS); between < within.Seconds()-0.001 { // messages of one moment are a microsecond apart
				t.Errorf("%d %s in %.1f s", n+1, what, between)
			}
		}
	}
	check("cards", d.cards(sec), alerts.RatePosts, time.Minute)
	check("cards", d.cards(sec), 1, alerts.RatePause)
	check("digests", d.digests(), 1, assignEvery)
}

func seconds(ts string) (s float64) {
	_, _ = fmt.Sscan(ts, &s)
	return s
}

// TestDigestListsItsAlerts: what a digest says, lists and lets do.
func TestDigestListsItsAlerts(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.must(d.alerts().ChangeRateLimit(t.Context(), sec, func(r *alerts.RateLimit) error { // there were 30 just now
			for i := range alerts.RatePosts {
				r.Slots = append(r.Slots, time.Now().Add(time.Duration(i-5)*alerts.RatePause))
			}
			for range alerts.AheadPosts {
				r.Ahead = append(r.Ahead, alerts.Ahead{At: time.Now()})
			}
			return nil
		}))
		var all []any
		for i := range 45 {
			a := gdFinding(i, severe(2))
			switch {
			case i == 44:
				a = gdFinding(i, severe(9.5), func(a *finding.Finding) { a.Type = "AttackSequence:<!channel>/*x*"; a.Account = "333333333333" })
			case i > 40:
				a = gdFinding(i, severe(7))
			}
			all = append(all, a)
		}
		began := time.Now()
		d.hears(all)
		if took := time.Since(began); took != 0 || len(d.slack.Messages(sec)) != 0 {
			t.Fatalf("it took %s; %d messages", took, len(d.slack.Messages(sec)))
		}
		d.must(d.Sweep(t.Context()))
		ds := d.digests()
		if len(ds) != 1 || len(d.cards(sec)) != 0 || time.Since(began) != 0 {
			t.Fatalf("%d digests, %d cards", len(ds), len(d.cards(sec)))
		}
		text := slackfake.Text(ds[0])
		for _, want := range []string{"45 more alerts", "1 critical · 3 high · 41 low", "44 × UnauthorizedAccess", "44 × prod (222222222222)", "1 × 333333333333", "critical: AttackSequence:"} {
			if !strings.Contains(text, want) {
				t.Errorf("the digest lacks %q:\n%s", want, text)
			}
		}
		ids, pages := d.lists(ds[0])
		if len(ids) != 45 || len(pages) != 3 || ids[0] != d.row(gdFinding(44)).ID || !strings.HasPrefix(pages[1].Text, "Alerts 21 to 40 of 45") {
			t.Errorf("%d alerts on %d pages, the worst first: %v", len(ids), len(pages), ids[0] == d.row(gdFinding(44)).ID)
		}
		d.slack.Click(ana.Slack, sec, pages[2].TS, "alerts:previous")
		if got := d.told(ana.Slack); !strings.HasPrefix(got, "Alerts 21 to 40") {
			t.Errorf("previous: %s", got)
		}
		d.slack.Click(eveSlack, sec, ds[0].TS, "alerts")
		d.tellsOnly(eveSlack, "not in the group")

		// One of them is brought, though there is no room; a second time it is only pointed at.
		for range 2 {
			d.slack.Click(ana.Slack, sec, pages[0].TS, "alert")
			time.Sleep(time.Second)
		}
		if c := d.cards(sec); len(c) != 1 || !strings.Contains(c[0].Text, ids[0]) {
			t.Errorf("cards %v", c)
		}
		d.tellsOnly(ana.Slack, ids[0]+": its card is in")

		// Updates are stored and told of to nobody, unless it gets bad.
		time.Sleep(5 * time.Minute)
		d.hears(gdFinding(1, severe(2), later(3)), gdFinding(2, severe(5), later(3)))
		d.pass(time.Minute)
		if n := len(d.cards(sec)); n != 1 || d.row(gdFinding(1)).Reports[0].Count != 4 {
			t.Errorf("%d cards after quiet updates", n)
		}
		d.hears(gdFinding(3, severe(8), later(3)))
		d.pass(time.Minute)
		if c := d.cards(sec); len(c) != 2 || !strings.HasPrefix(c[1].Text, "high: ") {
			t.Errorf("cards after one that got bad: %v", c)
		}
		if n := len(d.digests()); n != 1 {
			t.Errorf("%d digests", n)
		}
	})
}

// BenchmarkBuried sends 8,000 imported findings that call themselves critical to two workers, as one
// account can in 80 seconds, and then a real one. It reports how long that one takes to its card: by
// the same queue, and by one of its own.
func BenchmarkBuried(b *testing.B) {
	const n = 8000
	for _, own := range []bool{false, true} {
		b.Run(map[bool]string{false: "by the same queue", true: "by a queue of its own"}[own], func(b *testing.B) {
			for b.Loop() {
				d := newDesk(b, time.Now, approvals.Sleep, asSlackDoes, hearsCloudTrail)
				fakes, one := make(chan []byte, n+1), gdFinding(n, severe(8))
				for i := range n {
					fakes <- body(imported(i))
				}
				queues := []chan []byte{fakes}
				if own {
					queues = append(queues, make(chan []byte, 1))
				}
				began := time.Now()
				queues[len(queues)-1] <- body(one)
				close(fakes)
				ctx, stop := context.WithCancel(b.Context())
				var workers sync.WaitGroup
				for _, q := range queues {
					for range 2 {
						workers.Go(func() {
							for ctx.Err() == nil {
								select {
								case e := <-q:
									if e != nil {
										_ = d.HandleEvent(ctx, e)
									}
								case <-ctx.Done():
								}
							}
						})
					}
				}
				for {
					if row, err := d.alerts().Get(ctx, approvals.AlertID(one.Own())); err == nil && row.Card.TS != "" {
						break
					}
					time.Sleep(time.Millisecond)
				}
				b.ReportMetric(time.Since(began).Seconds(), "s-to-card")
				stop()
				workers.Wait()
			}
		})
	}
}

// BenchmarkStorm sends 10,000 findings at once to 40 workers. It reports how long
// they take to be stored, how long until the last is in Slack, and what Slack was
// asked for.
func BenchmarkStorm(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		b.StopTimer()
		d := newDesk(b, time.Now, approvals.Sleep, asSlackDoes)
		bodies := make(chan []byte, n)
		for i := range n {
			bodies <- body(gdFinding(i, severe(float64(i%10))))
		}
		close(bodies)
		ctx, stop := context.WithCancel(b.Context())
		var sweeps, workers sync.WaitGroup
		sweeps.Go(func() {
			for d.Sleep(ctx, 10*time.Second) == nil {
				_ = d.SweepAlerts(ctx)
			}
		})
		b.StartTimer()
		began := time.Now()
		for range 40 {
			workers.Go(func() {
				for e := range bodies {
					if err := d.HandleEvent(ctx, e); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for d.countedNow("AlertsNew") < n {
			time.Sleep(time.Millisecond)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s-to-store")
		for d.countedNow("AlertsInDigests")+len(d.cards(sec)) < n {
			time.Sleep(10 * time.Millisecond)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s-to-slack")
		b.StopTimer()
		workers.Wait()
		stop()
		sweeps.Wait()
		b.ReportMetric(float64(len(d.slack.Calls())), "slack-calls")
		b.ReportMetric(float64(d.limited()), "refused")
		b.ReportMetric(float64(len(d.digests())), "digests")
		b.StartTimer()
	}
}

// TestWaitingAlertsArePostedWhenThereIsRoom: what found no room gets it when there is some.
func TestWaitingAlertsArePostedWhenThereIsRoom(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		var all []any
		for i := range 40 {
			all = append(all, gdFinding(i))
		}
		began := time.Now()
		d.hears(all[:30])
		if took := time.Since(began); took > eventPatience || len(d.cards(sec)) != 3 {
			t.Errorf("%d cards after %s", len(d.cards(sec)), took)
		}
		d.must(d.Sweep(t.Context()))
		if took := time.Since(began); took > eventPatience+sweepWithin || len(d.cards(sec)) != 30 {
			t.Errorf("%d cards after %s", len(d.cards(sec)), took)
		}
		time.Sleep(time.Minute)
		d.hears(all[30:])
		d.pass(time.Minute)
		if n := len(d.cards(sec)); n != 40 || len(d.digests()) != 0 {
			t.Errorf("%d cards", n)
		}
		d.pace(t)
	}, asSlackDoes)
	atDesk(t, func(t *testing.T, d *desk) { // the handler died before it posted
		d.store.fail = func(puts []approvals.Put, after bool) error {
			if !after && strings.HasPrefix(puts[0].Part, "room#") {
				return errBroken
			}
			return nil
		}
		d.hears(gdFinding(1), gdFinding(2))
		d.store.fail = nil
		if n := len(d.cards(sec)); n != 0 {
			t.Fatalf("%d cards", n)
		}
		d.must(d.Sweep(t.Context()))
		if n := len(d.cards(sec)); n != 2 {
			t.Errorf("%d cards after the sweep", n)
		}
	})
	atDesk(t, func(t *testing.T, d *desk) { // it died while it waited
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Second); cancel() }()
		d.must(d.HandleEvent(ctx, body([]any{gdFinding(1), gdFinding(2), gdFinding(3)})))
		synctest.Wait()
		if n := len(d.cards(sec)); n != 1 {
			t.Fatalf("%d cards", n)
		}
		d.pass(time.Minute)
		if n := len(d.cards(sec)); n != 3 || len(d.digests()) != 0 {
			t.Errorf("%d cards", n)
		}
	})
}

// TestTwoSweepsAtOncePostNothingTwice: those that run at the same time make one digest, or one card each.
func TestTwoSweepsAtOncePostNothingTwice(t *testing.T) {
	for _, n := range []int{20, 400} {
		atDesk(t, func(t *testing.T, d *desk) {
			room := alerts.RateLimit{PausedUntil: time.Now().Add(time.Minute)}
			d.must(d.alerts().ChangeRateLimit(t.Context(), sec, func(r *alerts.RateLimit) error { *r = room; return nil }))
			for i := range n {
				d.hears(gdFinding(i))
			}
			d.must(d.alerts().ChangeRateLimit(t.Context(), sec, func(r *alerts.RateLimit) error { *r = alerts.RateLimit{}; return nil }))
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() { _ = d.SweepAlerts(t.Context()) })
			}
			wg.Wait()
			d.pass(time.Minute)
			cards, ds := len(d.cards(sec)), len(d.digests())
			if n == 20 && (cards != 20 || ds != 0) || n == 400 && (cards != alerts.RatePosts || ds != 1) {
				t.Errorf("of %d alerts %d cards and %d digests", n, cards, ds)
			}
			for i := range n {
				if row := d.row(gdFinding(i)); row.Stale() {
					t.Errorf("%s is left", row.ID)
				}
			}
		})
	}
}

// TestDigestBeingPosted: it takes no more alerts, however long Slack takes for it.
func TestDigestBeingPosted(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.must(d.alerts().ChangeRateLimit(t.Context(), sec, func(r *alerts.RateLimit) error {
			for range alerts.RatePosts {
				r.Slots = append(r.Slots, time.Now().Add(time.Hour))
			}
			return nil
		}))
		d.hears(gdFinding(1), gdFinding(2))
		once := false
		d.slack.OnCall(func(method string, after bool) error {
			if method == "chat.postMessage" && !after && !once {
				once = true
				time.Sleep(assignEvery + time.Second) // another sweep may look after those that wait
				d.hears(gdFinding(3))
				d.must(d.SweepAlerts(t.Context()))
			}
			return nil
		})
		d.must(d.SweepAlerts(t.Context()))
		d.pass(time.Minute)
		ds := d.digests()
		if len(ds) != 2 || !strings.HasPrefix(ds[0].Text, "2 more alerts") || !strings.HasPrefix(ds[1].Text, "1 more alert:") {
			t.Fatalf("digests %v", ds)
		}
		for i, m := range ds {
			if ids, _ := d.lists(m); len(ids) != 2-i {
				t.Errorf("%d alerts in %s", len(ids), m.Text)
			}
		}
	})
}

// TestSweepLeavesTurns: an alert that somebody is about to post is left alone.
func TestSweepLeavesTurns(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1))
		var wg sync.WaitGroup
		wg.Go(func() { d.hears(gdFinding(2)) })
		time.Sleep(time.Second) // its turn comes in half a second
		d.must(d.SweepAlerts(t.Context()))
		wg.Wait()
		room, err := d.alerts().RateLimit(t.Context(), sec)
		d.must(err)
		if len(room.Slots) != 2 || len(d.cards(sec)) != 2 {
			t.Errorf("%d times were taken for %d cards", len(room.Slots), len(d.cards(sec)))
		}
	})
}

// TestSweepLeavesSlackAloneWhileItWantsToBe: while Slack wants to be left alone, a sweep does so.
func TestSweepLeavesSlackAloneWhileItWantsToBe(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(0))
		d.must(d.alerts().ChangeRateLimit(t.Context(), sec, func(r *alerts.RateLimit) error {
			r.PausedUntil = time.Now().Add(time.Minute)
			return nil
		}))
		for i := range 40 {
			d.hears(gdFinding(i), gdFinding(i, later(1)))
		}
		calls := len(d.slack.Calls())
		d.must(d.SweepAlerts(t.Context()))
		if n := len(d.slack.Calls()) - calls; n != 0 {
			t.Errorf("%d calls", n)
		}
		d.pass(3 * time.Minute)
		if c, ds := len(d.cards(sec)), len(d.digests()); c != alerts.RatePosts+1 || ds != 1 {
			t.Errorf("%d cards, %d digests", c, ds)
		}
	})
}

// TestTroubleWithinASweep: those whose turn comes while Slack has trouble wait again.
func TestTroubleWithinASweep(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.must(d.alerts().ChangeRateLimit(t.Context(), sec, func(r *alerts.RateLimit) error {
			r.PausedUntil = time.Now().Add(5 * time.Second)
			return nil
		}))
		for i := range 30 {
			d.hears(gdFinding(i))
		}
		time.Sleep(5 * time.Second)
		d.slack.Fail(slackfake.Fault{Method: "chat.postMessage", Status: http.StatusInternalServerError, Times: -1})
		d.must(d.SweepAlerts(t.Context()))
		if n := d.calls("chat.postMessage"); n == 0 || n > 5 {
			t.Errorf("%d tries", n)
		}
		d.slack.Heal()
		d.pass(5 * time.Minute)
		if n := len(d.cards(sec)); n != 30 || len(d.digests()) != 0 {
			t.Errorf("%d cards", n)
		}
	})
}

// TestSlackIsAway: hours of trouble end in one digest, not in a flood.
func TestSlackIsAway(t *testing.T) {
	every := thin.Every(t, 4, "two hundred findings")
	for name, fault := range map[string]slackfake.Fault{
		"refuses":     {Method: "chat.*", Status: 429, RetryAfter: 30, Times: -1},
		"is broken":   {Method: "chat.*", Status: 500, Times: -1},
		"is unsure":   {Method: "chat.*", After: true, Status: 500, Times: -1},
		"not invited": {Method: "chat.*", Error: "not_in_channel", Times: -1},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.slack.Fail(fault)
				var wg sync.WaitGroup
				for i := 0; i < 200; i += every {
					wg.Go(func() { _ = d.HandleEvent(t.Context(), body(gdFinding(i))) })
					time.Sleep(3 * time.Second)
					if i%5 == 0 {
						wg.Go(func() { _ = d.SweepAlerts(t.Context()) })
					}
				}
				wg.Wait()
				if n := d.calls("chat.postMessage"); n > 70 {
					t.Errorf("%d tries to post in ten minutes", n)
				}
				d.slack.Heal()
				d.pass(5 * time.Minute)
				if n := d.calls("conversations.history"); n != 0 && fault.Status != http.StatusInternalServerError {
					t.Errorf("%d looks for messages that Slack refused", n)
				}
				listed := map[string]int{}
				for _, m := range d.cards(sec) {
					listed[alertIDs.FindString(m.Text)]++
				}
				for _, m := range d.digests() {
					ids, _ := d.lists(m)
					for _, id := range ids {
						listed[id]++
					}
				}
				for i := 0; i < 200; i += every {
					if row := d.row(gdFinding(i)); listed[row.ID] != 1 || row.Stale() {
						t.Errorf("%s is there %d times", row.ID, listed[row.ID])
					}
				}
				d.pace(t)
				t.Logf("%d cards, %d digests", len(d.cards(sec)), len(d.digests()))
			})
		})
	}
}
