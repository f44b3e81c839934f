package role_test

import (
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// fixture is a member account with a role, /app/victim.
type fixture struct{ *actiontest.Fixture }

func newFixture(t *testing.T, alter ...func(*awsfake.Role)) *fixture {
	t.Helper()
	return &fixture{actiontest.NewFixture(t, alter...)}
}

func fixtureAt(t *testing.T, c *actiontest.Clock, now func() time.Time, partition string, alter ...func(*awsfake.Role)) *fixture {
	t.Helper()
	return &fixture{actiontest.FixtureAt(t, c, now, partition, alter...)}
}

// ask makes the fixture about another action on the victim.
func (w *fixture) ask(name actions.Name, options map[string]string) *fixture {
	w.T.Helper()
	w.SetCall(actions.Call{Action: name, Target: w.Role, Account: actiontest.Member, Options: options}, w.Role)
	return w
}
