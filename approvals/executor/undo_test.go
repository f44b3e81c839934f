package executor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestUndoPutsBackByteForByte: an earlier policy of that name comes back as it was.
func TestUndoPutsBackByteForByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRole(awsfake.Role{Inline: map[string]string{denyName: earlier}, Tags: map[string]string{"killswitch": "theirs"}}))
	before := w.aws.Snapshot()
	r := w.contained(revoke)
	if w.policy("app-role") == earlier {
		t.Fatal("nothing was put")
	}
	w.undo(r)
	w.asBefore(before)
}

// TestUndoDoesNotOverwriteWhatOthersWrote in place of our deny.
func TestUndoDoesNotOverwriteWhatOthersWrote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.pass(2 * time.Minute)
	admin := iam.NewFromConfig(w.aws.Admin(prod))
	role, policy, doc := "app-role", denyName, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
	_, err := admin.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: &role, PolicyName: &policy, PolicyDocument: &doc})
	w.must(err)
	u := w.asksUndo(r)
	w.state(w.clicks(alice, u, "approve"), approvals.Partial)
	w.tells(u, "undo does not overwrite what others wrote")
	if got := w.policy("app-role"); got != doc {
		t.Errorf("the policy is %s", got)
	}
}

// TestUndoLeavesAloneWhatItsStepDidNotWrite: the deny failed before it was written,
// and another policy of that name stands there.
func TestUndoLeavesAloneWhatItsStepDidNotWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRole(awsfake.Role{Inline: map[string]string{denyName: earlier}}))
	before := w.aws.Snapshot()
	r := w.state(w.types(alice, revoke), approvals.Pending)
	reads := 0
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == "iam:GetRolePolicy" && c.Phase == awsfake.Before {
			if reads++; reads == 2 { // the run's own plan reads first, then the step
				return apiError("AccessDenied")
			}
		}
		return nil
	})
	w.clicks(bob, r, "approve")
	r = w.state(r, approvals.Partial)
	w.undo(r)
	w.asBefore(before)
}

// TestUndoOfADeletedRoleIsDone: also where its path was part of its name.
func TestUndoOfADeletedRoleIsDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(roleAt("/team/", "app-role")) })
	r := w.contained("revoke_sessions prod/app-role reason=leak")
	w.dropDeny()
	role := "app-role"
	_, err := iam.NewFromConfig(w.aws.Admin(prod)).DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: &role})
	w.must(err)
	w.undo(r)
}

// TestUndoThatIsDeniedBeforeItRanChangesNothing, also if it was approved before.
func TestUndoThatIsDeniedBeforeItRanChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.pass(2 * time.Minute)
	u := w.asksUndo(r)
	w.bring(w.button(alice, u, "approve"))
	w.bring(w.button(bob, u, "deny"))
	w.drain()
	w.pass(time.Minute)
	w.state(u, approvals.Denied)
	w.state(r, approvals.Contained)
	w.undo(r)
}

// halfUndone undoes a containment while AWS says no to one operation of it.
func (w *world) halfUndone(r approvals.Request, op string) approvals.Request {
	w.t.Helper()
	w.breaks(op)
	u := w.asksUndo(r)
	w.clicks(alice, u, "approve")
	w.aws.ClearFaults()
	w.state(r, approvals.Partial)
	u = w.state(u, approvals.Partial)
	w.clock.Add(time.Minute)
	return u
}

// TestRetriedUndoDoesNotLiftARenewedContainment: what was applied again after a failed
// undo is not lifted by one person who retries that undo; nor does that undo say that
// all is restored.
func TestRetriedUndoDoesNotLiftARenewedContainment(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]string{"the deny stayed": "iam:DeleteRolePolicy", "the tag stayed": "iam:UntagRole"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.contained(revoke)
			w.pass(2 * time.Minute)
			u := w.halfUndone(r, op)
			w.state(w.clicks(bob, r, "retry"), approvals.Contained)
			w.pass(10 * time.Minute)
			held := w.policy("app-role")
			n := w.aws.Mutations()
			w.clicks(carol, u, "retry")
			w.pass(time.Minute)
			if w.policy("app-role") != held || w.aws.Mutations() != n {
				t.Errorf("one click changed what two had decided: %d changes", w.aws.Mutations()-n)
			}
			w.state(u, approvals.Partial)
			w.state(r, approvals.Contained)
			w.tells(u, "was applied again since this undo was approved")
			if e, _ := w.event(u, "retry_refused"); e.Actor != "carol" {
				t.Errorf("the refused retry is not in the chain: %+v", e)
			}
			w.undo(r) // a new one may
		})
	}
}

// TestUndoApprovedForAnEarlierAttemptIsRefused: it was asked for before the
// containment was applied again.
func TestUndoApprovedForAnEarlierAttemptIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.pass(2 * time.Minute)
	w.halfUndone(r, "iam:DeleteRolePolicy")
	u := w.asksUndo(r)
	w.state(w.clicks(bob, r, "retry"), approvals.Contained)
	w.state(w.clicks(alice, u, "approve"), approvals.Refused)
	w.state(r, approvals.Contained)
	w.tells(u, "was applied again since this undo was approved")
	if w.policy("app-role") == "" {
		t.Error("the deny is lifted")
	}
}

// TestRetryOfWhatWasHalfUndoneReadsItBack: it is not called contained on the word of
// the ledger.
func TestRetryOfWhatWasHalfUndoneReadsItBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.pass(2 * time.Minute)
	w.halfUndone(r, "iam:UntagRole")
	if w.policy("app-role") != "" {
		t.Fatal("the deny was to be lifted")
	}
	w.breaks("sts:AssumeRole")
	w.state(w.clicks(bob, r, "retry"), approvals.Partial)
	w.tells(r, "AccessDenied")
	w.aws.ClearFaults()
	w.clock.Add(time.Minute)
	w.state(w.clicks(bob, r, "retry"), approvals.Contained)
	if w.policy("app-role") == "" {
		t.Error("contained, and no deny")
	}
}

// TestLostEndOfAnUndoIsMadeUpFor: a lost write does not leave the original undoing
// for ever.
func TestLostEndOfAnUndoIsMadeUpFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.pass(2 * time.Minute)
	u := w.asksUndo(r)
	mend := w.breaks("iam:UntagRole")
	w.loses(w.Requests, func(p approvals.Put) bool {
		return p.Part == r.ID && strings.Contains(string(p.Body), `"state":"partial"`)
	})
	w.clicks(alice, u, "approve")
	w.pass(5 * time.Minute)
	w.state(u, approvals.Partial)
	w.state(r, approvals.Partial)
	mend()
	w.undo(r)
}

// TestOriginalHearsOfItsUndoLater: a job of an undo that has ended tells the original,
// where the worker died before it did.
func TestOriginalHearsOfItsUndoLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.pass(2 * time.Minute)
	u := w.undo(r)
	w.edit(r, func(r *approvals.Request) { r.State = approvals.Undoing; r.Revise() })
	w.withoutAWS(func() { w.job(w.executor, approvals.JobUndo, u) })
	w.state(u, approvals.Restored)
	w.state(r, approvals.Undone)
}

// TestUndoThatDiedBeforeItsRecord: it lifted the deny and wrote nothing down, and then the
// account can't be entered any more. The original does not say that it is contained.
func TestUndoThatDiedBeforeItsRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.aws.Snapshot()
	r := w.contained(revokeAll)
	w.pass(2 * time.Minute)
	u := w.asksUndo(r)
	w.bring(w.button(alice, u, "approve"))
	w.clears()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == "iam:DeleteRolePolicy" && c.Phase == awsfake.After {
			cancel()
		}
		return nil
	})
	if err := w.executor.Handle(ctx, approvals.Job{Verb: approvals.JobUndo, ID: u.ID}); err == nil || w.policy("app-role") != "" {
		t.Fatalf("it did not die after its write: %v", err)
	}
	w.breaks("sts:AssumeRole")
	w.pass(20 * time.Minute)
	w.aws.ClearFaults()
	w.state(u, approvals.Failed)
	w.state(r, approvals.Partial)
	w.undo(r)
	w.asBefore(before)
}

// TestUndoOfTheRest: after half an undo another one is planned for what is left.
func TestUndoOfTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRole(awsfake.Role{Inline: map[string]string{denyName: earlier}}))
	before := w.aws.Snapshot()
	r := w.contained(revoke)
	w.pass(2 * time.Minute)
	w.halfUndone(r, "iam:UntagRole")
	u := w.asksUndo(r)
	if steps := w.steps(u); len(steps) != 1 {
		t.Errorf("%d steps are planned: %+v", len(steps), steps)
	}
	w.state(w.clicks(alice, u, "approve"), approvals.Restored)
	w.state(r, approvals.Undone)
	w.asBefore(before)

}

// TestRetriedUndoOfWhatIsUndoneEnds: another undo finished it; the retry says so.
func TestRetriedUndoOfWhatIsUndoneEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	w.pass(2 * time.Minute)
	first := w.halfUndone(r, "iam:DeleteRolePolicy")
	second := w.asksUndo(r)
	w.clicks(alice, second, "approve")
	w.state(r, approvals.Undone)
	n := w.aws.Mutations()
	w.clock.Add(time.Minute)
	w.clicks(bob, first, "retry")
	w.pass(40 * time.Minute)
	w.state(first, approvals.Partial)
	w.state(r, approvals.Undone)
	w.tells(first, "is taken back by "+second.ID+" already")
	if run := w.run(first); run.Outcome != approvals.Partial {
		t.Errorf("its run is %q", run.Outcome)
	}
	if w.aws.Mutations() != n {
		t.Error("it changed something")
	}

}

// TestOneOfTwoUndosRuns: of two undos that are approved one runs; the other is
// refused and says why.
func TestOneOfTwoUndosRuns(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(*world){"one after the other": (*world).drain, "at once": func(*world) {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			before := w.aws.Snapshot()
			r := w.contained(revoke)
			w.pass(2 * time.Minute)
			us := []approvals.Request{w.asksUndo(r)}
			w.clock.Add(time.Second) // another second, another request
			us = append(us, w.asksUndo(r))
			for _, u := range us {
				w.bring(w.button(alice, u, "approve"))
				meanwhile(w)
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
			w.tells(not, "is taken back by "+did.ID+" already")
			w.asBefore(before)
		})
	}
}

// TestDenyIsLiftedLast: an undo must not give the target its power back while
// something else is still to be taken back.
func TestDenyIsLiftedLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
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

// TestUndoThatGrantsSaysSo: who approves is told that what would be put back allows
// something.
func TestUndoThatGrantsSaysSo(t *testing.T) {
	t.Parallel()
	grant := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}]}`
	w := newWorld(t, withRole(awsfake.Role{Inline: map[string]string{denyName: grant}}))
	r := w.contained(revoke)
	w.pass(2 * time.Minute)
	u := w.asksUndo(r)
	warnings := strings.Join(w.planned(u).Plan.Warnings, "\n")
	for _, want := range []string{"What would be put back allows this", `"Effect":"Allow","Action":"secretsmanager:`} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning of %s: %s", want, warnings)
		}
	}
	w.state(w.clicks(alice, u, "approve"), approvals.Restored)
	if w.policy("app-role") != grant {
		t.Errorf("the policy is %s", w.policy("app-role"))
	}
}

// TestGrantThatUndoWouldPutBackIsTold: also of a user, and also to who approves the
// containment.
func TestGrantThatUndoWouldPutBackIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		exposed(w)
		u := w.bernd()
		u.Inline["KillSwitchQuarantine"] = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"s3:PutObject","Resource":"arn:aws:s3:::` +
			strings.Repeat("a", 200) + `"},{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`
		for _, p := range []string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J"} {
			arn := "arn:aws:iam::" + prod + ":policy/" + p
			w.aws.AddPolicy(arn, allowS3)
			u.Attached = append(u.Attached, arn)
		}
		w.aws.Account(prod).AddUser(u)
	})
	warned := func(r approvals.Request) {
		t.Helper()
		if all := strings.Join(w.planned(r).Plan.Warnings, "\n"); !strings.Contains(all, "iam:*") {
			t.Errorf("warnings of %s: %q\ninline now: %v", r.ID, all, w.bernd().Inline)
		}
	}
	r := w.contained("quarantine_user prod/bernd stolen")
	warned(r)
	warned(w.asksUndo(r))
}

// TestKeyStaysInactiveUnlessUndoSaysOtherwise: a click on Undo gives no credential
// back; a typed undo that says so does, and only with another person's approval.
func TestKeyStaysInactiveUnlessUndoSaysOtherwise(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	active := func() bool { return !w.bernd().Keys[0].Inactive }
	r := w.contained("deactivate_key " + exposedKey + " found in a public repository")
	u := w.clicks(alice, r, "undo")
	w.refused(u, "undo leaves all of it as it is")
	if w.tells(u, "keys=reactivate"); active() {
		t.Error("the key is active")
	}
	w.state(r, approvals.Contained)
	u = w.types(alice, "undo "+r.ID+" keys=reactivate it was our own test")
	if s := w.state(u, approvals.Pending).Intent.String(); !strings.Contains(s, "keys=reactivate") || active() {
		t.Errorf("%s, active: %t", s, active())
	}
	w.state(w.clicks(bob, u, "approve"), approvals.Restored)
	w.state(r, approvals.Undone)
	if !active() {
		t.Error("the key is still inactive")
	}
}

// TestUndoOfAQuarantineLeavesKeysInactive: the user is let go, the keys stay inactive.
func TestUndoOfAQuarantineLeavesKeysInactive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	r := w.contained("quarantine_user prod/bernd found in a public repository")
	u := w.asksUndo(r)
	w.tells(u, "stays: a compromised key stays inactive")
	w.state(w.clicks(bob, u, "approve"), approvals.Restored)
	w.state(r, approvals.Undone)
	kept := 0
	for _, s := range w.steps(u) {
		if s.State == approvals.StepKept {
			kept++
		}
	}
	if kept != 1 || len(w.run(u).Flags) != 1 {
		t.Errorf("%d steps are kept, flags %q", kept, w.run(u).Flags)
	}
	bernd := w.bernd()
	if !bernd.Keys[0].Inactive || len(bernd.Attached) != 0 || len(bernd.Tags) != 0 {
		t.Errorf("%+v", bernd)
	}
	// Another containment starts anew: what stayed is held by nobody.
	w.clock.Add(time.Minute)
	w.contained("deactivate_key " + exposedKey + " once more")
}

// TestUndoWhileALookIsUnderWay: the undo waits until the change can be seen, and meanwhile a look writes
// the containment's row. It begins all the same, at once.
func TestUndoWhileALookIsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	u := w.asksUndo(r)
	sleep, looked := w.executor.Sleep, 0
	w.executor.Sleep = func(ctx context.Context, d time.Duration) error {
		err := sleep(ctx, d)
		if looked++; looked == 1 {
			w.must(w.executor.Handle(ctx, approvals.Job{Verb: approvals.JobLook, ID: r.ID}))
		}
		return err
	}
	w.bring(w.button(alice, u, "approve"))
	w.must(w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobUndo, ID: u.ID}))
	w.state(u, approvals.Restored)
	if looked == 0 || w.policy("app-role") != "" {
		t.Errorf("%d looks, the deny is %q", looked, w.policy("app-role"))
	}
}
