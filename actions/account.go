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
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
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
	ID            string
	Partition     string
	Region        string // of the regional clients
	Org           Org
	IAM           *iam.Client
	Organizations *organizations.Client
	EC2           *ec2.Client
	AutoScaling   *autoscaling.Client
	ELB           *elasticloadbalancingv2.Client
	// Brief lets a Plan leave out what only informs people: a run must not wait
	// for it, nor fail with it.
	Brief bool
	// Approved is the immutable ID of the target that was approved, for a Plan of
	// a run: what can't be taken back is not done to another one of the same name.
	Approved string

	cfg   aws.Config
	roles *roleList
}

// Forget lets what was listed of the account be listed again.
func (a *Account) Forget() { a.roles = &roleList{} }

// Share lets a session see what another one has listed.
func (a *Account) Share(b *Account) { a.roles = b.roles }

// CloudTrail is a client for one region.
func (a *Account) CloudTrail(region string) *cloudtrail.Client {
	return cloudtrail.NewFromConfig(a.cfg, func(o *cloudtrail.Options) { o.Region = region })
}

func newAccount(id, region string, org Org, cfg aws.Config) *Account {
	if region != "" {
		cfg.Region = region
	}
	return &Account{ID: id, Partition: org.Partition, Region: cfg.Region, Org: org, IAM: iam.NewFromConfig(cfg), Organizations: organizations.NewFromConfig(cfg),
		EC2: ec2.NewFromConfig(cfg), AutoScaling: autoscaling.NewFromConfig(cfg), ELB: elasticloadbalancingv2.NewFromConfig(cfg), cfg: cfg, roles: &roleList{}}
}

// Once is the same session without retries: whoever sends many calls at once
// decides itself when to send one again.
func (a *Account) Once() *Account {
	cfg := a.cfg.Copy()
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	once := newAccount(a.ID, a.Region, a.Org, cfg)
	once.Share(a)
	return once
}

// AccountOfKey asks AWS which account an access key belongs to. Any caller may.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetAccessKeyInfo.html
func (c *Cloud) AccountOfKey(ctx context.Context, key string) (string, error) {
	out, err := c.sts.GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: &key})
	if err != nil {
		return "", fmt.Errorf("ask whose key %s is: %w", key, err)
	}
	return aws.ToString(out.Account), nil
}

// EnterFor assumes a member role where a call is carried out, limited to what a
// phase of it needs; resources are the ARNs that its steps change.
func (c *Cloud) EnterFor(ctx context.Context, m Member, a Action, p Phase, call Call, resources []string, who Actor) (*Account, error) {
	s := ScopeOf(a, c.org, call, resources)
	return c.Enter(ctx, m, s.Account, s.Region, who, Permits(a, p, s))
}

// Enter assumes a member role in an account, limited to permits. The region is
// that of the regional clients; empty for the hub's.
func (c *Cloud) Enter(ctx context.Context, m Member, account, region string, who Actor, permits []Statement) (*Account, error) {
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
	return newAccount(account, region, c.org, cfg), nil
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

// laterError is an error that other steps, or a little time, may mend.
type laterError struct{ error }

func (e *laterError) Unwrap() error { return e.error }

// Later reports whether a step that failed with err is worth another try after
// the others, or a little later: a quota that they free, or something new that
// another service does not see yet. An action says so with &laterError.
func Later(err error) bool {
	var l *laterError
	return errors.As(err, &l)
}

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
		// EC2 adds a long text that only AWS can read.
		message, _, _ := strings.Cut(api.ErrorMessage(), " Encoded authorization failure message:")
		cause = api.ErrorCode() + ": " + clip(message)
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
	return clip(err.Error()), ""
}
