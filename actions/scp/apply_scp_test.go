package scp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/scp"
)

// scpWorld is a fixture in an organization: prod and sandbox are its members, and
// the management account has the member roles. The freeze of prod is asked for.
func scpWorld(t *testing.T, alter ...func(*awsfake.Organization)) *fixture {
	t.Helper()
	c := &actiontest.Clock{T: actiontest.Began}
	return scpWorldAt(t, c, "aws", alter...)
}

func scpWorldAt(t *testing.T, c *actiontest.Clock, partition string, alter ...func(*awsfake.Organization)) *fixture {
	t.Helper()
	w := fixtureAt(t, c, c.Now, partition)
	o := awsfake.Organization{Management: actiontest.Management, Accounts: []awsfake.OrgAccount{{ID: actiontest.Member, Name: "Production <!channel>"}, {ID: actiontest.Sandbox, Name: "Sandbox"}}}
	for _, f := range alter {
		f(&o)
	}
	w.Organize(o)
	all := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"organizations:*","Resource":"*"}]}`
	w.Member(actiontest.Management, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: all, RestorerPolicy: all})
	w.freeze(actiontest.Member)
	return w
}

// freeze says that the freeze of an account or a unit is what the fixture is about.
func (w *fixture) freeze(target string, options ...string) {
	w.T.Helper()
	c := actions.Call{Action: actions.ApplySCP, Target: target, Account: target}
	if c.OfUnit() {
		c.Account = w.Org.OrganizationsAccount()
	}
	if len(options) > 0 {
		c.Options = map[string]string{"scp": options[0]}
	}
	w.SetCall(c)
}

func (w *fixture) orgs() *organizations.Client {
	return organizations.NewFromConfig(w.Admin(actiontest.Management))
}

// scp is the policy of that name as it stands; the zero one where there is none.
func (w *fixture) scp(name string) awsfake.SCP {
	for _, p := range w.Snapshot().Organization.SCPs {
		if p.Name == name {
			return p
		}
	}
	return awsfake.SCP{}
}

func (w *fixture) document(name string) string {
	w.T.Helper()
	d, ok := scp.BuiltinSCP(w.Org, name)
	if !ok {
		w.T.Fatalf("no built-in document %s", name)
	}
	return d
}

func (w *fixture) detach(name, account string) {
	w.T.Helper()
	_, err := w.orgs().DetachPolicy(w.T.Context(), &organizations.DetachPolicyInput{PolicyId: aws.String(w.scp(name).ID), TargetId: &account})
	actiontest.Must(w.T, err)
}

func (w *fixture) delete(name string) {
	w.T.Helper()
	_, err := w.orgs().DeletePolicy(w.T.Context(), &organizations.DeletePolicyInput{PolicyId: aws.String(w.scp(name).ID)})
	actiontest.Must(w.T, err)
}

// freezes plans and applies, as a request of that ID.
func (w *fixture) freezes(id string) (actions.Step, actions.Effect) {
	w.T.Helper()
	p := w.Plan()
	w.Resources = []string{p.Steps[0].Resource}
	e, err := w.Act.Apply(w.T.Context(), w.Responder(), p.Steps[0], actions.Run{RequestID: id, Since: w.Clock.Now(), Now: w.Clock.Now()})
	actiontest.Must(w.T, err)
	return p.Steps[0], e
}

func (w *fixture) holds(s actions.Step, e actions.Effect) bool {
	w.T.Helper()
	r, err := w.Act.Verify(w.T.Context(), w.Responder(), s, e)
	actiontest.Must(w.T, err)
	if !r.Holds && r.Found == "" {
		w.T.Error("it does not hold, and Verify does not say what it found")
	}
	return r.Holds
}

func refusal(t *testing.T, err error) *actions.Refusal {
	t.Helper()
	var no *actions.Refusal
	if !errors.As(err, &no) {
		t.Fatalf("%v, want a refusal", err)
	}
	return no
}

// planned is the error of a plan.
func (w *fixture) planned() error {
	w.T.Helper()
	_, err := w.Act.Plan(w.T.Context(), w.Enter(actions.Responder, actions.PhasePlan), w.Call())
	return err
}

func TestApplySCPContract(t *testing.T) {
	ahead := func(w *fixture, document, owner string, targets ...string) {
		w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: document, Tags: map[string]string{actiontest.Tag: owner, "team": "security"}, Targets: targets})
	}
	starts := map[string]func(*fixture){
		"an account as usual":                func(*fixture) {},
		"a policy deployed ahead":            func(w *fixture) { ahead(w, indented(w.T, w.document("freeze")), "shared") },
		"a policy that another account has":  func(w *fixture) { ahead(w, w.document("freeze"), "KS-EARLIER", actiontest.Sandbox) },
		"a policy with outdated content":     func(w *fixture) { ahead(w, actiontest.OtherDeny, "shared", actiontest.Sandbox) },
		"the document control-plane":         func(w *fixture) { w.freeze(actiontest.Member, "control-plane") },
		"an organization with many policies": func(w *fixture) { many(w, 60) },
		"an organizational unit":             func(w *fixture) { w.units(workloads) },
		"the whole organization":             func(w *fixture) { w.units("root", "protect-data") },
		"a policy of our name in another case": func(w *fixture) {
			w.AddSCP(awsfake.SCP{Name: "Killswitch-Freeze", Content: actiontest.OtherDeny})
		},
	}
	actiontest.EachPartition(t, func(t *testing.T, partition string, delay time.Duration) {
		contract := actiontest.Contract{ErrorPathPermits: []string{"organizations:DeletePolicy"}}
		contract.Action, _ = all.Actions.Lookup(actions.ApplySCP)
		for _, name := range slices.Sorted(maps.Keys(starts)) {
			contract.Starts = append(contract.Starts, actiontest.Start{Name: name, Open: func(t *testing.T) actiontest.Environment {
				w := scpWorldAt(t, &actiontest.Clock{T: actiontest.Began.Add(123 * time.Millisecond)}, partition)
				starts[name](w)
				w.SetPropagation(delay)
				return scpEnvironment(w)
			}})
		}
		actiontest.Test(t, contract)
	})
}

func many(w *fixture, n int) {
	for i := range n {
		w.AddSCP(awsfake.SCP{Name: fmt.Sprintf("guardrail-%02d", i), Content: actiontest.OtherDeny})
	}
}

func indented(t *testing.T, document string) string {
	t.Helper()
	var b bytes.Buffer
	actiontest.Must(t, json.Indent(&b, []byte(document), "", "    "))
	return b.String()
}

func scpEnvironment(w *fixture) actiontest.Environment {
	s := actiontest.EnvironmentOf(w.Fixture)
	name := actiontest.FreezeName
	if n := w.Asked.Options["scp"]; n != "" {
		name = "killswitch-" + n
	}
	at := actiontest.Member
	if w.Asked.OfUnit() {
		at, name = w.Asked.Target, strings.Replace(name, "-", "-units-", 1)
	}
	if w.Asked.Action == actions.RevokeSessions {
		name = "killswitch-revoke-" + actiontest.Member
	}
	s.State = func() any { // an outdated policy stays updated
		state := w.Snapshot()
		for id, p := range state.Organization.SCPs {
			if p.Name == name && !slices.Contains(p.Targets, at) {
				p.Content = ""
				state.Organization.SCPs[id] = p
			}
		}
		return state
	}
	s.Tamper = func() { w.detach(name, at) }
	s.Replace = func() {
		for _, account := range w.scp(name).Targets {
			w.detach(name, account)
		}
		w.delete(name)
		w.AddSCP(awsfake.SCP{Name: name, Content: actiontest.OtherDeny, Targets: []string{at}})
	}
	calls := s.Calls
	s.Calls = func() []string {
		var ops []string
		for _, op := range calls() {
			if ops = append(ops, op); op == "organizations:CreatePolicy" {
				ops = append(ops, "organizations:TagResource") // for the tag that it comes with
			}
		}
		return ops
	}
	return s
}

// The victim can do nothing; responder, restorer and the protected can still work.
func TestFreezeStopsAllButTheExempt(t *testing.T) {
	for _, partition := range []string{"aws", "aws-us-gov", "aws-cn"} {
		t.Run(partition, func(t *testing.T) {
			w := scpWorldAt(t, &actiontest.Clock{T: actiontest.Began}, partition)
			w.Org.ForwarderRole = "killswitch-forwarder"
			w.Hub = actions.NewCloud(w.Config(), w.Org)
			add := func(account, name, path string) string {
				return w.Account(account).AddRole(awsfake.Role{Name: name, Path: path, Inline: map[string]string{"all": actiontest.AllowAll}})
			}
			roles := map[string]bool{
				w.Role: false,
				add(actiontest.Member, "killswitch-forwarder", ""):                                 true,
				add(actiontest.Member, "break-glass", ""):                                          true,
				add(actiontest.Member, "keeper", "/ops/"):                                          true,
				add(actiontest.Member, "killswitch-responder2", ""):                                false,
				add(actiontest.Member, "Killswitch-Forwarder", "/x/"):                              false, // another path is another role: names are exact
				add(actiontest.Member, "break-glas", ""):                                           false,
				add(actiontest.Member, "AWSServiceRoleForX", "/aws-service-role/x.amazonaws.com/"): true,
				add(actiontest.Sandbox, "victim", ""):                                              true,
				add(actiontest.Management, "victim", ""):                                           true,
			}
			imitation := w.Account(actiontest.Sandbox).AddRole(awsfake.Role{Name: "killswitch-responder", Path: "/x/", Inline: map[string]string{"all": actiontest.AllowAll}})
			roles[imitation] = true // not frozen yet
			sees := func(when string) {
				t.Helper()
				for role, want := range roles {
					if ok, why := w.Session(role, "s1").Can("s3:GetObject", "arn:"+partition+":s3:::b/k"); ok != want {
						t.Errorf("%s: %s can: %t %s", when, role, ok, why)
					} else if !ok && !strings.HasSuffix(why, "with an explicit deny in a service control policy") {
						t.Errorf("%s: %s", when, why)
					}
				}
			}
			w.freezes(actiontest.Request)
			sees("prod frozen")
			w.freeze(actiontest.Sandbox)
			w.freezes("KS-SECOND")
			roles[imitation] = false
			for role := range roles {
				if strings.Contains(role, ":"+actiontest.Sandbox+":") {
					roles[role] = false
				}
			}
			sees("both frozen")

			// Our roles still work there, by their very sessions.
			w.SetCall(actions.Call{Action: actions.RevokeSessions, Target: w.Role, Account: actiontest.Member}, w.Role)
			s := actiontest.StepOf(t, w.Plan(), "deny")
			e := w.Apply(s, w.Run())
			if r := w.Revert(s, e); !r.Holds {
				t.Errorf("the restorer: %+v", r)
			}
			_, err := iam.NewFromConfig(w.Session(w.Role, "s2").Config()).ListRoles(t.Context(), nil)
			actiontest.WantCode(t, err, "AccessDenied")
		})
	}
}

// control-plane leaves the data plane running.
func TestControlPlaneLeavesTheDataPlaneRunning(t *testing.T) {
	w := scpWorld(t)
	w.freeze(actiontest.Member, "control-plane")
	s, _ := w.freezes(actiontest.Request)
	if s.Hold != actiontest.Management+"/"+actiontest.Member+"/scp/killswitch-control-plane" {
		t.Errorf("hold %s", s.Hold)
	}
	for action, want := range map[string]bool{
		"s3:GetObject": true, "s3:PutObject": true, "dynamodb:PutItem": true, "kms:Decrypt": true, "lambda:InvokeFunction": true, "sts:AssumeRole": true,
		"ec2:DescribeInstances": true, "ssm:GetParametersByPath": true, "logs:PutLogEvents": true,
		"iam:CreateUser": false, "iam:ListUsers": false, "ec2:RunInstances": false, "s3:PutBucketPolicy": false, "s3:DeleteObjectVersion": false, "lambda:UpdateFunctionCode": false,
		"kms:ScheduleKeyDeletion": false, "ssm:SendCommand": false, "organizations:LeaveOrganization": false, "newservice:Anything": false, "secretsmanager:DeleteSecret": false,
	} {
		if got, why := w.Session(w.Role, "s1").Can(action, "*"); got != want {
			t.Errorf("%s: %t %s", action, got, why)
		}
	}
	actiontest.HasWords(t, strings.Join(w.Plan().Warnings, " "), "not on that list stops too", "theft, wiping and ransom are not stopped")
}

// TestFreezeLeavesRootTasksAlone: root's credentials can be deleted while the account is frozen.
func TestFreezeLeavesRootTasksAlone(t *testing.T) {
	for _, name := range []string{"freeze", "control-plane"} {
		w := scpWorld(t)
		w.freeze(actiontest.Member, name)
		w.freezes(actiontest.Request)
		s := w.Session(w.Role, "s1")
		if ok, _ := s.Can("iam:DeleteLoginProfile", "*"); ok {
			t.Error("the account is not frozen")
		}
		if ok, why := s.With("aws:AssumedRoot", "true").Can("iam:DeleteLoginProfile", "*"); !ok {
			t.Error(why)
		}
	}
}

// TestProtectData: what ransom and wiping need is denied, the rest goes on.
func TestProtectData(t *testing.T) {
	const bucket, own, foreign = "arn:aws:s3:::customers/a", "arn:aws:kms:us-east-1:" + actiontest.Member + ":key/k", "arn:aws:kms:us-east-1:666666666666:key/k"
	const byCustomer, grantee, forService = "s3:x-amz-server-side-encryption-customer-algorithm", "kms:GranteePrincipal", "kms:GrantIsForAWSResource"
	for _, tt := range []struct {
		action, resource string
		keys             []string // name, value
		allowed          bool
	}{
		{"s3:GetObject", bucket, nil, true},
		{"s3:PutObject", bucket, nil, true},
		{"s3:PutObject", bucket, []string{byCustomer, "AES256"}, false},
		{"s3:DeleteObjectVersion", bucket, nil, false},
		{"s3:PutLifecycleConfiguration", "arn:aws:s3:::customers", nil, false},
		{"s3:PutBucketPolicy", "arn:aws:s3:::customers", nil, false},
		{"kms:GenerateDataKey", own, nil, true},
		{"kms:Decrypt", own, nil, true},
		{"kms:GenerateDataKeyWithoutPlaintext", foreign, nil, false},
		{"kms:Encrypt", foreign, nil, false},
		{"kms:CreateGrant", own, []string{grantee, "arn:aws:iam::" + actiontest.Member + ":role/app"}, true},
		{"kms:CreateGrant", own, []string{grantee, "arn:aws:iam::666666666666:role/out"}, false},
		{"kms:CreateGrant", own, []string{grantee, "arn:aws:sts::666666666666:assumed-role/out/s"}, false},
		{"kms:CreateGrant", own, []string{grantee, "arn:aws:iam::666666666666:role/rds", forService, "true"}, true},
		{"kms:CreateGrant", own, []string{forService, "true"}, true},
		{"kms:ScheduleKeyDeletion", own, nil, false},
		{"kms:CancelKeyDeletion", own, nil, true},
		{"kms:EnableKey", own, nil, true},
		{"ec2:DeleteSnapshot", "arn:aws:ec2:us-east-1::snapshot/snap-1", nil, false},
		{"ec2:ModifySnapshotAttribute", "arn:aws:ec2:us-east-1::snapshot/snap-1", nil, false},
		{"rds:DeleteDBCluster", "arn:aws:rds:us-east-1:" + actiontest.Member + ":cluster:c", nil, false},
		{"backup:DeleteRecoveryPoint", "*", nil, false},
		{"cloudtrail:StopLogging", "*", nil, false},
		{"organizations:LeaveOrganization", "*", nil, false},
		{"elasticfilesystem:DeleteFileSystem", "*", nil, false},
		{"secretsmanager:DeleteSecret", "*", nil, false},
		{"dynamodb:PutItem", "*", nil, true},
		{"ec2:RunInstances", "*", nil, true},
	} {
		for name, deletes := range map[string]bool{"protect-data": false, "protect-versions": true} {
			w := scpWorld(t)
			w.freeze(actiontest.Member, name)
			w.freezes(actiontest.Request)
			s := w.Session(w.Role, "s1")
			for i := 0; i < len(tt.keys); i += 2 {
				s = s.With(tt.keys[i], tt.keys[i+1])
			}
			if ok, why := s.Can(tt.action, tt.resource); ok != tt.allowed {
				t.Errorf("%s: %s on %s with %v: %t %s", name, tt.action, tt.resource, tt.keys, ok, why)
			}
			if ok, _ := s.Can("s3:DeleteObject", bucket); ok != deletes {
				t.Errorf("%s: s3:DeleteObject %t", name, ok)
			}
			p := w.Plan()
			actiontest.HasWords(t, strings.Join(p.Warnings, " "), "AWS Backup", "that stand already", "scp=protect-")
			actiontest.HasWords(t, w.Act.Spec().TitleOf(w.Asked), "wiping")
		}
	}
}

// The seed made a policy of one name for each run: the second failed with DuplicatePolicyException.
func TestSecondRunAndSecondAccount(t *testing.T) {
	w := scpWorld(t)
	before := w.Snapshot()
	s1, e1 := w.freezes(actiontest.Request)
	w.freezes(actiontest.Request) // a second run of the same
	w.freeze(actiontest.Sandbox)
	s2, e2 := w.freezes("KS-SECOND")
	p := w.scp(actiontest.FreezeName)
	if d := cmp.Diff([]string{actiontest.Member, actiontest.Sandbox}, p.Targets); d != "" || p.Tags[actiontest.Tag] != actiontest.Request || len(w.Snapshot().Organization.SCPs) != 2 {
		t.Fatalf("%+v", w.Snapshot().Organization.SCPs)
	}
	if !w.holds(s2, e2) || e2.Prior != nil {
		t.Errorf("the second: %+v", e2)
	}

	// Two accounts undone one after the other: the policy goes with the last.
	w.freeze(actiontest.Member)
	w.Resources = []string{s1.Resource}
	if r := w.Revert(s1, e1); !r.Holds || !r.Changed {
		t.Errorf("Revert: %+v", r)
	}
	if d := cmp.Diff([]string{actiontest.Sandbox}, w.scp(actiontest.FreezeName).Targets); d != "" {
		t.Errorf("after the first undo: %s", d)
	}
	w.freeze(actiontest.Sandbox)
	w.Resources = []string{s2.Resource}
	if !w.holds(s2, e2) {
		t.Error("the undo of one account took the other's freeze")
	}
	if r := w.Revert(s2, e2); !r.Holds || !r.Changed {
		t.Errorf("Revert: %+v", r)
	}
	if d := cmp.Diff(before, w.Snapshot()); d != "" {
		t.Errorf("restored:\n%s", d)
	}
}

func TestTwoRunsAtOnce(t *testing.T) {
	w := scpWorld(t)
	w.freeze(actiontest.Sandbox)
	theirs := w.Plan().Steps[0]
	other := w.EnterFor(actions.Responder, actions.PhaseRun, []string{theirs.Resource})
	w.freeze(actiontest.Member)
	p := w.Plan()
	var raced bool
	w.OnCall(func(c awsfake.Call) error { // the other's whole run, just before our CreatePolicy
		if c.Op == "organizations:CreatePolicy" && c.Phase == awsfake.Before && !raced {
			raced = true
			if _, err := w.Act.Apply(t.Context(), other, theirs, actions.Run{RequestID: "KS-SECOND", Since: w.Clock.Now(), Now: w.Clock.Now()}); err != nil {
				t.Errorf("the other run: %v", err)
			}
		}
		return nil
	})
	e := w.Apply(p.Steps[0], w.Run())
	if !raced || !w.holds(p.Steps[0], e) {
		t.Errorf("raced %t, effect %+v", raced, e)
	}
	if got := w.scp(actiontest.FreezeName); len(got.Targets) != 2 || got.Tags[actiontest.Tag] != "KS-SECOND" {
		t.Errorf("%+v", got)
	}
}

func TestFreezeRefusals(t *testing.T) {
	file := func(document string) func(*fixture) {
		return func(w *fixture) {
			w.Org.SCPs = map[string]string{"own": document}
			w.Hub = actions.NewCloud(w.Config(), w.Org)
			w.freeze(actiontest.Member, "own")
		}
	}
	tests := []struct {
		name  string
		org   func(*awsfake.Organization)
		alter func(*fixture)
		says  []string
	}{
		{"an unknown document", nil, func(w *fixture) { w.freeze(actiontest.Member, "frieze") }, []string{"frieze", "control-plane", "freeze"}},
		{"a name that revoke_sessions takes", nil, func(w *fixture) {
			w.Org.SCPs = map[string]string{"revoke-" + actiontest.Member: w.document("freeze")}
			w.Hub = actions.NewCloud(w.Config(), w.Org)
			w.freeze(actiontest.Member, "revoke-"+actiontest.Member)
		}, []string{"revoke-" + actiontest.Member, "control-plane"}},
		{"the management account", nil, func(w *fixture) { w.freeze(actiontest.Management) }, []string{actiontest.Management, "management account", "one by one"}},
		{"no member", nil, func(w *fixture) { w.freeze("777777777777") }, []string{"777777777777", "not a member"}},
		{"suspended", func(o *awsfake.Organization) { o.Accounts[0].State = "SUSPENDED" }, nil, []string{actiontest.Member, "SUSPENDED"}},
		{"pending closure", func(o *awsfake.Organization) { o.Accounts[0].State = "PENDING_CLOSURE" }, nil, []string{"PENDING_CLOSURE"}},
		{"a policy of our name without our tag", nil, func(w *fixture) {
			w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: actiontest.OtherDeny, Tags: map[string]string{"Killswitch": "x"}})
		}, []string{actiontest.FreezeName, "without the tag", "rename or delete"}},
		{"a document that would lock us out", nil, file(actiontest.OtherDeny), []string{"own", "lock Killswitch out", "ArnNotLike", "killswitch-restorer"}},
		{"an Allow list that its Deny overrides", nil, file(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*"}]}`), []string{"own", "allows", "NotAction"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var alter []func(*awsfake.Organization)
			if tt.org != nil {
				alter = append(alter, tt.org)
			}
			w := scpWorld(t, alter...)
			if tt.alter != nil {
				tt.alter(w)
			}
			before := w.Snapshot()
			no := refusal(t, w.planned())
			actiontest.HasWords(t, no.Error(), tt.says...)
			if no.Hint == "" {
				t.Error("no hint")
			}
			if d := cmp.Diff(before, w.Snapshot()); d != "" {
				t.Error(d)
			}
		})
	}
	if no := scpWorld(t).Org.RefuseCall(actions.Call{Action: actions.ApplySCP, Target: actiontest.Management, Account: actiontest.Management}); no == nil {
		t.Error("the management account is not refused by its call")
	}
}

func TestFreezeRefusedWithoutOrganization(t *testing.T) {
	w := newFixture(t)
	w.Member(actiontest.Management, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: actiontest.AllowAll})
	w.freeze(actiontest.Member)
	actiontest.HasWords(t, refusal(t, w.planned()).Error(), actiontest.Management, "in no organization", "aws.management_account")
}

func TestOutdatedContentIsUpdatedInPlace(t *testing.T) {
	w := scpWorld(t)
	id := w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: actiontest.OtherDeny, Tags: map[string]string{actiontest.Tag: "shared"}, Targets: []string{actiontest.Sandbox}})
	p := w.Plan()
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), actiontest.FreezeName, "something else", "also for "+actiontest.Sandbox, "s3:*")
	s, e := w.freezes(actiontest.Request)
	got := w.scp(actiontest.FreezeName)
	if got.ID != id || got.Content != w.document("freeze") || got.Tags[actiontest.Tag] != "shared" || !w.holds(s, e) {
		t.Errorf("%+v", got)
	}
}

func TestEqualContentIsNotWritten(t *testing.T) {
	w := scpWorld(t)
	document := indented(t, w.document("freeze"))
	w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: document, Tags: map[string]string{actiontest.Tag: "shared"}})
	w.freezes(actiontest.Request)
	if got := w.scp(actiontest.FreezeName); got.Content != document || w.Mutations() != 1 {
		t.Errorf("%d calls that write; %s", w.Mutations(), got.Content)
	}
}

func TestPolicyDeployedAheadIsNeverDeleted(t *testing.T) {
	for _, owner := range []string{"shared", "", "ks-lower", "stack-7"} {
		w := scpWorld(t)
		w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: w.document("freeze"), Tags: map[string]string{actiontest.Tag: owner}})
		before := w.Snapshot()
		actiontest.HasWords(t, w.Plan().Undo, "deployed ahead")
		s, e := w.freezes(actiontest.Request)
		if r := w.Revert(s, e); !r.Holds || !r.Changed {
			t.Errorf("%q: %+v", owner, r)
		}
		if d := cmp.Diff(before, w.Snapshot()); d != "" {
			t.Errorf("%q:\n%s", owner, d)
		}
	}
}

// What was attached before the request stays so.
func TestPolicyAttachedBeforeStaysAttached(t *testing.T) {
	w := scpWorld(t)
	w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: w.document("freeze"), Tags: map[string]string{actiontest.Tag: "shared"}, Targets: []string{actiontest.Member}})
	before := w.Snapshot()
	actiontest.HasWords(t, w.Plan().Undo, "earlier request", "stays attached")
	s, e := w.freezes(actiontest.Request)
	if s.Prior == nil || e.Changed || !w.holds(s, e) {
		t.Errorf("prior %v, effect %+v", s.Prior, e)
	}
	r := w.Revert(s, e)
	if !r.Holds || r.Changed || w.Mutations() != 0 {
		t.Errorf("Revert: %+v after %d calls that write", r, w.Mutations())
	}
	if d := cmp.Diff(before, w.Snapshot()); d != "" {
		t.Error(d)
	}
	w.detach(actiontest.FreezeName, actiontest.Member)
	if r := w.Revert(s, e); r.Holds || r.Found == "" {
		t.Errorf("somebody else detached it, and Revert says %+v", r)
	}
}

// Its content does not matter when it is taken back: it is ours by its tag.
func TestUndoReportsADriftedPolicy(t *testing.T) {
	w := scpWorld(t)
	before := w.Snapshot()
	s, e := w.freezes(actiontest.Request)
	_, err := w.orgs().UpdatePolicy(t.Context(), &organizations.UpdatePolicyInput{PolicyId: aws.String(w.scp(actiontest.FreezeName).ID), Content: aws.String(actiontest.OtherDeny)})
	actiontest.Must(t, err)
	if w.holds(s, e) {
		t.Error("somebody changed the content, and Verify says that it holds")
	}
	if r := w.Revert(s, e); !r.Holds || !r.Changed {
		t.Errorf("Revert: %+v", r)
	}
	if d := cmp.Diff(before, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

func TestUndoAfterTheConfigurationForgotTheDocument(t *testing.T) {
	w := scpWorld(t)
	w.Org.SCPs = map[string]string{"own": indented(t, w.document("freeze"))}
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	w.freeze(actiontest.Member, "own")
	before := w.Snapshot()
	s, e := w.freezes(actiontest.Request)
	if got := w.scp("killswitch-own"); got.Content != w.document("freeze") {
		t.Errorf("what is uploaded is not compact: %s", got.Content)
	}
	w.Org.SCPs = nil
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	if r := w.Revert(s, e); !r.Holds || !r.Changed {
		t.Errorf("Revert: %+v", r)
	}
	if d := cmp.Diff(before, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

func TestPlanOfAFreeze(t *testing.T) {
	w := scpWorld(t)
	w.AddSCP(awsfake.SCP{Name: "guardrail", Content: actiontest.OtherDeny, Targets: []string{actiontest.Member}})
	w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: w.document("freeze"), Tags: map[string]string{actiontest.Tag: "KS-EARLIER"}, Targets: []string{actiontest.Sandbox}})
	p := w.Plan()
	facts := map[string]string{}
	for _, f := range p.Facts {
		facts[f.Label] = f.Text
	}
	want := map[string]string{
		"Attached to":              "Production <!channel> (alias prod)",
		"Service control policies": "2 now: FullAWSAccess, guardrail",
		"Also attached to":         actiontest.Sandbox,
		"Exempt":                   "role/break-glass, role/killswitch-responder, role/killswitch-restorer, arn:aws:iam::222222222222:role/ops/keeper",

		"Nobody unexpected may enter": "role/killswitch-responder, role/killswitch-restorer",
	}
	if d := cmp.Diff(want, facts); d != "" {
		t.Error(d)
	}
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "Everything", "killswitch-responder", "break-glass", "applications too")
	actiontest.HasWords(t, strings.Join(p.Residual, " "), "management account", "service-linked", "resource policies", "processes")
	actiontest.HasWords(t, p.Undo, actiontest.FreezeName, "detaches")
	if p.Identity.ID != actiontest.Member || !strings.HasSuffix(p.Identity.ARN, "/"+actiontest.Member) || p.Identity.Created.IsZero() {
		t.Errorf("identity %+v", p.Identity)
	}
	s := p.Steps[0]
	if len(p.Steps) != 5 || s.ID != "attach" || !s.Deny || s.Resource != p.Identity.ARN || s.ResourceID != actiontest.Member || s.Prior != nil {
		t.Errorf("steps %+v", p.Steps)
	}
	if p := scpWorld(t, func(o *awsfake.Organization) { o.SCPsDisabled = true }).Plan(); !strings.Contains(strings.Join(p.Warnings, " "), "not enabled") {
		t.Errorf("service control policies are not enabled, and the plan warns %q", p.Warnings)
	}
}

func TestFreezeParses(t *testing.T) {
	d := actiontest.TestOrg("aws").Directory()
	parse := func(text string) actions.Call {
		t.Helper()
		c, _, err := actions.Parse(text+` reason="x"`, d)
		actiontest.Must(t, err)
		return c
	}
	want := actions.Call{Action: actions.ApplySCP, Target: actiontest.Member, Account: actiontest.Member}
	for _, text := range []string{"apply_scp prod", "apply-scp 222222222222 scp=freeze", "apply_scp account=prod", "apply_scp prod scp=Freeze", "apply_scp arn:aws:organizations::999999999999:account/o-0123456789/222222222222"} {
		if got := parse(text); !got.Equal(want) {
			t.Errorf("%s: %+v", text, got)
		}
	}
	if got := parse("apply_scp prod scp=Control-Plane"); got.String() != "apply_scp 222222222222 scp=control-plane" {
		t.Errorf("%s", got)
	}
	for _, text := range []string{"apply_scp prod scp=../x", "apply_scp prod scp=a/b", "apply_scp prod/role", "apply_scp i-0123456789abcdef0", "apply_scp prod mode=x"} {
		if c, _, err := actions.Parse(text+` reason="x"`, d); err == nil {
			t.Errorf("%s is taken for %s", text, c)
		}
	}
}

// Documents that stop nothing are refused.
func TestFreezeThatStopsNothing(t *testing.T) {
	o := actiontest.TestOrg("aws")
	check := func(scope string) *actions.Refusal {
		_, no := scp.CheckSCP(o, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny",`+scope+`,"Condition":`+exempting+`}]}`)
		return no
	}
	for _, scope := range []string{
		`"NotAction":"*","Resource":"*"`,
		`"NotAction":["s3:Get*","*"],"Resource":"*"`,
		`"Action":"*","NotResource":"*"`,
		`"Action":"*","NotResource":["arn:aws:s3:::b","*"]`,
		`"Action":"*","NotResource":"**"`,
		`"Action":"*","NotResource":"*:*"`,
		`"Action":"*","NotResource":"?*"`,
		`"Action":"*","NotResource":"arn"`,
		`"Action":"*","NotResource":"arn:*"`,
		`"Action":"*","NotResource":"arn:aws:*:*:*:*"`,
		`"Action":"*","NotResource":["arn:aws:*::*:*","arn:aws:*:*-*:*:*","arn:aws:*:?*:*:*"]`,
		`"Action":"*","NotResource":["arn:aws:*:*:${aws:PrincipalAccount}:*","arn:aws:*:::*"]`,
		`"Action":"*","NotResource":"arn:aws:*:*:${aws:ResourceAccount}*:*"`,
	} {
		no := check(scope)
		if no == nil {
			t.Errorf("%s is taken", scope)
			continue
		}
		actiontest.HasWords(t, no.Reason, "statement 1", "would stop nothing")
	}
	for _, scope := range []string{
		`"NotAction":["s3:*","iam:*"],"Resource":"*"`,
		`"Action":"*","NotResource":"arn:aws:s3:::*"`,
		`"Action":"*","NotResource":["arn:aws:iam::*:role/forensics","arn:aws:s3:::${aws:PrincipalAccount}-evidence/*"]`,
		`"Action":"s3:*","NotResource":"arn:aws:*:*:333333333333:*"`,
	} {
		if no := check(scope); no != nil {
			t.Errorf("%s: %v", scope, no)
		}
	}
}
