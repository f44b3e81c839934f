// Package awsfake is an AWS in memory, for tests and for the demo.
//
// It sits behind the real SDK clients: a middleware at the end of the Finalize
// step answers where the network would. Retries, signing, validation and
// middleware of the product run as they do against AWS, so the code under test
// takes a real *iam.Client and needs no interfaces:
//
//	cloud := awsfake.New(clock.Now)
//	cloud.Member("222222222222", awsfake.MemberRoles{ExternalID: "x", ResponderPolicy: `{…}`})
//	hub := sts.NewFromConfig(cloud.Config()) // the executor: may assume roles, nothing else
//
// Who calls is known from the access key in the SigV4 header. Every call of a
// role session is authorised: identity policies, permissions boundary and
// session policy must all allow, and a Deny in any of them wins. Errors are the
// SDK's typed errors in AWS's words, with the HTTP status that the SDK's retryer
// looks at.
//
// Setting up: AddRole, Member, AddPolicy and clients made from Admin are not
// authorised, logged, throttled, delayed or failed, and may also write what AWS
// reserves to itself (service-linked and Identity Center roles).
//
// Making it hard: Fault, Throttle, SetPropagation, SetEnforcement and OnCall (to kill a process
// before or after a call). Looking at it: Calls, Mutations, Snapshot, and the
// victim's view, Session, whose Can tells whether stolen credentials still work.
//
// Time is the injected clock; only Fault.Delay waits in real time (or in the
// bubble of testing/synctest, where New(time.Now) is the natural clock).
// Credentials expire by the injected clock, but the SDK's credential caches look
// at the real one: with a clock far in the past they assume the role again for
// each call.
//
// A new operation is a handler and one line in the operations map. An operation
// that is missing there fails with code NotImplemented; nothing reaches a network.
package awsfake

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go/middleware"
)

// The executor's own role, whose credentials Config carries.
const (
	HubAccount = "111111111111"
	HubRole    = "killswitch-executor"
)

// hubPolicy lets the executor assume roles and say for whom, and ask whose a key
// is; to publish to topics, to ask who subscribed, and to put objects, which other accounts' buckets must let in. Nothing else.
// Tagging a session and setting a source identity are permissions of their own
// ("Pass session tags in AWS STS", "Monitor and control actions taken with
// assumed roles", IAM User Guide).
const hubPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity","sts:GetAccessKeyInfo","sns:Publish","sns:GetTopicAttributes","s3:PutObject","s3:PutObjectRetention"],"Resource":"*"}]}`

// A Cloud is a set of AWS accounts in one partition. It is safe for concurrent use.
type Cloud struct {
	now       func() time.Time
	partition string
	hub       *session

	mu          sync.Mutex
	propagation time.Duration
	listedFirst bool // IAM's reads don't wait for the propagation
	packedLimit int  // characters; 0 for none
	accounts    map[string]*Account
	sessions    map[string]*session // by access key ID
	recording   bool                // calls are written into the Event histories
	recorded    int
	policies    map[string]string  // managed policies' documents by ARN
	editions    map[string]edition // of managed policies, by ARN
	keyOwners   map[string]string  // accounts of long-term access keys, gone ones too
	org         *organization      // nil where there is none
	minted      map[string]int     // counters behind the generated IDs, by prefix
	faults      []*Fault
	throttles   []*throttle
	hooks       []func(Call) error
	calls       []Call
	topics      map[string]int // ARN: how many have subscribed
	notices     []Notice
	served      map[string]operation // that a test models itself
}

// An Option changes what New makes.
type Option func(*Cloud)

// WithPartition sets the partition: aws (the default), aws-us-gov or aws-cn.
func WithPartition(p string) Option { return func(c *Cloud) { c.partition = p } }

// New returns a cloud that holds the hub account with the executor's role.
func New(now func() time.Time, opts ...Option) *Cloud {
	c := &Cloud{
		now:       now,
		partition: "aws",
		accounts:  map[string]*Account{},
		sessions:  map[string]*session{},
		policies:  map[string]string{},
		editions:  map[string]edition{},
		keyOwners: map[string]string{},
		minted:    map[string]int{},
		served:    map[string]operation{},
		topics:    map[string]int{},
	}
	for _, o := range opts {
		o(c)
	}
	for name, doc := range awsManaged {
		c.policies[c.arn("iam", "aws", "policy/"+name)] = doc
	}
	c.Account(HubAccount).AddRole(Role{
		Name:   HubRole,
		Trust:  serviceTrust("lambda.amazonaws.com"),
		Inline: map[string]string{"assume": hubPolicy},
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hub = c.issue(issueInput{account: c.accounts[HubAccount], role: c.accounts[HubAccount].roles[HubRole].current(), name: "executor"})
	return c
}

// Partition is the first field of this cloud's ARNs.
func (c *Cloud) Partition() string { return c.partition }

// Region is the one that Config carries.
func (c *Cloud) Region() string {
	switch c.partition {
	case "aws-us-gov":
		return "us-gov-west-1"
	case "aws-cn":
		return "cn-north-1"
	}
	return "us-east-1"
}

// HubPrincipal is the ARN of the executor's role, for trust policies.
func (c *Cloud) HubPrincipal() string { return c.arn("iam", HubAccount, "role/"+HubRole) }

// Config acts as the executor. The retryer is the SDK's standard one unless the caller sets another.
func (c *Cloud) Config() aws.Config { return c.ConfigAs(c.hub.provider()) }

// ConfigAs acts with the credentials that AssumeRole or Session gave.
func (c *Cloud) ConfigAs(creds aws.CredentialsProvider) aws.Config {
	return aws.Config{
		Region:      c.Region(),
		Credentials: creds,
		HTTPClient:  network{c},
		APIOptions:  []func(*middleware.Stack) error{c.install},
	}
}

// Admin acts as the account's root user for setting up; see the package comment.
// What it writes is visible at once, whatever SetPropagation says.
func (c *Cloud) Admin(account string) aws.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.account(account)
	s := &session{admin: true, account: a, arn: c.arn("iam", account, "root"), keyID: "AKIAADMIN" + account, secret: "admin"}
	c.sessions[s.keyID] = s
	return c.ConfigAs(s.provider())
}

// SetPropagation delays what is written from now on: until d has passed, Get and
// List operations and every authorisation see the state before the write, while
// writes work on the newest state. Zero, the default, is at once.
//
// Source: "Troubleshoot IAM: Changes that I make are not always immediately
// visible" (IAM User Guide): IAM is eventually consistent.
func (c *Cloud) SetPropagation(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.propagation, c.listedFirst = d, false
}

// SetEnforcement is SetPropagation, but IAM's Get and List operations see what is written at once:
// authorisation alone is late. An attacker who polls knows of a deny before it holds, by about four
// seconds, as others have measured.
// https://www.offensai.com/blog/eventual-consistency-resistant-iam-containment-aws-incident-response
func (c *Cloud) SetEnforcement(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.propagation, c.listedFirst = d, true
}

// AddPolicy registers a managed policy's document, so that its ARN can be
// attached, or replaces it (at once). A few AWS-managed policies are built in.
// It panics when the document is not a valid policy.
func (c *Cloud) AddPolicy(arn, document string) {
	if _, err := parsePolicy(document, identityPolicy); err != nil {
		panic(fmt.Sprintf("awsfake: AddPolicy %s: %v", arn, err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replacePolicy(arn, document)
}

// RemovePolicy is as if a managed policy had never been there.
func (c *Cloud) RemovePolicy(arn string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.policies, arn)
	delete(c.editions, arn)
}

func (c *Cloud) arn(service, account, resource string) string {
	return "arn:" + c.partition + ":" + service + "::" + account + ":" + resource
}

func (s *session) provider() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(s.keyID, s.secret, s.token)
}

// wait sleeps in real time unless the context ends first.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
