package local_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/crashtest"
)

// releasedLifeAndDeath is lifeAndDeath for a request that needs nobody's approval,
// from its job plan until its card says that it is contained.
func releasedLifeAndDeath(t *testing.T, by approvals.ApprovalMode, at int, alter ...func(*world)) int {
	k := &crashtest.Killer{}
	w := alerted(t, true, true, append(alter, func(w *world) { mortal(w, k) })...)
	event := w.happened(w.story())
	p := w.ruled(event)
	if by == approvals.OneClick {
		p = w.proposed(event)
		w.sign(p)
	}
	r := w.store(p)
	w.must(approvals.JSON[approvals.Job]{Queue: w.Jobs}.Send(t.Context(), approvals.Job{Verb: approvals.JobPlan, ID: r.ID}, 0))
	k.Aim(at)
	nothing := func() int { return 200 }
	w.live(k, "contained", nothing, func() bool { return w.get(r.ID).State == approvals.Contained })
	w.live(k, "the card", nothing, func() bool { return !w.get(r.ID).Stale() })
	points := k.Aim(0)
	did := map[string]int{}
	for _, c := range w.aws.Calls() {
		if c.Applied && c.Phase == awsfake.After {
			did[c.Op]++
		}
	}
	if did["iam:PutRolePolicy"] != 1 || did["iam:TagRole"] != 1 {
		t.Errorf("killed %s: did %v", k.Where(), did)
	}
	for _, name := range []string{"requested", "planned", "released", "claimed", "contained"} {
		if _, n := w.event(r, name); n != 1 {
			t.Errorf("killed %s: the chain says %s %d times", k.Where(), name, n)
		}
	}
	said := map[string]int{}
	for _, m := range w.slack.Messages(channel) {
		first, _, _ := strings.Cut(m.Text, " in account")
		said[first]++
	}
	for text, n := range said {
		if n != 1 {
			t.Errorf("killed %s: said %d times: %s", k.Where(), n, text)
		}
	}
	var hour struct{ Began []any }
	if by == approvals.Automatic {
		row, err := w.Runs.Get(t.Context(), approvals.Key{Part: "automatic", Sort: "hour"})
		w.must(err)
		w.must(json.Unmarshal(row.Body, &hour))
		if len(hour.Began) != 1 {
			t.Errorf("killed %s: %s", k.Where(), row.Body)
		}
	}
	return points
}

// TestProgramSurvivesAnyDeathWithoutApprover: the process dies at any point of a released
// request's path; the next start brings the same end, and nothing twice.
func TestProgramSurvivesAnyDeathWithoutApprover(t *testing.T) {
	for _, by := range []approvals.ApprovalMode{approvals.OneClick, approvals.Automatic} {
		points := releasedLifeAndDeath(t, by, 0)
		if points < 50 {
			t.Fatalf("only %d points", points)
		}
		t.Logf("%d points by %s", points, by)
		for name, alter := range stores {
			n := 20
			if name != "memory" {
				n = 100
			}
			step := thin.Every(t, n, "the deaths of the whole program, "+name)
			for at := 1; at <= points; at += step {
				t.Run(fmt.Sprintf("%s/%s/%03d", by, name, at), func(t *testing.T) {
					t.Parallel()
					releasedLifeAndDeath(t, by, at, alter...)
				})
			}
		}
	}
}
