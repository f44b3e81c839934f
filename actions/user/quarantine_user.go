package user

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

// QuarantineUser denies everything to an IAM user and makes its credentials
// inactive. The deny has no condition: a long-term key has no issue time.
type QuarantineUser struct{ userSteps }

// Spec implements [actions.Action].
func (QuarantineUser) Spec() actions.Spec {
	return actions.Spec{
		Name:       actions.QuarantineUser,
		Title:      "Quarantine the user",
		Summary:    "deny everything to an IAM user and make its keys, password and other credentials useless",
		Usage:      `quarantine_user arn:aws:iam::222222222222:user/alice reason="signed in from an unknown network"`,
		Target:     actions.UserTarget,
		Options:    []string{"confirm", "mode", "mfa"},
		Check:      checkQuarantine,
		Values:     map[string][]string{"mode": {deny.IAMOnly}, "mfa": {"off"}},
		Synonyms:   []string{"quarantine", "deactivate_user", "disable_user", "delete_user", "block_user"},
		Reversible: true, Irreversible: takesMFA,
		Stronger:   actions.DenyPrincipal,
		NotStopped: []string{"Sessions of roles that the user has assumed already live on in those roles: revoke_sessions ends them."},
		Undo:       quarantineUndoText(true) + "; MFA devices that mfa=off took away can't be enabled by it",
		Delay:      actions.IAMDelay,
		Permits:    quarantineUserPermits,
	}
}

// Permissions to read and to change a user's credentials.
var (
	listCredentials = []string{"iam:ListAccessKeys", "iam:ListServiceSpecificCredentials", "iam:ListSigningCertificates", "iam:ListSSHPublicKeys"}
	setCredentials  = []string{"iam:UpdateAccessKey", "iam:UpdateServiceSpecificCredential", "iam:UpdateSigningCertificate", "iam:UpdateSSHPublicKey"}
)

func quarantineUserPermits(p actions.Phase, s actions.Scope) []actions.Statement {
	user := []string{s.TargetOnAnyPath("user")}
	name := deny.QuarantineName(s.Call)
	full := name == deny.FullQuarantine
	switch p {
	case actions.PhasePlan:
		reads := append([]string{"iam:ListGroupsForUser", "iam:GetLoginProfile", "iam:ListUserPolicies", "iam:ListMFADevices"}, listCredentials...)
		return slices.Concat(quarantinePermits(p, s, name, user, reads, nil), vouch.GroupPermits(s), []actions.Statement{keyOwnerPermit(), actions.ListPermit("iam:ListUsers")})
	case actions.PhaseRun:
		var reads, writes []string
		if full {
			reads = append([]string{"iam:GetLoginProfile"}, listCredentials...)
			writes = append([]string{"iam:DeleteLoginProfile"}, setCredentials...)
		}
		if takesMFA(s.Call) || s.Any() {
			reads, writes = append(reads, "iam:ListMFADevices"), append(writes, "iam:DeactivateMFADevice")
		}
		run := quarantinePermits(p, s, name, user, reads, writes)
		if full {
			run = append(run, keyOwnerPermit())
		}
		return run
	case actions.PhaseUndo:
		if full {
			return quarantinePermits(p, s, name, user, listCredentials, setCredentials)
		}
		return quarantinePermits(p, s, name, user, nil, nil)
	case actions.PhaseReport:
	}
	return nil
}

// quarantinePermits are the permissions of the deny and of the tag, with further reads and writes on users.
func quarantinePermits(p actions.Phase, s actions.Scope, name string, users, reads, writes []string) []actions.Statement {
	writes = append([]string{"iam:TagUser"}, writes...)
	if p == actions.PhaseUndo {
		writes = append(writes, "iam:UntagUser")
	}
	return deny.QuarantinePermits(p, s, name, users, reads, writes)
}

// Plan implements [actions.Action].
func (QuarantineUser) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	user, err := deny.FindUser(ctx, acct, c)
	if err != nil {
		return actions.Plan{}, err
	}
	name := aws.ToString(user.UserName)
	var groups []string
	guarded, unread := "", error(nil)
	if acct.Look == actions.LookAll { // an attacker may join the group after the approval
		groups, unread = vouch.Groups(ctx, acct, name)
		if guarded = vouch.GuardUser(ctx, acct, user, groups, unread); guarded != "" && c.Options["confirm"] != name {
			return actions.Plan{}, actions.ConfirmName(c, name, guarded, "or deactivate a key alone with deactivate_key")
		}
	}
	u, full := newUserState(user, groups), c.Options["mode"] != deny.IAMOnly
	p := actions.Plan{
		Identity:   actions.Identity{ARN: u.ARN, ID: u.ID, Created: aws.ToTime(user.CreateDate)},
		Reversible: true,
		Undo:       quarantineUndoText(full),
		Guarded:    guarded,
		Residual:   QuarantineUser{}.Spec().NotStopped,
	}
	if p.Steps, err = denySteps(ctx, acct, user, deny.QuarantineName(c), &p); err != nil {
		return actions.Plan{}, err
	}
	if p.More = full && acct.Look == actions.LookFirst; p.More {
		return p, nil
	}
	u.noteUnread("groups", unread)
	if err := u.credentials(ctx, acct); err != nil {
		return actions.Plan{}, err
	}
	if takesMFA(c) || acct.Look == actions.LookAll {
		u.MFA, unread = mfaDevices(ctx, acct, name)
		u.noteUnread("MFA devices", unread)
	}
	if full {
		p.Steps = append(p.Steps, u.credentialSteps(acct, user)...)
	} else {
		p.Warnings = append(p.Warnings, "Only IAM is denied: the user's keys, password and sessions work on for everything else.")
	}
	if takesMFA(c) {
		p.Undo += "; MFA devices can't be enabled by it"
		steps, warnings := u.mfaSteps(acct, user)
		p.Steps, p.Warnings = append(p.Steps, steps...), append(p.Warnings, warnings...)
	}
	if acct.Look == actions.LookAll {
		p.Facts = u.survey(ctx, acct, c, user)
		p.Snapshot = u.json()
	}
	if len(u.Unread) > 0 {
		p.Warnings = append(p.Warnings, "Not everything could be listed, so there may be more: "+strings.Join(u.Unread, "; ")+".")
	}
	return p, nil
}

// checkQuarantine checks the options.
func checkQuarantine(c *actions.Call, m *actions.ParseErrors) {
	confirmUser(c, m)
	if takesMFA(*c) && c.Options["mode"] == deny.IAMOnly {
		m.Add("mfa", "goes with the whole quarantine, and mode="+deny.IAMOnly+" leaves the user's credentials alone", "leave one of the two out")
	}
}

// confirmUser checks confirm=, which an administrator needs.
func confirmUser(c *actions.Call, m *actions.ParseErrors) {
	typed, given := c.Options["confirm"]
	if name := actions.LastPart(c.Target); given && c.Target != "" && typed != name {
		m.Add("confirm", fmt.Sprintf("%s is not the user's name", actions.Clip(typed)), "say confirm="+name)
	}
}

func quarantineUndoText(full bool) string {
	text := "removes the tag, and the deny last"
	if full {
		text += "; keys and other credentials stay inactive unless the undo says keys=reactivate, and a password can't be restored: set a new one"
	}
	return text
}

// denySteps returns the steps that deny to a user and tag it.
func denySteps(ctx context.Context, acct *actions.Account, user *types.User, policy string, p *actions.Plan) ([]actions.Step, error) {
	s, err := deny.NewQuarantine(acct, policy).Plan(ctx, acct, user, p)
	if err != nil {
		return nil, err
	}
	return []actions.Step{s, userTagStep(acct, user)}, nil
}
