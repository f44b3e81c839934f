package config

import (
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/toy"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

var update = flag.Bool("update", false, "write what follows from the actions and the sources into killswitch.schema.json")

// listed are the definitions of the schema that follow from the actions' Specs and the
// alerts' sources, each on a line of its own.
func listed(t *testing.T, catalog actions.Catalog, sources []finding.EventSource) map[string]string {
	type object map[string]any
	ref := func(def string) object { return object{"$ref": "#/$defs/" + def} }
	var names []actions.Name
	entries, options := object{}, object{"action": ref("action")}
	for _, a := range catalog {
		names = append(names, a.Spec().Name)
		entries[string(a.Spec().Name)] = ref("entry")
		for _, o := range a.Spec().Options {
			options[o] = object{"type": "string"}
		}
	}
	var products []finding.Source
	for _, s := range sources {
		products = append(products, s.Name)
	}
	lines := map[string]string{}
	for def, value := range map[string]object{
		"action":         {"enum": names},
		"source":         {"enum": products},
		"policy_actions": {"type": "object", "additionalProperties": false, "properties": entries},
		"suggestion":     {"type": "object", "additionalProperties": false, "required": []string{"action"}, "properties": options},
	} {
		b, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		lines[def] = string(b)
	}
	return lines
}

// withLists is a schema with the definitions that follow from actions and sources.
func withLists(t *testing.T, schema string, lines map[string]string) string {
	for def, line := range lines {
		place := regexp.MustCompile(`(?m)^    "` + def + `": \{.*\},$`)
		if !place.MatchString(schema) {
			t.Fatalf("no line for %s in the schema", def)
		}
		schema = place.ReplaceAllLiteralString(schema, `    "`+def+`": `+line+`,`)
	}
	return schema
}

// TestSchemaFollowsFromActionsAndSources: go test ./cmd/config -update writes it.
func TestSchemaFollowsFromActionsAndSources(t *testing.T) {
	want := withLists(t, string(Schema()), listed(t, all.Actions, finding.Sources()))
	if *update {
		if err := os.WriteFile("killswitch.schema.json", []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(string(Schema()), "\n")); d != "" {
		t.Errorf("killswitch.schema.json is stale, run go test ./cmd/config -update:\n%s", d)
	}
}

// TestSchemaTakesANewAction: an action that is in the list can be configured.
func TestSchemaTakesANewAction(t *testing.T) {
	lines := listed(t, append(slices.Clone(all.Actions), toy.CloseQueue{}), append(finding.Sources(), finding.EventSource{Name: "accessanalyzer"}))
	schema, err := compile([]byte(withLists(t, string(Schema()), lines)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/killswitch.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const first = "    - match: {source: guardduty"
	with := strings.Replace(string(text), first, "    - {match: {source: accessanalyzer}, suggest: [{action: close_queue, messages: kept}]}\n"+first, 1)
	c := &checker{settled: map[string]bool{}}
	if err := schema.compiled.Validate(c.parse([]byte(with)).plain()); err != nil || with == string(text) {
		t.Error(err)
	}
}
