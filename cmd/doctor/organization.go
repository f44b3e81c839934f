package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfn "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/scp"
)

// organization looks at the organization: its accounts, whether it has what contains from outside them, and the StackSet.
func (d *Doctor) organization(ctx context.Context, r *report) {
	o := d.Config.Org
	for alias, id := range o.Accounts { // where Organizations can't be asked
		d.facts.accounts = append(d.facts.accounts, account{id, alias})
	}
	if o.ManagementAccount == "" || d.Management.Credentials == nil {
		return
	}
	client := organizations.NewFromConfig(d.Management)
	out, err := client.DescribeOrganization(ctx, nil)
	if err != nil {
		r.bad("organization", "allow yourself organizations:Describe* and organizations:List*", "the organization can't be read: %s", said(err))
		return
	}
	d.facts.organization = aws.ToString(out.Organization.Id)
	var wrong []string
	if m := aws.ToString(out.Organization.MasterAccountId); m != o.ManagementAccount {
		wrong = append(wrong, "its management account is "+m)
	}
	if out.Organization.FeatureSet != types.OrganizationFeatureSetAll {
		wrong = append(wrong, "it has not all features: there are no service control policies")
	}
	r.either("organization", "correct aws.management_account; aws organizations enable-all-features", wrong, "%s, managed from %s", d.facts.organization, o.ManagementAccount)
	d.listed(ctx, r, client)
	d.policies(ctx, r, client)
	d.stackSet(ctx, r)
}

// listed compares the configured accounts with the organization's.
func (d *Doctor) listed(ctx context.Context, r *report, client *organizations.Client) {
	o := d.Config.Org
	found, err := actions.List(ctx, organizations.NewListAccountsPaginator(client, nil), func(p *organizations.ListAccountsOutput) []types.Account { return p.Accounts }, actions.Itself)
	if err != nil {
		r.bad("organization.accounts", "allow yourself organizations:ListAccounts", "the accounts can't be listed: %s", said(err))
		return
	}
	d.facts.accounts = nil
	known := map[string]bool{}
	for _, a := range found {
		if scp.Active(&a) {
			id := aws.ToString(a.Id)
			known[id] = true
			d.facts.accounts = append(d.facts.accounts, account{id, aws.ToString(a.Name)})
		}
	}
	if len(known) == 0 {
		r.bad("organization.accounts", "allow yourself organizations:ListAccounts", "the organization has no active account, says Organizations: no account was looked at")
		return
	}
	var wrong []string
	for alias, id := range o.Accounts {
		if !known[id] {
			wrong = append(wrong, fmt.Sprintf("aws.accounts.%s (%s)", alias, id))
		}
	}
	for _, id := range append([]string{o.HubAccount, o.PolicyAccount}, o.ProtectedAccounts...) {
		if id != "" && !known[id] {
			wrong = append(wrong, id)
		}
	}
	slices.Sort(wrong)
	r.either("organization.accounts", "correct the IDs in "+d.File, prefixed("not an active account of the organization: ", slices.Compact(wrong)), "%d active accounts", len(known))
}

// policies looks whether service control policies can be used, and at the tamper protection.
func (d *Doctor) policies(ctx context.Context, r *report, client *organizations.Client) {
	o := d.Config.Org
	roots, err := client.ListRoots(ctx, nil)
	if err != nil || len(roots.Roots) == 0 {
		r.bad("organization.policies", "allow yourself organizations:ListRoots", "the root can't be read: %v", err)
		return
	}
	root := roots.Roots[0]
	id := aws.ToString(root.Id)
	if !slices.ContainsFunc(root.PolicyTypes, func(t types.PolicyTypeSummary) bool {
		return t.Type == types.PolicyTypeServiceControlPolicy && t.Status == types.PolicyTypeStatusEnabled
	}) {
		r.bad("organization.policies", "aws organizations enable-policy-type --root-id "+id+" --policy-type SERVICE_CONTROL_POLICY", "service control policies are not enabled: apply_scp and deny_principal do nothing, and there is no tamper protection")
		return
	}
	r.ok("organization.policies", "service control policies are enabled on %s", id)
	if o.PolicyAccount != "" {
		d.delegation(ctx, r, client)
	}
	deploy := fmt.Sprintf("killswitch template organization --config %s > organization.yaml, then aws cloudformation deploy --stack-name killswitch-organization --template-file organization.yaml --parameter-overrides RootId=%s (deploy/README.md#tamper-protection)", d.File, id)
	attached, err := policiesOf(ctx, client, id)
	if err != nil {
		r.bad("organization.tamper", "allow yourself organizations:ListPoliciesForTarget and organizations:DescribePolicy", "the root's policies can't be read: %s", said(err))
		return
	}
	i := slices.IndexFunc(attached, func(p policy) bool { return p.name == scp.TamperPolicy })
	switch {
	case i < 0:
		r.bad("organization.tamper", deploy, "the tamper protection is not on the root: an administrator of an account can lift what is contained there")
	case !deny.EqualJSON(attached[i].document, all.TamperSCP(o)):
		r.bad("organization.tamper", deploy, "the tamper protection is not the one of this version and configuration")
	default:
		r.ok("organization.tamper", "on the root, as this version wants it")
	}
}

// delegation compares the organization's delegation policy with what the policy account must be allowed.
func (d *Doctor) delegation(ctx context.Context, r *report, client *organizations.Client) {
	mend := "merge what killswitch policy delegation --config " + d.File + " prints into the organization's delegation policy (aws organizations put-resource-policy)"
	out, err := client.DescribeResourcePolicy(ctx, nil)
	if err != nil {
		r.bad("organization.delegation", mend, "the delegation policy can't be read: %s", said(err))
		return
	}
	has := statements(aws.ToString(out.ResourcePolicy.Content))
	var missing []string
	for sid, s := range statements(all.Delegation(d.Config.Org)) {
		if !deny.EqualJSON(has[sid], s) {
			missing = append(missing, sid)
		}
	}
	slices.Sort(missing)
	r.either("organization.delegation", mend, prefixed("the delegation policy lacks, or has otherwise: ", missing), "policy management is delegated to %s", d.Config.Org.PolicyAccount)
}

// statements returns those of a policy by their Sids.
func statements(document string) map[string]string {
	var p struct{ Statement []json.RawMessage }
	by := map[string]string{}
	if json.Unmarshal([]byte(document), &p) != nil {
		return by
	}
	for _, raw := range p.Statement {
		var s struct{ Sid string }
		if json.Unmarshal(raw, &s) == nil {
			by[s.Sid] = string(raw)
		}
	}
	return by
}

// policy is a service control policy.
type policy struct{ name, document string }

// policiesOf returns what is attached to a root, unit or account itself.
func policiesOf(ctx context.Context, client *organizations.Client, target string) ([]policy, error) {
	listed, err := actions.List(ctx, organizations.NewListPoliciesForTargetPaginator(client, &organizations.ListPoliciesForTargetInput{TargetId: &target, Filter: types.PolicyTypeServiceControlPolicy}),
		func(p *organizations.ListPoliciesForTargetOutput) []types.PolicySummary { return p.Policies }, actions.Itself)
	if err != nil {
		return nil, err
	}
	var ps []policy
	for _, s := range listed {
		out, err := client.DescribePolicy(ctx, &organizations.DescribePolicyInput{PolicyId: s.Id})
		if err != nil {
			return nil, err
		}
		ps = append(ps, policy{aws.ToString(s.Name), aws.ToString(out.Policy.Content)})
	}
	return ps, nil
}

// stackSet looks at the StackSet of the member accounts as its administrator sees it.
func (d *Doctor) stackSet(ctx context.Context, r *report) {
	client := cloudformation.NewFromConfig(d.Management)
	out, err := client.DescribeStackSet(ctx, &cloudformation.DescribeStackSetInput{StackSetName: &d.StackSet})
	if err != nil {
		r.bad("members.stackset", "make it (docs/install.md), or say --stack-set NAME", "the StackSet %s can't be looked at in %s: %s", d.StackSet, d.Management.Region, said(err))
		return
	}
	d.facts.setOf = map[string]string{}
	for _, p := range out.StackSet.Parameters {
		d.facts.setOf[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	instances, err := actions.List(ctx, cloudformation.NewListStackInstancesPaginator(client, &cloudformation.ListStackInstancesInput{StackSetName: &d.StackSet}),
		func(p *cloudformation.ListStackInstancesOutput) []cfn.StackInstanceSummary { return p.Summaries }, actions.Itself)
	if err != nil {
		r.bad("members.stackset", "allow yourself cloudformation:ListStackInstances", "its stacks can't be listed: %s", said(err))
		return
	}
	wrong, without := map[string]bool{}, map[string]bool{}
	for _, a := range d.facts.accounts {
		if a.id != d.Config.Org.ManagementAccount && d.has(a.id) {
			without[a.String()] = true
		}
	}
	for _, i := range instances {
		name := d.named(aws.ToString(i.Account))
		delete(without, name.String())
		if name.name == "" {
			continue // suspended, or has left
		}
		if i.Status == cfn.StackInstanceStatusOutdated || i.Status == cfn.StackInstanceStatusInoperable {
			wrong[fmt.Sprintf("%s in %s is %s", name, aws.ToString(i.Region), i.Status)] = true
		}
	}
	update := fmt.Sprintf("aws cloudformation list-stack-instances --region %s --stack-set-name %s --query 'Summaries[?Status!=`CURRENT`].[Account,Region,StatusReason]' says why; then %s", d.Management.Region, d.StackSet, d.updateSet("--use-previous-template"))
	said := slices.Sorted(maps.Keys(wrong))
	if len(without) > 0 {
		said = append(said, "it has no stack in "+some(slices.Sorted(maps.Keys(without))))
	}
	r.either("members.stackset", update, said, "%d stacks are current", len(instances))
	if auto := out.StackSet.AutoDeployment; auto == nil || !aws.ToBool(auto.Enabled) || !aws.ToBool(auto.RetainStacksOnAccountRemoval) {
		r.bad("members.joining", d.updateSet("--use-previous-template --auto-deployment Enabled=true,RetainStacksOnAccountRemoval=true"),
			"accounts that join get no member roles, or lose them when they move: automatic deployment with retention is off")
	} else {
		r.ok("members.joining", "accounts that join get the member roles")
	}
}

// updateSet is the command that updates the StackSet. A parameter that is left out would have the template's default again.
func (d *Doctor) updateSet(how string) string {
	var keep []string
	for _, name := range slices.Sorted(maps.Keys(d.facts.setOf)) {
		keep = append(keep, "ParameterKey="+name+",UsePreviousValue=true")
	}
	parameters := ""
	if len(keep) > 0 {
		parameters = " --parameters " + strings.Join(keep, " ")
	}
	return fmt.Sprintf("in the management account: aws cloudformation update-stack-set --region %s --stack-set-name %s %s --capabilities CAPABILITY_NAMED_IAM%s", d.Management.Region, d.StackSet, how, parameters)
}

// has reports whether an account is to have the member roles: those that are protected are left alone.
func (d *Doctor) has(id string) bool {
	o := d.Config.Org
	others := id == o.ManagementAccount && id != o.OrganizationsAccount() // policies are managed from another
	return id != o.HubAccount && !others && !slices.Contains(o.ProtectedAccounts, id)
}

// named returns an account of the organization.
func (d *Doctor) named(id string) account {
	for _, a := range d.facts.accounts {
		if a.id == id {
			return a
		}
	}
	return account{id: id}
}

// pathOf returns the root and units that an account lies in, from the account upwards.
func pathOf(ctx context.Context, client *organizations.Client, id string) ([]string, error) {
	path := []string{id}
	for !strings.HasPrefix(path[len(path)-1], "r-") {
		out, err := client.ListParents(ctx, &organizations.ListParentsInput{ChildId: &path[len(path)-1]})
		if err != nil {
			return nil, err
		}
		if len(out.Parents) == 0 {
			break
		}
		path = append(path, aws.ToString(out.Parents[0].Id))
	}
	return path, nil
}
