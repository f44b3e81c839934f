package user_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const (
	virtual = "arn:aws:iam::" + actiontest.Member + ":mfa/alice"
	added   = "arn:aws:iam::" + actiontest.Member + ":mfa/attacker"
)

var mfaOff = map[string]string{"mfa": "off"}

// Without the option the devices stay, and the card has the line that takes them away. With it the
// card says before that undo can't enable them, and the deny is put first.
func TestQuarantineTakesMFADevicesAway(t *testing.T) {
	w := userWorld(t)
	p := w.Plan()
	facts := func(p actions.Plan) string {
		i := slices.IndexFunc(p.Facts, func(f actions.Fact) bool { return f.Label == "MFA devices" })
		return p.Facts[i].Text
	}
	actiontest.HasWords(t, facts(p), virtual+", enabled 2026-11-03 10:00 UTC", "they stay", "quarantine_user "+w.userARN()+" mfa=off")
	if slices.ContainsFunc(p.Steps, func(s actions.Step) bool { return strings.HasPrefix(s.ID, "mfa ") }) || strings.Contains(strings.Join(p.Warnings, " "), "MFA") {
		t.Errorf("without the option: %v, %q", actiontest.StepIDs(p), p.Warnings)
	}
	for _, s := range w.Permits(actions.PhaseRun) {
		if slices.Contains(s.Actions, "iam:DeactivateMFADevice") {
			t.Error("without the option it may deactivate them")
		}
	}

	w.quarantine(mfaOff)
	p = w.Plan()
	if strings.Contains(facts(p), "they stay") {
		t.Errorf("with the option: %s", facts(p))
	}
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "Undo can't enable the MFA devices again", "assigned to nobody")
	ids := actiontest.StepIDs(p)
	if ids[0] != "deny" || ids[len(ids)-1] != "mfa "+virtual {
		t.Errorf("steps %v", ids)
	}
	s := actiontest.StepOf(t, p, "mfa "+virtual)
	if s.Goal != "" || s.Credential || s.Deny { // the watch applies goals alone again
		t.Errorf("%+v", s)
	}
	actiontest.HasWords(t, s.Current, "enabled 2026-11-03 10:00 UTC")
	actiontest.HasWords(t, s.NotReverted, "two codes")
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.holdsAll(all)
	if got := w.alice().MFA; len(got) != 0 {
		t.Errorf("devices %v", got)
	}
	if r := w.Undo(all)["mfa "+virtual]; r.Holds || r.Changed {
		t.Errorf("Revert: %+v", r)
	}
	if got := w.alice().MFA; len(got) != 0 {
		t.Errorf("taken back, devices %v", got)
	}
}

// A device that was added since the plan is found when the run looks again, and taken away; one that
// is gone is no error.
func TestMFADeviceAddedSinceThePlan(t *testing.T) {
	w := userWorld(t).quarantine(mfaOff)
	p := w.Plan()
	u := w.alice()
	u.MFA = []string{added}
	w.Account(actiontest.Member).AddUser(u)
	gone, err := w.Act.Apply(t.Context(), w.Responder(), actiontest.StepOf(t, p, "mfa "+virtual), w.Run())
	if err != nil || gone.Changed {
		t.Errorf("%+v, %v", gone, err)
	}
	acct := w.Enter(actions.Responder, actions.PhasePlan)
	acct.Look, acct.Approved = actions.LookSteps, p.Identity.ID
	again, err := w.Act.Plan(t.Context(), acct, w.Call())
	actiontest.Must(t, err)
	actiontest.AllApplied(t, w.ApplySteps(again.Steps))
	if got := w.alice().MFA; len(got) != 0 {
		t.Errorf("devices %v", got)
	}
	u.MFA = []string{added}
	w.Account(actiontest.Member).AddUser(u)
	r, err := w.Act.Verify(t.Context(), w.Responder(), actiontest.StepOf(t, again, "mfa "+added), actions.Effect{})
	if err != nil || r.Holds {
		t.Errorf("enabled again, and Verify says %+v, %v", r, err)
	}
}

// Devices that can't be listed are told, and hold nothing up.
func TestMFADevicesThatCantBeListed(t *testing.T) {
	w := userWorld(t).quarantine(mfaOff)
	w.Fault(awsfake.Fault{Op: "iam:ListMFADevices", Err: actiontest.Denied})
	p := w.Plan()
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "there may be more: MFA devices (AccessDenied")
	actiontest.AllApplied(t, w.ApplySteps(p.Steps))
}

// What undo can't take back never runs without a second person, and iam-only leaves credentials alone.
func TestMFAOffTakesPeople(t *testing.T) {
	spec := userWorld(t).Act.Spec()
	call := actions.Call{Action: actions.QuarantineUser, Target: virtual}
	if !spec.AutoEligible(call) || spec.AutoEligible(call.With("mfa", "off")) {
		t.Error("it may run by itself")
	}
	d := actiontest.TestOrg("aws").Directory()
	_, _, err := actions.Parse("quarantine_user prod/alice mfa=off mode=iam-only leaked", d)
	var m *actions.ParseErrors
	if !errors.As(err, &m) || len(m.List) != 1 || m.List[0].Field != "mfa" {
		t.Errorf("%v", err)
	}
	if _, _, err := actions.Parse("quarantine_user prod/alice mfa=on leaked", d); err == nil {
		t.Error("mfa=on is taken")
	}
}
