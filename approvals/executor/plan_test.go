package executor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestPlanRefusesWhatTheAccountTells: what only the account's state shows.
func TestPlanRefusesWhatTheAccountTells(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ target, why string }{
		"no such role":        {"prod/nobody", "here is no role nobody"},
		"service-linked":      {"arn:aws:iam::222222222222:role/aws-service-role/support.amazonaws.com/AWSServiceRoleForSupport", "service-linked"},
		"protected by a path": {"prod/guarded", "protected"},
		"no member roles":     {"sandbox/app-role", "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world) {
				w.aws.Account(prod).AddRole(roleAt("/team/", "guarded"))
				w.cfg.Org.ProtectedPrincipals = append(w.cfg.Org.ProtectedPrincipals, "arn:aws:iam::*:role/team/guarded")
				w.aws.AddAccount(sandbox)
			})
			w.refused(w.types(alice, "revoke-sessions "+c.target+" reason='just because'"), c.why)
			w.untouched()
		})
	}
}

func TestRefusalNamesTheRoleOfAnotherPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(roleAt("/team/", "app-role")) })
	r := w.types(alice, "revoke_sessions arn:aws:iam::222222222222:role/other/app-role reason=leak")
	w.state(r, approvals.Refused)
	w.tells(r, "role/team/app-role")
}

// TestRefusalHasTheLineToSend: it is taken as it stands, and asks for what is meant.
func TestRefusalHasTheLineToSend(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		typed, reason string
		meant         string // by the line; empty if there is none
	}{
		"a role":                   {"revoke_sessions prod/app-rol", "keys on a paste site", "revoke_sessions " + appRole},
		"a role of another path":   {"revoke_sessions arn:aws:iam::222222222222:role/other/app-role", "leak", "revoke_sessions " + appRole},
		"quotes in the reason":     {"detach_policies prod/app-roel", "it's 'odd', a=b", "detach_policies " + appRole},
		"an option":                {"quarantine_user prod/alcie mode=iam-only", "leak", "quarantine_user arn:aws:iam::222222222222:user/alice mode=iam-only"},
		"a name that is typed":     {"delete_role prod/app-rol confirm=app-rol", "made by the intruder", ""},
		"a reason that is no line": {"revoke_sessions prod/app-rol", strings.Repeat("long ", 50), ""},
		"nothing near":             {"revoke_sessions prod/nobody", "leak", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world) { w.aws.Account(prod).AddUser(awsfake.User{Name: "alice"}) })
			r := w.state(w.types(alice, c.typed+` reason="`+c.reason+`"`), approvals.Refused)
			line, _, found := strings.Cut(strings.TrimPrefix(r.Hint, "send /killswitch "), " if ")
			if c.meant == "" {
				if found || r.Hint != "check the name (it is case-sensitive) and the account" {
					t.Errorf("hint: %q", r.Hint)
				}
				return
			}
			call, reason, err := actions.Parse(line, w.cfg.Org.Directory())
			if err != nil || call.String() != c.meant || reason != c.reason {
				t.Errorf("%q is read as %s, %q: %v", line, call, reason, err)
			}
			if n := len([]rune(r.Hint)); n > 300 { // what cards show of a hint
				t.Errorf("the hint has %d characters", n)
			}
			w.untouched()
			w.state(w.types(alice, line), approvals.Pending)
		})
	}
}

// TestSurveyBlocksNothing: what only informs people must not keep a containment
// from being planned or from running.
func TestSurveyBlocksNothing(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"Throttling", "AccessDenied"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answers("iam:List*", apiError(code), func() bool { return true })
			r := w.state(w.types(alice, revoke), approvals.Pending)
			w.tells(r, "The blast radius could not be read in full ("+code)
			w.state(w.clicks(bob, r, "approve"), approvals.Contained)
		})
	}
}

// hangs lets a plan be begun, and the world go on while its first call to AWS
// hangs; answer is what that call brings at last.
func (w *world) hangs(meanwhile func(approvals.Request), answer error) (r approvals.Request) {
	w.t.Helper()
	r = w.bring(w.says(alice, revoke))
	hung := false
	w.aws.OnCall(func(c awsfake.Call) error {
		if hung || c.Op != "iam:GetRole" || c.Phase != awsfake.Before {
			return nil
		}
		hung = true
		meanwhile(r)
		return answer
	})
	w.round()
	if !hung {
		w.t.Fatal("nothing hung")
	}
	return r
}

// TestPlannerThatWasOvertakenWritesNothing, whatever it found.
func TestPlannerThatWasOvertakenWritesNothing(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]error{"a plan": nil, "a no": apiError("AccessDenied"), "trouble": apiError("Throttling")} {
		for _, state := range []approvals.State{approvals.Pending, approvals.Contained} {
			t.Run(name+", when the request is "+string(state), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				var rows []approvals.Row
				r := w.hangs(func(r approvals.Request) {
					w.clock.Add(31 * time.Second) // the first worker's lease is over
					w.sweep()
					w.drain()
					w.state(r, approvals.Pending)
					if state == approvals.Contained {
						w.state(w.clicks(bob, r, "approve"), approvals.Contained)
					}
					rows = w.rows(w.Runs.Store, r.ID)
				}, answer)
				if d := cmp.Diff(rows, w.rows(w.Runs.Store, r.ID)); d != "" {
					t.Errorf("it wrote: %s", d)
				}
				w.drain()
				w.state(r, state)
				if state == approvals.Pending {
					w.clicks(bob, r, "approve")
				}
				w.pass(2 * time.Minute)
				w.state(r, approvals.Contained)
				w.undo(r)

			})
		}
	}
}

// TestOneWorkerPlansAtATime: a job that comes again meanwhile is nothing to do.
func TestOneWorkerPlansAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	looks := 0
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == "iam:GetRole" && c.Phase == awsfake.Before {
			looks++
		}
		return nil
	})
	r := w.hangs(func(r approvals.Request) {
		w.clock.Add(20 * time.Second) // overdue for the sweep, and the lease goes on
		w.sweep()
		w.drain()
		w.state(r, approvals.Planning)
	}, nil)
	w.drain()
	w.state(r, approvals.Pending)
	if looks != 1 {
		t.Errorf("%d workers looked", looks)
	}
}

// TestTroubleWhilePlanningIsToldAndPasses: what AWS can't do just now does not end a
// request; its row says what it waits for, and it goes on when AWS is back.
func TestTroubleWhilePlanningIsToldAndPasses(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"sts:AssumeRole", "iam:GetRole"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			down := true
			w.answers(op, apiError("Throttling"), func() bool { return down })
			r := w.state(w.types(alice, revoke), approvals.Planning)
			w.pass(2 * time.Minute)
			w.state(r, approvals.Planning)
			w.tells(r, "Throttling: not just now")
			down = false
			w.pass(2 * time.Minute)
			r = w.state(r, approvals.Pending)
			if words := w.words(r); strings.Contains(words, "Throttling") || r.Cause != "" {
				t.Errorf("the trouble is still there: %s", words)
			}
			w.state(w.clicks(bob, r, "approve"), approvals.Contained)

		})
	}
	t.Run("without the sweep", func(t *testing.T) { // the job itself comes again, and is not dropped for its own last try
		w := newWorld(t)
		down := true
		w.answers("iam:GetRole", apiError("Throttling"), func() bool { return down })
		r := w.state(w.types(alice, revoke), approvals.Planning)
		down = false
		w.clock.Add(2 * time.Second)
		w.drain()
		w.state(r, approvals.Pending)
	})
	t.Run("of an undo", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.contained(revoke)
		w.pass(2 * time.Minute)
		down := true
		w.answers("sts:AssumeRole", apiError("ServiceUnavailable"), func() bool { return down })
		u := w.state(w.clicks(carol, r, "undo"), approvals.Planning)
		w.pass(time.Minute)
		w.tells(u, "ServiceUnavailable")
		down = false
		w.pass(2 * time.Minute)
		w.state(u, approvals.Pending)
	})
}

// TestFreezeTellsOfExemptNames: a principal of an exempt name is not stopped, and
// it may be the attacker's.
func TestFreezeTellsOfExemptNames(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"apply_scp prod stolen", "revoke_sessions prod/ALL via=scp stolen"} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			var s *awsfake.Session
			w := newWorld(t, func(w *world) {
				populate(w, 3)
				s = w.aws.Session(w.aws.Account(prod).AddRole(awsfake.Role{Name: "break-glass", Trust: lets(prod), Inline: map[string]string{"all": allPolicy}}), "attacker")
			})
			r := w.contained(line)
			told := strings.Join(w.planned(r).Plan.Residual, "\n")
			if ok, _ := s.Can("s3:GetObject", "arn:aws:s3:::secrets/key"); !ok {
				t.Error("the exempt role is stopped")
			}
			if !strings.Contains(told, "xempt") || !strings.Contains(told, "role/break-glass") {
				t.Errorf("the attacker's break-glass role works on; residual:\n%s", told)
			}
		})
	}
}
