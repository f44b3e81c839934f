package local_test

import (
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestReasonOfADenialIsInTheChain: also what was typed into the form after the no.
func TestReasonOfADenialIsInTheChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.clicks("U02BOB", r, "deny")
	w.slack.Submit("U02BOB", w.slack.Views("U02BOB")[0].ID, map[string]map[string]string{"reason": {"reason": "wrong role"}})
	w.drain()
	w.pass(time.Minute)
	if e, n := w.event(r, "reason"); n != 1 || e.Actor != "bob" || e.Facts["reason"] != "wrong role" {
		t.Errorf("%d times in the chain: %+v", n, e)
	}
	if e, n := w.event(r, "denied"); n != 1 || e.Actor != "bob" {
		t.Errorf("%d times in the chain: %+v", n, e)
	}
}

// TestEvidenceExpires: what people sent, with the URL to answer them, is removed
// when it is over; what came of it stays.
func TestEvidenceExpires(t *testing.T) {
	t.Parallel()
	for name, alter := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, alter...)
			r := w.contained(command)
			w.pass(time.Minute)
			r = w.again(r)
			keys := []string{r.Evidence, r.Votes[0].Evidence}
			for _, days := range []int{6, 2} {
				w.clock.Add(time.Duration(days) * 24 * time.Hour)
				w.zones.Expire(t.Context(), w.clock.Now())
				for _, key := range keys {
					_, err := approvals.Requests{Store: w.Requests}.Evidence(t.Context(), key)
					if there := err == nil; there != (days == 6) {
						t.Errorf("after %d more days: there %v: %v", days, there, err)
					}
				}
			}
			w.state(r, approvals.Contained)
			w.chain(r)
		})
	}
}
