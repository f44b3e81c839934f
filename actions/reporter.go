package actions

import (
	"context"
	"time"
)

// Reporter is an action that has something to tell beside what it does. A
// report never changes an outcome.
type Reporter interface {
	Action
	// Report gathers it. What could not be read is said in it; an error means
	// that it is worth another try.
	Report(ctx context.Context, acct *Account, c Call, id Identity, now time.Time) (Activity, error)
}
