package config

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// TestWebhookPermissions: what each may do gets where it is asked.
func TestWebhookPermissions(t *testing.T) {
	c, err := Parse("x.yaml", []byte(edit(t, example(t), "  - {id: eventbridge, events: true}", "  - {id: eventbridge, events: true, auto: true}\n  - {id: more, events: true, actions: [deactivate_key]}")), beside)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"eventbridge", "more"}, c.EventWebhooks()); diff != "" {
		t.Errorf("may send events (-want +got):\n%s", diff)
	}
	want := finding.Reader{Routing: c.Alerts, Org: c.Org, AutoWebhooks: []string{"eventbridge"}}
	if diff := cmp.Diff(want, c.Reader()); diff != "" {
		t.Errorf("reader (-want +got):\n%s", diff)
	}
	may := map[string]approvals.WebhookGrant{
		"soar": {Actions: []actions.Name{"isolate_instance", "revoke_sessions"}, Owners: []string{"carol"}},
		"more": {Actions: []actions.Name{"deactivate_key"}},
	}
	if diff := cmp.Diff(may, c.Policy.Webhooks); diff != "" {
		t.Errorf("may ask (-want +got):\n%s", diff)
	}
}

// TestRoutesInTheRightOrder: special routes before general ones are no problem,
// nor is one for what a route without a type passes by.
func TestRoutesInTheRightOrder(t *testing.T) {
	const routes = `
alerts:
  routes:
    - match: {source: guardduty, type: "*:IAMUser/*", min_severity: 4}
    - match: {source: guardduty, min_severity: 7}
    - match: {source: guardduty, min_severity: 4}
    - match: {source: securityhub, min_severity: 4}
    - match: {source: cloudtrail}
    - match: {source: cloudtrail, type: "AssumedRole:*"}
    - match: {source: cloudtrail, type: "*AccessKey"}
`
	if _, err := Parse("x.yaml", []byte(minimal+routes), nil); err != nil {
		t.Error(err)
	}
	if _, err := Parse("x.yaml", []byte(minimal+routes+"    - match: {source: cloudtrail, type: CreateUser}\n"), nil); err == nil {
		t.Error("a route that no alert reaches is not told of")
	}
}

// TestCall: a route calls groups and people; here alone would reach only the active, so the responders are called too.
func TestCall(t *testing.T) {
	for call, want := range map[string][]string{
		"responders":    {"responders"},
		"[alice, here]": {"alice", "here"},
		"here":          {"here", "responders"},
		"nobody":        nil,
	} {
		c, err := Parse("x.yaml", []byte(edit(t, example(t), "call: responders", "call: "+call)), beside)
		if err != nil {
			t.Errorf("%s: %v", call, err)
			continue
		}
		if r := c.Alerts.Routes[0]; !slices.Equal(r.Call, want) || r.CallFrom != 0 {
			t.Errorf("%s calls %q from %g", call, r.Call, r.CallFrom)
		}
	}
}
