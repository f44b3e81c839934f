package approvals

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Intent is the content of a request: a call, or the undo of an earlier request.
type Intent struct {
	Call actions.Call `json:"call"`
	Undo string       `json:"undo,omitempty"` // ID of the request to take back
	// ReactivateKeys lets an undo give credentials back too. Otherwise keys that an
	// attacker may have stay inactive.
	ReactivateKeys bool `json:"reactivate_keys,omitempty"`
}

// Reactivate is the only value of an undo's keys=.
const Reactivate = "reactivate"

// String is the text of the card's block "call". A vote counts only if its evidence
// shows this text.
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

// Request is a row of the table requests.
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
	// Ready is when a request without an approver became approved.
	Ready time.Time `json:"ready,omitzero"`

	// Alert is the alert that led to the request, Event the key of its event's
	// evidence.
	Alert string       `json:"alert,omitempty"`
	Event string       `json:"event,omitempty"`
	Mode  ApprovalMode `json:"mode,omitempty"`

	// Overrules are people whose denial of the same call this request overrules: they have
	// no vote on it.
	Overrules []string `json:"overrules,omitempty"`

	Need     int      `json:"need"`               // approvals
	NeedSTS  bool     `json:"need_sts,omitempty"` // one of them from the command line
	Eligible []string `json:"eligible"`           // who may approve, as of the plan; nil before
	Digest   string   `json:"digest,omitempty"`   // of the call; set when planned
	// Found is the target as the plan found it: of a key, its user.
	Found actions.Identity `json:"found,omitzero"`

	Votes     []Vote `json:"votes,omitempty"`
	Denial    *Vote  `json:"denial,omitempty"`
	Cancelled *Vote  `json:"cancelled,omitempty"`
	Retries   []Vote `json:"retries,omitempty"`
	Watch     *Vote  `json:"watch,omitempty"` // the last click that extends the watch
	// BreakGlass is the word of who asked that they act alone, Review the last click of who has looked at that.
	BreakGlass *Vote `json:"break_glass,omitempty"`
	Review     *Vote `json:"review,omitempty"`

	Codes    []actions.Violation `json:"codes,omitempty"` // of refused, where the policy says no
	Cause    string              `json:"cause,omitempty"` // of refused, failed, partial, expired
	Hint     string              `json:"hint,omitempty"`  // what to do next
	UndoneBy string              `json:"undone_by,omitempty"`
	// UndoAsked is when somebody last asked for its undo.
	UndoAsked time.Time `json:"undo_asked,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`   // when it first left the open states
	Closed    bool      `json:"closed,omitempty"` // its end is in the audit chain
	// RunRevision is the revision of the run that was copied last.
	RunRevision int64 `json:"run_revision,omitempty"`

	Card Card `json:"card"`
	// Second is the card where the request was asked for, if that is not the first's channel.
	// Who has the lease on the first draws both.
	Second Card `json:"second,omitzero"`
}

// CardIn is the request's card in a channel, or else the first.
func (r Request) CardIn(channel string) Card {
	if r.Second.TS != "" && r.Second.Channel == channel {
		return r.Second
	}
	return r.Card
}

// ReasonLine is the text of the card's block "why". A vote counts only if its evidence
// shows the same words.
func ReasonLine(person, reason string) string { return "Why (" + person + "): " + reason }

// SameWords compares texts by their letters and digits only, because Slack changes
// spaces, quotes and other signs.
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

// Actor is a person and the account they used.
type Actor struct {
	Person string `json:"person"` // people[].id
	Slack  string `json:"slack,omitempty"`
}

// Vote is a person's approval, denial, cancellation or retry.
type Vote struct {
	Actor
	Evidence string    `json:"evidence"` // key of the evidence
	At       time.Time `json:"at"`       // as the evidence says
	Digest   string    `json:"digest"`   // of the call that was voted on
	Reason   string    `json:"reason,omitempty"`
	Signed   bool      `json:"signed,omitempty"` // at the command line
}

// Card is the message that shows a request, and what it shows.
type Card struct {
	Channel  string    `json:"channel"`
	Posting  time.Time `json:"posting,omitzero"` // when the first post was tried; after a crash TS may be missing
	TS       string    `json:"ts,omitempty"`
	Link     string    `json:"link,omitempty"` // to the message, as Slack says
	Thread   string    `json:"thread,omitempty"`
	Planning string    `json:"planning,omitempty"` // an earlier card, to be marked as moved once this one is posted
	Revision int64     `json:"revision"`           // the revision that is drawn
	State    State     `json:"state,omitempty"`    // the state that is drawn
	Lease    Lease     `json:"lease,omitzero"`     // of the worker that draws
	Fresh    bool      `json:"fresh,omitempty"`    // no earlier post was tried
	DrawnAt  time.Time `json:"drawn_at,omitzero"`
	// Replies maps the keys of thread replies to their ts, "" if the post was tried and
	// its ts is unknown.
	Replies map[string]string `json:"replies,omitempty"`
}

// permalink is the form of a message's address in Slack.
// https://docs.slack.dev/reference/methods/chat.getPermalink
var permalink = actions.NewPattern(`^https://[a-z0-9-]+(?:\.enterprise)?\.slack(?:-gov)?\.com/archives/([CG][A-Z0-9]{2,30})/p([0-9]+)` +
	`(?:\?thread_ts=[0-9]+\.[0-9]+&cid=([CG][A-Z0-9]{2,30}))?$`)

// Permalink is the card's link if it is Slack's own to this very message; otherwise it is
// empty.
func (c Card) Permalink() string {
	m := permalink.FindStringSubmatch(c.Link)
	if m == nil || m[1] != c.Channel || m[2] != strings.Replace(c.TS, ".", "", 1) || m[3] != "" && m[3] != c.Channel {
		return ""
	}
	return c.Link
}

// StartDrawing takes the card's lease. It returns false if another worker has it.
func (c *Card) StartDrawing(now time.Time, d time.Duration) bool {
	if !c.Lease.Take("", now, d) {
		return false
	}
	c.begin(now)
	return true
}

// begin notes that the card may be posted from now on.
func (c *Card) begin(now time.Time) {
	if c.Fresh = c.TS == "" && c.Posting.IsZero(); c.Fresh {
		c.Posting = now
	}
}

// NotBegun notes that the card was not tried to be posted after all.
func (c *Card) NotBegun() {
	if c.Fresh {
		c.Posting = time.Time{}
	}
}

// StartDrawing is [Card.StartDrawing] for both cards of a request.
func (r *Request) StartDrawing(now time.Time, d time.Duration) bool {
	if !r.Card.StartDrawing(now, d) {
		return false
	}
	if r.Second.Channel != "" {
		r.Second.begin(now)
	}
	return true
}

// Keep replaces a stored card by one that its worker has changed since it took the lease,
// which held until then. It returns false if another worker has the lease by now.
func (c *Card) Keep(changed Card, held time.Time) bool {
	if !c.Lease.Until.Equal(held) {
		return false
	}
	*c = changed
	return true
}

// Stale reports whether the card is out of date.
func (r Request) Stale() bool { return r.Card.Revision < r.Revision }

// crockford is Crockford's base 32: no I, L, O, U to misread at night.
// https://www.crockford.com/base32.html
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// ShortID returns a prefix and 12 characters of the hash of a text.
func ShortID(prefix, text string) string {
	sum := sha256.Sum256([]byte(text))
	return prefix + crockford.EncodeToString(sum[:])[:12]
}

var requestID = regexp.MustCompile(`^KS-[0-9A-HJKMNP-TV-Z]{12}$`)

// IsRequestID reports whether s has the form of a request ID.
func IsRequestID(s string) bool { return requestID.MatchString(s) }

// ApprovedAt is when the request was approved: at the last vote, or if it needs none, when
// it was planned.
func (r Request) ApprovedAt() time.Time {
	last := r.Ready
	if r.BreakGlass != nil {
		last = later(last, r.BreakGlass.At)
	}
	for _, v := range r.Votes {
		last = later(last, v.At)
	}
	if last.IsZero() {
		return r.Asked
	}
	return last
}

// No returns the vote that denied or cancelled the request, and which of both it is; nil
// if there is none.
func (r Request) No() (*Vote, State) {
	if r.Denial != nil {
		return r.Denial, Denied
	}
	return r.Cancelled, Cancelled
}

// SayNo denies or cancels the request. What is contained in part stays so.
func (r *Request) SayNo(to State, v Vote, now time.Time) error {
	if to == Denied {
		r.Denial = &v
	} else {
		r.Cancelled = &v
	}
	r.Closed = false // the executor has to record it
	if r.State.Missed() && !r.State.EndedByNo(r.Intent) {
		r.Revise()
		return nil
	}
	return r.To(to, now)
}

// joinedLate reports whether a person was not among those who could approve when it was planned.
func (r Request) joinedLate(person string) bool {
	return r.Eligible != nil && !slices.Contains(r.Eligible, person)
}

// retryable reports whether a run left something to do: a goal, or a supporting step.
func (r Request) retryable() bool { return r.State.Missed() || r.State == Contained && r.Cause != "" }

// MayRetry reports whether the request may be retried at a time, whoever asks.
func (r Request) MayRetry(now time.Time) bool {
	no, _ := r.No()
	return no == nil && r.retryable() && !now.After(r.RetryUntil())
}

// RetryUntil is the end of the time in which the request may be retried.
func (r Request) RetryUntil() time.Time { return r.ApprovedAt().Add(RetryWithin) }

// RequestID derives a request's ID from the requester's evidence, so that one piece of
// evidence makes one request. What a webhook sends twice is one request, too.
func RequestID(e Evidence) string {
	if e.Kind == WebhookEvidence {
		w, _, err := ReadWebhook(e)
		at, wrong := e.At()
		if err == nil && wrong == nil {
			return w.requestID(at)
		}
	}
	return ShortID("KS-", "killswitch request v1\n"+e.Key())
}

// IntentDigest is the hash of an intent.
func IntentDigest(i Intent) string { return HashOf("intent", i) }

// CallDigest is the hash of what an approval is for: the request, its intent, the
// target's immutable ID, the configuration's content that is written, what it may replace, the
// policy, and for an undo the snapshot.
func CallDigest(id string, i Intent, p actions.Plan, e ActionPolicy, snapshot string) string {
	return HashOf("call", struct {
		ID, Intent, Target, Bound, Snapshot string
		Replaces                            string `json:",omitempty"`
		Entry                               ActionPolicy
	}{id, IntentDigest(i), p.Identity.ID, p.Bound.Hash, snapshot, p.Replaces, e})
}

// HashOf is the hash of a value's JSON, different for each kind.
func HashOf(kind string, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only our own types come here
	}
	sum := sha256.Sum256(append([]byte("killswitch "+kind+" v1\n"), b...))
	return hex.EncodeToString(sum[:])
}

// UndoReason is the reason of an undo by a click.
func UndoReason(id string) string { return "undo of " + id }

var alertID = regexp.MustCompile(`^AL-[0-9A-HJKMNP-TV-Z]{12}$`)

// IsAlertID reports whether s has the form of an alert's ID.
func IsAlertID(s string) bool { return alertID.MatchString(s) }

// AlertID derives an alert's ID from its first name.
func AlertID(name string) string {
	return ShortID("AL-", "killswitch alert v1\n"+name)
}
