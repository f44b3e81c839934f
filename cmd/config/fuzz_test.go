package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// FuzzParse proves of any text that it does not panic, that problems are in
// order and never repeat a secret, and that what loads can be worked with:
// whoever may ask can be given enough approvals.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example(f)))
	f.Add([]byte(minimal))
	for _, row := range wrong {
		f.Add([]byte(edit(f, example(f), row.edits...)))
	}
	for _, row := range notYAML {
		if len(row.text) < 2048 { // mutating large texts finds nothing
			f.Add([]byte(row.text))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("killswitch.yaml", data, beside)
		if err != nil {
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("error %T", err)
			}
			if diff := cmp.Diff(Config{}, cfg); diff != "" {
				t.Errorf("a configuration beside problems:\n%s", diff)
			}
			if !slices.IsSortedFunc(problems, func(a, b Problem) int { return a.Line - b.Line }) || problems[0].Line < 1 {
				t.Errorf("lines out of order:\n%v", problems)
			}
			if secret.MatchString(err.Error()) {
				t.Errorf("a secret is repeated:\n%v", problems)
			}
			return
		}
		checkUsable(t, cfg)
	})
}

func checkUsable(t *testing.T, cfg Config) {
	t.Helper()
	p := cfg.Policy
	entries := map[string]approvals.ActionPolicy{"default": p.Default, "undo": p.Undo}
	for name, e := range p.Actions {
		entries[string(name)] = e
	}
	for name, e := range entries {
		if e.ApproveWithin < time.Minute || e.RunWithin < time.Minute || len(p.Roster.Groups[e.Requesters]) == 0 {
			t.Errorf("%s: %+v", name, e)
		}
		for _, person := range p.Roster.Groups[e.Requesters] {
			only := approvals.Policy{Roster: p.Roster, Default: e}
			if d := only.Admit(approvals.Intent{}, actions.Identity{}, person, approvals.TwoPerson); d.Refusal != nil {
				t.Errorf("%s: %s is refused: %+v", name, person, d.Refusal)
			}
		}
	}
	if cfg.Team == "" || cfg.IncidentChannel == "" || cfg.Org.Partition == "" ||
		cfg.Org.HubAccount == "" || strings.EqualFold(cfg.Org.ResponderRole, cfg.Org.RestorerRole) || cfg.Retention <= 0 {
		t.Errorf("incomplete: %+v", cfg)
	}
	for _, r := range cfg.Alerts.Routes {
		if (r.OneClick || r.Delivery == finding.Auto) && len(r.Suggest) == 0 {
			t.Errorf("a route acts on anything: %+v", r)
		}
	}
}
