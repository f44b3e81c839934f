package bot

import (
	"context"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
)

// noRequests is a store that can't list requests.
type noRequests struct{ approvals.Store }

func (s noRequests) Marked(ctx context.Context, mark string, after approvals.Key, limit int) ([]approvals.Row, error) {
	if mark != approvals.MarkAlert {
		return nil, errBroken
	}
	return s.Store.Marked(ctx, mark, after, limit)
}

// TestSweepOfAlertsNeedsNoRequests: where the requests can't be read, alerts are looked after all
// the same.
func TestSweepOfAlertsNeedsNoRequests(t *testing.T) {
	for range 200 { // the halves begin in any order
		atDesk(t, func(t *testing.T, d *desk) {
			d.hears(gdFinding(1))
			d.clicks(ben.Slack, d.row(gdFinding(1)), "snooze")
			time.Sleep(2 * time.Hour)
			d.Requests.Store = noRequests{d.Requests.Store}
			if err := d.Sweep(t.Context()); err == nil {
				t.Error("nothing failed")
			}
			if a := d.row(gdFinding(1)); a.State != alerts.Open {
				t.Errorf("the alert is still %s", a.State)
			}
		})
	}
}
