package actions

import (
	"context"
	"time"
)

// deleteKey deletes an access key that is inactive: it can't be taken back, so
// what breaks without the key must have shown before.
type deleteKey struct{ userSteps }

func (deleteKey) Spec() Spec {
	return Spec{ //nolint:gosec // the key of AWS's documentation
		Name:    DeleteKey,
		Title:   "Delete the access key",
		Summary: "delete an IAM user's access key that is inactive already, for good",
		Usage:   `delete_key AKIAIOSFODNN7EXAMPLE reason="nothing broke in a week without it"`,
		Target:  keyTarget,
		Options: []string{"account", "user"},
		Check:   checkKeyOwner,
		Quorum:  2,
		Permits: func(p Phase, s Scope) []Statement {
			switch p {
			case PhasePlan:
				return keyLooks(s)
			case PhaseRun:
				return []Statement{{[]string{"iam:GetUser", "iam:ListAccessKeys"}, ownersOf(s)}, {[]string{"iam:DeleteAccessKey"}, s.Changed("iam", "user")}, keyUsers()}
			case PhaseReport:
				return lookupPermits()
			case PhaseUndo: // it stays deleted
			}
			return nil
		},
	}
}

// Report implements [Reporter].
func (deleteKey) Report(ctx context.Context, acct *Account, c Call, _ Identity, now time.Time) (Activity, error) {
	return keyActivity(ctx, acct, c, now)
}

func (deleteKey) Plan(ctx context.Context, acct *Account, c Call) (Plan, error) {
	p := Plan{Undo: "can't: " + staysDeleted, Residual: []string{
		"Sessions that were made with the key live on until they expire: quarantine_user ends those of the user, revoke_sessions those of roles.",
	}}
	k, err := findKey(ctx, acct, c)
	if err != nil {
		return Plan{}, err
	}
	if k == nil {
		return keyless(acct, c, p)
	}
	if k.active() {
		return Plan{}, errKeyActive(k.ID)
	}
	s := userStep(acct, k.user, stepDelete+k.ID, "deleted", k.ID)
	s.Title, s.Prior, s.Current, s.After = "Delete the access key "+k.ID, &k.Status, "inactive", "gone for good"
	s.Stays = staysDeleted
	p.Identity, p.Steps = k.identity(), []Step{s}
	if !acct.Brief {
		p.Facts, p.Snapshot = k.facts(), k.json()
		p.Warnings = []string{"The key can't be restored: whatever still needs it must get a new one."}
	}
	return p, nil
}
