package memory_test

import (
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/memory"
	"github.com/killswitch-chatops/killswitch/approvals/storetest"
)

func TestStore(t *testing.T) {
	storetest.TestStore(t, func(*testing.T) approvals.Store { return memory.NewStore() })
}

func TestQueue(t *testing.T) {
	storetest.TestQueue(t, func(_ *testing.T, now func() time.Time) storetest.Queue { return memory.NewQueue(now) })
}
