package approvals

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// EvidenceKind is the channel that evidence came by.
type EvidenceKind string

// The kinds. STS evidence is a signed GetCallerIdentity from the command line.
const (
	SlackEvidence EvidenceKind = "slack"
	STSEvidence   EvidenceKind = "sts"
)

// Evidence is what somebody sent, with its signature.
type Evidence struct {
	Kind      EvidenceKind `json:"kind"`
	Timestamp string       `json:"timestamp"` // X-Slack-Request-Timestamp: Unix seconds
	Signature string       `json:"signature"` // X-Slack-Signature
	Body      string       `json:"body"`      // as received
}

// Key names the evidence: the hash of its kind, timestamp and body.
func (e Evidence) Key() string {
	sum := sha256.Sum256([]byte(string(e.Kind) + "\n" + e.Timestamp + "\n" + e.Body))
	return hex.EncodeToString(sum[:])
}

// At is the time of the signature.
func (e Evidence) At() (time.Time, error) {
	s, err := strconv.ParseInt(e.Timestamp, 10, 64)
	if err != nil {
		return time.Time{}, Unproven("timestamp")
	}
	return time.Unix(s, 0).UTC(), nil
}

// Unproven is the refusal for evidence that does not prove what is claimed.
func Unproven(format string, args ...any) *actions.Refusal {
	return &actions.Refusal{Reason: "evidence does not hold: " + fmt.Sprintf(format, args...), Hint: "ask again with /killswitch"}
}

// Verifier checks that evidence of one kind is genuine. It returns an
// *[actions.Refusal] if it is not, and another error if that can't be checked.
type Verifier interface {
	Verify(ctx context.Context, e Evidence) error
}

// SlackVerifier checks Slack's signature, and that of ingress, which has the same secret, of what came with
// a webhook's key.
// https://docs.slack.dev/authentication/verifying-requests-from-slack
type SlackVerifier struct {
	// Secrets are tried in order: the current one, and while it is rotated the previous.
	Secrets func(context.Context) ([]string, error)
	// Refresh reloads the secrets if none of them fits; nil: there is nothing to
	// reload.
	Refresh func(context.Context) ([]string, error)
}

// Verify implements Verifier.
func (v SlackVerifier) Verify(ctx context.Context, e Evidence) error {
	sign, whose := SignSlack, "Slack's"
	if e.Kind == WebhookEvidence {
		sign, whose = SignWebhook, "ingress'"
	} else if e.Kind != SlackEvidence {
		return Unproven("%s is not Slack's", e.Kind)
	}
	for _, get := range []func(context.Context) ([]string, error){v.Secrets, v.Refresh} {
		if get == nil {
			continue
		}
		secrets, err := get(ctx)
		if err != nil {
			return fmt.Errorf("signing secret: %w", err)
		}
		for _, secret := range secrets {
			want := sign(secret, e.Timestamp, e.Body)
			if secret != "" && want != "" && hmac.Equal([]byte(e.Signature), []byte(want)) {
				return nil
			}
		}
	}
	return Unproven("the signature is not %s", whose)
}

// Kinds are the kinds of evidence that it verifies.
func (v SlackVerifier) Kinds() map[EvidenceKind]Verifier {
	return map[EvidenceKind]Verifier{SlackEvidence: v, WebhookEvidence: v}
}

// SignSlack is Slack's signature of a body.
func SignSlack(secret, timestamp, body string) string {
	return "v0=" + signed(secret, "v0:"+timestamp+":"+body)
}

func signed(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// ClockSkew is how far the clock of an event's source, or of the other zone, may be ahead
// of ours.
const ClockSkew = audit.ClockSkew
