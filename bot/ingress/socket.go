package ingress

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Socket takes what comes over Socket Mode, where Slack signs nothing: the
// connection itself, which the app's token opened, is what proves it. Socket
// signs it in Slack's stead, so that behind ingress all evidence is alike.
type Socket struct {
	Ingress *Ingress

	mu   sync.Mutex
	seen map[[sha256.Size]byte]time.Time // when a payload came first: a repetition is the same evidence
}

// Take queues one envelope's payload and returns what its acknowledgement says, which may be nothing. An error means: do not acknowledge it.
func (s *Socket) Take(ctx context.Context, envelope string, payload json.RawMessage) (ack any, err error) {
	body, err := form(envelope, payload)
	if err != nil || body == "" {
		return nil, err
	}
	secrets, err := s.Ingress.Secrets(ctx)
	if err != nil {
		return nil, err
	}
	if len(secrets) == 0 || secrets[0] == "" {
		return nil, fmt.Errorf("there is no signing secret")
	}
	at := strconv.FormatInt(s.first(body).Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secrets[0]))
	mac.Write([]byte("v0:" + at + ":" + body))
	header := http.Header{}
	header.Set("X-Slack-Request-Timestamp", at)
	header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	resp := s.Ingress.Answer(ctx, Request{Method: http.MethodPost, Path: "/slack/socket", Header: header, Body: []byte(body)})
	if resp.Status != http.StatusOK {
		return nil, fmt.Errorf("not taken: status %d %s", resp.Status, resp.Body)
	}
	if resp.Type == jsonType {
		ack = json.RawMessage(resp.Body)
	}
	return ack, nil
}

// first is when a body came first, as far as it may still be taken.
func (s *Socket) first(body string) time.Time {
	now := s.Ingress.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, at := range s.seen {
		if now.Sub(at) > maxAge {
			delete(s.seen, k)
		}
	}
	key := sha256.Sum256([]byte(body))
	if at, ok := s.seen[key]; ok {
		return at
	}
	if s.seen == nil {
		s.seen = map[[sha256.Size]byte]time.Time{}
	}
	s.seen[key] = now
	return now
}

// form writes a payload as Slack would have posted it; "" for what needs no queue.
func form(envelope string, payload json.RawMessage) (string, error) {
	switch envelope {
	case "interactive":
		return url.Values{"payload": {string(payload)}}.Encode(), nil
	case "slash_commands":
		var fields map[string]any
		if err := json.Unmarshal(payload, &fields); err != nil {
			return "", fmt.Errorf("slash command: %w", err)
		}
		v := url.Values{}
		for k, f := range fields {
			if f != nil {
				v.Set(k, fmt.Sprint(f))
			}
		}
		return v.Encode(), nil
	}
	return "", nil
}
