package user

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
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
		Permits:    quarantinePermits,
	}
}

// Permissions to read and to change a user's credentials.
var (
	listCredentials = []string{"iam:ListAccessKeys", "iam:ListServiceSpecificCredentials", "iam:ListSigningCertificates", "iam:ListSSHPublicKeys"}
	setCredentials  = []string{"iam:UpdateAccessKey", "iam:UpdateServiceSpecificCredential", "iam:UpdateSigningCertificate", "iam:UpdateSSHPublicKey"}
)

func quarantinePermits(p actions.Phase, s actions.Scope) []actions.Statement {
	user := []string{s.TargetOnAnyPath("user")}
	full := s.Call.Options["mode"] != deny.IAMOnly
	switch p {
	case actions.PhasePlan:
		reads := append([]string{"iam:GetUser", "iam:ListGroupsForUser", "iam:GetLoginProfile", "iam:ListAttachedUserPolicies", "iam:ListUserPolicies", "iam:GetUserPolicy", "iam:ListMFADevices"}, listCredentials...)
		return append([]actions.Statement{{Actions: reads, Resources: user}, keyOwnerPermit(), actions.ListPermit("iam:ListUsers")}, quarantinePlanPermits(s, deny.QuarantineName(s.Call))...)
	case actions.PhaseRun:
		var reads, writes []string
		if full {
			reads = append([]string{"iam:GetLoginProfile"}, listCredentials...)
			writes = append([]string{"iam:DeleteLoginProfile"}, setCredentials...)
		}
		if takesMFA(s.Call) || s.Any() {
			reads, writes = append(reads, "iam:ListMFADevices"), append(writes, "iam:DeactivateMFADevice")
		}
		run := quarantineRunPermits(s, deny.QuarantineName(s.Call), user, reads, writes)
		if full {
			run = append(run, keyOwnerPermit())
		}
		return run
	case actions.PhaseUndo:
		if full {
			return quarantineUndoPermits(s, deny.FullQuarantine, user, listCredentials, setCredentials)
		}
		return quarantineUndoPermits(s, deny.IAMQuarantine, user, nil, nil)
	case actions.PhaseReport:
	}
	return nil
}

// quarantinePolicies returns the ARN of the managed policy; for Anything those of both.
func quarantinePolicies(s actions.Scope, name string) []string {
	if s.Any() {
		return []string{s.ARN("iam", "policy/"+deny.FullQuarantine), s.ARN("iam", "policy/"+deny.IAMQuarantine)}
	}
	return []string{s.ARN("iam", "policy/"+name)}
}

// onlyQuarantine is the condition that a policy which is attached or detached is ours.
func onlyQuarantine(s actions.Scope, name string) actions.Condition {
	return actions.Condition{"ArnEquals": {"iam:PolicyARN": quarantinePolicies(s, name)}}
}

// quarantinePlanPermits returns the permissions to read the policy's content, and since
// when an exempt user is in the group. LookupEvents takes no resource.
func quarantinePlanPermits(s actions.Scope, name string) []actions.Statement {
	ss := []actions.Statement{{Actions: []string{"iam:GetPolicy", "iam:GetPolicyVersion"}, Resources: quarantinePolicies(s, name)}}
	if s.Any() || s.Org.AdminGroup != "" {
		ss = append(ss, actions.Statement{Actions: []string{"cloudtrail:LookupEvents"}, Resources: []string{"*"}})
	}
	return ss
}

// quarantineRunPermits returns the permissions of the tag, the deny and the other reads
// and writes on the user, in few statements: a user's ARN may have 600 characters, a
// session policy 2,048.
func quarantineRunPermits(s actions.Scope, name string, user, reads, writes []string) []actions.Statement {
	ss := []actions.Statement{
		{Actions: append([]string{"iam:GetUser", "iam:ListAttachedUserPolicies", "iam:GetUserPolicy"}, reads...), Resources: user},
		{Actions: append([]string{"iam:TagUser", "iam:PutUserPolicy"}, writes...), Resources: s.Changed("iam", "user/")},
		{Actions: []string{"iam:AttachUserPolicy"}, Resources: s.Changed("iam", "user/"), Condition: onlyQuarantine(s, name)},
		{Actions: []string{"iam:GetPolicy", "iam:GetPolicyVersion"}, Resources: quarantinePolicies(s, name)},
	}
	if name == deny.FullQuarantine || s.Any() {
		ss = append(ss, deny.BoundaryPermits(actions.PhaseRun, s, "User", s.Changed("iam", "user/"))...)
	}
	return ss
}

// quarantineUndoPermits returns the permissions to revert the tag and the deny.
func quarantineUndoPermits(s actions.Scope, name string, user, reads, writes []string) []actions.Statement {
	ss := []actions.Statement{
		{Actions: append([]string{"iam:GetUser", "iam:ListAttachedUserPolicies", "iam:GetUserPolicy"}, reads...), Resources: user},
		{Actions: append([]string{"iam:TagUser", "iam:UntagUser", "iam:PutUserPolicy", "iam:DeleteUserPolicy"}, writes...), Resources: s.Changed("iam", "user/")},
		{Actions: []string{"iam:DetachUserPolicy"}, Resources: s.Changed("iam", "user/"), Condition: onlyQuarantine(s, name)},
	}
	if s.Call.Options["mode"] == deny.IAMOnly {
		return ss
	}
	return append(ss, deny.BoundaryPermits(actions.PhaseUndo, s, "User", s.Changed("iam", "user/"))...)
}

// Plan implements [actions.Action].
func (QuarantineUser) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	user, err := findUser(ctx, acct, c)
	if err != nil {
		return actions.Plan{}, err
	}
	name := aws.ToString(user.UserName)
	var groups []string
	guarded, unread := "", error(nil)
	if acct.Look == actions.LookAll { // an attacker may join the group after the approval
		groups, unread = groupsOf(ctx, acct, name)
		if guarded = guard(ctx, acct, user, groups, unread); guarded != "" && c.Options["confirm"] != name {
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

// guard returns why it takes one approval more to contain a user: its name is protected in any
// account, it is an administrator, or its groups can't be read, as whoever holds the account may
// bring about.
func guard(ctx context.Context, acct *actions.Account, u *types.User, groups []string, unread error) string {
	user, arn := aws.ToString(u.UserName), aws.ToString(u.Arn)
	if acct.Org.ProtectedByNameAlone(arn) {
		return user + " has a name that is protected in any account; nothing shows that this is the one that is meant."
	}
	if acct.Org.AdminGroup == "" {
		return ""
	}
	if unread != nil {
		cause, _ := actions.Explain(unread)
		return fmt.Sprintf("whether %s is a member of the admin group %s can't be read (%s).", user, acct.Org.AdminGroup, cause)
	}
	if group := adminGroup(acct.Org, groups); group != "" {
		since := ""
		if acct.Look == actions.LookAll {
			since = ", " + memberSince(ctx, acct, user, group)
		}
		return fmt.Sprintf("%s is a member of the admin group %s%s.", user, group, since)
	}
	return ""
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

// denySteps returns the steps that tag a user and deny to it. A policy of our name with
// other content is not used, and a warning says so.
func denySteps(ctx context.Context, acct *actions.Account, user *types.User, policy string, p *actions.Plan) ([]actions.Step, error) {
	q := deny.NewQuarantine(acct, policy)
	live, err := q.Read(ctx, acct, user)
	if err != nil {
		return nil, err
	}
	content, err := q.Content(ctx, acct)
	switch {
	case actions.Transient(err) && acct.Look == actions.LookAll: // a run does not wait: the deny is put anyway
		return nil, err
	case err != nil:
		cause, _ := actions.Explain(err)
		p.Warnings = append(p.Warnings, "The managed policy "+policy+" can't be read ("+cause+"): the deny is put inline.")
	case q.Unfit(content) != "":
		text := "The deny is put inline, since " + q.Unfit(content) + ". `killswitch template members` prints what deploys it."
		if content != nil {
			text += " It says: " + deny.Compact(*content)
		}
		p.Warnings = append(p.Warnings, text)
	}
	if live.Inline != nil && !q.Matches(*live.Inline) {
		text := "There is an inline policy named " + policy + " that says something else. If the deny must be put inline, it is replaced, and undo puts it back: "
		if grants := deny.Grants(*live.Inline); grants != "" {
			p.Warnings = append(p.Warnings, text+"it allows "+grants)
		} else {
			p.Warnings = append(p.Warnings, text+deny.Compact(*live.Inline))
		}
	}
	if policy == deny.FullQuarantine {
		p.Replaces, p.Warnings = live.Replaces(acct), append(p.Warnings, live.Warnings(acct)...)
	}
	return []actions.Step{q.Step(acct, user, live, content), userTagStep(acct, user)}, nil
}
