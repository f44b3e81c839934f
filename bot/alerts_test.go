package bot

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/approvals/finding/findingtest"
)

// TestAlertIsPostedOnce: whatever is delivered again changes nothing, and writes nothing.
func TestAlertIsPostedOnce(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		a := gdFinding(1)
		d.hears(a)
		if n := len(d.cards(sec)); n != 1 {
			t.Fatalf("%d cards", n)
		}
		row, calls, writes := d.row(a), len(d.slack.Calls()), d.store.writes
		again := gdFinding(1, func(a *finding.Finding) { a.EventID = "another envelope" })
		d.hears(a, []any{a, a}, again)
		if diff := cmp.Diff(row, d.row(a)); diff != "" {
			t.Error(diff)
		}
		if n := len(d.slack.Calls()); n != calls {
			t.Errorf("%d more calls of Slack", n-calls)
		}
		if n := d.store.writes - writes; n != 4 { // each tries to keep its evidence, which is there but for the last
			t.Errorf("%d writes, want the four of evidence", n)
		}
		d.pass(time.Minute)
		if n := len(d.slack.Calls()); n != calls+d.calls("users.info") {
			t.Errorf("%d more calls of Slack in a sweep", n-calls)
		}
		if d.counted["AlertsNew"] != 1 || d.counted["AlertsRepeated"] != 4 {
			t.Errorf("counted %v", d.counted)
		}
		e, err := d.Requests.Evidence(t.Context(), row.Reports[0].Event)
		if err != nil || e.Kind != approvals.EventEvidence {
			t.Errorf("evidence: %+v %v", e, err)
		}
	})
}

// TestOneFindingAtManyWorkersMakesOneCard: workers with the same finding make one card, whatever the order.
func TestOneFindingAtManyWorkersMakesOneCard(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				a := gdFinding(1, key)
				switch i % 4 {
				case 1:
					a = gdFinding(1, key, later(i%5))
				case 2:
					a = gdFinding(1, exposed(finding.Health))
				}
				if err := d.HandleEvent(t.Context(), body(a)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		d.pass(2 * time.Minute)
		if n := len(d.cards(sec)); n != 1 {
			t.Fatalf("%d cards", n)
		}
		row, err := d.alerts().Named(t.Context(), "key/AKIAEXAMPLE")
		d.must(err)
		if len(row.Reports) != 2 || row.Stale() || len(row.Names) != 3 {
			t.Errorf("%d reports, names %q, card at %d of %d", len(row.Reports), row.Names, row.Card.Revision, row.Revision)
		}
		for _, r := range row.Reports {
			if want := map[string]int{"guardduty": 5, "health": 1}[string(r.Finding.Source)]; r.Count != want {
				t.Errorf("%s counts %d, want %d", r.Finding.Source, r.Count, want)
			}
		}
	})
}

// TestAlertJoinRace: of two findings of a source that want to join an alert at the
// same time one does, and the other has an alert of its own.
func TestAlertJoinRace(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1, exposed(finding.Health)))
		out := d.row(gdFinding(1, exposed(finding.Health)))
		once := false
		d.store.fail = func(puts []approvals.Put, after bool) error {
			if !after && !once && slices.ContainsFunc(puts, func(p approvals.Put) bool { return p.Part == out.ID }) {
				once = true
				d.hears(gdFinding(2, key))
			}
			return nil
		}
		d.hears(gdFinding(1, key))
		d.pass(time.Minute)
		if out = d.row(gdFinding(1, exposed(finding.Health))); !once || len(out.Reports) != 2 || len(d.cards(sec)) != 2 || d.row(gdFinding(1)).ID == out.ID {
			t.Errorf("%d cards; reports %v", len(d.cards(sec)), out.Reports)
		}
	})
}

// TestAlertUpdates: an update edits the card and adds a reply; it pings only if
// the severity rose.
func TestAlertUpdates(t *testing.T) {
	api := func(text string) func(*finding.Finding) {
		return func(a *finding.Finding) { a.Facts = append(a.Facts, finding.Fact{Label: "API", Text: text}) }
	}
	for _, tt := range []struct {
		name   string
		events []finding.Finding
		texts  []string // what the replies hold, one each
		loud   int      // the last so many
	}{
		{"more of the same", []finding.Finding{gdFinding(1, later(8), api("ListSecrets"))}, []string{"seen 9 times, was 1"}, 0},
		{"two updates", []finding.Finding{gdFinding(1, later(8)), gdFinding(1, later(9))}, []string{"seen 9 times, was 1", "seen 10 times, was 9"}, 0},
		{"a late one", []finding.Finding{gdFinding(1, later(8)), gdFinding(1, later(3))}, []string{"seen 9 times, was 1"}, 0},
		{"the severity rose", []finding.Finding{gdFinding(1, later(1), severe(8))}, []string{"severity rose from medium to high"}, 1},
		{"the severity rose within its word", []finding.Finding{gdFinding(1, later(1), severe(6))}, []string{"seen 2 times"}, 0},
		{"the severity fell", []finding.Finding{gdFinding(1, later(1), severe(2))}, []string{"seen 2 times"}, 0},
		{"it rose and fell", []finding.Finding{gdFinding(1, later(1), severe(8)), gdFinding(1, later(2), severe(5)), gdFinding(1, later(3), severe(8))}, []string{"rose from", "seen 3 times", "seen 4 times"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				first := gdFinding(1)
				d.hears(first)
				for _, e := range tt.events {
					d.hears(e)
				}
				if n := len(d.cards(sec)); n != 1 {
					t.Fatalf("%d cards", n)
				}
				replies := d.replies(d.row(first))
				if len(replies) != len(tt.texts) {
					t.Fatalf("%d replies, want %d: %v", len(replies), len(tt.texts), replies)
				}
				for i, m := range replies {
					if !strings.Contains(m.Text, tt.texts[i]) {
						t.Errorf("reply %q, want %q", m.Text, tt.texts[i])
					}
					if loud := strings.Contains(m.Text, "rose"); m.Broadcast != loud {
						t.Errorf("in the channel: %v: %s", m.Broadcast, m.Text)
					}
					if strings.Contains(m.Text, "<!") {
						t.Errorf("somebody is pinged: %s", m.Text)
					}
				}
				if row := d.row(first); row.Stale() || len(row.Pending) > 0 || len(row.Card.Replies) > 0 {
					t.Errorf("something is left: %+v", row)
				}
			})
		})
	}
}

// TestAlertInAnyOrder: the row ends the same, whatever order its events come in,
// and however often.
func TestAlertInAnyOrder(t *testing.T) {
	events := []finding.Finding{
		gdFinding(1, key), gdFinding(1, key, later(1), severe(8)), gdFinding(1, key, later(2), severe(4)), gdFinding(1, key, later(5)),
		gdFinding(1, exposed(finding.TrustedAdvisor)), gdFinding(1, exposed(finding.Health), later(4)), gdFinding(1, exposed(finding.Health), severe(7)),
		gdFinding(1, func(a *finding.Finding) { a.Source, a.Updated = finding.SecurityHub, a.Updated.Add(time.Hour) }),
		gdFinding(1, key, later(5), func(a *finding.Finding) { a.Facts[0].Text = "ListUsers" }), // of the same time as another
	}
	var want []alerts.Report
	every := thin.Every(t, 3, "thirty orders")
	for seed := uint64(0); seed < 30; seed += uint64(every) {
		atDesk(t, func(t *testing.T, d *desk) {
			r := rand.New(rand.NewPCG(seed, 0))
			d.hears(events[0]) // who comes first gives the alert its ID
			for _, i := range append(r.Perm(len(events)), r.Perm(len(events))...) {
				d.hears(events[i])
			}
			d.pass(5 * time.Minute)
			row := d.row(events[0])
			for i := range row.Reports {
				row.Reports[i].Received, row.Reports[i].Event = time.Time{}, ""
			}
			if want == nil {
				want = row.Reports
			}
			if diff := cmp.Diff(want, row.Reports); diff != "" {
				t.Errorf("seed %d: %s", seed, diff)
			}
			if n := len(d.cards(sec)); n != 1 || row.Stale() {
				t.Errorf("seed %d: %d cards", seed, n)
			}
			if a := alerts.Shown(row.Reports); a.Source != finding.GuardDuty || a.Severity != 8 || a.Count != 6 {
				t.Errorf("seed %d: shown is %s, severity %v, count %d", seed, a.Source, a.Severity, a.Count)
			}
		})
	}
	if len(want) != 4 {
		t.Errorf("%d reports, want one of each source", len(want))
	}
}

// TestAlertUpdatesCollapse: updates that nobody could be told yet become one reply.
func TestAlertUpdatesCollapse(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1))
		d.must(d.alerts().ChangeRateLimit(t.Context(), sec, func(r *alerts.RateLimit) error { // no room for a minute
			r.PausedUntil = time.Now().Add(time.Minute)
			return nil
		}))
		for i := 1; i < 20; i++ {
			d.hears(gdFinding(1, later(i)))
			if row := d.row(gdFinding(1)); len(row.Pending) != 1 {
				t.Fatalf("%d replies wait", len(row.Pending))
			}
		}
		if n := d.calls("chat.update"); n != 0 {
			t.Fatalf("%d updates without room", n)
		}
		d.pass(2 * time.Minute)
		row := d.row(gdFinding(1))
		replies := d.replies(row)
		if len(replies) != 1 || !strings.Contains(replies[0].Text, "seen 20 times, was 1") || row.Stale() {
			t.Errorf("replies %v, stale %v", replies, row.Stale())
		}
		if n := d.calls("chat.update"); n != 1 {
			t.Errorf("%d updates of the card, want 1", n)
		}
	})
}

// TestAlertUpdatesTakeRoomOnce: an update that comes while another waits for its turn
// goes with it.
func TestAlertUpdatesTakeRoomOnce(t *testing.T) {
	for name, updates := range map[string]func(d *desk){
		"one message": func(d *desk) { d.hears([]any{gdFinding(1, later(1)), gdFinding(1, later(2)), gdFinding(1, later(3))}) },
		"three at once": func(d *desk) {
			var wg sync.WaitGroup
			for i := range 3 {
				wg.Go(func() { d.hears(gdFinding(1, later(i+1))) })
				time.Sleep(100 * time.Millisecond)
			}
			wg.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.hears(gdFinding(1))
				updates(d)
				room, err := d.alerts().RateLimit(t.Context(), sec)
				d.must(err)
				row := d.row(gdFinding(1))
				if r := d.replies(row); len(room.Slots) != 2 || len(r) != 1 || !strings.Contains(r[0].Text, "seen 4 times, was 1") || row.Stale() {
					t.Errorf("%d times were taken; replies %v", len(room.Slots), r)
				}
			})
		})
	}
}

// TestFindingsJoinByName: by its own name always, by a shared one where its source has not
// told of that alert.
func TestFindingsJoinByName(t *testing.T) {
	hub := func(a *finding.Finding) { a.Source, a.EventID = finding.SecurityHub, "hub" }
	for _, tt := range []struct {
		name    string
		events  []finding.Finding
		cards   int
		sources string // of the first alert, in the order in which they are shown
	}{
		{"a key, told of by all", []finding.Finding{gdFinding(1, key), gdFinding(1, exposed(finding.TrustedAdvisor)), gdFinding(1, exposed(finding.Health))}, 1, "guardduty health trustedadvisor"},
		{"the other way round", []finding.Finding{gdFinding(1, exposed(finding.Health)), gdFinding(1, exposed(finding.TrustedAdvisor)), gdFinding(1, key)}, 1, "guardduty health trustedadvisor"},
		{"the more severe is shown", []finding.Finding{gdFinding(1, key), gdFinding(1, exposed(finding.Health), severe(8))}, 1, "health guardduty"},
		{"two findings on a key", []finding.Finding{gdFinding(1, key), gdFinding(2, key)}, 2, "guardduty"},
		{"then the key is out", []finding.Finding{gdFinding(1, key), gdFinding(2, key), gdFinding(1, exposed(finding.Health))}, 2, "guardduty health"},
		{"first the key is out", []finding.Finding{gdFinding(1, exposed(finding.Health)), gdFinding(1, key), gdFinding(2, key)}, 2, "guardduty health"},
		{"Security Hub's copy", []finding.Finding{gdFinding(1), gdFinding(1, hub)}, 1, "guardduty securityhub"},
		{"Security Hub's copy first, and more severe", []finding.Finding{gdFinding(1, hub, severe(9)), gdFinding(1)}, 1, "guardduty securityhub"},
		{"another account", []finding.Finding{gdFinding(1), gdFinding(1, func(a *finding.Finding) { a.Names = []string{"333333333333/us-east-1/finding-1"} })}, 2, "guardduty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				for _, e := range tt.events {
					d.hears(e)
				}
				d.pass(time.Minute)
				if n := len(d.cards(sec)); n != tt.cards {
					t.Errorf("%d cards, want %d", n, tt.cards)
				}
				var got []string
				for _, r := range d.row(tt.events[0]).Reports {
					got = append(got, string(r.Finding.Source))
				}
				if s := strings.Join(got, " "); s != tt.sources {
					t.Errorf("reports of %s, want %s", s, tt.sources)
				}
				for range 2 { // all of it again
					for _, e := range tt.events {
						d.hears(e)
					}
				}
				if n := len(d.cards(sec)); n != tt.cards {
					t.Errorf("%d cards after all came again, want %d", n, tt.cards)
				}
			})
		})
	}
}

// TestFindingThatIsOver: what is settled changes an alert that there is, and makes no other.
func TestFindingThatIsOver(t *testing.T) {
	over := func(a *finding.Finding) { a.Over = true }
	atDesk(t, func(t *testing.T, d *desk) {
		out := gdFinding(1, exposed(finding.TrustedAdvisor))
		d.hears(gdFinding(9, over), out)
		if n := len(d.cards(sec)); n != 1 {
			t.Fatalf("%d cards", n)
		}
		d.hears(gdFinding(1, exposed(finding.TrustedAdvisor), over, later(1)))
		if row := d.row(out); !row.Over || !strings.Contains(d.cards(sec)[0].Text, "AL-") || strings.Contains(string(d.cards(sec)[0].Blocks), "propose:") {
			t.Errorf("over: %v, card %s", row.Over, d.cards(sec)[0].Blocks)
		}
		if r := d.replies(d.row(out)); len(r) != 1 || !strings.Contains(r[0].Text, "over") {
			t.Errorf("replies %v", r)
		}
		d.hears(out) // late
		if !d.row(out).Over {
			t.Error("a late report opened it again")
		}
		d.hears(gdFinding(1, exposed(finding.TrustedAdvisor), later(2)))
		if row := d.row(out); row.Over || !strings.Contains(string(d.cards(sec)[0].Blocks), "propose:") {
			t.Error("it was told of again, and stays settled")
		}
	})
	atDesk(t, func(t *testing.T, d *desk) { // what another source says stays open
		d.hears(gdFinding(1, exposed(finding.Health)), gdFinding(1, exposed(finding.TrustedAdvisor)), gdFinding(1, exposed(finding.TrustedAdvisor), over, later(1)))
		row := d.row(gdFinding(1, exposed(finding.Health)))
		if row.Over || row.Reports[0].Finding.Source != "health" {
			t.Errorf("over: %v, shown %s", row.Over, row.Reports[0].Finding.Source)
		}
		r := d.replies(row)
		if len(r) == 0 || !strings.Contains(r[len(r)-1].Text, "Trusted Advisor says it is over; another source does not.") {
			t.Errorf("replies %v", r)
		}
	})
	atDesk(t, func(t *testing.T, d *desk) { // who never said it was out can't settle another's finding
		d.hears(gdFinding(1, key), gdFinding(1, exposed(finding.TrustedAdvisor), over))
		if row := d.row(gdFinding(1)); len(row.Reports) != 1 {
			t.Errorf("%d reports", len(row.Reports))
		}
	})
}

// TestAlertFromTheFuture: nobody makes what follows late by sending something of
// the year 9999, whichever comes first.
func TestAlertFromTheFuture(t *testing.T) {
	for _, first := range []bool{true, false} {
		atDesk(t, func(t *testing.T, d *desk) {
			genuine := gdFinding(1, exposed(finding.TrustedAdvisor))
			time.Sleep(time.Until(genuine.Updated))
			forged := gdFinding(1, exposed(finding.TrustedAdvisor), func(a *finding.Finding) {
				a.Title, a.Updated = "forged", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
			})
			over := forged
			over.Over = true
			if first {
				d.hears(forged, over, genuine)
			} else {
				d.hears(genuine, forged, over)
			}
			row := d.row(genuine)
			if a := alerts.Shown(row.Reports); row.Over || a.Title != genuine.Title || !row.Reports[0].Finding.Updated.Equal(genuine.Updated) {
				t.Errorf("forged first %v: %s, over %v", first, a.Title, row.Over)
			}
			d.hears(gdFinding(1, exposed(finding.TrustedAdvisor), later(1), func(a *finding.Finding) { a.Over = true }))
			if !d.row(genuine).Over {
				t.Error("what follows counts for nothing")
			}
		})
	}
}

// TestOnlyRoutedFindingsArePosted: no route, no alert; a route names the channel.
func TestOnlyRoutedFindingsArePosted(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.Findings.Routes[0].Channel = "C0OTHER"
		d.hears(
			gdFinding(1), findingtest.Said{Finding: gdFinding(2), Ignored: true}, []any{},
			gdFinding(3, severe(2), func(a *finding.Finding) { a.Source = finding.SecurityHub }),
			gdFinding(4, func(a *finding.Finding) { a.Quiet = true }),
		)
		if n, m := len(d.cards("C0OTHER")), len(d.cards(sec)); n != 1 || m != 0 {
			t.Errorf("%d cards in the route's channel, %d in the incident channel", n, m)
		}
		want := map[string]int{"AlertsNew": 1, "AlertsUnrouted": 2, "EventsIgnored": 1}
		if diff := cmp.Diff(want, d.counted); diff != "" {
			t.Error(diff)
		}
		if d.store.writes == 0 {
			t.Error("nothing was written")
		}
	})
}

// TestUnreadableEvents: each event on its own, told once an hour and source, and
// set aside.
func TestUnreadableEvents(t *testing.T) {
	bad := func(s finding.Source, id string) findingtest.Said {
		return findingtest.Said{Finding: finding.Finding{Source: s, EventID: id}, Bad: "detail.severity is not a number"}
	}
	atDesk(t, func(t *testing.T, d *desk) {
		err := d.HandleEvent(t.Context(), body([]any{bad(finding.GuardDuty, "e-1 <!here>"), gdFinding(1), bad(finding.GuardDuty, "e-2"), gdFinding(2)}))
		if !errors.Is(err, approvals.ErrUnreadable) {
			t.Errorf("error %v", err)
		}
		if n := len(d.cards(sec)); n != 2 {
			t.Errorf("%d cards, want those of the good ones", n)
		}
		notices := func() (texts []string) {
			for _, m := range d.slack.Messages(sec) {
				if strings.Contains(m.Text, "could not be read") {
					texts = append(texts, m.Text)
				}
			}
			return texts
		}
		if n := notices(); len(n) != 1 || !strings.Contains(n[0], "GuardDuty") || !strings.Contains(n[0], "e-1 &lt;!here&gt;") {
			t.Errorf("notices %q", n)
		}
		for _, raw := range []string{`{"detail`, "", "[1", `"x"`} {
			if err := d.HandleEvent(t.Context(), []byte(raw)); !errors.Is(err, approvals.ErrUnreadable) {
				t.Errorf("%q: error %v", raw, err)
			}
		}
		d.must(ignore(d.HandleEvent(t.Context(), body(bad(finding.Health, "e-3"))), approvals.ErrUnreadable))
		if n := notices(); len(n) != 3 {
			t.Errorf("notices %q, want one a source, and one of none", n)
		}
		time.Sleep(59 * time.Minute)
		d.must(ignore(d.HandleEvent(t.Context(), body(bad(finding.GuardDuty, "e-4"))), approvals.ErrUnreadable))
		if n := notices(); len(n) != 3 {
			t.Errorf("notices %q within the hour", n)
		}
		time.Sleep(time.Minute)
		d.must(ignore(d.HandleEvent(t.Context(), body(bad(finding.GuardDuty, "e-5"))), approvals.ErrUnreadable))
		if n := notices(); len(n) != 4 || !strings.Contains(n[3], "e-5") {
			t.Errorf("notices %q after an hour", n)
		}
	})
	atDesk(t, func(t *testing.T, d *desk) { // rubbish by a webhook does not hide what EventBridge brings
		d.must(ignore(d.HandleWebhook(t.Context(), Webhook{ID: "eventbridge", Path: "/events", Body: string(body(bad(finding.GuardDuty, "rubbish")))}), approvals.ErrUnreadable))
		d.must(ignore(d.HandleEvent(t.Context(), body(bad(finding.GuardDuty, "genuine"))), approvals.ErrUnreadable))
		if m := d.slack.Messages(sec); len(m) != 2 || !strings.Contains(m[0].Text, "by the webhook eventbridge") || !strings.Contains(m[1].Text, "genuine") {
			t.Errorf("messages %v", m)
		}
	})
	atDesk(t, func(t *testing.T, d *desk) { // what could not be told is not set aside yet
		d.slack.OnCall(func(string, bool) error { return errBroken })
		err := d.HandleEvent(t.Context(), body(bad(finding.GuardDuty, "e-1")))
		if err == nil || errors.Is(err, approvals.ErrUnreadable) {
			t.Errorf("error %v", err)
		}
		d.slack.OnCall(nil)
		if err := d.HandleEvent(t.Context(), body(bad(finding.GuardDuty, "e-1"))); !errors.Is(err, approvals.ErrConflict) || errors.Is(err, approvals.ErrUnreadable) {
			t.Errorf("error %v while somebody may be telling it", err)
		}
		time.Sleep(noticeLease)
		if err := d.HandleEvent(t.Context(), body(bad(finding.GuardDuty, "e-1"))); !errors.Is(err, approvals.ErrUnreadable) || len(d.slack.Messages(sec)) != 1 {
			t.Errorf("error %v, messages %v", err, d.slack.Messages(sec))
		}
	})
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return fmt.Errorf("it is not %w: %w", what, err)
}

// TestTroubleWithOneEvent: the others are handled, and all come again.
func TestTroubleWithOneEvent(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		err := d.HandleEvent(t.Context(), body([]any{
			findingtest.Said{Finding: gdFinding(1), Panics: true}, gdFinding(2), findingtest.Said{Finding: gdFinding(3), Bad: "no"},
		}))
		if err == nil || errors.Is(err, approvals.ErrUnreadable) {
			t.Errorf("error %v: it must come again for the first", err)
		}
		if n := len(d.cards(sec)); n != 1 {
			t.Errorf("%d cards", n)
		}
	})
	atDesk(t, func(t *testing.T, d *desk) {
		d.store.fail = func(puts []approvals.Put, after bool) error {
			if !after && puts[0].Part == approvals.AlertID(gdFinding(1).Own()) {
				return errBroken
			}
			return nil
		}
		if err := d.HandleEvent(t.Context(), body([]any{gdFinding(1), gdFinding(2)})); !errors.Is(err, errBroken) {
			t.Errorf("error %v", err)
		}
		d.store.fail = nil
		d.hears([]any{gdFinding(1), gdFinding(2)})
		if n := len(d.cards(sec)); n != 2 {
			t.Errorf("%d cards", n)
		}
	})
}

// TestWebhookEvents: only of webhooks that may bring them.
func TestWebhookEvents(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		send := func(n int, w Webhook) {
			t.Helper()
			w.Body = string(body([]any{gdFinding(n)}))
			d.must(d.HandleWebhook(t.Context(), w))
		}
		send(1, Webhook{ID: "soar", Path: "/events"})
		send(2, Webhook{ID: "", Path: "/events"})
		send(3, Webhook{ID: "eventbridge", Path: "/requests"})
		if n := len(d.slack.Messages(sec)); n != 0 || d.store.writes != 0 {
			t.Errorf("%d messages, %d writes", n, d.store.writes)
		}
		send(4, Webhook{ID: "eventbridge", Path: "/events"})
		send(4, Webhook{ID: "eventbridge", Path: "/events", Drill: "D1"})
		if c := d.cards(sec); len(c) != 2 || !strings.HasPrefix(c[1].Text, "[DRILL] ") {
			t.Errorf("cards %v", c)
		}
		e, err := d.Requests.Evidence(t.Context(), d.row(gdFinding(4)).Reports[0].Event)
		d.must(err)
		var kept finding.Event
		d.must(json.Unmarshal([]byte(e.Body), &kept))
		if kept.Webhook != "eventbridge" || kept.Drill != "" {
			t.Errorf("the evidence says %+v", kept)
		}
	})
}

// TestExposedKey: its activity is looked up without anybody asking, once.
func TestExposedKey(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		a := gdFinding(1, exposed(finding.TrustedAdvisor))
		d.jobs.err = errBroken
		d.hears(a)
		d.jobs.err = nil
		d.pass(30 * time.Second)
		id := approvals.AlertID(a.Own())
		if ids := d.jobs.of(approvals.JobActivity); len(ids) != 1 || ids[0] != id {
			t.Fatalf("jobs %v", d.jobs.jobs)
		}
		d.report(id)
		for range 3 {
			d.must(d.HandleChange(t.Context(), approvals.Change{ID: id}))
		}
		if r := d.replies(d.row(a)); len(r) != 1 || !strings.HasPrefix(r[0].Text, id+": ") || r[0].Broadcast {
			t.Errorf("replies %v", r)
		}
		jobs := len(d.jobs.jobs)
		d.hears(a, gdFinding(1, exposed(finding.TrustedAdvisor), later(1)))
		if n := len(d.jobs.of(approvals.JobActivity)); n != 1 || len(d.jobs.jobs) == jobs {
			t.Errorf("%d look-ups of activity, %v", n, d.jobs.jobs)
		}
		if ids := d.jobs.of(approvals.JobTrace); ids[0] != id { // until there is a row of it
			t.Errorf("jobs %v", d.jobs.jobs)
		}
	})
	atDesk(t, func(t *testing.T, d *desk) { // a key that is a finding's is looked up only when asked for
		a := gdFinding(1, func(a *finding.Finding) { a.Subject = trail.Subject{By: "AccessKeyId", Value: "AKIAEXAMPLE"} })
		d.hears(a)
		if len(d.jobs.jobs) != 0 {
			t.Fatalf("jobs %v", d.jobs.jobs)
		}
		click := d.clicks(ana.Slack, d.row(a), "activity")
		d.slack.Send(click.Request, click.SentHeader) // delivered again
		if ids := d.jobs.of(approvals.JobActivity); len(ids) != 1 || !d.row(a).Activity {
			t.Errorf("jobs %v", d.jobs.jobs)
		}
		for i := range 3 { // it is looked up anew, and told anew
			time.Sleep(time.Hour)
			d.report(d.row(a).ID)
			for range 2 {
				d.must(d.HandleChange(t.Context(), approvals.Change{ID: d.row(a).ID}))
			}
			if n := len(d.replies(d.row(a))); n != i+1 {
				t.Errorf("%d replies after %d reports", n, i+1)
			}
		}
	})
}
