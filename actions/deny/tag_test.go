package deny_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// ours knows the requests of this installation.
type ours []string

func (ours) Asked(context.Context, string) (time.Time, error)  { return time.Time{}, nil }
func (ours) Remember(context.Context, string, time.Time) error { return nil }
func (o ours) Began(_ context.Context, request string) bool    { return slices.Contains(o, request) }

// account is a session of an installation.
func account(t *testing.T, by actions.Installation, o ours) *actions.Account {
	t.Helper()
	w := actiontest.NewFixture(t)
	w.Org.Installation = by
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	w.Hub.SetNow(w.Clock.Now)
	w.Hub.SetMembers(o)
	return w.Responder()
}

const (
	run     = "KS-0123456789AB"
	earlier = "KS-AAAAAAAAAAAA" // of this installation, maybe before it had an ID
	foreign = "KS-BBBBBBBBBBBB@b"
	another = "KS-CCCCCCCCCCCC"
)

// TestTagHasTheMarksOfAll: a run adds its mark and takes it away again; marks of other installations stay, in
// whatever order they come and go.
func TestTagHasTheMarksOfAll(t *testing.T) {
	forged := strings.TrimSuffix(strings.Repeat(foreign+" ", 14), " ")
	for name, c := range map[string]struct {
		by                  actions.Installation
		before              string
		write               string // what the run writes, "" for nothing
		meanwhile, left     string // after others wrote, and after the undo
		drifted, unverified bool
	}{
		"alone":                          {by: "a", write: run + "@a", meanwhile: run + "@a"},
		"alone, without an ID":           {write: run, meanwhile: run},
		"something stood there":          {by: "a", before: "somebody's", write: run + "@a", meanwhile: run + "@a", left: "somebody's"},
		"another installation's":         {by: "a", before: foreign, write: foreign + " " + run + "@a", meanwhile: foreign + " " + run + "@a", left: foreign},
		"which ended since":              {by: "a", before: foreign, write: foreign + " " + run + "@a", meanwhile: run + "@a"},
		"which came since":               {by: "a", write: run + "@a", meanwhile: run + "@a " + foreign, left: foreign},
		"which came to what stood there": {by: "a", before: "somebody's", write: run + "@a", meanwhile: run + "@a " + foreign, left: "somebody's " + foreign},
		"of the one without an ID":       {by: "a", before: another, write: another + " " + run + "@a", meanwhile: another + " " + run + "@a", left: another},
		"ours, from before it had an ID": {by: "a", before: earlier, write: run + "@a", meanwhile: run + "@a", left: earlier},
		"ours, without an ID":            {before: earlier, write: run, meanwhile: run, left: earlier},
		"it has the mark":                {by: "a", before: run + "@a", meanwhile: run + "@a", left: run + "@a"},
		"forged marks fill it":           {by: "a", before: forged, write: run + "@a", meanwhile: run + "@a"},
		"somebody took it away":          {by: "a", write: run + "@a", unverified: true},
		"somebody wrote over it":         {by: "a", write: run + "@a", meanwhile: "mine", left: "mine", drifted: true, unverified: true},
	} {
		t.Run(name, func(t *testing.T) {
			acct := account(t, c.by, ours{earlier})
			wrote := ""
			e, err := deny.Mark(t.Context(), acct, text(c.before), actions.Step{Prior: text(c.before)}, actions.Run{RequestID: run}, func(v string) error { wrote = v; return nil })
			if err != nil || wrote != c.write || e.Changed != (c.write != "") {
				t.Fatalf("wrote %q, want %q; changed %t, %v", wrote, c.write, e.Changed, err)
			}
			if r := deny.VerifyTag(t.Context(), acct, text(c.meanwhile), e); r.Holds == c.unverified {
				t.Errorf("%q holds: %t", c.meanwhile, r.Holds)
			}
			left, drifted := deny.Unmark(t.Context(), acct, text(c.meanwhile), e)
			if drifted != c.drifted || !drifted && aws.ToString(left) != c.left {
				t.Errorf("left %q, want %q; drifted %t", aws.ToString(left), c.left, drifted)
			}
			if again, drifted := deny.Unmark(t.Context(), acct, left, e); !c.drifted && (drifted || c.write != "" && !deny.EqualContent(again, left)) {
				t.Errorf("reverted twice it is %q, drifted %t", aws.ToString(again), drifted)
			}
		})
	}
}

// text is a tag's value, nil for no tag.
func text(v string) *string {
	if v == "" {
		return nil
	}
	return &v
}
