package actions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// IsCode reports whether err is AWS's error with one of the codes.
func IsCode(err error, codes ...string) bool {
	var api interface{ ErrorCode() string }
	if !errors.As(err, &api) {
		return false
	}
	for _, c := range codes {
		if api.ErrorCode() == c {
			return true
		}
	}
	return false
}

// throttles are the codes by which AWS asks for patience.
var throttles = []string{"Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "RequestThrottled",
	"RequestThrottledException", "SlowDown", "ConcurrentModification", "ConcurrentModificationException", "PolicyChangesInProgressException"}

// Throttled reports whether err asks for patience: what failed with it is worth
// another try, however often.
func Throttled(err error) bool { return IsCode(err, throttles...) }

// laterError is an error that other steps, or a little time, may mend.
type laterError struct{ error }

func (e *laterError) Unwrap() error { return e.error }

// TryLater is err, marked as one that other steps or a little time may mend.
func TryLater(err error) error { return &laterError{err} }

// Later reports whether a step that failed with err is worth another try after
// the others, or a little later: a quota that they free, or something new that
// another service does not see yet. An action says so with [TryLater].
func Later(err error) bool {
	var l *laterError
	return errors.As(err, &l)
}

// hinted is an error with a hint that its code alone does not give.
type hinted struct {
	error
	hint string
}

// Hinted is err with a hint on what to do next.
func Hinted(err error, hint string) error { return &hinted{err, hint} }

func (h *hinted) Unwrap() error { return h.error }

// Transient reports whether err says nothing for good: it is worth another try.
func Transient(err error) bool {
	var api interface{ ErrorCode() string }
	var status interface{ HTTPStatusCode() int }
	switch {
	case err == nil:
		return false
	case Throttled(err), errors.Is(err, context.DeadlineExceeded):
		return true
	case errors.As(err, &status) && status.HTTPStatusCode() >= http.StatusInternalServerError:
		return true
	case errors.As(err, &api):
		return slices.Contains([]string{"ServiceFailure", "InternalFailure", "InternalError", "ServiceUnavailable"}, api.ErrorCode())
	}
	var send *smithyhttp.RequestSendError
	return errors.As(err, &send)
}

// Explain says what an AWS error means and what to do next, for people.
// operation and message are AWS's own words.
func Explain(err error) (cause, hint string) {
	var api interface {
		ErrorCode() string
		ErrorMessage() string
	}
	var refused *Refusal
	var told *hinted
	var status interface{ HTTPStatusCode() int }
	switch {
	case errors.As(err, &refused):
		return refused.Reason, refused.Hint
	case errors.As(err, &told):
		cause, _ = Explain(told.error)
		return cause, told.hint
	case errors.As(err, &api):
		// EC2 adds a long text that only AWS can read.
		message, _, _ := strings.Cut(api.ErrorMessage(), " Encoded authorization failure message:")
		cause = api.ErrorCode() + ": " + Clip(message)
		switch api.ErrorCode() {
		case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation":
			hint = "check that the member roles are deployed in this account as the installed version wants them"
		case "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded":
			hint = "AWS is throttling this account; retry in a minute"
		case "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException":
			hint = "Killswitch's own credentials are not valid; check its execution role"
		case "LimitExceeded", "LimitExceededException":
			hint = "the quota named is full; free a place in it, then retry"
		case "NoSuchEntity":
			hint = "it does not exist; check the name and the account"
		case "InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed":
			hint = "there is no such instance; check the account and the region"
		case "IncorrectInstanceState", "IncorrectState":
			hint = "its state does not allow that just now; retry, and look at whether it is being terminated"
		}
		return cause, hint
	case errors.Is(err, context.DeadlineExceeded):
		return "AWS did not answer in time", "retry; what was applied stays applied"
	case errors.As(err, &status) && status.HTTPStatusCode() >= http.StatusInternalServerError:
		return fmt.Sprintf("AWS answered HTTP %d", status.HTTPStatusCode()), "retry in a minute"
	}
	return Clip(err.Error()), ""
}

// ErrRecreated is what Apply and Verify return for a target that was deleted and
// created again: it is another one of the same name.
var ErrRecreated = errors.New("it was deleted and created again: it is another principal of the same name")

// Refusal is a final no: another try gives the same answer. Every error that is
// none is an outage, and may be tried again.
type Refusal struct {
	Codes  []Violation // what the policy says no for; their words are the bot's
	Reason string      // in words for people
	Hint   string      // what to do instead
}

// Code names a rule of the approval policy; approvals has the codes.
type Code string

// Violation is one rule of the policy that is not met.
type Violation struct {
	Code   Code   `json:"code"`
	Person string `json:"person,omitempty"` // whom it is about
	State  string `json:"state,omitempty"`  // of the request
	Group  string `json:"group,omitempty"`  // of people
	Have   int    `json:"have,omitempty"`   // approvers that there are
	Need   int    `json:"need,omitempty"`   // approvals
}

// Refuse is a refusal for a rule of the policy.
func Refuse(v Violation) *Refusal { return &Refusal{Codes: []Violation{v}} }

// Cause is the reason in words, then the codes.
func (r *Refusal) Cause() string {
	var codes []string
	for _, v := range r.Codes {
		codes = append(codes, string(v.Code))
	}
	return strings.TrimSpace(r.Reason + " " + strings.Join(codes, ", "))
}

func (r *Refusal) Error() string { return strings.TrimSpace(r.Cause() + ". " + r.Hint) }

// Clip keeps hostile input from filling a message; AWS's own messages fit.
func Clip(s string) string {
	const most = 400
	if rs := []rune(s); len(rs) > most {
		return string(rs[:most]) + "…"
	}
	return s
}
