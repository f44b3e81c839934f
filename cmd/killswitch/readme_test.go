package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
)

var updateReadme = flag.Bool("update", false, "write the table of actions into README.md")

const readme = "../../README.md"

// TestReadmeTable: the README's table of actions is what the code does and needs.
func TestReadmeTable(t *testing.T) {
	const from, to = "<!-- actions -->\n", "<!-- /actions -->"
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), from)
	table, tail, closed := strings.Cut(rest, to)
	if !ok || !closed {
		t.Fatalf("%s has no table of actions", readme)
	}
	want := actionTable()
	if *updateReadme {
		if err := os.WriteFile(readme, []byte(head+from+want+to+tail), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, table); d != "" {
		t.Errorf("run go test ./cmd/killswitch -run TestReadmeTable -update: %s", d)
	}
}

func actionTable() string {
	var b strings.Builder
	b.WriteString("| action | what it does | reversible | responder may | restorer may |\n|---|---|---|---|---|\n")
	for _, a := range all.Actions {
		s := a.Spec()
		back := "yes"
		if !s.Reversible {
			back = "no"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.Name, s.Summary, back,
			permissions(a, actions.PhasePlan, actions.PhaseRun, actions.PhaseReport), permissions(a, actions.PhaseUndo))
	}
	return b.String()
}

// permissions lists them by service: "iam: GetRole, TagRole".
func permissions(a actions.Action, phases ...actions.Phase) string {
	by := map[string][]string{}
	for _, p := range phases {
		for _, s := range actions.Permits(a, p, actions.Anything(actions.Org{Partition: "aws"})) {
			for _, act := range s.Actions {
				if s.Deny {
					continue
				}
				service, op, _ := strings.Cut(act, ":")
				if !slices.Contains(by[service], op) {
					by[service] = append(by[service], op)
				}
			}
		}
	}
	var parts []string
	for _, service := range slices.Sorted(maps.Keys(by)) {
		slices.Sort(by[service])
		parts = append(parts, "`"+service+"`: "+strings.Join(by[service], ", "))
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, "; ")
}
