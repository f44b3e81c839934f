package local_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/crashtest"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

type mortalStore struct {
	approvals.Store
	k    *crashtest.Killer
	name string
}

func (s mortalStore) Write(ctx context.Context, puts ...approvals.Put) error {
	return s.k.Around("write "+s.name+" "+puts[0].Sort, func() error { return s.Store.Write(ctx, puts...) })
}

type mortalQueue struct {
	local.Queue
	k    *crashtest.Killer
	name string
}

func (q mortalQueue) Send(ctx context.Context, body []byte, d time.Duration) error {
	return q.k.Around("send "+q.name, func() error { return q.Queue.Send(ctx, body, d) })
}

func (q mortalQueue) SendFor(ctx context.Context, group string, body []byte, delay time.Duration) error {
	return q.k.Around("send "+q.name, func() error { return q.Queue.SendFor(ctx, group, body, delay) })
}

func (q mortalQueue) Receive(ctx context.Context, v time.Duration) (d approvals.Delivery, ok bool, err error) {
	if d, ok, err = q.Queue.Receive(ctx, v); err == nil && ok {
		err = q.k.Point("receive " + q.name)
	}
	return d, ok && err == nil, err
}

func (q mortalQueue) Delete(ctx context.Context, d approvals.Delivery) error {
	return q.k.Around("delete "+q.name, func() error { return q.Queue.Delete(ctx, d) })
}

func (q mortalQueue) Return(ctx context.Context, d approvals.Delivery, pause time.Duration) error {
	return q.k.Around("return "+q.name, func() error { return q.Queue.Return(ctx, d, pause) })
}

func mortal(w *world, k *crashtest.Killer) {
	w.wrap = func(b local.Backends) local.Backends {
		b.Requests, b.Runs = mortalStore{b.Requests, k, "requests"}, mortalStore{b.Runs, k, "runs"}
		b.Slack, b.Jobs, b.Changes = mortalQueue{b.Slack, k, "slack"}, mortalQueue{b.Jobs, k, "jobs"}, mortalQueue{b.Changes, k, "changes"}
		b.Checks, b.Webhooks = mortalQueue{b.Checks, k, "checks"}, mortalQueue{b.Webhooks, k, "webhooks"}
		return b
	}
	w.aws.OnCall(func(c awsfake.Call) error { return k.Point(fmt.Sprintf("%s (%v)", c.Op, c.Phase)) })
	w.slack.OnCall(func(method string, after bool) error { return k.Point(fmt.Sprintf("%s (after: %v)", method, after)) })
}

// resurrect starts the process again on what it left behind.
func (w *world) resurrect(k *crashtest.Killer) {
	if !k.Revive() {
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
func (w *world) live(k *crashtest.Killer, what string, do func() int, reached func() bool) {
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
			if k.Dead() {
				break
			}
		}
		w.resurrect(k)
		w.clock.Add(5 * time.Second)
		_ = w.zones.Bot.Sweep(w.t.Context())
		for w.round() {
			if k.Dead() {
				break
			}
		}
		w.resurrect(k)
	}
	w.t.Fatalf("killed %s: %s never came about\n%s", k.Where(), what, w.said())
}

// lifeAndDeath walks the whole path, killed at one point; it returns how many
// points there were.
func lifeAndDeath(t *testing.T, at int, alter ...func(*world)) int {
	k := &crashtest.Killer{}
	w := newWorld(t, append(alter, func(w *world) { mortal(w, k) })...)
	before := w.aws.Snapshot()
	points, id, undo := w.walk(k, at)
	if d := diffState(before, w.aws.Snapshot()); d != "" {
		t.Errorf("killed %s: not as before: %s", k.Where(), d)
	}
	did := map[string]int{}
	for _, c := range w.aws.Calls() {
		if c.Applied && c.Phase == awsfake.After {
			did[c.Op]++
		}
	}
	for _, op := range []string{"iam:PutRolePolicy", "iam:DeleteRolePolicy"} {
		if did[op] != 1 {
			t.Errorf("killed %s: %s happened %d times", k.Where(), op, did[op])
		}
	}
	said := map[string]int{}
	for _, m := range w.slack.Messages(channel) {
		first, _, _ := strings.Cut(m.Text, " in account")
		said[first]++
	}
	for text, n := range said {
		if n != 1 {
			t.Errorf("killed %s: said %d times: %s", k.Where(), n, text)
		}
	}
	for _, r := range []string{id, undo} {
		if _, err := (approvals.Runs{Reader: w.Runs}).Audit(t.Context(), r); err != nil {
			t.Errorf("killed %s: %v", k.Where(), err)
		}
	}
	return points
}

// walk takes a request from its command to its undo, killed at one point (0: never).
func (w *world) walk(k *crashtest.Killer, at int) (points int, id, undo string) {
	w.t.Helper()
	k.Aim(at)
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
	w.live(k, "pending", func() int {
		d := w.slack.Command("U01ALICE", channel, "/killswitch", command)
		if strings.Contains(string(d.Body), "could not be stored") { // who reads that types it again
			return http.StatusServiceUnavailable
		}
		return d.Status
	},
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
	points = k.Aim(0)
	w.live(k, "the cards", func() int { return 200 }, func() bool { return !w.get(id).Stale() && !w.get(undo).Stale() })
	return points, id, undo
}

// TestProgramSurvivesAnyDeath: the process dies at any point of the path; the next start
// brings the same end, and nothing twice.
func TestProgramSurvivesAnyDeath(t *testing.T) {
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
