package actions_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// looks enters the account as the look at a call does.
func looks(w *actiontest.Fixture, name actions.Name, target string) (*actions.Account, error) {
	w.T.Helper()
	a, ok := w.Org.Actions.Lookup(name)
	if !ok {
		w.T.Fatalf("no action %s", name)
	}
	return w.Hub.Watch(w.T.Context(), a, actions.Call{Action: name, Target: target, Account: actiontest.Member, Region: "eu-central-1"})
}

// sessions are the sessions that were asked for.
func sessions(w *actiontest.Fixture) (all []awsfake.Call) {
	for _, c := range w.Calls() {
		if c.Op == "sts:AssumeRole" {
			all = append(all, c)
		}
	}
	return all
}

// TestLooksAtAnAccountShareASession until shortly before its end. It names no request.
func TestLooksAtAnAccountShareASession(t *testing.T) {
	w := actiontest.NewFixture(t)
	kinds := []struct {
		name   actions.Name
		target string
	}{{actions.RevokeSessions, w.Role}, {actions.RevokeSessions, actiontest.Member + "/ALL"}, {"quarantine_user", "arn:aws:iam::222222222222:user/bernd"},
		{"isolate_instance", "arn:aws:ec2:eu-central-1:222222222222:instance/i-0123456789abcdef0"}}
	var wg sync.WaitGroup
	for _, k := range kinds {
		wg.Go(func() {
			if _, err := looks(w, k.name, k.target); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	all := sessions(w)
	if len(all) != 1 || all[0].RoleSessionName != "killswitch-watch" || all[0].SourceIdentity != "killswitch-watch" || len(all[0].Tags) != 1 {
		t.Fatalf("%d sessions: %+v", len(all), all)
	}
	for range 54 { // as often as there is a look
		w.Clock.Add(time.Minute)
		acct, err := looks(w, actions.RevokeSessions, w.Role)
		actiontest.Must(t, err)
		_, err = acct.IAM().GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("victim")})
		actiontest.Must(t, err)
	}
	if n := len(sessions(w)); n != 1 {
		t.Errorf("%d sessions in 54 minutes", n)
	}
	w.Clock.Add(2 * time.Minute)
	_, err := looks(w, actions.RevokeSessions, w.Role)
	actiontest.Must(t, err)
	w.Clock.Add(2 * time.Hour)
	_, err = looks(w, actions.RevokeSessions, w.Role)
	actiontest.Must(t, err)
	if n := len(sessions(w)); n != 3 {
		t.Errorf("%d sessions", n)
	}
}

// TestSessionThatCanNotBeHadIsAskedForAgain: a failure is not kept, nor a session that can't read.
func TestSessionThatCanNotBeHadIsAskedForAgain(t *testing.T) {
	w := actiontest.NewFixture(t)
	w.Fault(awsfake.Fault{Op: "sts:AssumeRole", Err: &smithy.GenericAPIError{Code: "AccessDenied"}})
	for range 3 {
		_, err := looks(w, actions.RevokeSessions, w.Role)
		actiontest.WantCode(t, err, "AccessDenied")
	}
	w.ClearFaults()
	acct, err := looks(w, actions.RevokeSessions, w.Role)
	actiontest.Must(t, err)
	if n := len(sessions(w)); n != 4 {
		t.Errorf("%d sessions", n)
	}
	acct.Leave()
	_, err = looks(w, actions.RevokeSessions, w.Role)
	actiontest.Must(t, err)
	if n := len(sessions(w)); n != 5 {
		t.Errorf("%d sessions after it was left", n)
	}
}

// TestWatchingSessionOnlyReads: AWS refuses writes in it, and an action that says otherwise gets none.
func TestWatchingSessionOnlyReads(t *testing.T) {
	w := actiontest.NewFixture(t)
	acct, err := looks(w, actions.RevokeSessions, w.Role)
	actiontest.Must(t, err)
	deny := actiontest.StepOf(t, w.Plan(), "deny")
	_, err = w.Act.Apply(t.Context(), acct, deny, w.Run())
	actiontest.WantCode(t, err, "AccessDenied")
	w.Org.Actions = append(slices.Clip(w.Org.Actions), careless{w.Act})
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	n := len(sessions(w))
	if _, err = looks(w, actions.RevokeSessions, w.Role); err == nil || !strings.Contains(err.Error(), "iam:PutRolePolicy") || len(sessions(w)) != n {
		t.Errorf("a session that may write: %v", err)
	}
}

// careless is an action that takes the right to write along where it plans.
type careless struct{ actions.Action }

func (c careless) Spec() actions.Spec {
	s := c.Action.Spec()
	s.Name = "careless"
	s.Permits = func(actions.Phase, actions.Scope) []actions.Statement {
		return []actions.Statement{{Actions: []string{"iam:GetRole", "iam:PutRolePolicy"}, Resources: []string{"*"}}}
	}
	return s
}

// TestLookAsksNothingTwice: plan and verification read the same. The next look asks anew.
func TestLookAsksNothingTwice(t *testing.T) {
	w := actiontest.NewFixture(t)
	deny := actiontest.StepOf(t, w.Plan(), "deny")
	e := w.Apply(deny, w.Run())
	for range 2 {
		acct, err := looks(w, actions.RevokeSessions, w.Role)
		actiontest.Must(t, err)
		acct.Look = actions.LookSteps
		w.ResetCalls()
		for range 2 {
			_, err = w.Act.Plan(t.Context(), acct, w.Call())
			actiontest.Must(t, err)
			read, err := w.Act.Verify(t.Context(), acct.WithoutRetries(), deny, e)
			if err != nil || !read.Holds {
				t.Errorf("%+v, %v", read, err)
			}
		}
		if calls := w.Calls(); len(calls) != 2 || calls[0].Op != "iam:GetRole" || calls[1].Op != "iam:GetRolePolicy" {
			t.Errorf("called %+v", calls)
		}
	}
	w.DeleteDeny()
	acct, err := looks(w, actions.RevokeSessions, w.Role)
	actiontest.Must(t, err)
	if read, err := w.Act.Verify(t.Context(), acct, deny, e); err != nil || read.Holds {
		t.Errorf("%+v, %v", read, err)
	}
}

// TestSharedSessionHasRoom: what all actions read fits into one session policy, in the management account too.
func TestSharedSessionHasRoom(t *testing.T) {
	w := actiontest.NewFixture(t)
	for _, account := range []string{actiontest.Member, w.Org.ManagementAccount} {
		if !actions.Fits(actions.SharedReads(w.Org, account)) {
			t.Errorf("in %s each action needs a session of its own", account)
		}
	}
}

// TestLookAsksEachRegion: what one region answered is not taken for another's answer.
func TestLookAsksEachRegion(t *testing.T) {
	w := actiontest.NewFixture(t)
	w.Member(actiontest.Member, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: actiontest.AllowAll, RestorerPolicy: actiontest.AllowAll})
	w.Account(actiontest.Member).Region("us-east-1").AddInstance(awsfake.Instance{ID: "i-0000000000000000a"})
	acct, err := looks(w, actions.RevokeSessions, w.Role)
	actiontest.Must(t, err)
	for region, want := range map[string]int{"eu-west-1": 0, "us-east-1": 1} {
		out, err := ec2.NewFromConfig(acct.Config(), func(o *ec2.Options) { o.Region = region }).DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
		if err != nil || len(out.Reservations) != want {
			t.Errorf("%s: %d, %v", region, len(out.Reservations), err)
		}
	}
}
