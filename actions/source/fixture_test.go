package source_test

import (
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// fixture is a member account with a role, /app/victim.
type fixture struct{ *actiontest.Fixture }

func fixtureAt(t *testing.T, c *actiontest.Clock, now func() time.Time, partition string, alter ...func(*awsfake.Role)) *fixture {
	t.Helper()
	return &fixture{actiontest.FixtureAt(t, c, now, partition, alter...)}
}
