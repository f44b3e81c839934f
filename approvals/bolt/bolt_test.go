package bolt_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/bolt"
	"github.com/killswitch-chatops/killswitch/approvals/storetest"
)

func open(t *testing.T) *bolt.File {
	t.Helper()
	f, err := bolt.Open(filepath.Join(t.TempDir(), "killswitch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestStore(t *testing.T) {
	storetest.TestStore(t, func(t *testing.T) approvals.Store {
		s, err := open(t).Store("requests")
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestQueue(t *testing.T) {
	storetest.TestQueue(t, func(t *testing.T, now func() time.Time) storetest.Queue {
		q, err := open(t).Queue("jobs", now)
		if err != nil {
			t.Fatal(err)
		}
		return q
	})
}

// TestQueueOutlivesTheProcess: what was received and not deleted is due at once, the rest at
// its time, and groups still take turns.
func TestQueueOutlivesTheProcess(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "killswitch.db")
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	var q *bolt.Queue
	reopen := func() (end func()) {
		t.Helper()
		f, err := bolt.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if q, err = f.Queue("slack", func() time.Time { return now }); err != nil {
			t.Fatal(err)
		}
		return func() { _ = f.Close() }
	}
	receive := func() string {
		t.Helper()
		d, ok, err := q.Receive(ctx, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if ok && d.Receives == 2 {
			return string(d.Body) + " again"
		}
		return string(d.Body)
	}
	end := reopen()
	for _, err := range []error{
		q.SendFor(ctx, "carol", []byte("carol 0"), 0), q.SendFor(ctx, "carol", []byte("carol 1"), 0),
		q.SendFor(ctx, "alice", []byte("alice 0"), 0), q.Send(ctx, []byte("later"), time.Minute),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	first := receive()
	end()
	now = now.Add(time.Second)
	end = reopen()
	defer end()
	got := []string{first, receive(), receive(), receive(), receive()}
	now = now.Add(time.Minute)
	got = append(got, receive())
	if diff := cmp.Diff([]string{"carol 0", "carol 1", "alice 0", "carol 0 again", "", "later"}, got); diff != "" {
		t.Error(diff)
	}
}
