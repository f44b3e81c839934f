package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// approvedBehind approves as bob, and lets somebody alter the row before the
// executor hears of it.
func (w *world) approvedBehind(alter func(*approvals.Request)) approvals.Request {
	w.t.Helper()
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.slack.Click("U02BOB", channel, r.Card.TS, "approve")
	_, err := w.zones.Pumps[0].Once(w.t.Context())
	w.must(err)
	w.edit(r, alter)
	w.drain()
	return w.state(r, approvals.Contained)
}

// TestApprovalInTheChainIsProved: the chain names who approved, when and by what
// evidence, as it was proved, not as a row says.
func TestApprovalInTheChainIsProved(t *testing.T) {
	for name, alter := range map[string]func(*approvals.Request){
		"another's name": func(r *approvals.Request) { r.Votes[0].Person, r.Votes[0].Slack = "carol", "U03CAROL" },
		"another time":   func(r *approvals.Request) { r.Votes[0].At = r.Votes[0].At.Add(-time.Hour) },
		"one more": func(r *approvals.Request) {
			v := r.Votes[0]
			v.Evidence, v.At = strings.Repeat("f", 64), v.At.Add(-time.Hour)
			r.Votes = append(r.Votes, v)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			at := w.clock.Now()
			r := w.approvedBehind(alter)
			e, n := w.event(r, "approved")
			if n != 1 || e.Actor != "bob" || e.Facts["at"] != at.Format(time.RFC3339) || e.Facts["evidence"] != r.Votes[0].Evidence {
				t.Errorf("%d approvals in the chain, the last is %+v", n, e)
			}
			if got := w.run(r).Approvers; len(got) != 1 || got[0] != "bob" {
				t.Errorf("approvers: %v", got)
			}
		})
	}
}

// TestReasonOfADenialIsInTheChain: also what was typed into the form after the no.
func TestReasonOfADenialIsInTheChain(t *testing.T) {
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

// TestForgedNoNamesNobody: a no counts, but the chain must not name somebody as
// its author on the word of a row.
func TestForgedNoNamesNobody(t *testing.T) {
	for name, forge := range map[string]func(w *world, r approvals.Request) approvals.Vote{
		"with no such evidence": func(*world, approvals.Request) approvals.Vote {
			return approvals.Vote{Party: approvals.Party{Person: "bob", Slack: "U02BOB"}, Evidence: strings.Repeat("e", 64), Reason: "I am in on it"}
		},
		"with none": func(*world, approvals.Request) approvals.Vote {
			return approvals.Vote{Party: approvals.Party{Person: "bob", Slack: "U02BOB"}, Reason: "I am in on it"}
		},
		"with the evidence of another click": func(w *world, r approvals.Request) approvals.Vote {
			w.cfg.Policy.Default.Approvals = 2
			w.clicks("U02BOB", r, "approve")
			return approvals.Vote{Party: approvals.Party{Person: "bob", Slack: "U02BOB"}, Evidence: w.again(r).Votes[0].Evidence, Reason: "I am in on it"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(w *world) { w.cfg.Policy.Default.Approvals = 2 })
			r := w.state(w.asks("U01ALICE", command), approvals.Pending)
			v := forge(w, r)
			w.edit(r, func(r *approvals.Request) { r.State, r.Denial = approvals.Denied, &v })
			w.must(w.Jobs.Send(t.Context(), []byte(`{"verb":"close","id":"`+r.ID+`"}`), 0))
			w.drain()
			if e, n := w.event(r, "denied"); n != 1 || e.Actor != "" {
				t.Errorf("%d times in the chain: %+v", n, e)
			}
		})
	}
}

// TestEvidenceGoes: what people sent, with the URL to answer them, is removed
// when it is over; what came of it stays.
func TestEvidenceGoes(t *testing.T) {
	for name, alter := range stores {
		t.Run(name, func(t *testing.T) {
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
