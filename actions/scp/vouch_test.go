package scp_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const responder = "arn:aws:iam::222222222222:role/killswitch-responder"

// looked applies all steps and returns what those that look have found, by the principal's short name:
// what does not hold, and what could not be read.
func (w *fixture) looked() (strangers, unread map[string]string) {
	w.T.Helper()
	p := w.Plan()
	w.Resources = []string{p.Steps[0].Resource}
	run := w.Responder()
	strangers, unread = map[string]string{}, map[string]string{}
	for _, s := range p.Steps {
		e, err := w.Act.Apply(w.T.Context(), run, s, w.Run())
		actiontest.Must(w.T, err)
		if s.Look == "" {
			continue
		}
		name := strings.TrimPrefix(s.ID, "vouch ")
		switch r, err := w.Act.Verify(w.T.Context(), run, s, e); {
		case err != nil:
			unread[name], _ = actions.Explain(err)
		case !r.Holds:
			strangers[name] = r.Found
		}
	}
	return strangers, unread
}

// freezing are the calls that exempt principals by their names.
var freezing = map[string]func(*fixture){
	"apply_scp": func(w *fixture) { w.freeze(actiontest.Member) },
	"via=scp":   func(w *fixture) { w.SetCall(viaSCP(actiontest.Member)) },
}

// TestOutsideAccountEntersByAMemberRole: before the freeze an administrator lets an outside account into the
// responder, and goes on working by it. It is told before the approval, and after the deny stands.
func TestOutsideAccountEntersByAMemberRole(t *testing.T) {
	for name, call := range freezing {
		t.Run(name, func(t *testing.T) {
			w := scpWorld(t)
			call(w)
			if strangers, unread := w.looked(); len(strangers)+len(unread) > 0 || len(w.Plan().Warnings) == 0 || strings.Contains(w.Plan().Warnings[0], "Not contained") {
				t.Fatalf("as deployed: %q, %q; %q", strangers, unread, w.Plan().Warnings)
			}
			w.SetTrust("killswitch-responder", actiontest.Trust(awsfake.HubAccount, actiontest.Outside))
			strangers, _ := w.looked()
			if inside, err := w.Enters(responder); err != nil {
				t.Fatal(err)
			} else if _, err := inside.ListRoles(t.Context(), nil); err != nil {
				t.Fatalf("the attack does not work, so this test shows nothing: %v", err)
			}
			if len(strangers) != 1 || !strings.Contains(strangers["role/killswitch-responder"], "account 666666666666") {
				t.Errorf("found %q", strangers)
			}
			actiontest.HasWords(t, w.Plan().Warnings[0], "Not contained", "role/killswitch-responder", "account 666666666666", "Correct its trust")
		})
	}
}

// TestAttackerMakesAnExemptName: break-glass, or the forwarder, is made in an account that had none.
func TestAttackerMakesAnExemptName(t *testing.T) {
	for name, call := range freezing {
		for _, role := range []string{"break-glass", "killswitch-forwarder"} {
			t.Run(name+"/"+role, func(t *testing.T) {
				w := scpWorld(t)
				w.Org.ForwarderRole = "killswitch-forwarder"
				w.Hub = actions.NewCloud(w.Config(), w.Org)
				call(w)
				actiontest.HasWords(t, strings.Join(w.Plan().Residual, " "), "not there", "role/"+role, "can still make it")
				arn := w.Account(actiontest.Member).AddRole(awsfake.Role{Name: role, Trust: actiontest.Trust(actiontest.Outside), Attached: []string{w.AdminPolicy()}})
				strangers, _ := w.looked()
				if inside, err := w.Enters(arn); err != nil {
					t.Fatal(err)
				} else if _, err := inside.ListRoles(t.Context(), nil); err != nil {
					t.Fatalf("the attack does not work, so this test shows nothing: %v", err)
				}
				if !strings.Contains(strangers["role/"+role], "account 666666666666") {
					t.Errorf("found %q", strangers)
				}
				actiontest.HasWords(t, w.Plan().Warnings[0], "Not contained", role)
			})
		}
	}
}

// TestExemptNameOnAnotherPath is not exempt: nobody is told of it, and it is stopped.
func TestExemptNameOnAnotherPath(t *testing.T) {
	w := scpWorld(t)
	arn := w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "break-glass", Path: "/x/", Trust: actiontest.Trust(actiontest.Outside), Attached: []string{w.AdminPolicy()}})
	if strangers, unread := w.looked(); len(strangers)+len(unread) > 0 {
		t.Errorf("found %q, unread %q", strangers, unread)
	}
	inside, err := w.Enters(arn)
	actiontest.Must(t, err)
	_, err = inside.ListRoles(t.Context(), nil)
	actiontest.WantCode(t, err, "AccessDenied")
}

// TestExemptOfADocument: a document of the configuration may exempt others. Those with a wildcard in their
// name can't be looked at, which is told already.
func TestExemptOfADocument(t *testing.T) {
	w := scpWorld(t)
	w.Org.SCPs = map[string]string{"own": `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":[` +
		`"arn:aws:iam::*:role/killswitch-responder","arn:*:iam::${aws:PrincipalAccount}:role/killswitch-restorer","arn:aws:iam::222222222222:role/pipe${*}line","arn:aws:iam::333333333333:role/other","arn:aws:iam::*:role/team-*"]}}}]}`}
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	w.freeze(actiontest.Member, "own")
	var looks []string
	for _, s := range w.Plan().Steps {
		if s.Look != "" {
			looks = append(looks, s.Resource)
		}
	}
	want := []string{responder, "arn:aws:iam::222222222222:role/killswitch-restorer"}
	slices.Sort(looks)
	if !slices.Equal(looks, want) { // no role has an asterisk in its name
		t.Errorf("looked at %q, want %q", looks, want)
	}
}

// TestExemptUserOfAnyAccount: nothing vouches for a user of that name, which whoever holds the account can make.
// It is told, and decides nothing; one that is named with its account is meant.
func TestExemptUserOfAnyAccount(t *testing.T) {
	w := scpWorld(t)
	w.Org.ProtectedPrincipals = append(w.Org.ProtectedPrincipals, "arn:aws:iam::*:user/emergency", "arn:aws:iam::222222222222:user/named")
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	for _, name := range []string{"emergency", "named"} {
		w.Account(actiontest.Member).AddUser(awsfake.User{Name: name})
	}
	strangers, unread := w.looked()
	if len(strangers) > 0 || len(unread) != 1 || !strings.Contains(unread["user/emergency"], "its name alone exempts it") {
		t.Errorf("found %q, unread %q", strangers, unread)
	}
	actiontest.HasWords(t, w.Plan().Warnings[0], "user/emergency", "made 2026-11-03", "nothing vouches")
}

// TestUnreadableExemptPrincipals: nobody can look, or not at one of them. That is told, and the others are looked at.
func TestUnreadableExemptPrincipals(t *testing.T) {
	for name, call := range freezing {
		t.Run(name, func(t *testing.T) {
			w := scpWorld(t)
			call(w)
			w.SetTrust("killswitch-restorer", actiontest.Trust(actiontest.Outside))
			w.OnCall(func(c awsfake.Call) error {
				if c.Op == "iam:GetRole" && slices.Contains(c.Resources, responder) {
					return actiontest.Denied
				}
				return nil
			})
			strangers, unread := w.looked()
			if len(strangers) != 1 || len(unread) != 1 || !strings.Contains(unread["role/killswitch-responder"], "AccessDenied") {
				t.Errorf("found %q, unread %q", strangers, unread)
			}
			actiontest.HasWords(t, strings.Join(w.Plan().Warnings[:2], " "), "role/killswitch-restorer is exempt and lets in", "role/killswitch-responder could not be read")

			// The member role is gone: nobody can look at any. The freeze needs no role there.
			w = scpWorld(t)
			call(w)
			_, err := w.IAM().DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: aws.String("killswitch-responder"), PolicyName: aws.String("killswitch")})
			actiontest.Must(t, err)
			_, err = w.IAM().DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("killswitch-responder")})
			actiontest.Must(t, err)
			if strangers, unread = w.looked(); len(strangers) > 0 || len(unread) != 4 {
				t.Errorf("found %q, unread %q", strangers, unread)
			}
			actiontest.HasWords(t, w.Plan().Warnings[0], "could not be read", "look by hand")
		})
	}
}

// TestLookHasLeastRights: the session in the target's account may read the exempt principals, and nothing else.
func TestLookHasLeastRights(t *testing.T) {
	w := scpWorld(t)
	in, err := w.Enter(actions.Responder, actions.PhaseRun).Target(t.Context())
	actiontest.Must(t, err)
	if in.ID != actiontest.Member {
		t.Fatalf("it is in account %s", in.ID)
	}
	_, err = in.IAM().GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("killswitch-restorer")})
	actiontest.Must(t, err)
	for _, c := range w.Calls() {
		if c.Op == "sts:AssumeRole" && slices.Contains(c.Resources, responder) && strings.Contains(c.SessionPolicy, "organizations:") {
			t.Errorf("its session policy is %s", c.SessionPolicy)
		}
	}
	_, err = in.IAM().GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("victim")})
	actiontest.WantCode(t, err, "AccessDenied")
	_, err = in.IAM().ListRoles(t.Context(), nil)
	actiontest.WantCode(t, err, "AccessDenied")
	_, err = in.IAM().DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("victim")})
	actiontest.WantCode(t, err, "AccessDenied")
	for range 200 { // names that fill a session policy
		w.Org.ProtectedPrincipals = append(w.Org.ProtectedPrincipals, "arn:aws:iam::*:role/"+strings.Repeat("x", 60)+"-"+string(rune('a'+len(w.Org.ProtectedPrincipals)%26)))
	}
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	w.SetCall(viaSCP(actiontest.Member))
	if in, err = w.Enter(actions.Responder, actions.PhaseRun).Target(t.Context()); err == nil {
		_, err = in.IAM().GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("killswitch-restorer")})
	}
	actiontest.Must(t, err)
}
