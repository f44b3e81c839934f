package executor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/organizations"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// denies is a document of the organization's own.
func denies(acts string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":[%q],"Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::*:role/killswitch-responder","arn:aws:iam::*:role/killswitch-restorer"]}}}}`, acts)
}

// deploys installs another configuration: the executor starts anew.
func (w *world) deploys(document string) {
	w.t.Helper()
	w.cfg.Org.SCPs = map[string]string{"own": document}
	w.start()
}

func withOwn(w *world) {
	inOrganization()(w)
	w.cfg.Org.SCPs = map[string]string{"own": denies("s3:*")}
}

const ownFreeze = `apply_scp prod scp=own reason="somebody makes users"`

// attached is the content of the policies of ours that an account has.
func (w *world) attached(account string) (contents []string) {
	w.t.Helper()
	for _, p := range w.aws.Snapshot().Organization.SCPs {
		if strings.HasPrefix(p.Name, "killswitch-") && strings.Contains(strings.Join(p.Targets, " "), account) {
			contents = append(contents, p.Content)
		}
	}
	return contents
}

// TestDocumentThatWasNotApprovedIsNotAttached: what the card did not show is not in force.
func TestDocumentThatWasNotApprovedIsNotAttached(t *testing.T) {
	t.Parallel()
	changed := "the document own was changed since it was approved"
	t.Run("at the run", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withOwn)
		before := w.aws.Snapshot()
		r := w.types(alice, ownFreeze)
		w.deploys(denies("*"))
		r = w.state(w.clicks(bob, r, "approve"), approvals.Failed)
		if r.Cause != changed || r.Hint != "ask again with /killswitch" {
			t.Errorf("why %q, hint %q", r.Cause, r.Hint)
		}
		w.asBefore(before)
	})
	t.Run("at a retry", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withOwn)
		mend := w.breaks("organizations:AttachPolicy")
		r := w.clicks(bob, w.types(alice, ownFreeze), "approve")
		mend()
		w.clock.Add(time.Minute)
		w.deploys(denies("*"))
		r = w.clicks(carol, r, "retry")
		if on := w.attached(prod); r.Cause != changed || len(on) > 0 {
			t.Errorf("why %q, attached %v", r.Cause, on)
		}
		w.deploys(denies("s3:*")) // as it was approved
		w.clock.Add(time.Minute)
		w.state(w.clicks(carol, r, "retry"), approvals.Contained)
	})
	t.Run("as it was, in another form", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withOwn)
		r := w.types(alice, ownFreeze)
		w.deploys(strings.ReplaceAll(denies("s3:*"), `,"`, `, "`))
		w.state(w.clicks(bob, r, "approve"), approvals.Contained)
	})
	t.Run("of exempt principals", func(t *testing.T) {
		t.Parallel()
		for line, want := range map[string]string{
			"apply_scp prod stolen":                      "the document freeze was changed since it was approved",
			"revoke_sessions prod/ALL via=scp reason=it": "the list of exempt principals was changed since it was approved",
		} {
			w := newWorld(t, inOrganization())
			r := w.types(alice, line)
			w.cfg.Org.ProtectedPrincipals = append(w.cfg.Org.ProtectedPrincipals, "arn:aws:iam::*:role/mallory")
			w.start()
			if r = w.state(w.clicks(bob, r, "approve"), approvals.Failed); r.Cause != want || len(w.attached(prod)) > 0 {
				t.Errorf("%s: %q", line, r.Cause)
			}
		}
	})
}

// TestAnotherDocumentIsAnotherCall: an approval of one does not count for the other.
func TestAnotherDocumentIsAnotherCall(t *testing.T) {
	t.Parallel()
	w, o := newWorld(t, withOwn), newWorld(t, withOwn)
	r := w.types(alice, ownFreeze)
	o.deploys(denies("*"))
	other := o.types(alice, ownFreeze)
	if r.ID != other.ID || r.Digest == "" || r.Digest == other.Digest {
		t.Errorf("%s and %s have the digests %q and %q", r.ID, other.ID, r.Digest, other.Digest)
	}
	if e, _ := w.event(r, "planned"); e.Facts["bound"] == "" {
		t.Errorf("the record does not say which document: %+v", e)
	}
}

// TestContainmentOutlivesItsDocument: a configuration without the document does not make a
// containment that holds look otherwise.
func TestContainmentOutlivesItsDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withOwn)
	before := w.aws.Snapshot()
	r := w.contained(ownFreeze)
	w.cfg.Org.SCPs = nil
	w.start()
	w.pass(10 * time.Minute)
	r = w.state(r, approvals.Contained)
	if run := w.run(r); run.Checks < 3 || !run.UnreadSince.IsZero() {
		t.Errorf("%d checks, unread since %s", run.Checks, run.UnreadSince)
	}
	w.undo(r)
	w.asBefore(before)
}

// TestRecheckWritesNoOtherDocument: what somebody removed is attached again as it was
// approved, or not at all.
func TestRecheckWritesNoOtherDocument(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		deleted bool
		end     approvals.State
	}{
		"detached": {false, approvals.Contained},
		"deleted":  {true, approvals.Partial},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withOwn)
			r := w.contained(ownFreeze)
			approved := w.attached(prod)
			w.deploys(denies("*"))
			var id string
			for _, p := range w.aws.Snapshot().Organization.SCPs {
				if p.Name == "killswitch-own" {
					id = p.ID
				}
			}
			admin, account := organizations.NewFromConfig(w.aws.Admin(w.cfg.Org.ManagementAccount)), prod
			_, err := admin.DetachPolicy(t.Context(), &organizations.DetachPolicyInput{PolicyId: &id, TargetId: &account})
			w.must(err)
			if c.deleted {
				_, err = admin.DeletePolicy(t.Context(), &organizations.DeletePolicyInput{PolicyId: &id})
				w.must(err)
			}
			w.pass(2 * time.Minute)
			r = w.state(r, c.end)
			if c.deleted {
				if on := w.attached(prod); len(on) > 0 {
					t.Errorf("attached: %v", on)
				}
				w.tells(r, "was changed since it was approved")
			} else if on := w.attached(prod); len(on) != 1 || on[0] != approved[0] {
				t.Errorf("attached: %v, approved: %v", on, approved)
			}
		})
	}
}
