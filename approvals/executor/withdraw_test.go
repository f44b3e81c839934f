package executor_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// failedUndo is an undo that two people agreed on and AWS refused, for once; r is the
// containment.
func (w *world) failedUndo() (r, u approvals.Request) {
	w.t.Helper()
	r = w.contained(revoke)
	w.pass(2 * time.Minute)
	mend := w.breaks("iam:DeleteRolePolicy")
	u = w.clicks(bob, w.asksUndo(r), "approve")
	mend()
	if u.State != approvals.Failed && u.State != approvals.Partial {
		w.t.Fatalf("the undo is %s", u.State)
	}
	w.clock.Add(time.Minute)
	return w.state(r, approvals.Partial), u
}

// TestUndoThatFailedIsWithdrawn: a no ends it for good, in the executor's own table too.
// The containment stays, and another undo may be asked for.
func TestUndoThatFailedIsWithdrawn(t *testing.T) {
	t.Parallel()
	for store, with := range stores {
		for name, c := range map[string]struct {
			no    func(*world, approvals.Request) approvals.Request
			want  approvals.State
			actor string
		}{
			"denied by command": {func(w *world, u approvals.Request) approvals.Request {
				return w.types(bob, "deny "+u.ID+" it was a mistake")
			}, approvals.Denied, "bob"},
			"denied on the card":    {func(w *world, u approvals.Request) approvals.Request { return w.clicks(bob, u, "deny") }, approvals.Denied, "bob"},
			"cancelled by command":  {func(w *world, u approvals.Request) approvals.Request { return w.types(carol, "cancel "+u.ID) }, approvals.Cancelled, "carol"},
			"cancelled on the card": {func(w *world, u approvals.Request) approvals.Request { return w.clicks(carol, u, "cancel") }, approvals.Cancelled, "carol"},
		} {
			t.Run(store+", "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, with...)
				r, u := w.failedUndo()
				held := w.policy("app-role")
				w.withoutAWS(func() { u = c.no(w, u) })
				u = w.state(u, c.want)
				e, n := w.event(u, string(c.want))
				if n != 1 || e.Actor != c.actor || e.Facts["unproved"] != "" {
					t.Errorf("%d times in the chain: %+v", n, e)
				}
				if run := w.run(u); run.Outcome != c.want || run.Withdrawn == nil || run.Withdrawn.Person != c.actor || !u.Closed {
					t.Errorf("%+v, closed: %t", run, u.Closed)
				}
				w.withoutAWS(func() {
					for _, d := range []time.Duration{time.Second, 38 * time.Hour} {
						w.clock.Add(d)
						w.clicks(carol, u, "retry")
					}
					// Who writes the table requests can't take it back.
					w.edit(u, func(r *approvals.Request) {
						r.State, r.Denial, r.Cancelled, r.Closed = approvals.Failed, nil, nil, true
					})
					w.clicks(carol, u, "retry")
					w.pass(time.Minute)
				})
				w.attempts(u, 1)
				w.state(u, c.want)
				w.state(r, approvals.Partial)
				if w.policy("app-role") != held {
					t.Error("the deny is not as it was")
				}
				w.undo(r)
			})
		}
	}
}

// TestNoToAPartialContainment ends its retries and nothing else.
func TestNoToAPartialContainment(t *testing.T) {
	t.Parallel()
	for store, with := range stores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, with...)
			before := w.aws.Snapshot()
			r := w.state(w.failed(), approvals.Partial)
			w.withoutAWS(func() { r = w.clicks(carol, r, "deny") })
			r = w.state(r, approvals.Partial)
			if e, n := w.event(r, "denied"); n != 1 || e.Actor != "carol" || !r.Closed {
				t.Errorf("%d times in the chain: %+v", n, e)
			}
			run := w.run(r)
			w.edit(r, func(r *approvals.Request) { r.Denial = nil })
			w.withoutAWS(func() { r = w.clicks(alice, r, "retry") })
			w.attempts(r, 1)
			w.state(r, approvals.Partial)
			if e, n := w.event(r, "retry_refused"); n != 1 || e.Actor != "alice" || !strings.Contains(e.Facts["why"], "said no") {
				t.Errorf("refused %d times: %+v", n, e)
			}
			if run.Cause == "" || run.Outcome != approvals.Partial {
				t.Errorf("%+v", run)
			}
			w.undo(r)
			w.asBefore(before)
		})
	}
}

// TestFailedContainmentIsDenied: it is over, and what it left can still be taken back.
func TestFailedContainmentIsDenied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.aws.Snapshot()
	r := w.failed()
	rewrite(w, runKey(r), func(r *approvals.Run) { r.Outcome = approvals.Failed })
	w.edit(r, func(r *approvals.Request) { r.State = approvals.Failed })
	w.withoutAWS(func() { w.clicks(bob, r, "deny") })
	r = w.state(r, approvals.Denied)
	w.withoutAWS(func() { w.clicks(carol, r, "retry") })
	w.state(r, approvals.Denied)
	w.attempts(r, 1)
	mend := w.breaks("iam:UntagRole")
	u := w.clicks(alice, w.asksUndo(r), "approve")
	mend()
	w.clock.Add(time.Minute)
	if r = w.state(r, approvals.Partial); u.State == approvals.Restored {
		t.Fatal("the undo did not fail")
	}
	w.withoutAWS(func() { w.clicks(carol, r, "retry") })
	w.attempts(r, 1)
	w.undo(r)
	w.asBefore(before)
}

// TestUndoOfADeniedFailureThatDidNothing: the original is denied again, and not undoing for
// ever.
func TestUndoOfADeniedFailureThatDidNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.aws.Snapshot()
	r := w.failed()
	rewrite(w, runKey(r), func(r *approvals.Run) { r.Outcome = approvals.Failed })
	w.edit(r, func(r *approvals.Request) { r.State = approvals.Failed })
	w.clicks(bob, r, "deny")
	r = w.state(r, approvals.Denied)
	u := w.asksUndo(r)
	w.breaks("sts:AssumeRole")
	w.clicks(alice, u, "approve")
	w.pass(time.Minute)
	w.aws.ClearFaults()
	w.state(u, approvals.Failed)
	w.state(r, approvals.Denied)
	w.undo(r)
	w.asBefore(before)
}

// TestForgedNoEndsRetries: it counts unproved, and the chain names nobody.
func TestForgedNoEndsRetries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.failed()
	w.edit(r, func(r *approvals.Request) {
		r.Denial = &approvals.Vote{Actor: approvals.Actor{Person: "bob", Slack: bob}, Evidence: strings.Repeat("e", 64)}
	})
	w.withoutAWS(func() { w.clicks(carol, r, "retry") })
	w.edit(r, func(r *approvals.Request) { r.Denial = nil })
	w.withoutAWS(func() { w.clicks(carol, r, "retry") })
	w.attempts(r, 1)
	if e, n := w.event(r, "denied"); n != 1 || e.Actor != "" || e.Facts["unproved"] == "" {
		t.Errorf("%d times in the chain: %+v", n, e)
	}
}

// TestNoAndRetryAtOnce: one of them wins, whichever comes first and whoever dies in
// between. Before the retry has begun a no ends it; then it goes on.
func TestNoAndRetryAtOnce(t *testing.T) {
	t.Parallel()
	for store, with := range stores {
		t.Run(store+", the no first", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, with...)
			_, u := w.failedUndo()
			before := w.run(u)
			said := false
			w.taking(func(run approvals.Run, _ approvals.Lease) { // the claim is written, the request's row not
				if run.ID == u.ID && run.Attempt == 2 && !said {
					said = true
					w.bring(w.button(bob, u, "deny"))
				}
			})
			w.withoutAWS(func() {
				w.bring(w.button(carol, u, "retry"))
				w.pass(time.Minute)
			})
			u = w.state(u, approvals.Denied)
			run := w.run(u)
			if !said || run.Outcome != approvals.Denied || run.Withdrawn == nil || !u.Closed {
				t.Errorf("said %t: %+v", said, run)
			}
			if d := cmp.Diff([]string{before.Cause, before.Hint}, []string{run.Cause, run.Hint}); d != "" {
				t.Error(d)
			}
			if _, n := w.event(u, "denied"); n != 1 {
				t.Errorf("%d times in the chain", n)
			}
		})
		t.Run(store+", and the worker dies between them", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, with...)
			_, u := w.failedUndo()
			w.bring(w.button(carol, u, "retry"))
			w.Requests.writes = func([]approvals.Put) error { return errOutage }
			w.withoutAWS(func() {
				w.drain()
				w.Requests.writes = nil
				if run := w.run(u); run.Attempt != 2 || run.Outcome != "" {
					t.Fatalf("%+v", run)
				}
				w.bring(w.button(bob, u, "deny"))
				w.pass(time.Minute)
			})
			w.state(u, approvals.Denied)
			if run := w.run(u); run.Outcome != approvals.Denied || run.Withdrawn == nil {
				t.Errorf("%+v", run)
			}
		})
		t.Run(store+", the retry first", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, with...)
			r, u := w.failedUndo()
			no := w.button(bob, u, "deny")
			refused := false
			w.during("iam:DeleteRolePolicy", func() {
				now := w.again(u)
				refused = w.cfg.Policy.Decide(now, approvals.Deny, approvals.Vote{Actor: approvals.Actor{Person: "bob"}}, w.clock.Now()).Refusal != nil
				w.edit(u, func(r *approvals.Request) { // as a forger would
					r.Denial, r.Closed = &approvals.Vote{Actor: approvals.Actor{Person: "bob"}, Evidence: w.keepsWord(no)}, false
				})
				w.sends(approvals.JobClose, u)
			})
			w.clicks(carol, u, "retry")
			if !refused {
				t.Error("the policy takes a no to what runs")
			}
			w.state(u, approvals.Restored)
			w.state(r, approvals.Undone)
		})
	}
}

// TestNoAndRetryInParallel: whatever the order, the undo either was denied and changed
// nothing, or ran and the no was told that it came too late.
func TestNoAndRetryInParallel(t *testing.T) {
	t.Parallel()
	for store, with := range stores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			won := map[approvals.State]int{}
			for i := range 8 {
				w := newWorld(t, with...)
				r, u := w.failedUndo()
				changes := w.aws.Mutations()
				no := approvals.Vote{Actor: approvals.Actor{Person: "bob", Slack: bob}, Evidence: w.keepsWord(w.button(bob, u, "deny")), At: w.clock.Now()}
				w.bring(w.button(carol, u, "retry"))
				errLate := errors.New("too late")
				late := false
				var wg sync.WaitGroup
				wg.Go(func() {
					for range i * i { // now earlier, now later
						w.again(u)
					}
					_, err := w.table().Change(t.Context(), u.ID, func(r *approvals.Request) error {
						if !w.cfg.Policy.Decide(*r, approvals.Deny, no, w.clock.Now()).Accept {
							return errLate
						}
						return r.SayNo(approvals.Denied, no, w.clock.Now())
					})
					if late = errors.Is(err, errLate); !late {
						w.must(err)
						w.sends(approvals.JobClose, u)
					}
				})
				for range 2 {
					wg.Go(func() {
						for w.round() {
						}
					})
				}
				wg.Wait()
				w.pass(time.Minute)
				u = w.again(u)
				won[u.State]++
				switch {
				case u.State == approvals.Denied && !late && w.run(u).Withdrawn != nil && w.aws.Mutations() == changes:
					w.state(r, approvals.Partial)
				case u.State == approvals.Restored && late:
					w.state(r, approvals.Undone)
				default:
					t.Errorf("it is %s, late: %t, %d changes, %+v", u.State, late, w.aws.Mutations()-changes, w.run(u))
				}
			}
			t.Log(won)
		})
	}
}
