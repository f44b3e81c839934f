package local_test

import (
	"context"
	"errors"
	"path"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// apiError is AWS's own error of a code.
func apiError(code string) error { return &smithy.GenericAPIError{Code: code, Message: "not just now"} }

// denied makes AWS say no to the operations that match a glob.
func denied(op string) awsfake.Fault { return awsfake.Fault{Op: op, Err: apiError("AccessDenied")} }

// answers makes calls that match a glob end with an error while it is time. The
// SDK does not try those again, so that no test waits for it.
func (w *world) answers(op string, err error, while func() bool) {
	w.aws.OnCall(func(c awsfake.Call) error {
		if ok, _ := path.Match(op, c.Op); ok && c.Phase == awsfake.Before && while() {
			return err
		}
		return nil
	})
}

// dropDeny is what somebody with rights in the account does against us.
func (w *world) dropDeny() {
	w.t.Helper()
	role, policy := "app-role", "AWSRevokeOlderSessions"
	_, err := iam.NewFromConfig(w.aws.Admin(prod)).DeleteRolePolicy(w.t.Context(), &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy})
	w.must(err)
}

// failOnce is a table of which one write is lost.
type failOnce struct {
	approvals.Store
	mu   sync.Mutex
	lose func(approvals.Put) bool
}

func (s *failOnce) arm(lose func(approvals.Put) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = lose
}

// lost reports whether the write came and was lost.
func (s *failOnce) lost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lose == nil
}

func (s *failOnce) Write(ctx context.Context, puts ...approvals.Put) error {
	s.mu.Lock()
	for _, p := range puts {
		if s.lose != nil && s.lose(p) {
			s.lose = nil
			s.mu.Unlock()
			return errors.New("store: throttled")
		}
	}
	s.mu.Unlock()
	return s.Store.Write(ctx, puts...)
}

// edit is what somebody does who can write the table requests.
func (w *world) edit(r approvals.Request, f func(*approvals.Request)) {
	w.t.Helper()
	_, err := approvals.Requests{Store: w.Requests}.Change(w.t.Context(), r.ID, func(r *approvals.Request) error { f(r); return nil })
	w.must(err)
}

// flat is a text in one line.
func flat(s string) string { return strings.Join(strings.Fields(s), " ") }

// card is what a request's card shows, in one line.
func (w *world) card(r approvals.Request) string {
	w.t.Helper()
	at := w.again(r).Card
	for _, m := range w.slack.Messages(at.Channel) {
		if m.TS == at.TS {
			return flat(slackfake.Text(m))
		}
	}
	w.t.Fatalf("%s has no card", r.ID)
	return ""
}

// shows fails if a request's card does not show something.
func (w *world) shows(r approvals.Request, want string) {
	w.t.Helper()
	if card := w.card(r); !strings.Contains(card, want) {
		w.t.Errorf("the card does not show %q: %s", want, card)
	}
}

// chain is a request's audit chain, which must be intact.
func (w *world) chain(r approvals.Request) []audit.Event {
	w.t.Helper()
	events, err := approvals.Runs{Reader: w.Runs}.Audit(w.t.Context(), r.ID)
	w.must(err)
	return events
}

// event finds the last link of a name in a request's chain.
func (w *world) event(r approvals.Request, name string) (last audit.Event, n int) {
	w.t.Helper()
	for _, e := range w.chain(r) {
		if e.Event == name {
			last = e
			n++
		}
	}
	return last, n
}

func (w *world) run(r approvals.Request) approvals.Run {
	w.t.Helper()
	run, err := approvals.Runs{Reader: w.Runs}.Run(w.t.Context(), r.ID)
	w.must(err)
	return run
}

// quiet fails if a message was set aside as one that can't be dealt with.
func (w *world) quiet() {
	w.t.Helper()
	if d, ok, err := w.Dead.Receive(w.t.Context(), 0); err != nil || ok {
		w.t.Errorf("a message was set aside: %s %v", d.Body, err)
	}
}
