package bolt_test

import (
	"path/filepath"
	"testing"
	"time"

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
