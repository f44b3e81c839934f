package actions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// Member is one of the two roles that every member account has.
type Member int

// The member roles.
const (
	Responder Member = iota // reads, denies, detaches, deletes, isolates
	Restorer                // what undo needs
)

// SessionContext names the request and the people behind a session; AWS records it in CloudTrail.
type SessionContext struct {
	RequestID string   // becomes the RoleSessionName
	Requester string   // people[].id; becomes the SourceIdentity
	Approvers []string // people[].id; become a session tag
	Entered   bool     // the request has entered the account before: it is one of ours
}

// SessionPolicyLimit is AWS's limit on an inline session policy, in characters.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const SessionPolicyLimit = 2048

// maxTagValue is AWS's limit on a session tag's value. People's IDs are ASCII.
const maxTagValue = 256

// callTimeout bounds one HTTP exchange with AWS. It is shorter than the lease of a run.
const callTimeout = 8 * time.Second

// Cloud enters member accounts from the hub's own credentials.
type Cloud struct {
	org     Org
	base    aws.Config
	sts     *sts.Client
	limiter rateLimiter // shared by all sessions
	now     func() time.Time
	log     *slog.Logger
	count   func(ctx context.Context, name string, n int)
	members Members

	watching watchSessions
}

// NewCloud takes the hub's configuration, as config.LoadDefaultConfig returns it.
func NewCloud(base aws.Config, org Org) *Cloud {
	base = base.Copy()
	base.Retryer = newRetryer
	if base.HTTPClient == nil {
		base.HTTPClient = awshttp.NewBuildableClient()
	}
	if c, ok := base.HTTPClient.(*awshttp.BuildableClient); ok {
		base.HTTPClient = c.WithTimeout(callTimeout)
	}
	c := &Cloud{org: org, base: base, sts: sts.NewFromConfig(base), limiter: rateLimiter{byKey: map[string]chan struct{}{}},
		log: slog.New(slog.DiscardHandler), count: func(context.Context, string, int) {}, members: &membership{}, watching: watchSessions{byKey: map[string]*session{}}, now: time.Now} //nolint:forbidigo // tests replace it
	c.SetAfterFunc(func(d time.Duration, f func()) { time.AfterFunc(d, f) })
	return c
}

// SetNow replaces time.Now: sessions are renewed, and memberships asked again, by it.
func (c *Cloud) SetNow(now func() time.Time) { c.now = now }

// SetCount has counted each time that a member role could not be assumed, as RolesNotAssumed.
func (c *Cloud) SetCount(count func(ctx context.Context, name string, n int)) { c.count = count }

// SetLog has told which sessions got a shorter policy than they should have.
func (c *Cloud) SetLog(log *slog.Logger) { c.log = log }

// Org returns the configured organization.
func (c *Cloud) Org() Org { return c.org }

// newRetryer retries without the SDK's shared token bucket, which fails calls while AWS
// throttles ("retry quota exceeded"); the caller's context is the limit.
func newRetryer() aws.Retryer {
	r := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 3 // the executor retries for longer, and does other steps meanwhile
		o.MaxBackoff = 500 * time.Millisecond
		o.RateLimiter = ratelimit.None
	})
	return retry.AddWithErrorCodes(r, "ConcurrentModification", "ConcurrentModificationException",
		"PolicyChangesInProgressException", "EntityTemporarilyUnmodifiable")
}

// Account is a session in one account. Actions create their service clients with [Client].
type Account struct {
	ID        string
	Partition string
	Region    string // of the regional clients
	Org       Org
	// Look is how much Plan reads.
	Look Look
	// Approved is the immutable ID of the approved target, set when a run plans, or an undo reverts:
	// irreversible steps are not applied to another target of the same name.
	Approved string

	cfg     aws.Config
	clients sync.Map // by client type
	roles   *roleList
	limiter *rateLimiter
	now     func() time.Time
	leave   func()   // nil but in a look
	answers *answers // likewise
	members Members

	enterTarget func(context.Context) (*Account, error) // nil if this is the target's account
	target      *Account                                // once it is entered
}

// Target returns a session in the target's account, for calls that Organizations carries out from another
// one: the phase's member role, with what the phase permits in that account.
func (a *Account) Target(ctx context.Context) (*Account, error) {
	if a.enterTarget == nil {
		return a, nil
	}
	if a.target == nil {
		t, err := a.enterTarget(ctx)
		if err != nil {
			return nil, err
		}
		a.target = t
	}
	a.target.Look, a.target.Approved = a.Look, a.Approved
	return a.target, nil
}

// Look is how much Plan reads.
type Look int

// The looks. What is read for people alone, or for later steps, neither delays the deny
// nor fails it.
const (
	LookAll   Look = iota // the steps, and facts for the people who decide
	LookSteps             // all steps
	LookFirst             // the steps that contain, from the least that must be read
)

// Client returns the account's client of a service, created on first use:
//
//	ec2c := actions.Client(acct, ec2.NewFromConfig)
func Client[C, O any](a *Account, create func(aws.Config, ...func(*O)) *C) *C {
	kept, ok := a.clients.Load((*C)(nil))
	if !ok {
		kept, _ = a.clients.LoadOrStore((*C)(nil), create(a.cfg))
	}
	c, _ := kept.(*C)
	return c
}

// IAM returns the account's IAM client.
func (a *Account) IAM() *iam.Client { return Client(a, iam.NewFromConfig) }

func newAccount(id, region string, org Org, cfg aws.Config, l *rateLimiter, now func() time.Time) *Account {
	if region != "" {
		cfg.Region = region
	}
	return &Account{ID: id, Partition: org.Partition, Region: cfg.Region, Org: org, cfg: cfg, roles: &roleList{size: fullPage}, limiter: l, now: now}
}

// Now is the time by the clock of the [Cloud].
func (a *Account) Now() time.Time { return a.now() }

// Config returns the session's configuration, to create clients from.
func (a *Account) Config() aws.Config { return a.cfg }

// WithoutRetries returns the same session without the SDK's retries, for callers that
// send many calls at once and retry by themselves.
func (a *Account) WithoutRetries() *Account {
	cfg := a.cfg.Copy()
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	b := newAccount(a.ID, a.Region, a.Org, cfg, a.limiter, a.now)
	b.members = a.members
	b.ShareRoleList(a)
	return b
}

// AccountOfKey returns the account that an access key belongs to. AWS answers any caller.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetAccessKeyInfo.html
func (c *Cloud) AccountOfKey(ctx context.Context, key string) (string, error) {
	out, err := c.sts.GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: &key})
	if err != nil {
		return "", fmt.Errorf("ask whose key %s is: %w", key, err)
	}
	return aws.ToString(out.Account), nil
}

// Caller is who the hub's own credentials are, and how far AWS's clock was ahead of ours when it said so; zero, if it
// did not say.
type Caller struct {
	Account, ARN string
	Ahead        time.Duration
}

// Caller asks AWS, which answers anybody.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (c *Cloud) Caller(ctx context.Context) (Caller, error) {
	out, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return Caller{}, fmt.Errorf("ask who we are: %w", err)
	}
	who := Caller{Account: aws.ToString(out.Account), ARN: aws.ToString(out.Arn)}
	if at, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok {
		who.Ahead = at.Sub(c.now())
	}
	return who, nil
}

// EnterFor assumes a member role in the account where a call is carried out, limited to
// the permissions of one phase; resources are the ARNs that its steps change.
func (c *Cloud) EnterFor(
	ctx context.Context, m Member, a Action, p Phase, call Call, resources []string, who SessionContext,
) (*Account, error) {
	for _, arn := range resources {
		if !arnPattern.MatchString(arn) {
			return nil, fmt.Errorf("%s changes %q, which is not an ARN: its permissions can't be limited to it", call.Action, arn)
		}
	}
	s := ScopeOf(a, c.org, call, resources)
	acct, err := c.enter(ctx, m, s.Account, s.Region, who, widths(a, p, s)...)
	if t := s.Target(); err == nil && t.Account != s.Account {
		acct.enterTarget = func(ctx context.Context) (*Account, error) {
			return c.enter(ctx, m, t.Account, t.Region, who, widths(a, p, t)...)
		}
	}
	return acct, err
}

// Enter assumes a member role in an account, limited to permits. The region is
// for regional clients; empty for the hub's. The session is renewed for as long as it is
// used. Enter returns a *[Refusal] for an account that is not known to be one of ours.
func (c *Cloud) Enter(ctx context.Context, m Member, account, region string, who SessionContext, permits []Statement) (*Account, error) {
	return c.enter(ctx, m, account, region, who, permits)
}

func (c *Cloud) enter(ctx context.Context, m Member, account, region string, who SessionContext, widths ...[]Statement) (*Account, error) {
	if err := c.checkMember(ctx, account, who); err != nil {
		return nil, err
	}
	return c.assume(ctx, m, account, region, who, widths...)
}

// assume is enter without the question whose account it is.
func (c *Cloud) assume(ctx context.Context, m Member, account, region string, who SessionContext, widths ...[]Statement) (*Account, error) {
	s, err := c.open(ctx, m, account, who, int32(sessionLife/time.Second), widths, func(in *sts.AssumeRoleInput) *session {
		return &session{cloud: c, in: in, renewAfter: sessionLife / 2}
	})
	if err != nil {
		return nil, err
	}
	return c.account(s, account, region), nil
}

// open assumes a member role with the first of the permissions that STS packs: it packs policy and
// tags into a form whose limit is not published, and of which tags that the hub's own session
// passes on (EKS Pod Identity) take a part. The tag of the approvers goes first.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html#reference_iam-quotas-entity-length
func (c *Cloud) open(ctx context.Context, m Member, account string, who SessionContext, seconds int32, widths [][]Statement,
	create func(*sts.AssumeRoleInput) *session) (*session, error) {
	for wider, refused := 0, false; ; refused = true {
		in, err := c.assumption(m, account, who, widths[wider], seconds)
		if err != nil {
			return nil, err
		}
		s := create(in)
		_, err = s.Retrieve(ctx)
		switch {
		case err == nil && refused:
			c.log.WarnContext(ctx, "session policy was too large, a shorter one is used", slog.String("request_id", who.RequestID), slog.String("account", account),
				slog.Int("wider", wider), slog.Int("policy_characters", len(*in.Policy)), slog.Int("session_token_utilization", int(s.packed)))
			return s, nil
		case !IsCode(err, "PackedPolicyTooLarge"):
			return s, err
		case len(who.Approvers) > 0:
			who.Approvers = nil
		case wider == len(widths)-1:
			c.count(ctx, "RolesNotAssumed", 1)
			return nil, err
		default:
			wider++
		}
	}
}

// account returns an [Account] with the credentials of a session.
func (c *Cloud) account(s *session, account, region string) *Account {
	cfg := c.base.Copy()
	cfg.Credentials = s
	a := newAccount(account, region, c.org, cfg, &c.limiter, c.now)
	a.members = c.members
	return a
}

// assumption returns the request for a session of a member role, limited to permits.
func (c *Cloud) assumption(m Member, account string, who SessionContext, permits []Statement, seconds int32) (*sts.AssumeRoleInput, error) {
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
		DurationSeconds: &seconds,
		Tags:            []types.Tag{{Key: aws.String("killswitch-request"), Value: aws.String(who.RequestID)}},
	}
	if c.org.ExternalID != "" {
		in.ExternalId = aws.String(c.org.ExternalID)
	}
	if len(who.Approvers) > 0 {
		approvers := strings.Join(who.Approvers, " ")
		approvers = approvers[:min(len(approvers), maxTagValue)]
		in.Tags = append(in.Tags, types.Tag{Key: aws.String("killswitch-approvers"), Value: &approvers})
	}
	return in, nil
}

const (
	sessionLife = 15 * time.Minute // the shortest that STS gives
	renewPause  = 30 * time.Second // after a renewal that failed
)

// session is the credentials of an [Account]: a member role, assumed again when a part of
// their life is over. The SDK's own provider has no clock that can be passed in.
type session struct {
	cloud      *Cloud
	in         *sts.AssumeRoleInput
	renewAfter time.Duration

	mu          sync.Mutex
	current     aws.Credentials
	packed      int32 // percent of the largest session token
	renew, ends time.Time
}

// Retrieve implements [aws.CredentialsProvider]. While a renewal fails, the earlier
// credentials are used to their end.
func (s *session) Retrieve(ctx context.Context) (aws.Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cloud.now()
	if now.Before(s.renew) {
		return s.current, nil
	}
	out, err := s.cloud.sts.AssumeRole(ctx, s.in)
	if err == nil {
		k := out.Credentials
		s.current = aws.Credentials{AccessKeyID: aws.ToString(k.AccessKeyId), SecretAccessKey: aws.ToString(k.SecretAccessKey),
			SessionToken: aws.ToString(k.SessionToken)}
		s.packed = aws.ToInt32(out.SessionTokenUtilization) // which AWS has instead of PackedPolicySize
		s.renew, s.ends = now.Add(s.renewAfter), now.Add(time.Duration(*s.in.DurationSeconds)*time.Second)
		return s.current, nil
	}
	// A policy that is too large is tried shorter, and a caller that gave up says nothing of the role.
	if !IsCode(err, "PackedPolicyTooLarge") && !errors.Is(ctx.Err(), context.Canceled) {
		s.cloud.count(ctx, "RolesNotAssumed", 1)
	}
	if now.Before(s.ends) {
		s.renew = now.Add(renewPause)
		return s.current, nil
	}
	return aws.Credentials{}, fmt.Errorf("assume %s: %w", aws.ToString(s.in.RoleArn), err)
}

// leave ends the session: the next Retrieve assumes the role.
func (s *session) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renew, s.ends = time.Time{}, time.Time{}
}

// over reports whether the session had credentials, which have expired.
func (s *session) over(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ends.IsZero() && !now.Before(s.ends)
}

func sessionPolicy(permits []Statement) (string, error) {
	b, err := PolicyDocument(permits)
	if err != nil {
		return "", err
	}
	if len(b) > SessionPolicyLimit {
		return "", fmt.Errorf("session policy has %d characters, the limit is %d", len(b), SessionPolicyLimit)
	}
	return string(b), nil
}
