// Package scp contains by service control policies (SCPs): accounts and units by apply_scp, one principal by
// deny_principal, all sessions of an account by revoke_sessions.
//
//	Attachment  one SCP of ours on an account, a unit or the root: finds, creates, attaches, detaches
//	CheckSCP    validates a document of the configuration; denials.go tells what it denies
package scp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

// ApplySCP freezes an account, or every account of a unit: it attaches a service control policy that denies
// everything, or the actions of its document, to all but the exempt principals.
type ApplySCP struct{}

// Spec implements [actions.Action].
func (ApplySCP) Spec() actions.Spec {
	return actions.Spec{
		Name:     actions.ApplySCP,
		Title:    "Freeze the account",
		TitleFor: titleOf,
		Summary:  "deny everything, or what scp= says (control-plane, protect-data, protect-versions), in an account or in every account of an organizational unit, to all but Killswitch's roles and protected.principals, with a service control policy",
		Usage:    `apply_scp 222222222222 reason="somebody makes users we don't know"`,
		Target:   actions.AccountTarget,
		Synonyms: []string{"freeze", "freeze_account", "lockdown", "lock_account"},
		Options:  []string{"scp"},
		Check:    checkSCPName,
		NotStopped: []string{
			"Service control policies don't touch service-linked roles, nor the organization's management account.",
			"Principals of other accounts keep what resource policies here grant them: buckets, queues, keys.",
			"What runs goes on: processes on instances, code that needs no AWS call.",
		},
		Undo:            "detaches the policy, and deletes it when nothing else has it",
		Delay:           actions.SCPDelay,
		Reversible:      true,
		InOrganizations: func(actions.Call) bool { return true },
		Permits: func(p actions.Phase, s actions.Scope) []actions.Statement {
			_, spared, _ := configuredAttachment(s.Org, documentName(s.Call), false)
			ss := Permits(p, s, spared)
			if p == actions.PhasePlan {
				ss = append(ss, standingPermits(s)...)
			}
			return ss
		},
	}
}

// titleOf says what a document does, where: only the freeze stops all.
func titleOf(c actions.Call) string {
	of := "the account"
	switch {
	case c.OfUnit() && kindOf(c.Target) == "root":
		of = "the whole organization"
	case c.OfUnit():
		of = "the organizational unit"
	}
	switch name := c.Options["scp"]; name {
	case "", freezeSCP:
		return "Freeze " + of
	case controlPlaneSCP:
		return "Deny all changes in " + of
	case protectDataSCP, protectVersions:
		return "Deny wiping and ransom in " + of
	default:
		return "Attach the document " + name + " to " + of
	}
}

var scpName = actions.NewPattern(`^[a-z][a-z0-9_-]{0,63}$`)

// checkSCPName checks the form of the name and removes the default. Plan checks that
// the configuration has the name.
func checkSCPName(c *actions.Call, m *actions.ParseErrors) {
	name, given := c.Options["scp"]
	if !given {
		return
	}
	name = strings.ToLower(name)
	switch {
	case !scpName.MatchString(name):
		m.Add("scp", fmt.Sprintf("%q is not the name of a document", actions.Clip(name)), "leave it out for "+freezeSCP+", or use a name from scps in the configuration")
	case name == freezeSCP:
		delete(c.Options, "scp")
	default:
		c.Options["scp"] = name
	}
}

// The conditions of writes on policies: policies with our tag, and those that a request made.
const policyTag = "aws:ResourceTag/" + deny.TamperTag

var (
	onTagged = actions.Condition{"Null": {policyTag: {"false"}}}
	onMade   = actions.Condition{"StringLike": {policyTag: {requestPrefix + "*"}}}
	// asMade allows our tag alone, with the value of a request.
	asMade = actions.Condition{"StringLike": {"aws:RequestTag/" + deny.TamperTag: {requestPrefix + "*"}}, "ForAllValues:StringEquals": {"aws:TagKeys": {deny.TamperTag}}}
)

// documentName returns the name of a call's document.
func documentName(c actions.Call) string { return cmp.Or(c.Options["scp"], freezeSCP) }

// Permits is as narrow as Organizations allows: actions without resource types need "*". Attaching and
// detaching are authorised on policy and target, and targets have tags of their own: each has its statement.
// In the target's account it returns what reads the exempt principals.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsorganizations.html
func Permits(p actions.Phase, s actions.Scope, exemptions []string) (ss []actions.Statement) {
	if s.InTarget() && (p == actions.PhasePlan || p == actions.PhaseRun) && !s.Call.OfUnit() {
		ss = vouch.Permits(s, exempted(s.Org, s.Account, exemptions))
	}
	if s.Any() || !s.InTarget() {
		ss = append(ss, permits(p, s)...)
	}
	return ss
}

// permits are those in the management account.
func permits(p actions.Phase, s actions.Scope) []actions.Statement {
	on := []string{s.ARN("organizations", "account/o-*/"+s.Call.Account)}
	switch {
	case s.Any():
		return append(permitsOn(p, s, anyTarget(s)), unitReads(p, s)...)
	case s.Call.OfUnit():
		return append(permitsOn(p, s, []string{s.ARN("organizations", kindOf(s.Call.Target)+"/o-*/"+s.Call.Target)}), unitReads(p, s)...)
	case p == actions.PhasePlan:
		return append([]actions.Statement{{Actions: []string{"organizations:DescribeAccount"}, Resources: on}}, permitsOn(p, s, on)...)
	}
	return permitsOn(p, s, on)
}

// anyTarget is every account, unit and root; of a wildcard in place of their types AWS says that it matches none.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html#arns-paths-wildcards
func anyTarget(s actions.Scope) []string {
	return []string{s.ARN("organizations", "account/o-*/*"), s.ARN("organizations", "ou/o-*/ou-*"), s.ARN("organizations", "root/o-*/r-*")}
}

// permitsOn is Permits for these targets of policies.
func permitsOn(p actions.Phase, s actions.Scope, target []string) []actions.Statement {
	policy := []string{s.ARN("organizations", "policy/o-*/service_control_policy/*")}
	switch p {
	case actions.PhasePlan:
		return []actions.Statement{
			{Actions: []string{"organizations:ListPoliciesForTarget"}, Resources: target},
			{Actions: []string{"organizations:DescribePolicy", "organizations:ListTagsForResource", "organizations:ListTargetsForPolicy"}, Resources: policy},
			{Actions: []string{"organizations:ListPolicies"}, Resources: []string{"*"}},
		}
	case actions.PhaseRun:
		return []actions.Statement{
			{Actions: []string{"organizations:ListPoliciesForTarget", "organizations:AttachPolicy"}, Resources: target},
			{Actions: []string{"organizations:DescribePolicy", "organizations:ListTagsForResource"}, Resources: policy},
			{Actions: []string{"organizations:AttachPolicy", "organizations:UpdatePolicy"}, Resources: policy, Condition: onTagged},
			{Actions: []string{"organizations:DeletePolicy"}, Resources: policy, Condition: onMade},
			{Actions: []string{"organizations:ListPolicies"}, Resources: []string{"*"}},
			// A policy that is being created has no ARN yet to limit its tags to.
			{Actions: []string{"organizations:CreatePolicy", "organizations:TagResource"}, Resources: []string{"*"}, Condition: asMade},
		}
	case actions.PhaseUndo:
		return []actions.Statement{
			{Actions: []string{"organizations:DetachPolicy"}, Resources: target},
			{Actions: []string{"organizations:ListTagsForResource", "organizations:ListTargetsForPolicy"}, Resources: policy},
			{Actions: []string{"organizations:DetachPolicy"}, Resources: policy, Condition: onTagged},
			{Actions: []string{"organizations:DeletePolicy"}, Resources: policy, Condition: onMade},
			{Actions: []string{"organizations:ListPolicies"}, Resources: []string{"*"}},
		}
	case actions.PhaseReport:
	}
	return nil
}

// configuredAttachment returns the attachment of a document of the configuration, to an account or to a unit.
func configuredAttachment(o actions.Org, name string, unit bool) (a Attachment, spared []string, no *actions.Refusal) {
	document, ok := documentOf(o, name)
	if !ok || ReservedSCP(name) {
		return a, nil, &actions.Refusal{Reason: fmt.Sprintf("there is no document named %q", actions.Clip(name)), Hint: "scp= takes " + strings.Join(scpNames(o), ", ")}
	}
	text, spared, no := readSCP(o, document)
	prefix := scpPrefix
	if unit && no == nil {
		prefix = unitPrefix
		text, no = sparing(text, sparedAccounts(o))
	}
	if no != nil {
		return a, nil, &actions.Refusal{Reason: "the document " + name + " can't be used: " + no.Reason, Hint: no.Hint}
	}
	return Attachment{policy: o.Installation.Name(prefix + name), document: func(string) string { return text }, holds: deny.EqualJSON, fingerprint: fingerprint}, spared, nil
}

// stepAttachment returns the attachment of a step.
func stepAttachment(acct *actions.Account, s actions.Step) (Attachment, error) {
	base, _ := actions.InstallationOf(s.HoldName())
	name, unit := strings.CutPrefix(base, unitPrefix)
	a, _, no := configuredAttachment(acct.Org, strings.TrimPrefix(name, scpPrefix), unit)
	if no != nil {
		return a, no
	}
	a.policy = s.HoldName()
	return a, nil
}

// Plan implements [actions.Action].
func (ApplySCP) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	name := documentName(c)
	a, spared, no := configuredAttachment(acct.Org, name, c.OfUnit())
	if no != nil {
		return actions.Plan{}, no
	}
	at, err := pointOf(ctx, acct, c)
	if err != nil {
		return actions.Plan{}, err
	}
	st, err := a.read(ctx, acct, at.id)
	if err != nil {
		return actions.Plan{}, err
	}
	step := a.step(acct, "Attach the service control policy "+a.policy, at, st)
	p := actions.Plan{
		Identity:   actions.Identity{ARN: at.arn, ID: at.id, Created: at.joined},
		Steps:      []actions.Step{step},
		Reversible: true,
		Undo:       strings.Replace(ApplySCP{}.Spec().Undo, "the policy", a.policy, 1),
		Residual:   ApplySCP{}.Spec().NotStopped,
	}
	a.bind(&p, "the document "+name)
	var exempt []string
	if c.OfUnit() {
		p.Residual = append(p.Residual, "Exempt principals are not stopped: "+exemptText(spared)+". Nobody looks in each account who may enter them: freeze the accounts that matter by themselves, too.",
			"An account that joins the unit is bound, too; one that is moved out of it is free.")
	} else {
		exempt = vouchFor(acct, c.Account, spared, &p)
	}
	switch {
	case st.ours:
		p.Undo = "detaches " + a.policy + " only if an earlier request attached it and none still holds it; else it stays attached, as it was"
	case st.id != "" && !strings.HasPrefix(st.owner, requestPrefix):
		p.Undo = "detaches " + a.policy + " from it; the policy stays, it was deployed ahead"
	}
	if acct.Look != actions.LookAll {
		return p, nil
	}
	document, _ := documentOf(acct.Org, name)
	p.Warnings = append(p.Warnings, impactText(acct.Org, name, document, spared, c.OfUnit())...)
	p.Facts = append(p.Facts, actions.Fact{Label: "Attached to", Text: at.name}, actions.Fact{Label: "Service control policies", Text: counted(st.attached)}, actions.Fact{Label: "Exempt", Text: exemptText(spared)})
	if !st.ours && len(st.attached) >= usualQuota {
		p.Warnings = append(p.Warnings, quotaWarning(ctx, acct, at.id, len(st.attached)))
	}
	if len(st.attached) == 0 {
		p.Warnings = append(p.Warnings, "It has no service control policy at all, not even FullAWSAccess: they are probably not enabled in this organization, and then the attach fails.")
	}
	st.warnElsewhere(&p)
	a.survey(ctx, acct, at.id, st, &p)
	if c.OfUnit() {
		surveyUnit(ctx, acct, at, &p)
	}
	if !c.OfUnit() && protecting(builtinOf(acct.Org, document)) {
		surveyStanding(ctx, acct, at.arn, &p)
	}
	vouch.Survey(ctx, acct, exempt, &p)
	return p, nil
}

// memberAccount reads the account, which must be an active member of the organization.
func memberAccount(ctx context.Context, acct *actions.Account, id string) (*types.Account, error) {
	out, err := organizationsOf(acct).DescribeAccount(ctx, &organizations.DescribeAccountInput{AccountId: &id})
	switch {
	case actions.IsCode(err, "AccountNotFoundException"):
		return nil, &actions.Refusal{Reason: fmt.Sprintf("account %s is not a member of the organization", id), Hint: "check the ID; in an account outside contain its principals one by one"}
	case actions.IsCode(err, "AWSOrganizationsNotInUseException"):
		return nil, &actions.Refusal{Reason: fmt.Sprintf("account %s, where service control policies are made, is in no organization", acct.ID), Hint: "correct aws.management_account, or aws.policy_account"}
	case err != nil:
		return nil, err
	case strings.Contains(aws.ToString(out.Account.Arn), "::"+id+":"): // it is in every account's ARN
		return nil, &actions.Refusal{Reason: id + " is the organization's management account: service control policies don't touch it", Hint: "contain its principals one by one"}
	}
	if !Active(out.Account) {
		return nil, &actions.Refusal{Reason: fmt.Sprintf("account %s is %s, not ACTIVE", id, actions.Clip(stateOf(out.Account))), Hint: "look at it in the Organizations console of the management account"}
	}
	return out.Account, nil
}

// Active reports whether an account is one that works: neither suspended nor closed.
func Active(a *types.Account) bool { return stateOf(a) == string(types.AccountStateActive) }

// stateOf returns an account's state; Status is the predecessor of State.
func stateOf(a *types.Account) string { return cmp.Or(string(a.State), string(a.Status)) }

// survey adds facts about the other targets that have the policy.
func (a Attachment) survey(ctx context.Context, acct *actions.Account, target string, st scpState, p *actions.Plan) {
	if st.id == "" {
		return
	}
	on, err := targets(ctx, acct, st.id)
	if err != nil {
		cause, _ := actions.Explain(err) // the survey only informs: the plan goes on
		p.Warnings = append(p.Warnings, "What else has "+a.policy+" could not be read ("+cause+").")
		return
	}
	on = slices.DeleteFunc(on, func(t string) bool { return t == target })
	if len(on) > 0 {
		p.Facts = append(p.Facts, actions.Fact{Label: "Also attached to", Text: actions.Clip(strings.Join(on, ", "))})
	}
	if !a.holds(st.content, a.document(st.content)) {
		text := "The policy " + a.policy + " is there and says something else. It is updated"
		if len(on) > 0 {
			text += ", also for " + actions.Clip(strings.Join(on, ", "))
		}
		p.Warnings = append(p.Warnings, text+"; undo does not put that back. Now it says: "+deny.Compact(st.content))
	}
}

// impactText returns what stops when the document is attached, in words.
func impactText(o actions.Org, name, document string, spared []string, unit bool) []string {
	but, builtin, in, of := exemptText(spared), builtinOf(o, document), "in the account", "of the account"
	if unit {
		in, of = "in each account", "of these accounts"
	}
	var warnings []string
	switch builtin {
	case "":
		warnings = append(warnings, "The document "+name+" is this organization's own: what it denies stops, for applications too.")
		warnings = append(warnings, denials(o, document)...)
	case freezeSCP:
		warnings = append(warnings, "Everything "+in+" stops for all but "+but+": the root user and applications too.")
	case controlPlaneSCP:
		warnings = append(warnings, "Every change "+in+" is denied to all but "+but+". Reading, re-encrypting and deleting data go on, and calls of functions, models and other roles: theft, wiping and ransom are not stopped (scp="+protectDataSCP+", or the freeze).",
			fmt.Sprintf("%d data-plane permissions of common services go on; what is not on that list stops too.", len(dataPlane)))
	case protectDataSCP:
		warnings = append(warnings, "Deleting data, backups and keys is denied to all but "+but+": applications that delete objects or tables, snapshot rotation and AWS Backup under roles "+of+" fail. Where they must delete objects: scp="+protectVersions+".")
	case protectVersions:
		warnings = append(warnings, "Deleting versions, tables, backups and keys is denied to all but "+but+": snapshot rotation and AWS Backup under roles "+of+" fail. Objects in buckets without versions can be wiped (scp="+protectDataSCP+").")
	}
	if protecting(builtin) {
		listed := ", as listed, and replication, access points and key policies, which are not."
		if unit {
			listed = ": freeze the accounts that matter by themselves, too, where they are listed."
		}
		warnings = append(warnings, "Reading and overwriting data go on, and so do lifecycle rules, bucket policies and grants of keys that stand already"+listed,
			"Denied to those protected, too: KMS keys of other organizations, grants of keys to other accounts, and S3 objects with a key of the request (SSE-C). Applications that use these fail.")
	}
	for _, arn := range spared {
		if parts := strings.SplitN(characters(arn), ":", 6); strings.ContainsAny(parts[len(parts)-1], "*?") {
			warnings = append(warnings, "The document exempts "+arn+": whoever can make a principal of such a name is exempt.")
		}
	}
	return warnings
}

// vouchFor adds the steps that look at the exempt principals, and returns those.
func vouchFor(acct *actions.Account, account string, exemptions []string, p *actions.Plan) []string {
	p.Residual = append(p.Residual, "Exempt principals are not stopped, nor is who has a session of one already: "+exemptText(exemptions)+".")
	exempt := exempted(acct.Org, account, exemptions)
	p.Steps = append(p.Steps, vouch.Steps(acct, account, exempt, "Killswitch changes no trust policy: correct it as another exempt principal (break-glass), or undo this, correct it and ask again; of Killswitch's own roles undo this and deploy the StackSet again")...)
	return exempt
}

// exemptText returns the exempt principals in short: role/NAME if it is exempt in every
// account.
func exemptText(spared []string) string {
	return actions.Clip(strings.Join(shortARNs(spared), ", "))
}

func nameOf(o actions.Org, a *types.Account) string {
	text := actions.Clean(actions.Clip(aws.ToString(a.Name)))
	if alias := o.Alias(aws.ToString(a.Id)); alias != "" {
		text += " (alias " + alias + ")"
	}
	return text
}

func counted(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d now: %s", len(names), actions.Clean(actions.Clip(strings.Join(names, ", "))))
}

// Apply implements [actions.Action].
func (ApplySCP) Apply(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	if vouch.Is(s) {
		return actions.Effect{}, nil
	}
	a, err := stepAttachment(acct, s)
	if err != nil {
		return actions.Effect{Prior: s.Prior}, err
	}
	return a.Apply(ctx, acct, s, run)
}

// Verify implements [actions.Action].
func (ApplySCP) Verify(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	if vouch.Is(s) {
		return vouch.Verify(ctx, acct, s)
	}
	a := Attachment{policy: s.HoldName(), holds: deny.EqualJSON}
	return a.Verify(ctx, acct, s, e)
}

// Revert needs no document: it may have been removed from the configuration.
func (ApplySCP) Revert(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	if vouch.Is(s) {
		return actions.Reading{Holds: true}, nil
	}
	a := Attachment{policy: s.HoldName()}
	return a.Revert(ctx, acct, s, e)
}
