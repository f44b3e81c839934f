package actions_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
)

// TestPlanIsBounded: whatever an attacker names, and however often.
func TestPlanIsBounded(t *testing.T) {
	t.Parallel()
	p := actions.Plan{Undo: "puts it back", Snapshot: strings.Repeat("x", 1<<20), Facts: []actions.Fact{{Label: "Profiles", Text: strings.Repeat("é<, ", 64<<10)}}}
	for range 5000 {
		p.Facts = append(p.Facts, actions.Fact{Label: "Target group", Text: "short"})
		p.Warnings, p.Residual = append(p.Warnings, strings.Repeat("w", 5000)), append(p.Residual, strings.Repeat("r", 5000))
	}
	b, err := json.Marshal(p.Bounded())
	if err != nil || len(b) > 300<<10 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if bounded := p.Bounded(); bounded.Facts[1].Text != "short" || bounded.Facts[len(bounded.Facts)-1].Text != "4901 more" || bounded.Warnings[100] != "… and 4900 more" {
		t.Errorf("%q %q", bounded.Facts, bounded.Warnings)
	}
	if short := (actions.Plan{Warnings: []string{"one"}}).Bounded(); len(short.Warnings) != 1 || short.Warnings[0] != "one" || short.Facts != nil {
		t.Errorf("%+v", short)
	}
}
