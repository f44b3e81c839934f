package cards

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"
	"pgregory.net/rapid"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/cards/cardstest"
)

const (
	alertIDForTest = "AL-7Z3K9QW2M5XA"
	findingLink    = "https://us-east-1.console.aws.amazon.com/guardduty/home?region=us-east-1#/findings?macros=current&fId=f57a99a0"
)

// callOf makes a call as the grammar does.
func callOf(t testing.TB, action actions.Name, target string, opts map[string]string) actions.Call {
	t.Helper()
	c, err := actions.NewCall(action, target, opts, actions.Directory{Actions: all.Actions, Partition: "aws", Regions: []string{"us-east-1"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// offersOf are what a card offers.
func offersOf(calls ...actions.Call) (os approvals.Offers) {
	for _, c := range calls {
		os = append(os, approvals.Offer{Intent: approvals.Intent{Call: c}, Why: "GuardDuty: credentials used from outside AWS"})
	}
	return os
}

// baseAlert is a finding about an instance's credentials. Every other view is a
// named deviation from it.
func baseAlert(t testing.TB) AlertView {
	revoke := callOf(t, actions.RevokeSessions, "arn:aws:iam::222222222222:role/web-tier-role", nil)
	isolate := callOf(t, actions.IsolateInstance, "i-0d3e1a5b7c9f20001", map[string]string{"account": account, "region": "us-east-1"})
	at := asked.Add(-4 * time.Minute)
	return AlertView{
		Actions: all.Actions,
		Alert:   alerts.Alert{ID: alertIDForTest, State: alerts.Open, Received: asked},
		Finding: finding.Finding{
			Source: finding.GuardDuty, Product: "GuardDuty", EventID: "a3fe38ad-06d5-541b-9ae7-74e6e6564bdf", Names: []string{"222222222222/us-east-1/f57a99a0"},
			Type: "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS", Severity: 8,
			Title:     "Credentials of the instance role web-tier-role were used from outside AWS.",
			Text:      "Credentials created exclusively for the EC2 instance i-0d3e1a5b7c9f20001 have been used from the external IP address 203.0.113.77.",
			Partition: "aws", Account: account, Region: "us-east-1",
			Principal: "role web-tier-role, session i-0d3e1a5b7c9f20001", Resource: "instance i-0d3e1a5b7c9f20001 (web-1)",
			Facts: []finding.Fact{
				{Label: "Source IP", Text: "203.0.113.77 (EXAMPLE-HOSTING, AS64496; Amsterdam, Netherlands)"},
				{Label: "API calls", Text: "ListBuckets (4), GetCallerIdentity (2)"},
				{Label: "User agent", Text: "aws-cli/2.31.8"},
				{Label: "Key", Text: "ASIAWEBROLEA2EXAMPLE"},
			},
			Link: findingLink, First: at.Add(-12 * time.Minute), Last: at, Updated: at, Count: 3,
			Containments: []finding.Containment{{Call: revoke}, {Call: isolate}},
			Subject:      trail.Subject{By: "AccessKeyId", Value: "ASIAWEBROLEA2EXAMPLE"},
		},
		Offers: offersOf(revoke, isolate), Alias: "prod-web", Now: asked,
	}
}

// bornOf is a request that the n-th call of a view led to.
func bornOf(v AlertView, n int, s approvals.State) approvals.Request {
	r := approvals.Request{
		ID: baseID, State: s, Intent: v.Offers[n].Intent, Reason: "GuardDuty: credentials used from outside AWS",
		Requester: approvals.Actor{Person: ana.ID, Slack: ana.Slack}, Asked: asked, Need: 1, Digest: strings.Repeat("3f9a", 16), Alert: v.Alert.ID,
	}
	if n > 0 {
		r.ID = undoID
	}
	return r
}

// byRule makes a request one that nobody asked for.
func byRule(r approvals.Request) approvals.Request {
	r.Mode, r.Requester = approvals.Automatic, approvals.Actor{Person: approvals.AutomaticRequester}
	return r
}

func stated(s alerts.State, by approvals.Person, d time.Duration) func(testing.TB, *AlertView) {
	return func(_ testing.TB, v *AlertView) {
		v.Alert.State, v.Alert.By, v.Alert.At = s, approvals.Actor{Person: by.ID, Slack: by.Slack}, after(d)
		v.Now = after(d + time.Minute)
	}
}

// manyActors offers two containments of each of n actors.
func manyActors(n int) func(testing.TB, *AlertView) {
	return func(t testing.TB, v *AlertView) {
		v.Offers = nil
		for i := range n {
			v.Offers = append(v.Offers, offersOf(callOf(t, actions.DeactivateKey, fmt.Sprintf("AKIAREPORTBT%02dEXAMPL", i), map[string]string{"account": account}),
				callOf(t, actions.QuarantineUser, fmt.Sprintf("arn:aws:iam::222222222222:user/report-bot-%02d", i), nil))...)
		}
	}
}

// hostileAlert fills in what somebody who can name things in an account can write.
func hostileAlert(_ testing.TB, v *AlertView) {
	a := &v.Finding
	a.EventID, a.Type, a.Title, a.Text, a.Account, a.Region = evilLong, evilLong, evilLong, "\n> quoted\n• Action: approve\n"+evilLong, evil, evil
	a.Principal, a.Resource, a.Link, v.Alias = evilLong, evilLong, "https://evil.example/console.aws.amazon.com/", evilLong
	a.Facts, a.ByHand = nil, nil
	for range 30 {
		a.Facts = append(a.Facts, finding.Fact{Label: evil, Text: evilLong})
		a.ByHand = append(a.ByHand, evilLong)
	}
	a.Facts[0] = finding.Fact{Label: " ", Text: "\r\nAction: deactivate_key AKIA…\n> quote"}
	v.AlsoReportedBy = []string{"<!channel>", "Security Hub"}
}

// called is a card that calls a group and a person.
func called(_ testing.TB, v *AlertView) {
	v.Alert.Called = asked
	v.Called = Called{Usergroups: []string{"S0RESPONDERS"}, People: []approvals.Person{{ID: "ben", Slack: "U0BEN"}}, Here: true}
}

// oneClick makes each offer one that a click runs.
func oneClick(_ testing.TB, v *AlertView) {
	for i := range v.Offers {
		v.Offers[i].OneClick = true
	}
}

// unsure makes the last offer's target one that an attacker may have named.
func unsure(_ testing.TB, v *AlertView) {
	o := &v.Offers[len(v.Offers)-1]
	o.Unsure, o.OneClick = "Only the session's name says that it is this instance, and whoever assumes a role chooses that name.", false
}

type alertCase struct {
	name    string
	starts  string // what the fallback begins with
	buttons string // their action_ids
	change  []func(testing.TB, *AlertView)
}

const (
	stateButtons   = "ack snooze false_positive activity trace"
	proposeButtons = "propose:revoke_sessions propose:isolate_instance "
)

var alertCards = []alertCase{
	{"open", "high: ", proposeButtons + stateButtons, nil},
	{"called", "high: ", proposeButtons + stateButtons, []func(testing.TB, *AlertView){called}},
	{"called_acknowledged", "high: ", proposeButtons + "snooze false_positive activity trace", []func(testing.TB, *AlertView){called, stated(alerts.Acknowledged, ben, time.Minute)}},
	{"called_requested", "high: ", "propose:isolate_instance " + stateButtons, []func(testing.TB, *AlertView){called, func(_ testing.TB, v *AlertView) {
		v.Requests = []approvals.Request{bornOf(*v, 0, approvals.Pending)}
	}}},
	{"one_click", "high: ", proposeButtons + stateButtons, []func(testing.TB, *AlertView){oneClick}},
	{"one_click_unsure", "high: ", proposeButtons + stateButtons, []func(testing.TB, *AlertView){oneClick, unsure}},
	{"unsure", "high: ", proposeButtons + stateButtons, []func(testing.TB, *AlertView){unsure}},
	{"one_click_only_unsure_left", "high: ", "propose:isolate_instance " + stateButtons, []func(testing.TB, *AlertView){oneClick, unsure, func(_ testing.TB, v *AlertView) {
		v.Requests = []approvals.Request{bornOf(*v, 0, approvals.Pending)}
	}}},
	{"updated", "critical: ", proposeButtons + stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		v.Finding.Severity, v.Finding.Count, v.Finding.Last = 9, 19, asked.Add(26*time.Hour)
		v.AlsoReportedBy, v.Now = []string{"Security Hub", "AWS Health"}, asked.Add(27*time.Hour)
	}}},
	{"acknowledged", "high: ", proposeButtons + "snooze false_positive activity trace", []func(testing.TB, *AlertView){stated(alerts.Acknowledged, ben, time.Minute)}},
	{"acknowledged_yesterday", "high: ", proposeButtons + "snooze false_positive activity trace", []func(testing.TB, *AlertView){stated(alerts.Acknowledged, ben, time.Minute), func(_ testing.TB, v *AlertView) {
		v.Now = after(25 * time.Hour)
	}}},
	{"snoozed", "high: ", proposeButtons + "ack false_positive activity trace", []func(testing.TB, *AlertView){stated(alerts.Snoozed, cho, time.Minute), func(_ testing.TB, v *AlertView) {
		v.Alert.Until = after(61 * time.Minute)
	}}},
	{"false_positive", "high: ", "ack activity trace", []func(testing.TB, *AlertView){stated(alerts.FalsePositive, ana, time.Minute)}},
	{"settled", "high: ", "ack false_positive activity trace", []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) { v.Alert.Over, v.Offers = true, nil }}},
	{"settled_acknowledged", "high: ", "false_positive activity trace", []func(testing.TB, *AlertView){stated(alerts.Acknowledged, ben, time.Minute), func(_ testing.TB, v *AlertView) { v.Alert.Over = true }}},
	{"activity_asked", "high: ", proposeButtons + "ack snooze false_positive", []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) { v.Alert.Activity, v.Alert.Trace = true, true }}},
	{"requested", "high: ", "propose:isolate_instance " + stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		v.Requests = []approvals.Request{bornOf(*v, 0, approvals.Pending)}
	}}},
	{"contained", "high: ", "propose:revoke_sessions " + stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		v.Requests = []approvals.Request{bornOf(*v, 0, approvals.Denied), bornOf(*v, 1, approvals.Contained)}
		v.Requests[1].Ended = v.Now
	}}},
	{"contained_seen_since", "high: ", proposeButtons + stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		v.Requests = []approvals.Request{bornOf(*v, 1, approvals.Contained)}
		v.Requests[0].Ended = v.Finding.Last.Add(-time.Second)
	}}},
	{"auto_running", "high: ", "propose:isolate_instance " + stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		v.Requests = []approvals.Request{byRule(bornOf(*v, 0, approvals.Running))}
	}}},
	{"auto_contained", "high: ", "undo propose:isolate_instance " + stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		v.Requests = []approvals.Request{byRule(bornOf(*v, 0, approvals.Contained))}
		v.Requests[0].Ended = v.Now
	}}},
	{"auto_contained_two", "high: ", "undo " + proposeButtons + stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		v.Requests = []approvals.Request{byRule(bornOf(*v, 0, approvals.Contained)), byRule(bornOf(*v, 1, approvals.Partial))}
	}}},
	{"auto_undone", "high: ", proposeButtons + stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		undo := bornOf(*v, 0, approvals.Restored)
		undo.Intent.Undo, undo.ID = baseID, undoID
		v.Requests = []approvals.Request{byRule(bornOf(*v, 0, approvals.Undone)), undo}
	}}},
	{"two_actors", "high: ", "propose:deactivate_key:1 propose:quarantine_user:1 propose:deactivate_key:2 propose:quarantine_user:2 " + stateButtons, []func(testing.TB, *AlertView){manyActors(2)}},
	{"by_hand", "high: ", stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		v.Finding.Principal, v.Finding.Resource, v.Offers, v.Finding.Containments = "root", "", nil, nil
		v.Finding.ByHand = []string{"no call reaches the root user: sign in as root, change the password, delete its keys", "ask AWS Support if that can't be done"}
	}}},
	{"notify", "high: ", stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) { v.Offers = nil }}},
	{"nothing_fits", "low: ", stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		v.Offers, v.Finding.Containments, v.Finding.Severity = nil, nil, 2
	}}},
	{"bare", "info: ", "ack snooze false_positive", []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		v.Finding = finding.Finding{Source: finding.CloudTrail, Product: "CloudTrail", Names: []string{"x"}, Type: "CreateUser", Account: account, Updated: asked}
		v.Offers, v.Alias = nil, ""
	}}},
	{"govcloud", "medium: ", proposeButtons + stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		v.Finding.Severity, v.Finding.Partition, v.Finding.Region = 5, "aws-us-gov", "us-gov-west-1"
		v.Finding.Link = "https://us-gov-west-1.console.amazonaws-us-gov.com/guardduty/home?region=us-gov-west-1#/findings?fId=bdbdaacc"
	}}},
	{"sample", "[SAMPLE] high: ", "ack snooze false_positive activity trace", []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) { v.Finding.Mark = finding.Sample }}},
	{"mock", "[MOCK] high: ", proposeButtons + stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) { v.Finding.Mark = finding.Mock }}},
	{"drill", "[DRILL] high: ", proposeButtons + stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) { v.Finding.Mark = finding.Drill }}},
	{"c_and_c", "high: ", proposeButtons + stateButtons, []func(testing.TB, *AlertView){func(_ testing.TB, v *AlertView) {
		v.Finding.Type, v.Finding.Title = "Backdoor:EC2/C&CActivity.B!DNS", "EC2 instance i-0d3e1a5b7c9f20001 is querying a C&C server."
	}}},
	{"hostile", "high: ", proposeButtons + stateButtons, []func(testing.TB, *AlertView){hostileAlert}},
}

func (c alertCase) view(t testing.TB) AlertView {
	v := baseAlert(t)
	for _, change := range c.change {
		change(t, &v)
	}
	return v
}

func TestAlertCards(t *testing.T) {
	golden := map[string]bool{}
	for _, c := range alertCards {
		golden[c.name+".json"] = true
		t.Run(c.name, func(t *testing.T) {
			v := c.view(t)
			m := AlertCard(v)
			compareGolden(t, "alerts/states", c.name, m)
			checkAlert(t, v, m)
			checkAlertFallback(t, c.starts, v, m.Text)
			var ids []string
			for _, b := range buttonsOf(m) {
				ids = append(ids, b.ActionID)
			}
			if d := cmp.Diff(strings.Fields(c.buttons), ids); d != "" {
				t.Errorf("buttons (-want +got):\n%s", d)
			}
		})
	}
	onlyGolden(t, "alerts/states", golden)
}

// onlyGolden fails for a golden file that belongs to no card.
func onlyGolden(t *testing.T, dir string, golden map[string]bool) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join("testdata", dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !golden[f.Name()] {
			t.Errorf("testdata/%s/%s belongs to no card", dir, f.Name())
		}
	}
}

func buttonsOf(m Message) []*slack.ButtonBlockElement {
	var all []*slack.ButtonBlockElement
	for _, b := range m.Blocks {
		if a, ok := b.(*slack.ActionBlock); ok {
			for _, e := range a.Elements.ElementSet {
				all = append(all, e.(*slack.ButtonBlockElement))
			}
		}
		if s, ok := b.(*slack.SectionBlock); ok && s.Accessory != nil && s.Accessory.ButtonElement != nil {
			all = append(all, s.Accessory.ButtonElement)
		}
	}
	return all
}

// blockText is the plain text of a section, if it is there.
func blockText(m Message, id string) (string, bool) {
	for _, b := range m.Blocks {
		if s, ok := b.(*slack.SectionBlock); ok && s.BlockID == id && s.Text.Type == slack.PlainTextType {
			return s.Text.Text, true
		}
	}
	return "", false
}

// checkAlert wants a card that Slack takes, and whose buttons can be proved: each
// stands on a card that shows word for word what it asks for.
func checkAlert(t *testing.T, v AlertView, m Message) {
	t.Helper()
	checkMessage(t, m)
	ids, runs := v.Offers.Buttons(), false
	for _, b := range buttonsOf(m) {
		if !strings.HasPrefix(b.ActionID, "propose:") {
			continue
		}
		n := slices.Index(ids, b.ActionID)
		if n < 0 {
			t.Errorf("%s asks for nothing", b.ActionID)
			continue
		}
		i := v.Offers[n].Intent
		runs = runs || v.Offers[n].OneClick
		if text, _ := blockText(m, approvals.OfferBlock(n+1)); text != i.String() {
			t.Errorf("block %s shows %q, want %q", approvals.OfferBlock(n+1), text, i.String())
		}
		if want := v.Alert.ID + "." + approvals.IntentDigest(i); b.Value != want {
			t.Errorf("%s: value %q, want %q", b.ActionID, b.Value, want)
		}
		next := "second responder"
		if v.Offers[n].OneClick {
			next = "This runs at once if its source confirms it."
		}
		if text, _ := blockText(m, fmt.Sprintf("unsure:%d", n+1)); (text != "") != (v.Offers[n].Unsure != "") {
			t.Errorf("%s: of its target's being unsure is said %q", b.ActionID, text)
		}
		style := slack.StyleDanger
		if v.contained() {
			style = slack.StyleDefault
		}
		if c := b.Confirm; b.Style != style || c == nil || !strings.Contains(c.Text.Text, next) {
			t.Errorf("%s does not say what happens next: %+v", b.ActionID, c)
		}
		if b.AccessibilityLabel == "" {
			t.Errorf("%s has no accessibility_label", b.ActionID)
		}
	}
	if _, shown := blockText(m, approvals.OneClickBlock); shown != runs {
		t.Errorf("that one click runs it is shown: %v", shown)
	}
	for _, b := range buttonsOf(m) {
		if b.ActionID == "undo" {
			r := v.Requests[slices.IndexFunc(v.Requests, func(r approvals.Request) bool { return strings.HasPrefix(b.Value, r.ID+".") })]
			call, _ := blockText(m, approvals.CallBlock)
			why, _ := blockText(m, approvals.ReasonBlock)
			if call != r.Intent.String() || why != approvals.ReasonLine(r.Requester.Person, r.Reason) || b.Value != approvals.Value(r.ID, r.Digest) {
				t.Errorf("a click on undo proves nothing: %q, %q, %s", call, why, b.Value)
			}
		}
	}
}

func idsOf(m Message) []string {
	var ids []string
	for _, b := range buttonsOf(m) {
		ids = append(ids, b.ActionID)
	}
	return ids
}

// checkAlertFallback wants mark and severity, finding type, account, principal or
// resource and the alert's ID, in this order.
func checkAlertFallback(t *testing.T, starts string, v AlertView, text string) {
	t.Helper()
	text = cardstest.Unescape(text)
	rest, ok := strings.CutPrefix(text, starts)
	if !ok {
		t.Errorf("the fallback does not begin with %q: %s", starts, text)
	}
	a := v.Finding
	who := a.Principal
	if who == "" {
		who = a.Resource
	}
	for _, want := range []string{a.Type, a.Account, who, v.Alert.ID} {
		want = strings.ReplaceAll(Untrusted(want).Plain(40), "`", "'")
		_, after, found := strings.Cut(rest, strings.TrimSuffix(want, "…"))
		if !found {
			t.Errorf("the fallback lacks %q, or has it in the wrong place: %s", want, text)
			return
		}
		rest = after
	}
}

// TestAlertCardIsPure draws each card twice.
func TestAlertCardIsPure(t *testing.T) {
	for _, c := range alertCards {
		if d := cmp.Diff(document(t, AlertCard(c.view(t))), document(t, AlertCard(c.view(t)))); d != "" {
			t.Errorf("%s: two drawings differ:\n%s", c.name, d)
		}
	}
}

// TestAlertCardsOfEveryState fails when a state of an alert or a mark has no card above.
func TestAlertCardsOfEveryState(t *testing.T) {
	states, marks := map[alerts.State]bool{}, map[finding.Mark]bool{}
	for _, c := range alertCards {
		v := c.view(t)
		states[v.Alert.State], marks[v.Finding.Mark] = true, true
	}
	for _, s := range []alerts.State{alerts.Open, alerts.Acknowledged, alerts.Snoozed, alerts.FalsePositive} {
		if !states[s] {
			t.Errorf("no golden card is %s", s)
		}
	}
	for _, m := range []finding.Mark{"", finding.Sample, finding.Mock, finding.Drill} {
		if !marks[m] {
			t.Errorf("no golden card has the mark %q", m)
		}
	}
}

// TestManyOffers: whatever there is no room for is told, and nothing is shown
// without being provable.
func TestManyOffers(t *testing.T) {
	short := func(_ testing.TB, v *AlertView) { // so that one more button than Slack takes has room
		v.Finding = finding.Finding{Source: finding.GuardDuty, Product: "GuardDuty", Names: []string{"x"}, Type: "x", Account: account, Updated: asked}
		oneClick(nil, v)
		v.Alias = ""
	}
	long := func(t testing.TB, v *AlertView) {
		for i := range v.Offers {
			path := strings.Repeat("a-path-element-of-thirty-chars/", 16)
			v.Offers[i].Intent.Call = callOf(t, actions.RevokeSessions, fmt.Sprintf("arn:aws:iam::222222222222:role/%s%s%02d", path, strings.Repeat("role", 15), i), nil)
		}
	}
	for name, c := range map[string]struct {
		actors int
		change func(testing.TB, *AlertView)
		want   int
	}{
		"one":                  {1, nil, 2},
		"five":                 {5, nil, 10},
		"many":                 {40, nil, maxOffered},
		"as many as Slack has": {40, short, maxOffered},
		"long":                 {10, long, 6},
		"one that is too long": {1, func(t testing.TB, v *AlertView) { hostileAlert(t, v); long(t, v); v.Offers = v.Offers[:1] }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			v := baseAlert(t)
			manyActors(c.actors)(t, &v)
			if c.change != nil {
				c.change(t, &v)
			}
			m := AlertCard(v)
			checkAlert(t, v, m)
			shown := strings.Count(strings.Join(idsOf(m), " "), "propose:")
			if shown != c.want {
				t.Errorf("%d of %d calls have a button, want %d", shown, len(v.Offers), c.want)
			}
			rest := len(v.Offers) - shown - countTyped(m)
			if more := fmt.Sprintf("… and %d more", rest); rest > 0 && !strings.Contains(string(document(t, m)), more) {
				t.Errorf("the rest is not counted as %q", more)
			}
		})
	}
}

// countTyped is how many calls the card tells to type.
func countTyped(m Message) int {
	text, _ := blockText(m, "more-offers")
	return strings.Count(text, "• ")
}

// TestUnprovableOffer: a call that can't be shown word for word has no button.
func TestUnprovableOffer(t *testing.T) {
	for _, target := range []string{evil, strings.Repeat("x", maxCall), "a\nb", "\u202e"} {
		v := baseAlert(t)
		v.Offers[0].Intent.Call.Target = target
		m := AlertCard(v)
		checkMessage(t, m)
		if ids := strings.Join(idsOf(m), " "); ids != "propose:isolate_instance "+stateButtons {
			t.Errorf("buttons of a call on %.20q: %s", target, ids)
		}
	}
}

func TestConsoleLink(t *testing.T) {
	for name, c := range map[string]struct {
		partition, link string
		want            bool
	}{
		"GuardDuty":         {"aws", findingLink, true},
		"Health":            {"aws", "https://health.aws.amazon.com/health/home#/account/event-log", true},
		"GovCloud":          {"aws-us-gov", "https://us-gov-west-1.console.amazonaws-us-gov.com/guardduty/home", true},
		"China":             {"aws-cn", "https://cn-north-1.console.amazonaws.cn/guardduty/home", true},
		"another partition": {"aws-us-gov", findingLink, false},
		"no partition":      {"", findingLink, false},
		"not encrypted":     {"aws", "http://us-east-1.console.aws.amazon.com/x", false},
		"another host":      {"aws", "https://evil.example/console.aws.amazon.com/", false},
		"a host below":      {"aws", "https://console.aws.amazon.com.evil.example/", false},
		"a host before":     {"aws", "https://evilconsole.aws.amazon.com/", false},
		"a user":            {"aws", "https://console.aws.amazon.com@evil.example/", false},
		"a user and slash":  {"aws", `https://console.aws.amazon.com\@evil.example/`, false},
		"a port":            {"aws", "https://console.aws.amazon.com:8443/", false},
		"no console":        {"aws", "https://s3.aws.amazon.com/bucket", false},
		"another text":      {"aws", "https://console.aws.amazon.com/|Approve", false},
		"the end of a link": {"aws", "https://console.aws.amazon.com/><!channel>", false},
		"a line feed":       {"aws", "https://console.aws.amazon.com/\n", false},
		"a script":          {"aws", "javascript:alert(1)//https://console.aws.amazon.com/", false},
		"too long":          {"aws", "https://console.aws.amazon.com/" + strings.Repeat("x", 500), false},
		"none":              {"aws", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			got := consoleLink(finding.Finding{Partition: c.partition, Link: c.link})
			if want := "<" + entities(c.link) + "|Open it in the console>"; c.want && got != want || !c.want && got != "" {
				t.Errorf("consoleLink = %q, want it: %v", got, c.want)
			}
		})
	}
}

// TestHostileAlertLooksLikeNothingOfOurs: an event can't begin a line: there a word
// of ours stands. What is written as mrkdwn names things, and is escaped.
func TestHostileAlertLooksLikeNothingOfOurs(t *testing.T) {
	v := baseAlert(t)
	hostileAlert(t, &v)
	ours := []string{"*Finding* ", "*Account* ", "*Who* ", "*What* ", "*Seen* ", "*Open*", "*Contain*", "GuardDuty says: ", "• ", "… and ", "To do by hand:", "revoke_sessions arn", "isolate_instance arn"}
	for _, b := range AlertCard(v).Blocks {
		s, ok := b.(*slack.SectionBlock)
		if !ok {
			continue
		}
		if s.Text.Type == slack.MarkdownType && s.BlockID != "finding" && strings.Contains(strings.ToLower(s.Text.Text), "evil") {
			t.Errorf("block %s is mrkdwn, and holds what an event says: %s", s.BlockID, s.Text.Text)
		}
		for line := range strings.SplitSeq(s.Text.Text, "\n") {
			if !slices.ContainsFunc(ours, func(p string) bool { return strings.HasPrefix(line, p) }) || strings.HasPrefix(line, "• Action:") {
				t.Errorf("block %s has a line that an event wrote: %q", s.BlockID, line)
			}
		}
	}
}

// TestAnyAlert: whatever an event holds, the card is one that Slack takes and
// does nothing but what we mean.
func TestAnyAlert(t *testing.T) {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.SampledFrom([]string{evil, evilLong, "C&C", "\n> quote", "*", "_a_", strings.Repeat("&", 5000), strings.Repeat("世", 5000), strings.Repeat("word ", 1000)}))
	moment := rapid.Custom(func(r *rapid.T) time.Time {
		return asked.Add(time.Duration(rapid.IntRange(-100, 100).Draw(r, "hours")) * time.Hour)
	})
	revoke, key := baseAlert(t).Offers[0].Intent.Call, callOf(t, actions.DeactivateKey, "AKIAIOSFODNN7EXAMPLE", map[string]string{"account": account, "quarantine": "yes"})
	longest := callOf(t, actions.RevokeSessions, "arn:aws:iam::222222222222:role/"+strings.Repeat("a-path-element-of-thirty-chars/", 16)+strings.Repeat("role", 16), nil)
	call := rapid.SampledFrom([]actions.Call{revoke, key, longest})
	rapid.Check(t, func(r *rapid.T) {
		s := func(name string) string { return text.Draw(r, name) }
		v := AlertView{
			Alert: alerts.Alert{ID: alertIDForTest, Over: rapid.Bool().Draw(r, "row over"), Activity: rapid.Bool().Draw(r, "activity"), Trace: rapid.Bool().Draw(r, "trace"),
				State: rapid.SampledFrom([]alerts.State{"", alerts.Open, alerts.Acknowledged, alerts.Snoozed, alerts.FalsePositive}).Draw(r, "state"),
				By:    approvals.Actor{Slack: rapid.SampledFrom([]string{ana.Slack, "", evil}).Draw(r, "by")}, At: moment.Draw(r, "at"), Until: moment.Draw(r, "until")},
			Finding: finding.Finding{Source: finding.Source(s("source")), Product: s("product"), Mark: rapid.SampledFrom([]finding.Mark{"", finding.Sample, finding.Mock, finding.Drill, evil}).Draw(r, "mark"),
				EventID: s("event"), Type: s("type"), Title: s("title"), Text: s("text"), Severity: rapid.Float64().Draw(r, "severity"),
				Partition: "aws", Account: s("account"), Region: s("region"), Principal: s("principal"), Resource: s("resource"), Link: s("link"),
				First: moment.Draw(r, "first"), Last: moment.Draw(r, "last"), Updated: moment.Draw(r, "updated"), Count: rapid.Int().Draw(r, "count"),
				Subject: trail.Subject{Value: s("subject")}},
			Alias: s("alias"), Now: moment.Draw(r, "now"),
			Offers: offersOf(rapid.SliceOfN(call, 0, 30).Draw(r, "calls")...),
		}
		for i := range v.Offers {
			if o := &v.Offers[i]; rapid.Bool().Draw(r, "unsure") {
				o.Unsure = s("why")
			} else {
				o.OneClick = rapid.Bool().Draw(r, "one click")
			}
		}
		for range rapid.IntRange(0, 30).Draw(r, "facts") {
			v.Finding.Facts = append(v.Finding.Facts, finding.Fact{Label: s("label"), Text: s("fact")})
		}
		for range rapid.IntRange(0, 15).Draw(r, "by hand") {
			v.Finding.ByHand = append(v.Finding.ByHand, s("hand"))
			v.AlsoReportedBy = append(v.AlsoReportedBy, s("also"))
			v.Finding.Containments = append(v.Finding.Containments, finding.Containment{Call: call.Draw(r, "offer")})
		}
		for range rapid.IntRange(0, 15).Draw(r, "requests") {
			q := approvals.Request{ID: baseID, State: rapid.SampledFrom([]approvals.State{approvals.Planning, approvals.Pending, approvals.Contained, approvals.Partial, ""}).Draw(r, "request state"),
				Intent: approvals.Intent{Call: call.Draw(r, "request call")}, Reason: s("reason"), Requester: approvals.Actor{Person: s("person"), Slack: ana.Slack}, Digest: "d"}
			if rapid.Bool().Draw(r, "rule") {
				q = byRule(q)
			}
			v.Requests = append(v.Requests, q)
		}
		m := AlertCard(v)
		for _, p := range cardstest.Problems(m.Text, m.Blocks) {
			r.Error(p)
		}
		w := v.Finding
		w.Facts = append(w.Facts, finding.Fact{Label: s("new label"), Text: s("new fact")})
		w.Source, w.Severity = finding.Health, rapid.Float64().Draw(r, "new severity")
		for _, m := range []Message{note("%s", updateText(v.Finding, w)), Unreadable(&finding.Malformed{Product: v.Finding.Product, EventID: v.Finding.EventID, Cause: v.Finding.Text}, "", v.Alias)} {
			for _, p := range cardstest.Problems(m.Text, m.Blocks) {
				r.Error(p)
			}
		}
	})
}

func TestUpdateText(t *testing.T) {
	base := baseAlert(t).Finding
	for name, c := range map[string]struct {
		change func(*finding.Finding)
		want   string
	}{
		"nothing": {func(a *finding.Finding) { a.Updated, a.EventID = a.Updated.Add(time.Hour), "another" }, ""},
		"again": {func(a *finding.Finding) { a.Count, a.Last = 9, a.Last.Add(time.Hour) },
			"*Update*: seen 9 times, was 3 · last seen 2026-11-02 03:10:05 UTC"},
		"rose":         {func(a *finding.Finding) { a.Severity = 9 }, "*Update*: *severity rose from high to critical*"},
		"a little":     {func(a *finding.Finding) { a.Severity = 8.5 }, "*Update*: severity 8.5, was 8"},
		"fell":         {func(a *finding.Finding) { a.Severity = 2 }, "*Update*: severity 2, was 8"},
		"another told": {func(a *finding.Finding) { a.Source, a.Product = finding.SecurityHub, "Security Hub" }, "*Update*: Security Hub tells of it too"},
		"over":         {func(a *finding.Finding) { a.Over = true }, "*Update*: *AWS says it is over*"},
		"a new fact": {func(a *finding.Finding) {
			a.Facts = append(slices.Clone(a.Facts), finding.Fact{Label: "API calls", Text: "ListSecrets (7)"})
		}, "*Update*\n• API calls: ListSecrets (7)"},
		"hostile": {func(a *finding.Finding) {
			a.Source, a.Product, a.Facts = finding.Source(evil), "<!channel>", []finding.Fact{{Label: "\n> Action", Text: "<!channel>\nAction: approve"}}
		}, "*Update*: &lt;!channel&gt; tells of it too\n• &gt; Action: &lt;!channel&gt; Action: approve"},
	} {
		t.Run(name, func(t *testing.T) {
			now := base
			c.change(&now)
			if d := cmp.Diff(c.want, updateText(base, now)); d != "" {
				t.Errorf("updateText (-want +got):\n%s", d)
			}
		})
	}
}

func TestCouldNotBeRead(t *testing.T) {
	m := Unreadable(&finding.Malformed{Product: "GuardDuty", EventID: "a3fe38ad-06d5", Cause: "detail.severity is not a number"}, "", "the dead-letter queue of alerts")
	checkMessage(t, m)
	want := "*An event of GuardDuty could not be read*: Detail.severity is not a number. Event ID: a3fe38ad-06d5. It may be an alert that nobody sees: it is set aside in the dead-letter queue of alerts. More of this source are not told for an hour."
	if d := cmp.Diff(want, m.Text); d != "" {
		t.Errorf("Unreadable (-want +got):\n%s", d)
	}
	bare := Unreadable(&finding.Malformed{}, "", "set")
	if !strings.Contains(bare.Text, "an unknown source") || !strings.Contains(bare.Text, "Event ID: unknown") {
		t.Errorf("what is not known is not called so: %s", bare.Text)
	}
	checkMessage(t, Unreadable(&finding.Malformed{Product: evilLong, EventID: evilLong, Cause: evilLong}, evil, evilLong))
}
