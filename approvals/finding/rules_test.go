package finding

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

// pattern is what a rule takes; the elements that are no texts are as fmt prints them.
type pattern struct{ source, eventSource, eventName []string }

// rulesOf are the patterns of a template's rules.
func rulesOf(t *testing.T, file string) map[string]pattern {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]struct {
			Properties struct {
				EventPattern struct {
					Source []any
					Detail struct {
						EventSource []any `yaml:"eventSource"`
						EventName   []any `yaml:"eventName"`
					}
				} `yaml:"EventPattern"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(b, &template); err != nil {
		t.Fatal(err)
	}
	printed := func(list []any) (all []string) {
		for _, v := range list {
			all = append(all, fmt.Sprint(v))
		}
		return all
	}
	rules := map[string]pattern{}
	for name, r := range template.Resources {
		p := r.Properties.EventPattern
		rules[name] = pattern{printed(p.Source), printed(p.Detail.EventSource), printed(p.Detail.EventName)}
	}
	return rules
}

// TestRulesTakeTheLists: what is on the list `change` is in the rule of its table, and nothing else is;
// no call is in two tables.
func TestRulesTakeTheLists(t *testing.T) {
	listed := maps.Clone(iamChanges)
	maps.DeleteFunc(listed, func(_ string, c change) bool { return c.listed == nil })
	tables := map[string]map[string]change{"DefencesRule": defences, "AccessRule": accesses, "SharingRule": sharings, "SignInRule": signIns, "ListedRoleChangesRule": listed}
	if n := len(iamChanges) + len(defences) + len(accesses) + len(sharings) + len(signIns); n != len(changes) {
		t.Errorf("%d calls in the tables, %d in all", n, len(changes))
	}
	for _, file := range []string{"../../template.yaml", "../../deploy/forwarder.yaml"} {
		rules := rulesOf(t, file)
		for rule, table := range tables {
			var want, got []string
			for key, c := range table {
				service, call, _ := strings.Cut(key, ":")
				if service == "lambda" { // the version follows
					call = fmt.Sprint(map[string]string{"prefix": call})
				}
				want = append(want, "aws."+service, call)
				if c.listed == nil {
					t.Errorf("%s is never listed, and its service is not IAM", key)
				}
			}
			got = append(rules[rule].source, rules[rule].eventName...)
			slices.Sort(want)
			slices.Sort(got)
			if d := cmp.Diff(slices.Compact(want), got); d != "" {
				t.Errorf("%s, %s (-table +rule):\n%s", file, rule, d)
			}
		}
	}
}
