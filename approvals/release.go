package approvals

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
