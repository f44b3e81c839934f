package template_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/cmd/template"
)

func hubRole(o actions.Org) ([]byte, error) { return template.HubRole(template.Serve{Org: o}) }

// TestHubRoleFile: deploy/hub-role.yaml is what is printed without a configuration.
func TestHubRoleFile(t *testing.T) {
	golden(t, "../../deploy/hub-role.yaml", hubRole)
}

// TestHubRoleMayWhatTheExecutorMay: in member accounts, topics and the bucket, and nothing else; the conditions are
// template.yaml's. Tables, queues, secrets and logs are serve's own.
func TestHubRoleMayWhatTheExecutorMay(t *testing.T) {
	b, err := os.ReadFile("../../template.yaml")
	actiontest.Must(t, err)
	var hub yaml.Node
	actiontest.Must(t, yaml.Unmarshal(b, &hub))
	properties := child(t, child(t, child(t, hub.Content[0], "Resources"), "ExecutorRole"), "Properties")
	executor := said(t, properties)
	maps.DeleteFunc(executor, func(act, _ string) bool {
		service, _, _ := strings.Cut(act, ":")
		return slices.Contains([]string{"dynamodb", "sqs", "secretsmanager", "logs", "kms"}, service)
	})
	org := actiontest.TestOrg("aws")
	printed, err := template.HubRole(template.Serve{Org: org, Topics: []string{"arn:aws:sns:us-east-1:111111111111:pager"}, Bucket: "heads"})
	actiontest.Must(t, err)
	var n yaml.Node
	actiontest.Must(t, yaml.Unmarshal(printed, &n))
	serve := said(t, child(t, child(t, child(t, n.Content[0], "Resources"), "HubRole"), "Properties"))
	if d := cmp.Diff(executor, serve); d != "" || len(serve) < 7 {
		t.Errorf("(-executor +serve):\n%s", d)
	}
}

// said is what a role's inline policies allow or deny: action → effect and the keys of its conditions.
func said(t *testing.T, properties *yaml.Node) map[string]string {
	t.Helper()
	all := map[string]string{}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if effect := child(t, n, "Effect"); n.Kind == yaml.MappingNode && effect != nil {
			keys := keysOf(child(t, n, "Condition"))
			slices.Sort(keys)
			acts := child(t, n, "Action")
			for _, act := range append([]*yaml.Node{acts}, acts.Content...) {
				if act.Kind == yaml.ScalarNode {
					all[act.Value] = strings.Join(append([]string{effect.Value}, keys...), " ")
				}
			}
			return
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(child(t, properties, "Policies"))
	return all
}

// keysOf are the condition keys somewhere below.
func keysOf(n *yaml.Node) (keys []string) {
	if n == nil {
		return nil
	}
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, ":") && !strings.Contains(n.Value, "::") {
		return []string{n.Value}
	}
	for _, c := range n.Content {
		keys = append(keys, keysOf(c)...)
	}
	return keys
}

// TestHubRole: on EC2 with a profile, elsewhere for one principal alone; events where there is somewhere to bring them,
// of other accounts where the organization is named.
func TestHubRole(t *testing.T) {
	org := actiontest.TestOrg("aws")
	printed, err := hubRole(org)
	actiontest.Must(t, err)
	const user = "arn:aws:iam::111111111111:user/serve"
	for name, tt := range map[string]struct {
		given map[string]any
		trust string
		want  []string // besides the role, and the rules
		rules int
	}{
		"on EC2":                  {nil, `{"Service":"ec2.amazonaws.com"}`, []string{"InstanceProfile"}, 0},
		"elsewhere":               {map[string]any{"TrustedPrincipal": user}, `{"AWS":"` + user + `"}`, nil, 0},
		"with events":             {map[string]any{"EventsUrl": "https://killswitch.example/events", "EventsKey": "k"}, `{"Service":"ec2.amazonaws.com"}`, []string{"DeadQueue", "DeadQueuePolicy", "EventsConnection", "EventsDestination", "EventsRole", "InstanceProfile"}, 12},
		"and those of all others": {map[string]any{"EventsUrl": "https://killswitch.example/events", "EventsKey": "k", "OrganizationId": "o-abcdefghij", "RoleChanges": "true"}, `{"Service":"ec2.amazonaws.com"}`, []string{"DeadQueue", "DeadQueuePolicy", "EventsConnection", "EventsDestination", "EventsRole", "ForwardedEvents", "InstanceProfile"}, 13},
	} {
		s := deployed(t, printed, org.HubAccount, tt.given)
		rules := 0
		var others []string
		for _, id := range slices.Sorted(maps.Keys(s.resources)) {
			switch {
			case strings.HasSuffix(id, "Rule"):
				rules++
			case id != "HubRole":
				others = append(others, id)
			}
		}
		role := text(s.resources["HubRole"])
		if d := cmp.Diff(tt.want, others); d != "" || rules != tt.rules || !strings.Contains(role, `"Principal":`+tt.trust) {
			t.Errorf("%s: %d rules; %s\n%s", name, rules, d, role)
		}
		if within := strings.Contains(role, `"aws:ResourceOrgID":"o-abcdefghij"`); within != (tt.given["OrganizationId"] != nil) {
			t.Errorf("%s: %s", name, role)
		}
	}
}
