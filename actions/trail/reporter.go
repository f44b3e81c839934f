package trail

import (
	"context"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Reporter is an action that also has a report. A report never changes an outcome.
type Reporter interface {
	actions.Action
	// Report returns the activity, which names unreadable parts. An error means that a
	// retry may succeed.
	Report(ctx context.Context, acct *actions.Account, c actions.Call, id actions.Identity, now time.Time) (Activity, error)
}
