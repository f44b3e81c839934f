package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// TestApproverWhoJoinedLateIsTold: who came into the group after the plan is told so; the
// click must not end the request, and the card does not ask them.
func TestApproverWhoJoinedLateIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.slack.SetUser(slackfake.User{ID: "U06DAVE", Name: "dave"}) })
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.cfg.Policy.Roster.People = append(w.cfg.Policy.Roster.People, approvals.Person{ID: "dave", Slack: "U06DAVE"})
	w.cfg.Policy.Roster.Groups["responders"] = append(w.cfg.Policy.Roster.Groups["responders"], "dave")
	w.start()
	w.pass(time.Minute)
	w.clicks("U06DAVE", r, "approve")
	w.told("U06DAVE", "after this was planned")
	if r = w.state(r, approvals.Pending); len(r.Votes) != 0 {
		t.Errorf("votes: %+v", r.Votes)
	}
	if strings.Contains(w.card(r), "U06DAVE") {
		t.Errorf("the card asks them: %s", w.card(r))
	}
	w.untouched()
	w.clicks("U02BOB", r, "approve")
	w.state(r, approvals.Contained)
}

// TestShownWordsAreBound: an approval of a card that showed another reason, or
// another requester, than the request's own must not count.
func TestShownWordsAreBound(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(*approvals.Request){
		"reason":    func(r *approvals.Request) { r.Reason = "planned drill, agreed with the CISO" },
		"requester": func(r *approvals.Request) { r.Requester.Person = "carol" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.state(w.asks("U01ALICE", command), approvals.Pending)
			w.edit(r, func(r *approvals.Request) { forge(r); r.Revise() })
			w.pass(5 * time.Second)
			forged := w.again(r)
			w.shows(r, "Why ("+forged.Requester.Person+"): "+forged.Reason)
			w.slack.Click("U02BOB", channel, r.Card.TS, "approve")
			_, err := w.zones.Pumps[0].Once(t.Context())
			w.must(err)
			w.edit(r, func(s *approvals.Request) { s.Reason, s.Requester = r.Reason, r.Requester }) // and now nobody sees
			w.drain()
			w.state(r, approvals.Refused)
			w.shows(r, "did not show who asked and why")
			w.untouched()
		})
	}
}
