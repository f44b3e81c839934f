package approvals

import (
	"context"
	"crypto/rand"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Trouble is what a zone found wrong when it looked at its own part of the installation.
type Trouble struct {
	Check string `json:"check"` // what was looked at: slack, canary, ingress, roles, …
	Found string `json:"found"` // what is wrong
	Mend  string `json:"mend"`  // what to do
}

// CheckCanary and CheckIngress are the checks of the canary: its message, and its forged click.
const (
	CheckCanary  = "canary"
	CheckIngress = "ingress"
)

// HealthCheck is the daily check, as the bot keeps it: there is one row.
type HealthCheck struct {
	Version int64     `json:"-"`
	ID      string    `json:"id"`
	Begun   time.Time `json:"begun"`
	Forged  string    `json:"forged"`         // key of the evidence that the executor must refuse
	Lease   Lease     `json:"lease,omitzero"` // of the sweep that looks, or tells
	Own     []Trouble `json:"own,omitempty"`  // the bot's
	Looked  time.Time `json:"looked,omitzero"`
	Asked   time.Time `json:"asked,omitzero"` // when the executor was last sent the job
	Ended   time.Time `json:"ended,omitzero"`
	Found   []Trouble `json:"found,omitempty"` // all, by the last check that has ended
	Untold  bool      `json:"untold,omitempty"`
	Told    time.Time `json:"told,omitzero"`     // when people were last told of trouble that is not over
	ToldOf  []string  `json:"told_of,omitempty"` // what that was
}

// HealthFound is what the executor found: it alone writes this row, of which there is one.
type HealthFound struct {
	ID    string    `json:"id"`
	Ended time.Time `json:"ended,omitzero"`
	Found []Trouble `json:"found,omitempty"`
}

// The rows of the daily check: in the table requests, and in the table runs.
var (
	HealthCheckKey = Key{Part: "health", Sort: "check"}
	HealthFoundKey = Key{Part: "health", Sort: "found"}
)

// HealthCheck reads the daily check. It returns the zero value if there was none.
func (t Requests) HealthCheck(ctx context.Context) (h HealthCheck, err error) {
	h.Version, err = Find(ctx, t.Store, HealthCheckKey, &h)
	return h, err
}

const healthPrefix = "health-"

// HealthID names the check that begins at a time.
func HealthID(begun time.Time) string { return healthPrefix + strconv.FormatInt(begun.Unix(), 10) }

// HealthBegun reads a [HealthID].
func HealthBegun(id string) (begun time.Time, ok bool) {
	text, ok := strings.CutPrefix(id, healthPrefix)
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(n, 0), ok && err == nil && HealthID(time.Unix(n, 0)) == id
}

// CanaryID stands where a click has the ID of a request. It is none, and can't be one: whoever copies the canary's
// click has one that does nothing, even if it were let in.
const CanaryID = "KS-CANARY"

// CanaryBody is the canary's click, always the same. Ingress knows it by this.
var CanaryBody = "payload=" + url.QueryEscape(`{"type":"block_actions","container":{"type":"message"},"actions":[{"action_id":"approve","value":"`+CanaryID+`.0"}]}`)

// ForgeCanary is the canary's click as somebody forges it who has no signing secret.
func ForgeCanary(now time.Time) Evidence {
	e := Evidence{Kind: SlackEvidence, Timestamp: strconv.FormatInt(now.Unix(), 10), Body: CanaryBody}
	e.Signature = SignSlack(rand.Text(), e.Timestamp, e.Body)
	return e
}
