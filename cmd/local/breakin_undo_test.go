package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// halfUndone undoes a containment while AWS says no to one operation of it.
func (w *world) halfUndone(r approvals.Request, op string) approvals.Request {
	w.t.Helper()
	w.aws.Fault(denied(op))
	u := w.asksUndo(r)
	w.clicks("U01ALICE", u, "approve")
	w.aws.ClearFaults()
	w.state(r, approvals.Partial)
	u = w.state(u, approvals.Partial)
	w.clock.Add(time.Minute)
	return u
}

// asksUndo asks for an undo and returns it, whatever other undos there are.
func (w *world) asksUndo(r approvals.Request) approvals.Request {
	w.t.Helper()
	before := w.all()
	w.clicks("U03CAROL", w.again(r), "undo")
	for id, u := range w.all() {
		if _, old := before[id]; !old && u.Intent.Undo == r.ID {
			return w.state(u, approvals.Pending)
		}
	}
	w.t.Fatalf("no new undo of %s\n%s", r.ID, w.said())
	return approvals.Request{}
}

// TestRetriedUndoOfARenewedContainment: what was applied again after a failed
// undo must not be lifted by one person who retries that undo; nor may that undo
// say that all is restored.
func TestRetriedUndoOfARenewedContainment(t *testing.T) {
	for name, op := range map[string]string{"the deny stayed": "iam:DeleteRolePolicy", "the tag stayed": "iam:UntagRole"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.contained(command)
			w.pass(2 * time.Minute)
			u := w.halfUndone(r, op)
			w.clicks("U02BOB", w.again(r), "retry")
			w.state(r, approvals.Contained)
			w.pass(10 * time.Minute)
			held := w.policy("app-role")
			n := w.aws.Mutations()
			w.clicks("U03CAROL", w.again(u), "retry")
			w.pass(time.Minute)
			if w.policy("app-role") != held || w.aws.Mutations() != n {
				t.Errorf("one click changed what two had decided: %d changes", w.aws.Mutations()-n)
			}
			w.state(u, approvals.Partial)
			w.state(r, approvals.Contained)
			w.shows(u, "was applied again since this undo was approved")
			if e, _ := w.event(u, "retry_refused"); e.Actor != "carol" {
				t.Errorf("the refused retry is not in the chain: %+v", e)
			}
			w.undo(r) // a new one may
		})
	}
}

// TestUndoApprovedForAnEarlierAttempt: an undo that was asked for before the
// containment was applied again must not run.
func TestUndoApprovedForAnEarlierAttempt(t *testing.T) {
	w := newWorld(t)
	r := w.contained(command)
	w.pass(2 * time.Minute)
	w.halfUndone(r, "iam:DeleteRolePolicy")
	u := w.asksUndo(r)
	w.clicks("U02BOB", w.again(r), "retry")
	w.state(r, approvals.Contained)
	w.clicks("U01ALICE", u, "approve")
	w.state(u, approvals.Refused)
	w.state(r, approvals.Contained)
	w.shows(u, "was applied again since this undo was approved")
	if w.policy("app-role") == "" {
		t.Error("the deny is lifted")
	}
}

// TestRetryThatReadsNothing: a containment that was half undone must not be
// called contained on the word of the ledger.
func TestRetryThatReadsNothing(t *testing.T) {
	w := newWorld(t)
	r := w.contained(command)
	w.pass(2 * time.Minute)
	w.halfUndone(r, "iam:UntagRole")
	if w.policy("app-role") != "" {
		t.Fatal("the deny was to be lifted")
	}
	w.aws.Fault(denied("sts:AssumeRole"))
	w.clicks("U02BOB", w.again(r), "retry")
	w.state(r, approvals.Partial)
	w.shows(r, "AccessDenied")
	w.aws.ClearFaults()
	w.clock.Add(time.Minute)
	w.clicks("U02BOB", w.again(r), "retry")
	w.state(r, approvals.Contained)
	if w.policy("app-role") == "" {
		t.Error("contained, and no deny")
	}
}

// TestLostEndOfAnUndo: a lost write must not leave the original undoing for ever.
func TestLostEndOfAnUndo(t *testing.T) {
	f := &failOnce{}
	w := newWorld(t, func(w *world) {
		w.wrap = func(b local.Backends) local.Backends { f.Store = b.Requests; b.Requests = f; return b }
	})
	r := w.contained(command)
	w.pass(2 * time.Minute)
	u := w.asksUndo(r)
	w.aws.Fault(denied("iam:UntagRole"))
	f.arm(func(p approvals.Put) bool {
		return p.Part == r.ID && strings.Contains(string(p.Body), `"state":"partial"`)
	})
	w.clicks("U01ALICE", u, "approve")
	if !f.lost() {
		t.Fatal("nothing was lost")
	}
	w.pass(5 * time.Minute)
	w.state(u, approvals.Partial)
	w.state(r, approvals.Partial)
	w.aws.ClearFaults()
	w.undo(r)
}

// TestUndoingIsWatched: an original that waits for the end of its undo is told,
// even where the job that should tell it is gone.
func TestUndoingIsWatched(t *testing.T) {
	w := newWorld(t)
	r := w.contained(command)
	w.pass(2 * time.Minute)
	u := w.undo(r)
	w.edit(r, func(r *approvals.Request) { r.State, r.Card.State = approvals.Undoing, approvals.Undoing; r.Revise() }) // as a worker leaves it that dies here
	w.pass(2 * time.Minute)
	w.state(u, approvals.Restored)
	w.state(r, approvals.Undone)
}

// TestUndoOfTheRest: after half an undo another one is planned, for what is left
// alone.
func TestUndoOfTheRest(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{"AWSRevokeOlderSessions": earlier}})
	})
	before := w.aws.Snapshot()
	r := w.contained(command)
	w.pass(2 * time.Minute)
	w.halfUndone(r, "iam:UntagRole")
	u := w.asksUndo(r)
	if steps, err := (approvals.Runs{Reader: w.Runs}).Steps(t.Context(), u.ID, 0); err != nil || len(steps) != 1 {
		t.Errorf("%d steps are planned: %+v %v", len(steps), steps, err)
	}
	w.clicks("U01ALICE", u, "approve")
	w.state(u, approvals.Restored)
	w.state(r, approvals.Undone)
	if d := diffState(before, w.aws.Snapshot()); d != "" {
		t.Error(d)
	}
	w.quiet()
}

// TestRetriedUndoOfWhatIsUndone: a retry of an undo that another one finished
// must end, and say so, not come again until it is set aside.
func TestRetriedUndoOfWhatIsUndone(t *testing.T) {
	w := newWorld(t)
	r := w.contained(command)
	w.pass(2 * time.Minute)
	first := w.halfUndone(r, "iam:DeleteRolePolicy")
	second := w.asksUndo(r)
	w.clicks("U01ALICE", second, "approve")
	w.state(r, approvals.Undone)
	n := w.aws.Mutations()
	w.clock.Add(time.Minute)
	w.clicks("U02BOB", w.again(first), "retry")
	w.pass(40 * time.Minute)
	w.state(first, approvals.Partial)
	w.state(r, approvals.Undone)
	w.shows(first, "is taken back by "+second.ID+" already")
	if run := w.run(first); run.Outcome != approvals.Partial {
		t.Errorf("its run is %q", run.Outcome)
	}
	if w.aws.Mutations() != n {
		t.Error("it changed something")
	}
	w.quiet()
}

// TestTwoUndosOfOne: of two undos that are approved one runs; the other is
// refused and says why.
func TestTwoUndosOfOne(t *testing.T) {
	for name, meanwhile := range map[string]func(*world){"one after the other": (*world).drain, "at once": func(*world) {}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			before := w.aws.Snapshot()
			r := w.contained(command)
			w.pass(2 * time.Minute)
			us := []approvals.Request{w.asksUndo(r)}
			w.clock.Add(time.Second) // another second, another request
			us = append(us, w.asksUndo(r))
			for _, u := range us {
				w.slack.Click("U01ALICE", channel, u.Card.TS, "approve")
				meanwhile(w)
			}
			for range us {
				_, _ = w.zones.Pumps[0].Once(t.Context()) // the bot hears both before the executor hears of anything
			}
			w.drain()
			w.pass(time.Minute)
			w.state(r, approvals.Undone)
			did, not := w.again(us[0]), w.again(us[1])
			if did.State != approvals.Restored {
				did, not = not, did
			}
			w.state(did, approvals.Restored)
			w.state(not, approvals.Refused)
			w.shows(not, "is taken back by "+did.ID+" already")
			if d := diffState(before, w.aws.Snapshot()); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestDenyIsLiftedLast: an undo must not give the target its power back while
// something else is still to be taken back.
func TestDenyIsLiftedLast(t *testing.T) {
	w := newWorld(t)
	r := w.contained(command)
	w.pass(2 * time.Minute)
	w.aws.ResetCalls()
	w.undo(r)
	var did []string
	for _, c := range w.aws.Calls() {
		if c.Mutating && c.Applied {
			did = append(did, c.Op)
		}
	}
	if len(did) != 2 || did[1] != "iam:DeleteRolePolicy" {
		t.Errorf("in this order: %v", did)
	}
}

// TestUndoThatGrants: an undo that would put back a policy that allows something
// must show it to whoever approves.
func TestUndoThatGrants(t *testing.T) {
	grant := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}]}`
	w := newWorld(t, func(w *world) {
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{"AWSRevokeOlderSessions": grant}})
	})
	r := w.contained(command)
	w.pass(2 * time.Minute)
	u := w.asksUndo(r)
	for _, want := range []string{"What would be put back allows this", `"Effect":"Allow","Action":"secretsmanager:`} {
		w.shows(u, want)
		if said, warnings, _ := strings.Cut(w.card(u), "Be aware"); !strings.Contains(warnings, want) {
			t.Errorf("no warning of %s: %s", want, said)
		}
	}
	w.clicks("U01ALICE", u, "approve")
	w.state(u, approvals.Restored)
	if w.policy("app-role") != grant {
		t.Errorf("the policy is %s", w.policy("app-role"))
	}
}
