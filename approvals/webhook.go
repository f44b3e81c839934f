package approvals

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// WebhookEvidence is what came with a webhook's key. Nobody behind ingress can check a key, so ingress signs
// what it has let in. That proves what was asked for, and no person's wish. Its body is a [WebhookRequest].
const WebhookEvidence EvidenceKind = "webhook"

// WebhookRequest is the body of WebhookEvidence.
type WebhookRequest struct {
	Webhook string `json:"webhook"`                   // whose key it came with
	Key     string `json:"idempotency_key,omitempty"` // may be empty
	Asked   string `json:"asked"`                     // JSON of what is asked for, as ingress wrote it
}

// Evidence is the evidence of what came at a time, in Unix seconds, with ingress' signature.
func (w WebhookRequest) Evidence(at, signature string) (Evidence, error) {
	body, err := json.Marshal(w)
	return Evidence{Kind: WebhookEvidence, Timestamp: at, Signature: signature, Body: string(body)}, err
}

// SignWebhook is ingress' signature of the body of WebhookEvidence; empty if that can't be read. It is that
// of ingress.Webhook, and no signature of Slack's.
func SignWebhook(secret, timestamp, body string) string {
	var w WebhookRequest
	if json.Unmarshal([]byte(body), &w) != nil {
		return ""
	}
	return signed(secret, "killswitch webhook v1\n"+strings.Join([]string{timestamp, w.Webhook, w.Key, w.Asked}, "\n"))
}

// ReadWebhook reads WebhookEvidence. Its error is an *[actions.Refusal].
func ReadWebhook(e Evidence) (w WebhookRequest, d actions.Draft, err error) {
	var asked struct {
		Action  actions.Name      `json:"action"`
		Target  string            `json:"target"`
		Options map[string]string `json:"options"`
		Reason  string            `json:"reason"`
	}
	if json.Unmarshal([]byte(e.Body), &w) != nil || json.Unmarshal([]byte(w.Asked), &asked) != nil {
		return w, d, Unproven("what the webhook sent can't be read")
	}
	return w, actions.Draft(asked), nil
}

// requestID is the ID of the request that a webhook makes: of its idempotency key, or else of what it asks
// for on one day of UTC, so that a retry makes no second request, and the same may be asked for again
// some other day. It is that of ingress.Webhook.
func (w WebhookRequest) requestID(at time.Time) string {
	text := fmt.Sprintf("killswitch webhook v1\n%s\nbody of day %d\n%s", w.Webhook, at.Unix()/int64(24*time.Hour/time.Second), w.Asked)
	if w.Key != "" {
		text = fmt.Sprintf("killswitch webhook v1\n%s\nkey\n%s", w.Webhook, w.Key)
	}
	return ShortID("KS-", text)
}

// DirectWebhook is the webhook of those who call ingress' function itself: IAM decides who may. It is
// ingress.DirectWebhook.
const DirectWebhook = "direct"

const webhookPrefix = "webhook."

// WebhookRequester is the requester of what a webhook asks for. Nobody in the roster may have such an ID.
func WebhookRequester(webhook string) string { return webhookPrefix + webhook }

// RequestingWebhook is the webhook that a requester is; false for people.
func RequestingWebhook(person string) (webhook string, ok bool) {
	return strings.CutPrefix(person, webhookPrefix)
}

// WebhookGrant is what a webhook may ask for. It approves nothing.
type WebhookGrant struct {
	Actions []actions.Name
	// Owners are the people who hold its key. They may not approve what it asks for; if nobody is
	// named, one approval more is needed, since whoever approves may hold it.
	Owners []string
}

// keyOwners are the people who may not approve what a requester asks for, since they hold its key.
func (p Policy) keyOwners(requester string) []string {
	id, ok := RequestingWebhook(requester)
	if !ok {
		return nil
	}
	return p.Webhooks[id].Owners
}

// granted reports whether a requester is a webhook that may ask for this. What its key asks for is never an
// undo.
func (p Policy) granted(i Intent, requester string) bool {
	id, ok := RequestingWebhook(requester)
	return ok && i.Undo == "" && slices.Contains(p.Webhooks[id].Actions, i.Call.Action)
}

// ForRequester is the policy for an intent that somebody asks for. Behind a webhook's key stands no
// person: where nobody who holds it is named, two must approve at least.
func (p Policy) ForRequester(i Intent, requester string) ActionPolicy {
	e := p.For(i)
	if _, ok := RequestingWebhook(requester); !ok {
		return e
	}
	e.Approvals, e.BreakGlassAfter = max(e.Approvals, 1), 0
	if len(p.keyOwners(requester)) == 0 {
		e.Approvals++
	}
	return e
}
