package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
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

// SessionContext is on whose behalf a session acts; AWS records it in CloudTrail.
type SessionContext struct {
	RequestID string   // becomes the RoleSessionName
	Requester string   // people[].id; becomes the SourceIdentity
	Approvers []string // people[].id; become a session tag
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
	org   Org
	base  aws.Config
	sts   *sts.Client
	turns turns // of all sessions
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

// Org is the organization that its accounts belong to.
func (c *Cloud) Org() Org { return c.org }

// newRetryer retries without the SDK's shared token bucket, which gives up on
// calls while AWS throttles ("retry quota exceeded"); the caller's
// context is the bound.
func newRetryer() aws.Retryer {
	r := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 3 // the executor has more patience, and does other steps meanwhile
		o.MaxBackoff = 500 * time.Millisecond
		o.RateLimiter = ratelimit.None
	})
	return retry.AddWithErrorCodes(r, "ConcurrentModification", "ConcurrentModificationException", "PolicyChangesInProgressException", "EntityTemporarilyUnmodifiable")
}

// Account is a session in one account. Actions make their clients of it by [Client].
type Account struct {
	ID        string
	Partition string
	Region    string // of the regional clients
	Org       Org
	// SkipSurvey lets a Plan leave out what only informs people: a run must not wait
	// for it, nor fail with it.
	SkipSurvey bool
	// Approved is the immutable ID of the target that was approved, for a Plan of
	// a run: what can't be taken back is not done to another one of the same name.
	Approved string

	cfg     aws.Config
	clients sync.Map // by the type of the client
	roles   *roleList
	turns   *turns
}

// Client is the account's client of a service, made when it is first asked for:
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

// IAM is the account's client of IAM, the service of most actions.
func (a *Account) IAM() *iam.Client { return Client(a, iam.NewFromConfig) }

func newAccount(id, region string, org Org, cfg aws.Config, t *turns) *Account {
	if region != "" {
		cfg.Region = region
	}
	return &Account{ID: id, Partition: org.Partition, Region: cfg.Region, Org: org, cfg: cfg, roles: &roleList{}, turns: t}
}

// Config is the session's configuration, to make clients of.
func (a *Account) Config() aws.Config { return a.cfg }

// Once is the same session without retries: whoever sends many calls at once
// decides itself when to send one again.
func (a *Account) Once() *Account {
	cfg := a.cfg.Copy()
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	once := newAccount(a.ID, a.Region, a.Org, cfg, a.turns)
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
func (c *Cloud) EnterFor(ctx context.Context, m Member, a Action, p Phase, call Call, resources []string, who SessionContext) (*Account, error) {
	for _, arn := range resources {
		if !arnForm.MatchString(arn) {
			return nil, fmt.Errorf("%s changes %q, which is not an ARN: its permissions can't be limited to it", call.Action, arn)
		}
	}
	s := ScopeOf(a, c.org, call, resources)
	return c.Enter(ctx, m, s.Account, s.Region, who, Permits(a, p, s))
}

// Enter assumes a member role in an account, limited to permits. The region is
// that of the regional clients; empty for the hub's.
func (c *Cloud) Enter(ctx context.Context, m Member, account, region string, who SessionContext, permits []Statement) (*Account, error) {
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
	return newAccount(account, region, c.org, cfg, &c.turns), nil
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
	if len(b) > SessionPolicyLimit {
		return "", fmt.Errorf("session policy has %d characters, the limit is %d", len(b), SessionPolicyLimit)
	}
	return string(b), nil
}
