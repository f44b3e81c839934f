package executor_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// owning gives people of the roster principals of their own.
func owning(principals map[string]string) func(*world) {
	return func(w *world) {
		for i, p := range w.cfg.Policy.Roster.People {
			if own := principals[p.ID]; own != "" {
				w.cfg.Policy.Roster.People[i].Principals = []string{own}
			}
		}
	}
}

// bobs makes the role of most tests bob's own.
var bobs = owning(map[string]string{"bob": appRole})

// bobsKey gives prod a user who is bob, with a key.
func bobsKey(w *world) {
	w.aws.Account(prod).AddUser(awsfake.User{Name: "bob", Path: "/staff/", Keys: []awsfake.AccessKey{{ID: exposedKey}}})
	owning(map[string]string{"bob": "arn:aws:iam::" + prod + ":user/bob"})(w)
}

// TestTargetsOwnPersonHasNoVote: a genuine click of theirs in the row counts for nothing, on the containment
// and on its undo.
func TestTargetsOwnPersonHasNoVote(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		alter func(*world)
		line  string
	}{
		"of a role":                     {bobs, revoke},
		"of a key, whose user was read": {bobsKey, "deactivate_key " + exposedKey + " account=prod reason=x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.alter)
			r := w.state(w.types(alice, c.line), approvals.Pending)
			if p := w.planned(r); !slices.Equal(p.Eligible, []string{"carol"}) || r.Found != p.Plan.Identity {
				t.Errorf("eligible: %v; the row has %+v", p.Eligible, r.Found)
			}
			w.refused(w.clicks(bob, r, "approve"), string(approvals.OwnPrincipal))
			w.untouched()

			r = w.state(w.clicks(carol, w.types(alice, c.line), "approve"), approvals.Contained)
			undo := "undo " + r.ID + " keys=reactivate"
			u := w.state(w.types(carol, undo), approvals.Pending)
			w.refused(w.clicks(bob, u, "approve"), string(approvals.OwnPrincipal))
			w.state(w.clicks(alice, w.state(w.types(bob, undo), approvals.Pending), "approve"), approvals.Restored)
		})
	}
	t.Run("who may ask for it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, bobs)
		r := w.state(w.types(bob, revoke), approvals.Pending)
		w.state(w.clicks(alice, r, "approve"), approvals.Contained)
	})
	t.Run("by the roster of now", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.state(w.types(alice, revoke), approvals.Pending)
		bobs(w)
		w.executor.Policy = w.cfg.Policy
		w.refused(w.clicks(bob, r, "approve"), string(approvals.OwnPrincipal))
	})
}

// TestTargetsOwnPersonDecidesNothingLater: neither a retry, nor a longer watch, by the row alone.
func TestTargetsOwnPersonDecidesNothingLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bobs)
	mend := w.breaks("iam:PutRolePolicy")
	r := w.clicks(carol, w.types(alice, revoke), "approve")
	mend()
	w.clock.Add(time.Minute)
	missed := w.run(r).Outcome
	w.state(w.clicks(bob, r, "retry"), missed)
	r = w.state(w.clicks(carol, r, "retry"), approvals.Contained)
	until := w.run(r).WatchUntil
	w.clock.Add(24 * time.Hour)
	w.clicks(bob, r, "watch")
	if got := w.run(r).WatchUntil; !got.Equal(until) {
		t.Errorf("watched until %s, not %s", got, until)
	}
	w.clicks(carol, r, "watch")
	if got := w.run(r).WatchUntil; !got.After(until) {
		t.Errorf("watched until %s", got)
	}
}

// TestTwoPeopleCanContainOneOfThem: where nobody is left to approve, who asks acts alone; where that is off or
// can't be, it is refused at once, before anything is asked of AWS if the call says whose it is.
func TestTwoPeopleCanContainOneOfThem(t *testing.T) {
	t.Parallel()
	pair := func(w *world) { w.cfg.Policy.Roster.Groups["responders"] = []string{"alice", "bob"} }
	const key = "deactivate_key " + exposedKey + " account=prod reason=x"
	for name, c := range map[string]struct {
		alter  []func(*world)
		line   string
		runs   bool
		code   string
		called bool // AWS
	}{
		"alone":                        {alter: []func(*world){bobs, breakable}, line: revoke, runs: true},
		"alone, of a key":              {alter: []func(*world){bobsKey, breakable}, line: key, runs: true},
		"break-glass is off":           {alter: []func(*world){bobs, signers}, line: revoke, code: "too_few_eligible bob"},
		"break-glass is off, of a key": {alter: []func(*world){bobsKey}, line: key, code: "too_few_eligible bob", called: true},
		"what can't be undone":         {alter: []func(*world){bobs, breakable}, line: "delete_role " + appRole + " confirm=app-role reason=x", code: "too_few_eligible bob"},
		"what is denied from outside":  {alter: []func(*world){bobs, breakable}, line: "deny_principal " + appRole + " reason=x", code: "too_few_eligible bob"},
		"an administrator": {alter: []func(*world){bobsKey, breakable, func(w *world) {
			w.cfg.Org.AdminGroup = "admins"
			w.aws.Account(prod).AddUser(awsfake.User{Name: "bob", Path: "/staff/", Groups: []string{"admins"}})
		}}, line: "quarantine_user " + prod + "/bob confirm=bob reason=x", code: "too_few_eligible bob", called: true},
		"what takes MFA devices, for good": {alter: []func(*world){bobsKey, breakable}, line: "quarantine_user " + prod + "/bob mfa=off reason=x", code: "too_few_eligible bob"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, append(c.alter, pair)...)
			r := w.types(alice, c.line)
			if c.code != "" {
				w.refused(r, c.code)
				w.untouched()
				if calls := w.calls(); !c.called && len(calls) > 0 {
					t.Errorf("AWS was called: %v", calls)
				}
				return
			}
			r = w.state(r, approvals.Pending)
			if p := w.planned(r); p.Eligible == nil || len(p.Eligible) > 0 || p.Policy.Approvals != 1 {
				t.Errorf("%d of %v", p.Policy.Approvals, p.Eligible)
			}
			w.clock.Add(5 * time.Minute)
			w.alone("alice", r, nil)
			w.state(r, approvals.Contained)
			undo := "undo " + r.ID + " keys=reactivate"
			w.refused(w.types(alice, undo), "too_few_eligible bob")
			w.state(w.clicks(alice, w.state(w.types(bob, undo), approvals.Pending), "approve"), approvals.Restored)
		})
	}
	t.Run("who joins later has no vote on that plan", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, bobs, breakable, pair)
		r := w.state(w.types(alice, revoke), approvals.Pending)
		w.executor.Policy.Roster.Groups["responders"] = []string{"alice", "bob", "carol"}
		w.refused(w.clicks(carol, r, "approve"), string(approvals.JoinedLate))
	})
	t.Run("what was denied and is asked for again", func(t *testing.T) { // nobody acts alone on it for a day
		t.Parallel()
		w := newWorld(t, bobs, breakable, func(w *world) {
			w.cfg.Policy.Roster.Groups = map[string][]string{"responders": {"alice", "bob", "carol"}}
		})
		r := w.clicks(carol, w.types(bob, revoke), "deny")
		w.refused(w.clicks(alice, w.state(r, approvals.Denied), approvals.AgainButton), "too_few_eligible")
	})
}

// TestOnlyADenialByWhoHasAVoteIsOverruled: of a row that says otherwise nobody is named, so that who asks again
// takes no vote away.
func TestOnlyADenialByWhoHasAVoteIsOverruled(t *testing.T) {
	t.Parallel()
	deniedBy := func(person string, user string) func(*world, approvals.Request) {
		return func(w *world, r approvals.Request) { // a click of theirs, and a row that names somebody else
			w.bring(w.button(user, r, "deny"))
			w.edit(r, func(r *approvals.Request) { r.Denial.Person = person })
		}
	}
	for name, c := range map[string]struct {
		deny     func(*world, approvals.Request)
		overrule []string
		need     int
	}{
		"by an approver":                      {deniedBy("carol", carol), []string{"carol"}, 1}, // of alice and dave
		"by the target's own":                 {deniedBy("bob", bob), []string{}, 1},
		"by the target's own, as an approver": {deniedBy("carol", bob), []string{}, 1},
		"by somebody in no group":             {deniedBy("mallory", mallory), []string{}, 1},
		"by no evidence": {func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) {
				w.must(r.SayNo(approvals.Denied, approvals.Vote{Actor: approvals.Actor{Person: "carol"}}, w.clock.Now()))
			})
			w.sends(approvals.JobClose, r)
		}, []string{}, 1},
		"by the requester's evidence": {func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) {
				w.must(r.SayNo(approvals.Denied, approvals.Vote{Actor: approvals.Actor{Person: "carol"}, Evidence: r.Evidence}, w.clock.Now()))
			})
			w.sends(approvals.JobClose, r)
		}, []string{}, 1},
		"by a click on another request": {func(w *world, r approvals.Request) {
			d := w.button(carol, r, "deny")
			d.actions[0].Value = approvals.Value("KS-4G7QX2M9ZT0B", r.Digest)
			w.bring(d)
		}, []string{}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bobs, func(w *world) {
				w.cfg.Policy.Roster.People = append(w.cfg.Policy.Roster.People, approvals.Person{ID: "dave", Slack: "U06DAVE"})
				w.cfg.Policy.Roster.Groups["responders"] = []string{"alice", "bob", "carol", "dave"}
			})
			old := w.state(w.types(alice, revoke), approvals.Pending)
			c.deny(w, old)
			w.drain()
			old = w.state(old, approvals.Denied) // it counts, whoever it was
			r := w.state(w.clicks("U06DAVE", old, approvals.AgainButton), approvals.Pending)
			p := w.planned(r)
			if got := append([]string{}, p.Overrules...); !slices.Equal(got, c.overrule) || slices.Contains(p.Eligible, "bob") || p.Policy.Approvals != c.need {
				t.Errorf("overrules %v, %d of %v", got, p.Policy.Approvals, p.Eligible)
			}
			for _, who := range c.overrule {
				if slices.Contains(p.Eligible, who) {
					t.Errorf("%s may approve", who)
				}
			}
		})
	}
}

// TestRowOfDenials: each is overruled by another person, by one approval more than usual and no more than
// there are others; of those in between that ended before a plan nothing is lost.
func TestRowOfDenials(t *testing.T) {
	t.Parallel()
	const dave, erin = "U06DAVE", "U07ERIN"
	five := func(w *world) {
		w.cfg.Policy.Roster.People = append(w.cfg.Policy.Roster.People, approvals.Person{ID: "dave", Slack: dave}, approvals.Person{ID: "erin", Slack: erin})
		w.cfg.Policy.Roster.Groups["responders"] = []string{"alice", "bob", "carol", "dave", "erin"}
	}
	check := func(w *world, r approvals.Request, need int, overrules, eligible []string) {
		w.t.Helper()
		r = w.state(r, approvals.Pending)
		if p := w.planned(r); p.Policy.Approvals != need || !slices.Equal(p.Overrules, overrules) || !slices.Equal(p.Eligible, eligible) || !slices.Equal(r.Overrules, overrules) {
			w.t.Errorf("%d of %v, overrules %v; want %d of %v, %v", p.Policy.Approvals, p.Eligible, p.Overrules, need, eligible, overrules)
		}
	}
	t.Run("two in a row", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, five)
		first := w.clicks(bob, w.types(alice, revoke), "deny")
		second := w.clicks(carol, first, approvals.AgainButton)
		check(w, second, 2, []string{"bob"}, []string{"alice", "dave", "erin"})
		second = w.clicks(dave, second, "deny")
		third := w.clicks(alice, w.state(second, approvals.Denied), approvals.AgainButton) // the second was carol's
		check(w, third, 2, []string{"bob", "dave"}, []string{"carol", "erin"})
		w.bring(w.button(erin, third, "approve"))
		w.refused(w.clicks(dave, third, "approve"), string(approvals.Overruled))
	})
	t.Run("not by whose request it was", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, five)
		first := w.clicks(bob, w.types(alice, revoke), "deny")
		w.refused(w.clicks(alice, first, approvals.AgainButton), "was yours, and it was denied")
	})
	t.Run("with one between that had no plan", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, five)
		first := w.clicks(bob, w.types(alice, revoke), "deny")
		second := w.bring(w.button(carol, first, approvals.AgainButton))
		w.clears()
		second = w.clicks(dave, second, "deny")
		third := w.clicks(erin, w.state(second, approvals.Denied), approvals.AgainButton)
		check(w, third, 2, []string{"bob", "dave"}, []string{"alice", "carol"})
	})
	t.Run("by the only one who could approve", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(w *world) {
			w.cfg.Policy.Roster.Groups["approvers"] = []string{"bob"}
			w.cfg.Policy.Default.Approvers = "approvers"
		})
		first := w.clicks(bob, w.types(alice, revoke), "deny")
		w.refused(w.clicks(carol, first, approvals.AgainButton), "too_few_eligible")
	})
	t.Run("of one more than there are", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, bobs)
		first := w.clicks(carol, w.types(bob, revoke), "deny")
		w.refused(w.clicks(bob, first, approvals.AgainButton), "was yours, and it was denied")
		// alice asks: carol is overruled, the target is bob's own, and nobody is left.
		w.refused(w.clicks(alice, first, approvals.AgainButton), "too_few_eligible")
	})
	t.Run("not by whose own principal it is", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, five, bobs)
		first := w.state(w.clicks(carol, w.types(alice, revoke), "deny"), approvals.Denied)
		w.refused(w.clicks(bob, first, approvals.AgainButton), "is about your own principal, and it was denied")
		check(w, w.clicks(dave, first, approvals.AgainButton), 2, []string{"carol"}, []string{"alice", "erin"})
	})
	t.Run("of what nobody denied, by whose own it is", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, five, bobs)
		first := w.types(alice, revoke)
		w.pass(31 * time.Minute)
		check(w, w.clicks(bob, w.state(first, approvals.Expired), approvals.AgainButton), 1, nil, []string{"alice", "carol", "dave", "erin"})
	})
}

// TestOnlyOthersLetItRun: of random rosters, targets and genuine clicks, all put into a row that says what it
// likes. What runs has as many proved approvals as it needs, of others than who asked, whose own it is and whom
// it overrules.
func TestOnlyOthersLetItRun(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	ran, refused := 0, 0
	for round := range 60 {
		principals := map[string]string{}
		people := []string{"alice", "bob", "carol", "dave", "erin"}
		for _, id := range people {
			principals[id] = []string{"", "", appRole, "arn:aws:sts::" + prod + ":assumed-role/app-role/" + id, "sso:" + id}[rnd.IntN(5)]
		}
		w := newWorld(t, func(w *world) {
			for i, id := range people[3:] {
				w.cfg.Policy.Roster.People = append(w.cfg.Policy.Roster.People, approvals.Person{ID: id, Slack: fmt.Sprintf("U1%d", i)})
			}
			w.cfg.Policy.Roster.Groups["responders"] = people
			w.cfg.Policy.Default.Approvals = 1 + rnd.IntN(2)
		}, owning(principals))
		user := func(id string) string { p, _ := w.cfg.Policy.Roster.ByID(id); return p.Slack }
		asker := people[rnd.IntN(len(people))]
		r := w.types(user(asker), revoke)
		var overruled []string
		if denier := people[rnd.IntN(len(people))]; rnd.IntN(2) == 0 && r.State == approvals.Pending && denier != asker {
			r = w.clicks(user(denier), r, "deny")
			if again := people[rnd.IntN(len(people))]; again != asker && again != denier {
				if p, _ := w.cfg.Policy.Roster.ByID(denier); !p.Is(appRole) {
					overruled = []string{denier}
				}
				asker, r = again, w.clicks(user(again), r, approvals.AgainButton)
			}
		}
		if r.State != approvals.Pending {
			refused++
			continue
		}
		for range 1 + rnd.IntN(5) {
			d := w.button(user(people[rnd.IntN(len(people))]), r, "approve")
			e := w.sign(d)
			key, err := w.table().PutEvidence(t.Context(), e, w.clock.Now())
			w.must(err)
			w.edit(r, func(r *approvals.Request) {
				r.Votes = append(r.Votes, approvals.Vote{Actor: approvals.Actor{Person: people[rnd.IntN(len(people))]}, Evidence: key, At: w.clock.Now(), Digest: r.Digest, Signed: true})
			})
		}
		w.edit(r, func(r *approvals.Request) {
			r.State, r.Need, r.Eligible, r.Overrules, r.Requester.Person = approvals.Approved, 0, people, nil, asker
			r.Found.ARN = ""
		})
		w.sends(approvals.JobRun, r)
		w.drain()
		if r = w.again(r); r.State != approvals.Contained {
			w.state(r, approvals.Refused)
			w.untouched()
			refused++
			continue
		}
		ran++
		run, p := w.run(r), w.planned(r)
		for _, id := range run.Approvers {
			if who, _ := w.cfg.Policy.Roster.ByID(id); who.Is(appRole) || id == asker || slices.Contains(overruled, id) {
				t.Errorf("seed %d, round %d: %s let it run; %s asked, %v is overruled, %v", seed, round, id, asker, overruled, principals)
			}
		}
		slices.Sort(run.Approvers)
		if n := len(slices.Compact(run.Approvers)); n != len(run.Approvers) || n < max(p.Policy.Approvals, w.cfg.Policy.Default.Approvals) {
			t.Errorf("seed %d, round %d: %v of %d", seed, round, run.Approvers, p.Policy.Approvals)
		}
	}
	if ran < 3 || refused < 3 {
		t.Errorf("seed %d: %d ran, %d did not: the choices don't reach what they are for", seed, ran, refused)
	}
}
