package user_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// What the tests of the actions on users and their keys share.

// alice is a user with one of everything.
func alice(partition string) awsfake.User {
	return awsfake.User{Name: "alice", Path: "/team/", Groups: []string{"devs"}, Attached: []string{"arn:" + partition + ":iam::aws:policy/AdministratorAccess"},
		Keys: []awsfake.AccessKey{{ID: actiontest.FirstKey}, {ID: actiontest.SecondKey}}, Password: actiontest.Began.Add(-24 * 3600e9), MFA: []string{"arn:" + partition + ":iam::" + actiontest.Member + ":mfa/alice"},
		SSHKeys: []awsfake.Credential{{ID: "APKA0000000000000001A"}}, Services: []awsfake.Credential{{ID: "ACCA0000000000000001A", Service: "codecommit.amazonaws.com"}},
		Certificates: []awsfake.Credential{{ID: "CERT0000000000000001A"}}}
}

// userWorld is a member account with alice, to be quarantined.
func userWorld(t *testing.T, alter ...func(*awsfake.User)) *fixture {
	t.Helper()
	c := &actiontest.Clock{T: actiontest.Began}
	return userWorldAt(t, c, "aws", alter...)
}

func userWorldAt(t *testing.T, c *actiontest.Clock, partition string, alter ...func(*awsfake.User)) *fixture {
	t.Helper()
	w := fixtureAt(t, c, c.Now, partition)
	u := alice(partition)
	for _, f := range alter {
		f(&u)
	}
	for _, arn := range u.Attached {
		if strings.Contains(arn, ":"+actiontest.Member+":") {
			w.AddPolicy(arn, actiontest.AllowIAM)
		}
	}
	w.Account(actiontest.Member).AddUser(u)
	actiontest.DeployShared(w.Cloud, actiontest.Member)
	return w.quarantine(nil)
}

func (w *fixture) userARN() string {
	return "arn:" + w.Org.Partition + ":iam::" + actiontest.Member + ":user/team/alice"
}

func (w *fixture) quarantine(options map[string]string) *fixture {
	w.T.Helper()
	w.SetCall(actions.Call{Action: actions.QuarantineUser, Target: w.userARN(), Account: actiontest.Member, Options: options}, w.userARN())
	return w
}

// onKey makes the fixture about one of alice's keys.
func (w *fixture) onKey(name actions.Name, key string, options map[string]string) *fixture {
	w.T.Helper()
	w.SetCall(actions.Call{Action: name, Target: key, Account: actiontest.Member, Options: options}, w.userARN())
	return w
}

// exempting configures the admin group.
func (w *fixture) exempting(group string) *fixture {
	w.Org.AdminGroup = group
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	return w
}

func (w *fixture) alice() awsfake.User {
	return w.Snapshot().Accounts[actiontest.Member].Users["alice"]
}

func (w *fixture) policyARN(name string) string {
	return "arn:" + w.Org.Partition + ":iam::" + actiontest.Member + ":policy/" + name
}

// users is the state but for what stays when a quarantine is taken back: the
// managed policy, and that there is no password any more, nor an MFA device. Attachment has no order.
func (w *fixture) users() awsfake.State {
	s := w.Snapshot()
	for id, a := range s.Accounts {
		for _, name := range []string{actiontest.FullQuarantine, actiontest.IAMQuarantine} {
			delete(a.Policies, "arn:"+w.Org.Partition+":iam::"+id+":policy/"+name)
		}
		for name, u := range a.Users {
			u.Password, u.MFA = actiontest.Began, nil
			slices.Sort(u.Attached)
			a.Users[name] = u
		}
	}
	return s
}

// userEnvironment is the contract's view of a fixture about a user.
func userEnvironment(w *fixture) actiontest.Environment {
	s := actiontest.EnvironmentOf(w.Fixture)
	before := w.alice()
	s.State = func() any { return w.users() }
	s.Tamper = func() { w.Account(actiontest.Member).AddUser(before) }
	s.Replace = w.anotherAlice
	return s
}

// anotherAlice is another user of the same name, with another of all she had.
func (w *fixture) anotherAlice() {
	u := alice(w.Org.Partition)
	u.Tags = map[string]string{actiontest.Tag: "somebody-else"}
	w.Account(actiontest.Member).AddUser(u)
}

// Starts of a user.
func tenUserPolicies(u *awsfake.User) {
	u.Attached = nil
	partition := strings.Split(u.MFA[0], ":")[1]
	for i := range 10 {
		u.Attached = append(u.Attached, fmt.Sprintf("arn:%s:iam::%s:policy/team/p%d", partition, actiontest.Member, i))
	}
}

func userInline(name, document string) func(*awsfake.User) {
	return func(u *awsfake.User) {
		u.Inline = maps.Clone(u.Inline)
		if u.Inline == nil {
			u.Inline = map[string]string{}
		}
		u.Inline[name] = document
	}
}

func userTagged(value string) func(*awsfake.User) {
	return func(u *awsfake.User) { u.Tags = map[string]string{actiontest.Tag: value} }
}

// fullInline leaves no room for a deny.
func fullInline(u *awsfake.User) {
	userInline("full", `{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::`+strings.Repeat("b", 1960)+`*"}]}`)(u)
}

// holdsAll fails unless every step that was taken is read back.
func (w *fixture) holdsAll(all []actiontest.LedgerEntry) {
	w.T.Helper()
	for _, d := range all {
		r, err := w.Act.Verify(w.T.Context(), w.Responder(), d.Step, d.Effect)
		if err != nil || !r.Holds {
			w.T.Errorf("Verify %s: %+v, %v", d.Step.ID, r, err)
		}
	}
}
