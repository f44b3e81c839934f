package approvals

import (
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Release is what lets a request run.
type Release string

// The releases. ByClick is a route's approvals: 0: the requester's own click runs
// it. ByRule is a route's delivery: auto: the finding itself does, once its source
// has confirmed it.
const (
	ByPeople Release = ""
	ByClick  Release = "click"
	ByRule   Release = "rule"
)

// Automatic is the requester of what no person asked for. Nobody in the roster
// may have this ID.
const Automatic = "automatic"

// The kinds of evidence that nobody signed. An event is kept so that what is
// asked on the strength of it can be compared with it; a rule is what our own
// configuration asks for on the strength of an event: its body is a [Ruled].
const (
	EventEvidence EvidenceKind = "event"
	RuleEvidence  EvidenceKind = "rule"
)

// Ruled is the body of RuleEvidence.
type Ruled struct {
	Alert  string `json:"alert"` // AL-…
	Event  string `json:"event"` // key of the event's evidence
	Intent Intent `json:"intent"`
}

// Finding is what approvals need to know of an alert: what the configuration
// lets be done about it, and how.
type Finding struct {
	Source   string // who told of it, as routes name it
	Name     string // its own name; the same for the same finding
	Reason   string // of requests that are born of it
	Intents  []Intent
	OneClick bool      // a click on one of the intents runs it
	Auto     bool      // intents run by themselves, once the finding is confirmed
	Unsure   []string  // digests of the intents that don't: their target is not what the source vouches for
	Updated  time.Time // when its source last told of it; what is old is not contained by itself
	Account  string
	Subject  actions.Subject
	Sighting actions.Sighting
}

// Runs reports whether an intent runs by itself. An attacker can make one unsure,
// with a session's name for instance: that must not stop the others.
func (f Finding) Runs(i Intent) bool {
	return f.Auto && !slices.Contains(f.Unsure, IntentDigest(i))
}

// Offer finds the intent of a digest among those that the finding offers.
func (f Finding) Offer(digest string) (Intent, bool) {
	i := slices.IndexFunc(f.Intents, func(i Intent) bool { return IntentDigest(i) == digest })
	if i < 0 {
		return Intent{}, false
	}
	return f.Intents[i], true
}

// Findings understands events; bot/alert has it. The configuration is part of it.
type Findings interface {
	// Read says what the body of EventEvidence tells. It returns an error for
	// what can't be read, and nothing for what no route posts.
	Read(event string) ([]Finding, error)
	// Confirm reads a finding anew from what its source says of it: raw is what
	// [actions.Cloud.Sight] returned. It returns an error if that is another
	// finding, or one that is over.
	Confirm(f Finding, raw []byte) (Finding, error)
}
