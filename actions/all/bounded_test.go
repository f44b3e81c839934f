package all_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

const (
	managed   = "arn:aws:iam::aws:policy/"
	inMember  = "arn:aws:iam::" + actiontest.Member + ":"
	alice     = inMember + "user/staff/alice"
	victim    = inMember + "role/app/victim"
	isolation = inMember + "role/killswitch-isolation"

	quarantine = inMember + "policy/KillSwitchQuarantine"
)

// attempt is what a session asks for: an action on a resource, with condition keys.
type attempt struct {
	action, resource string
	keys             map[string]string
}

func (a attempt) String() string { return fmt.Sprint(a.action, " on ", a.resource, " ", a.keys) }

func policyARN(arn string) map[string]string { return map[string]string{"iam:PolicyARN": arn} }
func boundary(arn string) map[string]string  { return map[string]string{"iam:PermissionsBoundary": arn} }
func to(service string) map[string]string    { return map[string]string{"iam:PassedToService": service} }

// What conditions keep from the member roles, and what they leave to them.
var (
	beyondConditions = map[actions.Member][]attempt{
		actions.Responder: {
			{"iam:AttachUserPolicy", alice, policyARN(managed + "AdministratorAccess")},
			{"iam:AttachUserPolicy", alice, policyARN(inMember + "policy/KillSwitchQuarantineNot")},
			{"iam:PutUserPermissionsBoundary", alice, boundary(managed + "AdministratorAccess")},
			{"iam:PutRolePermissionsBoundary", victim, boundary(managed + "AdministratorAccess")},
			{"iam:PutRolePermissionsBoundary", isolation, boundary(managed + "AdministratorAccess")},
			{"iam:PassRole", isolation, to("lambda.amazonaws.com")},
		},
		actions.Restorer: {
			{"iam:DetachUserPolicy", alice, policyARN(inMember + "policy/guardrail")},
			{"iam:DeleteUserPermissionsBoundary", alice, boundary(inMember + "policy/limits")},
			{"iam:DeleteRolePermissionsBoundary", victim, boundary(inMember + "policy/limits")},
			{"iam:PassRole", victim, to("lambda.amazonaws.com")},
		},
	}
	neverPermitted = map[actions.Member][]attempt{
		actions.Responder: {
			{"iam:AttachRolePolicy", victim, policyARN(managed + "AdministratorAccess")},
			{"iam:AttachRolePolicy", isolation, policyARN(managed + "AdministratorAccess")},
			{"iam:CreateRole", victim, boundary(managed + "AWSDenyAll")},
			{"iam:CreateRole", isolation, boundary(managed + "AWSDenyAll")},
			{"iam:CreateInstanceProfile", inMember + "instance-profile/killswitch-isolation", nil},
			{"iam:AddRoleToInstanceProfile", inMember + "instance-profile/killswitch-isolation", nil},
			{"iam:CreatePolicy", quarantine, nil},
			{"iam:CreatePolicyVersion", quarantine, nil},
			{"iam:SetDefaultPolicyVersion", quarantine, nil},
			{"iam:DeletePolicy", quarantine, nil},
			{"iam:UpdateAssumeRolePolicy", victim, nil},
			{"iam:DeleteRolePermissionsBoundary", victim, boundary(managed + "AWSDenyAll")},
			{"iam:CreateAccessKey", alice, nil},
			{"iam:PassRole", victim, to("ec2.amazonaws.com")},
		},
		actions.Restorer: {
			{"iam:AttachUserPolicy", alice, policyARN(inMember + "policy/KillSwitchQuarantine")},
			{"iam:CreatePolicy", quarantine, nil},
			{"iam:CreatePolicyVersion", quarantine, nil},
			{"iam:SetDefaultPolicyVersion", quarantine, nil},
			{"iam:UpdateAssumeRolePolicy", victim, nil},
			{"iam:CreateAccessKey", alice, nil},
		},
	}
	needed = map[actions.Member][]attempt{
		actions.Responder: {
			{"iam:AttachUserPolicy", alice, policyARN(inMember + "policy/KillSwitchQuarantine")},
			{"iam:AttachUserPolicy", alice, policyARN(inMember + "policy/KillSwitchQuarantineIAM")},
			{"iam:AttachUserPolicy", alice, policyARN(inMember + "policy/KillSwitchQuarantine@pilot")},
			{"iam:PutUserPermissionsBoundary", alice, boundary(managed + "AWSDenyAll")},
			{"iam:PutRolePermissionsBoundary", victim, boundary(managed + "AWSDenyAll")},
			{"iam:PassRole", isolation, to("ec2.amazonaws.com")},
			{"iam:DetachRolePolicy", victim, policyARN(managed + "AdministratorAccess")}, // whatever is attached
		},
		actions.Restorer: {
			{"iam:DetachUserPolicy", alice, policyARN(inMember + "policy/KillSwitchQuarantine")},
			{"iam:DetachUserPolicy", alice, policyARN(inMember + "policy/KillSwitchQuarantineIAM@pilot")},
			{"iam:DeleteUserPermissionsBoundary", alice, boundary(managed + "AWSDenyAll")},
			{"iam:PutUserPermissionsBoundary", alice, boundary(inMember + "policy/limits")}, // what stood there
			{"iam:AttachRolePolicy", victim, policyARN(managed + "AdministratorAccess")},    // what was attached
			{"iam:CreateRole", victim, nil},
			{"iam:PassRole", victim, to("ec2.amazonaws.com")},
		},
	}
)

// evaluator asks the AWS in memory what policies allow.
type evaluator struct {
	*awsfake.Cloud
	n int
}

func newEvaluator() *evaluator {
	c := &actiontest.Clock{T: actiontest.Began}
	e := &evaluator{Cloud: awsfake.New(c.Now)}
	e.Account(actiontest.Member).AddRole(awsfake.Role{Name: "victim", Path: "/app/"})
	return e
}

// allow reports whether all documents, each alone, allow an attempt: identity and session policy.
func (e *evaluator) allow(a attempt, documents ...string) bool {
	for _, doc := range documents {
		e.n++
		s := e.Session(e.Account(actiontest.Member).AddRole(awsfake.Role{Name: fmt.Sprintf("probe-%d", e.n), Inline: map[string]string{"p": doc}}), "probe")
		for key, v := range a.keys {
			s = s.With(key, v)
		}
		if ok, _ := s.Can(a.action, a.resource); !ok {
			return false
		}
	}
	return true
}

// without takes a part away from each statement of a policy: its condition, or the whole statement if it denies.
func without(t *testing.T, document, part string) string {
	t.Helper()
	var p struct {
		Version   string
		Statement []map[string]any
	}
	actiontest.Must(t, json.Unmarshal([]byte(document), &p))
	for _, s := range p.Statement {
		delete(s, part)
	}
	p.Statement = slices.DeleteFunc(p.Statement, func(s map[string]any) bool { return s["Effect"] == part })
	b, err := json.Marshal(p)
	actiontest.Must(t, err)
	return string(b)
}

// TestMemberRolesAreBounded: the printed policies' conditions refuse what the actions don't need,
// and nothing that they need. Without the conditions it would be allowed.
func TestMemberRolesAreBounded(t *testing.T) {
	e := newEvaluator()
	for m := actions.Responder; m <= actions.Restorer; m++ {
		policy := all.MemberPolicy(m, actiontest.TestOrg("aws"), false)
		bare := without(t, policy, "Condition")
		for _, a := range beyondConditions[m] {
			if e.allow(a, policy) {
				t.Errorf("member %d may %s", m, a)
			}
			if !e.allow(a, bare) {
				t.Errorf("member %d: %s is refused without the conditions, too", m, a)
			}
		}
		for _, a := range neverPermitted[m] {
			if e.allow(a, bare) {
				t.Errorf("member %d may %s", m, a)
			}
		}
		for _, a := range needed[m] {
			if !e.allow(a, policy) {
				t.Errorf("member %d may not %s", m, a)
			}
		}
	}
}

// TestPassRoleInChina: which of EC2's two names AWS sends there is not documented.
func TestPassRoleInChina(t *testing.T) {
	policy := all.MemberPolicy(actions.Responder, actiontest.TestOrg("aws-cn"), false)
	for _, service := range []string{"ec2.amazonaws.com", "ec2.amazonaws.com.cn"} {
		if !newEvaluator().allow(attempt{"iam:PassRole", strings.Replace(isolation, "arn:aws:", "arn:aws-cn:", 1), to(service)}, policy) {
			t.Errorf("the role can't be passed to %s", service)
		}
	}
}

// sessions are calls with what their steps change.
var sessions = []struct {
	call      actions.Call
	resources []string
}{
	{actions.Call{Action: actions.RevokeSessions, Target: victim}, []string{victim}},
	{actions.Call{Action: actions.RevokeSessions, Target: actiontest.Member + "/" + actions.AllRoles}, []string{victim}},
	{actions.Call{Action: actions.DetachPolicies, Target: victim}, []string{victim}},
	{actions.Call{Action: actions.DeleteRole, Target: victim}, []string{victim, inMember + "instance-profile/app"}},
	{actions.Call{Action: actions.QuarantineUser, Target: alice}, []string{alice}},
	{actions.Call{Action: actions.DeactivateKey, Target: "AKIA2222222222222222", Options: map[string]string{"quarantine": "yes"}}, []string{alice}},
	{actions.Call{Action: actions.DeleteKey, Target: "AKIA2222222222222222"}, []string{alice}},
	{actions.Call{Action: actions.DenyPrincipal, Target: alice}, []string{alice}},
	{actions.Call{Action: actions.IsolateInstance, Target: "arn:aws:ec2:eu-west-1:" + actiontest.Member + ":instance/i-0123456789abcdef0", Region: "eu-west-1"},
		[]string{"arn:aws:ec2:eu-west-1:" + actiontest.Member + ":instance/i-0123456789abcdef0", victim}},
}

// eachSession calls f with the name, member and policy of every session in a member account.
func eachSession(t *testing.T, f func(name string, m actions.Member, policy string)) {
	t.Helper()
	org := actiontest.TestOrg("aws")
	for _, s := range sessions {
		s.call.Account = actiontest.Member
		a, ok := org.Actions.Lookup(s.call.Action)
		if !ok {
			t.Fatalf("no action %s", s.call.Action)
		}
		for m, phase := range map[actions.Member]actions.Phase{actions.Responder: actions.PhaseRun, actions.Restorer: actions.PhaseUndo} {
			scope := actions.ScopeOf(a, org, s.call, s.resources)
			if scope.Account != s.call.Account {
				scope = scope.Target()
			}
			permits := actions.Permits(a, phase, scope)
			if len(permits) == 0 {
				continue // delete_key has no undo
			}
			doc, err := actions.PolicyDocument(permits)
			actiontest.Must(t, err)
			f(fmt.Sprint(s.call.Action, " ", actions.LastPart(s.call.Target), " ", phase), m, string(doc))
		}
	}
	doc, err := actions.PolicyDocument(append(trail.LookupPermits(), source.LookPermits(actions.Scope{Org: org, Account: actiontest.Member, Region: "*"})...))
	actiontest.Must(t, err)
	f("trace", actions.Responder, string(doc))
}

var updateSessions = flag.Bool("update-sessions", false, "write e2e/template/sessions.json")

// TestSessionsFile: e2e/template/sessions.json has the session policies, for an evaluator that others wrote.
func TestSessionsFile(t *testing.T) {
	const file = "../../e2e/template/sessions.json"
	type session struct {
		Name    string          `json:"name"`
		Role    string          `json:"role"`
		Beneath string          `json:"beneath"` // the role's policy of that name
		Policy  json.RawMessage `json:"policy"`
	}
	var list []session
	roles := map[actions.Member]string{actions.Responder: "ResponderRole", actions.Restorer: "RestorerRole"}
	eachSession(t, func(name string, m actions.Member, policy string) {
		list = append(list, session{name, roles[m], "member", json.RawMessage(policy)})
	})
	org := actiontest.TestOrg("aws")
	for m, phase := range map[actions.Member]actions.Phase{actions.Responder: actions.PhaseRun, actions.Restorer: actions.PhaseUndo} {
		for name, target := range map[actions.Name]string{actions.ApplySCP: actiontest.Member, actions.DenyPrincipal: alice} {
			a, _ := org.Actions.Lookup(name)
			call := actions.Call{Action: name, Target: target, Account: actiontest.Member}
			doc, err := actions.PolicyDocument(actions.Permits(a, phase, actions.ScopeOf(a, org, call, nil)))
			actiontest.Must(t, err)
			list = append(list, session{fmt.Sprint(call.Action, " ", phase), roles[m], "organizations", doc})
		}
	}
	for _, a := range org.Actions {
		if name := string(a.Spec().Name); !slices.ContainsFunc(list, func(s session) bool { return strings.HasPrefix(s.Name, name+" ") }) {
			t.Errorf("%s has no session here", name)
		}
	}
	slices.SortFunc(list, func(a, b session) int { return strings.Compare(a.Name, b.Name) })
	got, err := json.MarshalIndent(list, "", " ")
	actiontest.Must(t, err)
	if *updateSessions {
		actiontest.Must(t, os.WriteFile(file, append(got, '\n'), 0o644))
	}
	want, err := os.ReadFile(file)
	actiontest.Must(t, err)
	if d := cmp.Diff(string(want), string(got)+"\n"); d != "" {
		t.Errorf("run go test ./actions/all -run TestSessionsFile -update-sessions: %s", d)
	}
}

// TestSessionsAreBounded: no session may do what its member role may not.
func TestSessionsAreBounded(t *testing.T) {
	e, org := newEvaluator(), actiontest.TestOrg("aws")
	eachSession(t, func(name string, m actions.Member, policy string) {
		for _, a := range slices.Concat(beyondConditions[m], neverPermitted[m]) {
			if e.allow(a, all.MemberPolicy(m, org, false), policy) {
				t.Errorf("%s may %s", name, a)
			}
			// isolate_instance's session may lack conditions, for want of space.
			if !strings.HasPrefix(name, string(actions.IsolateInstance)) && e.allow(a, policy) {
				t.Errorf("the session policy of %s alone allows %s", name, a)
			}
		}
	})
}

// TestOwnRolesAreOutOfReach: no member role and no session changes or passes a member role, though
// they change any other; without the explicit deny the member roles, and the sessions for all roles,
// could. Roles whose names only end like ours, and the forwarder's, can be contained.
func TestOwnRolesAreOutOfReach(t *testing.T) {
	e, org := newEvaluator(), actiontest.TestOrg("aws")
	org.ForwarderRole = "killswitch-forwarder"
	granted := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},`
	for m := actions.Responder; m <= actions.Restorer; m++ {
		policy := all.MemberPolicy(m, org, false)
		wide := strings.Replace(strings.Join(strings.Fields(policy), ""), `{"Version":"2012-10-17","Statement":[`, granted, 1)
		for _, role := range []string{org.ResponderRole, org.RestorerRole} {
			for _, act := range []string{"AttachRolePolicy", "CreateRole", "DeleteRole", "DeleteRolePermissionsBoundary", "DeleteRolePolicy", "DetachRolePolicy", "PassRole",
				"PutRolePermissionsBoundary", "PutRolePolicy", "TagRole", "UntagRole", "UpdateAssumeRolePolicy", "UpdateRole", "UpdateRoleDescription"} {
				if a := (attempt{"iam:" + act, inMember + "role/" + role, nil}); e.allow(a, wide) {
					t.Errorf("member %d may %s, if another statement allows it", m, a)
				}
			}
			put := attempt{"iam:PutRolePolicy", inMember + "role/" + role, nil}
			if e.allow(put, policy) || !e.allow(put, without(t, policy, "Deny")) {
				t.Errorf("member %d: the deny decides nothing on %s", m, put)
			}
		}
		for _, role := range []string{"my-killswitch-responder", "x/my-killswitch-restorer", "killswitch-forwarder"} {
			if a := (attempt{"iam:PutRolePolicy", inMember + "role/" + role, nil}); !e.allow(a, policy) {
				t.Errorf("member %d may not %s", m, a)
			}
		}
	}
	eachSession(t, func(name string, m actions.Member, policy string) {
		put := attempt{"iam:PutRolePolicy", inMember + "role/" + org.ResponderRole, nil}
		if e.allow(put, policy) || e.allow(put, all.MemberPolicy(m, org, false), policy) {
			t.Errorf("%s may %s", name, put)
		}
		if all := strings.Contains(name, actions.AllRoles); all != e.allow(put, without(t, policy, "Deny")) {
			t.Errorf("%s without the deny may %s: %v", name, put, !all)
		}
	})
}

// TestSCPWritesAreOnOurs: policies without our tag are out of reach in the management account, for its
// roles and for each session; without the conditions they would not be.
func TestSCPWritesAreOnOurs(t *testing.T) {
	e, org := newEvaluator(), actiontest.TestOrg("aws")
	const (
		arn     = "arn:aws:organizations::" + actiontest.Management
		policy  = arn + ":policy/o-abcdefghij/service_control_policy/p-1234567890"
		account = arn + ":account/o-abcdefghij/" + actiontest.Member
		tag     = "aws:ResourceTag/killswitch"
	)
	with := func(pairs ...string) map[string]string { return map[string]string{pairs[0]: pairs[1]} }
	made := map[string]string{"aws:RequestTag/killswitch": "KS-1", "aws:TagKeys": "killswitch"}
	may := map[actions.Member][]attempt{
		actions.Responder: {
			{"organizations:AttachPolicy", policy, with(tag, "KS-1")}, {"organizations:AttachPolicy", policy, with(tag, "shared")}, {"organizations:AttachPolicy", account, nil},
			{"organizations:UpdatePolicy", policy, with(tag, "shared")}, {"organizations:DeletePolicy", policy, with(tag, "KS-1")}, {"organizations:CreatePolicy", "*", made}, {"organizations:TagResource", "*", made},
		},
		actions.Restorer: {
			{"organizations:DetachPolicy", policy, with(tag, "shared")}, {"organizations:DetachPolicy", account, nil}, {"organizations:DeletePolicy", policy, with(tag, "KS-1")},
		},
	}
	mayNot := map[actions.Member][]attempt{
		actions.Responder: {
			{"organizations:AttachPolicy", policy, nil}, {"organizations:AttachPolicy", policy, with("aws:ResourceTag/team", "KS-1")}, {"organizations:UpdatePolicy", policy, nil},
			{"organizations:DeletePolicy", policy, nil}, {"organizations:DeletePolicy", policy, with(tag, "shared")}, // deployed ahead
			{"organizations:CreatePolicy", "*", nil}, {"organizations:CreatePolicy", "*", with("aws:RequestTag/killswitch", "shared")},
			{"organizations:TagResource", policy, with("aws:RequestTag/team", "x")}, {"organizations:TagResource", policy, with("aws:RequestTag/killswitch", "shared")},
		},
		actions.Restorer: {
			{"organizations:DetachPolicy", policy, nil}, {"organizations:DeletePolicy", policy, nil}, {"organizations:DeletePolicy", policy, with(tag, "shared")},
		},
	}
	documents := map[actions.Member]map[string]string{actions.Responder: {}, actions.Restorer: {}}
	for m, phase := range map[actions.Member]actions.Phase{actions.Responder: actions.PhaseRun, actions.Restorer: actions.PhaseUndo} {
		documents[m]["the role's policy"] = all.MemberPolicy(m, org, true)
		for _, c := range []actions.Call{
			{Action: actions.ApplySCP, Target: actiontest.Member, Account: actiontest.Member},
			{Action: actions.RevokeSessions, Target: actiontest.Member + "/" + actions.AllRoles, Account: actiontest.Member, Options: map[string]string{"via": "scp"}},
		} {
			a, _ := org.Actions.Lookup(c.Action)
			doc, err := actions.PolicyDocument(actions.Permits(a, phase, actions.ScopeOf(a, org, c, []string{account})))
			actiontest.Must(t, err)
			documents[m]["the session of "+string(c.Action)] = string(doc)
		}
	}
	for m, of := range documents {
		for name, document := range of {
			for _, a := range may[m] {
				if !e.allow(a, document) {
					t.Errorf("%s does not allow member %d %s", name, m, a)
				}
			}
			for _, a := range mayNot[m] {
				if e.allow(a, document) {
					t.Errorf("%s allows member %d %s", name, m, a)
				}
				if !e.allow(a, without(t, document, "Condition")) {
					t.Errorf("%s: member %d: %s is refused without the conditions, too", name, m, a)
				}
			}
		}
	}
	for _, a := range slices.Concat(may[actions.Responder], mayNot[actions.Responder]) { // what others are denied by is made anew by an undo, as by a run
		made := a.action == "organizations:CreatePolicy" || a.action == "organizations:TagResource"
		if made && e.allow(a, all.MemberPolicy(actions.Restorer, org, true)) != slices.ContainsFunc(may[actions.Responder], func(b attempt) bool { return cmp.Equal(a, b, cmp.AllowUnexported(attempt{})) }) {
			t.Errorf("the restorer differs from the responder in %s", a)
		}
	}
	if e.allow(attempt{"organizations:AttachPolicy", "arn:aws:organizations::aws:policy/service_control_policy/p-FullAWSAccess", with(tag, "KS-1")}, all.MemberPolicy(actions.Responder, org, true)) {
		t.Error("AWS's own policies may be attached")
	}
}
