package executor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// breakable lets one person act alone on roles and users, after five minutes.
func breakable(w *world) {
	signers(w)
	w.cfg.Policy.Default.RequireSTS = false
	e := w.cfg.Policy.Default
	e.BreakGlassAfter = 5 * time.Minute
	w.cfg.Policy.Actions = map[actions.Name]approvals.ActionPolicy{}
	for _, a := range catalog {
		w.cfg.Policy.Actions[a.Spec().Name] = e
	}
	w.cfg.Policy.Undo, w.cfg.Policy.Units = e, e
}

// alone lets a person sign that they act alone, and a job come that runs it: what the row says is not believed.
func (w *world) alone(person string, r approvals.Request, edit func(*approvals.Statement, *approvals.Attestation)) {
	w.t.Helper()
	p := w.planned(r)
	st := approvals.Statement{Verb: approvals.BreakGlassVerb, Request: r.ID, Digest: p.Digest, Call: p.Intent.String(), Why: "nobody answers", Account: p.Account}
	a := w.attestation(person)
	if edit != nil {
		edit(&st, &a)
	}
	e := w.signed(person, st)
	rewrite(w, approvals.AttestationKey(e.Key()), func(stored *approvals.Attestation) { *stored = a })
	at, err := e.At()
	w.must(err)
	w.edit(r, func(r *approvals.Request) {
		r.BreakGlass = &approvals.Vote{Actor: approvals.Actor{Person: person}, Evidence: e.Key(), At: at, Digest: p.Digest, Reason: st.Why, Signed: true}
		w.must(r.To(approvals.Approved, w.clock.Now()))
	})
	w.sends(approvals.RunJob(r.ID, r.Intent).Verb, r)
	w.drain()
}

// TestBreakGlassWithinAndOutsideItsBounds: the executor checks each by evidence and its own rows.
func TestBreakGlassWithinAndOutsideItsBounds(t *testing.T) {
	t.Parallel()
	user := func(w *world) {
		w.aws.Account(prod).AddUser(awsfake.User{Name: "alice", Keys: []awsfake.AccessKey{{ID: exposedKey}}})
		w.cfg.Policy.Roster.People[0].IAM = []string{"arn:aws:iam::" + prod + ":user/alice"}
	}
	type st = approvals.Statement
	type at = approvals.Attestation
	for name, c := range map[string]struct {
		alter  func(*world)
		line   string                          // empty: revoke
		wait   time.Duration                   // 0: five minutes
		before func(*world, approvals.Request) // after the plan
		person string                          // empty: alice
		edit   func(*st, *at)
		why    string // empty: it runs
	}{
		"within all bounds":           {},
		"long after the plan":         {wait: 20 * time.Minute},
		"signed early, received late": {wait: 5*time.Minute - time.Second, edit: func(_ *st, a *at) { a.Received = a.Received.Add(time.Second) }, why: "nobody acts alone before"},
		"for who has one vote of two already": {alter: func(w *world) {
			e := w.cfg.Policy.Actions[actions.RevokeSessions]
			e.Approvals = 2
			w.cfg.Policy.Actions[actions.RevokeSessions] = e
		},
			before: func(w *world, r approvals.Request) { w.bring(w.button(bob, r, "approve")); w.clears() }},
		"a second early":              {wait: 5*time.Minute - time.Second, why: "nobody acts alone before 03:05:00 UTC"},
		"signed late, received early": {edit: func(_ *st, a *at) { a.Received = a.Received.Add(-time.Second) }, why: "nobody acts alone before"},
		"after it expired":            {wait: 30*time.Minute + time.Second, why: string(approvals.PastExpiry)},
		"by another responder":        {person: "bob", why: "only alice"},
		"by nobody of the roster":     {person: "stranger", why: "evidence does not hold"},
		"without the account":         {edit: func(s *st, _ *at) { s.Account = "" }, why: "not the target's account"},
		"another account typed":       {edit: func(s *st, _ *at) { s.Account = sandbox }, why: "not the target's account"},
		"without a reason":            {edit: func(s *st, _ *at) { s.Why = "" }, why: "a reason is missing"},
		"an approval":                 {edit: func(s *st, _ *at) { s.Verb = "approve" }, why: "is not what"},
		"of another request":          {edit: func(s *st, _ *at) { s.Request = "KS-4G7QX2M9ZT0B" }, why: "is not what"},
		"for another digest":          {edit: func(s *st, _ *at) { s.Digest = "beef" }, why: string(approvals.OtherCall)},
		"another call was shown":      {edit: func(s *st, _ *at) { s.Call += "x" }, why: "is not what"},
		"nobody asked who signed":     {edit: func(_ *st, a *at) { a.Person, a.Refused = "", "no" }, why: "evidence does not hold"},
		"off by now":                  {before: func(w *world, _ approvals.Request) { w.executor.Policy.Actions = nil }, why: "break_glass is off"},
		"off when it was planned": {before: func(w *world, r approvals.Request) {
			rewrite(w, planKey(r), func(p *approvals.Planned) { p.Policy.BreakGlassAfter = 0 })
		}, why: "break_glass is off"},
		"later by now": {before: func(w *world, _ approvals.Request) {
			e := w.executor.Policy.Actions[actions.RevokeSessions]
			e.BreakGlassAfter = 10 * time.Minute
			w.executor.Policy.Actions = map[actions.Name]approvals.ActionPolicy{actions.RevokeSessions: e}
		}, why: "nobody acts alone before 03:10:00 UTC"},
		"a deletion":      {line: "delete_role " + appRole + " confirm=app-role reason=x", why: "what can't be undone"},
		"a whole account": {line: "revoke_sessions prod/ALL reason=x", why: "more than one target"},
		"a guarded target": {before: func(w *world, r approvals.Request) {
			rewrite(w, planKey(r), func(p *approvals.Planned) { p.Plan.Guarded = "it is an administrator" })
		}, why: "it is an administrator"},
		"about their own user": {alter: user, line: "quarantine_user " + prod + "/alice reason=x", why: "their own principal"},
		"about their own key":  {alter: user, line: "deactivate_key " + exposedKey + " account=prod reason=x", why: "their own principal"},
		"about another's user": {alter: func(w *world) {
			user(w)
			w.cfg.Policy.Roster.People[0].IAM = []string{"arn:aws:iam::111111111111:user/alice"}
		}, line: "quarantine_user " + prod + "/alice reason=x"},
		"about the role of their session": {alter: func(w *world) {
			w.cfg.Policy.Roster.People[0].IAM = []string{"arn:aws:sts::" + prod + ":assumed-role/app-role/alice"}
		}, why: "their own principal"},
		"about the role whose ID signed": {before: func(w *world, r approvals.Request) {
			rewrite(w, planKey(r), func(p *approvals.Planned) { p.Plan.Identity.ID = "AROAALICE" })
		}, edit: func(_ *st, a *at) { a.UserID = "AROAALICE:alice" }, why: "their own principal"},
		"a denial in the row": {before: func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Denial = &approvals.Vote{} })
		}, why: "the stored request was altered"},
		"the account is protected now": {before: func(w *world, _ approvals.Request) { w.executor.Org.ProtectedAccounts = []string{prod} }, why: "protected"},
		"the requester left the group": {before: func(w *world, _ approvals.Request) {
			w.executor.Policy.Roster.Groups["responders"] = []string{"bob", "carol"}
		}, why: "not_requester"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, breakable, func(w *world) {
				if c.alter != nil {
					c.alter(w)
				}
			})
			line := c.line
			if line == "" {
				line = revoke
			}
			r := w.state(w.types(alice, line), approvals.Pending)
			if c.before != nil {
				c.before(w, r)
			}
			wait := c.wait
			if wait == 0 {
				wait = 5 * time.Minute
			}
			w.clock.Add(wait)
			person := c.person
			if person == "" {
				person = "alice"
			}
			w.alone(person, r, c.edit)
			if c.why != "" {
				w.refused(r, c.why)
				w.untouched()
				return
			}
			w.state(r, approvals.Contained)
			run := w.run(r)
			if g := run.BreakGlass; g == nil || g.Person != "alice" || g.Reason != "nobody answers" || !g.At.Equal(w.planned(r).Asked.Add(wait)) || len(run.Approvers) != 0 {
				t.Errorf("%+v of %+v", g, run)
			}
			if e, n := w.event(r, "broke_glass"); n != 1 || e.Actor != "alice" || e.Facts["why"] != "nobody answers" || e.Facts["account"] != prod {
				t.Errorf("in the chain %d times: %+v", n, e)
			}
		})
	}
}

// TestUndoIsNeverDoneAlone, whatever the policy says.
func TestUndoIsNeverDoneAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, breakable)
	u := w.asksUndo(w.contained(revoke))
	w.clock.Add(5 * time.Minute)
	w.alone("carol", u, nil)
	w.refused(u, "nobody takes a containment back alone")
}

// TestNobodyActsAloneOnWhatWasDenied, for a day, whoever asks again.
func TestNobodyActsAloneOnWhatWasDenied(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wait time.Duration
		why  string
	}{"within a day": {24*time.Hour - 6*time.Minute, "was denied, for the same"}, "after it": {24 * time.Hour, ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, breakable)
			denied := w.state(w.clicks(bob, w.types(alice, revoke), "deny"), approvals.Denied)
			d, err := approvals.Runs{Reader: w.Runs.Store}.DeniedCall(t.Context(), w.planned(denied).Call(), "bob")
			w.must(err)
			if row, err := w.Runs.Get(t.Context(), d.Key); err != nil || row.Expires.IsZero() {
				t.Errorf("%+v %v", row, err)
			}
			w.clock.Add(c.wait)
			r := w.state(w.types(carol, anotherRevoke), approvals.Pending)
			w.clock.Add(5 * time.Minute)
			w.alone("carol", r, nil)
			if c.why == "" {
				w.state(r, approvals.Contained)
				return
			}
			w.refused(r, c.why)
			w.untouched()
		})
	}
}

// TestCapsOfBreakGlass: one an hour a person, three in all.
func TestCapsOfBreakGlass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, breakable, func(w *world) {
		w.cfg.Policy.Roster.People = append(w.cfg.Policy.Roster.People, approvals.Person{ID: "dave", Slack: "U06DAVE", IAM: []string{"arn:aws:iam::111111111111:user/dave"}})
		w.cfg.Policy.Roster.Groups["responders"] = append(w.cfg.Policy.Roster.Groups["responders"], "dave")
		for i := range 6 {
			w.aws.Account(prod).AddRole(awsfake.Role{Name: fmt.Sprintf("role-%d", i)})
		}
	})
	asked := func(user string, n int) approvals.Request {
		return w.state(w.types(user, strings.Replace(revoke, "app-role", fmt.Sprintf("role-%d", n), 1)), approvals.Pending)
	}
	first, second, third, fourth, fifth := asked(alice, 0), asked(alice, 1), asked(bob, 2), asked(carol, 3), asked("U06DAVE", 4)
	w.clock.Add(5 * time.Minute)
	for _, c := range []struct {
		person string
		r      approvals.Request
		why    string
	}{{"alice", first, ""}, {"alice", second, "alice has acted alone"}, {"bob", third, ""}, {"carol", fourth, ""}, {"dave", fifth, "3 people have acted alone"}} {
		if w.alone(c.person, c.r, nil); c.why != "" {
			w.refused(c.r, c.why)
			continue
		}
		w.state(c.r, approvals.Contained)
	}
	w.clock.Add(55 * time.Minute)
	r := asked(alice, 5)
	w.clock.Add(5 * time.Minute)
	w.alone("alice", r, nil)
	w.state(r, approvals.Contained)
}

// TestBreakGlassIsReviewed: by another responder, proved, once; it is in the record.
func TestBreakGlassIsReviewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, breakable, onCall, func(w *world) { breakable(w) })
	r := w.state(w.types(alice, revoke), approvals.Pending)
	w.clock.Add(5 * time.Minute)
	w.alone("alice", r, nil)
	w.state(r, approvals.Contained)
	reviews := func(user string, d *word) {
		t.Helper()
		key, err := w.table().PutEvidence(t.Context(), w.sign(d), w.clock.Now())
		w.must(err)
		person, _ := w.cfg.Policy.Roster.BySlack(user)
		w.edit(r, func(r *approvals.Request) {
			r.Review = &approvals.Vote{Actor: approvals.Actor{Person: person.ID, Slack: user}, Evidence: key}
		})
		w.sends(approvals.JobClose, r)
		w.drain()
	}
	for _, user := range []string{alice, mallory, nobody} { // neither herself, nor who is no responder
		reviews(user, w.button(user, r, approvals.ReviewedButton))
	}
	forged := w.button(bob, r, approvals.ReviewedButton)
	forged.secret = "another"
	reviews(bob, forged)
	if g := w.run(r).BreakGlass; g.Reviewed != nil {
		t.Fatalf("%+v", g.Reviewed)
	}
	reviews(bob, w.button(bob, r, approvals.ReviewedButton))
	reviews(carol, w.button(carol, r, approvals.ReviewedButton))
	if g := w.run(r).BreakGlass; g.Reviewed == nil || g.Reviewed.Person != "bob" {
		t.Errorf("%+v", g)
	}
	if e, n := w.event(r, "reviewed"); n != 1 || e.Actor != "bob" {
		t.Errorf("in the chain %d times: %+v", n, e)
	}
	if r = w.again(r); r.RunRevision != w.run(r).Revision {
		t.Error("the card is not told")
	}
	want := []string{"Killswitch: break-glass: one person acted alone: break-glass, nobody else approved: revoke_sessions in account prod (" + prod + ") · " + r.ID +
		" · acted 0 min ago · https://slack.com/app_redirect?team=" + acme + "&channel=" + channel}
	if d := cmp.Diff(want, w.pages()); d != "" {
		t.Error(d)
	}
}

// TestRetryOfWhatWasDoneAlone: what was proved at the claim serves it, unless it is off by now.
func TestRetryOfWhatWasDoneAlone(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]bool{"as it was": false, "off by now": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, breakable)
			mend := w.breaks("iam:PutRolePolicy")
			r := w.state(w.types(alice, revoke), approvals.Pending)
			w.clock.Add(5 * time.Minute)
			w.alone("alice", r, nil)
			mend()
			w.clock.Add(time.Minute)
			if off {
				w.executor.Policy.Actions = nil
				if r = w.clicks(bob, r, "retry"); !strings.Contains(w.run(r).Cause, "no longer approved") {
					t.Errorf("%+v", r)
				}
				return
			}
			w.state(w.clicks(bob, r, "retry"), approvals.Contained)
		})
	}
}

// TestDenialComesBeforeBreakGlass: a no that came first wins, and nobody is said to have acted.
func TestDenialComesBeforeBreakGlass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, breakable)
	r := w.state(w.types(alice, revoke), approvals.Pending)
	w.clock.Add(5 * time.Minute)
	w.taking(func(approvals.Run, approvals.Lease) {
		w.edit(r, func(r *approvals.Request) {
			w.must(r.SayNo(approvals.Denied, approvals.Vote{Actor: approvals.Actor{Person: "bob"}}, w.clock.Now()))
		})
	})
	w.alone("alice", r, nil)
	w.state(r, approvals.Denied)
	w.untouched()
	if run := w.run(r); run.Started {
		t.Errorf("%+v", run)
	}
	if _, n := w.event(r, "not_started"); n != 1 {
		t.Error("the record does not say that it was not started")
	}
}
