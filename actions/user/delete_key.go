package user

import (
	"context"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// DeleteKey deletes an inactive access key. It is irreversible, so the key must have
// been inactive before: failures without it have shown by then.
type DeleteKey struct{ userSteps }

// Spec implements [actions.Action].
func (DeleteKey) Spec() actions.Spec {
	return actions.Spec{ //nolint:gosec // the key of AWS's documentation
		Name:       actions.DeleteKey,
		Title:      "Delete the access key",
		Summary:    "delete an IAM user's access key that is inactive already, for good",
		Usage:      `delete_key AKIAIOSFODNN7EXAMPLE reason="nothing broke in a week without it"`,
		Target:     actions.KeyTarget,
		Options:    []string{"user"},
		Check:      checkKeyOwner,
		Quorum:     2,
		NotStopped: []string{"Sessions that were made with the key live on until they expire: quarantine_user ends those of the user, revoke_sessions those of roles."},
		Undo:       "can't: " + staysDeleted,
		Delay:      actions.IAMDelay,
		Permits: func(p actions.Phase, s actions.Scope) []actions.Statement {
			switch p {
			case actions.PhasePlan:
				return keyPlanPermits(s)
			case actions.PhaseRun:
				return []actions.Statement{{Actions: []string{"iam:GetUser", "iam:ListAccessKeys"}, Resources: ownerARNs(s)}, {Actions: []string{"iam:DeleteAccessKey"}, Resources: s.Changed("iam", "user/")}, keyOwnerPermit()}
			case actions.PhaseReport:
				return trail.LookupPermits()
			case actions.PhaseUndo: // it stays deleted
			}
			return nil
		},
	}
}

// Report implements [Reporter].
func (DeleteKey) Report(ctx context.Context, acct *actions.Account, c actions.Call, _ actions.Identity, now time.Time) (trail.Activity, error) {
	return keyActivity(ctx, acct, c, now)
}

// Plan implements [actions.Action].
func (DeleteKey) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	p := actions.Plan{Undo: DeleteKey{}.Spec().Undo, Residual: DeleteKey{}.Spec().NotStopped}
	k, err := findKey(ctx, acct, c)
	if err != nil {
		return actions.Plan{}, err
	}
	if k == nil {
		return planMissingKey(acct, c, p)
	}
	if k.active() {
		return actions.Plan{}, errKeyActive(k.ID)
	}
	s := deny.UserStep(acct, k.user, stepDelete+k.ID, "deleted", k.ID)
	s.Title, s.Prior, s.Current, s.After = "Delete the access key "+k.ID, &k.Status, "inactive", "gone for good"
	s.Goal, s.NotReverted = "key", staysDeleted
	p.Identity, p.Steps = k.identity(), []actions.Step{s}
	if acct.Look == actions.LookAll {
		p.Facts, p.Snapshot = k.facts(), k.json()
		p.Warnings = []string{"The key can't be restored: whatever still needs it must get a new one."}
	}
	return p, nil
}
