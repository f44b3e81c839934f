// Package ingress is the public zone: it checks that a request is Slack's, or
// comes with a webhook's key, puts it on a queue and acknowledges it. It holds
// the signing secret, the keys and the right to send, and imports nothing of the
// rest of Killswitch.
package ingress

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

const (
	// MaxBody is the largest body that is read, in bytes.
	MaxBody = 256 << 10
	// maxAge is how old, or ahead, a signed request may be.
	// https://docs.slack.dev/authentication/verifying-requests-from-slack
	maxAge = 5 * time.Minute
	// answerWithin leaves room in the 3 s within which Slack wants its answer.
	answerWithin = 2 * time.Second
	// afterAnswer is the delay of a submission: the bot's view must come after ours, which the answer has.
	afterAnswer = time.Second
)

// SignedRequest is a message on the queue slack: a request as Slack signed it. The bot
// reads it as an approvals.Evidence.
type SignedRequest struct {
	Timestamp string `json:"timestamp"`
	Signature string `json:"signature"`
	Body      string `json:"body"`
}

// FairSender is a queue that delivers what different people, or webhooks, send in turns. What SendFor
// accepted is stored.
type FairSender interface {
	// SendFor sends a message of a person or a webhook; of may be empty: nobody's in particular.
	SendFor(ctx context.Context, of string, body []byte, delay time.Duration) error
}

// Ingress answers Slack and webhooks. It is an http.Handler; Answer serves other
// transports.
type Ingress struct {
	// Secrets are the signing secrets: the current, and while it is rotated the previous.
	Secrets func(context.Context) ([]string, error)
	// Refresh, where it is set, looks for a secret that was rotated just now. It
	// is asked when no secret fits, so it must bound how often it really looks.
	Refresh    func(context.Context) ([]string, error)
	SlackQueue FairSender

	// Keys are the webhooks' keys as ParseKeys reads them: the current text, and
	// while it is changed the previous; RefreshKeys is to them what Refresh is to
	// Secrets. Without Keys there are no webhooks.
	Keys         func(context.Context) ([]string, error)
	RefreshKeys  func(context.Context) ([]string, error)
	Webhooks     map[string]Grant // by ID; those that the configuration has
	WebhookQueue FairSender

	// Healthy, where it is set, returns why nothing can be stored. It must bound how often it looks.
	Healthy func(context.Context) error
	// Bodies bounds what ServeHTTP reads; nil: nothing does.
	Bodies *Bodies

	Now func() time.Time
	Log *slog.Logger

	canary atomic.Int64 // when the daily check last brought its forged click
}

// Request is an HTTP request, however it got here.
type Request struct {
	Method string
	Path   string
	Header http.Header
	Body   []byte
}

// Response is the answer to it. Type is empty for an empty body. Lost: nothing was stored, although the status
// is 200, without which Slack would not show the body to the person. Forged: it has a signature of now, which none of
// the secrets made.
type Response struct {
	Status int
	Type   string
	Body   string
	Lost   bool
	Forged bool
}

// FromGateway makes a Request of what an HTTP API passes to Lambda: header names
// in lower case, the body perhaps in base64.
func FromGateway(method, path string, header map[string]string, body string, isBase64 bool) (Request, error) {
	r := Request{Method: method, Path: path, Header: http.Header{}, Body: []byte(body)}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	if isBase64 {
		b, err := base64.StdEncoding.DecodeString(body)
		if err != nil {
			return r, errors.New("the body is not base64")
		}
		r.Body = b
	}
	return r, nil
}

// ServeHTTP implements http.Handler. Of a request that its head refuses no body is read.
func (in *Ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := Request{Method: r.Method, Path: r.URL.Path, Header: r.Header}
	take, resp := in.route(r.Context(), head, r.ContentLength)
	if take != nil {
		body, done, no := in.Bodies.Read(w, r, MaxBody)
		defer done()
		if resp = no; no.Status == 0 {
			ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
			defer cancel()
			head.Body = body
			resp = take(ctx, head)
		}
	}
	if resp.Type != "" {
		w.Header().Set("Content-Type", resp.Type)
	}
	if resp.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", RetryAfter)
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(resp.Status)
	_, _ = io.WriteString(w, resp.Body)
}

// Answer deals with one request.
func (in *Ingress) Answer(ctx context.Context, r Request) Response {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	take, resp := in.route(ctx, r, int64(len(r.Body)))
	if take == nil {
		return resp
	}
	return take(ctx, r)
}

// A taker deals with a request that its head lets in.
type taker = func(context.Context, Request) Response

const (
	slackPath  = "/slack"
	healthPath = "/healthz"
)

// Paths are all that is answered; /* stands for whatever follows.
func Paths() []string {
	return []string{slackPath, slackPath + "/*", eventsPath, requestsPath, isolatePath, healthPath}
}

func matches(pattern, path string) bool {
	if before, all := strings.CutSuffix(pattern, "*"); all {
		return strings.HasPrefix(path, before)
	}
	return path == pattern
}

// route looks at all of a request but its body, whose length it is told, -1 if that is not known, and returns
// what takes it, or else the answer.
func (in *Ingress) route(ctx context.Context, r Request, length int64) (taker, Response) {
	slack := r.Path == slackPath || strings.HasPrefix(r.Path, slackPath+"/")
	hook := in.hook(r.Path)
	switch {
	case !slices.ContainsFunc(Paths(), func(p string) bool { return matches(p, r.Path) }):
		return nil, text(http.StatusNotFound, "not found\n")
	case r.Path == healthPath && r.Method == http.MethodGet:
		return nil, in.health(ctx)
	case !slack && hook == nil:
		return nil, text(http.StatusNotFound, "not found\n")
	case r.Method != http.MethodPost:
		return nil, text(http.StatusMethodNotAllowed, "use POST\n")
	case length > MaxBody:
		return nil, tooLarge(MaxBody)
	case !slack:
		return hook(ctx, r, length)
	}
	if d := asSigned(r); !in.fresh(d) || !d.formed() {
		return nil, in.notSlack(ctx, length, "there is no signature of the last five minutes: if it is Slack's, look at this machine's clock")
	}
	return in.slack, Response{}
}

// health says whether what comes can be stored.
func (in *Ingress) health(ctx context.Context) Response {
	if in.Healthy != nil {
		if err := in.Healthy(ctx); err != nil {
			return text(http.StatusServiceUnavailable, "nothing can be stored: look at the log of Killswitch\n")
		}
	}
	return text(http.StatusOK, "ok\n")
}

// hook is what looks at the head of a webhook's request at a path; nil if nothing does.
func (in *Ingress) hook(path string) func(ctx context.Context, head Request, length int64) (taker, Response) {
	switch path {
	case eventsPath:
		return in.events
	case requestsPath, isolatePath:
		return in.requests
	}
	return nil
}

const (
	timestampHeader = "X-Slack-Request-Timestamp"
	signatureHeader = "X-Slack-Signature"
)

// asSigned is a request as it came.
func asSigned(r Request) SignedRequest {
	return SignedRequest{Timestamp: r.Header.Get(timestampHeader), Signature: r.Header.Get(signatureHeader), Body: string(r.Body)}
}

// formed reports whether a signature has the form of one.
func (d SignedRequest) formed() bool {
	sum, ok := strings.CutPrefix(d.Signature, "v0=")
	return ok && len(sum) == hex.EncodedLen(sha256.Size) && only(sum, "0123456789abcdef")
}

// notSlack refuses a request, and says to the operator what to look at.
func (in *Ingress) notSlack(ctx context.Context, length int64, look string) Response {
	in.Log.WarnContext(ctx, "not slack's signature", slog.Int64("bytes", length), slog.String("look", look))
	return Response{Status: http.StatusUnauthorized}
}

// slack queues a request that Slack signed.
func (in *Ingress) slack(ctx context.Context, r Request) Response {
	secrets, err := in.Secrets(ctx)
	if err != nil {
		in.Log.ErrorContext(ctx, "no signing secret", slog.String("error", err.Error()))
		return text(http.StatusServiceUnavailable, "try again\n")
	}
	d := asSigned(r)
	if !genuine(secrets, d) && !in.rotated(ctx, d) {
		if in.ofCheck(d) {
			in.Log.InfoContext(ctx, "the forged click of the daily check is refused")
			return Response{Status: http.StatusUnauthorized}
		}
		no := in.notSlack(ctx, int64(len(r.Body)), "another secret made it: is SLACK_SIGNING_SECRET this app's (Slack app settings, Basic Information)?")
		no.Forged = true
		return no
	}
	if !utf8.ValidString(d.Body) { // JSON could not carry it as it was signed
		return text(http.StatusBadRequest, "the body is not UTF-8\n")
	}
	var delay time.Duration
	answer := Response{Status: http.StatusOK}
	kind, user, challenge := read(d.Body)
	switch kind {
	case unreadable:
		return text(http.StatusBadRequest, "neither a command, nor an interaction, nor an event\n")
	case probe:
		return Response{Status: http.StatusOK}
	case handshake:
		return text(http.StatusOK, challenge)
	case event:
		return Response{Status: http.StatusOK} // none is subscribed to
	case bare:
		answer.Type, answer.Body = jsonType, opening
	case submission:
		delay = afterAnswer
		answer.Type, answer.Body = jsonType, checking
	case payload:
	}
	refused := in.store(ctx, func(body []byte) error { return in.SlackQueue.SendFor(ctx, user, body, delay) }, d)
	switch {
	case refused.Status == http.StatusOK:
		return answer
	case refused.Status != http.StatusServiceUnavailable, ctx.Err() != nil: // in the latter case it may be stored
		return refused
	case kind == submission:
		return Response{Status: http.StatusOK, Type: jsonType, Body: notSubmitted, Lost: true}
	case typed(d.Body):
		return Response{Status: http.StatusOK, Type: jsonType, Body: notTyped, Lost: true}
	}
	return refused
}

// canaryBody is the click that the daily check forges: approvals.CanaryBody, as a test compares. It names no request,
// and would do nothing if it were let in.
const canaryBody = "payload=%7B%22type%22%3A%22block_actions%22%2C%22container%22%3A%7B%22type%22%3A%22message%22%7D%2C%22actions%22%3A%5B%7B%22action_id%22%3A%22approve%22%2C%22value%22%3A%22KS-CANARY.0%22%7D%5D%7D"

// canaryPause is the time between two forged clicks of the daily check.
const canaryPause = time.Minute

// ofCheck reports whether a forged click is that of the daily check. More than it sends is somebody else's.
func (in *Ingress) ofCheck(d SignedRequest) bool {
	now, last := in.Now().Unix(), in.canary.Load()
	return d.Body == canaryBody && now-last >= int64(canaryPause/time.Second) && in.canary.CompareAndSwap(last, now)
}

// typed reports whether a body that can be read is a command's.
func typed(body string) bool {
	form, err := url.ParseQuery(body)
	return err == nil && form.Get("command") != ""
}

// store sends a message to a queue and answers.
func (in *Ingress) store(ctx context.Context, send func(body []byte) error, message any) Response {
	b, err := compact(message)
	if err != nil {
		return text(http.StatusBadRequest, "unreadable\n")
	}
	if err := send(b); err != nil {
		in.Log.ErrorContext(ctx, "not queued", slog.String("error", err.Error()))
		return text(http.StatusServiceUnavailable, "could not be stored; nothing was started, try again\n") // of a click Slack shows that it failed
	}
	return Response{Status: http.StatusOK}
}

// compact is JSON that is not escaped for HTML: a form is full of &, each of which would become six bytes.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

func text(status int, body string) Response {
	return Response{Status: status, Type: "text/plain; charset=utf-8", Body: body}
}

// fresh checks the age of a request.
func (in *Ingress) fresh(d SignedRequest) bool {
	seconds, err := strconv.ParseInt(d.Timestamp, 10, 64)
	return err == nil && in.Now().Sub(time.Unix(seconds, 0)).Abs() <= maxAge
}

// rotated checks the signature against the secrets after a refresh.
func (in *Ingress) rotated(ctx context.Context, d SignedRequest) bool {
	if in.Refresh == nil {
		return false
	}
	secrets, err := in.Refresh(ctx)
	return err == nil && genuine(secrets, d)
}

// genuine reports whether one of the secrets made the signature.
func genuine(secrets []string, d SignedRequest) bool {
	for _, secret := range secrets {
		if secret != "" && hmac.Equal([]byte(d.Signature), []byte("v0="+signature(secret, "v0:", d.Timestamp, ":", d.Body))) {
			return true
		}
	}
	return false
}

// signature is the HMAC of a text, in parts, with the signing secret.
func signature(secret string, text ...string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	for _, t := range text {
		_, _ = io.WriteString(mac, t)
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// What a body is.
type kind int

const (
	unreadable kind = iota
	payload         // a command or an interaction: for the queue
	bare            // the command with nothing behind it: the form is opened
	submission      // of the form
	event           // of the Events API
	handshake       // url_verification: wants its challenge back
	probe           // ssl_check
)

// userID returns a Slack user's ID, or "" for what can't be one: queues take 128 characters
// of few kinds.
func userID(s string) string {
	other := func(c rune) bool { return (c < 'A' || c > 'Z') && (c < '0' || c > '9') }
	if len(s) > 32 || strings.ContainsFunc(s, other) {
		return ""
	}
	return s
}

// read tells the kinds of bodies apart by their content, so that one URL can serve all. user
// is whose payload it is, challenge that of a handshake.
func read(body string) (k kind, user, challenge string) {
	if strings.HasPrefix(body, "{") {
		var e struct {
			Type      string `json:"type"`
			Challenge string `json:"challenge"`
		}
		switch err := json.Unmarshal([]byte(body), &e); {
		case err != nil:
			return unreadable, "", ""
		case e.Type == "url_verification":
			return handshake, "", e.Challenge
		case e.Type == "event_callback":
			return event, "", ""
		}
		return unreadable, "", ""
	}
	form, err := url.ParseQuery(body)
	if err != nil {
		return unreadable, "", ""
	}
	if text := form.Get("payload"); text != "" {
		var p struct {
			Type string `json:"type"`
			User struct {
				ID string `json:"id"`
			} `json:"user"`
			View struct {
				CallbackID string `json:"callback_id"`
			} `json:"view"`
		}
		switch {
		case json.Unmarshal([]byte(text), &p) != nil || p.Type == "":
			return unreadable, "", ""
		case p.Type == "view_submission" && p.View.CallbackID == FormCallback:
			return submission, userID(p.User.ID), ""
		}
		return payload, userID(p.User.ID), ""
	}
	switch {
	case form.Get("command") != "" && strings.TrimSpace(form.Get("text")) == "":
		return bare, userID(form.Get("user_id")), ""
	case form.Get("command") != "":
		return payload, userID(form.Get("user_id")), ""
	case form.Get("ssl_check") == "1":
		return probe, "", ""
	}
	return unreadable, "", ""
}
