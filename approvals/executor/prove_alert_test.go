package executor_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/approvals/finding/findingtest"
)

const (
	detector  = "121afe7ce30de38d5a3a62f0a02dfd75"
	findingID = "f57a99a0add069bf27c347e38c934148"

	findingType = "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS"
	reason      = "GuardDuty " + findingType + " in " + prod + " " + region
)

var (
	alertID  = approvals.AlertID(findingID)
	revokeIt = approvals.Intent{Call: actions.Call{Action: actions.RevokeSessions, Target: appRole, Account: prod}}
	detachIt = approvals.Intent{Call: otherCall}
)

// severe is the severity from which the first route matches, with its one click and its
// rule; the second one asks people.
const severe = 7

// routing reads events that contain findings.
func routing(oneClick, auto bool) finding.Reader {
	first := finding.Route{Match: finding.Match{Source: finding.GuardDuty, MinSeverity: severe}, OneClick: oneClick, Delivery: finding.Propose}
	if auto {
		first.Delivery = finding.Auto
	}
	return finding.Reader{Sources: findingtest.Sources(), Routing: finding.Routing{Routes: []finding.Route{first, {Match: finding.Match{Source: finding.GuardDuty}}}}}
}

// guardDuty is what GuardDuty answers.
type guardDuty struct {
	Archived bool
	Finding  finding.Finding
}

// alerted is a world in which GuardDuty found something about app-role, and the route
// that posts it.
func alerted(t testing.TB, oneClick, auto bool, alter ...func(*world)) (*world, *finding.Route) {
	t.Helper()
	w := newWorld(t, append([]func(*world){func(w *world) { w.findings = routing(oneClick, auto) }}, alter...)...)
	w.saysGuardDuty(func(*guardDuty) {})
	return w, &w.findings.Routes[0]
}

// finding is what the event tells.
func (w *world) finding() finding.Finding {
	return finding.Finding{Source: finding.GuardDuty, Names: []string{findingID}, Type: findingType, Severity: 8, Updated: w.clock.Now().Add(-time.Hour), Account: prod, Region: region,
		Containments: []finding.Containment{{Call: revokeIt.Call}},
		Subject:      trail.Subject{By: "ResourceName", Value: "app-role"},
		Confirmation: source.Confirmation{Kind: source.ConfirmFinding, Account: prod, Region: region, Detector: detector, ID: findingID}}
}

// fits makes calls the containments that fit a finding.
func fits(f *finding.Finding, is ...approvals.Intent) {
	f.Containments = nil
	for _, i := range is {
		f.Containments = append(f.Containments, finding.Containment{Call: i.Call})
	}
}

// saysGuardDuty is what GuardDuty answers from now on.
func (w *world) saysGuardDuty(edit func(*guardDuty)) {
	w.t.Helper()
	g := guardDuty{Finding: w.finding()}
	edit(&g)
	said := findingtest.Said{Finding: g.Finding}
	if g.Archived {
		said.Bad = "it is archived"
	}
	w.aws.Account(prod).AddFinding(region, detector, string(findingtest.Answer(findingID, said)))
}

// parsed is the intent of a command's line.
func (w *world) parsed(line string) approvals.Intent {
	w.t.Helper()
	call, _, err := actions.Parse(line+" reason=x", w.cfg.Org.Directory())
	w.must(err)
	return approvals.Intent{Call: call}
}

// happened keeps an event.
func (w *world) happened(fs ...finding.Finding) string {
	w.t.Helper()
	var said []findingtest.Said
	for _, f := range fs {
		said = append(said, findingtest.Said{Finding: f})
	}
	b, err := json.Marshal(finding.Event{Body: findingtest.Event(said...)})
	w.must(err)
	return w.keeps(approvals.EventEvidence, string(b))
}

func (w *world) keeps(k approvals.EvidenceKind, body string) string {
	w.t.Helper()
	key, err := w.table().PutEvidence(w.t.Context(), approvals.Evidence{Kind: k, Timestamp: w.at(0), Body: body}, w.clock.Now())
	w.must(err)
	return key
}

// proposal is a click on the alert's card, not sent yet.
func (w *world) proposal(user, event string) *word {
	return &word{user: user, userTeam: acme, team: acme, app: ourApp, channel: channel, kind: "block_actions", container: "message", secret: signingSecret,
		actions: []approvals.SlackAction{{ID: approvals.Propose(actions.RevokeSessions), Value: alertID + "." + approvals.IntentDigest(revokeIt)}},
		blocks:  []block{plainBlock(approvals.OfferBlock(1), revokeIt.String()), plainBlock(approvals.OfferBlock(2), detachIt.String()), plainBlock(approvals.OneClickBlock, approvals.OneClickText)},
		row:     approvals.Request{Intent: revokeIt, Reason: reason, Alert: alertID, Event: event, Mode: approvals.OneClick}}
}

// ruling is what the configuration asks for by itself, not sent yet.
func (w *world) ruling(event string) (*word, *approvals.RuleRequest) {
	d, rule := w.proposal("", event), &approvals.RuleRequest{Alert: alertID, Event: event, Intent: revokeIt}
	d.row.Mode, d.row.Requester = approvals.Automatic, approvals.Actor{Person: approvals.AutomaticRequester}
	d.signed = func(e *approvals.Evidence) {
		b, err := json.Marshal(rule)
		w.must(err)
		e.Kind, e.Body, e.Signature = approvals.RuleEvidence, string(b), ""
	}
	return d, rule
}

// goes lets what somebody clicked, or a rule asked for, go its way.
func (w *world) goes(d *word) approvals.Request {
	w.t.Helper()
	r := w.bring(d)
	w.drain()
	return w.again(r)
}

// TestForgedProposalsAreRefused: a click on an alert's card asks for what the event
// lets its route offer, what the card showed and what the button says; else for nothing.
func TestForgedProposalsAreRefused(t *testing.T) {
	t.Parallel()
	value := func(alert, digest string) func(*world, *word) {
		return func(_ *world, d *word) { d.actions[0].Value = alert + "." + digest }
	}
	button := func(id string) func(*world, *word) {
		return func(_ *world, d *word) { d.actions[0].ID = id }
	}
	for name, c := range map[string]struct {
		forge func(*world, *word)
		why   string
	}{
		"another alert in the row":     {func(_ *world, d *word) { d.row.Alert = approvals.AlertID("x") }, "about another alert"},
		"another alert on the button":  {value(approvals.AlertID("x"), approvals.IntentDigest(revokeIt)), "about another alert"},
		"another intent on the button": {value(alertID, approvals.IntentDigest(detachIt)), "offer no such call"},
		"a button of another action":   {button("propose:detach_policies"), "the button asks for another action"},
		"a button that goes on":        {button("propose:revoke_sessions_all"), "the button asks for another action"},
		"a button with a wrong number": {button("propose:revoke_sessions:0"), "the button asks for another action"},
		"a button with a great number": {button("propose:revoke_sessions:100"), "the button asks for another action"},
		"a button with a word":         {button("propose:revoke_sessions:all"), "the button asks for another action"},
		"another button of the card":   {button("ack"), "the button asks for another action"},
		"a card that shows another": {func(_ *world, d *word) {
			d.blocks[0] = plainBlock(approvals.OfferBlock(1), "revoke_sessions of another")
		}, "the card did not show this call"},
		"a card that shows it twice":   {func(_ *world, d *word) { d.blocks[1] = plainBlock(approvals.OfferBlock(2), revokeIt.String()) }, "the card did not show this call"},
		"a card that shows none":       {func(_ *world, d *word) { d.blocks = nil }, "the card did not show this call"},
		"another intent in the row":    {func(_ *world, d *word) { d.row.Intent = detachIt }, "not what was asked for"},
		"another reason in the row":    {func(_ *world, d *word) { d.row.Reason = "because" }, "offer no such call"},
		"another person in the row":    {func(_ *world, d *word) { d.row.Requester.Person = "bob" }, "not what was asked for"},
		"an event that is gone":        {func(_ *world, d *word) { d.row.Event = strings.Repeat("0", 64) }, "no longer kept"},
		"something else than an event": {func(w *world, d *word) { d.row.Event = w.keeps(approvals.SlackEvidence, "[]") }, "it names no event"},
		"an event that can't be read":  {func(w *world, d *word) { d.row.Event = w.keeps(approvals.EventEvidence, "{") }, "the event can't be read"},
		"an event of nothing":          {func(w *world, d *word) { d.row.Event = w.happened() }, "offer no such call"},
		"an event with another reason": {func(w *world, d *word) { f := w.finding(); f.Type = "because"; d.row.Event = w.happened(f) }, "offer no such call"},
		"an event with other calls": {func(w *world, d *word) {
			f := w.finding()
			fits(&f, detachIt)
			d.row.Event = w.happened(f)
		}, "offer no such call"},
		"another time in the row":        {func(_ *world, d *word) { d.asks = func(r *approvals.Request) { r.Asked = r.Asked.Add(time.Minute) } }, "not what was asked for"},
		"another request's row":          {func(_ *world, d *word) { d.asks = func(r *approvals.Request) { r.ID = "KS-4G7QX2M9ZT0B" } }, "it is another request's"},
		"a request on the button":        {value("KS-4G7QX2M9ZT0B", approvals.IntentDigest(revokeIt)), "there is no request KS-4G7QX2M9ZT0B"},
		"nothing on the button":          {func(_ *world, d *word) { d.actions[0].Value = "" }, "the button names no request"},
		"no intent on the button":        {value(alertID, ""), "offer no such call"},
		"a card that shows it elsewhere": {func(_ *world, d *word) { d.blocks[0]["block_id"] = "title" }, "the card did not show this call"},
		"a card that shows it as mrkdwn": {func(_ *world, d *word) { mrkdwn(d.blocks[0]) }, "the card did not show this call"},
		"no event":                       {func(_ *world, d *word) { d.row.Event = "" }, "offers no such call"},
		"a Slack user whom nobody knows": {func(_ *world, d *word) { d.user = nobody }, "nobody in the roster"},
		"a click as an event":            {func(_ *world, d *word) { d.signed = kind(approvals.EventEvidence) }, `kind "event"`},
		"a click as a rule":              {func(_ *world, d *word) { d.signed = kind(approvals.RuleEvidence) }, "the rule can't be read"},
		"a Home tab":                     {func(_ *world, d *word) { d.container = "view" }, "it was not clicked on a message"},
		"two buttons at once":            {func(_ *world, d *word) { d.actions = append(d.actions, d.actions[0]) }, "it is not one click"},
		"a signature of another secret":  {func(_ *world, d *word) { d.secret = "guessed" }, "the signature is not Slack's"},
		"a user of another workspace":    {func(_ *world, d *word) { d.userTeam = "T99OTHER" }, "another workspace"},
		"somebody outside the group":     {func(_ *world, d *word) { d.user = mallory }, "not_requester"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, true)
			d := w.proposal(alice, w.happened(w.finding()))
			c.forge(w, d)
			r := w.bring(d)
			w.withoutAWS(w.drain)
			w.refused(r, c.why)
		})
	}
	t.Run("and beside another request's row the honest one runs", func(t *testing.T) {
		t.Parallel()
		w, _ := alerted(t, true, false)
		event := w.happened(w.finding())
		r := w.bring(w.proposal(alice, event))
		forged := r
		forged.ID = "KS-4G7QX2M9ZT0B"
		w.must(w.table().Create(t.Context(), forged))
		w.sends(approvals.JobPlan, forged)
		w.drain()
		w.refused(forged, "it is another request's")
		w.state(r, approvals.Contained)
	})
	t.Run("and an outage is not a no", func(t *testing.T) {
		t.Parallel()
		w, _ := alerted(t, true, true)
		r := w.bring(w.proposal(alice, w.happened(w.finding())))
		w.Requests.reads = func(k approvals.Key) error {
			if k.Part == "evidence#"+r.Event {
				return errOutage
			}
			return nil
		}
		w.drain()
		w.state(r, approvals.Planning)
		w.Requests.reads = nil
		w.pass(10 * time.Second)
		w.state(r, approvals.Contained)
	})
}

// mrkdwn makes a block's text one that Slack formats.
func mrkdwn(b block) { b["text"].(map[string]any)["type"] = "mrkdwn" }

// TestOneClickRunsOnlyWhereAllSaySo: the route of now, the card, the action and the
// row; otherwise people are asked, and the row can't change that later.
func TestOneClickRunsOnlyWhereAllSaySo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		route bool
		forge func(*world, *word)
		at    approvals.State
		held  string // why it does not run
	}{
		"all say so":                      {true, func(*world, *word) {}, approvals.Contained, ""},
		"the route asks people":           {false, func(*world, *word) {}, approvals.Pending, "the configuration does not let one click run this"},
		"the card did not say it":         {true, func(_ *world, d *word) { d.blocks = d.blocks[:2] }, approvals.Pending, "the card did not say that one click runs it"},
		"the card said something else":    {true, func(_ *world, d *word) { d.blocks[2] = plainBlock(approvals.OneClickBlock, "One click asks.") }, approvals.Pending, "the card did not say that one click runs it"},
		"the card said it as mrkdwn":      {true, func(_ *world, d *word) { mrkdwn(d.blocks[2]) }, approvals.Pending, "the card did not say that one click runs it"},
		"it was said in another block":    {true, func(_ *world, d *word) { d.blocks[2] = plainBlock("note", approvals.OneClickText) }, approvals.Pending, "the card did not say that one click runs it"},
		"the row names what there is not": {true, func(_ *world, d *word) { d.row.Mode = "magic" }, approvals.Pending, ""},
		"the row says that it needs nobody": {false, func(w *world, d *word) {
			d.asks = func(r *approvals.Request) { r.Need, r.Ready = 0, w.clock.Now().Add(-time.Hour) }
		}, approvals.Pending, ""},
		"the row asks people":  {true, func(_ *world, d *word) { d.row.Mode = approvals.TwoPerson }, approvals.Pending, ""},
		"the row names a rule": {true, func(_ *world, d *word) { d.row.Mode = approvals.Automatic }, approvals.Pending, ""},
		"it is about a whole account": {true, func(w *world, d *word) {
			all, f := w.parsed("revoke_sessions prod/ALL"), w.finding()
			fits(&f, all)
			d.row.Event, d.row.Intent, d.actions[0].Value = w.happened(f), all, alertID+"."+approvals.IntentDigest(all)
			d.blocks[0] = plainBlock(approvals.OfferBlock(1), all.String())
		}, approvals.Pending, "this action is never run by one click"},
		"another finding of the event lets it": {true, func(w *world, d *word) {
			f := w.finding()
			f.Severity = 5
			d.row.Event = w.happened(f, w.finding())
		}, approvals.Contained, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, c.route, false)
			d := w.proposal(alice, w.happened(w.finding()))
			c.forge(w, d)
			r := w.bring(d)
			w.drain()
			w.state(r, c.at)
			if c.at == approvals.Contained {
				if e, n := w.event(r, "released"); n != 1 || e.Actor != "alice" || e.Facts["by"] != "click" {
					t.Errorf("released %d times: %+v", n, e)
				}
				return
			}
			if r = w.again(r); r.Need != 1 || r.Mode != approvals.TwoPerson {
				t.Errorf("it needs %d, release %q", r.Need, r.Mode)
			}
			w.edit(r, func(r *approvals.Request) {
				r.State, r.Mode, r.Need, r.Ready = approvals.Approved, approvals.OneClick, 0, w.clock.Now()
			})
			w.withoutAWS(func() { w.job(w.executor, approvals.JobRun, r) })
			w.refused(r, "there are 0 proved approvals of the 1 needed")
			w.untouched()
			// What is approved after all is run by people.
			w.clock.Add(time.Minute)
			d = w.proposal(alice, w.happened(w.finding()))
			c.forge(w, d)
			r = w.bring(d)
			w.drain()
			if name != "it is about a whole account" {
				w.state(w.clicks(bob, r, "approve"), approvals.Contained)
				if _, n := w.event(r, "released"); n != 0 {
					t.Error("it says that it was released")
				}
			}
		})
	}
}

// notGentle are calls that nothing but people's approval lets run.
var notGentle = []string{"revoke_sessions prod/ALL", "revoke_sessions prod/ALL via=scp", "apply_scp prod", "delete_role " + appRole + " confirm=app-role"}

// TestOneClickRunsNothingThatIsNotGentle, even if the configuration lets it.
func TestOneClickRunsNothingThatIsNotGentle(t *testing.T) {
	t.Parallel()
	for _, line := range notGentle {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, true, inOrganization())
			f := w.finding()
			fits(&f, w.parsed(line))
			i := approvals.Intent{Call: f.Containments[0].Call}
			d := w.proposal(alice, w.happened(f))
			d.row.Intent, d.actions = i, []approvals.SlackAction{{ID: approvals.Propose(i.Call.Action), Value: alertID + "." + approvals.IntentDigest(i)}}
			d.blocks[0] = plainBlock(approvals.OfferBlock(1), i.String())
			r := w.state(w.goes(d), approvals.Pending)
			if r.Need != 1 || r.Mode != approvals.TwoPerson {
				t.Errorf("it needs %d, release %q", r.Need, r.Mode)
			}
			w.untouched()
		})
	}
}

// TestForgedRulesAreRefused: nobody signs a rule, so it has to fit its row, its event
// and the configuration.
func TestForgedRulesAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		forge func(*world, *word, *approvals.RuleRequest)
		why   string
	}{
		"another alert":             {func(_ *world, _ *word, r *approvals.RuleRequest) { r.Alert = approvals.AlertID("x") }, "not what the rule asks for"},
		"another event":             {func(w *world, _ *word, r *approvals.RuleRequest) { r.Event = w.happened(w.finding(), w.finding()) }, "not what the rule asks for"},
		"a row of a click":          {func(_ *world, d *word, _ *approvals.RuleRequest) { d.row.Mode = approvals.OneClick }, "the stored request was altered"},
		"a row of people":           {func(_ *world, d *word, _ *approvals.RuleRequest) { d.row.Mode = approvals.TwoPerson }, "the stored request was altered"},
		"a row of a person":         {func(_ *world, d *word, _ *approvals.RuleRequest) { d.row.Requester.Person = "alice" }, "not what was asked for"},
		"an intent of its own":      {func(_ *world, d *word, r *approvals.RuleRequest) { d.row.Intent, r.Intent = detachIt, detachIt }, "offer no such call"},
		"another intent":            {func(_ *world, _ *word, r *approvals.RuleRequest) { r.Intent = detachIt }, "offer no such call"},
		"another intent in the row": {func(_ *world, d *word, _ *approvals.RuleRequest) { d.row.Intent = detachIt }, "not what was asked for"},
		"another reason in the row": {func(_ *world, d *word, _ *approvals.RuleRequest) { d.row.Reason = "because" }, "offer no such call"},
		"no event":                  {func(_ *world, d *word, r *approvals.RuleRequest) { d.row.Event, r.Event = "", "" }, "too old"},
		"as an event": {func(_ *world, d *word, _ *approvals.RuleRequest) {
			d.signed = after(d.signed, kind(approvals.EventEvidence))
		}, `kind "event"`},
		"in Slack's name": {func(_ *world, d *word, _ *approvals.RuleRequest) {
			d.signed = after(d.signed, kind(approvals.SlackEvidence))
		}, "the signature is not Slack's"},
		"nonsense": {func(_ *world, d *word, _ *approvals.RuleRequest) {
			d.signed = func(e *approvals.Evidence) { e.Kind, e.Body = approvals.RuleEvidence, "nonsense" }
		}, "the rule can't be read"},
		"of no time": {func(_ *world, d *word, _ *approvals.RuleRequest) { d.signed = after(d.signed, timed("soon")) }, "timestamp"},
		"from the future": {func(w *world, d *word, _ *approvals.RuleRequest) {
			d.signed = after(d.signed, timed(w.at(6*time.Minute)))
		}, "it is from the future"},
		"past": {func(w *world, d *word, _ *approvals.RuleRequest) {
			d.signed = after(d.signed, timed(w.at(-31*time.Minute)))
		}, "past_expiry"},
		"of a finding for people": {func(w *world, d *word, r *approvals.RuleRequest) {
			f := w.finding()
			f.Severity = 5
			d.row.Event = w.happened(f)
			r.Event = d.row.Event
		}, "does not let this finding contain by itself"},
		"of a finding that is not sure": {func(w *world, d *word, r *approvals.RuleRequest) {
			f := w.finding()
			f.Containments[0].Unsure = "It is a name."
			d.row.Event = w.happened(f)
			r.Event = d.row.Event
		}, "does not let this finding contain by itself"},
		"of an action that can't be taken back": {func(w *world, _ *word, _ *approvals.RuleRequest) {
			w.executor.Actions = func(n actions.Name) (actions.Action, bool) {
				a, ok := catalog.Lookup(n)
				return irreversible{a}, ok
			}
		}, "this action never runs by itself"},
		"of a whole account": {func(w *world, d *word, r *approvals.RuleRequest) {
			all := w.parsed("revoke_sessions prod/ALL")
			f := w.finding()
			fits(&f, all)
			d.row.Event, d.row.Intent, r.Intent = w.happened(f), all, all
			r.Event = d.row.Event
		}, "this action never runs by itself"},
		"of a finding in another account": {func(w *world, d *word, r *approvals.RuleRequest) {
			f := w.finding()
			f.Confirmation.Account = "333333333333"
			d.row.Event = w.happened(f)
			r.Event = d.row.Event
		}, "in another account than the finding"},
		"over the cap": {func(w *world, _ *word, _ *approvals.RuleRequest) { w.executor.AutoPerHour = 0 }, "the cap of 0 automatic containments an hour"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, true)
			d, rule := w.ruling(w.happened(w.finding()))
			c.forge(w, d, rule)
			r := w.bring(d)
			w.withoutAWS(w.drain)
			w.refused(r, c.why)
		})
	}
	t.Run("that the route does not let run", func(t *testing.T) {
		t.Parallel()
		w, _ := alerted(t, true, false)
		d, _ := w.ruling(w.happened(w.finding()))
		r := w.bring(d)
		w.withoutAWS(w.drain)
		w.refused(r, "does not let this finding contain by itself")
	})
	for _, line := range notGentle {
		t.Run("of an action that two people release: "+line, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, true)
			f := w.finding()
			fits(&f, w.parsed(line))
			d, rule := w.ruling(w.happened(f))
			rule.Intent = approvals.Intent{Call: f.Containments[0].Call}
			d.row.Intent = rule.Intent
			r := w.bring(d)
			w.withoutAWS(w.drain)
			w.refused(r, "this action never runs by itself")
		})
	}
	t.Run("four minutes of difference between clocks are none", func(t *testing.T) {
		t.Parallel()
		w, _ := alerted(t, false, true)
		d, _ := w.ruling(w.happened(w.finding()))
		d.signed = after(d.signed, timed(w.at(4*time.Minute)))
		r := w.bring(d)
		w.drain()
		w.state(r, approvals.Contained)
		if e, n := w.event(r, "released"); n != 1 || e.Actor != approvals.AutomaticRequester || e.Facts["by"] != "rule" {
			t.Errorf("released %d times: %+v", n, e)
		}
	})
}

// irreversible is an action that can't be taken back.
type irreversible struct{ actions.Action }

func (a irreversible) Spec() actions.Spec {
	s := a.Action.Spec()
	s.Reversible = false
	return s
}

// after forges evidence in two ways, one after the other.
func after(first, second func(*approvals.Evidence)) func(*approvals.Evidence) {
	return func(e *approvals.Evidence) { first(e); second(e) }
}

// TestModeIsCheckedAgainBeforeTheRun: what lets a request run without approval has
// to do so when it is claimed, not only when it was planned.
func TestModeIsCheckedAgainBeforeTheRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule   bool
		change func(*world, *finding.Route, approvals.Request)
		why    string // empty: it runs
		asks   bool   // GuardDuty first
	}{
		"click: nothing":                   {change: func(*world, *finding.Route, approvals.Request) {}},
		"click: the route asks people now": {change: func(_ *world, o *finding.Route, _ approvals.Request) { o.OneClick = false }, why: "the configuration does not let one click run this"},
		"click: the row asks people": {change: func(w *world, _ *finding.Route, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Mode = approvals.TwoPerson })
		}, why: "the stored request was altered"},
		"click: another alert": {change: func(w *world, _ *finding.Route, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Alert = approvals.AlertID("x") })
		}, why: "about another alert"},
		"click: another event": {change: func(w *world, _ *finding.Route, r approvals.Request) {
			event := w.happened(w.finding(), w.finding())
			w.edit(r, func(r *approvals.Request) { r.Event = event })
		}, why: "the stored request was altered"},
		"click: too late": {change: func(w *world, _ *finding.Route, _ approvals.Request) { w.clock.Add(5*time.Minute + time.Second) }, why: "past_expiry"},
		"click: in time":  {change: func(w *world, _ *finding.Route, _ approvals.Request) { w.clock.Add(5 * time.Minute) }},
		"click: the account is protected": {change: func(w *world, _ *finding.Route, _ approvals.Request) {
			w.executor.Org.ProtectedAccounts = []string{prod}
		}, why: "protected by the configuration"},
		"click: the clicker left the group": {change: func(w *world, _ *finding.Route, _ approvals.Request) {
			w.executor.Policy.Roster.Groups["responders"] = []string{"bob", "carol"}
		}, why: "not_requester"},

		"rule: nothing":            {rule: true, change: func(*world, *finding.Route, approvals.Request) {}},
		"rule: the route asks now": {rule: true, change: func(_ *world, o *finding.Route, _ approvals.Request) { o.Delivery = finding.Propose }, why: "does not let this finding contain by itself"},
		"rule: the cap is lower": {rule: true, change: func(w *world, _ *finding.Route, _ approvals.Request) {
			w.executor.AutoPerHour = 0
		}, why: "the cap of 0 automatic containments an hour"},
		"rule: GuardDuty is slow": {rule: true, change: func(w *world, _ *finding.Route, _ approvals.Request) {
			w.answers("guardduty:GetFindings", apiError("ThrottlingException"), times(2))
		}},
		"rule: archived": {rule: true, asks: true, change: func(w *world, _ *finding.Route, _ approvals.Request) {
			w.saysGuardDuty(func(g *guardDuty) { g.Archived = true })
		}, why: "it is archived"},
		"rule: another finding": {rule: true, asks: true, change: func(w *world, _ *finding.Route, _ approvals.Request) {
			w.saysGuardDuty(func(g *guardDuty) { g.Finding.Names = []string{"another"} })
		}, why: "told of another finding"},
		"rule: less severe": {rule: true, asks: true, change: func(w *world, _ *finding.Route, _ approvals.Request) {
			w.saysGuardDuty(func(g *guardDuty) { g.Finding.Severity = 5 })
		}, why: "does not let it run without a second person"},
		"rule: of another target": {rule: true, asks: true, change: func(w *world, _ *finding.Route, _ approvals.Request) {
			w.saysGuardDuty(func(g *guardDuty) { fits(&g.Finding, detachIt) })
		}, why: "does not let it run without a second person"},
		"rule: a day old": {rule: true, asks: true, change: func(w *world, _ *finding.Route, _ approvals.Request) {
			w.saysGuardDuty(func(g *guardDuty) { g.Finding.Updated = w.clock.Now().Add(-24*time.Hour - time.Second) })
		}, why: "more than a day ago"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, o := alerted(t, true, true)
			d := w.proposal(alice, w.happened(w.finding()))
			if c.rule {
				d, _ = w.ruling(w.happened(w.finding()))
			}
			r := w.bring(d)
			w.clears()
			if d := cmp.Diff([]sent{{Job: approvals.Job{Verb: approvals.JobRun, ID: r.ID}}}, w.job(w.executor, approvals.JobPlan, r)); d != "" {
				t.Error(d)
			}
			w.clears()
			w.state(r, approvals.Approved)
			c.change(w, o, r)
			run := func() { w.job(w.executor, approvals.JobRun, r) }
			if c.why == "" {
				run()
				w.state(r, approvals.Contained)
				return
			}
			if c.asks {
				run()
			} else {
				w.withoutAWS(run)
			}
			w.refused(r, c.why)
			w.untouched()
		})
	}
}

// TestRetryOfARequestWithoutApprover: it needs its release to hold under the configuration
// of now, and its row to be what was planned. The source is not asked again.
func TestRetryOfARequestWithoutApprover(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		people, rule bool
		change       func(*world, *finding.Route, approvals.Request)
		why          string // empty: it runs
	}{
		"nothing": {change: func(*world, *finding.Route, approvals.Request) {}},
		"of a rule, archived since": {rule: true, change: func(w *world, _ *finding.Route, _ approvals.Request) {
			w.saysGuardDuty(func(g *guardDuty) { g.Archived = true })
		}},
		"the route asks people now": {change: func(_ *world, o *finding.Route, _ approvals.Request) { o.OneClick = false }, why: "the configuration does not let one click run this"},
		"the row asks people": {change: func(w *world, _ *finding.Route, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Mode = "" })
		}, why: "the stored request was altered"},
		"the click is gone": {change: func(w *world, _ *finding.Route, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Evidence = strings.Repeat("0", 64) })
		}, why: "the stored request was altered"},
		"approved by people, another alert in the row": {people: true, change: func(w *world, _ *finding.Route, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Alert = approvals.AlertID("x") })
		}, why: "the stored request was altered"},
		"approved by people, another event in the row": {people: true, change: func(w *world, _ *finding.Route, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Event = strings.Repeat("0", 64) })
		}, why: "the stored request was altered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, o := alerted(t, !c.people, true)
			mend := w.breaks("iam:PutRolePolicy")
			d := w.proposal(alice, w.happened(w.finding()))
			if c.rule {
				d, _ = w.ruling(w.happened(w.finding()))
			}
			r := w.bring(d)
			w.drain()
			if c.people {
				w.clicks(bob, r, "approve")
			}
			mend()
			w.state(r, approvals.Partial)
			w.clock.Add(time.Minute)
			retry := w.button(carol, r, "retry")
			if c.rule { // no app asked for it
				retry.app = "A02NEW"
			}
			c.change(w, o, r)
			w.bring(retry)
			if c.why == "" {
				w.drain()
				w.state(r, approvals.Contained)
				return
			}
			w.withoutAWS(w.drain)
			if r = w.state(r, approvals.Partial); !strings.Contains(r.Cause, c.why) {
				t.Errorf("told %q, want %q", r.Cause, c.why)
			}
			w.attempts(r, 1)
		})
	}
}
