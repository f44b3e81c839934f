package actions

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// deactivateKey makes one access key of an IAM user inactive, and on request
// denies everything to the user, since sessions that were derived from the key
// live on. It takes the same steps as quarantineUser, and shares them.
type deactivateKey struct{ userSteps }

func (deactivateKey) Spec() Spec {
	return Spec{
		Name:    DeactivateKey,
		Title:   "Deactivate the access key",
		Summary: "make an IAM user's access key inactive; with quarantine=yes deny everything to the user, too",
		Usage:   `deactivate_key AKIAIOSFODNN7EXAMPLE quarantine=yes reason="key in a public repository"`,
		Target:  keyTarget,
		Options: []string{"account", "user", "quarantine"},
		Check: func(c *Call, m *Mistakes) {
			checkKeyOwner(c, m)
			oneOf(c, "quarantine", m, "yes", "no")
			if c.Options["quarantine"] == "no" { // the default
				delete(c.Options, "quarantine")
			}
		},
		Reversible: true,
		Permits:    deactivatePermits,
	}
}

func deactivatePermits(p Phase, s Scope) []Statement {
	quarantines, owners := s.Any() || s.Call.Options["quarantine"] == "yes", ownersOf(s)
	list, set := []string{"iam:ListAccessKeys"}, []string{"iam:UpdateAccessKey"}
	alone := []Statement{{[]string{"iam:GetUser", "iam:ListAccessKeys"}, owners}, {set, s.Changed("iam", "user")}}
	switch p {
	case PhasePlan:
		if quarantines {
			return append(keyLooks(s, "iam:ListGroupsForUser", "iam:ListAttachedUserPolicies", "iam:GetUserPolicy"), quarantineLooks(s, quarantineName)...)
		}
		return keyLooks(s)
	case PhaseRun:
		if quarantines {
			return append(quarantineRun(s, quarantineName, owners, list, set), keyUsers())
		}
		return append(alone, keyUsers())
	case PhaseUndo:
		if quarantines {
			return quarantineUndo(s, owners, list, set)
		}
		return alone
	case PhaseReport:
		return lookupPermits()
	}
	return nil
}

// Report implements [Reporter].
func (deactivateKey) Report(ctx context.Context, acct *Account, c Call, _ Identity, now time.Time) (Activity, error) {
	return keyActivity(ctx, acct, c, now)
}

func (deactivateKey) Plan(ctx context.Context, acct *Account, c Call) (Plan, error) {
	quarantines := c.Options["quarantine"] == "yes"
	p := Plan{
		Reversible: true,
		Undo:       "leaves the key inactive unless the undo says keys=reactivate",
		Residual:   []string{"Sessions of roles that were assumed with the key live on in those roles: revoke_sessions ends them."},
	}
	k, err := findKey(ctx, acct, c)
	if err != nil {
		return Plan{}, err
	}
	if k == nil {
		return keyless(acct, c, p)
	}
	p.Identity = k.identity()
	p.Steps = []Step{credentialKinds[0].deactivation(acct, k.user, k.credential)}
	if !acct.Brief {
		p.Facts, p.Snapshot = k.facts(), k.json()
	}
	if quarantines {
		if quarantines, err = quarantineOwner(ctx, acct, k, &p); err != nil {
			return Plan{}, err
		}
	}
	if quarantines {
		p.Undo = "removes the tag, and the deny last; the key stays inactive unless the undo says keys=reactivate; the managed policy " + quarantineName + " stays in the account, where it does nothing by itself"
	} else {
		p.Residual = append(p.Residual, "Sessions from GetSessionToken and GetFederationToken that were made with the key live on for up to 36 hours: quarantine=yes, or quarantine_user, ends them.")
	}
	return p, nil
}

// quarantineOwner adds the steps of a quarantine, unless the user is exempt.
func quarantineOwner(ctx context.Context, acct *Account, k *ownedKey, p *Plan) (bool, error) {
	name := aws.ToString(k.user.UserName)
	groups, err := groupsOf(ctx, acct, name)
	if err != nil {
		return false, err // whether the user is exempt is never guessed
	}
	if group := adminGroup(acct.Org, groups); group != "" {
		since := ""
		if !acct.Brief {
			since = ", " + memberSince(ctx, acct, name, group)
		}
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s is a member of the admin group %s%s: the user is not quarantined, the key alone is deactivated. If the membership is the attacker's, take the user out of the group and ask for quarantine_user.", name, group, since))
		return false, nil
	}
	steps, err := denySteps(ctx, acct, k.user, quarantineName, p)
	p.Steps = append(p.Steps, steps...)
	return true, err
}
