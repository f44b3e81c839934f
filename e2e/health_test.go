//go:build e2e

package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
)

const canary = "C02CANARY"

// TestRehearsalHealth: the daily check of the functions finds nothing wrong with an installation that has all: the
// canary is posted, read back and deleted, ingress and the executor refuse its forged click, the roles are entered.
func TestRehearsalHealth(t *testing.T) {
	r := newRehearsal(t)
	var h approvals.HealthCheck
	Eventually(t, "the daily check", func(ctx context.Context) (err error) {
		if h, err = r.requests.HealthCheck(ctx); err == nil && h.Ended.IsZero() {
			err = errors.New("it has not ended")
		}
		return err
	})
	if len(h.Found) > 0 {
		t.Errorf("found %+v", h.Found)
	}
	if time.Since(h.Begun) > 5*time.Minute {
		t.Errorf("begun at %s", h.Begun)
	}
	if left := r.slack.Messages(t, canary); len(left) > 0 {
		t.Errorf("left in the canary's channel: %+v", left)
	}
	var did []string
	for _, e := range r.slack.Log(t) {
		if strings.HasPrefix(e.Summary, "chat.") {
			did = append(did, e.Summary)
		}
	}
	if d := cmp.Diff([]string{"chat.postMessage", "chat.getPermalink", "chat.delete"}, did); d != "" {
		t.Errorf("what the bot did in Slack: %s", d)
	}
	for zone, want := range map[*Function]string{r.ingress: "the forged click of the daily check is refused", r.bot: `"HealthChecks":1`, r.checks: `"HealthChecks":1`} {
		if out := zone.boot.Output(); !strings.Contains(out, want) || strings.Contains(out, "CanaryFailed") || strings.Contains(out, `"Forged"`) {
			t.Errorf("%s does not say %q:\n%s", zone.name, want, out)
		}
	}
}
