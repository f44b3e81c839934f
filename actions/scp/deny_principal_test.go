package scp_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const (
	bobsID    = "9067642ac7-4f1e8b6a-93f0-4f0f-8a40-0c7b7a3a9d11"
	bobsName  = "bob@example.com"
	reserved  = "AWSReservedSSO_PowerUser_0123456789abcdef"
	bobsOther = "carol@example.com"
)

// outside is a world in which a principal is denied from outside: the victim, a user with a key, a
// permission set's role.
func outside(t *testing.T, partition, typed string) *fixture {
	t.Helper()
	w := scpWorldAt(t, &actiontest.Clock{T: actiontest.Began.Add(123 * time.Millisecond)}, partition)
	w.Account(actiontest.Member).AddUser(awsfake.User{Name: "alice", Path: "/staff/", Keys: []awsfake.AccessKey{{ID: "AKIAALICE00000000000"}}, Inline: map[string]string{"all": actiontest.AllowAll}})
	w.Account(actiontest.Member).AddRole(awsfake.Role{Name: reserved, Path: "/aws-reserved/sso.amazonaws.com/", Inline: map[string]string{"all": actiontest.AllowAll}})
	w.Account(actiontest.Sandbox).AddRole(awsfake.Role{Name: reserved, Path: "/aws-reserved/sso.amazonaws.com/", Inline: map[string]string{"all": actiontest.AllowAll}})
	c, _, err := actions.Parse("deny_principal "+typed+` reason="x"`, w.Org.Directory())
	actiontest.Must(t, err)
	w.SetCall(c)
	return w
}

func (w *fixture) arn(service, resource string) string {
	return "arn:" + w.Org.Partition + ":" + service + "::" + actiontest.Member + ":" + resource
}

// denyWorlds are targets of each kind, by what is typed.
func typedTargets(partition string) []string {
	arn := "arn:" + partition + ":iam::" + actiontest.Member + ":"
	return []string{arn + "role/app/victim", arn + "user/staff/alice", "prod/root", "sso:" + bobsName, "sso:" + bobsID, arn + "role/app/victim scope=organization"}
}

func TestDenyPrincipalContract(t *testing.T) {
	actiontest.EachPartition(t, func(t *testing.T, partition string, delay time.Duration) {
		contract := actiontest.Contract{ErrorPathPermits: []string{"organizations:DeletePolicy",
			// TestUndoLeavesTheOthersDenied
			"organizations:AttachPolicy", "organizations:UpdatePolicy", "organizations:CreatePolicy", "organizations:TagResource", "organizations:DescribePolicy", "organizations:ListPoliciesForTarget",
			// TestDeniedByNameWhereNobodyLetsUsIn, and the look for another name
			"iam:ListRoles", "iam:ListUsers",
			// Other places of the deny on a user: quarantine_user's own tests, which share it
			"iam:PutUserPermissionsBoundary", "iam:DeleteUserPermissionsBoundary", "iam:PutUserPolicy", "iam:DeleteUserPolicy", "iam:GetPolicy"}}
		contract.Action, _ = all.Actions.Lookup(actions.DenyPrincipal)
		for _, typed := range typedTargets(partition) {
			contract.Starts = append(contract.Starts, actiontest.Start{Name: typed, Open: func(t *testing.T) actiontest.Environment {
				w := outside(t, partition, typed)
				actiontest.DeployShared(w.Cloud, actiontest.Member)
				w.SetPropagation(delay)
				s := scpEnvironment(w)
				at := w.Plan().Steps[0].ResourceID
				name := "killswitch-deny-" + at
				s.State = func() any { return w.Snapshot() }
				before := w.Snapshot().Accounts[actiontest.Member].Users["alice"]
				s.Tamper = func() {
					w.detach(name, at)
					w.Account(actiontest.Member).AddUser(before)
				}
				s.Replace = func() {
					w.Account(actiontest.Member).AddUser(awsfake.User{Name: "alice", Path: "/staff/"})
					w.detach(name, at)
					w.delete(name)
					w.AddSCP(awsfake.SCP{Name: name, Content: actiontest.OtherDeny, Targets: []string{at}})
				}
				return s
			}})
		}
		actiontest.Test(t, contract)
	})
}

// TestDenyPrincipalStopsItAndNobodyElse: each kind of principal, in its ways to call, and others beside it.
func TestDenyPrincipalStopsItAndNobodyElse(t *testing.T) {
	for _, partition := range []string{"aws", "aws-cn"} {
		for _, typed := range typedTargets(partition) {
			t.Run(partition+" "+typed, func(t *testing.T) {
				w := outside(t, partition, typed)
				key := w.KeySession("AKIAALICE00000000000")
				token := key.SessionToken()
				person := func(account, id, name string) *awsfake.Session {
					arn := "arn:" + partition + ":iam::" + account + ":role/aws-reserved/sso.amazonaws.com/" + reserved
					return w.Session(arn, name).With("identitystore:UserId", id)
				}
				root := w.Session(w.Role, "x").With("aws:PrincipalArn", w.arn("iam", "root")).With("aws:userid", actiontest.Member)
				other := w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "other", Inline: map[string]string{"all": actiontest.AllowAll}})
				sessions := map[string]*awsfake.Session{
					"role": w.Session(w.Role, "s1"), "other role": w.Session(other, "s1"), "role's session of bob's name": w.Session(other, bobsName),
					"user": key, "user's session": token,
					"federated": token.With("aws:PrincipalArn", "arn:"+partition+":sts::"+actiontest.Member+":federated-user/any").With("aws:userid", actiontest.Member+":any"),
					"root":      root, "root's task": root.With("aws:AssumedRoot", "true"),
					"bob": person(actiontest.Member, bobsID, bobsName), "bob elsewhere": person(actiontest.Sandbox, bobsID, bobsName), "carol": person(actiontest.Member, "other", bobsOther),
				}
				stopped := map[string][]string{"role/": {"role"}, "user/": {"user", "user's session", "federated"}, "prod/root": {"root", "federated"}, "sso:": {"bob", "bob elsewhere"}}
				actiontest.AllApplied(t, w.Contain())
				var want []string
				for part, who := range stopped {
					if strings.Contains(typed, part) {
						want = append(want, who...)
					}
				}
				for name, s := range sessions {
					if ok, why := s.Can("s3:GetObject", "arn:aws:s3:::b/k"); ok == slices.Contains(want, name) {
						t.Errorf("%s: allowed %t %s", name, ok, why)
					}
				}
			})
		}
	}
}

// TestPeopleAreNotDeniedWhereKillswitchIs: in the hub and the policy account.
func TestPeopleAreNotDeniedWhereKillswitchIs(t *testing.T) {
	w := outside(t, "aws", "sso:"+bobsName)
	w.Organize(awsfake.Organization{Management: actiontest.Management, Accounts: []awsfake.OrgAccount{{ID: actiontest.Member}, {ID: awsfake.HubAccount}}})
	arn := w.Account(awsfake.HubAccount).AddRole(awsfake.Role{Name: reserved, Path: "/aws-reserved/sso.amazonaws.com/", Inline: map[string]string{"all": actiontest.AllowAll}})
	actiontest.AllApplied(t, w.Contain())
	if ok, why := w.Session(arn, bobsName).Can("s3:GetObject", "*"); !ok {
		t.Errorf("denied in the hub: %s", why)
	}
	actiontest.HasWords(t, strings.Join(w.Plan().Warnings, " "), "the hub", "remove the assignments")
}

// TestDeniedByNameWhereNobodyLetsUsIn: whoever holds the account can't be safe by locking us out.
func TestDeniedByNameWhereNobodyLetsUsIn(t *testing.T) {
	for _, typed := range typedTargets("aws")[:2] {
		w := outside(t, "aws", typed)
		w.Account(actiontest.Member).AddRole(awsfake.Role{Name: w.Org.ResponderRole, Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::666666666666:root"},"Action":"sts:AssumeRole"}]}`})
		p := w.Plan()
		actiontest.HasWords(t, strings.Join(p.Warnings, " "), "could not be read", "denied by its ARN")
		actiontest.AllApplied(t, w.Contain())
		s := w.Session(w.Role, "s1")
		if strings.Contains(typed, "user/") {
			s = w.KeySession("AKIAALICE00000000000")
		}
		if ok, _ := s.Can("s3:GetObject", "arn:aws:s3:::b/k"); ok {
			t.Errorf("%s can still read", typed)
		}
	}
}

// TestWhatWasApprovedIsDenied: the run denies the ID that people approved, though it can't be read any more; a
// user that is renamed meanwhile stays denied.
func TestWhatWasApprovedIsDenied(t *testing.T) {
	for _, typed := range typedTargets("aws")[:2] {
		w := outside(t, "aws", typed)
		approved := w.Plan().Identity.ID
		w.Fault(awsfake.Fault{Op: "iam:Get*", Err: &smithy.GenericAPIError{Code: "AccessDenied"}, Times: 99})
		acct := w.Enter(actions.Responder, actions.PhasePlan)
		acct.Look, acct.Approved = actions.LookFirst, approved
		p, err := w.Act.Plan(t.Context(), acct, w.Call())
		actiontest.Must(t, err)
		if p.Identity.ID != approved || strings.Contains(p.Steps[0].Share, ":role/") || strings.Contains(p.Steps[0].Share, ":user/") || !strings.Contains(p.Steps[0].Share, approved) {
			t.Errorf("%s: %+v denies %s", typed, p.Identity, p.Steps[0].Share)
		}
	}
}

// TestUnreadableWhenApproved: what can be read again is the same target as before.
func TestUnreadableWhenApproved(t *testing.T) {
	w := outside(t, "aws", typedTargets("aws")[0])
	acct := w.Enter(actions.Responder, actions.PhasePlan)
	acct.Approved = w.Call().Target
	p, err := w.Act.Plan(t.Context(), acct, w.Call())
	actiontest.Must(t, err)
	if p.Identity.ID != w.Call().Target || !strings.Contains(p.Steps[0].Share, "AROA") {
		t.Errorf("%+v denies %s", p.Identity, p.Steps[0].Share)
	}
}

// TestSlownessKeepsNoDeny: an attacker who uses up IAM's rate does not keep the plan from being made.
func TestSlownessKeepsNoDeny(t *testing.T) {
	w := outside(t, "aws", typedTargets("aws")[1])
	w.Fault(awsfake.Fault{Op: "iam:GetUser", Err: &smithy.GenericAPIError{Code: "Throttling"}, Times: 99})
	p, err := w.Act.Plan(t.Context(), w.Enter(actions.Responder, actions.PhasePlan), w.Call())
	if !actions.Transient(err) || !p.More || len(p.Steps) != 1 || !strings.Contains(p.Steps[0].Share, ":user/staff/alice") {
		t.Errorf("%v, %+v", err, p.Steps)
	}
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "renamed escapes")
}

// TestProtectedNameThatNobodyCanLookAt is guarded, not refused: whoever holds the account made the name.
func TestProtectedNameThatNobodyCanLookAt(t *testing.T) {
	w := outside(t, "aws", "arn:aws:iam::"+actiontest.Member+":role/break-glass confirm=break-glass")
	w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "break-glass"})
	w.Fault(awsfake.Fault{Op: "iam:GetRole", Err: &smithy.GenericAPIError{Code: "AccessDenied"}, Times: 99})
	p := w.Plan()
	actiontest.HasWords(t, p.Guarded, "protected name", "nobody can look")
	if no := w.Org.RefuseIdentity(p.Identity, p.Guarded != ""); no != nil {
		t.Error(no)
	}
}

// TestNobodyLeavesTheOrganization: from under the policy.
func TestNobodyLeavesTheOrganization(t *testing.T) {
	w := outside(t, "aws", "prod/root")
	other := w.Session(w.Role, "s1")
	actiontest.AllApplied(t, w.Contain())
	if ok, _ := other.Can("organizations:LeaveOrganization", "*"); ok {
		t.Error("the account can leave")
	}
	if ok, why := other.Can("s3:GetObject", "*"); !ok {
		t.Error(why)
	}
}

// TestUndoLeavesTheOthersDenied: a policy has the parts of all its holders.
func TestUndoLeavesTheOthersDenied(t *testing.T) {
	w := outside(t, "aws", typedTargets("aws")[0])
	first := w.Plan().Steps[0]
	w.SetCall(mustParse(t, w, "deny_principal "+typedTargets("aws")[1]))
	second := w.Plan().Steps[0]
	if first.Hold != second.Hold || first.Share == second.Share {
		t.Fatalf("holds %s, %s; shares %s, %s", first.Hold, second.Hold, first.Share, second.Share)
	}
	w.Resources = []string{first.Resource}
	apply := func(acct *actions.Account, s actions.Step, shares ...string) actions.Effect {
		t.Helper()
		e, err := w.Act.Apply(t.Context(), acct, s, actions.Run{RequestID: actiontest.Request, Now: w.Clock.Now(), Since: w.Clock.Now(), Shares: shares})
		actiontest.Must(t, err)
		return e
	}
	role, user := w.Session(w.Role, "s1"), w.KeySession("AKIAALICE00000000000")
	can := func(s *awsfake.Session) bool { ok, _ := s.Can("s3:GetObject", "arn:aws:s3:::b/k"); return ok }
	apply(w.Responder(), first, first.Share)
	e := apply(w.Responder(), second, first.Share, second.Share)
	if can(role) || can(user) || !w.holds(first, e) || !w.holds(second, e) {
		t.Error("one of them is not denied")
	}
	left := apply(w.Restorer(), first, second.Share) // the first is taken back
	if !can(role) || can(user) || w.holds(first, e) || !w.holds(first, left) || !w.holds(second, left) {
		t.Error("the undo of one is not that of one")
	}
	if r := w.Revert(second, left); !r.Holds || !can(user) || w.scp("killswitch-deny-"+actiontest.Member).ID != "" {
		t.Errorf("the last: %+v", r)
	}
}

func mustParse(t *testing.T, w *fixture, line string) actions.Call {
	t.Helper()
	c, _, err := actions.Parse(line+` reason="x"`, w.Org.Directory())
	actiontest.Must(t, err)
	return c
}

// TestTwoHundredPrincipalsFit: with names of 64 characters; what does not fit is refused in words.
func TestTwoHundredPrincipalsFit(t *testing.T) {
	w := outside(t, "aws", "prod/root")
	a := w.Account(actiontest.Member)
	var shares []string
	plan := func(line string) actions.Step {
		w.SetCall(mustParse(t, w, "deny_principal "+line))
		s := w.Plan().Steps[0]
		shares = append(shares, s.Share)
		return s
	}
	var s actions.Step
	for i := range 100 {
		name := fmt.Sprintf("%0*d", 64, i)
		a.AddRole(awsfake.Role{Name: name})
		a.AddUser(awsfake.User{Name: name})
		plan("prod/role/" + name)
		s = plan("prod/user/" + name)
	}
	w.Resources = []string{s.Resource}
	e, err := w.Act.Apply(t.Context(), w.Responder(), s, actions.Run{RequestID: actiontest.Request, Shares: shares})
	actiontest.Must(t, err)
	if n := len(w.scp("killswitch-deny-" + actiontest.Member).Content); n > 10240 || !w.holds(s, e) {
		t.Errorf("%d characters", n)
	}
	for i := range 400 {
		shares = append(shares, fmt.Sprintf(`{"userids":["AROA%017d:*"]}`, i))
	}
	_, err = w.Act.Apply(t.Context(), w.Responder(), s, actions.Run{RequestID: actiontest.Request, Shares: shares})
	actiontest.HasWords(t, refusal(t, err).Error(), "is full", "10240", "undo")
}

func TestDenyPrincipalTargets(t *testing.T) {
	w := outside(t, "aws", "prod/root")
	d := w.Org.Directory()
	for typed, want := range map[string]string{
		"prod/root": "arn:aws:iam::222222222222:root", "arn:aws:iam::222222222222:root": "arn:aws:iam::222222222222:root", "222222222222/ROOT": "arn:aws:iam::222222222222:root",
		"prod/role/a": "arn:aws:iam::222222222222:role/a", "prod/user/a": "arn:aws:iam::222222222222:user/a",
		"arn:aws:sts::222222222222:assumed-role/a/session": "arn:aws:iam::222222222222:role/a",
		"SSO:bob@example.com":                              "sso:bob@example.com",
		"sso:" + strings.ToUpper(bobsID):                   "sso:" + bobsID,
	} {
		c, _, err := actions.Parse("deny_principal "+typed+" because", d)
		if err != nil || c.Target != want {
			t.Errorf("%s: %s, %v", typed, c.Target, err)
			continue
		}
		again, _, err := actions.Parse(c.Line("because"), d) // as evidence is read again
		if err != nil || !again.Equal(c) {
			t.Errorf("%s: %+v, read again %+v, %v", typed, c, again, err)
		}
	}
	for typed, words := range map[string][]string{
		"prod/a": {"role or a user"}, "sso:a b": nil, "sso:*": {"neither a user name"}, "sso:bob@example.com account=prod": {"in every account"},
		"sso:bob@example.com scope=account": {"in every account"}, "arn:aws:sts::222222222222:assumed-role/" + reserved + "/bob@example.com": {"sso:bob@example.com"},
		"arn:aws:iam::222222222222:role/aws-reserved/sso.amazonaws.com/" + reserved: {"permission set", "sso:USERNAME"}, "AKIAIOSFODNN7EXAMPLE": {"no principal"},
	} {
		_, _, err := actions.Parse("deny_principal "+typed+` reason="x"`, d)
		if words == nil {
			continue // the rest is the reason
		}
		m, ok := err.(*actions.ParseErrors) //nolint:errorlint // that is its type
		if !ok {
			t.Errorf("%s: %v", typed, err)
			continue
		}
		actiontest.HasWords(t, fmt.Sprintf("%+v %s", m.List, m.Corrected), words...)
	}
	no := actions.Org{Actions: all.Actions}.RefuseCall(actions.Call{Action: actions.DenyPrincipal, Target: "sso:bob@example.com"})
	actiontest.HasWords(t, no.Error(), "aws.management_account", "aws.policy_account")
}

// TestDenyPrincipalSaysWhatFails: an AWS that is only busy is asked again, and nothing is denied by a name meanwhile.
func TestDenyPrincipalSaysWhatFails(t *testing.T) {
	w := outside(t, "aws", typedTargets("aws")[0])
	w.Fault(awsfake.Fault{Op: "iam:GetRole", Err: &smithy.GenericAPIError{Code: "ServiceFailure"}, Times: 9})
	if err := w.planned(); !actions.Transient(err) { // it is asked again
		t.Errorf("%v", err)
	}
	w.ClearFaults()
	w.SetCall(mustParse(t, w, "deny_principal prod/role/nobody"))
	actiontest.HasWords(t, refusal(t, w.planned()).Reason, "nobody")
}

// TestDenyPrincipalOfAnAdministrator takes the name typed and one approval more, as the quarantine does; a run
// asks no more.
func TestDenyPrincipalOfAnAdministrator(t *testing.T) {
	admin := func(typed string) *fixture {
		w := outside(t, "aws", typed)
		w.Org.AdminGroup = "admins"
		w.Hub = actions.NewCloud(w.Config(), w.Org)
		w.Hub.SetNow(w.Clock.Now)
		w.Account(actiontest.Member).AddUser(awsfake.User{Name: "root-of-all", Groups: []string{"Admins"}})
		return w
	}
	const target = "prod/user/root-of-all"
	no := refusal(t, admin(target).planned())
	actiontest.HasWords(t, no.Reason, "member of the admin group Admins")
	if no.Instead == nil || no.Instead.Options["confirm"] != "root-of-all" {
		t.Errorf("%+v", no)
	}
	w := admin(target + " confirm=root-of-all")
	actiontest.HasWords(t, w.Plan().Guarded, "admin group", "since")
	w.Fault(awsfake.Fault{Op: "iam:ListGroupsForUser", Err: actiontest.Denied})
	actiontest.HasWords(t, w.Plan().Guarded, "can't be read")
	if p := admin("prod/user/alice").Plan(); p.Guarded != "" {
		t.Error(p.Guarded)
	}
}
