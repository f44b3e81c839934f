package bot

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// planned stores requests that have just been planned, and are about to be pending.
func (d *desk) planned(n int) (ids []string) {
	d.Helper()
	for i := range n {
		call := actions.Call{Action: actions.RevokeSessions, Target: fmt.Sprintf("arn:aws:iam::%s:role/role-%d", account, i), Account: account}
		r := approvals.Request{
			ID: approvals.ShortID("KS-", fmt.Sprint(i)), State: approvals.Planning, Intent: approvals.Intent{Call: call}, Reason: "a test",
			Requester: approvals.Actor{Person: ana.ID, Slack: ana.Slack}, Asked: time.Now(), Expires: time.Now().Add(30 * time.Minute), Need: 1,
			Card: approvals.Card{Channel: sec},
		}
		d.must(d.Requests.Create(d.Context(), r))
		d.must(d.runs.Write(d.Context(), approvals.PutRow(approvals.PlannedKey(r.ID), 0, approvals.Planned{ID: r.ID, Intent: r.Intent, Account: account})))
		ids = append(ids, r.ID)
	}
	return ids
}

// TestPlanIsPostedWhereTheClockRuns: a plan waits for nothing, and a quiet channel takes it, though time goes by
// between two looks at the clock.
func TestPlanIsPostedWhereTheClockRuns(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.Now = func() time.Time { time.Sleep(time.Microsecond); return time.Now() }
		for _, id := range d.planned(1) {
			d.becomes(id, approvals.Pending)
		}
		d.pass(time.Minute)
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, m := range d.posts {
			if strings.HasSuffix(m.Text, ": the plan") {
				return
			}
		}
		t.Errorf("no plan, %d posts", len(d.posts))
	})
}

// TestCallsGoFirst: where Slack takes a message a second, whoever must act is called before
// anything else is told, and nothing is lost.
func TestCallsGoFirst(t *testing.T) {
	const n = 8
	atDesk(t, func(t *testing.T, d *desk) {
		began := time.Now()
		ids := d.planned(n)
		var wg sync.WaitGroup
		for _, id := range ids {
			wg.Go(func() { d.becomes(id, approvals.Pending) })
		}
		wg.Wait()
		d.pass(2 * time.Minute)
		calls, plans := 0, 0
		var last time.Duration
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, m := range d.posts {
			switch {
			case strings.HasPrefix(m.Text, "Approve? "):
				calls++
				last = time.Duration((seconds(m.TS) - float64(began.Unix())) * float64(time.Second))
			case strings.HasSuffix(m.Text, ": the plan"):
				if plans++; plans > 3 && calls < n {
					t.Errorf("%d plans before the last call", plans)
				}
			}
		}
		if calls != n || plans != n {
			t.Errorf("%d calls and %d plans of %d", calls, plans, n)
		}
		if last > n*time.Second {
			t.Errorf("the last call came after %s", last)
		}
		for _, c := range d.slack.Calls() {
			if c.Method == "chat.postMessage" && c.Status == http.StatusTooManyRequests {
				t.Errorf("Slack refused a message: %+v", c)
			}
		}
	}, asSlackDoes)
}

// TestManyOfOnePersonLeaveTurns: of twenty cards that become due at once, by as many workers, those of the
// next person go ahead; none is lost.
func TestManyOfOnePersonLeaveTurns(t *testing.T) {
	const n = 20
	atDesk(t, func(t *testing.T, d *desk) {
		ids := d.planned(n + 1)
		of := func(r *approvals.Request) error {
			r.Requester = approvals.Actor{Person: ben.ID, Slack: ben.Slack}
			return nil
		}
		_, err := d.Requests.Change(t.Context(), ids[n], of)
		d.must(err)
		var wg sync.WaitGroup
		for _, id := range ids[:n] {
			wg.Go(func() { d.becomes(id, approvals.Pending) })
		}
		time.Sleep(50 * time.Millisecond)
		began := time.Now()
		d.becomes(ids[n], approvals.Pending)
		if waited := time.Since(began); d.request(ids[n]).Card.TS == "" || waited > 2500*time.Millisecond { // two turns
			t.Errorf("the other's call waited %s", waited)
			for _, c := range d.slack.Calls() {
				t.Logf("%s %s %d %s", c.At.Sub(began), c.Method, c.Status, c.Error)
			}
		}
		wg.Wait()
		d.pass(2 * time.Minute)
		for _, id := range ids {
			if r := d.request(id); r.Card.State != approvals.Pending {
				t.Errorf("%s has no card", id)
			}
		}
		for _, c := range d.slack.Calls() {
			if c.Method == "chat.postMessage" && c.Status == http.StatusTooManyRequests {
				t.Errorf("Slack refused a message: %+v", c)
			}
		}
	}, asSlackDoes)
}

// TestLostLeaseWritesNothing: who drew a card for so long that another worker has begun leaves
// the card to it.
func TestLostLeaseWritesNothing(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		id := d.planned(1)[0]
		theirs := approvals.Lease{Until: time.Now().Add(time.Hour).UTC()}
		once := false
		d.slack.OnCall(func(method string, after bool) error {
			if method == "chat.postMessage" && after && !once {
				once = true
				_, err := d.Requests.Change(t.Context(), id, func(r *approvals.Request) error {
					r.Card.Lease, r.Card.TS = theirs, "1.000001"
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		d.becomes(id, approvals.Pending)
		if c := d.request(id).Card; !c.Lease.Until.Equal(theirs.Until) || c.TS != "1.000001" {
			t.Errorf("the card is %+v", c)
		}
	})
}

// TestCardLeavesAChannelThatIsGone: what a channel takes no more goes to the incident channel,
// posted or not, with its thread; nothing is lost, nothing is there twice.
func TestCardLeavesAChannelThatIsGone(t *testing.T) {
	elsewhere := func(d *desk) { d.Findings.Routing.Routes[0].Channel = "C0OTHER" }
	in := func(d *desk, channel, word string) (n int) {
		for _, m := range d.slack.Messages(channel) {
			if m.EphemeralTo == "" && strings.Contains(m.Text, word) {
				n++
			}
		}
		return n
	}
	for name, before := range map[string]bool{"before the alert": true, "after it": false} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				if before {
					d.slack.Archive("C0OTHER")
				}
				d.hears(gdFinding(1))
				d.slack.Archive("C0OTHER")
				d.pass(time.Minute)
				d.hears(gdFinding(1, severe(8), later(3)))
				d.pass(2 * time.Minute)
				if row := d.row(gdFinding(1)); row.Card.Channel != sec || row.Stale() {
					t.Errorf("the card is %+v", row.Card)
				}
				if n := in(d, sec, "high: "); n != 1 {
					t.Errorf("%d cards in the incident channel", n)
				}
			}, elsewhere)
		})
	}
	t.Run("a request", func(t *testing.T) {
		atDesk(t, func(t *testing.T, d *desk) {
			id := d.planned(1)[0]
			_, err := d.Requests.Change(t.Context(), id, func(r *approvals.Request) error { r.Card.Channel = "C0OTHER"; return nil })
			d.must(err)
			d.becomes(id, approvals.Pending)
			d.slack.Archive("C0OTHER")
			d.pass(3 * time.Minute)
			if c := d.request(id).Card; c.Channel != sec || in(d, sec, id) < 2 {
				t.Errorf("the card is %+v, with %d messages", c, in(d, sec, id))
			}
		})
	})
}
