package alerts

import (
	"context"
	"fmt"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// PageDue returns the page that is due for a critical alert that nobody has answered for so
// long since people were called; it is empty if none is. Samples, mocks and drills have none.
func (t Table) PageDue(ctx context.Context, a Alert, after time.Duration, now time.Time) (due string, err error) {
	f := Shown(a.Reports)
	if a.Called.IsZero() || f.Severity < finding.Critical || f.Mark != "" || now.Sub(a.Called) < after {
		return "", nil
	}
	requests, err := t.Linked(ctx, a.Requests)
	if err != nil {
		return "", err
	}
	if a.Answered(f, requests) {
		return "", nil
	}
	return fmt.Sprintf("critical-%d", a.Called.Unix()), nil
}
