package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/all"
)

var updateReadme = flag.Bool("update", false, "write the table of actions into README.md")

const readme = "../../README.md"

// TestReadmeTable: the README's table of actions is what the code does, and names each action's page.
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
	b.WriteString("| action | what it does | reversible |\n|---|---|---|\n")
	for _, a := range all.Actions {
		s := a.Spec()
		back := "yes"
		if !s.Reversible {
			back = "no"
		}
		fmt.Fprintf(&b, "| [`%s`](docs/actions/%[1]s.md) | %s | %s |\n", s.Name, s.Summary, back)
	}
	return b.String()
}
