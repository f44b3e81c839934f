package cards

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// constants are the values of all constants of a type of package approvals, as
// its source has them: a new one is found without a list to keep here.
func constants(t *testing.T, typ string) []string {
	t.Helper()
	files, err := filepath.Glob("../../approvals/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			name := spec.Type
			if other, ok := name.(*ast.SelectorExpr); ok {
				name = other.Sel
			}
			if id, ok := name.(*ast.Ident); !ok || id.Name != typ {
				return true
			}
			for _, v := range spec.Values {
				lit, ok := v.(*ast.BasicLit)
				if !ok {
					t.Fatalf("a %s in %s is no literal", typ, name)
				}
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, s)
			}
			return true
		})
	}
	if len(values) < 5 {
		t.Fatalf("only %d constants of type %s found: %v", len(values), typ, values)
	}
	return values
}

func TestEveryCodeHasWords(t *testing.T) {
	codes := constants(t, "Code")
	if !slices.Contains(codes, string(approvals.RetryOver)) || !slices.Contains(codes, string(approvals.UnknownPerson)) {
		t.Fatalf("codes are missing: %v", codes)
	}
	nobody := whyNot(actions.Violation{Code: "no_such_code"})
	if !strings.Contains(nobody, "no_such_code") {
		t.Errorf("an unknown code is not told: %s", nobody)
	}
	frame := strings.ReplaceAll(nobody, "no_such_code", "%s")
	seen := map[string]string{}
	for _, code := range codes {
		words := whyNot(actions.Violation{Code: actions.Code(code), Group: "leads", State: string(approvals.Expired), Have: 1, Need: 2})
		if words == fmt.Sprintf(frame, code) || strings.Contains(words, code) {
			t.Errorf("%s has no words of its own: %s", code, words)
		}
		if !strings.HasSuffix(words, ".") || strings.Contains(words, "%!") {
			t.Errorf("%s: %q is no sentence", code, words)
		}
		if other := seen[words]; other != "" {
			t.Errorf("%s and %s have the same words: %s", code, other, words)
		}
		seen[words] = code
	}
}

func TestWordsNameTheFacts(t *testing.T) {
	for name, c := range map[string]struct {
		why  actions.Violation
		want []string
	}{
		"requesters":           {actions.Violation{Code: approvals.NotRequester, Group: "responders"}, []string{"responders"}},
		"approvers":            {actions.Violation{Code: approvals.NotApprover, Group: "leads"}, []string{"leads"}},
		"state":                {actions.Violation{Code: approvals.NotOpen, State: string(approvals.Expired)}, []string{"expired"}},
		"too few":              {actions.Violation{Code: approvals.TooFewEligible, Group: "leads", Have: 1, Need: 2}, []string{"2 approvals", "leads", "has 1"}},
		"too few without some": {actions.Violation{Code: approvals.TooFewEligible, Group: "leads", Person: "bob", Have: 0, Need: 1}, []string{"1 approval,", "leads", "bob, whose own principal", "Add a person to that group", "let them ask for it", "break_glass: true"}},
		"too few: one":         {actions.Violation{Code: approvals.TooFewEligible, Group: "leads", Have: 0, Need: 1}, []string{"1 approval,", "leads", "has 0"}},
	} {
		got := whyNot(c.why)
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q lacks %q", name, got, w)
			}
		}
	}
	one, other := actions.Violation{Code: approvals.SelfApproval}, actions.Violation{Code: approvals.PastExpiry}
	if got := WhyNot(&actions.Refusal{Codes: []actions.Violation{one, other}, Reason: "And so on."}); got != whyNot(one)+" "+whyNot(other)+" And so on." {
		t.Errorf("two reasons: %s", got)
	}
}

// TestEveryStateIsTold: each state has a headline with more than its own name,
// buttons, and a card that a bare row is enough for.
func TestEveryStateIsTold(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range constants(t, "State") {
		v := View{Request: approvals.Request{ID: baseID, State: approvals.State(s), Intent: baseView().Request.Intent, Need: 1,
			Requester: approvals.Actor{Person: ana.ID, Slack: ana.Slack}, Asked: asked, Expires: after(time.Minute), Ended: asked}, Now: asked}
		line := v.headline()
		word := strings.ToUpper(s[:1]) + s[1:]
		told, ok := strings.CutPrefix(line, "*"+word)
		if _, words, cut := strings.Cut(told, "*"); !ok || !cut || len(strings.Trim(words, " :.")) < 10 {
			t.Errorf("%s: headline %q says no more than the state", s, line)
		}
		if seen[line] {
			t.Errorf("%s: headline %q is another state's", s, line)
		}
		seen[line] = true
		if len(v.buttons()) == 0 {
			t.Errorf("%s: no buttons", s)
		}
		if _, ok := wantButtons[s]; !ok {
			t.Errorf("%s: no expectation of buttons", s)
		}
		checkMessage(t, Card(v))
		Replies(v)
	}
}

// TestCardSaysWhatDecides: a card has the few lines that decide while somebody can still
// decide, what went wrong when it ran, and never the whole plan, which is in the thread.
func TestCardSaysWhatDecides(t *testing.T) {
	over := map[approvals.State]bool{approvals.Running: true, approvals.Refused: true, approvals.Undone: true}
	for _, s := range constants(t, "State") {
		v := baseView()
		ran(approvals.State(s), approvals.StepVerified, approvals.StepFailed)(&v)
		blocks := map[string]bool{}
		for _, b := range Card(v).Blocks {
			blocks[b.ID()] = true
		}
		state := v.Request.State
		decide := state == approvals.Pending || state == approvals.Approved
		if blocks["decide"] != decide || blocks["result"] != (!decide && !over[state]) || blocks["steps"] || blocks["residual"] {
			t.Errorf("%s: blocks %v", s, blocks)
		}
		planned := slices.ContainsFunc(Replies(v), func(r Reply) bool { return r.Key == "plan" })
		if planned != (state != approvals.Planning && state != approvals.Refused) {
			t.Errorf("%s: the plan is in the thread: %t", s, planned)
		}
	}
}

// TestEveryStepStateIsMarked: progress is told in words.
func TestEveryStepStateIsMarked(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range constants(t, "StepState") {
		got := mark(approvals.Step{State: approvals.StepState(s)})
		if (got == "") != (s == string(approvals.StepPlanned)) || seen[got] {
			t.Errorf("%s is marked %q", s, got)
		}
		seen[got] = true
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "no time", 0: "no time", time.Second: "1 s", 89 * time.Second: "89 s", 90 * time.Second: "1 min",
		89 * time.Minute: "89 min", 90 * time.Minute: "1 h", 48 * time.Hour: "48 h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestClock(t *testing.T) {
	at := time.Date(2026, 11, 2, 3, 14, 5, 999, time.FixedZone("CET", 3600))
	if got, want := clock(at), "02:14:05 UTC"; got != want {
		t.Errorf("clock = %s, want %s", got, want)
	}
}

func TestListed(t *testing.T) {
	items := func(n int) []string {
		var s []string
		for i := range n {
			s = append(s, fmt.Sprint(i))
		}
		return s
	}
	for n, want := range map[int]string{1: "• 0", 11: "• 10", 12: "… and 2 more", 5000: "… and 4990 more"} {
		got := listed(items(n))
		lines := strings.Split(got, "\n")
		if lines[len(lines)-1] != want || len(lines) != min(n, 11) {
			t.Errorf("listed(%d items) = %q, want it to end %q", n, got, want)
		}
	}
	if got := listed([]string{"1. a\nnow: b"}); got != "1. a\n    now: b" {
		t.Errorf("an item of two lines: %q", got)
	}
	if got := listed([]string{strings.Repeat("x", 500)}); len([]rune(got)) != maxItem+len([]rune("• ")) {
		t.Errorf("a long item has %d characters", len([]rune(got)))
	}
}

func TestSlackTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"limited":   {&slack.RateLimitedError{RetryAfter: 30 * time.Second}, "wait 30s"},
		"not there": {slack.SlackErrorResponse{Err: "not_in_channel"}, "/invite"},
		"scope":     {slack.SlackErrorResponse{Err: "missing_scope", Needed: "usergroups:read"}, "usergroups:read"},
		"token":     {slack.SlackErrorResponse{Err: "invalid_auth"}, "token"},
		"other":     {slack.SlackErrorResponse{Err: "fatal_error"}, "fatal_error"},
		"late":      {fmt.Errorf("post: %w", context.DeadlineExceeded), "in time"},
		"down":      {errors.New("connection refused at 10.0.0.1, token xoxb-1"), "can't be reached"},
	} {
		got := SlackTrouble(fmt.Errorf("wrapped: %w", c.err))
		if !strings.Contains(got, c.want) || strings.Contains(got, "xoxb") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
