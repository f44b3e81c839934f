package approvals_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/memory"
)

// life is what the contract says of each state.
type life struct {
	state   approvals.State
	open    bool
	inForce bool
	next    []approvals.State
}

var lives = map[string]life{
	"planning":  {approvals.Planning, true, false, []approvals.State{approvals.Pending, approvals.Approved, approvals.Refused, approvals.Denied, approvals.Cancelled, approvals.Expired}},
	"pending":   {approvals.Pending, true, false, []approvals.State{approvals.Approved, approvals.Refused, approvals.Denied, approvals.Cancelled, approvals.Expired}},
	"approved":  {approvals.Approved, true, false, []approvals.State{approvals.Pending, approvals.Running, approvals.Refused, approvals.Denied, approvals.Cancelled, approvals.Expired}},
	"running":   {approvals.Running, true, false, []approvals.State{approvals.Contained, approvals.Restored, approvals.Partial, approvals.Failed}},
	"contained": {approvals.Contained, false, true, []approvals.State{approvals.Running, approvals.Partial, approvals.Undoing}},
	"partial":   {approvals.Partial, false, true, []approvals.State{approvals.Running, approvals.Contained, approvals.Undoing, approvals.Denied, approvals.Cancelled}},
	"failed":    {approvals.Failed, false, true, []approvals.State{approvals.Running, approvals.Undoing, approvals.Denied, approvals.Cancelled}},
	"undoing":   {approvals.Undoing, true, false, []approvals.State{approvals.Undone, approvals.Contained, approvals.Partial, approvals.Failed}},
	"restored":  {approvals.Restored, false, false, nil},
	"refused":   {approvals.Refused, false, false, nil},
	"denied":    {approvals.Denied, false, false, []approvals.State{approvals.Undoing}},
	"cancelled": {approvals.Cancelled, false, false, []approvals.State{approvals.Undoing}},
	"expired":   {approvals.Expired, false, false, nil},
	"undone":    {approvals.Undone, false, false, nil},
}

// states are the constants of type State, as the source declares them: one
// that is added can't be forgotten here.
func states(t *testing.T) []approvals.State {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "state.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []approvals.State
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "State" {
			return true
		}
		for _, v := range spec.Values {
			word, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, approvals.State(word))
		}
		return true
	})
	return all
}

func TestOnlyListedTransitionsAreAllowed(t *testing.T) {
	all := states(t)
	if len(all) != len(lives) {
		t.Errorf("%d states, the contract has %d", len(all), len(lives))
	}
	for _, s := range all {
		want, ok := lives[string(s)]
		if !ok || want.state != s {
			t.Errorf("%q is not a word of the contract", s)
			continue
		}
		if s.Open() != want.open || s.InForce() != want.inForce {
			t.Errorf("%s: open %t, in force %t", s, s.Open(), s.InForce())
		}
		if s.Open() && s.InForce() {
			t.Errorf("%s is both open and in force", s)
		}
		var next []approvals.State
		for _, to := range all {
			if s.May(to) {
				next = append(next, to)
			}
			r := approvals.Request{State: s, Revision: 4}
			err := r.To(to, asked)
			moved := err == nil && r.State == to && r.Stale() && r.Revision == 5 && r.Ended.Equal(asked) == !to.Open()
			stayed := err != nil && r.State == s && r.Revision == 4 && r.Ended.IsZero()
			if s.May(to) && !moved || !s.May(to) && !stayed {
				t.Errorf("%s to %s: %+v, %v", s, to, r, err)
			}
		}
		slices.Sort(next)
		slices.Sort(want.next)
		if !slices.Equal(next, want.next) {
			t.Errorf("%s may go to %v, want %v", s, next, want.next)
		}
		// A state that has no entry among the transitions can't be read back.
		table := approvals.Requests{Store: memory.NewStore()}
		r := approvals.Request{ID: "KS-4G7QX2M9ZT0B", State: s}
		if err := table.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if got, err := table.Get(t.Context(), r.ID); err != nil || got.State != s {
			t.Errorf("%s is read back as %q: %v", s, got.State, err)
		}
	}
	for _, s := range []approvals.State{"", "Pending", "done"} {
		if s.Open() || s.InForce() || slices.ContainsFunc(all, s.May) || slices.ContainsFunc(all, func(from approvals.State) bool { return from.May(s) }) {
			t.Errorf("%q is no state and has a life", s)
		}
	}
}
