package finding

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// Source is the name of an EventSource, as routes match it.
type Source string

// Mark says that a finding is not a real one; empty for one that is.
type Mark string

// The marks. A sample is GuardDuty's own; a mock comes from an awsmock source; a
// drill was sent by our own people.
const (
	Sample Mark = "SAMPLE"
	Mock   Mark = "MOCK"
	Drill  Mark = "DRILL"
)

// Finding is what an event means. All its texts are from outside and untrusted.
type Finding struct {
	Source  Source `json:"source"`
	Product string `json:"product"` // the source, as people call it
	Mark    Mark   `json:"mark,omitempty"`
	EventID string `json:"event_id"` // the envelope's
	// Names identify the finding again. The first is its own: the finding's
	// account/region/ID. The others ("key/AKIA…") it shares with findings of other sources
	// about the same thing. Drills and mocks have other names than real findings.
	Names []string `json:"names"`
	// Actors are names of who did it, a principal or a key in the finding's account: findings
	// of one actor become one alert for a while. Findings that anybody may import have others.
	Actors []string `json:"actors,omitempty"`

	Type     string  `json:"type"`     // as the product that found it spells it, for routes
	Title    string  `json:"title"`    // what happened, in plain English
	Text     string  `json:"text"`     // more words about it; may be empty
	Severity float64 `json:"severity"` // 0 to 10, as GuardDuty counts
	// Quiet findings are posted only by a route with a type that matches: a route without
	// a type does not match them.
	Quiet bool `json:"quiet,omitempty"`
	// Change is set for what is on CloudTrail's list: what stops defences, makes lasting access or gives
	// data to others. A route selects it by the type "change".
	Change bool `json:"change,omitempty"`
	// OwnRole is the session's name of a write under the name of one of our own member roles, which is a
	// request's ID if we made it; empty for other findings. It is a finding only if no request explains
	// it, which the bot knows.
	OwnRole string `json:"own_role,omitempty"`
	// Over says that the source calls the matter settled: such a finding changes an alert,
	// and creates none.
	Over bool `json:"over,omitempty"`

	Partition string `json:"partition"`
	Account   string `json:"account"`
	Region    string `json:"region"`
	Principal string `json:"principal"` // "role web-tier-role, session i-0d3e…"; may be empty
	Resource  string `json:"resource"`  // "instance i-0d3e… (web-1)"; may be empty
	Facts     []Fact `json:"facts"`     // the evidence that decides, most telling first
	Link      string `json:"link"`      // the finding in the console; may be empty

	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	Updated time.Time `json:"updated"` // by the source: a report with an earlier time is late
	Count   int       `json:"count"`   // 1 or more

	Containments []Containment `json:"containments,omitempty"` // the containments that fit, strongest first
	ByHand       []string      `json:"by_hand,omitempty"`      // why there is none for something, and what to do instead

	// Subject is whose recent activity can be looked up; the zero value for nobody's.
	Subject trail.Subject `json:"subject,omitzero"`
	// Exposed is set for an access key that was published: its activity is looked up
	// without a click.
	Exposed bool `json:"exposed,omitempty"`
	// Confirmation says where the source can be asked to confirm the finding. Without it
	// nothing runs without a second person.
	Confirmation source.Confirmation `json:"confirmation,omitzero"`

	// Of a write under our own role's name: "iam:PutRolePolicy", and the texts in the call and its
	// answer. They are read again with the event, so they are not stored.
	Call    string   `json:"-"`
	Touches []string `json:"-"`
	Allows  bool     `json:"-"` // a policy among them does more than deny

	// A Reader sets these from its configuration. They are not stored, since the
	// configuration may change.
	Route   *Route `json:"-"` // nil if nothing is posted
	Trusted bool   `json:"-"` // the sender of its event may make it contain by itself
}

// Same reports whether two findings are versions of the same one, by the same source.
func (f Finding) Same(as Finding) bool { return f.Source == as.Source && f.Own() == as.Own() }

// By reports whether a role of its account is among its actors.
func (f Finding) By(role string) bool {
	return slices.Contains(f.Actors, f.Account+"/role/"+strings.ToLower(role))
}

// Offers are the containments that its card offers: none without a route.
func (f Finding) Offers() approvals.Offers {
	if f.Route == nil {
		return nil
	}
	return f.Route.Offers(f)
}

// unsure says why a target is not sure; empty for one that is. An attacker can make a
// target unsure, for example by a session's name: this does not stop the others.
func (f Finding) unsure(target string) string {
	for _, c := range f.Containments {
		if c.Unsure != "" && c.Call.Target == target {
			return c.Unsure
		}
	}
	return ""
}

// Fact is one line of evidence.
type Fact struct {
	Label string `json:"label"`
	Text  string `json:"text"`
}

// Containment is a containment that fits a finding.
type Containment struct {
	Call actions.Call `json:"call"`
	// Extra is set for a containment that is offered only if the route suggests its
	// action.
	Extra bool `json:"extra,omitempty"`
	// Unsure is set for a target that the source does not confirm, for example if only a
	// name identifies it that an attacker can choose: it says why, in a sentence for the
	// card. It is offered to people and never runs without a second one.
	Unsure string `json:"unsure_because,omitempty"`
}

// Own is the finding's own name.
func (f Finding) Own() string { return f.Names[0] }

// The severities from which a finding is critical or high.
const (
	Critical = 9.0
	High     = 7.0
)

// Level is a severity in words.
func Level(severity float64) string {
	switch {
	case severity >= Critical:
		return "critical"
	case severity >= High:
		return "high"
	case severity >= 4:
		return "medium"
	case severity >= 1:
		return "low"
	}
	return "info"
}

// ErrIgnored is wrapped by errors of Read for events that are no findings: events of
// kinds that are not listed, archived findings, calls of AWS services.
var ErrIgnored = errors.New("ignored")

// Malformed says that an event of a listed source can't be read. People are told at
// most once an hour for each source, and the event is set aside.
type Malformed struct {
	Source  Source // empty if no source was found
	Product string // the source, as people call it
	EventID string // may be empty; untrusted
	Cause   string // what is wrong, in words, without the event's content
}

func (m *Malformed) Error() string { return "event can't be read: " + m.Cause }
