package alerts_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// TestRoomIsShared: AWS's own findings go before imported ones, real ones before drills, and a
// storm in one account delays only its own.
func TestRoomIsShared(t *testing.T) {
	n := 0
	alert := func(account string, source finding.Source, severity float64, mark finding.Mark) alerts.Alert {
		n++
		f := finding.Finding{Source: source, Account: account, Severity: severity, Mark: mark, Names: []string{fmt.Sprint(n)}, Type: fmt.Sprintf("%s-%s-%.0f%s", account, source, severity, mark)}
		return alerts.Alert{ID: fmt.Sprint("AL-", n), Reports: []alerts.Report{alerts.NewReport(f, "", time.Time{})}}
	}
	var all []alerts.Alert
	for range 3 {
		all = append(all, alert("sandbox", finding.SecurityHub, 9, ""), alert("sandbox", finding.CloudTrail, 8, ""))
	}
	all = append(all, alert("prod", finding.GuardDuty, 7, ""), alert("prod", finding.GuardDuty, 9, finding.Drill), alert("prod", finding.GuardDuty, 5, ""), alert("dev", finding.SecurityHub, 7, ""))
	alerts.Fairly(all)
	var got []string
	for _, a := range all {
		got = append(got, a.Reports[0].Finding.Type)
	}
	want := []string{
		"sandbox-cloudtrail-8", "prod-guardduty-7", "sandbox-cloudtrail-8", "sandbox-cloudtrail-8", "prod-guardduty-5",
		"sandbox-securityhub-9", "dev-securityhub-7", "sandbox-securityhub-9", "sandbox-securityhub-9", "prod-guardduty-9DRILL",
	}
	if !slices.Equal(got, want) {
		t.Errorf("order\n%q, want\n%q", got, want)
	}
}

// TestRoomAheadOfAStorm: in a full channel a few alerts of each account and source are posted at once,
// and none of those whose storm it is.
func TestRoomAheadOfAStorm(t *testing.T) {
	began := time.Unix(1000, 0)
	var r alerts.RateLimit
	for now := began; now.Before(began.Add(10 * time.Minute)); now = now.Add(time.Second) {
		r.Reserve(now, now.Add(20*time.Second), alerts.RatePosts, "storm")
		if now.Equal(began) || now.Sub(began)%(31*time.Second) != 0 {
			continue
		}
		if _, ok := r.ReserveAhead(now, "storm"); ok {
			t.Fatalf("after %s the storm goes ahead of itself", now.Sub(began))
		}
		if at, ok := r.ReserveAhead(now, "prod guardduty"); !ok || at != now {
			t.Fatalf("after %s: %s %v", now.Sub(began), at, ok)
		}
	}
	at := began.Add(time.Hour)
	for i, of := range []string{"a", "a", "a", "b", "c", "c", "d", "e"} {
		_, ok := r.ReserveAhead(at, of)
		if want := i != 2 && i != 7; ok != want {
			t.Errorf("the %dth, of %s: %v", i, of, ok)
		}
	}
	old := alerts.RateLimit{Slots: []time.Time{at, at}, Of: []string{"a"}} // as it was before there was Of
	if _, ok := old.ReserveAhead(at, "a"); !ok {
		t.Error("one post is not two")
	}
}
