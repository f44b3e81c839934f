package scp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

// DenyPrincipal denies everything to one principal by a service control policy, from outside its
// account: nobody in the account can lift it.
type DenyPrincipal struct{}

// Spec implements [actions.Action].
func (DenyPrincipal) Spec() actions.Spec {
	return actions.Spec{
		Name:     actions.DenyPrincipal,
		Title:    "Deny the principal from outside",
		Summary:  "deny everything to a role, a user, an account's root user or a person of IAM Identity Center, where nobody in the account can lift it",
		Usage:    `deny_principal sso:bob@example.com reason="signed in from two countries at once"`,
		Target:   actions.OutsideTarget,
		Options:  []string{"scope", "confirm"},
		Values:   map[string][]string{"scope": {"account", actions.WholeOrganization}},
		Synonyms: []string{"deny", "block", "block_principal", "deny_root", "deny_user", "deny_role", "disable_root"},
		Check: func(c *actions.Call, m *actions.ParseErrors) {
			if typed := c.Options["confirm"]; typed != "" && c.Target != "" && typed != actions.LastPart(c.Target) {
				m.Add("confirm", fmt.Sprintf("%s is not the principal's name", actions.Clip(typed)), "leave it out, or say confirm="+actions.LastPart(c.Target))
			}
			if person := c.OfPerson(); c.Options["scope"] == "account" && !person || c.Options["scope"] == actions.WholeOrganization && person {
				delete(c.Options, "scope") // the default
			} else if c.Options["scope"] == "account" {
				m.Suggest("scope", "is the organization for "+actions.SSOPrefix+": a person is denied in every account", "leave it out", "")
			}
		},
		Reversible: true,
		NotStopped: []string{
			"Service control policies don't touch service-linked roles, nor the organization's management account.",
			"Sessions that were chained into other roles live on in those roles.",
		},
		Undo:            denyUndo + "; a user's deny in its own account is lifted before",
		Delay:           actions.SCPDelay + "; to a user in its own account " + actions.IAMDelay,
		InOrganizations: func(actions.Call) bool { return true },
		Permits:         denyPermits,
	}
}

const denyUndo = "takes the principal out of the policy; with its last principal the policy is deleted"

func denyPermits(p actions.Phase, s actions.Scope) []actions.Statement {
	on := []string{s.ARN("organizations", "account/o-*/"+s.Call.Account)}
	switch {
	case s.Any():
		return append(inAccount(p, s), denyAt(p, s, anyTarget(s))...)
	case s.InTarget():
		return inAccount(p, s)
	case s.Call.Everywhere():
		on = []string{s.ARN("organizations", "root/o-*/r-*")}
	}
	return denyAt(p, s, on)
}

// inAccount are the permissions in the principal's account: its ID is read, and a user is denied there, too.
func inAccount(p actions.Phase, s actions.Scope) (ss []actions.Statement) {
	_, root := actions.RootOf(s.Call.Target)
	role := !isUser(s.Call.Target) && !root && !s.Call.OfPerson()
	if s.Any() || isUser(s.Call.Target) {
		var groups []string
		if p == actions.PhasePlan {
			groups = []string{"iam:ListGroupsForUser"}
		}
		ss = deny.QuarantinePermits(p, s, deny.FullQuarantine, []string{s.TargetOnAnyPath("user")}, groups, nil)
		if p == actions.PhasePlan {
			ss = append(append(ss, actions.ListPermit("iam:ListUsers")), vouch.GroupPermits(s)...)
		}
	}
	if p == actions.PhasePlan && role {
		ss = append(ss, actions.Statement{Actions: []string{"iam:GetRole"}, Resources: []string{s.TargetOnAnyPath("role")}}, actions.ListPermit("iam:ListRoles"))
	}
	return ss
}

// denyAt are the permissions for a policy on a target. An undo writes the policy anew while others are still
// denied, also where somebody has deleted it, and reads that back.
func denyAt(p actions.Phase, s actions.Scope, on []string) []actions.Statement {
	policy := []string{s.ARN("organizations", "policy/o-*/service_control_policy/*")}
	switch p {
	case actions.PhasePlan:
		account, root := actions.Statement{Actions: []string{"organizations:DescribeAccount"}, Resources: on}, actions.ListPermit("organizations:ListRoots")
		switch {
		case s.Any():
		case s.Call.Everywhere():
			account = actions.Statement{}
		default:
			root = actions.Statement{}
		}
		return []actions.Statement{account, root, actions.ListPermit("organizations:ListPolicies"), {Actions: []string{"organizations:ListPoliciesForTarget"}, Resources: on},
			{Actions: []string{"organizations:DescribePolicy", "organizations:ListTagsForResource"}, Resources: policy}}
	case actions.PhaseUndo:
		return append(permitsOn(p, s, on), actions.Statement{Actions: []string{"organizations:DescribePolicy"}, Resources: policy},
			actions.Statement{Actions: []string{"organizations:UpdatePolicy", "organizations:AttachPolicy"}, Resources: policy, Condition: onTagged},
			actions.Statement{Actions: []string{"organizations:CreatePolicy", "organizations:TagResource"}, Resources: []string{"*"}, Condition: asMade},
			actions.Statement{Actions: []string{"organizations:AttachPolicy", "organizations:ListPoliciesForTarget"}, Resources: on})
	case actions.PhaseRun, actions.PhaseReport:
	}
	return permitsOn(p, s, on)
}

func isUser(arn string) bool {
	_, _, _, _, ok := actions.SplitUserARN(arn)
	return ok
}

// principal is the target as it is denied.
type principal struct {
	identity actions.Identity
	denied   denied
	facts    []actions.Fact
	warnings []string
	guarded  string         // as in actions.Plan
	user     *iamtypes.User // nil unless it is one that could be read
}

// identify finds out how requests of the target are known. Where its account can't be read, whoever
// holds that account must not be safe for it: then the ARN is denied.
func identify(ctx context.Context, acct *actions.Account, c actions.Call) (principal, error) {
	if who, ok := strings.CutPrefix(c.Target, actions.SSOPrefix); ok {
		p := principal{identity: actions.Identity{ARN: c.Target, ID: c.Target}, denied: denied{Names: []string{who}},
			warnings: []string{"The person is not denied in the hub account, aws.policy_account and the management account: remove the assignments there. The access portal stays open: disable the user in Identity Center or the identity provider.",
				"Nobody looks whether there is such a person: a name that no session has denies nobody, and capital letters count."}}
		if actions.IdentityStoreID.MatchString(who) {
			p.denied = denied{People: []string{who}}
		}
		return p, nil
	}
	// The name of a federated user is what its maker says, root or a user: no other key tells whose session it is.
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable
	federated := fmt.Sprintf("arn:%s:sts::%s:federated-user/*", acct.Partition, c.Account)
	const withTokens = "Every federation token (GetFederationToken) of the account is denied with it: they don't tell who made them."
	if account, ok := actions.RootOf(c.Target); ok {
		return principal{identity: actions.Identity{ARN: c.Target, ID: account}, denied: denied{Roots: []string{c.Target}, ARNs: []string{federated}},
			warnings: []string{"Its keys, password and MFA devices stay: delete them from the management account (sts:AssumeRoot), which this leaves open.", withTokens}}, nil
	}
	p, unread := read(ctx, acct, c)
	var renamed *actions.Renamed
	if errors.As(unread, &renamed) && acct.Look != actions.LookFirst { // the first look denies the ID
		return p, renamed
	}
	if isUser(c.Target) {
		p.denied.ARNs = append(p.denied.ARNs, federated)
		p.warnings = append(p.warnings, withTokens)
	} else {
		p.warnings = append(p.warnings, "Whoever and whatever uses this role is denied until undo, also in new sessions.")
	}
	var no *actions.Refusal
	switch {
	case unread == nil:
		return p, nil
	case errors.As(unread, &no):
		return principal{}, no
	}
	p.identity = actions.Identity{ARN: c.Target, ID: cmp.Or(acct.Approved, c.Target)}
	switch id := acct.Approved; {
	case strings.HasPrefix(id, "AROA"): // what was approved; its name may be another one by now
		p.denied.UserIDs = []string{id + ":*"}
	case strings.HasPrefix(id, "AIDA"):
		p.denied.UserIDs = []string{id}
	default:
		cause, _ := actions.Explain(unread)
		p.denied.ARNs = append(p.denied.ARNs, actions.Literal(c.Target))
		p.warnings = append(p.warnings, "It could not be read in its account ("+cause+"): it is denied by its ARN, so a name or path that does not exist denies nobody, and a user that is renamed escapes.")
		if isUser(c.Target) {
			p.warnings = append(p.warnings, "It is not denied in its own account, unless that can be read when this runs: until AWS enforces the policy, it can go on.")
		}
	}
	if name := actions.LastPart(c.Target); acct.Org.ProtectedByNameAlone(c.Target) {
		p.guarded = name + " has a protected name, and nobody can look who may enter it."
	}
	if actions.Transient(unread) && acct.Look == actions.LookAll {
		return p, unread // ask again; if time is over, what is known is denied
	}
	return p, nil
}

// readWithin is how long a principal's account may take to answer: half of what a step may.
const readWithin = 10 * time.Second

// read reads a role or a user in its account.
func read(ctx context.Context, acct *actions.Account, c actions.Call) (p principal, err error) {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	at, err := acct.Target(ctx)
	if err != nil {
		return p, err
	}
	name, arn, id := actions.LastPart(c.Target), "", ""
	var created time.Time
	if isUser(c.Target) {
		if p.user, err = deny.FindUser(ctx, at, c); err != nil {
			return p, err
		}
		arn, id, created = aws.ToString(p.user.Arn), aws.ToString(p.user.UserId), aws.ToTime(p.user.CreateDate)
		p.denied.UserIDs = []string{id}
		if acct.Look == actions.LookAll { // an attacker may join the group after the approval
			groups, unread := vouch.Groups(ctx, at, name)
			if p.guarded = vouch.GuardUser(ctx, at, p.user, groups, unread); p.guarded != "" && c.Options["confirm"] != name {
				return p, actions.ConfirmName(c, name, p.guarded, "")
			}
		}
	} else {
		r, err := deny.GetRole(ctx, at, name)
		switch {
		case actions.IsCode(err, "NoSuchEntity"):
			return p, at.MissingRole(ctx, c)
		case err != nil:
			return p, err
		}
		arn, id, created = aws.ToString(r.Arn), aws.ToString(r.RoleId), aws.ToTime(r.CreateDate)
		p.denied.UserIDs = []string{id + ":*"}
		if p.guarded, err = vouch.Guard(acct, c, r); err != nil {
			return p, err
		}
		if r.RoleLastUsed != nil && r.RoleLastUsed.LastUsedDate != nil {
			p.facts = append(p.facts, actions.Fact{Label: "Last used", Text: r.RoleLastUsed.LastUsedDate.UTC().Format("2006-01-02 15:04 UTC")})
		}
	}
	if no := actions.OtherPath(c, arn); no != nil {
		return p, no
	}
	if acct.Approved == c.Target { // it could not be read when people decided
		id = c.Target
	}
	p.identity = actions.Identity{ARN: arn, ID: id, Created: created}
	return p, nil
}

// denyPrefix is the prefix of the names of the policies, one for each account and one for the root.
const denyPrefix = scpPrefix + "deny-"

// denyAttachment is the policy of a step, with the shares of all its holders.
func denyAttachment(o actions.Org, s actions.Step, shares []string) (Attachment, error) {
	own, err := allDenied([]string{s.Share})
	if err != nil {
		return Attachment{}, err
	}
	all := own
	if len(shares) > 0 {
		if all, err = allDenied(shares); err != nil {
			return Attachment{}, err
		}
	}
	return Attachment{policy: s.HoldName(), fingerprint: func(string) string { return "" },
		document: func(string) string { return all.document(o) },
		holds: func(live, wrote string) bool {
			is, ours := readDenied(o, live)
			if left, undone := readDenied(o, wrote); undone && !left.has(own) { // an undo wrote it for the others
				return ours && is.has(left) && !is.has(own)
			}
			return ours && is.has(own)
		},
	}, nil
}

// Plan implements [actions.Action].
func (DenyPrincipal) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	who, unread := identify(ctx, acct, c)
	if unread != nil && !actions.Transient(unread) {
		return actions.Plan{}, unread
	}
	at, err := pointOf(ctx, acct, c)
	if err != nil {
		return actions.Plan{}, err
	}
	policy := acct.Org.Installation.Name(denyPrefix + at.id)
	s := actions.Step{ID: attachStep, Title: "Deny it by the service control policy " + policy, Resource: at.arn, ResourceID: at.id, Share: who.denied.share(),
		Hold: actions.HoldKey(acct, at.id, "scp", policy), Goal: "principal", Deny: true, Current: "is not denied", After: "everything is denied to " + who.denied.String()}
	a, err := denyAttachment(acct.Org, s, nil)
	if err != nil {
		return actions.Plan{}, err
	}
	st, err := a.read(ctx, acct, at.id)
	if err != nil {
		return actions.Plan{}, err
	}
	others, ours := readDenied(acct.Org, st.content)
	if st.ours && ours && a.holds(st.content, "") {
		s.Current = "is denied by " + s.HoldName()
	}
	p := actions.Plan{Identity: who.identity, Steps: []actions.Step{s}, Reversible: true, Undo: denyUndo, Residual: DenyPrincipal{}.Spec().NotStopped, Warnings: who.warnings, Guarded: who.guarded}
	if st.id != "" && !ours {
		p.Warnings = append(p.Warnings, "The policy "+s.HoldName()+" is there and says something else. It is written anew. Now it says: "+deny.Compact(st.content))
	}
	if p.More = unread != nil || isUser(c.Target) && acct.Look == actions.LookFirst; p.More {
		return p, unread
	}
	if who.user != nil {
		if err = denyInside(ctx, acct, who.user, &p); err != nil {
			p.More = true
			return p, err
		}
	}
	if acct.Look != actions.LookAll {
		return p, nil
	}
	st.warnElsewhere(&p)
	p.Facts = append(who.facts, actions.Fact{Label: "Denied in", Text: at.name}, actions.Fact{Label: "Service control policies", Text: counted(st.attached)},
		actions.Fact{Label: "Also denied by this policy", Text: fmt.Sprintf("%d", others.count())},
		actions.Fact{Label: "Meanwhile", Text: "nobody takes " + at.name + " out of the organization"})
	if !st.ours && len(st.attached) >= usualQuota {
		p.Warnings = append(p.Warnings, quotaWarning(ctx, acct, at.id, len(st.attached)))
	}
	return p, nil
}

// denyInside adds the deny on a user in its own account. AWS enforces it sooner, and also in the user's federation
// tokens, whose principal is another one: their "permissions are the intersection of the user's identity-based policy and the
// session policies". It only supports: whoever administers the account can lift it.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_getfederationtoken.html
func denyInside(ctx context.Context, acct *actions.Account, user *iamtypes.User, p *actions.Plan) error {
	at, err := acct.Target(ctx)
	if err != nil {
		return err
	}
	s, err := deny.NewQuarantine(at, deny.FullQuarantine).Plan(ctx, at, user, p)
	switch {
	case err == nil:
		s.Title, s.Goal = s.Title+" in its own account", ""
		p.Steps, p.Undo = append(p.Steps, s), "lifts the deny in its own account, then "+denyUndo
	case actions.Transient(err) || acct.Look != actions.LookAll:
		return err
	default:
		cause, _ := actions.Explain(err)
		p.Warnings = append(p.Warnings, "What is denied to it in its own account can't be read ("+cause+"), so nothing is done there: until AWS enforces the policy, it can go on.")
	}
	return nil
}

// userOf reads the user of a step of denyInside, in its account.
func userOf(ctx context.Context, acct *actions.Account, s actions.Step) (at *actions.Account, user *iamtypes.User, err error) {
	if at, err = acct.Target(ctx); err == nil {
		user, err = deny.StepUser(ctx, at, s)
	}
	return at, user, err
}

// Apply implements [actions.Action].
func (DenyPrincipal) Apply(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	if s.ID != attachStep {
		at, user, err := userOf(ctx, acct, s)
		if err != nil {
			return actions.Effect{Prior: s.Prior}, err
		}
		return deny.QuarantineOf(at, s).Apply(ctx, at, user, s)
	}
	a, err := denyAttachment(acct.Org, s, run.Shares)
	if err != nil {
		return actions.Effect{Prior: s.Prior}, err
	}
	if n := len(a.document("")); n > scpLimit {
		return actions.Effect{Prior: s.Prior}, &actions.Refusal{Reason: fmt.Sprintf("the policy %s is full: with this principal it has %d characters, and AWS takes %d", s.HoldName(), n, scpLimit),
			Hint: "undo a deny_principal that is no longer needed (/killswitch list), then retry"}
	}
	return a.Apply(ctx, acct, s, run)
}

// Verify implements [actions.Action].
func (DenyPrincipal) Verify(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	if s.ID != attachStep {
		at, user, err := userOf(ctx, acct, s)
		if err != nil {
			return actions.Reading{}, err
		}
		return deny.QuarantineOf(at, s).Verify(ctx, at, user)
	}
	a, err := denyAttachment(acct.Org, s, nil)
	if err != nil {
		return actions.Reading{}, err
	}
	return a.Verify(ctx, acct, s, e)
}

// Revert takes a deny away that no other request needs.
func (DenyPrincipal) Revert(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	if s.ID != attachStep {
		at, user, err := userOf(ctx, acct, s)
		if gone, is := deny.UserGone(s, err); is {
			return gone, nil
		}
		if err != nil {
			return actions.Reading{}, err
		}
		return deny.QuarantineOf(at, s).Revert(ctx, at, user, e)
	}
	a := Attachment{policy: s.HoldName()}
	return a.Revert(ctx, acct, s, e)
}
