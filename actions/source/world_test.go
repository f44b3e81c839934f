package source_test

import (
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// world is a member account with a role, /app/victim.
type world struct{ *actiontest.Fixture }

func worldAt(t *testing.T, c *actiontest.Clock, now func() time.Time, partition string, alter ...func(*awsfake.Role)) *world {
	t.Helper()
	return &world{actiontest.FixtureAt(t, c, now, partition, alter...)}
}
