package finding

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/killswitch-chatops/killswitch/actions"
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
	listed := iamChanges()
	maps.DeleteFunc(listed, func(_ string, c change) bool { return c.listed == nil })
	tables := map[string]map[string]change{"DefencesRule": defences(), "AccessRule": accesses(), "SharingRule": sharings(), "SignInRule": signIns(), "ListedRoleChangesRule": listed}
	if n := len(iamChanges()) + len(defences()) + len(accesses()) + len(sharings()) + len(signIns()); n != len(changes()) {
		t.Errorf("%d calls in the tables, %d in all", n, len(changes()))
	}
	for _, file := range []string{"../../template.yaml", "../../deploy/members.yaml"} {
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

// TestStratusTableIsTrue: each call that docs/stratus.md says to be an alert is on the list, with the
// severity of a user's call, and the table has all 44 techniques.
func TestStratusTableIsTrue(t *testing.T) {
	b, err := os.ReadFile("../../docs/stratus.md")
	if err != nil {
		t.Fatal(err)
	}
	techniques := actions.NewPattern(`^\| ([a-z-]+\.[a-z0-9-]+) \|`)
	alerts, n := regexp.MustCompile(`CloudTrail: ([a-z0-9-]+:[A-Za-z0-9]+), ([0-9])`), 0
	table, _, _ := strings.Cut(string(b), "\n## What a trace finds")
	for line := range strings.Lines(table) {
		if techniques.MatchString(line) {
			n++
		}
		for _, g := range alerts.FindAllStringSubmatch(line, -1) {
			c := changes()[g[1]]
			example, ok := examples[g[1]]
			user := c.severity
			if ok {
				user = one(t, Reader{Org: org}, call(t, ctUser, g[1], example.request, example.answer, nil)).Severity
			} else if c.mild != nil && c.mild(apiCall{caller: actor{kind: ofUser}}) {
				user = everydaySeverity
			}
			if c.listed == nil || fmt.Sprint(user) != g[2] && fmt.Sprint(user-1) != g[2] { // an example may be one to everybody
				t.Errorf("%s: severity %v, the table says %s", g[1], user, g[2])
			}
		}
	}
	if n != 44 {
		t.Errorf("%d techniques", n)
	}
}
