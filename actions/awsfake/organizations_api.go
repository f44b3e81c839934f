package awsfake

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"
)

// Each handler follows the page of its name in the Organizations API Reference
// (https://docs.aws.amazon.com/organizations/latest/APIReference/API_AttachPolicy.html
// and so on). Reads are eventually consistent ("Changes that I make aren't always
// immediately visible", Organizations User Guide, Troubleshooting).
var organizationsOperations = map[string]operation{
	"organizations:DescribeAccount": inOrganization(reads, describeAccount),
	"organizations:ListRoots":       inOrganization(reads, listRoots),

	"organizations:DescribeOrganizationalUnit":       inOrganization(reads, describeUnit),
	"organizations:ListOrganizationalUnitsForParent": inOrganization(reads, listUnits),
	"organizations:ListAccountsForParent":            inOrganization(reads, listAccounts),

	"organizations:CreatePolicy":          inOrganization(writes, createSCP),
	"organizations:UpdatePolicy":          inOrganization(writes, updateSCP),
	"organizations:DescribePolicy":        inOrganization(reads, describeSCP),
	"organizations:DeletePolicy":          inOrganization(writes, deleteSCP),
	"organizations:AttachPolicy":          inOrganization(writes, attachSCP),
	"organizations:DetachPolicy":          inOrganization(writes, detachSCP),
	"organizations:ListPolicies":          inOrganization(reads, listSCPs),
	"organizations:ListPoliciesForTarget": inOrganization(reads, listSCPsForTarget),
	"organizations:ListTargetsForPolicy":  inOrganization(reads, listTargetsForSCP),
	"organizations:TagResource":           inOrganization(writes, tagOrgResource),
	"organizations:ListTagsForResource":   inOrganization(reads, listOrgTags),
}

// inOrganization is an operation that the management account may call, and whom the
// organization's delegation policy allows it.
func inOrganization[In, Out any](mutating bool, h func(*request, *In) (*Out, error)) operation {
	o := bind(mutating, h)
	run := o.run
	o.needs = organizationsNeeds
	o.run = func(k *request, in any) (any, error) {
		switch {
		case k.c.org == nil || k.c.org.accounts[k.account.id].ID == "":
			return nil, &orgtypes.AWSOrganizationsNotInUseException{Message: aws.String("Your account is not a member of an organization.")}
		case k.account.id != k.c.org.Management && !k.delegated(in):
			return nil, &orgtypes.AccessDeniedException{Message: aws.String("You don't have permissions to access this resource.")}
		}
		return run(k, in)
	}
	return o
}

// delegated reports whether the delegation policy allows the caller all that a call takes.
func (k *request) delegated(in any) bool {
	p, err := parsePolicy(k.c.org.Delegation, delegationPolicy)
	if err != nil || k.caller.admin {
		return false
	}
	for _, n := range organizationsNeeds(k, in) {
		keys := k.c.keys(k.caller, k.now, n.resource)
		requestKeys(in, keys)
		if allowed, _ := p.trusts(k.caller, k.caller.principalARN(k.now), query{n.action, n.resource, keys}); !allowed {
			return false
		}
	}
	return true
}

// organizationsNeeds: "Actions, resources, and condition keys for AWS
// Organizations" (Service Authorization Reference). Attaching and detaching take
// the policy and the target; what has no resource type takes "*". "If the request
// includes tags, then the requester must have the organizations:TagResource
// permission" (CreatePolicy): on what is not documented, so the strictest, "*".
func organizationsNeeds(k *request, in any) []need {
	var needs []need
	add := func(resource string) { needs = append(needs, need{action: k.op, resource: resource, shown: resource}) }
	if k.c.org == nil {
		return nil // there is nothing to be authorised on
	}
	for _, name := range []string{"PolicyId", "TargetId", "AccountId", "ResourceId", "OrganizationalUnitId", "ParentId"} {
		switch id := field(in, name); {
		case id == "":
		case accountDigits.MatchString(id), id == k.c.org.root, strings.HasPrefix(id, "ou-"):
			add(k.c.targetARN(id))
		case id == fullAccess:
			add(k.c.arn("organizations", "aws", "policy/service_control_policy/"+id))
		default:
			add(k.c.scpARN(id))
		}
	}
	if len(needs) == 0 {
		add("*")
	}
	if in, ok := in.(*organizations.CreatePolicyInput); ok && len(in.Tags) > 0 {
		needs = append(needs, need{action: "organizations:TagResource", resource: "*", shown: "*"})
	}
	return needs
}

var accountDigits = regexp.MustCompile(`^[0-9]{12}$`)

// maxSCP is the limit on a policy's document, white space included.
const maxSCP = 10240

func constraintViolation(reason orgtypes.ConstraintViolationExceptionReason, message string) error {
	return &orgtypes.ConstraintViolationException{Reason: reason, Message: &message}
}

func (k *request) orgAccount(id *string) (OrgAccount, error) {
	a, ok := k.c.org.accounts[aws.ToString(id)]
	if !ok {
		return a, &orgtypes.AccountNotFoundException{Message: aws.String("You specified an account that doesn't exist.")}
	}
	return a, nil
}

func describeAccount(k *request, in *organizations.DescribeAccountInput) (*organizations.DescribeAccountOutput, error) {
	a, err := k.orgAccount(in.AccountId)
	if err != nil {
		return nil, err
	}
	return &organizations.DescribeAccountOutput{Account: k.described(a)}, nil
}

func (k *request) described(a OrgAccount) *orgtypes.Account {
	return &orgtypes.Account{Id: &a.ID, Arn: aws.String(k.c.orgAccountARN(a.ID)), Name: &a.Name, State: orgtypes.AccountState(a.State), JoinedTimestamp: &k.c.org.joined}
}

func describeUnit(k *request, in *organizations.DescribeOrganizationalUnitInput) (*organizations.DescribeOrganizationalUnitOutput, error) {
	u, ok := k.c.org.units[aws.ToString(in.OrganizationalUnitId)]
	if !ok {
		return nil, &orgtypes.OrganizationalUnitNotFoundException{Message: aws.String("You specified an organizational unit that doesn't exist.")}
	}
	return &organizations.DescribeOrganizationalUnitOutput{OrganizationalUnit: &orgtypes.OrganizationalUnit{Id: &u.ID, Arn: aws.String(k.c.targetARN(u.ID)), Name: &u.Name}}, nil
}

// parent returns a parent's ID as accounts and units have it.
func (k *request) parent(id *string) (string, error) {
	if *id == k.c.org.root {
		return "", nil
	}
	if _, ok := k.c.org.units[*id]; !ok {
		return "", &orgtypes.ParentNotFoundException{Message: aws.String("You specified a parent that doesn't exist.")}
	}
	return *id, nil
}

func listUnits(k *request, in *organizations.ListOrganizationalUnitsForParentInput) (*organizations.ListOrganizationalUnitsForParentOutput, error) {
	parent, err := k.parent(in.ParentId)
	if err != nil {
		return nil, err
	}
	var all []orgtypes.OrganizationalUnit
	for _, id := range slices.Sorted(maps.Keys(k.c.org.units)) {
		if u := k.c.org.units[id]; u.Parent == parent {
			all = append(all, orgtypes.OrganizationalUnit{Id: &u.ID, Arn: aws.String(k.c.targetARN(u.ID)), Name: &u.Name})
		}
	}
	all, next, err := orgPage(all, in.NextToken, in.MaxResults)
	return &organizations.ListOrganizationalUnitsForParentOutput{OrganizationalUnits: all, NextToken: next}, err
}

func listAccounts(k *request, in *organizations.ListAccountsForParentInput) (*organizations.ListAccountsForParentOutput, error) {
	parent, err := k.parent(in.ParentId)
	if err != nil {
		return nil, err
	}
	var all []orgtypes.Account
	for _, id := range slices.Sorted(maps.Keys(k.c.org.accounts)) {
		if a := k.c.org.accounts[id]; a.Parent == parent {
			all = append(all, *k.described(a))
		}
	}
	all, next, err := orgPage(all, in.NextToken, in.MaxResults)
	return &organizations.ListAccountsForParentOutput{Accounts: all, NextToken: next}, err
}

func listRoots(k *request, _ *organizations.ListRootsInput) (*organizations.ListRootsOutput, error) {
	id := k.c.org.root
	return &organizations.ListRootsOutput{Roots: []orgtypes.Root{{Id: &id, Arn: aws.String(k.c.targetARN(id)), Name: aws.String("Root")}}}, nil
}

// target is an account, a unit, or the root, that a policy is attached to.
func (k *request) target(id *string) error {
	if _, unit := k.c.org.units[aws.ToString(id)]; unit || aws.ToString(id) == k.c.org.root {
		return nil
	}
	if _, err := k.orgAccount(id); err != nil {
		return &orgtypes.TargetNotFoundException{Message: aws.String("We can't find a root, OU, or account with the TargetId that you specified.")}
	}
	return nil
}

// scp is a copy of the newest state, to be changed and stored.
func (k *request) scp(id *string) (*SCP, error) {
	if p := k.c.org.policies[aws.ToString(id)].current(); p != nil {
		return p.clone(), nil
	}
	return nil, noSCP()
}

// seenSCP is the policy as it has propagated, for reads.
func (k *request) seenSCP(id *string) (*SCP, error) {
	if p := k.c.org.policies[aws.ToString(id)].seen(k.now); p != nil {
		return p, nil
	}
	return nil, noSCP()
}

func noSCP() error {
	return &orgtypes.PolicyNotFoundException{Message: aws.String("We can't find a policy with the PolicyId that you specified.")}
}

func (k *request) storeSCP(p *SCP) { put(k.c.org.policies, p.ID, p, k.now, k.visible()) }

func checkSCP(content string) error {
	if _, err := parsePolicy(content, identityPolicy); err != nil {
		return &orgtypes.MalformedPolicyDocumentException{Message: aws.String("The provided policy document does not meet the requirements of the specified policy type.")}
	}
	if len(content) > maxSCP {
		return constraintViolation(orgtypes.ConstraintViolationExceptionReasonPolicyContentLimitExceeded, "You have exceeded the maximum policy size.")
	}
	return nil
}

// free checks that no other policy has the name.
func (k *request) free(name, id string) error {
	for other, h := range k.c.org.policies {
		if p := h.current(); p != nil && p.Name == name && other != id {
			return &orgtypes.DuplicatePolicyException{Message: aws.String("A policy with the specified name and type already exists.")}
		}
	}
	return nil
}

func createSCP(k *request, in *organizations.CreatePolicyInput) (*organizations.CreatePolicyOutput, error) {
	if in.Type != orgtypes.PolicyTypeServiceControlPolicy {
		return nil, invalidOrgInput("You specified an invalid value.")
	}
	if err := checkSCP(*in.Content); err != nil {
		return nil, err
	}
	if err := k.free(*in.Name, ""); err != nil {
		return nil, err
	}
	id := k.c.mintSCP()
	p := (&SCP{Name: *in.Name, ID: id, ARN: k.c.scpARN(id), Description: aws.ToString(in.Description), Content: *in.Content}).clone()
	for _, t := range in.Tags {
		p.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	k.storeSCP(p)
	return &organizations.CreatePolicyOutput{Policy: &orgtypes.Policy{Content: &p.Content, PolicySummary: summary(p)}}, nil
}

func invalidOrgInput(message string) error {
	return &orgtypes.InvalidInputException{Message: &message}
}

func summary(p *SCP) *orgtypes.PolicySummary {
	return &orgtypes.PolicySummary{Id: &p.ID, Arn: &p.ARN, Name: &p.Name, Description: &p.Description, AwsManaged: p.AWSManaged, Type: orgtypes.PolicyTypeServiceControlPolicy}
}

func updateSCP(k *request, in *organizations.UpdatePolicyInput) (*organizations.UpdatePolicyOutput, error) {
	p, err := k.ownSCP(in.PolicyId)
	if err != nil {
		return nil, err
	}
	if in.Content != nil {
		p.Content = *in.Content
	}
	if in.Name != nil {
		p.Name = *in.Name
	}
	if in.Description != nil {
		p.Description = *in.Description
	}
	if err := checkSCP(p.Content); err != nil {
		return nil, err
	}
	if err := k.free(p.Name, p.ID); err != nil {
		return nil, err
	}
	k.storeSCP(p)
	return &organizations.UpdatePolicyOutput{Policy: &orgtypes.Policy{Content: &p.Content, PolicySummary: summary(p)}}, nil
}

// ownSCP is a policy that is not AWS's.
func (k *request) ownSCP(id *string) (*SCP, error) {
	p, err := k.scp(id)
	if err == nil && p.AWSManaged {
		return nil, invalidOrgInput("You can't modify an AWS managed policy.")
	}
	return p, err
}

func describeSCP(k *request, in *organizations.DescribePolicyInput) (*organizations.DescribePolicyOutput, error) {
	p, err := k.seenSCP(in.PolicyId)
	if err != nil {
		return nil, err
	}
	return &organizations.DescribePolicyOutput{Policy: &orgtypes.Policy{Content: &p.Content, PolicySummary: summary(p)}}, nil
}

func deleteSCP(k *request, in *organizations.DeletePolicyInput) (*organizations.DeletePolicyOutput, error) {
	p, err := k.ownSCP(in.PolicyId)
	if err != nil {
		return nil, err
	}
	if len(p.Targets) > 0 {
		return nil, &orgtypes.PolicyInUseException{Message: aws.String("The policy is attached to one or more entities. You must detach it from all roots, OUs, and accounts before performing this operation.")}
	}
	put(k.c.org.policies, p.ID, nil, k.now, k.visible())
	return &organizations.DeletePolicyOutput{}, nil
}

func attachSCP(k *request, in *organizations.AttachPolicyInput) (*organizations.AttachPolicyOutput, error) {
	p, err := k.scp(in.PolicyId)
	if err != nil {
		return nil, err
	}
	if err := k.target(in.TargetId); err != nil {
		return nil, err
	}
	if k.c.org.SCPsDisabled {
		return nil, &orgtypes.PolicyTypeNotEnabledException{Message: aws.String("This operation can be performed only for enabled policy types.")}
	}
	if slices.Contains(p.Targets, *in.TargetId) {
		return nil, &orgtypes.DuplicatePolicyAttachmentException{Message: aws.String("The selected policy is already attached to the specified target.")}
	}
	if len(k.c.org.attached(*in.TargetId, (*history[SCP]).current)) >= k.c.org.SCPQuota {
		return nil, constraintViolation(orgtypes.ConstraintViolationExceptionReasonMaxPolicyTypeAttachmentLimitExceeded, "You have attached the maximum number of policies to the specified target.")
	}
	p.Targets = append(p.Targets, *in.TargetId)
	slices.Sort(p.Targets)
	k.storeSCP(p)
	return &organizations.AttachPolicyOutput{}, nil
}

func detachSCP(k *request, in *organizations.DetachPolicyInput) (*organizations.DetachPolicyOutput, error) {
	p, err := k.scp(in.PolicyId)
	if err != nil {
		return nil, err
	}
	if err := k.target(in.TargetId); err != nil {
		return nil, err
	}
	i := slices.Index(p.Targets, *in.TargetId)
	if i < 0 {
		return nil, &orgtypes.PolicyNotAttachedException{Message: aws.String("The policy isn't attached to the specified target in the specified root.")}
	}
	if len(k.c.org.attached(*in.TargetId, (*history[SCP]).current)) == 1 {
		return nil, constraintViolation(orgtypes.ConstraintViolationExceptionReasonMinPolicyTypeAttachmentLimitExceeded, "You cannot remove the last policy attached to the specified target. You must have at least one attached at all times.")
	}
	p.Targets = slices.Delete(p.Targets, i, i+1)
	k.storeSCP(p)
	return &organizations.DetachPolicyOutput{}, nil
}

func listSCPs(k *request, in *organizations.ListPoliciesInput) (*organizations.ListPoliciesOutput, error) {
	var all []orgtypes.PolicySummary
	for _, id := range visibleNames(k.c.org.policies, k.now) {
		if in.Filter == orgtypes.PolicyTypeServiceControlPolicy {
			all = append(all, *summary(k.c.org.policies[id].seen(k.now)))
		}
	}
	all, next, err := orgPage(all, in.NextToken, in.MaxResults)
	return &organizations.ListPoliciesOutput{Policies: all, NextToken: next}, err
}

func listSCPsForTarget(k *request, in *organizations.ListPoliciesForTargetInput) (*organizations.ListPoliciesForTargetOutput, error) {
	if err := k.target(in.TargetId); err != nil {
		return nil, err
	}
	var all []orgtypes.PolicySummary
	for _, p := range k.c.org.attached(*in.TargetId, func(h *history[SCP]) *SCP { return h.seen(k.now) }) {
		all = append(all, *summary(p))
	}
	all, next, err := orgPage(all, in.NextToken, in.MaxResults)
	return &organizations.ListPoliciesForTargetOutput{Policies: all, NextToken: next}, err
}

func listTargetsForSCP(k *request, in *organizations.ListTargetsForPolicyInput) (*organizations.ListTargetsForPolicyOutput, error) {
	p, err := k.seenSCP(in.PolicyId)
	if err != nil {
		return nil, err
	}
	var all []orgtypes.PolicyTargetSummary
	for _, id := range p.Targets {
		t := orgtypes.PolicyTargetSummary{TargetId: aws.String(id), Arn: aws.String(k.c.targetARN(id)), Name: aws.String(k.c.org.accounts[id].Name), Type: orgtypes.TargetTypeAccount}
		if u, unit := k.c.org.units[id]; unit {
			t.Name, t.Type = &u.Name, orgtypes.TargetTypeOrganizationalUnit
		} else if id == k.c.org.root {
			t.Name, t.Type = aws.String("Root"), orgtypes.TargetTypeRoot
		}
		all = append(all, t)
	}
	all, next, err := orgPage(all, in.NextToken, in.MaxResults)
	return &organizations.ListTargetsForPolicyOutput{Targets: all, NextToken: next}, err
}

// tagged is a policy whose tags are asked for. AWS-managed ones have an ID that
// the parameter's pattern does not allow.
func tagged(p *SCP, err error) (*SCP, error) {
	switch {
	case err != nil:
		return nil, &orgtypes.TargetNotFoundException{Message: aws.String("We can't find a root, OU, account, or policy with the ResourceId that you specified.")}
	case p.AWSManaged:
		return nil, invalidOrgInput("You provided a value that does not match the required pattern.")
	}
	return p, nil
}

func tagOrgResource(k *request, in *organizations.TagResourceInput) (*organizations.TagResourceOutput, error) {
	p, err := tagged(k.scp(in.ResourceId))
	if err != nil {
		return nil, err
	}
	for _, t := range in.Tags {
		p.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	k.storeSCP(p)
	return &organizations.TagResourceOutput{}, nil
}

func listOrgTags(k *request, in *organizations.ListTagsForResourceInput) (*organizations.ListTagsForResourceOutput, error) {
	p, err := tagged(k.seenSCP(in.ResourceId))
	if err != nil {
		return nil, err
	}
	var all []orgtypes.Tag
	for _, key := range slices.Sorted(maps.Keys(p.Tags)) {
		all = append(all, orgtypes.Tag{Key: aws.String(key), Value: aws.String(p.Tags[key])})
	}
	all, next, err := orgPage(all, in.NextToken, nil)
	return &organizations.ListTagsForResourceOutput{Tags: all, NextToken: next}, err
}

// orgPage cuts out one page: 20 at most, which is also the default.
func orgPage[T any](all []T, token *string, most *int32) ([]T, *string, error) {
	limit, from := 20, 0
	if most != nil {
		if limit = int(*most); limit < 1 || limit > 20 {
			return nil, nil, invalidOrgInput("You specified an invalid value.")
		}
	}
	if token != nil {
		n, err := strconv.Atoi(*token)
		if err != nil || n < 0 {
			return nil, nil, invalidOrgInput("You specified an invalid value.")
		}
		from = min(n, len(all))
	}
	if from+limit >= len(all) {
		return all[from:], nil, nil
	}
	return all[from : from+limit], aws.String(strconv.Itoa(from + limit)), nil
}
