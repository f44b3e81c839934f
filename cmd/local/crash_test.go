package local_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

var errDead = errors.New("the process is dead")

// reaper kills the process at the nth point: before or after any effect on a
// table, a queue, AWS or Slack. From then on nothing has an effect any more.
type reaper struct {
	mu   sync.Mutex
	at   int
	n    int
	dead bool
	what string
}

func (k *reaper) point(what string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return errDead
	}
	if k.n++; k.n == k.at {
		k.dead, k.what = true, what
		return errDead
	}
	return nil
}

// around runs an effect between two points.
func (k *reaper) around(what string, effect func() error) error {
	if err := k.point("before " + what); err != nil {
		return err
	}
	if err := effect(); err != nil {
		return err
	}
	return k.point("after " + what)
}

type mortalStore struct {
	approvals.Store
	k    *reaper
	name string
}

func (s mortalStore) Write(ctx context.Context, puts ...approvals.Put) error {
	return s.k.around("write "+s.name+" "+puts[0].Sort, func() error { return s.Store.Write(ctx, puts...) })
}

type mortalQueue struct {
	local.Queue
	k    *reaper
	name string
}

func (q mortalQueue) Send(ctx context.Context, body []byte, d time.Duration) error {
	return q.k.around("send "+q.name, func() error { return q.Queue.Send(ctx, body, d) })
}

func (q mortalQueue) Receive(ctx context.Context, v time.Duration) (d approvals.Delivery, ok bool, err error) {
	if d, ok, err = q.Queue.Receive(ctx, v); err == nil && ok {
		err = q.k.point("receive " + q.name)
	}
	return d, ok && err == nil, err
}

func (q mortalQueue) Delete(ctx context.Context, d approvals.Delivery) error {
	return q.k.around("delete "+q.name, func() error { return q.Queue.Delete(ctx, d) })
}

func (q mortalQueue) Return(ctx context.Context, d approvals.Delivery, pause time.Duration) error {
	return q.k.around("return "+q.name, func() error { return q.Queue.Return(ctx, d, pause) })
}

func mortal(w *world, k *reaper) {
	w.wrap = func(b local.Backends) local.Backends {
		b.Requests, b.Runs = mortalStore{b.Requests, k, "requests"}, mortalStore{b.Runs, k, "runs"}
		b.Slack, b.Jobs, b.Changes = mortalQueue{b.Slack, k, "slack"}, mortalQueue{b.Jobs, k, "jobs"}, mortalQueue{b.Changes, k, "changes"}
		return b
	}
	w.aws.OnCall(func(c awsfake.Call) error { return k.point(fmt.Sprintf("%s (%v)", c.Op, c.Phase)) })
	w.slack.OnCall(func(method string, after bool) error { return k.point(fmt.Sprintf("%s (after: %v)", method, after)) })
}

// resurrect starts the process again on what it left behind.
func (w *world) resurrect(k *reaper) {
	k.mu.Lock()
	dead := k.dead
	k.dead, k.at = false, 0
	k.mu.Unlock()
	if !dead {
		return
	}
	if w.file != nil {
		w.must(w.file.Close())
	}
	w.clock.Add(2 * time.Second)
	w.start()
}

// live does something as people do it: again, until it is acknowledged; and
// lets time pass, over the death of the process, until the end is reached.
func (w *world) live(k *reaper, what string, do func() int, reached func() bool) {
	w.t.Helper()
	acked := false
	for range 60 {
		if reached() {
			return
		}
		if !acked {
			acked = do() == 200
		}
		for w.round() {
			if k.isDead() {
				break
			}
		}
		w.resurrect(k)
		w.clock.Add(5 * time.Second)
		_ = w.zones.Bot.Sweep(w.t.Context())
		for w.round() {
			if k.isDead() {
				break
			}
		}
		w.resurrect(k)
	}
	w.t.Fatalf("killed %s: %s never came about\n%s", k.what, what, w.said())
}

func (k *reaper) isDead() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dead
}

// lifeAndDeath walks the whole path, killed at one point; it returns how many
// points there were.
func lifeAndDeath(t *testing.T, at int, alter ...func(*world)) int {
	k := &reaper{}
	w := newWorld(t, append(alter, func(w *world) { mortal(w, k) })...)
	before := w.aws.Snapshot()
	points, id, undo := w.walk(k, at)
	if d := diffState(before, w.aws.Snapshot()); d != "" {
		t.Errorf("killed %s: not as before: %s", k.what, d)
	}
	did := map[string]int{}
	for _, c := range w.aws.Calls() {
		if c.Applied && c.Phase == awsfake.After {
			did[c.Op]++
		}
	}
	for _, op := range []string{"iam:PutRolePolicy", "iam:DeleteRolePolicy"} {
		if did[op] != 1 {
			t.Errorf("killed %s: %s happened %d times", k.what, op, did[op])
		}
	}
	said := map[string]int{}
	for _, m := range w.slack.Messages(channel) {
		first, _, _ := strings.Cut(m.Text, " in account")
		said[first]++
	}
	for text, n := range said {
		if n != 1 {
			t.Errorf("killed %s: said %d times: %s", k.what, n, text)
		}
	}
	for _, r := range []string{id, undo} {
		if _, err := (approvals.Runs{Reader: w.Runs}).Audit(t.Context(), r); err != nil {
			t.Errorf("killed %s: %v", k.what, err)
		}
	}
	return points
}

// walk takes a request from its command to its undo, killed at one point (0: never).
func (w *world) walk(k *reaper, at int) (points int, id, undo string) {
	w.t.Helper()
	k.mu.Lock()
	k.at, k.n = at, 0
	k.mu.Unlock()
	find := func(want func(approvals.Request) bool) string {
		for id, r := range w.all() {
			if want(r) {
				return id
			}
		}
		return ""
	}
	is := func(id string, s approvals.State) func() bool {
		return func() bool { return id != "" && w.get(id).State == s }
	}
	click := func(user, id, action string) func() int {
		return func() int { return w.slack.Click(user, channel, w.get(id).Card.TS, action).Status }
	}
	w.live(k, "pending", func() int { return w.slack.Command("U01ALICE", channel, "/killswitch", command).Status },
		func() bool {
			id = find(func(r approvals.Request) bool { return r.State == approvals.Pending && r.Card.TS != "" })
			return id != ""
		})
	w.live(k, "contained", click("U02BOB", id, "approve"), is(id, approvals.Contained))
	w.live(k, "the undo", click("U01ALICE", id, "undo"), func() bool {
		undo = find(func(r approvals.Request) bool {
			return r.Intent.Undo == id && r.State == approvals.Pending && r.Card.TS != ""
		})
		return undo != ""
	})
	w.live(k, "restored", click("U02BOB", undo, "approve"), is(undo, approvals.Restored))
	w.live(k, "undone", func() int { return 200 }, is(id, approvals.Undone))
	k.mu.Lock()
	points = k.n
	k.mu.Unlock()
	w.live(k, "the cards", func() int { return 200 }, func() bool { return !w.get(id).Stale() && !w.get(undo).Stale() })
	return points, id, undo
}

// TestKilledAnywhere: the process dies at any point of the path; the next start
// brings the same end, and nothing twice.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	points := lifeAndDeath(t, 0)
	if points < 100 {
		t.Fatalf("only %d points", points)
	}
	t.Logf("%d points", points)
	for name, alter := range stores {
		n := 20
		if name != "memory" {
			n = 100
		}
		step := thin.Every(t, n, "the deaths of the whole program, "+name)
		for at := 1; at <= points; at += step {
			t.Run(fmt.Sprintf("%s/%03d", name, at), func(t *testing.T) {
				t.Parallel()
				lifeAndDeath(t, at, alter...)
			})
		}
	}
}
