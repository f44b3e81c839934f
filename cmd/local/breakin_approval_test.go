package local_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// without lets a person leave.
func (w *world) without(id string) {
	w.cfg.Policy.Roster.People = slices.DeleteFunc(slices.Clone(w.cfg.Policy.Roster.People), func(p approvals.Person) bool { return p.ID == id })
	w.cfg.Policy.Roster.Groups = map[string][]string{"responders": slices.DeleteFunc(slices.Clone(w.cfg.Policy.Roster.Groups["responders"]), func(p string) bool { return p == id })}
}

// TestRetryOfWhatIsNoLongerApproved: one person must not, by a retry, run what
// nobody who counts has approved.
func TestRetryOfWhatIsNoLongerApproved(t *testing.T) {
	for name, alter := range map[string]func(*world){
		"the approver left": func(w *world) {
			w.without("bob")
			w.cfg.Policy.Roster.People = append(w.cfg.Policy.Roster.People, approvals.Person{ID: "dave", Slack: "U06DAVE"})
			w.cfg.Policy.Roster.Groups["responders"] = append(w.cfg.Policy.Roster.Groups["responders"], "dave")
		},
		"the policy wants two":     func(w *world) { w.cfg.Policy.Default.Approvals = 2 },
		"the account is protected": func(w *world) { w.cfg.Org.ProtectedAccounts = append(w.cfg.Org.ProtectedAccounts, prod) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.aws.Fault(denied("iam:PutRolePolicy"))
			r := w.asks("U01ALICE", command)
			w.clicks("U02BOB", w.again(r), "approve")
			r = w.state(r, approvals.Partial)
			w.aws.ClearFaults()
			alter(w)
			w.start()
			n := w.aws.Mutations()
			w.clock.Add(time.Minute)
			w.clicks("U01ALICE", r, "retry")
			w.pass(time.Minute)
			w.state(r, approvals.Partial)
			w.shows(r, "t is no longer approved")
			if w.policy("app-role") != "" || w.aws.Mutations() != n {
				t.Error("it ran")
			}
			if e, _ := w.event(r, "retry_refused"); e.Actor != "alice" {
				t.Errorf("it is not in the chain: %+v", e)
			}
		})
	}
}

// TestApproverOfLater: who came into the group after the plan is told so; the
// click must not end the request, and the card does not ask them.
func TestApproverOfLater(t *testing.T) {
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

// TestProtectedSinceThePlan: what the configuration protects by now must not be
// touched, whatever was approved.
func TestProtectedSinceThePlan(t *testing.T) {
	w := newWorld(t)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.cfg.Org.ProtectedAccounts = append(w.cfg.Org.ProtectedAccounts, prod)
	w.start()
	w.clicks("U02BOB", r, "approve")
	w.state(r, approvals.Refused)
	w.shows(r, "is protected by the configuration")
	w.untouched()
}

// TestShownWordsAreBound: an approval of a card that showed another reason, or
// another requester, than the request's own must not count.
func TestShownWordsAreBound(t *testing.T) {
	for name, forge := range map[string]func(*approvals.Request){
		"reason":    func(r *approvals.Request) { r.Reason = "planned drill, agreed with the CISO" },
		"requester": func(r *approvals.Request) { r.Requester.Person = "carol" },
	} {
		t.Run(name, func(t *testing.T) {
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
