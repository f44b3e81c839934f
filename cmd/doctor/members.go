package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trails "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	rules "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	detectors "github.com/aws/aws-sdk-go-v2/service/guardduty/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/scp"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/cmd/template"
)

// accountsAtOnce is how many accounts are looked at at the same time.
const accountsAtOnce = 8

// members looks at each account: the roles, what actions share, the rules that pass events on, what records and what finds.
func (d *Doctor) members(ctx context.Context, r *report) {
	text, err := template.Members(d.Config.Org)
	var f template.Template
	if err == nil {
		f, err = template.Read(text)
	}
	if err != nil {
		r.bad("member.roles", "killswitch validate "+d.File, "%s", err)
		return
	}
	o := d.Config.Org
	roles := []memberRole{
		{o.ResponderRole, slices.Sorted(maps.Keys(allowed(all.MemberPolicy(actions.Responder, o, false))))},
		{o.RestorerRole, slices.Sorted(maps.Keys(allowed(all.MemberPolicy(actions.Restorer, o, false))))},
	}
	accounts := slices.Clone(d.facts.accounts)
	slices.SortFunc(accounts, func(a, b account) int { return strings.Compare(a.id, b.id) })
	_ = actions.Parallel(len(accounts), accountsAtOnce, func(i int) error {
		d.member(ctx, r, accounts[i], f, roles)
		return nil
	})
}

// memberRole is a member role with what it is to be allowed.
type memberRole struct {
	name    string
	actions []string
}

// enter returns the operator's own credentials in an account.
func (d *Doctor) enter(ctx context.Context, id string) (aws.Config, error) {
	switch {
	case id == d.Config.Org.HubAccount:
		return d.Hub, nil
	case id == d.Config.Org.ManagementAccount && d.Management.Credentials != nil:
		return d.Management, nil
	}
	cfg := d.Management
	if cfg.Credentials == nil {
		cfg = d.Hub
	}
	cfg = cfg.Copy()
	role := actions.RoleARN(d.Config.Org.Partition, id, "/", d.MemberRole)
	cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), role, func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = "killswitch-doctor" }))
	_, err := cfg.Credentials.Retrieve(ctx)
	return cfg, err
}

func (d *Doctor) member(ctx context.Context, r *report, a account, f template.Template, roles []memberRole) {
	o := d.Config.Org
	cfg, err := d.enter(ctx, a.id)
	if err != nil {
		r.bad("member.look", "name a role that you may assume there, and that may read: --member-role NAME", "%s can't be looked at: %s can't be assumed: %s", a, d.MemberRole, said(err))
		return
	}
	place := func(region string) template.Place {
		return template.Place{Partition: o.Partition, Account: a.id, Region: region, Parameters: d.given()}
	}
	roleRegion := cmp.Or(d.facts.setOf["RoleRegion"], d.global())
	printed := fmt.Sprintf("killswitch template members --config %s > members.yaml, then ", d.File)
	update := printed + d.updateSet("--template-body file://members.yaml")
	if a.id == o.ManagementAccount || a.id == o.HubAccount { // a StackSet leaves the first out, and may leave the other out
		update = fmt.Sprintf("%sin that account, in each region: aws cloudformation deploy --region REGION --stack-name %s --template-file members.yaml --capabilities CAPABILITY_NAMED_IAM --parameter-overrides HubRegion=%s OrganizationId=%s",
			printed, d.StackSet, d.Hub.Region, d.facts.organization)
	}
	if d.has(a.id) {
		at := place(roleRegion)
		r.either("member.roles", update, about(a, compareIAM(ctx, in(cfg, roleRegion), at, f.Resolve(at))), "%s has what this version wants", a)
		d.obstacles(ctx, r, a, roles)
	}
	if d.facts.forwards && (a.id == o.HubAccount || !slices.Contains(o.ProtectedAccounts, a.id)) {
		for _, region := range o.Regions {
			r.either("member.rules", update, about(a, d.compareRules(ctx, in(cfg, region), region, f.Resolve(place(region)))), "%s passes events of %s on", a, region)
		}
	}
	d.recorded(ctx, r, a, cfg)
	d.found(ctx, r, a, cfg)
}

// about puts an account before what is wrong in it.
func about(a account, wrong []string) []string {
	if len(wrong) == 0 {
		return nil
	}
	return []string{a.String() + ": " + strings.Join(wrong, "; ")}
}

// given are the parameters of members.yaml: the configuration's, and of the StackSet what is for its operator to choose.
func (d *Doctor) given() map[string]string {
	given := map[string]string{"HubAccountId": d.Config.Org.HubAccount, "ExecutorRoleName": d.facts.executorRole, "OrganizationId": d.facts.organization}
	if d.facts.forwards {
		given["HubRegion"] = d.Hub.Region
	}
	for _, name := range []string{"StandbyRoleName", "RoleRegion", "RoleChanges"} {
		if v, ok := d.facts.setOf[name]; ok {
			given[name] = v
		}
	}
	return given
}

// compareRules looks in a region for each rule that passes something on: enabled, with the same pattern and the same target.
func (d *Doctor) compareRules(ctx context.Context, cfg aws.Config, region string, made map[string]template.Resource) (wrong []string) {
	client := eventbridge.NewFromConfig(cfg)
	has, err := rulesOf(ctx, client)
	if err != nil {
		return []string{"the rules of " + region + " can't be read: " + said(err)}
	}
	var missing, off, astray []string
	for id, res := range made {
		if res.Type != "AWS::Events::Rule" {
			continue
		}
		pattern, _ := json.Marshal(res.Properties["EventPattern"])
		target, _ := list(res.Properties["Targets"])[0].(map[string]any)
		var disabled, elsewhere []string // others may have rules for the same: one that brings it is enough
		brings := false
		for _, x := range has {
			switch {
			case !same(aws.ToString(x.EventPattern), json.RawMessage(pattern)):
			case x.State == rules.RuleStateDisabled:
				disabled = append(disabled, aws.ToString(x.Name))
			case d.brings(ctx, client, x, target):
				brings = true
			default:
				elsewhere = append(elsewhere, aws.ToString(x.Name))
			}
		}
		switch {
		case brings:
		case len(disabled) > 0:
			off = append(off, disabled...)
		case len(elsewhere) > 0:
			astray = append(astray, elsewhere...)
		default:
			missing = append(missing, id)
		}
	}
	for what, names := range map[string][]string{"there is no rule for ": missing, "switched off: ": off, "brings nothing to the hub: ": astray} {
		slices.Sort(names)
		wrong = append(wrong, prefixed(region+": "+what, names)...)
	}
	slices.Sort(wrong)
	return wrong
}

// brings reports whether a rule passes events on as they are: to what the template has, or, where that has a name of
// CloudFormation's, to a queue or an address of the hub's own stack.
func (d *Doctor) brings(ctx context.Context, client *eventbridge.Client, x rules.Rule, want map[string]any) bool {
	out, err := client.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: x.Name})
	return err == nil && slices.ContainsFunc(out.Targets, func(t rules.Target) bool {
		arn := aws.ToString(t.Arn)
		if t.Input != nil || t.InputPath != nil || t.InputTransformer != nil {
			return false
		}
		if to := text(want["Arn"]); to != "" {
			return arn == to && aws.ToString(t.RoleArn) == text(want["RoleArn"])
		}
		parts := strings.SplitN(arn, ":", 6)
		return len(parts) == 6 && parts[4] == d.Config.Org.HubAccount && (strings.HasPrefix(parts[5], d.Stack+"-") || strings.HasPrefix(parts[5], "api-destination/EventsDestination"))
	})
}

func rulesOf(ctx context.Context, client *eventbridge.Client) (all []rules.Rule, err error) {
	var next *string
	for {
		out, err := client.ListRules(ctx, &eventbridge.ListRulesInput{NextToken: next})
		if err != nil {
			return nil, err
		}
		all = append(all, out.Rules...)
		if next = out.NextToken; next == nil {
			return all, nil
		}
	}
}

// obstacles looks for what the organization's policies deny the member roles in an account. What only the call itself
// can tell, as an address, is told, too: at night it is too late.
func (d *Doctor) obstacles(ctx context.Context, r *report, a account, roles []memberRole) {
	o := d.Config.Org
	if d.Management.Credentials == nil || a.id == o.ManagementAccount {
		return // no policy binds that account
	}
	client := organizations.NewFromConfig(d.Management)
	path, err := pathOf(ctx, client, a.id)
	if err != nil {
		r.bad("member.policies", "allow yourself organizations:ListParents", "where %s lies can't be read: %s", a, said(err))
		return
	}
	var wrong []string
	for _, target := range path {
		attached, err := d.attached(ctx, client, target)
		if err != nil {
			r.bad("member.policies", "allow yourself organizations:ListPoliciesForTarget and organizations:DescribePolicy", "the policies of %s can't be read: %s", target, said(err))
			return
		}
		var documents []string
		for _, p := range attached {
			documents = append(documents, p.document)
		}
		for _, role := range roles {
			who := scp.Caller{ARN: actions.RoleARN(o.Partition, a.id, "/", role.name), Account: a.id, Organization: d.facts.organization, Regions: o.Regions, Global: d.global()}
			if left, err := scp.NotAllowed(documents, role.actions); err == nil && len(left) > 0 {
				wrong = append(wrong, fmt.Sprintf("the policies of %s don't allow %s: %s", target, role.name, some(left)))
			}
			for _, p := range attached {
				found, err := scp.Obstacles(p.document, who, role.actions)
				if err != nil {
					wrong = append(wrong, fmt.Sprintf("%s can't be read: %s", p.name, said(err)))
				}
				for _, x := range found {
					if x.Part {
						continue
					}
					when := ""
					if x.Unless != "" {
						when = ", depending on " + x.Unless
					}
					wrong = append(wrong, fmt.Sprintf("%s (%s, on %s) denies %s %s%s", p.name, x.Statement, target, role.name, some(x.Actions), when))
				}
			}
		}
	}
	r.either("member.policies", fmt.Sprintf(`exempt the member roles there: "Condition": {"ArnNotLike": {"aws:PrincipalArn": ["arn:%s:iam::*:role/%s", "arn:%[1]s:iam::*:role/%[3]s"]}} (docs/control-tower.md)`, o.Partition, o.ResponderRole, o.RestorerRole),
		about(a, wrong), "no policy of the organization stands in the way in %s", a)
}

// attached remembers the policies of a target: of 200 accounts most lie in the same units.
func (d *Doctor) attached(ctx context.Context, client *organizations.Client, target string) ([]policy, error) {
	d.known.mu.Lock()
	defer d.known.mu.Unlock()
	if ps, ok := d.known.policies[target]; ok {
		return ps, nil
	}
	ps, err := policiesOf(ctx, client, target)
	if err == nil {
		if d.known.policies == nil {
			d.known.policies = map[string][]policy{}
		}
		d.known.policies[target] = ps
	}
	return ps, err
}

// recorded looks whether a trail records what changes: without one no event tells of a removed containment.
func (d *Doctor) recorded(ctx context.Context, r *report, a account, cfg aws.Config) {
	client := cloudtrail.NewFromConfig(in(cfg, d.global()))
	out, err := client.DescribeTrails(ctx, &cloudtrail.DescribeTrailsInput{IncludeShadowTrails: aws.Bool(true)})
	if err != nil {
		r.bad("member.trail", "allow "+d.MemberRole+" cloudtrail:DescribeTrails, GetTrailStatus and GetEventSelectors", "the trails of %s can't be read: %s", a, said(err))
		return
	}
	var why []string
	for _, t := range out.TrailList {
		at := cloudtrail.NewFromConfig(in(cfg, cmp.Or(aws.ToString(t.HomeRegion), d.global())))
		switch status, err := at.GetTrailStatus(ctx, &cloudtrail.GetTrailStatusInput{Name: t.TrailARN}); {
		case err != nil:
			why = append(why, fmt.Sprintf("%s can't be looked at: %s", aws.ToString(t.Name), said(err)))
		case !aws.ToBool(status.IsLogging):
			why = append(why, aws.ToString(t.Name)+" is stopped")
		case !aws.ToBool(t.IsMultiRegionTrail):
			why = append(why, aws.ToString(t.Name)+" records one region alone")
		case !records(ctx, at, t):
			why = append(why, aws.ToString(t.Name)+" leaves management events that write out")
		default:
			r.ok("member.trail", "%s records %s", aws.ToString(t.Name), a)
			return
		}
	}
	if len(out.TrailList) == 0 {
		why = []string{"there is none"}
	}
	r.bad("member.trail", "aws cloudtrail start-logging --name TRAIL; or make one for the organization, in the management account: aws cloudtrail create-trail --name organization --s3-bucket-name BUCKET --is-organization-trail --is-multi-region-trail, then start-logging",
		"no trail records the changes of %s in all regions: %s", a, strings.Join(why, "; "))
}

// records reports whether a trail has the management events that write.
func records(ctx context.Context, client *cloudtrail.Client, t trails.Trail) bool {
	out, err := client.GetEventSelectors(ctx, &cloudtrail.GetEventSelectorsInput{TrailName: t.TrailARN})
	if err != nil || len(out.EventSelectors)+len(out.AdvancedEventSelectors) == 0 {
		return true // management events are what a trail has unless it says otherwise
	}
	for _, s := range out.EventSelectors {
		if aws.ToBool(s.IncludeManagementEvents) && s.ReadWriteType != trails.ReadWriteTypeReadOnly && !slices.Contains(s.ExcludeManagementEventSources, "iam.amazonaws.com") {
			return true
		}
	}
	return slices.ContainsFunc(out.AdvancedEventSelectors, func(s trails.AdvancedEventSelector) bool {
		management, reads := false, false
		for _, f := range s.FieldSelectors {
			management = management || aws.ToString(f.Field) == "eventCategory" && slices.Contains(f.Equals, "Management")
			reads = reads || aws.ToString(f.Field) == "readOnly" && slices.Contains(f.Equals, "true")
		}
		return management && !reads
	})
}

// found looks whether GuardDuty looks at an account, where alerts of it are wanted.
func (d *Doctor) found(ctx context.Context, r *report, a account, cfg aws.Config) {
	if !slices.ContainsFunc(d.Config.Alerts.Routes, func(route finding.Route) bool { return route.Match.Source == "guardduty" || route.Match.Source == "" }) {
		return
	}
	var wrong []string
	for _, region := range d.Config.Org.Regions {
		client := guardduty.NewFromConfig(in(cfg, region))
		out, err := client.ListDetectors(ctx, nil)
		switch {
		case err != nil:
			wrong = append(wrong, region+" can't be read: "+said(err))
			continue
		case len(out.DetectorIds) == 0:
			wrong = append(wrong, "there is none in "+region)
			continue
		}
		detector, err := client.GetDetector(ctx, &guardduty.GetDetectorInput{DetectorId: &out.DetectorIds[0]})
		if err == nil && detector.Status != detectors.DetectorStatusEnabled {
			wrong = append(wrong, "it is switched off in "+region)
		}
	}
	r.either("member.guardduty", "aws guardduty create-detector --enable --region REGION in the account, or switch it on for the organization (aws guardduty update-organization-configuration --auto-enable-organization-members ALL)", about(a, wrong), "GuardDuty looks at %s", a)
}
