package all_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
)

var updatePages = flag.Bool("update", false, "write docs/actions")

const pages = "../../docs/actions"

// TestPages: there is a page for each action, and it is what the action's Spec says.
func TestPages(t *testing.T) {
	var want []string
	for _, a := range all.Actions {
		name := string(a.Spec().Name) + ".md"
		want = append(want, name)
		t.Run(string(a.Spec().Name), func(t *testing.T) {
			file, text := filepath.Join(pages, name), pageOf(a)
			if *updatePages {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			is, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(text, string(is)); d != "" {
				t.Errorf("run go test ./actions/all -run TestPages -update: %s", d)
			}
		})
	}
	var is []string
	files, err := os.ReadDir(pages)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		is = append(is, f.Name())
	}
	slices.Sort(want)
	if d := cmp.Diff(want, is); d != "" {
		t.Errorf("pages of what is no action: %s", d)
	}
}

func pageOf(a actions.Action) string {
	var b strings.Builder
	line := func(format string, v ...any) { fmt.Fprintf(&b, format+"\n", v...) }
	s := a.Spec()
	line("<!-- Generated from the action's Spec: go test ./actions/all -run TestPages -update -->\n")
	line("# %s\n\n%s: %s.\n\n    /killswitch %s\n", s.Name, s.Title, s.Summary, s.Usage)
	line("| | |\n|---|---|")
	line("| target | %s |", cell(s.Target.Forms))
	line("| keys | %s |", keysOf(s))
	line("| approvals | %s |", approvalsOf(s))
	if s.Alternative != "" {
		line("| gentler | [%s](%s.md) |", s.Alternative, s.Alternative)
	}
	line("| AWS enforces it | %s |", s.Delay)
	line("| undo | %s |", cell(s.Undo))
	line("| where | %s |", whereOf(s))
	line("\n## What it does not stop\n")
	for _, text := range s.NotStopped {
		line("- %s", text)
	}
	line("\nThe card adds what it finds at the target.\n\n## Calls and permissions\n")
	line("Each is the call of AWS's API of the same name; but for iam:PassRole, which goes with the call that hands a role to EC2, TagResource, with CreatePolicy, and two of S3, whose calls are ListBuckets and GetBucketLifecycleConfiguration. The member roles have the union of these; each session is limited to its phase and target, and in it every write on the member roles themselves is denied.")
	for _, p := range []struct {
		phase actions.Phase
		head  string
	}{
		{actions.PhasePlan, "To plan it (responder): reads alone"}, {actions.PhaseRun, "To contain, and to look whether it holds (responder)"},
		{actions.PhaseUndo, "To take it back (restorer)"}, {actions.PhaseReport, "To report recent activity (responder)"},
	} {
		if permits := a.Spec().Permits(p.phase, actions.Anything(pageOrg)); len(permits) > 0 {
			line("\n### %s\n\n| permissions | on | under the condition |\n|---|---|---|", p.head)
			for _, st := range actions.Merge(permits, true) {
				line("| %s | %s | %s |", strings.Join(st.Actions, ", "), coded(st.Resources), conditionOf(st.Condition))
			}
		}
	}
	return b.String()
}

// pageOrg is an organization with the default names, and any account.
var pageOrg = actions.Org{Actions: all.Actions, Partition: "aws", ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer"}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func coded(words []string) string { return "`" + strings.Join(words, "`, `") + "`" }

func keysOf(s actions.Spec) string {
	var keys []string
	for _, k := range slices.Concat(s.Target.Options, s.Options) {
		keys = append(keys, k+"="+strings.Join(s.Values[k], " or "))
	}
	return coded(append(keys, `reason="…"`))
}

func approvalsOf(s actions.Spec) string {
	text := "as `policy.default` says"
	if s.Quorum > 0 {
		text = fmt.Sprintf("%d, unless the configuration says otherwise", s.Quorum)
	}
	unit := actions.TargetText{Text: "ou-ab12-11111111", Directory: actions.Directory{Partition: "aws"}}
	if t := s.Target.Read(unit, &actions.ParseErrors{}); (actions.Call{Target: t.Name}).OfUnit() {
		text += "; of an organizational unit or the root as `policy.units` says: 3, or as many as there are, unless the configuration says otherwise"
	}
	if !s.Reversible {
		text += "; it can't be undone"
	}
	if s.AutoEligible(actions.Call{Action: s.Name}) {
		text += "; a rule may ask for it without a second person, once its source confirms"
		if s.Irreversible != nil {
			text += ", unless an option takes away what undo can't bring back"
		}
	}
	return text
}

func whereOf(s actions.Spec) string {
	switch {
	case s.InOrganizations == nil:
		return "in the target's account"
	case s.InOrganizations(actions.Call{Action: s.Name}):
		return "in `aws.policy_account`, else in `aws.management_account`"
	}
	return "in the target's account; with `via=scp` in `aws.policy_account`, else in `aws.management_account`, where AWS enforces it " + actions.SCPDelay
}

func conditionOf(c actions.Condition) string {
	var tests []string
	for _, op := range slices.Sorted(maps.Keys(c)) {
		for _, key := range slices.Sorted(maps.Keys(c[op])) {
			tests = append(tests, op+" `"+key+"`: "+coded(c[op][key]))
		}
	}
	return strings.Join(tests, "; ")
}
