package executor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// list is one content that all targets share, such as a policy that names principals. As
// in AWS, each write replaces the whole of it, on no condition.
type list struct {
	actions.Action
	content string
	writing func() // is called between an Apply's decision and its write
	lost    bool   // a write left out a share that stood there
	failing bool
}

func (l *list) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	p, err := l.Action.Plan(ctx, acct, c)
	now := l.content
	p.Steps, p.More = []actions.Step{{ID: "list", Title: "Put it on the list", Current: now, After: "on the list", Hold: "list", Share: actions.LastPart(c.Target),
		Resource: c.Target, ResourceID: p.Identity.ID, Goal: "list", Prior: &now}}, false
	return p, err
}

func (l *list) Apply(_ context.Context, _ *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	wrote := strings.Join(run.Shares, " ")
	if writing := l.writing; writing != nil {
		l.writing = nil
		writing()
	}
	if l.failing {
		return actions.Effect{Prior: s.Prior}, apiError("AccessDenied")
	}
	l.lost = l.lost || strings.Contains(l.content, "batch") && !strings.Contains(wrote, "batch")
	e := actions.Effect{Prior: s.Prior, Wrote: &wrote, Changed: l.content != wrote}
	l.content = wrote
	return e, nil
}

func (l *list) Verify(_ context.Context, _ *actions.Account, _ actions.Step, e actions.Effect) (actions.Reading, error) {
	return actions.Reading{Holds: e.Wrote != nil && l.content == *e.Wrote, Found: l.content}, nil
}

func (l *list) Revert(_ context.Context, _ *actions.Account, _ actions.Step, e actions.Effect) (actions.Reading, error) {
	switch l.content {
	case *e.Prior:
		return actions.Reading{Holds: true}, nil
	case *e.Wrote:
		l.content = *e.Prior
		return actions.Reading{Holds: true, Changed: true}, nil
	}
	return actions.Reading{Found: l.content}, nil
}

// newList is a world with two roles whose containment writes a list.
func newList(t *testing.T) (*world, *list) {
	t.Helper()
	w := newWorld(t, func(w *world) {
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "batch"})
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "other"})
	})
	genuine, _ := catalog.Lookup(actions.RevokeSessions)
	l := &list{Action: genuine, content: "as it was"}
	w.executor.Actions = func(actions.Name) (actions.Action, bool) { return l, true }
	return w, l
}

const revokeBatch = `revoke_sessions prod/batch reason="the same session"`

// TestSharedContentIsBuiltFromItsHolders: each holder's part is in it, the undo of one
// takes its part out, and that of the last restores what was there first.
func TestSharedContentIsBuiltFromItsHolders(t *testing.T) {
	t.Parallel()
	w, l := newList(t)
	want := func(content string) {
		t.Helper()
		if l.content != content {
			t.Errorf("it is %q, want %q", l.content, content)
		}
	}
	one := w.contained(revoke)
	want("app-role")
	two := w.contained(revokeBatch)
	want("app-role batch")
	w.pass(2 * time.Minute)
	w.state(one, approvals.Contained)
	w.state(two, approvals.Contained)
	want("app-role batch")
	w.undo(one)
	want("batch")
	w.pass(2 * time.Minute)
	three := w.contained(revoke)
	want("app-role batch")
	w.undo(two)
	want("app-role")
	w.undo(three)
	want("as it was")
}

// TestSharedContentLosesNoWriter: while one request writes, another wants to. The write
// that was decided first comes last.
func TestSharedContentLosesNoWriter(t *testing.T) {
	t.Parallel()
	for name, undo := range map[string]bool{"contain": false, "undo": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, l := newList(t)
			var first approvals.Request
			if undo {
				first = w.contained(revoke)
				w.contained(`revoke_sessions prod/other reason="a third"`)
				w.pass(2 * time.Minute)
			}
			second := w.state(w.types(alice, revokeBatch), approvals.Pending)
			w.bring(w.button(carol, second, "approve"))
			w.clears()
			other := w.worker()
			other.Actions = w.executor.Actions
			other.Sleep = func(context.Context, time.Duration) error { return context.Canceled } // it would outwait the lock
			l.writing = func() {
				if err := other.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: second.ID}); err == nil {
					t.Error("the other request did not wait")
				}
			}
			want := "app-role batch"
			if undo {
				w.clicks(bob, w.asksUndo(first), "approve")
				want = "batch other"
			} else {
				w.contained(revoke)
			}
			if l.lost {
				t.Error("a share was lost")
			}
			w.pass(2 * time.Minute)
			w.state(second, approvals.Contained)
			if l.content != want {
				t.Errorf("it is %q, want %q", l.content, want)
			}
		})
	}
}

// TestWriterOfSharedContentDies between its write and its record: another request waits
// until its lock ends, and then writes for both.
func TestWriterOfSharedContentDies(t *testing.T) {
	t.Parallel()
	w, l := newList(t)
	r := w.state(w.types(alice, revoke), approvals.Pending)
	ctx, cancel := context.WithCancel(t.Context())
	w.bring(w.button(bob, r, "approve"))
	l.writing = cancel
	_ = w.executor.Handle(ctx, approvals.Job{Verb: approvals.JobRun, ID: r.ID})
	w.clears()
	second := w.state(w.types(alice, revokeBatch), approvals.Pending)
	w.clicks(carol, second, "approve")
	w.pass(3 * time.Minute)
	w.state(second, approvals.Contained)
	w.state(r, approvals.Contained)
	if l.content != "app-role batch" {
		t.Errorf("it is %q", l.content)
	}
}

// TestDeniedRequestHasNoShare: what failed and was denied is not written for it by others.
func TestDeniedRequestHasNoShare(t *testing.T) {
	t.Parallel()
	w, l := newList(t)
	l.failing = true
	one := w.clicks(bob, w.types(alice, revoke), "approve")
	l.failing = false
	w.pass(time.Minute)
	one = w.state(one, approvals.Failed)
	w.clicks(carol, one, "deny")
	w.pass(time.Minute)
	w.state(one, approvals.Denied)
	two := w.contained(revokeBatch)
	if l.content != "batch" {
		t.Errorf("it is %q", l.content)
	}
	w.pass(2 * time.Minute)
	w.undo(two)
	if l.content != "as it was" {
		t.Errorf("it is %q", l.content)
	}
}
