package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// only is the one request that there is.
func (w *world) only() approvals.Request {
	w.t.Helper()
	all := w.all()
	for _, r := range all {
		if len(all) == 1 {
			return r
		}
	}
	w.t.Fatalf("%d requests", len(all))
	return approvals.Request{}
}

// hangs lets a plan be begun, and the world go on while its first call to AWS
// hangs; answer is what that call brings at last.
func (w *world) hangs(meanwhile func(), answer error) {
	w.t.Helper()
	w.slack.Command("U01ALICE", channel, "/killswitch", command)
	_, err := w.zones.Pumps[0].Once(w.t.Context())
	w.must(err)
	hung := false
	w.aws.OnCall(func(c awsfake.Call) error {
		if hung || c.Op != "iam:GetRole" || c.Phase != awsfake.Before {
			return nil
		}
		hung = true
		meanwhile()
		return answer
	})
	_, _ = w.zones.Pumps[1].Once(w.t.Context())
	if !hung {
		w.t.Fatal("nothing hung")
	}
}

// TestOvertakenPlan: a worker whose plan another one overtook must write
// nothing, whatever it found.
func TestOvertakenPlan(t *testing.T) {
	for name, answer := range map[string]error{"a plan": nil, "a no": apiError("AccessDenied"), "trouble": apiError("Throttling")} {
		for _, state := range []approvals.State{approvals.Pending, approvals.Contained} {
			t.Run(name+", when the request is "+string(state), func(t *testing.T) {
				w := newWorld(t)
				var r approvals.Request
				var rows []approvals.Row
				w.hangs(func() {
					w.clock.Add(31 * time.Second) // the first worker's lease is over
					w.must(w.zones.Bot.Sweep(t.Context()))
					w.drain()
					r = w.state(w.only(), approvals.Pending)
					if state == approvals.Contained {
						w.clicks("U02BOB", r, "approve")
						w.state(r, approvals.Contained)
					}
					rows = mustRows(t, w.Runs, r.ID)
				}, answer)
				if d := cmp.Diff(rows, mustRows(t, w.Runs, r.ID)); d != "" {
					t.Errorf("it wrote: %s", d)
				}
				w.drain()
				w.state(r, state)
				if state == approvals.Pending {
					w.clicks("U02BOB", r, "approve")
				}
				w.pass(2 * time.Minute)
				w.state(r, approvals.Contained)
				w.undo(r)
				w.quiet()
			})
		}
	}
}

// TestOnePlansAtATime: a job that comes again while its plan is being made is
// nothing to do.
func TestOnePlansAtATime(t *testing.T) {
	w := newWorld(t)
	looks := 0
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == "iam:GetRole" && c.Phase == awsfake.Before {
			looks++
		}
		return nil
	})
	w.hangs(func() {
		w.clock.Add(20 * time.Second) // overdue for the sweep, and the lease goes on
		w.must(w.zones.Bot.Sweep(t.Context()))
		w.drain()
		w.state(w.only(), approvals.Planning)
	}, nil)
	w.drain()
	w.state(w.only(), approvals.Pending)
	if looks != 1 {
		t.Errorf("%d workers looked", looks)
	}
}

// TestTroubleWhilePlanning: what AWS can't do just now must not end a request;
// its card says what it waits for, and it goes on when AWS is back.
func TestTroubleWhilePlanning(t *testing.T) {
	for _, op := range []string{"sts:AssumeRole", "iam:GetRole"} {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t)
			down := true
			w.answers(op, apiError("Throttling"), func() bool { return down })
			r := w.state(w.asks("U01ALICE", command), approvals.Planning)
			w.pass(2 * time.Minute)
			w.state(r, approvals.Planning)
			w.shows(r, "it is tried again. Throttling: not just now")
			down = false
			w.pass(2 * time.Minute)
			r = w.state(r, approvals.Pending)
			if card := w.card(r); strings.Contains(card, "Throttling") || r.Why != "" {
				t.Errorf("the trouble is still there: %q, %s", r.Why, card)
			}
			w.clicks("U02BOB", r, "approve")
			w.state(r, approvals.Contained)
			w.quiet()
		})
	}
	t.Run("without the sweep", func(t *testing.T) { // the job itself comes again, and is not dropped for its own last try
		w := newWorld(t)
		down := true
		w.answers("iam:GetRole", apiError("Throttling"), func() bool { return down })
		r := w.state(w.asks("U01ALICE", command), approvals.Planning)
		down = false
		w.clock.Add(2 * time.Second)
		w.drain()
		w.state(r, approvals.Pending)
	})
	t.Run("of an undo", func(t *testing.T) {
		w := newWorld(t)
		r := w.contained(command)
		w.pass(2 * time.Minute)
		down := true
		w.answers("sts:AssumeRole", apiError("ServiceUnavailable"), func() bool { return down })
		w.clicks("U03CAROL", w.again(r), "undo")
		u := w.state(w.undoOf(r), approvals.Planning)
		w.pass(time.Minute)
		w.shows(u, "ServiceUnavailable")
		down = false
		w.pass(2 * time.Minute)
		w.state(u, approvals.Pending)
	})
}
