package finding

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
)

// Event is an event as it got here: the body of approvals.EventEvidence.
type Event struct {
	Body    json.RawMessage `json:"body"`              // one EventBridge event
	Drill   string          `json:"drill,omitempty"`   // a drill's name, new for each; empty for what is not one
	Webhook string          `json:"webhook,omitempty"` // the webhook that brought it; empty for the queue alerts
}

// Stored is the body of approvals.EventEvidence that ReadStored reads.
func (e Event) Stored() (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // each < would take six bytes
	err := enc.Encode(e)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// Reader reads events under a configuration.
type Reader struct {
	Routing
	Org actions.Org
	// AutoWebhooks may bring events that contain by themselves.
	AutoWebhooks []string
	// Sources read the events; nil for all that there are.
	Sources []EventSource
}

func (r Reader) sources() []EventSource {
	if r.Sources == nil {
		return Sources()
	}
	return r.Sources
}

// Read reads an event: one finding, or of Security Hub several. Its errors are
// *[Malformed] and [ErrIgnored]. If only some of an event's findings can be read, it
// returns those, and a *Malformed about the others.
func (r Reader) Read(e Event) ([]Finding, error) {
	top, err := parse(e.Body)
	if err != nil {
		return nil, &Malformed{Cause: err.Error()}
	}
	env, src := r.open(top)
	env.Raw = e.Body
	bad := func(cause string) error {
		return &Malformed{Source: src.Name, Product: src.Product, EventID: brief(env.id, maxEventID), Cause: brief(cause, maxCause)}
	}
	if p := top.problems(); p != "" {
		return nil, bad(p)
	}
	if src.Read == nil {
		return nil, fmt.Errorf("%w: no source takes it", ErrIgnored)
	}
	fs, err := src.Read(r, env)
	if p := top.problems(); p != "" {
		return nil, bad(p)
	}
	for i := range fs {
		f := &fs[i]
		r.finish(f, src, e.Drill, env)
		if f.Updated.IsZero() {
			return nil, bad("time is missing")
		}
		f.Route, f.Trusted = r.RouteOf(*f), e.Webhook == "" || slices.Contains(r.AutoWebhooks, e.Webhook)
		if f.Confirmation.Kind == source.ConfirmKey && e.Webhook != "" {
			f.Confirmation = source.Confirmation{} // that a key exists does not make true what a webhook says of it
		}
	}
	if err != nil && !errors.Is(err, ErrIgnored) {
		err = bad(err.Error())
	}
	return fs, err
}

// open reads the envelope and finds the source that reads the rest; the zero one if
// there is none.
func (r Reader) open(top node) (Envelope, EventSource) {
	e := Envelope{id: top.at("id").text(), source: top.at("source").required().text(), detailType: top.at("detail-type").required().text()}
	listed := e.source
	if e.mock = isMock(e.source); e.mock {
		listed = "aws." + e.source[len(mockPrefix):]
	}
	sources := r.sources()
	i := slices.IndexFunc(sources, func(s EventSource) bool { return s.Takes(listed, e.detailType) })
	if i < 0 {
		return e, EventSource{}
	}
	top.at("id").required()
	e.account = top.at("account").required().account()
	e.region = top.at("region").region()
	e.time = top.at("time").time()
	e.detail = top.at("detail").required().opened()
	return e, sources[i]
}

// ReadStored reads the body of approvals.EventEvidence. It returns the findings that
// have a route; of an event that can be read in part, those of that part.
func (r Reader) ReadStored(body string) ([]Finding, error) {
	var e Event
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		return nil, &Malformed{Cause: fmt.Sprintf("not an event's evidence, %d bytes", len(body))}
	}
	fs, err := r.Read(e)
	if len(fs) == 0 && !errors.Is(err, ErrIgnored) {
		return nil, err
	}
	return slices.DeleteFunc(fs, func(f Finding) bool { return f.Route == nil }), nil
}

// Confirm reads a finding anew from the answer of its source: raw is the result of
// [source.Confirm]. It returns an error if the answer is about another finding, or if
// the finding is over.
func (r Reader) Confirm(f Finding, raw []byte) (Finding, error) {
	if f.Confirmation.Kind == source.ConfirmKey {
		return f, nil
	}
	sources := r.sources()
	i := slices.IndexFunc(sources, func(s EventSource) bool { return s.Confirms != "" && s.Confirms == f.Confirmation.Kind })
	if i < 0 {
		return Finding{}, fmt.Errorf("nobody can be asked about %s", f.Own())
	}
	detail, err := parse(raw)
	if err != nil {
		return Finding{}, err
	}
	env := Envelope{Raw: raw, account: f.Confirmation.Account, region: f.Confirmation.Region, detail: detail.opened()}
	fs, err := sources[i].Read(r, env)
	switch p := detail.problems(); {
	case p != "":
		return Finding{}, errors.New("the source's answer can't be read: " + p)
	case err != nil:
		return Finding{}, fmt.Errorf("the source's answer: %w", err)
	case len(fs) != 1:
		return Finding{}, fmt.Errorf("the source's answer tells of %d findings", len(fs))
	}
	now := fs[0]
	r.finish(&now, sources[i], "", env)
	switch {
	case now.Own() != f.Own():
		return Finding{}, fmt.Errorf("the source told of another finding than %s", f.Own())
	case now.Mark != "" || now.Over:
		return Finding{}, fmt.Errorf("%s is a sample, or over", f.Own())
	}
	if now.Route = r.RouteOf(now); now.Route == nil {
		return Finding{}, fmt.Errorf("no route posts %s any more: %w", f.Own(), ErrIgnored)
	}
	now.Trusted = f.Trusted
	return now, nil
}
