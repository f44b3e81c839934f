package actiontest

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/instance"
)

// What a Fixture and its tests are made of.
const (
	Member    = "222222222222"
	Sandbox   = "333333333333"
	Request   = "KS-0123456789AB"
	Revoke    = "AWSRevokeOlderSessions" // the name that the IAM console uses
	Tag       = "killswitch"
	AllowIAM  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`
	Timestamp = "2006-01-02T15:04:05Z"
)

// Began is when the time of a Fixture begins.
var Began = time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)

// Clock is the clock of a test.
type Clock struct {
	mu sync.Mutex
	T  time.Time
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.T
}

// Add advances the clock.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.T = c.T.Add(d)
}

// TestOrg is the organization of a Fixture.
func TestOrg(partition string) actions.Org {
	return actions.Org{
		Actions:   all.Actions,
		Partition: partition, HubAccount: awsfake.HubAccount, ManagementAccount: "999999999999",
		ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer", ExternalID: "4b3c2a1f",
		Accounts:            map[string]string{"prod": Member, "sandbox": Sandbox},
		ProtectedAccounts:   []string{"888888888888"},
		ProtectedPrincipals: []string{"arn:" + partition + ":iam::*:role/break-glass", "arn:" + partition + ":iam::" + Member + ":role/ops/keeper"},
	}
}

// Fixture is a member account with one role, /app/victim, that may do all. The
// member roles may do all of IAM: what limits a session is its session policy.
type Fixture struct {
	*awsfake.Cloud
	T     *testing.T
	Clock *Clock
	Org   actions.Org
	Hub   *actions.Cloud
	Role  string // the victim's ARN
	// What is done: to the victim its sessions are revoked, unless a test says otherwise.
	Act       actions.Action
	Asked     actions.Call
	Resources []string // that the steps change
}

// NewFixture is the fixture; a test alters the victim.
func NewFixture(t *testing.T, alter ...func(*awsfake.Role)) *Fixture {
	t.Helper()
	c := &Clock{T: Began}
	return FixtureAt(t, c, c.Now, "aws", alter...)
}

// FixtureAt is NewFixture in a partition, with a clock of the test's own.
func FixtureAt(t *testing.T, c *Clock, now func() time.Time, partition string, alter ...func(*awsfake.Role)) *Fixture {
	t.Helper()
	w := &Fixture{Cloud: awsfake.New(now, awsfake.WithPartition(partition)), T: t, Clock: c, Org: TestOrg(partition)}
	w.Member(Member, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: AllowIAM, RestorerPolicy: AllowIAM})
	victim := awsfake.Role{Name: "victim", Path: "/app/", Attached: []string{"arn:" + partition + ":iam::aws:policy/AdministratorAccess"}}
	for _, f := range alter {
		f(&victim)
	}
	w.Role = w.Account(Member).AddRole(victim)
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	w.Hub.SetNow(now)
	w.Hub.SetAfterFunc(func(_ time.Duration, f func()) { f() }) // of time that only passes where a test says so
	w.SetCall(actions.Call{Action: actions.RevokeSessions, Target: w.Role, Account: Member}, w.Role)
	return w
}

// SetCall says which call the world is about, and what its steps change.
func (w *Fixture) SetCall(c actions.Call, resources ...string) {
	w.T.Helper()
	a, ok := w.Org.Actions.Lookup(c.Action)
	if !ok {
		w.T.Fatalf("%s is not registered", c.Action)
	}
	w.Act, w.Asked, w.Resources = a, c, resources
}

// DeployShared puts into an account what is deployed ahead, beside the member roles: the policies that
// are attached to users, the isolation role and its profile.
func DeployShared(c *awsfake.Cloud, account string) {
	own := "arn:" + c.Partition() + ":iam::" + account + ":policy/"
	for _, name := range []string{deny.FullQuarantine, deny.IAMQuarantine} {
		c.AddPolicy(own+name, deny.QuarantineDocument(name))
	}
	c.Account(account).AddRole(awsfake.Role{Name: instance.IsolationName, Trust: instance.IsolationTrust(c.Partition()),
		Boundary: deny.BoundaryARN(c.Partition()), Profiles: []string{instance.IsolationName}})
}

// Trust is a trust policy that lets principals in: accounts, ARNs.
func Trust(principals ...string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + strings.Join(principals, `","`) + `"]},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`
}

// Outside is an account that nobody knows.
const Outside = "666666666666"

// Outsider is a session of a role of that account, which may assume roles.
func (w *Fixture) Outsider() *awsfake.Session {
	return w.Session(w.Account(Outside).AddRole(awsfake.Role{Name: "mallory", Inline: map[string]string{"all": AllowAll}}), "mallory")
}

// Enters is the session that the outsider has of a role, or AWS's refusal.
func (w *Fixture) Enters(role string) (*iam.Client, error) {
	w.T.Helper()
	out, err := sts.NewFromConfig(w.Outsider().Config()).AssumeRole(w.T.Context(), &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("mallory")})
	if err != nil {
		return nil, err
	}
	k := out.Credentials
	return iam.NewFromConfig(w.ConfigAs(credentials.NewStaticCredentialsProvider(*k.AccessKeyId, *k.SecretAccessKey, *k.SessionToken))), nil
}

// SetTrust sets a role's trust policy, as an administrator of the account.
func (w *Fixture) SetTrust(role, trust string) {
	w.T.Helper()
	_, err := w.IAM().UpdateAssumeRolePolicy(w.T.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &role, PolicyDocument: &trust})
	Must(w.T, err)
}

// WithInline gives a role an inline policy.
func WithInline(name, document string) func(*awsfake.Role) {
	return func(r *awsfake.Role) {
		r.Inline = maps.Clone(r.Inline)
		if r.Inline == nil {
			r.Inline = map[string]string{}
		}
		r.Inline[name] = document
	}
}

// WithTag gives a role a tag.
func WithTag(key, value string) func(*awsfake.Role) {
	return func(r *awsfake.Role) {
		r.Tags = maps.Clone(r.Tags)
		if r.Tags == nil {
			r.Tags = map[string]string{}
		}
		r.Tags[key] = value
	}
}

// Actor is who asks in tests.
var Actor = actions.SessionContext{RequestID: Request, Requester: "alice", Approvers: []string{"bob", "carol"}}

// ActionOf is revoke_sessions.
func ActionOf(t *testing.T) actions.Action {
	t.Helper()
	a, ok := all.Actions.Lookup(actions.RevokeSessions)
	if !ok {
		t.Fatal("revoke_sessions is not registered")
	}
	return a
}

// Enter is a session for a phase, permitted what the action says and no more.
func (w *Fixture) Enter(m actions.Member, phase actions.Phase) *actions.Account {
	w.T.Helper()
	return w.EnterFor(m, phase, w.Resources)
}

// EnterFor is Enter for steps that change the resources.
func (w *Fixture) EnterFor(m actions.Member, phase actions.Phase, resources []string) *actions.Account {
	w.T.Helper()
	acct, err := w.Hub.EnterFor(w.T.Context(), m, w.Act, phase, w.Asked, resources, Actor)
	if err != nil {
		w.T.Fatal(err)
	}
	return acct
}

// Responder is a session that may contain.
func (w *Fixture) Responder() *actions.Account { return w.Enter(actions.Responder, actions.PhaseRun) }

// Restorer is a session that may undo.
func (w *Fixture) Restorer() *actions.Account { return w.Enter(actions.Restorer, actions.PhaseUndo) }

// Call is what is asked for.
func (w *Fixture) Call() actions.Call { return w.Asked }

// Permits are the permissions of a phase.
func (w *Fixture) Permits(phase actions.Phase) []actions.Statement {
	return actions.Permits(w.Act, phase, actions.ScopeOf(w.Act, w.Org, w.Asked, w.Resources))
}

// Plan plans what is asked for.
func (w *Fixture) Plan() actions.Plan {
	w.T.Helper()
	acct := w.Enter(actions.Responder, actions.PhasePlan)
	for {
		p, err := w.Act.Plan(w.T.Context(), acct, w.Call())
		if _, more := errors.AsType[*actions.MorePages](err); more {
			continue
		}
		if err != nil {
			w.T.Fatal(err)
		}
		return p
	}
}

// StepOf is the planned step of that ID.
func StepOf(t *testing.T, p actions.Plan, id string) actions.Step {
	t.Helper()
	i := slices.IndexFunc(p.Steps, func(s actions.Step) bool { return s.ID == id })
	if i < 0 {
		t.Fatalf("no step %s in %+v", id, p.Steps)
	}
	return p.Steps[i]
}

// Run is one that began when it is called.
func (w *Fixture) Run() actions.Run {
	return actions.Run{RequestID: Request, Since: w.Clock.Now(), Now: w.Clock.Now()}
}

// Apply takes a step.
func (w *Fixture) Apply(s actions.Step, run actions.Run) actions.Effect {
	w.T.Helper()
	e, err := w.Act.Apply(w.T.Context(), w.Responder(), s, run)
	if err != nil {
		w.T.Fatalf("Apply %s: %v", s.ID, err)
	}
	return e
}

// Revert takes a step back.
func (w *Fixture) Revert(s actions.Step, e actions.Effect) actions.Reading {
	w.T.Helper()
	r, err := w.Act.Revert(w.T.Context(), w.Restorer(), s, e)
	for end := w.Clock.Now().Add(laterWithin); actions.IsRetryLater(err) && w.Clock.Now().Before(end); w.Clock.Add(readEvery) {
		r, err = w.Act.Revert(w.T.Context(), w.Restorer(), s, e)
	}
	if err != nil {
		w.T.Fatalf("Revert %s: %v", s.ID, err)
	}
	return r
}

// Victim is the role as it stands.
func (w *Fixture) Victim() awsfake.Role {
	return w.Snapshot().Accounts[Member].Roles["victim"]
}

// IAM is the account administrator's client.
func (w *Fixture) IAM() *iam.Client { return iam.NewFromConfig(w.Admin(Member)) }

// PutDeny writes the deny's policy, as an administrator of the account.
func (w *Fixture) PutDeny(document string) {
	w.T.Helper()
	_, err := w.IAM().PutRolePolicy(w.T.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("victim"), PolicyName: aws.String(Revoke), PolicyDocument: &document})
	Must(w.T, err)
}

// DeleteDeny removes the deny, as an administrator of the account.
func (w *Fixture) DeleteDeny() {
	w.T.Helper()
	_, err := w.IAM().DeleteRolePolicy(w.T.Context(), &iam.DeleteRolePolicyInput{RoleName: aws.String("victim"), PolicyName: aws.String(Revoke)})
	Must(w.T, err)
}

func (w *Fixture) tag(value string) {
	w.T.Helper()
	_, err := w.IAM().TagRole(w.T.Context(), &iam.TagRoleInput{RoleName: aws.String("victim"), Tags: []types.Tag{{Key: aws.String(Tag), Value: &value}}})
	Must(w.T, err)
}

// Untag removes the tag, as an administrator of the account.
func (w *Fixture) Untag() {
	w.T.Helper()
	_, err := w.IAM().UntagRole(w.T.Context(), &iam.UntagRoleInput{RoleName: aws.String("victim"), TagKeys: []string{Tag}})
	Must(w.T, err)
}

// Must ends a test on an error.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// WantCode fails unless an error is AWS's of that code.
func WantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Fatalf("error %v, want AWS's code %s", err, code)
	}
}

// HasWords checks that a text for people has the words.
func HasWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not say %q", text, word)
		}
	}
}

// What tests of service control policies share.
const (
	Management = "999999999999"
	FreezeName = "killswitch-freeze"
	AllowAll   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	OtherDeny  = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"s3:*","Resource":"*"}]}`
)

// Policies named AWSRevokeOlderSessions that may be found in an account.
const (
	// As a person writes it: spaces, line ends, and what a URL's encoding could eat.
	Handwritten = "{\n  \"Version\": \"2012-10-17\",\r\n\t\"Id\": \"été 100% + 1 %2B %C3%A9\",\n  \"Statement\": [\n" +
		"    { \"Sid\": \"NoReports\", \"Effect\": \"Deny\", \"Action\": \"s3:GetObject\", \"Resource\": \"arn:aws:s3:::reports/a+b/100%25/é %7E/*\" }\n  ]\n}\n"
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
	Consoles = "{\n    \"Version\": \"2012-10-17\",\n    \"Statement\": [\n        {\n            \"Effect\": \"Deny\",\n            \"Action\": [\n                \"*\"\n            ],\n" +
		"            \"Resource\": [\n                \"*\"\n            ],\n            \"Condition\": {\n                \"DateLessThan\": {\n" +
		"                    \"aws:TokenIssueTime\": \"2026-10-01T08:09:10Z\"\n                }\n            }\n        }\n    ]\n}"
)

// EnvironmentOf is the contract's view of a fixture.
func EnvironmentOf(w *Fixture) Environment {
	return Environment{
		Call:  w.Call(),
		Org:   w.Org,
		Enter: w.EnterFor,
		State: func() any { return w.Snapshot() },
		Tamper: func() {
			w.DeleteDeny()
			w.Untag()
		},
		Replace: func() {
			w.PutDeny(strings.ReplaceAll(Handwritten, "reports", "somebody-else"))
			w.tag("somebody-else")
		},
		Now:       w.Clock.Now,
		Wait:      w.Clock.Add,
		Mutations: w.Mutations,
		Calls: func() []string {
			var ops []string
			for _, c := range w.Calls() {
				if c.Op != "sts:AssumeRole" {
					ops = append(ops, c.Op)
				}
			}
			return ops
		},
	}
}

// DenyAllName is the deny of detach_policies and delete_role.
const DenyAllName = "KillswitchDenyAll"

// AdminPolicy is AdministratorAccess in the world's partition.
func (w *Fixture) AdminPolicy() string {
	return "arn:" + w.Org.Partition + ":iam::aws:policy/AdministratorAccess"
}

// LedgerEntry is a ledger entry.
type LedgerEntry struct {
	Step   actions.Step
	Effect actions.Effect
	Err    error
}

// Contain plans and applies the steps as the executor does: steps that return
// RetryLater are retried after the others.
func (w *Fixture) Contain() []LedgerEntry {
	w.T.Helper()
	return w.ApplySteps(w.Plan().Steps)
}

// ApplySteps applies steps as Contain does.
func (w *Fixture) ApplySteps(steps []actions.Step) []LedgerEntry {
	w.T.Helper()
	w.Resources = nil
	var all []LedgerEntry
	for _, s := range steps {
		all = append(all, LedgerEntry{Step: s})
		if s.Look == "" && !slices.Contains(w.Resources, s.Resource) {
			w.Resources = append(w.Resources, s.Resource)
		}
	}
	acct, run := w.Responder(), w.Run()
	for round := range 3 {
		for i := range all {
			if round == 0 || actions.IsRetryLater(all[i].Err) {
				all[i].Effect, all[i].Err = w.Act.Apply(w.T.Context(), acct, all[i].Step, run)
			}
		}
	}
	return all
}

// AllApplied fails unless every step was applied.
func AllApplied(t *testing.T, all []LedgerEntry) {
	t.Helper()
	for _, d := range all {
		if d.Err != nil {
			t.Fatalf("Apply %s: %v", d.Step.ID, d.Err)
		}
	}
}

// Undo reverts the steps in the executor's order: last first, denies last.
func (w *Fixture) Undo(all []LedgerEntry) map[string]actions.Reading {
	w.T.Helper()
	order := slices.Clone(all)
	slices.Reverse(order)
	slices.SortStableFunc(order, func(a, b LedgerEntry) int {
		if a.Step.Deny == b.Step.Deny {
			return 0
		}
		if b.Step.Deny {
			return -1
		}
		return 1
	})
	acct, read := w.Restorer(), map[string]actions.Reading{}
	for round := range 3 {
		for i, d := range order {
			if round > 0 && !actions.IsRetryLater(d.Err) {
				continue
			}
			read[d.Step.ID], order[i].Err = w.Act.Revert(w.T.Context(), acct, d.Step, d.Effect)
		}
	}
	for _, d := range order {
		if d.Err != nil {
			w.T.Errorf("Revert %s: %v", d.Step.ID, d.Err)
		}
	}
	return read
}

// Attach gives the victim a managed policy.
func (w *Fixture) Attach(arn string) {
	w.T.Helper()
	_, err := w.IAM().AttachRolePolicy(w.T.Context(), &iam.AttachRolePolicyInput{RoleName: aws.String("victim"), PolicyArn: &arn})
	Must(w.T, err)
}

// PutNamed gives the victim an inline policy.
func (w *Fixture) PutNamed(name, document string) {
	w.T.Helper()
	_, err := w.IAM().PutRolePolicy(w.T.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("victim"), PolicyName: &name, PolicyDocument: &document})
	Must(w.T, err)
}

// Recreate puts another role of the same name and path there.
func (w *Fixture) Recreate(alter ...func(*awsfake.Role)) {
	theirs := strings.ReplaceAll(Handwritten, "reports", "somebody-else")
	r := awsfake.Role{Name: "victim", Path: "/app/", Tags: map[string]string{Tag: "somebody-else"}, Inline: map[string]string{Revoke: theirs, DenyAllName: theirs}}
	for _, f := range alter {
		f(&r)
	}
	w.Account(Member).AddRole(r)
}

// EachPartition runs a test in each partition, with AWS showing writes at once and
// after 4 s. Thinned, it is once in each partition.
func EachPartition(t *testing.T, do func(t *testing.T, partition string, delay time.Duration)) {
	t.Helper()
	const late = 4 * time.Second
	cases := []struct {
		partition string
		delay     time.Duration
	}{{"aws", 0}, {"aws", late}, {"aws-us-gov", late}, {"aws-us-gov", 0}, {"aws-cn", 0}, {"aws-cn", late}}
	every := thin.Every(t, 2, "partitions and delays")
	for i := 0; i < len(cases); i += every {
		c := cases[i]
		t.Run(c.partition+"/after "+c.delay.String(), func(t *testing.T) { do(t, c.partition, c.delay) })
	}
}

// Errors of AWS.
var (
	Denied       = &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized"}
	Throttling   = &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"}
	Unmodifiable = &types.UnmodifiableEntityException{Message: aws.String("Cannot perform the operation on the protected role")}
)

// NoSuchPolicy is what IAM says of a managed policy that is gone.
func NoSuchPolicy(arn string) error {
	return &types.NoSuchEntityException{Message: aws.String("Policy " + arn + " does not exist or is not attachable.")}
}

// Unmarshal reads JSON, or ends the test.
func Unmarshal(t *testing.T, text string, v any) {
	t.Helper()
	Must(t, json.Unmarshal([]byte(text), v))
}

// ErrKilled is how a worker dies in a test.
var ErrKilled = errors.New("killed")

// Killed runs a containment and its undo, both by workers of which the one that
// makes the n-th call that changes something dies right after it. It reports
// whether any died.
func (w *Fixture) Killed(n int) bool {
	w.T.Helper()
	calls, armed, died := 0, true, false
	w.OnCall(func(c awsfake.Call) error {
		if c.Phase != awsfake.After || !c.Mutating || !armed {
			return nil
		}
		if calls++; calls == n {
			return ErrKilled
		}
		return nil
	})
	steps := w.Plan().Steps
	for _, s := range steps {
		if !slices.Contains(w.Resources, s.Resource) {
			w.Resources = append(w.Resources, s.Resource)
		}
	}
	acct, run := w.Responder(), w.Run()
	for _, s := range steps { // the worker that may die
		if _, err := w.Act.Apply(w.T.Context(), acct, s, run); err != nil {
			died = true
			break
		}
	}
	armed = false
	all := w.ApplySteps(steps) // the next one
	AllApplied(w.T, all)
	acct, armed = w.Restorer(), true
	for _, d := range slices.Backward(all) {
		if _, err := w.Act.Revert(w.T.Context(), acct, d.Step, d.Effect); err != nil {
			died = true
			break
		}
	}
	armed = false
	for id, r := range w.Undo(all) {
		if !r.Holds {
			w.T.Errorf("killed at call %d: Revert %s: %+v", n, id, r)
		}
	}
	return died
}

// What tests of users share.
const (
	FullQuarantine = "KillSwitchQuarantine"
	IAMQuarantine  = "KillSwitchQuarantineIAM"
	FirstKey       = "AKIA0000000000000001"
	SecondKey      = "AKIA0000000000000002"
	Permissive     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
)

// StepIDs are the IDs of a plan's steps.
func StepIDs(p actions.Plan) []string {
	ids := []string{}
	for _, s := range p.Steps {
		ids = append(ids, s.ID)
	}
	return ids
}
