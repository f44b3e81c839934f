package local_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

const (
	region    = "us-east-1"
	detector  = "121afe7ce30de38d5a3a62f0a02dfd75"
	findingID = "f57a99a0add069bf27c347e38c934148"
	because   = "GuardDuty: credentials of app-role were used elsewhere"
)

var (
	alertID  = approvals.AlertID(findingName)
	revokeIt = actions.Call{Action: actions.RevokeSessions, Target: appRole, Account: prod}
)

const findingName = prod + "/" + region + "/" + findingID

// tale is a finding as the events of these tests tell it. What becomes of it is
// the routes' matter.
type tale struct {
	Name     string
	Reason   string
	Calls    []actions.Call
	Sighting source.Sighting
	Subject  trail.Subject
	Updated  time.Time
	Other    bool // matches a route that asks people
	Unsure   bool // the source does not vouch for the targets
}

// routes understand tales. They are the configuration of these tests.
type routes struct {
	mu       sync.Mutex
	oneClick bool
	auto     bool
}

func (o *routes) Read(event string) ([]finding.Finding, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var tales []tale
	if err := json.Unmarshal([]byte(event), &tales); err != nil {
		return nil, err
	}
	var fs []finding.Finding
	for _, t := range tales {
		f := finding.Finding{Name: t.Name, Reason: t.Reason, OneClick: o.oneClick && !t.Other, Auto: o.auto && !t.Other, Account: prod, Subject: t.Subject, Sighting: t.Sighting, Updated: t.Updated}
		for _, c := range t.Calls {
			f.Intents = append(f.Intents, approvals.Intent{Call: c})
			if t.Unsure {
				f.Unsure = append(f.Unsure, approvals.IntentDigest(approvals.Intent{Call: c}))
			}
		}
		fs = append(fs, f)
	}
	return fs, nil
}

// Confirm reads what GuardDuty says: from severity 7 on findings contain by
// themselves.
func (o *routes) Confirm(f finding.Finding, raw []byte) (finding.Finding, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f.Auto = o.auto
	if f.Sighting.Kind == source.OfKey {
		return f, nil
	}
	var said struct {
		Severity float64   `json:"severity"`
		Sample   bool      `json:"sample"`
		Archived bool      `json:"archived"`
		Role     string    `json:"role"`
		Name     string    `json:"name"` // of another finding
		Unsure   bool      `json:"unsure"`
		Updated  time.Time `json:"updatedAt"`
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return f, err
	}
	if said.Archived {
		return f, errors.New("it is archived")
	}
	f.Auto, f.Updated = o.auto && said.Severity >= 7 && !said.Sample, said.Updated
	if said.Name != "" {
		f.Name = said.Name
	}
	if said.Unsure {
		f.Unsure = []string{approvals.IntentDigest(f.Intents[0])}
	}
	if said.Role != "app-role" {
		f.Intents = nil
	}
	return f, nil
}

// foundIn is GuardDuty's word on the finding.
func (w *world) foundIn(edit ...func(map[string]any)) {
	said := map[string]any{"id": findingID, "severity": 8, "role": "app-role", "updatedAt": w.clock.Now().Add(-time.Hour)}
	for _, f := range edit {
		f(said)
	}
	b, err := json.Marshal(said)
	w.must(err)
	w.aws.Account(prod).AddFinding(region, detector, string(b))
}

// alerted is a world in which a finding of app-role came in.
func alerted(t testing.TB, oneClick, auto bool, alter ...func(*world)) (*world, *routes) {
	t.Helper()
	o := &routes{oneClick: oneClick, auto: auto}
	w := newWorld(t, append([]func(*world){func(w *world) { w.findings, w.perHour = o, 5 }}, alter...)...)
	w.foundIn()
	// A digest lists it: its requests are no replies to a card.
	w.must(alerts.Table{Requests: approvals.Requests{Store: w.Requests}}.Create(t.Context(), alerts.Alert{ID: alertID, Names: []string{findingName}, State: alerts.Open, Digest: "DG",
		Reports: []alerts.Report{{Name: findingName, Event: w.happened(w.story()), Alert: []byte(`{}`)}}}))
	return w, o
}

// story is what the event tells unless a test says otherwise.
func (w *world) story() tale {
	return tale{Name: findingName, Reason: because, Calls: []actions.Call{revokeIt}, Updated: w.clock.Now().Add(-time.Hour),
		Subject:  trail.Subject{By: "ResourceName", Value: "app-role"},
		Sighting: source.Sighting{Kind: source.OfFinding, Account: prod, Region: region, Detector: detector, ID: findingID}}
}

// happened keeps an event and returns its key.
func (w *world) happened(tales ...tale) string {
	w.t.Helper()
	b, err := json.Marshal(tales)
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
		"channel": map[string]any{"id": channel}, "message": map[string]any{"ts": "1.1", "blocks": p.blocks},
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
