package trail

import (
	"context"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Reporter is an action that has something to tell beside what it does. A
// report never changes an outcome.
type Reporter interface {
	actions.Action
	// Report gathers it. What could not be read is said in it; an error means
	// that it is worth another try.
	Report(ctx context.Context, acct *actions.Account, c actions.Call, id actions.Identity, now time.Time) (Activity, error)
}
