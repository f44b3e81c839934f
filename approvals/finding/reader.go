package finding

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// Event is an event as it got here: the body of approvals.EventEvidence.
type Event struct {
	Body    json.RawMessage `json:"body"`              // one EventBridge event
	Drill   string          `json:"drill,omitempty"`   // a drill's name, new for each; empty for what is not one
	Webhook string          `json:"webhook,omitempty"` // the webhook that brought it; empty for the queue alerts
}

// Reader reads events under a configuration.
type Reader struct {
	Routing
	Org actions.Org
	// AutoWebhooks may bring what contains by itself.
	AutoWebhooks []string
}

// Alerts reads what an event tells: one alert, or of Security Hub several. Its
// errors are *[Malformed] and [ErrIgnored]. Where only some of an event's findings
// can be read, it returns those, and a *Malformed about the others.
func (r Reader) Alerts(e Event) ([]Alert, error) {
	top, err := parse(e.Body)
	if err != nil {
		return nil, &Malformed{Cause: err.Error()}
	}
	env, src := open(top)
	bad := func(cause string) error {
		return &Malformed{Source: src.name, EventID: brief(env.id, maxEventID), Cause: brief(cause, maxCause)}
	}
	if p := top.problems(); p != "" {
		return nil, bad(p)
	}
	if src.read == nil {
		return nil, fmt.Errorf("%w: no source takes it", ErrIgnored)
	}
	alerts, err := src.read(r, env)
	if p := top.problems(); p != "" {
		return nil, bad(p)
	}
	for i := range alerts {
		r.finish(&alerts[i], e.Drill, env)
		if alerts[i].Updated.IsZero() {
			return nil, bad("time is missing")
		}
	}
	if err != nil && !errors.Is(err, ErrIgnored) {
		err = bad(err.Error())
	}
	return alerts, err
}

// open reads the envelope and finds who reads the rest; the zero source where
// nobody does.
func open(top node) (envelope, eventSource) {
	e := envelope{id: top.at("id").text(), source: top.at("source").must().text(), detailType: top.at("detail-type").must().text()}
	listed := e.source
	if e.mock = isMock(e.source); e.mock {
		listed = "aws." + e.source[len(mockPrefix):]
	}
	i := slices.IndexFunc(sources, func(s eventSource) bool { return s.takes(listed, e.detailType) })
	if i < 0 {
		return e, eventSource{}
	}
	top.at("id").must()
	e.account = top.at("account").must().account()
	e.region = top.at("region").region()
	e.time = top.at("time").time()
	e.detail = top.at("detail").must().opened()
	return e, sources[i]
}

// Read implements approvals.Findings. Of an event that can be read in part it
// returns that part.
func (r Reader) Read(event string) ([]Finding, error) {
	var e Event
	if err := json.Unmarshal([]byte(event), &e); err != nil {
		return nil, &Malformed{Cause: fmt.Sprintf("not an event's evidence, %d bytes", len(event))}
	}
	alerts, err := r.Alerts(e)
	if len(alerts) == 0 && !errors.Is(err, ErrIgnored) {
		return nil, err
	}
	var fs []Finding
	for _, a := range alerts {
		if f, ok := r.finding(a, e.Webhook == "" || slices.Contains(r.AutoWebhooks, e.Webhook)); ok {
			fs = append(fs, f)
		}
	}
	return fs, nil
}

// finding is what the route of an alert lets be done about it; trusted says that
// who brought it may make it run by itself. There is none without a route.
func (r Reader) finding(a Alert, trusted bool) (Finding, bool) {
	route, ok := r.Route(a)
	if !ok {
		return Finding{}, false
	}
	f := Finding{
		Source: string(a.Source), Name: a.Own(), Reason: reason(a), Updated: a.Updated,
		Account: a.Account, Subject: a.Subject, Sighting: a.Sighting,
	}
	for _, o := range route.Offers(a) {
		f.Intents = append(f.Intents, o.Intent)
	}
	f.OneClick = route.OneClick && a.Mark == ""
	for _, i := range f.Intents {
		if slices.ContainsFunc(a.Offers, func(o Offer) bool { return o.Unsure && i.Call.Target == o.Call.Target }) {
			f.Unsure = append(f.Unsure, approvals.IntentDigest(i))
		}
	}
	// What can't be asked at its source contains nothing by itself.
	f.Auto = route.Delivery == Auto && a.Mark == "" && !a.Over && trusted && a.Sighting.Kind != "" && len(f.Intents) > len(f.Unsure)
	return f, true
}

// Confirm implements approvals.Findings. A finding that Security Hub told of is
// confirmed by GuardDuty, and what GuardDuty says decides; the route is still
// Security Hub's.
func (r Reader) Confirm(f Finding, raw []byte) (Finding, error) {
	var src eventSource
	switch f.Sighting.Kind {
	case source.OfFinding:
		src = guardDuty
	case source.OfEvent:
		src = cloudTrail
	case source.OfKey:
		return f, nil
	default:
		return Finding{}, fmt.Errorf("nobody can be asked about %s", f.Name)
	}
	detail, err := parse(raw)
	if err != nil {
		return Finding{}, err
	}
	env := envelope{account: f.Sighting.Account, region: f.Sighting.Region, detail: detail.opened()}
	alerts, err := src.read(r, env)
	switch p := detail.problems(); {
	case p != "":
		return Finding{}, errors.New("the source's answer can't be read: " + p)
	case err != nil:
		return Finding{}, fmt.Errorf("the source's answer: %w", err)
	case len(alerts) != 1:
		return Finding{}, fmt.Errorf("the source's answer tells of %d findings", len(alerts))
	}
	a := alerts[0]
	r.finish(&a, "", env)
	switch {
	case !slices.Contains(a.Names, f.Name):
		return Finding{}, fmt.Errorf("the source told of another finding than %s", f.Name)
	case a.Mark != "" || a.Over:
		return Finding{}, fmt.Errorf("%s is a sample, or over", f.Name)
	}
	a.Source, a.Names[0] = Source(f.Source), f.Name
	now, ok := r.finding(a, f.Auto)
	if !ok {
		return Finding{}, fmt.Errorf("no route posts %s any more: %w", f.Name, ErrIgnored)
	}
	now.OneClick = now.OneClick && f.OneClick
	return now, nil
}
