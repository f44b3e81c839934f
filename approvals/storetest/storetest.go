// Package storetest tests the contract of approvals.Store and of queues in this
// process. A new one needs one line of test.
package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
)

func put(part, sort string, version int64, body string, marks ...string) approvals.Put {
	return approvals.Put{Row: approvals.Row{Key: approvals.Key{Part: part, Sort: sort}, Version: version, Body: []byte(body), Marks: marks}}
}

// TestStore checks a store; open returns an empty one.
func TestStore(t *testing.T, open func(t *testing.T) approvals.Store) {
	t.Run("a row comes back as it was written", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		p := put("KS-1", "request", 0, `{"a":"<&>é"}`, "open", "stale")
		p.Expires = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
		must(t, s.Write(ctx, p))
		got, err := s.Get(ctx, p.Key)
		must(t, err)
		want := p.Row
		want.Version = 1
		got.Expires = got.Expires.UTC()
		slices.Sort(got.Marks)
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if _, err := s.Get(ctx, approvals.Key{Part: "KS-2", Sort: "request"}); !errors.Is(err, approvals.ErrNotFound) {
			t.Errorf("a missing row: %v", err)
		}
	})
	t.Run("a write is conditional on the version", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		must(t, s.Write(ctx, put("p", "s", 0, `1`)))
		for _, version := range []int64{0, 2, 7} {
			if err := s.Write(ctx, put("p", "s", version, `2`)); !errors.Is(err, approvals.ErrConflict) {
				t.Errorf("at version %d: %v", version, err)
			}
		}
		must(t, s.Write(ctx, put("p", "s", 1, `2`)))
		del := put("p", "s", 1, ``)
		del.Delete = true
		if err := s.Write(ctx, del); !errors.Is(err, approvals.ErrConflict) {
			t.Errorf("delete at an old version: %v", err)
		}
		del.Version = 2
		must(t, s.Write(ctx, del))
		if _, err := s.Get(ctx, del.Key); !errors.Is(err, approvals.ErrNotFound) {
			t.Errorf("after delete: %v", err)
		}
		must(t, s.Write(ctx, put("p", "s", 0, `3`)))
	})
	t.Run("a write is all or nothing", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		must(t, s.Write(ctx, put("p", "b", 0, `1`)))
		if err := s.Write(ctx, put("p", "a", 0, `1`), put("p", "b", 5, `2`), put("q", "c", 0, `1`)); !errors.Is(err, approvals.ErrConflict) {
			t.Fatalf("got %v", err)
		}
		for _, k := range []approvals.Key{{Part: "p", Sort: "a"}, {Part: "q", Sort: "c"}} {
			if _, err := s.Get(ctx, k); !errors.Is(err, approvals.ErrNotFound) {
				t.Errorf("%v: %v", k, err)
			}
		}
		if err := s.Write(ctx, put("p", "x", 0, `1`), put("p", "x", 0, `2`)); err == nil {
			t.Error("one row twice in a write: no error")
		}
		many := make([]approvals.Put, approvals.MaxPuts)
		for i := range many {
			many[i] = put("many", fmt.Sprint(i), 0, `1`)
		}
		must(t, s.Write(ctx, many...))
		if err := s.Write(ctx, append(many, put("many", "more", 0, `1`))...); err == nil {
			t.Error("too many rows: no error")
		}
	})
	t.Run("rows of a partition come in order, by page", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		for i := 25; i > 0; i-- {
			must(t, s.Write(ctx, put("p", fmt.Sprintf("step#%06d", i), 0, fmt.Sprint(i))))
		}
		must(t, s.Write(ctx, put("p", "run", 0, `1`), put("p", "steq", 0, `1`), put("pp", "step#000001", 0, `1`), put("p#",
			"step#000001", 0, `1`)))
		var got []string
		after := ""
		for {
			rows, err := s.Rows(ctx, "p", "step#", after, 10)
			must(t, err)
			for _, r := range rows {
				got = append(got, string(r.Body))
				after = r.Sort
			}
			if len(rows) < 10 {
				break
			}
		}
		var want []string
		for i := 1; i <= 25; i++ {
			want = append(want, fmt.Sprint(i))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
	t.Run("a row may have any size", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		large := func(i int) string {
			return strings.Repeat(fmt.Sprintf("<state> %d of what an attacker made, é", i), 5<<20/37)
		}
		read := func(part string, want ...string) {
			t.Helper()
			rows, err := s.Rows(ctx, part, "", "", 100)
			must(t, err)
			for i, r := range rows {
				again, err := s.Get(ctx, r.Key)
				must(t, err)
				if i >= len(want) || string(r.Body) != want[i] || string(again.Body) != want[i] || again.Version != r.Version {
					t.Errorf("%v: %d bytes at version %d, and %d at %d", r.Key, len(r.Body), r.Version, len(again.Body), again.Version)
				}
			}
			if len(rows) != len(want) {
				t.Errorf("%s has %d rows, want %d", part, len(rows), len(want))
			}
		}
		must(t, s.Write(ctx, put("KS-1", "step#000001", 0, large(1)), put("hold#1", "hold", 0, large(2)), put("KS-1", "audit#000001", 0, large(3)), put("KS-1", "run", 0, `1`)))
		read("KS-1", large(3), `1`, large(1))
		read("hold#1", large(2))
		if err := s.Write(ctx, put("KS-1", "run", 1, large(4)), put("hold#1", "hold", 0, large(4))); !errors.Is(err, approvals.ErrConflict) {
			t.Errorf("at an old version: %v", err)
		}
		must(t, s.Write(ctx, put("hold#1", "hold", 1, large(5), "open")))
		read("hold#1", large(5))
		rows, err := s.Marked(ctx, "open", approvals.Key{}, 10)
		must(t, err)
		if len(rows) != 1 || string(rows[0].Body) != large(5) {
			t.Errorf("%d rows have the mark", len(rows))
		}
		del := put("hold#1", "hold", 2, ``)
		del.Delete = true
		must(t, s.Write(ctx, del, put("KS-1", "step#000001", 1, `2`)))
		read("KS-1", large(3), `1`, `2`)
		read("hold#1")
		many := make([]approvals.Put, approvals.MaxPuts)
		var want []string
		for i := range many {
			want = append(want, strings.Repeat(fmt.Sprint(i%10), 50_000))
			many[i] = put("many", fmt.Sprintf("%03d", i), 0, want[i])
		}
		must(t, s.Write(ctx, many...))
		read("many", want...)
	})
	t.Run("marks are sparse and follow the row", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		marked := func(mark string) string {
			rows, err := s.Marked(ctx, mark, approvals.Key{}, 100)
			must(t, err)
			var parts []string
			for _, r := range rows {
				parts = append(parts, r.Part)
			}
			return strings.Join(parts, " ")
		}
		must(t, s.Write(ctx, put("b", "r", 0, `1`, "open"), put("a", "r", 0, `1`, "open", "stale"), put("c", "r", 0, `1`)))
		if got := marked("open") + "|" + marked("stale") + "|" + marked("other"); got != "a b|a|" {
			t.Errorf("got %q", got)
		}
		del := put("b", "r", 1, ``)
		del.Delete = true
		must(t, s.Write(ctx, put("a", "r", 1, `2`, "stale"), del, put("c", "r", 1, `2`, "open")))
		if got := marked("open") + "|" + marked("stale"); got != "c|a" {
			t.Errorf("got %q", got)
		}
		for i := range 9 {
			must(t, s.Write(ctx, put(fmt.Sprint(i), "r", 0, `1`, "page")))
		}
		first, err := s.Marked(ctx, "page", approvals.Key{}, 5)
		must(t, err)
		rest, err := s.Marked(ctx, "page", first[len(first)-1].Key, 5)
		must(t, err)
		if len(first) != 5 || len(rest) != 4 || rest[0].Part != "5" {
			t.Errorf("pages of %d and %d", len(first), len(rest))
		}
	})
	t.Run("partitions are listed once, in order, by their prefixes", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		l, is := s.(approvals.Lister)
		if !is {
			t.Fatal("it is no approvals.Lister")
		}
		must(t, s.Write(ctx, put("KS-2", "run", 0, `1`), put("KS-2", "plan", 0, `1`), put("KS-1", "audit#000001", 0, strings.Repeat("x", 300_000)), put("AL-1", "report", 0, `1`), put("statement#1", "audit", 0, `1`), put("K", "s", 0, `1`)))
		for want, prefixes := range map[string][]string{"[KS-1 KS-2 statement#1]": {"statement#", "KS-"}, "[KS-1 KS-2]": {"KS-"}, "[]": {"XX"}} {
			got, err := l.Parts(ctx, prefixes...)
			must(t, err)
			if fmt.Sprint(got) != want {
				t.Errorf("%q: %v, want %s", prefixes, got, want)
			}
		}
	})
	t.Run("of many writers at one version one wins", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		must(t, s.Write(ctx, put("p", "s", 0, `0`), put("lock", "s", 0, `0`)))
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				err := s.Write(ctx, put("p", "s", 1, fmt.Sprint(i)), put("lock", "s", 1, fmt.Sprint(i)), put("own", fmt.Sprint(i), 0, `1`))
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, approvals.ErrConflict):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		rows, err := s.Rows(ctx, "own", "", "", 300)
		must(t, err)
		a, err := s.Get(ctx, approvals.Key{Part: "p", Sort: "s"})
		must(t, err)
		b, err := s.Get(ctx, approvals.Key{Part: "lock", Sort: "s"})
		must(t, err)
		if won.Load() != 1 || lost.Load() != 199 || len(rows) != 1 || string(a.Body) != string(b.Body) {
			t.Errorf("%d won, %d lost, %d own rows, %s and %s", won.Load(), lost.Load(), len(rows), a.Body, b.Body)
		}
	})
}

// Queue is a queue with both ends.
type Queue interface {
	approvals.FairQueue
	approvals.Receiver
}

// TestQueue checks a queue; open returns an empty one on the given clock.
func TestQueue(t *testing.T, open func(t *testing.T, now func() time.Time) Queue) {
	ctx := t.Context()
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	q := open(t, func() time.Time { return now })
	next := func(want string) approvals.Delivery {
		t.Helper()
		d, ok, err := q.Receive(ctx, 30*time.Second)
		must(t, err)
		if string(d.Body) != want || ok != (want != "") {
			t.Fatalf("received %q (%v), want %q", d.Body, ok, want)
		}
		return d
	}
	next("")
	must(t, q.Send(ctx, []byte("later"), 5*time.Second))
	must(t, q.Send(ctx, []byte("now"), 0))
	d := next("now")
	next("") // in flight, and later is not due
	must(t, q.Delete(ctx, d))
	must(t, q.Delete(ctx, d)) // twice is fine
	now = now.Add(5 * time.Second)
	if d = next("later"); d.Receives != 1 {
		t.Errorf("received %d times", d.Receives)
	}
	now = now.Add(31 * time.Second) // nobody deleted it
	if d = next("later"); d.Receives != 2 {
		t.Errorf("received %d times", d.Receives)
	}
	must(t, q.Return(ctx, d, 2*time.Second))
	next("")
	now = now.Add(2 * time.Second)
	must(t, q.Delete(ctx, next("later")))
	if _, ok := q.Due(); ok {
		t.Error("something is left")
	}

	// However many messages one group has, another's waits for one of them.
	for i := range 300 {
		must(t, q.SendFor(ctx, "carol", fmt.Appendf(nil, "carol %d", i), 0))
	}
	now = now.Add(time.Second)
	must(t, q.Delete(ctx, next("carol 0")))
	must(t, q.SendFor(ctx, "alice", []byte("alice 0"), 0))
	must(t, q.SendFor(ctx, "bob", []byte("bob 0"), 0))
	must(t, q.SendFor(ctx, "alice", []byte("alice 1"), 0))
	for _, want := range []string{"alice 0", "bob 0", "carol 1", "alice 1", "carol 2"} {
		must(t, q.Delete(ctx, next(want)))
	}
	// What is received by one worker after the other is received once.
	for i := 3; i < 300; i++ {
		next(fmt.Sprintf("carol %d", i))
	}
	next("")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
