package template_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/cmd/template"
)

var update = flag.Bool("update", false, "write rules.yaml from template.yaml, and the templates of deploy/ as they are printed")

// TestMembersFile: deploy/members.yaml is what is printed without a configuration.
func TestMembersFile(t *testing.T) {
	got := golden(t, "../../deploy/members.yaml", template.Members)
	// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
	if len(got) > 51200 {
		t.Errorf("%d bytes, of which a request takes 51,200", len(got))
	}
}

// golden compares a template, made without a configuration, with the file that holds it.
func golden(t *testing.T, file string, text func(actions.Org) ([]byte, error)) []byte {
	t.Helper()
	got, err := text(actions.Org{Actions: all.Actions, Partition: "aws", ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer"})
	actiontest.Must(t, err)
	same(t, file, got)
	return got
}

// same compares what is generated with the file that holds it.
func same(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		actiontest.Must(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	actiontest.Must(t, err)
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("run go test ./cmd/template -update: %s", d)
	}
}

// stack is a template's resources as CloudFormation makes them in an account.
type stack struct {
	values     map[string]any // of parameters and pseudo parameters
	conditions map[string]any
	resources  map[string]any
}

// none is AWS::NoValue.
type none struct{}

func deployed(t *testing.T, text []byte, account string, given map[string]any) stack {
	t.Helper()
	var f struct {
		Parameters map[string]struct {
			Default *string `yaml:"Default"`
		} `yaml:"Parameters"`
		Conditions map[string]any `yaml:"Conditions"`
		Resources  map[string]any `yaml:"Resources"`
	}
	actiontest.Must(t, yaml.Unmarshal(text, &f))
	s := stack{map[string]any{"AWS::AccountId": account, "AWS::NoValue": none{}}, f.Conditions, map[string]any{}}
	s.values["AWS::Region"] = "us-east-1"
	if r, ok := f.Parameters["RoleRegion"]; ok {
		s.values["AWS::Region"] = *r.Default
	}
	if r, ok := given["AWS::Region"]; ok {
		s.values["AWS::Region"] = r
	}
	for name, p := range f.Parameters {
		switch v, ok := given[name]; {
		case ok:
			s.values[name] = v
		case p.Default != nil:
			s.values[name] = *p.Default
		default:
			t.Fatalf("parameter %s has no value", name)
		}
	}
	for id, r := range f.Resources {
		r, ok := r.(map[string]any)
		if !ok {
			t.Fatalf("%s is a %T", id, r)
		}
		if c, ok := r["Condition"].(string); ok && !s.is(c) {
			continue
		}
		if s.resources[id] = s.resolve(r["Properties"]); r["Properties"] == nil {
			s.resources[id] = map[string]any{}
		}
	}
	return s
}

func (s stack) is(condition string) bool {
	yes, _ := s.resolve(s.conditions[condition]).(bool)
	return yes
}

func (s stack) resolve(v any) any {
	switch v := v.(type) {
	case []any:
		var list []any
		for _, x := range v {
			if x = s.resolve(x); x != (none{}) {
				list = append(list, x)
			}
		}
		return list
	case map[string]any:
		if name, ok := v["Ref"].(string); ok {
			if value, ok := s.values[name]; ok {
				return value
			}
			return name // a resource: its logical ID
		}
		if text, ok := v["Fn::Sub"].(string); ok {
			for name, value := range s.values {
				text = strings.ReplaceAll(text, "${"+name+"}", fmt.Sprint(value))
			}
			return text
		}
		if of, ok := v["Fn::If"].([]any); ok {
			if c, _ := of[0].(string); s.is(c) {
				return s.resolve(of[1])
			}
			return s.resolve(of[2])
		}
		if of, ok := v["Fn::Equals"].([]any); ok {
			return s.resolve(of[0]) == s.resolve(of[1])
		}
		if of, ok := v["Fn::Not"].([]any); ok {
			is, _ := s.resolve(of[0]).(bool)
			return !is
		}
		if of, ok := v["Fn::And"].([]any); ok {
			return !slices.ContainsFunc(of, func(c any) bool { return s.resolve(c) != true })
		}
		if c, ok := v["Condition"].(string); ok && len(v) == 1 {
			return s.is(c)
		}
		m := map[string]any{}
		for k, x := range v {
			if x = s.resolve(x); x != (none{}) {
				m[k] = x
			}
		}
		return m
	}
	return v
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// in makes the stack's resources in an account.
func (s stack) in(t *testing.T, c *awsfake.Cloud, account string) {
	t.Helper()
	properties := func(id string) map[string]any {
		p, _ := s.resources[id].(map[string]any)
		return p
	}
	word := func(v any) string { w, _ := v.(string); return w }
	for _, id := range slices.Sorted(maps.Keys(s.resources)) {
		p := properties(id)
		switch {
		case p["ManagedPolicyName"] != nil:
			c.AddPolicy("arn:"+c.Partition()+":iam::"+account+":policy/"+word(p["ManagedPolicyName"]), text(p["PolicyDocument"]))
		case p["RoleName"] != nil:
			r := awsfake.Role{Name: word(p["RoleName"]), Trust: text(p["AssumeRolePolicyDocument"]), Boundary: word(p["PermissionsBoundary"]), Inline: map[string]string{}}
			arns, _ := p["ManagedPolicyArns"].([]any)
			for _, arn := range arns {
				r.Attached = append(r.Attached, word(arn))
			}
			for _, x := range s.resources {
				x, _ := x.(map[string]any)
				if roles, _ := x["Roles"].([]any); x["PolicyDocument"] != nil && slices.Contains(roles, any(id)) {
					r.Inline[word(x["PolicyName"])] = text(x["PolicyDocument"])
				}
			}
			profile := properties("IsolationProfile")
			if roles, _ := profile["Roles"].([]any); len(roles) == 1 && roles[0] == id {
				r.Profiles = []string{word(profile["InstanceProfileName"])}
			}
			c.Account(account).AddRole(r)
		}
	}
}

// TestMembersAreWhatActionsUse: in an account with what the template deploys, and nothing else of ours, the
// actions contain and undo, and find all that is deployed ahead.
func TestMembersAreWhatActionsUse(t *testing.T) {
	for partition, by := range map[string]actions.Installation{"aws": "", "aws-us-gov": "pilot", "aws-cn": ""} {
		c := &actiontest.Clock{T: actiontest.Began}
		w := actiontest.FixtureAt(t, c, c.Now, partition)
		w.Org.Installation = by
		w.Hub = actions.NewCloud(w.Config(), w.Org)
		w.Hub.SetNow(c.Now)
		printed, err := template.Members(w.Org)
		actiontest.Must(t, err)
		deployed(t, printed, actiontest.Member, nil).in(t, w.Cloud, actiontest.Member)
		account := w.Account(actiontest.Member)
		account.AddUser(awsfake.User{Name: "eve", Inline: map[string]string{"all": actiontest.AllowAll}, Keys: []awsfake.AccessKey{{ID: actiontest.FirstKey, Created: actiontest.Began}}})
		region := account.Region(w.Region())
		region.AddVPC(awsfake.VPC{ID: "vpc-1"})
		region.SetGroup(awsfake.SecurityGroup{ID: "sg-1", VPC: "vpc-1", Name: "web"})
		account.AddRole(awsfake.Role{Name: "app", Profiles: []string{"app"}, Attached: []string{"arn:" + partition + ":iam::aws:policy/AdministratorAccess"}})
		id := "i-0123456789abcdef0"
		instance := region.AddInstance(awsfake.Instance{ID: id, Profile: "app", Interfaces: []awsfake.Interface{{ID: "eni-1", VPC: "vpc-1", Subnet: "subnet-1", Groups: []string{"sg-1"}, IPv4: "10.0.0.1"}}})
		w.SetCall(actions.Call{Action: actions.QuarantineUser, Target: "arn:" + partition + ":iam::" + actiontest.Member + ":user/eve", Account: actiontest.Member}, "arn:"+partition+":iam::"+actiontest.Member+":user/eve")
		p := w.Plan()
		done := w.Contain()
		actiontest.AllApplied(t, done)
		if eve := w.Snapshot().Accounts[actiontest.Member].Users["eve"]; len(eve.Attached) != 1 || !strings.HasSuffix(eve.Attached[0], "policy/"+by.Name("KillSwitchQuarantine")) || len(eve.Inline) != 1 || strings.Contains(strings.Join(p.Warnings, " "), "deployed") {
			t.Errorf("%s: %+v, warnings %v", partition, eve, p.Warnings)
		}
		w.Undo(done)
		w.SetCall(actions.Call{Action: actions.IsolateInstance, Target: instance, Account: actiontest.Member, Region: w.Region()})
		p = w.Plan()
		for _, s := range p.Steps {
			if !slices.Contains(w.Resources, s.Resource) {
				w.Resources = append(w.Resources, s.Resource)
			}
		}
		done = w.ApplySteps(p.Steps)
		actiontest.AllApplied(t, done)
		if got := w.Snapshot().Accounts[actiontest.Member].Regions[w.Region()].Instances[id].Profile; !strings.HasSuffix(got, "/killswitch-isolation") || strings.Contains(strings.Join(p.Warnings, " "), "without a profile") {
			t.Errorf("%s: the profile is %s, warnings %v", partition, got, p.Warnings)
		}
		w.Undo(done)
	}
}

// TestMembersTrustTheExecutorAlone: by its name, from the hub, with the external ID; another role of the hub, the
// same name elsewhere, and no or another external ID are refused.
func TestMembersTrustTheExecutorAlone(t *testing.T) {
	org := actiontest.TestOrg("aws")
	printed, err := template.Members(org)
	actiontest.Must(t, err)
	const stranger = "666666666666"
	for name, tt := range map[string]struct {
		account, role string
		external      *string
		given         map[string]any
		in            bool
	}{
		"the executor":            {awsfake.HubAccount, awsfake.HubRole, aws.String(org.ExternalID), nil, true},
		"another role of the hub": {awsfake.HubAccount, "administrator", aws.String(org.ExternalID), nil, false},
		"its name elsewhere":      {stranger, awsfake.HubRole, aws.String(org.ExternalID), nil, false},
		"no external ID":          {awsfake.HubAccount, awsfake.HubRole, nil, nil, false},
		"another external ID":     {awsfake.HubAccount, awsfake.HubRole, aws.String("x"), nil, false},
		"none is configured":      {awsfake.HubAccount, awsfake.HubRole, nil, map[string]any{"ExternalId": ""}, true},
		"another name is trusted": {awsfake.HubAccount, awsfake.HubRole, aws.String(org.ExternalID), map[string]any{"ExecutorRoleName": "second-hub"}, false},
		"another hub is trusted":  {awsfake.HubAccount, awsfake.HubRole, aws.String(org.ExternalID), map[string]any{"HubAccountId": stranger}, false},
		"the role is made anew":   {awsfake.HubAccount, "made-anew", aws.String(org.ExternalID), map[string]any{"ExecutorRoleName": "made-anew"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &actiontest.Clock{T: actiontest.Began}
			c := awsfake.New(clock.Now)
			deployed(t, printed, actiontest.Member, tt.given).in(t, c, actiontest.Member)
			who := c.Config()
			if tt.account != awsfake.HubAccount || tt.role != awsfake.HubRole {
				who = c.Session(c.Account(tt.account).AddRole(awsfake.Role{Name: tt.role, Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}}), "s").Config()
			}
			for _, role := range []string{org.ResponderRole, org.RestorerRole} {
				_, err := sts.NewFromConfig(who).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(actions.RoleARN("aws", actiontest.Member, "/", role)), RoleSessionName: aws.String("KS-0123456789AB"),
					SourceIdentity: aws.String("alice"), ExternalId: tt.external, Tags: []ststypes.Tag{{Key: aws.String("killswitch-request"), Value: aws.String("KS-0123456789AB")}}})
				var no interface{ ErrorCode() string }
				if tt.in && err != nil || !tt.in && (!errors.As(err, &no) || no.ErrorCode() != "AccessDenied") {
					t.Errorf("%s: %v", role, err)
				}
			}
		})
	}
}

// TestManagementAccountIsForOrganizationsAlone: in the management account the roles may call Organizations, and
// there is nothing else; in an account that policies are delegated to they may do both.
func TestManagementAccountIsForOrganizationsAlone(t *testing.T) {
	org := actiontest.TestOrg("aws")
	for name, tt := range map[string]struct {
		account, policyAccount string
		member, organizations  bool
	}{
		"a member":               {actiontest.Member, "", true, false},
		"the management account": {actiontest.Management, "", false, true},
		"it delegates":           {actiontest.Management, "777777777777", false, false},
		"the policy account":     {"777777777777", "777777777777", true, true},
	} {
		o := org
		o.PolicyAccount = tt.policyAccount
		printed, err := template.Members(o)
		actiontest.Must(t, err)
		s := deployed(t, printed, tt.account, nil)
		for _, id := range []string{"ResponderRole", "RestorerRole"} {
			of := strings.TrimSuffix(id, "Role")
			all := text([]any{s.resources[of+"MemberPolicy"], s.resources[of+"OrganizationsPolicy"]})
			if strings.Contains(all, `"iam:`) != tt.member || strings.Contains(all, `"organizations:`) != tt.organizations {
				t.Errorf("%s: %s is %s", name, id, all)
			}
		}
		want := map[bool]int{true: 8, false: 2}[tt.member] + map[bool]int{true: 2}[tt.organizations]
		if n := len(s.resources) - 1; n != want { // without the placeholder
			t.Errorf("%s: %d resources, want %d", name, n, want)
		}
	}
}
