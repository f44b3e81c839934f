package approvals

// ApprovalMode is the way a request is approved.
type ApprovalMode string

// The modes. OneClick (a route with approvals: 0): the requester's click on an alert's
// card runs it. Automatic (a route with delivery: auto): the finding runs it. Both only
// after the finding's source has confirmed it.
const (
	TwoPerson ApprovalMode = ""
	OneClick  ApprovalMode = "click"
	Automatic ApprovalMode = "rule"
)

// AutomaticRequester is the requester of automatic requests. Nobody in the roster may
// have this ID.
const AutomaticRequester = "automatic"

// The kinds of evidence without a signature. An event is stored so that requests that
// refer to it can be compared with it. A rule is the request of a route for an event;
// its body is a [RuleRequest].
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
