package role_test

import (
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// world is a member account with a role, /app/victim.
type world struct{ *actiontest.Fixture }

func newWorld(t *testing.T, alter ...func(*awsfake.Role)) *world {
	t.Helper()
	return &world{actiontest.NewFixture(t, alter...)}
}

func worldAt(t *testing.T, c *actiontest.Clock, now func() time.Time, partition string, alter ...func(*awsfake.Role)) *world {
	t.Helper()
	return &world{actiontest.FixtureAt(t, c, now, partition, alter...)}
}

// ask makes the world about another action on the victim.
func (w *world) ask(name actions.Name, options map[string]string) *world {
	w.T.Helper()
	w.SetCall(actions.Call{Action: name, Target: w.Role, Account: actiontest.Member, Options: options}, w.Role)
	return w
}
