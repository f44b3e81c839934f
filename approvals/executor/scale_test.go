package executor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/crashtest"
)

const (
	revokeAll = "revoke_sessions prod/ALL stolen"
	listing   = "iam:GetAccountAuthorizationDetails"
)

// withRoles gives the account n roles, with app-role.
func withRoles(n int) func(*world) {
	return func(w *world) {
		for i := range n - 1 {
			w.aws.Account(prod).AddRole(awsfake.Role{Name: fmt.Sprintf("role-%05d", i)})
		}
	}
}

// denied counts the roles that have the deny.
func (w *world) denied() (n int) {
	for _, r := range w.aws.Snapshot().Accounts[prod].Roles {
		if r.Inline[denyName] != "" {
			n++
		}
	}
	return n
}

// slowPages makes every page of the role list take d; then it calls page, with the
// number of the page, and the page fails with its error.
func (w *world) slowPages(d time.Duration, page func(n int) error) {
	n := 0
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op != listing || c.Phase != awsfake.Before {
			return nil
		}
		w.clock.Add(d)
		n++
		return page(n)
	})
}

// TestSlowListingIsReadToItsEnd: 4,000 roles at 5.5 s a page take longer than any lease
// and any try. One worker reads each page once, and tells how far it is.
func TestSlowListingIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	roles := max(4000/thin.Every(t, 4, "4,000 slow roles"), 400)
	w := newWorld(t, withRoles(roles))
	var r approvals.Request
	told, listed := map[string]bool{}, 0
	w.slowPages(5500*time.Millisecond, func(n int) error {
		if r.ID == "" {
			return nil
		}
		if n%5 == 0 { // what another worker would do if the lease were over
			w.must(w.worker().Handle(t.Context(), approvals.Job{Verb: approvals.JobPlan, ID: r.ID}))
		}
		told[w.again(r).Cause] = true
		run, _ := approvals.Runs{Reader: w.Runs.Store}.Run(t.Context(), r.ID) // there is none yet while it is planned
		listed = max(listed, run.Progress.Listed)
		return nil
	})
	r = w.bring(w.says(alice, revokeAll))
	w.drain()
	r = w.state(r, approvals.Pending)
	pages := (roles + 2 + 99) / 100 // with the member roles
	if n := w.called(listing); n != pages || w.called("sts:AssumeRole") != 1 {
		t.Errorf("%d pages were read, want %d; %d sessions", n, pages, w.called("sts:AssumeRole"))
	}
	if !told["reading the account's roles: 300 so far"] || r.Cause != "" {
		t.Errorf("told: %v, now %q", told, r.Cause)
	}
	w.state(w.clicks(bob, r, "approve"), approvals.Contained)
	if n := w.denied(); n != roles || listed < roles-200 {
		t.Errorf("%d of %d roles have the deny, %d were told to be listed", n, roles, listed)
	}
	w.pass(10 * time.Minute) // with the early looks, each of which takes minutes
	w.aws.ResetCalls()
	w.undo(r)
	if n := w.denied(); n != 0 {
		t.Errorf("%d roles still have the deny", n)
	}
	if n := w.called(listing); n > 3*pages {
		t.Errorf("the undo read %d pages, want at most %d", n, 3*pages)
	}
	if n := w.called("iam:DeleteRolePolicy"); n != roles || w.called("iam:GetRole") > 0 || w.called("iam:GetRolePolicy") > 0 {
		t.Errorf("the undo of %d roles took %d writes and other calls: %v", roles, n, w.called("iam:GetRole"))
	}
}

// TestPagesAreKept: a page that fails does not begin the listing anew, and after a
// timeout less is asked for.
func TestPagesAreKept(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"throttled": apiError("Throttling"), "timeout": context.DeadlineExceeded} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withRoles(300))
			w.slowPages(5500*time.Millisecond, func(n int) error {
				if n%3 == 0 {
					return err
				}
				return nil
			})
			r := w.state(w.types(alice, revokeAll), approvals.Pending)
			if n := w.called(listing); n > 40 {
				t.Errorf("%d pages", n)
			}
			w.state(w.clicks(bob, r, "approve"), approvals.Contained)
			if n := w.denied(); n != 300 {
				t.Errorf("%d of 300 roles have the deny", n)
			}
			w.undo(r)
			w.pass(2 * time.Minute)
		})
	}
}

// TestPatienceCountsFromTheLastSuccess: a run that gets on, slowly, gives no step up.
func TestPatienceCountsFromTheLastSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := manyAtOnce(w, 100, func(m *manySteps) {
		m.fails = func(id string, try int) error {
			w.clock.Add(10 * time.Second)
			if strings.HasSuffix(id, "5") && try <= 7 {
				return apiError("Throttling")
			}
			return nil
		}
	})
	r := w.contained(revoke)
	m.doneOnce(t, 100)
	if run := w.run(r); run.LastSuccess.Sub(run.Since) < 10*time.Minute {
		t.Errorf("the run took %v: too short to show anything", run.LastSuccess.Sub(run.Since))
	}
}

// TestReappliedOneOfAllIsReadBack: the listing from before it was applied again tells
// nothing of it.
func TestReappliedOneOfAllIsReadBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRoles(20))
	r := w.contained(revokeAll)
	w.clock.Add(35 * time.Second)
	w.dropDeny()
	w.drain()
	w.state(r, approvals.Contained)
	if run := w.run(r); len(run.Tampering) != 1 || !run.Tampering[0].Reapplied || w.denied() != 20 {
		t.Errorf("%d denies, tampering: %+v", w.denied(), run.Tampering)
	}
}

// TestRunOutlivesItsSession: the credentials of a member role last 15 minutes.
func TestRunOutlivesItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRoles(350))
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Mutating && c.Phase == awsfake.Before {
			w.clock.Add(3 * time.Second)
		}
		return nil
	})
	r := w.contained(revokeAll)
	if run := w.run(r); run.Ended.Sub(run.Since) < 17*time.Minute {
		t.Errorf("the run took %v", run.Ended.Sub(run.Since))
	}
	w.undo(r)
	if n := w.denied(); n != 0 {
		t.Errorf("%d roles still have the deny", n)
	}
}

// shapes are how long a job may take: without limit in serve, as long as template.yaml
// says in Lambda, and so short that it is handed over again and again.
var shapes = map[string]time.Duration{"serve": 0, "lambda": 15 * time.Minute, "lambda, short": 90 * time.Second}

// TestRateOfAWSIsUsed: whatever rate AWS allows, apply and undo of all roles are whole,
// and take at most 1.3 times as long as one call a role. Time is that of a bubble.
func TestRateOfAWSIsUsed(t *testing.T) {
	t.Parallel()
	n := max(2000/thin.Every(t, 5, "2,000 roles"), 200)
	for _, rate := range []float64{2.5, 20} {
		for shape, timeout := range shapes {
			t.Run(fmt.Sprintf("%v calls a second, %s", rate, shape), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(time.Until(crashtest.NewClock().T))
					w := newWorld(t, withRoles(n), func(w *world) {
						if w.clock.Real, w.timeout = true, timeout; timeout == 0 {
							inFile(w)
						}
					})
					w.aws.OnCall(func(c awsfake.Call) error {
						time.Sleep(75 * time.Millisecond) // before and after
						return nil
					})
					w.aws.Throttle("iam:*", rate, int(2*rate))
					took := func(what string, do func()) {
						began := time.Now()
						w.aws.ResetCalls()
						do()
						calls, throttled := 0, 0
						for _, c := range w.aws.Calls() {
							if strings.HasPrefix(c.Op, "iam:") {
								calls++
								if c.Err == "Throttling" {
									throttled++
								}
							}
						}
						least := time.Duration(float64(n) / rate * float64(time.Second)) // a call a role
						d := time.Since(began)
						t.Logf("%s: %v = %.2f × %v, %d of %d calls throttled", what, d, d.Seconds()/least.Seconds(), least, throttled, calls)
						if d > least*13/10 {
							t.Errorf("%s took %v, want at most 1.3 × %v", what, d, least)
						}
					}
					var r approvals.Request
					took("apply", func() { r = w.contained(revokeAll) })
					if got := w.denied(); got != n {
						t.Errorf("%d of %d roles have the deny", got, n)
					}
					time.Sleep(2 * time.Minute)
					w.drain() // the re-checks
					took("undo", func() { w.undo(r) })
					if got := w.denied(); got != 0 {
						t.Errorf("%d roles still have the deny", got)
					}
				})
			})
		}
	}
}

// TestListingThatFitsIntoNoInvocation ends: a run is not handed over for ever.
func TestListingThatFitsIntoNoInvocation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(crashtest.NewClock().T))
		w := newWorld(t, withRoles(700), func(w *world) { w.clock.Real, w.timeout = true, 45*time.Second })
		w.slowPages(0, func(int) error {
			time.Sleep(5 * time.Second)
			return nil
		})
		r := w.clicks(bob, w.types(alice, revokeAll), "approve")
		w.state(r, approvals.Failed)
		w.tells(r, "reading the account's roles: 600 so far")
		w.tells(r, "via=scp")
		if d := w.run(r).Ended.Sub(w.run(r).Since); d > 12*time.Minute {
			t.Errorf("it ended after %v", d)
		}
	})
}
