package approvals

// ApprovalMode is what lets a request run.
type ApprovalMode string

// The releases. OneClick is a route's approvals: 0: the requester's own click runs
// it. Automatic is a route's delivery: auto: the finding itself does, once its source
// has confirmed it.
const (
	TwoPerson ApprovalMode = ""
	OneClick  ApprovalMode = "click"
	Automatic ApprovalMode = "rule"
)

// AutomaticRequester is the requester of what no person asked for. Nobody in the roster
// may have this ID.
const AutomaticRequester = "automatic"

// The kinds of evidence that nobody signed. An event is kept so that what is
// asked on the strength of it can be compared with it; a rule is what our own
// configuration asks for on the strength of an event: its body is a [RuleRequest].
const (
	EventEvidence EvidenceKind = "event"
	RuleEvidence  EvidenceKind = "rule"
)

// RuleRequest is the body of RuleEvidence.
type RuleRequest struct {
	Alert  string `json:"alert"` // AL-…
	Event  string `json:"event"` // key of the event's evidence
	Intent Intent `json:"intent"`
}
