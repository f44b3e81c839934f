package local_test

import (
	"encoding/json"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/approvals/finding/findingtest"
)

const (
	region    = "us-east-1"
	detector  = "121afe7ce30de38d5a3a62f0a02dfd75"
	findingID = "f57a99a0add069bf27c347e38c934148"

	findingType = "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS"
	because     = "GuardDuty " + findingType + " in " + prod + " " + region
)

var (
	alertID  = approvals.AlertID(findingName)
	revokeIt = actions.Call{Action: actions.RevokeSessions, Target: appRole, Account: prod}
)

const findingName = prod + "/" + region + "/" + findingID

// foundIn is GuardDuty's answer about the finding.
func (w *world) foundIn() {
	w.aws.Account(prod).AddFinding(region, detector, string(findingtest.Answer(findingID, findingtest.Said{Finding: w.story()})))
}

// alerted is a world in which a finding of app-role came in.
func alerted(t testing.TB, oneClick, auto bool, alter ...func(*world)) *world {
	t.Helper()
	route := finding.Route{Match: finding.Match{Source: finding.GuardDuty}, OneClick: oneClick, Delivery: finding.Propose}
	if auto {
		route.Delivery = finding.Auto
	}
	w := newWorld(t, append([]func(*world){func(w *world) {
		w.findings = &finding.Reader{Sources: findingtest.Sources(), Org: w.cfg.Org, Routing: finding.Routing{Routes: []finding.Route{route}}}
		w.perHour = 5
	}}, alter...)...)
	w.foundIn()
	// A digest lists it: its requests are no replies to a card.
	w.must(alerts.Table{Requests: approvals.Requests{Store: w.Requests}}.Create(t.Context(), alerts.Alert{ID: alertID, Names: []string{findingName}, State: alerts.Open, DigestID: "DG",
		Reports: []alerts.Report{{Finding: w.story(), Event: w.happened(w.story())}}}))
	return w
}

// story is the finding of the event.
func (w *world) story() finding.Finding {
	return finding.Finding{Source: finding.GuardDuty, Names: []string{findingName}, Type: findingType, Severity: 8, Updated: w.clock.Now().Add(-time.Hour), Account: prod, Region: region,
		Containments: []finding.Containment{{Call: revokeIt}},
		Subject:      trail.Subject{By: "ResourceName", Value: "app-role"},
		Confirmation: source.Confirmation{Kind: source.ConfirmFinding, Account: prod, Region: region, Detector: detector, ID: findingID}}
}

// happened keeps an event and returns its key.
func (w *world) happened(f finding.Finding) string {
	w.t.Helper()
	b, err := json.Marshal(finding.Event{Body: findingtest.Event(findingtest.Said{Finding: f})})
	w.must(err)
	key, err := approvals.Requests{Store: w.Requests}.PutEvidence(w.t.Context(), approvals.Evidence{Kind: approvals.EventEvidence, Timestamp: strconv.FormatInt(w.clock.Now().Unix(), 10), Body: string(b)}, w.clock.Now())
	w.must(err)
	return key
}

// proposal is a click on an alert's card, and the row that the bot makes of it.
type proposal struct {
	user, userTeam  string
	actionID, value string
	blocks          []map[string]any
	evidence        approvals.Evidence // to be altered once it is signed
	row             approvals.Request
}

func plainBlock(id, text string) map[string]any {
	return map[string]any{"type": "section", "block_id": id, "text": map[string]any{"type": "plain_text", "text": text}}
}

// proposed is alice's click on revoke_sessions of a one-click card.
func (w *world) proposed(event string) *proposal {
	i := approvals.Intent{Call: revokeIt}
	return &proposal{
		user: "U01ALICE", userTeam: "T01ACME", actionID: "propose:revoke_sessions", value: alertID + "." + approvals.IntentDigest(i),
		blocks: []map[string]any{plainBlock("call:1", i.String()), plainBlock("call:2", "isolate_instance i-0d3e1a5b7c9f20001"), plainBlock(approvals.OneClickBlock, approvals.OneClickText)},
		row: approvals.Request{State: approvals.Planning, Intent: i, Reason: because, Requester: approvals.Actor{Person: "alice", Slack: "U01ALICE"},
			Alert: alertID, Event: event, Mode: approvals.OneClick, Card: approvals.Card{Channel: channel}},
	}
}

// sign makes the evidence of a click.
func (w *world) sign(p *proposal) {
	w.t.Helper()
	payload, err := json.Marshal(map[string]any{
		"type": "block_actions", "api_app_id": "A01APP", "team": map[string]any{"id": "T01ACME"}, "user": map[string]any{"id": p.user, "team_id": p.userTeam},
		"channel": map[string]any{"id": channel}, "container": map[string]any{"type": "message"}, "message": map[string]any{"ts": "1.1", "blocks": p.blocks},
		"actions": []map[string]any{{"action_id": p.actionID, "value": p.value}}})
	w.must(err)
	ts, body := strconv.FormatInt(w.clock.Now().Unix(), 10), "payload="+url.QueryEscape(string(payload))
	p.evidence = approvals.Evidence{Kind: approvals.SlackEvidence, Timestamp: ts, Signature: approvals.SignSlack("test-secret", ts, body), Body: body}
}

// ruled is the row that the bot makes of a route's delivery: auto, and its evidence.
func (w *world) ruled(event string) *proposal {
	w.t.Helper()
	p := w.proposed(event)
	p.row.Mode, p.row.Requester = approvals.Automatic, approvals.Actor{Person: approvals.AutomaticRequester}
	w.rule(p, approvals.RuleRequest{Alert: alertID, Event: event, Intent: p.row.Intent})
	return p
}

func (w *world) rule(p *proposal, r approvals.RuleRequest) {
	w.t.Helper()
	body, err := json.Marshal(r)
	w.must(err)
	p.evidence = approvals.Evidence{Kind: approvals.RuleEvidence, Timestamp: strconv.FormatInt(w.clock.Now().Unix(), 10), Body: string(body)}
}

// store keeps a proposal as the bot would, and returns its request, not planned yet.
func (w *world) store(p *proposal) approvals.Request {
	w.t.Helper()
	table := approvals.Requests{Store: w.Requests}
	key, err := table.PutEvidence(w.t.Context(), p.evidence, w.clock.Now())
	w.must(err)
	r := p.row
	r.ID, r.Evidence, r.Need = approvals.RequestID(p.evidence), key, 1
	if r.Asked.IsZero() {
		r.Asked, err = p.evidence.At()
		w.must(err)
	}
	r.Expires = r.Asked.Add(30 * time.Minute)
	w.must(table.Create(w.t.Context(), r))
	return w.get(r.ID)
}

// job does one job of a request and nothing else.
func (w *world) job(v approvals.Verb, id string) {
	w.t.Helper()
	w.must(w.zones.Executor.Handle(w.t.Context(), approvals.Job{Verb: v, ID: id}))
}
