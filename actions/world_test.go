package actions_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const (
	member    = "222222222222"
	sandbox   = "333333333333"
	request   = "KS-0123456789AB"
	revoke    = "AWSRevokeOlderSessions" // the name that the IAM console uses
	tag       = "killswitch"
	allowIAM  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`
	timestamp = "2006-01-02T15:04:05Z"
)

var start = time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func testOrg(partition string) actions.Org {
	return actions.Org{
		Actions:   actions.All,
		Partition: partition, HubAccount: awsfake.HubAccount, ManagementAccount: "999999999999",
		ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer", ExternalID: "4b3c2a1f",
		Accounts:            map[string]string{"prod": member, "sandbox": sandbox},
		ProtectedAccounts:   []string{"888888888888"},
		ProtectedPrincipals: []string{"arn:" + partition + ":iam::*:role/break-glass", "arn:" + partition + ":iam::" + member + ":role/ops/keeper"},
	}
}

// world is a member account with one role, /app/victim, that may do all. The
// member roles may do all of IAM: what limits a session is its session policy.
type world struct {
	*awsfake.Cloud
	t     *testing.T
	clock *clock
	org   actions.Org
	cloud *actions.Cloud
	role  string // the victim's ARN
	// What is done: to the victim its sessions are revoked, unless a test says otherwise.
	act       actions.Action
	asked     actions.Call
	resources []string // that the steps change
}

func newWorld(t *testing.T, alter ...func(*awsfake.Role)) *world {
	t.Helper()
	c := &clock{t: start}
	return worldAt(t, c, c.now, "aws", alter...)
}

func worldAt(t *testing.T, c *clock, now func() time.Time, partition string, alter ...func(*awsfake.Role)) *world {
	t.Helper()
	w := &world{Cloud: awsfake.New(now, awsfake.WithPartition(partition)), t: t, clock: c, org: testOrg(partition)}
	w.Member(member, awsfake.MemberRoles{ExternalID: w.org.ExternalID, ResponderPolicy: allowIAM, RestorerPolicy: allowIAM})
	victim := awsfake.Role{Name: "victim", Path: "/app/", Attached: []string{"arn:" + partition + ":iam::aws:policy/AdministratorAccess"}}
	for _, f := range alter {
		f(&victim)
	}
	w.role = w.Account(member).AddRole(victim)
	w.cloud = actions.NewCloud(w.Config(), w.org)
	w.do(actions.Call{Action: actions.RevokeSessions, Target: w.role, Account: member}, w.role)
	return w
}

// do says which call the world is about, and what its steps change.
func (w *world) do(c actions.Call, resources ...string) {
	w.t.Helper()
	a, ok := actions.All.Lookup(c.Action)
	if !ok {
		w.t.Fatalf("%s is not registered", c.Action)
	}
	w.act, w.asked, w.resources = a, c, resources
}

func withInline(name, document string) func(*awsfake.Role) {
	return func(r *awsfake.Role) {
		r.Inline = maps.Clone(r.Inline)
		if r.Inline == nil {
			r.Inline = map[string]string{}
		}
		r.Inline[name] = document
	}
}

func withTag(key, value string) func(*awsfake.Role) {
	return func(r *awsfake.Role) {
		r.Tags = maps.Clone(r.Tags)
		if r.Tags == nil {
			r.Tags = map[string]string{}
		}
		r.Tags[key] = value
	}
}

var actor = actions.Actor{RequestID: request, Requester: "alice", Approvers: []string{"bob", "carol"}}

func action(t *testing.T) actions.Action {
	t.Helper()
	a, ok := actions.All.Lookup(actions.RevokeSessions)
	if !ok {
		t.Fatal("revoke_sessions is not registered")
	}
	return a
}

// enter is a session for a phase, permitted what the action says and no more.
func (w *world) enter(m actions.Member, phase actions.Phase) *actions.Account {
	w.t.Helper()
	return w.enterFor(m, phase, w.resources)
}

func (w *world) enterFor(m actions.Member, phase actions.Phase, resources []string) *actions.Account {
	w.t.Helper()
	acct, err := w.cloud.EnterFor(w.t.Context(), m, w.act, phase, w.asked, resources, actor)
	if err != nil {
		w.t.Fatal(err)
	}
	return acct
}

func (w *world) responder() *actions.Account { return w.enter(actions.Responder, actions.PhaseRun) }

func (w *world) restorer() *actions.Account { return w.enter(actions.Restorer, actions.PhaseUndo) }

func (w *world) call() actions.Call { return w.asked }

func (w *world) permits(phase actions.Phase) []actions.Statement {
	return actions.Permits(w.act, phase, actions.ScopeOf(w.act, w.org, w.asked, w.resources))
}

func (w *world) plan() actions.Plan {
	w.t.Helper()
	p, err := w.act.Plan(w.t.Context(), w.enter(actions.Responder, actions.PhasePlan), w.call())
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// step is the planned step of that ID.
func step(t *testing.T, p actions.Plan, id string) actions.Step {
	t.Helper()
	i := slices.IndexFunc(p.Steps, func(s actions.Step) bool { return s.ID == id })
	if i < 0 {
		t.Fatalf("no step %s in %+v", id, p.Steps)
	}
	return p.Steps[i]
}

// run is one that began when it is called.
func (w *world) run() actions.Run {
	return actions.Run{RequestID: request, Since: w.clock.now(), Now: w.clock.now()}
}

func (w *world) apply(s actions.Step, run actions.Run) actions.Effect {
	w.t.Helper()
	e, err := w.act.Apply(w.t.Context(), w.responder(), s, run)
	if err != nil {
		w.t.Fatalf("Apply %s: %v", s.ID, err)
	}
	return e
}

func (w *world) revert(s actions.Step, e actions.Effect) actions.Reading {
	w.t.Helper()
	r, err := w.act.Revert(w.t.Context(), w.restorer(), s, e)
	if err != nil {
		w.t.Fatalf("Revert %s: %v", s.ID, err)
	}
	return r
}

// victim is the role as it stands.
func (w *world) victim() awsfake.Role {
	return w.Snapshot().Accounts[member].Roles["victim"]
}

func (w *world) admin() *iam.Client { return iam.NewFromConfig(w.Admin(member)) }

// put writes the deny's policy behind our back, del removes it.
func (w *world) put(document string) {
	w.t.Helper()
	_, err := w.admin().PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("victim"), PolicyName: aws.String(revoke), PolicyDocument: &document})
	must(w.t, err)
}

func (w *world) del() {
	w.t.Helper()
	_, err := w.admin().DeleteRolePolicy(w.t.Context(), &iam.DeleteRolePolicyInput{RoleName: aws.String("victim"), PolicyName: aws.String(revoke)})
	must(w.t, err)
}

func (w *world) tag(value string) {
	w.t.Helper()
	_, err := w.admin().TagRole(w.t.Context(), &iam.TagRoleInput{RoleName: aws.String("victim"), Tags: []types.Tag{{Key: aws.String(tag), Value: &value}}})
	must(w.t, err)
}

func (w *world) untag() {
	w.t.Helper()
	_, err := w.admin().UntagRole(w.t.Context(), &iam.UntagRoleInput{RoleName: aws.String("victim"), TagKeys: []string{tag}})
	must(w.t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Fatalf("error %v, want AWS's code %s", err, code)
	}
}

// says checks that a text for people has the words that matter.
func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not say %q", text, word)
		}
	}
}
