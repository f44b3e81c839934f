package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/executor"
	"github.com/killswitch-chatops/killswitch/bot/ingress"
)

// CommandLine is POST /cli: statements that people sign by AWS credentials. It answers what they ask;
// what they want it stores on the queue cli before it acknowledges. Of anybody else it stores nothing.
type CommandLine struct {
	Requests approvals.Requests
	Runs     approvals.Runs
	Roster   approvals.Roster
	Queue    approvals.Queue
	Bodies   *ingress.Bodies
	Signers  executor.Signers
	Now      func() time.Time
	Sleep    func(context.Context, time.Duration) error
	Log      *slog.Logger

	mu     sync.Mutex
	byPeer map[string]int // questions to AWS in flight
}

const (
	maxStatement = 32 << 10
	perPeer      = 2 // at the same time
	// answerWithin is how long a client is kept waiting for what becomes of its statement.
	answerWithin = 8 * time.Second
	askEvery     = 100 * time.Millisecond
	// StepsShown is how many steps of a plan are shown.
	StepsShown = 100
)

// Reply is the answer to a statement.
type Reply struct {
	RequestID string            `json:"request_id,omitempty"`
	Statement string            `json:"statement"`        // key of the evidence
	Answer    string            `json:"answer,omitempty"` // what the bot says to it
	Done      bool              `json:"done"`             // the bot has dealt with it
	Counts    bool              `json:"counts"`           // and it had its effect
	Shown     *approvals.Shown  `json:"shown,omitempty"`  // of show
	Listed    []approvals.Shown `json:"listed,omitempty"` // of list
	Error     string            `json:"error,omitempty"`
}

// ServeHTTP implements [http.Handler].
func (l *CommandLine) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	until := l.Now().Add(answerWithin)
	if req.Method != http.MethodPost {
		l.write(w, http.StatusMethodNotAllowed, Reply{Error: "POST it"})
		return
	}
	body, done, no := l.Bodies.Read(w, req, maxStatement)
	defer done()
	if no.Status != 0 {
		l.write(w, no.Status, Reply{Error: strings.TrimSpace(no.Body)})
		return
	}
	signed, st, err := approvals.ReadSigned(body)
	if err != nil { // before anything is asked of AWS
		l.write(w, http.StatusBadRequest, Reply{Error: err.Error()})
		return
	}
	if !l.admits(w, req, signed, st) {
		return
	}
	if st.Verb == "show" || st.Verb == "list" {
		l.look(req.Context(), w, signed, st)
		return
	}
	e := signed.Evidence()
	if err := l.Queue.Send(req.Context(), body, 0); err != nil {
		l.fail(req.Context(), w, err)
		return
	}
	reply := Reply{Statement: e.Key()}
	a, err := l.answer(req.Context(), e.Key(), until)
	switch {
	case err == nil:
		reply.Done, reply.Answer, reply.Counts = true, a.Text, a.Counts
	case !errors.Is(err, approvals.ErrNotFound):
		l.Log.WarnContext(req.Context(), "answer to a statement not read", slog.String("error", err.Error()))
	}
	if st.Asks() {
		reply.RequestID = approvals.RequestID(e)
	}
	l.write(w, http.StatusOK, reply)
}

// peerOf is the address that a request comes from: behind a proxy on this machine the one that it names, which is the last,
// since who asks may name any before it.
func peerOf(req *http.Request) string {
	peer, _, _ := net.SplitHostPort(req.RemoteAddr)
	if ip := net.ParseIP(peer); ip != nil && ip.IsLoopback() {
		all := strings.Split(strings.Join(req.Header.Values("X-Forwarded-For"), ","), ",")
		return cmp.Or(strings.TrimSpace(all[len(all)-1]), peer)
	}
	return peer
}

// admits reports whether somebody of the roster signed a statement, and answers all others. AWS is asked for few
// of an address at the same time, and nobody keeps their place while they are slow or wait.
func (l *CommandLine) admits(w http.ResponseWriter, req *http.Request, signed approvals.SignedStatement, st approvals.Statement) bool {
	peer := peerOf(req)
	if !l.enter(peer) {
		l.write(w, http.StatusTooManyRequests, Reply{Error: "too many requests of this address at once"})
		return false
	}
	defer l.leave(peer)
	id, err := l.Signers.Identify(req.Context(), signed, st)
	if _, no := errors.AsType[*actions.Refusal](err); no {
		l.write(w, http.StatusForbidden, Reply{Error: err.Error()})
		return false
	}
	if err != nil {
		l.fail(req.Context(), w, err)
		return false
	}
	if _, known := l.Roster.ByPrincipal(id.ARN); !known {
		l.write(w, http.StatusForbidden, Reply{Error: actions.Clip(id.ARN) + " is nobody of people[].iam"})
		return false
	}
	return true
}

// answer waits for what becomes of a statement.
func (l *CommandLine) answer(ctx context.Context, key string, until time.Time) (approvals.Answer, error) {
	for {
		a, err := l.Requests.Answer(ctx, key)
		if !errors.Is(err, approvals.ErrNotFound) || l.Now().After(until) {
			return a, err
		}
		if err := l.Sleep(ctx, askEvery); err != nil {
			return a, err
		}
	}
}

// look answers what people ask.
func (l *CommandLine) look(ctx context.Context, w http.ResponseWriter, signed approvals.SignedStatement, st approvals.Statement) {
	var err error
	reply := Reply{Statement: signed.Evidence().Key(), Done: true}
	if st.Verb == "list" {
		reply.Listed, err = approvals.ShowOpen(ctx, l.Requests, l.Runs)
	} else {
		var shown approvals.Shown
		shown, err = approvals.Show(ctx, l.Requests, l.Runs, st.Request, StepsShown)
		reply.Shown = &shown
	}
	switch {
	case errors.Is(err, approvals.ErrNotFound):
		l.write(w, http.StatusNotFound, Reply{Error: "there is no request " + st.Request})
	case err != nil:
		l.fail(ctx, w, err)
	default:
		l.write(w, http.StatusOK, reply)
	}
}

func (l *CommandLine) fail(ctx context.Context, w http.ResponseWriter, err error) {
	l.Log.ErrorContext(ctx, "statement not answered", slog.String("error", err.Error()))
	said := "Killswitch can't answer now: try again"
	if errors.Is(err, approvals.ErrFull) {
		said = "this could not be stored: Killswitch's disk is full. Nothing was started; whoever runs Killswitch must free space"
	}
	l.write(w, http.StatusServiceUnavailable, Reply{Error: said})
}

func (l *CommandLine) write(w http.ResponseWriter, status int, reply Reply) {
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", ingress.RetryAfter)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(reply)
}

func (l *CommandLine) enter(peer string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byPeer == nil {
		l.byPeer = map[string]int{}
	}
	if l.byPeer[peer] >= perPeer {
		return false
	}
	l.byPeer[peer]++
	return true
}

func (l *CommandLine) leave(peer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byPeer[peer]--; l.byPeer[peer] == 0 {
		delete(l.byPeer, peer)
	}
}
