package bot

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// One message of tens of thousands of things that are no events is told once, and
// costs no more than that.
func TestArrayOfNothing(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		body := append([]byte("[{}"), bytes.Repeat([]byte(",{}"), 80_000)...)
		if err := d.HandleEvent(t.Context(), append(body, ']')); !errors.Is(err, approvals.ErrUnreadable) || len(err.Error()) > 500 {
			t.Errorf("%.500v", err)
		}
		if n := d.countedNow("EventsUnreadable"); n != 1 {
			t.Errorf("%d unreadable events", n)
		}
	}, func(d *desk) { d.Findings = finding.Reader{Org: d.Org} })
}

// The look-ups of exposed keys share a queue with containments, and each may take
// a minute: a flood of such keys must not ask for more than people see.
func TestFloodOfExposedKeys(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		for i := range 300 {
			d.hears(gdFinding(i, exposed(finding.TrustedAdvisor), func(a *finding.Finding) { a.Names = []string{fmt.Sprintf("%s/key/AKIA%012d", account, i)} }))
		}
		d.pass(time.Minute)
		asked, cards := d.jobs.of(approvals.JobActivity), d.cards(sec)
		if len(asked) == 0 || len(asked) > len(cards) || len(cards) > 80 {
			t.Errorf("%d look-ups, %d cards", len(asked), len(cards))
		}
	})
}

// Mocks, drills and samples, which are easily made, don't push what is real into a
// digest.
func TestFloodOfDrills(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		drill := func(a *finding.Finding) { a.Mark, a.Severity = finding.Drill, 10 }
		genuine := gdFinding(1, severe(8))
		var wg sync.WaitGroup
		for i := range 80 { // at once
			wg.Go(func() { d.hears(gdFinding(100+i, drill)) })
		}
		time.Sleep(time.Millisecond)
		d.hears(genuine)
		wg.Wait()
		d.pass(time.Minute)
		if row := d.row(genuine); row.DigestID != "" || row.Card.TS == "" {
			t.Errorf("it is in digest %q", row.DigestID)
		}
	})
}
