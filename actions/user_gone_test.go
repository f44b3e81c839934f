package actions_test

import (
	"testing"

	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// Whoever undoes the deny and puts the user among the admins must not thereby
// keep a re-check from applying it again.
func TestUndoneAndJoinedTheAdmins(t *testing.T) {
	w := userWorld(t).exempting("admins")
	p := w.plan()
	clean(t, w.take(p.Steps))
	u := alice("aws") // as before the containment, tag and deny gone
	u.ID, u.Groups = w.alice().ID, []string{"admins"}
	w.Account(member).AddUser(u)
	acct := w.enter(actions.Responder, actions.PhasePlan)
	acct.Brief = true // as the executor says at a re-check
	again, err := w.act.Plan(t.Context(), acct, w.call())
	if err != nil {
		t.Fatalf("a re-check is refused: %v", err)
	}
	if d := cmp.Diff(stepIDs(p), stepIDs(again)); d != "" {
		t.Error(d)
	}
}

// A user that is deleted takes its keys along.
func TestUserDeletedMeanwhile(t *testing.T) {
	w := userWorld(t).onKey(actions.DeactivateKey, firstKey, nil)
	p := w.plan()
	w.Account(member).DeleteUser("alice")
	again := w.brief()
	if again.Identity.ID != p.Identity.ID || len(again.Steps) > 0 {
		t.Errorf("%+v", again)
	}
	all := w.take(p.Steps)
	clean(t, all)
	w.holdsAll(all)
}

// AWS is seen to deny the look-up of a key that nobody has, naming the key.
func TestKeyThatAWSDeniesToKnow(t *testing.T) {
	unknown := func(key string) error {
		return &smithy.GenericAPIError{Code: "AccessDenied", Message: "User: arn:aws:sts::222222222222:assumed-role/killswitch-responder/KS is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key " + key}
	}
	w := userWorld(t, inactive).onKey(actions.DeleteKey, firstKey, nil)
	p := w.plan()
	clean(t, w.take(p.Steps))
	w.Fault(awsfake.Fault{Op: "iam:GetAccessKeyLastUsed", Err: unknown(firstKey)})
	if again := w.brief(); again.Identity.ID != p.Identity.ID || len(again.Steps) > 0 { // what a re-check sees
		t.Errorf("%+v", again)
	}
	says(t, w.refused().Reason, firstKey, "does not exist", "root")
	// A permission that is missing is none of that.
	w.ClearFaults()
	w.Fault(awsfake.Fault{Op: "iam:GetAccessKeyLastUsed", Err: denied})
	_, err := w.act.Plan(t.Context(), w.enter(actions.Responder, actions.PhasePlan), w.call())
	wantCode(t, err, "AccessDenied")
}
