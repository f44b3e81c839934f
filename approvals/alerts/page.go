package alerts

import (
	"context"
	"errors"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// PageCritical is the page about a critical alert.
const PageCritical = "critical"

// PageDue reports whether a critical alert is unanswered for so long since people were
// called: it is no sample, mock or drill, nobody gave it a state, and no request that it led
// to is open or in force.
func (t Table) PageDue(ctx context.Context, a Alert, after time.Duration, now time.Time) (bool, error) {
	if f := Shown(a.Reports); a.Called.IsZero() || f.Severity < finding.Critical || f.Mark != "" || a.State != Open || a.Over || now.Sub(a.Called) < after {
		return false, nil
	}
	for _, l := range a.Requests {
		r, err := t.Requests.Get(ctx, l.Request)
		switch {
		case errors.Is(err, approvals.ErrNotFound):
		case err != nil || r.State.Open() || r.State.InForce():
			return false, err
		}
	}
	return true, nil
}
