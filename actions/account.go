package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Member is one of the two roles that every member account has.
type Member int

// The member roles.
const (
	Responder Member = iota // reads, denies, detaches, deletes, isolates
	Restorer                // what undo needs
)

// Actor is on whose behalf a session acts; AWS records it in CloudTrail.
type Actor struct {
	RequestID string   // becomes the RoleSessionName
	Requester string   // people[].id; becomes the SourceIdentity
	Approvers []string // people[].id; become a session tag
}

// sessionPolicyLimit is AWS's limit on an inline session policy, in characters.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const sessionPolicyLimit = 2048

// maxTagValue is AWS's limit on a session tag's value. People's IDs are ASCII.
const maxTagValue = 256

// callTimeout bounds one HTTP exchange with AWS. It is shorter than the lease of a run.
const callTimeout = 8 * time.Second

// Cloud enters member accounts from the hub's own credentials.
type Cloud struct {
	org  Org
	base aws.Config
	sts  *sts.Client
}

// NewCloud takes the hub's configuration, as config.LoadDefaultConfig gives it.
func NewCloud(base aws.Config, org Org) *Cloud {
	base = base.Copy()
	base.Retryer = newRetryer
	if base.HTTPClient == nil {
		base.HTTPClient = awshttp.NewBuildableClient()
	}
	if c, ok := base.HTTPClient.(*awshttp.BuildableClient); ok {
		base.HTTPClient = c.WithTimeout(callTimeout)
	}
	return &Cloud{org: org, base: base, sts: sts.NewFromConfig(base)}
}

// newRetryer retries without the SDK's shared token bucket, which gives up on
// calls while AWS throttles (FACTS: "retry quota exceeded"); the caller's
// context is the bound.
func newRetryer() aws.Retryer {
	r := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 3 // the executor has more patience, and does other steps meanwhile
		o.MaxBackoff = 500 * time.Millisecond
		o.RateLimiter = ratelimit.None
	})
	return retry.AddWithErrorCodes(r, "ConcurrentModification", "ConcurrentModificationException", "PolicyChangesInProgressException", "EntityTemporarilyUnmodifiable")
}

// Account is a session in one account: the clients that actions use.
type Account struct {
	ID        string
	Partition string
	IAM       *iam.Client
	// Brief lets a Plan leave out what only informs people: a run must not wait
	// for it, nor fail with it.
	Brief bool
}

// Enter assumes a member role in an account, limited to permits.
func (c *Cloud) Enter(ctx context.Context, m Member, account string, who Actor, permits []Statement) (*Account, error) {
	policy, err := sessionPolicy(permits)
	if err != nil {
		return nil, err
	}
	name := c.org.ResponderRole
	if m == Restorer {
		name = c.org.RestorerRole
	}
	in := &sts.AssumeRoleInput{
		RoleArn:         aws.String(RoleARN(c.org.Partition, account, "/", name)),
		RoleSessionName: aws.String(who.RequestID),
		SourceIdentity:  aws.String(who.Requester),
		Policy:          aws.String(policy),
		DurationSeconds: aws.Int32(900),
		Tags:            []types.Tag{{Key: aws.String("killswitch-request"), Value: aws.String(who.RequestID)}},
	}
	if c.org.ExternalID != "" {
		in.ExternalId = aws.String(c.org.ExternalID)
	}
	if len(who.Approvers) > 0 {
		approvers := strings.Join(who.Approvers, " ")
		in.Tags = append(in.Tags, types.Tag{Key: aws.String("killswitch-approvers"), Value: aws.String(approvers[:min(len(approvers), maxTagValue)])})
	}
	out, err := c.sts.AssumeRole(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("assume %s in account %s: %w", name, account, err)
	}
	cfg := c.base.Copy()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(
		aws.ToString(out.Credentials.AccessKeyId), aws.ToString(out.Credentials.SecretAccessKey), aws.ToString(out.Credentials.SessionToken))
	return &Account{ID: account, Partition: c.org.Partition, IAM: iam.NewFromConfig(cfg)}, nil
}

func sessionPolicy(permits []Statement) (string, error) {
	type statement struct {
		Effect   string
		Action   []string
		Resource []string
	}
	var ss []statement
	for _, p := range permits {
		ss = append(ss, statement{"Allow", p.Actions, p.Resources})
	}
	b, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", ss})
	if err != nil {
		return "", err
	}
	if len(b) > sessionPolicyLimit {
		return "", fmt.Errorf("session policy has %d characters, the limit is %d", len(b), sessionPolicyLimit)
	}
	return string(b), nil
}

// isCode reports whether err is AWS's error with one of the codes.
func isCode(err error, codes ...string) bool {
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
func Throttled(err error) bool { return isCode(err, throttles...) }

// hinted is an error with a hint that its code alone does not give.
type hinted struct {
	error
	hint string
}

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
		cause = api.ErrorCode() + ": " + clip(api.ErrorMessage())
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
		}
		return cause, hint
	case errors.Is(err, context.DeadlineExceeded):
		return "AWS did not answer in time", "retry; what was applied stays applied"
	case errors.As(err, &status) && status.HTTPStatusCode() >= http.StatusInternalServerError:
		return fmt.Sprintf("AWS answered HTTP %d", status.HTTPStatusCode()), "retry in a minute"
	}
	return clip(err.Error()), ""
}
