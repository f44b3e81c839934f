package template_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/cmd/template"
)

const rulesHead = "# What the hub's rules take, as template.yaml has them. Written by go test ./cmd/template -update.\n"

// TestRulesFile: rules.yaml has what the rules of template.yaml take.
func TestRulesFile(t *testing.T) {
	b, err := os.ReadFile("../../template.yaml")
	actiontest.Must(t, err)
	var hub yaml.Node
	actiontest.Must(t, yaml.Unmarshal(b, &hub))
	rules := map[string]any{}
	resources := child(t, hub.Content[0], "Resources")
	for i := 0; i < len(resources.Content); i += 2 {
		name, r := resources.Content[i].Value, resources.Content[i+1]
		if child(t, r, "Type").Value != "AWS::Events::Rule" {
			continue
		}
		properties := child(t, r, "Properties")
		rule := map[string]any{"description": child(t, properties, "Description").Value, "pattern": plain(t, child(t, properties, "EventPattern"))}
		if c := child(t, r, "Condition"); c != nil {
			rule["condition"] = c.Value
		}
		rules[name] = rule
	}
	if len(rules) < 12 {
		t.Fatalf("%d rules", len(rules))
	}
	content, err := yaml.Marshal(rules)
	actiontest.Must(t, err)
	same(t, "rules.yaml", append([]byte(rulesHead), content...))
}

// child is a mapping's value; nil if it has none of that key.
func child(t *testing.T, n *yaml.Node, key string) *yaml.Node {
	t.Helper()
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// plain is a node without the short forms of CloudFormation's functions, of which rules have !Sub alone: what it
// puts in is told by its ${NAME}.
func plain(t *testing.T, n *yaml.Node) any {
	t.Helper()
	switch {
	case n.Tag == "!Sub":
		return n.Value
	case strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!"):
		t.Fatalf("line %d: %s", n.Line, n.Tag)
	case n.Kind == yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(t, n.Content[i+1])
		}
		return m
	case n.Kind == yaml.SequenceNode:
		var list []any
		for _, c := range n.Content {
			list = append(list, plain(t, c))
		}
		return list
	}
	var v any
	actiontest.Must(t, n.Decode(&v))
	return v
}

// TestEachRegionPassesEventsOn: in one region with the account's role, everywhere with the rules and their queue; not
// where the hub's own rules are, and nowhere if there is no bus to send to. Roles and policies are in one region alone.
func TestEachRegionPassesEventsOn(t *testing.T) {
	org := actiontest.TestOrg("aws")
	printed, err := template.Members(org)
	actiontest.Must(t, err)
	roles := []string{"ForwarderRole", "IsolationProfile", "IsolationRole", "Quarantine", "QuarantineIAM", "ResponderMemberPolicy", "ResponderRole", "RestorerMemberPolicy", "RestorerRole"}
	for name, tt := range map[string]struct {
		account, region, hub, roleChanges string
		roles                             []string
		rules                             int
	}{
		"the region of the roles":        {actiontest.Member, "us-east-1", "eu-west-1", "false", roles, 12},
		"another region":                 {actiontest.Member, "eu-west-1", "eu-west-1", "false", nil, 12},
		"all changes by roles":           {actiontest.Member, "eu-west-1", "eu-west-1", "true", nil, 13},
		"the hub's account and region":   {org.HubAccount, "eu-west-1", "eu-west-1", "true", nil, 0},
		"the hub's, where the roles are": {org.HubAccount, "us-east-1", "us-east-1", "false", roles, 0},
		"another region of the hub's":    {org.HubAccount, "us-east-1", "eu-west-1", "false", roles, 12},
		"nothing is to be passed on":     {actiontest.Member, "us-east-1", "", "true", roles[1:], 0},
		"the management account":         {actiontest.Management, "us-east-1", "eu-west-1", "false", []string{"ForwarderRole", "ResponderOrganizationsPolicy", "ResponderRole", "RestorerOrganizationsPolicy", "RestorerRole"}, 12},
	} {
		s := deployed(t, printed, tt.account, map[string]any{"AWS::Region": tt.region, "HubRegion": tt.hub, "RoleChanges": tt.roleChanges})
		var others []string
		rules := 0
		for _, id := range slices.Sorted(maps.Keys(s.resources)) {
			switch {
			case strings.HasSuffix(id, "Rule"):
				rules++
				role := `"RoleArn":"arn:aws:iam::` + tt.account + `:role/killswitch-forwarder"`
				if s.resources["ForwarderRole"] != nil { // then they wait for it
					role = `"RoleArn":{"Fn::GetAtt":["ForwarderRole","Arn"]}`
				}
				if got := text(s.resources[id]); !strings.Contains(got, `"Arn":"arn:aws:events:`+tt.hub+":"+org.HubAccount+`:event-bus/default"`) || !strings.Contains(got, role) {
					t.Errorf("%s: %s is %s", name, id, got)
				}
			case strings.HasPrefix(id, "DeadQueue"):
				if tt.rules == 0 {
					t.Errorf("%s: %s", name, id)
				}
			case id != "Placeholder":
				others = append(others, id)
			}
		}
		if s.resources["Placeholder"] == nil && tt.rules+len(tt.roles) == 0 {
			t.Errorf("%s: no resource at all", name)
		}
		if d := cmp.Diff(tt.roles, others); d != "" || rules != tt.rules {
			t.Errorf("%s: %d rules, want %d; %s", name, rules, tt.rules, d)
		}
		if allowed := strings.Count(text(s.resources["DeadQueuePolicy"]), "Rule"); allowed != tt.rules {
			t.Errorf("%s: the queue takes from %d rules", name, allowed)
		}
	}
}
