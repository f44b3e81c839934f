package actions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// IsCode reports whether err is an AWS error with one of the codes.
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

// throttles are the error codes of throttling and of concurrent changes.
var throttles = []string{"Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
	"RequestThrottled", "RequestThrottledException", "SlowDown", "ConcurrentModification", "ConcurrentModificationException",
	"PolicyChangesInProgressException"}

// Throttled reports whether AWS throttled the call: it may be retried without limit.
func Throttled(err error) bool { return IsCode(err, throttles...) }

// retryLaterError marks an error as retryable after the other steps, or after a while.
type retryLaterError struct {
	error
	within time.Duration
}

func (e *retryLaterError) Unwrap() error { return e.error }

// RetryLater marks err as retryable after the other steps, or after a while.
func RetryLater(err error) error { return &retryLaterError{error: err} }

// RetryWithin is RetryLater for what is known to take so long.
func RetryWithin(d time.Duration, err error) error { return &retryLaterError{err, d} }

// Patience is how long a step that failed so is tried again: least, or longer if err says so.
func Patience(err error, least time.Duration) time.Duration {
	if later, ok := errors.AsType[*retryLaterError](err); ok {
		return max(least, later.within)
	}
	return least
}

// IsRetryLater reports whether an action marked err with [RetryLater]: other steps may
// free a quota, or a new object may not be visible to another service yet.
func IsRetryLater(err error) bool {
	var later *retryLaterError
	return errors.As(err, &later)
}

// hinted is an error with a hint of its own.
type hinted struct {
	error
	hint string
}

// WithHint adds a hint on what to do next to err.
func WithHint(err error, hint string) error { return &hinted{err, hint} }

func (h *hinted) Unwrap() error { return h.error }

// Transient reports whether err is temporary: throttling, a timeout, a failure of AWS or
// the network, or [*MorePages].
func Transient(err error) bool {
	var api interface{ ErrorCode() string }
	var status interface{ HTTPStatusCode() int }
	var more *MorePages
	switch {
	case err == nil:
		return false
	case Throttled(err), errors.Is(err, context.DeadlineExceeded), errors.As(err, &more):
		return true
	case errors.As(err, &status) && status.HTTPStatusCode() >= http.StatusInternalServerError:
		return true
	case errors.As(err, &api):
		return slices.Contains([]string{"ServiceFailure", "InternalFailure", "InternalError", "ServiceUnavailable",
			// "The error message describes the entity": a user that was just made again.
			// https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateLoginProfile.html
			"EntityTemporarilyUnmodifiable"}, api.ErrorCode())
	}
	var send *smithyhttp.RequestSendError
	return errors.As(err, &send)
}

// Explain returns the cause of an AWS error and what to do next, for people.
func Explain(err error) (cause, hint string) {
	var api interface {
		ErrorCode() string
		ErrorMessage() string
	}
	var refused *Refusal
	var withHint *hinted
	var status interface{ HTTPStatusCode() int }
	switch {
	case errors.As(err, &refused):
		return refused.Reason, refused.Hint
	case errors.As(err, &withHint):
		cause, _ = Explain(withHint.error)
		return cause, withHint.hint
	case errors.As(err, &api):
		// EC2 adds a long encoded text that only AWS can decode.
		message, _, _ := strings.Cut(api.ErrorMessage(), " Encoded authorization failure message:")
		cause = api.ErrorCode() + ": " + Clip(message)
		switch api.ErrorCode() {
		case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation":
			hint = deniedHint(message)
		case "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded":
			hint = "AWS is throttling this account; retry in a minute"
		case "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException":
			hint = "Killswitch's own credentials are not valid; check its execution role"
		case "PackedPolicyTooLarge":
			hint = "the session that Killswitch itself runs in passes tags on, which leave no room: run it as a role whose session has no transitive tags"
		case "LimitExceeded", "LimitExceededException":
			hint = "the quota named is full; free a place in it, then retry"
		case "NoSuchEntity":
			hint = "it does not exist; check the name and the account"
		case "InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed":
			hint = "there is no such instance; check the account and the region"
		case "IncorrectInstanceState", "IncorrectState":
			hint = "its state does not allow that just now; retry, and look at whether it is being terminated"
		}
		if hint == "" && Transient(err) {
			hint = outageHint(err)
		}
		return cause, hint
	case errors.Is(err, context.DeadlineExceeded):
		return "AWS did not answer in time", cmp.Or(outageHint(err), "retry; what was applied stays applied")
	case errors.As(err, &status) && status.HTTPStatusCode() >= http.StatusInternalServerError:
		return fmt.Sprintf("AWS answered HTTP %d", status.HTTPStatusCode()), cmp.Or(outageHint(err), "retry in a minute")
	}
	return Clip(err.Error()), ""
}

// outages are the services without which an action waits, with what still works. Those of the whole
// partition are changed in one region, us-east-1 in the partition aws.
// https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/global-services.html
var outages = map[string]string{
	"IAM":           "IAM does not answer: roles, users and keys are changed in one region alone (us-east-1), so all that is denied there waits, and is tried again; what was given up takes a retry. Meanwhile isolate_instance cuts an instance off (stop=yes stops it), and apply_scp, deny_principal and via=scp work if Organizations answers",
	"Organizations": "Organizations does not answer; its policies are changed in one region alone (us-east-1), so they wait, and are tried again. Meanwhile what is done in the account works if IAM answers (revoke_sessions, quarantine_user, deactivate_key), and isolate_instance cuts an instance off",
	"EC2":           "EC2 of that region does not answer, so the instance can't be cut off; it is tried again. Meanwhile revoke_sessions of its role works if IAM answers",
}

// outageHint says what waits for the service that failed, and what still works; empty for other services.
func outageHint(err error) string {
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		return outages[op.Service()]
	}
	return ""
}

// denials are the policies that AWS names in its denials, with what to do about each.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
var denials = [][2]string{
	{"service control policy", "a service control policy of the organization denies it, often a guardrail of Control Tower: exempt Killswitch's responder role in that policy; until then contain it by a policy of our own from outside the account (apply_scp)"},
	{"resource control policy", "a resource control policy of the organization denies it: exempt Killswitch's member roles in that policy"},
	{"permissions boundary", "the member role has a permissions boundary that does not allow it: deploy the member roles without a boundary, or with one that allows what they need"},
	{"session policy", "Killswitch had not asked for this permission when it entered the account, which is a fault of Killswitch: report it with this text; by hand, the member role may do it"},
	{"VPC endpoint policy", "the policy of the VPC endpoint that Killswitch calls AWS through does not allow it: widen that policy"},
	{"You don't have permissions to access this resource", "AWS Organizations takes this call from the organization's management account, and from an account that its delegation policy names: correct aws.management_account or aws.policy_account, or merge what killswitch policy delegation prints into that policy"},
	{"resource-based policy", "the policy of the resource denies it: change it by hand, as its owner"},
}

// deniedHint is the hint for a denial's message.
func deniedHint(message string) string {
	for _, d := range denials {
		if strings.Contains(message, d[0]) {
			return d[1]
		}
	}
	return "check that the member roles are deployed in this account as the installed version wants them"
}

// DeniedBySCP reports whether a service control policy denied a call: no permission in the account
// would allow it, neither to us nor to anybody else whom the policy does not exempt.
func DeniedBySCP(err error) bool {
	var api interface{ ErrorMessage() string }
	return IsCode(err, "AccessDenied", "AccessDeniedException", "UnauthorizedOperation") && errors.As(err, &api) &&
		strings.Contains(api.ErrorMessage(), "explicit deny in a service control policy")
}

// ErrRecreated is returned by Apply and Verify if the target was deleted and created
// again: it has the same name and another ID.
var ErrRecreated = errors.New("it was deleted and created again: it is another principal of the same name")

// Refusal is a final denial: a retry returns the same. All other errors are outages
// and may be retried.
type Refusal struct {
	Codes  []Violation // violated rules of the policy; the bot has their words
	Reason string      // in words for people
	Hint   string      // an alternative
	// Instead is the call that is probably meant; nil if there is none. It is shown, never made.
	Instead *Call
}

// ConfirmName refuses a call on a guarded target whose name was not typed. The hint has the line to send.
func ConfirmName(c Call, name, why, otherwise string) *Refusal {
	meant := c.With("confirm", name)
	return &Refusal{Reason: why + " It takes the name typed, and one approval more", Hint: strings.TrimSuffix("ask again with confirm="+name+", "+otherwise, ", "), Instead: &meant}
}

// Code names a rule of the approval policy; approvals has the codes.
type Code string

// Violation is one rule of the policy that is not met.
type Violation struct {
	Code   Code   `json:"code"`
	Person string `json:"person,omitempty"` // the person concerned
	State  string `json:"state,omitempty"`  // of the request
	Group  string `json:"group,omitempty"`  // of people
	Have   int    `json:"have,omitempty"`   // possible approvers
	Need   int    `json:"need,omitempty"`   // required approvals
}

// Refuse returns a refusal for one violated rule.
func Refuse(v Violation) *Refusal { return &Refusal{Codes: []Violation{v}} }

// Cause returns the reason in words, then the codes.
func (r *Refusal) Cause() string {
	var codes []string
	for _, v := range r.Codes {
		codes = append(codes, string(v.Code))
	}
	return strings.TrimSpace(r.Reason + " " + strings.Join(codes, ", "))
}

func (r *Refusal) Error() string { return strings.TrimSpace(r.Cause() + ". " + r.Hint) }

// Clip shortens hostile input to 400 characters; AWS's own messages fit.
func Clip(s string) string { return clip(s, 400) }

// clip shortens a text to a number of characters.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	if rs := []rune(s); len(rs) > most {
		return string(rs[:most]) + "…"
	}
	return s
}
