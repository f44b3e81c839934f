package function_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// counts lists where each zone counts. Tests beside that code prove when it does.
var counts = map[string][]string{
	"bot":      {"bot", "cmd/bot", "cmd/function"},
	"executor": {"actions", "approvals/executor", "cmd/executor", "cmd/function"},
	"ingress":  {"cmd/ingress", "cmd/function"},
}

// counted is the names that the packages of a zone count under.
func counted(t *testing.T, zone string) (names []string) {
	t.Helper()
	for _, dir := range counts[zone] {
		files, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				var called string
				switch f := call.Fun.(type) {
				case *ast.Ident:
					called = f.Name
				case *ast.SelectorExpr:
					called = f.Sel.Name
				}
				for _, arg := range call.Args {
					if l, ok := arg.(*ast.BasicLit); ok && l.Kind == token.STRING && strings.EqualFold(called, "count") {
						name, err := strconv.Unquote(l.Value)
						if err != nil {
							t.Fatal(err)
						}
						names = append(names, name)
					}
				}
				return true
			})
		}
	}
	return names
}

// TestAlarmsAreOnWhatIsCounted: an alarm on a metric that nothing counts never goes off, or always.
func TestAlarmsAreOnWhatIsCounted(t *testing.T) {
	b, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]struct {
			Type       string    `yaml:"Type"`
			Properties yaml.Node `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(b, &template); err != nil {
		t.Fatal(err)
	}
	alarmed := map[[2]string]bool{} // metric and zone
	for name, r := range template.Resources {
		var p struct {
			Namespace  string `yaml:"Namespace"`
			MetricName string `yaml:"MetricName"`
			Dimensions []struct {
				Name  string    `yaml:"Name"`
				Value yaml.Node `yaml:"Value"`
			} `yaml:"Dimensions"`
		}
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		if err := r.Properties.Decode(&p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Namespace != "Killswitch" {
			continue
		}
		if len(p.Dimensions) != 1 || p.Dimensions[0].Name != "zone" { // Count's
			t.Fatalf("%s has the dimensions %v", name, p.Dimensions)
		}
		zone := p.Dimensions[0].Value.Value
		if !slices.Contains(counted(t, zone), p.MetricName) {
			t.Errorf("%s is on %s of the %s, which does not count it", name, p.MetricName, zone)
		}
		alarmed[[2]string{p.MetricName, zone}] = true
	}
	for _, want := range [][2]string{{"NotContained", "executor"}, {"RolesNotAssumed", "executor"}, {"SlackRefused", "bot"}, {"SlackUnavailable", "bot"}, {"Sweeps", "bot"},
		{"HealthChecks", "bot"}, {"HealthChecks", "executor"}, {"HealthFailed", "bot"}, {"HealthFailed", "executor"}, {"CanaryFailed", "bot"}, {"Forged", "ingress"}} {
		if !alarmed[want] {
			t.Errorf("no alarm on %s of the %s", want[0], want[1])
		}
	}
}
