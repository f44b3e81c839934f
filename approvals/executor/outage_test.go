package executor_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// outage makes the nth access to a table fail, once: a read, or a write that is
// lost before or after it took effect.
type outage struct {
	at, n, writes int
	after         bool // only writes count, and take effect
	what          string
}

func (o *outage) read(what string) error {
	if o.after {
		return nil
	}
	return o.counts("read " + what)
}

func (o *outage) write(what string) error {
	if o.what == "" {
		o.writes++
	}
	return o.counts("write " + what)
}

func (o *outage) counts(what string) error {
	if o.n++; o.n == o.at {
		o.what = what
		return errOutage
	}
	return nil
}

// lives are what a request may go through. Each ends as it is said to, whatever was
// done twice; AWS is then as it was before.
var lives = map[string]struct {
	alter []func(*world)
	live  func(*world)
}{
	"a containment and its undo": {live: func(w *world) {
		r := w.bring(w.says(alice, revoke))
		w.comes(r, approvals.Pending)
		w.bring(w.button(bob, r, "approve"))
		w.comes(r, approvals.Contained)
		w.dropDeny() // and the re-checks mend it
		w.pass(3 * time.Minute)
		w.state(r, approvals.Contained)
		if run := w.run(r); len(run.Tampering) == 0 || run.Checks < 3 || w.policy("app-role") == "" {
			w.t.Errorf("%+v", run)
		}
		u := w.bring(w.button(alice, r, "undo"))
		w.comes(u, approvals.Pending)
		w.bring(w.button(bob, u, "approve"))
		w.comes(u, approvals.Restored)
		w.comes(r, approvals.Undone)
	}},
	"a failure, its retry and the undo of both": {live: func(w *world) {
		mend := w.breaks("iam:PutRolePolicy")
		r := w.bring(w.says(alice, revoke))
		w.comes(r, approvals.Pending)
		w.bring(w.button(bob, r, "approve"))
		w.comes(r, approvals.Partial)
		mend()
		w.clock.Add(time.Minute)
		w.bring(w.button(carol, r, "retry"))
		w.comes(r, approvals.Contained)
		mend = w.breaks("iam:UntagRole")
		u := w.bring(w.button(alice, r, "undo"))
		w.comes(u, approvals.Pending)
		w.bring(w.button(bob, u, "approve"))
		w.comes(u, approvals.Partial)
		w.comes(r, approvals.Partial)
		mend()
		w.clock.Add(time.Minute)
		w.bring(w.button(carol, u, "retry"))
		w.comes(u, approvals.Restored)
		w.comes(r, approvals.Undone)
	}},
	"many steps at once": {live: func(w *world) {
		m := manyAtOnce(w, 30, func(*manySteps) {})
		defer func() {
			if len(m.done) > 0 {
				w.t.Errorf("not taken back: %v", m.done)
			}
		}()
		r := w.bring(w.says(alice, revoke))
		w.comes(r, approvals.Pending)
		w.bring(w.button(bob, r, "approve"))
		w.comes(r, approvals.Contained)
		w.pass(2 * time.Minute)
		u := w.bring(w.button(alice, r, "undo"))
		w.comes(u, approvals.Pending)
		w.bring(w.button(bob, u, "approve"))
		w.comes(u, approvals.Restored)
		w.comes(r, approvals.Undone)
	}},
	"what is refused and what is denied": {live: func(w *world) {
		r := w.bring(w.says(alice, "revoke_sessions prod/no-role stolen"))
		w.comes(r, approvals.Refused)
		r = w.bring(w.says(alice, revoke))
		w.comes(r, approvals.Pending)
		w.bring(w.button(bob, r, "approve"))
		w.edit(r, func(r *approvals.Request) { r.Reason = "altered" })
		w.comes(r, approvals.Refused)
		r = w.bring(w.says(alice, anotherRevoke))
		w.comes(r, approvals.Pending)
		w.bring(w.button(bob, r, "deny"))
		w.comes(r, approvals.Denied)
		w.pass(time.Minute)
		w.toldOnce(r, "denied")
	}},
	"a key, its report and a rule": {alter: []func(*world){exposed, func(w *world) { w.findings = routing(false, true) }}, live: func(w *world) {
		w.saysGuardDuty(func(*guardDuty) {})
		r := w.bring(w.ruled(w.finding()))
		w.comes(r, approvals.Contained)
		u := w.bring(w.button(alice, r, "undo"))
		w.comes(u, approvals.Pending)
		w.bring(w.button(bob, u, "approve"))
		w.comes(u, approvals.Restored)
		w.comes(r, approvals.Undone)
		k := w.bring(w.says(alice, leakedKey))
		w.comes(k, approvals.Pending)
		w.bring(w.button(bob, k, "approve"))
		w.comes(k, approvals.Contained)
		w.pass(2 * time.Minute)
		if rep := w.reported(k); rep.Activity.Total != 60 || len(w.aws.Notices()) == 0 {
			w.t.Errorf("%+v, %d notices", rep, len(w.aws.Notices()))
		}
		u = w.bring(w.says(alice, "undo "+k.ID+" keys=reactivate it is over"))
		w.comes(u, approvals.Pending)
		w.bring(w.button(bob, u, "approve"))
		w.comes(u, approvals.Restored)
		w.comes(k, approvals.Undone)
	}},
}

// comes lets time pass until a request is in a state.
func (w *world) comes(r approvals.Request, s approvals.State) {
	w.t.Helper()
	w.drain()
	for range 60 {
		if w.again(r).State == s {
			return
		}
		w.pass(5 * time.Second)
	}
	w.state(r, s)
}

// TestOutageOfATableChangesNothing: whichever access to a table fails in the course of
// a request's life, and whether a lost write took effect or not: the job is delivered
// again, and the end is the same.
func TestOutageOfATableChangesNothing(t *testing.T) {
	t.Parallel()
	for name, l := range lives {
		live := func(t *testing.T, at int, after bool) *outage {
			w := newWorld(t, l.alter...)
			o := &outage{at: at, after: after}
			var mu sync.Mutex
			for _, s := range []*table{w.Requests, w.Runs} {
				s.reads = func(k approvals.Key) error {
					mu.Lock()
					defer mu.Unlock()
					return o.read(s.name + " " + k.Sort)
				}
				writes := func(puts []approvals.Put) error {
					mu.Lock()
					defer mu.Unlock()
					return o.write(s.name + " " + puts[0].Sort)
				}
				if s.writes = writes; after {
					s.writes, s.wrote = nil, writes
				}
			}
			before := w.aws.Snapshot()
			defer func() {
				if t.Failed() {
					t.Errorf("lost: %s", o.what)
				}
			}()
			l.live(w)
			w.asBefore(before)
			rs, err := w.table().Marked(t.Context(), approvals.MarkStale, "", 100) // all: no bot draws their cards
			w.must(err)
			for _, r := range rs {
				w.chain(r)
			}
			return o
		}
		accesses := live(t, 0, false).n
		t.Logf("%d accesses in the life of %s", accesses, name)
		step := thin.Every(t, 80, "the accesses that fail in the life of "+name)
		for at := 1; at <= accesses; at += step {
			t.Run(fmt.Sprintf("%s/%04d", name, at), func(t *testing.T) {
				t.Parallel()
				if o := live(t, at, false); strings.HasPrefix(o.what, "write") {
					live(t, o.writes, true)
				}
			})
		}
	}
}
