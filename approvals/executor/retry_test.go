package executor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// attempts checks how often a request was tried.
func (w *world) attempts(r approvals.Request, want int) {
	w.t.Helper()
	_, n := w.event(r, "retried")
	if run := w.run(r); run.Attempt != want || n != want-1 {
		w.t.Errorf("attempt %d, %d links retried; want attempt %d", run.Attempt, n, want)
	}
}

// TestRetryTakesUpWhatIsLeft, under a lease and a lock of its own, and the record
// names who asked for it.
func TestRetryTakesUpWhatIsLeft(t *testing.T) {
	t.Parallel()
	for name, user := range map[string]string{"the requester": alice, "the approver": bob, "a third responder": carol} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.unwatched = true
			r := w.failed()
			now := w.clock.Now()
			w.taking(func(run approvals.Run, l approvals.Lease) {
				if run.Lease.Owner != "worker-1/3" || !run.Lease.Until.Equal(now.Add(30*time.Second)) || !run.Since.Equal(now) || run.Outcome != "" || run.Cause != "" || run.Hint != "" {
					t.Errorf("%+v", run)
				}
				if d := cmp.Diff(approvals.Lease{Owner: r.ID, Until: run.Lease.Until}, l); d != "" {
					t.Error(d)
				}
			})
			r = w.state(w.clicks(user, r, "retry"), approvals.Contained)
			w.attempts(r, 2)
			person, _ := w.cfg.Policy.Roster.BySlack(user)
			if e, _ := w.event(r, "retried"); e.Actor != person.ID || e.Facts["evidence"] != r.Retries[0].Evidence || e.Facts["attempt"] != "2" {
				t.Errorf("%+v", e)
			}
		})
	}
}

// TestForgedRetriesAreIgnored: a click that does not prove who wants a retry of
// this very call starts none, and neither does one that comes too early or too late.
func TestForgedRetriesAreIgnored(t *testing.T) {
	t.Parallel()
	table := map[string]func(*world, *word){
		"by somebody who is in no group":    func(_ *world, d *word) { d.user = mallory },
		"by a Slack user whom nobody knows": func(_ *world, d *word) { d.user = nobody },
		"a click on another button":         func(_ *world, d *word) { d.actions[0].ID = "approve" },
		"another request's ID":              func(_ *world, d *word) { d.actions[0].Value = approvals.Value("KS-4G7QX2M9ZT0B", d.about.Digest) },
		"a click from before the attempt":   func(w *world, d *word) { d.signed = timed(w.at(-2 * time.Minute)) },
		"a job after the hour":              func(w *world, _ *word) { w.clock.Add(approvals.RetryWithin) },
		"a click signed after the hour":     func(w *world, d *word) { d.signed = timed(w.at(approvals.RetryWithin)) },
	}
	for name, c := range cards {
		table["on a card: "+name] = c.forge
	}
	for name, forge := range table {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.failed()
			before := w.run(r)
			d := w.button(carol, r, "retry")
			forge(w, d)
			w.bring(d)
			w.withoutAWS(w.drain)
			if d := cmp.Diff(before, w.run(r)); d != "" {
				t.Error(d)
			}
			w.state(r, before.Outcome)
			if strings.Contains(name, "hour") {
				return
			}
			w.state(w.clicks(carol, r, "retry"), approvals.Contained) // a bad click does not hide a good one
		})
	}
}

// TestRetriesEndAnHourAfterTheApproval: an attempt does not prolong the time for the next.
func TestRetriesEndAnHourAfterTheApproval(t *testing.T) {
	t.Parallel()
	for name, failed := range map[string]func(*testing.T) (*world, approvals.Request){"approved": failedInAWorld, "by one click": failedByOneClick} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := failed(t) // a minute ago
			mend := w.breaks("iam:PutRolePolicy")
			w.clock.Add(38 * time.Minute)
			r = w.clicks(carol, r, "retry")
			mend()
			w.attempts(r, 2)
			w.clock.Add(22 * time.Minute)
			w.withoutAWS(func() { r = w.clicks(carol, r, "retry") })
			w.attempts(r, 2)
		})
	}
}

// TestRetryByAnOutsiderIsRefused: what the bot would never store is refused by the
// executor alone, also once the outsider is all that stands in the row.
func TestRetryByAnOutsiderIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.failed()
	w.withoutAWS(func() { w.clicks(mallory, r, "retry") })
	w.edit(r, func(r *approvals.Request) { r.Retries[0].Person, r.Retries[0].Slack = "carol", carol })
	w.sends(approvals.JobRun, r)
	w.withoutAWS(w.drain)
	w.attempts(r, 1)
}

// TestOnlyWhatEndedBadlyIsRetried: what never started, holds, was taken back or is
// being taken back stays as it is.
func TestOnlyWhatEndedBadlyIsRetried(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*approvals.Run){
		"contained":     func(r *approvals.Run) { r.Outcome, r.Cause = approvals.Contained, "" },
		"restored":      func(r *approvals.Run) { r.Outcome = approvals.Restored },
		"undone":        func(r *approvals.Run) { r.Outcome = approvals.Undone },
		"refused":       func(r *approvals.Run) { r.Outcome = approvals.Refused },
		"denied":        func(r *approvals.Run) { r.Outcome = approvals.Denied },
		"never started": func(r *approvals.Run) { r.Started = false },
		"being undone":  func(r *approvals.Run) { r.UndoneBy = "KS-4G7QX2M9ZT0B" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.failed()
			rewrite(w, runKey(r), edit)
			w.withoutAWS(func() { w.clicks(carol, r, "retry") })
			if run := w.run(r); run.Attempt != 1 {
				t.Errorf("attempt %d", run.Attempt)
			}
		})
	}
	for _, outcome := range []approvals.State{approvals.Partial, approvals.Failed} {
		t.Run("and what is "+string(outcome)+" is", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.failed()
			rewrite(w, runKey(r), func(r *approvals.Run) { r.Outcome = outcome })
			w.state(w.clicks(carol, r, "retry"), approvals.Contained)
		})
	}
}

// TestOneClickIsOneRetry: its evidence is used up by the attempt that it starts,
// however that ends and however often the job comes.
func TestOneClickIsOneRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.failed()
	mend := w.breaks("iam:PutRolePolicy")
	r = w.clicks(carol, r, "retry")
	w.attempts(r, 2)
	if d := cmp.Diff([]string{r.Retries[0].Evidence}, w.run(r).Retries); d != "" {
		t.Error(d)
	}
	mend()
	w.withoutAWS(func() {
		for range 3 {
			w.sends(approvals.JobRun, r)
			w.drain()
		}
	})
	w.attempts(r, 2)
	w.state(w.clicks(carol, r, "retry"), approvals.Contained)
	w.attempts(r, 3)
}

// TestRetryOfWhatIsNoLongerApprovedIsRefused: a retry needs the approvals to count
// under the policy of now, too. It is told why not, once; the evidence is used up, so
// that the click does not start anything later.
func TestRetryOfWhatIsNoLongerApprovedIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*world, approvals.Request) (back func())
		why    string
	}{
		"the policy wants two now": {func(w *world, _ approvals.Request) func() {
			w.executor.Policy.Default.Approvals = 2
			return func() { w.executor.Policy.Default.Approvals = 1 }
		}, "there are 1 proved approvals of the 2 needed"},
		"the approver left": {func(w *world, _ approvals.Request) func() {
			w.executor.Policy.Roster.Groups["responders"] = []string{"alice", "carol"}
			return func() { w.executor.Policy.Roster.Groups["responders"] = []string{"alice", "bob", "carol"} }
		}, "not_approver"},
		"the account is protected now": {func(w *world, _ approvals.Request) func() {
			w.executor.Org.ProtectedAccounts = []string{prod}
			return func() { w.executor.Org.ProtectedAccounts = nil }
		}, "protected by the configuration"},
		"another request's evidence": {func(w *world, r approvals.Request) func() {
			w.edit(r, func(r *approvals.Request) { r.Evidence = r.Votes[0].Evidence })
			return func() { w.edit(r, func(now *approvals.Request) { now.Evidence = r.Evidence }) }
		}, "the stored request was altered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.failed()
			outcome := w.run(r).Outcome
			back := c.change(w, r)
			w.withoutAWS(func() { r = w.clicks(carol, r, "retry") })
			if want := "it is no longer approved: "; !strings.HasPrefix(w.again(r).Cause, want) || !strings.Contains(w.again(r).Cause, c.why) {
				t.Errorf("told %q, want %q", w.again(r).Cause, want+c.why)
			}
			w.state(r, outcome)
			w.attempts(r, 1)
			if d := cmp.Diff([]string{r.Retries[0].Evidence}, w.run(r).Retries); d != "" {
				t.Errorf("the evidence is not used up: %s", d)
			}
			if e, n := w.event(r, "retry_refused"); n != 1 || e.Actor != "carol" {
				t.Errorf("refused %d times: %+v", n, e)
			}
			back()
			w.sends(approvals.JobRun, r)
			w.withoutAWS(w.drain)
			w.state(w.clicks(carol, r, "retry"), approvals.Contained)
		})
	}
}

// TestRetryWaitsForALockedTarget: nothing of it is written before the target is free.
func TestRetryWaitsForALockedTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.failed()
	before := w.run(r)
	w.locked(20 * time.Second)
	w.bring(w.button(carol, r, "retry"))
	w.clears()
	w.withoutAWS(func() {
		got := w.job(w.executor, approvals.JobRun, r)
		if d := cmp.Diff([]sent{{approvals.Job{Verb: approvals.JobRun, ID: r.ID}, 3 * time.Second}}, got); d != "" {
			t.Error(d)
		}
	})
	if d := cmp.Diff(before, w.run(r)); d != "" {
		t.Error(d)
	}
	w.pass(30 * time.Second)
	w.state(r, approvals.Contained)
	w.attempts(r, 2)
}

// TestRetryRestsOnWhatTheClaimProved: the run's row says who approved, and the plan's who
// asked. After a rotation of the signing secret their evidence proves nothing any more,
// and a retry that is signed with the new secret starts all the same.
func TestRetryRestsOnWhatTheClaimProved(t *testing.T) {
	t.Parallel()
	for name, failed := range map[string]func(*testing.T) (*world, approvals.Request){"approved": failedInAWorld, "by one click": failedByOneClick} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := failed(t)
			rotated := func(context.Context) ([]string, error) { return []string{"second"}, nil }
			w.executor.Verifiers = map[approvals.EvidenceKind]approvals.Verifier{approvals.SlackEvidence: approvals.SlackVerifier{Secrets: rotated}}
			w.withoutAWS(func() { w.clicks(carol, r, "retry") }) // signed with the old secret
			w.attempts(r, 1)
			d := w.button(carol, w.again(r), "retry")
			d.secret = "second"
			w.bring(d)
			w.drain()
			w.state(r, approvals.Contained)
			w.attempts(r, 2)
		})
	}
}

// TestRetryThatCanNotBeReadIsTriedLater: an outage of the table uses nothing up.
func TestRetryThatCanNotBeReadIsTriedLater(t *testing.T) {
	t.Parallel()
	evidence := func(hash string) approvals.Key { return approvals.Key{Part: "evidence#" + hash, Sort: "evidence"} }
	for name, c := range map[string]struct {
		failed func(*testing.T) (*world, approvals.Request)
		lost   func(approvals.Request) approvals.Key
		end    approvals.State
	}{
		"the evidence of the retry":  {failedInAWorld, func(r approvals.Request) approvals.Key { return evidence(r.Retries[0].Evidence) }, approvals.Contained},
		"the click that released it": {failedByOneClick, func(r approvals.Request) approvals.Key { return evidence(r.Evidence) }, approvals.Contained},
		"the run that an undo takes back": {func(t *testing.T) (*world, approvals.Request) {
			w := newWorld(t)
			r := w.contained(revoke)
			w.pass(2 * time.Minute)
			mend := w.breaks("iam:DeleteRolePolicy")
			u := w.clicks(bob, w.clicks(alice, r, "undo"), "approve")
			mend()
			w.clock.Add(time.Minute)
			return w, u
		}, func(u approvals.Request) approvals.Key { return approvals.RunKey(u.Intent.Undo) }, approvals.Restored},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := c.failed(t)
			r = w.bring(w.button(carol, r, "retry"))
			before := w.run(r)
			fails := func(k approvals.Key) error {
				if k == c.lost(r) {
					return errOutage
				}
				return nil
			}
			w.Requests.reads, w.Runs.reads = fails, fails
			w.withoutAWS(w.drain)
			if d := cmp.Diff(before, w.run(r)); d != "" {
				t.Error(d)
			}
			w.Requests.reads, w.Runs.reads = nil, nil
			w.pass(10 * time.Second)
			w.state(r, c.end)
		})
	}
}

func failedByOneClick(t *testing.T) (*world, approvals.Request) {
	w, _ := alerted(t, true, true)
	mend := w.breaks("iam:PutRolePolicy")
	r := w.bring(w.proposal(alice, w.happened(w.finding())))
	w.drain()
	mend()
	w.clock.Add(time.Minute)
	return w, w.state(r, approvals.Partial)
}

func failedInAWorld(t *testing.T) (*world, approvals.Request) {
	w := newWorld(t)
	return w, w.failed()
}

// TestRefusedRetryIsToldThoughItsWriteWasLost: the job comes again until the record
// has it.
func TestRefusedRetryIsToldThoughItsWriteWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.bring(w.button(carol, w.failed(), "retry"))
	before := w.run(r)
	w.executor.Org.ProtectedAccounts = []string{prod}
	w.Runs.writes = func([]approvals.Put) error { return errOutage }
	w.withoutAWS(w.drain)
	if d := cmp.Diff(before, w.run(r)); d != "" {
		t.Error(d)
	}
	w.Runs.writes = nil
	w.withoutAWS(func() { w.pass(10 * time.Second) })
	if e, n := w.event(r, "retry_refused"); n != 1 || e.Actor != "carol" {
		t.Errorf("refused %d times: %+v", n, e)
	}
	if why := w.again(r).Cause; !strings.Contains(why, "protected by the configuration") {
		t.Errorf("told %q", why)
	}
}

// TestUndoOfAnEarlierAttemptIsNotRetried: an undo was approved for what one attempt
// did. Once the containment was applied again it needs a new one.
func TestUndoOfAnEarlierAttemptIsNotRetried(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]bool{"applied again": true, "as it was": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.contained(revoke)
			w.pass(2 * time.Minute)
			mend := w.breaks("iam:DeleteRolePolicy")
			u := w.clicks(bob, w.clicks(alice, r, "undo"), "approve")
			if u.State != approvals.Failed && u.State != approvals.Partial {
				t.Fatalf("the undo is %s", u.State)
			}
			mend()
			w.state(r, approvals.Partial)
			w.clock.Add(time.Minute)
			if again {
				w.state(w.clicks(carol, r, "retry"), approvals.Contained)
				w.pass(2 * time.Minute)
				w.withoutAWS(func() { u = w.clicks(carol, u, "retry") })
				if want := r.ID + " was applied again since this undo was approved: ask for a new one"; u.Cause != want {
					t.Errorf("told %q, want %q", u.Cause, want)
				}
				w.attempts(u, 1)
				w.state(r, approvals.Contained)
				return
			}
			w.state(w.clicks(carol, u, "retry"), approvals.Restored)
			w.state(r, approvals.Undone)
		})
	}
}

// TestJobForWhatHasEndedPutsTheRowRight: the run's word stands, whatever somebody
// wrote into the table requests.
func TestJobForWhatHasEndedPutsTheRowRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.pass(2 * time.Minute)
	w.edit(r, func(r *approvals.Request) { r.State = approvals.Approved })
	w.withoutAWS(func() { w.job(w.executor, approvals.JobRun, r) })
	w.state(r, approvals.Contained)
	w.attempts(r, 1)
}
