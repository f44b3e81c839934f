package cards

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

const eventsDir = "../../approvals/finding/testdata/events"

// eventReader posts everything: each kind of alert has a route.
func eventReader(partition string) finding.Reader {
	quiet := func(pattern string) finding.Route {
		return finding.Route{Match: finding.Match{Source: finding.CloudTrail, Type: pattern}, Delivery: finding.Propose}
	}
	routing := finding.Routing{MockSources: true, Routes: []finding.Route{quiet("AssumedRole:*"), quiet("Denied:*"), quiet("Failed:*")}}
	for _, s := range finding.Sources() {
		routing.Routes = append(routing.Routes, finding.Route{Match: finding.Match{Source: s.Name}, Delivery: finding.Propose})
	}
	return finding.Reader{Routing: routing, Org: actions.Org{
		Actions:   all.Actions,
		Partition: partition, HubAccount: "111111111111", ManagementAccount: "999999999999",
		ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer", ForwarderRole: "killswitch-forwarder", AdminGroup: "admins",
		Regions:             []string{"us-east-1", "eu-west-1", "us-gov-west-1"},
		Accounts:            map[string]string{"prod": "222222222222", "sandbox": "333333333333"},
		ProtectedAccounts:   []string{"111111111111"},
		ProtectedPrincipals: []string{"arn:aws:iam::*:role/break-glass"},
	}}
}

// sampleEvents are the events of a file: an array has several.
func sampleEvents(t testing.TB, file string) []json.RawMessage {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(eventsDir, file))
	if err != nil {
		t.Fatal(err)
	}
	var several []json.RawMessage
	if json.Unmarshal(body, &several) != nil {
		several = []json.RawMessage{body}
	}
	return several
}

// eventView is the first card of an alert.
func eventView(r finding.Reader, a finding.Finding) AlertView {
	v := AlertView{Actions: all.Actions,
		Alert:   alerts.Alert{ID: approvals.AlertID(a.Own()), State: alerts.Open, Over: a.Over, Activity: a.Exposed},
		Finding: a, Alias: r.Org.Alias(a.Account), Now: a.Updated.Add(time.Minute),
	}
	if !a.Over {
		v.Offers = a.Offers()
	}
	return v
}

// TestCardsOfEvents draws the card of every sample event.
func TestCardsOfEvents(t *testing.T) {
	files, err := os.ReadDir(eventsDir)
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string]bool{}
	for _, f := range files {
		readers := map[string]finding.Reader{"": eventReader("aws")}
		if strings.Contains(f.Name(), "govcloud") {
			readers["_there"] = eventReader("aws-us-gov")
		}
		for suffix, r := range readers {
			name := strings.TrimSuffix(f.Name(), filepath.Ext(f.Name())) + suffix
			t.Run(name, func(t *testing.T) {
				drawn := 0
				for _, body := range sampleEvents(t, f.Name()) {
					alerts, err := r.Read(finding.Event{Body: body})
					if (err == nil) != (len(alerts) > 0) { // which it is, package finding tests; a card too many or too few shows below
						t.Errorf("%d alerts, error %v", len(alerts), err)
					}
					for _, a := range alerts {
						if drawn++; drawn > 1 {
							name = fmt.Sprintf("%s_%d", strings.TrimSuffix(name, fmt.Sprintf("_%d", drawn-1)), drawn)
						}
						golden[name+".json"] = true
						v := eventView(r, a)
						m := AlertCard(v)
						compareGolden(t, "alerts/events", name, m)
						checkAlert(t, v, m)
						mark := ""
						if a.Mark != "" {
							mark = "[" + string(a.Mark) + "] "
						}
						checkAlertFallback(t, mark+finding.Level(a.Severity)+": ", v, m.Text)
						if a.Route == nil {
							t.Errorf("no route posts %s", a.Own())
						}
						checkOffered(t, v, m)
					}
				}
			})
		}
	}
	onlyGolden(t, "alerts/events", golden)
}

// checkOffered wants a button for each call of the route, unless nothing is to be
// contained.
func checkOffered(t *testing.T, v AlertView, m Message) {
	t.Helper()
	var got []string
	for _, id := range idsOf(m) {
		if strings.HasPrefix(id, "propose:") {
			got = append(got, id)
		}
	}
	want := v.Offers.Buttons()
	if v.Finding.Over || v.Finding.Mark == finding.Sample {
		want = nil
	}
	if !slices.Equal(got, want) {
		t.Errorf("buttons %v, want %v", got, want)
	}
}

// TestUpdateOfEvents: what is told of the second report of the samples' finding.
func TestUpdateOfEvents(t *testing.T) {
	r := eventReader("aws")
	read := func(file string) finding.Finding {
		alerts, err := r.Read(finding.Event{Body: sampleEvents(t, file)[0]})
		if err != nil || len(alerts) != 1 {
			t.Fatalf("%s: %d alerts, %v", file, len(alerts), err)
		}
		return alerts[0]
	}
	first, second := read("guardduty_iam_exfil-outside.json"), read("guardduty_iam_exfil-outside-update.json")
	text := updateText(first, second)
	for _, want := range []string{"seen 9 times, was 1", "last seen 2026-11-12 09:18:03 UTC", "ListSecrets"} {
		if !strings.Contains(text, want) {
			t.Errorf("the update lacks %q: %s", want, text)
		}
	}
	if d := cmp.Diff("", updateText(first, first)); d != "" {
		t.Errorf("the same report again (-want +got):\n%s", d)
	}
}
