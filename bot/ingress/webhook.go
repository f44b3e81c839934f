package ingress

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"unicode/utf8"
)

// eventsPath takes EventBridge events: one, or an array of them.
const eventsPath = "/events"

// MaxEvents is how many events an array may hold. The largest body has no more, since
// each is at least some hundred bytes long; elements that are no events can have two.
// It is bot.MaxEvents: ingress imports nothing, so a test compares them.
const MaxEvents = 1000

// DrillHeader marks events as a drill and names it: letters, digits and -, at
// most 64.
const DrillHeader = "X-Killswitch-Drill"

// KeyHeader carries a webhook's key.
const KeyHeader = "X-Api-Key"

// Grant is what the configuration lets a webhook do.
type Grant struct {
	Events  bool     `json:"events,omitempty"`
	Actions []string `json:"actions,omitempty"` // that it may ask for
	// What awskillswitch's payload may say, if it says it.
	RoleToAssume      string `json:"role_to_assume,omitempty"`
	ManagementAccount string `json:"org_management_account,omitempty"`
}

// Webhook is a message on the queue webhooks: bot.Webhook, written here.
type Webhook struct {
	Webhook   string `json:"webhook"` // whose key it came with
	Path      string `json:"path"`
	Drill     string `json:"drill,omitempty"`           // of events
	Key       string `json:"idempotency_key,omitempty"` // of a request
	Timestamp string `json:"timestamp,omitempty"`       // of a request: when it came, in Unix seconds
	Signature string `json:"signature,omitempty"`       // of a request: ours, see Webhook.sign
	Body      string `json:"body"`                      // of a request: the JSON of Asked
}

// Keys are the secrets of webhooks.
type Keys []key

type key struct {
	webhook string
	sum     [sha256.Size]byte // of the secret: all are equally long, to be compared in constant time
}

// ParseKeys reads "id=secret,id=secret". White space around an entry does not
// count; an empty text has no keys. One webhook may have several keys. The error
// says which entry is wrong, never what is in it.
func ParseKeys(text string) (Keys, error) {
	var keys Keys
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	for i, entry := range strings.Split(text, ",") {
		id, secret, ok := strings.Cut(strings.TrimSpace(entry), "=")
		if !ok || secret == "" || !plain(id, 63) {
			return nil, fmt.Errorf("webhook keys: entry %d is not id=secret", i+1)
		}
		k := key{id, sha256.Sum256([]byte(secret))}
		for j, other := range keys {
			if other.sum == k.sum && other.webhook != id {
				return nil, fmt.Errorf("webhook keys: entries %d and %d have the same secret", j+1, i+1)
			}
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Webhooks are the IDs of those that have a key.
func (ks Keys) Webhooks() []string {
	ids := make([]string, len(ks))
	for i, k := range ks {
		ids[i] = k.webhook
	}
	return ids
}

// owner is whose key a secret is, "" if nobody's. It looks at all keys, so that
// the time it takes tells nothing.
func (ks Keys) owner(secret string) string {
	given, id := sha256.Sum256([]byte(secret)), ""
	for _, k := range ks {
		if subtle.ConstantTimeCompare(k.sum[:], given[:]) == 1 {
			id = k.webhook
		}
	}
	return id
}

// holder is the webhook whose key came, or else the answer to it.
func (in *Ingress) holder(ctx context.Context, r Request, length int64, may func(Grant) bool) (id string, no Response) {
	id, err := in.webhook(ctx, r.Header.Get(KeyHeader))
	switch {
	case err != nil:
		in.Log.ErrorContext(ctx, "no webhook keys", slog.String("error", err.Error()))
		return "", text(http.StatusServiceUnavailable, "try again\n")
	case id == "":
		in.Log.WarnContext(ctx, "not a webhook's key", slog.Int64("bytes", length))
		return "", Response{Status: http.StatusUnauthorized}
	case !may(in.Webhooks[id]) || id == DirectWebhook:
		in.Log.WarnContext(ctx, "webhook may not do this", slog.String("webhook", id), slog.String("path", r.Path))
		return "", Response{Status: http.StatusUnauthorized}
	}
	return id, Response{}
}

// events queues the events that a webhook brought.
func (in *Ingress) events(ctx context.Context, head Request, length int64) (taker, Response) {
	id, no := in.holder(ctx, head, length, func(g Grant) bool { return g.Events })
	if no.Status != 0 {
		return nil, no
	}
	drill := head.Header.Get(DrillHeader)
	if drill != "" && !plain(drill, 64) {
		return nil, text(http.StatusBadRequest, DrillHeader+" is not 1 to 64 letters, digits and -\n")
	}
	return func(ctx context.Context, r Request) Response {
		if wrong := NotEvents(r.Body); wrong != "" {
			return text(http.StatusBadRequest, wrong+"\n")
		}
		return in.bring(ctx, Webhook{Webhook: id, Path: r.Path, Drill: drill, Body: string(r.Body)})
	}, Response{}
}

// bring queues a message in the group of its webhook: however many one sends, the others' go on.
func (in *Ingress) bring(ctx context.Context, w Webhook) Response {
	return in.store(ctx, func(body []byte) error { return in.WebhookQueue.SendFor(ctx, w.Webhook, body, 0) }, w)
}

// webhook is whose key it is, "" if nobody's. Keys that were changed just now are
// looked for.
func (in *Ingress) webhook(ctx context.Context, secret string) (id string, err error) {
	if in.Keys == nil || secret == "" {
		return "", nil
	}
	texts, err := in.Keys(ctx)
	if err != nil {
		return "", err
	}
	id, err = owner(texts, secret)
	if id != "" || in.RefreshKeys == nil {
		return id, err
	}
	if texts, found := in.RefreshKeys(ctx); found == nil {
		return owner(texts, secret)
	}
	return "", err
}

// owner is whose key a secret is by any of the texts. It returns an error only if
// it is nobody's and the current text can't be read.
func owner(texts []string, secret string) (id string, err error) {
	for i, text := range texts {
		keys, wrong := ParseKeys(text)
		if i == 0 { // the previous may be what was put right
			err = wrong
		}
		if found := keys.owner(secret); found != "" && id == "" {
			id = found
		}
	}
	if id != "" {
		return id, nil
	}
	return id, err
}

// NotEvents says why a body is neither an event nor an array of events, or "".
func NotEvents(body []byte) string {
	if !utf8.Valid(body) {
		return "the body is not UTF-8"
	}
	if !json.Valid(body) {
		return "the body is not JSON"
	}
	if object(body) {
		return ""
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return "the body is neither an event nor an array of events"
	}
	if len(list) == 0 {
		return "there is no event in the array"
	}
	if len(list) > MaxEvents {
		return fmt.Sprintf("there are more than %d events in the array", MaxEvents)
	}
	for i, e := range list {
		if !object(e) {
			return fmt.Sprintf("element %d of the array is not an event", i+1)
		}
	}
	return ""
}

// object reports whether valid JSON is an object.
func object(b []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{")) }

// plain reports whether s is 1 to limit letters, digits and -.
func plain(s string, limit int) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= limit
}
