package role_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// wholeAccount is a fixture with roles of all kinds, of which all are meant.
func wholeAccount(t *testing.T, partition string) *fixture {
	c := &actiontest.Clock{T: actiontest.Began.Add(123 * time.Millisecond)}
	w := fixtureAt(t, c, c.Now, partition)
	a := w.Account(actiontest.Member)
	a.AddRole(awsfake.Role{Name: "reports", Inline: map[string]string{actiontest.Revoke: actiontest.Handwritten, "app": actiontest.AllowIAM}})
	a.AddRole(awsfake.Role{Name: "ALL"})
	a.AddRole(awsfake.Role{Name: "revoked", Inline: map[string]string{actiontest.Revoke: actiontest.Consoles}})
	a.AddRole(awsfake.Role{Name: "AWSServiceRoleForConfig", Path: "/aws-service-role/config.amazonaws.com/"})
	a.AddRole(awsfake.Role{Name: "AWSReservedSSO_Admin_0123456789abcdef", Path: "/aws-reserved/sso.amazonaws.com/eu-west-1/"})
	a.AddRole(awsfake.Role{Name: "break-glass", Trust: actiontest.Trust(actiontest.Member)})
	w.SetCall(actions.Call{Action: actions.RevokeSessions, Target: actiontest.Member + "/ALL", Account: actiontest.Member})
	return w
}

var changeable = []string{"ALL", "reports", "revoked", "victim"}

func (w *fixture) roleNames() []string {
	return slices.Sorted(maps.Keys(w.Snapshot().Accounts[actiontest.Member].Roles))
}

func TestRevokeAllContract(t *testing.T) {
	actiontest.EachPartition(t, func(t *testing.T, partition string, delay time.Duration) {
		actiontest.Test(t, actiontest.Contract{Action: actiontest.ActionOf(t), Starts: []actiontest.Start{{Name: "roles of all kinds", Open: func(t *testing.T) actiontest.Environment {
			w := wholeAccount(t, partition)
			w.SetPropagation(delay)
			s := actiontest.EnvironmentOf(w.Fixture)
			s.Tamper = func() {
				for _, name := range changeable {
					w.deletes(name)
				}
			}
			s.Replace = func() {
				for _, name := range changeable {
					w.puts(name, strings.ReplaceAll(actiontest.Handwritten, "reports", "somebody-else"))
				}
			}
			return s
		}}}})
	})
}

func (w *fixture) deletes(role string) {
	w.T.Helper()
	_, err := w.IAM().DeleteRolePolicy(w.T.Context(), &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: aws.String(actiontest.Revoke)})
	actiontest.Must(w.T, err)
}

func (w *fixture) puts(role, document string) {
	w.T.Helper()
	_, err := w.IAM().PutRolePolicy(w.T.Context(), &iam.PutRolePolicyInput{RoleName: &role, PolicyName: aws.String(actiontest.Revoke), PolicyDocument: &document})
	actiontest.Must(w.T, err)
}

// What may not be changed is listed with its reason, and what is listed adds up.
func TestRevokeAllLeavesAlone(t *testing.T) {
	w := wholeAccount(t, "aws")
	p := w.Plan()
	taken, skipped := []string{}, map[string]string{}
	for _, s := range p.Steps {
		name := s.Resource[strings.LastIndex(s.Resource, "/")+1:]
		if s.Look != "" {
			continue
		}
		if s.Skip == "" {
			taken = append(taken, name)
		} else {
			skipped[name] = s.Skip
		}
	}
	slices.Sort(taken)
	if !slices.Equal(taken, changeable) {
		t.Errorf("taken are %v, want %v", taken, changeable)
	}
	if len(taken)+len(skipped) != len(w.roleNames()) {
		t.Errorf("%d taken and %d left alone of %d", len(taken), len(skipped), len(w.roleNames()))
	}
	for name, words := range map[string]string{
		"killswitch-responder": "own member role", "killswitch-restorer": "own member role", "break-glass": "protected",
		"AWSServiceRoleForConfig": "service-linked", "AWSReservedSSO_Admin_0123456789abcdef": "Identity Center",
	} {
		actiontest.HasWords(t, skipped[name], words)
	}
	actiontest.HasWords(t, strings.Join(p.Warnings, "\n"), "revoke_sessions 222222222222/ALL via=scp")
	actiontest.HasWords(t, strings.Join(w.Plan().Residual, " "), "made after", "not covered", "not tagged")
}

// TestRevokeAllLetsTheForwarderTell: the role that passes on the account's events keeps its sessions,
// where EventBridge alone may assume it. One of that name that anybody else may assume is any other.
func TestRevokeAllLetsTheForwarderTell(t *testing.T) {
	const ours = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	statement := ours[strings.Index(ours, "[")+1 : strings.Index(ours, "]")]
	for name, c := range map[string]struct {
		role, trust string
		skipped     bool
	}{
		"ours":                {"killswitch-forwarder", ours, true},
		"spelled otherwise":   {"Killswitch-Forwarder", strings.ReplaceAll(ours, ",", ", \n"), true},
		"of another name":     {"killswitch-forwarder2", ours, false},
		"another service too": {"killswitch-forwarder", strings.Replace(ours, `"events.amazonaws.com"`, `["events.amazonaws.com","ec2.amazonaws.com"]`, 1), false},
		"an account too":      {"killswitch-forwarder", strings.Replace(ours, `{"Service"`, `{"AWS":"444444444444","Service"`, 1), false},
		"another statement":   {"killswitch-forwarder", strings.Replace(ours, statement, statement+","+strings.Replace(statement, `"Service":"events.amazonaws.com"`, `"AWS":"*"`, 1), 1), false},
		"a second principal":  {"killswitch-forwarder", strings.Replace(ours, `"Effect"`, `"Principal":{"AWS":"*"},"Effect"`, 1), false},
		"any":                 {"killswitch-forwarder", strings.Replace(ours, `{"Service":"events.amazonaws.com"}`, `"*"`, 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			w := wholeAccount(t, "aws")
			w.Org.ForwarderRole = "killswitch-forwarder"
			w.Hub = actions.NewCloud(w.Config(), w.Org)
			w.Account(actiontest.Member).AddRole(awsfake.Role{Name: c.role, Trust: c.trust})
			for _, s := range w.Plan().Steps {
				if s.Look == "" && strings.HasSuffix(s.Resource, "/"+c.role) && (s.Skip != "") != c.skipped {
					t.Errorf("left alone: %q", s.Skip)
				}
			}
		})
	}
	w := wholeAccount(t, "aws")
	w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "killswitch-forwarder", Trust: ours})
	for _, s := range w.Plan().Steps {
		if strings.HasSuffix(s.Resource, "forwarder") && s.Skip != "" {
			t.Errorf("left alone without being configured: %q", s.Skip)
		}
	}
}

// TestRevokeAllLeavesWhatMayDoNothing: the role of isolated instances, which the tamper protection keeps from us too;
// without its boundary, or elsewhere, it is any other.
func TestRevokeAllLeavesWhatMayDoNothing(t *testing.T) {
	const boundary = "arn:aws:iam::aws:policy/AWSDenyAll"
	for name, c := range map[string]struct {
		role    awsfake.Role
		skipped bool
	}{
		"ours":             {awsfake.Role{Name: "killswitch-isolation", Boundary: boundary}, true},
		"without boundary": {awsfake.Role{Name: "killswitch-isolation"}, false},
		"another boundary": {awsfake.Role{Name: "killswitch-isolation", Boundary: "arn:aws:iam::aws:policy/AdministratorAccess"}, false},
		"another path":     {awsfake.Role{Name: "killswitch-isolation", Path: "/x/", Boundary: boundary}, false},
		"another name":     {awsfake.Role{Name: "killswitch-isolation2", Boundary: boundary}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := wholeAccount(t, "aws")
			w.Account(actiontest.Member).AddRole(c.role)
			found := false
			for _, s := range w.Plan().Steps {
				if s.Look == "" && strings.HasSuffix(s.Resource, "/"+c.role.Name) {
					found = true
					if (s.Skip != "") != c.skipped {
						t.Errorf("left alone: %q", s.Skip)
					}
				}
			}
			if !found {
				t.Error("there is no step")
			}
		})
	}
}

// The listing has pages: the seed's plan began with the first.
func TestRevokeAllPages(t *testing.T) {
	w := newFixture(t)
	for i := range 1234 {
		w.Account(actiontest.Member).AddRole(awsfake.Role{Name: fmt.Sprintf("role-%04d", i)})
	}
	w.SetCall(actions.Call{Action: actions.RevokeSessions, Target: actiontest.Member + "/ALL", Account: actiontest.Member})
	w.ResetCalls()
	p := w.Plan()
	if len(p.Steps) != 1239 { // with the victim and the two member roles, which are looked at as well
		t.Errorf("%d roles are planned", len(p.Steps))
	}
	listings := 0
	for _, c := range w.Calls() {
		if c.Op == "iam:GetAccountAuthorizationDetails" {
			listings++
		} else if c.Op != "sts:AssumeRole" {
			t.Errorf("it takes %s", c.Op)
		}
	}
	if listings != 13 { // awsfake has 100 on a page
		t.Errorf("%d listings", listings)
	}
}

// A session from before is dead in every role, one from after works.
func TestRevokeAllKillsSessions(t *testing.T) {
	w := wholeAccount(t, "aws")
	stolen := w.Session(w.Role, "i-0abc")
	w.Clock.Add(time.Minute)
	run := w.Run()
	for _, s := range w.Plan().Steps {
		if s.Skip == "" {
			w.Apply(s, run)
		}
	}
	if ok, _ := stolen.Can("s3:GetObject", "arn:aws:s3:::b/k"); ok {
		t.Error("the stolen session still works")
	}
	w.Clock.Add(time.Minute)
	if ok, why := w.Session(w.Role, "i-0abc").Can("s3:GetObject", "arn:aws:s3:::b/k"); !ok {
		t.Errorf("a new session: %s", why)
	}
}

// A role that was deleted while we work has nothing left to contain; one that
// was created again is another one.
func TestRevokeAllRoleGone(t *testing.T) {
	w := wholeAccount(t, "aws")
	var of actions.Step
	for _, s := range w.Plan().Steps {
		if strings.HasSuffix(s.Resource, "/revoked") {
			of = s
		}
	}
	w.deletes("revoked")
	_, err := w.IAM().DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("revoked")})
	actiontest.Must(t, err)
	e := w.Apply(of, w.Run())
	r, err := w.Act.Verify(t.Context(), w.Responder(), of, e)
	actiontest.Must(t, err)
	if !r.Holds || !strings.Contains(r.Found, "no longer exists") {
		t.Errorf("Verify: %+v", r)
	}
	if r := w.Revert(of, e); !r.Holds {
		t.Errorf("Revert: %+v", r)
	}
	w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "revoked"})
	if _, err := w.Act.Apply(t.Context(), w.Responder(), of, w.Run()); err == nil {
		t.Error("another role of that name was taken for it")
	}
}

// A role that is called ALL is one role.
func TestRoleCalledAll(t *testing.T) {
	w := wholeAccount(t, "aws")
	call, _, err := actions.Parse("revoke_sessions arn:aws:iam::222222222222:role/ALL leaked", w.Org.Directory())
	actiontest.Must(t, err)
	w.SetCall(call, call.Target)
	if p := w.Plan(); len(p.Steps) != 2 || p.Identity.ARN != call.Target {
		t.Errorf("planned %+v", p)
	}
}
