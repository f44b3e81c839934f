package approvals

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Intent is what a request asks for: a call, or the undo of an earlier request.
type Intent struct {
	Call actions.Call `json:"call"`
	Undo string       `json:"undo,omitempty"` // ID of the request to take back
	// ReactivateKeys lets an undo give credentials back too. Otherwise keys that an
	// attacker may have stay inactive.
	ReactivateKeys bool `json:"reactivate_keys,omitempty"`
}

// Reactivate is what an undo's keys= may say.
const Reactivate = "reactivate"

// String is the line that the card shows in its block "call"; a vote's
// evidence must show the same.
func (i Intent) String() string {
	if i.Undo != "" {
		s := "undo " + i.Undo
		if i.ReactivateKeys {
			s += " keys=" + Reactivate
		}
		return s + ": " + i.Call.String()
	}
	return i.Call.String()
}

// Request is one row of the table requests.
type Request struct {
	ID       string `json:"id"`
	Version  int64  `json:"-"`        // of the row: every write's condition
	Revision int64  `json:"revision"` // counts what a card shows
	State    State  `json:"state"`

	Intent    Intent    `json:"intent"`
	Reason    string    `json:"reason"`
	Requester Actor     `json:"requester"`
	Evidence  string    `json:"evidence"` // key of the requester's evidence
	Asked     time.Time `json:"asked"`    // as the evidence says
	Expires   time.Time `json:"expires,omitzero"`
	// Ready is when a request was approved that needs nobody's approval.
	Ready time.Time `json:"ready,omitzero"`

	// Alert is what it was born of, Event the key of the event's evidence on whose
	// strength, and Release what lets it run.
	Alert string       `json:"alert,omitempty"`
	Event string       `json:"event,omitempty"`
	Mode  ApprovalMode `json:"mode,omitempty"`

	Need     int      `json:"need"`               // approvals
	Eligible []string `json:"eligible,omitempty"` // who could approve as of the plan; nobody else may
	Digest   string   `json:"digest,omitempty"`   // of the call; set when planned

	Votes     []Vote `json:"votes,omitempty"`
	Denial    *Vote  `json:"denial,omitempty"`
	Cancelled *Vote  `json:"cancelled,omitempty"`
	Retries   []Vote `json:"retries,omitempty"`

	Codes    []actions.Violation `json:"codes,omitempty"` // of refused, where the policy says no
	Cause    string              `json:"cause,omitempty"` // of refused, failed, partial, expired
	Hint     string              `json:"hint,omitempty"`  // what to do next
	UndoneBy string              `json:"undone_by,omitempty"`
	Ended    time.Time           `json:"ended,omitzero"`   // first time that it left the open states
	Closed   bool                `json:"closed,omitempty"` // its end is in the audit chain
	// RunVersion is the version of the run that the row reflects.
	RunVersion int64 `json:"run_version,omitempty"`

	Card Card `json:"card"`
}

// ReasonLine is what the card's block "why" says: whose reason it is, and the
// reason. A vote's evidence must show the same words.
func ReasonLine(person, reason string) string { return "Why (" + person + "): " + reason }

// SameWords compares texts by their letters and digits: what a chat does to
// spaces, quotes and signs is none of our business.
func SameWords(a, b string) bool {
	words := func(s string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return unicode.ToLower(r)
			}
			return -1
		}, s)
	}
	return words(a) == words(b)
}

// Actor is a person as they came to us.
type Actor struct {
	Person string `json:"person"` // people[].id
	Slack  string `json:"slack,omitempty"`
}

// Vote is one person's word on a request.
type Vote struct {
	Actor
	Evidence string    `json:"evidence"` // key of the evidence
	At       time.Time `json:"at"`       // as the evidence says
	Digest   string    `json:"digest"`   // of the call that was voted on
	Reason   string    `json:"reason,omitempty"`
}

// Card is where the request is shown, and how much of it.
type Card struct {
	Channel  string    `json:"channel"`
	Posting  time.Time `json:"posting,omitzero"` // when the first post was tried; TS is unknown after a crash in between
	TS       string    `json:"ts,omitempty"`
	Thread   string    `json:"thread,omitempty"`
	Revision int64     `json:"revision"`        // the revision that is drawn
	State    State     `json:"state,omitempty"` // the state that is drawn
	Lease    Lease     `json:"lease,omitzero"`  // of the worker that draws
	Fresh    bool      `json:"fresh,omitempty"` // the worker with the lease is the first to post
	DrawnAt  time.Time `json:"drawn_at,omitzero"`
	// Replies are the thread replies that were tried, by key; the value is the
	// message's ts, empty while unknown.
	Replies map[string]string `json:"replies,omitempty"`
}

// StartDrawing takes the card's lease. It returns false if another worker has it.
func (c *Card) StartDrawing(now time.Time, d time.Duration) bool {
	if !c.Lease.Take("", now, d) {
		return false
	}
	if c.Fresh = c.TS == "" && c.Posting.IsZero(); c.Fresh {
		c.Posting = now
	}
	return true
}

// Stale reports whether the card shows less than the request holds.
func (r Request) Stale() bool { return r.Card.Revision < r.Revision }

// crockford is Crockford's base 32: no I, L, O, U to misread at night.
// https://www.crockford.com/base32.html
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// ShortID is a prefix and 12 characters of the hash of a text.
func ShortID(prefix, text string) string {
	sum := sha256.Sum256([]byte(text))
	return prefix + crockford.EncodeToString(sum[:])[:12]
}

var requestID = regexp.MustCompile(`^KS-[0-9A-HJKMNP-TV-Z]{12}$`)

// IsRequestID reports whether s has the form of a request ID.
func IsRequestID(s string) bool { return requestID.MatchString(s) }

// RequestID derives a request's ID from its requester's evidence: the same
// evidence is the same request.
func RequestID(e Evidence) string {
	return ShortID("KS-", "killswitch request v1\n"+e.Key())
}

// IntentDigest is the hash of what is asked for.
func IntentDigest(i Intent) string { return HashOf("intent", i) }

// CallDigest is the hash of what is approved: this request, this intent, this
// very principal, under this policy, and for an undo this snapshot.
func CallDigest(id string, i Intent, target actions.Identity, e ActionPolicy, snapshot string) string {
	return HashOf("call", struct {
		ID, Intent, Target, Snapshot string
		Entry                        ActionPolicy
	}{id, IntentDigest(i), target.ID, snapshot, e})
}

// HashOf is the hash of a value's JSON; the kind keeps hashes of different things apart.
func HashOf(kind string, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only our own types come here
	}
	sum := sha256.Sum256(append([]byte("killswitch "+kind+" v1\n"), b...))
	return hex.EncodeToString(sum[:])
}

// UndoReason is the reason of an undo that was clicked.
func UndoReason(id string) string { return "undo of " + id }

var alertID = regexp.MustCompile(`^AL-[0-9A-HJKMNP-TV-Z]{12}$`)

// IsAlertID reports whether s has the form of an alert's ID.
func IsAlertID(s string) bool { return alertID.MatchString(s) }

// AlertID derives an alert's ID from its first name.
func AlertID(name string) string {
	return ShortID("AL-", "killswitch alert v1\n"+name)
}
