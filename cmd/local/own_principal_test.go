package local_test

import (
	"slices"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// bobs makes the target of most tests bob's own.
func bobs(w *world) {
	w.cfg.Policy.Roster.People = slices.Clone(w.cfg.Policy.Roster.People)
	for i, p := range w.cfg.Policy.Roster.People {
		if p.ID == "bob" {
			w.cfg.Policy.Roster.People[i].Principals = []string{appRole}
		}
	}
}

// TestTargetsOwnPersonIsNotAskedAndNotHeard: the card calls the others alone and says why; a click by whose own
// it is approves and denies nothing, nor on the undo.
func TestTargetsOwnPersonIsNotAskedAndNotHeard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bobs)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.shows(r, "No vote @U02BOB: it is about them")
	w.called("Approve? <@U03CAROL>: ")
	for _, button := range []string{"approve", "deny"} {
		w.clicks("U02BOB", r, button)
		w.told("U02BOB", "about your own principal: others decide")
		r = w.state(r, approvals.Pending)
	}
	w.types("U02BOB", "deny "+r.ID+" leave it")
	r = w.state(r, approvals.Pending)
	w.clicks("U03CAROL", r, "approve")
	r = w.state(r, approvals.Contained)
	w.clicks("U03CAROL", r, "undo")
	var undo approvals.Request
	rs, err := approvals.Requests{Store: w.Requests}.Marked(t.Context(), approvals.MarkOpen, "", 100)
	w.must(err)
	for _, o := range rs {
		if o.Intent.Undo == r.ID {
			undo = w.state(o, approvals.Pending)
		}
	}
	w.clicks("U02BOB", undo, "approve")
	undo = w.state(undo, approvals.Pending)
	w.clicks("U01ALICE", undo, "approve")
	w.state(undo, approvals.Restored)
}

// TestOneOfTwoIsContained: the card has the line and the time for who asked, who is called; the line works.
// Without break-glass the answer says at once what helps.
func TestOneOfTwoIsContained(t *testing.T) {
	t.Parallel()
	pair := func(w *world) {
		w.cfg.Policy.Roster.Groups = map[string][]string{"responders": {"alice", "bob"}}
	}
	w := newWorld(t, bobs, breakable, pair)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.shows(r, "too few may approve it. @U01ALICE can act alone from 03:05")
	w.shows(r, "killswitch approve "+r.ID+" --break-glass "+prod+" --reason TEXT")
	w.called("Approve? <@U01ALICE>: ")
	w.clicks("U02BOB", r, "deny")
	w.pass(5 * time.Minute)
	if a := w.sends(w.signs(w.alice(), w.alone(r))); !a.Counts {
		t.Errorf("%+v", a)
	}
	w.state(r, approvals.Contained)

	w = newWorld(t, bobs, pair)
	w.types("U01ALICE", command)
	w.told("U01ALICE", "beside the requester and bob, whose own principal it is. Add a person to that group; or where bob can be trusted, let them ask for it")
}

// TestEarlyDenialOfOnesOwnHoldsNobodyUp: whose own it is may be known by the plan alone. A denial before that counts,
// as any does, but keeps nobody from acting alone on the next request; another person's does.
func TestEarlyDenialOfOnesOwnHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for denier, counts := range map[string]bool{"U02BOB": true, "U03CAROL": false} {
		w := newWorld(t, breakable)
		known := w.state(w.asks("U01ALICE", command), approvals.Pending)
		p, err := approvals.Runs{Reader: w.Runs}.Planned(t.Context(), known.ID)
		w.must(err)
		w.clicks("U01ALICE", known, "cancel")
		bobs(w)
		w.cfg.Policy.Roster.People[1].Principals = []string{p.Plan.Identity.ID}
		w.start()

		bot := w.zones.Pumps[0]
		d := w.slack.Command("U01ALICE", channel, "/killswitch", command)
		_, err = bot.Once(t.Context())
		w.must(err)
		early := w.get(requestOf(d))
		w.slack.Command(denier, channel, "/killswitch", "deny "+early.ID+" no")
		_, err = bot.Once(t.Context())
		w.must(err)
		w.drain()
		w.state(early, approvals.Denied)

		r := w.state(w.asks("U01ALICE", command), approvals.Pending)
		w.pass(5 * time.Minute)
		if a := w.sends(w.signs(w.alice(), w.alone(r))); a.Counts != counts {
			t.Errorf("after a denial by %s: %+v", denier, a)
		}
	}
}
