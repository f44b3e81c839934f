package user_test

import (
	"testing"

	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// Whoever undoes the deny and puts the user among the admins must not thereby
// keep a re-check from applying it again.
func TestUndoneAndJoinedTheAdmins(t *testing.T) {
	w := userWorld(t).exempting("admins")
	p := w.Plan()
	actiontest.AllApplied(t, w.ApplySteps(p.Steps))
	u := alice("aws") // as before the containment, tag and deny gone
	u.ID, u.Groups = w.alice().ID, []string{"admins"}
	w.Account(actiontest.Member).AddUser(u)
	acct := w.Enter(actions.Responder, actions.PhasePlan)
	acct.Look = actions.LookSteps // as the executor says at a re-check
	again, err := w.Act.Plan(t.Context(), acct, w.Call())
	if err != nil {
		t.Fatalf("a re-check is refused: %v", err)
	}
	if d := cmp.Diff(actiontest.StepIDs(p), actiontest.StepIDs(again)); d != "" {
		t.Error(d)
	}
}

// A user that is deleted takes its keys along.
func TestUserDeletedMeanwhile(t *testing.T) {
	w := userWorld(t).onKey(actions.DeactivateKey, actiontest.FirstKey, nil)
	p := w.Plan()
	w.Account(actiontest.Member).DeleteUser("alice")
	again := w.brief()
	if again.Identity.ID != p.Identity.ID || len(again.Steps) > 0 {
		t.Errorf("%+v", again)
	}
	all := w.ApplySteps(p.Steps)
	actiontest.AllApplied(t, all)
	w.holdsAll(all)
}

// AWS is seen to deny the look-up of a key that nobody has, naming the key.
func TestUnknownKeyIsDeniedByAWS(t *testing.T) {
	unknown := func(key string) error {
		return &smithy.GenericAPIError{Code: "AccessDenied", Message: "User: arn:aws:sts::222222222222:assumed-role/killswitch-responder/KS is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key " + key}
	}
	w := userWorld(t, inactive).onKey(actions.DeleteKey, actiontest.FirstKey, nil)
	p := w.Plan()
	actiontest.AllApplied(t, w.ApplySteps(p.Steps))
	w.Fault(awsfake.Fault{Op: "iam:GetAccessKeyLastUsed", Err: unknown(actiontest.FirstKey)})
	if again := w.brief(); again.Identity.ID != p.Identity.ID || len(again.Steps) > 0 { // what a re-check sees
		t.Errorf("%+v", again)
	}
	actiontest.HasWords(t, w.refused().Reason, actiontest.FirstKey, "does not exist", "root")
	// A permission that is missing is none of that.
	w.ClearFaults()
	w.Fault(awsfake.Fault{Op: "iam:GetAccessKeyLastUsed", Err: actiontest.Denied})
	_, err := w.Act.Plan(t.Context(), w.Enter(actions.Responder, actions.PhasePlan), w.Call())
	actiontest.WantCode(t, err, "AccessDenied")
}
