package bot

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/approvals/finding/findingtest"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// mortal kills the bot at the nth effect: before or after a write, a call of
// Slack, or a job. From then on it has no effect any more.
type mortal struct {
	d    *desk
	at   int
	n    int
	dead bool
	what string
}

func (m *mortal) point(what string) error {
	if !m.dead {
		if m.n++; m.n == m.at {
			m.dead, m.what = true, what
		}
	}
	if m.dead {
		return errBroken
	}
	return nil
}

func (m *mortal) watch() {
	m.d.store.fail = func(puts []approvals.Put, after bool) error {
		return m.point(fmt.Sprintf("write %s (after: %v)", puts[0].Sort, after))
	}
	m.d.slack.OnCall(func(method string, after bool) error { return m.point(fmt.Sprintf("%s (after: %v)", method, after)) })
	m.d.jobs.before = func() error { return m.point("job") }
}

func (m *mortal) off() {
	m.d.store.fail = nil
	m.d.slack.OnCall(nil)
	m.d.jobs.before = nil
}

// lives does something until it is acknowledged, over the death of the bot, and
// then lets a minute pass.
func (m *mortal) lives(do func() error) {
	for range 10 {
		err := do()
		if m.dead {
			m.dead, m.at = false, 0
			time.Sleep(30 * time.Second) // leases end
			m.d.pass(20 * time.Second)
			if err == nil { // Slack has its answer, or the queue has
				err = errBroken
			}
		}
		if err == nil {
			break
		}
	}
	m.d.pass(time.Minute)
	if m.dead { // in the sweep
		m.dead, m.at = false, 0
		time.Sleep(30 * time.Second)
		m.d.pass(2 * time.Minute)
	}
}

func (m *mortal) hears(as ...any) {
	m.lives(func() error { return m.d.HandleEvent(m.d.Context(), body(as)) })
}

// clicks delivers one click until it is handled.
func (m *mortal) clicks(user string, ts, button, value string) {
	var first slackfake.Delivered
	m.lives(func() error {
		got := first
		if first.Request == nil {
			first = m.d.slack.ClickRaw(user, sec, ts, clickOn(button, value))
			got = first
		} else {
			got = m.d.slack.Send(first.Request, first.SentHeader)
		}
		if got.Status != http.StatusOK {
			return errBroken
		}
		return nil
	})
}

var requestIDs = regexp.MustCompile(`KS-[0-9A-Z]{12}`)

// end is what people see: each message in the channel and the threads, by its text.
func (m *mortal) end() (texts []string) {
	m.off()
	for _, msg := range m.d.slack.Messages(sec) {
		switch {
		case msg.EphemeralTo != "":
		case strings.Contains(msg.Text, "· DG-"): // a death may make two of one
			ids, _ := m.d.lists(msg)
			texts = append(texts, ids...)
		default:
			text := requestIDs.ReplaceAllString(msg.Text, "KS") // it is derived from the time of the click
			texts = append(texts, fmt.Sprintf("thread %v, channel %v: %s", msg.ThreadTS != "", msg.Broadcast, text))
		}
	}
	slices.Sort(texts)
	return texts
}

// TestBotThatDiesAnywhereLosesNothing: whenever the bot dies, the end is the same, with nothing lost and
// nothing twice.
func TestBotThatDiesAnywhereLosesNothing(t *testing.T) {
	every := thin.Every(t, 7, "the points at which the process dies")
	for name, story := range map[string]func(m *mortal){
		"a finding": func(m *mortal) {
			m.hears(gdFinding(1, key))
			m.hears(gdFinding(1, exposed(finding.Health)))
			m.hears(gdFinding(1, key, later(3), severe(8)))
			row := m.d.row(gdFinding(1))
			m.d.report(row.ID)
			m.lives(func() error { return m.d.HandleChange(m.d.Context(), approvals.Change{ID: row.ID}) })
			m.clicks(ana.Slack, row.Card.TS, "ack", approvals.Value(row.ID, "-"))
			m.clicks(ben.Slack, row.Card.TS, propose, approvals.Value(row.ID, approvals.IntentDigest(approvals.Intent{Call: gdFinding(1).Containments[0].Call})))
		},
		"by itself": func(m *mortal) {
			m.d.Findings.Routes[0].Delivery = finding.Auto
			m.hears(gdFinding(1, isolate))
		},
		"unreadable": func(m *mortal) {
			m.lives(func() error {
				return ignore(m.d.HandleEvent(m.d.Context(), body(findingtest.Said{Finding: gdFinding(1), Bad: "no"})), approvals.ErrUnreadable)
			})
		},
		"a digest": func(m *mortal) {
			m.off()                                                                                     // not while they are stored: that is as with one
			m.d.must(m.d.alerts().ChangeRateLimit(m.d.Context(), sec, func(r *alerts.RateLimit) error { // none for a while
				for range alerts.RatePosts {
					r.Slots = append(r.Slots, time.Now().Add(40*time.Minute))
				}
				return nil
			}))
			for i := range 98 {
				m.d.hears(gdFinding(i))
			}
			m.watch()
			m.hears(gdFinding(98), gdFinding(99))
			m.clicks(ana.Slack, m.d.digests()[0].TS, "alert", approvals.Value(m.d.row(gdFinding(5)).ID, "-"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(at int) (points int, what string, end []string) {
				atDesk(t, func(t *testing.T, d *desk) {
					m := &mortal{d: d, at: at}
					m.watch()
					story(m)
					points, what, end = m.n, m.what, m.end()
					rows, err := d.alerts().Marked(t.Context(), "", 1000)
					d.must(err)
					if len(rows) > 0 {
						t.Errorf("killed %s: %d alerts are left", what, len(rows))
					}
				})
				return points, what, end
			}
			points, _, want := run(0)
			t.Logf("%d points, %d messages", points, len(want))
			for at := 1; at <= points; at += every {
				_, what, got := run(at)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("killed at %d, %s:\n%s", at, what, diff)
				}
			}
			if !strings.Contains(strings.Join(want, "\n"), "channel") {
				t.Error("nothing was said")
			}
		})
	}
}
