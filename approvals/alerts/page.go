package alerts

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// PageCritical is the page about a critical alert.
const PageCritical = "critical"

// PageDue returns since when a critical alert is unanswered: it is a real one, nobody gave
// it a state, and no request that it led to is open or in force. It returns false if that
// is not so, or not for so long.
func (t Table) PageDue(ctx context.Context, a Alert, after time.Duration, now time.Time) (since time.Time, due bool, err error) {
	since = cmp.Or(a.Critical, a.Received)
	if f := Shown(a.Reports); !critical(f) || f.Mark != "" || a.State != Open || a.Over || now.Sub(since) < after {
		return since, false, nil
	}
	for _, l := range a.Requests {
		r, err := t.Requests.Get(ctx, l.Request)
		switch {
		case errors.Is(err, approvals.ErrNotFound):
		case err != nil || r.State.Open() || r.State.InForce():
			return since, false, err
		}
	}
	return since, true, nil
}

func critical(f finding.Finding) bool { return finding.Level(f.Severity) == "critical" }
