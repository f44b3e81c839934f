package scp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// scpPrefix is the prefix of our policies' names in Organizations.
const scpPrefix = "killswitch-"

// requestPrefix is the prefix of request IDs. A policy whose tag has another value was
// deployed in advance, and is never deleted.
const requestPrefix = "KS-"

func organizationsOf(a *actions.Account) *organizations.Client {
	return actions.Client(a, organizations.NewFromConfig)
}

// Attachment is one service control policy of ours on an account. All its
// calls go to Organizations.
//
// The policy is found by its name and our tag. Its name is unique in the organization,
// so all accounts that it is attached to share it.
type Attachment struct {
	policy string // its name in Organizations
	// document returns the content to write, given the current one ("" if there is none):
	// the same if that suffices.
	document func(live string) string
	// holds reports whether the current content has the effect of the written one.
	holds func(live, wrote string) bool
	// fingerprint is the part of a document that an approval binds.
	fingerprint func(document string) string
}

// usualQuota is the number of policies that AWS lets an account have. What counts is its answer.
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html
const usualQuota = 10

// attachedBefore is the undo snapshot of a policy that was attached already.
var attachedBefore = "attached"

// scpState is the state in Organizations.
type scpState struct {
	id       string   // of our policy; "" if there is none
	owner    string   // the value of its tag
	content  string   // "" if there is none
	attached []string // the names of all SCPs that are attached to the account itself
	ours     bool     // ours is one of them
	// elsewhere are those of other installations, for people.
	elsewhere []string
}

// warnElsewhere tells the approver of what other installations have attached.
func (st scpState) warnElsewhere(p *actions.Plan) {
	if len(st.elsewhere) > 0 {
		p.Warnings = append(p.Warnings, "Held elsewhere: "+strings.Join(st.elsewhere, ", ")+". That stays attached as it is, now and when this is undone.")
	}
}

// attachStep is the ID of the step that attaches a policy to an account.
const attachStep = "attach"

// step returns the step that attaches it.
func (a Attachment) step(acct *actions.Account, title string, at point, st scpState) actions.Step {
	s := actions.Step{ID: attachStep, Title: title, Resource: at.arn, ResourceID: at.id, Hold: actions.HoldKey(acct, at.id, "scp", a.policy), Goal: "account", Deny: true,
		Current: a.policy + " is not attached", After: a.policy + " is attached"}
	if st.ours {
		s.Prior, s.Current = &attachedBefore, a.policy+" is attached"
		if !a.holds(st.content, a.document(st.content)) {
			s.Current += " and says something else: " + deny.Compact(st.content)
		}
	}
	return s
}

// read reads the state. It returns a Refusal for a policy of our name that is not ours.
func (a Attachment) read(ctx context.Context, acct *actions.Account, account string) (scpState, error) {
	id, owner, err := a.find(ctx, acct)
	if err != nil {
		return scpState{}, err
	}
	st := scpState{id: id, owner: owner}
	if id != "" {
		st.content, err = content(ctx, acct, id)
		switch {
		case actions.IsRetryLater(err): // deleted in between
			st, id = scpState{}, ""
		case err != nil:
			return scpState{}, err
		}
	}
	on, err := scpsOf(ctx, acct, account)
	for _, p := range on {
		st.attached = append(st.attached, aws.ToString(p.Name))
		st.ours = st.ours || id != "" && aws.ToString(p.Id) == id
		if acct.Look == actions.LookAll && !p.AwsManaged {
			st.elsewhere = append(st.elsewhere, elsewhere(ctx, acct, p)...)
		}
	}
	slices.Sort(st.attached)
	return st, err
}

// find returns our policy's ID and the value of its tag; "" if there is none.
func (a Attachment) find(ctx context.Context, acct *actions.Account) (id, owner string, err error) {
	for pages := organizations.NewListPoliciesPaginator(organizationsOf(acct), &organizations.ListPoliciesInput{Filter: types.PolicyTypeServiceControlPolicy}); id == "" && pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", "", err
		}
		for _, p := range page.Policies {
			if aws.ToString(p.Name) == a.policy && !p.AwsManaged {
				id = aws.ToString(p.Id)
			}
		}
	}
	if id == "" {
		return "", "", nil
	}
	owner, ours, err := tagOf(ctx, acct, id)
	switch {
	case actions.IsCode(err, "TargetNotFoundException"): // deleted in between
		return "", "", nil
	case err != nil:
		return "", "", err
	case ours:
		return id, owner, nil
	}
	return "", "", &actions.Refusal{Reason: fmt.Sprintf("the organization has a policy %s (%s) without the tag %s: Killswitch did not make it", a.policy, id, deny.TamperTag),
		Hint: "find out who made it, then rename or delete it; if it is yours, tag it " + deny.TamperTag + "=shared, in the management account"}
}

// elsewhere tells of a policy that is another installation's: its name and its tag say the same.
func elsewhere(ctx context.Context, acct *actions.Account, p types.PolicySummary) []string {
	name := aws.ToString(p.Name)
	base, by := actions.InstallationOf(name)
	if by == acct.Org.Installation || !strings.HasPrefix(base, scpPrefix) {
		return nil
	}
	owner, _, err := tagOf(ctx, acct, aws.ToString(p.Id))
	marks := acct.Elsewhere(ctx, owner)
	if _, of := actions.InstallationOf(owner); err != nil || len(marks) != 1 || of != by {
		return nil
	}
	return []string{actions.Clip(name) + " by " + actions.HeldElsewhere(marks)}
}

// tagOf returns the value of our tag on a policy, and whether it has it.
func tagOf(ctx context.Context, acct *actions.Account, id string) (owner string, ours bool, err error) {
	tags, err := actions.List(ctx, organizations.NewListTagsForResourcePaginator(organizationsOf(acct), &organizations.ListTagsForResourceInput{ResourceId: &id}),
		func(p *organizations.ListTagsForResourceOutput) []types.Tag { return p.Tags }, actions.Itself)
	for _, t := range tags {
		if aws.ToString(t.Key) == deny.TamperTag {
			return aws.ToString(t.Value), true, err
		}
	}
	return "", false, err
}

// content returns a policy's document.
func content(ctx context.Context, acct *actions.Account, id string) (string, error) {
	out, err := organizationsOf(acct).DescribePolicy(ctx, &organizations.DescribePolicyInput{PolicyId: &id})
	if err != nil {
		return "", retryIfGone(err)
	}
	return aws.ToString(out.Policy.Content), nil
}

// retryIfGone marks the error of a policy that is listed and does not exist any more, or
// not yet, as retryable: the next try finds or creates it.
func retryIfGone(err error) error {
	if actions.IsCode(err, "PolicyNotFoundException") {
		return actions.RetryLater(err)
	}
	return err
}

// unlessGone is retryIfGone for writes, which are allowed on policies with our tag alone: one that is
// gone, or too new, has no tag that AWS sees, and the write is denied.
func (a Attachment) unlessGone(ctx context.Context, acct *actions.Account, id string, err error) error {
	if actions.IsCode(err, "AccessDeniedException") {
		if now, _, failed := a.find(ctx, acct); failed == nil && now != id {
			return actions.RetryLater(err)
		}
	}
	return retryIfGone(err)
}

// scpsOf returns the policies that are attached to the account itself.
func scpsOf(ctx context.Context, acct *actions.Account, account string) ([]types.PolicySummary, error) {
	in := &organizations.ListPoliciesForTargetInput{TargetId: &account, Filter: types.PolicyTypeServiceControlPolicy}
	return actions.List(ctx, organizations.NewListPoliciesForTargetPaginator(organizationsOf(acct), in),
		func(p *organizations.ListPoliciesForTargetOutput) []types.PolicySummary { return p.Policies }, actions.Itself)
}

// targets returns the IDs of a policy's targets.
func targets(ctx context.Context, acct *actions.Account, id string) ([]string, error) {
	return actions.List(ctx, organizations.NewListTargetsForPolicyPaginator(organizationsOf(acct), &organizations.ListTargetsForPolicyInput{PolicyId: &id}),
		func(p *organizations.ListTargetsForPolicyOutput) []types.PolicyTargetSummary { return p.Targets },
		func(t types.PolicyTargetSummary) string { return aws.ToString(t.TargetId) })
}

// Apply finds or creates the policy, updates its content, and attaches it. If the
// configuration's document is no longer the approved one, it attaches only what says the
// approved one already.
func (a Attachment) Apply(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior}
	id, owner, err := a.find(ctx, acct)
	if err != nil {
		return e, err
	}
	changed := a.changed(a.document(""), s)
	if id == "" {
		if changed != nil {
			return e, changed
		}
		want := a.document("")
		e.Wrote = &want
		id, err = a.create(ctx, acct, want, a.mark(run))
		switch {
		case err == nil:
			owner, e.Changed = a.mark(run), true
		case actions.IsCode(err, "DuplicatePolicyException"): // another run was faster, or this one before it died
			if id, owner, err = a.find(ctx, acct); err == nil && id == "" {
				err = actions.RetryLater(fmt.Errorf("policy %s exists and is not listed yet", a.policy))
			}
		}
		if err != nil {
			return e, a.explain(err)
		}
	}
	if !e.Changed {
		live, err := content(ctx, acct, id)
		if err != nil {
			return e, err
		}
		want := a.document(live)
		if changed != nil {
			if err := a.changed(live, s); err != nil {
				return e, err
			}
			want = live
		}
		e.Wrote = &want
		if !deny.EqualJSON(live, want) {
			if _, err := organizationsOf(acct).UpdatePolicy(ctx, &organizations.UpdatePolicyInput{PolicyId: &id, Content: &want}); err != nil {
				return e, a.explain(a.unlessGone(ctx, acct, id, err))
			}
			e.Changed = true
		}
	}
	created := e.Changed && owner == a.mark(run)
	_, err = organizationsOf(acct).AttachPolicy(ctx, &organizations.AttachPolicyInput{PolicyId: &id, TargetId: &s.ResourceID})
	switch {
	case err == nil:
		e.Changed = true
	case actions.IsCode(err, "DuplicatePolicyAttachmentException"): // it is attached already
		err = nil
	case created && actions.IsCode(err, "AccessDeniedException"): // its tag may not be seen yet
		err = actions.RetryLater(err)
	default:
		err = a.explainAttachFailure(ctx, acct, id, owner, s, run, a.unlessGone(ctx, acct, id, err))
	}
	return e, err
}

// mark is the value of the tag of a policy that a run makes.
func (a Attachment) mark(run actions.Run) string {
	_, by := actions.InstallationOf(a.policy)
	return by.Name(run.RequestID)
}

func (a Attachment) create(ctx context.Context, acct *actions.Account, document, mark string) (id string, err error) {
	out, err := organizationsOf(acct).CreatePolicy(ctx, &organizations.CreatePolicyInput{
		Name: &a.policy, Type: types.PolicyTypeServiceControlPolicy, Content: &document,
		Description: aws.String("Made by Killswitch to contain accounts. Its tag " + deny.TamperTag + " names the request; undo removes it."),
		Tags:        []types.Tag{{Key: aws.String(deny.TamperTag), Value: &mark}}, // in the same call: the tag marks it as ours
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.Policy.PolicySummary.Id), nil
}

// explainAttachFailure explains an attach that failed. If the failure is permanent it
// deletes the policy that this request created.
func (a Attachment) explainAttachFailure(ctx context.Context, acct *actions.Account, id, owner string, s actions.Step, run actions.Run, failure error) error {
	if actions.Transient(failure) || actions.IsRetryLater(failure) {
		return failure
	}
	err := a.explain(failure)
	var limit *types.ConstraintViolationException
	if errors.As(failure, &limit) && limit.Reason == types.ConstraintViolationExceptionReasonMaxPolicyTypeAttachmentLimitExceeded {
		err = actions.WithHint(failure, "there are as many service control policies as AWS allows: "+toTakeOff(ctx, acct, s.ResourceID)+", then retry")
	}
	if owner != a.mark(run) {
		return err
	}
	if _, left := a.delete(ctx, acct, id); left != nil {
		cause, _ := actions.Explain(left)
		_, hint := actions.Explain(err)
		err = actions.WithHint(failure, strings.TrimPrefix(hint+"; ", "; ")+"the policy "+a.policy+" is left over ("+cause+"): undo deletes it")
	}
	return err
}

// delete deletes the policy unless something uses it.
func (a Attachment) delete(ctx context.Context, acct *actions.Account, id string) (done bool, err error) {
	_, err = organizationsOf(acct).DeletePolicy(ctx, &organizations.DeletePolicyInput{PolicyId: &id})
	switch {
	case actions.IsCode(err, "PolicyInUseException"):
		return false, nil
	case actions.IsCode(err, "PolicyNotFoundException"):
		return true, nil
	}
	return err == nil, a.unlessGone(ctx, acct, id, err)
}

// quotaWarning says that there may be no room for another policy.
func quotaWarning(ctx context.Context, acct *actions.Account, target string, n int) string {
	return fmt.Sprintf("There are %d service control policies, probably as many as AWS allows. If it refuses one more: %s, then retry.", n, toTakeOff(ctx, acct, target))
}

// toTakeOff says which policy of an account makes room for another one: ours, by an undo of each request
// that holds it there, which the tag does not tell: it has who made it, maybe for another account. Else one
// that only denies, since without one that allows the account may do nothing, or more than it should.
func toTakeOff(ctx context.Context, acct *actions.Account, account string) string {
	on, err := scpsOf(ctx, acct, account)
	if err != nil {
		return "detach one of them"
	}
	var ours, theirs, denying, others []string
	for _, p := range on {
		if p.AwsManaged {
			continue
		}
		name := actions.Clean(aws.ToString(p.Name))
		owner, tagged, _ := tagOf(ctx, acct, aws.ToString(p.Id))
		document, err := content(ctx, acct, aws.ToString(p.Id))
		switch held := actions.HeldElsewhere(acct.Elsewhere(ctx, owner)); {
		case held != "":
			theirs = append(theirs, name+" by "+held)
		case strings.HasPrefix(owner, requestPrefix):
			ours = append(ours, name)
		case !tagged && err == nil && deny.Grants(document) == "": // what is tagged was deployed ahead, as the tamper protection
			denying = append(denying, name)
		default:
			others = append(others, name)
		}
	}
	var ways []string
	if len(ours) > 0 {
		ways = append(ways, "undo what holds "+strings.Join(ours, ", ")+" here (/killswitch list)")
	}
	if len(theirs) > 0 {
		ways = append(ways, "undo there what is held elsewhere: "+strings.Join(theirs, ", "))
	}
	if len(denying) > 0 {
		ways = append(ways, "detach one that only denies ("+strings.Join(denying, ", ")+") and attach it again after the undo")
	}
	if len(ways) == 0 {
		return "detach one of " + actions.Clip(strings.Join(others, ", "))
	}
	return actions.Clip(strings.Join(ways, "; or "))
}

// explain adds a hint to an error of Organizations.
func (a Attachment) explain(err error) error {
	correct := "correct it under scps, or use scp=" + freezeSCP
	switch {
	case strings.HasPrefix(a.policy, denyPrefix):
		correct = "undo a deny_principal that is no longer needed (/killswitch list), then retry"
	case strings.HasPrefix(a.policy, scpPrefix+"revoke-"):
		correct = "revoke role by role, without via=scp"
	}
	var limit *types.ConstraintViolationException
	var hint string
	switch {
	case errors.As(err, &limit) && limit.Reason == types.ConstraintViolationExceptionReasonMinPolicyTypeAttachmentLimitExceeded:
		hint = "it is the last service control policy of the account: attach FullAWSAccess to the account, then retry"
	case errors.As(err, &limit) && limit.Reason == types.ConstraintViolationExceptionReasonPolicyNumberLimitExceeded:
		hint = "the organization has as many policies as AWS allows: delete one that is not used, then retry"
	case errors.As(err, &limit) && limit.Reason == types.ConstraintViolationExceptionReasonPolicyContentLimitExceeded:
		hint = "the document is longer than this organization may have: " + correct
	case actions.IsCode(err, "PolicyTypeNotEnabledException", "PolicyTypeNotAvailableForOrganizationException"):
		hint = "service control policies are not enabled: in the management account's console choose Organizations, Policies, Service control policies, Enable; then retry"
	case actions.IsCode(err, "TargetNotFoundException"):
		hint = "it has left the organization: contain its principals one by one"
	case actions.IsCode(err, "MalformedPolicyDocumentException"):
		hint = "AWS does not accept the document: " + correct
	default:
		return err
	}
	return actions.WithHint(err, hint)
}

// Verify reads back whether the policy is attached and its content has the effect.
func (a Attachment) Verify(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	on, err := scpsOf(ctx, acct, s.ResourceID)
	if err != nil {
		return actions.Reading{}, err
	}
	i := slices.IndexFunc(on, func(p types.PolicySummary) bool { return aws.ToString(p.Name) == a.policy && !p.AwsManaged })
	if i < 0 {
		return actions.Reading{Found: a.policy + " is not attached"}, nil
	}
	live, err := content(ctx, acct, aws.ToString(on[i].Id))
	switch {
	case actions.IsRetryLater(err):
		return actions.Reading{Found: a.policy + " is deleted"}, nil
	case err != nil:
		return actions.Reading{}, err
	case e.Wrote == nil || !a.holds(live, *e.Wrote):
		return actions.Reading{Found: a.policy + " says something else: " + deny.Compact(live)}, nil
	}
	return actions.Reading{Holds: true, Found: a.policy + " is attached"}, nil
}

// Revert detaches the policy from this account only. A policy that a request created is
// deleted with its last target, whatever its content: the tag marks it as ours.
func (a Attachment) Revert(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	id, owner, err := a.find(ctx, acct)
	var other *actions.Refusal
	switch {
	case errors.As(err, &other):
		return actions.Reading{Found: other.Reason}, nil
	case err != nil:
		return actions.Reading{}, err
	}
	var on []string
	if id != "" {
		if on, err = targets(ctx, acct, id); err != nil && !actions.IsCode(err, "PolicyNotFoundException") {
			return actions.Reading{}, err
		}
	}
	here := slices.Contains(on, s.ResourceID)
	switch {
	case e.Prior != nil && here:
		return actions.Reading{Holds: true, Found: a.policy + " stays attached, as it was before"}, nil
	case e.Prior != nil:
		return actions.Reading{Found: a.policy + " is no longer attached, and it was before"}, nil
	case id == "":
		return actions.Reading{Holds: true}, nil
	}
	changed := here // the state that was read is outdated, by this call or an earlier one
	if here {
		_, err := organizationsOf(acct).DetachPolicy(ctx, &organizations.DetachPolicyInput{PolicyId: &id, TargetId: &s.ResourceID})
		if err != nil && !actions.IsCode(err, "PolicyNotAttachedException", "PolicyNotFoundException", "TargetNotFoundException") {
			return actions.Reading{}, a.explain(a.unlessGone(ctx, acct, id, err))
		}
	}
	others := slices.DeleteFunc(on, func(t string) bool { return t == s.ResourceID })
	if strings.HasPrefix(owner, requestPrefix) && len(others) == 0 {
		done, err := a.delete(ctx, acct, id)
		if err != nil {
			return actions.Reading{}, err
		}
		changed = changed || done
	}
	return actions.Reading{Holds: true, Changed: changed}, nil
}
