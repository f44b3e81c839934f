package actions_test

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
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
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

const (
	management = "999999999999"
	freezeName = "killswitch-freeze"
	allowAll   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	otherDeny  = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"s3:*","Resource":"*"}]}`
)

// Policies named AWSRevokeOlderSessions that may be found in an account.
const (
	// As a person writes it: spaces, line ends, and what a URL's encoding could eat.
	handwritten = "{\n  \"Version\": \"2012-10-17\",\r\n\t\"Id\": \"été 100% + 1 %2B %C3%A9\",\n  \"Statement\": [\n" +
		"    { \"Sid\": \"NoReports\", \"Effect\": \"Deny\", \"Action\": \"s3:GetObject\", \"Resource\": \"arn:aws:s3:::reports/a+b/100%25/é %7E/*\" }\n  ]\n}\n"
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
	consoles = "{\n    \"Version\": \"2012-10-17\",\n    \"Statement\": [\n        {\n            \"Effect\": \"Deny\",\n            \"Action\": [\n                \"*\"\n            ],\n" +
		"            \"Resource\": [\n                \"*\"\n            ],\n            \"Condition\": {\n                \"DateLessThan\": {\n" +
		"                    \"aws:TokenIssueTime\": \"2026-10-01T08:09:10Z\"\n                }\n            }\n        }\n    ]\n}"
)

func scene(w *world) actiontest.Scene {
	return actiontest.Scene{
		Call:  w.call(),
		Org:   w.org,
		Enter: w.enterFor,
		State: func() any { return w.Snapshot() },
		Tamper: func() {
			w.del()
			w.untag()
		},
		Replace: func() {
			w.put(strings.ReplaceAll(handwritten, "reports", "somebody-else"))
			w.tag("somebody-else")
		},
		Now:       w.clock.now,
		Wait:      w.clock.add,
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

const denyAllName = "KillswitchDenyAll"

// adminPolicy is AdministratorAccess in the world's partition.
func (w *world) adminPolicy() string {
	return "arn:" + w.org.Partition + ":iam::aws:policy/AdministratorAccess"
}

// ask makes the world about another action on the victim.
func (w *world) ask(name actions.Name, options map[string]string) *world {
	w.t.Helper()
	w.do(actions.Call{Action: name, Target: w.role, Account: member, Options: options}, w.role)
	return w
}

// taken is a ledger entry.
type taken struct {
	step   actions.Step
	effect actions.Effect
	err    error
}

// contain plans and takes the steps as the executor does: what is for later is
// tried again after the others.
func (w *world) contain() []taken {
	w.t.Helper()
	return w.take(w.plan().Steps)
}

func (w *world) take(steps []actions.Step) []taken {
	w.t.Helper()
	w.resources = nil
	var all []taken
	for _, s := range steps {
		all = append(all, taken{step: s})
		if !slices.Contains(w.resources, s.Resource) {
			w.resources = append(w.resources, s.Resource)
		}
	}
	acct, run := w.responder(), w.run()
	for round := range 3 {
		for i := range all {
			if round == 0 || actions.Later(all[i].err) {
				all[i].effect, all[i].err = w.act.Apply(w.t.Context(), acct, all[i].step, run)
			}
		}
	}
	return all
}

// clean fails unless every step was taken.
func clean(t *testing.T, all []taken) {
	t.Helper()
	for _, d := range all {
		if d.err != nil {
			t.Fatalf("Apply %s: %v", d.step.ID, d.err)
		}
	}
}

// back takes the steps back in the executor's order: the last first, denies last.
func (w *world) back(all []taken) map[string]actions.Reading {
	w.t.Helper()
	order := slices.Clone(all)
	slices.Reverse(order)
	slices.SortStableFunc(order, func(a, b taken) int {
		if a.step.Deny == b.step.Deny {
			return 0
		}
		if b.step.Deny {
			return -1
		}
		return 1
	})
	acct, read := w.restorer(), map[string]actions.Reading{}
	for round := range 3 {
		for i, d := range order {
			if round > 0 && !actions.Later(d.err) {
				continue
			}
			read[d.step.ID], order[i].err = w.act.Revert(w.t.Context(), acct, d.step, d.effect)
		}
	}
	for _, d := range order {
		if d.err != nil {
			w.t.Errorf("Revert %s: %v", d.step.ID, d.err)
		}
	}
	return read
}

func (w *world) attach(arn string) {
	w.t.Helper()
	_, err := w.admin().AttachRolePolicy(w.t.Context(), &iam.AttachRolePolicyInput{RoleName: aws.String("victim"), PolicyArn: &arn})
	must(w.t, err)
}

func (w *world) putNamed(name, document string) {
	w.t.Helper()
	_, err := w.admin().PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("victim"), PolicyName: &name, PolicyDocument: &document})
	must(w.t, err)
}

// recreate puts another role of the same name and path there.
func (w *world) recreate(alter ...func(*awsfake.Role)) {
	theirs := strings.ReplaceAll(handwritten, "reports", "somebody-else")
	r := awsfake.Role{Name: "victim", Path: "/app/", Tags: map[string]string{tag: "somebody-else"}, Inline: map[string]string{revoke: theirs, denyAllName: theirs}}
	for _, f := range alter {
		f(&r)
	}
	w.Account(member).AddRole(r)
}

func eachPartition(t *testing.T, do func(t *testing.T, partition string, delay time.Duration)) {
	for _, partition := range []string{"aws", "aws-us-gov", "aws-cn"} {
		for _, delay := range []time.Duration{0, 4 * time.Second} {
			t.Run(partition+"/after "+delay.String(), func(t *testing.T) { do(t, partition, delay) })
		}
	}
}

// Errors of AWS.
var (
	denied       = &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized"}
	throttling   = &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"}
	unmodifiable = &types.UnmodifiableEntityException{Message: aws.String("Cannot perform the operation on the protected role")}
)

func noSuchPolicy(arn string) error {
	return &types.NoSuchEntityException{Message: aws.String("Policy " + arn + " does not exist or is not attachable.")}
}

func unmarshal(t *testing.T, text string, v any) {
	t.Helper()
	must(t, json.Unmarshal([]byte(text), v))
}

// errKilled is how a worker dies in a test.
var errKilled = errors.New("killed")

// killed runs a containment and its undo, both by workers of which the one that
// makes the n-th call that changes something dies right after it. It reports
// whether any died.
func (w *world) killed(n int) bool {
	w.t.Helper()
	calls, armed, died := 0, true, false
	w.OnCall(func(c awsfake.Call) error {
		if c.Phase != awsfake.After || !c.Mutating || !armed {
			return nil
		}
		if calls++; calls == n {
			return errKilled
		}
		return nil
	})
	steps := w.plan().Steps
	for _, s := range steps {
		if !slices.Contains(w.resources, s.Resource) {
			w.resources = append(w.resources, s.Resource)
		}
	}
	acct, run := w.responder(), w.run()
	for _, s := range steps { // the worker that may die
		if _, err := w.act.Apply(w.t.Context(), acct, s, run); err != nil {
			died = true
			break
		}
	}
	armed = false
	all := w.take(steps) // the next one
	clean(w.t, all)
	acct, armed = w.restorer(), true
	for _, d := range slices.Backward(all) {
		if _, err := w.act.Revert(w.t.Context(), acct, d.step, d.effect); err != nil {
			died = true
			break
		}
	}
	armed = false
	for id, r := range w.back(all) {
		if !r.Holds {
			w.t.Errorf("killed at call %d: Revert %s: %+v", n, id, r)
		}
	}
	return died
}

const (
	quarantineName    = "KillSwitchQuarantine"
	quarantineIAMName = "KillSwitchQuarantineIAM"
	firstKey          = "AKIA0000000000000001"
	secondKey         = "AKIA0000000000000002"
	permissive        = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
)

func stepIDs(p actions.Plan) []string {
	ids := []string{}
	for _, s := range p.Steps {
		ids = append(ids, s.ID)
	}
	return ids
}
