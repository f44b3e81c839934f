package user

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

// DeactivateKey makes one access key of an IAM user inactive, and on request denies
// everything to the user, since sessions derived from the key stay valid. Its steps
// are those of QuarantineUser, and shared with it.
type DeactivateKey struct{ userSteps }

// Spec implements [actions.Action].
func (DeactivateKey) Spec() actions.Spec {
	return actions.Spec{
		Name:     actions.DeactivateKey,
		Title:    "Deactivate the access key",
		Summary:  "make an IAM user's access key inactive; with quarantine=yes deny everything to the user, too",
		Usage:    `deactivate_key AKIAIOSFODNN7EXAMPLE quarantine=yes reason="key in a public repository"`,
		Target:   actions.KeyTarget,
		Options:  []string{"user", "quarantine"},
		Values:   map[string][]string{"quarantine": {"yes", "no"}},
		Synonyms: []string{"deactivate", "disable_key", "revoke_key"},
		Check: func(c *actions.Call, m *actions.ParseErrors) {
			checkKeyOwner(c, m)
			if c.Options["quarantine"] == "no" { // the default
				delete(c.Options, "quarantine")
			}
		},
		Reversible: true,
		NotStopped: []string{"Sessions of roles that were assumed with the key live on in those roles: revoke_sessions ends them."},
		Undo:       "leaves the key inactive unless the undo says keys=reactivate",
		Delay:      actions.IAMDelay,
		Permits:    deactivatePermits,
	}
}

func deactivatePermits(p actions.Phase, s actions.Scope) []actions.Statement {
	quarantines, owners := s.Any() || s.Call.Options["quarantine"] == "yes", ownerARNs(s)
	list, set := []string{"iam:ListAccessKeys"}, []string{"iam:UpdateAccessKey"}
	writes := set
	if s.Org.Installation != "" {
		if writes = append(writes, "iam:TagUser"); p == actions.PhaseUndo {
			writes = append(writes, "iam:UntagUser")
		}
	}
	alone := []actions.Statement{{Actions: []string{"iam:GetUser", "iam:ListAccessKeys"}, Resources: owners}, {Actions: writes, Resources: s.Changed("iam", "user/")}}
	switch p {
	case actions.PhasePlan:
		if quarantines {
			users := []string{s.ARN("iam", "user/*")}
			return slices.Concat(quarantinePermits(p, s, deny.FullQuarantine, users, []string{"iam:ListGroupsForUser", "iam:ListAccessKeys"}, nil), vouch.GroupPermits(s), []actions.Statement{keyOwnerPermit()})
		}
		return keyPlanPermits(s)
	case actions.PhaseRun:
		if quarantines {
			return append(quarantinePermits(p, s, deny.FullQuarantine, owners, list, set), keyOwnerPermit())
		}
		return append(alone, keyOwnerPermit())
	case actions.PhaseUndo:
		if quarantines {
			return quarantinePermits(p, s, deny.FullQuarantine, owners, list, set)
		}
		return alone
	case actions.PhaseReport:
		return trail.LookupPermits()
	}
	return nil
}

// Report implements [Reporter].
func (DeactivateKey) Report(ctx context.Context, acct *actions.Account, c actions.Call, _ actions.Identity, now time.Time) (trail.Activity, error) {
	return keyActivity(ctx, acct, c, now)
}

// Plan implements [actions.Action].
func (DeactivateKey) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	quarantines := c.Options["quarantine"] == "yes"
	p := actions.Plan{
		Reversible: true,
		Undo:       DeactivateKey{}.Spec().Undo,
		Residual:   DeactivateKey{}.Spec().NotStopped,
	}
	k, err := findKey(ctx, acct, c)
	if err != nil {
		return actions.Plan{}, err
	}
	if k == nil {
		return planMissingKey(acct, c, p)
	}
	p.Identity = k.identity()
	s := credentialKinds[0].deactivation(acct, k.user, k.credential)
	s.Goal = "key"
	p.Steps = []actions.Step{s}
	if acct.Look == actions.LookAll {
		p.Facts, p.Snapshot = k.facts(), k.json()
	}
	if p.More = quarantines && acct.Look == actions.LookFirst; p.More {
		return p, nil
	}
	if quarantines {
		if quarantines, err = quarantineOwner(ctx, acct, k, &p); err != nil {
			return actions.Plan{}, err
		}
	}
	if quarantines {
		p.Undo = "removes the tag, and the deny last; the key stays inactive unless the undo says keys=reactivate"
		return p, nil
	}
	p.Residual = append(p.Residual, "Sessions from GetSessionToken and GetFederationToken that were made with the key live on for up to 36 hours: quarantine=yes, or quarantine_user, ends them.")
	deny.WarnElsewhere(ctx, acct, deny.TamperValue(k.user.Tags), &p)
	if acct.Org.Installation != "" { // another one sees by the tag that the key is inactive for this one, too
		p.Steps = append(p.Steps, userTagStep(acct, k.user))
		p.Warnings = append(p.Warnings, "Where the tamper protection is deployed, nobody but Killswitch changes the user while this stands: a new key must be another user's.")
	}
	return p, nil
}

// quarantineOwner adds the steps of a quarantine, unless the user is an administrator: that takes
// a request of its own.
func quarantineOwner(ctx context.Context, acct *actions.Account, k *ownedKey, p *actions.Plan) (bool, error) {
	name := aws.ToString(k.user.UserName)
	groups, unread := vouch.Groups(ctx, acct, name)
	if why := vouch.GuardUser(ctx, acct, k.user, groups, unread); why != "" { // in a run, what was planned is in the ledger
		p.Warnings = append(p.Warnings, fmt.Sprintf("Only the key is deactivated: %s Sessions that were made with it work on for up to 36 hours. To end them, send: quarantine_user %s confirm=%s", why, aws.ToString(k.user.Arn), name))
		return false, nil
	}
	steps, err := denySteps(ctx, acct, k.user, deny.FullQuarantine, p)
	p.Steps = append(p.Steps, steps...)
	return true, err
}
